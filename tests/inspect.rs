//! `saimon inspect` on the store of a real saimon: beside it, after it, and on damaged ones.

#[path = "support/client.rs"]
mod client;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use saimon::wire::proto;
use serving::{SAIMON, Serving};

const STEP_MS: i64 = 15_000;
/// Samples of each series: several chunks, the last one open.
const SAMPLES: i64 = 500;
const STALE: u64 = 0x7ff0_0000_0000_0002;

type Written = BTreeMap<String, Vec<(i64, u64)>>;
/// A series' labels on the wire.
type Labels = Vec<proto::Label>;
/// Labels, the same as PromQL shows them, and the value of each sample.
type Made = (Labels, String, fn(i64) -> f64);

#[allow(
    clippy::disallowed_methods,
    reason = "a real saimon lives in real time"
)]
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

fn series() -> Vec<Made> {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let odd: fn(i64) -> f64 = |i| {
        [
            -5e-324,
            f64::from_bits(0x7ff8_0000_0000_0001),
            f64::INFINITY,
            f64::NEG_INFINITY,
            5e-324,
            f64::MAX,
            1.0 / 3.0,
            f64::from_bits(0xfff8_0000_0000_1234),
        ][i as usize % 8]
    };
    let ended: fn(i64) -> f64 = |i| match i == SAMPLES - 1 {
        true => f64::from_bits(STALE),
        false => (i % 77) as f64 / 100.0,
    };
    vec![
        (
            vec![
                label("__name__", "disk_free_bytes"),
                label("disk", "a\"b\\c,d\ne"),
            ],
            "disk_free_bytes{disk=\"a\\\"b\\\\c,d\\ne\"}".to_owned(),
            |i| 4e9 + (i * 4096) as f64,
        ),
        (
            vec![
                label("__name__", "http_requests_total"),
                label("job", "web"),
            ],
            "http_requests_total{job=\"web\"}".to_owned(),
            |i| (i * 7) as f64,
        ),
        (
            vec![label("__name__", "odd_values"), label("job", "web")],
            "odd_values{job=\"web\"}".to_owned(),
            odd,
        ),
        (
            vec![label("__name__", "temperature"), label("job", "node")],
            "temperature{job=\"node\"}".to_owned(),
            ended,
        ),
    ]
}

/// Sends every series; gives what was sent.
fn write(serving: &Serving, start_ms: i64) -> Written {
    let mut client = serving.connect();
    let mut written = Written::new();
    for from in (0..SAMPLES).step_by(100) {
        let timeseries = series()
            .into_iter()
            .map(|(labels, text, value)| {
                let rows: Vec<_> = (from..from + 100)
                    .map(|i| (start_ms + i * STEP_MS, value(i)))
                    .collect();
                let all = written.entry(text).or_default();
                all.extend(rows.iter().map(|(t, v)| (*t, v.to_bits())));
                proto::TimeSeries {
                    labels,
                    samples: rows
                        .into_iter()
                        .map(|(timestamp, value)| proto::Sample { value, timestamp })
                        .collect(),
                    ..proto::TimeSeries::default()
                }
            })
            .collect();
        let request = proto::WriteRequest {
            timeseries,
            ..proto::WriteRequest::default()
        };
        assert_eq!(client.write(&request).status, 204);
    }
    serving.settled(4 * SAMPLES as u64);
    written
}

