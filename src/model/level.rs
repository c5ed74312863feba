//! The level of a series: where its values lie and how widely, over a week.
//!
//! Everything else is measured in its scale. The location is f64 because a series may vary by little
//! around a large value.

use serde::{Deserialize, Serialize};

use super::bound::larger;
use super::pace;
use super::robust::{MAD_TO_SIGMA, clipped};

/// The scale is never below this share of the location: f64 noise of a large constant is nothing.
const FLOOR_OF_LOCATION: f64 = 1e-6;
/// And never below this, for series around zero.
const FLOOR: f64 = 1e-9;
/// Distances from the level count at most this many scales where they are learned from.
const Z_MAX: f64 = 30.0;

/// Robust running location and scale of one series' scored values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Level {
    location: f64,
    spread: f32,
    n: u32,
}

impl Level {
    /// Values taken since the series, or its new behaviour, began.
    pub fn count(&self) -> u32 {
        self.n
    }

    pub fn location(&self) -> f64 {
        self.location
    }

    /// What no scale of this series may be below.
    pub fn floor(&self) -> f64 {
        FLOOR_OF_LOCATION * self.location.abs() + FLOOR
    }

    /// The scale, floored: positive always.
    pub fn scale(&self) -> f64 {
        larger(f64::from(self.spread), self.floor())
    }

    /// Distance of a value in scales, as far as it is learned from.
    #[inline]
    pub fn z(&self, value: f64) -> f32 {
        ((value - self.location) / self.scale()).clamp(-Z_MAX, Z_MAX) as f32
    }

    /// Of another series around `location`, which moves `factor` times as much as this one; as if it
    /// had been seen in `n` values.
    pub(super) fn adopted(&self, location: f64, factor: f64, n: u32) -> Self {
        Self {
            location,
            spread: (f64::from(self.spread) * factor) as f32,
            n,
        }
    }

    /// Takes one finite value; `horizon` is the memory in values.
    #[inline]
    pub fn take(&mut self, value: f64, horizon: f32) {
        self.n = self.n.saturating_add(1);
        if self.n == 1 {
            self.location = value;
            return;
        }
        let gain = pace::gain(self.n, horizon);
        let c = clipped(value - self.location, f64::from(self.spread), self.n);
        self.location += gain * c;
        self.spread += (gain * (MAD_TO_SIGMA * c.abs() - f64::from(self.spread))) as f32;
    }

    /// Starts afresh around a value: a new behaviour has lasted long enough to be normal.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}
