//! A whole saimon without its command line, and requests to it.

#![allow(dead_code, reason = "sections use different parts of it")]

#[path = "support/clock.rs"]
pub(crate) mod clock;
#[path = "support/histogram.rs"]
pub(crate) mod histogram;
#[path = "support/kept.rs"]
pub(crate) mod kept;
#[path = "support/raw.rs"]
pub(crate) mod raw;
#[path = "support/v1.rs"]
pub(crate) mod v1;
#[path = "support/v2.rs"]
pub(crate) mod v2;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::sync::{Mutex, PoisonError};

use saimon::clock::Clock;
pub(crate) use saimon::config::{DetectConfig, LimitsConfig, ReadConfig};
use saimon::engine::ask::Reader;
use saimon::engine::keep::Kept;
use saimon::engine::pool::{EngineSpec, Pool};
use saimon::engine::rules::Rules;
use saimon::engine::shard::Message;
use saimon::expose::{Health, State};
use saimon::telemetry::Metrics;
use tokio_util::sync::CancellationToken;

use self::clock::GateClock;
use self::kept::Store;
#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use self::kept::{Held, labels};
#[allow(unused_imports, reason = "each test binary uses a part of it")]
pub(crate) use crate::client::{Client, Response, WRITE_HEADERS, snappy};
use crate::listening::{Listening, listen};

/// What the server's clock says at first.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// What a test may choose.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) limits: LimitsConfig,
    pub(crate) detect: DetectConfig,
    pub(crate) read: ReadConfig,
    pub(crate) shards: usize,
}

/// A running saimon.
pub(crate) struct Saimon {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Arc<GateClock>,
    pub(crate) health: Arc<Health>,
    senders: Vec<tokio::sync::mpsc::Sender<Message>>,
    /// What the shards hand over; locked for as long as that takes.
    kept: Mutex<Receiver<Kept>>,
    store: Store,
    reader: Reader,
    shutdown: CancellationToken,
    /// Ends with the test; requests under way are dropped with it.
    runtime: tokio::runtime::Runtime,
}

