//! `saimon eval` from outside: what it writes for each layout, and that it looks at no sample before
//! its turn and at no label at all.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const ROWS: usize = 3000;

fn value(i: usize, of: usize) -> f64 {
    let noise =
        ((i * 7919 + of * 31) % 101) as f64 / 101.0 + ((i * 104_729 + of) % 103) as f64 / 103.0;
    10.0 * of as f64 + noise + if is_fault(i) { 20.0 } else { 0.0 }
}

fn is_fault(i: usize) -> bool {
    (2500..2520).contains(&i)
}

fn series(dir: &Path, rows: usize, labelled: bool) {
    fs::create_dir_all(dir).unwrap();
    let index = "{\"a\": {\"interval\": 60, \"rows\": 3000, \"eval_from\": 1000}}";
    fs::write(dir.join("index.json"), index).unwrap();
    let mut text = "timestamp,value,label\n".to_owned();
    for i in 0..rows {
        let label = u8::from(labelled && is_fault(i));
        writeln!(text, "{},{},{label}", 1_700_000_000 + 60 * i, value(i, 1)).unwrap();
    }
    fs::write(dir.join("a.csv"), text).unwrap();
}

fn machine(dir: &Path) {
    fs::create_dir_all(dir).unwrap();
    let index = "{\"m\": {\"interval\": 60, \"rows\": 3000, \"metrics\": 4, \"eval_from\": 1000, \"events\": \
                 [{\"first_row\": 2500, \"last_row\": 2519, \"metrics\": [\"m1\", \"m2\", \"m3\"]}]}}";
    fs::write(dir.join("index.json"), index).unwrap();
    let mut text = "row,label,m1,m2,m3,m4\n".to_owned();
    for i in 0..ROWS {
        let label = if i < 1000 {
            ""
        } else if is_fault(i) {
            "1"
        } else {
            "0"
        };
        let cells: Vec<String> = (1..=3).map(|of| value(i, of).to_string()).collect();
        writeln!(text, "{i},{label},{},5", cells.join(",")).unwrap();
    }
    fs::write(dir.join("m.csv"), text).unwrap();
}

fn numenta(dir: &Path) {
    fs::create_dir_all(dir.join("data/real")).unwrap();
    fs::create_dir_all(dir.join("labels")).unwrap();
    let time = |i: usize| {
        format!(
            "2026-01-{:02} {:02}:{:02}:00",
            1 + i / 288,
            i / 12 % 24,
            i % 12 * 5
        )
    };
    let mut text = "timestamp,value\n".to_owned();
    for i in 0..ROWS {
        writeln!(text, "{},{}", time(i), value(i, 1)).unwrap();
    }
    fs::write(dir.join("data/real/a.csv"), text).unwrap();
    let windows = format!(
        "{{\"real/a.csv\": [[\"{}.000000\", \"{}.000000\"]]}}",
        time(2490),
        time(2560)
    );
    fs::write(dir.join("labels/combined_windows.json"), windows).unwrap();
}

fn eval(dir: &Path, out: &Path) -> Value {
    let ran = Command::new(env!("CARGO_BIN_EXE_saimon"))
        .arg("eval")
        .arg(dir)
        .arg("--out")
        .arg(out)
        .arg("--json")
        .env_remove("SAIMON_CONFIG")
        .output()
        .unwrap();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    serde_json::from_slice(&ran.stdout).unwrap()
}

#[test]
fn every_layout_has_its_results_and_its_figures() {
    let dir = tempfile::tempdir().unwrap();
    let (data, out) = (dir.path().join("data-sets"), dir.path().join("out"));
    series(&data.join("kpi"), ROWS, true);
    machine(&data.join("machines"));
    numenta(&data.join("nab"));
    let all = eval(&data, &out);
    let figures = |name: &str| {
        let set = all.as_array().unwrap().iter().find(|s| s["name"] == name);
        set.unwrap()["figures"].clone()
    };
    for name in ["kpi", "machines"] {
        assert_eq!(figures(name)["mean"]["event_f1"], 1.0, "{name}");
        assert_eq!(figures(name)["fixed"]["recall"], 1.0, "{name}");
    }
    assert_eq!(figures("machines")["causes"]["hit_100"], 1.0);
    assert!(figures("nab")["standard"]["score"].as_f64().unwrap() > 50.0);

    let lines = |path: &str| -> Vec<String> {
        let text = fs::read_to_string(out.join(path)).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    let kpi = lines("kpi/a.csv");
    assert_eq!(kpi.len(), ROWS + 1);
    assert_eq!(kpi[0], "timestamp,value,anomaly_score");
    assert!(kpi[1].starts_with("1700000000,"));
    let machine = lines("machines/m.csv");
    assert_eq!(
        (machine.len(), machine[0].as_str()),
        (ROWS + 1, "row,anomaly_score")
    );
    let nab = lines("nab/real/a.csv");
    assert!(nab[1].starts_with("2026-01-01 00:00:00,"));
    let causes = lines("machines/causes.csv");
    assert_eq!(causes.len(), 1 + 4);
    assert!(causes[4].starts_with("m,2500,2519,4,m4,"), "{causes:?}");
}

#[test]
fn neither_what_follows_nor_a_label_changes_a_score() {
    let dir = tempfile::tempdir().unwrap();
    let read = |name: &str, rows, labelled| {
        let (data, out) = (
            dir.path().join(name).join("set"),
            dir.path().join("out").join(name),
        );
        series(&data, rows, labelled);
        eval(&data, &out);
        fs::read_to_string(out.join("a.csv")).unwrap()
    };
    let whole = read("whole", ROWS, true);
    let short = read("short", 2510, true);
    assert!(whole.starts_with(&short));
    assert_eq!(read("bare", ROWS, false), whole);
}
