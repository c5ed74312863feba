//! A real Prometheus that has no data of its own answers PromQL from saimon's windows, and gives the
//! answers of the one that scraped and wrote them.

#[path = "support/client.rs"]
mod client;
#[path = "remote_read/computed.rs"]
mod computed;
#[path = "../examples/demo/stack/http.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod http;
#[path = "../examples/demo/stack/ports.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod ports;
#[path = "../examples/demo/stack/process.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod process;
#[path = "support/reading.rs"]
mod reading;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::Value;
use tempfile::TempDir;

use client::Client;
use process::{Process, Watchdog};
use reading::{CHUNKS, SAMPLES, ask, chunks, query, request, samples};

/// For anything to answer its first request; a debug build on a busy machine included.
const START: Duration = Duration::from_secs(60);

/// Scrapes that must be there before anything is asked.
const SCRAPES: f64 = 16.0;

/// Expressions of every kind, for one moment.
const INSTANT: [&str; 14] = [
    "up",
    "up{job!~\"no.*\"}",
    "node_load1{nosuch=\"\"}",
    "{__name__=~\"node_memory_Mem.*\"}",
    "{__name__=~\"go_.*\", job=\"prometheus\"}",
    "rate(node_cpu_seconds_total[10s])",
    "sum by (mode) (rate(node_cpu_seconds_total[12s] offset 2s))",
    "increase(prometheus_http_requests_total[15s])",
    "max_over_time(go_goroutines[12s])",
    "avg_over_time(scrape_duration_seconds[12s])",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[15s])))",
    "count by (job) ({__name__!=\"\"})",
    "topk(3, count by (__name__) ({job=\"prometheus\"}))",
    "up{job=\"x\"} or node_load1",
];

/// And for a range of time.
const RANGE: [&str; 4] = [
    "node_load1",
    "rate(prometheus_http_requests_total[5s])",
    "histogram_quantile(0.5, sum by (le) (rate(prometheus_tsdb_compaction_chunk_size_bytes_bucket[5s])))",
    "sum without (cpu) (irate(node_cpu_seconds_total{mode=~\"user|idle\"}[5s]))",
];

/// node_exporter and a Prometheus that scrapes both and writes to saimon, and two that only read:
/// one with the writer's external labels, one with others.
struct Readers {
    saimon: Process,
    writer: Process,
    _others: [Process; 3],
    ports: [u16; 5],
    _folder: TempDir,
}

const WRITER: usize = 1;
const SAME: usize = 2;
const OTHER: usize = 3;

fn prometheus(dir: &Path, name: &str, port: u16, watchdog: &Arc<Watchdog>) -> Process {
    Process::start(
        name,
        Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                dir.join(format!("{name}.yml")).display()
            ))
            .arg(format!("--storage.tsdb.path={}", dir.join(name).display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}")),
        dir,
        watchdog,
    )
    .unwrap()
}

