//! Rendering `/metrics/scores`, against prometheus-client encoding the same rows.
//!
//! Both write into a warm buffer; neither compresses. saimon's figure includes deciding which series
//! are shown.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use saimon::config::Severity;
use saimon::expose::accept::{Form, Format, Names};
use saimon::expose::scores::page::render;
use saimon::score::board::{Alarm, AlarmState, Board, BoardWriter, Reason, Side};
use saimon::series::labels as series;
use std::sync::atomic::AtomicU64;

const ALARM: Alarm = Alarm {
    state: AlarmState::Active,
    severity: Severity::High,
    side: Side::Up,
    reason: Reason::Spike,
};

/// Labels as node_exporter's and a service's series have them, in the order of their names.
fn labels(i: usize) -> Vec<(String, String)> {
    let mut labels = vec![
        ("cluster", "eu-west-1-production".to_owned()),
        (
            "instance",
            format!("10.{}.{}.{}:9100", i % 7, i / 256 % 256, i % 256),
        ),
        ("job", ["node", "api-gateway", "checkout"][i % 3].to_owned()),
    ];
    if i.is_multiple_of(2) {
        labels.push(("device", format!("/dev/nvme{}n1", i % 8)));
        labels.push(("fstype", "ext4".to_owned()));
    } else {
        labels.push(("handler", format!("/api/v1/resource/{i}")));
        labels.push(("method", "GET".to_owned()));
        labels.push(("status", "200".to_owned()));
    }
    let name = [
        "node_load1",
        "node_filesystem_avail_bytes",
        "http_requests_total",
    ][i % 3];
    labels.push(("source_metric", name.to_owned()));
    labels.push(("shard", i.to_string()));
    labels.sort();
    labels.into_iter().map(|(n, v)| (n.to_owned(), v)).collect()
}

fn score(i: usize) -> f32 {
    (i * 2_654_435_761 % 1_000_003) as f32 / 1_000_004.0
}

/// With dots in their names, if `odd`, as OpenTelemetry has them.
fn board(lines: usize, odd: bool) -> (Arc<Board>, Vec<BoardWriter>) {
    let (board, mut writers) = Board::new(2);
    for i in 0..lines {
        let labels = labels(i);
        let named = labels.iter().map(|(name, value)| match name.as_str() {
            "source_metric" => ("__name__".to_owned(), value),
            name if odd => (format!("service.{name}"), value),
            name => (name.to_owned(), value),
        });
        let named: Vec<_> = named.collect();
        let canonical = series::encode(named.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let writer = &mut writers[i % 2];
        let at = writer.add_labels(&canonical);
        writer.set(at, score(i), i.is_multiple_of(1000).then_some(ALARM));
    }
    writers.iter_mut().for_each(BoardWriter::publish_labels);
    (board, writers)
}

/// The same rows in prometheus-client's own family.
fn registry(lines: usize) -> Registry {
    let family = Family::<Vec<(String, String)>, Gauge<f64, AtomicU64>>::default();
    for i in 0..lines {
        family.get_or_create(&labels(i)).set(f64::from(score(i)));
    }
    let mut registry = Registry::default();
    registry.register(
        "saimon_anomaly_score",
        "how unlikely the newest sample is",
        family,
    );
    registry
}

fn exposition(c: &mut Criterion) {
    let mut group = c.benchmark_group("exposition");
    group.sample_size(20);
    for lines in [20_000, 100_000] {
        group.throughput(Throughput::Elements(lines as u64));
        let (board, _writers) = self::board(lines, false);
        group.bench_with_input(BenchmarkId::new("saimon", lines), &board, |b, board| {
            let mut out = Vec::new();
            b.iter(|| {
                out.clear();
                render(board, lines, Format::OpenMetrics.into(), &mut out);
                black_box(out.len())
            });
        });
        group.bench_with_input(
            BenchmarkId::new("saimon, best fifth", lines),
            &board,
            |b, board| {
                let mut out = Vec::new();
                b.iter(|| {
                    out.clear();
                    render(board, lines / 5, Format::OpenMetrics.into(), &mut out);
                    black_box(out.len())
                });
            },
        );
        let (odd, _odd_writers) = self::board(lines, true);
        for names in [Names::Utf8, Names::Underscores, Names::Values] {
            let form = Form::new(Format::OpenMetrics, names);
            let id = format!("saimon, dots in names, {}", names.as_str());
            group.bench_with_input(BenchmarkId::new(id, lines), &odd, |b, board| {
                let mut out = Vec::new();
                b.iter(|| {
                    out.clear();
                    render(board, lines, form, &mut out);
                    black_box(out.len())
                });
            });
        }
        let registry = registry(lines);
        group.bench_with_input(
            BenchmarkId::new("prometheus-client", lines),
            &registry,
            |b, registry| {
                let mut out = String::new();
                b.iter(|| {
                    out.clear();
                    encode(&mut out, registry).expect("writing to a string cannot fail");
                    black_box(out.len())
                });
            },
        );
    }
    group.finish();
}

criterion_group!(benches, exposition);
criterion_main!(benches);
