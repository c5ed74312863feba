//! What is counted of reading the past of new series.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use super::{Register, Text};

/// What became of a series (or of a histogram with all of its parts) that wanted its past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(usize)]
pub enum Outcome {
    /// Rebuilt from its past.
    Warmed,
    /// The server has no past of it.
    Empty,
    /// Its live samples were no longer all in memory when its past came.
    Late,
    /// It was gone by then, or there was no room.
    Gone,
    /// Its past could not be read.
    Failed,
    /// Not within `history.selector`.
    LeftOut,
}

impl Outcome {
    pub const ALL: [Self; 6] = [
        Self::Warmed,
        Self::Empty,
        Self::Late,
        Self::Gone,
        Self::Failed,
        Self::LeftOut,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warmed => "warmed",
            Self::Empty => "empty",
            Self::Late => "late",
            Self::Gone => "gone",
            Self::Failed => "failed",
            Self::LeftOut => "left_out",
        }
    }
}

/// One label called `outcome`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabel {
    outcome: Text,
}

/// `saimon_history_*`. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct HistoryMetrics {
    /// `saimon_history_requests_total`.
    pub requests: Counter,
    /// `saimon_history_failures_total`: tries without a complete answer.
    pub failures: Counter,
    /// `saimon_history_samples_total`: samples that series were rebuilt from.
    pub samples: Counter,
    /// `saimon_history_skipped_total`: native histograms that could not be read, by answer and series.
    pub skipped: Counter,
    series: Vec<Counter>,
}

impl HistoryMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        let family = Family::<OutcomeLabel, Counter>::default();
        let series = Outcome::ALL
            .iter()
            .map(|o| {
                let outcome = Text(o.as_str());
                family.get_or_create(&OutcomeLabel { outcome }).clone()
            })
            .collect();
        r.add(
            "history_series",
            "new series by what became of reading their past; a histogram is one",
            family,
        );
        Self {
            requests: r.made("history_requests", "requests for the past of series"),
            failures: r.made(
                "history_failures",
                "requests for the past of series without a complete answer",
            ),
            samples: r.made(
                "history_samples",
                "samples of the past that series were rebuilt from",
            ),
            skipped: r.made(
                "history_skipped",
                "native histograms of the past that could not be read, by answer and series",
            ),
            series,
        }
    }

    pub fn count(&self, outcome: Outcome, n: u64) {
        if let Some(counter) = self.series.get(outcome as usize) {
            counter.inc_by(n);
        }
    }

    pub fn get(&self, outcome: Outcome) -> u64 {
        self.series.get(outcome as usize).map_or(0, Counter::get)
    }

    /// Series that are done with.
    pub fn done(&self) -> u64 {
        self.series.iter().map(Counter::get).sum()
    }
}
