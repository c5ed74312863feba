//! What is known of a group without reading it: its newest sample and which blocks it has.
//!
//! Stored beside the state and written in the same step. All outlines are kept in memory, so that
//! retention, forgetting and lookups by time cost no reads: a leaf of sled holds up to 16 values,
//! and touching one key reads them all.

use serde::{Deserialize, Serialize};

use super::value::ValueError;

/// Version of a stored outline.
pub(super) const VERSION: u8 = 1;

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
}

impl Outline {
    pub(super) fn encode(&self) -> Vec<u8> {
        postcard::to_stdvec(self).expect("BUG: an outline is plain numbers")
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, ValueError> {
        postcard::from_bytes(payload).map_err(|e| ValueError::Decode(e.to_string()))
    }

    /// Blocks that may have samples in `[from_ms, to_ms]`.
    pub(super) fn overlapping(&self, from_ms: i64, to_ms: i64) -> impl Iterator<Item = &BlockRef> {
        self.blocks
            .iter()
            .filter(move |b| b.first_ms <= to_ms && b.last_ms >= from_ms)
    }

    /// Takes out the blocks whose every sample is older than `oldest_ms`, and the oldest ones
    /// beyond [`BLOCKS_MAX`].
    pub(super) fn take_expired(&mut self, oldest_ms: i64) -> Vec<BlockRef> {
        let mut expired: Vec<_> = self
            .blocks
            .extract_if(.., |b| b.last_ms < oldest_ms)
            .collect();
        let beyond = self.blocks.len().saturating_sub(BLOCKS_MAX);
        expired.extend(self.blocks.drain(..beyond));
        expired
    }
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
        };
        assert_eq!(Outline::decode(&outline.encode()), Ok(outline));
    }

    #[test]
    fn blocks_end_with_their_last_sample_not_their_first() {
        let mut outline = Outline {
            blocks: vec![block(0, 9, 0), block(5, 10, 1), block(20, 30, 2)],
            ..Outline::default()
        };
        assert_eq!(outline.take_expired(10), [block(0, 9, 0)]);
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
        assert_eq!(outline.take_expired(0), [block(0, 9, 0), block(0, 9, 1)]);
        assert_eq!(outline.blocks.len(), BLOCKS_MAX);
    }
}
