//! From evidence to onsets: once each, with a rest period, habituation and a return period.
//!
//! An onset raises a bar that stands for about 120 samples and then falls away; only clearly stronger
//! evidence passes it meanwhile. A series that had many onsets needs more for the next (habituation).
//! The return period says how often this series has onsets this strong: their rate times the chance
//! of such an excess, which is taken for exponential.

use serde::{Deserialize, Serialize};

use super::{Families, Family, OnsetOutput};
use crate::model::bound::smaller;

/// Samples in which evidence grows to half its size: a young series knows few records.
const MATURES: f32 = 150.0;
/// How much habituation weakens evidence.
const HABIT_WEIGHT: f32 = 0.3;
/// Samples in which habituation falls to a third.
const HABIT_FADES: f32 = 1500.0;
/// Largest event; evidence is bent towards it.
const EVENT_CAP: f32 = 1.5;
/// Samples that the bar after an onset stands.
const BAR_STANDS: f32 = 120.0;
/// How clearly the next onset must be above the bar.
const BAR_PASSED: f32 = 1.2;
/// Smaller events are none.
const EVENT_LEAST: f32 = 0.1;
/// Onsets per sample before any was seen, and the samples this guess weighs as much as.
const RATE_GUESS: f32 = 0.002;
const RATE_FROM: f32 = 2000.0;
/// Memory of the rate, in samples.
const RATE_HORIZON: f32 = 20_000.0;
/// Mean excess of an onset before any was seen, and the onsets this guess weighs as much as.
const EXCESS_GUESS: f32 = 0.4;
const EXCESS_FROM: u8 = 4;
/// Memory of the mean excess, in onsets.
const EXCESS_HORIZON: u8 = 60;
/// An excess counts at most so many mean ones.
const EXCESS_CLIP: f32 = 4.0;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[repr(Rust, packed)]
pub(super) struct Rest {
    /// The event that raised the bar ...
    bar: f32,
    /// ... and the samples since.
    age: u16,
    /// Onsets that went into `excess`, the guess included.
    onsets: u8,
    habit: f32,
    /// Onsets per sample.
    rate: f32,
    /// Mean evidence of an onset above the least.
    excess: f32,
}

impl Rest {
    /// What is said of a sample that can't be judged.
    pub(super) fn nothing(&self) -> OnsetOutput {
        OnsetOutput {
            event: 0.0,
            evidence: 0.0,
            return_period: 1.0,
            family: None,
        }
    }

    /// What a sample does to it, whatever its evidence: gives how fast the rate is learned.
    #[inline]
    fn rest(&mut self, n: u32) -> f32 {
        self.habit *= 1.0 - 1.0 / HABIT_FADES;
        self.age = self.age.saturating_add(1);
        1.0 / smaller(n as f32 + RATE_FROM, RATE_HORIZON)
    }

    /// Takes the n-th sample, which is no evidence.
    #[inline]
    pub(super) fn pass(&mut self, n: u32) -> OnsetOutput {
        let rate_gain = self.rest(n);
        self.rate -= rate_gain * self.rate;
        self.nothing()
    }

    /// Takes the evidence of the n-th sample, by family.
    pub(super) fn hear(&mut self, n: u32, families: &Families) -> OnsetOutput {
        let sum: f32 = families.iter().sum();
        if sum <= 0.0 {
            return self.pass(n);
        }
        let rate_gain = self.rest(n);
        let n = n as f32;
        let evidence = sum * n / (n + MATURES);
        let event = evidence / (1.0 + HABIT_WEIGHT * self.habit);
        let event = EVENT_CAP * (1.0 - (-event / EVENT_CAP).exp());
        let bar = self.bar * (-(f32::from(self.age) / BAR_STANDS).powi(4)).exp();
        let onset = event > BAR_PASSED * bar && event > EVENT_LEAST;
        if event > bar {
            self.bar = event;
            self.age = 0;
        }
        self.rate += rate_gain * (f32::from(u8::from(onset)) - self.rate);
        let mut out = OnsetOutput {
            evidence,
            family: strongest(families),
            ..self.nothing()
        };
        if onset {
            self.habit += (event / EVENT_CAP).powi(2);
            let excess = evidence - EVENT_LEAST;
            out.event = event;
            out.return_period = (self.rate * (-excess / self.excess).exp()).min(1.0);
            self.onsets = (self.onsets + 1).min(EXCESS_HORIZON);
            let clipped = excess.clamp(0.0, EXCESS_CLIP * self.excess);
            self.excess += (clipped - self.excess) / f32::from(self.onsets);
        }
        out
    }
}

impl Default for Rest {
    fn default() -> Self {
        Self {
            bar: 0.0,
            age: u16::MAX,
            onsets: EXCESS_FROM,
            habit: 0.0,
            rate: RATE_GUESS,
            excess: EXCESS_GUESS,
        }
    }
}

/// The family with the most evidence.
pub(super) fn strongest(families: &Families) -> Option<Family> {
    let mut best = None;
    let mut most = 0.0;
    for (family, evidence) in Family::ALL.into_iter().zip(families) {
        if *evidence > most {
            (best, most) = (Some(family), *evidence);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    fn level(evidence: f32) -> [f32; 5] {
        [evidence, 0.0, 0.0, 0.0, 0.0]
    }

    #[test]
    fn an_onset_comes_once_and_again_after_the_rest() {
        let mut rest = Rest::default();
        let first = rest.hear(5000, &level(2.0));
        assert!(
            first.event > 0.36 && first.return_period < 1e-4,
            "{first:?}"
        );
        assert_eq!(first.family, Some(Family::Level));
        for n in 0..60 {
            assert_eq!(rest.hear(5001 + n, &level(1.5)).event, 0.0);
        }
        for n in 0..300 {
            rest.hear(5061 + n, &level(0.0));
        }
        assert!(rest.hear(5400, &level(1.5)).event > 0.36);
    }

    #[test]
    fn clearly_stronger_evidence_passes_the_bar() {
        let mut rest = Rest::default();
        assert!(rest.hear(5000, &level(0.5)).event > 0.0);
        assert_eq!(rest.hear(5001, &level(0.55)).event, 0.0);
        assert!(rest.hear(5002, &level(1.5)).event > 0.0);
    }

    #[test]
    fn a_series_with_many_onsets_needs_more_and_returns_sooner() {
        let mut rest = Rest::default();
        let first = rest.hear(5000, &level(1.0));
        let mut last = first;
        for i in 1..20 {
            for n in 0..400 {
                rest.hear(5000 + 400 * i + n, &level(0.0));
            }
            last = rest.hear(5000 + 400 * (i + 1), &level(1.0));
        }
        assert!(last.event < first.event);
        assert!(last.return_period > first.return_period);
    }
}
