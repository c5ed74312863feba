//! Quantiles as Prometheus' `histogram_quantile` gives them (`promql/quantile.go`).
//!
//! What always holds: the answer is NaN where Prometheus' is. What this does not know: whether
//! counts are those of all time or of an interval.

use super::flat::Flat;
use crate::wire::histogram::CUSTOM_SCHEMA;

/// Counts of neighbouring buckets that differ by less than this part of their sum are equal but for
/// rounding.
const SAME: f64 = 1e-12;

/// One bucket of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Bucket {
    /// The label `le`.
    pub upper: f64,
    /// Observations up to there.
    pub count: f64,
}

/// The `q` quantile, 0 to 1, of a classic histogram; the buckets may come in any order, and are
/// sorted and made to rise on the way.
///
/// Within a bucket observations are taken to be spread evenly; the lowest begins at 0 if its bound
/// is positive; of the highest only its beginning is known. NaN without a bucket up to +Inf, with
/// fewer than two, or without observations. Buckets of the same bound are added up.
pub fn classic(q: f64, buckets: &mut [Bucket]) -> f64 {
    buckets.sort_unstable_by(|a, b| a.upper.total_cmp(&b.upper));
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return f64::NAN;
    }
    let buckets = merge_equal_bounds(buckets);
    force_rising(buckets);
    let [below @ .., highest] = &*buckets else {
        return f64::NAN;
    };
    let Some(second_highest) = below.last() else {
        return f64::NAN;
    };
    if highest.count == 0.0 || highest.count.is_nan() {
        return f64::NAN;
    }
    let rank = q * highest.count;
    let at = below.partition_point(|b| b.count < rank);
    let Some(bucket) = below.get(at) else {
        return second_highest.upper;
    };
    match at.checked_sub(1).map(|lower| below[lower]) {
        Some(lower) => {
            let share = (rank - lower.count) / (bucket.count - lower.count);
            lower.upper + (bucket.upper - lower.upper) * share
        }
        None if bucket.upper <= 0.0 => bucket.upper,
        None => bucket.upper * (rank / bucket.count),
    }
}

/// The bounds `0.1` and `0.10` are two series and one bucket.
fn merge_equal_bounds(buckets: &mut [Bucket]) -> &mut [Bucket] {
    let mut kept = 0;
    for i in 1..buckets.len() {
        if buckets[i].upper == buckets[kept].upper {
            buckets[kept].count += buckets[i].count;
        } else {
            kept += 1;
            buckets[kept] = buckets[i];
        }
    }
    let len = buckets.len().min(kept + 1);
    &mut buckets[..len]
}

/// Scrapes and sums over instances can be inconsistent: a bucket has at least what the one below
/// has.
fn force_rising(buckets: &mut [Bucket]) {
    let Some(mut last) = buckets.first().map(|b| b.count) else {
        return;
    };
    for bucket in &mut buckets[1..] {
        if bucket.count < last || nearly_equal(last, bucket.count) {
            bucket.count = last;
        } else {
            last = bucket.count;
        }
    }
}

/// Prometheus' `util/almost`.
fn nearly_equal(a: f64, b: f64) -> bool {
    let sum = a.abs() + b.abs();
    let apart = (a - b).abs();
    if a == b {
        true
    } else if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        apart < SAME * f64::MIN_POSITIVE
    } else {
        apart / sum.min(f64::MAX) < SAME
    }
}

/// How a native histogram is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rules {
    /// Prometheus 3: within an exponential bucket observations are taken to be spread evenly by
    /// their logarithm; the upper half is counted from above.
    Exponential,
    /// Prometheus 2: spread evenly in every bucket, and counted from below.
    Linear,
}

/// A bucket of a native histogram; counts do not include those of others.
#[derive(Debug, Clone, Copy)]
struct Range {
    lower: f64,
    upper: f64,
    count: f64,
}

