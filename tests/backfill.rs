//! History from real servers: what a Prometheus and a VictoriaMetrics remember is what is read, new
//! series are warm at once, and a server that is down is in nobody's way.

#[path = "support/client.rs"]
mod client;
#[path = "backfill/odd.rs"]
mod odd;
#[path = "support/peer.rs"]
mod peer;
#[path = "support/serving.rs"]
mod serving;
#[path = "support/stores.rs"]
mod stores;

use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use http::Method;
use peer::{Asked, Peer, Reply};
use prost::Message as _;
use saimon::backfill::fetch::Fetcher;
use saimon::backfill::source::Form;
use saimon::backfill::span::Span;
use saimon::config::HistoryConfig;
use saimon::config::client::Address;
use saimon::engine::history::History;
use saimon::series::labels;
use saimon::telemetry::Metrics;
use saimon::wire::proto;
use saimon::wire::snappy::BodyPool;
use serving::Serving;
use stores::{Labels, Store};

/// Between two samples of a series, and how many there are: two hours of them.
const INTERVAL_MS: i64 = 15_000;
const SAMPLES: i64 = 480;

const LOAD: Labels<'static> = &[
    ("__name__", "node_load1"),
    ("instance", "a:9100"),
    ("job", "node"),
];
const OTHER: Labels<'static> = &[
    ("__name__", "node_load1"),
    ("instance", "b:9100"),
    ("job", "node"),
];
const REQUESTS: Labels<'static> = &[
    ("__name__", "http_requests_total"),
    ("cluster", "own"),
    ("instance", "a:80"),
    ("job", "web"),
];

#[allow(clippy::disallowed_methods, reason = "real servers live in real time")]
fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Two hours until a little before `end_ms`, at times that are no whole seconds.
fn samples(end_ms: i64, value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    (0..SAMPLES)
        .map(|i| {
            let t = end_ms - (SAMPLES - i) * INTERVAL_MS + i % 7;
            (t, value(i))
        })
        .collect()
}

/// Of few digits: VictoriaMetrics keeps no more than twelve.
fn wave(i: i64) -> f64 {
    let value = 10.0 + (i as f64 / 20.0).sin() + (i * 7919 % 13) as f64 / 50.0;
    (value * 1000.0).round() / 1000.0
}

/// A classic histogram of three buckets, `i` intervals old: a few observations in each.
fn histogram(i: i64) -> [(Labels<'static>, f64); 5] {
    let seen = (i * 20 + i * i % 7) as f64;
    [
        (
            &[
                ("__name__", "took_seconds_bucket"),
                ("job", "web"),
                ("le", "0.1"),
            ],
            seen * 0.5,
        ),
        (
            &[
                ("__name__", "took_seconds_bucket"),
                ("job", "web"),
                ("le", "1"),
            ],
            (seen * 0.9).floor(),
        ),
        (
            &[
                ("__name__", "took_seconds_bucket"),
                ("job", "web"),
                ("le", "+Inf"),
            ],
            seen,
        ),
        (&[("__name__", "took_seconds_count"), ("job", "web")], seen),
        (
            &[("__name__", "took_seconds_sum"), ("job", "web")],
            seen * 0.25,
        ),
    ]
}

/// Three series with a past.
fn past(end_ms: i64) -> Vec<(Labels<'static>, Vec<(i64, f64)>)> {
    vec![
        (LOAD, samples(end_ms, wave)),
        (OTHER, samples(end_ms, |i| wave(i) * 2.0)),
        (REQUESTS, samples(end_ms, |i| (i * 30 + i % 11) as f64)),
    ]
}

/// As a Prometheus with external labels sends it.
fn sent(of: Labels<'_>) -> Box<[u8]> {
    let external = [("cluster", "eu"), ("replica", "a")];
    // the labels that a series has itself come first and win
    labels::encode(of.iter().copied().chain(external)).into()
}

fn plain(of: Labels<'_>) -> Box<[u8]> {
    labels::encode(of.iter().copied()).into()
}

/// All samples, compared one by one so that a difference can be read.
#[track_caller]
fn same(got: &[(i64, f64)], want: &[(i64, f64)]) {
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        assert_eq!(got, want, "sample {i}");
    }
    assert_eq!(got.len(), want.len());
}

struct Read {
    histories: Vec<History>,
    form: Form,
}