fn inspect(data: &Path, args: &[&str]) -> Output {
    // Options go behind the subcommand.
    let (first, rest) = match args.split_first() {
        Some((first, rest)) if matches!(*first, "check" | "export" | "seasons") => {
            (vec![*first], rest)
        }
        _ => (Vec::new(), args),
    };
    Command::new(SAIMON)
        .arg("inspect")
        .args(first)
        .arg("--data-dir")
        .arg(data)
        .args(rest)
        .output()
        .unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// A data directory of a saimon that has ended, and what was written.
fn stopped(temp: &Path) -> (std::path::PathBuf, Written, i64) {
    let data = temp.join("data");
    let start_ms = now_ms() - (SAMPLES + 10) * STEP_MS;
    let serving = Serving::start(&data);
    let written = write(&serving, start_ms);
    let (code, seen) = serving.terminate();
    assert_eq!(code, 0, "{seen:?}");
    (data, written, start_ms)
}

/// Rows of CSV, of which the first field may be quoted.
fn csv(text: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let (mut row, mut field, mut inside) = (Vec::new(), String::new(), false);
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if inside && chars.peek() == Some(&'"') => {
                field.push('"');
                chars.next();
            }
            '"' => inside = !inside,
            ',' if !inside => row.push(std::mem::take(&mut field)),
            '\n' if !inside => {
                row.push(std::mem::take(&mut field));
                rows.push(std::mem::take(&mut row));
            }
            c => field.push(c),
        }
    }
    assert!(field.is_empty() && row.is_empty());
    rows
}

fn bits(text: &str) -> u64 {
    match text {
        "NaN" => 0x7ff8_0000_0000_0001,
        text => match text.strip_prefix("NaN:") {
            Some(hex) => u64::from_str_radix(hex, 16).unwrap(),
            None => text.parse::<f64>().unwrap().to_bits(),
        },
    }
}

fn read_csv(text: &str) -> Written {
    let rows = csv(text);
    assert_eq!(rows[0], ["series", "timestamp_ms", "value"]);
    let mut read = Written::new();
    for row in &rows[1..] {
        let samples = read.entry(row[0].clone()).or_default();
        samples.push((row[1].parse().unwrap(), bits(&row[2])));
    }
    read
}

/// Says the first difference only: there are thousands of samples.
#[track_caller]
fn same(found: &Written, want: &Written) {
    assert!(found.keys().eq(want.keys()), "{:?}", found.keys());
    for (series, samples) in want {
        let found = &found[series];
        assert_eq!(found.len(), samples.len(), "{series}");
        for (found, sample) in found.iter().zip(samples) {
            assert_eq!(found, sample, "{series}");
        }
    }
}

/// Every file with its bytes.
fn files(dir: &Path) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn an_export_is_what_was_written_and_the_store_stays_as_it_was() {
    let temp = tempfile::tempdir().unwrap();
    let (data, written, start_ms) = stopped(temp.path());
    let before = files(&data);
    let all = read_csv(&text(&inspect(&data, &["export", "{__name__!=\"\"}"])));
    same(&all, &written);

    let [from, to] = [130, 259].map(|i| start_ms + i * STEP_MS);
    let [from_s, to_s] = [from, to].map(|t| format!("{:.3}", t as f64 / 1000.0));
    let args = ["export", "{job=\"web\"}", "--from", &from_s, "--to", &to_s];
    let some = read_csv(&text(&inspect(&data, &args)));
    let mut want = written;
    want.retain(|series, _| series.contains("job=\"web\""));
    for samples in want.values_mut() {
        samples.retain(|(t, _)| (from..=to).contains(t));
    }
    same(&some, &want);
    assert_eq!(some.len(), 2);

    let check = inspect(&data, &["check"]);
    assert!(text(&check).contains("everything can be read"));
    let none = inspect(&data, &["export", "nothing_like_it"]);
    assert_eq!(text(&none), "series,timestamp_ms,value\n");
    assert!(String::from_utf8_lossy(&none.stderr).contains("no series matches"));
    assert_eq!(files(&data), before);
}

