//! What reads the past of series: beside a serving saimon, and alone as `saimon backfill`.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use anyhow::{Context as _, bail};
use tokio_util::sync::CancellationToken;

use super::keeping::Keeping;
use super::{default_shards, engine_spec, runtime, stop_signal};
use crate::backfill::fetch::Fetcher;
use crate::backfill::live::Warmer;
use crate::backfill::once::{Once, Plan, Report};
use crate::backfill::progress::Progress;
use crate::backfill::span::Span;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::config::client::Address;
use crate::engine::history::Historian;
use crate::engine::pool::{Engine, Pool};
use crate::engine::rules::Rules;
use crate::series::matcher::Selector;
use crate::store::writer::KEPT_MAX;
use crate::telemetry::Metrics;

/// What the command line of `saimon backfill` says.
#[derive(Debug, Clone)]
pub struct BackfillOptions {
    pub data_dir: PathBuf,
    pub url: Address,
    /// Oldest and newest time; `None`: as configured, until now.
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    /// None means all.
    pub selectors: Vec<Selector>,
    pub shards: Option<usize>,
}

/// Makes what warms new series, at the start and after reloads.
#[derive(Clone)]
pub(super) struct Warming {
    historian: Historian,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl Warming {
    pub(super) fn new(
        engine: &Engine,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Self {
        Self {
            historian: engine.historian(),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
            stop: stop.clone(),
        }
    }

    /// What warms new series as they are configured, if there is a `history.url`.
    ///
    /// # Errors
    /// If the server cannot be asked as it is configured: a file of a secret or a certificate cannot
    /// be read.
    pub(super) fn warmer(&self, config: &Config) -> anyhow::Result<Option<Warmer>> {
        let Some(address) = &config.history.url else {
            return Ok(None);
        };
        let selector = config.history.selector.as_deref().map(Selector::parse);
        Ok(Some(Warmer::new(
            fetcher(config, address, &self.metrics)?,
            self.historian.clone(),
            Arc::clone(&self.clock),
            &config.history,
            selector.transpose()?,
            Progress::new(&self.metrics.history),
        )))
    }

    /// Has it run until the end, or until another takes its place: when what is given is cancelled.
    pub(super) fn start(&self, warmer: Option<Warmer>) -> CancellationToken {
        let replaced = CancellationToken::new();
        if let Some(warmer) = warmer {
            tokio::spawn(warmer.run(self.stop.clone(), replaced.clone()));
        }
        replaced
    }
}

fn fetcher(config: &Config, address: &Address, metrics: &Metrics) -> anyhow::Result<Fetcher> {
    let random = fastrand::Rng::new();
    Fetcher::new(address, &config.history, &metrics.history, random).context("history.url")
}

/// Reads the past of all series into the data directory; a later `saimon serve` starts with it.
///
/// # Errors
/// If another process has the directory, if nothing can be kept, or if the server's series cannot
/// be found out.
pub fn backfill(config: &Config, options: &BackfillOptions) -> anyhow::Result<Report> {
    let rules = Rules::try_from(&config.detect)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let metrics = Arc::new(Metrics::new());
    let fetcher = fetcher(config, &options.url, &metrics)?;
    let kept = Keeping::open_without_log(&options.data_dir, config, &metrics, &*clock)?;
    if kept.store.is_none() {
        bail!(
            "the data directory {} cannot be used: what was read would be lost",
            options.data_dir.display()
        );
    }
    let shards = options.shards.unwrap_or_else(default_shards).max(1);
    let mut pool = Pool::new(&engine_spec(config, shards, true), rules, &metrics);
    kept.restore(&mut pool, &*clock)?;
    let runtime = runtime()?;
    let (sender, inbox) = sync_channel(KEPT_MAX);
    let mut engine = pool
        .start(Some(&sender), &clock)
        .context("the shards could not be started")?;
    drop(sender);
    engine.router = kept.journaled(engine.router, config);
    let Some(writer) = kept.writer(config, &engine, inbox, &clock, &metrics) else {
        bail!("nothing can be kept");
    };
    let writer = writer?;

    let end_ms = options.end_ms.unwrap_or_else(|| clock.now_ms());
    let mut span = Span::until(end_ms, config.history.range);
    span.start_ms = options.start_ms.unwrap_or(span.start_ms);
    let plan = Plan {
        selectors: options.selectors.clone(),
        span,
        series_max: config.limits.series as usize,
    };
    let once = Once::new(
        fetcher,
        engine.historian(),
        &config.history,
        Progress::new(&metrics.history),
    );
    let done = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signalled = stop.clone();
        tokio::spawn(async move {
            if stop_signal().await.is_ok() {
                signalled.cancel();
            }
        });
        once.run(&plan, &stop).await
    });
    // However far it came: what was planted is worth keeping. This may take longer than an orderly
    // stop waits, so it comes before.
    let written = writer.checkpoint_now();
    super::stop(engine, Some(writer));
    let report = done?;
    if !written {
        bail!(
            "not everything that was read could be written to {}",
            options.data_dir.display()
        );
    }
    Ok(report)
}
