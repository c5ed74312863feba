//! Writes the rules for Prometheus, the promtool tests that prove them, what Alertmanager is to
//! silence, and the dashboards for Grafana.
//!
//! Everything follows from the configuration: which severities alert and after how long, the kinds of
//! groups, the job of saimon, the labels of the alerts. What always holds: every alert that is written
//! has a test in which it fires and one in which it does not, everything that is recorded one with its
//! value, and annotations name what a reader can do.

pub mod alert;
pub mod anomaly;
pub mod dashboard;
pub mod format;
pub mod group;
pub mod health;
pub mod incident;
pub mod inhibit;
pub mod proof;
pub mod record;

use std::path::{Path, PathBuf};

use crate::config::Config;
use alert::Alert;
use format::{Group, PrometheusRule, RulesFile};
use record::Record;

/// Name of the file with the rules.
pub const RULES_FILE: &str = "saimon-rules.yml";
/// Name of the file with their tests, which names the former.
pub const TESTS_FILE: &str = "saimon-rules-test.yml";
/// Name of the file for Alertmanager.
pub const ALERTMANAGER_FILE: &str = "saimon-alertmanager.yml";
/// Name of the file for the Prometheus operator.
pub const KUBERNETES_FILE: &str = "saimon-prometheusrule.yaml";

/// What the comment of a written file says.
const WRITTEN: &str =
    "Written by `saimon rules`. Change saimon's configuration and write it again.";

/// All files as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// For `rule_files` of Prometheus.
    pub rules_yaml: String,
    /// For `promtool test rules`.
    pub tests_yaml: String,
    /// A configuration of Alertmanager whose `inhibit_rules` belong to the alerts.
    pub alertmanager_yaml: String,
    /// The rules as an object for the Prometheus operator.
    pub kubernetes_yaml: String,
}

/// Why the rules are not there.
#[derive(Debug, thiserror::Error)]
pub enum RulesError {
    #[error("cannot write {path}: {source}: give a folder that can be written with --out", path = path.display())]
    Write {
        path: PathBuf,
        source: std::io::Error,
    },
}

/// What is written for a configuration.
#[derive(Debug, Clone)]
struct Plan {
    anomaly: Vec<Alert>,
    group: Vec<Alert>,
    incident: Vec<Alert>,
    health: Vec<Alert>,
    records: Vec<Record>,
}

impl Plan {
    fn of(config: &Config) -> Self {
        Self {
            anomaly: anomaly::alerts(&config.alerting),
            group: group::alerts(config),
            incident: incident::alerts(config),
            health: health::alerts(config),
            records: record::records(config),
        }
    }

    fn rules(&self) -> RulesFile {
        let of_alerts = |name: &str, alerts: &[Alert]| Group {
            name: name.to_owned(),
            rules: alerts.iter().map(Alert::rule).collect(),
        };
        let records = Group {
            name: "saimon-records".to_owned(),
            rules: self.records.iter().map(Record::rule).collect(),
        };
        let mut groups = vec![
            of_alerts("saimon-anomalies", &self.anomaly),
            of_alerts("saimon-groups", &self.group),
            of_alerts("saimon-incidents", &self.incident),
            of_alerts("saimon-health", &self.health),
            records,
        ];
        groups.retain(|g| !g.rules.is_empty());
        RulesFile { groups }
    }
}

/// The rules, tests and inhibitions of a configuration.
pub fn render(config: &Config) -> Rendered {
    let plan = Plan::of(config);
    let of_series = plan.anomaly.iter().chain(&plan.group);
    let alerts = of_series.chain(&plan.incident).chain(&plan.health);
    Rendered {
        rules_yaml: format::text(WRITTEN, &plan.rules()),
        tests_yaml: format::text(
            "Written by `saimon rules`. To run: promtool test rules saimon-rules-test.yml",
            &proof::file(alerts, plan.records.iter()),
        ),
        alertmanager_yaml: format::text(
            "Written by `saimon rules`: take its inhibit_rules into your alertmanager.yml.",
            &inhibit::alertmanager(config),
        ),
        kubernetes_yaml: format::text(WRITTEN, &PrometheusRule::new("saimon", plan.rules())),
    }
}

/// Writes the files into a folder, which is made if it is not there; gives their paths: rules, tests,
/// Alertmanager's, and if asked for the object for Kubernetes.
///
/// # Errors
///
/// A folder or file that cannot be written.
pub fn write(config: &Config, folder: &Path, kubernetes: bool) -> Result<Vec<PathBuf>, RulesError> {
    let rendered = render(config);
    let mut files = vec![
        (RULES_FILE, &rendered.rules_yaml),
        (TESTS_FILE, &rendered.tests_yaml),
        (ALERTMANAGER_FILE, &rendered.alertmanager_yaml),
    ];
    if kubernetes {
        files.push((KUBERNETES_FILE, &rendered.kubernetes_yaml));
    }
    let files = files
        .into_iter()
        .map(|(name, text)| (name.to_owned(), text));
    write_all(files, folder)
}

/// Writes the dashboards into a folder, which is made if it is not there; gives their paths.
///
/// # Errors
///
/// A folder or file that cannot be written.
pub fn write_dashboards(folder: &Path) -> Result<Vec<PathBuf>, RulesError> {
    let all = dashboard::all();
    let files = all.iter().map(|d| (format!("{}.json", d.uid), &d.json));
    write_all(files, folder)
}

fn write_all<'a>(
    files: impl Iterator<Item = (String, &'a String)>,
    folder: &Path,
) -> Result<Vec<PathBuf>, RulesError> {
    std::fs::create_dir_all(folder).map_err(|source| RulesError::Write {
        path: folder.to_owned(),
        source,
    })?;
    files
        .map(|(name, text)| {
            let path = folder.join(name);
            std::fs::write(&path, text)
                .map(|()| path.clone())
                .map_err(|source| RulesError::Write { path, source })
        })
        .collect()
}

/// The files of the repository that are written from the types: path and text. `make docs` writes
/// them, a test compares them.
pub fn repository_files() -> Vec<(String, String)> {
    let rules = render(&Config::default());
    let mut files = [
        ("docs/configuration.md", crate::config_file::docs::render()),
        ("docs/presets.md", crate::config_file::preset::page()),
        ("examples/full.yaml", crate::config_file::docs::example()),
        (
            "deploy/prometheus/saimon-rules.yml",
            rules.rules_yaml.clone(),
        ),
        ("deploy/prometheus/saimon-rules-test.yml", rules.tests_yaml),
        (
            "deploy/prometheus/saimon-alertmanager.yml",
            rules.alertmanager_yaml,
        ),
        (
            "deploy/kubernetes/prometheusrule.yaml",
            rules.kubernetes_yaml,
        ),
        // a chart can read only what is in its folder
        (
            "deploy/helm/saimon/files/saimon-rules.yml",
            rules.rules_yaml,
        ),
    ]
    .map(|(path, text)| (path.to_owned(), text))
    .to_vec();
    for dashboard in dashboard::all() {
        for folder in ["deploy/grafana", "deploy/helm/saimon/files"] {
            let path = format!("{folder}/{}.json", dashboard.uid);
            files.push((path, dashboard.json.clone()));
        }
    }
    files
}
