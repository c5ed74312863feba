//! What is kept of anomalies.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Records of anomalies: what `/api/v1/anomalies` answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordsConfig {
    /// How long a record is kept after its anomaly ended. 0s: no records are kept at all.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "400d"))]
    pub keep: Duration,
    /// Records that are kept. Beyond it the oldest go. Each takes about 100 bytes of memory and half a
    /// KiB on disk, and the labels of each series that has any are held once.
    #[schemars(range(min = 100, max = 10000000))]
    pub max: u32,
}

impl Default for RecordsConfig {
    fn default() -> Self {
        Self {
            keep: Duration::from_secs(30 * 24 * 3600),
            max: 100_000,
        }
    }
}
