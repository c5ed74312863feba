//! Whether a message is a histogram, by the rules of Prometheus 3.

use super::decode::{float_number, integer};
use super::walk::{self, Newer, Number, Scalars, Side, Sink};
use super::{BUCKETS_MAX, BucketSpan, CUSTOM_SCHEMA, Checked, EXPONENTIAL_SCHEMAS, HistogramError};
use crate::wire::write;

/// Checks one native histogram of remote write 1.0 or 2.0 (`version` 1 or 2) where it lies.
///
/// The rules are those of Prometheus 3 (protocol notes, section 4), with three more: no count is NaN,
/// no zero bucket has a negative width,
/// and bucket indexes fit 32 bits with their sign. Custom buckets are refused in 1.0, which has no
/// field for their bounds.
///
/// # Errors
/// [`HistogramError::Broken`] if it is no message, [`HistogramError::Invalid`] if it describes no
/// histogram.
pub fn check(message: &[u8], version: u8) -> Result<Checked, HistogramError> {
    let newer = if version == 1 {
        Newer::Skipped
    } else {
        Newer::Read
    };
    let mut seen = Seen::default();
    let found = walk::walk(message, newer, &mut seen)?;
    if seen.is_too_large() {
        return invalid("histogram with too many buckets");
    }
    if found.schema == CUSTOM_SCHEMA {
        if version == 1 {
            return invalid("histogram with custom buckets: they need remote write 2.0");
        }
        custom(&seen, &found)?;
    } else if EXPONENTIAL_SCHEMAS.contains(&found.schema) {
        exponential(&seen)?;
    } else {
        return invalid("histogram of unknown schema");
    }
    match found.count {
        Some(Number::Float(count)) => float_counts(&seen, count, float_number(found.zero))?,
        _ => integer_counts(&seen, &found)?,
    }
    if is_negative(found.zero_threshold) {
        return invalid("histogram whose zero bucket has a negative width");
    }
    Ok(Checked {
        timestamp_ms: found.timestamp_ms,
        start_ms: usable_start(found.start_ms, found.timestamp_ms),
        stale: write::is_stale(found.sum),
    })
}

/// A start after the sample's time is none (remote write 2.0, start timestamps).
pub(super) fn usable_start(start_ms: i64, timestamp_ms: i64) -> i64 {
    if start_ms > timestamp_ms { 0 } else { start_ms }
}

#[cold]
fn invalid<T>(why: &'static str) -> Result<T, HistogramError> {
    Err(HistogramError::Invalid(why))
}

/// Also true of NaN.
fn is_negative(x: f64) -> bool {
    x.is_nan() || x < 0.0
}

fn exponential(seen: &Seen) -> Result<(), HistogramError> {
    for side in [&seen.positive, &seen.negative] {
        if side.later_offset_negative {
            return invalid("histogram with a span whose offset is negative");
        }
        if side.end < i64::from(i32::MIN) || side.end > i64::from(i32::MAX) {
            return invalid("histogram with a bucket index of more than 32 bits");
        }
    }
    if seen.bounds > 0 {
        return invalid("histogram with custom bounds and a schema of exponential buckets");
    }
    Ok(())
}

fn custom(seen: &Seen, found: &Scalars) -> Result<(), HistogramError> {
    if seen.bounds_not_finite {
        return invalid("histogram with a custom bound that is not finite");
    }
    if seen.bounds_not_rising {
        return invalid("histogram whose custom bounds do not rise");
    }
    let positive = &seen.positive;
    if positive.first_offset_negative || positive.later_offset_negative {
        return invalid("histogram with a span whose offset is negative");
    }
    // The last bucket, up to +Inf, has no bound of its own.
    if positive.end > seen.bounds as i64 + 1 {
        return invalid("histogram with more custom buckets than bounds");
    }
    if seen.negative != SideSeen::default() {
        return invalid("histogram with custom buckets and negative ones");
    }
    let zero = match found.zero {
        Some(Number::Integer(n)) => n != 0,
        Some(Number::Float(n)) => n != 0.0,
        None => false,
    };
    if zero || found.zero_threshold != 0.0 {
        return invalid("histogram with custom buckets and a zero bucket");
    }
    Ok(())
}

