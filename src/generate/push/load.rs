//! Bodies of remote write 1.0 at the lowest price: labels are encoded once, and a round changes only
//! the eight bytes of each value and the six of each timestamp before the body is compressed.
//!
//! A body looks as Prometheus would have written it: one sample in each entry, all labels repeated,
//! the same series in the same order in every round, no value field where the value is zero.

use bytes::Bytes;
use prost::Message as _;

use crate::wire::proto::{MetricMetadata, WriteRequest, metric_metadata::MetricType};

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

/// Bytes of a timestamp on the wire: those of every millisecond from 1971 to 2109.
const TIMESTAMP_BYTES: usize = 6;
const TIMESTAMP_MAX_MS: i64 = (1 << 42) - 1;

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
struct Row {
    walk: Walk,
    value: f64,
    /// Where in the body the value's bytes are; unused for [`Walk::Zero`].
    value_at: usize,
    timestamp_at: usize,
}

/// The series of one request.
pub(super) struct Batch {
    raw: Vec<u8>,
    rows: Vec<Row>,
    rng: fastrand::Rng,
    encoder: snap::raw::Encoder,
    compressed: Vec<u8>,
}

/// A compressed request, ready to be sent.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) bytes: Bytes,
    pub(super) raw_bytes: usize,
    pub(super) samples: usize,
}

