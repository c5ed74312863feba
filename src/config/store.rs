//! What is kept on disk, for how long, and how surely.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is kept on disk and for how long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// How long raw samples are kept, by their own timestamps.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1m", "x-max" = "400d"))]
    pub window: Duration,
    /// How long the past before `window` is kept as rows of five minutes: least, greatest, mean,
    /// number and last of the samples. Not longer than `window`, for example 0s: none are made. With
    /// rollups, raw samples stay up to an eighth of `window` longer (at least an hour), because they
    /// are rolled up together.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "400d"))]
    pub rollups: Duration,
    /// How long a series that sends nothing is remembered, its model and window included. At least
    /// `window`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1m", "x-max" = "400d"))]
    pub forget: Duration,
    /// How long a series that sends nothing stays in memory. Then its model is put on disk; it comes
    /// back with the next sample and goes on as if it had never been away. Histograms and their parts
    /// stay.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1m", "x-max" = "400d"))]
    pub idle: Duration,
    /// How often models and windows are written to the data directory. What came since is in the
    /// write-ahead log, which is read at a start: the longer this is, the longer a start after a crash
    /// takes.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub checkpoint: Duration,
    /// Memory that the store may use to cache its pages, beside the memory of the models.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "1MiB", "x-max" = "64GiB"))]
    pub cache: bytesize::ByteSize,
    /// When the write-ahead log is forced onto the disk. A killed process loses nothing whatever this
    /// is; a power cut may.
    pub sync: SyncMode,
    /// How often it is with `sync: interval`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "10ms", "x-max" = "10m"))]
    pub sync_interval: Duration,
    /// Disk space that the write-ahead log may use. It holds what came since the last checkpoint, so
    /// it grows large only while the store cannot be written.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "256MiB", "x-max" = "1TiB"))]
    pub log_limit: bytesize::ByteSize,
    /// What happens to write requests when the write-ahead log takes nothing: its disk is full or
    /// failing, or it is at `log_limit`.
    pub log_full: LogFull,
}

/// When what was acknowledged is forced onto the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SyncMode {
    /// Before a request is answered; requests that wait together share one sync. Nothing
    /// acknowledged is lost in a power cut.
    Always,
    /// Now and then. A killed process loses nothing, a power cut at most this much.
    #[default]
    Interval,
    /// When the operating system likes to.
    Never,
}

/// What happens to write requests that cannot be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFull {
    /// They get 503 with Retry-After, and the sender keeps them meanwhile: what is acknowledged is
    /// kept.
    #[default]
    Refuse,
    /// They are taken and scored without being kept; a crash before the next checkpoint loses them.
    Shed,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(24 * 3600),
            rollups: Duration::from_secs(15 * 24 * 3600),
            forget: Duration::from_secs(7 * 24 * 3600),
            idle: Duration::from_secs(3600),
            checkpoint: Duration::from_secs(300),
            cache: bytesize::ByteSize::mib(8),
            sync: SyncMode::default(),
            sync_interval: Duration::from_secs(1),
            log_limit: bytesize::ByteSize::gib(4),
            log_full: LogFull::default(),
        }
    }
}
