//! What is known of a group without reading it: its newest sample and which blocks it has.
//!
//! Stored beside the state and written in the same step. All outlines are kept in memory, so that
//! retention, forgetting and lookups by time cost no reads: a leaf of sled holds up to 16 values,
//! and touching one key reads them all.

use serde::{Deserialize, Serialize};

use super::value::ValueError;

/// Version of a stored outline.
pub(super) const VERSION: u8 = 4;
/// The version before, when no series slept; still read.
const NOBODY_SLEEPS: u8 = 3;
/// The version before that, when there were no appendices; still read.
const NO_APPENDICES: u8 = 2;
/// The version when there were no rollups either; still read.
const RAW_ONLY: u8 = 1;

/// Most blocks of one group. A day of chunks that all end together is 48 blocks at one sample in
/// 15 s; 4096 leaves room for series whose chunks end at different times, and bounds an outline to
/// about 80 KiB. The oldest go first.
pub(super) const BLOCKS_MAX: usize = 4096;

/// Small blocks of a group are made one when there are so many of them ...
const MERGE_AT: usize = 8;
/// ... that have together no more bytes than a block should.
const MERGED_BYTES: u32 = 80 * 1024;

/// One block: the time its chunks span, and a number that tells blocks of one group apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BlockRef {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) sequence: u32,
    /// Roughly; 0 if not known.
    pub(super) bytes: u32,
}

/// As it was up to version 2.
#[derive(Deserialize)]
struct BlockRefV2 {
    first_ms: i64,
    last_ms: i64,
    sequence: u32,
}

fn without_bytes(old: Vec<BlockRefV2>) -> Vec<BlockRef> {
    let block = |b: BlockRefV2| BlockRef {
        first_ms: b.first_ms,
        last_ms: b.last_ms,
        sequence: b.sequence,
        bytes: 0,
    };
    old.into_iter().map(block).collect()
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
    /// Positions of series whose states are under keys of their own, one bit each.
    pub(super) asleep: u128,
}

/// An outline of version [`NOBODY_SLEEPS`].
#[derive(Deserialize)]
struct OutlineV3 {
    newest_ms: i64,
    state_parts: u16,
    blocks: Vec<BlockRefV2>,
    rollups: Vec<BlockRefV2>,
    appendices: Vec<(u16, u8)>,
}

/// An outline of version [`NO_APPENDICES`].
#[derive(Deserialize)]
struct OutlineV2 {
    newest_ms: i64,
    state_parts: u16,
    blocks: Vec<BlockRefV2>,
    rollups: Vec<BlockRefV2>,
}

/// An outline of version [`RAW_ONLY`].
#[derive(Deserialize)]
struct OutlineV1 {
    newest_ms: i64,
    state_parts: u16,
    blocks: Vec<BlockRefV2>,
}

