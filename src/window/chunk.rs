//! Samples as an XOR chunk in the format of Prometheus' TSDB.
//!
//! One format serves the window in memory, the blocks on disk and remote read: about 1.5 to 4 bytes
//! a sample, every bit of every value kept. The layout is section 9 of the protocol notes and
//! `tsdb/docs/format/chunks.md` of Prometheus; the idea is Gorilla's (Pelkonen et al., VLDB 2015,
//! section 4.1).
//!
//! What always holds: what goes in comes out, bit for bit, stale markers, NaNs and -0.0 included,
//! for any timestamps; bytes from outside never panic; the bytes of an open chunk are a valid chunk
//! at any time, and all that is needed to go on with it. What it does not know: time order, when a
//! chunk is full enough, and what a sample means.

mod reader;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use self::reader::Reader;

/// How much a chunk's memory grows at a time: it exists once per series, so doubling would cost
/// more than the copying.
const GROWTH_BYTES: usize = 32;

/// The size of an XOR window is written in six bits, its leading zeros in five.
const LEADING_MAX: u32 = 31;

/// Why bytes are not an XOR chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("chunk ends within sample {sample} of {samples}")]
    Truncated { sample: u16, samples: u16 },
    #[error("chunk has an impossible number in sample {sample}")]
    Malformed { sample: u16 },
    #[error("chunk has bytes behind its last sample")]
    Trailing,
}

/// A chunk that samples are appended to.
///
/// Serialized it is the bytes of the chunk alone; read back it goes on exactly where it was.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChunkAppender {
    bytes: Vec<u8>,
    first_ms: i64,
    last: Last,
}

/// What the next sample is written relative to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Last {
    t_ms: i64,
    delta: u64,
    bits: u64,
    samples: u16,
    /// Unused bits of the last byte.
    free: u8,
    window: Window,
}

/// The part of a value that the newest XOR was written in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Window {
    leading: u8,
    /// 0 before the first window.
    significant: u8,
}

impl ChunkAppender {
    /// Samples that a chunk can hold: they are counted in 16 bits.
    pub const SAMPLES_MAX: usize = u16::MAX as usize;

    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a sample; false, and nothing happens, if the chunk has [`Self::SAMPLES_MAX`].
    pub fn append(&mut self, t_ms: i64, v: f64) -> bool {
        let Some(samples) = self.last.samples.checked_add(1) else {
            return false;
        };
        let bits = v.to_bits();
        match samples {
            1 => {
                self.first_ms = t_ms;
                self.grow();
                self.bytes.extend_from_slice(&[0, 0]);
                self.varint(((t_ms << 1) ^ (t_ms >> 63)) as u64);
                self.write(bits, 64);
            }
            2 => {
                self.last.delta = t_ms.wrapping_sub(self.last.t_ms) as u64;
                self.varint(self.last.delta);
                self.value(bits);
            }
            _ => {
                let delta = t_ms.wrapping_sub(self.last.t_ms) as u64;
                self.delta_of_delta(delta.wrapping_sub(self.last.delta) as i64);
                self.last.delta = delta;
                self.value(bits);
            }
        }
        self.last.t_ms = t_ms;
        self.last.bits = bits;
        self.last.samples = samples;
        self.bytes[..2].copy_from_slice(&samples.to_be_bytes());
        true
    }

    /// Samples in the chunk.
    pub fn len(&self) -> usize {
        usize::from(self.last.samples)
    }

    pub fn is_empty(&self) -> bool {
        self.last.samples == 0
    }

    /// The chunk as it is now, readable by [`decode`].
    pub fn bytes(&self) -> &[u8] {
        if self.is_empty() {
            &[0, 0]
        } else {
            &self.bytes
        }
    }

