//! What it costs to receive a sample: snappy, the walk into the arena, the fingerprint; and what
//! prost needs for the same bodies. Figures are per sample.

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use saimon::series::fingerprint::fingerprint;
use saimon::wire::proto::{Label, Sample, TimeSeries, WriteRequest};
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::{LabelLimits, WriteArena};
use saimon::wire::write_v1;

/// Samples of one request, as Prometheus 3 sends them.
const SERIES_PER_BODY: usize = 2_000;

const BODY_RAW_MAX: usize = 32 << 20;

const LIMITS: LabelLimits = LabelLimits {
    labels_per_series: 128,
    name_bytes: 1024,
    value_bytes: 8192,
};

/// Compressed requests with one sample of each of `series` series, ten labels each.
fn bodies(series: usize) -> Vec<Vec<u8>> {
    let all: Vec<usize> = (0..series).collect();
    all.chunks(SERIES_PER_BODY)
        .map(|ids| {
            let timeseries = ids.iter().map(|id| one_series(*id)).collect();
            let request = WriteRequest {
                timeseries,
                metadata: Vec::new(),
            };
            snap::raw::Encoder::new()
                .compress_vec(&request.encode_to_vec())
                .expect("BUG: a body of some 100 KiB")
        })
        .collect()
}

/// The samples of one pod after another, with the metrics of each in the order of a scrape.
fn one_series(id: usize) -> TimeSeries {
    let (pod, metric) = (id / 50, id % 50);
    let labels = [
        ("__name__", format!("container_demo_{}_total", metric / 4)),
        ("cluster", "production-eu-west-1".into()),
        ("container", "application".into()),
        ("instance", format!("10.0.{}.{}:9100", pod / 250, pod % 250)),
        ("job", "kubernetes-pods".into()),
        (
            "mode",
            ["idle", "user", "system", "iowait"][metric % 4].into(),
        ),
        ("namespace", format!("team-{}", pod % 17)),
        ("node", format!("node-{}", pod % 61)),
        ("pod", format!("checkout-{:x}-{pod}", pod * 2_654_435_761)),
        ("replica", "prometheus-0".into()),
    ];
    let value = match id % 5 {
        0 | 1 => 0.0,
        2 => id as f64,
        3 => (id % 1_000) as f64 / 8.0,
        _ => (id as f64).sqrt(),
    };
    TimeSeries {
        labels: labels
            .into_iter()
            .map(|(name, value)| Label {
                name: name.into(),
                value,
            })
            .collect(),
        samples: vec![Sample {
            value,
            timestamp: 1_795_341_631_372 + (pod % 15_000) as i64,
        }],
        ..TimeSeries::default()
    }
}

fn decode(c: &mut Criterion) {
    let captured =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/write-1.0/prom-2.42-00002.snappy");
    let captured = std::fs::read(captured).expect("a captured body is in tests/data");
    let pool = BodyPool::new(1);
    for (name, bodies) in [
        ("captured", vec![captured]),
        ("10k", bodies(10_000)),
        ("100k", bodies(100_000)),
    ] {
        let mut arena = WriteArena::default();
        let mut walk = |compressed: &[u8]| {
            let mut body = pool
                .decompress(compressed, BODY_RAW_MAX)
                .expect("BUG: a good body");
            write_v1::decode(body.bytes_mut(), &LIMITS, &mut arena).expect("BUG: a good body");
            let hash = arena.series.iter().fold(0, |hash, series| {
                hash ^ fingerprint(series.labels.of(&body))
            });
            black_box(hash);
            arena.samples.len()
        };
        let samples: usize = bodies.iter().map(|body| walk(body)).sum();
        let mut group = c.benchmark_group("decode");
        group.throughput(Throughput::Elements(samples as u64));
        group.sample_size(15);
        group.bench_function(BenchmarkId::new("saimon", name), |b| {
            b.iter(|| bodies.iter().map(|body| walk(body)).sum::<usize>());
        });
        group.bench_function(BenchmarkId::new("snappy_alone", name), |b| {
            b.iter(|| {
                for body in &bodies {
                    black_box(pool.decompress(body, BODY_RAW_MAX)).expect("BUG: a good body");
                }
            });
        });
        group.bench_function(BenchmarkId::new("prost", name), |b| {
            b.iter(|| {
                for body in &bodies {
                    let body = pool
                        .decompress(body, BODY_RAW_MAX)
                        .expect("BUG: a good body");
                    black_box(WriteRequest::decode(&*body)).expect("BUG: a good body");
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, decode);
criterion_main!(benches);
