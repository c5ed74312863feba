//! How fast a series is learned: horizons and gains that follow from its interval, worked out once.

use super::bound::smaller;

/// Horizons in samples, as f32 because there is one of these in every series.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Pace {
    interval_ms: f32,
    /// Memory of location and scale: seven days.
    pub level: f32,
    /// Memory of tails and rarity: thirty days.
    pub tail: f32,
    /// Smallest gain of a bucket of the profile: one over its visits in seven days.
    pub bucket_gain: f32,
}

impl Pace {
    /// The pace of a series with this usual distance between samples.
    #[inline]
    pub fn new(interval_ms: f64, day_ms: i64) -> Self {
        let interval = interval_ms.max(1.0);
        let a_day = day_ms as f64 / interval;
        // The bounds keep a 5-minute series from forgetting too fast and a 1-second series from
        // never learning.
        let buckets = super::profile::bucket_count(a_day).max(1) as f64;
        Self {
            interval_ms: interval_ms as f32,
            level: (7.0 * a_day).clamp(2000.0, 20_160.0) as f32,
            tail: (30.0 * a_day).clamp(2000.0, 100_000.0) as f32,
            bucket_gain: (1.0 / (7.0 * a_day / buckets).clamp(200.0, 2000.0)) as f32,
        }
    }

    /// Usual distance between two samples, in milliseconds.
    pub fn interval_ms(&self) -> f64 {
        f64::from(self.interval_ms)
    }

    /// How fast a tail learns its n-th value: one over n, or over its memory.
    pub fn tail_rate(&self, n: u32) -> f32 {
        1.0 / smaller(n as f32, self.tail)
    }
}

/// One over the count of values so far, or over the horizon once there are more.
pub fn gain(count: u32, horizon: f32) -> f64 {
    1.0 / f64::from(smaller(count as f32, horizon))
}
