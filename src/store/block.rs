//! Blocks: the chunks of one group that ended between two checkpoints, as one value.
//!
//! sled costs tens of microseconds a key and next to nothing a byte, so the chunks of up to
//! [`crate::engine::keep::GROUP_SERIES`] series share a key. Chunks of floats are kept in decimal form
//! where that is smaller ([`crate::window::decimal`]): it is made when a block is written, on the
//! writer's thread, and undone when a chunk is asked for.

use serde::{Deserialize, Serialize};

use super::value::ValueError;
use crate::engine::keep::ClosedChunk;
use crate::window::chunk;
use crate::window::decimal::{self, Encoder};
use crate::window::encoding::Encoding;

/// Version of a stored block.
pub(super) const VERSION: u8 = 4;
/// The version before, when there were no anchors; still read.
const NO_ANCHORS: u8 = 3;
/// The version before, when all chunks were as they had been handed over; still read.
const AS_HANDED: u8 = 2;
/// The version before that, when all chunks were XOR chunks and did not say so; still read.
const XOR_ONLY: u8 = 1;

/// A block is closed when its chunks reach this many bytes. Values below 128 KiB are written into
/// sled's log; each larger one would be a file.
pub(super) const BLOCK_BYTES: usize = 96 * 1024;

/// Bytes of one anchor before it is packed; one has about a thousand.
const ANCHOR_MAX: usize = 64 * 1024;
/// How hard anchors are packed: most of what there is to gain.
const ANCHOR_LEVEL: i32 = 3;

/// Room for the fields of a chunk beside its bytes, when a block is filled.
const CHUNK_FIELDS: usize = 16;

/// How the bytes of a chunk are stored. The first three are those of [`Encoding`], in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Form {
    Xor,
    Histogram,
    FloatHistogram,
    /// An XOR chunk in decimal form.
    Decimal,
    /// No samples but an anchor, as a zstd frame.
    Anchor,
}

impl From<Encoding> for Form {
    fn from(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Xor => Self::Xor,
            Encoding::Histogram => Self::Histogram,
            Encoding::FloatHistogram => Self::FloatHistogram,
            Encoding::Anchor => Self::Anchor,
        }
    }
}

impl Form {
    /// What a reader gets.
    pub(super) fn encoding(self) -> Encoding {
        match self {
            Self::Xor | Self::Decimal => Encoding::Xor,
            Self::Histogram => Encoding::Histogram,
            Self::FloatHistogram => Encoding::FloatHistogram,
            Self::Anchor => Encoding::Anchor,
        }
    }
}

/// One chunk with its times counted from the first of its block: 3 to 4 bytes instead of 12.
#[derive(Serialize, Deserialize)]
struct Packed<B> {
    position: u16,
    after_ms: u64,
    length_ms: u64,
    samples: u16,
    form: Form,
    bytes: B,
}

/// A chunk as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) position: u16,
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) samples: u16,
    pub(super) form: Form,
    pub(super) bytes: &'a [u8],
}

impl Stored<'_> {
    /// The samples of a chunk of floats; none of one of histograms.
    pub(super) fn floats(&self) -> Result<Vec<(i64, f64)>, ValueError> {
        match self.form {
            Form::Xor => chunk::decode(self.bytes).map_err(|e| ValueError::Decode(e.to_string())),
            Form::Decimal => {
                decimal::decode(self.bytes).map_err(|e| ValueError::Decode(e.to_string()))
            }
            Form::Histogram | Form::FloatHistogram | Form::Anchor => Ok(Vec::new()),
        }
    }

    /// The chunk as it was handed over.
    pub(super) fn open(&self) -> Result<ClosedChunk, ValueError> {
        let bytes = match self.form {
            Form::Decimal => {
                decimal::to_xor(self.bytes).map_err(|e| ValueError::Decode(e.to_string()))?
            }
            Form::Anchor => zstd::bulk::decompress(self.bytes, ANCHOR_MAX)
                .map_err(|e| ValueError::Decode(e.to_string()))?,
            _ => self.bytes.to_vec(),
        };
        Ok(ClosedChunk {
            position: self.position,
            first_ms: self.first_ms,
            last_ms: self.last_ms,
            samples: self.samples,
            encoding: self.form.encoding(),
            bytes,
        })
    }
}

/// A chunk of version [`XOR_ONLY`].
#[derive(Deserialize)]
struct PackedV1<'a> {
    position: u16,
    after_ms: u64,
    length_ms: u64,
    samples: u16,
    bytes: &'a [u8],
}

