//! Where the past of a new series is read from, and how gently.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Address, ClientConfig};

/// Where the past of new series is read from, so that their models need not wait for a warm-up.
/// Without a `url` nothing is read.
// Unknown keys are found by the check of the file: serde cannot refuse them beside a flattened part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct HistoryConfig {
    /// The server that has the past of the series that are sent here: a Prometheus, or a store with
    /// its query API. Its base address (`http://prometheus:9090`) or that of its remote read
    /// (`.../api/v1/read`).
    pub url: Option<Address>,
    #[serde(flatten)]
    pub client: ClientConfig,
    /// How far back is read.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1m", "x-max" = "400d"))]
    pub range: Duration,
    /// Read the past of these series only.
    #[schemars(extend("format" = "optional selector"))]
    pub selector: Option<String>,
    /// The `external_labels` of that server, if it is a Prometheus. Left empty they are asked from
    /// its `/api/v1/status/config`.
    #[schemars(extend("format" = "labels"))]
    pub external_labels: BTreeMap<String, String>,
    /// Requests under way at once.
    #[schemars(range(min = 1, max = 64))]
    pub concurrency: u32,
    /// Requests begun in a second.
    #[schemars(range(min = 0.01, max = 1000.0))]
    pub requests_per_second: f64,
    /// Samples read in a second, on average.
    #[schemars(range(min = 1000, max = 100000000))]
    pub samples_per_second: u32,
    /// Longest time that one request asks for; a longer range is read in parts.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1m", "x-max" = "30d"))]
    pub request_range: Duration,
    /// Series that are read together.
    #[schemars(range(min = 1, max = 5000))]
    pub request_series: u32,
    /// Samples that are read together: a bound on memory, `concurrency` times 16 bytes each.
    #[schemars(range(min = 10000, max = 20000000))]
    pub request_samples: u32,
    /// How often a request is tried before its series are left to warm up by themselves. The pauses
    /// between tries double from a second to a minute.
    #[schemars(range(min = 1, max = 100))]
    pub tries: u32,
    /// Distance of the values that `/api/v1/query_range` is asked for: the usual scrape interval.
    /// Only for stores that have neither remote read nor range selectors.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub step: Duration,
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            url: None,
            client: ClientConfig::default(),
            range: Duration::from_secs(24 * 3600),
            selector: None,
            external_labels: BTreeMap::new(),
            concurrency: 4,
            requests_per_second: 10.0,
            samples_per_second: 1_000_000,
            request_range: Duration::from_secs(6 * 3600),
            request_series: 200,
            request_samples: 2_000_000,
            tries: 8,
            step: Duration::from_secs(15),
        }
    }
}
