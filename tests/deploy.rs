//! The deployment files speak of what there is: flags, variables, paths, ports, keys, rules, versions.
//!
//! What only their own programs can judge is left to `make check-deploy` and `make package`.

#[path = "support/client.rs"]
mod client;
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
fn every_path_that_is_asked_for_answers() {
    let mut paths = BTreeSet::new();
    let container = container();
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "http");
        paths.insert(
            container[probe]["httpGet"]["path"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    for endpoint in object("ServiceMonitor")["spec"]["endpoints"]
        .as_array()
        .unwrap()
    {
        paths.insert(endpoint["path"].as_str().unwrap().to_owned());
    }
    for file in files("deploy") {
        for line in text(&file).lines() {
            let path = line
                .split_once("metrics_path: ")
                .or(line.split_once(":9925/"));
            if let Some((before, path)) = path {
                let path = path.split([' ', '\'', '"']).next().unwrap();
                paths.insert(format!("/{}", path.trim_start_matches('/')));
                assert!(!before.trim_start().starts_with('#') || file.ends_with("prometheus.yml"));
            }
        }
        for line in text(&file)
            .lines()
            .filter(|l| l.contains("httpGet: {path: "))
        {
            let path = line
                .split("path: ")
                .nth(1)
                .unwrap()
                .split(',')
                .next()
                .unwrap();
            paths.insert(path.to_owned());
        }
    }
    let notes = text("deploy/helm/saimon/templates/NOTES.txt");
    assert!(notes.contains("/api/v1/write\n"));
    paths.insert("/api/v1/write".to_owned());
    assert!(paths.len() >= 5, "{paths:?}");

    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    for path in paths {
        let answer = saimon.connect().get(&path, "");
        // a GET of the write path says that it wants a POST
        let wanted = if path == "/api/v1/write" { 405 } else { 200 };
        assert_eq!(answer.status, wanted, "{path}");
    }
}

#[test]
fn ports_are_those_that_saimon_listens_on() {
    assert_eq!(instruction("EXPOSE"), format!("{PORT} {GRPC_PORT}"));
    assert_eq!(
        container()["ports"],
        json!([
            {"name": "http", "containerPort": PORT},
            {"name": "grpc", "containerPort": GRPC_PORT},
        ])
    );
    for service in objects().iter().filter(|o| o["kind"] == "Service") {
        let ports = &service["spec"]["ports"];
        assert_eq!(
            *ports,
            json!([
                {"name": "http", "port": PORT, "targetPort": "http"},
                {"name": "grpc", "port": GRPC_PORT, "targetPort": "grpc"},
            ])
        );
    }
    let compose = yaml("deploy/compose/compose.yaml");
    assert_eq!(
        compose["services"]["saimon"]["ports"],
        json!(["127.0.0.1:9925:9925", "127.0.0.1:9926:9926"])
    );
    // from other machines only what is meant for people, and nothing by default
    for (name, service) in compose["services"].as_object().unwrap() {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(
                port.as_str().unwrap().starts_with("127.0.0.1:"),
                "{name}: {port}"
            );
        }
    }
    let settings = text("deploy/debian/saimon.default");
    assert!(settings.contains("\nSAIMON_HTTP_LISTEN=127.0.0.1:9925\n"));
    for target in yaml("deploy/compose/prometheus.yml")["scrape_configs"]
        .as_array()
        .unwrap()
    {
        let address = target["static_configs"][0]["targets"][0].as_str().unwrap();
        if target["job_name"].as_str().unwrap().starts_with("saimon") {
            assert_eq!(address, format!("saimon:{PORT}"));
        }
    }
}

