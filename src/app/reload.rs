//! The configuration of a running saimon, read again on SIGHUP or on request.
//!
//! All or nothing: everything is read and checked first, and only if nothing is wrong is anything
//! changed. Then what is live is used at once (`config::live`), and keys that wait for a restart are
//! named, in the answer, in the log and as a number of `saimon_config_restart_needed`.

use std::path::PathBuf;
use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::history::Warming;
use super::keeping::memory_max;
use super::ruled;
use super::silences;
use super::web::Web;
use crate::backfill::live::Warmer;
use crate::clock::Clock;
use crate::config::{Config, live};
use crate::engine::pool::Engine;
use crate::engine::rules::Rules;
use crate::engine::shard::{Message, Renewal};
use crate::expose::Surface;
use crate::expose::reload::{ReloadInbox, Reloaded};
use crate::expose::secure::Door;
use crate::maintenance::Maintenance;
use crate::maintenance::window::Wanted;
use crate::score::groups::{GroupSpec, Groups};
use crate::telemetry::Metrics;

/// Reads the configuration as it was read at the start: the file, and what the command line says.
pub type Source = Arc<dyn Fn() -> anyhow::Result<Config> + Send + Sync>;

/// Who reloads.
pub(super) struct Reloader {
    pub(super) source: Source,
    /// What is in use.
    pub(super) running: Config,
    pub(super) shards: Vec<mpsc::Sender<Message>>,
    /// All that is served, on whichever address.
    pub(super) surfaces: Vec<Arc<Surface>>,
    pub(super) web: Arc<Web>,
    pub(super) maintenance: Option<Arc<Maintenance>>,
    /// To who reads silences.
    pub(super) silences: watch::Sender<silences::Wanted>,
    pub(super) groups: Arc<Groups>,
    pub(super) warming: Warming,
    /// Cancelled when what warms series now has another in its place.
    pub(super) replaced: Option<CancellationToken>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
    /// The folder in which rules are noted, if there is a store.
    pub(super) rules_in: Option<PathBuf>,
}

/// What was read, and checked.
struct Read {
    config: Config,
    rules: Rules,
    groups: GroupSpec,
    door: Option<Door>,
    windows: Vec<Wanted>,
    /// If it is another one: what warms series, if anything does.
    warmer: Option<Option<Warmer>>,
    /// Keys that differ and are used now, and those that need a restart.
    changed: Vec<String>,
    waiting: Vec<String>,
}

impl Reloader {
    /// The configuration of the start is in use.
    pub(super) fn began(&self) {
        self.succeeded(0);
    }

    /// Reloads whenever it is asked to.
    pub(super) async fn run(mut self, mut inbox: ReloadInbox, mut hangup: Signal) {
        loop {
            let answer = tokio::select! {
                answer = inbox.recv() => match answer {
                    Some(answer) => Some(answer),
                    None => return,
                },
                signal = hangup.recv() => match signal {
                    Some(()) => None,
                    None => return,
                },
            };
            let done = self.reload().await;
            if let Some(answer) = answer {
                let _ = answer.send(done);
            }
        }
    }

    async fn reload(&mut self) -> Reloaded {
        let (source, web) = (Arc::clone(&self.source), Arc::clone(&self.web));
        let (running, warming) = (self.running.clone(), self.warming.clone());
        let read = move || read(&source, &running, &web, &warming);
        let read = tokio::task::spawn_blocking(read).await;
        let read = read.unwrap_or_else(|e| Err(format!("reading it failed: {e}")));
        match read {
            Ok(read) => Ok(self.put(read).await),
            Err(wrong) => {
                self.metrics.config.successful.set(0);
                tracing::error!(
                    error = wrong,
                    "the configuration was read again and is not used"
                );
                Err(format!("{wrong}\nnothing was changed\n"))
            }
        }
    }

    /// Nothing here can fail, but for windows of maintenance that cannot be kept: these stay as they were.
    async fn put(&mut self, read: Read) -> String {
        self.put_windows(read.windows).await;
        let silences = silences::Wanted::of(&read.config);
        self.silences.send_if_modified(|now| {
            let other = *now != silences;
            *now = silences;
            other
        });
        let renewal = Renewal {
            rules: Arc::new(read.rules),
            series_max: read.config.limits.series,
            memory_max: memory_max(&read.config.limits),
            wants_history: read.config.history.url.is_some(),
        };
        if let Some(folder) = self.rules_in.clone() {
            let detect = read.config.detect.clone();
            let noted = tokio::task::spawn_blocking(move || ruled::remember(&folder, &detect));
            let _ = noted.await;
        }
        Engine::renew(&self.shards, &renewal).await;
        if let Some(warmer) = read.warmer {
            if let Some(replaced) = self.replaced.take() {
                replaced.cancel();
            }
            self.replaced = Some(self.warming.start(warmer));
        }
        for surface in &self.surfaces {
            surface.retune(&read.config);
        }
        self.groups.renew(read.groups);
        self.web.put(Ok(read.door));
        self.running = read.config;
        self.succeeded(read.waiting.len());
        let (changed, waiting) = (read.changed.join(", "), read.waiting.join(", "));
        let mut said = match read.changed.is_empty() {
            true => "the configuration was read again, nothing has changed\n".to_owned(),
            false => format!("the configuration was read again, in use now: {changed}\n"),
        };
        if read.waiting.is_empty() {
            tracing::info!(changed, "the configuration was read again");
        } else {
            said.push_str(&format!("these need a restart: {waiting}\n"));
            tracing::warn!(
                changed,
                restart = waiting,
                "the configuration was read again, and some of it needs a restart"
            );
        }
        said
    }

    async fn put_windows(&self, windows: Vec<Wanted>) {
        let Some(maintenance) = self.maintenance.clone() else {
            return;
        };
        let now_ms = self.clock.now_ms();
        let put = tokio::task::spawn_blocking(move || maintenance.configure(&windows, now_ms));
        if let Ok(Err(error)) = put.await {
            tracing::error!(%error, "the windows of maintenance of the configuration are not in use");
        }
    }

    fn succeeded(&self, waiting: usize) {
        let metrics = &self.metrics.config;
        metrics.successful.set(1);
        let seconds = self.clock.now_ms() as f64 / 1000.0;
        metrics.success_seconds.set(seconds);
        metrics
            .restart_needed
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }
}

/// Blocks.
fn read(source: &Source, running: &Config, web: &Web, warming: &Warming) -> Result<Read, String> {
    let new = source().map_err(|e| format!("{e:#}"))?;
    // As it would be after a restart, and as it is from now on.
    Rules::try_from(&new.detect).map_err(|e| e.to_string())?;
    let config = live::merged(running, &new);
    let rules = Rules::try_from(&config.detect).map_err(|e| e.to_string())?;
    let groups = GroupSpec::try_from(&config.groups).map_err(|e| e.to_string())?;
    let door = web.read()?;
    let windows = super::feedback::windows(&config).map_err(|e| e.to_string())?;
    let others = config.history != running.history;
    let warmer = others.then(|| warming.warmer(&config));
    let warmer = warmer.transpose().map_err(|e| format!("{e:#}"))?;
    Ok(Read {
        warmer,
        changed: live::differences(running, &config),
        waiting: live::differences(&config, &new),
        config,
        rules,
        groups,
        door,
        windows,
    })
}
