//! One bucket of the profile in seven bytes: every series has 48.
//!
//! The mean is kept in parts of a scale, the spread with twelve bits behind its point, and visits,
//! oddness and day share the rest. What always holds: what is written and read back is the same bucket.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::bound::larger;
use crate::model::robust::MAD_TO_SIGMA;

/// Deviations count at most this many spreads.
const CLIP: f64 = 3.0;
/// Visits before clipping starts.
const CLIP_FROM: u16 = 7;
/// Smallest spread that clipping uses, in scales.
const CLIP_SPREAD_MIN: f64 = 0.1;
/// Days in a row with an anomaly at the same time that make it the new rhythm.
const ODD_DAYS: u8 = 2;
/// What a day's oddness counts to: it is learned and no longer odd. Four bits with the one for today.
const ODD_LEARNED: u8 = 14;
/// Visits are counted up to here, in ten bits; then the bucket is as old as it gets.
const VISITS_MAX: u16 = 1023;
/// Days are told apart modulo so many, in two bits.
const DAYS: u8 = 4;

/// Bits of the fraction of an f32 that a spread does without.
const SPREAD_SHIFT: u32 = 11;
/// An f32 of 2^-9, shifted: the smallest spread but 0. The largest is just below 2^7, and deviations
/// are at most 30.
const SPREAD_ONE: u32 = 0x3b00_0000 >> SPREAD_SHIFT;

/// Parts of a scale that a mean is kept in: what the slowest learning loses to rounding is below a
/// two-hundredth of a scale. With it 24 bits reach to 32 scales, and no value counts for more than 30.
const MEAN_PARTS: f32 = 262_144.0;
/// Bits of a word that the mean does without, and what the others reach to.
const MEAN_SHIFT: u32 = 8;
const MEAN_MOST: i32 = i32::MAX >> MEAN_SHIFT;

/// What is usual at one time of the day, in scales around the level: 7 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bucket {
    mean: [u8; 3],
    spread: [u8; 2],
    /// Visits, twice the days in a row with an anomaly at this time and whether today had one, day.
    counts: [u8; 2],
}

impl Bucket {
    /// Of which nothing is known.
    pub(super) const NONE: Self = Self {
        mean: [0; 3],
        spread: [0; 2],
        counts: [0; 2],
    };

    #[inline]
    pub(super) fn mean(&self) -> f32 {
        let [a, b, c] = self.mean;
        (i32::from_le_bytes([0, a, b, c]) >> MEAN_SHIFT) as f32 * (1.0 / MEAN_PARTS)
    }

    fn set_mean(&mut self, mean: f32) {
        // To the nearest: what always rounds one way never arrives.
        let parts = mean * MEAN_PARTS;
        let parts = (parts + 0.5f32.copysign(parts)) as i32;
        let [a, b, c, _] = parts.clamp(-MEAN_MOST, MEAN_MOST).to_le_bytes();
        self.mean = [a, b, c];
    }

    #[inline]
    pub(super) fn spread(&self) -> f32 {
        match u16::from_le_bytes(self.spread) {
            0 => 0.0,
            code => f32::from_bits((u32::from(code) + SPREAD_ONE) << SPREAD_SHIFT),
        }
    }

    /// How often it was seen, up to [`VISITS_MAX`].
    pub(super) fn visits(&self) -> u16 {
        self.counts() & VISITS_MAX
    }

    fn counts(&self) -> u16 {
        u16::from_le_bytes(self.counts)
    }

    fn odd(&self) -> u8 {
        (self.counts() >> 10 & 0xf) as u8
    }

    fn day(&self) -> u8 {
        (self.counts() >> 14) as u8
    }

    fn set_spread(&mut self, spread: f32) {
        // Rounded to the nearest: what always rounds down never grows.
        let bits = spread.to_bits().saturating_add(1 << (SPREAD_SHIFT - 1)) >> SPREAD_SHIFT;
        let code = bits.saturating_sub(SPREAD_ONE).min(u32::from(u16::MAX)) as u16;
        self.spread = code.to_le_bytes();
    }