/// The program, its configuration and its data are where the command looks for them.
#[test]
fn folders_fit_together() {
    let mounts: Vec<_> = container()["volumeMounts"].as_array().unwrap().clone();
    let mounted = |path: &str| {
        let under = |m: &&Value| path.starts_with(m["mountPath"].as_str().unwrap());
        mounts
            .iter()
            .find(under)
            .unwrap_or_else(|| panic!("{path}"))
            .clone()
    };
    for (name, words) in commands() {
        let after = |flag: &str| {
            let at = words.iter().position(|w| w == flag)?;
            words.get(at + 1).cloned()
        };
        match name {
            "kubernetes" => {
                assert_eq!(mounted(&after("--config").unwrap())["name"], "config");
                assert_eq!(mounted(&after("--data-dir").unwrap())["name"], "data");
            }
            "systemd" => {
                let state = format!("/var/lib/{}", unit("StateDirectory"));
                assert_eq!(after("--data-dir"), Some(state.clone()));
                let before = unit("ExecStartPre");
                assert_eq!(
                    before,
                    format!("/usr/bin/saimon check {}", after("--config").unwrap())
                );
                assert!(text("deploy/debian/postinst").contains(&state));
            }
            "compose" => {
                let config = after("--config").unwrap();
                let volumes = words_of_volumes("saimon");
                assert!(
                    volumes.contains(&("./saimon.yaml".to_owned(), config)),
                    "{volumes:?}"
                );
                assert!(volumes.contains(&("saimon-data".to_owned(), "/data".to_owned())));
            }
            _ => {}
        }
    }
    assert_eq!(instruction("ENV"), "SAIMON_DATA_DIR=/data");
    assert_eq!(instruction("VOLUME"), "[\"/data\"]");
    assert_eq!(instruction("ENTRYPOINT"), "[\"/usr/bin/saimon\"]");
    // what compose mounts from the repository is there
    for service in ["saimon", "prometheus", "alertmanager", "grafana"] {
        for (from, _) in words_of_volumes(service) {
            if from.starts_with('.') {
                let path = at_root("deploy/compose").join(&from);
                assert!(path.try_exists().unwrap(), "{service}: {from}");
            }
        }
    }
}

