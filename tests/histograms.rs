//! Quantiles and intervals against a real Prometheus, on histograms that one recorded.
//!
//! `tests/data/histograms` has the series of some classic and native histograms as Prometheus 2.42
//! sent them: five minutes, with resets, gaps, stale markers and birth on the way. They are written
//! to a fresh Prometheus, which is asked for quantiles of what it holds and of the differences
//! between neighbouring samples; `rate` extrapolates, so it is asked for only where that cancels out. A
//! Prometheus before 3 interpolates linearly in native buckets, so that rule is compared; the rule
//! of Prometheus 3, which saimon uses, differs from it in the last step alone and has unit tests.

#[path = "../examples/demo/stack/http.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod http;
#[path = "../examples/demo/stack/ports.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod ports;
#[path = "../examples/demo/stack/process.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod process;

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use prost::Message;
use saimon::clock::{Clock, SystemClock};
use saimon::window::histogram::classic::{self, Assembly, Part};
use saimon::window::histogram::flat::Flat;
use saimon::window::histogram::native::{Intervals, Scratch};
use saimon::window::histogram::quantile::{self, Bucket, Rules};
use saimon::wire::histogram::{self, NativeHistogram};
use saimon::wire::proto::{TimeSeries, WriteRequest};
use saimon::wire::write;
use serde_json::Value;

const QUANTILES: [f64; 9] = [0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0];

/// Labels but `__name__` and `le`, as a selector has them.
type Selector = String;

/// Part, time and value.
type Sent = (Part, i64, f64);

/// What was recorded, moved so that the newest sample is a minute old.
struct Recorded {
    requests: Vec<WriteRequest>,
    /// By base name and selector, in the order in which they were sent.
    classic: BTreeMap<(String, Selector), Vec<Sent>>,
    /// By name and selector, in the order in which they were sent.
    native: BTreeMap<(String, Selector), Vec<NativeHistogram>>,
}

impl Recorded {
    fn read() -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("tests/data/histograms/prom-2.42.binpb.gz");
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(fs::File::open(path).unwrap())
            .read_to_end(&mut bytes)
            .unwrap();
        let mut all = WriteRequest::decode(&*bytes).unwrap().timeseries;
        let newest = all.iter().map(time_ms).max().unwrap();
        let shift = SystemClock.now_ms() - 60_000 - newest;
        let mut recorded = Self {
            requests: Vec::new(),
            classic: BTreeMap::new(),
            native: BTreeMap::new(),
        };
        for entry in &mut all {
            for sample in &mut entry.samples {
                sample.timestamp += shift;
            }
            for h in &mut entry.histograms {
                h.timestamp += shift;
            }
            recorded.sort_in(entry);
        }
        recorded.requests = all
            .chunks(500)
            .map(|some| WriteRequest {
                timeseries: some.to_vec(),
                metadata: Vec::new(),
            })
            .collect();
        recorded
    }

    fn sort_in(&mut self, entry: &TimeSeries) {
        let (mut name, mut le, mut others) = ("", None, Vec::new());
        for label in &entry.labels {
            match &*label.name {
                "__name__" => name = &label.value,
                "le" => le = classic::bound(label.value.as_bytes()),
                other => others.push(format!("{other}=\"{}\"", label.value)),
            }
        }
        let selector = others.join(",");
        for h in &entry.histograms {
            let message = h.encode_to_vec();
            let checked = histogram::check(&message, 1).unwrap();
            assert_eq!(checked.timestamp_ms, h.timestamp);
            let mut decoded = NativeHistogram::default();
            histogram::decode_into(&message, &mut decoded).unwrap();
            let key = (name.to_owned(), selector.clone());
            self.native.entry(key).or_default().push(decoded);
        }
        for sample in &entry.samples {
            let (base, part) = if let Some(base) = name.strip_suffix("_bucket") {
                (base, Part::Bucket(le.unwrap()))
            } else if let Some(base) = name.strip_suffix("_sum") {
                (base, Part::Sum)
            } else {
                (name.strip_suffix("_count").unwrap(), Part::Count)
            };
            let key = (base.to_owned(), selector.clone());
            let parts = self.classic.entry(key).or_default();
            parts.push((part, sample.timestamp, sample.value));
        }
    }
}

fn time_ms(entry: &TimeSeries) -> i64 {
    let samples = entry.samples.iter().map(|s| s.timestamp);
    samples
        .chain(entry.histograms.iter().map(|h| h.timestamp))
        .max()
        .unwrap()
}

