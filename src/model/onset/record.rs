//! The highest and lowest value a signal ever had, and what it is worth to leave them behind.

use serde::{Deserialize, Serialize};

/// Samples in which the range would shrink to nothing, if no value held it up: records of long ago
/// must not blind a series for ever. Linear, so that a third of a year at five minutes costs next to
/// nothing and three weeks at fifteen seconds are forgotten.
const FORGETS: f32 = 100_000.0;
/// How fast worth rises with the excess, in units of the range.
const STEEPNESS: f32 = 20.0;
/// Most that one signal is worth, before its weight.
const WORTH_MAX: f32 = 3.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    high: f32,
    low: f32,
}

impl Record {
    pub(super) fn of(x: f32) -> Self {
        Self { high: x, low: x }
    }

    /// How far outside a value lies; not above 0 for a value inside.
    pub(super) fn outside(&self, x: f32) -> f32 {
        (x - self.high).max(self.low - x)
    }

    pub(super) fn range(&self) -> f32 {
        self.high - self.low
    }

    pub(super) fn take(&mut self, x: f32) {
        let shrink = self.range() * (1.0 / FORGETS);
        self.high = (self.high - shrink).max(x);
        self.low = (self.low + shrink).min(x);
    }
}

/// What an excess, in ranges, is worth: the logarithm, so that one wild signal does not outweigh five odd ones.
pub(super) fn worth(excess: f32) -> f32 {
    (1.0 + STEEPNESS * excess).ln().min(WORTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_nothing_and_outside_is_a_distance() {
        let mut record = Record::of(0.0);
        record.take(10.0);
        assert!(record.outside(5.0) <= 0.0);
        assert!((record.outside(15.0) - 5.0).abs() < 1e-3);
        assert!((record.outside(-5.0) - 5.0).abs() < 1e-3);
        assert!((record.range() - 10.0).abs() < 1e-3);
        assert_eq!(worth(1e30), WORTH_MAX);
    }

    #[test]
    fn an_old_record_is_forgotten() {
        let mut record = Record::of(0.0);
        record.take(100.0);
        for _ in 0..200_000 {
            record.take(1.0);
        }
        assert!(record.range() < 20.0 && record.outside(90.0) > 60.0);
    }
}
