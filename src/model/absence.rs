//! A series that is silent for longer than it ever is, while others of its target still speak.
//!
//! The longest silence between two samples is kept as the longest run is in [`super::flatline`]. A
//! tick of the shard, not a sample, asks whether the silence now is more than five times that, and at
//! least five minutes (Prometheus' look-back). Whether that says something of the series depends on
//! the others: when nothing at all came in, the gap is ours; when the whole target is silent or its
//! `up` is 0, the target is down, which is one message and not one for each of its series. A series
//! that ended by a stale marker is not silent: it said good-bye.
//!
//! Cost: a comparison and a few additions a sample, 12 bytes. What it can't see: a series that was
//! never there, and one with less than 20 samples.

use serde::{Deserialize, Serialize};

/// Silences before one can be too long.
const KNOWN: u8 = 20;
/// A silence is too long from this many times the longest on ...
const TIMES: f32 = 5.0;
/// ... but never before this, in milliseconds.
const SILENCE_MIN_MS: f32 = 300_000.0;
/// What is left of the longest silence after each sample.
const FADES: f32 = 0.9995;
/// The target, or everything, is silent after this many of the longest silences.
const OTHERS_TIMES: f32 = 2.0;

/// What the asker knows of the others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    pub now_ms: i64,
    /// The newest sample of any other series of the same target (same `job` and `instance`); `None`
    /// if the series belongs to no target or is the only one of it.
    pub target_ms: Option<i64>,
    /// The newest value of the target's `up`.
    pub up: Option<bool>,
    /// The newest sample of any series at all.
    pub any_ms: i64,
}

/// Why a series is silent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Silence {
    /// It is no longer silent than it usually is.
    Usual,
    /// Nothing at all comes in: nobody knows.
    Intake,
    /// Its whole target is silent or down.
    Target,
    /// It alone: how long, in units of what is too long; at least 1.
    Absent(f32),
}

/// The rhythm of one series' samples.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
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

    /// The silence from which on the series is absent, in milliseconds; `None` while that is not
    /// known.
    pub fn too_long_ms(&self) -> Option<f32> {
        (self.silences >= KNOWN).then(|| (TIMES * self.longest).max(SILENCE_MIN_MS))
    }

    /// What to make of the silence since `last_ms`, the newest sample of the series.
    pub fn ask(&self, last_ms: i64, around: &Around) -> Silence {
        let Some(too_long) = self.too_long_ms() else {
            return Silence::Usual;
        };
        let since = |ms: i64| around.now_ms.saturating_sub(ms) as f32;
        let ratio = since(last_ms) / too_long;
        if ratio < 1.0 {
            return Silence::Usual;
        }
        let quiet = OTHERS_TIMES * self.longest;
        if since(around.any_ms) > quiet {
            return Silence::Intake;
        }
        let target = around.target_ms.is_some_and(|ms| since(ms) > quiet);
        if around.up == Some(false) || target {
            return Silence::Target;
        }
        Silence::Absent(ratio)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regular() -> Rhythm {
        let mut rhythm = Rhythm::default();
        for _ in 0..100 {
            rhythm.take(15_000.0);
        }
        rhythm
    }

    fn around(now_ms: i64) -> Around {
        Around {
            now_ms,
            target_ms: Some(now_ms - 10_000),
            up: Some(true),
            any_ms: now_ms - 1000,
        }
    }

    #[test]
    fn a_series_that_stops_alone_is_absent_after_five_minutes() {
        let rhythm = regular();
        assert_eq!(rhythm.ask(0, &around(299_000)), Silence::Usual);
        assert!(matches!(rhythm.ask(0, &around(301_000)), Silence::Absent(r) if r >= 1.0));
    }

    #[test]
    fn a_target_that_is_down_and_our_own_gap_are_told_apart() {
        let rhythm = regular();
        let now = around(400_000);
        let down = Around {
            up: Some(false),
            ..now
        };
        assert_eq!(rhythm.ask(0, &down), Silence::Target);
        let whole = Around {
            target_ms: Some(0),
            ..now
        };
        assert_eq!(rhythm.ask(0, &whole), Silence::Target);
        let ours = Around {
            any_ms: 0,
            target_ms: Some(0),
            ..now
        };
        assert_eq!(rhythm.ask(0, &ours), Silence::Intake);
    }

    #[test]
    fn a_series_that_pauses_is_given_its_pause() {
        let mut rhythm = regular();
        rhythm.take(3_600_000.0);
        assert_eq!(rhythm.ask(0, &around(4 * 3_600_000)), Silence::Usual);
        assert!(matches!(
            rhythm.ask(0, &around(6 * 3_600_000)),
            Silence::Absent(_)
        ));
    }

    #[test]
    fn a_young_series_is_not_missed() {
        let mut rhythm = Rhythm::default();
        rhythm.take(15_000.0);
        assert_eq!(rhythm.ask(0, &around(1 << 40)), Silence::Usual);
    }
}