/// A Prometheus with what was recorded in it.
struct Prometheus {
    port: u16,
    _process: process::Process,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    fn with(recorded: &Recorded) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path();
        fs::write(dir.join("prometheus.yml"), "global: {}\n").unwrap();
        let [port] = ports::free().unwrap();
        let watchdog = process::Watchdog::start(Some(dir)).unwrap();
        let mut process = process::Process::start(
            "prometheus",
            Command::new("prometheus")
                .arg(format!(
                    "--config.file={}",
                    dir.join("prometheus.yml").display()
                ))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    dir.join("data").display()
                ))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"))
                .arg("--web.enable-remote-write-receiver")
                .arg("--enable-feature=native-histograms"),
            dir,
            &watchdog,
        )
        .unwrap();
        process
            .wait_for("it answers", Duration::from_secs(60), || {
                http::get(port, "/-/ready").ok().filter(|a| a.status == 200)
            })
            .unwrap();
        let prometheus = Self {
            port,
            _process: process,
            _folder: folder,
        };
        for request in &recorded.requests {
            prometheus.write(request);
        }
        prometheus
    }

    fn write(&self, request: &WriteRequest) {
        let raw = request.encode_to_vec();
        let body = snap::raw::Encoder::new().compress_vec(&raw).unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).unwrap();
        write!(
            stream,
            "POST /api/v1/write HTTP/1.0\r\nContent-Type: application/x-protobuf\r\n\
             Content-Encoding: snappy\r\nContent-Length: {}\r\n\r\n",
            body.len()
        )
        .unwrap();
        stream.write_all(&body).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 204 "), "{answer}");
    }

    /// The one value that a query gives at a time; `None` if there is none or it is NaN.
    fn ask(&self, query: &str, t_ms: i64) -> Option<f64> {
        let path = format!(
            "/api/v1/query?time={}.{:03}&query={}",
            t_ms / 1000,
            t_ms % 1000,
            http::encode(query)
        );
        let page = http::page(self.port, &path).unwrap();
        let answer: Value = serde_json::from_str(&page).unwrap();
        let result = answer["data"]["result"].as_array().unwrap();
        assert!(result.len() <= 1, "{query}: {page}");
        let value: f64 = result.first()?["value"][1].as_str()?.parse().unwrap();
        (!value.is_nan()).then_some(value)
    }
}

/// Equal but for rounding.
#[track_caller]
fn assert_near(ours: Option<f64>, theirs: Option<f64>, about: &str) {
    let near = match (ours, theirs) {
        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * a.abs().max(b.abs()),
        (a, b) => a == b,
    };
    assert!(near, "{about}: {ours:?}, and Prometheus {theirs:?}");
}

fn number(x: f64) -> Option<f64> {
    (!x.is_nan()).then_some(x)
}

#[test]
fn quantiles_and_intervals_are_those_of_a_real_prometheus() {
    let recorded = Recorded::read();
    let prometheus = Prometheus::with(&recorded);
    let held = classic_quantiles(&recorded, &prometheus);
    let intervals = classic_intervals(&recorded, &prometheus);
    let native = native_quantiles(&recorded, &prometheus);
    let native_intervals = native_intervals(&recorded, &prometheus);
    println!("{held} quantiles of classic histograms and {native} of native ones");
    println!("{intervals} intervals of classic histograms and {native_intervals} of native ones");
    assert!(held >= 200 && native >= 100 && intervals >= 60 && native_intervals >= 30);
}

/// Some of a series of things, from its beginning to its end.
fn some<T>(all: &[T]) -> impl Iterator<Item = &T> {
    all.iter().step_by((all.len() / 40).max(1))
}

fn classic_quantiles(recorded: &Recorded, prometheus: &Prometheus) -> usize {
    let mut asked = 0;
    for ((name, selector), parts) in &recorded.classic {
        let mut scrapes: BTreeMap<i64, Vec<Bucket>> = BTreeMap::new();
        for (part, t_ms, count) in parts {
            if let Part::Bucket(upper) = *part {
                let scrape = scrapes.entry(*t_ms).or_default();
                scrape.push(Bucket {
                    upper,
                    count: *count,
                });
            }
        }
        let scrapes: Vec<_> = scrapes.into_iter().collect();
        for (t_ms, buckets) in some(&scrapes) {
            if buckets.iter().any(|b| write::is_stale(b.count)) {
                continue;
            }
            for q in QUANTILES {
                let query = format!("histogram_quantile({q}, {name}_bucket{{{selector}}})");
                let ours = quantile::classic(q, &mut buckets.clone());
                assert_near(number(ours), prometheus.ask(&query, *t_ms), &query);
                asked += 1;
            }
        }
    }
    asked
}

