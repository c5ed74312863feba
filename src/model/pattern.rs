//! Unusual sequences at normal values: another frequency, a peak that does not come.
//!
//! Two signals that no single value decides. The **crossing rate** is the share of the last samples
//! at which the value, smoothed over three, crossed its own short average: a rhythm that quickens or
//! slows changes it while every value stays in its range. It must leave a band around the average to
//! have crossed (a Schmitt trigger), so that noise on a wave is no second rhythm. The **shortfall** is a matched filter (North 1943) for the
//! profile of the day: the part of the expected movement that did not happen, summed over an hour and
//! a half, so that a peak of two scales that stays away is seen before any of its samples is odd.
//! Each is judged by its own usual deviation, and by how far out it has been before: a series whose
//! sequences often go astray raises its own bar.
//!
//! Cost: three dozen operations a sample, 56 bytes. What it can't see: a change of order that keeps
//! crossing rate and profile, a frequency that changes by less than about a factor of three, and a
//! missing peak of a rhythm other than the day's.

use serde::{Deserialize, Serialize};

use super::bound::{larger, smaller};

/// Span of the smoothed value, of the short average that it crosses, and of the crossing rate, in
/// samples.
const SPAN_FAST: f32 = 3.0;
const SPAN_MEAN: f32 = 30.0;
const SPAN_RATE: f32 = 60.0;
/// It has crossed when it is this share of its mean distance from the average away from it.
const AWAY: f32 = 0.5;
/// How fast that mean distance is learned.
const SWING_GAIN: f32 = 1.0 / 30.0;
/// A signal is too far out from this many of its usual deviations on ...
const TIMES: f32 = 8.0;
/// ... and from this many times the furthest that is known.
const BEYOND_KNOWN: f32 = 1.3;
/// How fast a distance gets known, a sample, and how fast it is forgotten.
const KNOWN_GAIN: f32 = 0.05;
const KNOWN_FADES: f32 = 1.0 / 50_000.0;
/// Memory of what is usual, in samples; of the shortfall at least this many days.
const HORIZON: f32 = 4000.0;
const MEMORY_DAYS: f32 = 3.0;
/// Deviations count at most this many usual ones.
const CLIP: f32 = 3.0;
/// Samples before it speaks: hundreds of spans, for the signals are slow.
const KNOWN: u32 = 2000;
/// Least usual deviation of the crossing rate.
const RATE_MIN: f32 = 0.015;
/// Share of a day over which the shortfall is summed, and the least span in samples.
const SHORTFALL_DAY: f32 = 1.0 / 16.0;
const SHORTFALL_MIN: f32 = 6.0;
/// The least part of the expected movement that must be missing.
const MISSING_MIN: f32 = 0.5;
/// The least expected movement, squared, in scales of the series.
const MOVEMENT_MIN: f32 = 0.25;
/// Scales that a distance from the level counts at most.
const Z_MAX: f32 = 30.0;
/// Usual deviations count at most so many.
const DISTANCE_MAX: f32 = 1e6;
/// sqrt(pi/2), see [`super::robust`].
const MAD_TO_SIGMA: f32 = 1.253_314_1;

/// A sample as it is looked at here, in scales of the series from its level.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shape {
    pub z: f32,
    /// What the profile of the day expects; `None` while it does not speak.
    pub usual: Option<f32>,
    /// Samples a day.
    pub a_day: f32,
}

/// What is usual of one signal.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Usual {
    at: f32,
    deviation: f32,
}

impl Usual {
    fn distance(&self, x: f32, least: f32) -> f32 {
        (x - self.at) / larger(self.deviation, least)
    }

    fn take(&mut self, x: f32, gain: f32, clipped: bool) {
        let mut d = x - self.at;
        if clipped && self.deviation > 0.0 {
            d = d.clamp(-CLIP * self.deviation, CLIP * self.deviation);
        }
        self.at += gain * d;
        self.deviation += gain * (MAD_TO_SIGMA * d.abs() - self.deviation);
    }
}

/// How far out the signals are, in usual deviations.
#[derive(Debug, Clone, Copy)]
pub(super) struct Out {
    rate: f32,
    short: f32,
}

impl Out {
    fn distance(&self) -> f32 {
        smaller(larger(self.rate, self.short), DISTANCE_MAX)
    }
}

