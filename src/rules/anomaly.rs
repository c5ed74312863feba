//! `SaimonAnomaly`, one rule for each severity that alerts.
//!
//! A rule of a severity also holds for graver ones, so that an anomaly that grows or wavers keeps
//! its alert; the lesser alert is silenced by the inhibition rules of `examples/alertmanager.yml`.
//! Severity, direction and reason of `saimon_anomaly` may change while an anomaly lasts. They are
//! therefore not labels of the alert, which would end it and begin another, but are looked up for its
//! text. The label `series` names the series in one piece, for inhibition to compare.

use std::collections::BTreeMap;
use std::time::Duration;

use super::alert::{Alert, Case, Look, series};
use super::format::{Annotations, InputSeries, quoted};
use super::proof::{STEP, steps};
use crate::config::{AlertingConfig, HoldConfig, Severity};

const NAME: &str = "SaimonAnomaly";

/// A restart of saimon or a failed scrape leaves a gap that is shorter than this.
const KEEP: Duration = Duration::from_secs(60);

/// The series in one piece, in the notation of PromQL.
const SERIES: &str = r#"{{- $labels.source_metric }}{{ "{" }}
{{- $comma := "" }}
{{- range $name, $value := $labels }}
  {{- if ne $name "source_metric" }}
    {{- $comma }}{{ $name }}={{ printf "%q" $value }}
    {{- $comma = ", " }}
  {{- end }}
{{- end }}{{ "}" }}"#;

/// Puts matchers for exactly this series into `$series`.
const MATCHERS: &str = r#"{{- $series := "" }}
{{- range $name, $value := $labels }}
  {{- $series = printf "%s%s=%q," $series $name $value }}
{{- end }}
"#;

const SUMMARY: &str = r#"{{- $labels.source_metric }}
{{- with $labels.instance }} on {{ . }}{{ end }} is
{{- with query (printf "saimon_anomaly{%sstate=\"active\"}" $series) }}
  {{- with first . }}
    {{- if eq .Labels.direction "up" }} higher than expected
    {{- else if eq .Labels.direction "down" }} lower than expected
    {{- else }} unlike it was
    {{- end }} ({{ .Labels.reason }})
  {{- end }}
{{- else }} not as expected
{{- end }}"#;

const DESCRIPTION: &str = r#"{{- with query (printf "saimon_anomaly{%sstate=\"active\"}" $series) }}
  {{- with first . }}Reason {{ .Labels.reason }}, direction {{ .Labels.direction }}, severity {{ .Labels.severity }}.
  {{- end }}
{{- end }}
{{- with query (printf "saimon_anomaly_score{%s}" $series) }}
  {{- with first . }} The score is {{ printf "%.2f" .Value }}.
  {{- end }}
{{- end }} A score of 0.7 is the edge of what is normal for this series. Its values over it: {{ $labels.source_metric }} and ignoring(source_metric) (saimon_anomaly_score{source_metric="{{ $labels.source_metric }}"} >= 0.7)"#;

