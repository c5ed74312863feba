//! What is counted of the write-ahead log, of what it gave back at a start, and of how long shards
//! stood still for a checkpoint.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

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

/// The stops that shards made to hand over a partition.
#[derive(Debug, Clone)]
pub struct StopMetrics {
    /// `saimon_checkpoint_stop_seconds`.
    pub seconds: Histogram,
    /// `saimon_checkpoint_longest_stop_seconds`. Raised only; a gauge has no such operation, so its
    /// bits are kept: those of floats that are not negative are in the order of the floats.
    longest: Arc<AtomicU64>,
    longest_shown: Gauge<f64, AtomicU64>,
}

/// Ends of the buckets: the aim is 10 ms.
const STOPS: [f64; 9] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 1.0];

impl StopMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        let seconds = Histogram::new(STOPS);
        r.add(
            "checkpoint_stop_seconds",
            "how long a shard took no samples because it handed over one partition",
            seconds.clone(),
        );
        Self {
            seconds,
            longest: Arc::default(),
            longest_shown: r.made(
                "checkpoint_longest_stop_seconds",
                "the longest of them since the start",
            ),
        }
    }

    /// Counts one stop.
    pub fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        self.seconds.observe(seconds);
        let before = self.longest.fetch_max(seconds.to_bits(), Ordering::Relaxed);
        if before < seconds.to_bits() {
            let longest = self.longest.load(Ordering::Relaxed);
            self.longest_shown.set(f64::from_bits(longest));
        }
    }

    /// The longest so far.
    pub fn longest(&self) -> Duration {
        Duration::from_secs_f64(f64::from_bits(self.longest.load(Ordering::Relaxed)))
    }
}
