//! Series that move together, over the program itself: one that goes its own way at values that are
//! plausible for it is named, by its group and by no other detector.

#[path = "support/client.rs"]
mod client;
#[path = "support/serving.rs"]
mod serving;

use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serving::Serving;

const METRICS: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
const INSTANCES: [&str; 2] = ["one", "two"];
const ROUNDS: i64 = 2000;

#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
fn now_ms() -> i64 {
    SystemClock.now_ms()
}

/// Of deviation 1.
fn noise(random: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| random.f64()).sum::<f64>() - 6.0
}

/// One second of all series; from `broken` on `c` of `one` goes its own way.
fn round(random: &mut fastrand::Rng, t_ms: i64, broken: bool) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut timeseries = Vec::new();
    for instance in INSTANCES {
        let load = noise(random);
        for metric in METRICS {
            let own = noise(random);
            let value = match broken && metric == "c" && instance == "one" {
                true => own,
                false => load + 0.2 * own,
            };
            timeseries.push(proto::TimeSeries {
                labels: vec![
                    label("__name__", metric),
                    label("instance", instance),
                    label("job", "shop"),
                ],
                samples: vec![proto::Sample {
                    value: 50.0 + 10.0 * value,
                    timestamp: t_ms,
                }],
                ..Default::default()
            });
        }
    }
    proto::WriteRequest {
        timeseries,
        ..Default::default()
    }
}

fn scores(saimon: &Serving) -> String {
    let page = saimon.connect().get("/metrics/scores", "");
    page.text().to_owned()
}