/// Cuts chunks into runs of at most [`BLOCK_BYTES`], each of at least one chunk.
pub(super) fn runs(chunks: &[ClosedChunk]) -> impl Iterator<Item = &[ClosedChunk]> {
    let mut bytes = chunks.first().map_or(0, size);
    chunks.chunk_by(move |_, next| {
        bytes += size(next);
        let fits = bytes <= BLOCK_BYTES;
        if !fits {
            bytes = size(next);
        }
        fits
    })
}

/// Bytes that a chunk takes in a block, roughly.
pub(super) fn size(chunk: &ClosedChunk) -> usize {
    chunk.bytes.len() + CHUNK_FIELDS
}

/// The time that chunks span; `None` for none.
pub(super) fn span(chunks: &[ClosedChunk]) -> Option<(i64, i64)> {
    let first_ms = chunks.iter().map(|c| c.first_ms).min()?;
    let last_ms = chunks.iter().map(|c| c.last_ms).max()?;
    Some((first_ms, last_ms))
}

/// The payload of a block, and the time that it spans; `None` for no chunks.
pub(super) fn encode(chunks: &[ClosedChunk], encoder: &mut Encoder) -> Option<(i64, i64, Vec<u8>)> {
    let (first_ms, last_ms) = span(chunks)?;
    let mut packer = None;
    let others: Vec<Option<Vec<u8>>> = chunks
        .iter()
        .map(|c| match c.encoding {
            Encoding::Anchor => Some(anchor(c, &mut packer)),
            _ => smaller(c, encoder),
        })
        .collect();
    let packed: Vec<_> = chunks
        .iter()
        .zip(&others)
        .map(|(c, other)| Packed {
            position: c.position,
            after_ms: c.first_ms.wrapping_sub(first_ms).cast_unsigned(),
            length_ms: c.last_ms.wrapping_sub(c.first_ms).cast_unsigned(),
            samples: c.samples,
            form: match (c.encoding, other) {
                (Encoding::Xor, Some(_)) => Form::Decimal,
                _ => c.encoding.into(),
            },
            bytes: other.as_deref().unwrap_or(&c.bytes),
        })
        .collect();
    let payload =
        postcard::to_stdvec(&(first_ms, packed)).expect("BUG: a block is numbers and bytes");
    Some((first_ms, last_ms, payload))
}

/// The payload of a block of chunks that are stored already, and the time that it spans; `None` for
/// none.
pub(super) fn join(mut chunks: Vec<Stored<'_>>) -> Option<(i64, i64, Vec<u8>)> {
    let first_ms = chunks.iter().map(|c| c.first_ms).min()?;
    let last_ms = chunks.iter().map(|c| c.last_ms).max()?;
    // Those of one series lie together, in order of time.
    chunks.sort_by_key(|c| (c.position, c.first_ms));
    let packed: Vec<_> = chunks
        .into_iter()
        .map(|c| Packed {
            position: c.position,
            after_ms: c.first_ms.wrapping_sub(first_ms).cast_unsigned(),
            length_ms: c.last_ms.wrapping_sub(c.first_ms).cast_unsigned(),
            samples: c.samples,
            form: c.form,
            bytes: c.bytes,
        })
        .collect();
    let payload =
        postcard::to_stdvec(&(first_ms, packed)).expect("BUG: a block is numbers and bytes");
    Some((first_ms, last_ms, payload))
}

/// An anchor, packed.
fn anchor(chunk: &ClosedChunk, packer: &mut Option<zstd::bulk::Compressor<'static>>) -> Vec<u8> {
    let packer = packer.get_or_insert_with(|| {
        zstd::bulk::Compressor::new(ANCHOR_LEVEL).expect("BUG: a level that zstd has")
    });
    let packed = packer.compress(&chunk.bytes);
    packed.expect("BUG: a vector has room for what it is given")
}

/// The decimal form of a chunk of floats, if there is a smaller one. Bytes that are not the chunk
/// they are said to be stay as they are: whoever reads them is to see what is wrong.
fn smaller(chunk: &ClosedChunk, encoder: &mut Encoder) -> Option<Vec<u8>> {
    let samples = chunk.bytes.first_chunk::<2>()?;
    if chunk.encoding != Encoding::Xor || u16::from_be_bytes(*samples) != chunk.samples {
        return None;
    }
    encoder.encode(&chunk.bytes).ok().flatten()
}

