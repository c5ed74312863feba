//! The series of a load: their labels, how their values move, and requests of them.
//!
//! A request looks as Prometheus would have written it: one sample in each entry, all labels
//! repeated, the same series in the same order in every round, no value field where the value is
//! zero.

use std::sync::LazyLock;

use crate::output::Protocol;
use crate::output::request::{Encoder, Request, RequestError};
use crate::output::series::{Family, Labels, Row, stale};
use crate::wire::write::MetricType;

/// Series of one target, as a scrape of a small service has.
const SERIES_PER_TARGET: usize = 120;
const VARIANTS: [&str; 5] = ["read", "write", "list", "delete", "watch"];
const COUNTERS: usize = 10;
/// The first [`COUNTERS`] are counters, the others gauges.
const FAMILIES: [&str; SERIES_PER_TARGET / VARIANTS.len()] = [
    "load_api_requests_total",
    "load_api_request_bytes_total",
    "load_api_response_bytes_total",
    "load_cache_hits_total",
    "load_cache_misses_total",
    "load_db_queries_total",
    "load_db_rows_returned_total",
    "load_gc_pause_seconds_total",
    "load_events_processed_total",
    "load_retries_total",
    "load_api_in_flight_requests",
    "load_cache_entries",
    "load_cache_size_bytes",
    "load_db_connections_open",
    "load_db_replication_lag_seconds",
    "load_memory_resident_bytes",
    "load_memory_heap_bytes",
    "load_cpu_usage_ratio",
    "load_disk_queue_length",
    "load_open_file_descriptors",
    "load_threads_running",
    "load_worker_pool_size",
    "load_dead_letters",
    "load_leader_state",
];
/// Of these, every value is zero: in recorded traffic more than a third of the samples are.
const ALWAYS_ZERO: [usize; 3] = [22, 23, 9];
const CONSTANT: usize = 21;

const HELP: &str = "A made-up series of the load generator.";

/// How a value moves.
#[derive(Debug, Clone, Copy)]
enum Walk {
    /// Zero, which is not on the wire.
    Zero,
    Constant,
    /// Around `base` by steps of `pace`.
    Gauge {
        base: f32,
        pace: f32,
    },
    /// Up by 0 to twice `pace` a round.
    Counter {
        pace: f32,
    },
}

#[derive(Debug)]
struct Series {
    labels: Labels,
    family: &'static Family,
    walk: Walk,
    value: f64,
}

/// The series of one request.
pub(super) struct Batch {
    series: Vec<Series>,
    rng: fastrand::Rng,
    encoder: Encoder,
    /// Of the newest round.
    last_ms: Option<i64>,
}

