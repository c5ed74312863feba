//! Native histograms of both remote-write versions against prost and against Prometheus' rules
//! written out once more, on messages of every odd shape, on damaged ones, and on recorded ones.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use prost::Message;
use saimon::wire::field::put_varint;
use saimon::wire::histogram::{
    self, CUSTOM_SCHEMA, Checked, Counts, HistogramError, NativeHistogram,
};
use saimon::wire::proto::v2::Histogram;
use saimon::wire::proto::v2::histogram::{Count, ZeroCount};
use saimon::wire::proto::{self, WriteRequest};
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::STALE_NAN_BITS;

#[path = "support/histogram_oracle.rs"]
mod oracle;

use oracle::{by_prost, is_valid, same};

fn decoded(message: &[u8]) -> NativeHistogram {
    let mut out = NativeHistogram::default();
    histogram::decode_into(message, &mut out).unwrap();
    out
}

fn small() -> impl Strategy<Value = i64> {
    prop_oneof![6 => -3..6i64, 1 => any::<i64>()]
}

fn count() -> impl Strategy<Value = f64> {
    prop_oneof![8 => (0..9u8).prop_map(f64::from), 1 => Just(-1.0), 1 => Just(f64::NAN)]
}

fn spans() -> impl Strategy<Value = Vec<proto::v2::BucketSpan>> {
    let offset = prop_oneof![9 => 0..4i32, 1 => any::<i32>()];
    let length = prop_oneof![20 => 0..3u32, 1 => any::<u32>()];
    let span =
        (offset, length).prop_map(|(offset, length)| proto::v2::BucketSpan { offset, length });
    prop::collection::vec(span, 0..3)
}

/// Mostly nearly right: what fits is made to fit unless a die says otherwise.
fn message() -> impl Strategy<Value = Histogram> {
    let form = (0..3u8, 0..3u8, any::<[bool; 6]>(), 0..12u8);
    let schema = prop_oneof![6 => -4..=8i32, 3 => Just(CUSTOM_SCHEMA), 1 => -12..60i32];
    let deltas = || prop::collection::vec(small(), 0..6);
    let counts = || prop::collection::vec(count(), 0..6);
    let times = (any::<i64>(), any::<i64>(), 0..5i32);
    let bounds = prop::collection::vec((1..9i32).prop_map(f64::from), 0..4);
    (
        form,
        schema,
        (spans(), spans()),
        (deltas(), deltas(), counts(), counts()),
        times,
        bounds,
    )
        .prop_map(|(form, schema, spans, buckets, times, bounds)| {
            let (count, zero, keep, odd) = form;
            let custom = schema == CUSTOM_SCHEMA;
            let mut h = Histogram {
                count: [None, Some(Count::CountInt(0)), Some(Count::CountFloat(0.0))]
                    [usize::from(count)],
                sum: if odd == 0 {
                    f64::from_bits(STALE_NAN_BITS)
                } else {
                    1.5
                },
                schema,
                zero_threshold: if odd == 1 { -1.0 } else { 0.0 },
                zero_count: [
                    None,
                    Some(ZeroCount::ZeroCountInt(2)),
                    Some(ZeroCount::ZeroCountFloat(2.0)),
                ][usize::from(zero)],
                positive_spans: spans.0,
                negative_spans: spans.1,
                positive_deltas: buckets.0,
                negative_deltas: buckets.1,
                positive_counts: buckets.2,
                negative_counts: buckets.3,
                reset_hint: times.2,
                timestamp: times.0,
                start_timestamp: times.1,
                custom_values: if custom == keep[0] {
                    bounds
                } else {
                    Vec::new()
                },
            };
            if custom && keep[1] {
                h.negative_spans.clear();
                h.negative_deltas.clear();
                h.negative_counts.clear();
                h.zero_count = None;
            }
            if keep[2] {
                let mut rise = 0.0;
                h.custom_values.iter_mut().for_each(|b| {
                    rise += *b;
                    *b = rise;
                });
            }
            let lengths = |spans: &[proto::v2::BucketSpan]| {
                spans
                    .iter()
                    .map(|s| s.length as usize)
                    .sum::<usize>()
                    .min(50)
            };
            if keep[3] || keep[4] {
                let (p, n) = (lengths(&h.positive_spans), lengths(&h.negative_spans));
                h.positive_deltas.resize(p, 0);
                h.negative_deltas.resize(n, 0);
                h.positive_counts.resize(p, 1.0);
                h.negative_counts.resize(n, 1.0);
            }
            if keep[5] || keep[4] {
                let sum = |deltas: &[i64]| {
                    let mut at = 0i128;
                    deltas
                        .iter()
                        .map(|d| {
                            at += i128::from(*d);
                            at
                        })
                        .sum::<i128>()
                };
                let zero = if zero == 1 && h.zero_count.is_some() {
                    2
                } else {
                    0
                };
                let total = sum(&h.positive_deltas) + sum(&h.negative_deltas) + zero;
                if count == 1
                    && let Ok(total) = u64::try_from(total)
                {
                    h.count = Some(Count::CountInt(total));
                }
            }
            h
        })
}

