//! The Grafana dashboard asks for series that saimon has, in PromQL that Prometheus reads.

#[path = "support/dashboard.rs"]
mod dashboard;

use std::collections::BTreeSet;
use std::process::Command;

use saimon::telemetry::{CodeLabel, Metrics, PhaseLabel, ReasonLabel, SeverityLabel, Text};
use serde_json::Value;

const FILE: &str = include_str!("../deploy/grafana/saimon.json");

/// What a user chooses, and what Grafana fills in.
const VARS: [(&str, &str); 7] = [
    ("labels", ""),
    ("job", ".*"),
    ("instance", ".*"),
    ("metric", "node_load1"),
    ("saimon", "saimon"),
    ("__rate_interval", "1m"),
    ("DS_PROMETHEUS", "prometheus"),
];

/// Names of all series that saimon has.
fn names() -> BTreeSet<String> {
    let metrics = Metrics::new();
    // Families show themselves with their first member.
    metrics
        .requests
        .get_or_create(&CodeLabel { code: 204 })
        .inc();
    let phase = Text("mature");
    metrics.series.get_or_create(&PhaseLabel { phase }).inc();
    let reason = Text("limit");
    metrics
        .series_dropped
        .get_or_create(&ReasonLabel { reason })
        .inc();
    let severity = Text("low");
    let by_severity = &metrics.anomalies_by_severity;
    by_severity.get_or_create(&SeverityLabel { severity }).inc();
    let mut names: BTreeSet<String> = metrics
        .openmetrics()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    // The board's.
    names.extend(["saimon_anomaly_score", "saimon_anomaly"].map(str::to_owned));
    // Those of the process come from the system it runs on.
    names.extend(["process_cpu_seconds_total", "process_resident_memory_bytes"].map(str::to_owned));
    names
}

/// Words of a text that look like names of saimon's series.
fn asked(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| word.starts_with("saimon_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_series_of_the_dashboard_exists() {
    let names = names();
    let asked = asked(FILE);
    assert!(asked.len() > 15, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&names).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {names:?}");
}

#[test]
fn every_series_of_the_rules_exists() {
    let names = names();
    let rendered = saimon::rules::render(&saimon::config::Config::default());
    let asked = asked(&rendered.rules_yaml);
    assert!(asked.len() > 10, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&names).collect();
    assert!(unknown.is_empty(), "{unknown:?} of {names:?}");
}

#[test]
fn every_query_is_promql() {
    let queries = dashboard::queries(FILE, &VARS);
    assert!(queries.len() > 20, "{}", queries.len());
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (i, (title, expr)) in queries.iter().enumerate() {
        assert!(!expr.contains('$'), "{title}: {expr}");
        rules.push_str(&format!(
            "      - record: panel:query:{i}\n        expr: |-\n          {expr}\n"
        ));
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("queries.yml");
    std::fs::write(&path, rules).unwrap();
    let out = Command::new("promtool")
        .args(["check", "rules"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr)
    );
}

#[test]
fn panels_lie_side_by_side_and_have_a_data_source() {
    let json: Value = serde_json::from_str(FILE).unwrap();
    assert_eq!(json["uid"], "saimon-overview");
    let mut taken = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for panel in json["panels"].as_array().unwrap() {
        let title = &panel["title"];
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} lies on another panel");
            }
        }
        if panel["type"] != "row" {
            assert_eq!(panel["datasource"]["uid"], "${DS_PROMETHEUS}", "{title}");
            assert!(panel["description"].as_str().unwrap().len() > 10, "{title}");
        }
    }
}