    /// Time of the first sample in milliseconds; `None` if there is none.
    pub fn first_ms(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.first_ms)
    }

    /// Time of the last sample in milliseconds; `None` if there is none.
    pub fn last_ms(&self) -> Option<i64> {
        (!self.is_empty()).then_some(self.last.t_ms)
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// Time and bits of the newest sample, of a chunk that was finished too.
    pub(super) fn newest(&self) -> (i64, u64) {
        (self.last.t_ms, self.last.bits)
    }

    /// An empty one, behind a sample of this time and these bits.
    pub(super) fn after((t_ms, bits): (i64, u64)) -> Self {
        Self {
            last: Last {
                t_ms,
                bits,
                ..Last::default()
            },
            ..Self::default()
        }
    }

    /// The finished chunk, in memory of its exact size; the appender is empty then.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::replace(self, Self::after(self.newest())).bytes;
        if bytes.is_empty() {
            bytes.extend_from_slice(&[0, 0]);
        }
        bytes.shrink_to_fit();
        bytes
    }

    /// Goes on with a chunk that was stopped.
    ///
    /// # Errors
    /// If `bytes` are not a chunk.
    pub fn resume(bytes: Vec<u8>) -> Result<Self, ChunkError> {
        let mut reader = Reader::new(&bytes)?;
        let mut first_ms = 0;
        while let Some(sample) = reader.next() {
            let (t_ms, _) = sample?;
            if reader.last.samples == 1 {
                first_ms = t_ms;
            }
        }
        let last = reader.last;
        if last.samples == 0 {
            return Ok(Self::default());
        }
        Ok(Self {
            bytes,
            first_ms,
            last,
        })
    }

    /// `<dod>` of the format. Its ranges reach one further up than down.
    fn delta_of_delta(&mut self, dod: i64) {
        let fits = |bits: u32| (-(1i64 << (bits - 1)) + 1..=1i64 << (bits - 1)).contains(&dod);
        let dod_bits = dod as u64;
        if dod == 0 {
            self.write(0, 1);
        } else if fits(14) {
            self.write(0b10 << 14 | dod_bits & 0x3fff, 16);
        } else if fits(17) {
            self.write(0b110 << 17 | dod_bits & 0x1_ffff, 20);
        } else if fits(20) {
            self.write(0b1110 << 20 | dod_bits & 0xf_ffff, 24);
        } else {
            self.write(0b1111, 4);
            self.write(dod_bits, 64);
        }
    }

    /// `<xor>` of the format.
    fn value(&mut self, bits: u64) {
        let xor = bits ^ self.last.bits;
        if xor == 0 {
            self.write(0, 1);
            return;
        }
        let leading = xor.leading_zeros().min(LEADING_MAX);
        let trailing = xor.trailing_zeros();
        let Window {
            leading: old_leading,
            significant: old_significant,
        } = self.last.window;
        let (old_leading, old_significant) = (u32::from(old_leading), u32::from(old_significant));
        if old_significant != 0
            && leading >= old_leading
            && trailing >= 64 - old_leading - old_significant
        {
            self.write(0b10, 2);
            self.write(xor >> (64 - old_leading - old_significant), old_significant);
            return;
        }
        let significant = 64 - leading - trailing;
        self.last.window = Window {
            leading: leading as u8,
            significant: significant as u8,
        };
        // 64 significant bits are written as 0.
        self.write(
            0b11 << 11 | u64::from(leading) << 6 | u64::from(significant & 63),
            13,
        );
        self.write(xor >> trailing, significant);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.write(value & 0x7f | 0x80, 8);
            value >>= 7;
        }
        self.write(value, 8);
    }

    /// Writes the lowest `n` bits of `value`, 1 to 64, most significant first.
    fn write(&mut self, value: u64, n: u32) {
        let mut left = n;
        while left > 0 {
            if self.last.free == 0 {
                self.grow();
                self.bytes.push(0);
                self.last.free = 8;
            }
            let free = u32::from(self.last.free);
            let take = free.min(left);
            let part = (value >> (left - take)) & ((1 << take) - 1);
            if let Some(byte) = self.bytes.last_mut() {
                *byte |= (part << (free - take)) as u8;
            }
            self.last.free -= take as u8;
            left -= take;
        }
    }

    fn grow(&mut self) {
        if self.bytes.capacity() - self.bytes.len() < 2 {
            self.bytes.reserve_exact(GROWTH_BYTES);
        }
    }
}

impl Serialize for ChunkAppender {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.bytes())
    }
}

