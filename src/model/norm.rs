//! Location, scale and stillness of one series: what every model measures in.
//!
//! A stochastic-approximation M-estimator (Huber 1964 with the recursive gain of Robbins and Monro
//! 1951): each value moves the location by a share of its deviation, clipped at three scales, and
//! the scale towards 1.2533 times that deviation, which is the standard deviation where the noise
//! is Gaussian (E|x| = sigma * sqrt(2/pi)). The gain is 1/n up to a horizon of a week. So one wild
//! value moves nothing, and nothing has to be sorted or stored.

use serde::{Deserialize, Serialize};

/// Deviations count at most this many scales.
const CLIP: f64 = 3.0;
/// Values before clipping starts: until then the scale is a guess.
const CLIP_FROM: u32 = 20;
/// sqrt(pi/2): mean absolute deviation to standard deviation, for Gaussian noise.
const MAD_TO_SIGMA: f64 = 1.253_314_137_315_500_3;
/// The scale is never below this share of the location: f64 noise of a large constant is nothing.
const FLOOR_OF_LOCATION: f64 = 1e-6;
/// And never below this, for series around zero.
const FLOOR: f64 = 1e-9;
/// Nor below this share of the usual size of a change: a series that seldom moves is judged in
/// units of its moves.
const FLOOR_OF_STEP: f64 = 0.25;
/// Changes from which on their sizes are known, and stillness is no longer the evidence.
pub const CHANGES_KNOWN: u32 = 20;

/// Changes beyond which the size of a step is a running mean over as many, and is looked at only
/// once in [`STEP_EVERY`] changes: it moves slowly by then, and a logarithm is not free.
const STEP_MEMORY: u32 = 128;
const STEP_EVERY: u32 = 16;

/// Robust running location and scale of one series' scored values.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Norm {
    location: f64,
    spread: f64,
    /// Logarithm of the usual size of a change from one value to the next, where there was one: a
    /// geometric mean, so that a wild jump or two among the first do not set it.
    step_ln: f64,
    /// The usual size itself, once enough changes are known; 0 until then.
    step: f64,
    last: f64,
    n: u32,
    changes: u32,
}

impl Norm {
    pub fn new() -> Self {
        Self {
            location: 0.0,
            spread: 0.0,
            step_ln: 0.0,
            step: 0.0,
            last: 0.0,
            n: 0,
            changes: 0,
        }
    }

    /// Values taken so far.
    pub fn count(&self) -> u32 {
        self.n
    }

    pub fn location(&self) -> f64 {
        self.location
    }

    /// The scale, floored: positive always.
    pub fn scale(&self) -> f64 {
        self.spread.max(self.least_scale())
    }

    /// What no scale of this series may be below: a share of its usual change, and of its location.
    pub fn least_scale(&self) -> f64 {
        (FLOOR_OF_STEP * self.step).max(FLOOR_OF_LOCATION * self.location.abs() + FLOOR)
    }

    /// True for a series that has changed too seldom for its changes to be known.
    pub fn is_still(&self) -> bool {
        self.changes < CHANGES_KNOWN
    }

    /// The most evidence, in nats, that a change of this series can carry: for a series that hardly
    /// ever changed, minus the logarithm of the probability that the next value is a change (the
    /// rule of succession, Laplace); no bound once its changes are known.
    pub fn evidence_max(&self) -> f64 {
        if !self.is_still() {
            return f64::INFINITY;
        }
        (1.0 + f64::from(self.n) / f64::from(1 + self.changes)).ln()
    }

    /// Takes one finite value; `horizon` is the memory in values.
    pub fn absorb(&mut self, value: f64, horizon: f32, weight: f64) {
        self.n = self.n.saturating_add(1);
        if self.n == 1 {
            self.location = value;
            self.last = value;
            return;
        }
        let moved = (value - self.last).abs();
        if moved > 0.0 {
            self.last = value;
            self.change(moved);
        }
        let gain = weight * super::pace::gain(self.n, horizon);
        let d = value - self.location;
        let c = if self.n <= CLIP_FROM {
            d
        } else {
            let at = CLIP * self.scale();
            d.clamp(-at, at)
        };
        self.location += gain * c;
        self.spread += gain * (MAD_TO_SIGMA * c.abs() - self.spread);
    }

