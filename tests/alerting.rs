//! The alert rules and the example set-up, judged by Prometheus' and Alertmanager's own tools.

#[path = "support/client.rs"]
mod client;
#[path = "alerting/incident.rs"]
mod incidents;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use saimon::config::client::Address;
use saimon::config::{Config, Severity};
use saimon::rules::alert::Alert;
use saimon::rules::format::{self, Group, Rule, RulesFile};
use saimon::rules::record::Record;
use saimon::rules::{
    self, ALERTMANAGER_FILE, KUBERNETES_FILE, RULES_FILE, TESTS_FILE, anomaly, group, health,
    incident, proof, record,
};
use serde_json::Value;

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
        (
            "an older Prometheus",
            with(&|c| c.alerting.prometheus_version = "2.41".to_owned()),
        ),
        (
            "nothing kept firing",
            with(&|c| c.alerting.keep_firing_for = Duration::ZERO),
        ),
        (
            "a Grafana and a page",
            with(&|c| {
                let url = Address::parse("https://me:secret@grafana.example/{{x}}/").unwrap();
                c.alerting.grafana_url = Some(url);
                let url = Address::parse("https://me:secret@saimon.example/{{x}}/").unwrap();
                c.alerting.saimon_url = Some(url);
            }),
        ),
        ("no groups", with(&|c| c.alerting.groups = false)),
        ("no incidents", with(&|c| c.alerting.incidents = false)),
        (
            "other groups",
            with(&|c| c.groups.by = vec!["cluster, namespace".to_owned(), "job".to_owned()]),
        ),
        (
            "other severities",
            with(&|c| c.detect.severity.medium = 0.875),
        ),
    ]
}

#[test]
fn rules_and_their_tests_pass_for_every_configuration() {
    for (name, config) in configs() {
        let dir = tempfile::tempdir().unwrap();
        rules::write(&config, dir.path(), true).unwrap();
        let spec = dir.path().join("spec.yml");
        std::fs::write(&spec, spec_of_kubernetes(&dir.path().join(KUBERNETES_FILE))).unwrap();
        for (tool, args, file) in [
            ("promtool", &["check", "rules"][..], RULES_FILE),
            ("promtool", &["check", "rules"], "spec.yml"),
            ("amtool", &["check-config"], ALERTMANAGER_FILE),
        ] {
            let (ok, text) = run(tool, args, &dir.path().join(file));
            assert!(ok, "{name}: {tool} {args:?}: {text}");
        }
        // promtool takes a tenth of a second for a case, so only what depends on what differs
        all_pass(name, &anomaly::alerts(&config.alerting), &[]);
        let groups = [
            "default",
            "other groups",
            "a Grafana and a page",
            "an older Prometheus",
            "labels",
        ];
        if groups.contains(&name) {
            all_pass(name, &group::alerts(&config), &[]);
            all_pass(name, &incident::alerts(&config), &[]);
        }
        if groups[..2].contains(&name) {
            all_pass(name, &[], &record::records(&config));
        }
        if ["another job", "rare checkpoints"].contains(&name) {
            all_pass(name, &health::alerts(&config), &[]);
        }
    }
}

fn all_pass(name: &str, alerts: &[Alert], records: &[Record]) {
    let rules = alerts.iter().map(Alert::rule);
    let (ok, text) = cases(
        alerts,
        records,
        rules.chain(records.iter().map(Record::rule)).collect(),
    );
    assert!(ok, "{name}: {text}");
}

/// The rules in an object for the Prometheus operator.
fn spec_of_kubernetes(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let object: Value = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(object["apiVersion"], "monitoring.coreos.com/v1");
    assert_eq!(object["kind"], "PrometheusRule");
    serde_saphyr::to_string(&object["spec"]).unwrap()
}

#[test]
fn the_object_for_kubernetes_has_the_same_rules() {
    let dir = tempfile::tempdir().unwrap();
    rules::write(&Config::default(), dir.path(), true).unwrap();
    let spec = spec_of_kubernetes(&dir.path().join(KUBERNETES_FILE));
    let spec: Value = serde_saphyr::from_str(&spec).unwrap();
    let rules = std::fs::read_to_string(dir.path().join(RULES_FILE)).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    assert_eq!(spec, rules);
}

