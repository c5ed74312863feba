//! Running location and scale that one wild value cannot move: the step every scale is learned by.
//!
//! A stochastic-approximation M-estimator (Huber 1964 with the recursive gain of Robbins and Monro
//! 1951): each value moves the location by a share of its deviation, clipped at three scales, and
//! the scale towards 1.2533 times that deviation, which is the standard deviation where the noise
//! is Gaussian (E|x| = sigma * sqrt(2/pi)). Nothing is sorted or stored.

use serde::{Deserialize, Serialize};

use super::bound::larger;

/// Deviations count at most this many scales.
pub(super) const CLIP: f64 = 3.0;
/// Values before clipping starts: until then the scale is a guess.
pub(super) const CLIP_FROM: u32 = 20;
/// sqrt(pi/2): mean absolute deviation to standard deviation, for Gaussian noise.
pub(super) const MAD_TO_SIGMA: f64 = 1.253_314_137_315_500_3;

/// A deviation as it may be learned; `n` counts the values, this one included.
pub(super) fn clipped(deviation: f64, scale: f64, n: u32) -> f64 {
    if n <= CLIP_FROM || scale <= 0.0 {
        return deviation;
    }
    let at = CLIP * scale;
    deviation.clamp(-at, at)
}

/// Location and scale of one signal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Robust {
    at: f32,
    scale: f32,
}

impl Robust {
    /// Distance of a signal from its location in units of its scale, but of `floor` at least;
    /// signed.
    pub fn distance(&self, x: f64, floor: f64) -> f64 {
        (x - f64::from(self.at)) / larger(f64::from(self.scale), floor)
    }

    /// The same of a signal `factor` times as large; `factor` is positive.
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            at: (f64::from(self.at) * factor) as f32,
            scale: (f64::from(self.scale) * factor) as f32,
        }
    }

    pub fn location(&self) -> f64 {
        f64::from(self.at)
    }

    pub fn scale(&self) -> f64 {
        f64::from(self.scale)
    }

    /// As [`Robust::distance`], where the scale is `factor` times what it is on the whole.
    pub fn distance_at(&self, x: f64, factor: f64, floor: f64) -> f64 {
        (x - f64::from(self.at)) / larger(factor * f64::from(self.scale), floor)
    }

    /// Takes the signal; `n` counts the values, this one included.
    #[inline]
    pub fn take(&mut self, x: f64, gain: f64, n: u32) {
        let c = clipped(x - f64::from(self.at), f64::from(self.scale), n);
        self.at += (gain * c) as f32;
        self.scale += (gain * (MAD_TO_SIGMA * c.abs() - f64::from(self.scale))) as f32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_location_and_scale_and_one_wild_value_moves_next_to_nothing() {
        let mut rng = fastrand::Rng::with_seed(7);
        let mut robust = Robust::default();
        for n in 1..5000u32 {
            let z = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            robust.take(100.0 + 5.0 * z, 1.0 / f64::from(n.min(2000)), n);
        }
        assert!((robust.at - 100.0).abs() < 0.5, "{robust:?}");
        assert!((robust.scale - 5.0).abs() < 0.4, "{robust:?}");
        let before = robust;
        robust.take(1e9, 1.0 / 2000.0, 5000);
        assert!((robust.at - before.at).abs() < 0.01);
        assert!(robust.scale < before.scale * 1.01);
        assert!(robust.distance(1e9, 1e-9) > 1e8);
    }
}
