//! Native histograms against prost's reading and the rules of Prometheus written out plainly
//! (protocol notes, section 4, and what `wire::histogram::check` adds to them).

use prost::Message as _;
use saimon::wire::histogram::{
    BUCKETS_MAX, Counts, HistogramError, NativeHistogram, check as checked, decode_into,
};
use saimon::wire::proto;
use saimon::wire::proto::v2::histogram::{Count, ZeroCount};
use saimon::wire::proto::v2::{BucketSpan, Histogram};
use saimon::wire::write::STALE_NAN_BITS;

/// The message as 2.0 has it; of 1.0 without what is new in 2.0.
pub fn read(data: &[u8], version: u8) -> Option<Histogram> {
    if version == 2 {
        return Histogram::decode(data).ok();
    }
    let old = proto::Histogram::decode(data).ok()?;
    Some(Histogram::decode(&*old.encode_to_vec()).expect("its own bytes"))
}

fn lengths(spans: &[BucketSpan]) -> u64 {
    spans.iter().map(|s| u64::from(s.length)).sum()
}

/// One behind the index of the last bucket.
fn end(spans: &[BucketSpan]) -> i64 {
    spans
        .iter()
        .map(|s| i64::from(s.offset) + i64::from(s.length))
        .sum()
}

fn floats_fit(spans: &[BucketSpan], counts: &[f64]) -> bool {
    lengths(spans) == counts.len() as u64 && counts.iter().all(|c| *c >= 0.0)
}

/// The sum of all buckets, if there are as many as the spans have and none is negative.
fn sum_of(spans: &[BucketSpan], deltas: &[i64]) -> Option<u128> {
    let (mut at, mut sum) = (0i128, 0u128);
    for delta in deltas {
        at += i128::from(*delta);
        if at < 0 || at > i128::from(i64::MAX) {
            return None;
        }
        sum += at as u128;
    }
    (lengths(spans) == deltas.len() as u64).then_some(sum)
}

/// Whether a receiver may take it.
pub fn is_valid(h: &Histogram, version: u8) -> bool {
    let sizes = [
        h.positive_deltas.len() + h.negative_deltas.len(),
        h.positive_counts.len() + h.negative_counts.len(),
        h.positive_spans.len(),
        h.negative_spans.len(),
        h.custom_values.len(),
    ];
    let buckets = lengths(&h.positive_spans) + lengths(&h.negative_spans);
    if buckets > BUCKETS_MAX as u64 || sizes.iter().any(|n| *n > BUCKETS_MAX) {
        return false;
    }
    let later_goes_back = |spans: &[BucketSpan]| spans.iter().skip(1).any(|s| s.offset < 0);
    if later_goes_back(&h.positive_spans) || later_goes_back(&h.negative_spans) {
        return false;
    }
    let zero = match h.zero_count {
        Some(ZeroCount::ZeroCountInt(n)) => n as f64,
        Some(ZeroCount::ZeroCountFloat(n)) => n,
        None => 0.0,
    };
    let layout = match h.schema {
        -53 => {
            let bounds = &h.custom_values;
            version == 2
                && bounds.iter().all(|b| b.is_finite())
                && bounds.windows(2).all(|w| w[0] < w[1])
                && h.positive_spans.first().is_none_or(|s| s.offset >= 0)
                && end(&h.positive_spans) <= bounds.len() as i64 + 1
                && h.negative_spans.is_empty()
                && h.negative_deltas.is_empty()
                && h.negative_counts.is_empty()
                && zero == 0.0
                && h.zero_threshold == 0.0
        }
        -9..=52 => {
            let fits = |spans| i32::try_from(end(spans)).is_ok();
            h.custom_values.is_empty() && fits(&h.positive_spans) && fits(&h.negative_spans)
        }
        _ => false,
    };
    let counts = if let Some(Count::CountFloat(count)) = h.count {
        let zero = match h.zero_count {
            Some(ZeroCount::ZeroCountFloat(n)) => n,
            _ => 0.0,
        };
        floats_fit(&h.positive_spans, &h.positive_counts)
            && floats_fit(&h.negative_spans, &h.negative_counts)
            && count >= 0.0
            && zero >= 0.0
    } else {
        let count = match h.count {
            Some(Count::CountInt(n)) => n,
            _ => 0,
        };
        let zero = match h.zero_count {
            Some(ZeroCount::ZeroCountInt(n)) => n,
            _ => 0,
        };
        let sums = (
            sum_of(&h.positive_spans, &h.positive_deltas),
            sum_of(&h.negative_spans, &h.negative_deltas),
        );
        let (Some(positive), Some(negative)) = sums else {
            return false;
        };
        let sum = u128::from(zero) + positive + negative;
        sum == u128::from(count) || h.sum.is_nan() && sum < u128::from(count)
    };
    layout && counts && h.zero_threshold >= 0.0
}

