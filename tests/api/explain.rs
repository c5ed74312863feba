//! What an explanation says is what was said when the sample came; and what a long past says.

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::Value;

use crate::get;
use crate::serving::Serving;

/// A quarter of an hour: forests are asked of every sample.
const STEP_MS: i64 = 900_000;
/// Eight days.
const SAMPLES: i64 = 768;
/// The last ones come one by one.
const LIVE: i64 = 12;
const NAMES: [&str; 2] = ["load", "requests_total"];

fn label(name: &str, value: &str) -> proto::Label {
    proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

/// A rhythm with noise, and what a counter of it would be.
fn values() -> Vec<[f64; 2]> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut total = 0.0;
    let one = |i: i64| {
        let spike = if (i + 5) % SAMPLES < 3 { 60.0 } else { 0.0 };
        let now = 50.0 + 10.0 * (i as f64 / 15.28).sin() + 3.0 * random.f64() + spike;
        total += now * 900.0;
        [now, total]
    };
    (0..SAMPLES).map(one).collect()
}

fn request(values: &[[f64; 2]], steps: std::ops::Range<i64>, end_ms: i64) -> proto::WriteRequest {
    let one = |(n, name): (usize, &&str)| proto::TimeSeries {
        labels: vec![label("__name__", name), label("job", "shop")],
        samples: steps
            .clone()
            .map(|i| proto::Sample {
                value: values[i as usize][n],
                timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
            })
            .collect(),
        ..Default::default()
    };
    proto::WriteRequest {
        timeseries: NAMES.iter().enumerate().map(one).collect(),
        ..Default::default()
    }
}

/// The scores on the board, in the order of [`NAMES`].
fn shown(saimon: &Serving, ids: &[String; 2]) -> [f64; 2] {
    [0, 1].map(|n| {
        let one = get(saimon, &format!("/api/v1/series/{}", ids[n]));
        one["score"].as_f64().unwrap()
    })
}

fn explained(saimon: &Serving, id: &str, t_ms: i64) -> Value {
    let time = t_ms as f64 / 1000.0;
    get(saimon, &format!("/api/v1/series/{id}/explain?time={time}"))
}

#[test]
fn an_explanation_has_the_score_that_was_shown_forests_included_and_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    let text = "detect: {warmup: 50, young: 100, forest: {min_points: 60, rows: 100}}\n";
    std::fs::write(&config, text).unwrap();
    let config = format!("--config={}", config.display());
    let data = folder.path().join("data");
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &[&config]);
    let (values, end_ms) = (values(), SystemClock.now_ms() / 1000 * 1000);
    let before = SAMPLES - LIVE;
    let answer = saimon.connect().write(&request(&values, 0..before, end_ms));
    assert_eq!(answer.status, 204);
    saimon.settled(2 * before as u64);
    let list = get(&saimon, "/api/v1/series");
    let ids = NAMES.map(|name| {
        let mut all = list["series"].as_array().unwrap().iter();
        let one = all.find(|s| s["metric_name"] == name).unwrap();
        one["id"].as_str().unwrap().to_owned()
    });

    let mut said = Vec::new();
    for i in before..SAMPLES {
        let answer = saimon.connect().write(&request(&values, i..i + 1, end_ms));
        assert_eq!(answer.status, 204);
        saimon.settled(2 * (i + 1) as u64);
        said.push((end_ms - (SAMPLES - 1 - i) * STEP_MS, shown(&saimon, &ids)));
    }
    let mut told = Vec::new();
    for (t_ms, scores) in &said {
        for (id, score) in ids.iter().zip(scores) {
            let one = explained(&saimon, id, *t_ms);
            let again = one["score"].as_f64().unwrap();
            assert_eq!(again.to_bits(), score.to_bits(), "{one}");
            told.push(one);
        }
    }
    let scores = || said.iter().flat_map(|(_, s)| s);
    assert!(scores().any(|s| *s >= 0.7) && scores().any(|s| *s < 0.7));
    for one in &told {
        assert!(
            one["learned"]["forest"]["version"].as_u64() > Some(0),
            "{one}"
        );
        let parts = one["detectors"].as_array().unwrap();
        let shares = parts.iter().map(|p| p["share"].as_f64().unwrap());
        assert!((shares.sum::<f64>() - 1.0).abs() < 1e-5, "{one}");
        assert_eq!(one["sentences"].as_array().unwrap().len(), 2);
    }
    // The last sample of each, a day and a week before it.
    for (n, one) in told[told.len() - 2..].iter().enumerate() {
        for (key, days) in [("yesterday", 1), ("last_week", 7)] {
            let at = (SAMPLES - 1 - days * 96) as usize;
            let is = [values[at][0], (values[at][1] - values[at - 1][1]) / 900.0][n];
            let then = one[key]["value"].as_f64().unwrap();
            assert!((then - is).abs() < 1e-6, "{key}: {one}");
        }
    }
    // The newest without a time.
    let newest = get(&saimon, &format!("/api/v1/series/{}/explain", ids[1]));
    assert_eq!(&newest, told.last().unwrap());

    // A gauge and the rate of a counter: what the trainers made of eight days.
    for id in &ids {
        let long = &get(&saimon, &format!("/api/v1/series/{id}"))["long_past"];
        assert_eq!(long["season"], "day", "{long}");
        assert!(long["hours"].as_u64() >= Some(190), "{long}");
        let next = long["next_day"].as_array().unwrap();
        let values = next.iter().map(|v| v["value"].as_f64().unwrap());
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(l, h), v| (v.min(l), v.max(h)));
        assert!(next.len() == 24 && (38.0..46.0).contains(&low), "{long}");
        assert!((57.0..65.0).contains(&high), "{long}");
    }

    drop(saimon);
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &[&config]);
    let mut again = Vec::new();
    for (t_ms, _) in &said {
        again.extend(ids.iter().map(|id| explained(&saimon, id, *t_ms)));
    }
    assert_eq!(again, told);
}
