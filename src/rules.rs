//! Writes the alert rules for Prometheus and the promtool tests that prove them.
//!
//! Everything follows from the configuration: which severities alert and after how long, the job of
//! saimon, the labels of the alerts. What always holds: every alert that is written has a test in
//! which it fires and one in which it does not, and annotations name what a reader can do.

pub mod alert;
pub mod anomaly;
pub mod dashboard;
pub mod format;
pub mod health;
pub mod proof;

use std::path::{Path, PathBuf};

use crate::config::Config;
use format::{Group, PrometheusRule, RulesFile};

/// Name of the file with the rules.
pub const RULES_FILE: &str = "saimon-rules.yml";
/// Name of the file with their tests, which names the former.
pub const TESTS_FILE: &str = "saimon-rules-test.yml";

/// What the comment of a written file says.
const WRITTEN: &str =
    "Written by `saimon rules`. Change saimon's configuration and write it again.";

/// Both files as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rendered {
    /// For `rule_files` of Prometheus.
    pub rules_yaml: String,
    /// For `promtool test rules`.
    pub tests_yaml: String,
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

/// The rules and tests of a configuration.
pub fn render(config: &Config) -> Rendered {
    let anomaly = anomaly::alerts(&config.alerting);
    let health = health::alerts(config);
    let rules = rules_file(&anomaly, &health);
    let proofs = anomaly.iter().chain(&health);
    Rendered {
        rules_yaml: format::text(WRITTEN, &rules),
        tests_yaml: format::text(
            "Written by `saimon rules`. To run: promtool test rules saimon-rules-test.yml",
            &proof::file(proofs),
        ),
    }
}

fn rules_file(anomaly: &[alert::Alert], health: &[alert::Alert]) -> RulesFile {
    let group = |name: &str, alerts: &[alert::Alert]| Group {
        name: name.to_owned(),
        rules: alerts.iter().map(alert::Alert::rule).collect(),
    };
    RulesFile {
        groups: vec![
            group("saimon-anomalies", anomaly),
            group("saimon-health", health),
        ],
    }
}

/// The rules of a configuration as an object for the Prometheus operator.
pub fn prometheus_rule(config: &Config) -> String {
    let spec = rules_file(&anomaly::alerts(&config.alerting), &health::alerts(config));
    format::text(WRITTEN, &PrometheusRule::new("saimon", spec))
}

/// Writes both files into a folder, which is made if it is not there; gives their paths.
///
/// # Errors
///
/// A folder or file that cannot be written.
pub fn write(config: &Config, folder: &Path) -> Result<[PathBuf; 2], RulesError> {
    let rendered = render(config);
    let put = |path: PathBuf, text: &str| {
        std::fs::write(&path, text)
            .map(|()| path.clone())
            .map_err(|source| RulesError::Write { path, source })
    };
    std::fs::create_dir_all(folder).map_err(|source| RulesError::Write {
        path: folder.to_owned(),
        source,
    })?;
    Ok([
        put(folder.join(RULES_FILE), &rendered.rules_yaml)?,
        put(folder.join(TESTS_FILE), &rendered.tests_yaml)?,
    ])
}

/// The files of the repository that are written from the types: path and text. `make docs` writes
/// them, a test compares them.
pub fn repository_files() -> Vec<(&'static str, String)> {
    let rules = render(&Config::default());
    vec![
        ("docs/configuration.md", crate::config_file::docs::render()),
        ("docs/presets.md", crate::config_file::preset::page()),
        ("examples/full.yaml", crate::config_file::docs::example()),
        ("deploy/grafana/saimon.json", dashboard::render()),
        (
            "deploy/prometheus/saimon-rules.yml",
            rules.rules_yaml.clone(),
        ),
        ("deploy/prometheus/saimon-rules-test.yml", rules.tests_yaml),
        (
            "deploy/kubernetes/prometheusrule.yaml",
            prometheus_rule(&Config::default()),
        ),
        // a chart can read only what is in its folder
        (
            "deploy/helm/saimon/files/saimon-rules.yml",
            rules.rules_yaml,
        ),
        ("deploy/helm/saimon/files/saimon.json", dashboard::render()),
    ]
}
