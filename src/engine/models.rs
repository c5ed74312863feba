//! Questions and orders about the model of one series: which versions of its forest there are, a fit
//! at once, an earlier version.
//!
//! An order is not part of the record of samples: after a crash it is as if it had come before or
//! after the last checkpoint.

use tokio::sync::{mpsc, oneshot};

use super::ask::{self, AskError, Question};
use super::router::partition;
use super::shard::{Message, Shard};
use crate::config::ForestUse;
use crate::model::SeriesSpec;
use crate::score::judge::Judge;
use crate::series::family;

/// What is wanted of the model of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Only to be told of it.
    Tell,
    /// Its forest grown anew with its next sample.
    Train,
    /// This version of its forest from its next sample on, until a fit is asked for.
    GoBack(u32),
}

/// A wish about one series.
#[derive(Debug)]
pub struct ModelOrder {
    /// Its canonical label bytes.
    pub labels: Box<[u8]>,
    pub wish: Wish,
    pub answer: oneshot::Sender<Option<Result<ModelStatus, NotDone>>>,
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
    pub(super) fn answer(self, shard: &mut Shard) {
        let done = shard.with_judge(&self.labels, |judge, spec| {
            let forest = judge.forest_mut();
            match (self.wish, forest) {
                (Wish::Tell, _) => {}
                (_, None) => return Err(NotDone::NoForest),
                (Wish::Train, Some(tier)) => tier.request(),
                (Wish::GoBack(version), Some(tier)) => tier.go_back(&spec.forest, version)?,
            }
            Ok(ModelStatus::of(judge, spec))
        });
        let _ = self.answer.send(done);
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
        }
    }
}

/// Asks the shard that owns the series with these canonical label bytes; `None` if there is none
/// with a model of its own.
///
/// # Errors
/// If the shard cannot answer.
pub async fn order(
    shards: &[mpsc::Sender<Message>],
    labels: &[u8],
    wish: Wish,
) -> Result<Option<Result<ModelStatus, NotDone>>, AskError> {
    let (answer, answered) = oneshot::channel();
    let owner = partition(family::home(labels)) % shards.len().max(1);
    let Some(sender) = shards.get(owner) else {
        return Err(AskError::Closed);
    };
    let order = ModelOrder {
        labels: labels.into(),
        wish,
        answer,
    };
    ask::ask(sender, Question::Model(order)).await?;
    ask::answer(answered).await
}
