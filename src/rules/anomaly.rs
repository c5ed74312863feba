//! `SaimonAnomaly`, one rule for each severity that alerts.
//!
//! A rule of a severity also holds for graver ones, so that an anomaly that grows or wavers keeps
//! its alert; the lesser alert is silenced by Alertmanager ([`super::inhibit`]). Severity, direction
//! and reason of `saimon_anomaly` may change while an anomaly lasts. They are therefore not labels of
//! the alert, which would end it and begin another, but are looked up for its text. The label `series`
//! names the series in one piece, for inhibition to compare.

mod cases;
pub(super) mod text;

use super::alert::{Alert, Keep, hold};
use crate::config::{AlertingConfig, Severity};

pub(super) const NAME: &str = "SaimonAnomaly";

/// Severities that alert, the least grave first.
pub(super) fn levels(config: &AlertingConfig) -> Vec<Severity> {
    Severity::ALL
        .into_iter()
        .filter(|s| *s >= config.min_severity)
        .collect()
}

/// The alerts of all severities that alert, the least grave first.
pub fn alerts(config: &AlertingConfig) -> Vec<Alert> {
    let levels = levels(config);
    let mut alerts: Vec<_> = levels.iter().map(|s| alert(config, *s)).collect();
    // The rules have one name, so their cases are told once, of all rules together.
    if let Some(first) = alerts.first_mut() {
        first.cases = cases::all(config, &levels);
    }
    alerts
}

fn alert(config: &AlertingConfig, severity: Severity) -> Alert {
    let graver: Vec<_> = Severity::ALL
        .into_iter()
        .filter(|s| *s >= severity)
        .map(Severity::as_str)
        .collect();
    let mut labels = config.labels.clone();
    labels.insert("severity".to_owned(), severity.as_str().to_owned());
    labels.insert("series".to_owned(), text::SERIES.to_owned());
    let keep = Keep::of(config);
    let active = format!(
        "saimon_anomaly{{state=\"active\",severity=~\"{}\"}}",
        graver.join("|")
    );
    Alert {
        name: NAME,
        expr: format!(
            "max without (state, severity, direction, reason) ({})",
            keep.selected(&active)
        ),
        hold: hold(&config.hold, severity),
        keep: keep.word(),
        labels,
        annotations: text::annotations(config),
        cases: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn one_rule_for_each_severity_that_alerts() {
        let mut config = AlertingConfig::default();
        let severities = |config: &AlertingConfig| {
            alerts(config)
                .iter()
                .map(|a| a.labels["severity"].clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(severities(&config), ["medium", "high", "critical"]);
        config.min_severity = Severity::Critical;
        assert_eq!(severities(&config), ["critical"]);
        config.min_severity = Severity::Low;
        assert_eq!(severities(&config).len(), 4);
    }

    #[test]
    fn a_rule_holds_for_graver_anomalies_too() {
        let alerts = alerts(&AlertingConfig::default());
        assert!(alerts[0].expr.contains("\"medium|high|critical\""));
        assert!(alerts[2].expr.contains("\"critical\""));
    }

    #[test]
    fn holds_and_labels_come_from_the_configuration() {
        let mut config = AlertingConfig::default();
        config.hold.high = Duration::from_secs(7);
        config.labels.insert("team".to_owned(), "sre".to_owned());
        let rule = alerts(&config)[1].rule();
        assert_eq!(rule.hold.as_deref(), Some("7s"));
        assert_eq!(rule.labels["team"], "sre");
    }

    #[test]
    fn an_older_prometheus_is_given_no_word_that_it_does_not_know() {
        let mut config = AlertingConfig::default();
        assert_eq!(
            alerts(&config)[0].rule().keep_firing_for.as_deref(),
            Some("1m")
        );
        config.prometheus_version = "2.41".to_owned();
        let rule = alerts(&config)[0].rule();
        assert_eq!(rule.keep_firing_for, None);
        assert!(rule.expr.contains("max_over_time(") && rule.expr.contains("[1m]"));
        config.keep_firing_for = Duration::ZERO;
        assert!(!alerts(&config)[0].expr.contains("max_over_time("));
    }
}
