//! One pass over the fields of a histogram message.

use super::BucketSpan;
use crate::wire::field::{self, FieldError, Wire};

/// Observations below zero have buckets of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Positive,
    Negative,
}

/// Where the repeated fields go, in the order in which they lie.
pub(super) trait Sink {
    fn span(&mut self, side: Side, span: BucketSpan);
    fn delta(&mut self, side: Side, delta: i64);
    fn count(&mut self, side: Side, count: f64);
    fn bound(&mut self, bound: f64);
}

/// Whether the fields of 2.0 alone, 16 and 17, are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Newer {
    /// Unknown numbers, as in 1.0.
    Skipped,
    /// Must be of their type.
    Read,
    /// Read if they are of their type: the message was checked, and its version is not known.
    IfWellFormed,
}

/// One of the two members of a oneof.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Number {
    Integer(u64),
    Float(f64),
}

/// The fields that are not repeated; of those that lie there twice, the last.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scalars {
    pub(super) count: Option<Number>,
    pub(super) zero: Option<Number>,
    pub(super) sum: f64,
    pub(super) schema: i32,
    pub(super) zero_threshold: f64,
    pub(super) reset_hint: u32,
    pub(super) timestamp_ms: i64,
    pub(super) start_ms: i64,
}

const WRONG_TYPE: &str = "field of the wrong type";
const OVERRUN: &str = "field that runs over the end of its message,";

/// Reads all fields of `msg`; those that are not known are skipped.
pub(super) fn walk(msg: &[u8], newer: Newer, sink: &mut impl Sink) -> Result<Scalars, FieldError> {
    let mut found = Scalars::default();
    let mut at = 0;
    while at < msg.len() {
        let start = at;
        let (number, wire) = field::tag(msg, &mut at)?;
        let side = if matches!(number, 8..=10) {
            Side::Negative
        } else {
            Side::Positive
        };
        match (number, wire) {
            (1, Wire::Varint) => found.count = Some(Number::Integer(field::varint(msg, &mut at)?)),
            (2, Wire::Fixed64) => found.count = Some(Number::Float(double(msg, &mut at)?)),
            (3, Wire::Fixed64) => found.sum = double(msg, &mut at)?,
            (4, Wire::Varint) => found.schema = zigzag32(field::varint(msg, &mut at)?),
            (5, Wire::Fixed64) => found.zero_threshold = double(msg, &mut at)?,
            (6, Wire::Varint) => found.zero = Some(Number::Integer(field::varint(msg, &mut at)?)),
            (7, Wire::Fixed64) => found.zero = Some(Number::Float(double(msg, &mut at)?)),
            (8 | 11, Wire::Len) => {
                let end = field::len(msg, &mut at)?;
                sink.span(side, span(&msg[..end], &mut at)?);
            }
            (9 | 12, Wire::Varint) => sink.delta(side, zigzag64(field::varint(msg, &mut at)?)),
            (9 | 12, Wire::Len) => {
                let end = field::len(msg, &mut at)?;
                while at < end {
                    sink.delta(side, zigzag64(field::varint(&msg[..end], &mut at)?));
                }
            }
            (10 | 13, Wire::Fixed64) => sink.count(side, double(msg, &mut at)?),
            (10 | 13, Wire::Len) => {
                let end = field::len(msg, &mut at)?;
                while at < end {
                    sink.count(side, double(&msg[..end], &mut at)?);
                }
            }
            // An enum is an int32: what does not fit is cut off.
            (14, Wire::Varint) => found.reset_hint = field::varint(msg, &mut at)? as u32,
            (15, Wire::Varint) => found.timestamp_ms = field::varint(msg, &mut at)? as i64,
            (16, Wire::Fixed64) if newer != Newer::Skipped => sink.bound(double(msg, &mut at)?),
            (16, Wire::Len) if newer != Newer::Skipped => {
                let end = field::len(msg, &mut at)?;
                if newer == Newer::IfWellFormed && !(end - at).is_multiple_of(8) {
                    at = end;
                }
                while at < end {
                    sink.bound(double(&msg[..end], &mut at)?);
                }
            }
            (17, Wire::Varint) if newer != Newer::Skipped => {
                found.start_ms = field::varint(msg, &mut at)? as i64;
            }
            (16 | 17, _) if newer != Newer::Read => field::skip(msg, &mut at, wire)?,
            (1..=17, _) => return error(WRONG_TYPE, start),
            _ => field::skip(msg, &mut at, wire)?,
        }
    }
    Ok(found)
}

/// True if the last of the two count members is the float one: that is what makes a float
/// histogram, also when the count is zero.
pub(super) fn is_float(msg: &[u8]) -> Result<bool, FieldError> {
    let mut float = false;
    let mut at = 0;
    while at < msg.len() {
        let (number, wire) = field::tag(msg, &mut at)?;
        if matches!(number, 1 | 2) {
            float = number == 2;
        }
        field::skip(msg, &mut at, wire)?;
    }
    Ok(float)
}

/// A `BucketSpan` up to the end of `msg`.
fn span(msg: &[u8], at: &mut usize) -> Result<BucketSpan, FieldError> {
    let mut found = BucketSpan::default();
    while *at < msg.len() {
        let start = *at;
        match field::tag(msg, at)? {
            (1, Wire::Varint) => found.offset = zigzag32(field::varint(msg, at)?),
            (2, Wire::Varint) => found.length = field::varint(msg, at)? as u32,
            (1 | 2, _) => return error(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, at, wire)?,
        }
    }
    if *at == msg.len() {
        Ok(found)
    } else {
        error(OVERRUN, *at)
    }
}

#[cold]
fn error<T>(what: &'static str, at: usize) -> Result<T, FieldError> {
    Err(FieldError { what, at })
}

fn double(msg: &[u8], at: &mut usize) -> Result<f64, FieldError> {
    field::fixed64(msg, at).map(f64::from_bits)
}

fn zigzag64(n: u64) -> i64 {
    (n >> 1) as i64 ^ -((n & 1) as i64)
}

/// `sint32`: what does not fit 32 bits is cut off, as protobuf has it.
fn zigzag32(n: u64) -> i32 {
    let n = n as u32;
    (n >> 1) as i32 ^ -((n & 1) as i32)
}
