//! The profile of a day: what is usual at each time of it, shared by all models as the norm is.
//!
//! The day is cut into at most 48 buckets. Each keeps a clipped running mean and spread of the
//! values seen in it. Between two bucket centres the expectation is interpolated, and any value
//! between their two means is as usual: a rush may begin at any minute between them. What always
//! holds: a bucket speaks only after samples on two different days, so a
//! first day is never taken for a rhythm; and the profile is used only while it explains the values
//! better than the plain location does, so no season is assumed to be there.
//!
//! An anomaly teaches a bucket little, but one that comes back at the same time for a third day is
//! the new rhythm and is learned. Days are counted in UTC; weekdays, holidays and time zones are not
//! known here.

use serde::{Deserialize, Serialize};

use super::Point;
use super::norm::Norm;
use super::pace::{self, Pace};

/// Most buckets of a day: half an hour each in a day of 24 hours.
const BUCKETS_MAX: usize = 48;
/// Fewer samples than this a day are no rhythm.
const BUCKETS_MIN: f64 = 8.0;
/// Values of the norm before the profile is filled: its units must mean something.
const FILLS_FROM: u32 = 20;
/// Days on which a bucket must have been seen before it speaks.
const DAYS_MIN: u8 = 2;
/// Samples that a bucket must have seen before it speaks.
const VISITS_MIN: u16 = 3;
/// Expectations that must have been put to the test before the profile is used.
const TESTED_MIN: u32 = 30;
/// The profile is used while its residuals are smaller than this share of the plain deviations.
const USED_BELOW: f64 = 0.95;
/// Days in a row with an anomaly at the same time that make it the new rhythm.
const ODD_DAYS: u8 = 2;
/// Weight of the common spread against a bucket's own, in samples (an empirical-Bayes shrinkage,
/// Efron and Morris 1973).
const SHRINK: f64 = 20.0;
/// Deviations count at most this many spreads.
const CLIP: f64 = 3.0;
/// Visits before clipping starts.
const CLIP_FROM: u16 = 7;
/// Smallest spread that clipping uses, as a share of the usual residual: a first quiet visit must
/// not freeze a bucket.
const CLIP_SPREAD_MIN: f64 = 0.1;
/// Values count at most this many scales of the norm.
const Z_MAX: f64 = 30.0;
/// Means count at most this many units, so that f32 holds their sums.
const MEAN_MAX: f64 = 1e30;
/// sqrt(pi/2), see [`super::norm`].
const MAD_TO_SIGMA: f64 = 1.253_314_137_315_500_3;
/// Smallest spread of residuals as a share of the norm's scale.
const SPREAD_MIN: f64 = 0.02;
/// A time of the day is believed to be calmer than the whole day by at most this factor.
const CALM_MIN: f64 = 0.25;
/// A value beyond the profile's own range by less than this many spreads is usual at some time.
const RANGE_SPREADS: f64 = 3.0;

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Bucket {
    mean: f32,
    spread: f32,
    visits: u16,
    /// Days seen, at most 15, and above them days in a row with an anomaly: a nibble each.
    days_and_odd: u8,
    /// The day of the last visit, modulo 256.
    last_day: u8,
}

impl Bucket {
    fn days(&self) -> u8 {
        self.days_and_odd & 15
    }

    fn odd(&self) -> u8 {
        self.days_and_odd >> 4
    }

    fn knows(&self) -> bool {
        self.days() >= DAYS_MIN && self.visits >= VISITS_MIN
    }