impl Read {
    fn floats(&self, of: &[u8]) -> &[(i64, f64)] {
        let found = self.histories.iter().find(|h| *h.labels == *of);
        &found
            .unwrap_or_else(|| panic!("no {}", labels::display(of)))
            .floats
    }
}

/// Reads the past of these series from a server.
fn read(store: &Store, url: &str, wanted: &[Box<[u8]>], span: Span) -> Read {
    let config = HistoryConfig {
        client: store.client.clone(),
        request_range: std::time::Duration::from_secs(3000),
        ..HistoryConfig::default()
    };
    let address = Address::parse(url).unwrap();
    let history = Metrics::new().history;
    let fetcher = Fetcher::new(&address, &config, &history, fastrand::Rng::with_seed(1)).unwrap();
    let units: Vec<[Box<[u8]>; 1]> = wanted.iter().map(|l| [l.clone()]).collect();
    let units: Vec<&[Box<[u8]>]> = units.iter().map(|u| &u[..]).collect();
    let histories = stores::runtime()
        .block_on(fetcher.read(&units, span))
        .unwrap();
    Read {
        histories,
        form: fetcher.source().form(),
    }
}

#[test]
fn a_prometheus_gives_exactly_what_it_was_given() {
    let store = stores::prometheus(true);
    let end_ms = now_ms();
    let past = past(end_ms);
    store.feed(&past);
    let span = Span {
        start_ms: past[0].1[10].0,
        end_ms: past[0].1[470].0,
    };
    let wanted = [
        sent(LOAD),
        sent(OTHER),
        sent(REQUESTS),
        plain(&[("__name__", "none")]),
    ];
    let read_path = format!("{}/api/v1/read", store.url);
    for url in [&store.url, &read_path] {
        let read = read(&store, url, &wanted, span);
        assert_eq!(read.form, Form::Chunks);
        assert_eq!(read.histories.len(), 3);
        for (labels, samples) in &past {
            same(read.floats(&sent(labels)), &samples[10..=470]);
        }
    }
    // Series that came without the external labels are found, too.
    let bare = read(&store, &store.url, &[plain(LOAD)], span);
    same(bare.floats(&plain(LOAD)), &past[0].1[10..=470]);
}

#[test]
fn a_victoria_metrics_gives_its_raw_samples_through_the_query_api() {
    let store = stores::victoria_metrics();
    let end_ms = now_ms();
    let past = past(end_ms);
    store.feed(&past);
    let (status, _) = store
        .ask(Method::GET, "/internal/force_flush", Vec::new())
        .unwrap();
    assert_eq!(status, 200);
    let span = Span {
        start_ms: past[0].1[10].0,
        end_ms: past[0].1[470].0,
    };
    // As it was written to, so it is asked: nothing is added.
    let wanted = [plain(LOAD), plain(OTHER), plain(REQUESTS)];
    let read = read(&store, &store.url, &wanted, span);
    assert_eq!(read.form, Form::RangeSelector);
    for (labels, samples) in &past {
        same(read.floats(&plain(labels)), &samples[10..=470]);
    }
}

/// Passes requests on, but for those that it refuses.
fn proxy(store: &Store, refuses: impl Fn(&Asked) -> Option<Reply> + Send + Sync + 'static) -> Peer {
    let host = store.url.trim_start_matches("http://").to_owned();
    Peer::start(move |_, asked| refuses(asked).unwrap_or_else(|| peer::forward(&host, asked)))
}

#[test]
fn a_prometheus_without_remote_read_is_asked_by_query_and_its_external_labels_are_known() {
    let store = stores::prometheus(false);
    let end_ms = now_ms();
    let past = past(end_ms);
    store.feed(&past);
    let span = Span {
        start_ms: past[0].1[10].0,
        end_ms: past[0].1[470].0,
    };
    let wanted = [sent(LOAD), sent(OTHER), sent(REQUESTS)];
    let no_read = |asked: &Asked| {
        let refused = asked.path.starts_with("/api/v1/read");
        refused.then(|| Reply::new(404, *b"404 page not found"))
    };
    let peer = proxy(&store, no_read);
    let raw = read(&store, &peer.url, &wanted, span);
    assert_eq!(raw.form, Form::RangeSelector);
    for (labels, samples) in &past {
        same(raw.floats(&sent(labels)), &samples[10..=470]);
    }
    // Without range selectors, values on a grid are the last resort.
    let peer = proxy(&store, move |asked| {
        let text = br#"{"status":"error","errorType":"bad_data","error":"invalid expression type range vector"}"#;
        let refused = asked.path == "/api/v1/query";
        no_read(asked).or_else(|| refused.then(|| Reply::new(400, *text)))
    });
    let grid = read(&store, &peer.url, &wanted, span);
    assert_eq!(grid.form, Form::Grid);
    let floats = grid.floats(&sent(LOAD));
    assert!((455..=462).contains(&floats.len()), "{}", floats.len());
    assert!(floats.iter().all(|(t, _)| t % INTERVAL_MS == 0));
    assert!(
        floats
            .iter()
            .all(|(_, v)| past[0].1.iter().any(|(_, w)| w == v))
    );
}

