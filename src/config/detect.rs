//! Which series are modelled, as what, and how sensitively.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ForestConfig, ForestUse};

/// What is modelled and how. The values here hold for every series; `rules` change them for some.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DetectConfig {
    /// Length of the rhythm that the seasonal baseline learns. A day, unless time itself runs
    /// faster, as in the demo.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "10s", "x-max" = "7d"))]
    pub day: Duration,
    /// Samples of a series before its first score. Until then it has no score at all.
    #[schemars(range(min = 20, max = 10000))]
    pub warmup: u32,
    /// Samples of a series before its anomalies may be graver than `low`. Keeps a fresh start or a
    /// deployment of many new series from becoming a storm. A number below `warmup` switches it off.
    #[schemars(range(min = 0, max = 1000000))]
    pub young: u32,
    /// The evidence at which a value is outside its band: where the line, a score of 0.7, is
    /// drawn. Larger is quieter; see docs/models.md for what evidence is.
    #[schemars(range(min = 1.0, max = 50.0))]
    pub line: f64,
    /// Samples over the line, among the newest `confirm_of`, that make a pending anomaly active: m of
    /// n. At most `confirm_of`.
    #[schemars(range(min = 1, max = 8))]
    pub confirm: u32,
    /// Newest samples of which `confirm` must be over the line.
    #[schemars(range(min = 1, max = 8))]
    pub confirm_of: u32,
    /// How long an anomaly must have lasted before it becomes active, from the first of its samples
    /// over the line to the newest; until then it is pending. `0s`: it need not.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "30d"))]
    pub min_duration: Duration,
    /// Samples in a row under the line that end an anomaly.
    #[schemars(range(min = 1, max = 1000))]
    pub release: u32,
    /// How long a new behaviour must last before it is learned as normal and its anomaly ends.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "90d"))]
    pub adapt: Duration,
    /// How long a series must be silent at least before it is missed, and five times as long as it ever
    /// is besides. A series that ended by a stale marker is not. `0s`: no series is missed.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "30d"))]
    pub absent: Duration,
    /// Time zone of the wall clock that people live by: rhythms of the day and cron expressions
    /// follow it, with its changes of summer and winter time. A name such as `Europe/Berlin`.
    #[schemars(length(min = 1), extend("format" = "text"))]
    pub time_zone: String,
    /// The isolation forests: the second tier of the detectors, asked about what looks odd to the
    /// first.
    pub forest: ForestConfig,
    /// From which score on an anomaly has each severity; `low` starts at the line, 0.7. Rising. How
    /// rare the score is for that very series counts too: see docs/models.md.
    pub severity: SeverityConfig,
    /// Labels that change while what a series measures stays the same, as pods do with each rollout.
    /// A new series that differs from an older one in these alone may begin with what is known of
    /// that, at low confidence; see docs/models.md. Empty: every series begins with nothing.
    pub siblings: Vec<String>,
    /// Changes for some series, by label selector. All rules that match a series apply, in order,
    /// later ones over earlier ones.
    pub rules: Vec<RuleConfig>,
}

impl Default for DetectConfig {
    fn default() -> Self {
        Self {
            day: Duration::from_secs(24 * 3600),
            warmup: 100,
            young: 2000,
            line: 5.6,
            confirm: 2,
            confirm_of: 5,
            min_duration: Duration::ZERO,
            release: 5,
            adapt: Duration::from_secs(12 * 3600),
            absent: Duration::from_secs(300),
            time_zone: "UTC".to_owned(),
            forest: ForestConfig::default(),
            severity: SeverityConfig::default(),
            siblings: [
                "pod",
                "pod_name",
                "container_id",
                "id",
                "uid",
                "instance",
                "node",
                "replica",
                "task_id",
                "alloc_id",
            ]
            .map(str::to_owned)
            .into(),
            rules: Vec::new(),
        }
    }
}

/// From which score on an anomaly has each severity; `low` starts at the line, 0.7.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SeverityConfig {
    /// Score from which an anomaly is `medium`.
    #[schemars(range(min = 0.7, max = 0.999999))]
    pub medium: f64,
    /// Score from which an anomaly is `high`. Above `medium`.
    #[schemars(range(min = 0.7, max = 0.999999))]
    pub high: f64,
    /// Score from which an anomaly is `critical`. Above `high`.
    #[schemars(range(min = 0.7, max = 0.999999))]
    pub critical: f64,
}

