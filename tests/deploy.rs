//! The deployment files speak of what there is: flags, variables, paths, ports, keys, rules, versions.
//!
//! What only their own programs can judge is left to `make check-deploy` and `make package`.

#[path = "support/client.rs"]
mod client;
#[path = "deploy/contents.rs"]
mod contents;
#[path = "deploy/places.rs"]
mod places;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use saimon::config::Config;
use saimon::config_file::report;
use serde_json::{Value, json};

use serving::{SAIMON, Serving};

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Where saimon listens unless it is told otherwise.
const PORT: u64 = 9925;
/// What gRPC is served on.
const GRPC_PORT: u64 = 9926;

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(at_root(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn yaml(path: &str) -> Value {
    serde_saphyr::from_str(&text(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// All files below a folder, by their path from the root.
fn files(folder: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(at_root(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = format!("{folder}/{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The objects of deploy/kubernetes.
fn objects() -> Vec<Value> {
    let listed = yaml("deploy/kubernetes/kustomization.yaml");
    let names = listed["resources"].as_array().unwrap();
    names
        .iter()
        .flat_map(|name| {
            let text = text(&format!("deploy/kubernetes/{}", name.as_str().unwrap()));
            let parts: Vec<_> = text.split("\n---\n").map(str::to_owned).collect();
            parts
        })
        .map(|part| serde_saphyr::from_str(&part).unwrap())
        .collect()
}

fn object(kind: &str) -> Value {
    let mut all = objects();
    all.retain(|o| o["kind"] == kind);
    assert!(!all.is_empty(), "no {kind}");
    all.remove(0)
}

fn container() -> Value {
    object("StatefulSet")["spec"]["template"]["spec"]["containers"][0].clone()
}

fn words(value: &Value) -> Vec<String> {
    let list = value
        .as_array()
        .unwrap_or_else(|| panic!("no list: {value}"));
    list.iter()
        .map(|w| w.as_str().unwrap().to_owned())
        .collect()
}

/// The instructions of the Dockerfile, lines joined, without comments.
fn dockerfile() -> Vec<String> {
    let text = text("deploy/docker/Dockerfile");
    let lines: Vec<_> = text.lines().filter(|l| !l.starts_with('#')).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined
        .lines()
        .filter(|l| !l.is_empty())
        .map(str::to_owned)
        .collect()
}

fn instruction(name: &str) -> String {
    let all = dockerfile();
    let last = all
        .iter()
        .rev()
        .find_map(|l| l.strip_prefix(&format!("{name} ")));
    last.unwrap_or_else(|| panic!("no {name}")).to_owned()
}

fn unit(key: &str) -> String {
    let text = text("deploy/systemd/saimon.service");
    let value = text
        .lines()
        .find_map(|l| l.strip_prefix(&format!("{key}=")));
    value.unwrap_or_else(|| panic!("no {key}")).to_owned()
}

/// How each deployment starts saimon: its name and its words after the program.
fn commands() -> Vec<(&'static str, Vec<String>)> {
    let unit = unit("ExecStart");
    let mut unit = unit.split(' ').map(str::to_owned);
    assert_eq!(unit.next().as_deref(), Some("/usr/bin/saimon"));
    let template = text("deploy/helm/saimon/templates/statefulset.yaml");
    let helm = template
        .lines()
        .skip_while(|l| l.trim() != "args:")
        .skip(1)
        .map_while(|l| l.trim().strip_prefix("- "));
    vec![
        ("docker", serde_json::from_str(&instruction("CMD")).unwrap()),
        (
            "compose",
            words(&yaml("deploy/compose/compose.yaml")["services"]["saimon"]["command"]),
        ),
        ("kubernetes", words(&container()["args"])),
        ("helm", helm.map(str::to_owned).collect()),
        ("systemd", unit.collect()),
    ]
}

fn help() -> String {
    let out = Command::new(SAIMON)
        .args(["serve", "--help"])
        .output()
        .unwrap();
    String::from_utf8(out.stdout).unwrap()
}

#[test]
fn every_flag_and_every_variable_is_one_of_saimon() {
    let help = help();
    for (name, words) in commands() {
        assert_eq!(words[0], "serve", "{name}");
        for flag in words.iter().filter(|w| w.starts_with("--")) {
            assert!(
                help.contains(&format!("{flag} <")),
                "{name}: {flag}\n{help}"
            );
        }
    }
    let mut seen = BTreeSet::new();
    for file in files("deploy") {
        for word in text(&file).split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            if word.starts_with("SAIMON_") {
                assert!(
                    help.contains(&format!("[env: {word}=")),
                    "{file}: {word}\n{help}"
                );
                seen.insert(word.to_owned());
            }
        }
    }
    assert!(seen.len() > 3, "{seen:?}");
    assert!(
        help.contains(&format!("[default: 0.0.0.0:{PORT}]")),
        "{help}"
    );
}

#[test]
fn every_configuration_is_without_mistakes_and_changes_something() {
    let values = yaml("deploy/helm/saimon/values.yaml");
    let helm = serde_saphyr::to_string(&values["config"]).unwrap();
    let mut all = vec![("helm".to_owned(), helm)];
    for path in ["compose", "kubernetes", "debian"].map(|d| format!("deploy/{d}/saimon.yaml")) {
        all.push((path.clone(), text(&path)));
    }
    for (name, text) in all {
        let report = report::check_text(&name, &text);
        assert_eq!(report.code, report::CLEAN, "{}", report.text);
        let config = saimon::config_file::parse(&text).unwrap();
        assert!(!config.presets.is_empty(), "{name}");
    }
    let compose = report::check_text("compose", &text("deploy/compose/prometheus.yml"));
    assert_eq!(compose.code, report::CLEAN, "{}", compose.text);
    assert!(!compose.text.contains("hint: "), "{}", compose.text);
}

/// A million series, the default, do not fit into the memory that is allowed.
#[test]
fn the_limit_of_series_fits_the_memory() {
    let gib = 1u64 << 30;
    assert_eq!(container()["resources"]["limits"]["memory"], "1Gi");
    let values = yaml("deploy/helm/saimon/values.yaml");
    assert_eq!(values["resources"]["limits"]["memory"], "1Gi");
    assert_eq!(
        yaml("deploy/compose/compose.yaml")["services"]["saimon"]["mem_limit"],
        "1g"
    );
    for series in [
        &yaml("deploy/kubernetes/saimon.yaml")["limits"]["series"],
        &yaml("deploy/compose/saimon.yaml")["limits"]["series"],
        &values["config"]["limits"]["series"],
    ] {
        // 2.5 KiB each, as limits.series says, the forests, and a fifth for everything else
        let series = series.as_u64().unwrap() * 2560;
        let forests = Config::default().detect.forest.memory.as_u64();
        assert!(
            series + forests <= gib / 5 * 4,
            "{series} and {forests} bytes"
        );
    }
}

#[test]
fn nothing_runs_as_root_or_writes_where_it_need_not() {
    assert_eq!(instruction("USER"), "65532:65532");
    let stateful = object("StatefulSet");
    let pod = &stateful["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(
        container()["securityContext"],
        json!({
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"]},
        })
    );
    let compose = yaml("deploy/compose/compose.yaml");
    for (name, service) in compose["services"].as_object().unwrap() {
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        let user = service["user"].as_str().unwrap();
        assert!(
            !user.starts_with("0") && user.contains(':'),
            "{name}: {user}"
        );
    }
    assert_eq!(unit("User"), "saimon");
    assert_eq!(unit("ProtectSystem"), "strict");
    assert_eq!(unit("CapabilityBoundingSet"), "");
}

#[test]
fn objects_find_each_other() {
    let stateful = object("StatefulSet");
    let labels = &stateful["spec"]["template"]["metadata"]["labels"];
    assert_eq!(stateful["spec"]["selector"]["matchLabels"], *labels);
    assert_eq!(
        object("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        *labels
    );
    assert_eq!(
        object("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
        *labels
    );
    let services: Vec<_> = objects()
        .into_iter()
        .filter(|o| o["kind"] == "Service")
        .collect();
    assert!(services.iter().all(|s| s["spec"]["selector"] == *labels));
    let named = |name: &Value| services.iter().any(|s| s["metadata"]["name"] == *name);
    assert!(named(&stateful["spec"]["serviceName"]));
    // one Service and no other, or every pod would be scraped twice
    let monitor = object("ServiceMonitor");
    let wanted = monitor["spec"]["selector"]["matchLabels"]
        .as_object()
        .unwrap();
    let scraped: Vec<_> = services
        .iter()
        .filter(|s| wanted.iter().all(|(k, v)| s["metadata"]["labels"][k] == *v))
        .collect();
    assert_eq!(scraped.len(), 1);
    // the operator takes the name of the Service for the job, by which the rules ask
    assert_eq!(
        scraped[0]["metadata"]["name"],
        Config::default().alerting.job
    );
    let scores = &monitor["spec"]["endpoints"][1];
    assert_eq!(scores["honorLabels"], true);
}
