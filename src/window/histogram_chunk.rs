//! Native histograms as chunks in the format of Prometheus' TSDB, encodings 2 and 3.
//!
//! The same bytes serve the window in memory, the blocks on disk and remote read, as those of the
//! XOR chunk do. The layout is section 9 of the protocol notes and `tsdb/docs/format/chunks.md` of
//! Prometheus: the schema and the spans once, then differences of differences (integer counts) or
//! XORs (float counts and sums).
//!
//! What always holds: what goes in comes out, bit for bit, save start timestamps, for which the
//! format has no place, and what a stale marker has besides its time; bytes from outside never
//! panic, and memory stays in proportion to them; the bytes of an open chunk are a valid chunk at
//! any time, and all that is needed to go on with it. Where Prometheus re-codes a chunk because new
//! buckets appear, here a new chunk begins, which is as good to every reader. What it does not know:
//! time order, and what a histogram means.

mod bits;
mod layout;
mod reader;
mod state;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use self::bits::Writer;
pub use self::reader::HistogramReader;
use self::state::State;
use super::encoding::Encoding;
use crate::wire::histogram::{Counts, NativeHistogram, ResetHint};

/// A count of 16 bits and a byte of flags.
const HEADER_BYTES: usize = 3;
/// The flags are these two bits; both together say gauge, none says that nothing is known.
const FLAGS: u8 = 0b1100_0000;
const RESET: u8 = 0b1000_0000;
const NO_RESET: u8 = 0b0100_0000;
const GAUGE: u8 = 0b1100_0000;

/// A chunk of so many bytes is full, as in Prometheus: histograms differ too much in size for their
/// number to say it.
const FULL_BYTES: usize = 1024;
/// Before so many samples a chunk is not full whatever its size: the layout would be repeated too
/// often.
const FULL_SAMPLES_MIN: u16 = 10;

/// Why bytes are not a chunk of histograms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramChunkError {
    #[error("histogram chunk ends within sample {sample} of {samples}")]
    Truncated { sample: u16, samples: u16 },
    #[error("histogram chunk has an impossible number in sample {sample}")]
    Malformed { sample: u16 },
    #[error("histogram chunk has bytes behind its last sample")]
    Trailing,
    #[error("chunk is not one of histograms")]
    Encoding,
}

/// A finished chunk of histograms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedHistograms {
    pub first_ms: i64,
    pub last_ms: i64,
    pub samples: u16,
    pub encoding: Encoding,
    pub bytes: Vec<u8>,
}

/// A chunk that histograms are appended to.
///
/// Serialized it is the encoding and the bytes of the chunk; read back it goes on exactly where it
/// was. What an empty one knows of the newest sample of the chunk before follows a header that says
/// that there are none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistogramAppender {
    out: Writer,
    samples: u16,
    first_ms: i64,
    /// The newest sample; it outlives its chunk, so that the next one knows about a reset.
    state: Option<State>,
}

impl HistogramAppender {
    /// Samples that a chunk can hold: they are counted in 16 bits.
    pub const SAMPLES_MAX: usize = u16::MAX as usize;

    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a histogram that passed [`crate::wire::histogram::check`], at its own time. If it
    /// does not go into the open chunk (another form or layout, a counter reset, the first one
    /// after a stale marker, no room), that is finished and given back, and a new one begun.
    pub fn append(&mut self, h: &NativeHistogram) -> Option<FinishedHistograms> {
        let flags = self.flags_if_cut(h);
        let fits = !self.is_empty() && flags.is_none() && self.samples < u16::MAX;
        let finished = if fits { None } else { self.finish() };
        if fits && let Some(state) = &mut self.state {
            state.write_next(h, &mut self.out);
        } else {
            let known = self.state.is_some();
            let flags = match (h.reset_hint, flags) {
                (ResetHint::Gauge, _) => GAUGE,
                (ResetHint::Yes, _) => RESET,
                (_, Some(flags)) => flags,
                (_, None) if known => NO_RESET,
                (_, None) => 0,
            };
            self.out.bytes.extend_from_slice(&[0, 0, flags]);
            self.state = Some(State::write_first(h, &mut self.out));
            self.first_ms = h.timestamp_ms;
        }
        self.samples += 1;
        self.out.bytes[..2].copy_from_slice(&self.samples.to_be_bytes());
        finished
    }

