//! What people say of anomalies changes detection, is kept, and can be taken back.

use std::path::Path;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::{Value, json};

use crate::serving::Serving;
use crate::{all, get, problem};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 900;
const ALL: &str = "/api/v1/anomalies";

/// Two series with the same values, so that what is said of one can be seen against the other.
fn request(end_ms: i64, from: i64, to: i64) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let value = |i: i64| {
        let noise = fastrand::Rng::with_seed(i as u64).f64();
        let wild = if (SAMPLES - 30..SAMPLES - 25).contains(&i) {
            60.0
        } else if i >= SAMPLES + 20 {
            200.0
        } else {
            0.0
        };
        50.0 + 4.0 * noise + wild
    };
    let timeseries = ["rejected", "twin"].map(|instance| proto::TimeSeries {
        labels: vec![
            label("__name__", "queue_length"),
            label("instance", instance),
            label("job", "shop"),
        ],
        samples: (from..to)
            .map(|i| proto::Sample {
                value: value(i),
                timestamp: end_ms + (i - SAMPLES) * STEP_MS,
            })
            .collect(),
        ..Default::default()
    });
    proto::WriteRequest {
        timeseries: timeseries.into(),
        ..Default::default()
    }
}

fn send(saimon: &Serving, end_ms: i64, from: i64, to: i64) {
    let mut client = saimon.connect();
    for at in (from..to).step_by(50) {
        let written = client.write(&request(end_ms, at, (at + 50).min(to)));
        assert_eq!(written.status, 204, "{}", written.text());
    }
}

fn start(folder: &Path) -> Serving {
    let config = folder.join("saimon.yaml");
    // No checkpoint: what is killed is read back from the log. Forests of twins are not the same.
    std::fs::write(
        &config,
        "store: {checkpoint: 1h}\ndetect: {forest: {memory: 0B}}\n",
    )
    .unwrap();
    let config = format!("--config={}", config.display());
    Serving::start_with(&folder.join("data"), "127.0.0.1:0", &[&config])
}