/// The `q` quantile, 0 to 1, of a native histogram. NaN without observations.
///
/// A zero bucket reaches from its negative width to the positive, but only from or to 0 if all other
/// buckets are on one side of it. Custom buckets are read like those of a classic histogram.
pub fn native(q: f64, h: &Flat, rules: Rules) -> f64 {
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    // Observations of NaN are counted above all buckets, so that counting from above would find
    // others instead.
    let from_below = rules == Rules::Linear || h.sum.is_nan() || q < 0.5;
    let found = if from_below {
        search(ranges(h), q * h.count)
    } else {
        search(ranges(h).rev(), (1.0 - q) * h.count)
    };
    let Some((mut range, count)) = found else {
        return f64::NAN;
    };
    if h.is_custom() {
        if range.lower == f64::NEG_INFINITY {
            if range.upper <= 0.0 {
                return range.upper;
            }
            range.lower = 0.0;
        } else if range.upper == f64::INFINITY {
            return range.lower;
        }
    } else if range.lower < 0.0 && range.upper > 0.0 {
        match (h.negative.is_empty(), h.positive.is_empty()) {
            (true, false) => range.lower = 0.0,
            (false, true) => range.upper = 0.0,
            _ => {}
        }
    }
    let rank = if from_below { q } else { 1.0 - q } * h.count;
    // Rounding can make the sum of the buckets larger than the count.
    let count = count.min(h.count);
    if count < rank {
        return range.upper;
    }
    let rank = if from_below {
        rank - (count - range.count)
    } else {
        count - rank
    };
    let share = rank / range.count;
    let crosses_zero = range.lower <= 0.0 && range.upper >= 0.0;
    if rules == Rules::Linear || h.is_custom() || crosses_zero {
        return range.lower + (range.upper - range.lower) * share;
    }
    let (lower, upper) = (range.lower.abs().log2(), range.upper.abs().log2());
    if range.lower > 0.0 {
        (lower + (upper - lower) * share).exp2()
    } else {
        -(upper + (lower - upper) * (1.0 - share)).exp2()
    }
}

/// The bucket in which `rank` observations are reached, or else the last that has any; and the
/// observations up to its end.
fn search(ranges: impl Iterator<Item = Range>, rank: f64) -> Option<(Range, f64)> {
    let mut found = None;
    let mut count = 0.0;
    for range in ranges {
        if range.count == 0.0 {
            continue;
        }
        count += range.count;
        found = Some((range, count));
        if count >= rank {
            break;
        }
    }
    found
}

/// All buckets from the lowest to the highest. Where buckets overlap with the zero bucket they begin
/// at its end.
fn ranges(h: &Flat) -> impl DoubleEndedIterator<Item = Range> {
    let width = h.zero_threshold;
    let negative = h.negative.iter().rev().map(move |(index, count)| Range {
        lower: -bound(h, index),
        upper: (-bound(h, index.saturating_sub(1))).min(-width),
        count,
    });
    let zero = Range {
        lower: -width,
        upper: width,
        count: h.zero,
    };
    let positive = h.positive.iter().map(move |(index, count)| {
        let lower = bound(h, index.saturating_sub(1));
        Range {
            lower: if h.is_custom() {
                lower
            } else {
                lower.max(width)
            },
            upper: bound(h, index),
            count,
        }
    });
    negative
        .chain((h.zero > 0.0).then_some(zero))
        .chain(positive)
}

/// The upper bound of a bucket of the positive side.
fn bound(h: &Flat, index: i32) -> f64 {
    if h.schema != CUSTOM_SCHEMA {
        return exponential_bound(index, h.schema);
    }
    match usize::try_from(index) {
        Ok(index) => h.custom.get(index).copied().unwrap_or(f64::INFINITY),
        Err(_) => f64::NEG_INFINITY,
    }
}

