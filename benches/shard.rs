//! What scoring costs: a shard that takes batches of known series, per sample.
//!
//! Rows point into bodies as remote write 1.0 sends them, 2,000 series each, in the same order each
//! round; every series is past its warm-up. `shard` is the engine alone, `route and shard` adds
//! fingerprints and the building of batches.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use saimon::config::DetectConfig;
use saimon::engine::batch::{Batch, Row};
use saimon::engine::pool::{EngineSpec, Pool};
use saimon::engine::rules::Rules;
use saimon::engine::shard::Shard;
use saimon::series::fingerprint::fingerprint;
use saimon::series::labels;
use saimon::telemetry::Metrics;
use saimon::wire::snappy::{BodyPool, PooledBody};
use saimon::wire::write::{Protocol, Span};

const BODY_SERIES: usize = 2000;
const STEP_MS: i64 = 15_000;
/// Rounds before anything is measured: past the warm-up, profile begun.
const GROWN: i64 = 130;

fn label_bytes(i: usize) -> Vec<u8> {
    let instance = format!("node-{:05}.prod.example:9100", i / 50);
    let (name, device) = (
        format!("node_metric_{}_seconds", i % 50),
        format!("dev{}", i % 8),
    );
    labels::encode([
        ("__name__", name.as_str()),
        ("cluster", "prod-eu-1"),
        ("device", device.as_str()),
        ("env", "production"),
        ("instance", instance.as_str()),
        ("job", "node-exporter"),
        ("region", "eu-central-1"),
        ("zone", "eu-central-1b"),
    ])
}

/// One request's body and where its series' labels lie.
struct Body {
    bytes: Arc<PooledBody>,
    spans: Vec<Span>,
}

fn bodies(series: usize) -> Vec<Body> {
    bodies_of(series, label_bytes)
}

fn bodies_of(series: usize, labels_of: impl Fn(usize) -> Vec<u8>) -> Vec<Body> {
    let pool = BodyPool::new(4);
    (0..series.div_ceil(BODY_SERIES))
        .map(|b| {
            let mut raw = Vec::new();
            let spans = (b * BODY_SERIES..((b + 1) * BODY_SERIES).min(series))
                .map(|i| {
                    let labels = labels_of(i);
                    let span = Span {
                        start: raw.len() as u32,
                        len: labels.len() as u32,
                    };
                    raw.extend_from_slice(&labels);
                    span
                })
                .collect();
            let packed = snap::raw::Encoder::new()
                .compress_vec(&raw)
                .expect("compresses");
            let bytes = pool.decompress(&packed, 1 << 28).expect("decompresses");
            Body {
                bytes: Arc::new(bytes),
                spans,
            }
        })
        .collect()
}

fn batch(body: &Body, round: i64) -> Batch {
    let rows = body
        .spans
        .iter()
        .enumerate()
        .map(|(i, span)| {
            let wobble = ((round * 7919 + i as i64 * 104_729) % 1000) as f64 / 100.0;
            Row {
                fingerprint: fingerprint(span.of(&body.bytes)),
                labels: *span,
                timestamp_ms: round * STEP_MS,
                value: 100.0 + wobble,
            }
        })
        .collect();
    Batch {
        body: Arc::clone(&body.bytes),
        rows,
        plain: Vec::new(),
        histograms: Vec::new(),
        starts: Vec::new(),
        exemplars: Vec::new(),
        protocol: Protocol::V1,
        received_ms: round * STEP_MS,
        seq: 0,
        order: 0,
        replayed: false,
    }
}

fn shard() -> Shard {
    let spec = EngineSpec {
        shards: 1,
        series_max: 2_000_000,
        queue_max: 8,
        families_max: 100,
        forget_ms: i64::MAX,
        keeps: false,
        wants_history: false,
    };
    let rules = Rules::try_from(&DetectConfig::default()).expect("defaults are valid");
    Pool::new(&spec, rules, &Arc::new(Metrics::new()))
        .into_shards()
        .remove(0)
}