impl Saimon {
    /// With the defaults and three shards.
    pub(crate) fn start() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(tune: impl FnOnce(&mut Setup)) -> Self {
        let mut setup = Setup {
            limits: LimitsConfig::default(),
            detect: DetectConfig::default(),
            read: ReadConfig::default(),
            shards: 3,
        };
        tune(&mut setup);
        let metrics = Arc::new(Metrics::new());
        let clock = Arc::new(GateClock::at(NOW_MS));
        let shared: Arc<dyn Clock> = clock.clone();
        let spec = EngineSpec {
            shards: setup.shards,
            series_max: setup.limits.series,
            queue_max: setup.limits.queue_batches as usize,
            families_max: setup.limits.metadata_families as usize,
            forget_ms: 7 * 86_400_000,
            keeps: true,
            wants_history: false,
        };
        let rules = Rules::try_from(&setup.detect).unwrap();
        let (to_store, kept) = sync_channel(1024);
        let engine = Pool::new(&spec, rules, &metrics)
            .start(Some(&to_store), &shared)
            .unwrap();
        let health = Arc::new(Health::default());
        health.set_ready();
        let store = Store::default();
        let reader = Reader::new(engine.senders.clone(), Some(Arc::new(store.clone())));
        let state = State {
            router: engine.router.clone(),
            reader: reader.clone(),
            board: Arc::clone(&engine.board),
            metrics,
            limits: Arc::new(setup.limits),
            read: Arc::new(setup.read),
            groups: Arc::default(),
            clock: shared,
            health: Arc::clone(&health),
            api: Arc::default(),
        };
        let Listening {
            address,
            shutdown,
            runtime,
            ..
        } = listen(state);
        Self {
            address,
            clock,
            health,
            senders: engine.senders,
            kept: Mutex::new(kept),
            store,
            reader,
            shutdown,
            runtime,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Response {
        self.connect().get(path, headers)
    }

    /// One 1.0 request on a connection of its own.
    pub(crate) fn write(&self, request: &v1::Request) -> Response {
        self.connect().post(WRITE_HEADERS, &request.body())
    }

    /// One 2.0 request on a connection of its own.
    pub(crate) fn write_v2(&self, request: &v2::Request) -> Response {
        self.connect().post(v2::HEADERS, &request.body())
    }

    /// Tells every shard the time, as the program does once a second; twenty times, because a shard
    /// looks at a share of its series each time.
    pub(crate) fn tick(&self) {
        for _ in 0..20 {
            for sender in &self.senders {
                let now_ms = self.clock.now_ms();
                sender.blocking_send(Message::Tick { now_ms }).unwrap();
            }
        }
    }

    /// Ends the shards under the running server, as nothing but a defect does.
    pub(crate) fn stop_shards(&self) {
        for sender in &self.senders {
            let _ = sender.blocking_send(Message::Stop);
            while !sender.is_closed() {
                std::thread::yield_now();
            }
        }
    }

    /// Waits until every shard has taken what was handed to it, and gives all series with all that
    /// is held of them, by canonical labels as text.
    pub(crate) fn held(&self) -> BTreeMap<String, Held> {
        self.settle();
        self.runtime.block_on(self.store.held(&self.reader))
    }

    /// Waits until every shard has taken what was handed to it.
    fn settle(&self) {
        let inbox = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in &self.senders {
            let order = Message::Checkpoint {
                seq: 0,
                wholes: None,
            };
            sender.blocking_send(order).unwrap();
        }
        let mut done = 0;
        while done < self.senders.len() {
            match inbox.recv().unwrap() {
                Kept::Cut(cut) => cut.groups.into_iter().for_each(|g| self.store.take(g)),
                Kept::Families(_) => {}
                Kept::Done { .. } => done += 1,
            }
        }
    }

    /// Samples of one series in order of time as (milliseconds, bits); none if it is not known.
    pub(crate) fn samples(&self, series: &str) -> Vec<(i64, u64)> {
        self.held()
            .remove(series)
            .map_or_else(Vec::new, |h| h.samples)
    }

    /// What `/metrics` says now, after all shards have taken what was handed to them.
    pub(crate) fn counters(&self) -> Counters {
        self.settle();
        Counters::read(self.get("/metrics", "").text())
    }

    /// `/metrics/scores`, after all shards have taken what was handed to them.
    pub(crate) fn scores(&self) -> String {
        self.settle();
        self.get("/metrics/scores", "").text().to_owned()
    }
}

impl Drop for Saimon {
    fn drop(&mut self) {
        self.clock.open();
        self.shutdown.cancel();
    }
}

/// A page of `/metrics`.
pub(crate) struct Counters(BTreeMap<String, f64>);

impl Counters {
    pub(crate) fn read(page: &str) -> Self {
        let lines = page.lines().filter(|l| !l.starts_with('#'));
        let pairs = lines.filter_map(|l| l.rsplit_once(' '));
        Self(
            pairs
                .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
                .collect(),
        )
    }

    /// Sum of all series whose text begins so.
    pub(crate) fn sum(&self, begins: &str) -> u64 {
        let found = self.0.iter().filter(|(name, _)| name.starts_with(begins));
        found.map(|(_, value)| *value as u64).sum()
    }

    /// Samples with this outcome, of either protocol.
    pub(crate) fn outcome(&self, outcome: &str) -> u64 {
        self.with_outcome("saimon_ingest_samples_total{", outcome)
    }

    fn with_outcome(&self, begins: &str, outcome: &str) -> u64 {
        let label = format!("outcome=\"{outcome}\"");
        let has = |name: &String| name.starts_with(begins) && name.contains(&label);
        let found = self.0.iter().filter(|(name, _)| has(name));
        found.map(|(_, value)| *value as u64).sum()
    }

    /// All outcomes that are not 0.
    pub(crate) fn outcomes(&self) -> Vec<(&'static str, u64)> {
        saimon::telemetry::Outcome::ALL
            .iter()
            .map(|o| (o.as_str(), self.outcome(o.as_str())))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    pub(crate) fn exemplars(&self) -> u64 {
        self.sum("saimon_ingest_exemplars_total")
    }

    /// Native histograms, whatever became of them.
    pub(crate) fn histograms(&self) -> u64 {
        self.sum("saimon_ingest_histograms_total")
    }

    /// Native histograms with this outcome, of either protocol.
    pub(crate) fn histogram_outcome(&self, outcome: &str) -> u64 {
        self.with_outcome("saimon_ingest_histograms_total{", outcome)
    }
}

/// The bits of values, to compare with what is held.
pub(crate) fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|(t, v)| (*t, v.to_bits())).collect()
}
