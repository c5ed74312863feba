//! A saimon that can be killed at any request, with a store that is a map in memory.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use saimon::clock::ManualClock;
use saimon::config::{DetectConfig, ForestConfig, LimitsConfig, SyncMode};
use saimon::engine::ask::Reader;
use saimon::engine::journal::{Journal, WhenFull};
use saimon::engine::keep::{Appendix, ClosedChunk, Cut, Family, GroupId, PARTITIONS};
use saimon::engine::pool::{EngineSpec, Pool};
use saimon::engine::router::Router;
use saimon::engine::rules::Rules;
use saimon::engine::shard::{Message, Shard};
use saimon::expose::{Health, Replay, State};
use saimon::score::board::Board;
use saimon::store::log::files::{Dir, Files};
use saimon::store::log::options::Options;
use saimon::store::log::{Log, Replayed};
use saimon::telemetry::Metrics;
use saimon::telemetry::durable::LogMetrics;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::listening::{Listening, listen};

/// What is on the disk of the store: partitions as they were cut.
#[derive(Debug, Clone, Default)]
pub(crate) struct Disk {
    cuts: BTreeMap<u8, u64>,
    groups: BTreeMap<GroupId, (Vec<u8>, i64)>,
    appendices: BTreeMap<GroupId, Vec<Appendix>>,
    chunks: BTreeMap<GroupId, Vec<ClosedChunk>>,
    families: Vec<Family>,
    through: u64,
}

impl Disk {
    fn take(&mut self, cut: Cut) {
        self.cuts.insert(cut.partition, cut.seq);
        for group in cut.groups {
            if group.state.is_empty() {
                self.groups.remove(&group.id);
                self.appendices.remove(&group.id);
                self.chunks.remove(&group.id);
            } else {
                self.groups.insert(group.id, (group.state, group.newest_ms));
                let appendices = self.appendices.entry(group.id).or_default();
                for given in group.appendices {
                    let of = (given.position, given.part);
                    appendices.retain(|a| (a.position, a.part) != of);
                    appendices.push(given);
                }
                appendices.retain(|a| !a.bytes.is_empty());
                let chunks = self.chunks.entry(group.id).or_default();
                chunks.extend(group.chunks.iter().cloned());
            }
        }
    }

    fn covered(&self) -> [u64; PARTITIONS] {
        let mut covered = [self.through; PARTITIONS];
        for (partition, seq) in &self.cuts {
            let at = &mut covered[usize::from(*partition)];
            *at = (*at).max(*seq);
        }
        covered
    }
}

/// Everything that is kept of all series: by group its state, its newest sample, and its finished
/// chunks.
pub(crate) type Held = BTreeMap<GroupId, (Vec<u8>, i64, Vec<ClosedChunk>)>;

pub(crate) struct Process {
    shards: Vec<Shard>,
    inboxes: Vec<mpsc::Receiver<Message>>,
    pub(crate) router: Router,
    pub(crate) log: Option<Arc<Log>>,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) replayed: Replayed,
    client: Client,
    address: SocketAddr,
    shutdown: CancellationToken,
    served: tokio::task::JoinHandle<()>,
    runtime: tokio::runtime::Runtime,
}

pub(crate) fn detect() -> DetectConfig {
    DetectConfig {
        warmup: 20,
        young: 60,
        forest: ForestConfig {
            min_points: 30,
            rows: 64,
            gate: 0.0,
            ..ForestConfig::default()
        },
        ..DetectConfig::default()
    }
}

/// For tests that no power cut comes up in.
pub(crate) fn unsynced() -> Options {
    Options {
        sync: SyncMode::Never,
        ..Options::default()
    }
}

fn pool(shards: usize, metrics: &Arc<Metrics>) -> Pool {
    let spec = EngineSpec {
        shards,
        series_max: 100_000,
        queue_max: 1,
        families_max: 1000,
        forget_ms: 7 * 86_400_000,
        keeps: true,
        wants_history: false,
    };
    Pool::new(&spec, Rules::try_from(&detect()).unwrap(), metrics)
}

impl Process {
    /// Starts with what is on `disk` and in the log, if there is one: a folder of real files.
    pub(crate) fn start(shards: usize, disk: &Disk, log: Option<&Path>) -> Self {
        let files = log.map(|dir| Box::new(Dir::open(dir).unwrap()) as Box<dyn Files>);
        Self::start_on(shards, disk, files, unsynced(), WhenFull::Refuse)
    }