#[test]
fn promtool_takes_the_openmetrics_export() {
    let temp = tempfile::tempdir().unwrap();
    let (data, written, _) = stopped(temp.path());
    let args = ["export", "{__name__!=\"\"}", "--format", "openmetrics"];
    let page = text(&inspect(&data, &args));
    assert!(page.ends_with("# EOF\n"));
    let file = temp.path().join("page.txt");
    std::fs::write(&file, page).unwrap();
    let blocks = temp.path().join("blocks");
    let promtool = |args: &[&str]| {
        let output = Command::new("promtool").args(args).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    };
    let [file, blocks] = [&file, &blocks].map(|p| p.to_str().unwrap());
    promtool(&["tsdb", "create-blocks-from", "openmetrics", file, blocks]);
    // It dumps only what looks like the data of a whole Prometheus.
    std::fs::create_dir(temp.path().join("blocks/wal")).unwrap();
    let mut dumped = Written::new();
    for line in promtool(&["tsdb", "dump", blocks]).lines() {
        let mut fields = line.rsplitn(3, ' ');
        let t_ms: i64 = fields.next().unwrap().parse().unwrap();
        let value: f64 = fields.next().unwrap().parse().unwrap();
        let series = fields.next().unwrap().to_owned();
        let name = series.split('"').nth(1).unwrap().to_owned();
        dumped
            .entry(name)
            .or_default()
            .push((t_ms, value.to_bits()));
    }
    assert_eq!(dumped.len(), 4);
    for (series, samples) in written {
        let name = series.split('{').next().unwrap();
        let nan = |bits: u64| match f64::from_bits(bits).is_nan() {
            true => f64::NAN.to_bits(),
            false => bits,
        };
        let want: Vec<_> = samples
            .into_iter()
            .filter(|(_, bits)| *bits != STALE)
            .map(|(t, bits)| (t, nan(bits)))
            .collect();
        let mut found = dumped.remove(name).unwrap();
        found.sort_unstable();
        found.iter_mut().for_each(|(_, bits)| *bits = nan(*bits));
        assert_eq!(found, want, "{name}");
    }
}

#[test]
fn the_list_shows_series_and_sizes_in_100_columns() {
    let temp = tempfile::tempdir().unwrap();
    let (data, _, start_ms) = stopped(temp.path());
    let list = text(&inspect(&data, &["--limit", "3"]));
    for line in list.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(
        list.contains("http_requests_total{job=\"web\"}\n  counter "),
        "{list}"
    );
    assert!(list.contains("... and 1 more"), "{list}");
    assert!(list.contains("samples  2000 in 20 chunks"), "{list}");

    let list = text(&inspect(&data, &["{job=\"web\"}", "--json"]));
    let list: serde_json::Value = serde_json::from_str(&list).unwrap();
    let series = list["series"].as_array().unwrap();
    let names: Vec<_> = series
        .iter()
        .map(|s| s["series"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "http_requests_total{job=\"web\"}",
            "odd_values{job=\"web\"}"
        ]
    );
    let requests = &series[0];
    assert_eq!(requests["kind"], "counter");
    assert_eq!(requests["phase"], "young");
    assert_eq!(requests["samples"], SAMPLES);
    assert_eq!(requests["chunks"], 5);
    assert_eq!(requests["first_ms"], start_ms);
    assert_eq!(requests["last_ms"], start_ms + (SAMPLES - 1) * STEP_MS);
    assert!(requests["state_bytes"].as_u64().unwrap() > 100);
    let disk = requests["disk_bytes"].as_u64().unwrap();
    assert!((40..480 * 3).contains(&disk), "{disk}");
    assert_eq!(list["totals"]["series"], 2);
    assert_eq!(list["totals"]["samples"], 2 * SAMPLES);
}

