//! How a log is kept.

use std::time::Duration;

pub use crate::config::SyncMode;

/// A segment is closed when the next record would make it larger: large enough to be rare at any
/// load, small enough that dropping whole segments frees space soon.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Most bytes of a log. A million series at 15 s send about 0.7 GB between two checkpoints of 5
/// minutes: room for several that fail.
pub const LIMIT_BYTES: u64 = 4 << 30;

/// Most files of a log, whatever their size: a disk that fails each sync makes one a second.
pub const SEGMENTS_MAX: usize = 16_384;

/// The smallest segment that makes sense.
const SEGMENT_MIN: u64 = 4 << 10;

/// How a log is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    pub sync: SyncMode,
    /// Between two syncs of [`SyncMode::Interval`].
    pub interval: Duration,
    /// Bytes of a segment, at least 4 KiB.
    pub segment: u64,
    /// Bytes of all segments; beyond it appends are refused. At least two segments.
    pub limit: u64,
    /// Secret of a new log, not to be guessed by senders. A log that exists keeps its own.
    pub salt: u64,
    /// The sequence number up to which a checkpoint covers the log: no new record gets this one or
    /// a smaller one, even if the log's newest records are lost.
    pub covered: u64,
}

impl Default for Options {
    /// Synced every second, 4 GiB, and a salt that is no secret.
    fn default() -> Self {
        Self {
            sync: SyncMode::Interval,
            interval: Duration::from_secs(1),
            segment: SEGMENT_BYTES,
            limit: LIMIT_BYTES,
            salt: 0,
            covered: 0,
        }
    }
}

impl Options {
    /// With every part in its range.
    pub(super) fn checked(mut self) -> Self {
        self.segment = self.segment.max(SEGMENT_MIN);
        self.limit = self.limit.max(self.segment.saturating_mul(2));
        self
    }
}
