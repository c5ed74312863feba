//! Alerts about saimon itself. They need saimon's own `/metrics` in Prometheus, under the job of
//! `alerting.job`; their severity does not depend on `alerting.min_severity`.

mod more;

use std::time::Duration;

use super::alert::{Alert, Case, Look, series};
use super::format::{Annotations, InputSeries, quoted};
use super::proof::{STEP, steps};
use crate::config::{Config, Severity};
use crate::config_file::unit;

/// Where saimon is in all cases.
const INSTANCE: &str = "localhost:9925";

/// A case is looked at so long after the hold of its alert: the longest range of the expressions,
/// and a minute.
const AFTER_HOLD: Duration = Duration::from_secs(6 * 60);

/// Checkpoints that may be missed before they count as old.
const CHECKPOINTS_MISSED: u32 = 5;

/// Checkpoints more often than this do not count as old sooner.
const CHECKPOINT_OLD_MIN: Duration = Duration::from_secs(300);

/// An alert in short; `JOB` in expressions and series stands for the matcher of saimon's job.
struct Plan {
    name: &'static str,
    expr: String,
    hold_minutes: u64,
    severity: Severity,
    summary: &'static str,
    description: String,
    /// Sets of series, in each of which it fires.
    fires: Vec<Vec<InputSeries>>,
    /// Sets of series, in none of which it does.
    quiet: Vec<Vec<InputSeries>>,
    /// How much later than [`AFTER_HOLD`] a case is to be looked at.
    later: Duration,
    /// True if the alert says which saimon it is about.
    instance: bool,
}

/// All alerts about saimon.
pub fn alerts(config: &Config) -> Vec<Alert> {
    plans(config).into_iter().map(|p| p.alert(config)).collect()
}

fn plans(config: &Config) -> Vec<Plan> {
    let mut plans = vec![
        down(),
        scores_missing(),
        no_data(),
        refusing(),
        behind(),
        series_limit(),
        store_broken(),
        log_failing(),
        store_moved_aside(),
        checkpoint_old(config.store.checkpoint),
    ];
    plans.extend(more::plans());
    plans
}

