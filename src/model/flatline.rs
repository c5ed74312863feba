//! A value that used to move and doesn't.
//!
//! A run of equal values is compared with the longest one so far: more than ten times as long is a
//! sensor, a collector or a counter that is stuck. Where changes come at random the longest of N runs
//! is ln N mean runs long and the next is ten times that with probability N^-9; a series that rests
//! at night has to have rested once. Evidence does not depend on the value's size, so that a stuck
//! value is seen at normal values too.
//!
//! Cost: a comparison and a few additions a sample, 9 bytes. What it can't see: a value that is stuck
//! before it has changed 20 times, and one that is stuck for less than 40 samples.

use serde::{Deserialize, Serialize};

/// Changes before a run can be too long.
const KNOWN: u8 = 20;
/// A run is too long from this many times the longest on.
const TIMES: f32 = 10.0;
/// The longest run is taken for this at least.
const LONGEST_MIN: f32 = 4.0;
/// What is left of the longest run after each change: what happened a thousand changes ago fades.
const FADES: f32 = 0.999;

/// Runs of equal values of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[repr(Rust, packed)]
pub struct Flatline {
    /// Samples in a row that brought no change.
    run: u32,
    longest: f32,
    changes: u8,
}

impl Flatline {
    /// How long the run would be with one more sample, in units of what is too long; `changed` says
    /// that it differs from the one before. 1 and more is a flatline.
    pub fn ratio(&self, changed: bool) -> f32 {
        if changed || self.changes < KNOWN {
            return 0.0;
        }
        (self.run as f32 + 1.0) / (TIMES * self.longest.max(LONGEST_MIN))
    }

    /// Takes a sample.
    pub fn take(&mut self, changed: bool) {
        if changed {
            self.longest = (FADES * self.longest).max(self.run as f32);
            self.run = 0;
            self.changes = self.changes.saturating_add(1).min(KNOWN);
        } else {
            self.run = self.run.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moving(runs: impl IntoIterator<Item = u32>) -> Flatline {
        let mut flat = Flatline::default();
        for run in runs {
            flat.take(true);
            for _ in 0..run {
                flat.take(false);
            }
        }
        flat.take(true);
        flat
    }

    fn delay(mut flat: Flatline, most: u32) -> Option<u32> {
        (1..=most).find(|_| {
            let over = flat.ratio(false) >= 1.0;
            flat.take(false);
            over
        })
    }

    #[test]
    fn a_moving_value_that_stops_is_seen_after_forty_samples() {
        assert_eq!(delay(moving([0; 50]), 100), Some(40));
        assert_eq!(delay(moving([7; 50]), 100), Some(70));
    }

    #[test]
    fn a_series_that_rests_is_given_its_rest() {
        let nights = (0..200).map(|i| if i % 20 == 19 { 1000 } else { 0 });
        assert_eq!(delay(moving(nights), 3000), None);
    }

    #[test]
    fn few_changes_are_no_movement() {
        assert_eq!(delay(moving([0; 10]), 5000), None);
    }

    #[test]
    fn sparse_and_rarely_stepping_series_are_quiet() {
        for (seed, one_in) in [(1, 10), (2, 500), (3, 3)] {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut flat = Flatline::default();
            let mut over = 0;
            for _ in 0..200_000 {
                let changed = rng.u32(..one_in) == 0;
                over += u32::from(flat.ratio(changed) >= 1.0);
                flat.take(changed);
            }
            assert_eq!(over, 0, "one in {one_in}");
        }
    }
}
