//! What was written is what is read, over the whole retention: a house with a real store, written to
//! and read over HTTP, against plain maps.

#[path = "support/client.rs"]
mod client;
#[path = "support/listening.rs"]
mod listening;
#[path = "support/reading.rs"]
mod reading;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use client::Client;
use listening::{Listening, listen};
use saimon::clock::{Clock, ManualClock};
use saimon::config::{DetectConfig, LimitsConfig, RuleConfig, StoreConfig};
use saimon::engine::keep::PastChunks;
use saimon::engine::pool::{Engine, EngineSpec, Pool};
use saimon::engine::rules::Rules;
use saimon::engine::shard::Sleep;
use saimon::expose::{Health, State};
use saimon::series::labels;
use saimon::store::Store;
use saimon::store::writer::{self, KEPT_MAX, WriterHandle, WriterParts};
use saimon::telemetry::Metrics;
use saimon::wire::proto;
use tokio_util::sync::CancellationToken;

const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const START_MS: i64 = 1_700_000_000_000;

fn detect() -> DetectConfig {
    let rule = |selector: &str, window: u64, rollups: u64| RuleConfig {
        selector: selector.to_owned(),
        window: Some(Duration::from_secs(window * 3600)),
        rollups: Some(Duration::from_secs(rollups * 3600)),
        ..RuleConfig::default()
    };
    DetectConfig {
        warmup: 20,
        rules: vec![
            rule("{kept=\"long\"}", 60, 0),
            rule("{kept=\"short\"}", 6, 60),
        ],
        ..DetectConfig::default()
    }
}

struct House {
    engine: Engine,
    writer: WriterHandle,
    store: Store,
    client: Client,
    metrics: Arc<Metrics>,
    clock: Arc<ManualClock>,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
}

impl House {
    fn start(dir: &Path, shards: usize, now_ms: i64) -> Self {
        let config = StoreConfig::default();
        let metrics = Arc::new(Metrics::new());
        let clock = Arc::new(ManualClock::at(now_ms));
        let store = Store::open(&dir.join("store"), &config, &metrics, now_ms).unwrap();
        let store = store.store;
        let spec = EngineSpec {
            shards,
            series_max: 1000,
            queue_max: 64,
            families_max: 100,
            forget_ms: 7 * 24 * HOUR_MS,
            keeps: true,
            wants_history: false,
        };
        let mut pool = Pool::new(&spec, Rules::try_from(&detect()).unwrap(), &metrics);
        pool.lull(&Sleep {
            store: Arc::new(store.clone()),
            idle_ms: HOUR_MS,
        });
        let loaded = store.groups(|id, state, newest_ms| {
            pool.restore(id, state, newest_ms, now_ms).unwrap();
        });
        assert_eq!((loaded.skipped, loaded.stopped), (0, None));
        let (sender, kept) = sync_channel(KEPT_MAX);
        let shared: Arc<dyn Clock> = clock.clone();
        let engine = pool.start(Some(&sender), &shared).unwrap();
        let writer = writer::spawn(WriterParts {
            store: store.clone(),
            config: StoreConfig {
                checkpoint: Duration::from_secs(3600),
                ..config
            },
            router: engine.router.clone(),
            log: None,
            kept,
            clock: Arc::clone(&shared),
            metrics: Arc::clone(&metrics),
        })
        .unwrap();
        let past: Arc<dyn PastChunks> = Arc::new(store.clone());
        let state = State {
            router: engine.router.clone(),
            reader: engine.reader(Some(past)),
            board: Arc::clone(&engine.board),
            metrics: Arc::clone(&metrics),
            limits: Arc::new(LimitsConfig::default()),
            read: Arc::default(),
            groups: Arc::default(),
            clock: shared,
            health: Arc::new(Health::default()),
            api: Arc::default(),
        };
        let Listening {
            address,
            shutdown,
            served,
            runtime,
        } = listen(state);
        Self {
            engine,
            writer,
            store,
            client: Client::connect(address),
            metrics,
            clock,
            shutdown,
            served,
            runtime,
        }
    }

