//! The alert rules and the example set-up, judged by Prometheus' and Alertmanager's own tools.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use saimon::config::{Config, Severity};
use saimon::rules::alert::Alert;
use saimon::rules::format::{self, Group, Rule, RulesFile};
use saimon::rules::{self, RULES_FILE, TESTS_FILE, anomaly, health, proof};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("examples")
        .join(name)
}

/// Whether a tool is content, and what it says.
fn run(tool: &str, args: &[&str], path: &Path) -> (bool, String) {
    let out = Command::new(tool)
        .args(args)
        .arg(path)
        .output()
        .unwrap_or_else(|e| panic!("{tool} is needed for this test: {e}"));
    let text = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    (out.status.success(), text.into_owned())
}

fn passes(tool: &str, args: &[&str], path: &Path) {
    let (ok, text) = run(tool, args, path);
    assert!(ok, "{}: {text}", path.display());
}

/// Configurations whose rules differ.
fn configs() -> Vec<(&'static str, Config)> {
    let default = Config::default();
    let with = |change: &dyn Fn(&mut Config)| {
        let mut config = default.clone();
        change(&mut config);
        config
    };
    vec![
        ("default", default.clone()),
        (
            "all severities",
            with(&|c| c.alerting.min_severity = Severity::Low),
        ),
        (
            "critical only",
            with(&|c| c.alerting.min_severity = Severity::Critical),
        ),
        (
            "other holds",
            with(&|c| {
                c.alerting.hold.medium = Duration::ZERO;
                c.alerting.hold.high = Duration::from_secs(420);
                c.alerting.hold.critical = Duration::from_millis(20_500);
            }),
        ),
        (
            "labels",
            with(&|c| {
                c.alerting
                    .labels
                    .insert("team".to_owned(), "sre \"night\"".to_owned());
                c.alerting
                    .labels
                    .insert("site".to_owned(), "a\\b: {c}".to_owned());
            }),
        ),
        (
            "another job",
            with(&|c| c.alerting.job = "anomalies \"x\"".to_owned()),
        ),
        (
            "rare checkpoints",
            with(&|c| c.store.checkpoint = Duration::from_secs(3600)),
        ),
    ]
}

#[test]
fn rules_and_their_tests_pass_for_every_configuration() {
    for (name, config) in configs() {
        let dir = tempfile::tempdir().unwrap();
        let [rules, tests] = rules::write(&config, dir.path()).unwrap();
        for (args, path) in [(["check", "rules"], rules), (["test", "rules"], tests)] {
            let (ok, text) = run("promtool", &args, &path);
            assert!(ok, "{name}: {text}");
        }
    }
}

#[test]
fn another_configuration_gives_other_rules() {
    let rendered: Vec<_> = configs()
        .into_iter()
        .map(|(_, config)| rules::render(&config).rules_yaml)
        .collect();
    for (i, a) in rendered.iter().enumerate() {
        for b in &rendered[..i] {
            assert_ne!(a, b);
        }
    }
}

/// Whether the cases of some alerts pass for these rules.
fn cases_pass(alerts: &[Alert], rules: Vec<Rule>) -> bool {
    let dir = tempfile::tempdir().unwrap();
    let name = "all".to_owned();
    let groups = vec![Group { name, rules }];
    let tests = dir.path().join(TESTS_FILE);
    let file = RulesFile { groups };
    std::fs::write(dir.path().join(RULES_FILE), format::text("", &file)).unwrap();
    std::fs::write(&tests, format::text("", &proof::file(alerts.iter()))).unwrap();
    run("promtool", &["test", "rules"], &tests).0
}

#[test]
fn the_cases_fail_for_every_rule_that_is_missing_or_always_fires() {
    let config = Config::default();
    let mut together = vec![anomaly::alerts(&config.alerting)];
    together.extend(health::alerts(&config).into_iter().map(|a| vec![a]));
    for alerts in together {
        let rules: Vec<_> = alerts.iter().map(Alert::rule).collect();
        for (i, rule) in rules.iter().enumerate() {
            let mut missing = rules.clone();
            missing.remove(i);
            assert!(!cases_pass(&alerts, missing), "not missed: {rule:?}");
            let mut always = rules.clone();
            always[i].expr = "vector(1)".to_owned();
            assert!(!cases_pass(&alerts, always), "not minded: {rule:?}");
        }
        assert!(cases_pass(&alerts, rules));
    }
}

#[test]
fn a_folder_is_made_and_one_that_cannot_be_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("a/b");
    rules::write(&Config::default(), &deep).unwrap();
    assert!(deep.join(RULES_FILE).try_exists().unwrap());
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = rules::write(&Config::default(), &file)
        .unwrap_err()
        .to_string();
    assert!(error.contains("file") && error.contains("--out"), "{error}");
}

#[test]
fn prometheus_takes_the_example() {
    let dir = tempfile::tempdir().unwrap();
    rules::write(&Config::default(), dir.path()).unwrap();
    let path = dir.path().join("prometheus.yml");
    std::fs::copy(example("prometheus.yml"), &path).unwrap();
    passes("promtool", &["check", "config"], &path);
}

#[test]
fn alertmanager_takes_the_example() {
    passes("amtool", &["check-config"], &example("alertmanager.yml"));
}
