//! Series that fall silent, over the program itself: one alone is missed, a target that is gone is
//! missed once, one that says it is down not at all, and when nothing comes in nothing is said.

#[path = "support/client.rs"]
mod client;
#[path = "support/serving.rs"]
mod serving;

use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serving::Serving;

const STEP_MS: i64 = 1000;
const BEFORE: i64 = 300;
/// Rounds of a second after which something should have been said.
const PATIENCE: usize = 60;

/// (metric, instance) of all series. Of `gone` nothing comes any more, of `partly` one series less; of
/// `down` only `up` comes, and says so.
const SERIES: [(&str, &str); 9] = [
    ("up", "partly"),
    ("a", "partly"),
    ("b", "partly"),
    ("a", "gone"),
    ("b", "gone"),
    ("c", "gone"),
    ("up", "down"),
    ("a", "down"),
    ("b", "down"),
];

#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
fn now_ms() -> i64 {
    SystemClock.now_ms()
}

fn series((metric, instance): (&str, &str), samples: Vec<(i64, f64)>) -> proto::TimeSeries {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let sample = |(timestamp, value)| proto::Sample { value, timestamp };
    proto::TimeSeries {
        labels: vec![
            label("__name__", metric),
            label("instance", instance),
            label("job", "shop"),
        ],
        samples: samples.into_iter().map(sample).collect(),
        ..Default::default()
    }
}

fn send(saimon: &Serving, timeseries: Vec<proto::TimeSeries>) {
    let request = proto::WriteRequest {
        timeseries,
        ..Default::default()
    };
    assert_eq!(saimon.connect().write(&request).status, 204);
}

/// What is still sent.
fn left(random: &mut fastrand::Rng) -> Vec<proto::TimeSeries> {
    let at = now_ms();
    vec![
        series(SERIES[0], vec![(at, 1.0)]),
        series(SERIES[1], vec![(at, random.f64())]),
        series(SERIES[6], vec![(at, 0.0)]),
    ]
}

/// Metric and instance of all series that are missed.
fn missed(saimon: &Serving) -> Vec<(String, String)> {
    let page = saimon.connect().get("/metrics/scores", "");
    let label = |line: &str, name: &str| {
        let from = line.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
        line[from..].split('"').next().unwrap().to_owned()
    };
    let mut missed: Vec<_> = page
        .text()
        .lines()
        .filter(|l| l.starts_with("saimon_anomaly{") && l.contains("reason=\"absent\""))
        .inspect(|l| assert!(l.contains("state=\"active\"") && l.contains("direction=\"both\"")))
        .map(|l| (label(l, "source_metric"), label(l, "instance")))
        .collect();
    missed.sort();
    missed
}

#[test]
fn silence_alone_is_missed_that_of_a_target_once_and_ours_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saimon.yaml");
    std::fs::write(&file, "detect: {absent: 10s}\n").unwrap();
    let args = ["--config", file.to_str().unwrap()];
    let saimon = Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &args);
    let mut random = fastrand::Rng::with_seed(5);
    let end_ms = now_ms();
    let mut past = Vec::new();
    for key in SERIES {
        let value = |random: &mut fastrand::Rng| match key.0 {
            "up" => 1.0,
            _ => random.f64(),
        };
        let samples = (0..BEFORE)
            .map(|i| (end_ms - (BEFORE - i) * STEP_MS, value(&mut random)))
            .collect();
        past.push(series(key, samples));
    }
    send(&saimon, past);

    let expected = |missed: &[(String, String)]| {
        let of = |instance: &str| missed.iter().filter(|m| m.1 == instance).count();
        of("partly") == 1 && of("gone") == 1
    };
    let mut found = Vec::new();
    for _ in 0..PATIENCE {
        send(&saimon, left(&mut random));
        std::thread::sleep(Duration::from_secs(1));
        found = missed(&saimon);
        assert!(found.len() <= 2, "{found:?}");
        if expected(&found) {
            break;
        }
    }
    assert!(expected(&found), "{found:?}");
    assert!(
        found.contains(&("b".to_owned(), "partly".to_owned())),
        "{found:?}"
    );

    // It is back: no longer missed.
    let at = now_ms();
    send(&saimon, vec![series(SERIES[2], vec![(at, 0.5)])]);
    for _ in 0..PATIENCE {
        if missed(&saimon).len() == 1 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let one = missed(&saimon);
    assert_eq!(one.len(), 1, "{one:?}");
    assert_eq!(one[0].1, "gone");

    // Nothing comes in at all: nobody else is missed, and what was said stays said.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_secs(1));
        assert_eq!(missed(&saimon), one);
    }
}
