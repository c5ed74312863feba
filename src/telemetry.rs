//! saimon's numbers about itself, and its log.
//!
//! One struct of counters, made once and passed to whoever counts; nothing is global, so that tests
//! do not share. Shards add once per batch. Only this file and `telemetry/` name prometheus-client.

pub mod config;
pub mod durable;
pub mod feedback;
pub mod groups;
pub mod history;
pub mod log;
pub mod memory;
pub mod output;
pub mod process;
pub mod records;

use config::ConfigMetrics;
use durable::{LogMetrics, RecoveryMetrics, StopMetrics};
use feedback::{FeedbackMetrics, SilenceMetrics};
use groups::GroupMetrics;
use history::HistoryMetrics;
use memory::MemoryMetrics;
use output::OutputMetrics;
use prometheus_client::encoding::text::encode_registry;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use records::RecordMetrics;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// What became of a received sample. Every sample has exactly one outcome, so their sum is what was
/// received.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Outcome {
    /// In the window and in the model (or an ordinary NaN or infinity: in the window only).
    Accepted,
    /// A staleness marker: the series ended.
    Stale,
    /// Same time and same value as the newest of its series.
    Duplicate,
    /// Same time as the newest of its series, another value: the first one wins.
    Conflict,
    /// Older than the newest of its series.
    Late,
    /// More than ten minutes ahead of the clock.
    Future,
    /// Labels that no receiver may take.
    Refused,
    /// In the window only: not modelled by its name (`_info`, `_bucket`, `ALERTS` ...).
    Window,
    /// Not kept at all: saimon's own, or by a rule.
    Skipped,
    /// Of a new series beyond `limits.series`.
    Limit,
    /// Answered with 503: the sender has it and will send it again.
    Unavailable,
}

impl Outcome {
    pub const ALL: [Self; 11] = [
        Self::Accepted,
        Self::Stale,
        Self::Duplicate,
        Self::Conflict,
        Self::Late,
        Self::Future,
        Self::Refused,
        Self::Window,
        Self::Skipped,
        Self::Limit,
        Self::Unavailable,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Stale => "stale",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Late => "late",
            Self::Future => "future",
            Self::Refused => "refused",
            Self::Window => "window",
            Self::Skipped => "skipped",
            Self::Limit => "limit",
            Self::Unavailable => "unavailable",
        }
    }
}

/// Label pairs made of fixed names and short values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct IngestLabels {
    protocol: Text,
    outcome: Text,
}

/// One label called `reason`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    pub reason: Text,
}

/// One label called `order`: `retrain`, `rollback`, `pin`, `unpin` or `reset`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OrderLabel {
    pub order: Text,
}

/// One label called `phase`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PhaseLabel {
    pub phase: Text,
}

/// One label called `severity`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct SeverityLabel {
    pub severity: Text,
}

/// One label called `code`: an HTTP status.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CodeLabel {
    pub code: u32,
}

/// Version of the running binary.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct BuildLabels {
    version: Text,
}

/// A label value that lives as long as the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Text(pub &'static str);

impl EncodeLabelValue for Text {
    fn encode(&self, encoder: &mut LabelValueEncoder) -> Result<(), std::fmt::Error> {
        encoder.write_str(self.0)
    }
}

/// Samples by outcome, as plain counters for each pair.
#[derive(Debug, Clone)]
pub struct IngestCounters(Vec<Counter>);

impl IngestCounters {
    pub fn add(&self, outcome: Outcome, n: u64) {
        if n > 0 {
            self.0[outcome as usize].inc_by(n);
        }
    }

    pub fn get(&self, outcome: Outcome) -> u64 {
        self.0[outcome as usize].get()
    }
}