fn steady(c: &mut Criterion) {
    for series in [10_000, 100_000] {
        let bodies = bodies(series);
        let mut shard = shard();
        let mut round = 0;
        while round < GROWN {
            for body in &bodies {
                shard.take(&batch(body, round));
            }
            round += 1;
        }
        let mut group = c.benchmark_group("shard");
        group
            .throughput(Throughput::Elements(series as u64))
            .sample_size(10);
        group.bench_function(format!("{series} series, a round"), |b| {
            b.iter_batched(
                || {
                    round += 1;
                    bodies
                        .iter()
                        .map(|body| batch(body, round))
                        .collect::<Vec<_>>()
                },
                |batches| {
                    for batch in &batches {
                        shard.take(black_box(batch));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.finish();
    }
}

fn first_contact(c: &mut Criterion) {
    let series = 10_000;
    let bodies = bodies(series);
    let batches: Vec<_> = bodies.iter().map(|body| batch(body, 0)).collect();
    let mut group = c.benchmark_group("first contact");
    group
        .throughput(Throughput::Elements(series as u64))
        .sample_size(10);
    group.bench_function(format!("{series} new series"), |b| {
        b.iter_batched(
            shard,
            |mut shard| {
                for batch in &batches {
                    shard.take(black_box(batch));
                }
                shard
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// Parts of a histogram: twelve buckets, sum and count.
const PARTS: usize = 14;

fn part_bytes(i: usize) -> Vec<u8> {
    let (family, part) = (i / PARTS, i % PARTS);
    let instance = format!("node-{:05}.prod.example:9100", family / 20);
    let handler = format!("/api/v1/handler-{}", family % 20);
    let (name, le) = match part {
        12 => ("http_request_duration_seconds_sum", String::new()),
        13 => ("http_request_duration_seconds_count", String::new()),
        11 => ("http_request_duration_seconds_bucket", "+Inf".to_owned()),
        n => (
            "http_request_duration_seconds_bucket",
            format!("{}", 1 << n),
        ),
    };
    labels::encode([
        ("__name__", name),
        ("cluster", "prod-eu-1"),
        ("handler", handler.as_str()),
        ("instance", instance.as_str()),
        ("job", "api"),
        ("le", le.as_str()),
    ])
}

/// One scrape of the histograms of a body: buckets are plain rows.
fn scrape(body: &Body, first: usize, round: i64) -> Batch {
    let (mut rows, mut plain) = (Vec::new(), Vec::new());
    for (k, span) in body.spans.iter().enumerate() {
        let (family, part) = ((first + k) / PARTS, (first + k) % PARTS);
        let wobble = (round * 7919 + family as i64 * 104_729) % 97;
        let count = round * 1000 + wobble;
        let value = match part {
            12 => count as f64 * 4.2,
            13 | 11 => count as f64,
            n => (count * (n as i64 + 1) / 12) as f64,
        };
        let to = if part < 12 { &mut plain } else { &mut rows };
        to.push(Row {
            fingerprint: fingerprint(span.of(&body.bytes)),
            labels: *span,
            timestamp_ms: round * STEP_MS,
            value,
        });
    }
    Batch {
        body: Arc::clone(&body.bytes),
        rows,
        plain,
        histograms: Vec::new(),
        starts: Vec::new(),
        exemplars: Vec::new(),
        protocol: Protocol::V1,
        received_ms: round * STEP_MS,
        seq: 0,
        order: 0,
        replayed: false,
    }
}

fn histograms(c: &mut Criterion) {
    let series = 2_000 * PARTS;
    let bodies = bodies_of(series, part_bytes);
    let all = |round: i64| {
        let at = (0..).step_by(BODY_SERIES);
        let scrapes = bodies.iter().zip(at).map(|(b, at)| scrape(b, at, round));
        scrapes.collect::<Vec<_>>()
    };
    let mut shard = shard();
    let mut round = 0;
    while round < GROWN {
        all(round).iter().for_each(|batch| shard.take(batch));
        round += 1;
    }
    let mut group = c.benchmark_group("histograms");
    group
        .throughput(Throughput::Elements(series as u64))
        .sample_size(10);
    group.bench_function(format!("{series} parts of 12 buckets, a round"), |b| {
        b.iter_batched(
            || {
                round += 1;
                all(round)
            },
            |batches| {
                for batch in &batches {
                    shard.take(black_box(batch));
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, steady, first_contact, histograms);
criterion_main!(benches);
