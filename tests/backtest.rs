//! `saimon backtest` from outside: the same fault from every source, and what is written of it.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

/// Samples before the fault, each a minute apart.
const BEFORE: i64 = 4000;
const START: i64 = 1_760_000_000;

/// A value that moves a little; 20 of them far off.
fn value(i: i64) -> f64 {
    let noise = ((i * 7919) % 101) as f64 / 101.0 + ((i * 104_729) % 103) as f64 / 103.0;
    let fault = (BEFORE..BEFORE + 20).contains(&i);
    50.0 + noise + if fault { 30.0 } else { 0.0 }
}

fn rows() -> impl Iterator<Item = (i64, f64)> {
    (0..BEFORE + 500).map(|i| (START + 60 * i, value(i)))
}

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_saimon"))
        .arg("backtest")
        .args(args)
        .env_remove("SAIMON_CONFIG")
        .output()
        .unwrap()
}

fn json(args: &[&str]) -> Value {
    let out = run(&[args, &["--format", "json"]].concat());
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{errors}");
    serde_json::from_slice(&out.stdout).unwrap()
}

/// The one anomaly there is must be that fault.
fn finds_the_fault(all: &Value, series: &str) {
    let anomalies = all["anomalies"].as_array().unwrap();
    let near = |a: &&Value| {
        let start = a["start_ms"].as_i64().unwrap() / 1000 - START;
        (BEFORE * 60..BEFORE * 60 + 180).contains(&start)
    };
    let found: Vec<&Value> = anomalies.iter().filter(near).collect();
    assert_eq!(found.len(), 1, "{anomalies:?}");
    let fault = found[0];
    assert_eq!(fault["series"], series);
    assert_eq!(fault["direction"], "up");
    assert!(fault["score"].as_f64().unwrap() >= 0.7);
    assert!(fault["value"].as_f64().unwrap() > 79.0);
    assert!((fault["expected"].as_f64().unwrap() - 51.0).abs() < 1.5);
}

fn csv(dir: &Path) -> String {
    let mut text = "timestamp,value\n".to_owned();
    for (t, v) in rows() {
        writeln!(text, "{t},{v}").unwrap();
    }
    let path = dir.join("requests.csv");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_fault_is_found_in_every_form_of_file() {
    let dir = tempfile::tempdir().unwrap();
    let one = csv(dir.path());
    let all = json(&[&one]);
    assert_eq!(all["series"], 1);
    assert_eq!(all["samples"], BEFORE + 500);
    finds_the_fault(&all, "requests");

    let mut wide = "timestamp,steady,requests\n".to_owned();
    let mut long = "series,timestamp_ms,value\n".to_owned();
    let mut text = "# TYPE requests gauge\n".to_owned();
    for (t, v) in rows() {
        writeln!(wide, "{t},7,{v}").unwrap();
        writeln!(long, "\"requests{{job=\"\"a\"\"}}\",{},{v}", t * 1000).unwrap();
        writeln!(text, "requests{{job=\"a\"}} {v} {t}.000").unwrap();
    }
    text.push_str("requests{job=\"b\"} 1\n# EOF\n");
    for (name, content, series) in [
        ("wide.csv", wide, "requests"),
        ("long.csv", long, "requests{job=\"a\"}"),
        ("text.om", text, "requests{job=\"a\"}"),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        let got = json(&[path.to_str().unwrap()]);
        finds_the_fault(&got, series);
        // A forest's seed follows from the labels.
        if series == "requests" {
            assert_eq!(got["anomalies"], all["anomalies"]);
        }
        let narrowed = run(&[path.to_str().unwrap(), "--selector", "nothing"]);
        assert_eq!(narrowed.status.code(), Some(1));
    }
}

#[test]
fn a_page_shows_it_and_needs_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let page = dir.path().join("page.html");
    let out = run(&[&csv(dir.path()), "--html", page.to_str().unwrap()]);
    assert!(out.status.success());
    let table = String::from_utf8(out.stdout).unwrap();
    assert!(table.contains("1 series, 4500 samples"), "{table}");
    let page = fs::read_to_string(page).unwrap();
    for part in [
        "<svg",
        "class=\"band\"",
        "class=\"score\"",
        "class=\"shade\"",
        "requests",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["http:", "https:", "<script src", "@import", "url("] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert!(page.contains("prefers-color-scheme:dark"));
    assert!(page.len() < 300_000);
}

#[test]
fn another_configuration_adds_and_loses() {
    let dir = tempfile::tempdir().unwrap();
    let file = csv(dir.path());
    let deaf = dir.path().join("deaf.yaml");
    fs::write(
        &deaf,
        "detect:\n  rules:\n    - {selector: 'requests', min_deviation: 1000}\n",
    )
    .unwrap();
    let deaf = deaf.to_str().unwrap();
    let all = json(&[&file, "--compare", deaf]);
    let lost = all["difference"]["lost"].as_array().unwrap();
    assert!(!lost.is_empty());
    assert_eq!(all["difference"]["added"], Value::Array(Vec::new()));
    let plain = dir.path().join("plain.yaml");
    fs::write(&plain, "detect: {}\n").unwrap();
    let other = json(&[
        &file,
        "--config",
        deaf,
        "--compare",
        plain.to_str().unwrap(),
    ]);
    assert_eq!(other["difference"]["added"], all["difference"]["lost"]);
}

#[test]
fn used_wrongly_it_says_so() {
    assert_eq!(run(&[]).status.code(), Some(2));
    let none = run(&["/nonexistent.csv"]);
    assert_eq!(none.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&none.stderr).contains("/nonexistent.csv"));
}
