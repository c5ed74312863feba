//! Histogram chunks against those that Prometheus 2.42 wrote, and against anything at all.

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use saimon::window::encoding::Encoding;
use saimon::window::histogram_chunk::{self, HistogramAppender};
use saimon::wire::field;
use saimon::wire::histogram::{BucketSpan, CUSTOM_SCHEMA, Counts, NativeHistogram, ResetHint};
use saimon::wire::write::STALE_NAN_BITS;
use serde_json::Value;

/// The length-delimited fields of a message: (number, bytes). Others are left out.
fn fields(msg: &[u8]) -> Vec<(u32, &[u8])> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < msg.len() {
        let (number, wire) = field::tag(msg, &mut at).unwrap();
        if wire == field::Wire::Len {
            let end = field::len(msg, &mut at).unwrap();
            found.push((number, &msg[at..end]));
            at = end;
        } else {
            field::skip(msg, &mut at, wire).unwrap();
        }
    }
    found
}

/// The chunks of the one series of a streamed answer that is one frame.
fn recorded_chunks(name: &str) -> Vec<Vec<u8>> {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/read-chunks");
    let answer = fs::read(data.join(format!("{name}.resp"))).unwrap();
    let mut at = 0;
    field::varint(&answer, &mut at).unwrap();
    let series = fields(&answer[at + 4..])[0].1;
    let chunks = fields(series).into_iter().filter(|(n, _)| *n == 2);
    chunks
        .map(|(_, chunk)| fields(chunk)[0].1.to_vec())
        .collect()
}

/// What the recording says is in the chunks of this name.
fn expected(name: &str) -> Value {
    let data = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/read-chunks");
    let decoded = fs::read_to_string(data.join("decoded.jsonl")).unwrap();
    let mut rows = decoded
        .lines()
        .map(|l| serde_json::from_str::<Value>(l).unwrap());
    rows.find(|row| row["name"] == name).unwrap()
}

fn spans(of: &Value) -> Vec<BucketSpan> {
    let span = |s: &Value| BucketSpan {
        offset: s[0].as_i64().unwrap() as i32,
        length: s[1].as_u64().unwrap() as u32,
    };
    of.as_array().unwrap().iter().map(span).collect()
}

fn integers(of: &Value) -> Vec<i64> {
    of.as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_i64().unwrap())
        .collect()
}

fn floats(of: &Value) -> Vec<f64> {
    of.as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_f64().unwrap())
        .collect()
}

/// Conformance 92, for the bytes: we read what Prometheus wrote, and from the same histograms write
/// the same bytes.
#[test]
fn chunks_of_prometheus_are_read_and_written_bit_for_bit() {
    for (name, encoding) in [
        ("native-chunks", Encoding::Histogram),
        ("native-float-chunks", Encoding::FloatHistogram),
    ] {
        let expected = expected(name);
        let mut points = expected["histogram_points"].as_array().unwrap().iter();
        let mut in_one = HistogramAppender::new();
        for (bytes, info) in recorded_chunks(name)
            .iter()
            .zip(expected["chunks"].as_array().unwrap())
        {
            assert_eq!(info["type"], encoding as u8);
            let histograms = histogram_chunk::decode(bytes, encoding).unwrap();
            assert_eq!(info["min"], histograms[0].timestamp_ms);
            assert_eq!(info["max"], histograms.last().unwrap().timestamp_ms);
            let mut again = HistogramAppender::new();
            for h in &histograms {
                let point = points.next().unwrap();
                assert_eq!(point[0], h.timestamp_ms);
                assert_eq!(h.schema, info["schema"].as_i64().unwrap() as i32);
                assert!(
                    (h.zero_threshold - info["zero_threshold"].as_f64().unwrap()).abs() < 1e-12
                );
                assert_eq!(h.positive_spans, spans(&info["positive_spans"]));
                assert_eq!(h.negative_spans, spans(&info["negative_spans"]));
                assert_eq!(h.sum, point[3].as_f64().unwrap());
                match &h.counts {
                    Counts::Integer {
                        count,
                        zero,
                        positive,
                        negative,
                    } => {
                        assert_eq!(
                            (*count, *zero),
                            (point[1].as_u64().unwrap(), point[2].as_u64().unwrap())
                        );
                        assert_eq!(*positive, integers(&point[4]));
                        assert_eq!(*negative, integers(&point[5]));
                    }
                    Counts::Float {
                        count,
                        zero,
                        positive,
                        negative,
                    } => {
                        assert_eq!(
                            (*count, *zero),
                            (point[1].as_f64().unwrap(), point[2].as_f64().unwrap())
                        );
                        assert_eq!(*positive, floats(&point[4]));
                        assert_eq!(*negative, floats(&point[5]));
                    }
                }
                assert_eq!(again.append(h), None);
                assert_eq!(
                    in_one.append(h),
                    None,
                    "nothing changes from chunk to chunk"
                );
            }
            assert_eq!(again.bytes(), &bytes[..]);
            assert_eq!(again.finish().unwrap().encoding, encoding);
        }
        assert!(points.next().is_none());
        assert_eq!(in_one.len(), 16);
    }
}