    /// The flags of the new chunk that `h` needs; `None` if it goes on from the newest sample.
    fn flags_if_cut(&self, h: &NativeHistogram) -> Option<u8> {
        let state = self.state.as_ref()?;
        if h.is_stale() {
            return self.is_empty().then_some(0);
        }
        let gauge = self.flags() == Some(GAUGE);
        let is_gauge = h.reset_hint == ResetHint::Gauge;
        if is_gauge {
            let goes_on = (gauge || self.is_empty()) && !state.is_stale() && self.is_alike(h);
            return (!goes_on).then_some(GAUGE);
        }
        if gauge || state.is_stale() {
            return Some(0);
        }
        if h.reset_hint == ResetHint::Yes || state.count_fell(h) {
            return Some(RESET);
        }
        if !self.is_alike(h) {
            return Some(0);
        }
        state.fell(h).then_some(RESET)
    }

    /// True if `h` is of the form and the layout of the newest sample.
    fn is_alike(&self, h: &NativeHistogram) -> bool {
        self.state.as_ref().is_some_and(|state| {
            state.is_float() == matches!(h.counts, Counts::Float { .. }) && state.layout.is_of(h)
        })
    }

    fn flags(&self) -> Option<u8> {
        self.out.bytes.get(2).map(|flags| flags & FLAGS)
    }

    /// Samples in the chunk.
    pub fn len(&self) -> usize {
        usize::from(self.samples)
    }

    pub fn is_empty(&self) -> bool {
        self.samples == 0
    }

    /// True if the chunk is as large as chunks should get: [`super::head::CHUNK_SAMPLES`] samples,
    /// or as many bytes as Prometheus gives one.
    pub fn is_full(&self) -> bool {
        self.len() >= super::head::CHUNK_SAMPLES
            || self.samples >= FULL_SAMPLES_MIN && self.out.bytes.len() >= FULL_BYTES
    }

    /// How the bytes of the open chunk are to be read.
    pub fn encoding(&self) -> Encoding {
        match &self.state {
            Some(state) if state.is_float() => Encoding::FloatHistogram,
            _ => Encoding::Histogram,
        }
    }

    /// The chunk as it is now, readable by [`HistogramReader`].
    pub fn bytes(&self) -> &[u8] {
        if self.is_empty() {
            &[0; HEADER_BYTES]
        } else {
            &self.out.bytes
        }
    }

    /// Time of the first sample in milliseconds; `None` if there is none.
    pub fn first_ms(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.first_ms)
    }

    /// Time of the last sample in milliseconds; `None` if there is none.
    pub fn last_ms(&self) -> Option<i64> {
        let state = self.state.as_ref().filter(|_| !self.is_empty());
        state.map(State::t_ms)
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.out.bytes.capacity() + self.state.as_ref().map_or(0, State::heap_bytes)
    }

    /// The finished chunk, in memory of its exact size, or `None` if there is none; the appender is
    /// empty then.
    pub fn finish(&mut self) -> Option<FinishedHistograms> {
        let (first_ms, last_ms) = (self.first_ms()?, self.last_ms()?);
        let mut bytes = std::mem::take(&mut self.out).bytes;
        bytes.shrink_to_fit();
        Some(FinishedHistograms {
            first_ms,
            last_ms,
            samples: std::mem::take(&mut self.samples),
            encoding: self.encoding(),
            bytes,
        })
    }

    /// Goes on with a chunk that was stopped.
    ///
    /// # Errors
    /// If `bytes` are not a chunk of histograms in this encoding.
    pub fn resume(bytes: Vec<u8>, encoding: Encoding) -> Result<Self, HistogramChunkError> {
        let mut reader = HistogramReader::new(&bytes, encoding)?;
        let mut scratch = NativeHistogram::default();
        while let Some(read) = reader.next_into(&mut scratch) {
            read?;
        }
        if reader.read == 0 {
            return Ok(Self::default());
        }
        let (samples, first_ms, free) = (reader.read, reader.first_ms, reader.free());
        let state = reader.state.take();
        Ok(Self {
            out: Writer { bytes, free },
            samples,
            first_ms,
            state,
        })
    }
}

