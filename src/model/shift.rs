//! A small shift of the level that no single sample gives away.
//!
//! Distances from what is usual, clipped at three scales, are averaged over about sixty samples, and
//! the average is judged by its own usual size (a control chart of moving averages: Roberts 1959) and
//! by how far out it has been before. Two scales of independent noise are an average of sixteen of its
//! own deviations; noise that remembers, and levels that wander, raise their own bar.
//!
//! Cost: a dozen operations a sample, 16 bytes. What it can't see: a shift while the series is younger
//! than a day and a half, and one of a series whose level wanders as far in its usual days.

use serde::{Deserialize, Serialize};

use super::bound::{larger, smaller};

/// Span of the average, in samples.
const SPAN: f32 = 60.0;
/// Distances count at most this many scales: one wild value is no shift.
const DISTANCE_MAX: f32 = 3.0;
/// The average is too far out from this many of its usual sizes on ...
const TIMES: f32 = 8.0;
/// ... and from this many times the furthest that is known.
const BEYOND_KNOWN: f32 = 1.3;
/// How fast a distance gets known, a sample, and how fast it is forgotten.
const KNOWN_GAIN: f32 = 0.05;
const KNOWN_FADES: f32 = 1.0 / 50_000.0;
/// Memory of its usual size, in samples.
const HORIZON: f32 = 4000.0;
/// The usual size counts at most so many times in itself.
const CLIP: f32 = 3.0;
/// Least usual size, in scales: the average of noise is never smaller for long.
const USUAL_MIN: f32 = 0.1;
/// Samples, and days, before it speaks: a first morning is no shift.
const KNOWN: f32 = 2000.0;
const KNOWN_DAYS: f32 = 1.5;
/// sqrt(pi/2), see [`super::robust`].
const MAD_TO_SIGMA: f32 = 1.253_314_1;

/// The moving average of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    mean: f32,
    usual: f32,
    furthest: f32,
    n: u32,
}

impl Shift {
    /// How far the level has shifted up to the last sample, in units of what is too far, signed: 1 and
    /// more is up, -1 and less is down. `a_day` is the number of samples in a day.
    pub fn ratio(&self, a_day: f32) -> f32 {
        self.ratio_at(self.distance(), a_day)
    }

    /// The same for somebody who has the [`Shift::distance`].
    #[inline]
    pub(super) fn ratio_at(&self, distance: f32, a_day: f32) -> f32 {
        if (self.n as f32) < larger(KNOWN, KNOWN_DAYS * a_day) {
            return 0.0;
        }
        distance / larger(TIMES, BEYOND_KNOWN * self.furthest)
    }

    /// The same in usual sizes.
    #[inline]
    pub(super) fn distance(&self) -> f32 {
        self.mean / larger(self.usual, USUAL_MIN)
    }

    /// Takes the distance of one sample from what was usual at its time, in scales.
    pub fn take(&mut self, z: f32) {
        self.take_at(self.distance(), z);
    }

    /// The same for somebody who has the [`Shift::distance`].
    #[inline]
    pub(super) fn take_at(&mut self, distance: f32, z: f32) {
        let distance = distance.abs();
        if distance > self.furthest {
            self.furthest += KNOWN_GAIN * (distance - self.furthest);
        } else {
            self.furthest -= KNOWN_FADES * self.furthest;
        }
        self.n = self.n.saturating_add(1);
        let z = z.clamp(-DISTANCE_MAX, DISTANCE_MAX);
        self.mean += 2.0 / (SPAN + 1.0) * (z - self.mean);
        let mut size = MAD_TO_SIGMA * self.mean.abs();
        if self.n as f32 > KNOWN / 2.0 {
            size = smaller(size, CLIP * larger(self.usual, USUAL_MIN));
        }
        self.usual += (size - self.usual) / smaller(self.n as f32, HORIZON);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(rng: &mut fastrand::Rng) -> f32 {
        (0..12).map(|_| rng.f32()).sum::<f32>() - 6.0
    }

    fn first(n: usize, shift: &mut Shift, mut f: impl FnMut(usize) -> f32) -> Option<(usize, f32)> {
        let mut found = None;
        for i in 0..n {
            shift.take(f(i));
            let ratio = shift.ratio(288.0);
            if ratio.abs() >= 1.0 {
                found = found.or(Some((i, ratio)));
            }
        }
        found
    }

    #[test]
    fn two_scales_are_found_within_half_an_hour_of_minutes() {
        for up in [1.0, -1.0] {
            let mut rng = fastrand::Rng::with_seed(1);
            let mut shift = Shift::default();
            assert_eq!(first(6000, &mut shift, |_| noise(&mut rng)), None);
            let found = first(100, &mut shift, |_| noise(&mut rng) + 2.0 * up);
            assert!(
                found.is_some_and(|(i, r)| i < 40 && r * up > 0.0),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_level_that_stays_is_soon_known_and_one_wild_value_is_nothing() {
        let mut rng = fastrand::Rng::with_seed(2);
        let mut shift = Shift::default();
        first(6000, &mut shift, |_| noise(&mut rng));
        assert_eq!(
            first(50, &mut shift, |i| if i == 3 { 1e9 } else { 0.0 }),
            None
        );
        first(300, &mut shift, |_| noise(&mut rng) + 3.0);
        assert_eq!(first(300, &mut shift, |_| noise(&mut rng) + 3.0), None);
    }

    #[test]
    fn noise_that_remembers_is_no_shift() {
        for seed in 0..5 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let (mut shift, mut ar) = (Shift::default(), 0.0);
            let found = first(50_000, &mut shift, |_| {
                ar = 0.99 * ar + 0.141 * noise(&mut rng);
                ar
            });
            assert_eq!(found, None, "{seed}");
        }
    }
}
