//! What all histograms of a chunk have in common, and its place at the chunk's beginning.

use super::bits::{Reader, Writer, Wrong};
use crate::wire::histogram::{
    BUCKETS_MAX, BucketSpan, CUSTOM_SCHEMA, EXPONENTIAL_SCHEMAS, NativeHistogram,
};

/// Custom bounds up to this many thousandths are written as such, in at most four bytes.
const BOUND_THOUSANDTHS_MAX: f64 = 33_554_430.0;

/// Schema, zero bucket, and which buckets there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Layout {
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) positive: Vec<BucketSpan>,
    pub(super) negative: Vec<BucketSpan>,
    pub(super) custom: Vec<f64>,
}

impl Layout {
    /// That of `h`; a stale marker has none.
    pub(super) fn of(h: &NativeHistogram) -> Self {
        if h.is_stale() {
            return Self::default();
        }
        Self {
            schema: h.schema,
            zero_threshold: h.zero_threshold,
            positive: h.positive_spans.clone(),
            negative: h.negative_spans.clone(),
            custom: h.custom_values.clone(),
        }
    }

    /// True if it is that of `h`, to the bit.
    pub(super) fn is_of(&self, h: &NativeHistogram) -> bool {
        self.schema == h.schema
            && self.zero_threshold.to_bits() == h.zero_threshold.to_bits()
            && self.positive == h.positive_spans
            && self.negative == h.negative_spans
            && self.custom.len() == h.custom_values.len()
            && self
                .custom
                .iter()
                .zip(&h.custom_values)
                .all(|(a, b)| a.to_bits() == b.to_bits())
    }

    /// Buckets of the positive side, and of both.
    pub(super) fn buckets(&self) -> (usize, usize) {
        let count = |spans: &[BucketSpan]| spans.iter().map(|s| s.length as usize).sum::<usize>();
        let positive = count(&self.positive);
        (positive, positive + count(&self.negative))
    }

    /// Memory beyond the struct itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        (self.positive.capacity() + self.negative.capacity()) * size_of::<BucketSpan>()
            + self.custom.capacity() * size_of::<f64>()
    }

    pub(super) fn write(&self, out: &mut Writer) {
        write_threshold(out, self.zero_threshold);
        out.int(i64::from(self.schema));
        for spans in [&self.positive, &self.negative] {
            out.uint(spans.len() as u64);
            for span in spans {
                out.uint(u64::from(span.length));
                out.int(i64::from(span.offset));
            }
        }
        if self.schema == CUSTOM_SCHEMA {
            out.uint(self.custom.len() as u64);
            for bound in &self.custom {
                write_bound(out, *bound);
            }
        }
    }

    /// Reads a layout that describes buckets of which there can be so many as there are bits left.
    pub(super) fn read(from: &mut Reader<'_>) -> Result<Self, Wrong> {
        let zero_threshold = read_threshold(from)?;
        let schema = i32::try_from(from.int()?).map_err(|_| Wrong::Number)?;
        if schema != CUSTOM_SCHEMA && !EXPONENTIAL_SCHEMAS.contains(&schema)
            || zero_threshold.is_nan()
            || zero_threshold < 0.0
        {
            return Err(Wrong::Number);
        }
        let (positive, positive_end) = read_spans(from)?;
        let (negative, _) = read_spans(from)?;
        let mut custom = Vec::new();
        if schema == CUSTOM_SCHEMA {
            // A bound takes two bits at least.
            for _ in 0..bounded(from.uint()?, from.left() / 2)? {
                let bound = read_bound(from)?;
                let rises = custom.last().is_none_or(|last| bound > *last);
                if !bound.is_finite() || !rises {
                    return Err(Wrong::Number);
                }
                custom.push(bound);
            }
            let from_zero = positive.first().is_none_or(|s| s.offset >= 0);
            if !from_zero || positive_end > custom.len() as i64 + 1 || !negative.is_empty() {
                return Err(Wrong::Number);
            }
        }
        let layout = Self {
            schema,
            zero_threshold,
            positive,
            negative,
            custom,
        };
        // A bucket takes a bit in every sample.
        bounded(layout.buckets().1 as u64, from.left())?;
        Ok(layout)
    }
}

/// `n`, if it is at most [`BUCKETS_MAX`] and at most as many as there can be.
fn bounded(n: u64, room: usize) -> Result<usize, Wrong> {
    if n > BUCKETS_MAX as u64 {
        Err(Wrong::Number)
    } else if n > room as u64 {
        Err(Wrong::End)
    } else {
        Ok(n as usize)
    }
}

/// Spans, and one behind the last bucket's index.
fn read_spans(from: &mut Reader<'_>) -> Result<(Vec<BucketSpan>, i64), Wrong> {
    // A span takes two bits at least.
    let n = bounded(from.uint()?, from.left() / 2)?;
    let mut spans = Vec::with_capacity(n);
    let (mut buckets, mut end) = (0u64, 0i64);
    for i in 0..n {
        let length = from.uint()?;
        buckets = buckets.saturating_add(length);
        bounded(buckets, usize::MAX)?;
        let offset = i32::try_from(from.int()?).map_err(|_| Wrong::Number)?;
        end += i64::from(offset) + length as i64;
        if i > 0 && offset < 0 || i32::try_from(end).is_err() {
            return Err(Wrong::Number);
        }
        let length = length as u32;
        spans.push(BucketSpan { offset, length });
    }
    Ok((spans, end))
}

