//! What the repository says of the configuration is what the program takes.

use std::path::{Path, PathBuf};

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
        same(path, &now);
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

#[test]
fn the_minimal_example_changes_something() {
    let minimal = config_file::load(&at_root("examples/minimal.yaml")).unwrap();
    assert_ne!(minimal, Config::default());
}