#[test]
fn one_that_leaves_the_others_is_named_by_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(&folder.path().join("data"));
    let mut random = fastrand::Rng::with_seed(3);
    let begin_ms = now_ms() - (ROUNDS + 100) * 1000;
    let mut client = saimon.connect();
    let mut send = |rounds: std::ops::Range<i64>, broken| {
        for i in rounds.clone() {
            let request = round(&mut random, begin_ms + i * 1000, broken);
            assert_eq!(client.write(&request).status, 204);
        }
        let samples = (METRICS.len() * INSTANCES.len()) as u64 * rounds.end as u64;
        saimon.settled(samples);
    };
    send(0..ROUNDS, false);
    let group = |instance: &str| {
        format!(
            "saimon_group_joint_score{{group_by=\"job,instance\",instance=\"{instance}\",job=\"shop\"}} "
        )
    };
    let score = |page: &str, instance: &str| -> Option<f64> {
        let line = page
            .lines()
            .find_map(|l| l.strip_prefix(&*group(instance)))?;
        line.trim().parse().ok()
    };
    let mut page = String::new();
    for _ in 0..100 {
        page = scores(&saimon);
        if INSTANCES.iter().all(|i| score(&page, i).is_some()) {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(
        INSTANCES
            .iter()
            .all(|i| score(&page, i).is_some_and(|s| s < 0.7)),
        "{page}"
    );
    assert!(!page.contains("reason=\"joint\""), "{page}");
    assert_eq!(saimon.sum("saimon_group_joint_samples_lost_total "), 0);

    let named = "saimon_anomaly{instance=\"one\",job=\"shop\",source_metric=\"c\",state=\"active\"";
    let mut found = false;
    for i in 0..80 {
        send(ROUNDS + i..ROUNDS + i + 1, true);
        std::thread::sleep(Duration::from_millis(20));
        page = scores(&saimon);
        let line = page.lines().find(|l| l.starts_with(named));
        found = line.is_some_and(|l| l.contains("reason=\"joint\""));
        if found {
            break;
        }
    }
    assert!(found, "{page}");
    assert_eq!(saimon.sum("saimon_group_joint_anomalies_total "), 1);
    assert!(
        page.contains("saimon_anomaly_score{instance=\"one\",job=\"shop\",source_metric=\"c\"} 0.")
    );
    assert_eq!(page.matches("reason=\"joint\"").count(), 1, "{page}");
    let records = anomalies(&saimon);
    assert_eq!(
        records.matches("\"reason\":\"joint\"").count(),
        1,
        "{records}"
    );
    assert!(
        records.contains("\"source_metric\":\"c\"") || records.contains("\"c\""),
        "{records}"
    );
}

fn anomalies(saimon: &Serving) -> String {
    let page = saimon.connect().get("/api/v1/anomalies?reason=joint", "");
    assert_eq!(page.status, 200, "{}", page.text());
    page.text().to_owned()
}

/// What is said of groups.
fn said(saimon: &Serving) -> Vec<String> {
    let page = scores(saimon);
    let of_groups =
        |l: &&str| l.starts_with("saimon_group_joint_score{") || l.contains("reason=\"joint\"");
    let mut said: Vec<_> = page.lines().filter(of_groups).map(str::to_owned).collect();
    said.push(anomalies(saimon));
    said
}

#[test]
fn groups_go_on_after_a_kill_and_a_stop_with_any_number_of_shards() {
    const LEARNED: i64 = 1000;
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    std::fs::write(&config, "store:\n  checkpoint: 1s\n").unwrap();
    let config = config.to_str().unwrap();
    let start = |name: &str, shards: &str| {
        let args = ["--config", config, "--shards", shards];
        Serving::start_with(&folder.path().join(name), "127.0.0.1:0", &args)
    };
    let mut random = fastrand::Rng::with_seed(5);
    let begin_ms = now_ms() - (LEARNED + 100) * 1000;
    let mut at = 0;
    let mut send = |to: &[&Serving], until: i64| {
        let mut clients: Vec<_> = to.iter().map(|saimon| saimon.connect()).collect();
        for i in at..until {
            let request = round(&mut random, begin_ms + i * 1000, i >= LEARNED);
            for client in &mut clients {
                assert_eq!(client.write(&request).status, 204);
            }
        }
        at = until;
    };
    let alike = |whole: &Serving, broken: &Serving, what: &str, enough: &dyn Fn(&str) -> bool| {
        let mut last = (Vec::new(), Vec::new());
        for _ in 0..600 {
            last = (said(whole), said(broken));
            if last.0 == last.1 && enough(&last.0.concat()) {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{what}: {last:#?}");
    };
    let scored = |said: &str| said.matches("saimon_group_joint_score{").count() == 2;
    let whole = start("whole", "1");
    let broken = start("broken", "7");
    send(&[&whole, &broken], LEARNED - 400);
    // Killed.
    drop(broken);
    let broken = start("broken", "2");
    send(&[&whole, &broken], LEARNED);
    alike(&whole, &broken, "after a kill", &scored);
    send(&[&whole, &broken], LEARNED + 15);
    let named = |said: &str| {
        scored(said) && said.contains("state=\"active\"") && said.contains("\"active\"")
    };
    alike(&whole, &broken, "with an anomaly", &named);
    // Ended in order, in the middle of the anomaly.
    assert_eq!(broken.terminate().0, 0);
    let broken = start("broken", "3");
    // The score of a series is shown with its next sample; what groups know is there at once.
    let of_groups = |saimon: &Serving| -> Vec<String> {
        let said = said(saimon).into_iter();
        said.filter(|l| !l.starts_with("saimon_anomaly")).collect()
    };
    assert_eq!(
        of_groups(&whole),
        of_groups(&broken),
        "before anything is sent"
    );
    send(&[&whole, &broken], LEARNED + 20);
    alike(&whole, &broken, "after a stop", &named);
    drop(broken);
    let broken = start("broken", "1");
    send(&[&whole, &broken], LEARNED + 25);
    alike(&whole, &broken, "after another kill", &named);
    for saimon in [&whole, &broken] {
        assert_eq!(saimon.sum("saimon_group_joint_samples_lost_total "), 0);
        assert_eq!(saimon.sum("saimon_group_joint_errors_total "), 0);
    }
}

/// One second of series that share a cluster and nothing else; from `broken` on two of them are far out.
fn apart(random: &mut fastrand::Rng, t_ms: i64, broken: bool) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let load = noise(random);
    let one = |metric: &&str| {
        let own = noise(random);
        let out = broken && ["a", "d"].contains(metric);
        proto::TimeSeries {
            labels: vec![
                label("__name__", metric),
                label("cluster", "c"),
                label("instance", &format!("host-{metric}")),
                label("job", &format!("job-{metric}")),
            ],
            samples: vec![proto::Sample {
                value: 50.0 + 10.0 * (load + 0.2 * own) + if out { 400.0 } else { 0.0 },
                timestamp: t_ms,
            }],
            ..Default::default()
        }
    };
    proto::WriteRequest {
        timeseries: METRICS.iter().map(one).collect(),
        ..Default::default()
    }
}

#[test]
fn anomalies_of_series_that_were_learned_to_move_together_are_one_incident() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    let text = "groups: {joint_by: cluster}\ndetect: {warmup: 100, forest: {memory: 0B}}\n";
    std::fs::write(&config, text).unwrap();
    let config = format!("--config={}", config.display());
    let start = || Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &[&config]);
    let saimon = start();
    let mut random = fastrand::Rng::with_seed(5);
    let rounds = 700;
    let begin_ms = now_ms() - (rounds + 10) * 1000;
    let mut client = saimon.connect();
    for i in 0..rounds {
        let request = apart(&mut random, begin_ms + i * 1000, i >= rounds - 6);
        assert_eq!(client.write(&request).status, 204);
    }
    saimon.settled(METRICS.len() as u64 * rounds as u64);
    let incidents = |saimon: &Serving| -> Vec<serde_json::Value> {
        for _ in 0..300 {
            let answer = saimon.connect().get("/api/v1/incidents", "");
            let all: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
            let all = all["incidents"].as_array().unwrap().clone();
            if !all.is_empty() {
                return all;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let all = saimon.connect().get("/api/v1/anomalies", "");
        panic!("no incident: {}", all.text());
    };
    let made = incidents(&saimon);
    assert_eq!(made.len(), 1, "{made:#?}");
    assert_eq!(
        (&made[0]["learned"], &made[0]["series"]),
        (&true.into(), &2.into())
    );
    let summary = made[0]["summary"].as_str().unwrap();
    assert!(summary.contains("learned to move together"), "{summary}");
    // Killed, it is the same one.
    drop(saimon);
    let saimon = start();
    assert_eq!(incidents(&saimon)[0]["id"], made[0]["id"]);
    assert_eq!(incidents(&saimon)[0]["learned"], true);
}
