//! Running averages of the residual over 5, 10, 30 and 60 samples, with their deviations: what
//! short changes are measured against, and most of what the forest sees.
//!
//! Exponentially weighted mean and variance (West 1979; Finch 2009): gain 2/(N+1), and 1/n while
//! fewer have been seen, so that the first values are no more than averages of themselves.

use serde::{Deserialize, Serialize};

/// How many averages there are.
pub const AVERAGES: usize = 4;
/// Samples that each spans.
pub const SPANS: [u16; AVERAGES] = [5, 10, 30, 60];
/// Places of the averages that are named elsewhere.
pub(super) const SPAN_5: usize = 0;
pub(super) const SPAN_10: usize = 1;
pub(super) const SPAN_30: usize = 2;
pub(super) const SPAN_60: usize = 3;

/// Smallest gain of each, 2/(N+1).
const GAINS: [f64; AVERAGES] = [2.0 / 6.0, 2.0 / 11.0, 2.0 / 31.0, 2.0 / 61.0];

/// Values from which on every gain is its smallest: 2/(60+1) is more than 1/31.
const GROWN: u8 = 31;

/// The averages of one series' residual and its deviations from them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[repr(Rust, packed)]
pub struct Averages {
    pub means: [f32; AVERAGES],
    pub deviations: [f32; AVERAGES],
    /// Values since the averages began, up to the longest span.
    seen: u8,
}

impl Averages {
    /// The averages once this residual is in them.
    #[inline]
    pub fn with(&self, residual: f64) -> Self {
        let next = Self {
            seen: self.seen.saturating_add(1).min(SPANS[AVERAGES - 1] as u8),
            ..*self
        };
        if next.seen >= GROWN {
            return next.moved(residual, &GAINS);
        }
        let first = 1.0 / f64::from(next.seen);
        next.moved(residual, &GAINS.map(|gain| gain.max(first)))
    }

    #[inline]
    fn moved(mut self, residual: f64, gains: &[f64; AVERAGES]) -> Self {
        for (i, gain) in gains.iter().enumerate() {
            let mean = f64::from(self.means[i]);
            let x = residual - mean;
            self.means[i] = (mean + gain * x) as f32;
            let before = f64::from(self.deviations[i]);
            let variance = (1.0 - gain) * (before * before + gain * x * x);
            self.deviations[i] = variance.sqrt() as f32;
        }
        self
    }

    /// Starts afresh with the next residual: what was before a long silence is no neighbour.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_and_deviations_settle_where_they_should() {
        let mut averages = Averages::default();
        for i in 0..1000 {
            averages = averages.with(if i % 2 == 0 { 9.0 } else { 11.0 });
        }
        for (mean, deviation) in { averages.means }.iter().zip(averages.deviations) {
            assert!((mean - 10.0).abs() < 0.5, "{averages:?}");
            assert!((deviation - 1.0).abs() < 0.15, "{averages:?}");
        }
        averages.restart();
        let Averages {
            means, deviations, ..
        } = averages.with(5.0);
        assert_eq!((means, deviations), ([5.0; AVERAGES], [0.0; AVERAGES]));
    }
}
