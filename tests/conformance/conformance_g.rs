//! Section G: exposing scores and saimon's own metrics.

use std::io::Read as _;
use std::time::Duration;

use serde_json::Value;

use crate::outside::{self, Program, percent};
use crate::page::{self, Labels, Page};
use crate::support::{Client, Counters, NOW_MS, Response, Saimon, v1, v2};

const OPENMETRICS: &str = "accept: application/openmetrics-text;version=1.0.0\r\n";
const UTF8: &str = "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8\r\n";
const INTERVAL_MS: i64 = 15_000;
/// Samples before a first score here, and samples that are sent.
const WARMUP: u32 = 20;
const ROUNDS: i64 = 25;

/// Values that a page must not be broken by.
const HOSTILE: [&str; 6] = [
    "a\"b\\c\nd",
    "\u{0}\u{1}\u{7f}",
    "\r\t",
    "\u{e4}\u{1f600}\u{2028}",
    "{x=\"y\"} 1",
    "\\n",
];

fn start() -> Saimon {
    Saimon::with(|setup| setup.detect.warmup = WARMUP)
}

/// Sends these series until they have scores.
fn feed(saimon: &Saimon, series: &[&[(&str, &str)]]) {
    let mut request = v1::Request::new();
    for (i, labels) in series.iter().enumerate() {
        let samples: Vec<(i64, f64)> = (0..ROUNDS)
            .map(|round| {
                let t = NOW_MS - (ROUNDS - round) * INTERVAL_MS;
                (t, f64::from((round as i32 * 7 + i as i32) % 11))
            })
            .collect();
        request = request.series(labels, &samples);
    }
    assert_eq!(saimon.write(&request).status, 204);
    saimon.held();
}

fn get(saimon: &Saimon, path: &str, headers: &str) -> Response {
    let page = saimon.get(path, headers);
    assert_eq!(page.status, 200, "{path}");
    page
}

fn scores(saimon: &Saimon, headers: &str) -> Page {
    let page = get(saimon, "/metrics/scores", headers);
    let openmetrics = page.header("content-type").unwrap().contains("openmetrics");
    page::read(page.text(), openmetrics)
}

/// Label sets of all scores.
fn scored(page: &Page) -> Vec<Labels> {
    let family = &page["saimon_anomaly_score"];
    family.samples.iter().map(|(_, l, _)| l.clone()).collect()
}

#[test]
fn item_094_accept_is_negotiated_and_the_content_type_matches_the_body() {
    let saimon = start();
    feed(&saimon, &[&[("__name__", "m"), ("a.b", "1")]]);
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let text = "text/plain; version=0.0.4; charset=utf-8";
    let protobuf = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    let prom3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    let prom2 = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    let vmagent = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
    for (accept, content_type) in [
        ("", text.to_owned()),
        ("*/*", text.to_owned()),
        (
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            text.to_owned(),
        ),
        ("application/json", text.to_owned()),
        (prom3, format!("{open}; escaping=allow-utf-8")),
        (prom2, open.to_owned()),
        (vmagent, text.to_owned()),
        (
            &format!("{protobuf},{prom3}"),
            format!("{open}; escaping=allow-utf-8"),
        ),
        (&format!("{protobuf},{prom2}"), open.to_owned()),
        (
            &format!("{protobuf};q=0.9,text/plain;q=0.1"),
            text.to_owned(),
        ),
        (
            "APPLICATION/OpenMetrics-Text; Version=\"1.0.0\" ; q=1",
            open.to_owned(),
        ),
        ("application/openmetrics-text;q=0", text.to_owned()),
        (
            "application/openmetrics-text;version=0.0.1",
            text.to_owned(),
        ),
        (
            "text/plain;version=1.0.0;escaping=allow-utf-8",
            "text/plain; version=1.0.0; charset=utf-8; escaping=allow-utf-8".to_owned(),
        ),
        (
            "text/plain;escaping=values",
            format!("{text}; escaping=values"),
        ),
    ] {
        let accept = match accept {
            "" => String::new(),
            accept => format!("accept: {accept}\r\n"),
        };
        for path in ["/metrics", "/metrics/scores"] {
            let page = get(&saimon, path, &accept);
            assert_eq!(
                page.header("content-type"),
                Some(&*content_type),
                "{accept}"
            );
            let is_open = content_type.starts_with("application/openmetrics-text");
            page::read(page.text(), is_open);
        }
        let quoted = get(&saimon, "/metrics/scores", &accept)
            .text()
            .contains("\"a.b\"=");
        assert_eq!(quoted, content_type.ends_with("allow-utf-8"), "{accept}");
    }
}

