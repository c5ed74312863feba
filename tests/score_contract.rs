//! The score's contract (design: "the score"), as properties over every model and the whole:
//! 0.7 is the edge of the band; the score rises strictly with the deviation; it is absent during
//! warm-up; a sample is scored before it is learned; an anomaly teaches little until it has lasted.

use std::sync::Arc;

use proptest::prelude::*;
use saimon::config::{Direction, Severity};
use saimon::model::SeriesSpec;
use saimon::model::orders::Orders;
use saimon::score::board::Reason;
use saimon::score::judge::Judgement;
use saimon::score::track::{Taken, Track};
use saimon::series::kind::{Kind, Source};

const STEP_MS: i64 = 15_000;

fn spec() -> SeriesSpec {
    SeriesSpec::default()
}

/// Feeds one value and gives the judgement.
fn feed(track: &mut Track, spec: &SeriesSpec, i: i64, value: f64) -> Judgement {
    match track.take(spec, i * STEP_MS, value) {
        Taken::Kept {
            judgement: Some(j), ..
        } => j,
        other => panic!("no judgement: {other:?}"),
    }
}

fn gauss(rng: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

/// Kinds of histories that a series may have had.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Noise,
    Daily,
    Heavy,
    Counts,
    Still,
    Walk,
}

fn value(shape: Shape, rng: &mut fastrand::Rng, i: i64, last: f64) -> f64 {
    let day = (i * STEP_MS) as f64 / 86_400_000.0 * std::f64::consts::TAU;
    match shape {
        Shape::Noise => 50.0 + 3.0 * gauss(rng),
        Shape::Daily => 100.0 + 40.0 * day.sin() + 2.0 * gauss(rng),
        Shape::Heavy => rng.f64().max(1e-9).powf(-0.4),
        Shape::Counts => f64::from(rng.u32(..4)),
        Shape::Still => {
            if i % 700 == 699 {
                last + 1.0
            } else {
                last
            }
        }
        Shape::Walk => last + gauss(rng),
    }
}

fn grown(shape: Shape, spec: &SeriesSpec, seed: u64, n: i64) -> Track {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut track = Track::new(spec, Some(gauge()));
    let mut last = 10.0;
    for i in 0..n {
        last = value(shape, &mut rng, i, last);
        feed(&mut track, spec, i, last);
    }
    track
}

fn gauge() -> (saimon::series::kind::Kind, saimon::series::kind::Source) {
    (
        saimon::series::kind::Kind::Gauge,
        saimon::series::kind::Source::Metadata,
    )
}

fn shapes() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Noise),
        Just(Shape::Daily),
        Just(Shape::Heavy),
        Just(Shape::Counts),
        Just(Shape::Still),
        Just(Shape::Walk),
    ]
}

/// Lines where feedback leaves them, each reason another.
fn orders() -> impl Strategy<Value = Option<Arc<Orders>>> {
    let moved = prop::array::uniform(-1..=8_i32).prop_map(|levels| {
        let lines = levels.map(|level| 1.25_f32.powi(level));
        Some(Arc::new(Orders {
            lines: [(0, lines)].into(),
            pauses: Vec::new(),
        }))
    });
    prop_oneof![Just(None), moved]
}