    /// Takes one value. `weight` below 1 says that it belongs to an anomaly.
    /// `least` is the smallest spread that clipping uses.
    fn take(&mut self, z: f64, gain_min: f32, least: f64, day: u8, weight: f64) {
        let (mut days, mut odd) = (self.days(), self.odd());
        let anomalous = weight < 1.0;
        if self.visits == 0 || self.last_day != day {
            days = (days + 1).min(15);
            // The lowest bit of a day's oddness is set by its first anomalous sample, below.
            odd = if odd & 1 == 1 { (odd + 1).min(14) } else { 0 };
            self.last_day = day;
        }
        if anomalous {
            odd |= 1;
        }
        let days_odd = odd.div_ceil(2);
        let weight = if days < DAYS_MIN {
            1.0
        } else if anomalous && days_odd > ODD_DAYS {
            if odd < 14 {
                *self = Self {
                    last_day: day,
                    ..Self::default()
                };
                odd = 14;
            }
            1.0
        } else {
            weight
        };
        self.days_and_odd = days | odd << 4;
        self.visits = self.visits.saturating_add(1);
        let gain = f64::from((1.0 / f32::from(self.visits)).max(gain_min)) * weight;
        let mut d = z - f64::from(self.mean);
        if self.visits >= CLIP_FROM {
            let at = CLIP * f64::from(self.spread).max(least);
            d = d.clamp(-at, at);
        }
        self.mean += (gain * d) as f32;
        self.spread += (gain * (MAD_TO_SIGMA * d.abs() - f64::from(self.spread))) as f32;
    }
}

/// What is usual at one moment, in the unit of the value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    pub expected: f64,
    /// Everything from here ...
    pub low: f64,
    /// ... to here is as usual as the expected value, which lies between.
    pub high: f64,
    /// Usual distance from it at any time of the day.
    pub scale: f64,
    /// Usual distance from it at this time of the day; `None` while no profile is in use.
    pub scale_now: Option<f64>,
}

/// The profile of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Profile {
    /// Empty until the interval of the series is known; never resized after.
    buckets: Box<[Bucket]>,
    /// Where the buckets' means count from, and in what unit: location and scale when the profile
    /// was begun. Fixed, so that f32 is enough and means stay comparable while the norm still moves.
    base: f64,
    unit: f64,
    /// Usual distance from the profile, in that unit.
    residual: f32,
    /// Usual distance from the plain location on the same samples.
    plain: f32,
    tested: u32,
}

/// Buckets of a day with so many samples; 0 if they are too few for a rhythm.
pub(super) fn bucket_count(samples_a_day: f64) -> usize {
    if samples_a_day < BUCKETS_MIN {
        return 0;
    }
    (samples_a_day as usize).min(BUCKETS_MAX)
}

/// What the profile says at one moment: looked up once a sample, for scoring and for learning.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    pub usual: Usual,
    place: Option<Place>,
    /// Both neighbours knew their time of day.
    known: bool,
}

/// Where in the day a time lies.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The bucket that contains it.
    own: usize,
    /// The two buckets whose centres enclose it.
    left: usize,
    right: usize,
    /// Weight of the right one, 0 to 1.
    share: f64,
    day: u8,
}

/// The profile at one moment, in its own unit.
struct At {
    mean: f64,
    low: f64,
    high: f64,
    spread: f64,
}

