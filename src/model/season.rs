//! Time-of-day baseline: what is usual at this time of the day.
//!
//! The day is cut into at most 48 buckets. Each keeps a clipped running mean and spread of the
//! values seen in it, in units of the norm, and between two bucket centres the expectation is
//! interpolated. A bucket has an opinion only after samples on two different days, so a first day
//! is never taken for a season. The spread is shrunk towards that of all residuals until the bucket
//! has seen enough (an empirical-Bayes weight, Efron and Morris 1973).
//!
//! Sees "60 % at 3 AM" and keeps a daily rush quiet. Does not know weekdays, holidays or time zones:
//! days are counted in UTC.

use serde::{Deserialize, Serialize};

use super::{Detector, Opinion, Past, Point};

/// Most buckets of a day: half an hour each in a day of 24 hours.
const BUCKETS_MAX: usize = 48;
/// Fewer samples than this a day are no rhythm.
const BUCKETS_MIN: i64 = 8;
/// Values of the norm before the profile is filled: its units must mean something.
const FILLS_FROM: u32 = 20;
/// Days on which a bucket must have been seen.
const DAYS_MIN: u8 = 2;
/// Samples that a bucket must have seen.
const VISITS_MIN: u16 = 3;
/// Residuals before the profile speaks.
const RESIDUALS_MIN: u32 = 30;
/// Weight of the common spread against a bucket's own, in samples.
const SHRINK: f64 = 20.0;
/// Deviations count at most this many spreads.
const CLIP: f64 = 3.0;
/// Visits before clipping starts.
const CLIP_FROM: u16 = 7;
/// Smallest spread that clipping uses, in units of the norm: a first quiet visit must not freeze a
/// bucket.
const CLIP_SPREAD_MIN: f64 = 0.1;
/// Values count at most this many scales of the norm.
const Z_MAX: f64 = 30.0;
/// sqrt(pi/2), see [`super::norm`].
const MAD_TO_SIGMA: f64 = 1.253_314_137_315_500_3;
/// Smallest scale of residuals in units of the norm.
const RESIDUAL_FLOOR: f64 = 0.02;

#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Bucket {
    mean: f32,
    spread: f32,
    visits: u16,
    days: u8,
    /// The day of the last visit, modulo 256.
    last_day: u8,
}

impl Bucket {
    fn knows(&self) -> bool {
        self.days >= DAYS_MIN && self.visits >= VISITS_MIN
    }

    fn take(&mut self, z: f64, gain_min: f64, day: u8, weight: f64) {
        if self.visits == 0 || self.last_day != day {
            self.days = self.days.saturating_add(1);
            self.last_day = day;
        }
        self.visits = self.visits.saturating_add(1);
        let gain = (1.0 / f64::from(self.visits)).max(gain_min) * weight;
        let mut d = z - f64::from(self.mean);
        if self.visits >= CLIP_FROM {
            let at = CLIP * f64::from(self.spread).max(CLIP_SPREAD_MIN);
            d = d.clamp(-at, at);
        }
        self.mean += (gain * d) as f32;
        self.spread += (gain * (MAD_TO_SIGMA * d.abs() - f64::from(self.spread))) as f32;
    }
}

/// The profile of a day.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Season {
    /// Empty until the interval of the series is known; never resized after.
    buckets: Box<[Bucket]>,
    /// Usual size of a residual, in units of the norm.
    residual: f32,
    residuals: u32,
}

/// Where in the day a time lies.
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

impl Season {
    fn place(&self, t_ms: i64, day_ms: i64) -> Place {
        let count = self.buckets.len();
        let within = t_ms.rem_euclid(day_ms) as f64 / day_ms as f64 * count as f64;
        let own = (within as usize).min(count - 1);
        let shifted = within - 0.5;
        let left = shifted.floor();
        Place {
            own,
            left: (left as i64).rem_euclid(count as i64) as usize,
            right: (left as i64 + 1).rem_euclid(count as i64) as usize,
            share: shifted - left,
            day: t_ms.div_euclid(day_ms) as u8,
        }
    }

    /// Expectation in units of the norm and the buckets' spread, if both neighbours know theirs.
    fn profile(&self, place: &Place) -> Option<(f64, f64)> {
        let (a, b) = (&self.buckets[place.left], &self.buckets[place.right]);
        if !a.knows() || !b.knows() {
            return None;
        }
        let mix = |x: f32, y: f32| (1.0 - place.share) * f64::from(x) + place.share * f64::from(y);
        let visits = f64::from(a.visits.min(b.visits));
        let own = mix(a.spread, b.spread);
        let common = f64::from(self.residual);
        let spread = (visits * own + SHRINK * common) / (visits + SHRINK);
        Some((mix(a.mean, b.mean), spread.max(RESIDUAL_FLOOR)))
    }

    /// Forgets the profile.
    pub fn restart(&mut self) {
        self.buckets.fill(Bucket::default());
        self.residual = 0.0;
        self.residuals = 0;
    }
}

impl Detector for Season {
    const NAME: &'static str = "season";

    fn new() -> Self {
        Self {
            buckets: Box::default(),
            residual: 0.0,
            residuals: 0,
        }
    }

    fn score(&self, past: &Past<'_>, x: Point) -> Option<Opinion> {
        if self.residuals < RESIDUALS_MIN {
            return None;
        }
        let (mean, spread) = self.profile(&self.place(x.t_ms, past.spec.day_ms))?;
        let scale = past.norm.scale();
        Some(Opinion {
            expected: past.norm.location() + mean * scale,
            scale: spread * scale,
        })
    }

    fn absorb(&mut self, past: &Past<'_>, x: Point, weight: f64) {
        if past.norm.count() < FILLS_FROM {
            return;
        }
        if self.buckets.is_empty() {
            let samples = (past.spec.day_ms as f64 / past.interval_ms) as i64;
            if samples < BUCKETS_MIN {
                return;
            }
            let count = (samples as usize).min(BUCKETS_MAX);
            self.buckets = vec![Bucket::default(); count].into_boxed_slice();
        }
        let z = ((x.value - past.norm.location()) / past.norm.scale()).clamp(-Z_MAX, Z_MAX);
        let place = self.place(x.t_ms, past.spec.day_ms);
        if let Some((mean, _)) = self.profile(&place) {
            self.residuals = self.residuals.saturating_add(1);
            let residual = (z - mean).abs();
            let known = f64::from(self.residual);
            let residual = if self.residuals > u32::from(CLIP_FROM) {
                residual.min(CLIP * known.max(CLIP_SPREAD_MIN))
            } else {
                residual
            };
            let gain = (1.0 / f64::from(self.residuals)).max(1.0 / 2000.0) * weight;
            self.residual += (gain * (MAD_TO_SIGMA * residual - known)) as f32;
        }
        let visits_a_week =
            7.0 * past.spec.day_ms as f64 / self.buckets.len() as f64 / past.interval_ms;
        let gain_min = 1.0 / visits_a_week.clamp(200.0, 2000.0);
        self.buckets[place.own].take(z, gain_min, place.day, weight);
    }
}
