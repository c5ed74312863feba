//! Against a small receiver over real sockets: nothing is lost, doubled or reordered.

use super::*;
use crate::clock::SystemClock;
use crate::wire::proto::WriteRequest;
use crate::wire::write::is_stale;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::service::TowerToHyperService;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;

/// Status and Retry-After for the request of this number.
type Answer = fn(usize) -> (u16, Option<&'static str>);

/// Answers by the number of the request, and remembers what it acknowledged.
#[derive(Default)]
struct Receiver {
    requests: AtomicUsize,
    connections: AtomicUsize,
    answer: Option<Answer>,
    /// Timestamps and values by labels, in order of arrival.
    samples: Mutex<HashMap<String, Vec<(i64, f64)>>>,
    /// Stale markers by labels.
    ended: Mutex<HashMap<String, i64>>,
    metadata: AtomicUsize,
    sizes: Mutex<Vec<usize>>,
    attempts: Mutex<Vec<Option<String>>>,
}

impl Receiver {
    async fn start(answer: Option<Answer>) -> (Arc<Self>, String) {
        let receiver = Arc::new(Self {
            answer,
            ..Self::default()
        });
        let router = Router::new()
            .route("/api/v1/write", post(receive))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&receiver));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
        let counted = Arc::clone(&receiver);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.connections.fetch_add(1, Ordering::Relaxed);
                let service = TowerToHyperService::new(router.clone());
                tokio::spawn(async move {
                    let builder =
                        hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                    let _ = builder
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        (receiver, url)
    }

    fn keep(&self, request: WriteRequest) {
        self.metadata
            .fetch_add(request.metadata.len(), Ordering::Relaxed);
        if !request.timeseries.is_empty() {
            self.sizes.lock().unwrap().push(request.timeseries.len());
        }
        let mut kept = self.samples.lock().unwrap();
        for series in request.timeseries {
            let labels: Vec<String> = series
                .labels
                .iter()
                .map(|l| format!("{}={}", l.name, l.value))
                .collect();
            let labels = labels.join(",");
            let into = kept.entry(labels.clone()).or_default();
            for sample in series.samples {
                if is_stale(sample.value) {
                    let ended = self
                        .ended
                        .lock()
                        .unwrap()
                        .insert(labels.clone(), sample.timestamp);
                    assert_eq!(ended, None, "{labels} ended twice");
                } else {
                    into.push((sample.timestamp, sample.value));
                }
            }
        }
    }

    fn total(&self) -> usize {
        self.samples.lock().unwrap().values().map(Vec::len).sum()
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let number = receiver.requests.fetch_add(1, Ordering::Relaxed);
    for (name, value) in [
        ("content-type", "application/x-protobuf"),
        ("content-encoding", "snappy"),
        ("x-prometheus-remote-write-version", "0.1.0"),
    ] {
        assert_eq!(headers[name], value);
    }
    assert!(
        headers["user-agent"]
            .to_str()
            .unwrap()
            .starts_with("saimon-generate/")
    );
    let attempt = headers
        .get("retry-attempt")
        .map(|v| v.to_str().unwrap().to_owned());
    receiver.attempts.lock().unwrap().push(attempt);
    let (status, retry_after) = receiver.answer.map_or((204, None), |answer| answer(number));
    let code = StatusCode::from_u16(status).unwrap();
    if code.is_success() {
        receiver.keep(load::tests::decode(&body));
    }
    match retry_after {
        Some(after) => (code, [("retry-after", after)], "busy").into_response(),
        None => (code, "busy").into_response(),
    }
}

fn plan(url: &str) -> Plan {
    Plan {
        url: url.to_owned(),
        series: 1_000,
        interval: Duration::from_secs(15),
        speed: Speed::Max,
        duration: None,
        samples: Some(10_000),
        start_ago: None,
        connections: 3,
        batch: 150,
        retry_for: Duration::from_secs(20),
        seed: 1,
        protocol: Protocol::V1,
        fall_back: false,
        retry_on_429: true,
        headers: Vec::new(),
        leave_open: false,
    }
}

async fn run(plan: &Plan) -> Report {
    push(plan, Arc::new(SystemClock), CancellationToken::new())
        .await
        .unwrap()
}

/// Every series has each of its ten samples once, in order, 15 s apart.
fn assert_whole(receiver: &Receiver) {
    let samples = receiver.samples.lock().unwrap();
    assert_eq!(samples.len(), 1_000);
    for (labels, samples) in samples.iter() {
        assert_eq!(samples.len(), 10, "{labels}");
        assert!(
            samples.windows(2).all(|w| w[1].0 - w[0].0 == 15_000),
            "{labels}"
        );
    }
    let ended = receiver.ended.lock().unwrap();
    assert_eq!(ended.len(), 1_000, "every series has an end");
    for (labels, end_ms) in ended.iter() {
        assert_eq!(samples[labels][9].0 + 15_000, *end_ms);
    }
}

#[tokio::test]
async fn every_sample_arrives_once_and_in_order() {
    let (receiver, url) = Receiver::start(None).await;
    let report = run(&plan(&url)).await;
    assert_whole(&receiver);
    assert!(report.complete);
    assert_eq!(report.totals.samples_sent, 10_000);
    assert_eq!(report.totals.samples_acknowledged, 10_000);
    assert_eq!(
        report.totals.statuses["204"] as usize,
        receiver.requests.load(Ordering::Relaxed)
    );
    assert_eq!(
        receiver.connections.load(Ordering::Relaxed),
        3,
        "connections are kept alive"
    );
    assert_eq!(
        receiver.metadata.load(Ordering::Relaxed),
        24,
        "types are announced once a minute"
    );
    assert!(
        receiver
            .sizes
            .lock()
            .unwrap()
            .iter()
            .all(|size| *size <= 150)
    );
    let last = receiver
        .samples
        .lock()
        .unwrap()
        .values()
        .map(|s| s[9].0)
        .max()
        .unwrap();
    assert!(last <= SystemClock.now_ms(), "no timestamp from the future");
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["samples_acknowledged"], 10_000);
    assert!(json["latency_seconds"]["p99"].as_f64().unwrap() > 0.0);
    assert!(
        report
            .to_string()
            .contains("10000 sent, 10000 acknowledged, 0 dropped")
    );
}

/// Requests with samples or markers, and the first metadata before them.
const STATUSES: u64 = 22;

#[tokio::test]
async fn refused_for_now_is_sent_again_until_taken() {
    let (receiver, url) = Receiver::start(Some(|number| match number % 4 {
        1 => (503, Some("0")),
        2 => (500, None),
        3 => (429, Some("0")),
        _ => (204, None),
    }))
    .await;
    let plan = Plan {
        connections: 1,
        batch: 500,
        ..plan(&url)
    };
    let report = run(&plan).await;
    assert_whole(&receiver);
    assert!(report.complete);
    assert_eq!(report.totals.statuses["503"], STATUSES);
    assert_eq!(report.totals.statuses["500"], STATUSES);
    assert_eq!(report.totals.statuses["429"], STATUSES);
    assert_eq!(report.totals.retries, 3 * STATUSES);
    let attempts = receiver.attempts.lock().unwrap();
    assert_eq!(
        attempts[..6].to_vec(),
        [
            None,
            None,
            Some("1".into()),
            Some("2".into()),
            Some("3".into()),
            None
        ]
    );
}

#[tokio::test]
async fn refused_for_good_is_dropped_and_told() {
    let (receiver, url) = Receiver::start(Some(|number| {
        if number == 2 {
            (400, None)
        } else {
            (204, None)
        }
    }))
    .await;
    let plan = Plan {
        connections: 1,
        batch: 500,
        ..plan(&url)
    };
    let report = run(&plan).await;
    assert!(!report.complete);
    assert_eq!(report.totals.samples_dropped, 500);
    assert_eq!(report.totals.samples_acknowledged, 9_500);
    assert_eq!(receiver.total(), 9_500);
    assert_eq!(report.totals.last_error.as_deref(), Some("400: busy"));
}

#[tokio::test]
async fn a_wait_that_is_too_long_is_given_up() {
    let (_, url) = Receiver::start(Some(|_| (503, Some("3600")))).await;
    let plan = Plan {
        connections: 1,
        samples: Some(1_000),
        batch: 1_000,
        ..plan(&url)
    };
    let report = run(&plan).await;
    assert!(!report.complete);
    assert_eq!(report.totals.samples_dropped, 1_000);
    assert_eq!(report.totals.retries, 0);
}

#[tokio::test]
async fn nobody_there_is_counted_as_no_answer() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", gone.local_addr().unwrap());
    drop(gone);
    let plan = Plan {
        connections: 1,
        samples: Some(1),
        retry_for: Duration::from_millis(40),
        ..plan(&url)
    };
    let report = run(&plan).await;
    assert!(!report.complete && report.totals.statuses["none"] >= 2);
    assert!(report.totals.last_error.unwrap().contains("onnect"));
}

