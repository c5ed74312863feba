//! How far the reading of history is, for the log and for a terminal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::telemetry::history::{HistoryMetrics, Outcome};

/// Counts of one run. The numbers are the process' own `saimon_history_*`, so there is one truth.
#[derive(Debug, Clone)]
pub struct Progress {
    counts: HistoryMetrics,
    taken: std::sync::Arc<AtomicU64>,
}

/// Where a run stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Series that were taken up and are not done with.
    pub waiting: u64,
    pub warmed: u64,
    pub empty: u64,
    /// Neither: failed, too late, gone or left out.
    pub others: u64,
    pub failed: u64,
    pub samples: u64,
    pub requests: u64,
    pub failures: u64,
}

impl Progress {
    pub fn new(counts: &HistoryMetrics) -> Self {
        Self {
            counts: counts.clone(),
            taken: std::sync::Arc::default(),
        }
    }

    pub fn take(&self, series: usize) {
        self.taken.fetch_add(series as u64, Ordering::Relaxed);
    }

    pub fn done(&self, outcome: Outcome) {
        self.counts.count(outcome, 1);
    }

    pub fn warmed(&self, samples: u64) {
        self.counts.samples.inc_by(samples);
        self.done(Outcome::Warmed);
    }

    pub fn standing(&self) -> Standing {
        let counts = &self.counts;
        let (warmed, empty) = (counts.get(Outcome::Warmed), counts.get(Outcome::Empty));
        let done = counts.done();
        Standing {
            waiting: self.taken.load(Ordering::Relaxed).saturating_sub(done),
            warmed,
            empty,
            others: done.saturating_sub(warmed + empty),
            failed: counts.get(Outcome::Failed),
            samples: counts.samples.get(),
            requests: counts.requests.get(),
            failures: counts.failures.get(),
        }
    }
}

impl Standing {
    /// Series that are done with.
    pub fn done(&self) -> u64 {
        self.warmed + self.empty + self.others
    }

    /// One line for a terminal or a file.
    pub fn line(&self) -> String {
        format!(
            "{} series done, {} waiting, {} samples, {} requests, {} failures",
            self.done(),
            self.waiting,
            self.samples,
            self.requests,
            self.failures
        )
    }

    /// One line for the log.
    pub fn log(&self, what: &str, took: Option<Duration>) {
        tracing::info!(
            done = self.done(),
            warmed = self.warmed,
            without_history = self.empty,
            failed = self.failed,
            waiting = self.waiting,
            samples = self.samples,
            requests = self.requests,
            failures = self.failures,
            seconds = took.map(|t| t.as_secs()),
            "history: {what}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn every_series_is_waiting_or_has_an_outcome() {
        let progress = Progress::new(&Metrics::new().history);
        progress.take(5);
        progress.warmed(7);
        progress.done(Outcome::Empty);
        progress.done(Outcome::Failed);
        let at = progress.standing();
        assert_eq!((at.done(), at.waiting, at.warmed), (3, 2, 1));
        assert_eq!((at.empty, at.others, at.failed, at.samples), (1, 1, 1, 7));
        assert_eq!(
            at.line(),
            "3 series done, 2 waiting, 7 samples, 0 requests, 0 failures"
        );
    }
}
