//! What is counted and said of one receiver.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::round::Round;
use crate::output::request::Request;
use crate::output::sender::{Attempt, End, Sent, Watch};
use crate::telemetry::output::{Dropped, ReceiverMetrics};

/// What fails is said in the log this often at most.
const SAY_EVERY: Duration = Duration::from_secs(60);

pub(super) struct ReceiverWatch {
    metrics: ReceiverMetrics,
    /// What is sent may have arrived already: a receiver that refuses it has it.
    resending: AtomicBool,
    said: Mutex<Option<Instant>>,
}

impl ReceiverWatch {
    pub(super) fn new(metrics: ReceiverMetrics) -> Self {
        Self {
            metrics,
            resending: AtomicBool::new(false),
            said: Mutex::new(None),
        }
    }

    pub(super) fn resends(&self, yes: bool) {
        self.resending.store(yes, Ordering::Relaxed);
    }

    pub(super) fn pending(&self, rows: u64) {
        let rows = i64::try_from(rows).unwrap_or(i64::MAX);
        self.metrics.pending.set(rows);
    }

    pub(super) fn newest(&self, t_ms: Option<i64>) {
        if let Some(t_ms) = t_ms {
            self.metrics.newest.set(t_ms as f64 / 1000.0);
        }
    }

    /// Counts what a round does not send.
    pub(super) fn left_out(&self, round: &Round) {
        for (reason, n) in [
            (Dropped::Full, round.full),
            (Dropped::Damaged, round.damaged),
            (Dropped::Age, round.aged),
            (Dropped::Labels, round.unfit),
        ] {
            self.metrics.dropped(reason, n);
        }
        if round.full > 0 && self.may_say() {
            tracing::warn!(
                rows = round.full,
                "scores were given up because more waited than queue_config.limit allows"
            );
        }
        if round.damaged > 0 && self.may_say() {
            tracing::warn!(rows = round.damaged, "scores in the queue are damaged");
        }
    }

    pub(super) fn cannot_read(&self, error: &std::io::Error) {
        if self.may_say() {
            tracing::error!(%error, "the queue of scores cannot be read: it is tried again");
        }
    }

    fn may_say(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let may = said.is_none_or(|at| at.elapsed() >= SAY_EVERY);
        if may {
            *said = Some(Instant::now());
        }
        may
    }
}

impl Watch for ReceiverWatch {
    fn attempted(&self, attempt: &Attempt) {
        self.metrics.request(attempt.status);
        if attempt.again {
            self.metrics.retries.inc();
        }
    }

    fn failed(&self, what: &str) {
        if self.may_say() {
            tracing::warn!("a request with scores failed: {what}");
        }
    }

    fn ended(&self, _: &Request, sent: &Sent) {
        self.metrics.sent.inc_by(sent.written as u64);
        let lost = sent.lost as u64;
        match sent.end {
            End::Written | End::GivenUp => {}
            End::Short => self.metrics.dropped(Dropped::Short, lost),
            End::Refused(_) if self.resending.load(Ordering::Relaxed) => {}
            End::Refused(_) | End::NotSpoken => self.metrics.dropped(Dropped::Refused, lost),
        }
    }
}
