//! Windows of maintenance and changes at targets, over the program itself.

use std::path::Path;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::{Value, json};

use crate::serving::Serving;
use crate::{all, get, problem};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 900;
const PATH: &str = "/api/v1/maintenance";

/// Three targets in the same trouble at the end. The first has just been started anew, and says so; the
/// third has as well, which shows in its counters; one counter of the second was set to zero.
fn request(end_ms: i64, from: i64, to: i64) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let value = |name: &str, instance: &str, i: i64| match name {
        "process_start_time_seconds" if instance == "a" && i >= SAMPLES - 6 => 2_000_000_000.0,
        "process_start_time_seconds" => 1_700_000_000.0,
        "orders_total" if instance != "a" && i >= SAMPLES - 6 => (i - SAMPLES + 6) as f64,
        "errors_total" if instance == "c" && i >= SAMPLES - 6 => 1.0,
        "orders_total" | "errors_total" => 3.0 * i as f64,
        _ => {
            let noise = fastrand::Rng::with_seed(i as u64).f64();
            50.0 + 4.0 * noise + if i >= SAMPLES - 5 { 60.0 } else { 0.0 }
        }
    };
    let names = [
        "errors_total",
        "orders_total",
        "process_start_time_seconds",
        "queue_length",
    ];
    let series = ["a", "b", "c"].into_iter();
    let series = series.flat_map(|instance| names.map(|name| (name, instance)));
    let timeseries = series.map(|(name, instance)| proto::TimeSeries {
        labels: vec![
            label("__name__", name),
            label("instance", instance),
            label("job", "shop"),
        ],
        samples: (from..to)
            .map(|i| proto::Sample {
                value: value(name, instance, i),
                timestamp: end_ms + (i - SAMPLES + 1) * STEP_MS,
            })
            .collect(),
        ..Default::default()
    });
    proto::WriteRequest {
        timeseries: timeseries.collect(),
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

fn start(folder: &Path, config: &str) -> Serving {
    let path = folder.join("saimon.yaml");
    std::fs::write(&path, config).unwrap();
    let config = format!("--config={}", path.display());
    Serving::start_with(&folder.join("data"), "127.0.0.1:0", &[&config])
}

fn post(saimon: &Serving, path: &str, body: &Value) -> Value {
    let answer = saimon.connect().post_json(path, &body.to_string());
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..300 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("{what} never happens");
}

#[test]
fn in_a_window_nobody_is_alerted_and_changes_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    // The end is so far ahead that a window that is made now counts for it.
    let end_ms = SystemClock.now_ms() + 300_000;
    let config = "maintenance: {change_window: 10m}\ndetect: {forest: {memory: 0B}}\n";
    let saimon = start(folder.path(), config);
    let end = jiff::Timestamp::from_millisecond(end_ms + 3_600_000)
        .unwrap()
        .to_string();
    let quiet = json!({"selector": "{instance=\"b\"}", "end_time": end, "comment": "disks"});
    let window = post(&saimon, PATH, &quiet);
    assert_eq!(
        (&window["id"], &window["alert"]),
        (&json!("1"), &json!(false))
    );
    send(&saimon, end_ms, 0, SAMPLES);
    let of = |saimon: &Serving, instance: &str| {
        let path = format!(
            "/api/v1/anomalies?match[]=%7Binstance=%22{instance}%22%7D&metric_name=queue_length&state=active"
        );
        all(saimon, &path, 10)
    };
    until("an anomaly of both", || {
        ["a", "b", "c"].iter().all(|i| !of(&saimon, i).is_empty())
    });
    // On record both, shown one; and both have their scores.
    let scores = saimon.connect().get("/metrics/scores", "");
    let has = |begins: &str, instance: &str| {
        let own = format!("instance=\"{instance}\"");
        let mut lines = scores.text().lines();
        lines.any(|l| l.starts_with(begins) && l.contains(&own) && l.contains("queue_length"))
    };
    assert!(
        has("saimon_anomaly{", "a") && !has("saimon_anomaly{", "b"),
        "{}",
        scores.text()
    );
    assert!(has("saimon_anomaly_score{", "a") && has("saimon_anomaly_score{", "b"));
    assert_eq!(of(&saimon, "b")[0]["maintenance"], json!(["1"]));
    assert_eq!(of(&saimon, "a")[0]["maintenance"], json!([]));

    until("a restart that is seen", || {
        of(&saimon, "a")[0]["change"] != Value::Null
    });
    assert_eq!(of(&saimon, "a")[0]["change"]["kind"], "restart");
    until("one that counters tell of", || {
        of(&saimon, "c")[0]["change"] != Value::Null
    });
    assert_eq!(of(&saimon, "c")[0]["change"]["kind"], "restart");
    assert_eq!(of(&saimon, "b")[0]["change"], Value::Null);
    let changes = get(&saimon, "/api/v1/changes");
    assert_eq!(changes["changes"].as_array().unwrap().len(), 2, "{changes}");
    let comment = "release \"4.2\"";
    let said = json!({"job": "shop", "duration": "10m", "comment": comment});
    post(&saimon, "/api/v1/changes", &said);
    let scores = saimon.connect().get("/metrics/scores", "");
    let line = "saimon_change{instance=\"\",job=\"shop\",kind=\"deploy\"} 1\n";
    assert!(scores.text().contains(line), "{}", scores.text());
    wrong(&saimon);

    // Killed, it holds, and the changes are known; one of the configuration has come.
    drop(saimon);
    let config = format!("{config}  \n").replace(
        "{change_window: 10m}",
        "{change_window: 10m, windows: [{selector: up, schedule: '0 2 * * SUN', duration: 2h}]}",
    );
    let saimon = start(folder.path(), &config);
    let windows = get(&saimon, PATH);
    let windows = windows["windows"].as_array().unwrap();
    assert_eq!(windows[1]["id"], "1");
    assert_eq!(windows[0]["source"], "config");
    assert_eq!(
        get(&saimon, "/api/v1/changes?kind=deploy")["changes"][0]["comment"],
        comment
    );
    assert_eq!(of(&saimon, "b")[0]["maintenance"], json!(["1"]));
    let ended = saimon.connect().delete("/api/v1/maintenance/2");
    assert_eq!(ended.status, 400, "{}", ended.text());
    let ended = saimon.connect().delete("/api/v1/maintenance/1");
    assert_eq!(ended.status, 200, "{}", ended.text());
    // Its end is two seconds from now, and the samples are ahead of that.
    send(&saimon, end_ms, SAMPLES, SAMPLES + 3);
    until("an alert after the end", || {
        let scores = saimon.connect().get("/metrics/scores", "");
        let mut lines = scores.text().lines();
        lines.any(|l| l.starts_with("saimon_anomaly{") && l.contains("instance=\"b\""))
    });
}

