//! Every bound, its default and its reason.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bound on everything that a sender or a reader could make grow.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Series that are held. One with a model takes about 2 KiB of memory, one with a window only
    /// (buckets of histograms, `_info` ...) about 0.8 KiB (see docs/benchmarks.md). A histogram
    /// takes the room of four, besides that of its parts, and a native one that of one more for every
    /// 80 buckets. Series beyond the limit are counted in
    /// `saimon_series_dropped_total{reason="limit"}` and neither kept nor modelled.
    #[schemars(range(min = 1, max = 100000000))]
    pub series: u32,
    /// Memory that all series together may take: labels, newest samples, models. New series are taken
    /// up to 15/16 of it, so that those that are there can grow; what is not taken is counted in
    /// `saimon_series_dropped_total{reason="memory"}`. Beyond it idle series are put on disk early, and
    /// then the newest series are given up. Not given: half of what the machine has, or of what its
    /// control group may use. The process takes some more: about a tenth, buffers of requests and
    /// `store.cache`.
    #[schemars(with = "Option<String>", extend("format" = "size", "x-min" = "16MiB", "x-max" = "1TiB"))]
    pub memory: Option<ByteSize>,
    /// Bytes of a request as sent (compressed).
    #[schemars(with = "String", extend("format" = "size", "x-min" = "64KiB", "x-max" = "1GiB"))]
    pub body: ByteSize,
    /// Bytes of a request after decompression. What a sender claims is checked before any is
    /// allocated. At least `body`.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "64KiB", "x-max" = "1GiB"))]
    pub body_raw: ByteSize,
    /// Labels of one series, its name included. A series with more is refused.
    #[schemars(range(min = 8, max = 4096))]
    pub labels_per_series: u32,
    /// Bytes of a label's name. A series with a longer one is refused.
    #[schemars(range(min = 16, max = 65535))]
    pub label_name: u32,
    /// Bytes of a label's value. A series with a longer one is refused.
    #[schemars(range(min = 64, max = 65535))]
    pub label_value: u32,
    /// Open connections. More wait to be accepted.
    #[schemars(range(min = 4, max = 65535))]
    pub connections: u32,
    /// Write requests that are decoded at once. More wait, within `queue_wait`.
    #[schemars(range(min = 1, max = 1024))]
    pub writes_at_once: u32,
    /// Batches waiting for one shard. A full queue makes requests wait, then answers 503.
    #[schemars(range(min = 1, max = 65536))]
    pub queue_batches: u32,
    /// How long a write request may wait for room before it gets 503 with Retry-After.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "10ms", "x-max" = "5m"))]
    pub queue_wait: Duration,
    /// How long a connection may take for its first byte and for the headers of a request.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "100ms", "x-max" = "5m"))]
    pub header_wait: Duration,
    /// How long a whole request may take, the time of its body included. Longer than `queue_wait`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub request: Duration,
    /// Score lines on one page of `/metrics/scores`. Beyond it the anomalous and the highest scores
    /// are shown and the rest is counted in `saimon_scores_left_out`.
    #[schemars(range(min = 1, max = 10000000))]
    pub score_lines: u32,
    /// Metric families whose metadata is remembered.
    #[schemars(range(min = 1, max = 10000000))]
    pub metadata_families: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            series: 1_000_000,
            memory: None,
            body: ByteSize::mib(32),
            body_raw: ByteSize::mib(32),
            labels_per_series: 128,
            label_name: 1024,
            label_value: 8192,
            connections: 512,
            writes_at_once: 16,
            queue_batches: 16,
            queue_wait: Duration::from_secs(5),
            header_wait: Duration::from_secs(10),
            request: Duration::from_secs(30),
            score_lines: 20_000,
            metadata_families: 100_000,
        }
    }
}
