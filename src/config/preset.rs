//! Which ready rules there are. What they say stands in `deploy/presets`; `config_file` reads it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Ready rules for the series of an exporter that many have.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    clap::ValueEnum,
)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Series of node_exporter.
    Node,
    /// Series of kube-state-metrics, of cAdvisor and of the kubelet's volumes.
    Kubernetes,
    /// Series of Prometheus itself, and `up`.
    Prometheus,
    /// Series of HTTP services, their proxies and the blackbox exporter.
    Http,
}

impl Preset {
    pub const ALL: [Self; 4] = [Self::Node, Self::Kubernetes, Self::Prometheus, Self::Http];

    /// As a configuration file names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Kubernetes => "kubernetes",
            Self::Prometheus => "prometheus",
            Self::Http => "http",
        }
    }
}