/// Buckets on either side, their counts as differences, and their sum.
fn side(first: i32) -> impl Strategy<Value = (Vec<BucketSpan>, Vec<i64>)> {
    let runs =
        proptest::collection::vec((0..5i32, proptest::collection::vec(0..2000i64, 0..5)), 0..4);
    runs.prop_map(move |runs| {
        let (mut spans, mut deltas, mut last) = (Vec::new(), Vec::new(), 0);
        for (i, (gap, counts)) in runs.into_iter().enumerate() {
            spans.push(BucketSpan {
                offset: if i == 0 { first + gap } else { gap },
                length: counts.len() as u32,
            });
            for count in counts {
                deltas.push(count - last);
                last = count;
            }
        }
        (spans, deltas)
    })
}

fn histogram() -> impl Strategy<Value = NativeHistogram> {
    let form = (any::<bool>(), 0..8u8, 0..4u32, 0..40u8);
    let numbers = (any::<i64>(), any::<u32>(), any::<u64>(), 0..9i32);
    (form, numbers, side(-3), side(-1)).prop_map(|(form, numbers, positive, negative)| {
        let (float, odd, hint, stale) = form;
        let (t, count, sum, schema) = numbers;
        let custom = odd == 1;
        let whole = |deltas: &[i64]| {
            let mut at = 0;
            deltas
                .iter()
                .map(|d| {
                    at += d;
                    at as f64 / 3.0
                })
                .collect::<Vec<_>>()
        };
        let mut h = NativeHistogram {
            schema,
            zero_threshold: if odd == 2 { 0.001 } else { 2f64.powi(-128) },
            sum: f64::from_bits(sum),
            reset_hint: ResetHint::from_wire(hint),
            positive_spans: positive.0,
            negative_spans: negative.0,
            custom_values: Vec::new(),
            counts: Counts::Integer {
                count: u64::from(count),
                zero: u64::from(count) % 7,
                positive: positive.1,
                negative: negative.1,
            },
            timestamp_ms: t,
            start_ms: 0,
        };
        if custom {
            h.schema = CUSTOM_SCHEMA;
            h.zero_threshold = 0.0;
            h.negative_spans.clear();
            if let Some(first) = h.positive_spans.first_mut() {
                first.offset = first.offset.max(0);
            }
            h.custom_values = (0..40).map(|i| f64::from(i) * 0.25 - 1.0).collect();
        }
        let negative_too = !custom;
        if let Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } = &mut h.counts
        {
            if !negative_too {
                negative.clear();
            }
            if float {
                h.counts = Counts::Float {
                    count: *count as f64 / 3.0,
                    zero: *zero as f64,
                    positive: whole(positive),
                    negative: whole(negative),
                };
            }
        }
        if stale == 0 {
            h.sum = f64::from_bits(STALE_NAN_BITS);
        }
        h
    })
}

/// The histogram with another count in each bucket and another time.
fn later(mut h: NativeHistogram, by: i64) -> NativeHistogram {
    h.timestamp_ms = h.timestamp_ms.wrapping_add(by * 1000);
    match &mut h.counts {
        Counts::Integer {
            count, positive, ..
        } => {
            *count += by as u64;
            if let Some(first) = positive.first_mut() {
                *first += by;
            }
        }
        Counts::Float {
            count, positive, ..
        } => {
            *count += by as f64;
            for bucket in positive {
                *bucket += by as f64 / 7.0;
            }
        }
    }
    h
}

