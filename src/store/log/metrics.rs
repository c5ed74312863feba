//! What the log counts, as plain numbers that anyone may read at any time.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters unless said otherwise.
#[derive(Debug, Default)]
pub struct LogMetrics {
    /// Records appended.
    pub records: AtomicU64,
    /// Bytes appended, headers included.
    pub bytes: AtomicU64,
    /// Syncs that succeeded, one for each file.
    pub syncs: AtomicU64,
    /// Time spent in syncs, in nanoseconds.
    pub sync_nanos: AtomicU64,
    /// Failed writes, syncs, deletions and reads.
    pub errors: AtomicU64,
    /// Appends refused because the log was at its limit.
    pub full: AtomicU64,
    /// Records whose sync failed: a power cut may lose them.
    pub unsynced: AtomicU64,
    /// Stretches of damage met while reading.
    pub broken: AtomicU64,
    /// Gauge: files.
    pub segments: AtomicU64,
    /// Gauge: bytes of all files.
    pub size: AtomicU64,
}

impl LogMetrics {
    pub(super) fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn set(gauge: &AtomicU64, n: u64) {
        gauge.store(n, Ordering::Relaxed);
    }
}
