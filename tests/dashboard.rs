//! The Grafana dashboards ask for series that saimon has, in PromQL that Prometheus reads.

#[path = "support/client.rs"]
mod client;
#[path = "support/dashboard.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod dashboard;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeSet;
use std::process::Command;

use saimon::rules::dashboard::{Dashboard, all};
use serde_json::Value;

use serving::Serving;

/// What a user chooses, and what Grafana fills in.
const VARS: [(&str, &str); 8] = [
    ("labels", ""),
    ("by", "job"),
    ("job", ".*"),
    ("instance", ".*"),
    ("metric", "node_load1"),
    ("saimon", "saimon"),
    ("__rate_interval", "1m"),
    ("DS_PROMETHEUS", "prometheus"),
];

/// What a running saimon without traffic does not show: families that begin with their first member,
/// and the pages of scores and remote read.
const LATER: [&str; 26] = [
    "saimon_anomaly",
    "saimon_anomaly_score",
    "saimon_group_score",
    "saimon_group_anomaly_ratio",
    "saimon_group_joint_score",
    "saimon_incident",
    "saimon_incident_members",
    "saimon_incident_start_time_seconds",
    "saimon_incident_member",
    "saimon_expected",
    "saimon_lower_bound",
    "saimon_upper_bound",
    "saimon_deviation",
    "saimon_rarity",
    "saimon_ingest_requests_total",
    "saimon_read_requests_total",
    "saimon_series",
    "saimon_series_dropped_total",
    "saimon_anomaly_contribution",
    "saimon_anomalies_by_severity",
    "saimon_output_samples_total",
    "saimon_output_dropped_total",
    "saimon_output_requests_total",
    "saimon_output_retries_total",
    "saimon_output_pending_rows",
    "saimon_output_newest_timestamp_seconds",
];

/// Names of all series that saimon has: those that a live one shows, and [`LATER`], each of which is
/// in the source as the name that is registered.
fn names() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    let page = saimon.connect().get("/metrics", "");
    assert_eq!(page.status, 200);
    let mut names: BTreeSet<String> = page
        .text()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .map(str::to_owned)
        .collect();
    let source = source();
    for name in LATER {
        let registered = name
            .trim_start_matches("saimon_")
            .trim_end_matches("_total");
        let quoted = |name: &str| source.contains(&format!("\"{name}\""));
        assert!(quoted(name) || quoted(registered), "{name}");
        names.insert(name.to_owned());
    }
    names
}

/// The source of whoever makes series.
fn source() -> String {
    let mut folders = ["telemetry", "telemetry.rs", "expose", "output"]
        .map(|f| {
            std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("src")
                .join(f)
        })
        .to_vec();
    let mut text = String::new();
    while let Some(path) = folders.pop() {
        match std::fs::read_dir(&path) {
            Ok(entries) => folders.extend(entries.map(|e| e.unwrap().path())),
            Err(_) if path.extension().is_some_and(|e| e == "rs") => {
                text.push_str(&std::fs::read_to_string(&path).unwrap());
            }
            Err(_) => {}
        }
    }
    text
}

