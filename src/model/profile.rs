//! The profile of a day: what is usual at each time of it, in scales around the level.
//!
//! The day is cut into at most 48 buckets. Each keeps a clipped running mean and spread of the
//! values seen in it, in scales of the level. Between two bucket centres the expectation is
//! interpolated. A bucket speaks from its fifth visit on.
//!
//! An anomaly teaches a bucket little, but one that comes back at the same time for a third day is
//! the new rhythm and is learned.
//!
//! Days are counted in UTC; weekdays, holidays and time zones are not known here.

mod bucket;
mod hour;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::bucket::Bucket;
use self::hour::Hour;
use super::bound::{larger, smaller};
use super::day::Day;
use super::pace::Pace;
use super::volatility::{self, Place};

/// Most buckets of a day: half an hour each in a day of 24 hours.
const BUCKETS_MAX: usize = 48;
/// Fewer samples than this a day are no rhythm.
const BUCKETS_MIN: f64 = 8.0;
/// Visits before a bucket speaks.
const SPEAKS_FROM: u16 = 5;
/// Visits before it may say how far a value is out of season.
const COMPARES_FROM: u16 = 2;
/// Smallest spread that [`Profile::residual`] is measured in.
const SPREAD_MIN: f32 = 0.3;

/// The profile of one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Profile {
    /// Empty until the interval of the series is known; never of another number after.
    hours: Day<Hour>,
}

/// Buckets of a day with so many samples; 0 if they are too few for a rhythm.
pub(super) fn bucket_count(samples_a_day: f64) -> usize {
    if samples_a_day < BUCKETS_MIN {
        return 0;
    }
    (samples_a_day as usize).min(BUCKETS_MAX)
}

/// What the profile says of one moment: looked up once a sample, for scoring and for learning.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    /// Usual distance from the level at this time, in scales; `None` while it is not known.
    pub usual: Option<f64>,
    /// The bucket that contains the moment.
    own: usize,
    /// Where it lies between hours.
    place: Place,
    /// Its day.
    day: u8,
}

impl Profile {
    /// What is usual at a time.
    #[inline]
    pub fn look(&self, t_ms: i64, day_ms: i64) -> Look {
        let count = self.hours.buckets();
        if count == 0 {
            return Look {
                usual: None,
                own: 0,
                place: Place::new(0.0, 0),
                day: 0,
            };
        }
        let day = t_ms.div_euclid(day_ms);
        let buckets = f64::from(count as u32);
        let within = (t_ms - day * day_ms) as f64 / day_ms as f64 * buckets;
        let own = (within as u32 as usize).min(count - 1);
        // The two centres around the time: those of this bucket and of the nearer neighbour.
        let from = within - f64::from(own as u32);
        let late = from >= 0.5;
        let (left, right) = if late {
            (own, if own + 1 == count { 0 } else { own + 1 })
        } else {
            (if own == 0 { count - 1 } else { own - 1 }, own)
        };
        let share = from + if late { -0.5 } else { 0.5 };
        let (a, b) = (self.bucket(left), self.bucket(right));
        let speaks = a.visits() >= SPEAKS_FROM && b.visits() >= SPEAKS_FROM;
        let usual = (1.0 - share) * f64::from(a.mean()) + share * f64::from(b.mean());
        Look {
            usual: speaks.then_some(usual),
            own,
            place: Place::new(within, count),
            day: day as u8,
        }
    }

    /// How far a value, in scales from the level, is out of season: the smallest distance from this
    /// bucket and its two neighbours, in spreads. `None` while none of them can say.
    #[inline]
    pub fn residual(&self, look: &Look, z: f32) -> Option<f32> {
        let count = self.hours.buckets();
        if count == 0 {
            return None;
        }
        let before = if look.own == 0 { count } else { look.own } - 1;
        let after = if look.own + 1 == count {
            0
        } else {
            look.own + 1
        };
        // Without branches: which of the three is the nearest nobody can guess.
        let of = |i: usize| {
            let b = self.bucket(i);
            let distance = (z - b.mean()).abs() / larger(b.spread(), SPREAD_MIN);
            match b.visits() >= COMPARES_FROM {
                true => distance,
                false => f32::INFINITY,
            }
        };
        let least = smaller(smaller(of(before), of(look.own)), of(after));
        (least < f32::INFINITY).then_some(least)
    }

