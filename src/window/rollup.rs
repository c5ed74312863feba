//! The long past in rows of five minutes: least, greatest, mean, number and last of the finite
//! samples.
//!
//! Rows are aligned to multiples of five minutes of Unix time, so that rows of different series and
//! different processes cover the same spans. What always holds: least, greatest and last are
//! values that were sampled, to the bit (but -0.0 is 0.0): a single-precision float has 24 bits, and
//! a counter of bytes needs 50, of which the differences between rows are the low ones. The mean is
//! kept as one of 4,096 levels between least and greatest: the largest error is 1/8,190 of their
//! distance, which for independent samples of any usual spread is less than a hundredth of the
//! standard error that the mean of up to 300 samples has anyway; it costs 12 bits where a float
//! costs 64. Rates over rows are taken from `last`, which is exact. What it does not know: counter
//! resets within a row, and what a sample means.

mod block;

use serde::{Deserialize, Serialize};

pub use block::{ROWS_MAX, RollupError, between, decode, encode, span};

/// Length of a row in milliseconds.
pub const STEP_MS: i64 = 300_000;

/// The level of a mean that is the greatest sample.
const LEVEL_MAX: u16 = 4095;

/// What is left of the samples in `[start_ms, start_ms + STEP_MS)`; there was at least one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row {
    /// In steps of five minutes since 1970.
    slot: i64,
    count: u32,
    min: f64,
    max: f64,
    last: f64,
    /// 0 to [`LEVEL_MAX`]; 0 if `min == max`.
    level: u16,
}

impl Row {
    /// Beginning of the five minutes, a multiple of [`STEP_MS`].
    pub fn start_ms(&self) -> i64 {
        self.slot.saturating_mul(STEP_MS)
    }

    /// Samples, at least 1; more than `u32::MAX` count as that many.
    pub fn count(&self) -> u32 {
        self.count
    }

    pub fn min(&self) -> f64 {
        self.min
    }

    pub fn max(&self) -> f64 {
        self.max
    }

    /// The newest sample.
    pub fn last(&self) -> f64 {
        self.last
    }

    /// Mean of the samples, to 1/8,190 of the distance from [`Self::min`] to [`Self::max`]; never
    /// outside them.
    pub fn mean(&self) -> f64 {
        match self.level {
            0 => self.min,
            LEVEL_MAX => self.max,
            level => {
                let share = f64::from(level) / f64::from(LEVEL_MAX);
                // Not min + share * (max - min): the distance may be larger than any float.
                let mean = self.min * (1.0 - share) + self.max * share;
                mean.clamp(self.min, self.max)
            }
        }
    }
}

/// Makes the rows of one series from its samples, in order of time.
///
/// Small, because there is one for every series; read back from disk it goes on where it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Builder {
    slot: i64,
    /// 0 before the first finite sample of the slot.
    count: u32,
    min: f64,
    max: f64,
    mean: f64,
    last: f64,
}

impl Builder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a sample; gives the row that is finished by it, if it is the first one behind that
    /// row. NaN and infinity finish rows and are in none. A sample from before the open row is left
    /// out.
    pub fn take(&mut self, t_ms: i64, value: f64) -> Option<Row> {
        let slot = t_ms.div_euclid(STEP_MS);
        if self.count > 0 && slot < self.slot {
            return None;
        }
        let finished = match slot > self.slot {
            true => self.finish(),
            false => None,
        };
        if !value.is_finite() {
            return finished;
        }
        // -0.0 to 0.0; all else stays.
        let value = value + 0.0;
        if self.count == 0 {
            *self = Self {
                slot,
                count: 1,
                min: value,
                max: value,
                mean: value,
                last: value,
            };
            return finished;
        }
        self.count = self.count.saturating_add(1);
        self.min = if value < self.min { value } else { self.min };
        self.max = if value > self.max { value } else { self.max };
        let share = f64::from(self.count).recip();
        // In this form nothing overflows.
        self.mean = self.mean * (1.0 - share) + value * share;
        self.last = value;
        finished
    }

    /// The row as it is now, which may still change; `None` if it has no sample.
    pub fn open(&self) -> Option<Row> {
        (self.count > 0).then(|| Row {
            slot: self.slot,
            count: self.count,
            min: self.min,
            max: self.max,
            last: self.last,
            level: level(self.min, self.max, self.mean),
        })
    }

    /// Ends the open row: the series has ended.
    pub fn finish(&mut self) -> Option<Row> {
        let row = self.open();
        self.count = 0;
        row
    }
}

/// The level nearest to `mean`.
fn level(min: f64, max: f64, mean: f64) -> u16 {
    // Halves, because the distance may be larger than any float. The smallest float has no half, and
    // a distance of nothing is no distance.
    let (distance, above) = (max / 2.0 - min / 2.0, mean / 2.0 - min / 2.0);
    if distance <= 0.0 {
        return 0;
    }
    let share = (above / distance).clamp(0.0, 1.0);
    (share * f64::from(LEVEL_MAX)).round() as u16
}

#[cfg(test)]
mod tests;