    pub(crate) fn start_on(
        shards: usize,
        disk: &Disk,
        files: Option<Box<dyn Files>>,
        mut options: Options,
        when_full: WhenFull,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let covered = disk.covered();
        options.covered = covered.iter().copied().max().unwrap_or(0);
        let log = files.map(|files| {
            let opened = Log::open(files, options, Arc::new(LogMetrics::default()));
            Arc::new(opened.unwrap().0)
        });
        let mut pool = pool(shards, &metrics);
        pool.resume(&covered, disk.through, &disk.families);
        for (id, (state, newest_ms)) in &disk.groups {
            let appendices = disk.appendices.get(id).cloned().unwrap_or_default();
            pool.appendices(*id, appendices);
            pool.restore(*id, state, *newest_ms, 0).unwrap();
        }
        let board = Arc::clone(&pool.board);
        let (senders, inboxes) = (0..shards).map(|_| mpsc::channel(256)).unzip();
        let senders: Vec<mpsc::Sender<Message>> = senders;
        let journal = log.clone().map(|log| log as Arc<dyn Journal>);
        let recovering = journal.is_some();
        let router =
            Router::new(senders.clone()).journaled(journal, when_full, disk.through, recovering);
        let clock = Arc::new(ManualClock::at(0));
        let state = State {
            reader: Reader::new(senders, None),
            read: Arc::default(),
            groups: Arc::default(),
            router: router.clone(),
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
            limits: Arc::new(LimitsConfig::default()),
            clock: Arc::clone(&clock) as _,
            health: Arc::new(Health::default()),
            api: Arc::default(),
        };
        let Listening {
            address,
            shutdown,
            served,
            runtime,
        } = listen(state);
        let mut process = Self {
            shards: pool.into_shards(),
            inboxes,
            router,
            log,
            board,
            metrics,
            clock,
            replayed: Replayed::default(),
            client: Client::connect(address),
            address,
            shutdown,
            served,
            runtime,
        };
        if let Some(log) = process.log.clone() {
            assert_eq!(
                process
                    .client
                    .post(crate::client::WRITE_HEADERS, b"x")
                    .status,
                503,
                "not before it has recovered"
            );
            process.recover(&log, disk, &covered);
        }
        process
    }

    fn recover(&mut self, log: &Log, disk: &Disk, covered: &[u64; PARTITIONS]) {
        let router = self.router.clone();
        let replay = Replay::new(&LimitsConfig::default(), &router, covered);
        let record = |seq, kind, payload: &[u8]| {
            replay.take(seq, kind, payload).unwrap();
            self.drain();
        };
        self.replayed = log.replay(disk.through + 1, record, |_, _| {}).unwrap();
        let newest = covered.iter().copied().max().unwrap_or(0);
        router.passed(log.last_seq().max(newest));
        router.recovered();
    }

    /// Posts one body; gives the status.
    pub(crate) fn post(&mut self, headers: &str, body: &[u8], now_ms: i64) -> u16 {
        self.clock.set(now_ms);
        let status = self.client.post(headers, body).status;
        self.drain();
        status
    }

    /// Has every shard hear the time, often enough for every series to be looked at.
    pub(crate) fn tick(&mut self, now_ms: i64) {
        self.clock.set(now_ms);
        for shard in &mut self.shards {
            (0..20).for_each(|_| shard.tick(now_ms));
        }
    }

    /// Series that are held.
    pub(crate) fn series(&self) -> usize {
        self.shards.iter().map(Shard::len).sum()
    }

    /// On a connection of its own.
    pub(crate) fn get(&self, path: &str) -> crate::client::Response {
        Client::connect(self.address).get(path, "")
    }

    fn drain(&mut self) {
        for (shard, inbox) in self.shards.iter_mut().zip(&mut self.inboxes) {
            while let Ok(message) = inbox.try_recv() {
                match message {
                    Message::Batch(batch) => shard.take(&batch),
                    Message::Families(families) => shard.families(&families),
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Hands changed partitions to the disk, each with this probability; gives true if all are there.
    pub(crate) fn checkpoint(
        &mut self,
        disk: &mut Disk,
        rng: &mut fastrand::Rng,
        share: f64,
    ) -> bool {
        let mut all = true;
        for shard in &mut self.shards {
            let urgent = shard.urgent_partitions();
            for partition in shard.dirty_partitions() {
                if urgent.contains(&partition) || rng.f64() < share {
                    disk.take(shard.cut(partition, false).unwrap().unwrap());
                } else {
                    all = false;
                }
            }
        }
        let families = self.shards[0].families_in_order();
        if families.len() >= disk.families.len() && (share >= 1.0 || rng.bool()) {
            disk.families = families;
        }
        if all && share >= 1.0 {
            disk.through = self.router.last();
            if let Some(log) = &self.log {
                log.drop_through(disk.through).unwrap();
            }
        }
        all
    }

    /// Ends without another word to log or disk.
    pub(crate) fn kill(self) {
        self.shutdown.cancel();
        drop(self.client);
        self.runtime.block_on(self.served).unwrap();
        drop(self.runtime);
        drop(self.router);
        let log = self
            .log
            .map(|log| Arc::into_inner(log).expect("the last one"));
        drop(log);
    }

    /// All that is held, together with what is on the disk.
    pub(crate) fn held(&mut self, disk: &Disk) -> Held {
        let mut held = Held::new();
        for shard in &mut self.shards {
            for (n, id) in shard.groups().into_iter().enumerate() {
                let snapshot = shard.snapshot(n as u32).unwrap();
                let mut chunks = disk.chunks.get(&id).cloned().unwrap_or_default();
                chunks.extend(snapshot.chunks.iter().cloned());
                chunks.sort_by_key(|c| (c.position, c.first_ms));
                // What is where is not the same; what there is altogether is.
                let state = shard.whole_state(n as u32).unwrap();
                let before = held.insert(id, (state, snapshot.newest_ms, chunks));
                assert!(before.is_none(), "a group is in one shard");
            }
        }
        held
    }

    /// What is on the board: labels, bits of the score, alarm.
    pub(crate) fn shown(&self) -> BTreeMap<String, (u32, String)> {
        let blocks = self.board.blocks();
        let entries = blocks
            .iter()
            .flat_map(|b| (0..b.len()).map(move |i| (b, i)));
        let shown = entries.filter_map(|(b, i)| {
            let e = &b[i];
            let score = e.score()?;
            let text = b.text(i)?.score.to_string();
            Some((text, (score.to_bits(), format!("{:?}", e.alarm()))))
        });
        shown.collect()
    }
}