/// 2^(index * 2^-schema). Where that is just above all floats, the bucket ends at the largest of
/// them, because infinities are counted in the bucket behind.
pub(super) fn exponential_bound(index: i32, schema: i32) -> f64 {
    let index = i64::from(index);
    let (power, share) = if schema <= 0 {
        (index << -schema.clamp(-9, 0), 0.0)
    } else {
        let schema = schema.min(52);
        let part = index & ((1 << schema) - 1);
        (index >> schema, part as f64 / (1i64 << schema) as f64)
    };
    if power == 1024 && share == 0.0 {
        return f64::MAX;
    }
    share.exp2() * (power as f64).exp2()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::histogram::{BucketSpan, Counts, NativeHistogram};

    fn classic_of(q: f64, buckets: &[(f64, f64)]) -> f64 {
        let mut buckets: Vec<_> = buckets
            .iter()
            .map(|(upper, count)| Bucket {
                upper: *upper,
                count: *count,
            })
            .collect();
        classic(q, &mut buckets)
    }

    const INF: f64 = f64::INFINITY;

    #[test]
    fn classic_buckets_are_interpolated_by_the_rules() {
        let usual = [(INF, 12.0), (0.1, 2.0), (1.0, 10.0), (0.5, 6.0)];
        assert_eq!(classic_of(0.5, &usual), 0.5);
        assert_eq!(classic_of(0.25, &usual), 0.1 + 0.4 * 0.25);
        // The lowest begins at 0; the highest has no end.
        assert_eq!(classic_of(1.0 / 12.0, &usual), 0.05);
        assert_eq!(classic_of(0.9, &usual), 1.0);
        // A lowest bound that is not positive has no beginning.
        assert_eq!(classic_of(0.1, &[(-1.0, 5.0), (INF, 10.0)]), -1.0);
        assert_eq!(classic_of(0.1, &[(0.0, 5.0), (INF, 10.0)]), 0.0);
    }

    #[test]
    fn classic_histograms_without_an_answer_have_none() {
        assert!(classic_of(0.5, &[]).is_nan());
        assert!(classic_of(0.5, &[(INF, 10.0)]).is_nan());
        assert!(classic_of(0.5, &[(1.0, 5.0), (2.0, 10.0)]).is_nan());
        assert!(classic_of(0.5, &[(1.0, 0.0), (INF, 0.0)]).is_nan());
    }

    #[test]
    fn classic_buckets_are_merged_and_made_to_rise() {
        let twice = [(1.0, 2.0), (1.0, 2.0), (2.0, 8.0), (INF, 8.0)];
        assert_eq!(classic_of(0.75, &twice), 1.5);
        let fallen = [(1.0, 4.0), (2.0, 3.0), (4.0, 8.0), (INF, 8.0)];
        assert_eq!(classic_of(0.75, &fallen), 3.0);
        // But for rounding the first bucket has all.
        let rounded = [(1.0, 1e15), (2.0, 1e15 + 1.0), (INF, 1e15)];
        assert_eq!(classic_of(1.0, &rounded), 1.0);
    }

    fn flat(schema: i32, zero: f64, positive: &[f64], negative: &[f64]) -> Flat {
        let span = |side: &[f64]| {
            vec![BucketSpan {
                offset: 1,
                length: side.len() as u32,
            }]
        };
        let mut flat = Flat::default();
        flat.load(&NativeHistogram {
            schema,
            zero_threshold: 0.5,
            sum: 1.0,
            positive_spans: span(positive),
            negative_spans: span(negative),
            counts: Counts::Float {
                count: zero + positive.iter().chain(negative).sum::<f64>(),
                zero,
                positive: positive.to_vec(),
                negative: negative.to_vec(),
            },
            ..NativeHistogram::default()
        });
        flat
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() <= 1e-12 * a.abs().max(b.abs())
    }

    #[test]
    fn native_buckets_are_interpolated_by_their_logarithm_and_linearly_before_prometheus_3() {
        // (1, 2] and (2, 4].
        let h = flat(0, 0.0, &[2.0, 2.0], &[]);
        assert!(near(native(0.25, &h, Rules::Exponential), 2f64.sqrt()));
        assert!(near(native(0.75, &h, Rules::Exponential), 8f64.sqrt()));
        assert_eq!(native(0.25, &h, Rules::Linear), 1.5);
        assert_eq!(native(0.75, &h, Rules::Linear), 3.0);
        let h = flat(0, 0.0, &[], &[2.0, 2.0]);
        assert!(near(native(0.75, &h, Rules::Exponential), -(2f64.sqrt())));
        assert!(near(native(0.25, &h, Rules::Exponential), -(8f64.sqrt())));
        assert_eq!(native(0.25, &h, Rules::Linear), -3.0);
    }

    #[test]
    fn the_zero_bucket_is_linear_and_ends_at_zero_beside_one_side() {
        let q = |h: &Flat, q: f64| native(q, h, Rules::Exponential);
        assert_eq!(q(&flat(0, 4.0, &[4.0], &[]), 0.25), 0.25);
        assert_eq!(q(&flat(0, 4.0, &[], &[4.0]), 0.75), -0.25);
        assert_eq!(q(&flat(0, 4.0, &[4.0], &[4.0]), 0.5), 0.0);
        assert_eq!(q(&flat(0, 4.0, &[], &[]), 0.25), -0.25);
        assert!(q(&flat(0, 0.0, &[], &[]), 0.5).is_nan());
    }

    #[test]
    fn observations_of_nan_are_above_all_buckets() {
        let mut h = flat(0, 0.0, &[2.0, 2.0], &[]);
        h.count = 8.0;
        h.sum = f64::NAN;
        assert!(near(native(0.25, &h, Rules::Exponential), 2.0));
        assert_eq!(native(0.99, &h, Rules::Exponential), 4.0);
    }

    #[test]
    fn custom_buckets_are_read_like_classic_ones() {
        let bounds = [-1.0, 0.5, 2.0];
        let h = |counts: &[f64]| {
            let mut h = flat(0, 0.0, &[], &[]);
            h.schema = CUSTOM_SCHEMA;
            h.zero_threshold = 0.0;
            h.custom = bounds.to_vec();
            for (i, count) in counts.iter().enumerate() {
                h.positive.add(i as i32, *count);
            }
            h.count = counts.iter().sum();
            h
        };
        let counts = [2.0, 4.0, 2.0, 2.0];
        let mut rising = 0.0;
        let classic: Vec<_> = bounds
            .iter()
            .chain(&[INF])
            .zip(counts)
            .map(|(upper, count)| {
                rising += count;
                (*upper, rising)
            })
            .collect();
        for q in [0.05, 0.2, 0.3, 0.5, 0.7, 0.79, 0.95] {
            let (a, b) = (
                native(q, &h(&counts), Rules::Exponential),
                classic_of(q, &classic),
            );
            assert!(near(a, b), "{q}: {a} and {b}");
        }
        assert_eq!(native(0.5, &h(&[4.0]), Rules::Exponential), -1.0);
    }

    #[test]
    fn bounds_of_every_schema_meet_and_end_at_the_largest_float() {
        for schema in -9..=52 {
            let per_power = |n: i64| (n as f64 * f64::from(schema).exp2()) as i64;
            for (power, bound) in [(0, 1.0), (512, 2f64.powi(512)), (1024, f64::MAX)] {
                if schema < -9 || i32::try_from(per_power(power)).is_err() {
                    continue;
                }
                let index = per_power(power) as i32;
                assert_eq!(exponential_bound(index, schema), bound, "{schema}");
            }
        }
        assert!(near(exponential_bound(1, 1), 2f64.sqrt()));
        assert!(near(exponential_bound(-1, 3), 2f64.powf(-0.125)));
        assert_eq!(exponential_bound(i32::MAX, 0), INF);
        assert_eq!(exponential_bound(i32::MIN, 8), 0.0);
        assert_eq!(exponential_bound(i32::MIN, -9), 0.0);
    }
}