/// What is wrong is named, and changes nothing.
fn wrong(saimon: &Serving) {
    let before = get(saimon, PATH);
    for (path, body, parameter) in [
        (PATH, json!({}), "selector"),
        (PATH, json!({"selector": "{"}), "selector"),
        (PATH, json!({"selector": "up"}), "end_time"),
        (
            PATH,
            json!({"selector": "up", "end_time": "soon"}),
            "end_time",
        ),
        (PATH, json!({"selector": "up", "end_time": 5}), "end_time"),
        (
            PATH,
            json!({"selector": "up", "schedule": "0 2 * * *"}),
            "duration",
        ),
        (
            PATH,
            json!({"selector": "up", "schedule": "0 2 * * *", "duration": "long"}),
            "duration",
        ),
        (
            PATH,
            json!({"selector": "up", "schedule": "* * * * *", "duration": "1m"}),
            "schedule",
        ),
        (PATH, json!({"selector": "up", "alert": "no"}), "alert"),
        (PATH, json!({"selector": "up", "until": 5}), "until"),
        ("/api/v1/changes", json!({}), "job"),
        (
            "/api/v1/changes",
            json!({"job": "x", "duration": "30d"}),
            "duration",
        ),
        ("/api/v1/changes", json!({"job": "x", "when": 1}), "when"),
    ] {
        let answer = saimon.connect().post_json(path, &body.to_string());
        assert_eq!(answer.status, 400, "{body}: {}", answer.text());
        let said: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(said["parameter"], parameter, "{said}");
    }
    assert_eq!(problem(saimon, "/api/v1/maintenance/7").0, 404);
    assert_eq!(saimon.connect().delete("/api/v1/maintenance/7").status, 404);
    assert_eq!(get(saimon, PATH), before);
}

/// The commands of both guides do what they say.
#[test]
fn the_guides_are_what_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    let here = format!("http://{}", saimon.address);
    let run = |guide: &str| {
        for block in guide.split("```sh\n").skip(1) {
            for line in block.split("\n```").next().unwrap().lines() {
                let line = line.replace("http://localhost:9925", &here);
                // What is about an anomaly is tried where there is one.
                if line.contains('$') {
                    continue;
                }
                let shell = std::process::Command::new("sh")
                    .args(["-c", &line.replace("curl ", "curl --fail-with-body ")])
                    .output()
                    .unwrap();
                let said = String::from_utf8_lossy(&shell.stdout);
                assert!(shell.status.success(), "{line}: {said}");
            }
        }
    };
    run(include_str!("../../docs/maintenance.md"));
    run(include_str!("../../docs/feedback.md"));
    let guide = include_str!("../../docs/maintenance.md");
    for yaml in guide.split("```yaml\n").skip(1) {
        let yaml = yaml.split("```").next().unwrap();
        assert_eq!(saimon::config_file::check::check(yaml), []);
    }
}
