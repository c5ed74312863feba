//! What the repository says of the configuration is what the program takes.

use std::path::{Path, PathBuf};

use saimon::config::{self, Config, docs, report};

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
fn the_documentation_is_current() {
    same("docs/configuration.md", &docs::render());
}

#[test]
fn the_full_example_is_current_and_is_the_defaults() {
    same("examples/full.yaml", &docs::example());
    let full = config::load(&at_root("examples/full.yaml")).unwrap();
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
    let minimal = config::load(&at_root("examples/minimal.yaml")).unwrap();
    assert_ne!(minimal, Config::default());
}
