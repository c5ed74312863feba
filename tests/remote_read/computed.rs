//! Scores, expected values and bands read back: what was on the page of scores when a sample came is
//! what is read of it, after a restart and a kill too, and in PromQL.

use super::*;

const WARMUP: i64 = 20;
/// Samples of each series; between them a restart and a kill.
const PARTS: [std::ops::Range<i64>; 3] = [0..60, 60..80, 80..100];

const NAMES: [&str; 6] = [
    "saimon_anomaly_score",
    "saimon_deviation",
    "saimon_expected",
    "saimon_lower_bound",
    "saimon_rarity",
    "saimon_upper_bound",
];

fn value(series: usize, i: i64) -> f64 {
    let noise = ((i * 7919 + series as i64 * 31) % 101) as f64 / 50.0;
    match series {
        0 if i == 90 => 500.0,
        0 => 50.0 + (i as f64 / 9.0).sin() * 5.0 + noise,
        _ => i as f64 * 15.0 + noise,
    }
}

/// Series that have scores: a gauge, a counter, and the statistics of a histogram.
const SCORED: [&[&str]; 6] = [
    &["source_metric=\"demo_load\""],
    &["source_metric=\"demo_hits_total\""],
    &["source_metric=\"demo_seconds\"", "stat=\"rate\""],
    &["source_metric=\"demo_seconds\"", "stat=\"mean\""],
    &["source_metric=\"demo_seconds\"", "stat=\"p50\""],
    &["source_metric=\"demo_seconds\"", "stat=\"p99\""],
];

/// What a page of scores has for a series.
fn shown(saimon: &serving::Serving, labels: &[&str]) -> Option<f32> {
    let page = saimon.connect().get("/metrics/scores", "");
    let is = |line: &&str| {
        line.starts_with("saimon_anomaly_score{") && labels.iter().all(|l| line.contains(l))
    };
    let line = page.text().lines().find(is)?;
    Some(line.rsplit(' ').next()?.parse().unwrap())
}

