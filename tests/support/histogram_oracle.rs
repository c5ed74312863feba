//! prost's reading of a native histogram, and Prometheus' rules for it, as the judges of ours.

use saimon::wire::histogram::{BucketSpan, CUSTOM_SCHEMA, Counts, NativeHistogram, ResetHint};
use saimon::wire::proto::v2::histogram::{Count, ZeroCount};
use saimon::wire::proto::v2::{self, Histogram};

/// A histogram as prost reads it, in our form: the form of the counts is that of the count, absent
/// means integer.
pub(crate) fn by_prost(h: &Histogram) -> NativeHistogram {
    let spans = |of: &[v2::BucketSpan]| -> Vec<_> {
        let span = |s: &v2::BucketSpan| BucketSpan {
            offset: s.offset,
            length: s.length,
        };
        of.iter().map(span).collect()
    };
    let counts = match h.count {
        Some(Count::CountFloat(count)) => Counts::Float {
            count,
            zero: match h.zero_count {
                Some(ZeroCount::ZeroCountFloat(n)) => n,
                _ => 0.0,
            },
            positive: h.positive_counts.clone(),
            negative: h.negative_counts.clone(),
        },
        count => Counts::Integer {
            count: match count {
                Some(Count::CountInt(n)) => n,
                _ => 0,
            },
            zero: match h.zero_count {
                Some(ZeroCount::ZeroCountInt(n)) => n,
                _ => 0,
            },
            positive: h.positive_deltas.clone(),
            negative: h.negative_deltas.clone(),
        },
    };
    NativeHistogram {
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        sum: h.sum,
        reset_hint: ResetHint::from_wire(h.reset_hint as u32),
        positive_spans: spans(&h.positive_spans),
        negative_spans: spans(&h.negative_spans),
        custom_values: if h.schema == CUSTOM_SCHEMA {
            h.custom_values.clone()
        } else {
            Vec::new()
        },
        counts,
        timestamp_ms: h.timestamp,
        start_ms: if h.start_timestamp > h.timestamp {
            0
        } else {
            h.start_timestamp
        },
    }
}

/// Equal to the bit, NaNs included.
pub(crate) fn same(a: &NativeHistogram, b: &NativeHistogram) -> bool {
    a.sum.to_bits() == b.sum.to_bits() && {
        let text = |h: &NativeHistogram| {
            format!(
                "{:?}",
                NativeHistogram {
                    sum: 0.0,
                    ..h.clone()
                }
            )
        };
        text(a) == text(b)
    }
}

/// The rules of Prometheus 3, on whole vectors: the opposite of how they are checked.
pub(crate) fn is_valid(h: &Histogram) -> bool {
    let ours = by_prost(h);
    let spans_fit = |spans: &[BucketSpan], buckets: usize| {
        let lengths: u64 = spans.iter().map(|s| u64::from(s.length)).sum();
        lengths == buckets as u64 && spans.iter().skip(1).all(|s| s.offset >= 0)
    };
    let end = |spans: &[BucketSpan]| -> i64 {
        let reach = |s: &BucketSpan| i64::from(s.offset) + i64::from(s.length);
        spans.iter().map(reach).sum()
    };
    let schema_fits = if ours.schema == CUSTOM_SCHEMA {
        let bounds = &ours.custom_values;
        let zero = matches!(
            h.zero_count,
            None | Some(ZeroCount::ZeroCountInt(0) | ZeroCount::ZeroCountFloat(0.0))
        );
        bounds.iter().all(|b| b.is_finite())
            && bounds.windows(2).all(|w| w[0] < w[1])
            && ours.positive_spans.iter().all(|s| s.offset >= 0)
            && end(&ours.positive_spans) <= bounds.len() as i64 + 1
            && h.negative_spans.is_empty()
            && h.negative_deltas.is_empty()
            && h.negative_counts.is_empty()
            && zero
            && ours.zero_threshold == 0.0
    } else {
        (-9..=52).contains(&ours.schema) && h.custom_values.is_empty()
    };
    let counts_fit = match &ours.counts {
        Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } => {
            let counts = |deltas: &[i64]| -> Vec<i128> {
                let mut at = 0;
                let step = |d: &i64| {
                    at += i128::from(*d);
                    at
                };
                deltas.iter().map(step).collect()
            };
            let all: Vec<_> = [counts(positive), counts(negative)].concat();
            let sum = i128::from(*zero) + all.iter().sum::<i128>();
            let count = i128::from(*count);
            spans_fit(&ours.positive_spans, positive.len())
                && spans_fit(&ours.negative_spans, negative.len())
                && all.iter().all(|n| (0..=i128::from(i64::MAX)).contains(n))
                && (sum == count || ours.sum.is_nan() && sum <= count)
        }
        Counts::Float {
            count,
            zero,
            positive,
            negative,
        } => {
            let mut all = [count, zero].into_iter().chain(positive).chain(negative);
            spans_fit(&ours.positive_spans, positive.len())
                && spans_fit(&ours.negative_spans, negative.len())
                && all.all(|n| *n >= 0.0)
        }
    };
    let indexes = [&ours.positive_spans, &ours.negative_spans];
    schema_fits
        && counts_fit
        && ours.zero_threshold >= 0.0
        && indexes.iter().all(|s| i32::try_from(end(s)).is_ok())
}
