//! What can be done with models, and that it stays done.

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::Value;

use crate::get;
use crate::serving::Serving;

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 300;

fn label(name: &str, value: &str) -> proto::Label {
    proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

fn request(steps: std::ops::Range<i64>, end_ms: i64) -> proto::WriteRequest {
    let one = |instance: &str| proto::TimeSeries {
        labels: vec![label("__name__", "load"), label("instance", instance)],
        samples: steps
            .clone()
            .map(|i| proto::Sample {
                value: f64::from(fastrand::Rng::with_seed(i as u64).u8(..)),
                timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
            })
            .collect(),
        ..Default::default()
    };
    proto::WriteRequest {
        timeseries: ["a", "b", "c"].map(one).into(),
        ..Default::default()
    }
}

fn post(saimon: &Serving, path: &str) -> (u16, Value) {
    let answer = saimon.connect().post_to(path, "", b"");
    let body = serde_json::from_slice(&answer.body).unwrap_or_default();
    (answer.status, body)
}

/// Models without what says how far fits have come that are done again after a start.
fn models(saimon: &Serving) -> Vec<Value> {
    let list = get(saimon, "/api/v1/models");
    let mut all = list["models"].as_array().unwrap().clone();
    for model in &mut all {
        model["bytes"] = Value::Null;
        model["forest"]["bytes"] = Value::Null;
        model["forest"]["last_fit"] = Value::Null;
    }
    all
}

#[test]
fn orders_about_models_are_done_and_survive_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    let text = "detect: {warmup: 50, young: 100, forest: {min_points: 60, rows: 100}}\n";
    std::fs::write(&config, text).unwrap();
    let config = format!("--config={}", config.display());
    let data = folder.path().join("data");
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &[&config]);
    let end_ms = SystemClock.now_ms();
    let before = SAMPLES - 40;
    assert_eq!(
        saimon.connect().write(&request(0..before, end_ms)).status,
        204
    );
    saimon.settled(3 * before as u64);
    let all = models(&saimon);
    let id = |n: usize| all[n]["series_id"].as_str().unwrap().to_owned();
    let forest = &all[0]["forest"];
    let version = forest["version"].as_u64().unwrap();
    assert!(version >= 2 && forest["pinned"] == false, "{forest}");

    let fit = &get(&saimon, &format!("/api/v1/models/{}", id(0)))["forest"]["last_fit"];
    assert!(
        (0.2..0.7).contains(&fit["typical_score"].as_f64().unwrap()),
        "{fit}"
    );
    let jobs = get(&saimon, "/api/v1/models/jobs");
    let jobs = jobs["jobs"].as_array().unwrap();
    assert!(jobs.iter().any(|j| j["series_id"] == id(0)), "{jobs:?}");
    let (status, told) = post(&saimon, &format!("/api/v1/models/{}/rollback", id(0)));
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["forest"]["version"], version - 1);
    assert_eq!(told["forest"]["pinned"], true);
    assert_eq!(models(&saimon)[0]["forest"]["version"], version - 1);
    let (status, told) = post(&saimon, &format!("/api/v1/models/{}/pin", id(1)));
    assert_eq!((status, &told["forest"]["pinned"]), (200, &true.into()));
    let (status, told) = post(&saimon, &format!("/api/v1/models/{}/reset", id(2)));
    assert_eq!(
        (status, &told["samples"], &told["phase"]),
        (200, &0.into(), &"warmup".into())
    );
    let series = get(&saimon, &format!("/api/v1/series/{}", id(2)));
    assert!(series["score"].is_null(), "{series}");
    let window = get(
        &saimon,
        &format!("/api/v1/series/{}/window?start_time=0", id(2)),
    );
    assert_eq!(window["samples"].as_array().unwrap().len() as i64, before);

    for (path, status, parameter) in [
        (
            format!("/api/v1/models/{}/rollback?version=77", id(0)),
            400,
            "version",
        ),
        (
            format!("/api/v1/models/{}/rollback?version=x", id(0)),
            400,
            "version",
        ),
        (format!("/api/v1/models/{}/rollback", id(2)), 409, ""),
        ("/api/v1/models/0000000000000001/pin".to_owned(), 404, ""),
    ] {
        let (code, body) = post(&saimon, &path);
        assert_eq!(code, status, "{path}: {body}");
        assert_eq!(body["parameter"].as_str().unwrap_or_default(), parameter);
    }
    assert_eq!(saimon.sum("saimon_model_orders_total"), 3);

    // Nothing but the log has them.
    let ordered = models(&saimon);
    drop(saimon);
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &[&config]);
    assert_eq!(models(&saimon), ordered);

    let (status, told) = post(&saimon, &format!("/api/v1/models/{}/retrain", id(0)));
    assert_eq!(
        (status, &told["forest"]["version"]),
        (200, &(version - 1).into())
    );
    assert_eq!(
        post(&saimon, &format!("/api/v1/models/{}/unpin", id(1))).1["forest"]["pinned"],
        false
    );
    assert_eq!(
        saimon
            .connect()
            .write(&request(before..SAMPLES, end_ms))
            .status,
        204
    );
    saimon.settled(3 * (SAMPLES - before) as u64);
    let now = models(&saimon);
    assert!(
        now[0]["forest"]["version"].as_u64() > Some(version),
        "{}",
        now[0]
    );
    assert_eq!(now[0]["forest"]["pinned"], false);
    assert_eq!(now[2]["samples"], SAMPLES - before);
}