impl<'de> Deserialize<'de> for ChunkAppender {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = ChunkAppender;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bytes of an xor chunk")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                ChunkAppender::resume(bytes.to_vec()).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                ChunkAppender::resume(bytes).map_err(de::Error::custom)
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

/// All samples of a chunk: (milliseconds, value).
///
/// # Errors
/// If `bytes` are not exactly one chunk.
pub fn decode(bytes: &[u8]) -> Result<Vec<(i64, f64)>, ChunkError> {
    let reader = Reader::new(bytes)?;
    // A sample takes two bits at least, whatever the header claims.
    let mut samples = Vec::with_capacity(reader.size_hint().0.min(bytes.len() * 4));
    for sample in reader {
        samples.push(sample?);
    }
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write::STALE_NAN_BITS;

    fn chunk(samples: &[(i64, f64)]) -> ChunkAppender {
        let mut chunk = ChunkAppender::new();
        for (t, v) in samples {
            assert!(chunk.append(*t, *v));
        }
        chunk
    }

    fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
        samples.iter().map(|(t, v)| (*t, v.to_bits())).collect()
    }

    #[test]
    fn a_chunk_is_laid_out_as_the_format_says() {
        let chunk = chunk(&[(1_000, 1.0), (2_000, 1.0), (3_000, 1.0), (4_001, 2.0)]);
        let mut want = vec![0, 4, 0xd0, 0x0f];
        want.extend(1.0f64.to_bits().to_be_bytes());
        // Delta 1,000; then 0 | 0 0 | 10 and 1 in 14 bits | 11, 1 leading, 11 significant, the bits.
        want.extend([0xe8, 0x07, 0x10, 0x00, 0x38, 0x4b, 0xff, 0xe0]);
        assert_eq!(chunk.bytes(), want);
        assert_eq!(
            (chunk.first_ms(), chunk.last_ms(), chunk.len()),
            (Some(1_000), Some(4_001), 4)
        );
    }

    #[test]
    fn every_range_of_the_delta_comes_back_at_its_edges() {
        let mut samples = vec![(0i64, 0.0), (0, 0.0)];
        for edge in [
            1i64,
            8_191,
            8_192,
            65_535,
            65_536,
            524_287,
            524_288,
            i64::MAX,
        ] {
            for dod in [edge, -edge, edge.wrapping_add(1), (-edge).wrapping_sub(1)] {
                let n = samples.len();
                let delta = samples[n - 1].0.wrapping_sub(samples[n - 2].0);
                let t = samples[n - 1].0.wrapping_add(delta).wrapping_add(dod);
                samples.push((t, n as f64));
            }
        }
        samples.push((i64::MIN, 1.0));
        samples.push((i64::MAX, 1.0));
        assert_eq!(decode(chunk(&samples).bytes()).unwrap(), samples);
    }

    /// Conformance 33 and 35, for what is kept.
    #[test]
    fn every_bit_of_odd_values_comes_back() {
        let values = [
            f64::from_bits(STALE_NAN_BITS),
            f64::from_bits(0x7ff8_0000_0000_0001),
            f64::from_bits(u64::MAX),
            0.0,
            -0.0,
            f64::INFINITY,
            f64::NEG_INFINITY,
            5e-324,
            f64::MAX,
            f64::from_bits(1 << 63 | 1),
        ];
        let samples: Vec<_> = values
            .iter()
            .flat_map(|a| values.iter().flat_map(move |b| [*a, *b]))
            .enumerate()
            .map(|(i, v)| (i as i64 * 15_000, v))
            .collect();
        let chunk = chunk(&samples);
        assert_eq!(bits(&decode(chunk.bytes()).unwrap()), bits(&samples));
    }

    #[test]
    fn a_chunk_stopped_after_any_sample_goes_on_as_if_it_had_not_been() {
        let samples: Vec<_> = (0..130i64)
            .map(|i| (i * 15_000 + i % 7, (i as f64 / 9.0).sin() * 100.0))
            .collect();
        let whole = chunk(&samples);
        for at in 0..samples.len() {
            let stopped = chunk(&samples[..at]);
            let stored = postcard::to_stdvec(&stopped).unwrap();
            let mut resumed: ChunkAppender = postcard::from_bytes(&stored).unwrap();
            assert_eq!(resumed, stopped);
            for (t, v) in &samples[at..] {
                resumed.append(*t, *v);
            }
            assert_eq!(resumed, whole);
        }
        let json = serde_json::to_string(&whole).unwrap();
        assert_eq!(serde_json::from_str::<ChunkAppender>(&json).unwrap(), whole);
    }