    /// Begins the profile once the interval of the series is known.
    pub fn begin(&mut self, pace: &Pace, day_ms: i64) {
        let count = bucket_count(day_ms as f64 / pace.interval_ms());
        self.hours = Day::of(count);
    }

    /// By what factor short changes, of `scale` on the whole, are larger at a time.
    #[inline]
    pub fn unrest(&self, look: &Look, scale: f64) -> f64 {
        if self.is_empty() {
            return 1.0;
        }
        volatility::ratio(&look.place, scale, |at| {
            let hour = &self.hours[at];
            (hour.restless, hour.visits())
        })
    }

    /// Takes the size of a short change; [`Profile::take`] is to come first.
    #[inline]
    pub fn take_change(&mut self, look: &Look, size: f64, scale: f64, pace: &Pace) {
        if let Some(hour) = self.hours.get_mut(look.place.own) {
            let visits = hour.visits();
            hour.restless.take(size, scale, visits, pace.bucket_gain);
        }
    }

    #[inline]
    fn bucket(&self, at: usize) -> &Bucket {
        self.hours[at / 2].bucket(at)
    }

    /// Buckets of which anything may be known.
    fn held(&self) -> impl Iterator<Item = &Bucket> {
        self.hours.held().flat_map(|hour| &hour.buckets)
    }

    /// Bytes that it keeps apart from its own size.
    pub fn heap_bytes(&self) -> usize {
        self.hours.heap_bytes()
    }

    /// True until [`Profile::begin`] found a day in which there are samples enough.
    pub fn is_empty(&self) -> bool {
        self.hours.is_empty()
    }

    /// True once it speaks at most times of the day.
    pub fn speaks(&self) -> bool {
        let speak = |b: &&Bucket| b.visits() >= SPEAKS_FROM;
        !self.is_empty() && 2 * self.held().filter(speak).count() > self.hours.buckets()
    }

    /// Takes one value in scales from the level; `weight` below 1 says that it belongs to an
    /// anomaly.
    pub fn take(&mut self, look: &Look, z: f32, pace: &Pace, weight: f64) {
        if let Some(hour) = self.hours.get_mut(look.own / 2) {
            let bucket = hour.bucket_mut(look.own);
            bucket.take(f64::from(z), pace.bucket_gain, look.day, weight);
        }
    }