/// The records of an instance, the newest first, once there are so many of both and none is pending.
fn records(saimon: &Serving, many: usize) -> [Vec<Value>; 2] {
    for _ in 0..200 {
        let of = |instance: &str| {
            let path =
                format!("{ALL}?match[]=%7Binstance=%22{instance}%22%7D&state=active,resolved");
            all(saimon, &path, 100)
        };
        let both = [of("rejected"), of("twin")];
        if both.iter().all(|r| r.len() >= many) {
            return both;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("fewer than {many} anomalies: {:?}", all(saimon, ALL, 100));
}

/// Waits until the newest sample of each of these is scored.
fn scored(saimon: &Serving, t_ms: i64, series: &[&str]) {
    let time = jiff::Timestamp::from_millisecond(t_ms).unwrap().to_string();
    for _ in 0..200 {
        if series.iter().all(|s| get(saimon, s)["last_time"] == time) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{time} is never scored: {}", get(saimon, series[0]));
}

/// How far over its line a series is, from its score.
fn beyond(saimon: &Serving, series: &str) -> f64 {
    let score = get(saimon, series)["score"].as_f64().unwrap();
    assert!(score > 0.7, "{score}");
    let (mut less, mut more) = (1.0, 1000.0);
    for _ in 0..60 {
        let middle = 0.5 * (less + more);
        if saimon::score::scale::score(middle) < score {
            less = middle;
        } else {
            more = middle;
        }
    }
    less
}

fn said(saimon: &Serving, path: &str, body: &Value) -> Value {
    let answer = saimon.connect().post_json(path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

#[test]
fn a_rejection_raises_the_line_is_kept_and_can_be_undone() {
    let folder = tempfile::tempdir().unwrap();
    let end_ms = SystemClock.now_ms();
    let saimon = start(folder.path());
    send(&saimon, end_ms, 0, SAMPLES);
    let [mine, twins] = records(&saimon, 1);
    assert_eq!(mine[0]["peak"]["deviation"], twins[0]["peak"]["deviation"]);
    let link = mine[0]["link"].as_str().unwrap();
    let path = format!("{link}/feedback");
    assert_eq!(problem(&saimon, &path).0, 404);
    wrong(&saimon, &path);

    let body = json!({"verdict": "rejected", "author": "ada", "comment": "a backup"});
    let given = said(&saimon, &path, &body);
    assert_eq!(given["verdict"], "rejected");
    assert_eq!(given["reason"], mine[0]["reason"]);
    assert_eq!(given["comment"], "a backup");
    let lines = given["lines"].as_array().unwrap();
    assert!(
        !lines.is_empty() && lines.iter().all(|l| l["factor"] == 1.25),
        "{given}"
    );
    assert_eq!(get(&saimon, &path), given);
    assert_eq!(get(&saimon, link)["feedback"], "rejected");
    let members = incident(&saimon, link);
    let said_of = |m: &Value| (m["id"].clone(), m["feedback"].clone());
    assert_eq!(members.len(), 2, "{members:#?}");
    assert!(members.iter().map(said_of).all(|(id, feedback)| {
        feedback
            == if id == mine[0]["id"] {
                json!("rejected")
            } else {
                Value::Null
            }
    }));
    let series = format!("/api/v1/series/{}", mine[0]["series_id"].as_str().unwrap());
    let shown = get(&saimon, &series);
    assert_eq!(shown["lines"], given["lines"]);
    assert_eq!(shown["feedback"][0], given);
    assert_eq!(get(&saimon, "/api/v1/feedback")["feedback"], json!([given]));
    assert_eq!(
        saimon.sum("saimon_feedback_total{verdict=\"rejected\"} "),
        1
    );

    // Killed at once: what was answered is kept, and counts.
    drop(saimon);
    let saimon = start(folder.path());
    assert_eq!(get(&saimon, &path), given);
    // The twins are not the same from the time on from which it counts; 2 s are less than 20 samples.
    send(&saimon, end_ms, SAMPLES, SAMPLES + 21);
    let twin = format!("/api/v1/series/{}", twins[0]["series_id"].as_str().unwrap());
    let factor = |saimon: &Serving| beyond(saimon, &twin) / beyond(saimon, &series);
    scored(&saimon, end_ms + 20 * STEP_MS, &[&series, &twin]);
    let once = factor(&saimon);
    assert!((once - 1.25).abs() < 1e-3, "{once}");
    // Read back from the log once more, it is what it was.
    drop(saimon);
    let saimon = start(folder.path());
    scored(&saimon, end_ms + 20 * STEP_MS, &[&series, &twin]);
    assert_eq!(factor(&saimon), once);

    let undone = saimon.connect().delete(&path);
    assert_eq!(undone.status, 200, "{}", undone.text());
    assert_eq!(saimon.connect().delete(&path).status, 404);
    let shown = get(&saimon, &series);
    assert_eq!(
        (&shown["lines"], &shown["feedback"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(get(&saimon, link)["feedback"], Value::Null);
}

/// The anomalies of the incident that one is a part of, once it is.
fn incident(saimon: &Serving, link: &str) -> Vec<Value> {
    for _ in 0..300 {
        if let Some(id) = get(saimon, link)["incident"].as_str() {
            let detail = get(saimon, &format!("/api/v1/incidents/{id}"));
            return detail["anomalies"].as_array().unwrap().clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{link} is never part of an incident");
}

/// What is wrong is named, and changes nothing.
fn wrong(saimon: &Serving, path: &str) {
    let long = json!({"verdict": "rejected", "comment": "x".repeat(2001)}).to_string();
    for (body, parameter) in [
        ("", "body"),
        ("[]", "body"),
        ("{}", "verdict"),
        (r#"{"verdict": "maybe"}"#, "verdict"),
        (r#"{"verdict": 1}"#, "verdict"),
        (r#"{"verdict": "rejected", "why": "x"}"#, "why"),
        (long.as_str(), "comment"),
    ] {
        let answer = saimon.connect().post_json(path, body);
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["parameter"], parameter, "{said}");
    }
    let body = r#"{"verdict": "rejected"}"#;
    let form = saimon
        .connect()
        .post_to(path, "content-type: text/plain\r\n", body.as_bytes());
    assert_eq!(form.status, 400);
    let nowhere = "/api/v1/anomalies/1-0000000000000001/feedback";
    assert_eq!(saimon.connect().post_json(nowhere, body).status, 404);
    assert_eq!(get(saimon, "/api/v1/feedback")["feedback"], json!([]));
}
