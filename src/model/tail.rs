//! What a distance is worth: the tail of one detector's distances, learned per series.
//!
//! Distances r of one series are turned into evidence, -ln P(distance >= r), by a
//! peaks-over-threshold fit on x = ln(1 + r): an exponential tail in x is a Pareto tail in r
//! (Pickands 1975, Balkema and de Haan 1974). The threshold u follows the 2 % quantile by stochastic
//! approximation, b is the mean excess above it. Floors keep the tail at least as heavy as Pareto
//! with index 1/0.15: no series is believed to be lighter, whatever little has been seen of it. The
//! memory is a month. So the same evidence means the same on Gaussian noise, on heavy tails and on
//! counts.

use serde::{Deserialize, Serialize};

use super::bound::{larger, smaller};
use super::ln::ln;

/// Share of distances above the threshold.
const Q: f32 = 0.02;
/// -ln(Q): evidence at the threshold.
const NATS_AT_U: f32 = 3.912_023;
/// Smallest threshold in x: noise of one scale is never an excess.
const U_MIN: f32 = 0.7;
/// Smallest mean excess when scoring.
const B_MIN: f32 = 0.15;
/// Smallest step when learning.
const STEP_MIN: f32 = 0.05;
/// Largest gain: a few early exceedances must not teach a young series that they are usual.
const GAIN_MAX: f32 = 0.2;
/// An excess counts at most this many mean excesses.
const EXCESS_MAX: f32 = 4.0;

/// A distance r >= 0 as tails see it, ln(1 + r).
pub fn size(r: f64) -> f32 {
    ln(1.0 + r)
}

/// How far a tail moves at a rate.
pub(super) fn gain(rate: f32) -> f32 {
    smaller(rate / Q, GAIN_MAX)
}

/// The learned tail of one detector's distances.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    u: f32,
    b: f32,
}

impl Tail {
    pub fn new() -> Self {
        Self { u: 1.0, b: 0.3 }
    }

    /// Evidence in nats of a distance given as its [`size`], which is needed again for
    /// learning: strictly rising, 0 at 0.
    pub fn nats(&self, x: f32) -> f32 {
        let u = larger(self.u, U_MIN);
        if x <= u {
            NATS_AT_U * x / u
        } else {
            NATS_AT_U + (x - u) / larger(self.b, B_MIN)
        }
    }

    /// Takes one distance, as its [`size`], after it was scored; `rate` is [`super::Pace::tail_rate`].
    pub fn learn(&mut self, x: f32, rate: f32) {
        self.learn_at(x, gain(rate));
    }

    /// The same for somebody who has the [`gain`] of this rate.
    #[inline]
    pub(super) fn learn_at(&mut self, x: f32, gain: f32) {
        let step = larger(self.b, STEP_MIN);
        if x > self.u {
            let excess = smaller(x - self.u, EXCESS_MAX * step);
            self.u += gain * step * (1.0 - Q);
            self.b += gain * (excess - self.b);
        } else {
            self.u -= gain * step * Q;
        }
    }
}

impl Default for Tail {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn learned(distances: impl Iterator<Item = f64>) -> Tail {
        let mut tail = Tail::new();
        for (i, d) in distances.enumerate() {
            tail.learn(d.ln_1p() as f32, 1.0 / (i as f32 + 1.0).min(100_000.0));
        }
        tail
    }

    #[test]
    fn heavy_tails_raise_their_own_bar() {
        let mut rng = fastrand::Rng::with_seed(3);
        let gauss =
            learned((0..20_000).map(|_| ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0).abs()));
        let pareto = learned((0..20_000).map(|_| rng.f64().max(1e-12).powf(-0.5) - 1.0));
        let nine = 9f32.ln();
        assert!(gauss.nats(nine) > 9.0, "{}", gauss.nats(nine));
        assert!(pareto.nats(nine) < 6.0, "{}", pareto.nats(nine));
    }

    #[test]
    fn evidence_is_as_rare_as_it_says_on_heavy_tails() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut tail = Tail::new();
        let mut over = 0;
        for i in 0..120_000 {
            let x = ((rng.f64().max(1e-12).powf(-0.5) - 1.0).ln_1p()) as f32;
            if i >= 20_000 && tail.nats(x) >= 1000f32.ln() {
                over += 1;
            }
            tail.learn(x, 1.0 / (i as f32 + 1.0));
        }
        // 100 expected of 100,000
        assert!((50..200).contains(&over), "{over}");
    }

    proptest! {
        #[test]
        fn nats_rise_strictly_from_zero(
            seen in prop::collection::vec(0.0..1e6f64, 0..300), a in 0.0..60f32, by in 0.001..60f32,
        ) {
            let tail = learned(seen.into_iter());
            prop_assert!(tail.nats(a) < tail.nats(a + by));
            prop_assert!(tail.nats(a + by).is_finite());
            prop_assert_eq!(tail.nats(0.0), 0.0);
        }
    }
}
