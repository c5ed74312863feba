//! Isolation forests: growing one, and asking it with its memory warm and cold.
//!
//! `cargo bench --bench forest`. Cold means one of several thousand forests at random, as when one
//! series after another asks its own.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use saimon::model::forest::random::Random;
use saimon::model::forest::{FEATURES, Forest, ForestSpec, Reservoir};

fn rows(n: usize) -> Vec<[f32; FEATURES]> {
    let mut random = Random::new(1);
    let mut noise = move || (0..4).map(|_| random.unit()).sum::<f32>() - 2.0;
    let row = |_| std::array::from_fn(|f| noise() * (f + 1) as f32);
    (0..n).map(row).collect()
}

fn spec(trees: u16) -> ForestSpec {
    ForestSpec {
        trees,
        ..ForestSpec::default()
    }
}

fn fit(c: &mut Criterion) {
    let rows = rows(1024);
    let mut group = c.benchmark_group("fit");
    for trees in [25, 100] {
        let spec = spec(trees);
        group.bench_function(BenchmarkId::from_parameter(format!("{trees}x256")), |b| {
            let mut seed = 0;
            b.iter(|| {
                seed += 1;
                Forest::fit(black_box(&rows), &spec, seed)
            });
        });
    }
    group.finish();
}

fn score(c: &mut Criterion) {
    let rows = rows(1024);
    let mut group = c.benchmark_group("score");
    for (trees, cold) in [(25, 4000), (100, 1000)] {
        let spec = spec(trees);
        let hot = Forest::fit(&rows, &spec, 1);
        println!("{trees}x256: {} bytes", hot.bytes());
        let mut i = 0;
        group.bench_function(format!("{trees}x256/hot"), |b| {
            b.iter(|| {
                i = (i + 1) % rows.len();
                hot.score(black_box(&rows[i]))
            });
        });
        let many: Vec<Forest> = (0..cold).map(|s| Forest::fit(&rows, &spec, s)).collect();
        let mut random = Random::new(7);
        group.bench_function(format!("{trees}x256/cold"), |b| {
            b.iter(|| {
                let forest = &many[random.below(cold as u32) as usize];
                forest.score(black_box(&rows[random.below(1024) as usize]))
            });
        });
    }
    group.finish();
}

fn offer(c: &mut Criterion) {
    let rows = rows(1024);
    let mut reservoir = Reservoir::default();
    let mut random = Random::new(3);
    let mut n = 0;
    c.bench_function("offer", |b| {
        b.iter(|| {
            n += 1;
            let row = &rows[n as usize % 1024];
            reservoir.offer(black_box(row), n, (1024, 172_800.0), &mut random);
        });
    });
}

criterion_group!(benches, fit, score, offer);
criterion_main!(benches);
