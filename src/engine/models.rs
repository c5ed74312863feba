//! Orders about the model of one series: a fit at once, an earlier version, a pin, a fresh start.
//!
//! An order goes through the line in which requests stand: it is a record of the write-ahead log, and
//! its shard does it between the two batches between which it was given. So it survives whatever ends
//! the process, and what follows from it is the same when it is read back.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::shard::Shard;
use crate::config::ForestUse;
use crate::model::SeriesSpec;
use crate::model::forest::Tier;
use crate::score::judge::Judge;

/// First byte of an order in the log.
const VERSION: u8 = 1;

/// What is wanted of the model of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Only to be told of it. Not kept.
    Tell,
    /// Its forest grown anew with its next sample.
    Train,
    /// This version of its forest from its next sample on, until a fit is asked for.
    GoBack(u32),
    /// No fits until one is asked for, or until it is no longer pinned.
    Pin(bool),
    /// A model that has seen nothing; the window stays.
    Reset,
}

impl Wish {
    /// As paths and metrics name it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tell => "tell",
            Self::Train => "retrain",
            Self::GoBack(_) => "rollback",
            Self::Pin(true) => "pin",
            Self::Pin(false) => "unpin",
            Self::Reset => "reset",
        }
    }
}

/// A wish about one series.
#[derive(Debug)]
pub struct ModelOrder {
    /// Its canonical label bytes.
    pub labels: Box<[u8]>,
    pub wish: Wish,
    /// Nobody waits for the answer to an order that is read from the log again.
    pub answer: Option<oneshot::Sender<Done>>,
}

/// What became of an order; `None` if there is no such series with a model of its own in memory.
pub type Done = Option<Result<ModelStatus, NotDone>>;

#[derive(Serialize, Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    labels: &'a [u8],
    wish: Wish,
}

impl ModelOrder {
    /// The order as a record.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let kept = Kept {
            labels: &self.labels,
            wish: self.wish,
        };
        let bytes = postcard::to_extend(&kept, vec![VERSION]);
        bytes.expect("BUG: plain data can be written")
    }

    /// The order in a record; `None` if another version wrote it, or if it is damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&VERSION, rest) = bytes.split_first()? else {
            return None;
        };
        let kept: Kept<'_> = postcard::from_bytes(rest).ok()?;
        Some(Self {
            labels: kept.labels.into(),
            wish: kept.wish,
            answer: None,
        })
    }
}

/// Where a series stands with its forest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForestState {
    /// A rule or the configuration says that it has none.
    Unwanted,
    /// There is no memory for one: others ask more often.
    NoRoom,
    /// Too few samples yet.
    Gathering { rows: usize },
    /// This version is in use.
    Version(u32),
}

/// What is known of the model of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelStatus {
    pub forest: ForestState,
    /// The versions that can be gone back to, oldest first: number, and time of the sample at which
    /// it was ordered in milliseconds.
    pub versions: Vec<(u32, i64)>,
    /// Share of its samples for which it asks a forest, or would.
    pub asks: f32,
    /// Memory of forest and rows.
    pub forest_bytes: usize,
    /// No fits until one is asked for.
    pub pinned: bool,
    /// Of the version in use, how long the fit took and what the mean score of its rows is, see
    /// [`crate::model::forest::work::Work::typical`]; the time only if a trainer did it.
    pub fit: Option<(Option<Duration>, f32)>,
}

/// Why a wish was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    #[error("the series has no forest")]
    NoForest,
    #[error(transparent)]
    NoVersion(#[from] crate::model::forest::tier::NoVersion),
}

impl ModelOrder {
    /// Does what is wanted.
    pub(super) fn carry_out(self, shard: &mut Shard) {
        if self.wish == Wish::Reset {
            shard.tell_fresh_start(&self.labels);
        }
        let done = shard.with_judge(&self.labels, |judge, spec| {
            if self.wish == Wish::Reset {
                *judge = judge.afresh(spec);
                return Ok(ModelStatus::of(judge, spec));
            }
            let forest = judge.forest_mut();
            match (self.wish, forest) {
                (Wish::Tell | Wish::Reset, _) => {}
                (_, None) => return Err(NotDone::NoForest),
                (Wish::Train, Some(tier)) => tier.request(),
                (Wish::Pin(yes), Some(tier)) => tier.pin(yes),
                (Wish::GoBack(version), Some(tier)) => tier.go_back(&spec.forest, version)?,
            }
            Ok(ModelStatus::of(judge, spec))
        });
        if let Some(answer) = self.answer {
            let _ = answer.send(done);
        }
    }
}

impl ModelStatus {
    pub(super) fn of(judge: &Judge, spec: &SeriesSpec) -> Self {
        let tier = judge.forest();
        Self {
            forest: match tier {
                None if spec.forest.wanted == ForestUse::Never => ForestState::Unwanted,
                None => ForestState::NoRoom,
                Some(tier) => tier.version().map_or(
                    ForestState::Gathering { rows: tier.rows() },
                    ForestState::Version,
                ),
            },
            versions: tier.map_or_else(Vec::new, |t| {
                t.versions().map(|m| (m.version, m.t_ms)).collect()
            }),
            asks: judge.asks(),
            forest_bytes: tier.map_or(0, |tier| tier.bytes()),
            pinned: tier.is_some_and(Tier::is_pinned),
            fit: tier
                .and_then(Tier::fit)
                .and_then(|work| Some((work.time_taken(), work.typical()?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_back_and_another_version_is_none() {
        let order = ModelOrder {
            labels: (*b"labels").into(),
            wish: Wish::GoBack(7),
            answer: None,
        };
        let mut bytes = order.to_bytes();
        let again = ModelOrder::from_bytes(&bytes).unwrap();
        assert_eq!((&*again.labels, again.wish), (&b"labels"[..], order.wish));
        assert!(ModelOrder::from_bytes(&bytes[..4]).is_none());
        bytes[0] += 1;
        assert!(ModelOrder::from_bytes(&bytes).is_none());
        assert!(ModelOrder::from_bytes(&[]).is_none());
    }
}
