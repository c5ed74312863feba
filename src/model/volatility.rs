//! How restless a series is at each hour of the day, next to how restless it is all in all.
//!
//! Changes that are a fault at night may be usual in a rush. For every two buckets of the profile, an
//! hour in a day of 24, a clipped running mean of the size of short changes is kept; divided by the
//! scale of all of them it says by what factor changes of that hour are measured. What always holds:
//! the factor is at least one, and one where the hour was hardly seen: that a calm hour is calmer
//! than the rest makes nothing of it more suspicious (measured: it finds next to nothing and
//! calls at night). What it does not know: the level at that time, which is the profile's.

use super::bound::{larger, smaller};
use super::robust::MAD_TO_SIGMA;

/// Visits at which an hour is believed as much as the rest of the day.
const BELIEVED_HALF: f64 = 60.0;
/// A change counts at most this many times the scale: the hour's own or that of all, the larger one.
const CLIP: f32 = 4.0;

/// Bits of an f32 that a size does without: the sign, which it has not, and the last seven of the
/// fraction. What is left is exact to less than a hundred-thousandth.
const SHORTER: u32 = 7;

/// The size of short changes in one hour of the day, in the unit of the values: 3 bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Restless([u8; 3]);

/// A place in the day, between the centres of two hours.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// The hour that contains the moment.
    pub own: usize,
    left: usize,
    right: usize,
    /// How far it is from the left centre to the right one, 0..=1.
    share: f64,
}

impl Place {
    /// `within` is the time of day in buckets of the profile, of which there are `buckets`.
    #[inline]
    pub fn new(within: f64, buckets: usize) -> Self {
        let hours = buckets.div_ceil(2).max(1);
        let at = within / 2.0;
        let own = (at as u32 as usize).min(hours - 1);
        let from = at - f64::from(own as u32);
        let (left, right, share) = if from >= 0.5 {
            (own, if own + 1 == hours { 0 } else { own + 1 }, from - 0.5)
        } else {
            (if own == 0 { hours } else { own } - 1, own, from + 0.5)
        };
        Self {
            own,
            left,
            right,
            share: smaller(share, 1.0),
        }
    }
}

impl Restless {
    /// Of which nothing is known.
    pub(super) const NONE: Self = Self([0; 3]);

    /// The size, not negative.
    #[inline]
    pub fn size(self) -> f32 {
        let [a, b, c] = self.0;
        f32::from_bits(u32::from_le_bytes([a, b, c, 0]) << SHORTER)
    }

    /// Of a size that is a number and not negative, to the nearest.
    #[inline]
    pub fn of(size: f32) -> Self {
        let [a, b, c, _] =
            (size.to_bits().saturating_add(1 << (SHORTER - 1)) >> SHORTER).to_le_bytes();
        Self([a, b, c])
    }

    /// Takes the size of a change, whatever its sign; `scale` is that of the whole day, `visits` counts
    /// those of the hour, this one included.
    #[inline]
    pub fn take(&mut self, size: f64, scale: f64, visits: u32, gain_min: f32) {
        let hour = self.size();
        let gain = larger(1.0 / visits.max(1) as f32, gain_min);
        let size = (MAD_TO_SIGMA * size.abs()) as f32;
        let most = CLIP * larger(hour, scale as f32);
        let size = match scale > 0.0 {
            true => smaller(size, most),
            false => size,
        };
        *self = Self::of(hour + gain * (size - hour));
    }
}

/// By what factor changes at a place are larger than those of the whole day, which have `scale`;
/// `hour` says how restless an hour is and how often it was seen.
#[inline]
pub fn ratio(place: &Place, scale: f64, hour: impl Fn(usize) -> (Restless, u32)) -> f64 {
    if scale <= 0.0 {
        return 1.0;
    }
    let ratio = |at: usize| {
        let (restless, seen) = hour(at);
        let seen = f64::from(seen);
        (seen * f64::from(restless.size()) / scale + BELIEVED_HALF) / (seen + BELIEVED_HALF)
    };
    let (left, right) = (ratio(place.left), ratio(place.right));
    larger(left + place.share * (right - left), 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKETS: usize = 48;
    const HOURS: usize = BUCKETS / 2;

    fn place(hour: f64) -> Place {
        Place::new(2.0 * hour, BUCKETS)
    }

    /// Noise of 8 from ten to eighteen o'clock, of 1 else, for some days of a sample a minute.
    fn learned(days: u32) -> [Restless; HOURS] {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut hours = [Restless::default(); HOURS];
        for minute in 0..days * 1440 {
            let hour = minute % 1440 / 60;
            let size = if (10..18).contains(&hour) { 8.0 } else { 1.0 };
            let change = size * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0);
            let visits = minute / 1440 * 60 + minute % 60 + 1;
            let at = place(f64::from(minute % 1440) / 60.0);
            hours[at.own].take(change, 3.0, visits, 1.0 / 420.0);
        }
        hours
    }

    fn ratio_of(hours: &[Restless; HOURS], hour: f64, scale: f64, visits: u32) -> f64 {
        ratio(&place(hour), scale, |i| (hours[i], visits))
    }

    #[test]
    fn restless_hours_get_the_factor_of_their_noise_and_calm_ones_none() {
        let hours = learned(7);
        let ratio = |hour: f64| ratio_of(&hours, hour, 3.0, 420);
        assert!((2.0..3.0).contains(&ratio(14.5)), "{}", ratio(14.5));
        assert_eq!(ratio(3.5), 1.0);
        let rising = [9.0, 9.75, 10.0, 10.25, 10.5].map(ratio);
        assert!(rising.is_sorted(), "{rising:?}");
        assert!((ratio(23.999) - ratio(0.001)).abs() < 0.01);
    }

    #[test]
    fn what_was_hardly_seen_says_one_and_one_wild_change_little() {
        let mut hours = learned(7);
        assert!((ratio_of(&hours, 14.5, 3.0, 1) - 1.0).abs() < 0.1);
        assert_eq!(ratio_of(&hours, 14.5, 0.0, 420), 1.0);
        let before = ratio_of(&hours, 14.5, 3.0, 420);
        hours[place(14.5).own].take(1e12, 3.0, 421, 1.0 / 420.0);
        let after = ratio_of(&hours, 14.5, 3.0, 421);
        assert!(after < before * 1.02, "{before} {after}");
    }

    #[test]
    fn a_size_is_kept_to_a_hundred_thousandth() {
        let mut size = 1e-30f32;
        while size < 1e32 {
            let kept = Restless::of(size);
            assert!((kept.size() / size - 1.0).abs() < 1e-5, "{size}");
            assert_eq!(Restless::of(kept.size()), kept);
            size *= 1.37;
        }
        assert_eq!(Restless::of(0.0), Restless::NONE);
    }

    #[test]
    fn days_of_few_buckets_have_few_hours() {
        for buckets in 1..=BUCKETS {
            let mut hours = vec![Restless::default(); buckets.div_ceil(2)];
            for step in 0..100 {
                let at = Place::new(f64::from(step) / 100.0 * buckets as f64, buckets);
                hours[at.own].take(1.0, 1.0, 1, 0.01);
                assert!(ratio(&at, 1.0, |i| (hours[i], 60)).is_finite());
            }
        }
    }
}
