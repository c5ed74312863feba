//! History: how far the value lies from the mean of everything ever seen, in standard deviations.
//!
//! The plain z-score without forgetting (running variance: Welford 1962). It stays high for as long
//! as an incident lasts, which nothing that forgets can do; and its size is not calibrated by the
//! series' own tail, because raw size is what ranks incidents across series. 3 ln(1 + z): z = 3 is
//! worth 4.2.

use serde::{Deserialize, Serialize};

use super::bound::larger;
use super::tail;
use super::{Detector, Past, Seen};

/// Smallest standard deviation as a share of the mean.
const FLOOR_OF_MEAN: f64 = 1e-9;
/// Smallest standard deviation at all.
const FLOOR: f64 = 1e-12;
/// Standard deviations that one value counts at most: a counter that runs wild for one sample must
/// not make every later fault look small.
const REACH: f64 = 100.0;
/// Evidence of ln(1 + z) = 1.
const WORTH: f32 = 3.0;

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[repr(Rust, packed(4))]
pub struct History {
    mean: f64,
    /// Mean squared deviation.
    variance: f64,
    n: u32,
}

impl History {
    /// Values taken since the series, or its new behaviour, began.
    pub fn count(&self) -> u32 {
        self.n
    }

    /// Where all of them lie.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Forgets everything: a new behaviour is normal now.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

impl Detector for History {
    const NAME: &'static str = "level";

    #[inline]
    fn score(&self, past: &Past) -> Option<Seen> {
        let signal = past.value - self.mean;
        let floor = larger(FLOOR_OF_MEAN * self.mean.abs(), FLOOR);
        let z = signal.abs() / larger(self.variance.sqrt(), floor);
        let x = tail::size(z);
        Some(Seen {
            signal,
            x,
            evidence: WORTH * x,
        })
    }

    #[inline]
    fn absorb(&mut self, _past: &Past, seen: &Seen, weight: f64) {
        self.n = self.n.saturating_add(1);
        let gain = weight / f64::from(self.n);
        let signal = match REACH * self.variance.sqrt() {
            reach if reach > 0.0 => seen.signal.clamp(-reach, reach),
            _ => seen.signal,
        };
        self.mean += gain * signal;
        self.variance = (1.0 - gain) * (self.variance + gain * signal * signal);
    }
}
