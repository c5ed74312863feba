//! `saimon estimate` from numbers, from what a Prometheus says, and from a real one.

#[path = "support/peer.rs"]
mod peer;
#[path = "support/stores.rs"]
mod stores;

use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use peer::{Peer, Reply};
use serde_json::Value;

fn estimate(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_saimon"))
        .arg("estimate")
        .args(args)
        .output()
        .unwrap()
}

#[track_caller]
fn text(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&text(&estimate(&[args, &["--json"]].concat()))).unwrap()
}

#[test]
fn numbers_are_enough() {
    let table = text(&estimate(&["--series", "100000", "--histograms", "100"]));
    assert!(table.lines().all(|l| l.chars().count() <= 100), "{table}");
    assert!(table.contains("100000 series with a model, 1400 kept as windows only"));
    let of = |args: &[&str], what: &str| json(args)["total"][what].as_f64().unwrap();
    let day = of(&["--series", "100000"], "disk");
    let week = of(&["--series", "100000", "--retention", "7d"], "disk");
    assert!(week > day * 1.5, "{day} {week}");
    let slow = of(&["--series", "100000", "--interval", "60s"], "cpu");
    assert!(slow < of(&["--series", "100000"], "cpu") / 2.0);
    let memory = of(&["--series", "100000"], "memory");
    assert!((1e8..1e9).contains(&memory), "{memory}");
    let many = text(&estimate(&["--series", "2000000"]));
    assert!(many.contains("limits.series is 1000000"), "{many}");
    for wrong in [&[][..], &["--series", "some"], &["--url", "nothing"]] {
        assert_eq!(estimate(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[test]
fn a_prometheus_says_what_it_has() {
    let peer = Peer::start(|_, asked| {
        let number = |n: &str| {
            format!(
                r#"{{"status":"success","data":{{"resultType":"vector","result":[{{"metric":{{}},"value":[1,"{n}"]}}]}}}}"#
            )
        };
        let body = match asked.path.as_str() {
            "/api/v1/status/tsdb" => r#"{"status":"success","data":{
                "headStats":{"numSeries":5000,"numLabelPairs":7},
                "seriesCountByMetricName":[{"name":"http_seconds_bucket","value":1200},{"name":"up","value":9}],
                "labelValueCountByLabelName":[{"name":"__name__","value":400},{"name":"request_id","value":3000}],
                "seriesCountByLabelValuePair":[]}}"#
                .to_owned(),
            path if path.contains("created_total") => number("1000"),
            path if path.contains("appended_total") => number("500"),
            path if path.contains("Inf") => number("100"),
            path if path.contains("_bucket") => number("1300"),
            _ => return Reply::new(404, "no such page"),
        };
        Reply::new(200, body).with("content-type", "application/json")
    });
    let table = text(&estimate(&["--url", &peer.url]));
    assert!(
        table.contains(
            "3500 series with a model, 1500 kept as windows only, 100 histograms, 500 samples"
        ),
        "{table}"
    );
    assert!(table.contains("1200  http_seconds_bucket"), "{table}");
    assert!(table.contains("3000  request_id"), "{table}");
    assert!(!table.contains("__name__"), "{table}");
    assert!(table.contains("such as request_id"), "{table}");
    let all = json(&["--url", &peer.url]);
    assert_eq!(all["load"]["ended"], 168_000.0);
}

#[test]
fn an_answer_that_is_none_is_said() {
    let peer = Peer::start(|_, _| Reply::new(403, "go away"));
    let output = estimate(&["--url", &peer.url]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        error.contains("403") && error.contains("go away"),
        "{error}"
    );
    let peer = Peer::start(|_, _| Reply::new(200, "<html>"));
    let error = estimate(&["--url", &peer.url]).stderr;
    assert!(String::from_utf8_lossy(&error).contains("is it a Prometheus"));
}

#[test]
#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
fn a_real_prometheus_is_understood() {
    let prometheus = stores::prometheus(false);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now_ms = i64::try_from(now.as_millis()).unwrap();
    let instances: Vec<String> = (0..20).map(|i| format!("node{i}")).collect();
    let mut series = Vec::new();
    for instance in &instances {
        for le in ["0.1", "1", "+Inf"] {
            let labels = vec![
                ("__name__", "http_seconds_bucket"),
                ("instance", instance.as_str()),
                ("le", le),
            ];
            series.push(labels);
        }
        series.push(vec![("__name__", "temperature"), ("instance", instance)]);
    }
    let fed: Vec<_> = series
        .iter()
        .map(|labels| (labels.as_slice(), vec![(now_ms - 1000, 1.0)]))
        .collect();
    prometheus.feed(&fed);
    let all = json(&["--url", &prometheus.url]);
    assert_eq!(all["server"]["series"], 80.0);
    assert_eq!(all["load"]["histograms"], 20.0);
    // 60 buckets, and the room of their sums and counts, which are not there.
    assert_eq!(all["load"]["windows"], 80.0);
    assert_eq!(all["server"]["samples_per_second"], Value::Null);
    assert_eq!(all["server"]["metrics"][0]["name"], "http_seconds_bucket");
    let table = text(&estimate(&["--url", &prometheus.url]));
    assert!(table.contains("--interval was used"), "{table}");
    assert!(table.contains("20  instance"), "{table}");
}
