//! Real receivers: a Prometheus that is killed and held up, a VictoriaMetrics that is held up, and
//! another saimon that is killed, all sent to at once.

use std::collections::BTreeMap;
use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};
use serde_json::Value;

use crate::feed::{Feed, config, eventually};
use crate::outside::{Program, percent};
use crate::reading::{SAMPLES, ask, query, request, samples};
use crate::serving::Serving;

const SERIES: usize = 40;
const ROUNDS: i64 = 110;

type All = BTreeMap<String, Vec<(i64, u64)>>;

/// Raw samples in a Prometheus.
fn of_prometheus(program: &Program, metric: &str, at: f64) -> All {
    let query = percent(&format!("{metric}[2h]"));
    let answer = program.get(&format!("/api/v1/query?query={query}&time={at}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    let json: Value = serde_json::from_str(answer.text()).unwrap();
    let rows = json["data"]["result"].as_array().unwrap().iter();
    rows.map(|row| {
        let samples = row["values"].as_array().unwrap().iter();
        let samples = samples.map(|pair| {
            let value: f64 = pair[1].as_str().unwrap().parse().unwrap();
            let t_ms = (pair[0].as_f64().unwrap() * 1000.0).round() as i64;
            (t_ms, value.to_bits())
        });
        (
            row["metric"]["n"].as_str().unwrap().to_owned(),
            samples.collect(),
        )
    })
    .collect()
}

/// Raw samples in a VictoriaMetrics, as often as they are there.
fn of_victoria_metrics(program: &Program, metric: &str) -> All {
    let answer = program.get(&format!("/api/v1/export?match[]={metric}"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer
        .text()
        .lines()
        .map(|line| {
            let json: Value = serde_json::from_str(line).unwrap();
            let times = json["timestamps"].as_array().unwrap().iter();
            let values = json["values"].as_array().unwrap().iter();
            let samples = times
                .zip(values)
                .filter(|(_, v)| v.is_number())
                .map(|(t, v)| (t.as_i64().unwrap(), v.as_f64().unwrap().to_bits()));
            (
                json["metric"]["n"].as_str().unwrap().to_owned(),
                samples.collect(),
            )
        })
        .collect()
}

/// Raw samples in a saimon.
fn of_saimon(saimon: &Serving, metric: &str) -> All {
    let now_ms = SystemClock.now_ms();
    let wanted = query(
        &[("__name__", "=", metric)],
        now_ms - 7_200_000,
        now_ms + 600_000,
    );
    let answer = ask(&mut saimon.connect(), &request(&[SAMPLES], vec![wanted]));
    let found = samples(&answer).remove(0).into_iter();
    found
        .map(|(labels, samples)| {
            let (_, n) = labels.split_once("n=\"").unwrap();
            let n = n.split('"').next().unwrap().to_owned();
            let live = samples.into_iter().filter(|s| s.1 != 0x7ff0_0000_0000_0002);
            (n, live.collect())
        })
        .collect()
}

fn complete(all: All, feed: &Feed) -> Result<All, String> {
    // The last round ends the first half of the series.
    let times = |n: &str| match n.parse::<usize>().unwrap() < SERIES / 2 {
        true => feed.times(ROUNDS - 1),
        false => feed.times(ROUNDS),
    };
    let wrong = all.iter().find(|(n, samples)| {
        let got: Vec<i64> = samples.iter().map(|(t, _)| *t).collect();
        got != times(n)
    });
    match wrong {
        _ if all.len() < SERIES => Err(format!("{} series", all.len())),
        Some((n, samples)) => Err(format!("{n} has {} samples: {samples:?}", samples.len())),
        None => Ok(all),
    }
}

#[test]
fn prometheus_victoria_metrics_and_saimon_have_each_score_once() {
    let mut prometheus = Program::prometheus("global: {scrape_interval: 1h}\n");
    let victoria = Program::victoria_metrics();
    let other = tempfile::tempdir().unwrap();
    let mut receiver = Serving::start(other.path());
    let at = receiver.address.to_string();
    // saimon does not model its own series, and keeps none of them: they come under another name.
    let outputs = format!(
        "    - url: {}
      name: prometheus
      remote_timeout: 2s
    - url: {}
      name: victoria
      protobuf_message: io.prometheus.write.v2.Request
      remote_timeout: 60s
    - url: http://{at}/api/v1/write
      name: saimon
      protobuf_message: io.prometheus.write.v2.Request
      write_relabel_configs:
        - {{source_labels: [__name__], regex: 'saimon_(.*)', target_label: __name__, replacement: 'of_$1'}}
",
        prometheus.write_url(),
        victoria.write_url(),
    );
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), &outputs);
    let data = folder.path().join("data");
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &path]);
    let now_ms = SystemClock.now_ms();
    let feed = Feed {
        series: SERIES,
        base_ms: now_ms - ROUNDS * crate::feed::STEP_MS,
    };
    for round in 0..ROUNDS {
        match round {
            35 => prometheus.kill(),
            50 => {
                victoria.signal("-STOP");
                drop(std::mem::replace(
                    &mut receiver,
                    Serving::start(tempfile::tempdir().unwrap().path()),
                ));
            }
            60 => prometheus.start_again(),
            75 => {
                victoria.signal("-CONT");
                receiver = Serving::start_with(other.path(), &at, &[]);
                prometheus.signal("-STOP");
            }
            95 => prometheus.signal("-CONT"),
            _ => {}
        }
        let ending = (round == ROUNDS - 1).then_some(SERIES / 2);
        assert!(feed.send(saimon.address, round, ending));
        std::thread::sleep(Duration::from_millis(60));
    }
    let end = feed.time(ROUNDS) as f64 / 1000.0;
    let expected = eventually("whole in VictoriaMetrics", || {
        complete(
            of_victoria_metrics(&victoria, "saimon_anomaly_score"),
            &feed,
        )
    });
    let in_prometheus = eventually("whole in Prometheus", || {
        complete(
            of_prometheus(&prometheus, "saimon_anomaly_score", end),
            &feed,
        )
    });
    assert_eq!(in_prometheus, expected);
    let in_saimon = eventually("whole in saimon", || {
        complete(of_saimon(&receiver, "of_anomaly_score"), &feed)
    });
    assert_eq!(in_saimon, expected);
    // Those that ended are not there any more; the others are.
    let alive = |program: &Program| program.number("count(saimon_anomaly_score)", end - 10.0);
    for program in [&prometheus, &victoria] {
        assert_eq!(alive(program), (SERIES / 2) as f64);
    }
    let metadata = prometheus.get("/api/v1/metadata?metric=saimon_anomaly_score");
    drop(metadata);
    let pending = "saimon_output_pending_rows";
    assert_eq!(saimon.sum(pending), 0);
    for reason in ["full", "damaged", "overload", "disk", "short"] {
        let lost = saimon.metrics();
        let lost: Vec<_> = lost
            .lines()
            .filter(|l| l.contains(&format!("reason=\"{reason}\"")))
            .filter(|l| l.starts_with("saimon_output") && !l.ends_with(" 0"))
            .collect();
        assert_eq!(lost, [""; 0]);
    }
}
