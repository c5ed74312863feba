//! Every bound, its default and its reason.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bound on everything that a sender or a reader could make grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Series with a model. One takes about 2 KiB of memory; series beyond the limit are counted in
    /// `saimon_series_dropped_total{reason="limit"}` and not modelled.
    pub series: u32,
    /// Bytes of a request as sent (compressed).
    #[schemars(with = "String")]
    pub body: ByteSize,
    /// Bytes of a request after decompression. What a sender claims is checked before any is
    /// allocated.
    #[schemars(with = "String")]
    pub body_raw: ByteSize,
    /// Labels of one series.
    pub labels_per_series: u32,
    /// Bytes of a label's name.
    pub label_name: u32,
    /// Bytes of a label's value.
    pub label_value: u32,
    /// Open connections. More wait to be accepted.
    pub connections: u32,
    /// Write requests that are decoded at once. More wait, within `queue_wait`.
    pub writes_at_once: u32,
    /// Batches waiting for one shard. A full queue makes requests wait, then answers 503.
    pub queue_batches: u32,
    /// How long a write request may wait for room before it gets 503 with Retry-After.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub queue_wait: Duration,
    /// How long a connection may take for its first byte and for the headers of a request.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub header_wait: Duration,
    /// How long a whole request may take, the time of its body included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String")]
    pub request: Duration,
    /// Score lines on one page of `/metrics/scores`. Beyond it the anomalous and the highest scores
    /// are shown and the rest is counted in `saimon_scores_left_out`.
    pub score_lines: u32,
    /// Metric families whose metadata is remembered.
    pub metadata_families: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            series: 1_000_000,
            body: ByteSize::mib(32),
            body_raw: ByteSize::mib(32),
            labels_per_series: 128,
            label_name: 1024,
            label_value: 8192,
            connections: 512,
            writes_at_once: 16,
            queue_batches: 64,
            queue_wait: Duration::from_secs(5),
            header_wait: Duration::from_secs(10),
            request: Duration::from_secs(30),
            score_lines: 20_000,
            metadata_families: 100_000,
        }
    }
}
