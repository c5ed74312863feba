//! What it costs to look at series together: a sample on its way through a group, a row that is judged
//! in groups of 5 and of 50 series, and a fit.
//!
//! `cargo bench --bench joint`. It is work of one thread beside the shards; the limit is that 4,096
//! members at 15 s (64 groups of 64) take well below one percent of a core.

#[path = "decode/cpu.rs"]
mod cpu;

use std::hint::black_box;
use std::sync::Arc;

use cpu::CpuTime;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use saimon::engine::joint::Sample;
use saimon::engine::joint::together::{Entry, Together};
use saimon::model::joint::relation::Relation;
use saimon::model::joint::{Joint, MEMBERS_MAX};
use saimon::score::groups::GroupSpec;
use saimon::series::labels;
use saimon::telemetry::Metrics;

const STEP_MS: i64 = 15_000;
const A_DAY: f32 = 5760.0;
/// Rows before anything is measured: the relation is learned and its tail too.
const GROWN: u64 = 2000;
/// Rows of a fit.
const ROWS: usize = 512;

/// Gaussian enough.
fn noise(random: &mut fastrand::Rng) -> f32 {
    (0..4).map(|_| random.f32()).sum::<f32>() - 2.0
}

/// Members that follow two hidden movements.
fn row(random: &mut fastrand::Rng, members: usize) -> [f32; MEMBERS_MAX] {
    let hidden = [noise(random), noise(random)];
    let mut row = [f32::NAN; MEMBERS_MAX];
    for (i, z) in row.iter_mut().enumerate().take(members) {
        *z = hidden[i % 2] + 0.3 * noise(random);
    }
    row
}

fn rows(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("joint");
    for members in [5, 50] {
        let mut random = fastrand::Rng::with_seed(1);
        let mut joint = Joint::new(1);
        for _ in 0..GROWN {
            joint.take(&row(&mut random, members), 0.3, A_DAY);
        }
        let fresh: Vec<_> = (0..256).map(|_| row(&mut random, members)).collect();
        let mut next = fresh.iter().cycle();
        group.throughput(Throughput::Elements(1));
        group.bench_function(format!("row of {members}"), |b| {
            b.iter(|| {
                next.next()
                    .map(|row| joint.take(black_box(row), 0.3, A_DAY))
            });
        });
        let held: Vec<f32> = (0..ROWS).flat_map(|_| row(&mut random, members)).collect();
        group.bench_function(format!("fit of {members}"), |b| {
            b.iter(|| Relation::fit(black_box(&held)));
        });
    }
    group.finish();
}

/// A record with one sample of each member of one group, from the shards' parts to the opinion.
fn samples(c: &mut Criterion<CpuTime>) {
    let mut group = c.benchmark_group("joint record");
    for members in [5, 50] {
        let mut random = fastrand::Rng::with_seed(1);
        let spec = GroupSpec::default();
        let mut together = Together::new(
            &spec,
            Arc::default(),
            Arc::default(),
            Arc::new(Metrics::new()),
        );
        let label = |i: usize| {
            let name = format!("m{i}");
            labels::encode([("__name__", name.as_str()), ("instance", "a"), ("job", "b")]).into()
        };
        let mut seq = 0;
        let mut entry = |random: &mut fastrand::Rng| {
            seq += 1;
            let row = row(random, members);
            let sample = |i: usize| Sample {
                t_ms: seq as i64 * STEP_MS + i as i64,
                interval_ms: STEP_MS as u32,
                z: row[i],
                deviation: 0.3,
                ended: false,
            };
            let joins = (0..members).map(|i| (label(i), 0));
            Entry {
                seq,
                received_ms: seq as i64 * STEP_MS,
                joins: if seq == 1 {
                    joins.collect()
                } else {
                    Vec::new()
                },
                told: (0..members).map(|i| (0, i as u8, sample(i))).collect(),
            }
        };
        for _ in 0..GROWN {
            together.again(&entry(&mut random));
        }
        group.throughput(Throughput::Elements(members as u64));
        group.bench_function(format!("samples of {members}"), |b| {
            b.iter_batched(
                || entry(&mut random),
                |entry| together.again(&entry),
                criterion::BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = rows, samples
}
criterion_main!(benches);