/// A start that is after the sample is none.
pub fn start(h: &Histogram) -> i64 {
    if h.start_timestamp > h.timestamp {
        0
    } else {
        h.start_timestamp
    }
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|v| v.to_bits()).collect()
}

fn assert_same(ours: &NativeHistogram, h: &Histogram) {
    assert!(ours.schema == h.schema && ours.timestamp_ms == h.timestamp);
    // A message that prost has written anew has no -0.0: it leaves out what is equal to 0.
    let same = |a: f64, b: f64| a.to_bits() == b.to_bits() || a == b;
    assert!(same(ours.zero_threshold, h.zero_threshold) && same(ours.sum, h.sum));
    assert!(ours.is_stale() == (h.sum.to_bits() == STALE_NAN_BITS));
    let hint = if (0..4).contains(&h.reset_hint) {
        h.reset_hint
    } else {
        0
    };
    assert!(ours.reset_hint as i32 == hint);
    assert!(bits(&ours.custom_values) == bits(&h.custom_values));
    for (ours, theirs) in [
        (&ours.positive_spans, &h.positive_spans),
        (&ours.negative_spans, &h.negative_spans),
    ] {
        let theirs = theirs.iter().map(|s| (s.offset, s.length));
        assert!(ours.iter().map(|s| (s.offset, s.length)).eq(theirs));
    }
    match &ours.counts {
        Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } => {
            assert!(!matches!(h.count, Some(Count::CountFloat(_))));
            assert!(*positive == h.positive_deltas && *negative == h.negative_deltas);
            let Some(Count::CountInt(n)) = h.count else {
                return assert!(*count == 0);
            };
            assert!(*count == n);
            if let Some(ZeroCount::ZeroCountInt(n)) = h.zero_count {
                assert!(*zero == n);
            }
        }
        Counts::Float {
            count,
            zero,
            positive,
            negative,
        } => {
            assert!(bits(positive) == bits(&h.positive_counts));
            assert!(bits(negative) == bits(&h.negative_counts));
            let Some(Count::CountFloat(n)) = h.count else {
                panic!("no float count");
            };
            assert!(count.to_bits() == n.to_bits());
            if let Some(ZeroCount::ZeroCountFloat(n)) = h.zero_count {
                assert!(zero.to_bits() == n.to_bits());
            }
        }
    }
}

pub fn check(data: &[u8]) {
    // What was there before must not show.
    let mut out = NativeHistogram {
        positive_spans: vec![Default::default(); 3],
        custom_values: vec![1.0],
        ..NativeHistogram::default()
    };
    for version in [1, 2] {
        match (checked(data, version), read(data, version)) {
            (Err(HistogramError::Broken { .. }), None) => {}
            (Err(HistogramError::Invalid(why)), Some(h)) => {
                assert!(!is_valid(&h, version), "{version}: {why}, but {h:?}");
            }
            (Ok(found), Some(h)) => {
                assert!(is_valid(&h, version), "{version}: taken, but {h:?}");
                assert!(found.timestamp_ms == h.timestamp && found.start_ms == start(&h));
                assert!(found.stale == (h.sum.to_bits() == STALE_NAN_BITS));
                decode_into(data, &mut out).expect("it was checked");
                assert_same(&out, &h);
            }
            (ours, theirs) => panic!("version {version}: ours {ours:?}, prost's {theirs:?}"),
        }
    }
}