    /// True if the value, in scales from the level, is usual at some other time of the day.
    pub fn usual_sometime(&self, look: &Look, z: f32) -> bool {
        let Some(here) = self.residual(look, z).filter(|r| *r > 3.0) else {
            return false;
        };
        // Much nearer to that time than to this one: where all times are alike there is no season.
        let most = (here / 2.0).min(3.0);
        let near = |b: &Bucket| (z - b.mean()).abs() <= most * b.spread().max(SPREAD_MIN);
        let mut known = self.held().filter(|b| b.visits() >= SPEAKS_FROM);
        known.any(near)
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}

/// As two lists: buckets, and how restless each hour is.
impl Serialize for Profile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets: Vec<_> = (0..self.hours.buckets()).map(|i| self.bucket(i)).collect();
        let sizes: Vec<_> = self.hours.iter().map(|hour| hour.restless.size()).collect();
        (buckets, sizes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Profile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (buckets, sizes) = <(Vec<Bucket>, Vec<f32>)>::deserialize(deserializer)?;
        let count = u8::try_from(buckets.len()).map_err(serde::de::Error::custom)?;
        if sizes.len() != buckets.len().div_ceil(2) {
            return Err(serde::de::Error::invalid_length(
                sizes.len(),
                &"an hour for two buckets",
            ));
        }
        let hours: Vec<_> = buckets
            .chunks(2)
            .zip(sizes)
            .map(|(of, size)| Hour::of(of, size))
            .collect();
        Ok(Self {
            hours: Day::of_all(count, &hours),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const STEP: i64 = 60_000;

    fn fed(
        days: std::ops::Range<i64>,
        into: Option<Profile>,
        f: impl Fn(i64) -> (f32, f64),
    ) -> Profile {
        let pace = Pace::new(STEP as f64, DAY);
        let mut profile = into.unwrap_or_else(|| {
            let mut new = Profile::default();
            new.begin(&pace, DAY);
            new
        });
        for i in days.start * 1440..days.end * 1440 {
            let look = profile.look(i * STEP, DAY);
            let (z, weight) = f(i);
            profile.take(&look, z, &pace, weight);
        }
        profile
    }

    fn wave(i: i64) -> f32 {
        let phase = i as f32 / 1440.0 * std::f32::consts::TAU;
        2.0 * phase.sin() + ((i * 7919) % 13) as f32 / 60.0
    }

    #[test]
    fn what_is_usual_at_a_time_is_known_after_a_day() {
        assert_eq!(Profile::default().look(0, DAY).usual, None);
        let profile = fed(0..2, None, |i| (wave(i), 1.0));
        assert!(profile.speaks());
        for hour in 0..24 {
            let t = 2 * DAY + hour * 3_600_000;
            let look = profile.look(t, DAY);
            let usual = look.usual.unwrap();
            let expected = f64::from(wave(t / STEP));
            assert!((usual - expected).abs() < 0.4, "{hour}: {usual} {expected}");
        }
        let noon = profile.look(2 * DAY + DAY / 2, DAY);
        assert!(profile.usual_sometime(&noon, 2.0), "usual at six");
        assert!(!profile.usual_sometime(&noon, 9.0), "usual at no time");
        assert!(!profile.usual_sometime(&noon, 0.0), "usual now");
    }

    #[test]
    fn an_anomaly_that_comes_back_for_a_third_day_is_learned() {
        let at = DAY / 2 + 900_000;
        let mut profile = fed(0..6, None, |i| (wave(i), 1.0));
        for day in 6..10 {
            let before = profile.look(day * DAY + at, DAY).usual.unwrap();
            profile = fed(day..day + 1, Some(profile), |i| {
                let noon = (720..750).contains(&(i % 1440));
                let odd = noon && before < 4.0;
                (
                    wave(i) + if noon { 8.0 } else { 0.0 },
                    if odd { 0.02 } else { 1.0 },
                )
            });
            let learned = profile.look((day + 1) * DAY + at, DAY).usual.unwrap();
            assert_eq!(learned > 4.0, day >= 8, "after day {day}: {learned}");
        }
    }

    #[test]
    fn it_comes_back_as_it_was_and_is_small() {
        for step in [STEP, 15 * STEP, 60 * STEP, 96 * STEP, 150 * STEP] {
            let pace = Pace::new(step as f64, DAY);
            let mut profile = Profile::default();
            profile.begin(&pace, DAY);
            for i in 0..3 * DAY / step {
                let look = profile.look(i * step, DAY);
                profile.take(&look, wave(i), &pace, 1.0);
                profile.take_change(&look, f64::from(wave(i)), 1.0, &pace);
            }
            let written = postcard::to_stdvec(&profile).unwrap();
            assert!(postcard::from_bytes::<Profile>(&written).unwrap() == profile);
            assert!(profile.heap_bytes() <= 408, "{}", profile.heap_bytes());
        }
    }

    #[test]
    fn too_few_samples_a_day_have_no_profile() {
        let mut profile = Profile::default();
        profile.begin(&Pace::new(4.0 * 3_600_000.0, DAY), DAY);
        assert!(profile.is_empty());
        profile.begin(&Pace::new(3_600_000.0, DAY), DAY);
        assert!(!profile.is_empty());
    }
}
