//! Reads the past of every series there is, once: what `saimon backfill` does.
//!
//! The server is asked which metrics and series it has, then the series are read in batches and
//! planted in the engine. What always holds: what was planted stays, whatever fails later; a series
//! whose past could not be read is counted as failed.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::fetch::{FetchError, Fetcher};
use super::plan::{self, Condition, Members, Query};
use super::progress::{Progress, Standing};
use super::source::SourceError;
use super::span::Span;
use crate::config::HistoryConfig;
use crate::engine::history::{Given, Historian, History};
use crate::series::family;
use crate::series::labels::{self, METRIC_NAME};
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::telemetry::history::Outcome;

/// Metrics whose series are asked for together.
const NAMES_TOGETHER: usize = 50;
const BAR_EVERY: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// What to read.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Series that match one of these; none means all.
    pub selectors: Vec<Selector>,
    pub span: Span,
    /// Series at most.
    pub series_max: usize,
}

/// What came of it.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    pub standing: Standing,
    pub took: Duration,
    /// It was told to stop before the end.
    pub stopped: bool,
}

impl Report {
    /// True if there were series and the past of all of them is known now.
    pub fn is_complete(&self) -> bool {
        !self.stopped && self.standing.failed == 0 && self.standing.done() > 0
    }
}

/// Why nothing, or not all, was read.
#[derive(Debug, thiserror::Error)]
pub enum OnceError {
    #[error("the series of the server are not known")]
    Discover(#[from] FetchError),
    #[error(
        "the server has more than {0} series: choose some with --selector, or raise limits.series"
    )]
    TooManySeries(usize),
}

/// Who reads and who takes.
#[derive(Debug, Clone)]
pub struct Once {
    fetcher: Arc<Fetcher>,
    historian: Historian,
    config: Arc<HistoryConfig>,
    progress: Progress,
}

impl Once {
    pub fn new(
        fetcher: Fetcher,
        historian: Historian,
        config: &HistoryConfig,
        progress: Progress,
    ) -> Self {
        Self {
            fetcher: Arc::new(fetcher),
            historian,
            config: Arc::new(config.clone()),
            progress,
        }
    }

    /// Reads everything that is planned, or until `stop` is cancelled. Shows how far it is on
    /// standard error: a bar on a terminal, lines elsewhere.
    ///
    /// # Errors
    /// If the server's series cannot be found out.
    pub async fn run(&self, plan: &Plan, stop: &CancellationToken) -> Result<Report, OnceError> {
        let since = Instant::now();
        let shown = Shown::start(self.progress.clone());
        let done = stop.run_until_cancelled(self.all(plan, &shown)).await;
        shown.finish();
        Ok(Report {
            stopped: match done {
                Some(done) => done.map(|()| false)?,
                None => true,
            },
            standing: self.progress.standing(),
            took: since.elapsed(),
        })
    }

    async fn all(&self, plan: &Plan, shown: &Shown) -> Result<(), OnceError> {
        let units = self.discover(plan).await?;
        self.progress.take(units.len());
        shown.total(units.len());
        let batches = plan::batches(
            units.iter().map(|unit| &unit[..]),
            self.config.request_series as usize,
        );
        let mut units: Vec<_> = units.into_iter().map(Some).collect();
        let mut reading = JoinSet::new();
        for batch in batches {
            let members: Vec<_> = batch.into_iter().filter_map(|i| units[i].take()).collect();
            if reading.len() >= self.config.concurrency as usize {
                joined(reading.join_next().await);
            }
            let this = self.clone();
            let span = plan.span;
            reading.spawn(async move { this.batch(members, span).await });
        }
        while let Some(done) = reading.join_next().await {
            joined(Some(done));
        }
        Ok(())
    }