    /// Takes one value; `weight` below 1 says that it belongs to an anomaly. `day` is counted modulo
    /// whatever a multiple of four is.
    #[inline]
    pub(super) fn take(&mut self, z: f64, gain_min: f32, day: u8, weight: f64) {
        let day = day % DAYS;
        let mut odd = self.odd();
        if self.day() != day {
            odd = if odd & 1 == 1 {
                (odd + 1).min(ODD_LEARNED)
            } else {
                0
            };
        }
        let mut weight = weight;
        if weight < 1.0 {
            odd |= 1;
            if odd.div_ceil(2) > ODD_DAYS {
                if odd < ODD_LEARNED {
                    *self = Self::default();
                    odd = ODD_LEARNED | 1;
                }
                weight = 1.0;
            }
        }
        let visits = (self.visits() + 1).min(VISITS_MAX);
        let first = match visits {
            VISITS_MAX => 0.0,
            fewer => 1.0 / f32::from(fewer),
        };
        let gain = f64::from(larger(first, gain_min)) * weight;
        let mean = self.mean();
        let mut d = z - f64::from(mean);
        let spread = f64::from(self.spread());
        if visits >= CLIP_FROM {
            let at = CLIP * larger(spread, CLIP_SPREAD_MIN);
            d = d.clamp(-at, at);
        }
        self.set_mean(mean + (gain * d) as f32);
        self.set_spread((spread + gain * (MAD_TO_SIGMA * d.abs() - spread)) as f32);
        let counts = u16::from(day) << 14 | u16::from(odd) << 10 | visits;
        self.counts = counts.to_le_bytes();
    }

    /// As it is written: with a mean of four bytes.
    fn bytes(&self) -> [u8; 8] {
        let [a, b, c, d] = self.mean().to_le_bytes();
        let ([e, f], [g, h]) = (self.spread, self.counts);
        [a, b, c, d, e, f, g, h]
    }
}

impl Serialize for Bucket {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Bucket {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let [a, b, c, d, e, f, g, h] = Deserialize::deserialize(deserializer)?;
        let mut bucket = Self {
            spread: [e, f],
            counts: [g, h],
            ..Self::NONE
        };
        bucket.set_mean(f32::from_le_bytes([a, b, c, d]));
        Ok(bucket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_comes_back_as_it_was() {
        assert_eq!(size_of::<Bucket>(), 7);
        let mut bucket = Bucket::default();
        for i in 0..2000 {
            let weight = if i % 700 < 20 { 0.02 } else { 1.0 };
            bucket.take(f64::from(i % 13) - 9.0, 0.001, (i / 120) as u8, weight);
            let written = postcard::to_stdvec(&bucket).unwrap();
            assert_eq!(written.len(), 8);
            assert_eq!(postcard::from_bytes::<Bucket>(&written), Ok(bucket));
        }
        assert_eq!(bucket.visits(), VISITS_MAX);
    }

    #[test]
    fn a_mean_is_kept_to_a_part_of_a_scale_and_slow_learning_is_not_lost() {
        let mut bucket = Bucket::default();
        for mean in [-30.0, -1.000_001, -1e-9, 0.0, 2.5, 29.999] {
            bucket.set_mean(mean);
            assert!((bucket.mean() - mean).abs() <= 0.5 / MEAN_PARTS, "{mean}");
        }
        bucket.set_mean(f32::MAX);
        assert!((31.9..=32.0).contains(&bucket.mean()));
        let mut rng = fastrand::Rng::with_seed(6);
        let (mut bucket, mut exact) = (Bucket::default(), 0.0f64);
        for i in 0..100_000u32 {
            let at = if i < 20_000 { 0.0 } else { 0.05 };
            let z = at + (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
            let clip = CLIP * f64::from(bucket.spread().max(0.1));
            let gain = (1.0 / f64::from(i + 1)).max(1.0 / 2000.0);
            let d = z - exact;
            exact += gain * if i > 5 { d.clamp(-clip, clip) } else { d };
            bucket.take(z, 1.0 / 2000.0, 0, 1.0);
        }
        assert!((f64::from(bucket.mean()) - exact).abs() < 1e-3, "{exact}");
    }

    #[test]
    fn a_spread_is_kept_to_an_eighth_of_a_thousandth_and_slow_learning_is_not_lost() {
        let mut bucket = Bucket::default();
        let mut spread = 0.002f32;
        while spread < 127.0 {
            bucket.set_spread(spread);
            assert!((bucket.spread() / spread - 1.0).abs() < 1.25e-4, "{spread}");
            spread *= 1.01;
        }
        for extreme in [0.0, 1e-9, 1e9] {
            bucket.set_spread(extreme);
            assert!(bucket.spread() <= 128.0);
        }
        let mut rng = fastrand::Rng::with_seed(5);
        let mut bucket = Bucket::default();
        let mut exact = 0.0f64;
        for i in 0..200_000u32 {
            let size = if i < 20_000 { 1.0 } else { 3.0 };
            let z = size * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0);
            let d =
                (z - f64::from(bucket.mean())).clamp(-3.0 * exact.max(0.1), 3.0 * exact.max(0.1));
            bucket.take(z, 1.0 / 2000.0, 0, 1.0);
            let gain = (1.0 / f64::from(i + 1)).max(1.0 / 2000.0);
            exact += gain * (MAD_TO_SIGMA * d.abs() - exact);
        }
        assert!(
            (f64::from(bucket.spread()) / exact - 1.0).abs() < 0.02,
            "{bucket:?} {exact}"
        );
    }
}
