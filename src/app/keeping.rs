//! What is kept: the store and the write-ahead log, opened, read back, and taken up again.

mod room;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, LimitsConfig, LogFull};
use crate::engine::journal::{Journal, WhenFull};
use crate::engine::keep::{Family, Kept};
use crate::engine::pool::{Engine, Pool};
use crate::engine::router::Router;
use crate::engine::shard::Sleep;
use crate::engine::state;
use crate::expose::{Replay, ReplayError};
use crate::store::log::files::Dir;
use crate::store::log::options::Options;
use crate::store::log::{Log, LogError, Replayed};
use crate::store::writer::{self, WriterHandle, WriterParts};
use crate::store::{OpenError, Position, Store};
use crate::telemetry::Metrics;

/// How often a long recovery says how far it is.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// Unreadable records that are named in the log; the rest is only counted.
const NAMED_MAX: u64 = 10;

/// What was found in the data directory.
pub(super) struct Keeping {
    pub(super) store: Option<Store>,
    log: Option<Arc<Log>>,
    position: Position,
    families: Vec<Family>,
}

impl Keeping {
    /// Opens store and log. A directory that cannot be used is no error: nothing is kept then. If what
    /// is acknowledged is to be kept, a full disk is waited for.
    ///
    /// # Errors
    /// If another process uses it, or a newer saimon has written it.
    pub(super) fn open(
        data_dir: &Path,
        config: &Config,
        metrics: &Arc<Metrics>,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        if config.store.log_full == LogFull::Refuse {
            room::wait(data_dir);
        }
        let mut kept = Self::open_without_log(data_dir, config, metrics, clock)?;
        if kept.store.is_some() {
            kept.log = open_log(data_dir, config, kept.newest(), metrics)?.map(Arc::new);
        }
        Ok(kept)
    }

    /// The same for a process that takes no requests.
    pub(super) fn open_without_log(
        data_dir: &Path,
        config: &Config,
        metrics: &Arc<Metrics>,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let store = open_store(data_dir, config, metrics, clock)?;
        let mut kept = Self {
            store,
            log: None,
            position: Position::default(),
            families: Vec::new(),
        };
        let Some(store) = &kept.store else {
            return Ok(kept);
        };
        match store.position() {
            Ok(position) => kept.position = position,
            Err(error) => {
                tracing::warn!(%error, "the store does not say up to where it has everything: the whole write-ahead log is read");
            }
        }
        match store.families() {
            Ok(families) => kept.families = families,
            Err(error) => {
                tracing::warn!(%error, "metadata cannot be read: senders will send it again");
            }
        }
        Ok(kept)
    }

    /// The newest record that the store knows of.
    fn newest(&self) -> u64 {
        let announced = self.families.iter().map(|f| f.seq).max();
        self.position.newest().max(announced.unwrap_or(0))
    }

    /// The newest record of the write-ahead log; without one, any number is that of a record.
    pub(super) fn newest_record(&self) -> u64 {
        self.log.as_ref().map_or(u64::MAX, |log| log.last_seq())
    }

    /// Has idle series put to sleep, if there is a store to put them.
    pub(super) fn lull(&self, pool: &mut Pool, config: &Config) {
        if let Some(store) = &self.store {
            pool.lull(&Sleep {
                store: Arc::new(store.clone()),
                idle_ms: i64::try_from(config.store.idle.as_millis()).unwrap_or(i64::MAX),
            });
        }
    }

    /// Brings back what the store has.
    ///
    /// # Errors
    /// If a newer saimon has written any of it. Nothing has been changed then.
    pub(super) fn restore(&self, pool: &mut Pool, clock: &dyn Clock) -> anyhow::Result<()> {
        let Some(store) = &self.store else {
            return Ok(());
        };
        let through = self.position.through;
        let mut families = self.families.clone();
        if self.log.is_none() {
            // Their records will not be replayed.
            for family in &mut families {
                family.seq = family.seq.min(through);
            }
        }
        pool.resume(&self.position.covered, through, &families);
        restore(store, pool, clock)
    }

    /// The router with the log, if there is one.
    pub(super) fn journaled(&self, router: Router, config: &Config) -> Router {
        let journal = self.log.clone().map(|log| log as Arc<dyn Journal>);
        let when_full = match config.store.log_full {
            LogFull::Refuse => WhenFull::Refuse,
            LogFull::Shed => WhenFull::Shed,
        };
        let recovering = journal.is_some();
        router.journaled(journal, when_full, self.position.through, recovering)
    }