/// The parts of a histogram of four buckets.
fn histogram(i: i64, time: i64) -> Vec<proto::TimeSeries> {
    let new = |i: i64| {
        (
            40 + i * 7919 % 23,
            i * 31 % 17,
            if i == 92 { 60 } else { i % 3 },
        )
    };
    let (fast, slow, worst) = (0..=i)
        .map(new)
        .fold((0, 0, 0), |a, b| (a.0 + b.0, a.1 + b.1, a.2 + b.2));
    let all = fast + slow + worst;
    let sum = fast as f64 * 0.05 + slow as f64 * 0.4 + worst as f64 * 2.0;
    let parts = [
        ("demo_seconds_bucket", "0.1", fast as f64),
        ("demo_seconds_bucket", "0.5", (fast + slow) as f64),
        ("demo_seconds_bucket", "5", all as f64),
        ("demo_seconds_bucket", "+Inf", all as f64),
        ("demo_seconds_sum", "", sum),
        ("demo_seconds_count", "", all as f64),
    ];
    let one = |(name, le, value): (&str, &str, f64)| {
        let mut labels = vec![("__name__", name), ("job", "demo")];
        if !le.is_empty() {
            labels.push(("le", le));
        }
        proto::TimeSeries {
            labels: labels
                .into_iter()
                .map(|(name, value)| proto::Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
            samples: vec![proto::Sample {
                value,
                timestamp: time,
            }],
            ..Default::default()
        }
    };
    parts.into_iter().map(one).collect()
}

/// By label text: times and bits.
type Read = Vec<(String, Vec<(i64, u64)>)>;

#[test]
fn what_was_shown_is_what_is_read_by_prometheus_too() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let config = dir.join("saimon.yaml");
    fs::write(
        &config,
        "{store: {checkpoint: 1s}, detect: {warmup: 20}, read: {ignore_labels: [reader]}}\n",
    )
    .unwrap();
    let start = || {
        let args = ["--config", config.to_str().unwrap()];
        serving::Serving::start_with(&dir.join("data"), "127.0.0.1:0", &args)
    };
    let begin = (SystemClock.now_ms() / 1000 - 1000) * 1000;
    let time = |i: i64| begin + i * 5000;
    let metrics = ["demo_load", "demo_hits_total"];
    let mut said = SCORED.map(|_| Vec::new());
    let mut live = |saimon: &serving::Serving, part: std::ops::Range<i64>| {
        for i in part {
            let series = metrics
                .iter()
                .enumerate()
                .map(|(n, name)| proto::TimeSeries {
                    labels: [("__name__", *name), ("job", "demo"), ("saimon", "mine")]
                        .map(|(name, value)| proto::Label {
                            name: name.to_owned(),
                            value: value.to_owned(),
                        })
                        .into(),
                    samples: vec![proto::Sample {
                        value: value(n, i),
                        timestamp: time(i),
                    }],
                    ..Default::default()
                });
            let request = proto::WriteRequest {
                timeseries: series.chain(histogram(i, time(i))).collect(),
                ..Default::default()
            };
            assert_eq!(saimon.connect().write(&request).status, 204);
            // A read goes through the same queue: then all of it is scored.
            read(saimon, "demo_nothing", (0, 1));
            for (n, labels) in SCORED.iter().enumerate() {
                if let Some(score) = shown(saimon, labels) {
                    said[n].push((time(i), score.to_bits()));
                }
            }
        }
    };
    let [first, second, third] = PARTS;
    let saimon = start();
    live(&saimon, first);
    assert_eq!(saimon.terminate().0, 0);
    let saimon = start();
    live(&saimon, second);
    let all = (0, i64::MAX);
    let before = read(&saimon, ".+", all);
    // Killed, without a word.
    let killed = Command::new("kill")
        .args(["-9", &saimon.pid().to_string()])
        .status();
    assert!(killed.unwrap().success());
    drop(saimon);
    let saimon = start();
    assert_eq!(read(&saimon, ".+", all), before);
    live(&saimon, third);
    let read_back = read(&saimon, ".+", all);
    assert_eq!(read_back.len(), SCORED.len() * NAMES.len());
    for (n, name) in SCORED.iter().enumerate() {
        let is_it = |labels: &str| {
            labels.starts_with("saimon_anomaly_score")
                && name.iter().all(|l| labels.contains(l))
                && labels.contains("exported_saimon")
                    == name[0].contains("_load") | name[0].contains("_hits")
        };
        let (_, got) = read_back.iter().find(|(l, _)| is_it(l)).unwrap();
        assert!(
            said[n].len() as i64 >= 100 - WARMUP - 2,
            "{}",
            said[n].len()
        );
        assert_eq!(got.len(), said[n].len(), "{name:?}");
        for ((t_ms, bits), (said_ms, said)) in got.iter().zip(&said[n]) {
            // The page has three digits behind the point.
            let apart = f64::from_bits(*bits) - f64::from(f32::from_bits(*said));
            assert!(
                t_ms == said_ms && apart.abs() <= 0.001,
                "{name:?} {t_ms} {apart}"
            );
        }
    }
    in_the_api(&saimon, time(0), said[5].len());
    let part = read(&saimon, "saimon_rarity", (time(50), time(59)));
    assert!(part.len() == SCORED.len() && part.iter().all(|(_, s)| s.len() == 10));
    by_prometheus(&saimon, dir, time(99) as f64 / 1000.0);
}

/// The computed series of a name, in both forms of the protocol.
fn read(saimon: &serving::Serving, name: &str, (from, to): (i64, i64)) -> Read {
    let matchers = [("__name__", "=~", name), ("saimon", "=", "virtual")];
    let queries = vec![query(&matchers, from, to)];
    let streamed = ask(&mut saimon.connect(), &request(&[CHUNKS], queries.clone()));
    let whole = samples(&ask(&mut saimon.connect(), &request(&[], queries.clone())));
    assert_eq!(chunks(&streamed, &queries), whole);
    whole.into_iter().next().unwrap()
}

