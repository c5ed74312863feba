//! The engine without sockets: scores do not depend on the number of shards or on a restart, and
//! every kind of sample has one defined outcome.

#[path = "support/driver.rs"]
mod driver;
#[path = "engine/forests.rs"]
mod forests;
#[path = "engine/formats.rs"]
mod formats;
#[path = "engine/histograms.rs"]
mod histograms;
#[path = "engine/history.rs"]
mod history;
#[path = "engine/recall.rs"]
mod recall;
#[path = "engine/renew.rs"]
mod renew;
#[path = "engine/resets.rs"]
mod resets;
#[path = "support/running.rs"]
mod running;
#[path = "engine/siblings.rs"]
mod siblings;
#[path = "engine/sleep.rs"]
mod sleep;
#[path = "engine/statistics.rs"]
mod statistics;
#[path = "engine/stored.rs"]
mod stored;
#[path = "engine/tap.rs"]
mod tap;
#[path = "engine/windows.rs"]
mod windows;

use driver::Driver;
use saimon::config::{DetectConfig, KindOverride, RuleConfig, Severity};
use saimon::engine::batch::Families;
use saimon::engine::shard::Shard;
use saimon::series::fingerprint::fingerprint;
use saimon::series::labels;
use saimon::telemetry::{Outcome, PhaseLabel, SeverityLabel, Text};
use saimon::window::chunk;
use saimon::window::head::Head;
use saimon::wire::write::{MetricType, STALE_NAN_BITS};

const STEP_MS: i64 = 15_000;

/// Samples in the first chunk of a series.
fn first_chunk(labels: &[u8]) -> i64 {
    let mut head = Head::of_series(fingerprint(labels));
    (1..).find(|t| head.take(*t, 0.0).is_some()).unwrap()
}

fn series(i: usize) -> Vec<u8> {
    let (name, instance) = (format!("m{}", i % 7), format!("host-{i}:9100"));
    labels::encode([
        ("__name__", name.as_str()),
        ("instance", instance.as_str()),
        ("job", "test"),
    ])
}

/// One round of all series at step `i`: noise, rhythm, counters, stale ends, odd values.
fn round(all: &[Vec<u8>], i: i64) -> Vec<(&[u8], i64, f64)> {
    let mut rng = fastrand::Rng::with_seed(i as u64);
    all.iter()
        .enumerate()
        .filter_map(|(k, labels)| {
            let noise = rng.f64() + rng.f64() + rng.f64();
            let value = match k % 6 {
                0 => 10.0 + noise,
                1 => 50.0 + 20.0 * (i as f64 / 96.0).sin() + noise,
                2 => (i * 3 + i64::from(rng.u8(..4))) as f64,
                3 if i % 97 == 96 => f64::from_bits(STALE_NAN_BITS),
                4 if i % 50 == 49 => f64::NAN,
                5 if i > 300 && i < 330 => 500.0,
                _ => noise * noise,
            };
            // Some series miss a sample now and then.
            (rng.u8(..) > 3).then_some((&labels[..], i * STEP_MS, value))
        })
        .collect()
}

#[test]
fn scores_are_the_same_with_one_two_and_seven_shards() {
    let all: Vec<_> = (0..300).map(series).collect();
    let detect = DetectConfig {
        warmup: 60,
        young: 200,
        ..DetectConfig::default()
    };
    let mut drivers: Vec<_> = [1, 2, 7].map(|n| Driver::new(n, &detect, 1000)).into();
    for i in 0..400 {
        let round = round(&all, i);
        for driver in &mut drivers {
            driver.send(&round, i * STEP_MS);
        }
        if i % 20 == 0 || (300..335).contains(&i) {
            let first = drivers[0].shown();
            assert!(i < 100 || first.len() > 200, "{} scored", first.len());
            for other in &drivers[1..] {
                assert_eq!(first, other.shown(), "at step {i}");
            }
        }
    }
    let active = drivers[0].metrics.anomalies.get();
    assert!(active >= 40, "the faults of step 300 were seen: {active}");
}

