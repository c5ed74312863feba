//! A series that falls silent: alone, with its target, with everything.

use saimon::config::Severity;
use saimon::generate::clean::{Kind, Stream};
use saimon::model::SeriesSpec;
use saimon::model::absence::Around;
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
        let judge = track.judge_mut();
        judge.hear_silence(&spec, &around(now_ms, last_ms));
        let alarm = track.alarm().filter(|a| a.state == AlarmState::Active);
        if let Some(alarm) = alarm {
            assert_eq!(alarm.reason, Reason::Absent);
            assert!(alarm.severity <= Severity::Medium, "{alarm:?}");
            return (Some(tick), track);
        }
    }
    (None, track)
}

fn alone(now_ms: i64, _: i64) -> Around {
    Around {
        now_ms,
        target_ms: Some(now_ms),
        up: Some(true),
        any_ms: now_ms,
    }
}

#[test]
fn a_series_that_is_silent_alone_is_missed_and_its_return_ends_it() {
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
        target_ms: Some(last_ms),
        up: Some(false),
        ..alone(now_ms, last_ms)
    };
    let stopped = |now_ms, last_ms| Around {
        target_ms: Some(last_ms),
        any_ms: last_ms,
        ..alone(now_ms, last_ms)
    };
    for run in 0..10 {
        assert_eq!(missed(run, 60, down).0, None);
        assert_eq!(missed(run, 60, stopped).0, None);
    }
}