impl Batch {
    /// The series with these numbers. The same numbers and seed give the same labels and values.
    pub(super) fn new(series: impl Iterator<Item = usize>, seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let series = series.map(|i| {
            rng.seed(seed ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (walk, value) = walk(i, &mut rng);
            Series {
                labels: labels(i, seed),
                family: &FAMILY[usize::from(family(i) >= COUNTERS)],
                walk,
                value,
            }
        });
        Self {
            series: series.collect(),
            rng,
            encoder: Encoder::new(),
            last_ms: None,
        }
    }

    /// The next round of values, all at `timestamp_ms`.
    pub(super) fn round(
        &mut self,
        timestamp_ms: i64,
        protocol: Protocol,
    ) -> Result<Request, RequestError> {
        for series in &mut self.series {
            match series.walk {
                Walk::Zero | Walk::Constant => {}
                Walk::Gauge { base, pace } => {
                    let step = f64::from(pace) * (self.rng.f64() - 0.5);
                    let home = 0.05 * (f64::from(base) - series.value);
                    series.value = ((series.value + step + home) * 100.0).round() / 100.0;
                }
                Walk::Counter { pace } => {
                    series.value += (f64::from(pace) * 2.0 * self.rng.f64()).floor();
                }
            }
        }
        self.last_ms = Some(timestamp_ms);
        self.request(timestamp_ms, protocol, None)
    }

    /// Stale markers, for series that have begun: one interval after the newest sample, and not
    /// later than now if that can be.
    pub(super) fn end(
        &mut self,
        interval_ms: i64,
        now_ms: i64,
        protocol: Protocol,
    ) -> Result<Option<Request>, RequestError> {
        let Some(last_ms) = self.last_ms.take() else {
            return Ok(None);
        };
        let soonest = last_ms.saturating_add(1);
        let end_ms = last_ms.saturating_add(interval_ms).min(now_ms.max(soonest));
        self.request(end_ms, protocol, Some(stale())).map(Some)
    }

    fn request(
        &mut self,
        timestamp_ms: i64,
        protocol: Protocol,
        value: Option<f64>,
    ) -> Result<Request, RequestError> {
        let rows = self.series.iter().map(|series| Row {
            labels: &series.labels,
            family: series.family,
            timestamp_ms,
            value: value.unwrap_or(series.value),
        });
        self.encoder.rows(protocol, rows)
    }
}

/// Of all counters, and of all gauges.
static FAMILY: LazyLock<[Family; 2]> = LazyLock::new(|| {
    [MetricType::Counter, MetricType::Gauge].map(|kind| Family {
        kind,
        help: HELP.into(),
        unit: "".into(),
    })
});

/// The request without series in which 1.0 announces the types of its metrics.
pub(super) fn metadata() -> Result<Request, RequestError> {
    let kind = |i: usize| &FAMILY[usize::from(i >= COUNTERS)];
    let families = FAMILIES
        .iter()
        .enumerate()
        .map(|(i, name)| (*name, kind(i)));
    Encoder::new().metadata(families)
}

fn family(i: usize) -> usize {
    i % SERIES_PER_TARGET / VARIANTS.len()
}

/// Labels of a series.
pub(super) fn labels(i: usize, seed: u64) -> Labels {
    let target = i / SERIES_PER_TARGET;
    let service = ["checkout", "catalogue", "accounts", "search", "billing"][target % 5];
    let (high, low) = (target / 250, target % 250);
    let cluster = format!("prod-{seed}");
    let instance = format!("10.{}.{}.{}:9100", high / 250, high % 250, low);
    let pod = format!("{service}-7d9f8c6b5-{target:05x}");
    Labels::new([
        ("__name__", FAMILIES[family(i)]),
        ("cluster", &cluster),
        ("env", "production"),
        ("instance", &instance),
        ("job", service),
        ("namespace", "shop"),
        ("operation", VARIANTS[i % VARIANTS.len()]),
        ("pod", &pod),
        (
            "zone",
            ["eu-west-1a", "eu-west-1b", "eu-west-1c"][target % 3],
        ),
    ])
    .expect("BUG: names are unique and the metric has one")
}

/// How a series moves, and where it begins. Never at zero, which would not be on the wire.
fn walk(i: usize, rng: &mut fastrand::Rng) -> (Walk, f64) {
    let family = family(i);
    if ALWAYS_ZERO.contains(&family) {
        return (Walk::Zero, 0.0);
    }
    if family == CONSTANT {
        return (Walk::Constant, 64.0);
    }
    if family < COUNTERS {
        let pace = 10f32.powf(1.0 + 3.0 * rng.f32());
        return (Walk::Counter { pace }, (f64::from(pace) * 1e4).round());
    }
    let base = 10f32.powf(2.0 + 4.0 * rng.f32());
    let pace = base * 0.05;
    (Walk::Gauge { base, pace }, f64::from(base))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::wire::proto::WriteRequest;
    use crate::wire::write::is_stale;
    use prost::Message as _;
    use std::collections::{HashMap, HashSet};

    pub(in super::super) fn decode(body: &[u8]) -> WriteRequest {
        let mut raw = vec![0; snap::raw::decompress_len(body).unwrap()];
        snap::raw::Decoder::new()
            .decompress(body, &mut raw)
            .unwrap();
        WriteRequest::decode(raw.as_slice()).unwrap()
    }

    #[test]
    fn bodies_decode_to_what_prometheus_would_send() {
        let mut batch = Batch::new(0..1000, 1);
        let mut seen = HashSet::new();
        let body = batch.round(1_790_000_000_123, Protocol::V1).unwrap();
        let request = decode(&body.body);
        assert_eq!(request.timeseries.len(), 1000);
        assert_eq!(body.samples, 1000);
        for series in &request.timeseries {
            assert_eq!(series.samples.len(), 1);
            assert_eq!(series.samples[0].timestamp, 1_790_000_000_123);
            let names: Vec<&str> = series.labels.iter().map(|l| l.name.as_str()).collect();
            assert!(names.is_sorted() && names[0] == "__name__");
            let labels: Vec<String> = series.labels.iter().map(|l| format!("{l:?}")).collect();
            assert!(seen.insert(labels), "a series twice");
        }
        let zeros = request
            .timeseries
            .iter()
            .filter(|s| s.samples[0].value == 0.0);
        assert!((100..200).contains(&zeros.count()));
        let each = body.raw_bytes / 1000;
        assert!((180..240).contains(&each), "{each} bytes a series");
    }

    #[test]
    fn an_end_is_one_marker_for_each_series_that_began() {
        let mut batch = Batch::new(0..5, 1);
        assert!(batch.end(15, 100, Protocol::V1).unwrap().is_none());
        for (now_ms, end_ms) in [(10_000, 1015), (1010, 1010), (0, 1001)] {
            batch.round(1000, Protocol::V1).unwrap();
            let end = batch.end(15, now_ms, Protocol::V1).unwrap().unwrap();
            assert_eq!((end.samples, end.markers), (5, 5));
            for series in decode(&end.body).timeseries {
                assert!(is_stale(series.samples[0].value));
                assert_eq!(series.samples[0].timestamp, end_ms);
            }
        }
        assert!(batch.end(15, 100, Protocol::V1).unwrap().is_none());
    }

    #[test]
    fn counters_rise_gauges_move_and_order_stays() {
        let mut batch = Batch::new(0..240, 1);
        let rounds: Vec<WriteRequest> = (0..50)
            .map(|i| batch.round(1_790_000_000_000 + i * 1000, Protocol::V1))
            .map(|request| decode(&request.unwrap().body))
            .collect();
        let mut moved: HashMap<&str, usize> = HashMap::new();
        for pair in rounds.windows(2) {
            for (a, b) in pair[0].timeseries.iter().zip(&pair[1].timeseries) {
                assert_eq!(a.labels, b.labels);
                let name = a.labels[0].value.as_str();
                let (a, b) = (a.samples[0].value, b.samples[0].value);
                assert!(b >= a || !name.ends_with("_total"), "{name} fell");
                *moved.entry(name).or_default() += usize::from(a != b);
            }
        }
        for (name, least) in [
            ("load_api_requests_total", 450),
            ("load_cpu_usage_ratio", 450),
            ("load_worker_pool_size", 0),
        ] {
            assert!(moved[name] >= least, "{name} moved {} times", moved[name]);
        }
        assert_eq!(moved["load_worker_pool_size"], 0);
    }

    #[test]
    fn the_seed_makes_other_series() {
        let first = |seed| {
            let request = Batch::new(0..1, seed).round(1, Protocol::V1);
            decode(&request.unwrap().body)
        };
        assert_eq!(first(1), first(1));
        assert_ne!(first(1).timeseries[0].labels, first(2).timeseries[0].labels);
    }
}