    /// Starts the store's writer.
    pub(super) fn writer(
        &self,
        config: &Config,
        engine: &Engine,
        kept: Receiver<Kept>,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Option<anyhow::Result<WriterHandle>> {
        let writer = writer::spawn(WriterParts {
            store: self.store.clone()?,
            config: config.store.clone(),
            router: engine.router.clone(),
            log: self.log.clone(),
            kept,
            clock: Arc::clone(clock),
            metrics: Arc::clone(metrics),
        });
        Some(writer.context("the store's writer could not be started"))
    }
}

/// Bounds the memory of series: as configured, or to half of what there is.
pub(super) fn bound(pool: &mut Pool, config: &Config) {
    if let Some(max) = memory_max(&config.limits) {
        pool.bound_memory(max);
    }
}

/// The bound of [`bound`], if there is one.
pub(super) fn memory_max(limits: &LimitsConfig) -> Option<u64> {
    let configured = limits.memory.map(|m| m.as_u64());
    configured.or_else(|| Some(available_memory()? / 2))
}

/// Memory that this process may use: that of its control group or of the machine, whichever is less.
/// `None` if neither says.
fn available_memory() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| {
        let line = text.lines().find_map(|l| l.strip_prefix("MemTotal:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        Some(kib * 1024)
    });
    let group = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ]
    .into_iter()
    .find_map(|path| read(path)?.trim().parse::<u64>().ok());
    [machine, group].into_iter().flatten().min()
}

/// The store, or `None` if saimon has to do without.
fn open_store(
    data_dir: &Path,
    config: &Config,
    metrics: &Arc<Metrics>,
    clock: &dyn Clock,
) -> anyhow::Result<Option<Store>> {
    if let Err(error) = std::fs::create_dir_all(data_dir) {
        tracing::error!(%error, data_dir = %data_dir.display(), "the data directory cannot be made: nothing will be kept, scoring goes on; make it writable and restart");
        metrics.store_ok.set(0);
        return Ok(None);
    }
    match Store::open(
        &data_dir.join("store"),
        &config.store,
        metrics,
        clock.now_ms(),
    ) {
        Ok(opened) => {
            if let Some(aside) = opened.moved_aside {
                tracing::error!(moved_to = %aside.display(), "the store could not be opened and was moved aside: models start afresh");
            }
            Ok(Some(opened.store))
        }
        Err(error @ (OpenError::Locked { .. } | OpenError::Newer { .. })) => Err(error.into()),
        Err(error @ OpenError::Unavailable { .. }) => {
            tracing::error!(%error, "nothing will be kept, scoring goes on");
            Ok(None)
        }
    }
}

