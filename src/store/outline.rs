//! What is known of a group without reading it: its newest sample and which blocks it has.
//!
//! Stored beside the state and written in the same step. All outlines are kept in memory, so that
//! retention, forgetting and lookups by time cost no reads: a leaf of sled holds up to 16 values,
//! and touching one key reads them all.

use serde::{Deserialize, Serialize};

use super::value::ValueError;

/// Version of a stored outline.
pub(super) const VERSION: u8 = 3;
/// The version before, when there were no appendices; still read.
const NO_APPENDICES: u8 = 2;
/// The version when there were no rollups either; still read.
const RAW_ONLY: u8 = 1;

/// Most blocks of one group. A day of chunks that all end together is 48 blocks at one sample in
/// 15 s; 4096 leaves room for series whose chunks end at different times, and bounds an outline to
/// about 80 KiB. The oldest go first.
pub(super) const BLOCKS_MAX: usize = 4096;

/// One block: the time its chunks span, and a number that tells blocks of one group apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlockRef {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) sequence: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Outline {
    /// Newest sample of the group, in milliseconds.
    pub(super) newest_ms: i64,
    /// Keys that the state is spread over.
    pub(super) state_parts: u16,
    /// In the order in which they were written.
    pub(super) blocks: Vec<BlockRef>,
    /// Blocks of rollups, in the order in which they were written; at most [`BLOCKS_MAX`].
    pub(super) rollups: Vec<BlockRef>,
    /// Large parts of the state that have keys of their own: position of the series, and which part.
    pub(super) appendices: Vec<(u16, u8)>,
}

/// An outline of version [`NO_APPENDICES`].
#[derive(Deserialize)]
struct OutlineV2 {
    newest_ms: i64,
    state_parts: u16,
    blocks: Vec<BlockRef>,
    rollups: Vec<BlockRef>,
}

/// An outline of version [`RAW_ONLY`].
#[derive(Deserialize)]
struct OutlineV1 {
    newest_ms: i64,
    state_parts: u16,
    blocks: Vec<BlockRef>,
}