/// A field that no message has.
fn unknown(out: &mut Vec<u8>, kind: u8) {
    let wire = [0, 1, 2, 5][usize::from(kind % 4)];
    put_varint(out, 99 << 3 | wire);
    out.extend_from_slice(
        [&b"\x96\x01"[..], b"12345678", b"\x03xyz", b"1234"][usize::from(kind % 4)],
    );
}

/// The same message with repeated numbers unpacked, and scalar members in front, to be overruled.
fn oddly_written(h: &Histogram, kind: u8) -> Vec<u8> {
    let mut out = Vec::new();
    if h.count.is_some() {
        // Members that the real ones overrule.
        out.extend_from_slice(b"\x08\x07\x11\0\0\0\0\0\0\x10\x40");
    }
    unknown(&mut out, kind);
    let mut packed = h.clone();
    let (deltas, counts) = (
        [
            std::mem::take(&mut packed.negative_deltas),
            std::mem::take(&mut packed.positive_deltas),
        ],
        [
            std::mem::take(&mut packed.negative_counts),
            std::mem::take(&mut packed.positive_counts),
        ],
    );
    let bounds = std::mem::take(&mut packed.custom_values);
    for (number, deltas) in [9, 12].into_iter().zip(deltas) {
        for delta in deltas {
            put_varint(&mut out, number << 3);
            put_varint(&mut out, ((delta << 1) ^ (delta >> 63)) as u64);
        }
    }
    for (number, counts) in [10, 13, 16]
        .into_iter()
        .zip(counts.into_iter().chain([bounds]))
    {
        for count in counts {
            put_varint(&mut out, number << 3 | 1);
            out.extend_from_slice(&count.to_le_bytes());
        }
    }
    out.extend_from_slice(&packed.encode_to_vec());
    unknown(&mut out, kind / 4);
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_message_is_read_as_prost_reads_it_and_judged_as_prometheus_does(h in message(), kind in any::<u8>()) {
        for message in [h.encode_to_vec(), oddly_written(&h, kind)] {
            let read = Histogram::decode(&*message).unwrap();
            prop_assert!(same(&by_prost(&read), &by_prost(&h)), "{read:?}");
            prop_assert!(same(&decoded(&message), &by_prost(&h)), "{:?}", decoded(&message));
            let checked = histogram::check(&message, 2);
            prop_assert_eq!(checked.is_ok(), is_valid(&h), "{:?}", checked);
            if let Ok(Checked { timestamp_ms, start_ms, stale }) = checked {
                let ours = decoded(&message);
                prop_assert_eq!((timestamp_ms, start_ms, stale), (ours.timestamp_ms, ours.start_ms, ours.is_stale()));
            }
        }
    }

    #[test]
    fn in_1_0_the_newer_fields_are_unknown_ones(h in message()) {
        let message = h.encode_to_vec();
        let without = Histogram { custom_values: Vec::new(), start_timestamp: 0, ..h };
        let valid = is_valid(&without) && without.schema != CUSTOM_SCHEMA;
        let checked = histogram::check(&message, 1);
        prop_assert_eq!(checked.is_ok(), valid, "{:?}", checked);
        prop_assert!(proto::Histogram::decode(&*message).is_ok());
        if let Ok(checked) = checked {
            prop_assert_eq!(checked.start_ms, 0);
        }
    }

    #[test]
    fn damage_is_found_where_prost_finds_it(
        h in message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        cut in any::<prop::sample::Index>(),
        whole in any::<bool>(),
    ) {
        let mut message = oddly_written(&h, 0);
        for (at, with) in damage {
            let at = at.index(message.len());
            message[at] = with;
        }
        if !whole {
            message.truncate(cut.index(message.len() + 1));
        }
        let checked = histogram::check(&message, 2);
        let broken = match checked {
            Err(HistogramError::Broken { what, .. }) => Some(what),
            _ => None,
        };
        match Histogram::decode(&*message) {
            Ok(h) => {
                // prost steps over groups, which proto3 has not.
                prop_assert!(broken.is_none_or(|what| what.contains("group")), "{:?}", broken);
                if checked.is_ok() {
                    prop_assert!(same(&decoded(&message), &by_prost(&h)));
                }
            }
            Err(error) => prop_assert!(broken.is_some(), "{}", error),
        }
    }

    #[test]
    fn noise_never_panics(message in prop::collection::vec(any::<u8>(), 0..200)) {
        for version in [1, 2] {
            if histogram::check(&message, version).is_ok() {
                decoded(&message);
            }
        }
    }
}

