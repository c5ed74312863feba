//! What the walks over both versions of remote write share.

use super::field::FieldError;
use super::histogram::{self, Checked, HistogramError};
use super::write::{
    DecodeError, ENTRIES_MAX, HistogramSpan, Lost, MetricType, Refusal, Span, WriteArena,
};

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

/// How full the arena was before a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Before {
    pub(super) samples: usize,
    pub(super) histograms: usize,
    pub(super) starts: usize,
    pub(super) exemplars: u32,
}

impl Before {
    pub(super) fn of(arena: &WriteArena) -> Self {
        Self {
            samples: arena.samples.len(),
            histograms: arena.histograms.len(),
            starts: arena.starts.len(),
            exemplars: arena.exemplars,
        }
    }

    /// Takes out again what came since.
    pub(super) fn restore(&self, arena: &mut WriteArena) -> Lost {
        let lost = Lost {
            samples: (arena.samples.len() - self.samples) as u32,
            histograms: (arena.histograms.len() - self.histograms) as u32,
            exemplars: arena.exemplars - self.exemplars,
        };
        arena.samples.truncate(self.samples);
        arena.histograms.truncate(self.histograms);
        arena.starts.truncate(self.starts);
        arena.exemplars = self.exemplars;
        lost
    }
}

/// One `Histogram` at `at..end`; the other error says what is wrong with it alone.
pub(super) fn histogram(
    msg: &[u8],
    at: usize,
    end: usize,
    version: u8,
) -> Result<Result<HistogramSpan, Refusal>, DecodeError> {
    match histogram::check(&msg[at..end], version) {
        Ok(Checked {
            timestamp_ms,
            start_ms,
            ..
        }) => Ok(Ok(HistogramSpan {
            message: span(at, end - at),
            timestamp_ms,
            start_ms,
        })),
        Err(HistogramError::Invalid(why)) => Ok(Err(Refusal::BadHistogram(why))),
        Err(HistogramError::Broken { what, at: within }) => broken(what, at + within),
    }
}
