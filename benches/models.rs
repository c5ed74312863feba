//! What always-on scoring costs: each detector and all together, a sample of each of 100,000 series in
//! turn, so that every state comes from memory; and how many bytes each keeps.
//!
//! `cargo bench --bench models`. Limits: 250 ns a sample and 1 KiB a series for all together, without a
//! forest, which has a bench of its own.

#[path = "decode/cpu.rs"]
mod cpu;

use std::hint::black_box;

use cpu::CpuTime;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use saimon::model::averages::Averages;
use saimon::model::burst::Burst;
use saimon::model::change::{Jump, Short};
use saimon::model::history::History;
use saimon::model::level::Level;
use saimon::model::pattern::{Pattern, Shape};
use saimon::model::profile::Profile;
use saimon::model::trend::Trend;
use saimon::model::watch::{Look, Watch};
use saimon::model::{Detector, Ensemble, Gap, Onset, OnsetInput, Pace, Past, Point, SeriesSpec};
use saimon::score::judge::Judge;
use saimon::score::rarity::Rarity;

const SERIES: usize = 100_000;
const STEP_MS: i64 = 15_000;
/// Samples of each series before anything is measured: a day and an hour, so that profile, rules and
/// rarity speak and records are as rare as they are for the rest of its life.
const GROWN: i64 = 6000;
/// Series that are grown, each with noise of its own; the others begin as copies of them.
const KINDS: usize = 64;

/// Gaussian enough, and cheap: the noise must not be what is measured.
struct Noise(fastrand::Rng);

impl Noise {
    fn next(&mut self) -> f64 {
        (0..4).map(|_| self.0.f64()).sum::<f64>() - 2.0
    }
}

fn past(noise: &mut Noise, n: u32) -> Past {
    let residual = noise.next();
    Past {
        value: 10.0 + residual,
        last: 10.0 + noise.next(),
        residual,
        mean_5: 0.3 * noise.next(),
        deviation_10: 0.58 + 0.1 * noise.next(),
        scale: 0.58,
        floor: 1e-6,
        n,
        gain: 1.0 / 2000.0,
        tail_gain: 0.005,
        unrest: 1.0,
        after_gap: false,
    }
}

/// Takes one sample of every state in turn, and prints how large one is.
fn each<T: Clone>(
    c: &mut Criterion<CpuTime>,
    name: &str,
    new: impl Fn() -> T,
    heap: impl Fn(&T) -> usize,
    mut take: impl FnMut(&mut T, &mut Noise, i64),
) {
    let mut noise = Noise(fastrand::Rng::with_seed(1));
    let mut states: Vec<T> = (0..KINDS).map(|_| new()).collect();
    let mut round = 0;
    let mut all = |states: &mut Vec<T>| {
        round += 1;
        for state in states {
            take(state, &mut noise, round);
        }
    };
    for _ in 0..GROWN {
        all(&mut states);
    }
    let mut states: Vec<T> = (0..SERIES).map(|i| states[i % KINDS].clone()).collect();
    // Once more each, so that no two are the same.
    all(&mut states);
    println!(
        "{name}: {} bytes a series",
        size_of::<T>() + heap(&states[0])
    );
    let mut group = c.benchmark_group("models");
    group
        .throughput(Throughput::Elements(SERIES as u64))
        .sample_size(10);
    group.bench_function(name, |b| {
        b.iter_batched(|| (), |()| all(&mut states), BatchSize::PerIteration);
    });
    group.finish();
}

fn detector<D: Detector + Clone>(c: &mut Criterion<CpuTime>) {
    each(
        c,
        D::NAME,
        D::default,
        |_| 0,
        |detector, noise, round| {
            let past = past(noise, round as u32);
            if let Some(seen) = black_box(detector.score(&past)) {
                detector.absorb(&past, &seen, 1.0);
            }
        },
    );
}

fn models(c: &mut Criterion<CpuTime>) {
    let spec = SeriesSpec::default();
    let pace = Pace::new(STEP_MS as f64, spec.day_ms);
    let begun = || {
        let mut profile = Profile::default();
        profile.begin(&pace, spec.day_ms);
        profile
    };

    each(
        c,
        "noise alone",
        || (),
        |()| 0,
        |(), noise, _| {
            black_box(noise.next());
        },
    );
    each(
        c,
        "level",
        Level::default,
        |_| 0,
        |level, noise, _| {
            level.take(10.0 + noise.next(), pace.level);
        },
    );
    each(
        c,
        "profile",
        begun,
        Profile::heap_bytes,
        |profile, noise, round| {
            let look = profile.look(round * STEP_MS, spec.day_ms);
            profile.take(&look, noise.next() as f32, &pace, 1.0);
        },
    );
    each(
        c,
        "averages",
        Averages::default,
        |_| 0,
        |averages, noise, _| {
            *averages = averages.with(noise.next());
        },
    );
    detector::<Jump>(c);
    detector::<Short>(c);
    detector::<Burst>(c);
    detector::<History>(c);
    each(
        c,
        "ensemble",
        Ensemble::new,
        |ensemble| ensemble.profile().heap_bytes(),
        |ensemble, noise, round| {
            let x = Point {
                t_ms: round * STEP_MS,
                value: 10.0 + noise.next(),
            };
            let step = ensemble.score(&pace, &spec, x, Gap::None);
            ensemble.absorb(&pace, &spec, x, black_box(&step), 1.0);
        },
    );
    each(
        c,
        "onset",
        Onset::new,
        |_| 0,
        |onset, noise, _| {
            let value = 10.0 + noise.next();
            black_box(onset.take(&OnsetInput {
                value,
                season_residual: Some((value - 10.0) as f32),
                gap: Gap::None,
            }));
        },
    );
    each(
        c,
        "trend",
        Trend::default,
        |_| 0,
        |trend, noise, round| {
            trend.take(round * STEP_MS, 10.0 + noise.next(), spec.day_ms, 0.58);
            black_box(trend.ratio());
        },
    );
    each(
        c,
        "pattern",
        Pattern::default,
        |_| 0,
        |pattern, noise, _| {
            let shape = Shape {
                z: noise.next() as f32,
                usual: Some(0.0),
                a_day: (spec.day_ms / STEP_MS) as f32,
            };
            pattern.take(&shape, true);
            black_box(pattern.ratio());
        },
    );
    each(
        c,
        "rules",
        Watch::default,
        |_| 0,
        |watch, noise, round| {
            let z = noise.next();
            let look = Look {
                t_ms: round * STEP_MS,
                value: 10.0 + z,
                changed: true,
                scale: 0.58,
                z: z as f32,
                usual: Some(0.0),
                interval_ms: STEP_MS as f64,
                mature: true,
            };
            let slow = watch.slow(&spec, look.interval_ms);
            black_box(watch.claim(&spec, &look, &slow, |_| 1.0));
            watch.take(&spec, &look, &slow, Some(STEP_MS as f64), true);
        },
    );
    each(
        c,
        "rarity",
        Rarity::new,
        |_| 0,
        |rarity, noise, _| {
            let evidence = 2.0 + noise.next();
            black_box(rarity.nats(evidence));
            rarity.learn(evidence, pace.tail);
        },
    );
    each(
        c,
        "all",
        Judge::new,
        Judge::heap_bytes,
        |judge, noise, round| {
            let x = Point {
                t_ms: round * STEP_MS,
                value: 10.0 + noise.next(),
            };
            black_box(judge.judge(&spec, STEP_MS as f64, x));
        },
    );
}

criterion_group! {
    name = benches;
    config = Criterion::default().with_measurement(CpuTime);
    targets = models
}
criterion_main!(benches);
