//! What the shards hand to the store and get back from it: groups of neighbouring series as opaque,
//! versioned bytes, and blocks of their finished chunks.
//!
//! The engine does not know what the store is; the store does not know what the bytes mean.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::window::encoding::Encoding;

/// Fingerprints are spread over this many partitions; a shard owns whole partitions. So the number
/// of shards may change from one start to the next while groups stay as they are.
pub const PARTITIONS: usize = 64;

/// Series in one group: what is written as one value.
pub const GROUP_SERIES: usize = 128;

/// Which group: a partition, and a number within it that is never used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct GroupId {
    pub partition: u8,
    pub number: u32,
}

/// One group's state at one moment, as a shard wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSnapshot {
    pub id: GroupId,
    /// Labels, kinds, models, verdicts and open chunks of its series; empty if the group is gone.
    pub state: Vec<u8>,
    /// Chunks that were finished since the last snapshot of this group, if any: (position in the
    /// group, chunk). Written in the same step as `state`, because `state` no longer holds them.
    /// Shared with the shard, which shows them to readers for as long as the store holds them: it
    /// lets them go when they are on disk.
    pub chunks: Arc<[ClosedChunk]>,
    /// Newest sample of any of its series, in milliseconds; retention counts back from here.
    pub newest_ms: i64,
}

/// A finished chunk of one series.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedChunk {
    /// Position of the series within its group.
    pub position: u16,
    pub first_ms: i64,
    pub last_ms: i64,
    pub samples: u16,
    pub encoding: Encoding,
    /// A chunk as in Prometheus' TSDB (`tsdb/docs/format/chunks.md`).
    pub bytes: Vec<u8>,
}

/// Finished chunks that are no longer in memory. The store has them.
pub trait PastChunks: std::fmt::Debug + Send + Sync {
    /// The chunks of the series at these positions of a group that have samples in
    /// `[from_ms, to_ms]`, in any order. Blocks.
    ///
    /// # Errors
    /// Why they cannot be read, for a log line.
    fn chunks(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<ClosedChunk>, String>;
}

/// What a shard sends to the thread that writes the store. The channel is bounded.
#[derive(Debug)]
pub enum Kept {
    /// A group that changed since its last snapshot.
    Group(GroupSnapshot),
    /// This shard has sent all groups that had changed when the checkpoint was ordered.
    Done { shard: usize },
}
