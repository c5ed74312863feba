//! A hundred thousand records of anomalies: a page of them by several filters, and counts of all, as
//! the API asks for them, the reading of the page's records from disk included. Each is measured by
//! itself 2,000 times besides, and its 99th percentile printed: as the clock has it, and of the processor
//! alone, which is what it takes where nothing else runs.

#[path = "decode/cpu.rs"]
mod cpu;

use std::hint::black_box;
use std::time::{Duration, Instant};

use cpu::CpuTime;
use criterion::measurement::Measurement as _;
use criterion::{Criterion, criterion_group, criterion_main};
use saimon::config::Severity;
use saimon::engine::record::{EndedBy, Peak, Record, RecordId, RecordState};
use saimon::records::Records;
use saimon::records::index::Filter;
use saimon::score::board::{Reason, Side};
use saimon::series::fingerprint::fingerprint;
use saimon::series::labels;
use saimon::series::matcher::Selector;
use saimon::store::records::RecordFiles;

const RECORDS: i64 = 100_000;
const SERIES: usize = 20_000;
const FIRST_MS: i64 = 1_700_000_000_000;
const DAY_MS: i64 = 86_400_000;
/// Times that each question is asked for its percentile.
const ASKED: usize = 2_000;

fn record(random: &mut fastrand::Rng, n: i64) -> Record {
    let instance = format!("host{}.example:9100", random.usize(..SERIES / 10));
    let metric = format!("metric_{}", random.usize(..10));
    let own = labels::encode([
        ("__name__", &*metric),
        ("instance", &*instance),
        ("job", "node"),
    ]);
    let start_ms = FIRST_MS + n * 25_000;
    let over = random.usize(..200) > 0;
    let end_ms = over.then_some(start_ms + 300_000);
    Record {
        id: RecordId {
            start_ms,
            fingerprint: fingerprint(&own),
        },
        labels: own.into(),
        partition: 0,
        state: match over {
            true => RecordState::Resolved,
            false => RecordState::Active,
        },
        severity: Severity::ALL[random.usize(..4)],
        side: Side::Up,
        reason: Reason::ALL[random.usize(..11)],
        active_ms: Some(start_ms + 15_000),
        end_ms,
        ended_by: over.then_some(EndedBy::Samples),
        peak: Peak {
            t_ms: start_ms,
            value: 1.0,
            score: 0.9,
            rarity: 4.0,
            deviation: 2.0,
            expected: 0.5,
            band: Some((0.4, 0.6)),
            parts: vec![("history".to_owned(), 0.6), ("jump".to_owned(), 0.4)],
        },
        as_of_ms: start_ms,
        absent: false,
        exemplars: Vec::new(),
    }
}

fn selector(text: &str) -> Filter {
    Filter {
        selectors: vec![Selector::parse(text).expect("a selector")],
        ..Filter::default()
    }
}

fn lists(c: &mut Criterion<CpuTime>) {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let mut random = fastrand::Rng::with_seed(1);
    let files = RecordFiles::open(temp.path(), 0).expect("records");
    for from in (0..RECORDS).step_by(2_000) {
        let some: Vec<_> = (from..from + 2_000)
            .map(|n| record(&mut random, n))
            .collect();
        let changes = some.iter().map(|r| (r.id, Some(r)));
        files.write(changes, 0).expect("written");
    }
    drop(files);
    let began = Instant::now();
    let (records, _) = Records::open(temp.path(), 0).expect("records");
    println!("opened in {:?}", began.elapsed());
    let filters = [
        ("all", Filter::default()),
        (
            "one severity",
            Filter {
                severities: vec![Severity::Critical],
                ..Filter::default()
            },
        ),
        (
            "active",
            Filter {
                states: vec![RecordState::Active],
                ..Filter::default()
            },
        ),
        (
            "a metric",
            Filter {
                metrics: vec!["metric_3".to_owned()],
                ..Filter::default()
            },
        ),
        (
            "a pattern",
            selector("{instance=~\"host1.*:9100\", job!=\"x\"}"),
        ),
        ("nothing", selector("{instance=\"nobody\"}")),
        (
            "a reason",
            Filter {
                reasons: vec![Reason::ALL[3]],
                ..Filter::default()
            },
        ),
        (
            "a day",
            Filter {
                from_ms: Some(FIRST_MS + 10 * DAY_MS),
                to_ms: Some(FIRST_MS + 11 * DAY_MS),
                ..Filter::default()
            },
        ),
        (
            "all at once",
            Filter {
                metrics: vec!["metric_3".to_owned()],
                severities: vec![Severity::High, Severity::Critical],
                states: vec![RecordState::Resolved],
                reasons: vec![Reason::ALL[3]],
                from_ms: Some(FIRST_MS),
                to_ms: Some(FIRST_MS + 25 * DAY_MS),
                ..selector("{instance=~\"host1.*:9100\"}")
            },
        ),
    ];
    let mut group = c.benchmark_group("100,000 records");
    group
        .sample_size(20)
        .measurement_time(Duration::from_secs(2));
    for (name, filter) in &filters {
        for limit in [100, 1000] {
            let ask = || {
                let page = records.look(|index| index.page(filter, None, 0, limit));
                records.get(&page.ids).expect("read")
            };
            percentile(&format!("{name}, {limit}"), || {
                black_box(ask());
            });
            group.bench_function(format!("{name}, {limit}"), |b| b.iter(ask));
        }
        let count = || records.look(|index| index.count(filter));
        percentile(&format!("{name}, counted"), || {
            black_box(count());
        });
        group.bench_function(format!("{name}, counted"), |b| b.iter(count));
    }
    group.finish();
}

fn percentile(name: &str, ask: impl Fn()) {
    let (mut took, mut worked): (Vec<Duration>, Vec<Duration>) = (0..ASKED)
        .map(|_| {
            let (began, cpu) = (Instant::now(), CpuTime.start());
            ask();
            let worked = CpuTime.end(cpu);
            (began.elapsed(), worked)
        })
        .unzip();
    took.sort();
    worked.sort();
    let p99 = ASKED * 99 / 100;
    println!(
        "{name}: p50 {:?}, p99 {:?}; of the processor p50 {:?}, p99 {:?}",
        took[ASKED / 2],
        took[p99],
        worked[ASKED / 2],
        worked[p99]
    );
}

criterion_group!(
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = lists
);
criterion_main!(benches);