    fn stop(self) {
        self.shutdown.cancel();
        drop(self.client);
        self.runtime.block_on(self.served).unwrap();
        drop(self.runtime);
        self.writer.stop().unwrap();
        self.engine.join();
        drop(self.store);
    }

    /// Lets every shard look at all of its series.
    fn tick(&self, now_ms: i64) {
        Engine::tick(&self.engine.senders, now_ms);
    }

    fn read(&mut self, accepted: i32, query: proto::Query) -> Vec<reading::Series> {
        let request = reading::request(&[accepted], vec![query]);
        let answer = reading::ask(&mut self.client, &request);
        let mut series = match accepted {
            reading::SAMPLES => reading::samples(&answer).remove(0),
            _ => reading::chunks(&answer, &request.queries).remove(0),
        };
        series.retain(|(_, samples)| !samples.is_empty());
        series.sort();
        series
    }
}

/// A series, how long its samples must be there, and what was written.
struct Written {
    labels: Vec<(&'static str, String)>,
    window_ms: i64,
    every_ms: i64,
    samples: BTreeMap<i64, u64>,
    /// Nothing is sent before.
    idle_until_ms: i64,
}

fn series(i: usize) -> Written {
    let (kept, window) = [("usual", 24), ("long", 60), ("short", 6)][i % 3];
    Written {
        labels: vec![
            // Some have no model.
            (
                "__name__",
                if i % 5 == 4 { "build_info" } else { "m" }.to_owned(),
            ),
            ("instance", format!("host-{i}:9100")),
            ("kept", kept.to_owned()),
        ],
        window_ms: window * HOUR_MS,
        every_ms: [15_000, 60_000, 7_001][i % 7 % 3],
        samples: BTreeMap::new(),
        idle_until_ms: 0,
    }
}

/// Decimals, results of divisions, and every odd bit pattern there is.
fn value(i: usize, rng: &mut fastrand::Rng) -> f64 {
    match (i % 4, rng.u8(..)) {
        (_, 0) => f64::from_bits(0x7ff0_0000_0000_0002),
        (_, 1) => f64::from_bits(0x7ff8_0000_0000_0000 | rng.u64(..1 << 40)),
        (_, 2) => -0.0,
        (_, 3) => f64::NEG_INFINITY,
        (_, 4) => f64::from_bits(rng.u64(..)),
        (0, _) => f64::from(rng.u16(..)) / 100.0,
        (1, _) => rng.f64() / 3.0,
        (2, n) => f64::from(n / 200),
        _ => (rng.u64(..1 << 40)) as f64,
    }
}

/// A sample of a series' message, by hand: prost leaves -0.0 out.
fn put_sample(t_ms: i64, value: f64, out: &mut Vec<u8>) {
    let mut sample = vec![0x09];
    sample.extend(value.to_le_bytes());
    sample.push(0x10);
    prost::encoding::encode_varint(t_ms as u64, &mut sample);
    out.push(0x12);
    prost::encode_length_delimiter(sample.len(), out).unwrap();
    out.extend(sample);
}

/// Sends what is due since `from_ms`, a request of many series at a time.
fn write(
    house: &mut House,
    all: &mut [Written],
    from_ms: i64,
    to_ms: i64,
    rng: &mut fastrand::Rng,
) {
    house.clock.set(to_ms);
    let mut request = Vec::new();
    for (i, series) in all.iter_mut().enumerate() {
        if to_ms < series.idle_until_ms {
            continue;
        }
        let newest = series.samples.last_key_value().map_or(from_ms, |(t, _)| *t);
        let mut t = newest.max(from_ms) + series.every_ms - i64::from(rng.u8(..4));
        let mut message = labels::encode(series.labels.iter().map(|(n, v)| (*n, v.as_str())));
        while t <= to_ms {
            let value = value(i, rng);
            series.samples.insert(t, value.to_bits());
            put_sample(t, value, &mut message);
            t += series.every_ms + i64::from(rng.u8(..3));
        }
        request.push(0x0a);
        prost::encode_length_delimiter(message.len(), &mut request).unwrap();
        request.extend(message);
    }
    let body = client::snappy(&request);
    assert_eq!(house.client.post(client::WRITE_HEADERS, &body).status, 204);
}

fn compare(house: &mut House, all: &[Written], now_ms: i64, rng: &mut fastrand::Rng) {
    for window in [24, 60, 6] {
        let oldest = now_ms - window * HOUR_MS;
        let from = if rng.bool() {
            oldest
        } else {
            rng.i64(oldest..=now_ms)
        };
        let to = if rng.bool() {
            now_ms
        } else {
            rng.i64(from..=now_ms)
        };
        let kept = [(24, "usual"), (60, "long"), (6, "short")];
        let kept = kept.iter().find(|k| k.0 == window).unwrap().1;
        let mut want: Vec<reading::Series> = all
            .iter()
            .filter(|s| s.window_ms == window * HOUR_MS)
            .map(|s| {
                let pairs = s.labels.iter().map(|(n, v)| (*n, v.as_str()));
                let samples = s.samples.range(from..=to).map(|(t, v)| (*t, *v));
                (labels::display(&labels::encode(pairs)), samples.collect())
            })
            .filter(|(_, samples): &reading::Series| !samples.is_empty())
            .collect();
        want.sort();
        for accepted in [reading::SAMPLES, reading::CHUNKS] {
            let query = reading::query(&[("kept", "=", kept)], from, to);
            let got = house.read(accepted, query);
            let names = |s: &[reading::Series]| s.iter().map(|s| s.0.clone()).collect::<Vec<_>>();
            assert_eq!(names(&got), names(&want));
            for (got, want) in got.iter().zip(&want) {
                let differs = got.1.iter().zip(&want.1).find(|(a, b)| a != b);
                assert!(
                    got == want,
                    "{}: {} samples where {} were written, {differs:x?} of {from}..{to}",
                    got.0,
                    got.1.len(),
                    want.1.len()
                );
            }
        }
    }
}

/// Runs a house through days: requests, hours of silence, checkpoints, restarts, each at random.
fn days(seed: u64, steps: usize) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let dir = tempfile::tempdir().unwrap();
    let mut now_ms = START_MS;
    let mut house = House::start(dir.path(), 2, now_ms);
    let mut all: Vec<Written> = (0..30).map(series).collect();
    let (mut slept, mut woken) = (0, 0);
    for _ in 0..steps {
        let before = now_ms;
        match rng.u8(..10) {
            0..6 => {
                now_ms += rng.i64(1..90) * MINUTE_MS;
                write(&mut house, &mut all, before, now_ms, &mut rng);
            }
            6 => {
                // Some fall silent; those that do for long go to sleep.
                for series in &mut all {
                    if rng.u8(..) < 60 {
                        series.idle_until_ms = now_ms + rng.i64(0..6) * HOUR_MS;
                    }
                }
            }
            7 => assert!(house.writer.checkpoint_now()),
            8 => {
                slept += house.metrics.memory.slept.get();
                woken += house.metrics.memory.woken.get();
                house.stop();
                house = House::start(dir.path(), rng.usize(1..4), now_ms);
            }
            _ => compare(&mut house, &all, now_ms, &mut rng),
        }
        house.tick(now_ms);
    }
    compare(&mut house, &all, now_ms, &mut rng);
    slept += house.metrics.memory.slept.get();
    woken += house.metrics.memory.woken.get();
    assert!(slept > 0 && woken > 0, "{slept} slept, {woken} woke");
    assert!(now_ms - START_MS > 60 * HOUR_MS, "raw samples left");
    // What rules keep longer is there longer, what they keep shorter is not.
    house.stop();
}

#[test]
fn remote_read_returns_what_was_written_over_the_whole_retention() {
    for seed in [1, 2] {
        days(seed, 160);
    }
}
