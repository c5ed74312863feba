//! One anomaly, one record: whatever ends the process and whatever is sent again.

use std::path::Path;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::Value;

use crate::serving::Serving;
use crate::{all, get, problem};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 900;
/// Samples of one request.
const PIECE: i64 = 30;
const SERIES: i64 = 16;
const ALL: &str = "/api/v1/anomalies";
const INCIDENTS: &str = "/api/v1/incidents?limit=1000";

/// All series between two samples. Each has its own trouble, so that anomalies begin and end before,
/// at and after every kill.
fn request(end_ms: i64, from: i64, to: i64) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let value = |series: i64, i: i64| {
        let noise = fastrand::Rng::with_seed((series * 100_000 + i) as u64).f64();
        // Those of the last three are not over at the end.
        let begins = if series < 13 {
            600 + series * 15
        } else {
            882 + series
        };
        let wild = (begins..begins + 25).contains(&i);
        50.0 + 4.0 * noise + if wild { 60.0 + (i % 7) as f64 } else { 0.0 }
    };
    let timeseries = (0..SERIES).map(|series| proto::TimeSeries {
        labels: vec![
            label("__name__", "queue_length"),
            label("instance", &format!("i{series}")),
            label("job", "shop"),
        ],
        samples: (from..to)
            .map(|i| proto::Sample {
                value: value(series, i),
                timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
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
    for at in (from..to).step_by(PIECE as usize) {
        let written = client.write(&request(end_ms, at, (at + PIECE).min(to)));
        assert_eq!(written.status, 204, "{}", written.text());
    }
}

fn start(folder: &Path, name: &str) -> Serving {
    let config = folder.join("saimon.yaml");
    std::fs::write(&config, "store: {checkpoint: 1s}\n").unwrap();
    let config = format!("--config={}", config.display());
    Serving::start_with(&folder.join(name), "127.0.0.1:0", &[&config])
}

/// The records when none changes any more. Each names its incident, which is decided a second after
/// its anomalies came.
fn settled(saimon: &Serving, samples: i64) -> Vec<Value> {
    if samples > 0 {
        saimon.settled((samples * SERIES) as u64);
    }
    let mut before = Vec::new();
    let mut same = 0;
    for _ in 0..100 {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = all(saimon, ALL, 1000);
        same = if now == before { same + 1 } else { 0 };
        if !now.is_empty() && same == 9 {
            return now;
        }
        before = now;
    }
    panic!("the records change for ever: {before:?}");
}

#[test]
fn records_are_the_same_whatever_is_killed_and_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let end_ms = SystemClock.now_ms();

    let whole = start(folder.path(), "whole");
    send(&whole, end_ms, 0, SAMPLES);
    let wanted = settled(&whole, SAMPLES);
    assert!(wanted.len() >= SERIES as usize, "{}", wanted.len());
    let incidents = get(&whole, INCIDENTS);
    what_incidents_say(&whole, &wanted, &incidents);

    // Killed in the middle of anomalies, with and without a checkpoint meanwhile; what was sent
    // shortly before is sent again, as a sender does that had no answer.
    let mut from = 0;
    for (to, wait_ms) in [(610, 0), (640, 1500), (655, 0), (760, 1300), (835, 200)] {
        let saimon = start(folder.path(), "killed");
        send(&saimon, end_ms, (from - 70).max(0), to);
        std::thread::sleep(std::time::Duration::from_millis(wait_ms));
        from = to;
    }
    let last = start(folder.path(), "killed");
    send(&last, end_ms, from - 70, SAMPLES);
    let got = settled(&last, 0);
    assert_eq!(got, wanted);

    // And once more after an orderly end, and after a kill with nothing new.
    let (code, _) = last.terminate();
    assert_eq!(code, 0);
    drop(start(folder.path(), "killed"));
    let again = start(folder.path(), "killed");
    assert_eq!(settled(&again, 0), wanted);
    assert_eq!(again.sum("saimon_records "), wanted.len() as u64);
    assert_eq!(get(&again, INCIDENTS), incidents);
    drop(again);

    what_a_record_says(&whole, end_ms, &wanted);
}

/// All series have their metric and their job in common. The troubles begin 225 s one after the other,
/// and those of five are within the quarter of an hour of an incident.
fn what_incidents_say(saimon: &Serving, records: &[Value], list: &Value) {
    let incidents = list["incidents"].as_array().unwrap();
    assert!(incidents.len() >= 3, "{list}");
    let mut members = 0;
    for incident in incidents {
        let link = incident["link"].as_str().unwrap();
        let detail = get(saimon, link);
        assert_eq!(&detail["incident"], incident);
        let anomalies = detail["anomalies"].as_array().unwrap();
        assert_eq!(incident["members"], anomalies.len());
        assert!(anomalies.iter().all(|a| a["incident"] == incident["id"]));
        assert!(anomalies.iter().any(|a| a["id"] == incident["id"]));
        assert!(
            anomalies
                .iter()
                .any(|a| a["id"] == incident["origin"]["anomaly"])
        );
        assert!(anomalies.is_sorted_by_key(|a| time(&a["start_time"])));
        assert_eq!(incident["start_time"], anomalies[0]["start_time"]);
        let last = anomalies.last().map(|a| time(&a["start_time"]));
        let spread = last.unwrap() - time(&incident["start_time"]);
        assert!((0..=900_000).contains(&spread), "{detail}");
        assert_eq!(incident["labels"]["job"], "shop");
        let summary = incident["summary"].as_str().unwrap();
        assert!(
            summary.contains("series of queue_length of job shop"),
            "{summary}"
        );
        members += anomalies.len();
    }
    let ofs = records.iter().filter(|r| !r["incident"].is_null());
    assert_eq!(ofs.count(), members);
    let closed = get(saimon, "/api/v1/incidents?state=closed")["incidents"].take();
    let open = get(saimon, "/api/v1/incidents?state=open")["incidents"].take();
    let some = |list: &Value| list.as_array().unwrap().len();
    assert_eq!(some(&closed) + some(&open), incidents.len());
    let first = get(saimon, "/api/v1/incidents?limit=1");
    assert_eq!(first["incidents"][0], incidents[0]);
    let token = first["next_page_token"].as_str().unwrap();
    let next = get(
        saimon,
        &format!("/api/v1/incidents?limit=1&page_token={token}"),
    );
    assert_eq!(next["incidents"][0], incidents[1]);
    let none = "/api/v1/incidents/1700000000000-9f86d081884c7d65";
    assert_eq!(problem(saimon, none).0, 404);
    assert_eq!(problem(saimon, "/api/v1/incidents/x").1["parameter"], "id");
}

/// Milliseconds of a time in an answer.
fn time(text: &Value) -> i64 {
    let time: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
    time.as_millisecond()
}

fn what_a_record_says(saimon: &Serving, end_ms: i64, records: &[Value]) {
    let time = |i: i64| {
        let ms = end_ms - (SAMPLES - 1 - i) * STEP_MS;
        jiff::Timestamp::from_millisecond(ms).unwrap().to_string()
    };
    // Series 3 is in trouble from sample 645 to 669 and then no more.
    let of: Vec<_> = records
        .iter()
        .filter(|r| r["instance"] == "i3" && r["start_time"] == time(645))
        .collect();
    assert_eq!(of.len(), 1, "{records:?}");
    let record = of[0];
    assert_eq!(record["state"], "resolved");
    assert_eq!(record["ended_by"], "samples");
    assert_eq!(record["direction"], "up");
    assert_eq!(record["metric_name"], "queue_length");
    assert_eq!(record["job"], "shop");
    assert_eq!(record["labels"]["instance"], "i3");
    let series = "queue_length{instance=\"i3\", job=\"shop\"}";
    assert_eq!(record["series"], series);
    let number = |name: &str| record["peak"][name].as_f64().unwrap();
    assert!(number("value") > 100.0 && number("score") >= 0.7);
    assert!(number("deviation") >= 1.0 && number("rarity") > 2.0);
    assert!(number("lower_bound") <= number("expected"), "{record}");
    assert!(number("expected") <= number("upper_bound"), "{record}");
    assert!(number("value") > number("upper_bound"), "{record}");
    let parts = record["peak"]["contributions"].as_array().unwrap();
    assert!((1..=3).contains(&parts.len()), "{record}");
    // Its own address has the same.
    assert_eq!(&get(saimon, record["link"].as_str().unwrap()), record);
    // And so does the explanation of its peak.
    let (id, at) = (&record["series_id"], &record["peak"]["time"]);
    let path = format!(
        "/api/v1/series/{}/explain?time={}",
        id.as_str().unwrap(),
        at.as_str().unwrap()
    );
    let told = get(saimon, &path);
    assert_eq!(told["value"], record["peak"]["value"], "{told}");
    assert_eq!(&told["time"], at);
    assert!(told["score"].as_f64().unwrap() >= 0.7, "{told}");
    let (value, upper) = (told["value"].as_f64(), told["upper_bound"].as_f64());
    assert!(value > upper, "{told}");
    let said = told["sentences"][0].as_str().unwrap();
    assert!(
        said.contains(series) && said.contains("would have been normal"),
        "{said}"
    );
    // Those of the last three series last.
    let active = all(saimon, "/api/v1/anomalies?state=active", 1);
    let instances: Vec<_> = active.iter().map(|r| r["instance"].clone()).collect();
    assert_eq!(instances, ["i15", "i14", "i13"], "{active:?}");
    assert!(active.iter().all(|r| r["end_time"].is_null()));
}