/// `saimon serve` with its history from a server.
fn configuration(store: &Store, folder: &std::path::Path) -> String {
    let client = &store.client;
    let mut text = format!("history:\n  url: {}\n", store.url);
    if let (Some(ca), Some(password)) =
        (&client.tls_config.ca_file, &client.basic_auth.password_file)
    {
        text.push_str(&format!(
            "  basic_auth: {{username: {}, password_file: {}}}\n  tls_config: {{ca_file: {}}}\n",
            stores::USER,
            password.display(),
            ca.display()
        ));
    }
    let path = folder.join("saimon.yaml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

fn send(saimon: &Serving, series: &[(Labels<'_>, Vec<(i64, f64)>)]) {
    let body = stores::write_request(series).encode_to_vec();
    let answer = saimon
        .connect()
        .post(client::WRITE_HEADERS, &client::snappy(&body));
    assert_eq!(answer.status, 204, "{answer:?}");
}

/// The value of a series of a page that begins so.
fn value(saimon: &Serving, page: &str, begins: &str) -> Option<f64> {
    let page = saimon.connect().get(page, "");
    let line = page.text().lines().find(|l| l.starts_with(begins))?;
    line.rsplit(' ').next()?.parse().ok()
}

/// Waits until this is so, a minute at most.
#[track_caller]
fn until(saimon: &Serving, what: &str, so: impl Fn() -> bool) {
    for _ in 0..600 {
        if so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let page = saimon.connect().get("/metrics", "");
    let lines: Vec<_> = page
        .text()
        .lines()
        .filter(|l| l.starts_with("saimon_history") || l.starts_with("saimon_series"))
        .collect();
    panic!("waited in vain until {what}: {lines:#?}");
}

fn with_external(of: Labels<'static>) -> Sent {
    let mut labels = of.to_vec();
    for (name, value) in [("cluster", "eu"), ("replica", "a")] {
        if labels.iter().all(|(n, _)| *n != name) {
            labels.push((name, value));
        }
    }
    labels
}

/// Labels as they are sent to saimon.
type Sent = Vec<(&'static str, &'static str)>;

const SCORE: &str = "saimon_anomaly_score{";

/// Live samples of the three series as they are sent to saimon.
fn live(sent: &[Sent], t_ms: i64, i: i64) -> Vec<(Sent, Vec<(i64, f64)>)> {
    let values = [wave(i), wave(i) * 2.0, (i * 30 + i % 11) as f64];
    sent.iter()
        .zip(values)
        .map(|(labels, value)| (labels.clone(), vec![(t_ms, value)]))
        .collect()
}

fn send_live(saimon: &Serving, sent: &[Sent], t_ms: i64, i: i64) {
    let samples = live(sent, t_ms, i);
    let series: Vec<_> = samples.iter().map(|(l, s)| (&l[..], s.clone())).collect();
    send(saimon, &series);
}

/// Has saimon read its configuration again; what it says.
fn reload(saimon: &Serving) -> String {
    let answer = saimon.connect().post_to("/-/reload", "", b"");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().to_owned()
}

/// New series are warm with their first samples: they have scores long before a warm-up is over.
/// `late`: only a reload says where history is, and another one that there is none any more.
fn warms(store: &Store, sent: &[Sent], late: bool) {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(store, folder.path());
    let text = std::fs::read_to_string(&config).unwrap();
    if late {
        std::fs::write(&config, "{}\n").unwrap();
    }
    let data = folder.path().join("data");
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
    if late {
        std::fs::write(&config, text).unwrap();
        let said = reload(&saimon);
        assert!(said.contains("in use now: history."), "{said}");
        assert!(!said.contains("restart"), "{said}");
    }
    let now = now_ms();
    send_live(&saimon, sent, now, SAMPLES);
    let warmed = "saimon_history_series_total{outcome=\"warmed\"}";
    until(&saimon, "all three are warmed", || {
        value(&saimon, "/metrics", warmed) == Some(3.0)
    });
    let samples = value(&saimon, "/metrics", "saimon_history_samples_total");
    assert!(samples >= Some(3.0 * SAMPLES as f64 * 0.9), "{samples:?}");
    assert_eq!(
        value(&saimon, "/metrics", "saimon_series{phase=\"warmup\"}"),
        Some(0.0)
    );
    assert_eq!(
        value(&saimon, "/metrics", "saimon_series{phase=\"history\"}"),
        Some(0.0)
    );
    // The next live samples are scored.
    send_live(&saimon, sent, now + INTERVAL_MS, SAMPLES + 1);
    until(&saimon, "all three have scores", || {
        let page = saimon.connect().get("/metrics/scores", "");
        page.text().lines().filter(|l| l.starts_with(SCORE)).count() == 3
    });
    if late {
        std::fs::write(&config, "{}\n").unwrap();
        assert!(reload(&saimon).contains("in use now: history."));
        send(&saimon, &[(&[("__name__", "young")], vec![(now, 1.0)])]);
        until(&saimon, "one learns by itself", || {
            value(&saimon, "/metrics", "saimon_series{phase=\"warmup\"}") == Some(1.0)
        });
    }
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
    assert!(
        log.iter().any(|l| l.contains("history: caught up")),
        "{log:?}"
    );
    assert!(!log.iter().any(|l| l.contains(stores::PASSWORD)));
}

#[test]
fn new_series_are_warm_at_once_from_a_prometheus() {
    let store = stores::prometheus(true);
    store.feed(&past(now_ms()));
    let sent: Vec<_> = [LOAD, OTHER, REQUESTS]
        .into_iter()
        .map(with_external)
        .collect();
    warms(&store, &sent, true);
}

#[test]
fn new_series_are_warm_at_once_from_a_victoria_metrics() {
    let store = stores::victoria_metrics();
    store.feed(&past(now_ms()));
    store
        .ask(Method::GET, "/internal/force_flush", Vec::new())
        .unwrap();
    let sent: Vec<_> = [LOAD, OTHER, REQUESTS]
        .into_iter()
        .map(|l| l.to_vec())
        .collect();
    warms(&store, &sent, false);
}

fn backfill(args: &[&str]) -> std::process::Output {
    Command::new(serving::SAIMON)
        .arg("backfill")
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn a_backfill_makes_the_next_start_warm() {
    let store = stores::prometheus(true);
    let end_ms = now_ms();
    store.feed(&past(end_ms));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data_dir = data.display().to_string();
    let config = configuration(&store, folder.path());
    let args = ["--config", &config, "--data-dir", &data_dir];

    let done = backfill(&args);
    let said = String::from_utf8_lossy(&done.stdout);
    let errors = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.code(), Some(0), "{said}{errors}");
    assert!(
        said.contains("3 warmed, 0 without samples, 0 failed"),
        "{said}"
    );
    assert!(
        said.contains(&format!("samples   {}", 3 * SAMPLES)),
        "{said}"
    );

    let saimon = Serving::start_with(&data, "127.0.0.1:0", &[]);
    let sent: Vec<_> = [LOAD, OTHER, REQUESTS]
        .into_iter()
        .map(with_external)
        .collect();
    send_live(&saimon, &sent, end_ms + INTERVAL_MS, SAMPLES);
    until(&saimon, "all three have scores", || {
        let page = saimon.connect().get("/metrics/scores", "");
        page.text().lines().filter(|l| l.starts_with(SCORE)).count() == 3
    });

    // Not while another process has the directory; not without a server; not without an address.
    let refused = backfill(&args);
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{errors}");
    assert!(errors.contains("in use by another process"), "{errors}");
    drop(saimon);
    let nothing = backfill(&["--data-dir", &data_dir]);
    assert_eq!(nothing.status.code(), Some(2));
    let wrong = backfill(&["--url", "ftp://x", "--data-dir", &data_dir]);
    assert_eq!(wrong.status.code(), Some(2));
    let none = backfill(&[
        "--config",
        &config,
        "--data-dir",
        &data_dir,
        "--selector",
        "nosuch",
    ]);
    let errors = String::from_utf8_lossy(&none.stderr);
    assert_eq!(none.status.code(), Some(1), "{errors}");
    assert!(errors.contains("no series"), "{errors}");
}
