//! How often this very series reaches such evidence: the rarity behind severity.
//!
//! The score ranks anomalies across series; rarity keeps a noisy series from paging. It is the tail
//! of the combined evidence itself, linear, because evidence is in nats already: peaks over a
//! threshold at the 1 % quantile, and, once enough has been seen, over a second one at the 0.1 %
//! quantile (Pickands 1975). Of the two the more cautious is believed: a series whose tail bends
//! outwards beyond the first threshold (one that steps now and then) is not taken for a quiet one.

use serde::{Deserialize, Serialize};

use crate::model::pace;

/// Smallest threshold in nats.
const U_MIN: f64 = 0.5;
/// Smallest mean excess in nats: evidence is never believed to fall off faster.
const B_MIN: f64 = 0.15;
const GAIN_MAX: f64 = 0.1;
const EXCESS_MAX: f64 = 4.0;
/// A series that never moves ties at its threshold; this keeps the tie below it.
const TIE: f64 = 0.95;
/// Share of samples above the first threshold, and -ln of it.
const Q: f64 = 0.01;
const NATS_AT_U: f64 = 4.605_170_185_988_091;
/// The same of the second threshold.
const FAR_Q: f64 = 0.001;
const FAR_NATS: f64 = 6.907_755_278_982_137;
/// Samples from which on the second threshold is followed: a few exceedances are to be expected.
const FAR_FROM: u32 = 2000;

/// A threshold that follows a quantile, and the mean excess above it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Peaks {
    u: f32,
    b: f32,
}

impl Peaks {
    /// The quantile moves by stochastic approximation (Robbins and Monro 1951) in units of the mean
    /// excess.
    fn learn(&mut self, evidence: f64, q: f64, gain: f64) {
        let (u, b) = (f64::from(self.u), f64::from(self.b));
        let step = b.max(B_MIN);
        if evidence > u {
            self.u = (u + gain * step * (1.0 - q)) as f32;
            self.b = (b + gain * ((evidence - u).min(EXCESS_MAX * step) - b)) as f32;
        } else {
            self.u = (u - gain * step * q) as f32;
        }
    }

    fn u(&self) -> f64 {
        f64::from(self.u).max(U_MIN)
    }

    fn b(&self) -> f64 {
        f64::from(self.b).max(B_MIN)
    }
}

/// The learned tail of one series' combined evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rarity {
    near: Peaks,
    far: Peaks,
    n: u32,
}

impl Rarity {
    pub fn new() -> Self {
        let near = Peaks { u: 4.0, b: 0.3 };
        Self {
            near,
            far: near,
            n: 0,
        }
    }

    /// -ln of the share of this series' samples with at least so much evidence; not negative,
    /// rising.
    #[inline]
    pub fn nats(&self, evidence: f64) -> f64 {
        let (u, b) = (self.near.u(), self.near.b());
        if evidence <= u {
            return TIE * NATS_AT_U * evidence / u;
        }
        let near = NATS_AT_U + (evidence - u) / b;
        if self.n < FAR_FROM {
            return near;
        }
        let v = self.far.u().max(u + B_MIN);
        let far = if evidence <= v {
            NATS_AT_U + (FAR_NATS - NATS_AT_U) * (evidence - u) / (v - u)
        } else {
            FAR_NATS + (evidence - v) / self.far.b()
        };
        near.min(far)
    }

    /// Takes the evidence of one sample, after it was scored.
    #[inline]
    pub fn learn(&mut self, evidence: f64, horizon: f32) {
        self.n = self.n.saturating_add(1);
        let share = pace::gain(self.n, horizon);
        self.near.learn(evidence, Q, (share / Q).min(GAIN_MAX));
        if self.n < FAR_FROM {
            return;
        }
        if self.n == FAR_FROM {
            // Where it would lie if the first tail were right.
            let b = self.near.b();
            self.far = Peaks {
                u: (self.near.u() + b * (FAR_NATS - NATS_AT_U)) as f32,
                b: b as f32,
            };
        }
        self.far
            .learn(evidence, FAR_Q, (share / FAR_Q).min(GAIN_MAX));
    }
}

impl Default for Rarity {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_happens_often_is_not_rare() {
        let mut often = Rarity::new();
        let mut seldom = Rarity::new();
        for i in 0..20_000 {
            often.learn(if i % 50 == 0 { 8.0 } else { 0.5 }, 100_000.0);
            seldom.learn(0.5, 100_000.0);
        }
        assert!(often.nats(8.0) < 1000f64.ln(), "{}", often.nats(8.0));
        assert!(seldom.nats(8.0) > 1000f64.ln(), "{}", seldom.nats(8.0));
    }

    #[test]
    fn evidence_of_exponential_noise_is_as_rare_as_it_says() {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut rarity = Rarity::new();
        let mut over = 0;
        for i in 0..220_000 {
            let e = -rng.f64().max(1e-300).ln() * 1.7;
            if i >= 20_000 && rarity.nats(e) >= 1000f64.ln() {
                over += 1;
            }
            rarity.learn(e, 100_000.0);
        }
        // 200 expected of 200,000
        assert!((120..320).contains(&over), "{over}");
    }

    #[test]
    fn a_tail_that_bends_outwards_is_not_taken_for_a_light_one() {
        // one sample in 200 is from another world
        let mut rng = fastrand::Rng::with_seed(12);
        let mut rarity = Rarity::new();
        let mut over = 0;
        for i in 0..420_000 {
            let wide = if rng.u32(..200) == 0 { 2.5 } else { 0.3 };
            let e = -rng.f64().max(1e-300).ln() * wide;
            if i >= 20_000 && rarity.nats(e) >= 10_000f64.ln() {
                over += 1;
            }
            rarity.learn(e, 100_000.0);
        }
        // 40 expected of 400,000
        assert!((5..70).contains(&over), "{over}");
    }

    proptest! {
        #[test]
        fn nats_rise(
            seen in prop::collection::vec(0.0..30.0f64, 0..100), times in 1usize..60,
            a in 0.0..50.0f64, b in 0.0..50.0f64,
        ) {
            let mut rarity = Rarity::new();
            for _ in 0..times {
                for e in &seen {
                    rarity.learn(*e, 100_000.0);
                }
            }
            let (a, b) = (a.min(b), a.max(b));
            prop_assert!(rarity.nats(a) >= 0.0);
            prop_assert!(rarity.nats(a) <= rarity.nats(b));
        }
    }
}