#[test]
fn it_works_beside_a_running_saimon() {
    let temp = tempfile::tempdir().unwrap();
    let data = temp.path().join("data");
    let config = temp.path().join("saimon.yml");
    std::fs::write(&config, "store:\n  checkpoint: 1s\n").unwrap();
    let serving = Serving::start_with(
        &data,
        "127.0.0.1:0",
        &["--config", config.to_str().unwrap()],
    );
    let written = write(&serving, now_ms() - (SAMPLES + 10) * STEP_MS);
    let mut read = Written::new();
    for _ in 0..60 {
        let export = inspect(&data, &["export", "{__name__!=\"\"}"]);
        if export.status.code() == Some(0) {
            read = read_csv(&text(&export));
        }
        if read == written {
            break;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    same(&read, &written);
    assert!(text(&inspect(&data, &["check"])).contains("everything can be read"));
    // It was in nobody's way.
    assert!(serving.sum("saimon_store_errors_total") == 0);
    let (code, seen) = serving.terminate();
    assert_eq!(code, 0, "{seen:?}");
}

#[test]
fn damage_is_said_and_never_a_panic() {
    let temp = tempfile::tempdir().unwrap();
    let (data, ..) = stopped(temp.path());
    let db = data.join("store/db");
    let good = std::fs::read(&db).unwrap();
    let mut wrong = 0;
    for part in 1..8 {
        let mut bad = good.clone();
        let at = bad.len() * part / 8;
        let end = (at + 64).min(bad.len());
        bad[at..end].iter_mut().for_each(|b| *b ^= 0x55);
        std::fs::write(&db, bad).unwrap();
        let check = inspect(&data, &["check"]);
        let code = check.status.code();
        assert!(matches!(code, Some(0 | 1)), "{check:?}");
        wrong += usize::from(code == Some(1));
    }
    std::fs::write(&db, &good[..good.len() / 16]).unwrap();
    let check = inspect(&data, &["check"]);
    assert_eq!(check.status.code(), Some(1), "{check:?}");
    assert!(wrong > 0 || !check.stderr.is_empty());
}

#[test]
fn mistakes_are_said() {
    let temp = tempfile::tempdir().unwrap();
    let nothing = inspect(&temp.path().join("none"), &[]);
    assert_eq!(nothing.status.code(), Some(1));
    let error = String::from_utf8_lossy(&nothing.stderr).into_owned();
    assert!(error.contains("there is no store"), "{error}");
    assert!(error.contains("--data-dir"), "{error}");
    for args in [
        &["export"][..],
        &["export", "{job="],
        &["export", "up", "--from", "yesterday"],
        &["{job="],
        &["--sort", "colour"],
    ] {
        assert_eq!(
            inspect(temp.path(), args).status.code(),
            Some(2),
            "{args:?}"
        );
    }
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn the_season_of_a_series_is_said_and_none_is_made_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    std::fs::write(&config, "store:\n  window: 40d\n  forget: 60d\n").unwrap();
    let config = config.to_str().unwrap();
    let data = folder.path().join("data");
    let serving = Serving::start_with(&data, "127.0.0.1:0", &["--config", config]);
    // Four weeks by the half hour, in two requests a day.
    const HALF_MS: i64 = 1_800_000;
    let start_ms = (now_ms() / 86_400_000 - 28) * 86_400_000;
    let mut rng = fastrand::Rng::with_seed(3);
    let mut client = serving.connect();
    for from in (0..28 * 48).step_by(24) {
        let timeseries = ["daily", "noise"].map(|name| proto::TimeSeries {
            labels: vec![proto::Label {
                name: "__name__".to_owned(),
                value: name.to_owned(),
            }],
            samples: (from..from + 24)
                .map(|i| {
                    let turn = i as f64 / 48.0 * std::f64::consts::TAU;
                    let day = if name == "daily" {
                        10.0 * turn.sin()
                    } else {
                        0.0
                    };
                    proto::Sample {
                        value: 50.0 + day + rng.f64() + rng.f64() + rng.f64(),
                        timestamp: start_ms + i * HALF_MS,
                    }
                })
                .collect(),
            ..proto::TimeSeries::default()
        });
        let request = proto::WriteRequest {
            timeseries: timeseries.into(),
            ..proto::WriteRequest::default()
        };
        assert_eq!(client.write(&request).status, 204);
    }
    serving.settled(2 * 28 * 48);
    drop(client);
    assert_eq!(serving.terminate().0, 0);
    let said = text(&inspect(&data, &["seasons", "--json"]));
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let of = |i: usize| (&said["series"][i]["series"], &said["series"][i]["season"]);
    assert_eq!(of(0), (&"daily".into(), &"day".into()), "{said}");
    assert_eq!(of(1), (&"noise".into(), &"none".into()), "{said}");
    assert_eq!(said["series"][0]["hours"], 28 * 24);
    assert!(
        said["series"][0]["strength"].as_f64().unwrap() > 0.8,
        "{said}"
    );
    let table = text(&inspect(&data, &["seasons", "daily"]));
    assert!(table.contains("day ") && table.contains(" %"), "{table}");
}
