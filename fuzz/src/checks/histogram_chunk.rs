//! Chunks of native histograms: what is appended comes back as the same counts in the same buckets,
//! whole and after a stop, and bytes of a stranger do no harm.

use std::collections::BTreeMap;

use saimon::window::encoding::Encoding;
use saimon::window::histogram_chunk::{self, FinishedHistograms, HistogramAppender};
use saimon::wire::histogram::{BucketSpan, Counts, NativeHistogram, check as checked, decode_into};

/// A histogram without its form: what is in which bucket, as bits.
#[derive(Debug, PartialEq)]
struct Plain {
    t_ms: i64,
    stale: bool,
    schema: i32,
    threshold: f64,
    sum: u64,
    bounds: Vec<u64>,
    count: u64,
    zero: u64,
    float: bool,
    buckets: BTreeMap<(bool, i64), u64>,
}

fn place(side: bool, spans: &[BucketSpan], counts: &[u64], into: &mut BTreeMap<(bool, i64), u64>) {
    let mut counts = counts.iter();
    let mut index = 0;
    for span in spans {
        index += i64::from(span.offset);
        for _ in 0..span.length {
            into.insert(
                (side, index),
                *counts.next().expect("as many as the spans have"),
            );
            index += 1;
        }
    }
    assert!(counts.next().is_none());
}

fn plain(h: &NativeHistogram) -> Plain {
    let summed = |deltas: &[i64]| -> Vec<u64> {
        let add = |at: &mut i64, delta: &i64| {
            *at = at.wrapping_add(*delta);
            Some(*at as u64)
        };
        deltas.iter().scan(0, add).collect()
    };
    let (float, count, zero, positive, negative) = match &h.counts {
        Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } => (false, *count, *zero, summed(positive), summed(negative)),
        Counts::Float {
            count,
            zero,
            positive,
            negative,
        } => {
            let bits = |v: &[f64]| v.iter().map(|v| v.to_bits()).collect();
            (
                true,
                count.to_bits(),
                zero.to_bits(),
                bits(positive),
                bits(negative),
            )
        }
    };
    let mut buckets = BTreeMap::new();
    place(true, &h.positive_spans, &positive, &mut buckets);
    place(false, &h.negative_spans, &negative, &mut buckets);
    Plain {
        t_ms: h.timestamp_ms,
        stale: h.is_stale(),
        schema: h.schema,
        threshold: h.zero_threshold,
        sum: h.sum.to_bits(),
        bounds: h.custom_values.iter().map(|b| b.to_bits()).collect(),
        count,
        zero,
        float,
        buckets,
    }
}

/// Of a staleness marker only its time is promised.
fn same(a: &Plain, b: &Plain) -> bool {
    a == b || a.stale && b.stale && a.t_ms == b.t_ms
}

/// Messages of the input, each behind a byte with its length, as far as they are histograms.
fn sent(data: &[u8]) -> Vec<NativeHistogram> {
    let mut all = Vec::new();
    let mut rest = data;
    while let [len, tail @ ..] = rest {
        let (message, behind) = tail.split_at(usize::from(*len).min(tail.len()));
        if checked(message, 2).is_ok() {
            let mut h = NativeHistogram::default();
            decode_into(message, &mut h).expect("it was checked");
            all.push(h);
        }
        rest = behind;
    }
    all
}

fn appended(histograms: &[NativeHistogram], stop: Option<usize>) -> Vec<FinishedHistograms> {
    let mut chunks = Vec::new();
    let mut open = HistogramAppender::new();
    for (i, h) in histograms.iter().enumerate() {
        if stop == Some(i) {
            let (bytes, encoding) = (open.bytes().to_vec(), open.encoding());
            open = HistogramAppender::resume(bytes, encoding).expect("its own bytes");
        }
        chunks.extend(open.append(h));
    }
    chunks.extend(open.finish());
    chunks
}

fn back(chunks: &[FinishedHistograms]) -> Vec<NativeHistogram> {
    let read = |c: &FinishedHistograms| {
        let histograms = histogram_chunk::decode(&c.bytes, c.encoding).expect("our own chunk");
        assert!(histograms.len() == usize::from(c.samples));
        assert!(histograms[0].timestamp_ms == c.first_ms);
        assert!(histograms[histograms.len() - 1].timestamp_ms == c.last_ms);
        histograms
    };
    chunks.iter().flat_map(read).collect()
}

pub fn check(data: &[u8]) {
    let histograms = sent(data);
    let wanted: Vec<_> = histograms.iter().map(plain).collect();
    let stop = data.len().checked_rem(histograms.len());
    for chunks in [appended(&histograms, None), appended(&histograms, stop)] {
        let got: Vec<_> = back(&chunks).iter().map(plain).collect();
        assert!(got.len() == wanted.len());
        for (got, wanted) in got.iter().zip(&wanted) {
            assert!(same(got, wanted), "got {got:?}, wanted {wanted:?}");
        }
    }
    for encoding in [Encoding::Histogram, Encoding::FloatHistogram] {
        let Ok(read) = histogram_chunk::decode(data, encoding) else {
            assert!(HistogramAppender::resume(data.to_vec(), encoding).is_err());
            continue;
        };
        let resumed = HistogramAppender::resume(data.to_vec(), encoding).expect("it was read");
        assert!(resumed.len() == read.len());
    }
}