/// Powers of two from 2^-243 to 2^10 are written as a byte of 1 to 254, other thresholds as 255 and
/// all of their bits.
fn write_threshold(out: &mut Writer, threshold: f64) {
    let bits = threshold.to_bits();
    let power = (bits >> 52) as i64 - 1023;
    if bits == 0 {
        out.bits(0, 8);
    } else if bits.trailing_zeros() >= 52 && (-243..=10).contains(&power) {
        out.bits((power + 244) as u64, 8);
    } else {
        out.bits(255, 8);
        out.bits(bits, 64);
    }
}

fn read_threshold(from: &mut Reader<'_>) -> Result<f64, Wrong> {
    Ok(match from.bits(8)? {
        0 => 0.0,
        255 => f64::from_bits(from.bits(64)?),
        byte => f64::from_bits((byte + 1023 - 244) << 52),
    })
}

/// Whole thousandths are written as their number and one, others as 0 and all of their bits.
fn write_bound(out: &mut Writer, bound: f64) {
    let thousandths = (bound * 1000.0).round();
    let fits = (0.0..=BOUND_THOUSANDTHS_MAX).contains(&(bound * 1000.0));
    if fits && (thousandths / 1000.0).to_bits() == bound.to_bits() {
        out.uint(thousandths as u64 + 1);
    } else {
        out.bits(0, 1);
        out.bits(bound.to_bits(), 64);
    }
}

fn read_bound(from: &mut Reader<'_>) -> Result<f64, Wrong> {
    Ok(match from.uint()? {
        0 => f64::from_bits(from.bits(64)?),
        n => (n - 1) as f64 / 1000.0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(layout: &Layout) -> Writer {
        let mut out = Writer::default();
        layout.write(&mut out);
        // The first sample's buckets, which a layout must leave room for.
        out.bits(0, 64);
        out
    }

    fn read(out: &Writer) -> Result<Layout, Wrong> {
        Layout::read(&mut Reader {
            bytes: &out.bytes,
            at: 0,
        })
    }

    #[test]
    fn thresholds_and_bounds_of_every_form_come_back() {
        for threshold in [
            0.0,
            2f64.powi(-128),
            2f64.powi(-243),
            2f64.powi(-244),
            1024.0,
            2048.0,
            0.001,
            f64::MIN_POSITIVE / 4.0,
        ] {
            let layout = Layout {
                schema: 8,
                zero_threshold: threshold,
                ..Layout::default()
            };
            let out = written(&layout);
            assert_eq!(read(&out), Ok(layout));
            assert_eq!(
                out.bytes[0] == 255,
                threshold == 2f64.powi(-244)
                    || threshold == 2048.0
                    || threshold == 0.001
                    || threshold < 1e-300 && threshold > 0.0
            );
        }
        let custom = vec![
            -3.5,
            -0.0,
            0.005,
            0.1,
            1.0 / 3.0,
            33_554.43,
            33_554.431,
            1e300,
        ];
        let layout = Layout {
            schema: CUSTOM_SCHEMA,
            custom,
            positive: vec![BucketSpan {
                offset: 2,
                length: 7,
            }],
            ..Layout::default()
        };
        assert_eq!(read(&written(&layout)), Ok(layout));
    }

    #[test]
    fn impossible_layouts_are_refused_before_anything_of_their_size_is_allocated() {
        let span = |offset, length| BucketSpan { offset, length };
        let layout = |schema, positive: &[BucketSpan], custom: &[f64]| Layout {
            schema,
            positive: positive.to_vec(),
            custom: custom.to_vec(),
            ..Layout::default()
        };
        for (wrong, why) in [
            (layout(53, &[], &[]), Wrong::Number),
            (layout(-10, &[], &[]), Wrong::Number),
            (layout(0, &[span(0, u32::MAX)], &[]), Wrong::Number),
            (layout(0, &[span(0, 8192), span(0, 1)], &[]), Wrong::Number),
            (layout(0, &[span(0, 8000)], &[]), Wrong::End),
            (layout(0, &[span(0, 1), span(-1, 1)], &[]), Wrong::Number),
            (layout(0, &[span(i32::MAX, 1)], &[]), Wrong::Number),
            (layout(-53, &[span(0, 3)], &[1.0]), Wrong::Number),
            (layout(-53, &[span(-1, 1)], &[1.0]), Wrong::Number),
            (layout(-53, &[], &[1.0, 1.0]), Wrong::Number),
            (layout(-53, &[], &[f64::INFINITY]), Wrong::Number),
        ] {
            assert_eq!(read(&written(&wrong)), Err(why), "{wrong:?}");
        }
        let mut out = Writer::default();
        out.bits(0, 9);
        out.uint(u64::MAX);
        out.bits(0, 64);
        assert_eq!(read(&out), Err(Wrong::Number));
    }
}