#[tokio::test]
async fn real_speed_does_not_run_ahead_of_the_clock() {
    let (receiver, url) = Receiver::start(None).await;
    let clock = Arc::new(crate::clock::ManualClock::at(1_790_000_000_000));
    let stop = CancellationToken::new();
    let plan = Plan {
        speed: Speed::Real,
        samples: None,
        connections: 1,
        batch: 1_000,
        ..plan(&url)
    };
    let running = {
        let (clock, stop) = (clock.clone(), stop.clone());
        tokio::spawn(async move { push(&plan, clock, stop).await.unwrap() })
    };
    while receiver.total() < 1_000 {
        tokio::task::yield_now().await;
    }
    clock.set(1_790_000_015_000);
    while receiver.total() < 2_000 {
        tokio::task::yield_now().await;
    }
    stop.cancel();
    let report = running.await.unwrap();
    assert_eq!(
        report.totals.samples_acknowledged, 2_000,
        "two rounds in two intervals"
    );
    let ended = receiver.ended.lock().unwrap();
    assert_eq!(
        ended.len(),
        1_000,
        "a run that is stopped ends its series too"
    );
}

#[tokio::test]
async fn replay_posts_what_was_taken_and_counts_it_itself() {
    let (receiver, url) = Receiver::start(None).await;
    let folder = tempfile::tempdir().unwrap();
    let mut batch = Batch::new(0..30, 1);
    for i in 0..4 {
        let at_ms = 1_790_000_000_000 + i * 15_000;
        let body = batch.round(at_ms, Protocol::V1).unwrap();
        std::fs::write(folder.path().join(format!("0000{i}.snappy")), &body.body).unwrap();
    }
    std::fs::write(folder.path().join("notes.txt"), "not a body").unwrap();
    let retry_for = Duration::from_secs(5);
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let again = |stop| replay(&url, folder.path(), retry_for, Arc::clone(&clock), stop);
    let report = again(CancellationToken::new()).await.unwrap();
    assert_eq!(report.contents.unwrap().samples, 120);
    let index = "{\"file\": \"00001.snappy\", \"replied\": 503}\n{\"file\": \"00002.snappy\", \"replied\": 204}\n";
    std::fs::write(folder.path().join("index.jsonl"), index).unwrap();
    let report = again(CancellationToken::new()).await.unwrap();
    let contents = report.contents.unwrap();
    assert_eq!(
        (contents.bodies, contents.skipped, contents.samples),
        (3, 1, 90)
    );
    assert!(report.complete);
    assert_eq!(report.totals.statuses["204"], 3);
    assert_eq!(receiver.total(), 210);
    let one = receiver
        .samples
        .lock()
        .unwrap()
        .values()
        .next()
        .unwrap()
        .clone();
    assert!(
        one.windows(2).take(3).all(|w| w[0].0 < w[1].0),
        "in the order of names"
    );
    std::fs::write(folder.path().join("00009.snappy"), "junk").unwrap();
    let err = again(CancellationToken::new()).await.unwrap_err();
    assert!(
        err.to_string()
            .contains("00009.snappy is not a write request"),
        "{err}"
    );
}