/// Conformance 34 and 58, for the bytes: a recorded stale marker, and the forms that counts have.
#[test]
fn recorded_histograms_are_read_as_prost_reads_them_and_their_ends_are_seen() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/write-1.0");
    let pool = BodyPool::new(1);
    let mut seen = [0; 2];
    let mut stale = 0;
    let mut out = NativeHistogram::default();
    for file in ["00000", "00002", "00080", "00091", "00105"] {
        let body = fs::read(folder.join(format!("prom-2.42-{file}.snappy"))).unwrap();
        let body = pool.decompress(&body, 32 << 20).unwrap();
        let request = WriteRequest::decode(&*body).unwrap();
        for h in request.timeseries.iter().flat_map(|s| &s.histograms) {
            let message = h.encode_to_vec();
            let checked = histogram::check(&message, 1).unwrap();
            histogram::decode_into(&message, &mut out).unwrap();
            let newer = Histogram::decode(&*message).unwrap();
            assert!(same(&out, &by_prost(&newer)));
            assert_eq!(checked.stale, out.is_stale());
            assert_eq!(checked.timestamp_ms, h.timestamp);
            stale += usize::from(checked.stale);
            seen[usize::from(matches!(out.counts, Counts::Float { .. }))] += 1;
        }
    }
    assert_eq!(stale, 2);
    assert!(seen[0] > 0 && seen[0] == seen[1], "{seen:?}");
}