impl Batch {
    /// The series with these numbers. The same numbers and seed give the same labels and values.
    pub(super) fn new(series: impl Iterator<Item = usize>, seed: u64) -> Self {
        let (mut raw, mut rows) = (Vec::new(), Vec::new());
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut entry = Vec::new();
        for i in series {
            rng.seed(seed ^ (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let (walk, value) = walk(i, &mut rng);
            entry.clear();
            for (name, text) in labels(i, seed) {
                put_label(&mut entry, name, &text);
            }
            let has_value = !matches!(walk, Walk::Zero);
            let sample = 1 + TIMESTAMP_BYTES + if has_value { 9 } else { 0 };
            entry.extend([0x12, sample as u8]);
            let value_at = entry.len() + 1;
            if has_value {
                entry.push(0x09);
                entry.extend([0; 8]);
            }
            entry.push(0x10);
            let timestamp_at = entry.len();
            entry.extend([0; TIMESTAMP_BYTES]);
            raw.push(0x0a);
            put_varint(&mut raw, entry.len() as u64);
            let base = raw.len();
            raw.extend_from_slice(&entry);
            rows.push(Row {
                walk,
                value,
                value_at: base + value_at,
                timestamp_at: base + timestamp_at,
            });
        }
        Self {
            compressed: vec![0; snap::raw::max_compress_len(raw.len())],
            raw,
            rows,
            rng,
            encoder: snap::raw::Encoder::new(),
        }
    }

    /// The next round of values, all at `timestamp_ms` (1971 to 2109, brought into range).
    pub(super) fn round(&mut self, timestamp_ms: i64) -> Result<Body, snap::Error> {
        let timestamp = timestamp_bytes(timestamp_ms);
        for row in &mut self.rows {
            match row.walk {
                Walk::Zero | Walk::Constant => {}
                Walk::Gauge { base, pace } => {
                    let step = f64::from(pace) * (self.rng.f64() - 0.5);
                    let home = 0.05 * (f64::from(base) - row.value);
                    row.value = ((row.value + step + home) * 100.0).round() / 100.0;
                }
                Walk::Counter { pace } => {
                    row.value += (f64::from(pace) * 2.0 * self.rng.f64()).floor();
                }
            }
            if !matches!(row.walk, Walk::Zero) {
                let bytes = row.value.to_le_bytes();
                self.raw[row.value_at..row.value_at + 8].copy_from_slice(&bytes);
            }
            self.raw[row.timestamp_at..row.timestamp_at + TIMESTAMP_BYTES]
                .copy_from_slice(&timestamp);
        }
        let length = self.encoder.compress(&self.raw, &mut self.compressed)?;
        Ok(Body {
            bytes: Bytes::copy_from_slice(&self.compressed[..length]),
            raw_bytes: self.raw.len(),
            samples: self.rows.len(),
        })
    }
}

/// The request without series in which Prometheus announces the types of its metrics.
pub(super) fn metadata() -> Result<Body, snap::Error> {
    let metadata = FAMILIES.iter().enumerate().map(|(i, name)| MetricMetadata {
        r#type: if i < COUNTERS {
            MetricType::Counter
        } else {
            MetricType::Gauge
        } as i32,
        metric_family_name: (*name).to_owned(),
        help: "A made-up series of the load generator.".to_owned(),
        unit: String::new(),
    });
    let raw = WriteRequest {
        timeseries: Vec::new(),
        metadata: metadata.collect(),
    }
    .encode_to_vec();
    Ok(Body {
        bytes: snap::raw::Encoder::new().compress_vec(&raw)?.into(),
        raw_bytes: raw.len(),
        samples: 0,
    })
}

fn family(i: usize) -> usize {
    i % SERIES_PER_TARGET / VARIANTS.len()
}

/// Labels of a series, sorted by name.
fn labels(i: usize, seed: u64) -> [(&'static str, String); 9] {
    let target = i / SERIES_PER_TARGET;
    let service = ["checkout", "catalogue", "accounts", "search", "billing"][target % 5];
    let (high, low) = (target / 250, target % 250);
    [
        ("__name__", FAMILIES[family(i)].to_owned()),
        ("cluster", format!("prod-{seed}")),
        ("env", "production".to_owned()),
        (
            "instance",
            format!("10.{}.{}.{}:9100", high / 250, high % 250, low),
        ),
        ("job", service.to_owned()),
        ("namespace", "shop".to_owned()),
        ("operation", VARIANTS[i % VARIANTS.len()].to_owned()),
        ("pod", format!("{service}-7d9f8c6b5-{target:05x}")),
        ("zone", format!("eu-west-1{}", ["a", "b", "c"][target % 3])),
    ]
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

fn put_label(entry: &mut Vec<u8>, name: &str, value: &str) {
    let (name, value) = (name.as_bytes(), value.as_bytes());
    let mut label = Vec::with_capacity(name.len() + value.len() + 4);
    for (tag, text) in [(0x0a, name), (0x12, value)] {
        label.push(tag);
        put_varint(&mut label, text.len() as u64);
        label.extend_from_slice(text);
    }
    entry.push(0x0a);
    put_varint(entry, label.len() as u64);
    entry.extend(label);
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn timestamp_bytes(ms: i64) -> [u8; TIMESTAMP_BYTES] {
    let mut rest = ms.clamp(0, TIMESTAMP_MAX_MS) as u64;
    let mut bytes = [0; TIMESTAMP_BYTES];
    for byte in &mut bytes {
        *byte = (rest & 0x7f) as u8 | 0x80;
        rest >>= 7;
    }
    bytes[TIMESTAMP_BYTES - 1] &= 0x7f;
    bytes
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
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
        let body = batch.round(1_790_000_000_123).unwrap();
        let request = decode(&body.bytes);
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
    fn encoding_agrees_with_prost_byte_for_byte() {
        let mut batch = Batch::new((0..400).step_by(3), 5);
        batch.round(1_790_000_000_000).unwrap();
        let request = WriteRequest::decode(batch.raw.as_slice()).unwrap();
        assert_eq!(request.encode_to_vec(), batch.raw);
    }

    #[test]
    fn counters_rise_gauges_move_and_order_stays() {
        let mut batch = Batch::new(0..240, 1);
        let rounds: Vec<WriteRequest> = (0..50)
            .map(|i| decode(&batch.round(1_790_000_000_000 + i * 1000).unwrap().bytes))
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
        let first = |seed| decode(&Batch::new(0..1, seed).round(1).unwrap().bytes);
        assert_eq!(first(1), first(1));
        assert_ne!(first(1).timeseries[0].labels, first(2).timeseries[0].labels);
    }
}
