//! Native histograms, good and bad. The messages of 1.0 and 2.0 have the same fields.

use prost::Message as _;
use saimon::wire::proto;
use saimon::wire::proto::v2::histogram::{Count, ZeroCount};
pub(crate) use saimon::wire::proto::v2::{BucketSpan, Histogram};
use saimon::wire::write::STALE_NAN_BITS;

pub(crate) fn span(offset: i32, length: u32) -> BucketSpan {
    BucketSpan { offset, length }
}

/// Seven observations, two of them zero, with buckets on both sides.
pub(crate) fn integer(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(9)),
        sum: 12.5,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: Some(ZeroCount::ZeroCountInt(2)),
        negative_spans: vec![span(-1, 1)],
        negative_deltas: vec![1],
        positive_spans: vec![span(0, 2), span(3, 1)],
        // 1, 3, 2
        positive_deltas: vec![1, 2, -1],
        timestamp,
        ..Histogram::default()
    }
}

pub(crate) fn float(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountFloat(9.5)),
        sum: 12.5,
        schema: 3,
        zero_threshold: 1e-128,
        zero_count: Some(ZeroCount::ZeroCountFloat(2.0)),
        negative_spans: vec![span(-1, 1)],
        negative_counts: vec![1.0],
        positive_spans: vec![span(0, 2), span(3, 1)],
        positive_counts: vec![1.0, 3.5, 2.0],
        timestamp,
        ..Histogram::default()
    }
}

/// Schema -53: bounds of one's own; the last bucket is the one up to infinity.
pub(crate) fn custom(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(6)),
        sum: 3.0,
        schema: -53,
        zero_count: Some(ZeroCount::ZeroCountInt(0)),
        positive_spans: vec![span(0, 3)],
        positive_deltas: vec![1, 1, 1],
        custom_values: vec![0.1, 1.0],
        timestamp,
        ..Histogram::default()
    }
}

/// No observation yet. The counts are there although they are zero: that makes it an integer one.
pub(crate) fn empty(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(0)),
        zero_count: Some(ZeroCount::ZeroCountInt(0)),
        timestamp,
        ..Histogram::default()
    }
}

pub(crate) fn only_negative(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(3)),
        sum: -7.0,
        schema: 0,
        zero_count: Some(ZeroCount::ZeroCountInt(0)),
        negative_spans: vec![span(0, 2)],
        negative_deltas: vec![1, 1],
        timestamp,
        ..Histogram::default()
    }
}

pub(crate) fn stale(timestamp: i64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(0)),
        sum: f64::from_bits(STALE_NAN_BITS),
        timestamp,
        ..Histogram::default()
    }
}

/// The same as a 1.0 message.
pub(crate) fn v1(histogram: &Histogram) -> proto::Histogram {
    proto::Histogram::decode(&*histogram.encode_to_vec()).unwrap()
}

/// Histograms that no receiver may take, each with what is wrong with it.
pub(crate) fn bad(timestamp: i64) -> Vec<(&'static str, Histogram)> {
    let changed = |of: fn(i64) -> Histogram, change: fn(&mut Histogram)| {
        let mut histogram = of(timestamp);
        change(&mut histogram);
        histogram
    };
    vec![
        (
            "count below its buckets",
            changed(integer, |h| h.count = Some(Count::CountInt(8))),
        ),
        (
            "count above its buckets",
            changed(integer, |h| h.count = Some(Count::CountInt(10))),
        ),
        (
            "count below its buckets with a NaN sum",
            changed(integer, |h| {
                h.count = Some(Count::CountInt(8));
                h.sum = f64::NAN;
            }),
        ),
        (
            "more buckets in spans than there are",
            changed(integer, |h| h.positive_spans[1].length = 2),
        ),
        (
            "fewer buckets in spans than there are",
            changed(float, |h| h.negative_spans.clear()),
        ),
        (
            "second span goes back",
            changed(integer, |h| h.positive_spans[1].offset = -1),
        ),
        (
            "negative bucket",
            changed(integer, |h| h.positive_deltas = vec![1, -2, 7]),
        ),
        (
            "negative float bucket",
            changed(float, |h| h.positive_counts[1] = -3.5),
        ),
        (
            "negative float count",
            changed(float, |h| h.count = Some(Count::CountFloat(-1.0))),
        ),
        (
            "negative float zero count",
            changed(float, |h| {
                h.zero_count = Some(ZeroCount::ZeroCountFloat(-1.0));
            }),
        ),
        ("unknown schema", changed(integer, |h| h.schema = 53)),
        ("unknown schema below", changed(integer, |h| h.schema = -54)),
        (
            "custom bounds not in order",
            changed(custom, |h| h.custom_values = vec![1.0, 0.1]),
        ),
        (
            "custom bound twice",
            changed(custom, |h| h.custom_values = vec![1.0, 1.0]),
        ),
        (
            "custom bound not finite",
            changed(custom, |h| h.custom_values = vec![0.1, f64::NAN]),
        ),
        (
            "more custom buckets than bounds",
            changed(custom, |h| {
                h.custom_values = vec![0.1];
            }),
        ),
        (
            "custom buckets with a zero bucket",
            changed(custom, |h| {
                h.count = Some(Count::CountInt(7));
                h.zero_count = Some(ZeroCount::ZeroCountInt(1));
            }),
        ),
        (
            "custom buckets with negative ones",
            changed(custom, |h| {
                h.count = Some(Count::CountInt(7));
                h.negative_spans = vec![span(0, 1)];
                h.negative_deltas = vec![1];
            }),
        ),
    ]
}
