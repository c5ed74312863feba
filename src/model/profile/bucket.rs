//! One bucket of the profile in eight bytes: every series has 48.
//!
//! The mean is kept as it is, the spread with twelve bits behind its point, and visits, oddness and
//! day share the rest. What always holds: what is written and read back is the same bucket.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::model::bound::larger;
use crate::model::day::Part;
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

/// What is usual at one time of the day, in scales around the level.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Bucket {
    mean: f32,
    spread: u16,
    /// Visits, twice the days in a row with an anomaly at this time and whether today had one, day.
    counts: u16,
}

impl Bucket {
    pub(super) fn mean(&self) -> f32 {
        self.mean
    }

    pub(super) fn spread(&self) -> f32 {
        match self.spread {
            0 => 0.0,
            code => f32::from_bits((u32::from(code) + SPREAD_ONE) << SPREAD_SHIFT),
        }
    }

    /// How often it was seen, up to [`VISITS_MAX`].
    pub(super) fn visits(&self) -> u16 {
        self.counts & VISITS_MAX
    }

    fn odd(&self) -> u8 {
        (self.counts >> 10 & 0xf) as u8
    }

    fn day(&self) -> u8 {
        (self.counts >> 14) as u8
    }

    fn set_spread(&mut self, spread: f32) {
        // Rounded to the nearest: what always rounds down never grows.
        let bits = spread.to_bits().saturating_add(1 << (SPREAD_SHIFT - 1)) >> SPREAD_SHIFT;
        self.spread = bits.saturating_sub(SPREAD_ONE).min(u32::from(u16::MAX)) as u16;
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
        let mut d = z - f64::from(self.mean);
        let spread = f64::from(self.spread());
        if visits >= CLIP_FROM {
            let at = CLIP * larger(spread, CLIP_SPREAD_MIN);
            d = d.clamp(-at, at);
        }
        self.mean += (gain * d) as f32;
        self.set_spread((spread + gain * (MAD_TO_SIGMA * d.abs() - spread)) as f32);
        self.counts = u16::from(day) << 14 | u16::from(odd) << 10 | visits;
    }

    fn bytes(&self) -> [u8; 8] {
        let [a, b, c, d] = self.mean.to_le_bytes();
        let ([e, f], [g, h]) = (self.spread.to_le_bytes(), self.counts.to_le_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

impl Part for Bucket {
    const NONE: &'static Self = &Self {
        mean: 0.0,
        spread: 0,
        counts: 0,
    };

    fn is_none(&self) -> bool {
        self.bytes() == [0; 8]
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
        Ok(Self {
            mean: f32::from_le_bytes([a, b, c, d]),
            spread: u16::from_le_bytes([e, f]),
            counts: u16::from_le_bytes([g, h]),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_comes_back_as_it_was() {
        assert_eq!(size_of::<Bucket>(), 8);
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
