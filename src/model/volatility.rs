//! How restless a series is at each hour of the day, next to how restless it is all in all.
//!
//! Changes that are a fault at night may be usual in a rush. For every two buckets of the profile, an
//! hour in a day of 24, a clipped running mean of the size of short changes is kept; divided by the
//! scale of all of them it says by what factor changes of that hour are measured. What always holds:
//! the factor is at least one, and one where the hour was hardly seen: that a calm hour is calmer
//! than the rest makes nothing of it more suspicious (measured: it finds next to nothing and
//! calls at night). What it does not know: the level at that time, which is the profile's.

use serde::{Deserialize, Serialize};

use super::bound::{larger, smaller};
use super::day::Day;
use super::robust::MAD_TO_SIGMA;

/// Visits at which an hour is believed as much as the rest of the day.
const BELIEVED_HALF: f64 = 60.0;
/// A change counts at most this many times the scale: the hour's own or that of all, the larger one.
const CLIP: f32 = 4.0;

/// Sizes of short changes by hour of the day.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Volatility {
    hours: Day<f32>,
}

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

impl Volatility {
    /// Begins with a day of so many buckets.
    pub fn begin(&mut self, buckets: usize) {
        self.hours = Day::of(buckets.div_ceil(2));
    }

    /// By what factor changes at a place are larger than those of the whole day, which have `scale`;
    /// `visits` says how often an hour was seen.
    #[inline]
    pub fn ratio(&self, place: &Place, scale: f64, visits: impl Fn(usize) -> u32) -> f64 {
        let (Some(left), Some(right)) = (self.hours.get(place.left), self.hours.get(place.right))
        else {
            return 1.0;
        };
        if scale <= 0.0 {
            return 1.0;
        }
        let ratio = |hour: usize, size: f32| {
            let seen = f64::from(visits(hour));
            (seen * f64::from(size) / scale + BELIEVED_HALF) / (seen + BELIEVED_HALF)
        };
        let (left, right) = (ratio(place.left, *left), ratio(place.right, *right));
        larger(left + place.share * (right - left), 1.0)
    }

    /// Takes the size of a change at a place, whatever its sign; `scale` is that of the whole day,
    /// `visits` counts those of the hour, this one included.
    #[inline]
    pub fn take(&mut self, place: &Place, size: f64, scale: f64, visits: u32, gain_min: f32) {
        let Some(hour) = self.hours.get_mut(place.own) else {
            return;
        };
        let gain = larger(1.0 / visits.max(1) as f32, gain_min);
        let size = (MAD_TO_SIGMA * size.abs()) as f32;
        let most = CLIP * larger(*hour, scale as f32);
        let size = match scale > 0.0 {
            true => smaller(size, most),
            false => size,
        };
        *hour += gain * (size - *hour);
    }

    /// Bytes apart from its own size.
    pub fn heap_bytes(&self) -> usize {
        self.hours.heap_bytes()
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUCKETS: usize = 48;

    fn place(hour: f64) -> Place {
        Place::new(2.0 * hour, BUCKETS)
    }

    /// Noise of 8 from ten to eighteen o'clock, of 1 else, for some days of a sample a minute.
    fn learned(days: u32) -> Volatility {
        let mut rng = fastrand::Rng::with_seed(3);
        let mut volatility = Volatility::default();
        volatility.begin(BUCKETS);
        for minute in 0..days * 1440 {
            let hour = minute % 1440 / 60;
            let size = if (10..18).contains(&hour) { 8.0 } else { 1.0 };
            let change = size * ((0..12).map(|_| rng.f64()).sum::<f64>() - 6.0);
            let visits = minute / 1440 * 60 + minute % 60 + 1;
            let at = place(f64::from(minute % 1440) / 60.0);
            volatility.take(&at, change, 3.0, visits, 1.0 / 420.0);
        }
        volatility
    }

    #[test]
    fn restless_hours_get_the_factor_of_their_noise_and_calm_ones_none() {
        let volatility = learned(7);
        let ratio = |hour: f64| volatility.ratio(&place(hour), 3.0, |_| 420);
        assert!((2.0..3.0).contains(&ratio(14.5)), "{}", ratio(14.5));
        assert_eq!(ratio(3.5), 1.0);
        let rising = [9.0, 9.75, 10.0, 10.25, 10.5].map(ratio);
        assert!(rising.is_sorted(), "{rising:?}");
        assert!((ratio(23.999) - ratio(0.001)).abs() < 0.01);
    }

    #[test]
    fn what_was_hardly_seen_says_one_and_one_wild_change_little() {
        let mut volatility = learned(7);
        assert!((volatility.ratio(&place(14.5), 3.0, |_| 1) - 1.0).abs() < 0.1);
        assert_eq!(volatility.ratio(&place(14.5), 0.0, |_| 420), 1.0);
        assert_eq!(Volatility::default().ratio(&place(2.0), 1.0, |_| 9), 1.0);
        let before = volatility.ratio(&place(14.5), 3.0, |_| 420);
        volatility.take(&place(14.5), 1e12, 3.0, 421, 1.0 / 420.0);
        let after = volatility.ratio(&place(14.5), 3.0, |_| 421);
        assert!(after < before * 1.02, "{before} {after}");
    }

    #[test]
    fn days_of_few_buckets_have_few_hours() {
        for buckets in 1..=48usize {
            let mut volatility = Volatility::default();
            volatility.begin(buckets);
            for step in 0..100 {
                let at = Place::new(f64::from(step) / 100.0 * buckets as f64, buckets);
                volatility.take(&at, 1.0, 1.0, 1, 0.01);
                assert!(volatility.ratio(&at, 1.0, |_| 60).is_finite());
            }
        }
    }
}
