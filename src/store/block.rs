//! Blocks: the chunks of one group that ended between two checkpoints, as one value.
//!
//! sled costs tens of microseconds a key and next to nothing a byte, so the chunks of up to
//! [`crate::engine::keep::GROUP_SERIES`] series share a key.

use serde::{Deserialize, Serialize};

use super::value::ValueError;
use crate::engine::keep::ClosedChunk;
use crate::window::encoding::Encoding;

/// Version of a stored block.
pub(super) const VERSION: u8 = 2;
/// The version before, when all chunks were XOR chunks and did not say so; still read.
const XOR_ONLY: u8 = 1;

/// A block is closed when its chunks reach this many bytes. Values below 128 KiB are written into
/// sled's log; each larger one would be a file.
pub(super) const BLOCK_BYTES: usize = 96 * 1024;

/// Room for the fields of a chunk beside its bytes, when a block is filled.
const CHUNK_FIELDS: usize = 16;

/// One chunk with its times counted from the first of its block: 3 to 4 bytes instead of 12.
#[derive(Serialize, Deserialize)]
struct Packed<B> {
    position: u16,
    after_ms: u64,
    length_ms: u64,
    samples: u16,
    encoding: Encoding,
    bytes: B,
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
pub(super) fn encode(chunks: &[ClosedChunk]) -> Option<(i64, i64, Vec<u8>)> {
    let (first_ms, last_ms) = span(chunks)?;
    let packed: Vec<_> = chunks
        .iter()
        .map(|c| Packed {
            position: c.position,
            after_ms: c.first_ms.wrapping_sub(first_ms).cast_unsigned(),
            length_ms: c.last_ms.wrapping_sub(c.first_ms).cast_unsigned(),
            samples: c.samples,
            encoding: c.encoding,
            bytes: c.bytes.as_slice(),
        })
        .collect();
    let payload =
        postcard::to_stdvec(&(first_ms, packed)).expect("BUG: a block is numbers and bytes");
    Some((first_ms, last_ms, payload))
}

/// The chunks of a block of this version, as they were handed over.
pub(super) fn decode((version, payload): (u8, &[u8])) -> Result<Vec<ClosedChunk>, ValueError> {
    let damaged = |e: postcard::Error| ValueError::Decode(e.to_string());
    let (first_ms, packed): (i64, Vec<Packed<&[u8]>>) = match version {
        VERSION => postcard::from_bytes(payload).map_err(damaged)?,
        XOR_ONLY => {
            let (first_ms, packed): (i64, Vec<PackedV1<'_>>) =
                postcard::from_bytes(payload).map_err(damaged)?;
            let packed = packed.into_iter().map(|p| Packed {
                position: p.position,
                after_ms: p.after_ms,
                length_ms: p.length_ms,
                samples: p.samples,
                encoding: Encoding::Xor,
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
            ClosedChunk {
                position: p.position,
                first_ms: from,
                last_ms: from.wrapping_add_unsigned(p.length_ms),
                samples: p.samples,
                encoding: p.encoding,
                bytes: p.bytes.to_vec(),
            }
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn survives_encoding() {
        let chunks = vec![
            chunk(0, 1_000, 120_000, 300),
            chunk(127, -5, 90_000, 0),
            chunk(u16::MAX, i64::MIN, i64::MAX, 1),
            chunk(3, 10, 9, 1),
        ];
        let (first_ms, last_ms, payload) = encode(&chunks).unwrap();
        assert_eq!((first_ms, last_ms), (i64::MIN, i64::MAX));
        assert_eq!(decode((VERSION, &payload)), Ok(chunks));
        assert_eq!(encode(&[]), None);
    }

    /// A block that an older saimon wrote.
    #[test]
    fn a_block_of_version_1_is_read() {
        let fixture = include_str!("../../tests/fixtures/block-v1.txt");
        let (version, hex) = fixture.trim().split_once(' ').unwrap();
        let payload: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        let chunks = decode((version.parse().unwrap(), &payload)).unwrap();
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
        assert!(decode((3, &payload)).is_err());
    }

    #[test]
    fn a_chunk_costs_few_bytes_beside_its_own() {
        let start = 1_700_000_000_000;
        let chunks: Vec<_> = (0..128)
            .map(|n| chunk(n, start + i64::from(n), start + 1_785_000, 300))
            .collect();
        let (.., payload) = encode(&chunks).unwrap();
        assert!(payload.len() <= 128 * (300 + 10), "{}", payload.len());
    }

    #[test]
    fn no_cut_block_decodes_and_none_panics() {
        let (.., payload) = encode(&[chunk(1, 2, 3, 40), chunk(2, 3, 4, 40)]).unwrap();
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
