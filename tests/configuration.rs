//! What the repository says of the configuration is what the program takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use saimon::config::Config;
use saimon::config_file::{self, report};
use saimon::rules;

fn at_root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn same(path: &str, now: &str) {
    let then = std::fs::read_to_string(at_root(path)).unwrap_or_default();
    assert!(
        then == now,
        "{path} is not what the types say: renew it with `make docs`"
    );
}

#[test]
fn what_is_written_from_the_types_is_current() {
    for (path, now) in rules::repository_files() {
        same(&path, &now);
    }
}

#[test]
fn the_full_example_is_the_defaults() {
    let full = config_file::load(&at_root("examples/full.yaml")).unwrap();
    assert_eq!(full, Config::default());
}

#[test]
fn the_examples_are_clean() {
    for name in [
        "examples/minimal.yaml",
        "examples/full.yaml",
        "examples/prometheus.yml",
    ] {
        let report = report::check_file(&at_root(name));
        assert_eq!(report.code, report::CLEAN, "{}", report.text);
        assert!(!report.text.contains("hint:"), "{}", report.text);
    }
}

/// The blocks of YAML of docs/getting-started.md: those that make one file, and the last one, which is
/// written below the first for who has external labels.
fn blocks_of_the_first_steps() -> (Vec<String>, String) {
    let page = std::fs::read_to_string(at_root("docs/getting-started.md")).unwrap();
    let blocks = page.split("```yaml\n").skip(1);
    let mut blocks: Vec<String> = blocks
        .map(|b| b.split("```").next().unwrap_or_default().to_owned())
        .collect();
    let last = blocks.pop().unwrap();
    (blocks, last)
}

/// What a program says of a prometheus.yml beside rules that saimon wrote.
fn said_of(text: &str) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let file = folder.join("prometheus.yml");
    std::fs::write(&file, text).unwrap();
    let run = |program: &str, args: &[&str]| {
        let done = Command::new(program)
            .current_dir(folder)
            .args(args)
            .output();
        let done = done.unwrap_or_else(|e| panic!("cannot start {program}: {e}"));
        let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
        assert!(done.status.success(), "{program} {args:?}: {said}\n{text}");
        said
    };
    let saimon = env!("CARGO_BIN_EXE_saimon");
    run(saimon, &["rules", "--out", "."]);
    run("promtool", &["check", "config", "prometheus.yml"]);
    let said = run(saimon, &["check", "prometheus.yml"]);
    assert!(!said.contains("hint:"), "{said}\n{text}");
}

#[test]
fn the_first_steps_are_a_prometheus_configuration_without_a_gap() {
    let (blocks, external) = blocks_of_the_first_steps();
    let whole = blocks.concat();
    said_of(&whole);
    // Every key of the page is in the file that it says is the whole one.
    let file = std::fs::read_to_string(at_root("examples/prometheus.yml")).unwrap();
    said_of(&file);
    let yaml = |text: &str| serde_saphyr::from_str::<serde_json::Value>(text).unwrap();
    let (page, file) = (yaml(&whole), yaml(&file));
    for (key, told) in page.as_object().unwrap() {
        match (told, &file[key]) {
            (serde_json::Value::Array(told), serde_json::Value::Array(has)) => {
                for one in told {
                    assert!(has.contains(one), "{key}: {one} is not in {has:?}");
                }
            }
            (told, has) => assert_eq!(told, has, "{key}"),
        }
    }
    // For who has external labels, in the place of the relabelling above.
    let relabelling = blocks.iter().position(|b| b.contains("write_relabel"));
    let mut with = blocks;
    let at = relabelling.unwrap();
    let rules = external.split_once(":\n").unwrap().1;
    with[at].push_str(rules);
    let labelled = format!(
        "global: {{external_labels: {{cluster: a, replica: b}}}}\n{}",
        with.concat()
    );
    said_of(&labelled);
}

#[test]
fn the_minimal_example_changes_something() {
    let minimal = config_file::load(&at_root("examples/minimal.yaml")).unwrap();
    assert_ne!(minimal, Config::default());
}

#[test]
fn mistakes_of_history_have_their_lines_and_show_no_secret() {
    let text = "\
history:
  url: ftp://me:hunter2@a
  basic_auth: {username: me, password: 7777, password_file: p}
  authorization: {type: Basic, credentials: [hunter2]}
  tls_config: {cert_file: a.pem, min_version: TLS10}
  headers: {User-Agent: hunter2, x-key: 8888}
  selector: '{job='
  tries: 0
  bearer_token: x
";
    let report = report::check_text("a.yaml", text);
    for part in [
        "a.yaml:2:8: history.url: is not an address",
        "a.yaml:3:40: history.basic_auth.password: is not text: put it in quotes",
        "a.yaml:4:25: history.authorization.type: cannot be basic: use `basic_auth`",
        "a.yaml:4:45: history.authorization.credentials: is not text",
        "a.yaml:5:15: history.tls_config: has one of `cert_file` and `key_file`",
        "a.yaml:5:47: history.tls_config.min_version: ",
        "a.yaml:6:13: history.headers.User-Agent: is set by saimon itself",
        "a.yaml:6:41: history.headers.x-key: is not text",
        "a.yaml:7:13: history.selector: not a selector",
        "a.yaml:8:10: history.tries: 0 is outside 1 to 100",
        "a.yaml:9:3: history.bearer_token: unknown key",
    ] {
        assert!(report.text.contains(part), "{part}\n{}", report.text);
    }
    for secret in ["hunter2", "7777", "8888"] {
        assert!(!report.text.contains(secret), "{secret}\n{}", report.text);
    }

    let good = "\
history:
  url: https://me:hunter2@prometheus:9090/prom
  headers: {X-Scope-OrgID: team-a}
  external_labels: {cluster: eu, job: x}
  tls_config: {ca_file: ca.pem}
  authorization:
    credentials:
";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.yaml");
    std::fs::write(&path, good).unwrap();
    let config = config_file::load(&path).unwrap();
    let history = &config.history;
    assert!(!format!("{config:?}").contains("hunter2"));
    assert_eq!(history.external_labels["cluster"], "eu");
    // as in Prometheus, a file is looked for beside the configuration
    let ca = history.client.tls_config.ca_file.as_deref();
    assert_eq!(ca, Some(&*folder.path().join("ca.pem")));
    assert_eq!(history.client.headers["X-Scope-OrgID"].reveal(), "team-a");

    let both = "history:\n  url: http://me@a\n  basic_auth: {username: me}\n";
    let report = report::check_text("a.yaml", both);
    assert!(
        report
            .text
            .contains("a.yaml:3:15: history.basic_auth: stands beside a user"),
        "{}",
        report.text
    );
}
