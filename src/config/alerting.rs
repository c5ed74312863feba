//! What the rules say: which anomalies alert, after how long, for which Prometheus.

use std::fmt;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Severity;
use super::client::Address;

/// What `saimon rules` writes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AlertingConfig {
    /// Anomalies below this severity raise no alert. One rule is written for this severity and one
    /// for each graver one.
    pub min_severity: Severity,
    /// How long an active anomaly must last before its alert fires, per severity.
    pub hold: HoldConfig,
    /// How long an alert outlives its anomaly, so that one that wavers, a failed scrape or a restart of
    /// saimon does not end it and begin another. 0s: not at all.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "1d"))]
    pub keep_firing_for: Duration,
    /// Version of the Prometheus that evaluates the rules. `keep_firing_for` is a word of its rules from
    /// 2.42 on; for an older one the rules look back as long instead.
    #[schemars(length(min = 1), extend("format" = "text"))]
    pub prometheus_version: String,
    /// Whether there are alerts about groups, see `groups.by`: one for each kind of group and severity,
    /// from the score of `detect.severity` on, while at least one of its series has an anomaly that
    /// alerts, after `hold`, but not before a minute.
    pub groups: bool,
    /// Whether there are alerts about incidents, see docs/incidents.md: one for each severity. They
    /// silence those about their series and groups.
    pub incidents: bool,
    /// Where Grafana is, for example `https://grafana.example`. Alerts then link to the dashboard of
    /// their series or group, which `saimon dashboards` writes.
    pub grafana_url: Option<Address>,
    /// Where people reach saimon, for example `https://saimon.example`. Alerts then link to the page of
    /// their series, group or incident, see docs/page.md.
    pub saimon_url: Option<Address>,
    /// The `job` label under which your Prometheus scrapes saimon's own `/metrics`. The rules about
    /// saimon's health select by it.
    #[schemars(length(min = 1), extend("format" = "text"))]
    pub job: String,
    /// Labels added to every alert, for example `team: sre`. Not `alertname`, `severity`, `series`,
    /// `job`, `instance` or `source_metric`, which say what the alert is about.
    #[schemars(extend("format" = "labels"))]
    pub labels: std::collections::BTreeMap<String, String>,
}

impl Default for AlertingConfig {
    fn default() -> Self {
        Self {
            min_severity: Severity::Medium,
            hold: HoldConfig::default(),
            keep_firing_for: Duration::from_secs(60),
            prometheus_version: "2.42.0".to_owned(),
            groups: true,
            incidents: true,
            grafana_url: None,
            saimon_url: None,
            job: "saimon".to_owned(),
            labels: std::collections::BTreeMap::new(),
        }
    }
}

/// How long an active anomaly must last before its alert fires (the `for` of the alert rule).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HoldConfig {
    /// An anomaly of severity `low`, where `min_severity` asks for it. 0s: at once.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "1d"))]
    pub low: Duration,
    /// An anomaly that reached severity `medium` and did not fall below it meanwhile.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "1d"))]
    pub medium: Duration,
    /// An anomaly that reached severity `high` and did not fall below it meanwhile.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "1d"))]
    pub high: Duration,
    /// An anomaly of severity `critical`. 0s: at the next evaluation of the rules.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "0s", "x-max" = "1d"))]
    pub critical: Duration,
}

impl Default for HoldConfig {
    fn default() -> Self {
        Self {
            low: Duration::from_secs(300),
            medium: Duration::from_secs(120),
            high: Duration::from_secs(30),
            critical: Duration::ZERO,
        }
    }
}

impl AlertingConfig {
    /// The version as numbers.
    ///
    /// # Errors
    ///
    /// A text that is no version.
    pub fn version(&self) -> Result<PrometheusVersion, String> {
        PrometheusVersion::parse(&self.prometheus_version)
    }
}

/// A version of Prometheus, as far as rules depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PrometheusVersion {
    pub major: u32,
    pub minor: u32,
}

impl PrometheusVersion {
    /// The first whose rules know `keep_firing_for`.
    pub const KEEPS_FIRING: Self = Self {
        major: 2,
        minor: 42,
    };

    /// Takes `2.42`, `v2.42.0` and `3.5.0-rc.1`.
    ///
    /// # Errors
    ///
    /// A text that is no version.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |part: Option<&str>| part.and_then(|p| p.parse::<u32>().ok());
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        match (number(parts.next()), number(parts.next())) {
            (Some(major), Some(minor)) => Ok(Self { major, minor }),
            _ => Err("is not a version of Prometheus: 2.42 or 3.5.0 would be one".to_owned()),
        }
    }

    /// Whether rules have `keep_firing_for`.
    pub fn keeps_firing(self) -> bool {
        self >= Self::KEEPS_FIRING
    }
}

impl fmt::Display for PrometheusVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_two_numbers_and_what_follows() {
        let parsed = |text| PrometheusVersion::parse(text).ok().map(|v| v.to_string());
        for (text, version) in [("2.42", "2.42"), ("v2.41.0", "2.41"), ("3.5.0-rc.1", "3.5")] {
            assert_eq!(parsed(text).as_deref(), Some(version));
        }
        for text in ["", "2", "two.four", "2.x", "-1.2"] {
            assert_eq!(parsed(text), None, "{text}");
        }
    }

    #[test]
    fn rules_keep_firing_from_2_42_on() {
        let keeps = |text| PrometheusVersion::parse(text).unwrap().keeps_firing();
        assert!(!keeps("2.41.9") && keeps("2.42") && keeps("2.100") && keeps("3.0"));
    }

    #[test]
    fn the_default_has_a_version() {
        let version = AlertingConfig::default().version();
        assert_eq!(version, Ok(PrometheusVersion::KEEPS_FIRING));
    }
}