impl HistogramAppender {
    /// What [`Serialize`] wrote: an open chunk, or the newest sample behind a header of none.
    fn restored(bytes: Vec<u8>, encoding: Encoding) -> Result<Self, HistogramChunkError> {
        let [0, 0, newest @ ..] = &bytes[..] else {
            return Self::resume(bytes, encoding);
        };
        if newest.len() < HEADER_BYTES - 1 {
            return Self::resume(bytes, encoding);
        }
        let one = Self::resume([&[0, 1], newest].concat(), encoding)?;
        Ok(Self {
            state: one.state,
            ..Self::default()
        })
    }
}

impl Serialize for HistogramAppender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some(state) = self.state.as_ref().filter(|_| self.is_empty()) else {
            return (self.encoding(), self.bytes()).serialize(serializer);
        };
        let mut newest = NativeHistogram::default();
        state.put(ResetHint::Unknown, &mut newest);
        let mut out = Writer::default();
        out.bytes.extend_from_slice(&[0; HEADER_BYTES]);
        State::write_first(&newest, &mut out);
        (self.encoding(), &out.bytes[..]).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for HistogramAppender {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (encoding, bytes) = Deserialize::deserialize(deserializer)?;
        Self::restored(bytes, encoding).map_err(de::Error::custom)
    }
}