/// Source and target of the volumes of a service in compose.
fn words_of_volumes(service: &str) -> Vec<(String, String)> {
    let compose = yaml("deploy/compose/compose.yaml");
    words(&compose["services"][service]["volumes"])
        .iter()
        .map(|v| {
            let mut parts = v.split(':');
            let mut next = || parts.next().unwrap().to_owned();
            (next(), next())
        })
        .collect()
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

#[test]
fn rules_are_what_saimon_rules_prints() {
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(SAIMON)
        .args(["rules", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(out.status.success());
    let printed = std::fs::read_to_string(folder.path().join("saimon-rules.yml")).unwrap();
    let tests = std::fs::read_to_string(folder.path().join("saimon-rules-test.yml")).unwrap();
    assert_eq!(text("deploy/prometheus/saimon-rules.yml"), printed);
    assert_eq!(text("deploy/prometheus/saimon-rules-test.yml"), tests);
    let inhibitions = std::fs::read_to_string(folder.path().join("saimon-alertmanager.yml"));
    assert_eq!(
        text("deploy/prometheus/saimon-alertmanager.yml"),
        inhibitions.unwrap()
    );
    assert_eq!(text("deploy/helm/saimon/files/saimon-rules.yml"), printed);
    let folder = tempfile::tempdir().unwrap();
    let out = Command::new(SAIMON)
        .args(["dashboards", "--out"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(out.status.success());
    let mut written = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let printed = std::fs::read_to_string(folder.path().join(&name)).unwrap();
        assert_eq!(text(&format!("deploy/grafana/{name}")), printed, "{name}");
        assert_eq!(
            text(&format!("deploy/helm/saimon/files/{name}")),
            printed,
            "{name}"
        );
        written += 1;
    }
    let kept = files("deploy/grafana")
        .iter()
        .filter(|f| f.ends_with(".json"))
        .count();
    assert_eq!(kept, written);
    let printed: Value = serde_saphyr::from_str(&printed).unwrap();
    assert_eq!(object("PrometheusRule")["spec"], printed);
    assert!(printed["groups"].as_array().unwrap().len() > 1);
}

#[test]
fn versions_are_that_of_the_program() {
    let compose = yaml("deploy/compose/compose.yaml");
    assert_eq!(
        compose["services"]["saimon"]["image"],
        format!("saimon:{VERSION}")
    );
    assert_eq!(container()["image"], format!("saimon:{VERSION}"));
    let images = &yaml("deploy/kubernetes/kustomization.yaml")["images"];
    assert_eq!(images[0]["newTag"], VERSION);
    assert_eq!(yaml("deploy/helm/saimon/Chart.yaml")["appVersion"], VERSION);
    let label = format!("org.opencontainers.image.version=\"{VERSION}\"");
    assert!(text("deploy/docker/Dockerfile").contains(&label));
    let changelog = text("deploy/debian/changelog");
    assert!(
        changelog.starts_with(&format!("saimon ({VERSION}-1) ")),
        "{changelog}"
    );
    for (name, service) in compose["services"].as_object().unwrap() {
        let image = service["image"].as_str().unwrap();
        let tag = image.split_once(':').map(|(_, tag)| tag);
        assert!(tag.is_some_and(|t| t != "latest"), "{name}: {image}");
    }
}

/// Cargo builds from what is copied, which the file beside the Dockerfile lets in.
#[test]
fn the_image_is_built_from_all_that_it_needs() {
    let ignored = text("deploy/docker/Dockerfile.dockerignore");
    let mut copied = Vec::new();
    for line in dockerfile() {
        let Some(words) = line
            .strip_prefix("COPY ")
            .filter(|l| !l.starts_with("--from"))
        else {
            continue;
        };
        let words: Vec<_> = words.split_whitespace().collect();
        for from in &words[..words.len() - 1] {
            assert!(at_root(from).try_exists().unwrap(), "{from}");
            assert!(ignored.contains(&format!("\n!{from}\n")), "{from}");
            copied.push((*from).to_owned());
        }
    }
    for file in files("src").iter().filter(|f| f.ends_with(".rs")) {
        let text = text(file);
        for include in ["include_str!(\"", "include_bytes!(\""] {
            for path in text.split(include).skip(1) {
                let path = path.split('"').next().unwrap();
                let full = at_root(file)
                    .parent()
                    .unwrap()
                    .join(path)
                    .canonicalize()
                    .unwrap();
                // what only tests include is not built
                if full.starts_with(at_root("tests")) {
                    continue;
                }
                let there = copied.iter().any(|c| full.starts_with(at_root(c)));
                assert!(there, "{file} includes {path}, which is not copied");
            }
        }
    }
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(dockerfile()[0].starts_with(&format!("FROM rust:{rust}-slim")));
}

#[test]
fn the_package_has_what_its_unit_asks_for() {
    let out = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--format-version",
            "1",
        ])
        .current_dir(at_root(""))
        .output()
        .unwrap();
    let metadata: Value = serde_json::from_slice(&out.stdout).unwrap();
    let deb = &metadata["packages"][0]["metadata"]["deb"];
    let assets = deb["assets"].as_array().unwrap();
    let goes_to = |file: &str| {
        let asset = assets.iter().find(|a| a[0] == file);
        format!(
            "/{}",
            asset.unwrap_or_else(|| panic!("{file}"))[1]
                .as_str()
                .unwrap()
        )
    };
    assert_eq!(
        goes_to("target/release/saimon") + "saimon",
        "/usr/bin/saimon"
    );
    let config = goes_to("deploy/debian/saimon.yaml");
    assert!(unit("ExecStart").contains(&format!("--config {config} ")));
    let settings = goes_to("deploy/debian/saimon.default");
    assert_eq!(unit("EnvironmentFile"), format!("-{settings}"));
    assert_eq!(deb["conf-files"], json!([config, settings]));
    for asset in assets.iter().skip(1) {
        let from = asset[0].as_str().unwrap();
        let folder = from.split('*').next().unwrap();
        assert!(at_root(folder).try_exists().unwrap(), "{from}");
    }
    // a document that the unit or a configuration names is in it
    assert_eq!(
        unit("Documentation"),
        "file:///usr/share/doc/saimon/README.md"
    );
    assert_eq!(goes_to("README.md"), "/usr/share/doc/saimon/");
    assert!(
        text("deploy/debian/saimon.yaml").contains("/usr/share/doc/saimon/docs/configuration.md")
    );
    assert_eq!(goes_to("docs/*.md"), "/usr/share/doc/saimon/docs/");
    assert_eq!(deb["systemd-units"][0]["unit-scripts"], "deploy/systemd");
    let user = unit("User");
    assert!(text("deploy/debian/postinst").contains(&format!("--gecos {user} {user}\n")));
}

/// Every file has its line in the documentation.
#[test]
fn every_file_is_explained() {
    let page = text("docs/deployment.md") + &text("docs/presets.md");
    for file in files("deploy") {
        let folder = file.rsplit_once('/').unwrap().0;
        let named = page.contains(&format!("{file}`"))
            || page.contains(&format!("{folder}`"))
            || page.contains(&format!("({})", file.replace("deploy/", "../deploy/")));
        assert!(named, "{file} is not in docs/deployment.md");
    }
}