/// The chunks of a block of this version, as they are stored.
pub(super) fn read((version, payload): (u8, &[u8])) -> Result<Vec<Stored<'_>>, ValueError> {
    let damaged = |e: postcard::Error| ValueError::Decode(e.to_string());
    let (first_ms, packed): (i64, Vec<Packed<&[u8]>>) = match version {
        VERSION | NO_ANCHORS | AS_HANDED => postcard::from_bytes(payload).map_err(damaged)?,
        XOR_ONLY => {
            let (first_ms, packed): (i64, Vec<PackedV1<'_>>) =
                postcard::from_bytes(payload).map_err(damaged)?;
            let packed = packed.into_iter().map(|p| Packed {
                position: p.position,
                after_ms: p.after_ms,
                length_ms: p.length_ms,
                samples: p.samples,
                form: Form::Xor,
                bytes: p.bytes,
            });
            (first_ms, packed.collect())
        }
        found => {
            let known = VERSION;
            return Err(ValueError::Version { found, known });
        }
    };
    Ok(packed
        .into_iter()
        .map(|p| {
            let from = first_ms.wrapping_add_unsigned(p.after_ms);
            Stored {
                position: p.position,
                first_ms: from,
                last_ms: from.wrapping_add_unsigned(p.length_ms),
                samples: p.samples,
                form: p.form,
                bytes: p.bytes,
            }
        })
        .collect())
}