#[tokio::test]
async fn replay_of_recorded_traffic_agrees_with_the_recorder() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/write-1.0");
    let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let mut expected = Contents::default();
    for line in index.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        if line["replied"].as_u64().unwrap() >= 300 {
            expected.skipped += 1;
            continue;
        }
        let count = |name: &str| line["counts"][name].as_u64().unwrap();
        expected.bodies += 1;
        expected.series += count("series");
        expected.samples += count("samples");
        expected.histograms += count("histograms");
        expected.exemplars += count("exemplars");
        expected.metadata += count("metadata");
    }
    assert!(expected.samples > 0);
    let (receiver, url) = Receiver::start(None).await;
    let stop = CancellationToken::new();
    let clock = Arc::new(SystemClock);
    let report = replay(&url, &folder, Duration::from_secs(5), clock, stop)
        .await
        .unwrap();
    assert_eq!(report.contents, Some(expected));
    assert!(report.complete);
    let markers = receiver.ended.lock().unwrap().len();
    assert_eq!((receiver.total() + markers) as u64, expected.samples);
}

#[tokio::test]
async fn wrong_plans_are_refused() {
    for (url, word) in [
        ("https://x/w", "TLS"),
        ("x", "look like"),
        ("http://", "URL"),
    ] {
        let err = push(&plan(url), Arc::new(SystemClock), CancellationToken::new()).await;
        let err = err.unwrap_err().to_string();
        assert!(err.contains(word), "{url}: {err}");
    }
    let none = Plan {
        connections: 0,
        ..plan("http://x/w")
    };
    let err = push(&none, Arc::new(SystemClock), CancellationToken::new())
        .await
        .unwrap_err();
    assert_eq!(err.to_string(), "--connections 0 is not in 1..=200");
}

/// `cargo test --release --lib push_speed -- --ignored --nocapture` prints samples per second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement, not a test"]
async fn push_speed_against_a_receiver_that_drops_everything() {
    let router = Router::new()
        .route(
            "/api/v1/write",
            post(|body: Bytes| async move {
                assert!(!body.is_empty());
                StatusCode::NO_CONTENT
            }),
        )
        .layer(DefaultBodyLimit::disable());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/api/v1/write", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
                let _ = builder
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    for (series, connections) in [(10_000, 1), (100_000, 1), (100_000, 2)] {
        let mut batches = Plan {
            series,
            connections: 1,
            batch: 2_000,
            ..plan(&url)
        }
        .batches()
        .remove(0);
        let since = std::time::Instant::now();
        let rounds = 2_000_000 / series;
        for i in 0..rounds {
            for batch in &mut batches {
                std::hint::black_box(
                    batch
                        .round(1_790_000_000_000 + i as i64, Protocol::V1)
                        .unwrap(),
                );
            }
        }
        let made = (rounds * series) as f64 / since.elapsed().as_secs_f64();
        let plan = Plan {
            series,
            connections,
            batch: 2_000,
            samples: Some(4_000_000),
            ..plan(&url)
        };
        let report = run(&plan).await;
        assert!(report.complete);
        println!(
            "{series} series, {connections} connections: bodies alone {made:.0} samples/s on one core"
        );
        println!("{report}");
    }
}
