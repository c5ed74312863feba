//! A receiver's task against a receiver that answers by a script, over a real queue.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Mutex;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use prost::Message as _;

use super::*;
use crate::clock::ManualClock;
use crate::engine::tap::{Row, Rows};
use crate::output::queue::{Queue, ReaderSpec, Writer};
use crate::output::transport::Answer;
use crate::series::labels;
use crate::telemetry::Metrics;
use crate::wire::proto;
use crate::wire::snappy::BodyPool;
use crate::wire::write::is_stale;

/// Statuses of the next answers, then 204; 0: no answer, -1: none ever.
#[derive(Clone, Default)]
struct Script {
    next: Arc<Mutex<VecDeque<i32>>>,
    posts: Arc<Mutex<Vec<Bytes>>>,
    taken: Arc<Mutex<Vec<Bytes>>>,
}

impl Transport for Script {
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        assert_eq!(headers["x-prometheus-remote-write-version"], "0.1.0");
        self.posts.lock().unwrap().push(body.clone());
        let next = self.next.lock().unwrap().pop_front().unwrap_or(204);
        if next < 0 {
            std::future::pending::<()>().await;
        }
        if next == 0 {
            return Err("connection closed".to_owned());
        }
        if next < 300 {
            self.taken.lock().unwrap().push(body);
        }
        Ok(Answer {
            status: StatusCode::from_u16(next as u16).unwrap(),
            headers: HeaderMap::new(),
            text: String::new(),
        })
    }

    async fn pause(&self, _: Duration) {
        tokio::task::yield_now().await;
    }
}

fn read(body: &[u8]) -> proto::WriteRequest {
    let raw = BodyPool::new(1).decompress(body, 1 << 20).unwrap();
    proto::WriteRequest::decode(&raw[..]).unwrap()
}

fn samples(bodies: &[Bytes]) -> Vec<(String, i64, f64)> {
    let mut out = Vec::new();
    for body in bodies {
        let request = read(body);
        for series in request.timeseries {
            let n = series.labels.iter().find(|l| l.name == "n").unwrap();
            let sample = &series.samples[0];
            out.push((n.value.clone(), sample.timestamp, sample.value));
        }
    }
    out
}

/// Every series has these times, each once and in order.
fn assert_whole(taken: &[Bytes], series: usize, times: &[i64]) {
    let mut all: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    for (n, t_ms, _) in samples(taken) {
        all.entry(n).or_default().push(t_ms);
    }
    assert_eq!(all.len(), series);
    for (n, got) in all {
        assert_eq!(got, times, "{n}");
    }
}

struct Bench {
    script: Script,
    config: RemoteWriteConfig,
    metrics: Metrics,
    writer: Writer,
    forward: Forward<Script>,
    stop: CancellationToken,
}

fn bench(dir: &Path, tune: impl FnOnce(&mut RemoteWriteConfig)) -> Bench {
    let mut config = RemoteWriteConfig {
        name: Some("r".to_owned()),
        ..RemoteWriteConfig::default()
    };
    config.metadata_config.send = false;
    config.queue_config.max_samples_per_send = 10;
    config.queue_config.batch_send_deadline = Duration::ZERO;
    tune(&mut config);
    let metrics = Metrics::new();
    let spec = ReaderSpec {
        name: config.shown_name(),
        limit: 1 << 30,
    };
    let (writer, mut readers) = Queue::open(dir, &[spec], u64::MAX, &metrics.output).unwrap();
    let (script, stop) = (Script::default(), CancellationToken::new());
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_000_000));
    let forward = Forward::over(
        &script,
        &config,
        readers.remove(0),
        &metrics.output,
        &clock,
        &stop,
    )
    .unwrap();
    Bench {
        script,
        config,
        metrics,
        writer,
        forward,
        stop,
    }
}

impl Bench {
    /// A score of each of these series at each time; 2.0 is the end of the series.
    fn write(&mut self, series: usize, times: &[i64], score: f32) {
        for t_ms in times {
            let labels: Vec<_> = (0..series)
                .map(|n| labels::encode([("__name__", "m"), ("n", &*n.to_string())]))
                .collect();
            let rows = labels.iter().map(|labels| Row {
                labels,
                t_ms: *t_ms,
                score: (score < 1.0).then_some(score),
                extra: None,
                bounds: None,
            });
            self.writer.append(&Rows::of(1, rows)).unwrap();
        }
    }

    fn answers(&self, next: &[i32]) {
        self.script.next.lock().unwrap().extend(next);
    }

    /// Runs to the end of the queue.
    async fn drain(self) -> (Script, Metrics) {
        self.stop.cancel();
        self.forward.run().await;
        (self.script, self.metrics)
    }

    fn taken(&self) -> Vec<Bytes> {
        self.script.taken.lock().unwrap().clone()
    }
}

