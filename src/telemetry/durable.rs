//! What is counted of the write-ahead log and of what it gave back at a start.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Register;

/// `saimon_wal_*`.
#[derive(Debug, Clone, Default)]
pub struct LogMetrics {
    /// Records appended.
    pub records: Counter,
    /// Bytes appended, headers included.
    pub bytes: Counter,
    /// Syncs that succeeded, one for each file.
    pub syncs: Counter,
    /// Time spent in syncs.
    pub sync_seconds: Counter<f64, AtomicU64>,
    /// Failed writes, syncs, deletions and reads.
    pub errors: Counter,
    /// Appends refused because the log was at its limit.
    pub full: Counter,
    /// Records whose sync failed: a power cut may lose them.
    pub unsynced: Counter,
    /// Stretches of damage met while reading.
    pub broken: Counter,
    /// Requests that were taken and not kept.
    pub shed: Counter,
    /// 1 while requests cannot be appended.
    pub failing: Gauge,
    /// Files.
    pub segments: Gauge,
    /// Bytes of all files.
    pub size: Gauge,
}

impl LogMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Arc<Self> {
        Arc::new(Self {
            records: r.made("wal_records", "requests appended to the write-ahead log"),
            bytes: r.made("wal_bytes_written", "bytes appended to the write-ahead log"),
            syncs: r.made("wal_syncs", "syncs of files of the write-ahead log"),
            sync_seconds: r.made("wal_sync_seconds", "time spent in such syncs"),
            errors: r.made(
                "wal_errors",
                "failed writes, syncs, deletions and reads of the write-ahead log",
            ),
            full: r.made(
                "wal_full",
                "requests that the write-ahead log did not take because it was at store.log_limit",
            ),
            unsynced: r.made(
                "wal_unsynced_records",
                "records whose sync failed: a power cut may lose them",
            ),
            broken: r.made(
                "wal_broken",
                "stretches of damage in the write-ahead log, each one record or more",
            ),
            shed: r.made(
                "wal_shed",
                "requests that were taken without being kept (store.log_full: shed)",
            ),
            failing: r.made(
                "wal_failing",
                "1 while requests cannot be appended to the write-ahead log",
            ),
            segments: r.made("wal_segments", "files of the write-ahead log"),
            size: r.made("wal_bytes", "size of the write-ahead log"),
        })
    }
}

/// `saimon_recovery_*`: what the write-ahead log gave back at the start.
#[derive(Debug, Clone, Default)]
pub struct RecoveryMetrics {
    /// Requests that were taken once more.
    pub records: Counter,
    /// Their samples, native histograms included, that no checkpoint had.
    pub samples: Counter,
    /// Requests that are kept and could not be read.
    pub unreadable: Counter,
    /// From the opening of the store to being ready.
    pub seconds: Gauge<f64, AtomicU64>,
}

impl RecoveryMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        Self {
            records: r.made(
                "recovery_records",
                "requests of an earlier process that were read from the write-ahead log",
            ),
            samples: r.made(
                "recovery_samples",
                "samples in them that no checkpoint had; they are not counted as received again",
            ),
            unreadable: r.made(
                "recovery_unreadable",
                "requests of an earlier process that could not be read",
            ),
            seconds: r.made(
                "recovery_seconds",
                "how long this process took to read what was kept, until it was ready",
            ),
        }
    }
}
