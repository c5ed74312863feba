//! The fields of a checked message, put into a histogram.

use super::walk::{self, Newer, Number, Side, Sink};
use super::{BucketSpan, CUSTOM_SCHEMA, Counts, HistogramError, NativeHistogram, ResetHint};

/// Puts the histogram of a message that passed [`super::check`] into `out`, whose memory is used
/// again: a warm `out` takes a histogram of its size and form without allocating.
///
/// A start timestamp after the sample's own time is left out. Of 1.0 messages the same fields are
/// read as of 2.0 ones: the fields that 1.0 has not are not sent there.
///
/// # Errors
/// If it is no message; one that was checked is.
pub fn decode_into(message: &[u8], out: &mut NativeHistogram) -> Result<(), HistogramError> {
    let float = walk::is_float(message)?;
    out.positive_spans.clear();
    out.negative_spans.clear();
    out.custom_values.clear();
    if float {
        out.counts.as_float();
    } else {
        out.counts.as_integer();
    }
    let found = walk::walk(message, Newer::IfWellFormed, out)?;
    out.schema = found.schema;
    if out.schema != CUSTOM_SCHEMA {
        out.custom_values.clear();
    }
    out.zero_threshold = found.zero_threshold;
    out.sum = found.sum;
    out.reset_hint = ResetHint::from_wire(found.reset_hint);
    out.timestamp_ms = found.timestamp_ms;
    out.start_ms = super::check::usable_start(found.start_ms, found.timestamp_ms);
    match &mut out.counts {
        Counts::Integer { count, zero, .. } => {
            *count = integer(found.count);
            *zero = integer(found.zero);
        }
        Counts::Float { count, zero, .. } => {
            *count = float_number(found.count);
            *zero = float_number(found.zero);
        }
    }
    Ok(())
}

/// The member of the other form says nothing.
pub(super) fn integer(number: Option<Number>) -> u64 {
    match number {
        Some(Number::Integer(n)) => n,
        _ => 0,
    }
}

/// The member of the other form says nothing.
pub(super) fn float_number(number: Option<Number>) -> f64 {
    match number {
        Some(Number::Float(n)) => n,
        _ => 0.0,
    }
}

impl Sink for NativeHistogram {
    fn span(&mut self, side: Side, span: BucketSpan) {
        match side {
            Side::Positive => self.positive_spans.push(span),
            Side::Negative => self.negative_spans.push(span),
        }
    }

    fn delta(&mut self, side: Side, delta: i64) {
        if let Counts::Integer {
            positive, negative, ..
        } = &mut self.counts
        {
            match side {
                Side::Positive => positive.push(delta),
                Side::Negative => negative.push(delta),
            }
        }
    }

    fn count(&mut self, side: Side, count: f64) {
        if let Counts::Float {
            positive, negative, ..
        } = &mut self.counts
        {
            match side {
                Side::Positive => positive.push(count),
                Side::Negative => negative.push(count),
            }
        }
    }

    fn bound(&mut self, bound: f64) {
        self.custom_values.push(bound);
    }
}
