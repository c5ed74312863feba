//! What the walks over both versions of remote write share.

use super::field::{self, FieldError, Wire};
use super::write::{DecodeError, ENTRIES_MAX, MetricType, Protocol, Span};

/// Offsets are 32 bits, and rebuilt labels come on top of a body.
pub(super) const BODY_BYTES_MAX: usize = 1 << 30;

pub(super) const WRONG_TYPE: &str = "field of the wrong type";
pub(super) const OVERRUN: &str = "field that runs over the end of its message,";

impl From<FieldError> for DecodeError {
    fn from(FieldError { what, at }: FieldError) -> Self {
        Self::Broken { what, at }
    }
}

#[cold]
pub(super) fn broken<T>(what: &'static str, at: usize) -> Result<T, DecodeError> {
    Err(DecodeError::Broken { what, at })
}

#[cold]
pub(super) fn too_many<T>(what: &'static str) -> Result<T, DecodeError> {
    let limit = ENTRIES_MAX;
    Err(DecodeError::TooMany { what, limit })
}

#[inline(always)]
pub(super) fn span(start: usize, len: usize) -> Span {
    Span {
        start: start as u32,
        len: len as u32,
    }
}

/// An enum on the wire is a 32-bit number, of which only the low bits of a varint count.
pub(super) fn metric_type(varint: u64) -> MetricType {
    MetricType::from_wire(u64::from(varint as u32))
}

/// The first eight bytes of `__name__` as a number that sorts as they do.
pub(super) const NAME_KEY: u64 = u64::from_be_bytes(*b"__name__");

/// Zeros stand for what a short name lacks; equal keys say nothing.
#[inline(always)]
pub(super) fn sort_key(msg: &[u8], at: usize, len: usize) -> u64 {
    let word = match msg[at..].first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => msg[at..at + len.min(8)]
            .iter()
            .zip([56, 48, 40, 32, 24, 16, 8, 0])
            .fold(0, |word, (&byte, shift)| word | u64::from(byte) << shift),
    };
    if len < 8 {
        word & !(u64::MAX >> (8 * len))
    } else {
        word
    }
}

/// As the method of slices, which however goes through up to 63 bytes at the end one by one: that
/// took a seventh of the whole walk.
#[inline]
pub(super) fn is_ascii(bytes: &[u8]) -> bool {
    let Some(end) = bytes.last_chunk::<16>() else {
        return bytes.is_ascii();
    };
    let (chunks, _) = bytes.as_chunks::<16>();
    let any = chunks.iter().fold(u128::from_ne_bytes(*end), |any, chunk| {
        any | u128::from_ne_bytes(*chunk)
    });
    any & 0x8080_8080_8080_8080_8080_8080_8080_8080 == 0
}

/// What the walk takes from a `Histogram`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Outline {
    pub(super) timestamp_ms: i64,
    /// 0 if it is not known; also in 1.0, which has no such field.
    pub(super) start_ms: i64,
}

/// One `Histogram`, of which only the outer shape matters here. What is in its spans and packed
/// buckets is not looked at.
pub(super) fn histogram(
    msg: &[u8],
    mut at: usize,
    end: usize,
    protocol: Protocol,
) -> Result<Outline, DecodeError> {
    let mut outline = Outline::default();
    let v2 = protocol == Protocol::V2;
    while at < end {
        let start = at;
        let (number, wire) = field::tag(msg, &mut at)?;
        match (number, wire) {
            (15, Wire::Varint) => {
                outline.timestamp_ms = field::varint(msg, &mut at)? as i64;
                continue;
            }
            (17, Wire::Varint) if v2 => {
                outline.start_ms = field::varint(msg, &mut at)? as i64;
                continue;
            }
            _ => {}
        }
        let fits = match number {
            1 | 4 | 6 | 14 | 15 => wire == Wire::Varint,
            2 | 3 | 5 | 7 => wire == Wire::Fixed64,
            8 | 11 => wire == Wire::Len,
            // Repeated numbers, packed or one by one.
            9 | 12 => matches!(wire, Wire::Len | Wire::Varint),
            10 | 13 => matches!(wire, Wire::Len | Wire::Fixed64),
            16 if v2 => matches!(wire, Wire::Len | Wire::Fixed64),
            17 if v2 => false,
            _ => true,
        };
        if !fits {
            return broken(WRONG_TYPE, start);
        }
        field::skip(msg, &mut at, wire)?;
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok(outline)
}