/// The chunks of a block that `wanted` names, as they were handed over.
pub(super) fn chunks(
    block: (u8, &[u8]),
    wanted: impl Fn(&Stored<'_>) -> bool,
) -> Result<Vec<ClosedChunk>, ValueError> {
    let stored = read(block)?;
    stored
        .iter()
        .filter(|c| wanted(c))
        .map(Stored::open)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::chunk::ChunkAppender;

    fn chunk(position: u16, first_ms: i64, last_ms: i64, len: usize) -> ClosedChunk {
        ClosedChunk {
            position,
            first_ms,
            last_ms,
            samples: 120,
            encoding: Encoding::Xor,
            bytes: (0..len).map(|i| i as u8).collect(),
        }
    }

    fn decode(block: (u8, &[u8])) -> Result<Vec<ClosedChunk>, ValueError> {
        chunks(block, |_| true)
    }

    /// Version and payload as a fixture has them.
    fn fixture(text: &str) -> (u8, Vec<u8>) {
        let (version, hex) = text.trim().split_once(' ').unwrap();
        let bytes = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap());
        (version.parse().unwrap(), bytes.collect())
    }

    /// A chunk that is one: 120 samples, values in steps of `unit`.
    fn real(position: u16, unit: f64) -> ClosedChunk {
        let start = 1_700_000_000_000;
        let mut chunk = ChunkAppender::new();
        for i in 0..120i64 {
            chunk.append(start + i * 15_000, ((i * i * 7) % 1000) as f64 * unit);
        }
        ClosedChunk {
            position,
            first_ms: start,
            last_ms: start + 119 * 15_000,
            samples: 120,
            encoding: Encoding::Xor,
            bytes: chunk.finish(),
        }
    }

    #[test]
    fn decimals_are_stored_smaller_and_come_back_as_the_same_bytes() {
        // A division leaves digits without end: these stay XOR.
        let chunks = [real(0, 0.01), real(1, 4096.0), real(2, 1.0 / 3.0)];
        let (.., payload) = encode(&chunks, &mut Encoder::new()).unwrap();
        let stored = read((VERSION, &payload)).unwrap();
        let forms: Vec<_> = stored.iter().map(|c| c.form).collect();
        assert_eq!(forms, [Form::Decimal, Form::Decimal, Form::Xor]);
        for (stored, chunk) in stored.iter().zip(&chunks).take(2) {
            assert!(stored.bytes.len() < chunk.bytes.len());
        }
        assert_eq!(decode((VERSION, &payload)).unwrap(), chunks);
        let second = super::chunks((VERSION, &payload), |c| c.position == 1);
        assert_eq!(second.unwrap(), chunks[1..2]);
    }

    #[test]
    fn a_chunk_that_is_not_what_it_says_is_stored_as_it_is() {
        let mut lies = real(0, 1.0);
        lies.samples = 119;
        let mut cut = real(1, 1.0);
        cut.bytes.pop();
        let mut other = real(2, 1.0);
        other.encoding = Encoding::Histogram;
        let chunks = [lies, cut, other];
        let (.., payload) = encode(&chunks, &mut Encoder::new()).unwrap();
        assert_eq!(decode((VERSION, &payload)).unwrap(), chunks);
    }

    #[test]
    fn survives_encoding() {
        let chunks = vec![
            chunk(0, 1_000, 120_000, 300),
            chunk(127, -5, 90_000, 0),
            chunk(u16::MAX, i64::MIN, i64::MAX, 1),
            chunk(3, 10, 9, 1),
        ];
        let (first_ms, last_ms, payload) = encode(&chunks, &mut Encoder::new()).unwrap();
        assert_eq!((first_ms, last_ms), (i64::MIN, i64::MAX));
        assert_eq!(decode((VERSION, &payload)), Ok(chunks));
        assert_eq!(encode(&[], &mut Encoder::new()), None);
    }

    /// A block that an older saimon wrote.
    #[test]
    fn an_anchor_is_packed_and_comes_back() {
        let anchor = ClosedChunk {
            samples: 0,
            encoding: Encoding::Anchor,
            ..chunk(1, 5, 5, 1000)
        };
        let chunks = [real(0, 0.01), anchor, real(2, 0.01)];
        let (.., payload) = encode(&chunks, &mut Encoder::new()).unwrap();
        let stored = read((VERSION, &payload)).unwrap();
        assert!(stored[1].form == Form::Anchor && stored[1].bytes.len() < 500);
        assert_eq!(stored[1].floats(), Ok(Vec::new()));
        assert_eq!(decode((VERSION, &payload)).unwrap(), chunks);
    }

    /// What the fixture of version 3 has.
    fn of_version_3() -> [ClosedChunk; 3] {
        let mut histograms = chunk(2, 10, 20, 40);
        histograms.encoding = Encoding::Histogram;
        [real(0, 0.01), histograms, real(9, 1.0)]
    }

    #[test]
    fn a_block_of_version_3_is_read() {
        let (version, payload) = fixture(include_str!("../../tests/fixtures/block-v3.txt"));
        assert_eq!(version, NO_ANCHORS);
        assert_eq!(decode((version, &payload)).unwrap(), of_version_3());
    }

    #[test]
    fn a_block_of_version_1_is_read() {
        let (version, payload) = fixture(include_str!("../../tests/fixtures/block-v1.txt"));
        let chunks = decode((version, &payload)).unwrap();
        let start = 1_700_000_000_000;
        let want: Vec<_> = (0..3u16)
            .map(|n| ClosedChunk {
                position: n * 5,
                first_ms: start + i64::from(n) * 1000,
                last_ms: start + 1_785_000 + i64::from(n),
                samples: 120,
                encoding: Encoding::Xor,
                bytes: (0..20).map(|i| i as u8 ^ n as u8).collect(),
            })
            .collect();
        assert_eq!(chunks, want);
        assert!(decode((4, &payload)).is_err());
    }

    #[test]
    fn a_block_of_version_2_is_read() {
        let (version, payload) = fixture(include_str!("../../tests/fixtures/block-v2.txt"));
        assert_eq!(version, AS_HANDED);
        let chunks = decode((version, &payload)).unwrap();
        let start = 1_700_000_000_000;
        let encodings = [Encoding::Xor, Encoding::Histogram, Encoding::FloatHistogram];
        for (n, chunk) in (0..3u16).zip(&chunks) {
            assert_eq!(
                (chunk.position, chunk.samples, chunk.encoding),
                (n * 5, 4, encodings[usize::from(n)])
            );
            assert_eq!((chunk.first_ms, chunk.last_ms), (start, start + 45_000));
        }
        let samples = crate::window::chunk::decode(&chunks[0].bytes).unwrap();
        let value = |i: i64| (i * 100) as f64 / 8.0;
        let want: Vec<_> = (0..4).map(|i| (start + i * 15_000, value(i))).collect();
        assert_eq!(samples, want);
        assert_eq!(chunks[2].bytes, [2; 9]);
    }

    #[test]
    fn a_chunk_costs_few_bytes_beside_its_own() {
        let start = 1_700_000_000_000;
        let chunks: Vec<_> = (0..128)
            .map(|n| chunk(n, start + i64::from(n), start + 1_785_000, 300))
            .collect();
        let (.., payload) = encode(&chunks, &mut Encoder::new()).unwrap();
        assert!(payload.len() <= 128 * (300 + 10), "{}", payload.len());
    }

    #[test]
    fn no_cut_block_decodes_and_none_panics() {
        let (.., payload) =
            encode(&[chunk(1, 2, 3, 40), real(2, 0.5)], &mut Encoder::new()).unwrap();
        for len in 0..payload.len() {
            assert!(decode((VERSION, &payload[..len])).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn runs_keep_every_chunk_and_the_limit() {
        let chunks: Vec<_> = (0..1000).map(|n| chunk(n, 0, 1, 300)).collect();
        let runs: Vec<_> = runs(&chunks).collect();
        assert!(runs.len() > 3 && runs.len() < 6, "{}", runs.len());
        assert_eq!(runs.concat(), chunks);
        for run in runs {
            let bytes: usize = run.iter().map(|c| c.bytes.len()).sum();
            assert!(bytes <= BLOCK_BYTES);
        }
    }

    #[test]
    fn a_huge_chunk_is_a_block_of_its_own() {
        let chunks = [chunk(0, 0, 1, BLOCK_BYTES * 2), chunk(1, 0, 1, 10)];
        assert_eq!(runs(&chunks).map(<[_]>::len).sum::<usize>(), 2);
        assert_eq!(runs(&[]).count(), 0);
    }
}