/// Everything that saimon counts about itself.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// The `process_*` series, which by custom have no prefix.
    process: Registry,
    /// `saimon_ingest_samples_total{protocol="1.0"}`.
    pub ingest_v1: IngestCounters,
    /// `saimon_ingest_samples_total{protocol="2.0"}`.
    pub ingest_v2: IngestCounters,
    /// `saimon_ingest_requests_total{code}`.
    pub requests: Family<CodeLabel, Counter>,
    /// `saimon_ingest_exemplars_total`.
    pub exemplars: Counter,
    /// `saimon_ingest_histograms_total{protocol="1.0"}`.
    pub histograms_v1: IngestCounters,
    /// `saimon_ingest_histograms_total{protocol="2.0"}`.
    pub histograms_v2: IngestCounters,
    /// `saimon_resets_total`.
    pub resets: Counter,
    /// `saimon_gaps_total`: samples after a silence of several intervals.
    pub gaps: Counter,
    /// `saimon_not_finite_samples_total`: kept, and not judged.
    pub not_finite: Counter,
    /// `saimon_series{phase}`: warmup, young, mature, ended, window, history.
    pub series: Family<PhaseLabel, Gauge>,
    /// `saimon_series_dropped_total{reason}`.
    pub series_dropped: Family<ReasonLabel, Counter>,
    /// `saimon_store_chunks_dropped_total`: finished chunks that the store did not take in time.
    pub chunks_dropped: Counter,
    /// `saimon_memory_*` and what goes with it.
    pub memory: MemoryMetrics,
    /// `saimon_series_limit`.
    pub series_limit: Gauge,
    /// `saimon_active_models`.
    pub active_models: Gauge,
    /// `saimon_models_trained_total`: fits that came into use.
    pub models_trained: Counter,
    /// `saimon_training_duration_seconds`: of fits on the trainer threads.
    pub training_duration: Histogram,
    /// `saimon_training_failed_total`.
    pub training_failed: Counter,
    /// `saimon_model_orders_total`.
    pub model_orders: Family<OrderLabel, Counter>,
    /// `saimon_forests`: series that have an isolation forest, or gather rows for their first.
    pub forests: Gauge,
    /// `saimon_forests_limit`: most series that have one, for which there is memory.
    pub forests_limit: Gauge,
    /// `saimon_anomalies_total`: anomalies that became active.
    pub anomalies: Counter,
    /// `saimon_anomalies_by_severity{severity}`: anomalies active now.
    pub anomalies_by_severity: Family<SeverityLabel, Gauge>,
    /// `saimon_detection_latency_seconds`: from the arrival of a request to its scores being
    /// visible, per batch.
    pub detection_latency: Histogram,
    /// `saimon_queue_full_total`: requests answered 503 because a shard's queue stayed full.
    pub queue_full: Counter,
    /// `saimon_read_requests_total{code}`; one that was cut off half-way had begun with 200.
    pub read_requests: Family<CodeLabel, Counter>,
    /// `saimon_read_samples_total`: samples in answers to remote reads.
    pub read_samples: Counter,
    /// `saimon_read_bytes_total`: bytes of such answers, as sent.
    pub read_bytes: Counter,
    /// `saimon_read_cut_total`: answers that were not sent to their end.
    pub read_cut: Counter,
    /// `saimon_scores_left_out`: score lines that the last page left out.
    pub scores_left_out: Gauge,
    /// `saimon_group*`: about groups.
    pub groups: GroupMetrics,
    /// `saimon_store_ok`: 1 while the store takes writes.
    pub store_ok: Gauge,
    /// `saimon_store_moved_aside`: 1 if this process found a store it could not open.
    pub store_moved_aside: Gauge,
    /// `saimon_store_errors_total`.
    pub store_errors: Counter,
    /// `saimon_store_bytes`.
    pub store_bytes: Gauge,
    /// `saimon_store_bytes_written_total`.
    pub store_bytes_written: Counter,
    /// `saimon_store_blocks_dropped_total`: blocks past their retention.
    pub store_blocks_dropped: Counter,
    /// `saimon_config_*`, `saimon_web_config_ok`, `saimon_http_refused_total`.
    pub config: ConfigMetrics,
    /// `saimon_history_*`: what is read of the past of new series.
    pub history: HistoryMetrics,
    /// `saimon_output_*`: what is sent to others.
    pub output: OutputMetrics,
    /// `saimon_feedback*`: what people say of anomalies.
    pub feedback: FeedbackMetrics,
    /// `saimon_silences*`: what is read of an Alertmanager.
    pub silences: SilenceMetrics,
    /// `saimon_records*`: what is kept of anomalies.
    pub records: RecordMetrics,
    /// `saimon_wal_*`: the write-ahead log.
    pub wal: Arc<LogMetrics>,
    /// `saimon_recovery_*`: what it gave back at the start.
    pub recovery: RecoveryMetrics,
    /// `saimon_checkpoint_duration_seconds`.
    pub checkpoint_duration: Histogram,
    /// `saimon_checkpoint_stop_seconds` and the longest of them.
    pub stops: StopMetrics,
    /// `saimon_checkpoint_last_success_timestamp_seconds`.
    pub checkpoint_last: Gauge<f64, AtomicU64>,
}

