//! Exemplars are with the anomalies near whose beginning they were sent, in both versions of remote
//! write, whatever is killed and sent again.

use prost::Message as _;
use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto::{self, v2};
use serde_json::{Value, json};

use crate::client::snappy;
use crate::serving::Serving;
use crate::{all, get};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 700;
/// The first sample that is wild.
const ONSET: i64 = 660;
/// Samples of one request.
const PIECE: i64 = 20;

fn wild(i: i64) -> bool {
    (ONSET..ONSET + 20).contains(&i)
}

fn noise(seed: i64, i: i64) -> f64 {
    fastrand::Rng::with_seed((seed * 100_000 + i) as u64).f64()
}

/// A gauge, and the parts of a histogram, as 1.0.
fn request_v1(at: impl Fn(i64) -> i64, from: i64, to: i64) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let exemplars = |trace: &str, value: f64| {
        let of = (from..to).filter(|i| [10, ONSET - 5, ONSET, ONSET + 30].contains(i));
        let one = |i: i64| proto::Exemplar {
            labels: vec![
                label("trace_id", &format!("{trace}{i}")),
                label("span_id", "s"),
            ],
            value,
            timestamp: at(i) - 7,
        };
        of.map(one).collect::<Vec<_>>()
    };
    let one = |labels: &[(&str, &str)], value: &dyn Fn(i64) -> f64, trace: Option<(&str, f64)>| {
        let samples = (from..to).map(|i| proto::Sample {
            value: value(i),
            timestamp: at(i),
        });
        proto::TimeSeries {
            labels: labels.iter().map(|(n, v)| label(n, v)).collect(),
            samples: samples.collect(),
            exemplars: trace.map_or(Vec::new(), |(trace, value)| exemplars(trace, value)),
            ..Default::default()
        }
    };
    let gauge = |i: i64| 50.0 + 4.0 * noise(1, i) + if wild(i) { 70.0 } else { 0.0 };
    // A hundred requests between two samples; most are quick but for those of the wild ones.
    let before = |i: i64| (0..i.clamp(0, SAMPLES)).filter(|i| wild(*i)).count() as f64;
    let quick = |i: i64| 100.0 * (i as f64 - before(i)) + noise(2, i).floor();
    let every = |i: i64| 100.0 * i as f64;
    let sum = |i: i64| 5.0 * (i as f64 - before(i)) + 200.0 * before(i) + noise(3, i);
    let bucket = |le| {
        [
            ("__name__", "latency_seconds_bucket"),
            ("job", "shop"),
            ("le", le),
        ]
    };
    let slow = Some(("slow", f64::NAN));
    proto::WriteRequest {
        timeseries: vec![
            one(&bucket("+Inf"), &every, slow),
            one(&bucket("0.1"), &quick, None),
            one(&bucket("5"), &every, None),
            one(
                &[("__name__", "latency_seconds_count"), ("job", "shop")],
                &every,
                None,
            ),
            one(
                &[("__name__", "latency_seconds_sum"), ("job", "shop")],
                &sum,
                None,
            ),
            one(
                &[("__name__", "queue_length"), ("job", "shop")],
                &gauge,
                Some(("one", 0.25)),
            ),
        ],
        ..Default::default()
    }
}

/// A gauge as 2.0.
fn request_v2(at: impl Fn(i64) -> i64, from: i64, to: i64) -> v2::Request {
    let mut symbols: Vec<_> = ["", "__name__", "in_flight", "trace_id"]
        .map(str::to_owned)
        .into();
    let samples = (from..to).map(|i| v2::Sample {
        value: 50.0 + 4.0 * noise(4, i) + if wild(i) { 70.0 } else { 0.0 },
        timestamp: at(i),
        ..Default::default()
    });
    let mut exemplars = Vec::new();
    for i in (from..to).filter(|i| [ONSET - 5, ONSET, ONSET + 1].contains(i)) {
        exemplars.push(v2::Exemplar {
            labels_refs: vec![3, symbols.len() as u32],
            value: 0.5,
            timestamp: at(i),
        });
        symbols.push(format!("two{i}"));
    }
    let series = v2::TimeSeries {
        labels_refs: vec![1, 2],
        samples: samples.collect(),
        exemplars,
        ..Default::default()
    };
    v2::Request {
        symbols,
        timeseries: vec![series],
    }
}