/// All histograms of a chunk.
///
/// # Errors
/// If `bytes` are not exactly one chunk of histograms in this encoding.
pub fn decode(
    bytes: &[u8],
    encoding: Encoding,
) -> Result<Vec<NativeHistogram>, HistogramChunkError> {
    HistogramReader::new(bytes, encoding)?.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::histogram::BucketSpan;
    use crate::wire::write::STALE_NAN_BITS;

    /// `counts` in neighbouring buckets.
    fn histogram(t_ms: i64, counts: &[i64]) -> NativeHistogram {
        let mut h = NativeHistogram {
            positive_spans: vec![BucketSpan {
                offset: 0,
                length: counts.len() as u32,
            }],
            timestamp_ms: t_ms,
            ..NativeHistogram::default()
        };
        let (count, _, positive, _) = h.counts.as_integer();
        *count = counts.iter().sum::<i64>() as u64;
        let before = [0].iter().chain(counts);
        positive.extend(
            counts
                .iter()
                .zip(before)
                .map(|(count, before)| count - before),
        );
        h
    }

    fn stale(t_ms: i64) -> NativeHistogram {
        NativeHistogram {
            sum: f64::from_bits(STALE_NAN_BITS),
            timestamp_ms: t_ms,
            ..NativeHistogram::default()
        }
    }

    fn hinted(mut h: NativeHistogram, hint: ResetHint) -> NativeHistogram {
        h.reset_hint = hint;
        h
    }

    /// Appends all; the flags of the chunks that they make, and the samples in each.
    fn chunks(all: &[NativeHistogram]) -> Vec<(u8, u16)> {
        let mut appender = HistogramAppender::new();
        let mut made: Vec<_> = all.iter().filter_map(|h| appender.append(h)).collect();
        made.extend(appender.finish());
        made.iter().map(|c| (c.bytes[2], c.samples)).collect()
    }

    #[test]
    fn a_stop_between_two_chunks_changes_nothing_in_the_next() {
        let h = histogram;
        for (last, next) in [
            (h(1, &[5, 4]), h(2, &[5, 5])),
            (h(1, &[5, 4]), h(2, &[4, 4])),
            (h(1, &[5, 4]), h(2, &[5, 4, 1])),
            (stale(1), h(2, &[5, 5])),
            (h(1, &[5, 4]), stale(2)),
        ] {
            let mut whole = HistogramAppender::new();
            whole.append(&last);
            whole.finish();
            let stored = postcard::to_stdvec(&whole).unwrap();
            let mut resumed: HistogramAppender = postcard::from_bytes(&stored).unwrap();
            assert!(resumed.is_empty());
            assert_eq!(postcard::to_stdvec(&resumed).unwrap(), stored);
            whole.append(&next);
            resumed.append(&next);
            assert_eq!(resumed.bytes(), whole.bytes());
        }
        let new = postcard::to_stdvec(&HistogramAppender::new()).unwrap();
        let new: HistogramAppender = postcard::from_bytes(&new).unwrap();
        assert_eq!(new, HistogramAppender::new());
    }

    #[test]
    fn a_new_chunk_begins_where_the_old_one_cannot_go_on_and_its_flags_say_why() {
        let h = histogram;
        let first = h(0, &[3, 4]);
        let mut float = h(1, &[3, 4]);
        float.counts = Counts::Float {
            count: 9.0,
            zero: 0.0,
            positive: vec![4.0, 5.0],
            negative: Vec::new(),
        };
        let mut finer = h(1, &[3, 4]);
        finer.schema = 1;
        for (what, next, flags) in [
            ("another form", float, 0),
            ("another schema", finer, 0),
            ("other buckets", h(1, &[3, 4, 5]), 0),
            ("a lower count", h(1, &[3, 3]), RESET),
            ("a lower bucket", h(1, &[2, 9]), RESET),
            ("a hint", hinted(h(1, &[4, 4]), ResetHint::Yes), RESET),
            ("a gauge", hinted(h(1, &[4, 4]), ResetHint::Gauge), GAUGE),
        ] {
            assert_eq!(
                chunks(&[first.clone(), next]),
                [(0, 1), (flags, 1)],
                "{what}"
            );
        }
        assert_eq!(chunks(&[first.clone(), h(1, &[3, 9])]), [(0, 2)]);
        let gauge = |t_ms, counts: &[i64]| hinted(h(t_ms, counts), ResetHint::Gauge);
        assert_eq!(
            chunks(&[gauge(0, &[3, 4]), gauge(1, &[2, 1])]),
            [(GAUGE, 2)]
        );
        // The end of a series is in its chunk, and no more than that.
        let ended = [first.clone(), stale(1), stale(2), h(3, &[3, 4])];
        assert_eq!(chunks(&ended), [(0, 3), (0, 1)]);
        assert_eq!(chunks(&[stale(1), first]), [(0, 1), (0, 1)]);
    }

    #[test]
    fn a_chunk_after_one_that_was_full_knows_of_the_reset_or_that_there_was_none() {
        for (next, flags) in [
            (histogram(200, &[9, 200]), NO_RESET),
            (histogram(200, &[0, 1]), RESET),
            (histogram(200, &[9, 200, 1]), 0),
            (stale(200), 0),
        ] {
            let mut appender = HistogramAppender::new();
            let mut t = 0;
            while !appender.is_full() {
                assert_eq!(appender.append(&histogram(t, &[1, t])), None);
                t += 1;
            }
            let finished = appender.finish().unwrap();
            assert_eq!((finished.first_ms, finished.last_ms), (0, t - 1));
            assert_eq!(appender.finish(), None);
            assert_eq!(appender.append(&next), None);
            assert_eq!(appender.bytes()[2], flags, "{next:?}");
        }
    }

    #[test]
    fn a_stale_marker_comes_out_as_one_whatever_was_before() {
        let mut appender = HistogramAppender::new();
        for h in [histogram(0, &[3, 4]), stale(1), stale(2)] {
            assert_eq!(appender.append(&h), None);
        }
        let read = decode(appender.bytes(), appender.encoding()).unwrap();
        assert!(!read[0].is_stale());
        for (got, sent) in read[1..].iter().zip([stale(1), stale(2)]) {
            assert!(got.is_stale());
            let without_sum = |h: &NativeHistogram| NativeHistogram {
                sum: 0.0,
                ..h.clone()
            };
            assert_eq!(without_sum(got), without_sum(&sent));
        }
        assert!(decode(appender.bytes(), Encoding::Xor).is_err());
        assert!(decode(&[], Encoding::Histogram).is_err());
        assert_eq!(decode(&[0; 3], Encoding::Histogram), Ok(Vec::new()));
        let longer = [appender.bytes(), &[0]].concat();
        let trailing = Err(HistogramChunkError::Trailing);
        assert_eq!(decode(&longer, Encoding::Histogram), trailing);
    }

    #[test]
    fn a_header_that_claims_more_than_there_is_allocates_nothing() {
        let mut appender = HistogramAppender::new();
        appender.append(&histogram(0, &[3, 4]));
        let mut bytes = appender.bytes().to_vec();
        bytes[..2].copy_from_slice(&u16::MAX.to_be_bytes());
        let truncated = HistogramChunkError::Truncated {
            sample: 2,
            samples: u16::MAX,
        };
        assert_eq!(decode(&bytes, Encoding::Histogram), Err(truncated));
    }
}
