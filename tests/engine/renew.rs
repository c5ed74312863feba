//! Rules that change while series are there.

use std::sync::Arc;

use saimon::config::{DetectConfig, Direction, KindOverride, RuleConfig};
use saimon::engine::rules::Rules;
use saimon::telemetry::Outcome;

use crate::driver::Driver;
use crate::{STEP_MS, series};

fn detect(rules: &[RuleConfig]) -> DetectConfig {
    DetectConfig {
        warmup: 30,
        young: 60,
        rules: rules.to_vec(),
        ..DetectConfig::default()
    }
}

fn rule(change: impl FnOnce(&mut RuleConfig)) -> RuleConfig {
    let mut rule = RuleConfig {
        selector: "{job=\"test\"}".into(),
        ..RuleConfig::default()
    };
    change(&mut rule);
    rule
}

fn renew(driver: &mut Driver, rules: &[RuleConfig]) {
    let rules = Arc::new(Rules::try_from(&detect(rules)).unwrap());
    for shard in &mut driver.shards {
        shard.renew_rules(Arc::clone(&rules));
    }
}

fn steps(driver: &mut Driver, all: &[Vec<u8>], steps: std::ops::Range<i64>) {
    for i in steps {
        let noise = |k: usize| ((i * 7 + k as i64 * 3) % 11) as f64 / 10.0;
        let round = all.iter().enumerate();
        let round: Vec<_> = round
            .map(|(k, labels)| (&labels[..], i * STEP_MS, 50.0 + noise(k)))
            .collect();
        driver.send(&round, i * STEP_MS);
    }
}

fn seen(driver: &Driver, labels: &[u8]) -> Option<u32> {
    let tracks = driver.shards.iter().filter_map(|s| s.track(labels));
    tracks.map(|track| track.judge().seen()).next()
}

fn score(driver: &mut Driver, labels: &[u8], i: i64, value: f64) -> f32 {
    driver.one(labels, i * STEP_MS, value);
    let shown = driver.shown();
    assert_eq!(shown.len(), 1, "{shown:?}");
    f32::from_bits(shown.values().next().unwrap().0)
}

#[test]
fn a_series_keeps_its_model_and_goes_by_the_new_rules_from_its_next_sample() {
    let all = [series(1)];
    for changed in [
        rule(|r| r.min_deviation = Some(1e9)),
        rule(|r| r.direction = Some(Direction::Down)),
        rule(|r| r.line = Some(50.0)),
    ] {
        let mut driver = Driver::new(2, &detect(&[]), 100);
        let mut control = Driver::new(2, &detect(&[]), 100);
        steps(&mut driver, &all, 0..300);
        steps(&mut control, &all, 0..300);
        renew(&mut driver, std::slice::from_ref(&changed));
        assert_eq!(seen(&driver, &all[0]), Some(300));
        let was = score(&mut control, &all[0], 300, 57.0);
        let is = score(&mut driver, &all[0], 300, 57.0);
        assert!(
            was >= 0.7 && is < was && is < 0.7 || changed.line.is_some() && is < was,
            "{changed:?}: {was} {is}"
        );
        assert_eq!(seen(&driver, &all[0]), Some(301), "the model went on");
        // And back again.
        renew(&mut driver, &[]);
        let is = score(&mut driver, &all[0], 301, 30.0);
        assert!(is >= 0.7, "{changed:?}: {is}");
    }
}

#[test]
fn rules_that_say_the_same_change_no_bit() {
    let all: Vec<_> = (0..30).map(series).collect();
    let mut driver = Driver::new(2, &detect(&[]), 100);
    let mut control = Driver::new(3, &detect(&[]), 100);
    for i in 0..6 {
        steps(&mut driver, &all, i * 50..(i + 1) * 50);
        steps(&mut control, &all, i * 50..(i + 1) * 50);
        renew(&mut driver, &[]);
        assert_eq!(driver.shown(), control.shown());
    }
}

#[test]
fn two_hundred_reloads_leave_no_more_specs_behind_than_there_is_room_for() {
    let all: Vec<_> = (0..20).map(series).collect();
    let rules = |i: i64| {
        let own = |k: usize| {
            rule(|r| {
                r.selector = format!("{{instance=\"host-{k}:9100\"}}");
                r.min_deviation = Some(1.0 + (i * 20 + k as i64) as f64);
            })
        };
        (0..20).map(own).collect::<Vec<_>>()
    };
    let mut driver = Driver::new(2, &detect(&rules(0)), 100);
    let mut control = Driver::new(2, &detect(&rules(200)), 100);
    for i in 1..=200 {
        steps(&mut driver, &all, i - 1..i);
        steps(&mut control, &all, i - 1..i);
        renew(&mut driver, &rules(i));
        for shard in &driver.shards {
            assert!(shard.specs_held() <= 300, "{i}: {}", shard.specs_held());
        }
    }
    // Each goes on under its own.
    steps(&mut driver, &all, 200..260);
    steps(&mut control, &all, 200..260);
    for (k, labels) in all.iter().enumerate() {
        let value = 50.0 + 4000.0 + k as f64 * 30.0;
        driver.one(labels, 260 * STEP_MS, value);
        control.one(labels, 260 * STEP_MS, value);
    }
    assert_eq!(driver.shown(), control.shown());
}

#[test]
fn what_is_left_out_keeps_its_model_for_when_it_is_wanted_again() {
    let all: Vec<_> = (0..20).map(series).collect();
    let mut driver = Driver::new(2, &detect(&[]), 100);
    steps(&mut driver, &all, 0..100);
    assert_eq!(driver.shown().len(), 20);
    renew(&mut driver, &[rule(|r| r.model = Some(false))]);
    let before = driver.metrics.ingest_v1.get(Outcome::Skipped);
    steps(&mut driver, &all, 100..110);
    let skipped = driver.metrics.ingest_v1.get(Outcome::Skipped) - before;
    assert_eq!(skipped, 200);
    assert_eq!(driver.shown().len(), 0);
    renew(&mut driver, &[]);
    steps(&mut driver, &all, 110..111);
    assert_eq!(driver.shown().len(), 20);
    assert_eq!(seen(&driver, &all[3]), Some(101));
}

#[test]
fn what_was_left_out_is_born_when_it_is_wanted() {
    let all: Vec<_> = (0..20).map(series).collect();
    let mut driver = Driver::new(2, &detect(&[rule(|r| r.model = Some(false))]), 100);
    steps(&mut driver, &all, 0..5);
    assert_eq!(seen(&driver, &all[0]), None);
    // Rules that still leave half of them out.
    let mut half = rule(|r| r.model = Some(false));
    half.selector = "{instance=~\"host-1.*\"}".into();
    renew(&mut driver, &[half]);
    steps(&mut driver, &all, 5..50);
    assert_eq!(seen(&driver, &all[0]), Some(45));
    assert_eq!(seen(&driver, &all[11]), None);
    renew(&mut driver, &[]);
    steps(&mut driver, &all, 50..60);
    assert_eq!(seen(&driver, &all[11]), Some(10));
    assert_eq!(seen(&driver, &all[0]), Some(55));
}

#[test]
fn another_kind_begins_anew() {
    let all = [series(1)];
    let mut driver = Driver::new(1, &detect(&[]), 100);
    steps(&mut driver, &all, 0..100);
    renew(
        &mut driver,
        &[rule(|r| r.kind = Some(KindOverride::Counter))],
    );
    steps(&mut driver, &all, 100..110);
    assert!(seen(&driver, &all[0]).unwrap() < 20);
}