#[test]
fn item_095_promtool_and_a_real_prometheus_take_both_pages() {
    let saimon = start();
    let hosts: Vec<String> = HOSTILE.map(str::to_owned).to_vec();
    let series: Vec<_> = hosts
        .iter()
        .map(|host| {
            [
                ("__name__", "gr\u{f6}\u{df}e"),
                ("a.b", "x"),
                ("instance", host.as_str()),
                ("job", "j"),
            ]
        })
        .collect();
    let series: Vec<&[(&str, &str)]> = series.iter().map(|s| &s[..]).collect();
    feed(&saimon, &series);
    for path in ["/metrics", "/metrics/scores"] {
        outside::promtool(&get(&saimon, path, "").body);
        page::read(get(&saimon, path, OPENMETRICS).text(), true);
    }
    let job = |name: &str, path: &str| {
        format!(
            "- job_name: {name}\n  honor_labels: true\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\n  metrics_path: {path}\n  static_configs: [{{targets: ['{}']}}]\n",
            saimon.address
        )
    };
    let configuration = format!(
        "scrape_configs:\n{}{}",
        job("own", "/metrics"),
        job("scores", "/metrics/scores")
    );
    let prometheus = Program::prometheus(&configuration);
    prometheus.eventually("both pages scraped", || {
        let up = prometheus.number("sum(up)", outside::now());
        (up == 2.0).then_some(())
    });
    let rows = prometheus.eventually("all scores there", || {
        let rows = prometheus.query("saimon_anomaly_score", outside::now());
        (rows.len() == HOSTILE.len()).then_some(rows)
    });
    let mut read: Vec<&str> = rows
        .iter()
        .map(|(l, _)| l["instance"].as_str().unwrap())
        .collect();
    let mut sent = HOSTILE;
    read.sort_unstable();
    sent.sort_unstable();
    assert_eq!(read, sent);
    for (labels, _) in &rows {
        assert_eq!(labels["a_b"], "x");
        assert_eq!(labels["job"], "j");
        assert_eq!(labels["source_metric"], "gr\u{f6}\u{df}e");
    }
    let kept = prometheus.query("scrape_samples_scraped{job=\"scores\"}", outside::now());
    // The job is a group: its score and the share of its series that are anomalous.
    assert_eq!(kept[0].1, (HOSTILE.len() + 2) as f64);
    let targets: Value = serde_json::from_slice(&prometheus.get("/api/v1/targets").body).unwrap();
    for target in targets["data"]["activeTargets"].as_array().unwrap() {
        assert_eq!(target["lastError"], "", "{target}");
    }
    let types: Value =
        serde_json::from_slice(&prometheus.get("/api/v1/targets/metadata").body).unwrap();
    let of = |name: &str| {
        let rows = types["data"].as_array().unwrap();
        rows.iter()
            .find(|r| r["metric"] == name)
            .map(|r| r["type"].clone())
    };
    assert_eq!(of("saimon_anomaly_score").unwrap(), "gauge");
    // By its family: that the page was read as OpenMetrics.
    assert_eq!(of("saimon_ingest_samples").unwrap(), "counter");
}

#[test]
fn item_096_values_are_escaped_and_come_back_as_they_were() {
    let saimon = start();
    let series: Vec<_> = HOSTILE
        .iter()
        .map(|v| [("__name__", *v), ("v", *v)])
        .collect();
    let series: Vec<&[(&str, &str)]> = series.iter().map(|s| &s[..]).collect();
    feed(&saimon, &series);
    for accept in ["", OPENMETRICS, UTF8] {
        let mut read: Vec<String> = Vec::new();
        for labels in scored(&scores(&saimon, accept)) {
            assert_eq!(labels["v"], labels["source_metric"]);
            read.push(labels["v"].clone());
        }
        read.sort();
        let mut sent = HOSTILE;
        sent.sort_unstable();
        assert_eq!(read, sent);
    }
    // Bounds of histograms are where infinity is; the reader knows its only spelling.
    for accept in ["", OPENMETRICS] {
        let own = get(&saimon, "/metrics", accept);
        let own = page::read(own.text(), accept == OPENMETRICS);
        let buckets = &own["saimon_detection_latency_seconds"].samples;
        let bounds: Vec<_> = buckets.iter().filter_map(|(_, l, _)| l.get("le")).collect();
        assert_eq!(bounds.last().unwrap().as_str(), "+Inf");
    }
}

