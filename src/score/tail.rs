//! What a distance is worth: the tail of one model's distances, learned per series.
//!
//! Distances r of one series are turned into nats, -ln P(distance >= r), by a peaks-over-threshold
//! fit on x = ln(1 + r): an exponential tail in x is a Pareto tail in r (Pickands 1975, Balkema and
//! de Haan 1974). The threshold u follows the 2 % quantile by stochastic approximation, b is the
//! mean excess above it. Floors keep the tail at least as heavy as Pareto with index 1/0.15: no
//! series is believed to be lighter, whatever little has been seen of it. So the same evidence means
//! the same on Gaussian noise, on heavy tails and on counts.

use serde::{Deserialize, Serialize};

use crate::model::pace;

/// Share of distances above the threshold.
const Q: f64 = 0.02;
/// -ln(Q): evidence at the threshold.
const NATS_AT_U: f64 = 3.912_023_005_428_146;
/// Smallest threshold in x: noise of one scale is never an excess.
const U_MIN: f64 = 0.7;
/// Smallest mean excess when scoring.
const B_MIN: f64 = 0.15;
/// Smallest step when learning.
const STEP_MIN: f64 = 0.05;
/// Largest gain: a few early exceedances must not teach a young series that they are usual.
const GAIN_MAX: f64 = 0.05;
/// Samples that an inherited tail counts as.
const HEIR_MEMORY: u32 = 1000;
/// An excess counts at most this many mean excesses.
const EXCESS_MAX: f64 = 4.0;

/// The learned tail of one model's distances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tail {
    u: f32,
    b: f32,
    n: u32,
}

impl Tail {
    pub fn new() -> Self {
        Self {
            u: 1.0,
            b: 0.3,
            n: 0,
        }
    }

    /// The tail for another model of the same series that begins to speak now: as heavy, and sooner
    /// taught.
    pub fn heir(&self) -> Self {
        Self {
            n: self.n.min(HEIR_MEMORY),
            ..self.clone()
        }
    }

    /// True if nothing has been learned yet.
    pub fn is_new(&self) -> bool {
        self.n == 0
    }

    /// Evidence of a distance in nats: strictly rising, 0 at 0. The distance is given as its
    /// logarithm, ln(1 + r), which is needed again for learning.
    pub fn nats(&self, x: f64) -> f64 {
        let u = f64::from(self.u).max(U_MIN);
        if x <= u {
            NATS_AT_U * x / u
        } else {
            NATS_AT_U + (x - u) / f64::from(self.b).max(B_MIN)
        }
    }

    /// The distance whose evidence is `nats`: the inverse of [`Tail::nats`].
    pub fn distance(&self, nats: f64) -> f64 {
        let u = f64::from(self.u).max(U_MIN);
        let x = if nats <= NATS_AT_U {
            nats * u / NATS_AT_U
        } else {
            u + (nats - NATS_AT_U) * f64::from(self.b).max(B_MIN)
        };
        x.exp_m1()
    }

    /// Takes one distance, as ln(1 + r), after it was scored; `horizon` is the memory in samples.
    pub fn learn(&mut self, x: f64, horizon: f32) {
        self.n = self.n.saturating_add(1);
        let (u, b) = (f64::from(self.u), f64::from(self.b));
        let step = b.max(STEP_MIN);
        let gain = (pace::gain(self.n, horizon) / Q).min(GAIN_MAX);
        if x > u {
            self.u = (u + gain * step * (1.0 - Q)) as f32;
            self.b = (b + gain * ((x - u).min(EXCESS_MAX * step) - b)) as f32;
        } else {
            self.u = (u - gain * step * Q) as f32;
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
        for d in distances {
            tail.learn(d.ln_1p(), 100_000.0);
        }
        tail
    }

    #[test]
    fn heavy_tails_raise_their_own_bar() {
        let mut rng = fastrand::Rng::with_seed(3);
        let gauss =
            learned((0..20_000).map(|_| ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0).abs()));
        let pareto = learned((0..20_000).map(|_| rng.f64().max(1e-12).powf(-0.5) - 1.0));
        assert!(
            gauss.nats(8f64.ln_1p()) > 9.0,
            "{}",
            gauss.nats(8f64.ln_1p())
        );
        assert!(
            pareto.nats(8f64.ln_1p()) < 6.0,
            "{}",
            pareto.nats(8f64.ln_1p())
        );
    }

    #[test]
    fn evidence_is_as_rare_as_it_says_on_heavy_tails() {
        let mut rng = fastrand::Rng::with_seed(5);
        let mut tail = Tail::new();
        let mut over = 0;
        for i in 0..120_000 {
            let d = rng.f64().max(1e-12).powf(-0.5) - 1.0;
            if i >= 20_000 && tail.nats(d.ln_1p()) >= 1000f64.ln() {
                over += 1;
            }
            tail.learn(d.ln_1p(), 100_000.0);
        }
        // 100 expected of 100,000
        assert!((50..200).contains(&over), "{over}");
    }

    proptest! {
        #[test]
        fn nats_rise_and_distance_is_their_inverse(
            seen in prop::collection::vec(0.0..1e6f64, 0..300), a in 0.0..1e9f64, b in 0.0..1e9f64,
        ) {
            let tail = learned(seen.into_iter());
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(tail.nats(a.ln_1p()) <= tail.nats(b.ln_1p()));
            if b > a * (1.0 + 1e-9) + 1e-9 {
                prop_assert!(tail.nats(a.ln_1p()) < tail.nats(b.ln_1p()));
            }
            prop_assert_eq!(tail.nats(0.0), 0.0);
            let back = tail.distance(tail.nats(a.ln_1p()));
            prop_assert!((back - a).abs() <= 1e-6 * (1.0 + a), "{} {}", a, back);
        }
    }
}