impl Outline {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("BUG: an outline is plain numbers")
    }

    pub(super) fn decode((version, payload): (u8, &[u8])) -> Result<Self, ValueError> {
        let damaged = |e: postcard::Error| ValueError::Decode(e.to_string());
        match version {
            VERSION => postcard::from_bytes(payload).map_err(damaged),
            NOBODY_SLEEPS => {
                let old: OutlineV3 = postcard::from_bytes(payload).map_err(damaged)?;
                Ok(Self {
                    newest_ms: old.newest_ms,
                    state_parts: old.state_parts,
                    blocks: without_bytes(old.blocks),
                    rollups: without_bytes(old.rollups),
                    appendices: old.appendices,
                    asleep: 0,
                })
            }
            NO_APPENDICES => {
                let old: OutlineV2 = postcard::from_bytes(payload).map_err(damaged)?;
                Ok(Self {
                    newest_ms: old.newest_ms,
                    state_parts: old.state_parts,
                    blocks: without_bytes(old.blocks),
                    rollups: without_bytes(old.rollups),
                    appendices: Vec::new(),
                    asleep: 0,
                })
            }
            RAW_ONLY => {
                let old: OutlineV1 = postcard::from_bytes(payload).map_err(damaged)?;
                Ok(Self {
                    newest_ms: old.newest_ms,
                    state_parts: old.state_parts,
                    blocks: without_bytes(old.blocks),
                    rollups: Vec::new(),
                    appendices: Vec::new(),
                    asleep: 0,
                })
            }
            found => {
                let known = VERSION;
                Err(ValueError::Version { found, known })
            }
        }
    }

    /// Positions of [`Outline::asleep`].
    pub(super) fn sleepers(&self) -> impl Iterator<Item = u16> + use<> {
        positions(self.asleep)
    }

    /// Blocks that may have samples in `[from_ms, to_ms]`.
    pub(super) fn overlapping(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &BlockRef> {
        overlapping(&self.blocks, from_ms, to_ms)
    }

    /// The same of rollups.
    pub(super) fn rollups(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &BlockRef> {
        overlapping(&self.rollups, from_ms, to_ms)
    }

    /// The oldest blocks that are to be one: small ones that together are not too large and not too
    /// long; none if they are too few to be worth it. They stay where they are.
    pub(super) fn mergeable(&self, long_ms: i64) -> Vec<BlockRef> {
        let small = |b: &&BlockRef| (1..MERGED_BYTES / MERGE_AT as u32).contains(&b.bytes);
        let mut blocks: Vec<BlockRef> = self.blocks.iter().filter(small).copied().collect();
        blocks.sort_unstable_by_key(|b| (b.first_ms, b.sequence));
        let mut bytes = 0;
        let mut chosen: Vec<BlockRef> = Vec::new();
        for block in blocks {
            let first_ms = chosen.first().map_or(block.first_ms, |b| b.first_ms);
            if block.last_ms.saturating_sub(first_ms) > long_ms {
                // Too far from the first: begin with it.
                if chosen.len() >= MERGE_AT {
                    break;
                }
                chosen.clear();
                bytes = 0;
            }
            if bytes + block.bytes > MERGED_BYTES {
                break;
            }
            bytes += block.bytes;
            chosen.push(block);
        }
        match chosen.len() >= MERGE_AT {
            true => chosen,
            false => Vec::new(),
        }
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

/// The bits that are set.
pub(super) fn positions(bits: u128) -> impl Iterator<Item = u16> {
    (0..u128::BITS as u16).filter(move |p| bits >> p & 1 == 1)
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
            bytes: 0,
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
            asleep: 1 << 127 | 1,
        };
        assert_eq!(Outline::decode((VERSION, &outline.encode())), Ok(outline));
    }

    /// An outline that an older saimon wrote.
    #[test]
    fn outlines_of_versions_1_and_2_are_read() {
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
            asleep: 0,
        };
        assert_eq!(
            Outline::decode((version.parse().unwrap(), &payload)),
            Ok(want.clone())
        );
        assert!(Outline::decode((VERSION + 1, &payload)).is_err());
        // Version 2 had the rollups behind.
        let mut payload = payload;
        payload.extend(postcard::to_stdvec(&vec![(8i64, 9i64, 4u32)]).unwrap());
        let want = Outline {
            rollups: vec![block(8, 9, 4)],
            ..want
        };
        assert_eq!(Outline::decode((NO_APPENDICES, &payload)), Ok(want));
    }

    #[test]
    fn small_neighbours_are_made_one_and_large_ones_left_alone() {
        let small = |n: i64| BlockRef {
            bytes: 1_000,
            ..block(n * 10, n * 10 + 9, n as u32)
        };
        let large = BlockRef {
            bytes: 60_000,
            ..block(5, 6, 99)
        };
        let mut outline = Outline {
            blocks: (0..7).map(small).chain([large, block(7, 8, 98)]).collect(),
            ..Outline::default()
        };
        assert_eq!(outline.mergeable(i64::MAX), [], "too few");
        outline.blocks.push(small(7));
        let eight: Vec<_> = (0..8).map(small).collect();
        assert_eq!(outline.mergeable(i64::MAX), eight);
        assert_eq!(outline.mergeable(79), eight);
        assert_eq!(outline.mergeable(78), [], "too far apart");
        outline.blocks.insert(0, small(100));
        outline.blocks.extend((101..108).map(small));
        assert_eq!(outline.mergeable(1_000).len(), 8);
        outline.blocks.retain(|b| b.first_ms >= 10);
        let rest: Vec<_> = (100..108).map(small).collect();
        assert_eq!(outline.mergeable(100), rest);
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