#[test]
fn item_097_names_in_utf_8_are_quoted_for_those_who_can_read_them() {
    let saimon = start();
    feed(
        &saimon,
        &[
            &[
                ("__name__", "http.requests"),
                ("http.status_code", "200"),
                ("gr\u{f6}\u{df}e \"x\\", "1"),
            ],
            &[("__name__", "m"), ("a.b", "1"), ("a/b", "2"), ("a_b", "3")],
        ],
    );
    let names = |accept: &str| -> Vec<Vec<String>> {
        let labels = scored(&scores(&saimon, accept)).into_iter();
        let mut all: Vec<Vec<_>> = labels.map(|l| l.into_keys().collect()).collect();
        all.sort();
        all
    };
    let source = "source_metric";
    assert_eq!(
        names(UTF8),
        [
            vec!["a.b", "a/b", "a_b", source],
            vec!["gr\u{f6}\u{df}e \"x\\", "http.status_code", source],
        ]
    );
    let moved = vec!["a_b", "exported_a_b", "exported_exported_a_b", source];
    for accept in [
        "",
        OPENMETRICS,
        "accept: text/plain;escaping=underscores\r\n",
    ] {
        let plain = vec!["gr__e__x_", "http_status_code", source];
        assert_eq!(names(accept), [moved.clone(), plain]);
    }
    assert_eq!(
        names("accept: text/plain;escaping=dots\r\n")[0],
        ["a__b", "a_b", "a_dot_b", source]
    );
    assert_eq!(
        names("accept: text/plain;escaping=values\r\n")[0],
        ["U__a_2e_b", "U__a_2f_b", "a_b", source]
    );
    let selector = percent("{\"http.status_code\"=~\"2..\"}");
    for accept in ["", UTF8] {
        let path = format!("/metrics/scores?match[]={selector}");
        let page = get(&saimon, &path, accept);
        assert_eq!(scored(&page::read(page.text(), accept == UTF8)).len(), 1);
    }
}

