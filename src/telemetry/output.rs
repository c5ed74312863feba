//! What is counted of the scores that are sent to others.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Register, Text};

/// Stands for every receiver: what is lost before the queue is lost for all of them.
const ALL: &str = "all";

/// Why a sample was not sent, or not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Dropped {
    /// Shards made scores faster than they could be written down.
    Overload,
    /// The queue on disk could not be written.
    Disk,
    /// What waited for the receiver was at `queue_config.limit`: the oldest went.
    Full,
    /// The queue was damaged there.
    Damaged,
    /// Older than `queue_config.sample_age_limit`.
    Age,
    /// Relabelling left labels that nobody takes.
    Labels,
    /// The receiver refused it for good.
    Refused,
    /// The receiver answered with 2xx and did not write all.
    Short,
}

impl Dropped {
    pub const ALL: [Self; 8] = [
        Self::Overload,
        Self::Disk,
        Self::Full,
        Self::Damaged,
        Self::Age,
        Self::Labels,
        Self::Refused,
        Self::Short,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Overload => "overload",
            Self::Disk => "disk",
            Self::Full => "full",
            Self::Damaged => "damaged",
            Self::Age => "age",
            Self::Labels => "labels",
            Self::Refused => "refused",
            Self::Short => "short",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceiverLabel {
    receiver: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DroppedLabels {
    receiver: String,
    reason: Text,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabels {
    receiver: String,
    code: String,
}

/// `saimon_output_*`. Clones count together.
#[derive(Debug, Clone)]
pub struct OutputMetrics {
    /// `saimon_output_queue_bytes`.
    pub queue_bytes: Gauge,
    /// `saimon_output_queue_errors_total`.
    pub queue_errors: Counter,
    /// `saimon_output_queued_rows_total`.
    pub queued: Counter,
    dropped: Family<DroppedLabels, Counter>,
    sent: Family<ReceiverLabel, Counter>,
    retries: Family<ReceiverLabel, Counter>,
    requests: Family<CodeLabels, Counter>,
    pending: Family<ReceiverLabel, Gauge>,
    newest: Family<ReceiverLabel, Gauge<f64, AtomicU64>>,
}

/// What is counted of one receiver.
#[derive(Debug, Clone)]
pub struct ReceiverMetrics {
    name: String,
    /// Samples that it took.
    pub sent: Counter,
    /// Requests that were sent again.
    pub retries: Counter,
    /// Judged samples that wait for it.
    pub pending: Gauge,
    /// Timestamp of the newest sample that it took, in seconds.
    pub newest: Gauge<f64, AtomicU64>,
    requests: Family<CodeLabels, Counter>,
    dropped: Vec<Counter>,
}

impl OutputMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        Self {
            queue_bytes: r.made(
                "output_queue_bytes",
                "bytes on disk of scores that wait to be sent",
            ),
            queue_errors: r.made(
                "output_queue_errors",
                "failed reads and writes of the queue of scores on disk",
            ),
            queued: r.made(
                "output_queued_rows",
                "judged samples that were written down to be sent",
            ),
            dropped: r.made(
                "output_dropped",
                "samples that were not sent to a receiver, or not taken by it",
            ),
            sent: r.made("output_samples", "samples that a receiver took"),
            retries: r.made("output_retries", "requests that were sent again"),
            requests: r.made(
                "output_requests",
                "requests sent to a receiver by answered status; none: no answer",
            ),
            pending: r.made(
                "output_pending_rows",
                "judged samples on disk that wait for a receiver",
            ),
            newest: r.made(
                "output_newest_timestamp_seconds",
                "timestamp of the newest sample that a receiver took",
            ),
        }
    }

    /// Counts rows that shards had to drop.
    pub fn overloaded(&self, rows: u64) {
        if rows > 0 {
            self.lost(Dropped::Overload, rows);
        }
    }

    /// Counts rows that are lost for all receivers.
    pub fn lost(&self, reason: Dropped, rows: u64) {
        self.dropped_of(ALL, reason).inc_by(rows);
    }

    /// The counters of one receiver, at zero; makes those for all of them too.
    pub fn receiver(&self, name: &str) -> ReceiverMetrics {
        let label = ReceiverLabel {
            receiver: name.to_owned(),
        };
        for reason in [Dropped::Overload, Dropped::Disk] {
            self.lost(reason, 0);
        }
        ReceiverMetrics {
            name: name.to_owned(),
            sent: self.sent.get_or_create(&label).clone(),
            retries: self.retries.get_or_create(&label).clone(),
            pending: self.pending.get_or_create(&label).clone(),
            newest: self.newest.get_or_create(&label).clone(),
            requests: self.requests.clone(),
            dropped: Dropped::ALL
                .iter()
                .map(|reason| match reason {
                    // Those are lost for all.
                    Dropped::Overload | Dropped::Disk => self.dropped_of(ALL, *reason),
                    _ => self.dropped_of(name, *reason),
                })
                .collect(),
        }
    }

    fn dropped_of(&self, receiver: &str, reason: Dropped) -> Counter {
        let labels = DroppedLabels {
            receiver: receiver.to_owned(),
            reason: Text(reason.as_str()),
        };
        self.dropped.get_or_create(&labels).clone()
    }
}

impl ReceiverMetrics {
    pub fn dropped(&self, reason: Dropped, samples: u64) {
        self.dropped[reason as usize].inc_by(samples);
    }

    /// Counts a request; `None` if there was no answer.
    pub fn request(&self, status: Option<u16>) {
        let labels = CodeLabels {
            receiver: self.name.clone(),
            code: status.map_or_else(|| "none".to_owned(), |s| s.to_string()),
        };
        self.requests.get_or_create(&labels).inc();
    }
}