/// The sequence detector of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Pattern {
    fast: f32,
    mean: f32,
    /// Mean distance of the two.
    swing: f32,
    above: bool,
    rate: f32,
    usual_rate: Usual,
    /// Expected movement that did not happen, and all of it: averages of products.
    short: f32,
    movement: f32,
    /// Average distance from what was expected: which way the movement is missing.
    lack: f32,
    usual_short: Usual,
    /// The furthest out that is known, in usual deviations.
    furthest: f32,
    /// How far out it was a sample ago: what touches the line once is no sequence.
    before: f32,
    n: u32,
    /// Samples with a profile.
    profiled: u32,
}

impl Pattern {
    /// How odd the sequence up to the last sample is, in units of what is too odd: 1 and more is an
    /// unusual pattern.
    pub fn ratio(&self) -> f32 {
        let (far, too_far) = self.far(&self.out());
        far / too_far
    }

    /// The same for somebody who has [`Pattern::out`], where it is 1 and more: mostly it is not, and
    /// that is known without a division.
    #[inline]
    pub(super) fn beyond(&self, out: &Out) -> Option<f32> {
        let (far, too_far) = self.far(out);
        (far >= too_far).then(|| far / too_far)
    }

    /// How far out it is, and what is too far.
    #[inline]
    fn far(&self, out: &Out) -> (f32, f32) {
        let far = smaller(out.distance(), self.before);
        (far, larger(TIMES, BEYOND_KNOWN * self.furthest))
    }

    /// Which way the values lie that break the pattern (true: above), where it is a movement that did
    /// not happen; `None` for another frequency.
    pub(super) fn up(&self, out: &Out) -> Option<bool> {
        (out.short > out.rate).then_some(self.lack > 0.0)
    }

    /// How far out both signals are up to the last sample.
    #[inline]
    pub(super) fn out(&self) -> Out {
        let rate = if self.n >= KNOWN {
            self.usual_rate.distance(self.rate, RATE_MIN).abs()
        } else {
            0.0
        };
        let missing = self.short >= MISSING_MIN * self.movement;
        let short = if self.profiled >= KNOWN && missing && self.movement >= MOVEMENT_MIN {
            self.usual_short.distance(self.short, f32::MIN_POSITIVE)
        } else {
            0.0
        };
        Out { rate, short }
    }

    /// Takes one sample. `calm` says that nothing else is odd: only then is it learned as usual.
    pub fn take(&mut self, x: &Shape, calm: bool) {
        self.take_at(&self.out(), x, calm);
    }