    /// Seen in answers of Prometheus 2.42: its writer begins a byte when it has filled one.
    #[test]
    fn an_empty_byte_that_was_begun_is_no_mistake_and_is_gone_on_with() {
        // Times and values whose bits end with a whole byte.
        let one = chunk(&[(1_000, 1.5)]);
        assert_eq!(one.last.free, 0);
        let begun = [one.bytes(), b"\0"].concat();
        assert_eq!(decode(&begun).unwrap(), [(1_000, 1.5)]);
        let mut resumed = ChunkAppender::resume(begun.clone()).unwrap();
        let mut whole = one.clone();
        for (t, v) in [(2_000, 1.5), (3_000, 7.0), (4_001, 0.1)] {
            resumed.append(t, v);
            whole.append(t, v);
        }
        assert_eq!(resumed.bytes(), whole.bytes());
        for longer in [&b"\0"[..], b"\x01"] {
            let bad = [if longer == b"\0" { &begun } else { one.bytes() }, longer].concat();
            assert_eq!(decode(&bad), Err(ChunkError::Trailing));
        }
    }

    #[test]
    fn finishing_leaves_an_empty_appender() {
        let mut open = chunk(&[(5, 1.0), (6, 2.0)]);
        let bytes = open.bytes().to_vec();
        assert_eq!(open.finish(), bytes);
        assert!(open.is_empty() && open.first_ms().is_none() && open.last_ms().is_none());
        assert_eq!(open.bytes(), [0, 0]);
        assert_eq!(open.finish(), [0, 0]);
        assert!(decode(&[0, 0]).unwrap().is_empty());
        open.append(7, 3.0);
        assert_eq!(decode(open.bytes()).unwrap(), [(7, 3.0)]);
    }

    #[test]
    fn damaged_chunks_are_errors() {
        let samples: Vec<_> = (0..20).map(|i| (i * 1_000, i as f64)).collect();
        let good = chunk(&samples).finish();
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err(), "{cut}");
        }
        let longer = [&good[..], b"\0"].concat();
        assert_eq!(decode(&longer), Err(ChunkError::Trailing));
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let _ = decode(&bad);
            let _ = ChunkAppender::resume(bad);
        }
        assert!(postcard::from_bytes::<ChunkAppender>(&[1, 0]).is_err());
        // A new window of 31 leading zeros and 40 bits.
        let head = [&[0, 2, 0][..], &[0; 7], &[1, 5]].concat();
        let wide = decode(&[&head[..], &[0xff, 0x40, 0, 0, 0, 0, 0]].concat());
        assert_eq!(wide, Err(ChunkError::Malformed { sample: 2 }));
        // An old window where there is none is one of all bits.
        let whole = [&head[..], &[0x80, 0, 0, 0, 0, 0, 0, 0, 0x40]].concat();
        assert_eq!(decode(&whole).unwrap()[1], (5, 0.0));
        assert!(decode(&whole[..whole.len() - 1]).is_err());
    }

    #[test]
    fn a_chunk_takes_no_more_than_its_count_can_say_and_little_memory() {
        let mut chunk = ChunkAppender::new();
        for i in 0..ChunkAppender::SAMPLES_MAX {
            assert!(chunk.append(i as i64, 0.0));
        }
        let before = chunk.clone();
        assert!(!chunk.append(0, 0.0));
        assert_eq!(chunk, before);
        assert_eq!(
            decode(chunk.bytes()).unwrap().len(),
            ChunkAppender::SAMPLES_MAX
        );
        assert!(size_of::<ChunkAppender>() <= 64);
        assert!(chunk.heap_bytes() < chunk.bytes().len() + GROWTH_BYTES + 2);
    }
}
