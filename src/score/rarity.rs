//! How often this very series reaches such evidence: the rarity behind severity.
//!
//! The score ranks anomalies across series; rarity keeps a noisy series from paging. It is the
//! tail of the combined evidence itself, fitted like [`super::tail`] but linear: the evidence is
//! already in nats.

use serde::{Deserialize, Serialize};

use crate::model::pace;

/// Share of samples above the threshold.
const Q: f64 = 0.01;
/// -ln(Q): rarity at the threshold.
const NATS_AT_U: f64 = 4.605_170_185_988_091;
/// Smallest threshold in nats.
const U_MIN: f64 = 0.5;
/// Smallest mean excess in nats: evidence is never believed to fall off faster.
const B_MIN: f64 = 0.15;
const GAIN_MAX: f64 = 0.1;
const EXCESS_MAX: f64 = 4.0;
/// A series that never moves ties at its threshold; this keeps the tie below it.
const TIE: f64 = 0.95;

/// The learned tail of one series' combined evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rarity {
    u: f32,
    b: f32,
    n: u32,
}

impl Rarity {
    pub fn new() -> Self {
        Self {
            u: 4.0,
            b: 0.3,
            n: 0,
        }
    }

    /// -ln of the share of this series' samples with at least so much evidence; not negative.
    pub fn nats(&self, evidence: f64) -> f64 {
        let u = f64::from(self.u).max(U_MIN);
        if evidence <= u {
            TIE * NATS_AT_U * evidence / u
        } else {
            NATS_AT_U + (evidence - u) / f64::from(self.b).max(B_MIN)
        }
    }

    /// Takes the evidence of one sample, after it was scored.
    pub fn learn(&mut self, evidence: f64, horizon: f32) {
        self.n = self.n.saturating_add(1);
        let (u, b) = (f64::from(self.u), f64::from(self.b));
        let step = b.max(B_MIN);
        let gain = (pace::gain(self.n, horizon) / Q).min(GAIN_MAX);
        if evidence > u {
            self.u = (u + gain * step * (1.0 - Q)) as f32;
            self.b = (b + gain * ((evidence - u).min(EXCESS_MAX * step) - b)) as f32;
        } else {
            self.u = (u - gain * step * Q) as f32;
        }
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
}
