//! Puts the parts together and takes them apart again: what `saimon serve` runs.
//!
//! The order of a start is store, models, threads, socket; of a stop the reverse: no new requests,
//! requests under way, shards, store. What always holds: a store that cannot be used never keeps
//! saimon from scoring, and a second process on the same store never starts.

mod history;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::ask::Reader;
use crate::engine::keep::{Kept, PastChunks};
use crate::engine::pool::{Engine, EngineSpec, Pool};
use crate::engine::rules::Rules;
use crate::engine::shard::Message;
use crate::expose::{self, Health, State};
use crate::store::writer::{self, KEPT_MAX, WriterHandle};
use crate::store::{OpenError, Store};
use crate::telemetry::Metrics;

pub use history::{BackfillOptions, backfill};

/// How often shards hear the time.
const TICK: Duration = Duration::from_secs(1);

/// What the command line says.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    pub data_dir: PathBuf,
    pub http_listen: SocketAddr,
    /// Threads that own series; `None`: as the machine has cores for them.
    pub shards: Option<usize>,
}

/// Runs until SIGTERM or SIGINT.
pub fn serve(config: &Config, options: &ServeOptions) -> anyhow::Result<()> {
    let rules = Rules::try_from(&config.detect)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new());
    let shards = options.shards.unwrap_or_else(default_shards).max(1);

    let store = open_store(&options.data_dir, config, &metrics, &*clock)?;
    let mut pool = Pool::new(
        &engine_spec(config, shards, store.is_some()),
        rules,
        &metrics,
    );
    if let Some(store) = &store {
        restore(store, &mut pool, &*clock);
    }

    let runtime = runtime()?;
    let (kept, inbox) = sync_channel(KEPT_MAX);
    let engine = pool
        .start(store.is_some().then_some(&kept), &clock)
        .context("the shards could not be started")?;
    drop(kept);
    let past = store
        .clone()
        .map(|store| Arc::new(store) as Arc<dyn PastChunks>);
    let reader = engine.reader(past);
    let writer = store
        .map(|store| start_writer(store, config, &engine, inbox, &clock, &metrics))
        .transpose()?;

    let served = runtime.block_on(run(config, options, &engine, reader, &metrics, &clock));
    stop(engine, writer);
    served
}

async fn run(
    config: &Config,
    options: &ServeOptions,
    engine: &Engine,
    reader: Reader,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let listener = expose::listener::bind(options.http_listen)
        .await
        .with_context(|| {
            format!(
                "cannot listen on {}: choose another address with --http-listen",
                options.http_listen
            )
        })?;
    let health = Arc::new(Health::default());
    let state = State {
        router: engine.router.clone(),
        reader,
        board: Arc::clone(&engine.board),
        metrics: Arc::clone(metrics),
        limits: Arc::new(config.limits.clone()),
        read: Arc::new(config.read.clone()),
        clock: Arc::clone(clock),
        health: Arc::clone(&health),
    };
    let shutdown = CancellationToken::new();
    let warmer = history::warmer(config, engine, metrics, clock)?;
    let ticking = tokio::spawn(tick(engine.senders.clone(), Arc::clone(clock)));
    tracing::info!(
        http = %listener.local_addr()?,
        shards = engine.senders.len(),
        data_dir = %options.data_dir.display(),
        store = if metrics.store_ok.get() == 1 { "ok" } else { "none" },
        version = env!("CARGO_PKG_VERSION"),
        "saimon is ready"
    );
    health.set_ready();
    let serving = tokio::spawn(expose::serve(listener, state, shutdown.clone()));
    if let Some(warmer) = warmer {
        tokio::spawn(warmer.run(shutdown.clone()));
    }
    let signal = stop_signal().await?;
    tracing::info!(signal, "stopping: finishing requests, then writing models");
    health.set_stopping();
    shutdown.cancel();
    ticking.abort();
    serving.await.context("the listener ended with a panic")?;
    Ok(())
}

async fn tick(shards: Vec<tokio::sync::mpsc::Sender<Message>>, clock: Arc<dyn Clock>) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        Engine::tick(&shards, clock.now_ms());
    }
}

/// Waits for SIGTERM or SIGINT; gives its name.
pub async fn stop_signal() -> std::io::Result<&'static str> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    })
}

fn engine_spec(config: &Config, shards: usize, keeps: bool) -> EngineSpec {
    EngineSpec {
        shards,
        series_max: config.limits.series,
        queue_max: config.limits.queue_batches as usize,
        families_max: config.limits.metadata_families as usize,
        forget_ms: i64::try_from(config.store.forget.as_millis()).unwrap_or(i64::MAX),
        keeps,
        wants_history: config.history.url.is_some(),
    }
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
        Err(error @ OpenError::Locked { .. }) => Err(error.into()),
        Err(error @ OpenError::Unavailable { .. }) => {
            tracing::error!(%error, "nothing will be kept, scoring goes on");
            Ok(None)
        }
    }
}

fn restore(store: &Store, pool: &mut Pool, clock: &dyn Clock) {
    let now_ms = clock.now_ms();
    let mut series = 0;
    let mut damaged = 0;
    let loaded = store.groups(|id, state, newest_ms| {
        match pool.restore(id, state, newest_ms, now_ms) {
            Ok(n) => series += n,
            Err(error) => {
                damaged += 1;
                tracing::warn!(%error, partition = id.partition, group = id.number, "a stored group cannot be used: its series start afresh");
            }
        }
    });
    if loaded.groups + loaded.skipped + damaged > 0 {
        tracing::info!(
            series,
            groups = loaded.groups,
            skipped = loaded.skipped + damaged,
            "models restored"
        );
    }
}

fn start_writer(
    store: Store,
    config: &Config,
    engine: &Engine,
    inbox: Receiver<Kept>,
    clock: &Arc<dyn Clock>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<WriterHandle> {
    writer::spawn(
        store,
        config.store.clone(),
        engine.senders.clone(),
        inbox,
        Arc::clone(clock),
        Arc::clone(metrics),
    )
    .context("the store's writer could not be started")
}

fn stop(engine: Engine, writer: Option<WriterHandle>) {
    match writer {
        Some(writer) => match writer.stop() {
            Ok(()) => {
                engine.join();
                tracing::info!("models and windows are written, good-bye");
            }
            Err(error) => tracing::error!(%error, "stopped without a complete checkpoint"),
        },
        None => {
            for sender in &engine.senders {
                let _ = sender.blocking_send(Message::Stop);
            }
            engine.join();
        }
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(runtime_threads())
        .thread_name("saimon-io")
        .enable_all()
        .build()
        .context("the runtime could not be started")
}

/// Scoring costs about twice what decoding costs: two thirds of the cores own series.
fn default_shards() -> usize {
    (cores() * 2 / 3).clamp(1, crate::engine::keep::PARTITIONS)
}

fn runtime_threads() -> usize {
    cores().div_ceil(2).clamp(1, 8)
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}