#[test]
fn a_restart_in_the_middle_changes_no_score_nor_does_another_number_of_shards_after_it() {
    let all: Vec<_> = (0..300).map(series).collect();
    let detect = DetectConfig {
        warmup: 60,
        young: 200,
        ..DetectConfig::default()
    };
    let mut whole = Driver::new(2, &detect, 1000);
    let mut broken = Driver::new(2, &detect, 1000);
    for i in 0..500 {
        if i == 150 || i == 310 {
            let groups = broken.snapshots();
            assert!(groups.iter().map(|g| g.state.len()).sum::<usize>() > 100_000);
            broken = Driver::restored(if i == 150 { 2 } else { 5 }, &detect, 1000, &groups);
            assert!(
                broken.shown().is_empty(),
                "nothing is shown before its next sample"
            );
        }
        let round = round(&all, i);
        whole.send(&round, i * STEP_MS);
        broken.send(&round, i * STEP_MS);
        if i == 499 || (300..340).contains(&i) {
            let sent: Vec<_> = round.iter().map(|(l, _, _)| labels::display(l)).collect();
            let (a, b) = (whole.shown(), broken.shown());
            for (text, score) in &b {
                assert_eq!(a.get(text), Some(score), "{text} at step {i}");
            }
            assert!(b.len() > 200 && b.len() + 60 > sent.len(), "{}", b.len());
        }
    }
    assert_eq!(whole.shown(), broken.shown());
}

#[test]
fn every_sample_has_one_outcome() {
    let mut d = Driver::new(1, &DetectConfig::default(), 10);
    let a = series(0);
    d.one(&a, 1000, 1.0);
    d.one(&a, 2000, 2.0);
    d.one(&a, 2000, 2.0);
    d.one(&a, 2000, 3.0);
    d.one(&a, 1500, 3.0);
    d.one(&a, i64::MIN, 3.0);
    d.one(&a, 3000, f64::NAN);
    d.one(&a, 4000, f64::INFINITY);
    d.one(&a, 5000, f64::from_bits(STALE_NAN_BITS));
    d.one(&a, 5000, f64::from_bits(STALE_NAN_BITS));
    d.one(&a, i64::MAX, 1.0);
    d.one(&a, 6000, 1.0);
    assert_eq!(d.outcome(Outcome::Accepted), 5);
    assert_eq!(d.outcome(Outcome::Duplicate), 2);
    assert_eq!(d.outcome(Outcome::Conflict), 1);
    assert_eq!(d.outcome(Outcome::Late), 3);
    assert_eq!(d.outcome(Outcome::Stale), 1);
    let head = d.shards[0].track(&a).unwrap().head().clone();
    let kept = chunk::decode(head.chunk().bytes()).unwrap();
    assert_eq!(kept.len(), 6, "what was accepted or stale is in the window");
    assert!(kept[2].1.is_nan() && kept[3].1.is_infinite());
}

#[test]
fn resets_gaps_and_odd_values_are_counted_and_give_no_score() {
    let detect = DetectConfig {
        warmup: 20,
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 10);
    let c = labels::encode([("__name__", "requests_total"), ("job", "x")]);
    let mut total = 1000.0;
    let mut t = 0;
    for i in 0..60 {
        total += 50.0 + f64::from(i % 5);
        t += STEP_MS;
        d.one(&c, t, total);
    }
    let before = d.shown();
    let quiet = |d: &Driver| d.shown() == before;
    d.one(&c, t + STEP_MS, 3.0); // the process restarted
    assert!(quiet(&d), "a reset is masked");
    d.one(&c, t + 2 * STEP_MS, f64::NAN);
    d.one(&c, t + 3 * STEP_MS, f64::NEG_INFINITY);
    assert!(quiet(&d), "a NaN and an infinity give no score");
    d.one(&c, t + 4 * STEP_MS, 3.0 + 3.0 * 52.0);
    assert!(!quiet(&d), "the rate goes on from the last finite sample");
    let score = d
        .shown()
        .values()
        .next()
        .map(|(bits, _)| f32::from_bits(*bits))
        .unwrap();
    assert!(score < 0.7, "{score}");
    let later = t + 4 * STEP_MS + 2 * 3_600_000;
    d.one(&c, later, 1e9);
    let after = d.shown();
    assert_eq!(
        after.values().next().unwrap().0,
        score.to_bits(),
        "no rate over two hours"
    );
    assert_eq!(d.metrics.resets.get(), 1);
    assert_eq!(d.metrics.not_finite.get(), 2);
    assert_eq!(d.metrics.gaps.get(), 1);
}