impl Readers {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        let watchdog = Watchdog::start(Some(dir)).unwrap();
        let ports: [u16; 5] = ports::free().unwrap();
        let [saimon_port, writer_port, same_port, other_port, node_port] = ports;
        let saimon_at = format!("127.0.0.1:{saimon_port}");
        let configs = [
            (
                "saimon.yaml",
                "read: {ignore_labels: [reader]}\n".to_owned(),
            ),
            (
                "writer.yml",
                format!(
                    "global: {{scrape_interval: 1s, external_labels: {{cluster: t, replica: a}}}}\n\
                     scrape_configs:\n\
                     - {{job_name: prometheus, static_configs: [{{targets: ['127.0.0.1:{writer_port}']}}]}}\n\
                     - {{job_name: node, static_configs: [{{targets: ['127.0.0.1:{node_port}']}}]}}\n\
                     remote_write:\n\
                     - {{url: 'http://{saimon_at}/api/v1/write', queue_config: {{batch_send_deadline: 200ms}}}}\n"
                ),
            ),
            ("same.yml", reads(&saimon_at, "{cluster: t, replica: a}")),
            ("other.yml", reads(&saimon_at, "{reader: c}")),
        ];
        for (name, text) in configs {
            fs::write(dir.join(name), text).unwrap();
        }
        let node = Process::start(
            "node_exporter",
            Command::new("prometheus-node-exporter")
                .arg(format!("--web.listen-address=127.0.0.1:{node_port}")),
            dir,
            &watchdog,
        )
        .unwrap();
        let mut saimon = Process::start(
            "saimon",
            Command::new(env!("CARGO_BIN_EXE_saimon"))
                .arg("serve")
                .arg("--config")
                .arg(dir.join("saimon.yaml"))
                .arg("--data-dir")
                .arg(dir.join("saimon"))
                .args(["--http-listen", &saimon_at, "--grpc-listen", "off"]),
            dir,
            &watchdog,
        )
        .unwrap();
        let ready = |process: &mut Process, port: u16| {
            let answers = || http::page(port, "/-/ready").ok().map(|_| ());
            process.wait_for("it is ready", START, answers).unwrap();
        };
        ready(&mut saimon, saimon_port);
        let mut writer = prometheus(dir, "writer", writer_port, &watchdog);
        let mut same = prometheus(dir, "same", same_port, &watchdog);
        let mut other = prometheus(dir, "other", other_port, &watchdog);
        ready(&mut writer, writer_port);
        ready(&mut same, same_port);
        ready(&mut other, other_port);
        Self {
            saimon,
            writer,
            _others: [node, same, other],
            ports,
            _folder: folder,
        }
    }

    /// The result of an API call, or why there is none.
    fn call(&self, who: usize, path: &str) -> Result<Value, String> {
        let answer = http::get(self.ports[who], path).map_err(|e| e.to_string())?;
        let json: Value = serde_json::from_str(&answer.body).map_err(|e| e.to_string())?;
        if json["status"] != "success" || json.get("warnings").is_some() {
            return Err(answer.body);
        }
        Ok(json["data"].clone())
    }

    /// An instant query at a time, in seconds; or over the range that ends then.
    fn ask(&self, who: usize, expr: &str, at: f64, range: Option<f64>) -> Rows {
        let expr_encoded = http::encode(expr);
        let path = match range {
            None => format!("/api/v1/query?query={expr_encoded}&time={at}"),
            Some(range) => format!(
                "/api/v1/query_range?query={expr_encoded}&start={}&end={at}&step=1",
                at - range
            ),
        };
        let data = self
            .call(who, &path)
            .unwrap_or_else(|e| panic!("{expr}: {e}\n{}", self.saimon.log_tail(20)));
        rows(&data["result"])
    }
}

fn reads(saimon: &str, external: &str) -> String {
    format!(
        "global: {{external_labels: {external}}}\n\
         remote_read: [{{url: 'http://{saimon}/api/v1/read', read_recent: true}}]\n"
    )
}

/// Series by their labels, each with its (time, value).
type Rows = BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>>;

fn rows(result: &Value) -> Rows {
    let point = |p: &Value| {
        (
            p[0].as_f64().unwrap(),
            p[1].as_str().unwrap().parse().unwrap(),
        )
    };
    let row = |row: &Value| {
        let labels = serde_json::from_value(row["metric"].clone()).unwrap();
        let points = match row.get("values") {
            Some(values) => values.as_array().unwrap().iter().map(point).collect(),
            None => vec![point(&row["value"])],
        };
        (labels, points)
    };
    result.as_array().unwrap().iter().map(row).collect()
}

/// Sums may be added up in another order, so the last digits may differ.
fn near(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan() || (a - b).abs() <= 1e-9 * a.abs()
}

#[track_caller]
fn same(expr: &str, wanted: &Rows, got: &Rows) {
    let names = |rows: &Rows| rows.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(got), names(wanted), "{expr}");
    for (labels, wanted) in wanted {
        let got = &got[labels];
        let equal = got.len() == wanted.len()
            && got
                .iter()
                .zip(wanted)
                .all(|(a, b)| a.0 == b.0 && near(a.1, b.1));
        assert!(
            equal,
            "{expr} {labels:?}\nwanted {wanted:?}\ngot    {got:?}"
        );
    }
}

