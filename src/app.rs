//! Puts the parts together and takes them apart again: what `saimon serve` runs.
//!
//! The order of a start is store, models, threads, socket, then the write-ahead log is read, then
//! requests are taken; of a stop the reverse: no new requests, requests under way, shards, store. What
//! always holds: a store that cannot be used never keeps saimon from scoring, and a second process on
//! the same store never starts.

mod feedback;
mod history;
mod joint;
mod keeping;
mod output;
mod records;
mod reload;
mod ruled;
mod silences;
mod web;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::allocator;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::engine::ask::Reader;
use crate::engine::keep::PastChunks;
use crate::engine::pool::{Engine, EngineSpec, Pool};
use crate::engine::rules::Rules;
use crate::engine::shard::Message;
use crate::expose::reload::Reloads;
use crate::expose::{self, ApiParts, Health, State, Surface};
use crate::score::groups::Groups;
use crate::store::writer::{KEPT_MAX, WriterHandle};
use crate::telemetry::Metrics;

use history::Warming;
pub use history::{BackfillOptions, backfill};
use keeping::{Keeping, Recovery};
use output::Outputs;
use records::Recording;
use reload::Reloader;
pub use reload::Source;
use web::Web;

/// How often shards hear the time.
const TICK: Duration = Duration::from_secs(1);

/// What the command line says.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    pub data_dir: PathBuf,
    pub http_listen: SocketAddr,
    /// `None`: gRPC is not served.
    pub grpc_listen: Option<SocketAddr>,
    /// Threads that own series; `None`: as the machine has cores for them.
    pub shards: Option<usize>,
}

/// Runs until SIGTERM or SIGINT, with the configuration that `source` gives; asks it again on SIGHUP.
pub fn serve(source: &Source, options: &ServeOptions) -> anyhow::Result<()> {
    let config = &source()?;
    let rules = Rules::try_from(&config.detect)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new());
    let web = Web::open(config.web.config_file.as_deref(), &metrics)?;
    let shards = options.shards.unwrap_or_else(default_shards).max(1);

    let runtime = runtime()?;
    survive_file_limits(&runtime);
    let kept = Keeping::open(&options.data_dir, config, &metrics, &*clock)?;
    let mut pool = Pool::new(
        &engine_spec(config, shards, kept.store.is_some()),
        rules,
        &metrics,
    );
    keeping::bound(&mut pool, config);
    if kept.store.is_some() {
        ruled::begin(&options.data_dir, &config.detect, &mut pool);
    }
    kept.lull(&mut pool, config);
    let newest = kept.newest_record();
    let outputs = Outputs::open(
        &options.data_dir,
        config,
        &mut pool,
        newest,
        &metrics,
        &clock,
    )?;
    let kin = Arc::default();
    let recording = Recording::open(&options.data_dir, config, &mut pool, &kin, &metrics, &clock)?;
    let said = feedback::Said::open(&options.data_dir, config, &mut pool, &*clock)?;
    kept.restore(&mut pool, &*clock)?;
    let groups = joint::groups(
        &options.data_dir,
        kept.store.is_some(),
        config,
        &mut pool,
        &kin,
        &metrics,
    )?;

    let (sender, inbox) = sync_channel(KEPT_MAX);
    let mut engine = pool
        .start(kept.store.is_some().then_some(&sender), &clock)
        .context("the shards could not be started")?;
    drop(sender);
    engine.router = kept.journaled(engine.router, config);
    let past = kept
        .store
        .clone()
        .map(|store| Arc::new(store) as Arc<dyn PastChunks>);
    let reader = engine.reader(past);
    said.start(&engine);
    let writer = kept
        .writer(config, &engine, inbox, &clock, &metrics)
        .transpose()?;
    let recovery = Recovery::new(&kept, &engine.router, config, &metrics);
    let outputs = outputs.map(|outputs| outputs.start(&runtime));

    let records = recording.as_ref().map(|r| Arc::clone(&r.records));
    let api = Arc::new(ApiParts {
        feedback: said.feedback.clone(),
        maintenance: said.maintenance,
        ..ApiParts::new(records, config)
    });

    let served = runtime.block_on(run(
        source, config, options, &engine, groups, reader, recovery, &web, api, &metrics, &clock,
    ));
    stop(engine, writer);
    if kept.store.is_some() {
        ruled::end(&options.data_dir);
    }
    if let Some(recording) = recording {
        recording.stop();
    }
    if let Some(outputs) = outputs {
        outputs.stop(&runtime);
    }
    served
}

