//! What saimon says about what people say of anomalies and do to targets.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Register, Text};

/// One label called `verdict`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerdictLabel {
    verdict: Text,
}

/// Numbers about feedback.
#[derive(Debug)]
pub struct FeedbackMetrics {
    /// `saimon_feedback_total{verdict}`.
    given: Family<VerdictLabel, Counter>,
    /// `saimon_feedback_undone_total`.
    pub undone: Counter,
    /// `saimon_maintenance_windows_active`.
    pub windows: Gauge,
    /// `saimon_changes_seen_total`.
    pub changes: Counter,
}

impl FeedbackMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        let made = Self {
            given: r.made(
                "feedback",
                "what people said of anomalies, by what they said",
            ),
            undone: r.made("feedback_undone", "feedback that was taken back"),
            windows: r.made(
                "maintenance_windows_active",
                "windows of maintenance that hold now",
            ),
            changes: r.made(
                "changes_seen",
                "restarts and new builds of targets that were seen in the data",
            ),
        };
        for verdict in ["confirmed", "rejected"] {
            let verdict = Text(verdict);
            drop(made.given.get_or_create(&VerdictLabel { verdict }));
        }
        made
    }

    /// Somebody said so.
    pub fn given(&self, verdict: &'static str) {
        let verdict = Text(verdict);
        self.given.get_or_create(&VerdictLabel { verdict }).inc();
    }
}

/// `saimon_silences*`: what is read of an Alertmanager.
#[derive(Debug)]
pub struct SilenceMetrics {
    /// `saimon_silences_polls_total`.
    pub polls: Counter,
    /// `saimon_silences_poll_failures_total`.
    pub failures: Counter,
    /// `saimon_silences_held`.
    pub held: Gauge,
    /// `saimon_silences_left_out`.
    pub left_out: Gauge,
}

impl SilenceMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        Self {
            polls: r.made(
                "silences_polls",
                "how often the silences of the Alertmanager were asked for",
            ),
            failures: r.made(
                "silences_poll_failures",
                "how often they were not to be had, so that those that are known stay",
            ),
            held: r.made(
                "silences_held",
                "silences of the Alertmanager, active and pending, that are windows of maintenance",
            ),
            left_out: r.made(
                "silences_left_out",
                "silences that are none: about no series, about all, or too many",
            ),
        }
    }
}