/// What was written is read the same from memory, from memory and store together, and after a restart.
#[test]
fn windows_are_whole_wherever_they_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("saimon.yaml");
    fs::write(&config, "store: {checkpoint: 1s}\n").unwrap();
    let start = || {
        let args = ["--config", config.to_str().unwrap()];
        serving::Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &args)
    };
    let now = SystemClock.now_ms();
    // The second is kept without a model.
    let names = ["kept", "kept_bucket"];
    let sample = |i: i64| (now - 1_000_000 + i * 1000, (i as f64 * 0.7).sin());
    let of = |range: std::ops::Range<i64>| range.map(sample).collect::<Vec<_>>();
    let write = |saimon: &serving::Serving, samples: &[(i64, f64)]| {
        let timeseries = names.map(|name| proto::TimeSeries {
            labels: vec![proto::Label {
                name: "__name__".to_owned(),
                value: name.to_owned(),
            }],
            samples: samples
                .iter()
                .map(|(timestamp, value)| proto::Sample {
                    value: *value,
                    timestamp: *timestamp,
                })
                .collect(),
            ..Default::default()
        });
        let request = proto::WriteRequest {
            timeseries: timeseries.into(),
            ..Default::default()
        };
        assert_eq!(saimon.connect().write(&request).status, 204);
    };
    let read = |saimon: &serving::Serving, from: i64, to: i64| {
        let queries = vec![query(&[("__name__", "=~", "kept.*")], from, to)];
        let streamed = ask(&mut saimon.connect(), &request(&[CHUNKS], queries.clone()));
        let whole = samples(&ask(&mut saimon.connect(), &request(&[], queries.clone())));
        assert_eq!(chunks(&streamed, &queries), whole);
        whole.into_iter().next().unwrap()
    };
    let wanted = |range: std::ops::Range<i64>| {
        let bits: Vec<_> = of(range).iter().map(|(t, v)| (*t, v.to_bits())).collect();
        names.map(|name| (name.to_owned(), bits.clone())).to_vec()
    };
    let saimon = start();
    write(&saimon, &of(0..500));
    assert_eq!(read(&saimon, 0, i64::MAX), wanted(0..500));
    let kept = || saimon.sum("saimon_store_bytes_written_total");
    let begun = Instant::now();
    while kept() == 0 {
        assert!(begun.elapsed() < START, "no checkpoint");
        std::thread::sleep(Duration::from_millis(50));
    }
    write(&saimon, &of(500..700));
    assert_eq!(read(&saimon, 0, i64::MAX), wanted(0..700));
    assert_eq!(saimon.terminate().0, 0);
    let saimon = start();
    assert_eq!(read(&saimon, 0, i64::MAX), wanted(0..700));
    write(&saimon, &of(700..800));
    assert_eq!(read(&saimon, 0, i64::MAX), wanted(0..800));
    let (from, to) = (sample(130).0, sample(769).0);
    assert_eq!(read(&saimon, from, to), wanted(130..770));
}

#[test]
fn a_prometheus_without_data_answers_from_saimon() {
    let mut readers = Readers::start();
    let at = enough(&mut readers);
    for expr in INSTANT {
        let wanted = readers.ask(WRITER, expr, at, None);
        assert!(!wanted.is_empty(), "{expr} has no result to compare");
        same(expr, &wanted, &readers.ask(SAME, expr, at, None));
    }
    for expr in RANGE {
        let wanted = readers.ask(WRITER, expr, at, Some(10.0));
        assert!(!wanted.is_empty(), "{expr} has no result to compare");
        same(expr, &wanted, &readers.ask(SAME, expr, at, Some(10.0)));
    }
    with_other_external_labels(&readers, at);
    series_by_selector(&readers, at);
    both_forms_and_the_writer_agree(&readers, at);
}