#[allow(
    clippy::too_many_arguments,
    reason = "the parts that a run is made of, once"
)]
async fn run(
    source: &Source,
    config: &Config,
    options: &ServeOptions,
    engine: &Engine,
    groups: Arc<Groups>,
    reader: Reader,
    recovery: Option<Recovery>,
    web: &Arc<Web>,
    api: Arc<ApiParts>,
    metrics: &Arc<Metrics>,
    clock: &Arc<dyn Clock>,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let records = api.records.clone();
    let listener = listen(options.http_listen, "--http-listen").await?;
    let grpc_listener = match options.grpc_listen {
        Some(address) => Some(listen(address, "--grpc-listen").await?),
        None => None,
    };
    let health = Arc::new(Health::default());
    let state = State {
        router: engine.router.clone(),
        reader,
        board: Arc::clone(&engine.board),
        groups: Arc::clone(&groups),
        metrics: Arc::clone(metrics),
        limits: Arc::new(config.limits.clone()),
        read: Arc::new(config.read.clone()),
        clock: Arc::clone(clock),
        health: Arc::clone(&health),
        api: Arc::clone(&api),
    };
    let looking = api.maintenance.clone().map(|maintenance| {
        let (metrics, clock) = (Arc::clone(metrics), Arc::clone(clock));
        let window_ms = api.change_window_ms;
        feedback::look(
            maintenance,
            state.reader.clone(),
            metrics,
            clock,
            move || window_ms,
        )
    });
    let (silences_to, silences_wanted) = watch::channel(silences::Wanted::of(config));
    let silencing = api.maintenance.clone().map(|maintenance| {
        let silences = silences::Silences {
            maintenance,
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
        };
        silences.run(silences_wanted)
    });
    let shutdown = CancellationToken::new();
    let warming = Warming::new(engine, metrics, clock, &shutdown);
    let warmer = warming.warmer(config)?;
    let address = listener.local_addr()?;
    let (reloads, reload_inbox) = Reloads::channel();
    let entrance = || Arc::clone(&web.entrance);
    let mut surfaces = Vec::new();
    let mut serving = Vec::new();
    let mut grpc = "off".to_owned();
    if let Some(listener) = grpc_listener {
        grpc = listener.local_addr()?.to_string();
        let surface = Arc::new(Surface::grpc(state.clone(), entrance(), &shutdown));
        surfaces.push(Arc::clone(&surface));
        serving.push(tokio::spawn(surface.serve(listener, shutdown.clone())));
    }
    let surface = Arc::new(Surface::new(state, entrance(), Some(reloads)));
    surfaces.push(Arc::clone(&surface));
    serving.push(tokio::spawn(surface.serve(listener, shutdown.clone())));
    // Before there is anything to reload: without a handler the signal ends the process.
    let hangup = signal(SignalKind::hangup())?;
    let mut reloader = Reloader {
        source: Arc::clone(source),
        running: config.clone(),
        shards: engine.senders.clone(),
        surfaces,
        web: Arc::clone(web),
        maintenance: api.maintenance.clone(),
        silences: silences_to,
        groups,
        warming: warming.clone(),
        replaced: None,
        metrics: Arc::clone(metrics),
        clock: Arc::clone(clock),
        rules_in: (metrics.store_ok.get() == 1).then(|| options.data_dir.clone()),
    };
    reloader.began();
    tokio::spawn(Arc::clone(web).watch(shutdown.clone()));
    let mut signalled = std::pin::pin!(stop_signal());
    let recovered = async {
        match recovery {
            Some(recovery) => recovery.run(address, shutdown.clone()).await?,
            None => return Ok(()),
        }
        // What was read last is scored too before anybody is told that it is.
        Engine::caught_up(&engine.senders).await;
        anyhow::Ok(())
    };
    let early = tokio::select! {
        biased;
        signal = &mut signalled => Some(signal?),
        recovered = recovered => {
            recovered?;
            None
        }
    };
    let signal = match early {
        Some(signal) => signal,
        None => {
            engine.router.recovered();
            if let Some(records) = &records {
                records.caught_up();
            }
            metrics.recovery.seconds.set(began.elapsed().as_secs_f64());
            let ticking = tokio::spawn(tick(engine.senders.clone(), Arc::clone(clock)));
            let looking = looking.map(tokio::spawn);
            let silencing = silencing.map(tokio::spawn);
            // Whoever reads that it is ready finds it so.
            health.set_ready();
            tracing::info!(
                http = %address,
                grpc,
                shards = engine.senders.len(),
                data_dir = %options.data_dir.display(),
                store = if metrics.store_ok.get() == 1 { "ok" } else { "none" },
                version = env!("CARGO_PKG_VERSION"),
                "saimon is ready"
            );
            reloader.replaced = Some(warming.start(warmer));
            let reloading = tokio::spawn(reloader.run(reload_inbox, hangup));
            // What reading states and the log took for a while.
            tokio::task::spawn_blocking(allocator::give_back);
            let signal = signalled.await?;
            ticking.abort();
            if let Some(looking) = looking {
                looking.abort();
            }
            if let Some(silencing) = silencing {
                silencing.abort();
            }
            reloading.abort();
            signal
        }
    };
    tracing::info!(signal, "stopping: finishing requests, then writing models");
    health.set_stopping();
    shutdown.cancel();
    for serving in serving {
        serving.await.context("a listener ended with a panic")?;
    }
    Ok(())
}

/// Listens, or says with which flag to listen elsewhere.
async fn listen(address: SocketAddr, flag: &str) -> anyhow::Result<tokio::net::TcpListener> {
    let bound = expose::listener::bind(address).await;
    bound.with_context(|| format!("cannot listen on {address}: choose another address with {flag}"))
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

/// Has a write beyond the limit of file sizes (RLIMIT_FSIZE) fail as one to a full disk does. Without
/// a handler the signal ends the process.
fn survive_file_limits(runtime: &tokio::runtime::Runtime) {
    /// On every system that is built for; handlers stay when nobody listens any more.
    const SIGXFSZ: i32 = 25;
    let _inside = runtime.enter();
    if let Err(error) = signal(SignalKind::from_raw(SIGXFSZ)) {
        tracing::warn!(%error, "SIGXFSZ cannot be caught: a limit of file sizes would end saimon");
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