impl Default for SeverityConfig {
    fn default() -> Self {
        Self {
            medium: 0.85,
            high: 0.95,
            critical: 0.99,
        }
    }
}

/// Changes for the series that a selector matches. A key that is left out changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RuleConfig {
    /// A series selector as in PromQL, for example `{job="node", mountpoint!~"/run.*"}`. Every rule
    /// needs one.
    #[schemars(extend("format" = "selector"))]
    pub selector: String,
    /// False: these series are received and counted, and not modelled.
    pub model: Option<bool>,
    /// What these series are, where metadata and names say otherwise or nothing.
    pub kind: Option<KindOverride>,
    /// Which side of the band counts.
    pub direction: Option<Direction>,
    /// Values below this are out of range, whatever these series are used to; in the unit of the scored
    /// value (counters: per second).
    #[schemars(range(min = -1e300, max = 1e300))]
    pub min: Option<f64>,
    /// Values above this are out of range.
    #[schemars(range(min = -1e300, max = 1e300))]
    pub max: Option<f64>,
    /// Values nearer to the expected one than this are never anomalous, in the unit of the scored
    /// value (counters: per second).
    #[schemars(range(min = 0.0, max = 1e300))]
    pub min_deviation: Option<f64>,
    /// The same as a share of the expected value: 0.1 is a tenth of it.
    #[schemars(range(min = 0.0, max = 1000.0))]
    pub min_deviation_ratio: Option<f64>,
    /// Overrides `detect.warmup`.
    #[schemars(range(min = 20, max = 10000))]
    pub warmup: Option<u32>,
    /// Overrides `detect.young`.
    #[schemars(range(min = 0, max = 1000000))]
    pub young: Option<u32>,
    /// Overrides `detect.line`.
    #[schemars(range(min = 1.0, max = 50.0))]
    pub line: Option<f64>,
    /// Overrides `detect.confirm`.
    #[schemars(range(min = 1, max = 8))]
    pub confirm: Option<u32>,
    /// Overrides `detect.confirm_of`.
    #[schemars(range(min = 1, max = 8))]
    pub confirm_of: Option<u32>,
    /// Overrides `detect.min_duration`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "0s", "x-max" = "30d"))]
    pub min_duration: Option<Duration>,
    /// Overrides `detect.release`.
    #[schemars(range(min = 1, max = 1000))]
    pub release: Option<u32>,
    /// Overrides `detect.adapt`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "1s", "x-max" = "90d"))]
    pub adapt: Option<Duration>,
    /// Overrides `detect.absent`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "0s", "x-max" = "30d"))]
    pub absent: Option<Duration>,
    /// Overrides `detect.day`. For series that are there when the rule comes, from the next start on.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "10s", "x-max" = "7d"))]
    pub day: Option<Duration>,
    /// Whether these series have an isolation forest, see `detect.forest`.
    pub forest: Option<ForestUse>,
    /// Overrides `store.window`: how long raw samples of these series are kept. At most
    /// `store.forget`. Series that were there before the rule go on beside their neighbours, and the
    /// longest time of the neighbours counts for all of them.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "1m", "x-max" = "400d"))]
    pub window: Option<Duration>,
    /// Overrides `store.rollups`.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "0s", "x-max" = "400d"))]
    pub rollups: Option<Duration>,
    /// Overrides `detect.severity`. All three must be given.
    pub severity: Option<SeverityConfig>,
}

/// Which side of the band counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Only values above the band.
    Up,
    /// Only values below the band.
    Down,
    /// Either side.
    #[default]
    Both,
}

impl Direction {
    /// True if that way, up or down, counts.
    pub fn counts(self, up: bool) -> bool {
        match self {
            Self::Up => up,
            Self::Down => !up,
            Self::Both => true,
        }
    }
}

/// What a series is scored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KindOverride {
    /// Its value.
    Gauge,
    /// Its rate per second between samples, resets left out.
    Counter,
}
