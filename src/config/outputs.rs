//! Where scores are sent.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Address, ClientConfig};
use super::relabel::RelabelConfig;

/// Most receivers. Each costs a task, a cursor and its share of the queue.
pub const RECEIVERS_MAX: usize = 8;

/// Where scores are sent, see docs/outputs.md. Without it they are only there to be scraped.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutputsConfig {
    /// Receivers of the scores by Prometheus remote write: each sample's score with the sample's
    /// timestamp. At most 8.
    pub remote_write: Vec<RemoteWriteConfig>,
}

/// One receiver. The keys are those of Prometheus' `remote_write` where it has them.
// Unknown keys are found by the check of the file: serde cannot refuse them beside a flattened part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RemoteWriteConfig {
    /// Where to, for example `http://prometheus:9090/api/v1/write`.
    pub url: Address,
    /// What this receiver is called in metrics and logs, and what its place in the queue is kept
    /// under: with another name it begins anew. Left out: host and path of `url`.
    #[schemars(extend("format" = "text"))]
    pub name: Option<String>,
    /// The message that is sent.
    pub protobuf_message: MessageConfig,
    /// A receiver that does not take remote write 2.0 is sent 1.0 until the next start.
    pub fall_back: bool,
    #[serde(flatten)]
    pub client: ClientConfig,
    /// Relabelling of what is sent, `__name__` included, which is `saimon_anomaly_score` or the
    /// name of another of the `series`.
    pub write_relabel_configs: Vec<RelabelConfig>,
    /// Scores below this are not sent. A series that falls below it ends with a stale marker, and
    /// begins again when it is back. 0: all scores.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_score: f64,
    /// What is sent of each judged sample.
    pub series: Vec<OutputSeries>,
    /// How much may wait on disk, and how it is sent.
    pub queue_config: QueueConfig,
    /// Type and help of the metrics. Remote write 2.0 has them with every series in any case.
    pub metadata_config: MetadataConfig,
}

/// A version of remote write, by the name of its message.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MessageConfig {
    /// Remote write 1.0, which every receiver takes.
    #[default]
    #[serde(rename = "prometheus.WriteRequest")]
    V1,
    /// Remote write 2.0: smaller, with the type and help of every series.
    #[serde(rename = "io.prometheus.write.v2.Request")]
    V2,
}

/// Series that can be sent of a judged sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputSeries {
    /// `saimon_anomaly_score`: how unlikely the sample is, 0.7 is the line.
    Score,
    /// `saimon_expected`: what was expected, in the unit of the scored value.
    Expected,
    /// `saimon_lower_bound` and `saimon_upper_bound`: the values for which the score would have
    /// stayed under 0.7. They are searched for: scoring with them costs many times as much CPU.
    Bounds,
    /// `saimon_deviation`: the evidence in units of the line.
    Deviation,
    /// `saimon_rarity`: 3 is once in 1,000 samples of this series.
    Rarity,
}

/// How much may wait on disk, and how it is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct QueueConfig {
    /// Bytes on disk, in `output/` of the data directory, that may wait for this receiver. Beyond
    /// it the oldest are given up and counted. What is there after a restart is sent.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "1MiB", "x-max" = "1TiB"))]
    pub limit: ByteSize,
    /// Requests under way at once. A series always goes with the same one, so that its samples
    /// arrive in order.
    #[schemars(range(min = 1, max = 64))]
    pub max_shards: u32,
    /// Samples in one request.
    #[schemars(range(min = 1, max = 100000))]
    pub max_samples_per_send: u32,
    /// How long a request that is not full waits for more.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "10m"))]
    pub batch_send_deadline: Duration,
    /// The pause before a failed request is sent again; it doubles with each failure. A receiver's
    /// Retry-After takes its place.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1ms", "x-max" = "10m"))]
    pub min_backoff: Duration,
    /// The longest such pause.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1ms", "x-max" = "1h"))]
    pub max_backoff: Duration,
    /// Whether a request that is answered with 429 is sent again. False: it is given up, as every
    /// other answer of 4xx.
    pub retry_on_http_429: bool,
    /// Samples that are older than this when their turn comes are not sent. 0s: none is too old.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "400d"))]
    pub sample_age_limit: Duration,
}

/// Type and help of the metrics, for receivers of remote write 1.0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MetadataConfig {
    /// Whether they are sent.
    pub send: bool,
    /// How long from one time to the next.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "1d"))]
    pub send_interval: Duration,
}

impl RemoteWriteConfig {
    /// What the receiver is called.
    pub fn shown_name(&self) -> String {
        match &self.name {
            Some(name) => name.clone(),
            None => self.url.parts().2.to_owned(),
        }
    }
}

impl Default for RemoteWriteConfig {
    fn default() -> Self {
        Self {
            url: Address::default(),
            name: None,
            protobuf_message: MessageConfig::default(),
            fall_back: true,
            client: ClientConfig::default(),
            write_relabel_configs: Vec::new(),
            min_score: 0.0,
            series: vec![OutputSeries::Score],
            queue_config: QueueConfig::default(),
            metadata_config: MetadataConfig::default(),
        }
    }
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            limit: ByteSize::gib(1),
            max_shards: 4,
            max_samples_per_send: 2_000,
            batch_send_deadline: Duration::from_secs(1),
            min_backoff: Duration::from_millis(30),
            max_backoff: Duration::from_secs(5),
            retry_on_http_429: true,
            sample_age_limit: Duration::ZERO,
        }
    }
}

impl Default for MetadataConfig {
    fn default() -> Self {
        Self {
            send: true,
            send_interval: Duration::from_secs(60),
        }
    }
}
