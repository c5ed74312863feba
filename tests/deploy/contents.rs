//! What is shipped: rules, versions, the image, the package, and a line of documentation for each file.

use super::*;

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