fn classic_intervals(recorded: &Recorded, prometheus: &Prometheus) -> usize {
    let mut compared = 0;
    for ((name, selector), parts) in &recorded.classic {
        let mut assembly = Assembly::new();
        let mut judged = Vec::new();
        let mut last_ms = parts[0].1;
        for (part, t_ms, value) in parts {
            if write::is_stale(*value) {
                assembly.remove(*part);
            } else if let Some((t_ms, stats)) = assembly.offer(*part, *t_ms, *value) {
                judged.push((last_ms, t_ms, stats));
                last_ms = t_ms;
            }
        }
        for (since_ms, t_ms, stats) in some(&judged).filter(|(_, _, s)| s.rate.is_some()) {
            let ms = t_ms - since_ms;
            let increase = |suffix: &str| {
                let series = format!("{name}{suffix}{{{selector}}}");
                format!("({series} - {series} offset {ms}ms)")
            };
            let (buckets, sum, count) = (increase("_bucket"), increase("_sum"), increase("_count"));
            for (ours, query) in [
                (stats.rate, format!("{count} / {}", ms as f64 / 1000.0)),
                (stats.mean, format!("{sum} / {count}")),
                (stats.p50, format!("histogram_quantile(0.5, {buckets})")),
                (stats.p99, format!("histogram_quantile(0.99, {buckets})")),
            ] {
                assert_near(ours, prometheus.ask(&query, *t_ms), &query);
            }
            compared += 1;
        }
    }
    compared
}

fn native_quantiles(recorded: &Recorded, prometheus: &Prometheus) -> usize {
    let mut asked = 0;
    let mut flat = Flat::default();
    for ((name, selector), histograms) in &recorded.native {
        for h in some(histograms).filter(|h| !h.is_stale()) {
            flat.load(h);
            let series = format!("{name}{{{selector}}}");
            for (ours, query) in [
                (flat.count, format!("histogram_count({series})")),
                (flat.sum, format!("histogram_sum({series})")),
            ] {
                assert_near(Some(ours), prometheus.ask(&query, h.timestamp_ms), &query);
            }
            for q in QUANTILES {
                let query = format!("histogram_quantile({q}, {series})");
                let ours = quantile::native(q, &flat, Rules::Linear);
                assert_near(number(ours), prometheus.ask(&query, h.timestamp_ms), &query);
                asked += 1;
            }
        }
    }
    asked
}

fn native_intervals(recorded: &Recorded, prometheus: &Prometheus) -> usize {
    let mut compared = 0;
    let mut scratch = Scratch::default();
    for ((name, selector), histograms) in &recorded.native {
        let mut intervals = Intervals::new();
        let mut judged = Vec::new();
        let mut last_ms = histograms[0].timestamp_ms;
        for h in histograms {
            let stats = intervals.take_by(Rules::Linear, h, &mut scratch);
            judged.extend(stats.map(|stats| (last_ms, h.timestamp_ms, stats)));
            last_ms = h.timestamp_ms;
        }
        assert!(
            judged.iter().all(|(_, _, s)| s.rate.is_some()),
            "no reset was recorded"
        );
        for (since_ms, t_ms, stats) in some(&judged) {
            let ms = t_ms - since_ms;
            let series = format!("{name}{{{selector}}}");
            // Extrapolated in all its counts alike, which changes no quantile and no mean.
            let increase = format!("rate({series}[{}ms])", ms + 200);
            let count = |offset: &str| format!("histogram_count({series}{offset})");
            let before = format!(" offset {ms}ms");
            let seconds = ms as f64 / 1000.0;
            for (ours, query) in [
                (
                    stats.rate,
                    format!("({} - {}) / {seconds}", count(""), count(&before)),
                ),
                (
                    stats.mean,
                    format!("histogram_sum({increase}) / histogram_count({increase})"),
                ),
                (stats.p50, format!("histogram_quantile(0.5, {increase})")),
                (stats.p99, format!("histogram_quantile(0.99, {increase})")),
            ] {
                assert_near(ours, prometheus.ask(&query, *t_ms), &query);
            }
            compared += 1;
        }
    }
    compared
}