/// Every severity may silence lesser ones of its series, and none may silence its own or a graver,
/// but that an incident may silence its own.
#[test]
fn inhibitions_follow_from_what_alerts() {
    let rendered = rules::render(&Config::default()).alertmanager_yaml;
    let of = |text: &str| -> Vec<Value> {
        let file: Value = serde_saphyr::from_str(text).unwrap();
        file["inhibit_rules"].as_array().unwrap().clone()
    };
    let generated = of(&rendered);
    let example_file = std::fs::read_to_string(example("alertmanager.yml")).unwrap();
    assert_eq!(of(&example_file), generated, "examples/alertmanager.yml");
    let has = |matchers: &str, targets: &str, equal: &str| {
        generated.iter().any(|rule| {
            rule["source_matchers"].to_string().contains(matchers)
                && rule["target_matchers"].to_string().contains(targets)
                && rule["equal"].to_string().contains(equal)
        })
    };
    assert!(has("severity = critical", r"medium|high", "series"));
    assert!(has(
        r#"group_by = \"instance\""#,
        "SaimonAnomaly",
        "instance"
    ));
    assert!(has("SaimonDown", "SaimonNoData", "job"));
    assert!(has(
        "= SaimonIncident\"",
        "SaimonIncidentMember",
        "incident"
    ));
    assert!(has("SaimonIncidentMember", "SaimonAnomaly", "series"));
    assert!(has(
        "SaimonIncidentMember",
        "SaimonGroupAnomaly",
        "instance"
    ));
    for rule in &generated {
        let source = rule["source_matchers"].to_string();
        let Some(level) = Severity::ALL
            .into_iter()
            .find(|s| source.contains(&format!("severity = {}", s.as_str())))
        else {
            continue;
        };
        let own = source.contains("SaimonIncidentMember");
        let spared = |s: &Severity| *s > level || *s == level && !own;
        for graver in Severity::ALL.into_iter().filter(spared) {
            let targets = rule["target_matchers"].to_string();
            assert!(!targets.contains(graver.as_str()), "{rule}");
        }
    }
    let mut config = Config::default();
    config.alerting.groups = false;
    config.alerting.incidents = false;
    config.alerting.min_severity = Severity::Critical;
    let fewer = of(&rules::render(&config).alertmanager_yaml);
    assert_eq!(fewer.len(), 1, "{fewer:?}");
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
    cases(alerts, &[], rules).0
}

fn cases(alerts: &[Alert], records: &[Record], rules: Vec<Rule>) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let name = "all".to_owned();
    let groups = vec![Group { name, rules }];
    let tests = dir.path().join(TESTS_FILE);
    let file = RulesFile { groups };
    std::fs::write(dir.path().join(RULES_FILE), format::text("", &file)).unwrap();
    std::fs::write(
        &tests,
        format::text("", &proof::file(alerts.iter(), records.iter())),
    )
    .unwrap();
    run("promtool", &["test", "rules"], &tests)
}

#[test]
fn the_cases_fail_for_every_rule_that_is_missing_or_always_fires() {
    let config = Config::default();
    let mut together = vec![anomaly::alerts(&config.alerting)];
    // of one kind of group, of which there are as many as severities
    let mut groups = group::alerts(&config);
    groups.truncate(together[0].len());
    together.push(groups);
    let (incidents, members) = incident::of_both(&config);
    together.extend([incidents, members]);
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
    rules::write(&Config::default(), &deep, false).unwrap();
    assert!(deep.join(RULES_FILE).try_exists().unwrap());
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = rules::write(&Config::default(), &file, false)
        .unwrap_err()
        .to_string();
    assert!(error.contains("file") && error.contains("--out"), "{error}");
}

#[test]
fn prometheus_takes_the_example() {
    let dir = tempfile::tempdir().unwrap();
    rules::write(&Config::default(), dir.path(), false).unwrap();
    let path = dir.path().join("prometheus.yml");
    std::fs::copy(example("prometheus.yml"), &path).unwrap();
    passes("promtool", &["check", "config"], &path);
}

#[test]
fn alertmanager_takes_the_example() {
    passes("amtool", &["check-config"], &example("alertmanager.yml"));
}

/// The pages name every alert that there is, and none that there is not.
#[test]
fn every_alert_is_explained() {
    let config = Config::default();
    let alerts: BTreeSet<String> = anomaly::alerts(&config.alerting)
        .iter()
        .chain(&group::alerts(&config))
        .chain(&incident::alerts(&config))
        .chain(&health::alerts(&config))
        .map(|a| a.name.to_owned())
        .collect();
    let mut named = BTreeSet::new();
    for page in ["alerting.md", "troubleshooting.md"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs")
            .join(page);
        let text = std::fs::read_to_string(path).unwrap();
        named.extend(
            text.split(|c: char| !c.is_ascii_alphanumeric())
                .filter(|w| w.starts_with("Saimon") && w.len() > "Saimon".len())
                .map(str::to_owned),
        );
    }
    assert_eq!(named, alerts);
}