impl Profile {
    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        size_of_val(&*self.buckets)
    }

    pub fn new() -> Self {
        Self {
            buckets: Box::default(),
            base: 0.0,
            unit: 1.0,
            residual: 0.0,
            plain: 0.0,
            tested: 0,
        }
    }

    /// What is usual at a time: by the profile if it is in use, by the norm if not.
    pub fn look(&self, norm: &Norm, t_ms: i64, day_ms: i64) -> Look {
        let scale = norm.scale();
        let plain = Usual {
            expected: norm.location(),
            low: norm.location(),
            high: norm.location(),
            scale,
            scale_now: None,
        };
        if self.buckets.is_empty() {
            return Look {
                usual: plain,
                place: None,
                known: false,
            };
        }
        let place = self.place(t_ms, day_ms);
        let (a, b) = (&self.buckets[place.left], &self.buckets[place.right]);
        let known = a.knows() && b.knows();
        let usual = if known && self.in_use() {
            let at = self.between(a, b, place.share);
            let least = norm.least_scale().max(SPREAD_MIN * scale);
            let overall = (f64::from(self.residual) * self.unit).max(least);
            Usual {
                expected: self.base + at.mean * self.unit,
                low: self.base + at.low * self.unit,
                high: self.base + at.high * self.unit,
                scale: overall,
                scale_now: Some((at.spread * self.unit).max(CALM_MIN * overall).max(least)),
            }
        } else {
            plain
        };
        Look {
            usual,
            place: Some(place),
            known,
        }
    }

    /// True if the profile explains the series better than its plain location does.
    pub fn in_use(&self) -> bool {
        self.tested >= TESTED_MIN && f64::from(self.residual) < USED_BELOW * f64::from(self.plain)
    }

    /// True if the value would be usual at some other time of the day.
    pub fn usual_sometime(&self, value: f64) -> bool {
        let z = (value - self.base) / self.unit;
        let reach = RANGE_SPREADS * f64::from(self.residual);
        let means = || {
            self.buckets
                .iter()
                .filter(|b| b.knows())
                .map(|b| f64::from(b.mean))
        };
        self.in_use()
            && z <= means().fold(f64::NEG_INFINITY, f64::max) + reach
            && z >= means().fold(f64::INFINITY, f64::min) - reach
    }

    /// Takes one value, before the norm does. `look` is what was said of its time; `weight` below 1
    /// says that it belongs to an anomaly.
    pub fn absorb(
        &mut self,
        norm: &Norm,
        pace: &Pace,
        day_ms: i64,
        look: &Look,
        x: Point,
        weight: f64,
    ) {
        let place = match look.place {
            Some(place) => place,
            None if norm.count() >= FILLS_FROM => {
                let count = bucket_count(day_ms as f64 / pace.interval_ms());
                if count == 0 {
                    return;
                }
                self.buckets = vec![Bucket::default(); count].into_boxed_slice();
                self.base = norm.location();
                self.unit = norm.scale();
                self.place(x.t_ms, day_ms)
            }
            None => return,
        };
        let scale = norm.scale();
        let (location, wild, per_unit) = (norm.location(), Z_MAX * scale, 1.0 / self.unit);
        let value = x.value.clamp(location - wild, location + wild);
        let z = ((value - self.base) * per_unit).clamp(-MEAN_MAX, MEAN_MAX);
        let bucket = &mut self.buckets[place.own];
        if look.known {
            self.tested = self.tested.saturating_add(1);
            let gain = pace::gain(self.tested, pace.test);
            follow(&mut self.residual, (z - f64::from(bucket.mean)).abs(), gain);
            follow(&mut self.plain, (value - location).abs() * per_unit, gain);
        }
        let least = CLIP_SPREAD_MIN * scale * per_unit;
        bucket.take(z, pace.bucket_gain, least, place.day, weight);
    }

    /// Forgets everything.
    pub fn restart(&mut self) {
        *self = Self::new();
    }

    fn place(&self, t_ms: i64, day_ms: i64) -> Place {
        let count = self.buckets.len();
        let days = t_ms as f64 / day_ms as f64;
        let day = days.floor();
        let within = (days - day) * count as f64;
        let own = (within as usize).min(count - 1);
        // The two centres around the time: those of this bucket and of the nearer neighbour.
        let late = within - own as f64 >= 0.5;
        let (left, right) = if late {
            (own, if own + 1 == count { 0 } else { own + 1 })
        } else {
            (if own == 0 { count - 1 } else { own - 1 }, own)
        };
        let share = within - own as f64 + if late { -0.5 } else { 0.5 };
        Place {
            own,
            left,
            right,
            share,
            day: day as i64 as u8,
        }
    }

    /// What the profile says between two bucket centres, in its unit.
    fn between(&self, a: &Bucket, b: &Bucket, share: f64) -> At {
        let mix = |x: f32, y: f32| (1.0 - share) * f64::from(x) + share * f64::from(y);
        let visits = f64::from(a.visits.min(b.visits));
        let own = mix(a.spread, b.spread);
        let common = f64::from(self.residual);
        At {
            mean: mix(a.mean, b.mean),
            low: f64::from(a.mean.min(b.mean)),
            high: f64::from(a.mean.max(b.mean)),
            spread: (visits * own + SHRINK * common) / (visits + SHRINK),
        }
    }
}

