//! A series that is silent for longer than it ever is, while others of its target still speak.
//!
//! The longest silence between two samples is kept as the longest run is in [`super::flatline`]. A
//! tick of the shard, not a sample, asks whether the silence now is more than five times that, and at
//! least `detect.absent`: five minutes (Prometheus' look-back). Whether that says something of the series depends on
//! the others: when nothing at all came in, the gap is ours; when the whole target is silent or its
//! `up` is 0, the target is down, which is one message and not one for each of its series. A series
//! that ended by a stale marker is not silent: it said good-bye.
//!
//! Cost: a comparison and a few additions a sample, 5 bytes. What it can't see: a series that was
//! never there, and one with less than 20 samples.

use serde::{Deserialize, Serialize};

/// Silences before one can be too long.
const KNOWN: u8 = 20;
/// A silence is too long from this many times the longest on.
const TIMES: f32 = 5.0;
/// What is left of the longest silence after each sample.
const FADES: f32 = 0.9995;
/// The target, or everything, is silent after this many of the longest silences ...
const OTHERS_TIMES: f32 = 2.0;
/// ... but not before this, in milliseconds, because what is known of others is some seconds old ...
const OTHERS_MIN_MS: f32 = 60_000.0;
/// ... or this share of what is too long, where that is short.
const OTHERS_SHARE: f32 = 0.5;

/// The last pause of others: in it nobody could be heard.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pause {
    pub length_ms: i64,
    pub end_ms: i64,
}

/// What is known of others together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Others {
    /// The newest sample of any of them.
    pub newest_ms: i64,
    pub pause: Pause,
}

/// What the asker knows of the others. All times are by one clock, the asker's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    pub now_ms: i64,
    /// All series of the same target (same `job` and `instance`), this one included; `None` if it
    /// belongs to no target.
    pub target: Option<Others>,
    /// The newest value of the target's `up`.
    pub up: Option<bool>,
    /// All series there are.
    pub any: Others,
}

/// Why a series is silent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Silence {
    /// It is no longer silent than it usually is.
    Usual,
    /// Nothing at all comes in: nobody knows.
    Intake,
    /// Its whole target is silent; how long, as below.
    Target(f32),
    /// Its target is down, as `up` says.
    Down,
    /// It alone: how long, in units of what is too long; at least 1.
    Absent(f32),
}

/// The rhythm of one series' samples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[repr(Rust, packed)]
pub struct Rhythm {
    /// Longest time between two samples, in milliseconds.
    longest: f32,
    silences: u8,
}

impl Rhythm {
    /// Takes a sample that came so long after the one before. After our own gap, that of the target or
    /// a stale marker it is not to be told.
    pub fn take(&mut self, silence_ms: f64) {
        self.longest = (FADES * self.longest).max(silence_ms as f32);
        self.silences = self.silences.saturating_add(1).min(KNOWN);
    }

    /// The silence from which on the series is absent, at least `least_ms`, in milliseconds; `None`
    /// while that is not known, and if `least_ms` is 0.
    pub fn too_long_ms(&self, least_ms: i64) -> Option<f32> {
        (self.silences >= KNOWN && least_ms > 0)
            .then(|| (TIMES * self.longest).max(least_ms as f32))
    }

