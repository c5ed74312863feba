//! What was observed between two samples of a native histogram.
//!
//! Resets are found by the rules of Prometheus (`FloatHistogram.DetectReset`): a count or a bucket
//! that fell, a finer schema, a narrower zero bucket, other custom bounds; or the sender says so. A
//! coarser schema and a wider zero bucket are no resets: the older histogram is brought to the
//! newer one's. What always holds: nothing is allocated for a histogram that has no more buckets
//! than the ones before.

use serde::{Deserialize, Serialize};

use super::flat::{Buckets, Flat};
use super::quantile::{self, Rules};
use super::{INTERVAL_MAX_MS, Stats};
use crate::wire::histogram::{NativeHistogram, ResetHint};

/// The last sample of a native histogram, and its differences to the next.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Intervals {
    previous: Option<Box<Previous>>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Previous {
    t_ms: i64,
    flat: Flat,
}

/// Memory for the work on one histogram; one serves any number of [`Intervals`].
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    now: Flat,
    increase: Flat,
}

impl Intervals {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next sample and says what was observed since the one before. `None` if nothing
    /// can be compared: the first sample, one that is not newer, one that no sender's histogram can
    /// be, the marker of an end. [`Stats::NONE`] after a reset and after more than
    /// [`INTERVAL_MAX_MS`].
    ///
    /// If it says that it started to count after the sample before, its own observations are
    /// those of the time since then. A gauge histogram's are what it holds, without a rate.
    pub fn take(&mut self, h: &NativeHistogram, scratch: &mut Scratch) -> Option<Stats> {
        if self
            .previous
            .as_ref()
            .is_some_and(|p| h.timestamp_ms <= p.t_ms)
        {
            return None;
        }
        if h.is_stale() {
            self.previous = None;
            return None;
        }
        let Scratch { now, increase } = scratch;
        now.load(h);
        if !now.is_usable() {
            return None;
        }
        if h.reset_hint == ResetHint::Gauge {
            self.previous = None;
            return Some(Stats {
                rate: None,
                ..of_flat(now, 0)
            });
        }
        let stats = self.previous.as_ref().map(|previous| {
            let began_anew = h.start_ms > previous.t_ms && h.start_ms < h.timestamp_ms;
            let since_ms = if began_anew {
                h.start_ms
            } else {
                previous.t_ms
            };
            let ms = h.timestamp_ms.saturating_sub(since_ms);
            if ms > INTERVAL_MAX_MS {
                Stats::NONE
            } else if began_anew {
                of_flat(now, ms)
            } else if h.reset_hint == ResetHint::Yes || !difference(&previous.flat, now, increase) {
                Stats::NONE
            } else {
                of_flat(increase, ms)
            }
        });
        let previous = self.previous.get_or_insert_default();
        previous.t_ms = h.timestamp_ms;
        std::mem::swap(&mut previous.flat, now);
        stats
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let one = |p: &Previous| size_of::<Previous>() + p.flat.heap_bytes();
        self.previous.as_deref().map_or(0, one)
    }
}

/// The stats of observations in `ms`.
fn of_flat(flat: &Flat, ms: i64) -> Stats {
    Stats::of(flat.count, Some(flat.sum), ms, |q| {
        quantile::native(q, flat, Rules::Exponential)
    })
}

/// Puts `now` less `before` into `out`, without empty buckets. False after a reset.
fn difference(before: &Flat, now: &Flat, out: &mut Flat) -> bool {
    out.clear();
    if now.is_custom() != before.is_custom()
        || now.custom != before.custom
        || now.schema > before.schema
        || now.zero_threshold < before.zero_threshold
    {
        return false;
    }
    let Some(before_zero) = zero_count(before, now) else {
        return false;
    };
    out.schema = now.schema;
    out.zero_threshold = now.zero_threshold;
    out.custom.extend_from_slice(&now.custom);
    out.count = now.count - before.count;
    out.sum = now.sum - before.sum;
    out.zero = now.zero - before_zero;
    out.count >= 0.0
        && out.zero >= 0.0
        && side(
            &before.positive,
            &now.positive,
            before,
            now,
            &mut out.positive,
        )
        && side(
            &before.negative,
            &now.negative,
            before,
            now,
            &mut out.negative,
        )
}

/// What `before` would have in a zero bucket of the width of `now`; `None` if that ends within one
/// of its buckets that is not empty, which cannot be without a reset.
fn zero_count(before: &Flat, now: &Flat) -> Option<f64> {
    if before.zero_threshold == now.zero_threshold {
        return Some(before.zero);
    }
    let mut count = before.zero;
    for (index, bucket) in before.positive.iter().chain(before.negative.iter()) {
        if quantile::exponential_bound(index.saturating_sub(1), before.schema) >= now.zero_threshold
        {
            continue;
        }
        count += bucket;
        let upper = quantile::exponential_bound(index, before.schema);
        if upper > now.zero_threshold && bucket > 0.0 {
            return None;
        }
    }
    Some(count)
}

/// One side of the difference; false if a bucket fell.
fn side(
    before: &Buckets,
    now: &Buckets,
    before_flat: &Flat,
    now_flat: &Flat,
    out: &mut Buckets,
) -> bool {
    let finer = before_flat.schema - now_flat.schema;
    let wider = before_flat.zero_threshold != now_flat.zero_threshold;
    let mut old = before
        .iter()
        .filter(|(index, _)| {
            // Those inside the newer zero bucket are counted there.
            !wider
                || quantile::exponential_bound(*index, before_flat.schema) > now_flat.zero_threshold
        })
        .map(|(index, count)| (coarser(index, finer), count))
        .peekable();
    for (index, count) in now.iter() {
        let mut old_count = 0.0;
        while let Some((old_index, part)) = old.next_if(|(i, _)| *i <= index) {
            if old_index < index && part > 0.0 {
                return false;
            }
            old_count += part;
        }
        if count < old_count {
            return false;
        }
        if count > old_count {
            out.add(index, count - old_count);
        }
    }
    old.all(|(_, count)| count == 0.0)
}

/// The bucket of a schema lower by `by` that has this bucket's observations.
fn coarser(index: i32, by: i32) -> i32 {
    if by == 0 {
        return index;
    }
    // Indexes are one higher than what is rounded down.
    (((i64::from(index) - 1) >> by.min(62)) + 1) as i32
}