/// The values of a statistic and what was said of them, as the page draws them.
fn in_the_api(saimon: &serving::Serving, from_ms: i64, scored: usize) {
    let get = |path: &str| -> Value {
        let answer = saimon.connect().get(path, "");
        serde_json::from_str(answer.text()).unwrap()
    };
    let all = get("/api/v1/series?kind=statistic");
    let is_p99 = |s: &&Value| s["labels"]["stat"] == "p99";
    let p99 = all["series"].as_array().unwrap().iter().find(is_p99);
    let id = p99.unwrap_or_else(|| panic!("{all}"))["id"]
        .as_str()
        .unwrap();
    let start = from_ms / 1000;
    let window = get(&format!(
        "/api/v1/series/{id}/window?start_time={start}&scores=true"
    ));
    let samples = window["samples"].as_array().unwrap();
    assert_eq!(samples.len(), scored, "{window}");
    let is_drawn = |s: &&Value| s["scored"]["upper_bound"].is_number() && s["value"].is_number();
    assert!(
        samples.iter().filter(is_drawn).count() > scored / 2,
        "{window}"
    );
}

/// A Prometheus with the block of the documentation, without data of its own.
fn by_prometheus(saimon: &serving::Serving, dir: &Path, at: f64) {
    let watchdog = Watchdog::start(Some(dir)).unwrap();
    let [port]: [u16; 1] = ports::free().unwrap();
    let config = format!(
        "global: {{external_labels: {{reader: c}}}}\n\
         remote_read: [{{url: 'http://{}/api/v1/read', read_recent: true, required_matchers: {{saimon: virtual}}}}]\n",
        saimon.address
    );
    fs::write(dir.join("reader.yml"), config).unwrap();
    let mut reader = prometheus(dir, "reader", port, &watchdog);
    let answers = || http::page(port, "/-/ready").ok().map(|_| ());
    reader.wait_for("it is ready", START, answers).unwrap();
    let range = |expr: &str| -> Rows {
        let path = format!(
            "/api/v1/query_range?query={}&start={}&end={at}&step=5",
            http::encode(expr),
            at - 200.0
        );
        let answer = http::get(port, &path).unwrap();
        let json: Value = serde_json::from_str(&answer.body).unwrap();
        assert_eq!(json["status"], "success", "{expr}: {json}");
        assert!(json.get("warnings").is_none(), "{expr}: {json}");
        rows(&json["data"]["result"])
    };
    let of = "saimon=\"virtual\",source_metric=\"demo_load\"";
    for name in NAMES {
        let rows = range(&format!("{name}{{{of}}}"));
        assert_eq!(rows.len(), 1, "{name}");
        assert!(rows.values().all(|points| points.len() == 41), "{name}");
    }
    // Where the value was out of its band, and only there, the score is at the line.
    let over = range(&format!("saimon_anomaly_score{{{of}}} >= 0.7"));
    let outside = range(&format!("saimon_deviation{{{of}}} >= 1"));
    let times = |rows: &Rows| -> Vec<f64> {
        let points = rows.values().flatten();
        points.map(|(t, _)| *t).collect()
    };
    assert_eq!(times(&over), times(&outside));
    assert!(times(&over).contains(&(at - 45.0)), "{over:?}");
    let top = range("topk(1, saimon_anomaly_score{saimon=\"virtual\"})");
    assert!(!top.is_empty());
    let width = range(&format!(
        "saimon_upper_bound{{{of}}} - ignoring(__name__) saimon_lower_bound{{{of}}} >= 0"
    ));
    assert_eq!(times(&width).len(), 41);
    let slow =
        "saimon_anomaly_score{saimon=\"virtual\",source_metric=\"demo_seconds\",stat=\"mean\"}";
    assert!(
        range(&format!("{slow} >= 0.7"))
            .values()
            .flatten()
            .any(|(t, _)| *t == at - 35.0),
        "{:?}",
        range(slow)
    );
    assert!(
        range("demo_load").is_empty(),
        "it does not ask for all else"
    );
}