/// Waits until saimon has so much that every expression has a result; gives the time to ask for,
/// before which nothing changes any more.
fn enough(readers: &mut Readers) -> f64 {
    let begun = Instant::now();
    let at = loop {
        let expr = "max(timestamp(up{job=\"node\"})) and min(count_over_time(up[1m])) >= ";
        let path = format!(
            "/api/v1/query?query={}",
            http::encode(&format!("{expr}{SCRAPES}"))
        );
        let found = readers.call(SAME, &path).map(|data| rows(&data["result"]));
        if let Ok(found) = &found
            && let Some(points) = found.values().next()
        {
            break points[0].1 - 1.0;
        }
        assert!(
            begun.elapsed() < START,
            "{found:?}\n{}",
            readers.saimon.log_tail(20)
        );
        std::thread::sleep(Duration::from_millis(300));
    };
    // What was scraped until then is written soon after; a count tells when.
    let expr = "count({__name__!=\"\"})";
    while readers.ask(WRITER, expr, at, None) != readers.ask(SAME, expr, at, None) {
        assert!(begun.elapsed() < START, "{}", readers.writer.log_tail(20));
        std::thread::sleep(Duration::from_millis(300));
    }
    at
}

/// `read.ignore_labels` lets it find something; the labels of the writer stay in the answers.
fn with_other_external_labels(readers: &Readers, at: f64) {
    let wanted = readers.ask(WRITER, "up", at, None).into_iter();
    let wanted: Rows = wanted
        .map(|(mut labels, points)| {
            labels.insert("cluster".to_owned(), "t".to_owned());
            labels.insert("replica".to_owned(), "a".to_owned());
            (labels, points)
        })
        .collect();
    same("up", &wanted, &readers.ask(OTHER, "up", at, None));
    let cluster = readers.ask(OTHER, "count(up{cluster=\"x\"})", at, None);
    assert!(cluster.is_empty());
}

fn series_by_selector(readers: &Readers, at: f64) {
    let path = format!(
        "/api/v1/series?match[]={}&match[]={}&start={}&end={at}",
        http::encode("up"),
        http::encode("{__name__=~\"node_disk_.*|node_load.*\"}"),
        at - 10.0
    );
    let sorted = |who| {
        let mut found: Vec<String> = readers
            .call(who, &path)
            .unwrap()
            .as_array()
            .unwrap()
            .iter()
            .map(Value::to_string)
            .collect();
        found.sort();
        found
    };
    let wanted = sorted(WRITER);
    assert!(wanted.len() > 4);
    assert_eq!(sorted(SAME), wanted);
}

/// The very samples, asked for as newer versions of Prometheus do, and once more from the writer.
fn both_forms_and_the_writer_agree(readers: &Readers, at: f64) {
    let end_ms = (at * 1000.0) as i64;
    let queries: Vec<_> = ["up", "node_.*", "prometheus_.*_bucket"]
        .map(|name| query(&[("__name__", "=~", name)], end_ms - 10_000, end_ms))
        .into();
    let client =
        |who: usize| Client::connect(SocketAddr::from(([127, 0, 0, 1], readers.ports[who])));
    let saimon = 0;
    let streamed = ask(
        &mut client(saimon),
        &request(&[CHUNKS, SAMPLES], queries.clone()),
    );
    let streamed = chunks(&streamed, &queries);
    let whole = samples(&ask(&mut client(saimon), &request(&[], queries.clone())));
    assert_eq!(streamed, whole);
    assert!(whole.iter().all(|result| !result.is_empty()));
    let of_writer = ask(
        &mut client(WRITER),
        &request(&[CHUNKS, SAMPLES], queries.clone()),
    );
    for (mut wanted, got) in chunks(&of_writer, &queries).into_iter().zip(streamed) {
        wanted.retain(|(_, samples)| !samples.is_empty());
        assert_eq!(got, wanted);
    }
}
