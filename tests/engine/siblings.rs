//! New series of a family that churns begin with what an older sibling of their partition knows.

use std::sync::Arc;

use saimon::config::DetectConfig;
use saimon::engine::router::partition;
use saimon::series::{family, labels};

use crate::STEP_MS;
use crate::driver::Driver;
use crate::sleep::{Disk, IDLE_MS, sleepy, tick};

/// Pods of before, and of the next rollout.
const OLD: usize = 240;
const NEW: usize = 60;
/// The step at which the new ones come, and how long they are looked at.
const ROLLOUT: i64 = 260;
const LOOKED_AT: i64 = 45;

fn detect() -> DetectConfig {
    DetectConfig {
        warmup: 60,
        young: 200,
        ..DetectConfig::default()
    }
}

fn pod(i: usize) -> Vec<u8> {
    let (pod, rollout) = (format!("web-{i}"), i / OLD);
    let name = if i.is_multiple_of(2) {
        "load"
    } else {
        "hits_total"
    };
    let pod = format!("{pod}-{rollout}");
    labels::encode([("__name__", name), ("app", "web"), ("pod", &pod)])
}

fn value(i: usize, step: i64) -> f64 {
    let mut rng = fastrand::Rng::with_seed(i as u64 * 1_000_003 + step as u64);
    let noise = rng.f64() + rng.f64() + rng.f64();
    match i % 2 {
        0 => 50.0 + 5.0 * (step as f64 / 40.0).sin() + noise,
        _ => 900.0 * step as f64 + 100.0 * noise,
    }
}

/// Sends the pods that are there at each of these steps.
fn steps(driver: &mut Driver, all: &[Vec<u8>], steps: std::ops::Range<i64>) {
    for step in steps {
        let there = if step < ROLLOUT {
            0..OLD
        } else {
            OLD..OLD + NEW
        };
        let round: Vec<_> = there
            .map(|i| (&all[i][..], step * STEP_MS, value(i, step)))
            .collect();
        driver.send(&round, step * STEP_MS);
    }
}

/// The new pods that have a score.
fn scored(driver: &Driver) -> usize {
    let shown = driver.shown();
    shown.keys().filter(|text| text.contains("-1\"")).count()
}

#[test]
fn new_pods_are_scored_early_where_an_older_one_is_known_whatever_the_shards() {
    let all: Vec<_> = (0..OLD + NEW).map(pod).collect();
    let mut drivers = [1, 2, 7].map(|n| Driver::new(n, &detect(), 1000));
    for driver in &mut drivers {
        steps(driver, &all, 0..ROLLOUT + LOOKED_AT);
    }
    let place = |i: usize| (partition(family::home(&all[i])), i % 2);
    let known: std::collections::HashSet<_> = (0..OLD).map(place).collect();
    let with = (OLD..OLD + NEW)
        .filter(|i| known.contains(&place(*i)))
        .count();
    assert!((10..NEW - 10).contains(&with), "{with}");
    assert_eq!(
        scored(&drivers[0]),
        with,
        "and no other: it has no 60 values yet"
    );
    let first = drivers[0].shown();
    for other in &drivers[1..] {
        assert_eq!(first, other.shown());
    }
    let mut off = Driver::new(
        1,
        &DetectConfig {
            siblings: Vec::new(),
            ..detect()
        },
        1000,
    );
    steps(&mut off, &all, 0..ROLLOUT + LOOKED_AT);
    assert_eq!(scored(&off), 0, "switched off");
}

#[test]
fn a_restart_before_or_after_a_birth_changes_nothing() {
    let all: Vec<_> = (0..OLD + NEW).map(pod).collect();
    let mut whole = Driver::new(2, &detect(), 1000);
    steps(&mut whole, &all, 0..ROLLOUT + LOOKED_AT);
    // Before the rollout, between a counter's first sample and its first rate, and later.
    for at in [ROLLOUT - 1, ROLLOUT + 1, ROLLOUT + 5] {
        let mut broken = Driver::new(3, &detect(), 1000);
        steps(&mut broken, &all, 0..at);
        let groups = broken.snapshots();
        let mut broken = Driver::restored(2, &detect(), 1000, &groups);
        steps(&mut broken, &all, at..ROLLOUT + LOOKED_AT);
        let (a, b) = (whole.shown(), broken.shown());
        assert!(scored(&broken) > 10);
        for (text, score) in b.iter().filter(|(text, _)| text.contains("-1\"")) {
            assert_eq!(a.get(text), Some(score), "{text}, restarted at {at}");
        }
    }
}

#[test]
fn a_sibling_that_sleeps_is_woken() {
    let all: Vec<_> = (0..OLD + NEW).map(pod).collect();
    let disk = Arc::new(Disk::default());
    let mut awake = Driver::new(1, &detect(), 1000);
    let mut sleeping = sleepy(1, &detect(), &disk);
    for driver in [&mut awake, &mut sleeping] {
        steps(driver, &all, 0..ROLLOUT);
    }
    let late = ROLLOUT + 2 * IDLE_MS / STEP_MS;
    for _ in 0..3 {
        disk.take(&sleeping.snapshots());
        tick(&mut sleeping, late * STEP_MS);
    }
    let asleep = sleeping.phase("asleep");
    assert!(asleep > OLD as i64 / 2, "{asleep}");
    for driver in [&mut awake, &mut sleeping] {
        steps(driver, &all, late..late + LOOKED_AT);
    }
    assert!(scored(&sleeping) > 10);
    assert!(sleeping.phase("asleep") < asleep);
    let new = |driver: &Driver| {
        let mut shown = driver.shown();
        shown.retain(|text, _| text.contains("-1\""));
        shown
    };
    assert_eq!(new(&awake), new(&sleeping));
}