#[test]
fn series_beyond_the_limit_are_counted_and_the_others_go_on() {
    let mut d = Driver::new(2, &DetectConfig::default(), 10);
    let all: Vec<_> = (0..15).map(series).collect();
    for i in 0..3 {
        let round: Vec<_> = all.iter().map(|l| (&l[..], i * STEP_MS, 1.0)).collect();
        d.send(&round, i * STEP_MS);
    }
    assert_eq!(d.outcome(Outcome::Accepted), 30);
    assert_eq!(d.outcome(Outcome::Limit), 15);
    assert_eq!(d.shards.iter().map(Shard::len).sum::<usize>(), 10);
}

#[test]
fn rules_decide_what_is_modelled_and_as_what() {
    let rule = |selector: &str| RuleConfig {
        selector: selector.to_owned(),
        ..RuleConfig::default()
    };
    let detect = DetectConfig {
        warmup: 20,
        rules: vec![
            RuleConfig {
                model: Some(false),
                ..rule("{job=\"noisy\"}")
            },
            RuleConfig {
                warmup: Some(40),
                ..rule("m1")
            },
        ],
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 100);
    let out = labels::encode([("__name__", "m9"), ("job", "noisy")]);
    let (a, b) = (series(0), series(1));
    for i in 0..30 {
        let v = (i * 7 % 5) as f64;
        let t = i * STEP_MS;
        d.send(&[(&out, t, v), (&a, t, v), (&b, t, v)], t);
    }
    assert_eq!(d.outcome(Outcome::Skipped), 30);
    let shown = d.shown();
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert!(
        shown
            .keys()
            .next()
            .unwrap()
            .contains("source_metric=\"m0\"")
    );
}

#[test]
fn metadata_turns_a_gauge_into_a_counter_whenever_it_comes() {
    let name = |n: &str| labels::encode([("__name__", n), ("job", "x")]);
    let (early, late) = (name("early"), name("late"));
    let mut d = Driver::new(1, &DetectConfig::default(), 100);
    let counter = |family: &str| Families {
        all: [(family.into(), MetricType::Counter)].into(),
        seq: 0,
    };
    d.shards[0].families(&counter("early"));
    for i in 0..10 {
        d.send(
            &[
                (&early, i * STEP_MS, i as f64),
                (&late, i * STEP_MS, i as f64),
            ],
            0,
        );
    }
    use saimon::series::kind::Kind;
    assert_eq!(d.shards[0].track(&early).unwrap().kind(), Kind::Counter);
    assert_eq!(d.shards[0].track(&late).unwrap().kind(), Kind::Gauge);
    d.shards[0].families(&counter("late"));
    // A second type for the same family changes nothing: the first stays.
    d.shards[0].families(&Families {
        all: [("late".into(), MetricType::Gauge)].into(),
        seq: 0,
    });
    d.one(&late, 10 * STEP_MS, 10.0);
    assert_eq!(d.shards[0].track(&late).unwrap().kind(), Kind::Counter);
}

#[test]
fn a_stale_series_vanishes_from_the_board_and_its_model_waits() {
    let detect = DetectConfig {
        warmup: 20,
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 100);
    let a = series(0);
    for i in 0..30 {
        d.one(&a, i * STEP_MS, (i % 3) as f64);
    }
    assert_eq!(d.shown().len(), 1);
    d.one(&a, 30 * STEP_MS, f64::from_bits(STALE_NAN_BITS));
    assert_eq!(d.shown().len(), 0);
    d.one(&a, 31 * STEP_MS, 1.0);
    assert_eq!(d.shown().len(), 1, "it returns without a new warm-up");
}

#[test]
fn a_silent_series_is_hidden_and_in_the_end_forgotten_for_others_to_use_its_place() {
    let detect = DetectConfig {
        warmup: 20,
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 1);
    let (a, b) = (series(0), series(1));
    for i in 0..30 {
        d.one(&a, i * STEP_MS, (i % 3) as f64);
    }
    let tick = |d: &mut Driver, now: i64| (0..40).for_each(|_| d.shards[0].tick(now));
    let last = 29 * STEP_MS;
    tick(&mut d, last + 200_000);
    assert_eq!(d.shown().len(), 1);
    tick(&mut d, last + 400_000);
    assert_eq!(d.shown().len(), 0);
    d.one(&b, last, 1.0);
    assert_eq!(d.outcome(Outcome::Limit), 1);
    let later = last + 8 * 86_400_000;
    tick(&mut d, later);
    assert_eq!(d.shards[0].len(), 1, "a clock that jumps forgets nothing");
    for minute in 1..=60 {
        tick(&mut d, later + minute * 60_000);
    }
    assert_eq!(d.shards[0].len(), 0);
    d.one(&b, last, 1.0);
    assert_eq!(d.outcome(Outcome::Limit), 1);
    let snapshots = d.snapshots();
    let gone = snapshots.iter().filter(|g| g.state.is_empty()).count();
    assert_eq!(
        (snapshots.len(), gone),
        (2, 1),
        "the forgotten group is to be deleted"
    );
}