fn down() -> Plan {
    Plan {
        name: "SaimonDown",
        expr: "up{JOB} == 0 or absent(up{JOB})".to_owned(),
        hold_minutes: 1,
        severity: Severity::Critical,
        summary: "saimon (job {{ $labels.job }}) cannot be scraped",
        description:
            "No sample is scored and no anomaly is raised. Prometheus keeps what it could \
                      not send and sends it when saimon is back, as long as its write-ahead log \
                      reaches. Is the process running, and does its /-/ready answer?"
                .to_owned(),
        fires: vec![all([("up{JOB,INSTANCE}", "0x200")])],
        quiet: vec![all([("up{JOB,INSTANCE}", "1x200")])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn scores_missing() -> Plan {
    let models = ("saimon_active_models{JOB,INSTANCE}", "100x200");
    let score = (
        "saimon_anomaly_score{job=\"node\",source_metric=\"node_load1\"}",
        "0.1x200",
    );
    Plan {
        name: "SaimonScoresMissing",
        expr: "sum by (job) (saimon_active_models{JOB}) > 0 unless on () \
               count(saimon_anomaly_score)"
            .to_owned(),
        hold_minutes: 5,
        severity: Severity::High,
        summary: "saimon (job {{ $labels.job }}) has scores that are not in Prometheus",
        description: "saimon scores series, and none of the scores arrives: no alert about an \
                      anomaly can fire. Is /metrics/scores scraped, with honor_labels? \
                      `saimon check prometheus.yml` says."
            .to_owned(),
        fires: vec![all([models])],
        quiet: vec![
            all([models, score]),
            all([("saimon_active_models{JOB,INSTANCE}", "0x200")]),
        ],
        later: Duration::ZERO,
        instance: false,
    }
}

fn no_data() -> Plan {
    let accepted =
        "saimon_ingest_samples_total{JOB,INSTANCE,protocol=\"1.0\",outcome=\"accepted\"}";
    let late = "saimon_ingest_samples_total{JOB,INSTANCE,protocol=\"1.0\",outcome=\"late\"}";
    Plan {
        name: "SaimonNoData",
        expr: "sum by (job, instance) \
               (rate(saimon_ingest_samples_total{JOB,outcome=\"accepted\"}[5m])) == 0"
            .to_owned(),
        hold_minutes: 1,
        severity: Severity::High,
        summary: "saimon at {{ $labels.instance }} takes no samples",
        description: "No sample was accepted in the last five minutes, or none ever. Does \
                      remote_write of Prometheus point to /api/v1/write of saimon, and does \
                      saimon_ingest_samples_total show another outcome?"
            .to_owned(),
        fires: vec![
            all([(accepted, "5000x200")]),
            all([(accepted, "0x200"), (late, "0+100x200")]),
        ],
        quiet: vec![all([(accepted, "0+100x200")])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn refusing() -> Plan {
    let ok = (
        "saimon_ingest_requests_total{JOB,INSTANCE,code=\"204\"}",
        "0+9x200",
    );
    let taken = (
        "saimon_ingest_samples_total{JOB,INSTANCE,protocol=\"1.0\",outcome=\"accepted\"}",
        "0+900x200",
    );
    Plan {
        name: "SaimonRefusing",
        expr: "sum by (job, instance) (rate(saimon_ingest_requests_total{JOB,code=~\"[45]..\",\
               code!=\"503\"}[3m])) > 0 or sum by (job, instance) \
               (rate(saimon_ingest_samples_total{JOB,outcome=\"refused\"}[3m])) > 0"
            .to_owned(),
        hold_minutes: 5,
        severity: Severity::High,
        summary: "saimon at {{ $labels.instance }} refuses writes",
        description:
            "Samples are lost: a sender does not repeat what was answered with 4xx. The log \
                      of saimon names the series or the request and the reason; the log of the \
                      sender has the answer."
                .to_owned(),
        fires: vec![
            all([
                ok,
                (
                    "saimon_ingest_requests_total{JOB,INSTANCE,code=\"400\"}",
                    "0+1x200",
                ),
            ]),
            all([
                ok,
                (
                    "saimon_ingest_requests_total{JOB,INSTANCE,code=\"500\"}",
                    "0+1x200",
                ),
            ]),
            all([
                taken,
                (
                    "saimon_ingest_samples_total{JOB,INSTANCE,protocol=\"1.0\",outcome=\"refused\"}",
                    "0+1x200",
                ),
            ]),
        ],
        quiet: vec![
            all([ok, taken]),
            all([
                ok,
                (
                    "saimon_ingest_requests_total{JOB,INSTANCE,code=\"400\"}",
                    "7x200",
                ),
            ]),
            all([
                ok,
                (
                    "saimon_ingest_requests_total{JOB,INSTANCE,code=\"503\"}",
                    "0+1x200",
                ),
            ]),
        ],
        later: Duration::ZERO,
        instance: true,
    }
}

fn behind() -> Plan {
    Plan {
        name: "SaimonBehind",
        expr: "sum by (job, instance) (rate(saimon_queue_full_total{JOB}[3m])) > 0 or \
               sum by (job, instance) (rate(saimon_ingest_requests_total{JOB,code=\"503\"}[3m])) > 0"
            .to_owned(),
        hold_minutes: 5,
        severity: Severity::High,
        summary: "saimon at {{ $labels.instance }} cannot keep up",
        description: "Writes are answered with 503 and sent again later: scores come late, nothing \
                      is lost yet. Give saimon more CPU, send it fewer series, or look for a slow \
                      disk."
            .to_owned(),
        fires: vec![
            all([("saimon_queue_full_total{JOB,INSTANCE}", "0+1x200")]),
            all([("saimon_ingest_requests_total{JOB,INSTANCE,code=\"503\"}", "0+1x200")]),
        ],
        quiet: vec![all([
            ("saimon_queue_full_total{JOB,INSTANCE}", "0x200"),
            ("saimon_ingest_requests_total{JOB,INSTANCE,code=\"204\"}", "0+9x200"),
        ])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn series_limit() -> Plan {
    let limit = ("saimon_series_limit{JOB,INSTANCE}", "1000x200");
    let dropped = "saimon_series_dropped_total{JOB,INSTANCE,reason=\"limit\"}";
    Plan {
        name: "SaimonSeriesLimit",
        expr: "sum by (job, instance) (saimon_series{JOB}) > 0.9 * \
               sum by (job, instance) (saimon_series_limit{JOB}) or sum by (job, instance) \
               (rate(saimon_series_dropped_total{JOB,reason=\"limit\"}[5m])) > 0"
            .to_owned(),
        hold_minutes: 10,
        severity: Severity::Medium,
        summary: "saimon at {{ $labels.instance }} is at its limit of series",
        description:
            "New series beyond limits.series are not modelled. Raise the limit, which costs \
                      memory, or leave series out by a rule with model: false."
                .to_owned(),
        fires: vec![
            all([
                limit,
                ("saimon_series{JOB,INSTANCE,phase=\"mature\"}", "800x200"),
                ("saimon_series{JOB,INSTANCE,phase=\"warmup\"}", "150x200"),
            ]),
            all([limit, (dropped, "0+1x200")]),
        ],
        quiet: vec![all([
            limit,
            ("saimon_series{JOB,INSTANCE,phase=\"mature\"}", "850x200"),
            (dropped, "3x200"),
        ])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn store_broken() -> Plan {
    Plan {
        name: "SaimonStoreBroken",
        expr: "saimon_store_ok{JOB} == 0".to_owned(),
        hold_minutes: 1,
        severity: Severity::Critical,
        summary: "saimon at {{ $labels.instance }} cannot write its store",
        description: "Scoring goes on in memory. A restart would lose what was learned since the \
                      last checkpoint. Is the disk full, or the data directory not writable? The log \
                      of saimon has the error."
            .to_owned(),
        fires: vec![all([("saimon_store_ok{JOB,INSTANCE}", "0x200")])],
        quiet: vec![all([("saimon_store_ok{JOB,INSTANCE}", "1x200")])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn log_failing() -> Plan {
    Plan {
        name: "SaimonLogFailing",
        expr: "saimon_wal_failing{JOB} == 1".to_owned(),
        hold_minutes: 2,
        severity: Severity::Critical,
        summary: "saimon at {{ $labels.instance }} cannot write its write-ahead log",
        description:
            "Write requests get 503 and wait with their senders (or, with store.log_full: \
                      shed, are taken without being kept). Is the disk full or failing, or the log \
                      at store.log_limit because the store cannot be written? It goes on by itself \
                      when there is room."
                .to_owned(),
        fires: vec![all([("saimon_wal_failing{JOB,INSTANCE}", "1x200")])],
        quiet: vec![all([("saimon_wal_failing{JOB,INSTANCE}", "0x200")])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn store_moved_aside() -> Plan {
    Plan {
        name: "SaimonStoreMovedAside",
        expr: "saimon_store_moved_aside{JOB} == 1".to_owned(),
        hold_minutes: 0,
        severity: Severity::Medium,
        summary: "saimon at {{ $labels.instance }} began with an empty store",
        description: "The store could not be opened at start and was moved aside within the data \
                      directory: models and windows are learned anew. Look at the disk; the folder \
                      that was moved may be deleted. The alert ends with the next clean start."
            .to_owned(),
        fires: vec![all([("saimon_store_moved_aside{JOB,INSTANCE}", "1x200")])],
        quiet: vec![all([("saimon_store_moved_aside{JOB,INSTANCE}", "0x200")])],
        later: Duration::ZERO,
        instance: true,
    }
}

fn checkpoint_old(checkpoint: Duration) -> Plan {
    let old = (checkpoint * CHECKPOINTS_MISSED).max(CHECKPOINT_OLD_MIN);
    let last = "saimon_checkpoint_last_success_timestamp_seconds{JOB,INSTANCE}";
    let seconds = old.as_secs();
    Plan {
        name: "SaimonCheckpointOld",
        expr: format!(
            "time() - (saimon_checkpoint_last_success_timestamp_seconds{{JOB}} > 0) > {seconds}"
        ),
        hold_minutes: 1,
        severity: Severity::High,
        summary: "saimon at {{ $labels.instance }} has not saved its models for long",
        description: format!(
            "The last checkpoint is more than {} old; one is due every {}. A restart would lose what \
             was learned since. Look at the disk and at the log of saimon.",
            unit::duration(Duration::from_secs(seconds)),
            unit::duration(checkpoint)
        ),
        fires: vec![all([(last, "1x200")])],
        quiet: vec![all([(last, "0+15x200")]), all([(last, "0x200")])],
        later: old,
        instance: true,
    }
}

fn all<const N: usize>(list: [(&str, &str); N]) -> Vec<InputSeries> {
    list.into_iter()
        .map(|(name, values)| series(name, values))
        .collect()
}

impl Plan {
    fn alert(self, config: &Config) -> Alert {
        let job = &config.alerting.job;
        let matcher = format!("job={}", quoted(job));
        let mut labels = config.alerting.labels.clone();
        labels.insert("severity".to_owned(), self.severity.as_str().to_owned());
        let annotations = Annotations {
            summary: self.summary.to_owned(),
            description: self.description.clone(),
            ..Annotations::default()
        };

        let mut expected = labels.clone();
        expected.insert("job".to_owned(), job.clone());
        if self.instance {
            expected.insert("instance".to_owned(), INSTANCE.to_owned());
        }
        let filled = |text: &str| {
            text.replace("{{ $labels.job }}", job)
                .replace("{{ $labels.instance }}", INSTANCE)
        };
        let texts = Annotations {
            summary: filled(&annotations.summary),
            description: filled(&annotations.description),
            ..Annotations::default()
        };
        let hold = Duration::from_secs(60 * self.hold_minutes);
        let look = steps(hold + AFTER_HOLD + self.later);
        let case = |what: &str, i: usize, set: Vec<InputSeries>, fires: bool| Case {
            name: format!("{what} {}", i + 1),
            series: set
                .into_iter()
                .map(|s| InputSeries {
                    series: s
                        .series
                        .replace("JOB", &matcher)
                        .replace("INSTANCE", &format!("instance={}", quoted(INSTANCE))),
                    values: s.values.replace("x200", &format!("x{look}")),
                })
                .collect(),
            looks: vec![Look {
                at: STEP * look,
                firing: if fires {
                    vec![(expected.clone(), texts.clone())]
                } else {
                    Vec::new()
                },
            }],
        };
        let fires = self.fires.into_iter().enumerate();
        let quiet = self.quiet.into_iter().enumerate();
        let mut cases: Vec<_> = fires
            .map(|(i, set)| case("fires", i, set, true))
            .chain(quiet.map(|(i, set)| case("stays quiet", i, set, false)))
            .collect();
        if self.name == "SaimonDown" {
            let mut gone = case("fires when saimon is no target at all", 0, Vec::new(), true);
            for (labels, _) in gone.looks.iter_mut().flat_map(|l| &mut l.firing) {
                labels.remove("instance");
            }
            cases.push(gone);
        }
        Alert {
            name: self.name,
            expr: self.expr.replace("JOB", &matcher),
            hold,
            keep: None,
            labels,
            annotations,
            cases,
        }
    }
}
