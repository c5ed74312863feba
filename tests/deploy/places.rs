//! Paths, ports and folders that files name are there.

use super::*;

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