#[test]
fn a_restart_does_not_make_a_silent_series_look_alive() {
    let mut d = Driver::new(1, &DetectConfig::default(), 10);
    let a = series(0);
    d.one(&a, STEP_MS, 1.0);
    let groups = d.snapshots();
    let later = STEP_MS + 8 * 86_400_000;
    let mut d = Driver::restored_at(1, &DetectConfig::default(), 10, &groups, later);
    assert_eq!(d.shards[0].len(), 1);
    (0..40).for_each(|_| d.shards[0].tick(later));
    assert_eq!(d.shards[0].len(), 0);
}

#[test]
fn finished_chunks_travel_with_the_snapshot_once() {
    let mut d = Driver::new(1, &DetectConfig::default(), 100);
    let a = series(0);
    let begin = first_chunk(&a);
    for i in 0..begin + 130 {
        d.one(&a, i * STEP_MS, i as f64);
    }
    let first = d.snapshots();
    assert_eq!(first.len(), 1);
    let samples: Vec<_> = first[0]
        .chunks
        .iter()
        .flat_map(|c| chunk::decode(&c.bytes).unwrap())
        .collect();
    let last = begin + 119;
    assert_eq!(samples.len() as i64, last + 1);
    assert_eq!(samples[last as usize], (last * STEP_MS, last as f64));
    assert!(d.snapshots().is_empty(), "nothing changed since");
    d.one(&a, (begin + 130) * STEP_MS, 0.0);
    let second = d.snapshots();
    assert_eq!((second.len(), second[0].chunks.len()), (1, 0));
}

/// Series now counted in a phase, and anomalies counted as active.
fn counted(d: &Driver, phase: &'static str) -> (i64, i64) {
    let phase = PhaseLabel { phase: Text(phase) };
    let active = Severity::ALL.map(|severity| {
        let severity = Text(severity.as_str());
        let label = SeverityLabel { severity };
        d.metrics.anomalies_by_severity.get_or_create(&label).get()
    });
    (
        d.metrics.series.get_or_create(&phase).get(),
        active.iter().sum(),
    )
}

#[test]
fn models_that_start_afresh_take_their_score_and_anomaly_off_the_board() {
    let name = |n: &str| labels::encode([("__name__", n), ("job", "x")]);
    let detect = DetectConfig {
        warmup: 20,
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 100);
    let a = name("declared");
    for i in 0..1500 {
        d.one(&a, i * STEP_MS, (i * 7 % 5) as f64);
    }
    for i in 1500..1503 {
        d.one(&a, i * STEP_MS, 1e6);
    }
    assert!(d.shown().values().next().unwrap().1.contains("Active"));
    assert_eq!(counted(&d, "young"), (1, 1));
    d.shards[0].families(&Families {
        all: [("declared".into(), MetricType::Counter)].into(),
        seq: 0,
    });
    d.one(&a, 1503 * STEP_MS, 2e6);
    assert_eq!(d.shown().len(), 0, "the score of a value is none of a rate");
    assert_eq!(counted(&d, "warmup"), (1, 0));

    // A series that only rose, and turned out to be a gauge.
    let mut d = Driver::new(1, &detect, 100);
    let b = name("watched");
    for i in 0..100 {
        d.one(&b, i * STEP_MS, (100 + i) as f64);
    }
    assert_eq!(d.shown().len(), 1);
    d.one(&b, 100 * STEP_MS, 198.0);
    assert_eq!(d.shown().len(), 0);
    assert_eq!(counted(&d, "warmup"), (1, 0));
}

#[test]
fn an_anomaly_does_not_outlast_the_values_of_its_series() {
    let detect = DetectConfig {
        warmup: 20,
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 10);
    let a = series(0);
    for i in 0..1500 {
        d.one(&a, i * STEP_MS, (i * 7 % 5) as f64);
    }
    for i in 1500..1503 {
        d.one(&a, i * STEP_MS, 1e6);
    }
    assert_eq!(counted(&d, "young"), (1, 1));
    let mut now = 0;
    for i in 1503..1530 {
        now = i * STEP_MS;
        d.one(&a, now, f64::NAN);
    }
    (0..40).for_each(|_| d.shards[0].tick(now));
    assert_eq!(d.shown().len(), 0, "nothing but NaN for seven minutes");
    assert_eq!(counted(&d, "ended"), (1, 0));
    d.one(&a, now + STEP_MS, 2.0);
    assert_eq!(d.shown().len(), 1, "it returns without a new warm-up");
}