fn send(saimon: &Serving, end_ms: i64, from: i64, to: i64) {
    let at = |i: i64| end_ms - (SAMPLES - 1 - i) * STEP_MS;
    let headers = "content-encoding: snappy\r\n\
                   content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\n\
                   x-prometheus-remote-write-version: 2.0.0\r\n";
    let mut client = saimon.connect();
    for from in (from..to).step_by(PIECE as usize) {
        let to = (from + PIECE).min(to);
        let written = client.write(&request_v1(at, from, to));
        assert_eq!(written.status, 204, "{}", written.text());
        let two = snappy(&request_v2(at, from, to).encode_to_vec());
        let written = client.post(headers, &two);
        assert_eq!(written.status, 204, "{}", written.text());
    }
}

/// The anomalies of a metric when they do not change any more.
fn anomalies(saimon: &Serving, name: &str) -> Vec<Value> {
    let path = format!("/api/v1/anomalies?metric_name={name}");
    let (mut before, mut same) = (Vec::new(), 0);
    for _ in 0..200 {
        std::thread::sleep(std::time::Duration::from_millis(100));
        let now = all(saimon, &path, 100);
        same = if now == before { same + 1 } else { 0 };
        if !now.is_empty() && same == 9 {
            return now;
        }
        before = now;
    }
    panic!("the anomalies of {name} do not come to rest: {before:?}");
}

/// The traces of the anomaly that began with the wild samples.
fn traces(of: &[Value]) -> Vec<String> {
    let of = of.iter().flat_map(|a| a["exemplars"].as_array().unwrap());
    let text = |e: &Value| e["labels"]["trace_id"].as_str().unwrap().to_owned();
    of.map(text).collect()
}

#[test]
fn exemplars_are_with_the_anomalies_that_they_are_near() {
    let folder = tempfile::tempdir().unwrap();
    let end_ms = SystemClock.now_ms();
    let start = || Serving::start(folder.path());

    // Killed shortly before it begins, and in the middle of it.
    let saimon = start();
    send(&saimon, end_ms, 0, ONSET - 2);
    drop(saimon);
    let saimon = start();
    send(&saimon, end_ms, ONSET - 10, ONSET + 3);
    drop(saimon);
    let saimon = start();
    send(&saimon, end_ms, ONSET - 10, SAMPLES);

    let gauge = anomalies(&saimon, "queue_length");
    assert_eq!(traces(&gauge), ["one655", "one660"], "{gauge:?}");
    let shown = &gauge.last().unwrap()["exemplars"][1];
    assert_eq!(
        shown["labels"],
        json!({"trace_id": "one660", "span_id": "s"})
    );
    assert_eq!(shown["value"], 0.25);
    let began: jiff::Timestamp = shown["timestamp"].as_str().unwrap().parse().unwrap();
    let sent_ms = end_ms - (SAMPLES - 1 - ONSET) * STEP_MS - 7;
    assert_eq!(began.as_millisecond(), sent_ms);

    let two = anomalies(&saimon, "in_flight");
    assert_eq!(traces(&two), ["two655", "two660", "two661"], "{two:?}");

    let statistics = anomalies(&saimon, "latency_seconds");
    for anomaly in &statistics {
        assert_eq!(
            traces(std::slice::from_ref(anomaly)),
            ["slow655", "slow660"]
        );
        assert_eq!(anomaly["exemplars"][0]["value"], Value::Null);
    }

    // One of them alone says the same, after another kill too.
    drop(saimon);
    let saimon = start();
    send(&saimon, end_ms, ONSET - 10, SAMPLES);
    assert_eq!(anomalies(&saimon, "queue_length"), gauge);
    let alone = get(&saimon, gauge[0]["link"].as_str().unwrap());
    assert_eq!(alone["exemplars"], gauge[0]["exemplars"]);
}