    /// Takes the newest value as the location of a still series: it has stepped for good.
    pub fn settle(&mut self) {
        self.location = self.last;
        self.spread = 0.0;
    }

    fn change(&mut self, moved: f64) {
        self.changes = self.changes.saturating_add(1);
        if self.changes > STEP_MEMORY && !self.changes.is_multiple_of(STEP_EVERY) {
            return;
        }
        let gain = 1.0 / f64::from(self.changes.min(STEP_MEMORY));
        self.step_ln += gain * (moved.ln() - self.step_ln);
        if self.changes >= CHANGES_KNOWN {
            self.step = self.step_ln.exp();
        }
    }

    /// Forgets location and scale, after a new behaviour has lasted long enough to be normal.
    pub fn restart(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::new()
        };
    }
}

impl Default for Norm {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize) -> Vec<f64> {
        let mut rng = fastrand::Rng::with_seed(7);
        (0..n)
            .map(|_| (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0)
            .collect()
    }

    #[test]
    fn finds_location_and_scale_of_gaussian_noise() {
        let mut norm = Norm::new();
        for z in noise(5000) {
            norm.absorb(100.0 + 5.0 * z, 2000.0, 1.0);
        }
        assert!((norm.location() - 100.0).abs() < 0.5, "{}", norm.location());
        assert!((norm.scale() - 5.0).abs() < 0.4, "{}", norm.scale());
    }

    #[test]
    fn one_wild_value_moves_next_to_nothing() {
        let mut norm = Norm::new();
        for z in noise(500) {
            norm.absorb(z, 2000.0, 1.0);
        }
        let before = norm.clone();
        norm.absorb(1e9, 2000.0, 1.0);
        assert!((norm.location() - before.location()).abs() < 0.01);
        assert!(norm.scale() < before.scale() * 1.02);
    }

    #[test]
    fn a_still_series_bounds_the_evidence_by_how_long_it_was_still() {
        let mut norm = Norm::new();
        for _ in 0..1000 {
            norm.absorb(3.0, 2000.0, 1.0);
        }
        assert!((norm.evidence_max() - 1001f64.ln()).abs() < 1e-9);
        norm.absorb(4.0, 2000.0, 1.0);
        assert!(norm.evidence_max() < 1001f64.ln() - 0.6);
        for z in noise(100) {
            norm.absorb(z, 2000.0, 1.0);
        }
        assert_eq!(norm.evidence_max(), f64::INFINITY);
    }

    #[test]
    fn one_wild_value_does_not_blind_a_still_series() {
        let mut norm = Norm::new();
        for i in 0..20_000 {
            norm.absorb(if i == 3000 { 1e9 } else { 3.0 }, 20_160.0, 1.0);
        }
        assert!((norm.location() - 3.0).abs() < 1e-3, "{}", norm.location());
        assert!(norm.scale() < 1e-3, "{}", norm.scale());
    }

    #[test]
    fn a_series_that_begins_to_move_is_measured_by_its_moves() {
        let mut norm = Norm::new();
        for _ in 0..3000 {
            norm.absorb(3.0, 20_160.0, 1.0);
        }
        for z in noise(300) {
            norm.absorb(3.0 + 2.0 * z, 20_160.0, 1.0);
        }
        assert!((0.3..3.0).contains(&norm.scale()), "{}", norm.scale());
    }

    #[test]
    fn weight_zero_teaches_nothing_but_the_count() {
        let mut norm = Norm::new();
        for z in noise(200) {
            norm.absorb(z, 2000.0, 1.0);
        }
        let before = norm.clone();
        norm.absorb(50.0, 2000.0, 0.0);
        assert_eq!(norm.location(), before.location());
        assert!((norm.scale() - before.scale()).abs() < 1e-9);
    }
}
