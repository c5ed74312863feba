//! The configuration file as plain data: every key, its meaning and its default.
//!
//! Nothing has to be configured. Each layer turns its part into a checked form of its own by
//! `TryFrom`; no layer reads a file. `docs/configuration.md` is generated from these types, so the
//! doc comments below are what a user reads.

pub mod alerting;
pub mod client;
pub mod detect;
pub mod forest;
pub mod groups;
pub mod history;
pub mod incidents;
pub mod limits;
pub mod live;
pub mod maintenance;
pub mod outputs;
pub mod preset;
pub mod read;
pub mod records;
pub mod relabel;
pub mod store;
pub mod web;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use alerting::{AlertingConfig, HoldConfig, PrometheusVersion};
pub use client::ClientConfig;
pub use detect::{DetectConfig, Direction, KindOverride, RuleConfig, SeverityConfig};
pub use forest::{ForestConfig, ForestUse};
pub use groups::GroupsConfig;
pub use history::HistoryConfig;
pub use incidents::IncidentsConfig;
pub use limits::LimitsConfig;
pub use maintenance::{AlertmanagerConfig, MaintenanceConfig, WindowConfig};
pub use outputs::{OutputsConfig, RemoteWriteConfig};
pub use preset::Preset;
pub use read::ReadConfig;
pub use records::RecordsConfig;
pub use relabel::{RelabelAction, RelabelConfig};
pub use store::{LogFull, StoreConfig, SyncMode};
pub use web::{WebConfig, WebFile};

/// The whole file. Unknown keys are errors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Ready rules for the series of well-known exporters, for example `[node, prometheus]`: which
    /// side of the band counts, what is too small to matter, what is not modelled. They lie under
    /// `detect.rules`, so that rules of your own change them. What each says: docs/presets.md.
    pub presets: Vec<Preset>,
    /// What is modelled and how.
    pub detect: DetectConfig,
    /// Which series belong together, and how they are judged as one, see docs/groups.md.
    pub groups: GroupsConfig,
    /// What is kept on disk and for how long.
    pub store: StoreConfig,
    /// Where the past of new series is read from, so that their models need not wait for a warm-up.
    /// Without a `url` nothing is read.
    pub history: HistoryConfig,
    /// What `saimon rules` writes.
    pub alerting: AlertingConfig,
    /// How Prometheus reads the windows back by `remote_read`, see docs/remote-read.md. If it writes
    /// and reads with the same `external_labels`, none of these keys is needed.
    pub read: ReadConfig,
    /// Where scores are sent, see docs/outputs.md. Without it they are only there to be scraped.
    pub outputs: OutputsConfig,
    /// Whom the HTTP surface answers, see docs/security.md.
    pub web: WebConfig,
    /// How long anomalies are on record, see docs/api.md.
    pub records: RecordsConfig,
    /// Windows of maintenance, and what changes at targets, see docs/maintenance.md.
    pub maintenance: MaintenanceConfig,
    /// Which anomalies are one incident, see docs/incidents.md.
    pub incidents: IncidentsConfig,
    /// A bound on everything that a sender or a reader could make grow.
    pub limits: LimitsConfig,
}

/// How grave an anomaly is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Severity {
    /// Over the line; on a young series also whatever would be graver.
    Low = 0,
    /// From `detect.severity.medium` on.
    Medium = 1,
    /// From `detect.severity.high` on.
    High = 2,
    /// From `detect.severity.critical` on.
    Critical = 3,
}

impl Severity {
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}