/// Words of a text that look like names of saimon's series, but those that are recorded.
fn asked(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':')
        .filter(|word| word.starts_with("saimon_") || word.starts_with("process_"))
        .filter(|word| !word.contains(':'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_series_of_dashboards_and_rules_exists() {
    let names = names();
    for dashboard in all() {
        let asked = asked(&dashboard.json);
        assert!(asked.len() > 2, "{asked:?}");
        let unknown: Vec<_> = asked.difference(&names).collect();
        assert!(unknown.is_empty(), "{}: {unknown:?}", dashboard.uid);
    }
    let rendered = saimon::rules::render(&saimon::config::Config::default());
    let asked = asked(&rendered.rules_yaml);
    assert!(asked.len() > 25, "{asked:?}");
    let unknown: Vec<_> = asked.difference(&names).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn every_query_is_promql() {
    let mut rules = "groups:\n  - name: dashboards\n    rules:\n".to_owned();
    for dashboard in all() {
        let queries = dashboard::queries(&dashboard, &VARS);
        assert!(queries.len() > 8, "{}: {}", dashboard.uid, queries.len());
        for (i, query) in queries.iter().enumerate() {
            assert!(!query.expr.contains('$'), "{query:?}");
            rules.push_str(&format!(
                "      - record: {}:query:{i}\n        expr: |-\n          {}\n",
                dashboard.uid.replace('-', "_"),
                query.expr
            ));
        }
    }
    promtool("check", &rules);
}

/// Every variable that a query uses is one of its dashboard, and every one of them is used.
#[test]
fn queries_select_by_the_variables_of_their_dashboard() {
    for dashboard in all() {
        let json: Value = serde_json::from_str(&dashboard.json).unwrap();
        let names: BTreeSet<_> = json["templating"]["list"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v["name"].as_str().unwrap().to_owned())
            .collect();
        let mut used = BTreeSet::from(["DS_PROMETHEUS".to_owned()]);
        for query in dashboard::queries(&dashboard, &[]) {
            let text = query.raw.replace("${", "$").replace("$__rate_interval", "");
            let words = text.split('$').skip(1).map(|rest| {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '}' && c != '_');
                rest[..end.unwrap_or(rest.len())]
                    .split('}')
                    .next()
                    .unwrap()
                    .to_owned()
            });
            let found: Vec<_> = words.collect();
            assert!(
                !found.is_empty() || query.is_variable || query.panel.starts_with('$'),
                "{query:?}"
            );
            used.extend(found);
        }
        assert_eq!(names, used, "{}", dashboard.uid);
    }
}

#[test]
fn panels_lie_side_by_side_and_have_a_data_source() {
    for dashboard in all() {
        laid_out(&dashboard);
    }
}

fn laid_out(dashboard: &Dashboard) {
    let json: Value = serde_json::from_str(&dashboard.json).unwrap();
    assert_eq!(json["uid"], dashboard.uid);
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

/// The table was made by the end-to-end test, which runs every query against a real Prometheus; here it
/// is held against the dashboards as they are.
#[test]
fn the_page_has_every_query_with_its_rows() {
    let page = include_str!("../docs/dashboards.md");
    let mut rest = page;
    for dashboard in all() {
        let heading = dashboard::heading(&dashboard);
        let at = rest.find(&heading).unwrap_or_else(|| panic!("{heading}"));
        rest = &rest[at + heading.len()..];
        let (table, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
        let mut lines = table.lines();
        for query in dashboard::queries(&dashboard, &[]) {
            let line = lines.next().unwrap_or_default();
            let rows = line.trim_end_matches(" |").rsplit(' ').next();
            let rows: usize = rows.and_then(|r| r.parse().ok()).unwrap_or_default();
            assert_eq!(format!("{line}\n"), query.line(rows), "{}", dashboard.uid);
            assert!(rows > 0, "{line}");
        }
        assert_eq!(lines.next(), None, "{}", dashboard.uid);
        rest = after;
        // the blank line and the heading's first
        if let Some(at) = page.len().checked_sub(rest.len() + 1) {
            rest = &page[at..];
        }
    }
}

/// What the recipes are asked about: two machines, one in trouble, and a service with errors.
const SERIES: &str = r#"
      - {series: 'node_load1{job="node",instance="a",dc="x"}', values: '9x2000'}
      - {series: 'node_load1{job="node",instance="b",dc="x"}', values: '1x2000'}
      - {series: 'saimon_anomaly_score{job="node",instance="a",dc="x",source_metric="node_load1"}', values: '0.97x2000'}
      - {series: 'saimon_anomaly_score{job="node",instance="b",dc="x",source_metric="node_load1"}', values: '0.2x2000'}
      - {series: 'saimon_anomaly{job="node",instance="a",dc="x",source_metric="node_load1",state="active",severity="high",direction="up",reason="spike"}', values: '1x2000'}
      - {series: 'saimon_expected{job="node",instance="a",dc="x",source_metric="node_load1"}', values: '2x2000'}
      - {series: 'saimon_upper_bound{job="node",instance="a",dc="x",source_metric="node_load1"}', values: '4x2000'}
      - {series: 'http_requests_total{job="web",instance="c",dc="y"}', values: '0+6000x2000'}
      - {series: 'http_errors_total{job="web",instance="c",dc="y"}', values: '0+120x2000'}
      - {series: 'saimon_anomaly_score{job="web",instance="c",dc="y",source_metric="http_requests_total"}', values: '0.8x2000'}
      - {series: 'saimon_anomaly_score{job="web",instance="c",dc="y",source_metric="http_errors_total"}', values: '0.9x2000'}
      - {series: 'saimon_anomaly{job="web",instance="c",dc="y",source_metric="http_requests_total",state="active",severity="high",direction="down",reason="drop"}', values: '1x2000'}
      - {series: 'saimon_group_score{group_by="instance",instance="a"}', values: '0.9x2000'}
      - {series: 'saimon_group_score{group_by="instance",instance="b"}', values: '0.1x2000'}
      - {series: 'saimon_group_anomaly_ratio{group_by="job",job="node"}', values: '0.5x2000'}
      - {series: 'saimon_group_anomaly_ratio{group_by="job",job="web"}', values: '0.1x2000'}
      - {series: 'saimon_anomalies_total{job="saimon"}', values: '0+1x2000'}
      - {series: 'saimon_ingest_samples_total{job="saimon",outcome="accepted"}', values: '0+90x2000'}
      - {series: 'saimon_ingest_samples_total{job="saimon",outcome="late"}', values: '0+10x2000'}
      - {series: 'saimon_detection_latency_seconds_bucket{job="saimon",le="0.1"}', values: '0+60x2000'}
      - {series: 'saimon_detection_latency_seconds_bucket{job="saimon",le="+Inf"}', values: '0+60x2000'}
      - {series: 'saimon_series{job="saimon",phase="warmup"}', values: '7x2000'}
      - {series: 'saimon_series{job="saimon",phase="mature"}', values: '93x2000'}
      - {series: 'saimon_memory_bytes{job="saimon",part="windows"}', values: '200000x2000'}
"#;

/// Rows of each recipe, by its first words.
const ROWS: [(&str, usize); 24] = [
    ("the ten strongest anomalies", 3),
    ("what is being alerted about", 1),
    ("grave anomalies of one service", 1),
    ("what dropped", 1),
    ("the machines in most trouble", 2),
    ("the value, where", 1),
    ("the score, where", 1),
    ("the rate of a counter", 1),
    ("an error rate", 1),
    ("how far the value", 1),
    ("above its band", 1),
    ("share of the series of each service", 2),
    ("the same by any label", 2),
    ("share of scored series", 2),
    ("services of which", 1),
    ("over the line for at least half", 3),
    ("anomalies that have been active", 2),
    ("share of the last day", 3),
    ("the same series at this time yesterday", 3),
    ("anomalies that began", 1),
    ("share of received samples", 1),
    ("how long a score takes", 1),
    ("series that have no score yet", 1),
    ("memory of a series", 1),
];

/// What a recipe is for, and its query.
fn recipes() -> Vec<(String, String)> {
    let page = include_str!("../docs/promql.md");
    page.split("```promql\n")
        .skip(1)
        .flat_map(|rest| rest.split("```").next().unwrap().split("\n\n"))
        .map(|recipe| {
            let (comment, query) = recipe.trim().split_once('\n').unwrap();
            let comment = comment.strip_prefix("# ").unwrap();
            (comment.to_owned(), query.to_owned())
        })
        .collect()
}

#[test]
fn every_recipe_gives_what_it_says() {
    let recipes = recipes();
    assert_eq!(recipes.len(), ROWS.len());
    let mut file = format!(
        "evaluation_interval: 1m\ntests:\n  - interval: 1m\n    input_series:{SERIES}    promql_expr_test:\n"
    );
    for ((comment, query), (begins, rows)) in recipes.iter().zip(ROWS) {
        assert!(comment.starts_with(begins), "{comment}: {begins}");
        file.push_str(&format!(
            "      - expr: |-\n          count({query})\n        eval_time: 1500m\n        \
             exp_samples: [{{labels: '{{}}', value: {rows}}}]\n"
        ));
    }
    promtool("test", &file);
}

/// `promtool check rules`, or `test rules`, says yes to such a file.
fn promtool(what: &str, rules: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rules.yml");
    std::fs::write(&path, rules).unwrap();
    let out = Command::new("promtool")
        .args([what, "rules"])
        .arg(&path)
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr)
    );
}
