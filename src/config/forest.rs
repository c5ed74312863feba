//! How isolation forests are grown and which series have one.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The isolation forests: the second tier of the detectors, asked about what looks odd to the first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ForestConfig {
    /// Memory for all forests together. One takes about 60 KiB with these settings, so the default
    /// is room for about 570. Where there is not enough, series that a rule gives one have it
    /// first, then those that ask most often; the others are scored without
    /// (`saimon_forests` is then at `saimon_forests_limit`). `0B`: no series has one.
    #[schemars(with = "String", extend("format" = "size", "x-min" = "0B", "x-max" = "1TiB"))]
    pub memory: ByteSize,
    /// Trees in a forest. More cost time and memory in proportion, and change little from here on.
    #[schemars(range(min = 1, max = 1000))]
    pub trees: u16,
    /// Rows of the past that each tree is grown from, drawn at random.
    #[schemars(range(min = 8, max = 4096))]
    pub samples: u16,
    /// Rows of the past that are kept to grow trees from, at 22 bytes each.
    #[schemars(range(min = 64, max = 4096))]
    pub rows: u16,
    /// How far back these rows reach; within it, every sample is equally likely to be one of them.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1h", "x-max" = "365d"))]
    pub past: Duration,
    /// What of a sample is looked at: `value`, `residual` (without its rhythm of the day),
    /// `change_5` and `change_60` (against the means of so many samples), `mean_30`, `mean_60`,
    /// `deviation_5`, `deviation_10`, `deviation_30`, `deviation_60`. Empty: all of these.
    pub features: Vec<String>,
    /// Samples of a series before its first forest. It is grown anew at twice as many, and again,
    /// until the series is older than a day.
    #[schemars(range(min = 20, max = 100000))]
    pub min_points: u32,
    /// When forests are grown anew after that: `daily`, each series at its own time of the day, or a
    /// cron expression in `detect.time_zone`, such as `0 3 * * *`, when all are.
    #[schemars(length(min = 1), extend("format" = "text"))]
    pub schedule: String,
    /// Evidence of the other detectors from which on the forest is asked about a sample. 0: about
    /// every one.
    #[schemars(range(min = 0.0, max = 30.0))]
    pub gate: f64,
    /// Samples for which it is asked after that.
    #[schemars(range(min = 0, max = 250))]
    pub hold: u8,
    /// Series whose samples are this far apart, or further, ask about every sample. Ranks samples
    /// within an incident better, and raises more false alarms (docs/accuracy.md); none do unless it
    /// is set.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "1s", "x-max" = "7d"))]
    pub always_from: Option<Duration>,
    /// Another number gives other random trees everywhere.
    #[schemars(range(min = 0, max = 4294967295_u64))]
    pub seed: u32,
}

impl Default for ForestConfig {
    fn default() -> Self {
        Self {
            memory: ByteSize::mib(32),
            trees: 25,
            samples: 256,
            rows: 1024,
            past: Duration::from_secs(30 * 86_400),
            features: Vec::new(),
            min_points: 200,
            schedule: "daily".to_owned(),
            gate: 3.5,
            hold: 30,
            always_from: None,
            seed: 0,
        }
    }
}

/// Whether a series has a forest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ForestUse {
    /// While there is memory for it, and before others if it asks more often.
    #[default]
    Auto,
    /// Before all that are `auto`.
    Always,
    /// It has none.
    Never,
}
