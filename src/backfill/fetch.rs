//! Reads the past of a batch of series, however often that must be tried.
//!
//! What always holds: a batch is complete or it is a failure; failures are tried again a bounded
//! number of times, with pauses that grow; a server that asks to be left alone is, by everyone.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::external::Wanted;
use super::gather::Gather;
use super::pace::back_off;
use super::plan::{self, Members};
use super::source::error::Remedy;
use super::source::{Ask, Source, SourceError};
use super::span::Span;
use crate::config::HistoryConfig;
use crate::config::client::Address;
use crate::engine::history::History;
use crate::telemetry::history::HistoryMetrics;

/// Samples of one unit at most, whatever the configured bound says: a histogram of 60 buckets over a
/// day of samples every 15 s has 360,000.
const UNIT_SAMPLES_MAX: usize = 10_000_000;
/// A server that keeps failing is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(30);

/// Why a batch could not be read.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Worth trying with fewer series.
    #[error(transparent)]
    TooMuch(SourceError),
    #[error("{error}, after {tries} tries")]
    GivenUp { error: SourceError, tries: u32 },
}

/// Reads from one server. Shared by all who do.
#[derive(Debug)]
pub struct Fetcher {
    source: Source,
    config: HistoryConfig,
    counts: HistoryMetrics,
    /// For the jitter of pauses.
    random: Mutex<fastrand::Rng>,
    failing: Mutex<Failing>,
    /// Units that were not too much at once, as far as is known.
    units_max: AtomicUsize,
}

/// Failures since they were last logged.
#[derive(Debug, Default)]
struct Failing {
    logged: Option<Instant>,
    since: u64,
}

impl Fetcher {
    /// # Errors
    /// If the configuration of the client contradicts itself.
    pub fn new(
        address: &Address,
        config: &HistoryConfig,
        counts: &HistoryMetrics,
        random: fastrand::Rng,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            source: Source::new(address, config, counts)?,
            config: config.clone(),
            counts: counts.clone(),
            random: Mutex::new(random),
            failing: Mutex::default(),
            units_max: AtomicUsize::new(config.request_series as usize),
        })
    }

    pub fn source(&self) -> &Source {
        &self.source
    }

    /// The past of these units within `span`, by series; none of a series that has none.
    ///
    /// # Errors
    /// If it is not complete.
    pub async fn read(&self, units: &[&Members], span: Span) -> Result<Vec<History>, FetchError> {
        let mut tries = 0;
        let external = loop {
            match self.source.external().await {
                Ok(external) => break external,
                Err(error) => self.failed(error, &mut tries).await?,
            }
        };
        let members = units.iter().copied().flatten();
        let wanted = Arc::new(Wanted::new(members, external));
        let queries = plan::queries(units.iter().copied(), external);
        let samples_max = match units.len() {
            1 => UNIT_SAMPLES_MAX,
            _ => self.config.request_samples as usize,
        };
        let mut all = Gather::new(&wanted, span, samples_max);
        for part in span.parts(self.config.request_range) {
            let ask = Ask {
                queries: &queries,
                wanted: &wanted,
                span: part,
                samples_max: samples_max - all.samples(),
            };
            let mut tries = 0;
            let got = loop {
                match self.source.fetch(&ask).await {
                    Ok(got) => break got,
                    Err(error) => self.failed(error, &mut tries).await?,
                }
            };
            self.source.pace().brought(got.samples());
            all.absorb(got);
        }
        self.counts.skipped.inc_by(all.skipped);
        Ok(all.finish())
    }

    /// Units to be read together: fewer, once so many were too much.
    pub fn units_max(&self) -> usize {
        self.units_max.load(Ordering::Relaxed)
    }

    /// Says that so many units were too much.
    pub fn too_much(&self, units: usize) {
        self.units_max
            .fetch_min((units / 2).max(1), Ordering::Relaxed);
    }

    /// Takes note of a failed try and waits for the next one.
    ///
    /// # Errors
    /// If there should be none.
    pub async fn failed(&self, error: SourceError, tries: &mut u32) -> Result<(), FetchError> {
        *tries += 1;
        let tries = *tries;
        self.counts.failures.inc();
        let after = match error.remedy() {
            Remedy::Again(after) if tries < self.config.tries => after,
            Remedy::Less => return Err(FetchError::TooMuch(error)),
            _ => return Err(FetchError::GivenUp { error, tries }),
        };
        self.log(&error);
        if let Some(after) = after {
            self.source.pace().hold(after);
        }
        tokio::time::sleep(back_off(tries, self.random())).await;
        Ok(())
    }

    /// The first failure of a while; how many were not shown is told with the next one.
    fn log(&self, error: &SourceError) {
        let Ok(mut failing) = self.failing.lock() else {
            return;
        };
        if failing.logged.is_some_and(|at| at.elapsed() < LOG_EVERY) {
            failing.since += 1;
            return;
        }
        let more = std::mem::take(&mut failing.since);
        failing.logged = Some(Instant::now());
        tracing::warn!(%error, not_shown = more, "history: a request failed and is tried again");
    }

    fn random(&self) -> f64 {
        self.random.lock().map_or(0.5, |mut random| random.f64())
    }
}
