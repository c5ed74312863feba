//! The examples of docs/security.md, against those who read such files.

use std::path::Path;
use std::process::Command;

use saimon::config_file;

use crate::identities::Authority;

/// The page's blocks of YAML whose first line is a comment, with that.
fn examples() -> Vec<(String, String)> {
    let page = include_str!("../../docs/security.md");
    let blocks = page.split("```yaml\n").skip(1);
    let blocks = blocks.filter_map(|b| b.split("```").next());
    blocks
        .filter_map(|b| {
            let (name, _) = b.strip_prefix("# ")?.split_once('\n')?;
            Some((name.to_owned(), b.to_owned()))
        })
        .collect()
}

fn promtool(folder: &Path, what: &str, file: &str) {
    let done = Command::new("promtool")
        .current_dir(folder)
        .args(["check", what, file])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{file}: {said}");
}

#[test]
fn every_example_of_the_page_can_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    Authority::new(folder).issue("server", "saimon.example");
    std::fs::write(folder.join("token"), "a-token-of-some-length").unwrap();
    std::fs::write(folder.join("password"), "correct horse").unwrap();
    let mut seen = Vec::new();
    for (name, text) in examples() {
        let file = name.split(' ').next().unwrap();
        let path = folder.join(file);
        std::fs::write(&path, text).unwrap();
        match file {
            "web.yml" => {
                let door = config_file::web::open(&path).unwrap();
                assert!(door.has_tls(), "{name}");
                let report = config_file::report::check_file(&path);
                assert!(
                    report
                        .text
                        .ends_with("no mistakes, as a web configuration\n")
                );
                // promtool does not know the keys that are ours, nor does 2.42 know allowed names.
                if name == "web.yml" {
                    promtool(folder, "web-config", file);
                }
            }
            "saimon.yaml" => {
                let config = config_file::load(&path).unwrap();
                assert_eq!(config.outputs.remote_write.len(), 1);
            }
            "prometheus.yml" => promtool(folder, "config", file),
            other => panic!("who reads {other}?"),
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

/// The hash on the page is one of libxcrypt's, so others make what we read.
#[test]
fn a_hash_of_others_is_understood() {
    let page = include_str!("../../docs/security.md");
    let at = page.find("$2y$").unwrap();
    let hash = &page[at..at + 60];
    assert!(bcrypt::verify("correct horse", hash).unwrap());
    assert!(!bcrypt::verify("correct horsf", hash).unwrap());
}
