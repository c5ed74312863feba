//! A series that falls silent: alone, with its target, with everything.

use saimon::config::Severity;
use saimon::generate::clean::{Kind, Stream};
use saimon::model::SeriesSpec;
use saimon::model::absence::{Around, Others, Pause, Silence};
use saimon::score::board::{AlarmState, Reason};
use saimon::score::track::{Taken, Track};
use saimon::series::kind::{Kind as Scored, Source};

const START_MS: i64 = 1_769_558_400_000;
const STEP_MS: i64 = 15_000;
const BEFORE: i64 = 3000;
const TICK_MS: i64 = 60_000;

/// Ticks of a minute until the series is missed, at most `ticks`; the track as it is then.
fn missed(run: u64, ticks: i64, around: impl Fn(i64, i64) -> Around) -> (Option<i64>, Track) {
    let spec = SeriesSpec::default();
    let mut track = Track::new(&spec, Some((Scored::Gauge, Source::Metadata)));
    let mut stream = Stream::new(Kind::Gaussian, 100, run);
    let mut last_ms = START_MS;
    for i in 0..BEFORE {
        last_ms = START_MS + i * STEP_MS;
        track.take(&spec, last_ms, stream.next(last_ms));
    }
    for tick in 1..=ticks {
        let now_ms = last_ms + tick * TICK_MS;
        let judge = track.judge();
        if let Silence::Absent(ratio) = judge.silence(&spec, last_ms, &around(now_ms, last_ms)) {
            let (score, alarm) = judge.absence(&spec, ratio, now_ms);
            assert_eq!(alarm.reason, Reason::Absent);
            assert_eq!(alarm.state, AlarmState::Active);
            assert!(
                score >= 0.7 && alarm.severity <= Severity::Medium,
                "{alarm:?}"
            );
            return (Some(tick), track);
        }
    }
    (None, track)
}

fn heard(newest_ms: i64) -> Others {
    Others {
        newest_ms,
        pause: Pause::default(),
    }
}

fn alone(now_ms: i64, _: i64) -> Around {
    Around {
        now_ms,
        target: Some(heard(now_ms)),
        up: Some(true),
        any: heard(now_ms),
    }
}

#[test]
fn a_series_that_is_silent_alone_is_missed_and_nothing_is_held_against_its_return() {
    for run in 0..10 {
        let (found, mut track) = missed(run, 15, alone);
        assert!(
            found.is_some_and(|ticks| (5..=10).contains(&ticks)),
            "{found:?}"
        );
        let spec = SeriesSpec::default();
        let mut stream = Stream::new(Kind::Gaussian, 100, run);
        let back_ms = START_MS + BEFORE * STEP_MS + 20 * TICK_MS;
        for i in 0..20 {
            let t_ms = back_ms + i * STEP_MS;
            let taken = track.take(&spec, t_ms, stream.next(t_ms));
            assert!(matches!(taken, Taken::Kept { .. }));
        }
        assert_eq!(track.alarm(), None, "run {run}");
    }
}

#[test]
fn a_target_that_is_down_and_an_intake_that_stopped_are_not_its_silence() {
    let down = |now_ms, last_ms| Around {
        up: Some(false),
        ..alone(now_ms, last_ms)
    };
    let silent = |now_ms, last_ms| Around {
        target: Some(heard(last_ms)),
        ..alone(now_ms, last_ms)
    };
    let stopped = |now_ms, last_ms| Around {
        target: Some(heard(last_ms)),
        any: heard(last_ms),
        ..alone(now_ms, last_ms)
    };
    for run in 0..10 {
        assert_eq!(missed(run, 60, down).0, None);
        assert_eq!(missed(run, 60, silent).0, None);
        assert_eq!(missed(run, 60, stopped).0, None);
    }
}