/// The log, or `None` if saimon has to do without.
fn open_log(
    data_dir: &Path,
    config: &Config,
    covered: u64,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Option<Log>> {
    let options = Options {
        sync: config.store.sync,
        interval: config.store.sync_interval,
        limit: config.store.log_limit.as_u64(),
        salt: fastrand::u64(..),
        covered,
        ..Options::default()
    };
    let opened = Dir::open(&data_dir.join("wal"))
        .and_then(|files| Log::open(Box::new(files), options, Arc::clone(&metrics.wal)));
    match opened {
        Ok((log, found)) => {
            if found.missing + found.misnamed + found.headless + found.cut_bytes > 0 {
                tracing::warn!(
                    missing = found.missing,
                    misnamed = found.misnamed,
                    headless = found.headless,
                    torn_bytes = found.cut_bytes,
                    "the write-ahead log is not as it was left: going on with what is there"
                );
            }
            Ok(Some(log))
        }
        Err(error @ (LogError::Version { .. } | LogError::Locked { .. })) => Err(error.into()),
        Err(error) => {
            metrics.wal.errors.inc();
            metrics.wal.failing.set(1);
            tracing::error!(%error, "the write-ahead log cannot be used: a crash will lose what came since the last checkpoint");
            Ok(None)
        }
    }
}

fn restore(store: &Store, pool: &mut Pool, clock: &dyn Clock) -> anyhow::Result<()> {
    let now_ms = clock.now_ms();
    let mut series = 0;
    let mut damaged = 0;
    let mut relearned = 0;
    let mut newer = None;
    let loaded = store.groups(|id, state, newest_ms| {
        pool.appendices(id, store.appendices(id));
        match pool.restore(id, state, newest_ms, now_ms) {
            Ok(n) => {
                series += n;
                relearned += if state::relearns(state) { n } else { 0 };
            }
            Err(error) if error.is_newer() => newer = Some(error),
            Err(error) => {
                damaged += 1;
                tracing::warn!(%error, partition = id.partition, group = id.number, "a stored group cannot be used: its series start afresh");
            }
        }
    });
    if let Some(error) = newer {
        anyhow::bail!(
            "the store was written by a newer saimon: {error}; use that one, or another data directory"
        );
    }
    if loaded.groups + loaded.skipped + damaged > 0 {
        tracing::info!(
            series,
            groups = loaded.groups,
            skipped = loaded.skipped + damaged,
            "models restored"
        );
    }
    if relearned > 0 {
        tracing::warn!(
            series = relearned,
            "the store is of an earlier version whose models are not those of today: windows are kept, and these series are learned anew"
        );
    }
    Ok(())
}

/// The reading of the log, once the shards have their threads.
pub(super) struct Recovery {
    log: Arc<Log>,
    position: Position,
    /// The newest record that anything was kept of.
    newest: u64,
    router: Router,
    limits: LimitsConfig,
    metrics: Arc<Metrics>,
}

impl Recovery {
    /// `None` if there is no log.
    pub(super) fn new(
        kept: &Keeping,
        router: &Router,
        config: &Config,
        metrics: &Arc<Metrics>,
    ) -> Option<Self> {
        Some(Self {
            log: kept.log.clone()?,
            position: kept.position.clone(),
            newest: kept.newest(),
            router: router.clone(),
            limits: config.limits.clone(),
            metrics: Arc::clone(metrics),
        })
    }

    /// Reads the log to its end, or until `stop`.
    pub(super) async fn run(
        self,
        address: SocketAddr,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let (done, ended) = oneshot::channel();
        std::thread::Builder::new()
            .name("recovery".to_owned())
            .spawn(move || {
                // Fails only if nobody waits any more.
                let _ = done.send(self.replay(address, &stop));
            })
            .context("the write-ahead log could not be read")?;
        ended
            .await
            .context("the write-ahead log could not be read")??;
        Ok(())
    }

    fn replay(&self, address: SocketAddr, stop: &CancellationToken) -> Result<(), LogError> {
        let began = Instant::now();
        let replay = Replay::new(&self.limits, &self.router, &self.position.covered);
        let recovery = &self.metrics.recovery;
        let mut said = began;
        let mut told = false;
        let mut named = 0;
        let mut closed = false;
        let replayed = self.log.replay(
            self.position.through + 1,
            |seq, kind, payload| {
                if closed || stop.is_cancelled() {
                    return;
                }
                recovery.records.inc();
                match replay.take(seq, kind, payload) {
                    Ok(()) => {}
                    Err(ReplayError::Closed(_)) => closed = true,
                    Err(error) => {
                        recovery.unreadable.inc();
                        named += 1;
                        if named <= NAMED_MAX {
                            tracing::warn!(%error, "passing it over");
                        }
                    }
                }
            },
            |done, all| {
                if said.elapsed() >= SAY_EVERY || !told && all > 0 {
                    (said, told) = (Instant::now(), true);
                    tracing::info!(
                        listen = %address,
                        done_bytes = done,
                        all_bytes = all,
                        "reading the write-ahead log"
                    );
                }
            },
        )?;
        if closed || stop.is_cancelled() {
            return Ok(());
        }
        self.router.passed(self.log.last_seq().max(self.newest));
        tell(&replayed, began);
        Ok(())
    }
}

fn tell(replayed: &Replayed, began: Instant) {
    let lost = replayed.broken + replayed.unreadable + replayed.missing;
    if lost > 0 {
        tracing::warn!(
            damaged = replayed.broken,
            files_unreadable = replayed.unreadable,
            records_missing = replayed.missing,
            "parts of the write-ahead log are lost: what was in them is missing"
        );
    }
    if replayed.records > 0 {
        tracing::info!(
            records = replayed.records,
            bytes = replayed.bytes,
            took = ?began.elapsed(),
            "requests since the last checkpoint were taken once more"
        );
    }
}