/// Some histograms, each followed by some more of its layout.
fn histograms() -> impl Strategy<Value = Vec<NativeHistogram>> {
    let runs = proptest::collection::vec(
        (histogram(), proptest::collection::vec(0..1000i64, 0..6)),
        1..5,
    );
    runs.prop_map(|runs| {
        let mut all = Vec::new();
        for (first, steps) in runs {
            all.push(first.clone());
            for step in steps {
                let last = all.last().cloned().unwrap();
                all.push(later(
                    if last.is_stale() { first.clone() } else { last },
                    step,
                ));
            }
        }
        all
    })
}

/// A histogram as it comes out of a chunk, but for the hint; NaNs by their bits.
fn plain(h: &NativeHistogram) -> String {
    let mut h = h.clone();
    h.reset_hint = ResetHint::Unknown;
    if h.is_stale() {
        return format!("stale at {}", h.timestamp_ms);
    }
    let bits = h.sum.to_bits();
    h.sum = 0.0;
    format!("{bits:x} {h:?}")
}

/// All chunks that these histograms make.
fn chunks(histograms: &[NativeHistogram]) -> Vec<histogram_chunk::FinishedHistograms> {
    let mut appender = HistogramAppender::new();
    let mut all: Vec<_> = histograms
        .iter()
        .filter_map(|h| appender.append(h))
        .collect();
    all.extend(appender.finish());
    all
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_histograms_come_back_bit_for_bit(histograms in histograms()) {
        let mut back = Vec::new();
        for chunk in chunks(&histograms) {
            let read = histogram_chunk::decode(&chunk.bytes, chunk.encoding).unwrap();
            prop_assert_eq!(read.len(), usize::from(chunk.samples));
            prop_assert_eq!(read[0].timestamp_ms, chunk.first_ms);
            prop_assert_eq!(read.last().unwrap().timestamp_ms, chunk.last_ms);
            back.extend(read);
        }
        let plain = |all: &[NativeHistogram]| all.iter().map(plain).collect::<Vec<_>>();
        prop_assert_eq!(plain(&back), plain(&histograms));
    }

    #[test]
    fn a_stopped_chunk_goes_on_as_if_it_had_not_been(histograms in histograms(), at in any::<prop::sample::Index>()) {
        let at = at.index(histograms.len());
        let mut appender = HistogramAppender::new();
        let mut resumed = appender.clone();
        for (i, h) in histograms.iter().enumerate() {
            if i == at {
                let stored = postcard::to_stdvec(&appender).unwrap();
                resumed = postcard::from_bytes(&stored).unwrap();
                prop_assert_eq!(&resumed, &appender);
            }
            let closed = appender.append(h);
            if i >= at {
                prop_assert_eq!(resumed.append(h), closed);
            }
        }
        prop_assert_eq!(resumed.bytes(), appender.bytes());
    }

    #[test]
    fn damaged_chunks_never_panic(
        histograms in histograms(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut in any::<prop::sample::Index>(),
    ) {
        for chunk in chunks(&histograms) {
            let mut bytes = chunk.bytes;
            for (at, with) in &damage {
                let at = at.index(bytes.len());
                bytes[at] = *with;
            }
            bytes.truncate(cut.index(bytes.len() + 1));
            for encoding in [Encoding::Histogram, Encoding::FloatHistogram] {
                if let Ok(read) = histogram_chunk::decode(&bytes, encoding) {
                    // What is read can be written and is the same again.
                    let again = chunks(&read);
                    prop_assert_eq!(again.iter().map(|c| usize::from(c.samples)).sum::<usize>(), read.len());
                }
                let _ = HistogramAppender::resume(bytes.clone(), encoding);
            }
        }
    }

    #[test]
    fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for encoding in [Encoding::Histogram, Encoding::FloatHistogram] {
            let _ = histogram_chunk::decode(&bytes, encoding);
        }
    }
}