impl Default for Profile {
    fn default() -> Self {
        Self::new()
    }
}

/// Moves a running mean absolute deviation, scaled to a standard deviation.
fn follow(running: &mut f32, deviation: f64, gain: f64) {
    let now = f64::from(*running);
    *running += (gain * (MAD_TO_SIGMA * deviation.min(MEAN_MAX) - now)) as f32;
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const STEP: i64 = 60_000;

    fn fed(
        days: std::ops::Range<i64>,
        into: Option<(Norm, Profile)>,
        f: impl Fn(i64) -> f64,
    ) -> (Norm, Profile) {
        let (mut norm, mut profile) = into.unwrap_or((Norm::new(), Profile::new()));
        for i in days.start * 1440..days.end * 1440 {
            let x = Point {
                t_ms: i * STEP,
                value: f(i),
            };
            let look = profile.look(&norm, x.t_ms, DAY);
            profile.absorb(&norm, &Pace::new(STEP as f64, DAY), DAY, &look, x, 1.0);
            norm.absorb(x.value, 10_080.0, 1.0);
        }
        (norm, profile)
    }

    fn wave(i: i64) -> f64 {
        let phase = i as f64 / 1440.0 * std::f64::consts::TAU;
        100.0 + 30.0 * phase.sin() + ((i * 7919) % 13) as f64 / 6.0
    }

    #[test]
    fn a_rhythm_is_found_on_the_second_day_and_not_on_the_first() {
        let (_, profile) = fed(0..1, None, wave);
        assert!(!profile.in_use());
        let (norm, profile) = fed(0..3, None, wave);
        assert!(profile.in_use());
        let at = profile.look(&norm, 3 * DAY + DAY / 4, DAY).usual;
        assert!((at.expected - 131.0).abs() < 4.0, "{at:?}");
        assert!(at.scale < 0.4 * norm.scale());
        assert!(profile.usual_sometime(75.0));
        assert!(!profile.usual_sometime(250.0));
    }

    #[test]
    fn without_a_rhythm_no_profile_is_used() {
        let (norm, profile) = fed(0..5, None, |i| {
            f64::from(fastrand::Rng::with_seed(i as u64).u32(..1000))
        });
        assert!(!profile.in_use());
        assert_eq!(profile.look(&norm, 0, DAY).usual.expected, norm.location());
    }

    #[test]
    fn an_anomaly_that_comes_back_for_a_third_day_is_learned() {
        let at = DAY / 2 + 900_000;
        let mut state = fed(0..6, None, wave);
        for day in 6..10 {
            let before = state.1.look(&state.0, day * DAY + at, DAY).usual.expected;
            for i in day * 1440..(day + 1) * 1440 {
                let noon = (720..750).contains(&(i % 1440));
                let x = Point {
                    t_ms: i * STEP,
                    value: wave(i) + if noon { 80.0 } else { 0.0 },
                };
                let weight = if noon && before < 150.0 { 0.02 } else { 1.0 };
                let look = state.1.look(&state.0, x.t_ms, DAY);
                state.1.absorb(
                    &state.0,
                    &Pace::new(STEP as f64, DAY),
                    DAY,
                    &look,
                    x,
                    weight,
                );
                state.0.absorb(x.value, 10_080.0, weight);
            }
            let learned = state
                .1
                .look(&state.0, (day + 1) * DAY + at, DAY)
                .usual
                .expected;
            assert_eq!(learned > 150.0, day >= 8, "after day {day}: {learned}");
        }
    }
}
