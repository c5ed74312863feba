//! Which anomalies are one incident.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Incidents: what `/api/v1/incidents` answers and `saimon_incident` shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IncidentsConfig {
    /// What series have to share so that their anomalies may be one incident. Each entry is one label,
    /// or several with commas between them, all of which must be equal; `__name__` is the name of the
    /// metric. To share what one entry says is enough. `[]`: there are no incidents.
    pub by: Vec<String>,
    /// Whether it is enough, too, that two series were learned to move together: series of one group by
    /// `groups.joint_by`, see docs/groups.md.
    pub learned: bool,
    /// An anomaly belongs to an incident if it began at most this long before the first of its
    /// anomalies or after the last of them.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "1d"))]
    pub within: Duration,
    /// No anomaly of an incident begins later than this after its first.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "1s", "x-max" = "7d"))]
    pub spread: Duration,
}

impl Default for IncidentsConfig {
    fn default() -> Self {
        Self {
            by: vec!["instance".to_owned(), "job,__name__".to_owned()],
            learned: true,
            within: Duration::from_secs(300),
            spread: Duration::from_secs(900),
        }
    }
}
