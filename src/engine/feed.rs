//! The statistics of a histogram, put together again from what it was made of: its buckets, sum and
//! count, or its native samples.
//!
//! They are no samples of anybody, so nothing of them is kept but this, now and then: what had come of
//! a histogram at the time of its newest statistics ([`Parts`]). What always holds: the same parts
//! in the same order give the same statistics at the same times. What it does not know: in which order
//! parts came that have one time. Whoever judges what comes out of here compares the state in which
//! that ends.

use serde::{Deserialize, Serialize};

use super::shard::histogram::{STATS, values};
use super::shard::native::LASTS_MS;
use crate::window::histogram::Stats;
use crate::window::histogram::classic::{Assembly, Part};
use crate::window::histogram::native::{Intervals, Scratch};
use crate::window::interval::Interval;
use crate::wire::histogram::NativeHistogram;
use crate::wire::write::is_stale;

/// The statistics of one interval, by their place among all.
pub type Values = [Option<f64>; STATS];

/// What had come of a histogram.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Parts {
    /// Only while there are buckets; without scrapes whose parts are still coming.
    pub classic: Option<Assembly>,
    pub native: Option<NativeParts>,
    pub interval: Interval,
    /// Time of the newest statistics.
    pub last_ms: i64,
    /// They themselves.
    pub values: Values,
}

/// What had come of the native samples of a histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NativeParts {
    pub intervals: Intervals,
    pub last_ms: i64,
    /// The newest was a staleness marker.
    pub ended: bool,
}

/// One value of a statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Value {
    pub t_ms: i64,
    pub value: f64,
    /// Usual distance of two in milliseconds, as it was when this came.
    pub interval_ms: f64,
}

/// One of the things that a histogram is made of.
#[derive(Debug, Clone)]
pub enum Piece<'a> {
    Part(Part, f64),
    Native(&'a NativeHistogram),
}

/// Takes pieces in order of time and gives statistics.
#[derive(Debug)]
pub struct Feed {
    parts: Parts,
    scratch: Scratch,
    values: [Vec<Value>; STATS],
}

impl Feed {
    pub fn new(parts: Parts) -> Self {
        let mut feed = Self {
            parts,
            scratch: Scratch::default(),
            values: Default::default(),
        };
        feed.put(feed.parts.last_ms, feed.parts.values);
        feed
    }

    /// Time of the newest statistics.
    pub fn last_ms(&self) -> i64 {
        self.parts.last_ms
    }

    pub fn take(&mut self, t_ms: i64, piece: &Piece<'_>) {
        match piece {
            Piece::Part(part, value) => {
                let classic = self.parts.classic.get_or_insert_default();
                if is_stale(*value) {
                    classic.remove(*part);
                } else if let Some((t_ms, stats)) = classic.offer(*part, t_ms, *value)
                    && !self.is_native_at(t_ms)
                {
                    self.hear(t_ms, &stats);
                }
            }
            Piece::Native(h) => {
                let native = self.parts.native.get_or_insert_with(|| NativeParts {
                    intervals: Intervals::new(),
                    last_ms: i64::MIN,
                    ended: false,
                });
                native.last_ms = t_ms;
                native.ended = h.is_stale();
                if let Some(stats) = native.intervals.take(h, &mut self.scratch) {
                    self.hear(t_ms, &stats);
                }
            }
        }
    }

    /// True if native samples are judged now, and the parts are not.
    fn is_native_at(&self, t_ms: i64) -> bool {
        let native = self.parts.native.as_ref();
        native.is_some_and(|n| !n.ended && t_ms.saturating_sub(n.last_ms) <= LASTS_MS)
    }

    fn hear(&mut self, t_ms: i64, stats: &Stats) {
        if t_ms <= self.parts.last_ms {
            return;
        }
        let gap_ms = t_ms.saturating_sub(self.parts.last_ms);
        self.parts.interval.take(gap_ms);
        self.parts.last_ms = t_ms;
        self.put(t_ms, values(stats));
    }

    fn put(&mut self, t_ms: i64, values: Values) {
        let interval_ms = self.parts.interval.ms();
        for (all, value) in self.values.iter_mut().zip(values) {
            all.extend(value.map(|value| Value {
                t_ms,
                value,
                interval_ms,
            }));
        }
    }

    /// All that came out of it, in order of time.
    pub fn into_values(self) -> [Vec<Value>; STATS] {
        self.values
    }
}
