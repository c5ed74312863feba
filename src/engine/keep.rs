//! What the shards hand to the store and get back from it: groups of neighbouring series as opaque,
//! versioned bytes, and blocks of their finished chunks.
//!
//! The engine does not know what the store is; the store does not know what the bytes mean.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::{Deserialize, Serialize};

use crate::window::encoding::Encoding;
use crate::window::rollup::Row;
use crate::wire::write::MetricType;

/// Homes of series are spread over this many partitions; a shard owns whole partitions. So the number
/// of shards may change from one start to the next while groups stay as they are. A partition is also
/// what is written at one moment ([`Cut`]): with so many, its share of a million series takes a shard
/// about ten milliseconds.
pub const PARTITIONS: usize = 256;

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
    /// What is too large to be part of `state` and has changed since it was last given. Written in
    /// the same step; what is not given stays as it is.
    pub appendices: Vec<Appendix>,
    /// Newest sample of any of its series, in milliseconds; retention counts back from here.
    pub newest_ms: i64,
    /// How long its samples are kept where rules say so; the longest of these counts. Empty: as for
    /// all others.
    pub kept_for: Vec<KeptFor>,
    /// Positions of series that sleep, one bit each: `state` says that they are there, their own
    /// states are apart.
    pub asleep: u128,
    /// States of those that the store may not have yet; shared with the shard until it does.
    pub sleepers: Vec<SleeperState>,
}

/// Position and state of a series that sleeps.
pub type SleeperState = (u16, Arc<Sleeping>);

/// The state of a series that sleeps, shared by the shard and whoever writes it.
#[derive(Debug)]
pub struct Sleeping {
    bytes: Box<[u8]>,
    on_disk: AtomicBool,
}

impl Sleeping {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self {
            bytes: bytes.into(),
            on_disk: AtomicBool::new(false),
        }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// It is on disk, surely: the shard may let go of it.
    pub fn keep(&self) {
        self.on_disk.store(true, Ordering::Release);
    }

    pub fn is_on_disk(&self) -> bool {
        self.on_disk.load(Ordering::Acquire)
    }
}

impl PartialEq for Sleeping {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Sleeping {}

/// How long samples are kept where a rule says so; `None`: as for all others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct KeptFor {
    /// Raw samples, in milliseconds.
    pub window_ms: Option<i64>,
    /// Rows of five minutes, in milliseconds.
    pub rollups_ms: Option<i64>,
}

/// A large part of one series' state that changes seldom: the rows of its forest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appendix {
    /// Position of the series within its group.
    pub position: u16,
    /// Which of its models.
    pub part: u8,
    /// Empty if it is no more.
    pub bytes: Vec<u8>,
}

/// A whole partition at one moment: between two records of the journal, and each of its groups with
/// it. What belongs together (a histogram and its parts) is in one partition, so what is read back is
/// of one time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cut {
    pub partition: u8,
    /// The records up to this one are in it.
    pub seq: u64,
    /// The groups that changed since the last cut.
    pub groups: Vec<GroupSnapshot>,
    /// True if it has all groups that there are, changed or not.
    pub whole: bool,
}

/// A metric family that a sender has announced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    pub name: Box<str>,
    pub kind: MetricType,
    /// The record that announced it.
    pub seq: u64,
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

    /// What is left in rows of five minutes of the series at a position of a group, in order of time;
    /// none where none are kept. Blocks.
    ///
    /// # Errors
    /// Why they cannot be read, for a log line.
    fn rows(&self, id: GroupId, position: u16) -> Result<Vec<Row>, String> {
        let _ = (id, position);
        Ok(Vec::new())
    }
}

/// States of series that sleep. The store has them.
pub trait Sleepers: std::fmt::Debug + Send + Sync {
    /// The states of the series at these places, in the same order; `None` for one that is not there.
    /// Blocks, for not longer than a disk may take.
    ///
    /// # Errors
    /// Why they cannot be read, for a log line.
    fn states(&self, of: &[(GroupId, u16)]) -> Result<Vec<Option<Vec<u8>>>, String>;
}

/// Partitions of which all groups are to be handed over, because the store has lost some.
pub type Wholes = [bool; PARTITIONS];

/// What a shard sends to the thread that writes the store. The channel is bounded.
#[derive(Debug)]
pub enum Kept {
    /// A partition of which something changed since its last cut.
    Cut(Cut),
    /// All families that are known, in the order in which they were announced; only ever more.
    Families(Vec<Family>),
    /// This shard has sent all partitions that had changed when the checkpoint was ordered.
    Done {
        shard: usize,
        /// None of them failed.
        complete: bool,
        /// It was told to stop, and has.
        stopped: bool,
    },
}