fn counted(metrics: &Metrics, begins: &str) -> f64 {
    let page = metrics.openmetrics();
    let lines = page.lines().filter(|l| l.starts_with(begins));
    lines
        .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[tokio::test]
async fn all_of_it_arrives_once_and_in_order_whatever_fails_on_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(dir.path(), |_| {});
    let times: Vec<i64> = (0..20).collect();
    bench.write(30, &times, 0.5);
    let failures: Vec<i32> = (0..150).map(|i| [503, 0, 204, 429, 204][i % 5]).collect();
    bench.answers(&failures);
    let run = tokio::spawn(bench.forward.run());
    while samples(&bench.script.taken.lock().unwrap()).len() < 600 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.stop.cancel();
    run.await.unwrap();
    let taken = bench.script.taken.lock().unwrap().clone();
    assert_whole(&taken, 30, &times);
    assert!(
        taken
            .iter()
            .all(|body| samples(std::slice::from_ref(body)).len() <= 10)
    );
    assert_eq!(
        counted(&bench.metrics, "saimon_output_samples_total"),
        600.0
    );
    assert_eq!(counted(&bench.metrics, "saimon_output_dropped_total"), 0.0);
    assert!(counted(&bench.metrics, "saimon_output_retries_total") > 10.0);
    assert_eq!(counted(&bench.metrics, "saimon_output_pending_rows"), 0.0);
}

#[tokio::test]
async fn what_was_under_way_when_it_was_killed_is_sent_again_in_the_same_requests() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = bench(dir.path(), |_| {});
    first.write(30, &[1, 2], 0.5);
    // One lane is answered, the others never are.
    first.answers(&[204, -1, -1, -1, -1, -1, -1]);
    let run = tokio::spawn(first.forward.run());
    while first.script.posts.lock().unwrap().len() < 4 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    run.abort();
    let _ = run.await;
    let before = first.script.posts.lock().unwrap().clone();
    drop(first.writer);
    // With other settings, and with more behind it in the queue.
    let mut second = bench(dir.path(), |c| c.queue_config.max_shards = 2);
    second.write(30, &[3], 0.5);
    let (script, _) = second.drain().await;
    let after = script.taken.lock().unwrap().clone();
    for body in &before {
        assert!(after.contains(body), "a request is not the same");
    }
    assert_whole(&after, 30, &[1, 2, 3]);
}

#[tokio::test]
async fn what_a_receiver_does_not_take_at_the_stop_waits_on_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = bench(dir.path(), |_| {});
    first.write(5, &[1, 2], 0.5);
    first.answers(&[503; 50]);
    let (script, metrics) = first.drain().await;
    assert!(script.taken.lock().unwrap().is_empty());
    assert_eq!(counted(&metrics, "saimon_output_dropped_total"), 0.0);
    let (script, _) = bench(dir.path(), |_| {}).drain().await;
    assert_whole(&script.taken.lock().unwrap(), 5, &[1, 2]);
}

#[tokio::test]
async fn what_is_refused_for_good_is_counted_and_what_comes_after_it_is_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(dir.path(), |c| {
        c.queue_config.max_shards = 1;
        c.queue_config.retry_on_http_429 = false;
    });
    bench.write(10, &[1, 2, 3], 0.5);
    bench.answers(&[400, 429, 204]);
    let (script, metrics) = bench.drain().await;
    assert_whole(&script.taken.lock().unwrap(), 10, &[3]);
    let refused = "saimon_output_dropped_total{receiver=\"r\",reason=\"refused\"}";
    assert_eq!(counted(&metrics, refused), 20.0);
    let of = |code: u16| format!("saimon_output_requests_total{{receiver=\"r\",code=\"{code}\"}}");
    let answers = [400, 429, 204].map(|code| counted(&metrics, &of(code)));
    assert_eq!(answers, [1.0; 3]);
}

#[tokio::test]
async fn old_samples_low_scores_and_ends() {
    let dir = tempfile::tempdir().unwrap();
    // The clock says 1000 s.
    let mut bench = bench(dir.path(), |c| {
        c.queue_config.sample_age_limit = Duration::from_secs(10);
        c.queue_config.max_shards = 1;
        c.min_score = 0.5;
    });
    bench.write(2, &[989_000], 0.9);
    for (t_ms, score) in [
        (991_000, 0.9),
        (992_000, 0.1),
        (993_000, 0.1),
        (994_000, 0.5),
    ] {
        bench.write(1, &[t_ms], score);
    }
    bench.write(2, &[995_000], 2.0);
    let (script, metrics) = bench.drain().await;
    let all = samples(&script.taken.lock().unwrap());
    let of = |n: &str| -> Vec<(i64, bool)> {
        let of = all.iter().filter(|s| s.0 == n);
        of.map(|s| (s.1, is_stale(s.2))).collect()
    };
    let expected = [
        (991_000, false),
        (992_000, true),
        (994_000, false),
        (995_000, true),
    ];
    assert_eq!(of("0"), expected);
    assert_eq!(of("1"), [(995_000, true)]);
    assert_eq!(
        counted(
            &metrics,
            "saimon_output_dropped_total{receiver=\"r\",reason=\"age\"}"
        ),
        2.0
    );
    assert_eq!(
        counted(&metrics, "saimon_output_newest_timestamp_seconds"),
        994.0
    );
}

#[tokio::test]
async fn metrics_are_announced_before_their_samples() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = bench(dir.path(), |c| c.metadata_config.send = true);
    bench.write(1, &[1], 0.5);
    let interval = bench.config.metadata_config.send_interval;
    assert_eq!(interval, Duration::from_secs(60));
    assert_eq!(bench.taken().len(), 0);
    let (script, _) = bench.drain().await;
    let taken = script.taken.lock().unwrap();
    let request = read(&taken[0]);
    let metadata = &request.metadata[0];
    assert_eq!(metadata.metric_family_name, "saimon_anomaly_score");
    assert_eq!(metadata.r#type, 2);
    assert!(metadata.help.contains("0.7"));
    assert_eq!(samples(&taken[1..]).len(), 1);
}
