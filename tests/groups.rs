//! Groups of series, over the program itself: one of them in trouble is told from the others.

#[path = "support/client.rs"]
mod client;
#[path = "support/serving.rs"]
mod serving;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serving::Serving;

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 600;
const METRICS: [&str; 4] = ["requests", "latency", "errors", "load"];
const INSTANCES: [&str; 3] = ["a:1", "b:1", "c:1"];

fn now_ms() -> i64 {
    SystemClock.now_ms()
}

/// One series; the last samples of all of `a:1` are far out.
fn series(
    random: &mut fastrand::Rng,
    metric: &str,
    instance: &str,
    end_ms: i64,
) -> proto::TimeSeries {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let sample = |i: i64| {
        let noise: f64 = (0..4).map(|_| random.f64()).sum();
        let wild = instance == INSTANCES[0] && i >= SAMPLES - 5;
        proto::Sample {
            value: 100.0 + noise + if wild { 40.0 } else { 0.0 },
            timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
        }
    };
    proto::TimeSeries {
        labels: vec![
            label("__name__", metric),
            label("instance", instance),
            label("job", "shop"),
        ],
        samples: (0..SAMPLES).map(sample).collect(),
        ..Default::default()
    }
}

/// The value of the line that begins so.
fn value(page: &str, line: &str) -> f64 {
    let found = page.lines().find_map(|l| l.strip_prefix(line));
    let found = found.unwrap_or_else(|| panic!("no {line} in\n{page}"));
    found.trim().parse().unwrap()
}

#[test]
fn the_group_in_trouble_stands_out_on_the_page_of_scores() {
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(&folder.path().join("data"));
    let mut random = fastrand::Rng::with_seed(7);
    let end_ms = now_ms();
    let mut timeseries = Vec::new();
    for instance in INSTANCES {
        for metric in METRICS {
            timeseries.push(series(&mut random, metric, instance, end_ms));
        }
    }
    let sent = timeseries.len() as u64 * SAMPLES as u64;
    let request = proto::WriteRequest {
        timeseries,
        ..Default::default()
    };
    assert_eq!(saimon.connect().write(&request).status, 204);
    saimon.settled(sent);

    let page = saimon.connect().get("/metrics/scores", "");
    let page = page.text();
    let of = |family: &str, instance: &str| {
        let labels = format!("{{group_by=\"instance\",instance=\"{instance}\",job=\"\"}} ");
        value(page, &format!("{family}{labels}"))
    };
    assert!(of("saimon_group_score", "a:1") >= 0.7, "{page}");
    assert!(of("saimon_group_anomaly_ratio", "a:1") >= 0.5, "{page}");
    for instance in &INSTANCES[1..] {
        assert!(of("saimon_group_score", instance) < 0.7, "{page}");
        assert_eq!(of("saimon_group_anomaly_ratio", instance), 0.0, "{page}");
    }
    let shop = "saimon_group_anomaly_ratio{group_by=\"job\",instance=\"\",job=\"shop\"} ";
    assert!((0.1..0.4).contains(&value(page, shop)), "{page}");
    assert_eq!(saimon.sum("saimon_groups "), 4);
    assert_eq!(saimon.sum("saimon_group_series_left_out "), 0);

    let asked = "/metrics/scores?match[]=saimon_group_score%7Bgroup_by%3D%22job%22%7D";
    let some = saimon.connect().get(asked, "");
    let lines: Vec<&str> = some
        .text()
        .lines()
        .filter(|l| !l.starts_with('#'))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("saimon_group_score{group_by=\"job\""),
        "{lines:?}"
    );
}

#[test]
fn how_series_are_grouped_is_configured_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("saimon.yaml");
    std::fs::write(&file, "groups: {by: ['job,instance'], max: 2}\n").unwrap();
    let args = ["--config", file.to_str().unwrap()];
    let saimon = Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &args);
    let mut random = fastrand::Rng::with_seed(7);
    let end_ms = now_ms();
    let each = INSTANCES
        .iter()
        .flat_map(|i| METRICS.iter().map(move |m| (*m, *i)));
    let timeseries: Vec<_> = each
        .map(|(metric, instance)| series(&mut random, metric, instance, end_ms))
        .collect();
    let sent = timeseries.len() as u64 * SAMPLES as u64;
    let request = proto::WriteRequest {
        timeseries,
        ..Default::default()
    };
    assert_eq!(saimon.connect().write(&request).status, 204);
    saimon.settled(sent);
    let page = saimon.connect().get("/metrics/scores", "");
    let groups: Vec<&str> = page
        .text()
        .lines()
        .filter(|l| l.starts_with("saimon_group_score{"))
        .collect();
    assert_eq!(groups.len(), 2, "{groups:?}");
    assert!(
        groups
            .iter()
            .all(|l| l.contains("group_by=\"job,instance\"")),
        "{groups:?}"
    );
    assert_eq!(
        saimon.sum("saimon_group_series_left_out "),
        METRICS.len() as u64
    );

    std::fs::write(&file, "groups:\n  by: [__name__]\n").unwrap();
    let check = std::process::Command::new(serving::SAIMON)
        .args(["check", file.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(check.status.code(), Some(1));
    let said = String::from_utf8_lossy(&check.stdout).into_owned();
    let said = said + &String::from_utf8_lossy(&check.stderr);
    assert!(
        said.contains(":2:") && said.contains("no label to group by"),
        "{said}"
    );
}