const LENGTHS: &str = "histogram whose spans do not have as many buckets as it has counts";
const NEGATIVE: &str = "histogram with a negative count";

fn integer_counts(seen: &Seen, found: &Scalars) -> Result<(), HistogramError> {
    let count = integer(found.count);
    let mut sum = u128::from(integer(found.zero));
    for side in [&seen.positive, &seen.negative] {
        if side.deltas != side.lengths {
            return invalid(LENGTHS);
        }
        if side.deltas_negative {
            return invalid(NEGATIVE);
        }
        sum = sum.saturating_add(side.deltas_sum);
    }
    if found.sum.is_nan() {
        // Observations of NaN are in no bucket.
        if sum > u128::from(count) {
            return invalid("histogram whose count is less than its buckets have");
        }
    } else if sum != u128::from(count) {
        return invalid("histogram whose count is not that of its buckets");
    }
    Ok(())
}

/// Rounding forbids to compare the count with the buckets.
fn float_counts(seen: &Seen, count: f64, zero: f64) -> Result<(), HistogramError> {
    for side in [&seen.positive, &seen.negative] {
        if side.counts != side.lengths {
            return invalid(LENGTHS);
        }
        if side.counts_negative {
            return invalid(NEGATIVE);
        }
    }
    if is_negative(count) || is_negative(zero) {
        return invalid(NEGATIVE);
    }
    Ok(())
}

/// What is kept of the repeated fields.
#[derive(Debug, Default)]
struct Seen {
    positive: SideSeen,
    negative: SideSeen,
    bounds: u64,
    last_bound: f64,
    bounds_not_finite: bool,
    bounds_not_rising: bool,
}

/// What is kept of one side. Deltas and counts are both watched: which of them count is known only
/// at the end.
#[derive(Debug, Default, PartialEq)]
struct SideSeen {
    spans: u64,
    /// Buckets of all spans. Fewer than 2^32 spans of less than 2^32 each: no overflow.
    lengths: u64,
    /// One behind the last bucket's index.
    end: i64,
    first_offset_negative: bool,
    later_offset_negative: bool,
    deltas: u64,
    /// The newest bucket's count, in more bits than any sum of deltas needs.
    delta_at: i128,
    deltas_sum: u128,
    deltas_negative: bool,
    counts: u64,
    counts_negative: bool,
}

impl Seen {
    /// True above [`BUCKETS_MAX`], also of what is not used: both would be decoded.
    fn is_too_large(&self) -> bool {
        let (p, n) = (&self.positive, &self.negative);
        [
            p.lengths + n.lengths,
            p.deltas + n.deltas,
            p.counts + n.counts,
            p.spans,
            n.spans,
            self.bounds,
        ]
        .iter()
        .any(|n| *n > BUCKETS_MAX as u64)
    }

    fn side(&mut self, side: Side) -> &mut SideSeen {
        match side {
            Side::Positive => &mut self.positive,
            Side::Negative => &mut self.negative,
        }
    }
}

impl Sink for Seen {
    fn span(&mut self, side: Side, span: BucketSpan) {
        let side = self.side(side);
        if side.spans == 0 {
            side.first_offset_negative = span.offset < 0;
        } else {
            side.later_offset_negative |= span.offset < 0;
        }
        side.spans += 1;
        side.lengths += u64::from(span.length);
        side.end += i64::from(span.offset) + i64::from(span.length);
    }

    fn delta(&mut self, side: Side, delta: i64) {
        let side = self.side(side);
        side.deltas += 1;
        side.delta_at += i128::from(delta);
        side.deltas_negative |= !(0..=i128::from(i64::MAX)).contains(&side.delta_at);
        side.deltas_sum = side.deltas_sum.saturating_add(side.delta_at.unsigned_abs());
    }

    fn count(&mut self, side: Side, count: f64) {
        let side = self.side(side);
        side.counts += 1;
        side.counts_negative |= is_negative(count);
    }

    fn bound(&mut self, bound: f64) {
        self.bounds_not_finite |= !bound.is_finite();
        self.bounds_not_rising |= self.bounds > 0 && bound <= self.last_bound;
        self.bounds += 1;
        self.last_bound = bound;
    }
}
