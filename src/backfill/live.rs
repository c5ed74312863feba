//! Warms new series while saimon serves.
//!
//! It asks the engine which series want their past, reads it in batches and gives it back. What
//! always holds: a series that was taken up gets an answer, if only that there is none, so that none
//! waits for ever; what is held is bounded by `history.concurrency` times `request_samples`; when
//! saimon stops, this ends at once.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchError, Fetcher};
use super::plan::{self, Members};
use super::progress::Progress;
use super::span::Span;
use crate::clock::Clock;
use crate::config::HistoryConfig;
use crate::engine::ask::AskError;
use crate::engine::history::{Given, Historian, History, Unit};
use crate::series::matcher::Selector;
use crate::telemetry::history::Outcome;

/// Series that are taken up at once; the engine remembers the others.
const TAKEN_MAX: usize = 20_000;
/// How often the engine is asked for new series.
const POLL: Duration = Duration::from_secs(1);
/// How often the log hears of progress.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// Batches that failed are told one by one only this often.
const GIVEN_UP_EVERY: Duration = Duration::from_secs(60);

/// What warms series.
#[derive(Clone)]
pub struct Warmer {
    fetcher: Arc<Fetcher>,
    historian: Historian,
    clock: Arc<dyn Clock>,
    config: Arc<HistoryConfig>,
    selector: Option<Arc<Selector>>,
    progress: Progress,
    given_up: Arc<std::sync::Mutex<Option<Instant>>>,
}

impl std::fmt::Debug for Warmer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Warmer")
            .field("source", self.fetcher.source())
            .finish_non_exhaustive()
    }
}

impl Warmer {
    pub fn new(
        fetcher: Fetcher,
        historian: Historian,
        clock: Arc<dyn Clock>,
        config: &HistoryConfig,
        selector: Option<Selector>,
        progress: Progress,
    ) -> Self {
        Self {
            fetcher: Arc::new(fetcher),
            historian,
            clock,
            config: Arc::new(config.clone()),
            selector: selector.map(Arc::new),
            progress,
            given_up: Arc::default(),
        }
    }