#[test]
fn a_series_that_a_rule_leaves_out_gives_its_place_back() {
    let detect = DetectConfig {
        rules: vec![RuleConfig {
            selector: "{job=\"noisy\"}".to_owned(),
            model: Some(false),
            ..RuleConfig::default()
        }],
        ..DetectConfig::default()
    };
    let mut d = Driver::new(1, &detect, 1);
    let out = labels::encode([("__name__", "m9"), ("job", "noisy")]);
    let day = 86_400_000;
    d.one(&out, 0, 1.0);
    d.one(&out, day, 1.0);
    let tick = |d: &mut Driver, now: i64| (0..40).for_each(|_| d.shards[0].tick(now));
    tick(&mut d, 8 * day - 1);
    assert_eq!(d.shards[0].len(), 1, "it was heard of a week ago");
    tick(&mut d, 8 * day + 1);
    assert_eq!(d.shards[0].len(), 0);
    d.one(&series(0), 8 * day, 1.0);
    assert_eq!(d.outcome(Outcome::Accepted), 1);
    tick(&mut d, 9 * day);
    assert_eq!(d.shards[0].len(), 1);
}

#[test]
fn the_number_of_a_group_that_cannot_be_used_is_not_used_again() {
    let a = series(0);
    let mut d = Driver::new(1, &DetectConfig::default(), 10);
    d.one(&a, 0, 1.0);
    let stored = d.snapshots().remove(0);
    let mut later = Driver::new(1, &DetectConfig::default(), 10);
    let restored = later.shards[0].restore(stored.id, &[99, 0], 0, 0);
    assert!(restored.is_err(), "of another version");
    later.one(&a, STEP_MS, 1.0);
    let snapshots = later.snapshots();
    // Finished chunks of other series are on disk under the old one.
    assert_ne!(snapshots[0].id, stored.id);
}

#[test]
fn what_a_rule_said_goes_with_the_rule() {
    use saimon::series::kind::Kind;
    let ruled = DetectConfig {
        rules: vec![RuleConfig {
            selector: "{job=\"x\"}".to_owned(),
            kind: Some(KindOverride::Gauge),
            ..RuleConfig::default()
        }],
        ..DetectConfig::default()
    };
    let a = labels::encode([("__name__", "requests_total"), ("job", "x")]);
    let mut d = Driver::new(1, &ruled, 10);
    d.one(&a, 0, 1.0);
    assert_eq!(d.shards[0].track(&a).unwrap().kind(), Kind::Gauge);
    let stored = d.snapshots();
    let same = Driver::restored(1, &ruled, 10, &stored);
    assert_eq!(same.shards[0].track(&a).unwrap().kind(), Kind::Gauge);
    let mut gone = Driver::restored(1, &DetectConfig::default(), 10, &stored);
    // As any news of what it is, it is heard with the next sample.
    gone.one(&a, STEP_MS, 2.0);
    assert_eq!(gone.shards[0].track(&a).unwrap().kind(), Kind::Counter);
}

#[test]
fn a_clock_that_jumps_forgets_nothing_that_still_sends() {
    let mut d = Driver::new(1, &DetectConfig::default(), 100);
    let day = 86_400_000;
    let tick = |d: &mut Driver, now_ms: i64| {
        for _ in 0..20 {
            d.shards[0].tick(now_ms);
        }
    };
    let held = |d: &Driver| d.shards[0].len();
    d.one(&series(0), 1000, 1.0);
    d.one(&series(1), 1000, 1.0);
    tick(&mut d, 2000);
    // Ten days at once, and then on as ever: only one of the two sends again.
    for second in 0..3600 {
        let now_ms = 10 * day + second * 1000;
        tick(&mut d, now_ms);
        assert_eq!(held(&d), 2, "at second {second}");
        if second == 100 {
            d.one(&series(0), now_ms, 1.0);
        }
    }
    tick(&mut d, 10 * day + 3_600_000);
    assert_eq!(held(&d), 1, "the silent one is long gone by now");
    // Back again: nothing is older than now.
    tick(&mut d, 5000);
    assert_eq!(held(&d), 1);
}