/// What the rules say one by one, with what is said about each. Conformance 55 and 56, for the
/// bytes.
#[test]
fn good_histograms_pass_and_bad_ones_say_why() {
    let span = |offset, length| proto::v2::BucketSpan { offset, length };
    let integer = Histogram {
        count: Some(Count::CountInt(12)),
        sum: 18.4,
        schema: 1,
        zero_threshold: 0.001,
        zero_count: Some(ZeroCount::ZeroCountInt(2)),
        positive_spans: vec![span(0, 2), span(1, 2)],
        positive_deltas: vec![1, 1, -1, 0],
        negative_spans: vec![span(-5, 2)],
        negative_deltas: vec![2, 1],
        timestamp: 1000,
        ..Histogram::default()
    };
    let float = Histogram {
        count: Some(Count::CountFloat(10.5)),
        zero_count: Some(ZeroCount::ZeroCountFloat(0.5)),
        positive_counts: vec![1.0, 2.0, 3.0, 4.0],
        negative_counts: vec![0.0, 0.0],
        positive_deltas: Vec::new(),
        negative_deltas: Vec::new(),
        ..integer.clone()
    };
    let custom = Histogram {
        count: Some(Count::CountInt(3)),
        schema: CUSTOM_SCHEMA,
        positive_spans: vec![span(1, 3)],
        positive_deltas: vec![1, 0, 0],
        custom_values: vec![0.1, 0.5, 1.0],
        timestamp: 1000,
        ..Histogram::default()
    };
    let only_negative = Histogram {
        positive_spans: Vec::new(),
        positive_deltas: Vec::new(),
        count: Some(Count::CountInt(7)),
        ..integer.clone()
    };
    for good in [
        &integer,
        &float,
        &custom,
        &only_negative,
        &Histogram::default(),
    ] {
        let checked = histogram::check(&good.encode_to_vec(), 2);
        assert!(checked.is_ok(), "{checked:?}");
    }
    let bad = |what: &str, change: &dyn Fn(&mut Histogram), of: &Histogram, version| {
        let mut h = of.clone();
        change(&mut h);
        let Err(HistogramError::Invalid(why)) = histogram::check(&h.encode_to_vec(), version)
        else {
            panic!("{what} passes");
        };
        assert!(why.contains(what), "{why} for {what}");
    };
    let counted = |n| move |h: &mut Histogram| h.count = Some(Count::CountInt(n));
    bad("count is not that", &counted(13), &integer, 2);
    bad(
        "as many buckets",
        &|h| h.positive_spans[0].length = 9,
        &integer,
        2,
    );
    bad(
        "as many buckets",
        &|h| h.positive_counts.truncate(3),
        &float,
        2,
    );
    bad(
        "too many buckets",
        &|h| h.positive_spans[0].length = u32::MAX,
        &integer,
        2,
    );
    bad(
        "offset is negative",
        &|h| h.positive_spans[1].offset = -1,
        &integer,
        2,
    );
    bad(
        "32 bits",
        &|h| h.positive_spans[1].offset = i32::MAX,
        &integer,
        2,
    );
    bad(
        "negative count",
        &|h| h.positive_deltas[1] = -2,
        &integer,
        2,
    );
    bad(
        "negative count",
        &|h| h.positive_counts[1] = -2.0,
        &float,
        2,
    );
    bad(
        "negative count",
        &|h| h.count = Some(Count::CountFloat(f64::NAN)),
        &float,
        2,
    );
    bad(
        "negative width",
        &|h| h.zero_threshold = f64::NAN,
        &integer,
        2,
    );
    bad("unknown schema", &|h| h.schema = 53, &integer, 2);
    bad("unknown schema", &|h| h.schema = -10, &integer, 2);
    bad("do not rise", &|h| h.custom_values[1] = 0.1, &custom, 2);
    bad(
        "not finite",
        &|h| h.custom_values[2] = f64::INFINITY,
        &custom,
        2,
    );
    bad(
        "more custom buckets",
        &|h| h.custom_values.truncate(2),
        &custom,
        2,
    );
    bad(
        "offset is negative",
        &|h| h.positive_spans[0].offset = -1,
        &custom,
        2,
    );
    bad(
        "a zero bucket",
        &|h| h.zero_count = Some(ZeroCount::ZeroCountInt(1)),
        &custom,
        2,
    );
    bad(
        "negative ones",
        &|h| h.negative_spans.push(span(0, 0)),
        &custom,
        2,
    );
    bad(
        "custom bounds and",
        &|h| h.custom_values.push(1.0),
        &integer,
        2,
    );
    bad("need remote write 2.0", &|_| {}, &custom, 1);
    // Observations of NaN are in no bucket.
    let mut with_nan = integer;
    (with_nan.sum, with_nan.count) = (f64::NAN, Some(Count::CountInt(13)));
    assert!(histogram::check(&with_nan.encode_to_vec(), 2).is_ok());
    bad("less than its buckets", &counted(11), &with_nan, 2);
}

/// Conformance 57, for the bytes: spans of any size cost nothing.
#[test]
fn spans_without_end_neither_loop_nor_allocate() {
    let span = proto::v2::BucketSpan {
        offset: i32::MAX,
        length: u32::MAX,
    };
    let h = Histogram {
        positive_spans: vec![span; 5000],
        negative_spans: vec![span; 5000],
        ..Histogram::default()
    };
    let message = h.encode_to_vec();
    for version in [1, 2] {
        let checked = histogram::check(&message, version);
        assert!(matches!(checked, Err(HistogramError::Invalid(_))));
    }
    let out = decoded(&message);
    assert_eq!(out.positive_spans.len(), 5000);
    let mut flat = saimon::window::histogram::flat::Flat::default();
    flat.load(&out);
    assert_eq!(flat.heap_bytes(), 0);
}