    /// Runs until `stop` is cancelled or the engine is gone. Once another is in its place (`replaced`) it
    /// takes no more series, and ends when those that it has are done.
    pub async fn run(self, stop: CancellationToken, replaced: CancellationToken) {
        tracing::info!(url = %self.fetcher.source().shown(), range = ?self.config.range, "history: new series are warmed from here");
        // Dropped at the end, which aborts what is under way.
        let mut reading = JoinSet::new();
        let mut batches = VecDeque::new();
        let mut busy: Option<Instant> = None;
        let mut logged = Instant::now();
        loop {
            if replaced.is_cancelled() {
                if batches.is_empty() && reading.is_empty() {
                    return;
                }
            } else if batches.is_empty() {
                let asked = stop.run_until_cancelled(self.wanted()).await;
                match asked {
                    Some(Ok(more)) => batches = more,
                    None | Some(Err(AskError::Closed)) => return,
                    // Live samples come first; series wait where they are.
                    Some(Err(error)) => {
                        tracing::debug!(%error, "history: the engine was not asked");
                    }
                }
            }
            while reading.len() < self.config.concurrency as usize
                && let Some(units) = batches.pop_front()
            {
                let this = self.clone();
                reading.spawn(async move { this.batch(units).await });
            }
            if !reading.is_empty() && busy.is_none() {
                (busy, logged) = (Some(Instant::now()), Instant::now());
                self.progress.standing().log("reading", None);
            }
            let idle = reading.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                Some(done) = reading.join_next(), if !idle => {
                    if let Err(error) = done {
                        tracing::error!(%error, "history: a reader ended with a panic, its series warm up by themselves");
                    }
                }
                () = tokio::time::sleep(POLL) => {}
            }
            if let Some(since) = busy {
                if reading.is_empty() && batches.is_empty() {
                    busy = None;
                    self.progress
                        .standing()
                        .log("caught up", Some(since.elapsed()));
                } else if logged.elapsed() >= LOG_EVERY {
                    logged = Instant::now();
                    self.progress
                        .standing()
                        .log("reading", Some(since.elapsed()));
                }
            }
        }
    }

    /// What wants its past now, in batches.
    async fn wanted(&self) -> Result<VecDeque<Vec<Unit>>, AskError> {
        let mut units = self.historian.wanting(TAKEN_MAX).await?;
        self.progress.take(units.len());
        if let Some(selector) = &self.selector {
            let (inside, outside) = units
                .into_iter()
                .partition(|unit: &Unit| unit.members.iter().any(|m| selector.matches_labels(m)));
            units = inside;
            for unit in outside {
                self.give(unit, Vec::new(), Outcome::LeftOut).await;
            }
        }
        let batches = plan::batches(
            units.iter().map(|unit| &unit.members[..]),
            self.config.request_series as usize,
        );
        let mut units: Vec<_> = units.into_iter().map(Some).collect();
        let mut take = |batch: Vec<usize>| -> Vec<Unit> {
            batch.into_iter().filter_map(|i| units[i].take()).collect()
        };
        Ok(batches.into_iter().map(&mut take).collect())
    }

    /// Reads and gives one batch, in smaller ones if it is too much.
    async fn batch(&self, units: Vec<Unit>) {
        let mut left = vec![units];
        while let Some(mut units) = left.pop() {
            if units.len() > self.fetcher.units_max() {
                left.push(units.split_off(units.len() / 2));
                left.push(units);
                continue;
            }
            let span = Span::until(self.clock.now_ms(), self.config.range);
            let members: Vec<&Members> = units.iter().map(|unit| &unit.members[..]).collect();
            match self.fetcher.read(&members, span).await {
                Ok(histories) => self.deliver(units, histories).await,
                Err(FetchError::TooMuch(_)) if units.len() > 1 => {
                    self.fetcher.too_much(units.len());
                    left.push(units);
                }
                Err(error) => {
                    self.log(&error, units.len());
                    for unit in units {
                        self.give(unit, Vec::new(), Outcome::Failed).await;
                    }
                }
            }
        }
    }

    async fn deliver(&self, units: Vec<Unit>, histories: Vec<History>) {
        let mut by_labels: HashMap<Box<[u8]>, History> = histories
            .into_iter()
            .map(|history| (history.labels.clone(), history))
            .collect();
        for unit in units {
            let history: Vec<_> = unit
                .members
                .iter()
                .filter_map(|labels| by_labels.remove(labels))
                .collect();
            self.give(unit, history, Outcome::Empty).await;
        }
    }

    /// Gives a unit its past; `without` is what becomes of it if there is none.
    async fn give(&self, unit: Unit, history: Vec<History>, without: Outcome) {
        let nothing = history.is_empty();
        let waiting = unit.clone();
        let given = self.historian.give(unit, history).await;
        if given == Err(AskError::Busy) {
            // The shard may not have heard of it at all: it must not show a wait that has no end. If
            // it is at it, this comes behind.
            for _ in 0..self.config.tries {
                if self.historian.give(waiting.clone(), Vec::new()).await != Err(AskError::Busy) {
                    break;
                }
            }
        }
        match given {
            _ if nothing => self.progress.done(without),
            Ok(Given::Warmed { samples: 0 }) => self.progress.done(Outcome::Empty),
            Ok(Given::Warmed { samples }) => self.progress.warmed(samples),
            Ok(Given::TooLate) => self.progress.done(Outcome::Late),
            Ok(Given::Gone) => self.progress.done(Outcome::Gone),
            Err(error) => {
                tracing::debug!(%error, "history: the engine did not take a past");
                self.progress.done(Outcome::Failed);
            }
        }
    }

    fn log(&self, error: &FetchError, series: usize) {
        let Ok(mut logged) = self.given_up.lock() else {
            return;
        };
        if logged.is_none_or(|at| at.elapsed() >= GIVEN_UP_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!(%error, series, "history: given up, these series warm up by themselves; saimon_history_series_total{{outcome=\"failed\"}} counts them");
        }
    }
}
