//! What it costs to receive a sample, as remote write 1.0 and as 2.0: decompression, the walk into the
//! arena, the fingerprint; and what prost needs for the same bodies. Figures are per sample.

#[path = "decode/cpu.rs"]
mod cpu;

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use cpu::CpuTime;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;
use saimon::series::fingerprint::fingerprint;
use saimon::wire::proto::v2;
use saimon::wire::proto::{Label, Sample, TimeSeries, WriteRequest};
use saimon::wire::snappy::{BodyPool, PooledBody};
use saimon::wire::write::{DecodeError, LabelLimits, WriteArena};
use saimon::wire::{write_v1, write_v2};

/// Samples of one request, as Prometheus 3 sends them.
const SERIES_PER_BODY: usize = 2_000;

const BODY_RAW_MAX: usize = 32 << 20;

const LIMITS: LabelLimits = LabelLimits {
    labels_per_series: 128,
    name_bytes: 1024,
    value_bytes: 8192,
};

/// Raw requests with one sample of each of `series` series, ten labels each.
fn requests(series: usize) -> Vec<WriteRequest> {
    let all: Vec<usize> = (0..series).collect();
    all.chunks(SERIES_PER_BODY)
        .map(|ids| WriteRequest {
            timeseries: ids.iter().map(|id| one_series(*id)).collect(),
            metadata: Vec::new(),
        })
        .collect()
}

/// The same request as 2.0, with types as Prometheus knows them.
fn as_v2(request: &WriteRequest) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut known = HashMap::from([(String::new(), 0)]);
    let mut refer = |text: &str| {
        *known.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        })
    };
    let timeseries = request.timeseries.iter().map(|series| v2::TimeSeries {
        labels_refs: series
            .labels
            .iter()
            .flat_map(|label| [refer(&label.name), refer(&label.value)])
            .collect(),
        samples: series
            .samples
            .iter()
            .map(|sample| v2::Sample {
                value: sample.value,
                timestamp: sample.timestamp,
                start_timestamp: 0,
            })
            .collect(),
        metadata: Some(v2::Metadata {
            r#type: 1,
            help_ref: 0,
            unit_ref: 0,
        }),
        ..v2::TimeSeries::default()
    });
    let timeseries = timeseries.collect();
    v2::Request {
        symbols,
        timeseries,
    }
}

fn snappy(raw: &[u8]) -> Vec<u8> {
    let compressed = snap::raw::Encoder::new().compress_vec(raw);
    compressed.expect("BUG: a body of some 100 KiB")
}

fn zstd(raw: &[u8]) -> Vec<u8> {
    // As vmagent does it by default.
    zstd::bulk::compress(raw, 1).expect("BUG: a body of some 100 KiB")
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

/// Bodies in order, and how to read one.
struct Stream {
    protocol: &'static str,
    size: &'static str,
    bodies: Vec<Vec<u8>>,
    unpack: fn(&Arc<BodyPool>, &[u8]) -> PooledBody,
    walk: fn(&mut Vec<u8>, &mut WriteArena) -> Result<(), DecodeError>,
    prost: fn(&[u8]),
}

fn of_snappy(pool: &Arc<BodyPool>, body: &[u8]) -> PooledBody {
    let unpacked = pool.decompress(body, BODY_RAW_MAX);
    unpacked.expect("BUG: a good body")
}

fn of_zstd(pool: &Arc<BodyPool>, body: &[u8]) -> PooledBody {
    let unpacked = pool.decompress_zstd(body, BODY_RAW_MAX);
    unpacked.expect("BUG: a good body")
}

fn walk_v1(body: &mut Vec<u8>, arena: &mut WriteArena) -> Result<(), DecodeError> {
    write_v1::decode(body, &LIMITS, arena)
}

fn walk_v2(body: &mut Vec<u8>, arena: &mut WriteArena) -> Result<(), DecodeError> {
    write_v2::decode(body, &LIMITS, BODY_RAW_MAX, arena)
}

fn prost_v1(body: &[u8]) {
    black_box(WriteRequest::decode(body)).expect("BUG: a good body");
}

fn prost_v2(body: &[u8]) {
    black_box(v2::Request::decode(body)).expect("BUG: a good body");
}

fn streams() -> Vec<Stream> {
    let captured =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/write-1.0/prom-2.42-00002.snappy");
    let captured = std::fs::read(captured).expect("a captured body is in tests/data");
    let of_capture = of_snappy(&BodyPool::new(1), &captured);
    let of_capture = WriteRequest::decode(&*of_capture).expect("BUG: a good body");
    let mut streams = Vec::new();
    for (size, requests) in [
        ("captured", vec![of_capture]),
        ("10k", requests(10_000)),
        ("100k", requests(100_000)),
    ] {
        let v1 = |pack: fn(&[u8]) -> Vec<u8>| {
            let raw = requests.iter().map(WriteRequest::encode_to_vec);
            raw.map(|raw| pack(&raw)).collect::<Vec<_>>()
        };
        let v2 = |pack: fn(&[u8]) -> Vec<u8>| {
            let raw = requests.iter().map(|r| as_v2(r).encode_to_vec());
            raw.map(|raw| pack(&raw)).collect::<Vec<_>>()
        };
        let stream = |protocol, bodies, unpack| Stream {
            protocol,
            size,
            bodies,
            unpack,
            walk: walk_v1,
            prost: prost_v1,
        };
        let stream_v2 = |protocol, bodies, unpack| Stream {
            walk: walk_v2,
            prost: prost_v2,
            ..stream(protocol, bodies, unpack)
        };
        streams.push(stream("1.0", v1(snappy), of_snappy));
        streams.push(stream_v2("2.0", v2(snappy), of_snappy));
        if size == "100k" {
            streams.push(stream("1.0-zstd", v1(zstd), of_zstd));
            streams.push(stream_v2("2.0-zstd", v2(zstd), of_zstd));
        }
    }
    streams
}

fn decode(c: &mut Criterion<CpuTime>) {
    let pool = BodyPool::new(1);
    for Stream {
        protocol,
        size,
        bodies,
        unpack,
        walk,
        prost,
    } in streams()
    {
        let mut arena = WriteArena::default();
        let mut received = |compressed: &[u8]| {
            let mut body = unpack(&pool, compressed);
            walk(body.bytes_mut(), &mut arena).expect("BUG: a good body");
            let hash = arena.series.iter().fold(0, |hash, series| {
                hash ^ fingerprint(series.labels.of(&body))
            });
            black_box(hash);
            arena.samples.len()
        };
        let samples: usize = bodies.iter().map(|body| received(body)).sum();
        let mut group = c.benchmark_group(format!("decode-{protocol}"));
        group.throughput(Throughput::Elements(samples as u64));
        group.sample_size(15);
        group.bench_function(BenchmarkId::new("saimon", size), |b| {
            b.iter(|| bodies.iter().map(|body| received(body)).sum::<usize>());
        });
        group.bench_function(BenchmarkId::new("unpack_alone", size), |b| {
            b.iter(|| {
                for body in &bodies {
                    black_box(unpack(&pool, body));
                }
            });
        });
        group.bench_function(BenchmarkId::new("prost", size), |b| {
            b.iter(|| bodies.iter().for_each(|body| prost(&unpack(&pool, body))));
        });
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = decode
}
criterion_main!(benches);
