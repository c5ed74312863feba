//! Windows of maintenance.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Address, ClientConfig};

/// Times in which nobody is alerted of some series, or nothing is learned from them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct MaintenanceConfig {
    /// The windows. Others may be added and ended through the API, see docs/maintenance.md.
    pub windows: Vec<WindowConfig>,
    /// How long what changed at a target (a restart, a new build, what somebody said) is held against
    /// its anomalies: those that begin within this time are marked, and shown all the same. `0s`:
    /// changes are not looked for.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "1d"))]
    pub change_window: Duration,
    /// Whose silences are times in which nothing is learned.
    pub alertmanager: AlertmanagerConfig,
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            windows: Vec::new(),
            change_window: Duration::from_secs(300),
            alertmanager: AlertmanagerConfig::default(),
        }
    }
}

/// The Alertmanager whose silences are times in which nothing is learned of the series that they match.
/// Without a `url` none are read.
// Unknown keys are found by the check of the file: serde cannot refuse them beside a flattened part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct AlertmanagerConfig {
    /// Its base address, such as `http://alertmanager:9093`.
    pub url: Option<Address>,
    #[serde(flatten)]
    pub client: ClientConfig,
    /// How often silences are read. Samples that come earlier than a silence is read are learned from.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "1h"))]
    pub interval: Duration,
}

impl Default for AlertmanagerConfig {
    fn default() -> Self {
        Self {
            url: None,
            client: ClientConfig::default(),
            interval: Duration::from_secs(30),
        }
    }
}

/// One window: from `start` to `end`, or `duration` long whenever `schedule` says so.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WindowConfig {
    /// Which series, as in PromQL. Every window needs one.
    #[schemars(extend("format" = "selector"))]
    pub selector: String,
    /// When it begins, in RFC 3339: `2026-12-24T18:00:00Z`. Without: as soon as saimon knows of it.
    #[schemars(extend("format" = "text"))]
    pub start: Option<String>,
    /// When it ends. Needed without a `schedule`.
    #[schemars(extend("format" = "text"))]
    pub end: Option<String>,
    /// When it begins again and again: a cron expression such as `0 2 * * SUN`.
    #[schemars(extend("format" = "text"))]
    pub schedule: Option<String>,
    /// How long each of these is.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "Option<String>", extend("format" = "duration", "x-min" = "1m", "x-max" = "30d"))]
    pub duration: Option<Duration>,
    /// The time zone of `schedule`; UTC unless given.
    #[schemars(extend("format" = "text"))]
    pub time_zone: Option<String>,
    /// Whether anomalies are shown in it as at any other time. They are on record either way.
    pub alert: bool,
    /// Whether its samples are learned from.
    pub learn: bool,
    /// What it is for.
    #[schemars(extend("format" = "text"))]
    pub comment: Option<String>,
}