/// The alerts of all severities that alert, the least grave first.
pub fn alerts(config: &AlertingConfig) -> Vec<Alert> {
    let levels: Vec<_> = Severity::ALL
        .into_iter()
        .filter(|s| *s >= config.min_severity)
        .collect();
    let mut alerts: Vec<_> = levels.iter().map(|s| alert(config, *s)).collect();
    // The rules have one name, so their cases are told once, of all rules together.
    if let Some(first) = alerts.first_mut() {
        first.cases = Severity::ALL
            .into_iter()
            .map(|s| of_severity(config, &levels, s))
            .chain([pending(), ended(config, &levels)])
            .collect();
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
    labels.insert("series".to_owned(), SERIES.to_owned());
    Alert {
        name: NAME,
        expr: format!(
            "max without (state, severity, direction, reason) \
             (saimon_anomaly{{state=\"active\",severity=~\"{}\"}})",
            graver.join("|")
        ),
        hold: hold(&config.hold, severity),
        keep: Some(KEEP),
        labels,
        annotations: Annotations {
            summary: format!("{MATCHERS}{SUMMARY}"),
            description: format!("{MATCHERS}{DESCRIPTION}"),
        },
        cases: Vec::new(),
    }
}

fn hold(hold: &HoldConfig, severity: Severity) -> Duration {
    match severity {
        Severity::Low => hold.low,
        Severity::Medium => hold.medium,
        Severity::High => hold.high,
        Severity::Critical => hold.critical,
    }
}

/// The labels of the series in all cases.
const LABELS: [(&str, &str); 4] = [
    ("instance", "web-1:9100"),
    ("job", "node"),
    ("mountpoint", "/data \"old\""),
    ("source_metric", "node_filesystem_free_bytes"),
];

fn labels() -> String {
    let pairs: Vec<_> = LABELS
        .iter()
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    pairs.join(",")
}

fn anomaly(state: &str, severity: Severity, values: String) -> InputSeries {
    let name = format!(
        "saimon_anomaly{{{},state=\"{state}\",severity=\"{}\",direction=\"down\",reason=\"drop\"}}",
        labels(),
        severity.as_str()
    );
    series(name, values)
}

fn score(steps: u32) -> InputSeries {
    let name = format!("saimon_anomaly_score{{{}}}", labels());
    series(name, format!("0.934x{steps}"))
}

/// An anomaly of one severity, a step before and just after each hold.
fn of_severity(config: &AlertingConfig, levels: &[Severity], severity: Severity) -> Case {
    let mut times: Vec<_> = levels
        .iter()
        .map(|level| steps(hold(&config.hold, *level)))
        .flat_map(|n| [n.saturating_sub(1), n])
        .collect();
    times.sort_unstable();
    times.dedup();
    let last = times.last().copied().unwrap_or_default() + 1;
    Case {
        name: format!("an anomaly of severity {}", severity.as_str()),
        series: vec![
            anomaly("active", severity, format!("1x{last}")),
            score(last),
        ],
        looks: times
            .into_iter()
            .map(|n| Look {
                at: STEP * n,
                firing: levels
                    .iter()
                    .filter(|level| **level <= severity && STEP * n >= hold(&config.hold, **level))
                    .map(|level| firing(config, *level, severity))
                    .collect(),
            })
            .collect(),
    }
}

fn pending() -> Case {
    Case {
        name: "a pending anomaly is none yet".to_owned(),
        series: vec![anomaly("pending", Severity::Critical, "1x40".to_owned())],
        looks: vec![Look {
            at: STEP * 40,
            firing: Vec::new(),
        }],
    }
}

/// The alert of an anomaly that ended outlives it by [`KEEP`], and no longer.
fn ended(config: &AlertingConfig, levels: &[Severity]) -> Case {
    let longest = levels.iter().map(|l| steps(hold(&config.hold, *l))).max();
    // Above all holds, so that all of them fire when it ends.
    let end = longest.unwrap_or_default() + 2;
    Case {
        name: "an anomaly that ends".to_owned(),
        series: vec![
            anomaly("active", Severity::Critical, format!("1x{end} stale")),
            score(end + 40),
        ],
        looks: vec![
            Look {
                at: STEP * (end + 2),
                firing: levels
                    .iter()
                    .map(|l| firing(config, *l, Severity::Critical))
                    .collect(),
            },
            Look {
                at: STEP * (end + 2 + steps(KEEP)),
                firing: Vec::new(),
            },
        ],
    }
}

/// What Prometheus makes of the templates for the series of the cases.
fn firing(
    config: &AlertingConfig,
    level: Severity,
    severity: Severity,
) -> (BTreeMap<String, String>, Annotations) {
    let source: BTreeMap<_, _> = LABELS.into_iter().collect();
    let (metric, instance) = (source["source_metric"], source["instance"]);
    let others: Vec<_> = LABELS
        .iter()
        .filter(|(name, _)| *name != "source_metric")
        .map(|(name, value)| format!("{name}={}", quoted(value)))
        .collect();
    let mut labels = config.labels.clone();
    for (name, value) in LABELS {
        labels.insert(name.to_owned(), value.to_owned());
    }
    labels.insert("severity".to_owned(), level.as_str().to_owned());
    labels.insert(
        "series".to_owned(),
        format!("{metric}{{{}}}", others.join(", ")),
    );
    let annotations = Annotations {
        summary: format!("{metric} on {instance} is lower than expected (drop)"),
        description: format!(
            "Reason drop, direction down, severity {}. The score is 0.93. A score of 0.7 is the \
             edge of what is normal for this series. Its values over it: {metric} and ignoring(source_metric) \
             (saimon_anomaly_score{{source_metric=\"{metric}\"}} >= 0.7)",
            severity.as_str()
        ),
    };
    (labels, annotations)
}

#[cfg(test)]
mod tests {
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
        assert_eq!(rule.hold, "7s");
        assert_eq!(rule.labels["team"], "sre");
    }
}
