//! The profile of a day: what is usual at each time of it, in scales around the level.
//!
//! The day is cut into at most 48 buckets. Each keeps a clipped running mean and spread of the
//! values seen in it, in scales of the level. Between two bucket centres the expectation is
//! interpolated. A bucket speaks from its fifth visit on.
//!
//! Days are counted in UTC; weekdays, holidays and time zones are not known here.

use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::robust::MAD_TO_SIGMA;

/// Most buckets of a day: half an hour each in a day of 24 hours.
const BUCKETS_MAX: usize = 48;
/// Fewer samples than this a day are no rhythm.
const BUCKETS_MIN: f64 = 8.0;
/// Visits before a bucket speaks.
const SPEAKS_FROM: u16 = 5;
/// Visits before it may say how far a value is out of season.
const COMPARES_FROM: u16 = 2;
/// Deviations count at most this many spreads.
const CLIP: f64 = 3.0;
/// Visits before clipping starts.
const CLIP_FROM: u16 = 7;
/// Smallest spread that clipping uses, in scales.
const CLIP_SPREAD_MIN: f64 = 0.1;
/// Smallest spread that [`Profile::residual`] is measured in.
const SPREAD_MIN: f32 = 0.3;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bucket {
    mean: f32,
    spread: f32,
    visits: u16,
}

impl Bucket {
    fn take(&mut self, z: f64, gain_min: f32) {
        self.visits = self.visits.saturating_add(1);
        let gain = f64::from((1.0 / f32::from(self.visits)).max(gain_min));
        let mut d = z - f64::from(self.mean);
        if self.visits >= CLIP_FROM {
            let at = CLIP * f64::from(self.spread).max(CLIP_SPREAD_MIN);
            d = d.clamp(-at, at);
        }
        self.mean += (gain * d) as f32;
        self.spread += (gain * (MAD_TO_SIGMA * d.abs() - f64::from(self.spread))) as f32;
    }
}

/// The profile of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Empty until the interval of the series is known; never resized after.
    buckets: Box<[Bucket]>,
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
}

impl Profile {
    /// What is usual at a time.
    pub fn look(&self, t_ms: i64, day_ms: i64) -> Look {
        let count = self.buckets.len();
        if count == 0 {
            return Look {
                usual: None,
                own: 0,
            };
        }
        let within = t_ms.rem_euclid(day_ms) as f64 / day_ms as f64 * count as f64;
        let own = (within as usize).min(count - 1);
        // The two centres around the time: those of this bucket and of the nearer neighbour.
        let late = within - own as f64 >= 0.5;
        let (left, right) = if late {
            (own, if own + 1 == count { 0 } else { own + 1 })
        } else {
            (if own == 0 { count - 1 } else { own - 1 }, own)
        };
        let share = within - own as f64 + if late { -0.5 } else { 0.5 };
        let (a, b) = (&self.buckets[left], &self.buckets[right]);
        let speaks = a.visits >= SPEAKS_FROM && b.visits >= SPEAKS_FROM;
        let usual = (1.0 - share) * f64::from(a.mean) + share * f64::from(b.mean);
        Look {
            usual: speaks.then_some(usual),
            own,
        }
    }

    /// How far a value, in scales from the level, is out of season: the smallest distance from this
    /// bucket and its two neighbours, in spreads. `None` while none of them can say.
    pub fn residual(&self, look: &Look, z: f32) -> Option<f32> {
        let count = self.buckets.len();
        if count == 0 {
            return None;
        }
        [look.own + count - 1, look.own, look.own + 1]
            .into_iter()
            .map(|i| &self.buckets[i % count])
            .filter(|b| b.visits >= COMPARES_FROM)
            .map(|b| (z - b.mean).abs() / b.spread.max(SPREAD_MIN))
            .reduce(f32::min)
    }

    /// Begins the profile once the interval of the series is known.
    pub fn begin(&mut self, pace: &Pace, day_ms: i64) {
        let count = bucket_count(day_ms as f64 / pace.interval_ms());
        self.buckets = vec![Bucket::default(); count].into_boxed_slice();
    }

    /// True until [`Profile::begin`] found a day in which there are samples enough.
    pub fn is_empty(&self) -> bool {
        self.buckets.is_empty()
    }

    /// True once it speaks at most times of the day.
    pub fn speaks(&self) -> bool {
        let speak = |b: &&Bucket| b.visits >= SPEAKS_FROM;
        !self.is_empty() && 2 * self.buckets.iter().filter(speak).count() > self.buckets.len()
    }

    /// Takes one value in scales from the level.
    pub fn take(&mut self, look: &Look, z: f32, pace: &Pace) {
        if let Some(bucket) = self.buckets.get_mut(look.own) {
            bucket.take(f64::from(z), pace.bucket_gain);
        }
    }

    /// True if the value, in scales from the level, is usual at some other time of the day.
    pub fn usual_sometime(&self, look: &Look, z: f32) -> bool {
        let near = |b: &Bucket| (z - b.mean).abs() <= 3.0 * b.spread.max(SPREAD_MIN);
        let known = || self.buckets.iter().filter(|b| b.visits >= SPEAKS_FROM);
        self.residual(look, z).is_some_and(|r| r > 3.0) && known().any(near)
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        *self = Self::default();
    }
}