    /// The series of the server, as units: the parts of a histogram together.
    async fn discover(&self, plan: &Plan) -> Result<Vec<Vec<Box<[u8]>>>, OnceError> {
        let selectors: Vec<Query> = match &plan.selectors[..] {
            [] => vec![vec![named(MatchOp::NotEqual, "")]],
            some => some.iter().map(conditions).collect(),
        };
        let texts: Vec<_> = selectors.iter().map(|s| plan::selector(s)).collect();
        let source = self.fetcher.source();
        let mut tries = 0;
        let mut names = loop {
            match source.names(&texts, plan.span).await {
                Ok(names) => break names,
                Err(error) if error.is_denied() => {
                    return Err(FetchError::GivenUp { error, tries: 1 }.into());
                }
                Err(error) => self.fetcher.failed(error, &mut tries).await?,
            }
        };
        // Saimon's own series are never modelled.
        names.retain(|name| !name.starts_with("saimon_"));
        let mut units: HashMap<u64, Vec<Box<[u8]>>> = HashMap::new();
        let mut found = 0;
        let mut left: Vec<&[String]> = names.chunks(NAMES_TOGETHER).collect();
        while let Some(names) = left.pop() {
            match self.series(&selectors, names, plan.span).await {
                Ok(series) => {
                    found += series.len();
                    if found > plan.series_max {
                        return Err(OnceError::TooManySeries(plan.series_max));
                    }
                    for labels in series {
                        if labels::get(&labels, METRIC_NAME).is_some() {
                            let unit = units.entry(family::home(&labels)).or_default();
                            unit.push(labels);
                        }
                    }
                }
                Err(FetchError::TooMuch(_)) if names.len() > 1 => {
                    let (a, b) = names.split_at(names.len() / 2);
                    left.extend([a, b]);
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Two selectors may have found the same series.
        let mut units: Vec<_> = units.into_values().collect();
        for unit in &mut units {
            unit.sort();
            unit.dedup();
        }
        units.sort();
        Ok(units)
    }

    async fn series(
        &self,
        selectors: &[Query],
        names: &[String],
        span: Span,
    ) -> Result<Vec<Box<[u8]>>, FetchError> {
        let escaped: Vec<_> = names.iter().map(|name| regex::escape(name)).collect();
        let names = named(MatchOp::Regex, &escaped.join("|"));
        // Two conditions for the name hold both, as long as both are within the braces.
        let asked: Vec<_> = selectors
            .iter()
            .map(|selector| plan::selector(&[&selector[..], std::slice::from_ref(&names)].concat()))
            .collect();
        let mut tries = 0;
        loop {
            match self.fetcher.source().series(&asked, span).await {
                Ok(series) => return Ok(series),
                Err(error) => self.fetcher.failed(error, &mut tries).await?,
            }
        }
    }

    /// Reads and plants some units, in smaller batches if it is too much.
    async fn batch(&self, units: Vec<Vec<Box<[u8]>>>, span: Span) {
        let mut left = vec![units];
        while let Some(mut units) = left.pop() {
            if units.len() > self.fetcher.units_max() {
                left.push(units.split_off(units.len() / 2));
                left.push(units);
                continue;
            }
            let members: Vec<&Members> = units.iter().map(|unit| &unit[..]).collect();
            match self.fetcher.read(&members, span).await {
                Ok(histories) => self.plant(&units, histories).await,
                Err(FetchError::TooMuch(_)) if units.len() > 1 => {
                    self.fetcher.too_much(units.len());
                    left.push(units);
                }
                Err(error) => {
                    tracing::warn!(%error, series = units.len(), "backfill: not read");
                    for _ in &units {
                        self.progress.done(Outcome::Failed);
                    }
                }
            }
        }
    }

    async fn plant(&self, units: &[Vec<Box<[u8]>>], histories: Vec<History>) {
        let mut by_labels: HashMap<Box<[u8]>, History> = histories
            .into_iter()
            .map(|history| (history.labels.clone(), history))
            .collect();
        for unit in units {
            let history: Vec<_> = unit
                .iter()
                .filter_map(|labels| by_labels.remove(labels))
                .collect();
            if history.is_empty() {
                self.progress.done(Outcome::Empty);
                continue;
            }
            match self.historian.plant(history).await {
                Ok(Given::Warmed { samples }) => self.progress.warmed(samples),
                Ok(Given::TooLate) => self.progress.done(Outcome::Late),
                Ok(Given::Gone) => self.progress.done(Outcome::Gone),
                Err(error) => {
                    tracing::warn!(%error, "backfill: not taken");
                    self.progress.done(Outcome::Failed);
                }
            }
        }
    }
}

fn joined(done: Option<Result<(), tokio::task::JoinError>>) {
    if let Some(Err(error)) = done {
        tracing::error!(%error, "backfill: a reader ended with a panic");
    }
}

fn named(op: MatchOp, value: &str) -> Condition {
    Condition {
        name: METRIC_NAME.to_owned(),
        op,
        value: value.to_owned(),
    }
}

fn conditions(selector: &Selector) -> Query {
    let condition = |m: &Matcher| Condition {
        name: m.name().to_owned(),
        op: m.op(),
        value: m.value().to_owned(),
    };
    selector.matchers().iter().map(condition).collect()
}

/// For people.
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = &self.standing;
        let seconds = self.took.as_secs_f64();
        writeln!(
            f,
            "series    {} warmed, {} without samples, {} failed, {} left out",
            s.warmed,
            s.empty,
            s.failed,
            s.others.saturating_sub(s.failed)
        )?;
        writeln!(
            f,
            "samples   {} in {seconds:.1} s, {:.0}/s",
            s.samples,
            s.samples as f64 / seconds.max(1e-9)
        )?;
        write!(f, "requests  {} ({} failed)", s.requests, s.failures)?;
        if self.stopped {
            write!(f, "\nstopped before the end")?;
            if s.waiting > 0 {
                write!(f, ": {} series are left", s.waiting)?;
            }
        }
        Ok(())
    }
}

impl From<SourceError> for OnceError {
    fn from(error: SourceError) -> Self {
        Self::Discover(FetchError::GivenUp { error, tries: 1 })
    }
}

/// A bar on a terminal, lines elsewhere; both on standard error.
struct Shown {
    task: tokio::task::JoinHandle<()>,
    bar: ProgressBar,
}

impl Shown {
    fn start(progress: Progress) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = match terminal {
            true => ProgressBar::no_length(),
            false => ProgressBar::hidden(),
        };
        let style =
            ProgressStyle::with_template("{elapsed_precise} {bar:30} {pos}/{len} series, {msg}");
        bar.set_style(style.expect("BUG: a constant template"));
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let every = if terminal { BAR_EVERY } else { LINE_EVERY };
            loop {
                tokio::time::sleep(every).await;
                let at = progress.standing();
                if terminal {
                    shown.set_position(at.done());
                    shown.set_message(format!(
                        "{} samples, {} requests, {} failures",
                        at.samples, at.requests, at.failures
                    ));
                } else {
                    eprintln!("{}", at.line());
                }
            }
        });
        Self { task, bar }
    }

    fn total(&self, units: usize) {
        self.bar.set_length(units as u64);
    }

    fn finish(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