    /// What to make of the silence since `last_ms`, when the newest sample of the series came. A pause
    /// of all others that is long for the series is not its own: its silence counts from the end of
    /// that.
    pub fn ask(&self, last_ms: i64, least_ms: i64, around: &Around) -> Silence {
        let Some(too_long) = self.too_long_ms(least_ms) else {
            return Silence::Usual;
        };
        let since = |ms: i64| around.now_ms.saturating_sub(ms) as f32;
        let quiet = (OTHERS_TIMES * self.longest).max(OTHERS_MIN_MS.min(OTHERS_SHARE * too_long));
        if since(around.any.newest_ms) > quiet {
            return Silence::Intake;
        }
        let heard = |from_ms: i64, others: &Others| match others.pause.length_ms as f32 > quiet {
            true => from_ms.max(others.pause.end_ms),
            false => from_ms,
        };
        let from_ms = heard(last_ms, &around.any);
        let from_ms = around.target.iter().fold(from_ms, heard);
        let ratio = since(from_ms) / too_long;
        if ratio < 1.0 {
            return Silence::Usual;
        }
        if around.up == Some(false) {
            return Silence::Down;
        }
        match around.target {
            Some(target) if since(target.newest_ms) > quiet => Silence::Target(ratio),
            _ => Silence::Absent(ratio),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST_MS: i64 = 300_000;

    fn regular() -> Rhythm {
        let mut rhythm = Rhythm::default();
        for _ in 0..100 {
            rhythm.take(15_000.0);
        }
        rhythm
    }

    fn heard(newest_ms: i64) -> Others {
        Others {
            newest_ms,
            pause: Pause::default(),
        }
    }

    fn around(now_ms: i64) -> Around {
        Around {
            now_ms,
            target: Some(heard(now_ms - 10_000)),
            up: Some(true),
            any: heard(now_ms - 1000),
        }
    }

    #[test]
    fn a_series_that_stops_alone_is_absent_after_five_minutes() {
        let rhythm = regular();
        assert_eq!(rhythm.ask(0, LEAST_MS, &around(299_000)), Silence::Usual);
        assert!(
            matches!(rhythm.ask(0, LEAST_MS, &around(301_000)), Silence::Absent(r) if r >= 1.0)
        );
    }

    #[test]
    fn a_target_that_is_down_and_our_own_gap_are_told_apart() {
        let rhythm = regular();
        let now = around(400_000);
        let down = Around {
            up: Some(false),
            ..now
        };
        assert_eq!(rhythm.ask(0, LEAST_MS, &down), Silence::Down);
        let whole = Around {
            target: Some(heard(0)),
            ..now
        };
        assert!(matches!(rhythm.ask(0, LEAST_MS, &whole), Silence::Target(r) if r >= 1.0));
        let ours = Around {
            any: heard(0),
            target: Some(heard(0)),
            ..now
        };
        assert_eq!(rhythm.ask(0, LEAST_MS, &ours), Silence::Intake);
    }

    #[test]
    fn after_a_pause_of_all_a_series_has_its_time_again() {
        let rhythm = regular();
        let pause = Pause {
            length_ms: 3_600_000,
            end_ms: 3_600_000,
        };
        let ask = |now_ms: i64, target: bool| {
            let mut all = around(now_ms);
            match (target, &mut all.target) {
                (true, Some(target)) => target.pause = pause,
                _ => all.any.pause = pause,
            }
            rhythm.ask(0, LEAST_MS, &all)
        };
        for target in [false, true] {
            assert_eq!(ask(3_610_000, target), Silence::Usual);
            assert_eq!(ask(3_890_000, target), Silence::Usual);
            assert!(matches!(ask(3_901_000, target), Silence::Absent(_)));
        }
        // To a series that comes once an hour it was no pause.
        let mut slow = Rhythm::default();
        (0..30).for_each(|_| slow.take(3_600_000.0));
        let mut all = around(6 * 3_600_000);
        all.any.pause = pause;
        assert!(matches!(slow.ask(0, LEAST_MS, &all), Silence::Absent(_)));
    }

    #[test]
    fn a_series_that_pauses_is_given_its_pause() {
        let mut rhythm = regular();
        rhythm.take(3_600_000.0);
        assert_eq!(
            rhythm.ask(0, LEAST_MS, &around(4 * 3_600_000)),
            Silence::Usual
        );
        assert!(matches!(
            rhythm.ask(0, LEAST_MS, &around(6 * 3_600_000)),
            Silence::Absent(_)
        ));
    }

    #[test]
    fn a_series_that_nobody_wants_missed_is_not() {
        let all = around(1 << 40);
        assert_eq!(regular().ask(0, 0, &all), Silence::Usual);
        assert!(matches!(regular().ask(0, 1, &all), Silence::Absent(_)));
    }

    #[test]
    fn a_young_series_is_not_missed() {
        let mut rhythm = Rhythm::default();
        rhythm.take(15_000.0);
        assert_eq!(rhythm.ask(0, LEAST_MS, &around(1 << 40)), Silence::Usual);
    }
}