impl Outline {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("BUG: an outline is plain numbers")
    }

    pub(super) fn decode((version, payload): (u8, &[u8])) -> Result<Self, ValueError> {
        let damaged = |e: postcard::Error| ValueError::Decode(e.to_string());
        match version {
            VERSION => postcard::from_bytes(payload).map_err(damaged),
            NO_APPENDICES => {
                let old: OutlineV2 = postcard::from_bytes(payload).map_err(damaged)?;
                Ok(Self {
                    newest_ms: old.newest_ms,
                    state_parts: old.state_parts,
                    blocks: old.blocks,
                    rollups: old.rollups,
                    appendices: Vec::new(),
                })
            }
            RAW_ONLY => {
                let old: OutlineV1 = postcard::from_bytes(payload).map_err(damaged)?;
                Ok(Self {
                    newest_ms: old.newest_ms,
                    state_parts: old.state_parts,
                    blocks: old.blocks,
                    rollups: Vec::new(),
                    appendices: Vec::new(),
                })
            }
            found => {
                let known = VERSION;
                Err(ValueError::Version { found, known })
            }
        }
    }

    /// Blocks that may have samples in `[from_ms, to_ms]`.
    pub(super) fn overlapping(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &BlockRef> {
        overlapping(&self.blocks, from_ms, to_ms)
    }

    /// The same of rollups.
    pub(super) fn rollups(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &BlockRef> {
        overlapping(&self.rollups, from_ms, to_ms)
    }

    /// Takes out the blocks whose every sample is older than `oldest_ms`, once there is one that is
    /// older by `late_ms`, and the oldest ones beyond [`BLOCKS_MAX`].
    pub(super) fn take_expired(&mut self, oldest_ms: i64, late_ms: i64) -> Vec<BlockRef> {
        let latest_ms = oldest_ms.saturating_sub(late_ms);
        match self.blocks.iter().any(|b| b.last_ms < latest_ms) {
            true => take_expired(&mut self.blocks, oldest_ms),
            false => take_expired(&mut self.blocks, i64::MIN),
        }
    }

    /// Takes out the blocks of rollups whose every row is older than `oldest_ms`, and the oldest
    /// ones beyond [`BLOCKS_MAX`].
    pub(super) fn take_expired_rollups(&mut self, oldest_ms: i64) -> Vec<BlockRef> {
        take_expired(&mut self.rollups, oldest_ms)
    }
}

fn overlapping(blocks: &[BlockRef], from_ms: i64, to_ms: i64) -> impl Iterator<Item = &BlockRef> {
    blocks
        .iter()
        .filter(move |b| b.first_ms <= to_ms && b.last_ms >= from_ms)
}

fn take_expired(blocks: &mut Vec<BlockRef>, oldest_ms: i64) -> Vec<BlockRef> {
    let mut expired: Vec<_> = blocks.extract_if(.., |b| b.last_ms < oldest_ms).collect();
    let beyond = blocks.len().saturating_sub(BLOCKS_MAX);
    expired.extend(blocks.drain(..beyond));
    expired
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(first_ms: i64, last_ms: i64, sequence: u32) -> BlockRef {
        BlockRef {
            first_ms,
            last_ms,
            sequence,
        }
    }

    #[test]
    fn survives_encoding() {
        let outline = Outline {
            newest_ms: -5,
            state_parts: 3,
            blocks: vec![block(i64::MIN, i64::MAX, 7), block(0, 1, u32::MAX)],
            rollups: vec![block(1, 2, 3)],
            appendices: vec![(127, 4)],
        };
        assert_eq!(Outline::decode((VERSION, &outline.encode())), Ok(outline));
    }

    /// An outline that an older saimon wrote.
    #[test]
    fn an_outline_of_version_1_is_read() {
        let fixture = include_str!("../../tests/fixtures/outline-v1.txt");
        let (version, hex) = fixture.trim().split_once(' ').unwrap();
        let payload: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap())
            .collect();
        let start = 1_700_000_000_000;
        let want = Outline {
            newest_ms: start + 45_000,
            state_parts: 2,
            blocks: vec![block(start, start + 45_000, 3), block(-5, 7, 9)],
            rollups: Vec::new(),
            appendices: Vec::new(),
        };
        assert_eq!(
            Outline::decode((version.parse().unwrap(), &payload)),
            Ok(want)
        );
        assert!(Outline::decode((4, &payload)).is_err());
    }

    #[test]
    fn blocks_wait_for_each_other_and_leave_together() {
        let mut outline = Outline {
            blocks: (0..10).map(|n| block(n * 10, n * 10 + 9, 0)).collect(),
            ..Outline::default()
        };
        assert_eq!(outline.take_expired(59, 50), []);
        assert_eq!(outline.take_expired(60, 50).len(), 6);
        assert_eq!(outline.blocks.len(), 4);
    }

    #[test]
    fn blocks_end_with_their_last_sample_not_their_first() {
        let mut outline = Outline {
            blocks: vec![block(0, 9, 0), block(5, 10, 1), block(20, 30, 2)],
            ..Outline::default()
        };
        assert_eq!(outline.take_expired(10, 0), [block(0, 9, 0)]);
        assert_eq!(outline.blocks, [block(5, 10, 1), block(20, 30, 2)]);
        assert_eq!(outline.overlapping(10, 19).count(), 1);
        assert_eq!(outline.overlapping(11, 19).count(), 0);
        assert_eq!(outline.overlapping(10, 20).count(), 2);
    }

    #[test]
    fn the_number_of_blocks_is_bounded() {
        let blocks = (0..BLOCKS_MAX as u32 + 2).map(|n| block(0, 9, n)).collect();
        let mut outline = Outline {
            blocks,
            ..Outline::default()
        };
        assert_eq!(outline.take_expired(0, 0), [block(0, 9, 0), block(0, 9, 1)]);
        assert_eq!(outline.blocks.len(), BLOCKS_MAX);
    }
}