fn directions() -> impl Strategy<Value = Direction> {
    prop_oneof![
        Just(Direction::Both),
        Just(Direction::Up),
        Just(Direction::Down)
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// At or above 0.7 if and only if the deviation is 1 or more, if and only if the value lies
    /// outside the band.
    #[test]
    fn the_line_is_the_edge_of_the_band(
        shape in shapes(), direction in directions(), seed in any::<u64>(), n in 120i64..9_000,
        probes in prop::collection::vec(-8.0..8.0f64, 8), last in prop_oneof![Just(0.0), -20.0..20.0f64],
        least in prop_oneof![Just(0.0), 0.1..20.0f64], orders in orders(),
    ) {
        let spec = SeriesSpec { direction, min_deviation: least, orders, ..spec() };
        let mut track = grown(shape, &spec, seed, n);
        if last != 0.0 {
            // A sample before that is still in the smoothed evidence.
            feed(&mut track, &spec, n, last * 10.0);
        }
        let at = (n + 1) * STEP_MS;
        let interval = track.head().interval_ms();
        let plain = track.judge().band(&spec, interval, at, None).unwrap();
        prop_assert!(plain.lower <= plain.expected && plain.expected <= plain.upper);
        let width = (plain.upper.min(1e6) - plain.lower.max(-1e6)).abs() + 1.0;
        for probe in probes {
            let x = plain.expected + probe.signum() * (probe.abs().exp_m1() / 300.0) * width;
            for x in [x, plain.lower, plain.upper, plain.expected] {
                if !x.is_finite() {
                    continue;
                }
                let band = track.judge().band(&spec, interval, at, Some(x)).unwrap();
                prop_assert!(band.lower <= band.expected && band.expected <= band.upper);
                let judged = feed(&mut track.clone(), &spec, n + 1, x);
                let score = judged.score.unwrap();
                prop_assert_eq!(score < 0.7, band.contains(x), "{} in {:?}: {:?}", x, band, judged);
                prop_assert_eq!(score < 0.7, judged.evidence.unwrap().deviation < 1.0);
                prop_assert!((0.0..1.0).contains(&score));
            }
        }
    }

    /// More evidence is a higher score, whatever the series and the value.
    #[test]
    fn the_score_rises_with_the_evidence(
        a in shapes(), b in shapes(), seed in any::<u64>(), n in 120i64..3_000, by in prop::collection::vec(-50.0..50.0f64, 2),
    ) {
        let spec = spec();
        let judged = [a, b].into_iter().zip(by).map(|(shape, by)| {
            let mut track = grown(shape, &spec, seed, n);
            let judged = feed(&mut track, &spec, n, 20.0 + by);
            (judged.evidence.unwrap(), judged.score.unwrap())
        });
        let mut judged: Vec<_> = judged.collect();
        judged.sort_by(|a, b| a.0.deviation.total_cmp(&b.0.deviation));
        let (less, more) = (judged[0], judged[1]);
        prop_assert!(less.1 <= more.1);
        // As f32 the score has steps; beyond twice the line they are wider than the differences.
        if more.0.deviation > less.0.deviation + 1e-4 && less.0.deviation < 2.0 {
            prop_assert!(less.1 < more.1, "{:?} {:?}", less, more);
        }
    }

    /// The parts of the evidence add up to the whole of it.
    #[test]
    fn shares_add_up(shape in shapes(), seed in any::<u64>(), n in 120i64..3_000, by in -50.0..50.0f64) {
        let spec = spec();
        let mut track = grown(shape, &spec, seed, n);
        let evidence = feed(&mut track, &spec, n, 20.0 + by).evidence.unwrap();
        let sum: f32 = evidence.shares.iter().sum();
        prop_assert!(evidence.shares.iter().all(|s| (0.0..=1.0).contains(s)), "{:?}", evidence);
        prop_assert!((sum - 1.0).abs() < 1e-5 || (sum == 0.0 && evidence.size < 1e-6), "{:?}", evidence);
    }

    /// A restart in the middle changes no bit of what follows.
    #[test]
    fn a_restart_changes_nothing(shape in shapes(), seed in any::<u64>(), n in 0i64..3_000, more in 1i64..300) {
        let spec = spec();
        let mut one = grown(shape, &spec, seed, n);
        let bytes = postcard::to_stdvec(&one).unwrap();
        let mut two: Track = postcard::from_bytes(&bytes).unwrap();
        prop_assert_eq!(&postcard::to_stdvec(&two).unwrap(), &bytes);
        let mut rng = fastrand::Rng::with_seed(seed);
        for i in n..n + more {
            let value = 20.0 + 5.0 * gauss(&mut rng) + if i % 50 == 0 { 100.0 } else { 0.0 };
            let (a, b) = (feed(&mut one, &spec, i, value), feed(&mut two, &spec, i, value));
            prop_assert_eq!(a.score.map(f32::to_bits), b.score.map(f32::to_bits));
            prop_assert_eq!(a, b);
        }
        prop_assert_eq!(postcard::to_stdvec(&one).unwrap(), postcard::to_stdvec(&two).unwrap());
    }

    /// Whatever finite or odd values come, scores stay in [0, 1) and the series recovers.
    #[test]
    fn no_value_poisons_a_series(
        odd in prop::collection::vec(prop_oneof![
            any::<f64>(), Just(f64::MAX), Just(f64::MIN), Just(f64::INFINITY), Just(f64::NAN),
            Just(5e-324), Just(-0.0), Just(1e300), Just(f64::from_bits(0x7ff0_0000_0000_0002)),
        ], 1..200), seed in any::<u64>(), before in 0i64..300,
    ) {
        let spec = spec();
        let mut track = grown(Shape::Noise, &spec, seed, before);
        let mut i = before;
        for v in odd {
            if let Taken::Kept { judgement: Some(j), .. } = track.take(&spec, i * STEP_MS, v)
                && let Some(score) = j.score
            {
                prop_assert!((0.0..1.0).contains(&score), "{} for {}", score, v);
            }
            i += 1;
        }
        let mut rng = fastrand::Rng::with_seed(seed);
        for _ in 0..spec.warmup + 5 {
            let j = feed(&mut track, &spec, i, 50.0 + 3.0 * gauss(&mut rng));
            if let Some(score) = j.score {
                prop_assert!((0.0..1.0).contains(&score));
            }
            i += 1;
        }
    }
}

#[test]
fn a_counter_reset_and_a_restart_of_the_target_are_no_anomaly() {
    let spec = spec();
    let mut track = Track::new(&spec, Some((Kind::Counter, Source::Metadata)));
    let mut rng = fastrand::Rng::with_seed(9);
    let (mut total, mut worst) = (1e9, 0.0f32);
    for i in 0..8000i64 {
        total += 150.0 + 10.0 * gauss(&mut rng);
        if i == 5000 {
            // The target restarts: a minute of nothing, then it counts from zero.
            total = 100.0;
        }
        if (5000..5004).contains(&i) {
            continue;
        }
        if let Taken::Kept {
            judgement: Some(j), ..
        } = track.take(&spec, i * STEP_MS, total)
            && i > 4990
        {
            worst = worst.max(j.score.unwrap_or(0.0));
            assert!(j.alarm.is_none(), "at {i}: {j:?}");
        }
    }
    assert!(worst < 0.7, "{worst}");
}

#[test]
fn after_a_gap_the_first_sample_is_no_jump() {
    let spec = spec();
    let mut rng = fastrand::Rng::with_seed(10);
    let mut track = Track::new(&spec, Some(gauge()));
    // A slow wave: what a day moved is no jump from one sample to the next.
    let value =
        |i: i64, rng: &mut fastrand::Rng| 100.0 + 30.0 * (i as f64 / 3000.0).sin() + gauss(rng);
    for i in 0..9000 {
        feed(&mut track, &spec, i, value(i, &mut rng));
    }
    let mut near = track.clone();
    let far = feed(&mut track, &spec, 9000 + 4000, value(9000 + 4000, &mut rng));
    assert!(far.score.unwrap() < 0.7, "{far:?}");
    let at_once = feed(&mut near, &spec, 9000, value(9000 + 4000, &mut rng));
    assert!(at_once.score.unwrap() >= 0.7, "{at_once:?}");
    for i in 0..200 {
        let j = feed(&mut track, &spec, 13_001 + i, value(13_001 + i, &mut rng));
        assert!(j.alarm.is_none_or(|a| a.severity == Severity::Low), "{j:?}");
    }
}

#[test]
fn absent_during_warm_up_and_present_right_after() {
    let spec = spec();
    let mut track = Track::new(&spec, Some(gauge()));
    let mut rng = fastrand::Rng::with_seed(1);
    for i in 0..i64::from(spec.warmup) {
        assert_eq!(feed(&mut track, &spec, i, gauss(&mut rng)).score, None);
    }
    let next = feed(&mut track, &spec, i64::from(spec.warmup), gauss(&mut rng));
    assert!(next.score.is_some());
}

#[test]
fn a_sample_is_scored_before_it_is_learned() {
    let spec = spec();
    let track = grown(Shape::Noise, &spec, 2, 1000);
    let wild = feed(&mut track.clone(), &spec, 1000, 1e6);
    // State that contained the value would cap its distance at sqrt(n - 1) scales.
    assert!(wild.score.unwrap() > 0.99, "{wild:?}");
    // And the band that judged it is the band from before.
    let before = track
        .judge()
        .band(&spec, 15_000.0, 1000 * STEP_MS, None)
        .unwrap();
    assert!(before.upper < 100.0);
}

#[test]
fn an_incident_is_not_normal_after_an_hour_and_is_after_the_stated_time() {
    let spec = spec();
    let mut track = grown(Shape::Noise, &spec, 3, 6000);
    let mut rng = fastrand::Rng::with_seed(4);
    let per_hour = 3_600_000 / STEP_MS;
    let mut over = Vec::new();
    for hour in 0..16 {
        let mut count = 0;
        for k in 0..per_hour {
            let i = 6000 + hour * per_hour + k;
            let j = feed(&mut track, &spec, i, 200.0 + 3.0 * gauss(&mut rng));
            count += u32::from(j.score.unwrap() >= 0.7);
        }
        over.push(count);
    }
    assert!(over[0] > 230, "first hour: {over:?}");
    assert!(over[1] > 230, "second hour: {over:?}");
    assert_eq!(over[13], 0, "after `adapt` (12 h) it is normal: {over:?}");
}

#[test]
fn a_silence_is_no_part_of_what_lasted() {
    let spec = spec();
    let mut track = grown(Shape::Noise, &spec, 3, 6000);
    let before = track
        .judge()
        .band(&spec, 15_000.0, 6000 * STEP_MS, None)
        .unwrap();
    feed(&mut track, &spec, 6000, 90.0);
    // Switched off over the night, and odd again at first.
    let next = 6000 + 13 * 3_600_000 / STEP_MS;
    feed(&mut track, &spec, next, 90.0);
    let after = track.judge().band(&spec, 15_000.0, next * STEP_MS, None);
    let after = after.expect("what was learned stays");
    assert!(
        after.lower > 0.0 && after.upper < 90.0,
        "{before:?} {after:?}"
    );
}

#[test]
fn a_short_incident_leaves_the_band_where_it_was() {
    let spec = spec();
    let mut track = grown(Shape::Noise, &spec, 5, 6000);
    let before = track
        .judge()
        .band(&spec, 15_000.0, 6000 * STEP_MS, None)
        .unwrap();
    for i in 0..240 {
        feed(&mut track, &spec, 6000 + i, 500.0);
    }
    // A sample under the line teaches in full; that it came back is an event of its own at first.
    let mut rng = fastrand::Rng::with_seed(6);
    for i in 6240..6400 {
        feed(&mut track, &spec, i, 50.0 + 3.0 * gauss(&mut rng));
    }
    let after = track
        .judge()
        .band(&spec, 15_000.0, 6400 * STEP_MS, None)
        .unwrap();
    let width = before.upper - before.lower;
    assert!(
        (after.expected - before.expected).abs() < 0.1 * width,
        "{before:?} {after:?}"
    );
    // The first samples of it do widen the band: a series that had an incident raises its own bar.
    assert!(
        after.upper - after.lower < 2.5 * width && after.upper < 100.0,
        "{before:?} {after:?}"
    );
}

#[test]
fn the_daily_rush_is_quiet_and_its_height_at_night_is_not() {
    let spec = spec();
    let mut rng = fastrand::Rng::with_seed(6);
    let mut track = Track::new(&spec, Some(gauge()));
    let per_day = 86_400_000 / STEP_MS;
    let level = |i: i64, rng: &mut fastrand::Rng| {
        let hour = (i % per_day) as f64 / per_day as f64 * 24.0;
        let rush = if (12.0..13.0).contains(&hour) {
            60.0
        } else {
            0.0
        };
        20.0 + rush + 2.0 * gauss(rng)
    };
    for i in 0..7 * per_day {
        feed(&mut track, &spec, i, level(i, &mut rng));
    }
    let mut rush_over = 0;
    for i in 7 * per_day..8 * per_day {
        let j = feed(&mut track, &spec, i, level(i, &mut rng));
        rush_over += u32::from(j.alarm.is_some_and(|a| a.severity >= Severity::Medium));
    }
    assert_eq!(
        rush_over, 0,
        "samples of the eighth day in a medium alarm or worse"
    );
    let night = 8 * per_day + per_day * 3 / 24;
    for i in 8 * per_day..night {
        feed(&mut track, &spec, i, level(i, &mut rng));
    }
    feed(&mut track, &spec, night, 80.0);
    let at_night = feed(&mut track, &spec, night + 1, 80.0);
    assert!(at_night.score.unwrap() >= 0.7, "{at_night:?}");
    assert_eq!(at_night.alarm.unwrap().reason, Reason::Season);
}

#[test]
fn severity_is_low_while_young() {
    let spec = spec();
    let mut track = grown(Shape::Noise, &spec, 7, 500);
    for i in 0..10 {
        let j = feed(&mut track, &spec, 500 + i, 5000.0);
        assert!(j.alarm.is_none_or(|a| a.severity == Severity::Low), "{j:?}");
    }
    let mut track = grown(Shape::Noise, &spec, 7, 5000);
    let worst = (0..10)
        .filter_map(|i| feed(&mut track, &spec, 5000 + i, 5000.0).alarm)
        .map(|a| a.severity)
        .max();
    assert_eq!(worst, Some(Severity::Critical));
}

#[test]
fn a_still_series_that_steps_is_at_home_in_its_new_value_after_an_hour() {
    let spec = spec();
    let mut track = Track::new(&spec, Some(gauge()));
    let over = |track: &mut Track, range: std::ops::Range<i64>, value: f64| {
        range
            .filter(|i| {
                let score = feed(track, &spec, *i, value).score;
                score.is_some_and(|s| s >= 0.7)
            })
            .count()
    };
    assert_eq!(over(&mut track, 0..3000, 7.0), 0);
    let an_hour = 3_600_000 / STEP_MS;
    assert!(over(&mut track, 3000..3000 + an_hour, 8.0) > 2);
    assert_eq!(over(&mut track, 3000 + an_hour..6000, 8.0), 0);
    assert_eq!(
        over(&mut track, 6000..6001, 9.0),
        1,
        "the next step is seen too"
    );
}

/// A raised line divides the evidence of its reason, from its time on; an order to learn nothing leaves
/// the model as it is, and one to alert nobody leaves the score.
#[test]
fn orders_count_from_their_time_on() {
    use saimon::model::orders::{NEUTRAL, Pause};
    let n = 3000;
    let at = n * STEP_MS;
    let mut raised = NEUTRAL;
    raised[Reason::Spike as usize] = 1.25;
    let ordered = |orders| SeriesSpec {
        orders: Some(Arc::new(orders)),
        ..spec()
    };
    let lines = |from_ms| {
        ordered(Orders {
            lines: [(from_ms, raised)].into(),
            pauses: Vec::new(),
        })
    };
    let track = grown(Shape::Noise, &spec(), 7, n);
    let spike = |spec: &SeriesSpec, value| feed(&mut track.clone(), spec, n, value);
    let deviation = |j: Judgement| j.evidence.unwrap().deviation;
    let plain = spike(&spec(), 90.0);
    assert!(deviation(plain) >= 1.25, "{plain:?}");
    assert_eq!(spike(&lines(at + 1), 90.0), plain);
    let less = spike(&lines(at), 90.0);
    assert!((deviation(less) * 1.25 / deviation(plain) - 1.0).abs() < 1e-6);
    assert!(less.score < plain.score);
    // The line of a drop is where it was.
    assert_eq!(spike(&lines(at), 10.0), spike(&spec(), 10.0));

    let pause = |learn, alert| {
        ordered(Orders {
            lines: [].into(),
            pauses: vec![Arc::new(Pause::new(
                1,
                learn,
                alert,
                vec![(at, at + 10 * STEP_MS)],
            ))],
        })
    };
    let mut taught = track.clone();
    let quiet = feed(&mut taught, &pause(true, false), n, 90.0);
    assert!(plain.alerts && !quiet.alerts);
    assert_eq!((quiet.score, quiet.alarm), (plain.score, plain.alarm));
    let mut frozen = track.clone();
    for i in 0..10 {
        let judged = feed(&mut frozen, &pause(false, true), n + i, 500.0);
        assert!(judged.alerts && judged.score.unwrap() >= 0.7, "{judged:?}");
    }
    assert_eq!(frozen.judge().usual(), track.judge().usual());
    assert_eq!(frozen.judge().seen(), track.judge().seen());
    assert_ne!(taught.judge().usual(), track.judge().usual());
    feed(&mut frozen, &pause(false, true), n + 10, 50.0);
    assert_eq!(frozen.judge().seen(), track.judge().seen() + 1);
}

/// What lasts for less than is asked for stays pending; what lasts becomes active, and not before.
#[test]
fn an_anomaly_becomes_active_when_it_has_lasted() {
    let active_after = |min_duration_ms: i64, min: Option<f64>| {
        let spec = SeriesSpec {
            min_duration_ms,
            min,
            ..spec()
        };
        let mut track = Track::new(&spec, Some((Kind::Gauge, Source::Rule)));
        let mut rng = fastrand::Rng::with_seed(5);
        for i in 0..3000 {
            feed(&mut track, &spec, i, 50.0 + gauss(&mut rng));
        }
        (3000..3400).find_map(|i| {
            let judged = feed(&mut track, &spec, i, 20.0 + gauss(&mut rng));
            let state = judged.alarm.map(|a| a.state);
            (state == Some(saimon::score::board::AlarmState::Active)).then_some(i - 3000)
        })
    };
    // Of the evidence, and of a rule that says so itself. What the series gets used to meanwhile may
    // be over before it has lasted.
    for min in [None, Some(30.0)] {
        let soon = active_after(0, min).unwrap();
        assert!(soon < 5, "{soon}");
        for least in [2, 8, 20] {
            let after = active_after(least * STEP_MS, min);
            assert!(after.is_none_or(|after| after >= least), "{after:?}");
        }
    }
}
