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
        self.take_by(Rules::Exponential, h, scratch)
    }

    /// The same with quantiles by other rules.
    pub fn take_by(
        &mut self,
        rules: Rules,
        h: &NativeHistogram,
        scratch: &mut Scratch,
    ) -> Option<Stats> {
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
                ..of_flat(now, 0, rules)
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
                of_flat(now, ms, rules)
            } else if h.reset_hint == ResetHint::Yes || !difference(&previous.flat, now, increase) {
                Stats::NONE
            } else {
                of_flat(increase, ms, rules)
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
fn of_flat(flat: &Flat, ms: i64, rules: Rules) -> Stats {
    Stats::of(flat.count, Some(flat.sum), ms, |q| {
        quantile::native(q, flat, rules)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::histogram::{BucketSpan, CUSTOM_SCHEMA, Counts};
    use crate::wire::write::STALE_NAN_BITS;

    /// Observations in buckets by index, and in the zero bucket; the sum is ten times their number.
    fn histogram(seconds: i64, schema: i32, zero: u64, buckets: &[(i32, i64)]) -> NativeHistogram {
        let mut h = NativeHistogram {
            schema,
            zero_threshold: 0.25,
            timestamp_ms: seconds * 1000,
            ..NativeHistogram::default()
        };
        let (mut next, mut last, mut total) = (0, 0, zero);
        let (count, zero_count, positive, _) = h.counts.as_integer();
        for (index, n) in buckets {
            h.positive_spans.push(BucketSpan {
                offset: index - next,
                length: 1,
            });
            positive.push(n - last);
            (next, last) = (index + 1, *n);
            total += *n as u64;
        }
        (*count, *zero_count) = (total, zero);
        h.sum = total as f64 * 10.0;
        h
    }

    fn second(first: &NativeHistogram, then: &NativeHistogram) -> Option<Stats> {
        let (mut intervals, mut scratch) = (Intervals::new(), Scratch::default());
        assert_eq!(intervals.take(first, &mut scratch), None);
        intervals.take(then, &mut scratch)
    }

    /// Rate and median rounded, for reading.
    fn brief(stats: Option<Stats>) -> Option<(f64, f64)> {
        let stats = stats?;
        let round = |x: f64| (x * 1000.0).round() / 1000.0;
        Some((round(stats.rate?), round(stats.p50?)))
    }

    #[test]
    fn the_increase_is_judged_whatever_spans_it_lies_in() {
        let stats = second(
            &histogram(0, 0, 5, &[(1, 7), (3, 2)]),
            &histogram(10, 0, 5, &[(1, 7), (2, 10), (3, 12)]),
        )
        .unwrap();
        assert_eq!((stats.rate, stats.mean), (Some(2.0), Some(10.0)));
        assert_eq!(brief(Some(stats)), Some((2.0, 4.0)));
        let quiet = histogram(10, 0, 5, &[(1, 7), (3, 2)]);
        let stats = second(&histogram(0, 0, 5, &[(1, 7), (3, 2)]), &quiet).unwrap();
        let nothing = Stats {
            rate: Some(0.0),
            ..Stats::NONE
        };
        assert_eq!(stats, nothing);
    }

    #[test]
    fn all_that_can_only_be_a_reset_gives_nothing() {
        let before = histogram(0, 1, 5, &[(1, 7), (4, 9)]);
        let same = histogram(10, 1, 5, &[(1, 7), (4, 19)]);
        assert!(brief(second(&before, &same)).is_some());
        let mut hinted = same.clone();
        hinted.reset_hint = ResetHint::Yes;
        let mut narrower = same.clone();
        narrower.zero_threshold = 0.1;
        let mut within_a_bucket = same;
        within_a_bucket.zero_threshold = 1.1;
        for reset in [
            histogram(10, 1, 2, &[(1, 7), (4, 5)]),
            histogram(10, 1, 4, &[(1, 7), (4, 19)]),
            histogram(10, 1, 5, &[(1, 6), (4, 19)]),
            histogram(10, 1, 5, &[(4, 19)]),
            histogram(10, 1, 5, &[(1, 40)]),
            histogram(10, 2, 5, &[(1, 7), (4, 19)]),
            hinted,
            narrower,
            within_a_bucket,
        ] {
            assert_eq!(second(&before, &reset), Some(Stats::NONE), "{reset:?}");
        }
        let late = histogram(3601, 1, 5, &[(1, 7), (4, 19)]);
        assert_eq!(second(&before, &late), Some(Stats::NONE));
    }

    #[test]
    fn a_coarser_schema_and_a_wider_zero_bucket_go_on() {
        // Buckets 1 and 2 of schema 1 are bucket 1 of schema 0, 3 and 4 are its 2.
        let stats = second(
            &histogram(0, 1, 5, &[(1, 7), (2, 1), (4, 9)]),
            &histogram(10, 0, 5, &[(1, 8), (2, 29)]),
        );
        assert_eq!(brief(stats), Some((2.0, 2.828)));
        let mut wider = histogram(10, 0, 12, &[(2, 29)]);
        wider.zero_threshold = 2.0;
        let stats = second(&histogram(0, 0, 5, &[(1, 7), (2, 9)]), &wider);
        assert_eq!(brief(stats), Some((2.0, 2.828)));
    }

    #[test]
    fn a_known_beginning_after_the_last_sample_makes_the_whole_histogram_the_increase() {
        let before = histogram(0, 0, 0, &[(1, 1000)]);
        let mut anew = histogram(10, 0, 0, &[(2, 8)]);
        anew.start_ms = 6_000;
        assert_eq!(brief(second(&before, &anew)), Some((2.0, 2.828)));
        anew.start_ms = -5_000;
        assert_eq!(second(&before, &anew), Some(Stats::NONE));
    }

    #[test]
    fn a_gauge_histogram_is_judged_as_it_is() {
        let mut gauge = histogram(10, 0, 0, &[(2, 8)]);
        gauge.reset_hint = ResetHint::Gauge;
        let mut intervals = Intervals::new();
        let stats = intervals.take(&gauge, &mut Scratch::default()).unwrap();
        assert_eq!((stats.rate, stats.mean), (None, Some(10.0)));
        assert!(stats.p50.is_some() && stats.p99.is_some());
    }

    #[test]
    fn the_end_a_late_sample_and_nonsense_give_nothing_and_spoil_nothing() {
        let (mut intervals, mut scratch) = (Intervals::new(), Scratch::default());
        let take = |i: &mut Intervals, s: &mut Scratch, h: &NativeHistogram| i.take(h, s);
        let first = histogram(10, 0, 0, &[(2, 8)]);
        assert_eq!(take(&mut intervals, &mut scratch, &first), None);
        assert_eq!(take(&mut intervals, &mut scratch, &first), None);
        let mut wrong = histogram(15, 0, 0, &[(2, 8)]);
        wrong.counts = Counts::Float {
            count: f64::NAN,
            zero: 0.0,
            positive: vec![-1.0],
            negative: Vec::new(),
        };
        assert_eq!(take(&mut intervals, &mut scratch, &wrong), None);
        let stored = postcard::to_stdvec(&intervals).unwrap();
        let mut intervals: Intervals = postcard::from_bytes(&stored).unwrap();
        let then = histogram(20, 0, 0, &[(2, 18)]);
        let stats = take(&mut intervals, &mut scratch, &then);
        assert_eq!(brief(stats), Some((1.0, 2.828)));
        let mut stale = histogram(30, 0, 0, &[]);
        stale.sum = f64::from_bits(STALE_NAN_BITS);
        assert_eq!(take(&mut intervals, &mut scratch, &stale), None);
        let after = histogram(40, 0, 0, &[(2, 30)]);
        assert_eq!(take(&mut intervals, &mut scratch, &after), None);
    }

    #[test]
    fn custom_buckets_are_subtracted_and_other_bounds_are_a_reset() {
        let custom = |seconds, bounds: &[f64], n| {
            let mut h = histogram(seconds, CUSTOM_SCHEMA, 0, &[(0, 1), (1, n)]);
            h.zero_threshold = 0.0;
            h.custom_values = bounds.to_vec();
            h
        };
        let before = custom(0, &[1.0, 2.0], 5);
        let stats = second(&before, &custom(10, &[1.0, 2.0], 25));
        assert_eq!(brief(stats), Some((2.0, 1.5)));
        let other = second(&before, &custom(10, &[1.0, 3.0], 25));
        assert_eq!(other, Some(Stats::NONE));
    }

    #[test]
    fn nothing_grows_from_one_histogram_to_the_next() {
        let (mut intervals, mut scratch) = (Intervals::new(), Scratch::default());
        let mut bytes = Vec::new();
        for i in 0..10 {
            let h = histogram(i, 3, 5, &[(1, 7 + i), (4, 9), (9, 2)]);
            intervals.take(&h, &mut scratch);
            bytes.push(intervals.heap_bytes());
        }
        assert!(
            bytes[2..].windows(2).all(|w| w[0] == w[1]) && bytes[9] < 400,
            "{bytes:?}"
        );
    }
}