    /// The same for somebody who has [`Pattern::out`].
    #[inline]
    pub(super) fn take_at(&mut self, out: &Out, x: &Shape, calm: bool) {
        let distance = out.distance();
        self.before = distance;
        if distance > self.furthest {
            self.furthest += KNOWN_GAIN * (distance - self.furthest);
        } else {
            self.furthest -= KNOWN_FADES * self.furthest;
        }
        let z = x.z.clamp(-Z_MAX, Z_MAX);
        if self.n == 0 {
            self.mean = z;
            self.fast = z;
        }
        self.n = self.n.saturating_add(1);
        self.fast += 2.0 / (SPAN_FAST + 1.0) * (z - self.fast);
        let away = self.fast - self.mean;
        self.swing += SWING_GAIN * (away.abs() - self.swing);
        let above = match away.abs() < AWAY * self.swing {
            true => self.above,
            false => away > 0.0,
        };
        let crossed = f32::from(u8::from(above != self.above));
        self.above = above;
        self.mean += 2.0 / (SPAN_MEAN + 1.0) * (z - self.mean);
        let gain = match self.n < SPAN_RATE as u32 {
            true => larger(2.0 / (SPAN_RATE + 1.0), 1.0 / self.n as f32),
            false => 2.0 / (SPAN_RATE + 1.0),
        };
        self.rate += gain * (crossed - self.rate);
        if calm {
            let gain = 1.0 / smaller(self.n as f32, HORIZON);
            self.usual_rate.take(self.rate, gain, self.n > KNOWN / 2);
        }
        let Some(usual) = x.usual else {
            return;
        };
        self.profiled = self.profiled.saturating_add(1);
        let fast = 2.0 / (larger(SHORTFALL_DAY * x.a_day, SHORTFALL_MIN) + 1.0);
        let usual = usual.clamp(-Z_MAX, Z_MAX);
        self.short += fast * (usual * (usual - z) - self.short);
        self.lack += fast * (z - usual - self.lack);
        self.movement += fast * (usual * usual - self.movement);
        if calm {
            let memory = larger(HORIZON, MEMORY_DAYS * x.a_day);
            let gain = 1.0 / smaller(self.profiled as f32, memory);
            self.usual_short
                .take(self.short, gain, self.profiled > KNOWN / 2);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f32::consts::TAU;

    fn noise(rng: &mut fastrand::Rng) -> f32 {
        (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0
    }

    fn run(
        n: usize,
        pattern: &mut Pattern,
        mut f: impl FnMut(usize) -> (f32, Option<f32>),
    ) -> Option<usize> {
        let mut found = None;
        for i in 0..n {
            if pattern.ratio() >= 1.0 {
                found = found.or(Some(i));
            }
            let (z, usual) = f(i);
            let x = Shape {
                z,
                usual,
                a_day: 288.0,
            };
            let calm = pattern.ratio() < 1.0;
            pattern.take(&x, calm);
        }
        found
    }

    #[test]
    fn another_frequency_at_the_same_values() {
        let mut pattern = Pattern::default();
        let mut rng = fastrand::Rng::with_seed(1);
        let wave = |i: usize, period: f32| (i as f32 * TAU / period).sin();
        let quiet = run(6000, &mut pattern, |i| {
            (wave(i, 48.0) + 0.05 * noise(&mut rng), None)
        });
        assert_eq!(quiet, None);
        let found = run(200, &mut pattern, |i| {
            (wave(i, 8.0) + 0.05 * noise(&mut rng), None)
        });
        assert!(found.is_some_and(|i| i < 120), "{found:?}");
    }

    #[test]
    fn a_wave_in_noise_that_quickens_or_slows() {
        for (before, after) in [(40.0, 10.0), (10.0, 40.0), (48.0, 8.0)] {
            for wide in [0.05, 0.2, 0.4] {
                let mut pattern = Pattern::default();
                let mut rng = fastrand::Rng::with_seed(7);
                let mut turn = 0.0;
                let mut wave = |period: f32| {
                    turn += TAU / period;
                    (1.4 * turn.sin() + wide * noise(&mut rng), None)
                };
                assert_eq!(run(5000, &mut pattern, |_| wave(before)), None);
                let found = run(200, &mut pattern, |_| wave(after));
                assert!(
                    found.is_some_and(|i| i < 100),
                    "{before} {after} {wide}: {found:?}"
                );
            }
        }
    }

    #[test]
    fn a_peak_that_does_not_come() {
        let mut pattern = Pattern::default();
        let mut rng = fastrand::Rng::with_seed(2);
        // A peak of three scales over two hours a day, noise of half a scale.
        let peak = |i: usize| {
            let at = i % 288;
            if (132..156).contains(&at) { 3.0 } else { -0.2 }
        };
        let quiet = run(288 * 20, &mut pattern, |i| {
            (peak(i) + 0.5 * noise(&mut rng), Some(peak(i)))
        });
        assert_eq!(quiet, None);
        let found = run(288, &mut pattern, |i| {
            (-0.2 + 0.5 * noise(&mut rng), Some(peak(i)))
        });
        assert!(found.is_some_and(|i| (132..150).contains(&i)), "{found:?}");
    }

    #[test]
    fn clean_noise_is_no_pattern() {
        let mut over = 0;
        for seed in 0..10 {
            let mut rng = fastrand::Rng::with_seed(10 + seed);
            let mut ar = 0.0;
            for kind in 0..4 {
                let mut pattern = Pattern::default();
                let found = run(30_000, &mut pattern, |i| match kind {
                    0 => (noise(&mut rng), None),
                    1 => {
                        ar = 0.95 * ar + 0.3 * noise(&mut rng);
                        (ar, None)
                    }
                    2 => (f32::from(u8::from(rng.u32(..10) == 0)), None),
                    _ => {
                        let usual = 1.4 * (i as f32 * TAU / 288.0).sin();
                        (usual + 0.3 * noise(&mut rng), Some(usual))
                    }
                });
                over += u32::from(found.is_some());
            }
        }
        assert_eq!(over, 0);
    }
}