#[test]
fn item_098_a_hundred_thousand_series_in_small_pieces_gzip_only_if_asked_no_shard_waiting() {
    const SERIES: usize = 100_000;
    let saimon = Saimon::with(|setup| {
        setup.detect.warmup = WARMUP;
        setup.limits.score_lines = SERIES as u32;
    });
    let send = |times: std::ops::Range<i64>| {
        for begin in (0..SERIES).step_by(10_000) {
            let mut request = v1::Request::new();
            for i in begin..begin + 10_000 {
                let host = format!("host-{i}");
                let labels = [("__name__", "load"), ("instance", &*host), ("job", "node")];
                let at = |round: i64| (NOW_MS + (round - ROUNDS) * INTERVAL_MS, i as f64);
                let samples: Vec<(i64, f64)> = times.clone().map(at).collect();
                request = request.series(&labels, &samples);
            }
            assert_eq!(saimon.write(&request).status, 204);
        }
    };
    let taken = |samples: usize| {
        let page = || Counters::read(saimon.get("/metrics", "").text()).outcome("accepted");
        while page() < samples as u64 {
            std::thread::sleep(Duration::from_millis(10));
        }
    };
    send(0..i64::from(WARMUP) + 1);
    taken(SERIES * (WARMUP as usize + 1));
    let head = "GET /metrics/scores HTTP/1.1\r\nhost: x\r\nconnection: close\r\n";
    let mut client = Client::connect(saimon.address);
    client.send(format!("{head}\r\n").as_bytes());
    let mut answer = vec![0; 1000];
    client.stream.read_exact(&mut answer).unwrap();
    // Nobody takes the rest for now: every shard goes on.
    send(ROUNDS - 1..ROUNDS);
    taken(SERIES * (WARMUP as usize + 2));
    client.stream.read_to_end(&mut answer).unwrap();
    let at = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let head_text = String::from_utf8_lossy(&answer[..at]).to_ascii_lowercase();
    assert!(!head_text.contains("content-encoding"), "{head_text}");
    assert!(
        head_text.contains("transfer-encoding: chunked"),
        "{head_text}"
    );
    let (mut rest, mut page, mut pieces) = (&answer[at..], Vec::new(), 0);
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        assert!(size <= 66 * 1024, "a piece of {size} bytes");
        if size == 0 {
            break;
        }
        pieces += 1;
        page.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 2 + size + 2..];
    }
    assert!(pieces > 50, "{pieces} pieces");
    let page = String::from_utf8(page).unwrap();
    assert_eq!(scored(&page::read(&page, false)).len(), SERIES);

    let packed = get(&saimon, "/metrics/scores", "accept-encoding: gzip\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut unpacked = String::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked.matches("saimon_anomaly_score{").count(), SERIES);
    let refused = get(
        &saimon,
        "/metrics/scores",
        "accept-encoding: gzip;q=0, br\r\n",
    );
    assert_eq!(refused.header("content-encoding"), None);
}

#[test]
fn item_099_no_series_twice_families_apart_help_and_type_once() {
    let saimon = start();
    feed(
        &saimon,
        &[
            &[("__name__", "m"), ("a.b", "1")],
            &[("__name__", "m"), ("a_b", "1")],
            &[("__name__", "m"), ("a/b", "1")],
            &[("__name__", "m"), ("source_metric", "m")],
            &[("__name__", "m"), ("exported_source_metric", "m")],
            &[("__name__", "n"), ("le", "1")],
            &[("__name__", "n"), ("exported_le", "1")],
        ],
    );
    // The strict reader refuses what this item forbids.
    for accept in ["", OPENMETRICS] {
        assert_eq!(scored(&scores(&saimon, accept)).len(), 5);
        let left_out = saimon.counters().sum("saimon_scores_left_out");
        assert_eq!(left_out, 2, "what cannot be shown is counted");
    }
    assert_eq!(scored(&scores(&saimon, UTF8)).len(), 7);
    for path in ["/metrics", "/metrics/scores"] {
        for accept in ["", OPENMETRICS, UTF8] {
            page::read(get(&saimon, path, accept).text(), !accept.is_empty());
        }
    }
}

#[test]
fn item_100_no_timestamps_and_a_stale_series_is_gone() {
    let saimon = start();
    let (stays, ends) = (
        [("__name__", "m"), ("i", "stays")],
        [("__name__", "m"), ("i", "ends")],
    );
    feed(&saimon, &[&stays, &ends]);
    // The reader takes a value behind the labels and nothing more.
    assert_eq!(scored(&scores(&saimon, OPENMETRICS)).len(), 2);
    let stale = f64::from_bits(0x7ff0_0000_0000_0002);
    let request = v1::Request::new().series(&ends, &[(NOW_MS, stale)]);
    assert_eq!(saimon.write(&request).status, 204);
    saimon.held();
    let left = scored(&scores(&saimon, ""));
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["i"], "stays");
}

#[test]
fn item_101_own_series_are_never_scored_again() {
    let saimon = start();
    feed(
        &saimon,
        &[
            &[
                ("__name__", "saimon_anomaly_score"),
                ("source_metric", "up"),
            ],
            &[("__name__", "saimon_anomaly"), ("source_metric", "up")],
            &[
                ("__name__", "saimon_ingest_samples_total"),
                ("job", "saimon"),
            ],
            &[("__name__", "other"), ("job", "saimon")],
        ],
    );
    let request = v2::Request::new().series(
        &[("__name__", "saimon_anomaly_score"), ("source_metric", "x")],
        &[(NOW_MS, 0.5)],
    );
    assert_eq!(saimon.write_v2(&request).status, 204);
    let scored = scored(&scores(&saimon, ""));
    assert_eq!(scored.len(), 1, "{scored:?}");
    assert_eq!(scored[0]["source_metric"], "other");
    assert_eq!(saimon.counters().outcome("skipped"), 3 * ROUNDS as u64 + 1);
    assert_eq!(saimon.held().len(), 1, "nothing of them is kept");
}
