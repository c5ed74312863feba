//! What a shard says of its series: what each is, how far its model is, and whether it has an anomaly.
//!
//! Asked for a page at a time, in the order of fingerprints, which are the same after a restart and for
//! any number of shards. A shard looks at all its series for each page, a slice at a time between two
//! batches, and keeps no more of them than the page has.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::ask::{self, AskError, Question, Reader};
use super::models::ModelStatus;
use super::shard::Shard;
use crate::model::calendar::Calendar;
use crate::score::board::Alarm;
use crate::series::matcher::Selector;

/// Series whose labels are looked at in one slice.
pub(super) const SLICE: u32 = 512;

/// What a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Gauge,
    Counter,
    /// A statistic of a histogram, which has no samples of its own.
    Statistic,
    /// It is kept and not modelled.
    Window,
    /// It is put aside, so that what it is needs a sample to be known.
    Asleep,
}

impl Sort {
    pub const ALL: [Self; 5] = [
        Self::Gauge,
        Self::Counter,
        Self::Statistic,
        Self::Window,
        Self::Asleep,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Statistic => "statistic",
            Self::Window => "window",
            Self::Asleep => "asleep",
        }
    }
}

/// How far the model of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// No scores yet.
    Warmup,
    /// Scores, and severity at most low.
    Young,
    Mature,
    /// Its last sample was a staleness marker.
    Ended,
    /// There is no model, or it is not in memory.
    None,
}

impl Stage {
    pub const ALL: [Self; 5] = [
        Self::Warmup,
        Self::Young,
        Self::Mature,
        Self::Ended,
        Self::None,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warmup => "warmup",
            Self::Young => "young",
            Self::Mature => "mature",
            Self::Ended => "ended",
            Self::None => "none",
        }
    }
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesStatus {
    /// Canonical label bytes.
    pub labels: Box<[u8]>,
    pub sort: Sort,
    pub stage: Stage,
    /// It should send and does not.
    pub missing: bool,
    /// Time of its newest sample, in milliseconds.
    pub last_ms: Option<i64>,
    /// The newest score, if it is of now.
    pub score: Option<f32>,
    pub alarm: Option<Alarm>,
    pub model: Option<ModelSummary>,
}

/// The model of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelSummary {
    /// Usual distance of two samples in milliseconds.
    pub interval_ms: f64,
    /// Values judged so far.
    pub samples: u32,
    /// Values until there are scores, and until severity is not limited.
    pub warmup: u32,
    pub young: u32,
    /// Where its values lie when no time of the day is known, and how far they spread.
    pub level: f64,
    pub scale: f64,
    /// It knows its days, and judges by them.
    pub knows_the_day: bool,
    /// Of which zone its days are.
    pub calendar: Calendar,
    /// Memory of the model in bytes.
    pub bytes: usize,
    pub forest: ModelStatus,
}

/// Which series are wanted; what is empty or `None` holds for all.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Any of these.
    pub selectors: Vec<Selector>,
    /// That with this fingerprint alone.
    pub fingerprint: Option<u64>,
    pub sorts: Vec<Sort>,
    pub stages: Vec<Stage>,
    pub missing: Option<bool>,
    pub knows_the_day: Option<bool>,
    /// Only those with a model.
    pub modelled: bool,
    /// Only those after this fingerprint.
    pub after: Option<u64>,
    /// The first of them.
    pub limit: usize,
}

impl Wanted {
    pub(super) fn has_regex(&self) -> bool {
        self.selectors.iter().any(Selector::has_regex)
    }

    /// By what is known before anything is looked up.
    pub(super) fn wants(&self, fingerprint: u64, labels: &[u8]) -> bool {
        self.after.is_none_or(|after| fingerprint > after)
            && self.fingerprint.is_none_or(|f| f == fingerprint)
            && (self.selectors.is_empty()
                || self.selectors.iter().any(|s| s.matches_labels(labels)))
    }

    fn wants_such(&self, status: &SeriesStatus) -> bool {
        let day = status.model.as_ref().is_some_and(|m| m.knows_the_day);
        (self.sorts.is_empty() || self.sorts.contains(&status.sort))
            && (self.stages.is_empty() || self.stages.contains(&status.stage))
            && self.missing.is_none_or(|m| m == status.missing)
            && self.knows_the_day.is_none_or(|d| d == day)
            && (!self.modelled || status.model.is_some())
    }
}

/// A page that is being made.
#[derive(Debug, Default)]
pub(super) struct Pages(BTreeMap<u64, SeriesStatus>);

impl Pages {
    /// True if a series with this fingerprint would be on it.
    pub(super) fn reaches(&self, wanted: &Wanted, fingerprint: u64) -> bool {
        self.0.len() <= wanted.limit
            || self
                .0
                .last_key_value()
                .is_some_and(|(last, _)| fingerprint < *last)
    }

    /// Takes a series, and gives up the last one if there is one too many: one more than the page has
    /// says that there are more.
    pub(super) fn take(&mut self, wanted: &Wanted, fingerprint: u64, status: SeriesStatus) {
        if wanted.wants_such(&status) {
            self.0.insert(fingerprint, status);
            if self.0.len() > wanted.limit.saturating_add(1) {
                self.0.pop_last();
            }
        }
    }
}

/// A page that is asked for.
#[derive(Debug)]
pub struct Asked {
    pub(super) wanted: Arc<Wanted>,
    pub(super) next: u32,
    pub(super) found: Pages,
    pub(super) answer: oneshot::Sender<Pages>,
}

impl Asked {
    /// Looks at some more; gives itself back if there are more.
    pub(super) fn step(mut self, shard: &Shard, slice: u32) -> Option<Self> {
        match shard.describe(&self.wanted, self.next, slice, &mut self.found) {
            Some(next) => Some(Self { next, ..self }),
            None => {
                let _ = self.answer.send(self.found);
                None
            }
        }
    }
}

impl Reader {
    /// The first series that are wanted, in the order of their fingerprints, and whether there are
    /// more.
    ///
    /// # Errors
    /// If a shard cannot answer.
    pub async fn series(
        &self,
        wanted: Wanted,
    ) -> Result<(Vec<(u64, SeriesStatus)>, bool), AskError> {
        let wanted = Arc::new(wanted);
        let mut answers = Vec::new();
        for sender in self.shards() {
            let (answer, answered) = oneshot::channel();
            let asked = Asked {
                wanted: Arc::clone(&wanted),
                next: 0,
                found: Pages::default(),
                answer,
            };
            ask::ask(sender, Question::Series(asked)).await?;
            answers.push(answered);
        }
        let mut all = BTreeMap::new();
        for answered in answers {
            all.extend(ask::answer(answered).await?.0);
        }
        let more = all.len() > wanted.limit;
        Ok((all.into_iter().take(wanted.limit).collect(), more))
    }
}