impl Metrics {
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("saimon");
        let mut r = Register(&mut registry);

        let build = Family::<BuildLabels, Gauge>::default();
        build
            .get_or_create(&BuildLabels {
                version: Text(env!("CARGO_PKG_VERSION")),
            })
            .set(1);
        r.add("build_info", "version of this saimon", build);

        let (ingest_v1, ingest_v2) = r.ingest(
            "ingest_samples",
            "samples received by what became of them; every sample has one outcome",
        );
        let (histograms_v1, histograms_v2) = r.ingest(
            "ingest_histograms",
            "native histograms received by what became of them",
        );

        let metrics = Self {
            ingest_v1,
            ingest_v2,
            histograms_v1,
            histograms_v2,
            requests: r.made("ingest_requests", "write requests by answered status"),
            exemplars: r.made("ingest_exemplars", "exemplars received"),
            resets: r.made("resets", "counter resets seen and left out of the rates"),
            gaps: r.made(
                "gaps",
                "samples that came after a silence of more than three intervals of their series",
            ),
            not_finite: r.made(
                "not_finite_samples",
                "samples that were NaN or infinite: kept, and not judged",
            ),
            series: r.made("series", "series in memory by phase of their model"),
            series_dropped: r.made("series_dropped", "new series that were not taken, and for want of memory the newest of those that were"),
            chunks_dropped: r.made(
                "store_chunks_dropped",
                "finished chunks of samples that the store did not take in time",
            ),
            memory: MemoryMetrics::made(&mut r),
            series_limit: r.made(
                "series_limit",
                "most series that are held, with a model or with a window only",
            ),
            active_models: r.made(
                "active_models",
                "series whose model has left its warm-up and gives scores",
            ),
            models_trained: r.made(
                "models_trained",
                "fits of models that came into use",
            ),
            training_duration: {
                let h = Histogram::new(exponential_buckets(0.0001, 2.0, 14));
                r.add(
                    "training_duration_seconds",
                    "how long fits took on the trainer threads",
                    h.clone(),
                );
                h
            },
            training_failed: r.made(
                "training_failed",
                "fits that failed: the model before stays in use",
            ),
            model_orders: r.made(
                "model_orders",
                "orders about models that were carried out",
            ),
            forests: r.made(
                "forests",
                "series that have an isolation forest, or gather rows for their first",
            ),
            forests_limit: r.made(
                "forests_limit",
                "most series that have an isolation forest: detect.forest.memory by the size of one",
            ),
            anomalies: r.made("anomalies", "anomalies that became active"),
            anomalies_by_severity: r.made("anomalies_by_severity", "anomalies active now"),
            detection_latency: {
                let h = Histogram::new(exponential_buckets(0.0005, 2.0, 14));
                r.add(
                    "detection_latency_seconds",
                    "from the arrival of a write request to its scores being visible",
                    h.clone(),
                );
                h
            },
            queue_full: r.made(
                "queue_full",
                "write requests answered 503 because the queue of a shard stayed full",
            ),
            read_requests: r.made("read_requests", "remote reads by answered status"),
            read_samples: r.made("read_samples", "samples in answers to remote reads"),
            read_bytes: r.made("read_bytes", "bytes of answers to remote reads"),
            read_cut: r.made(
                "read_cut",
                "answers to remote reads that were not sent to their end",
            ),
            scores_left_out: r.made(
                "scores_left_out",
                "score lines that the last page of scores left out: above the limit, or one series with another once names are escaped",
            ),
            groups: GroupMetrics::made(&mut r),
            store_ok: r.made("store_ok", "1 while the store takes writes"),
            store_moved_aside: r.made(
                "store_moved_aside",
                "1 if the store could not be opened at start and was moved aside",
            ),
            store_errors: r.made("store_errors", "failed reads and writes of the store"),
            store_bytes: r.made("store_bytes", "size of the store on disk"),
            store_bytes_written: r.made(
                "store_bytes_written",
                "bytes handed to the store, before its own overhead",
            ),
            store_blocks_dropped: r.made(
                "store_blocks_dropped",
                "blocks deleted because they were past their retention",
            ),
            config: ConfigMetrics::made(&mut r),
            history: HistoryMetrics::made(&mut r),
            output: OutputMetrics::made(&mut r),
            feedback: FeedbackMetrics::made(&mut r),
            silences: SilenceMetrics::made(&mut r),
            records: RecordMetrics::made(&mut r),
            wal: LogMetrics::made(&mut r),
            recovery: RecoveryMetrics::made(&mut r),
            checkpoint_duration: {
                let h = Histogram::new(exponential_buckets(0.01, 2.0, 14));
                r.add(
                    "checkpoint_duration_seconds",
                    "how long writing all changed models and windows took",
                    h.clone(),
                );
                h
            },
            stops: StopMetrics::made(&mut r),
            checkpoint_last: r.made(
                "checkpoint_last_success_timestamp_seconds",
                "when models and windows were last written",
            ),
            registry: Registry::default(),
            process: Registry::default(),
        };
        let mut process = Registry::default();
        process::register(&mut process);
        Self {
            registry,
            process,
            ..metrics
        }
    }

    /// All of it as OpenMetrics text, `# EOF` included.
    pub fn openmetrics(&self) -> String {
        let mut out = String::with_capacity(16 * 1024);
        let encoded = encode_registry(&mut out, &self.registry)
            .and_then(|()| encode_registry(&mut out, &self.process));
        if encoded.is_err() {
            out.clear();
        }
        out.push_str("# EOF\n");
        out
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Registers a metric and hands it back.
struct Register<'a>(&'a mut Registry);

impl Register<'_> {
    fn add(&mut self, name: &str, help: &str, metric: impl prometheus_client::registry::Metric) {
        self.0.register(name, help, metric);
    }

    /// Counters of every outcome for both versions of remote write.
    fn ingest(&mut self, name: &str, help: &str) -> (IngestCounters, IngestCounters) {
        let all = Family::<IngestLabels, Counter>::default();
        let of = |protocol| {
            let counter = |outcome: &Outcome| {
                let labels = IngestLabels {
                    protocol: Text(protocol),
                    outcome: Text(outcome.as_str()),
                };
                all.get_or_create(&labels).clone()
            };
            IngestCounters(Outcome::ALL.iter().map(counter).collect())
        };
        let both = (of("1.0"), of("2.0"));
        self.add(name, help, all);
        both
    }

    fn made<M: prometheus_client::registry::Metric + Clone + Default>(
        &mut self,
        name: &str,
        help: &str,
    ) -> M {
        let metric = M::default();
        self.0.register(name, help, metric.clone());
        metric
    }
}
