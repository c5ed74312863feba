//! History for new series: models that begin where the user's Prometheus remembers, not at zero.
//!
//! A shard remembers which series were born (if somebody wants to know), gives them out once, and
//! rebuilds each from its history followed by its live samples. What always holds: live samples are
//! scored on arrival meanwhile and are never replaced or delayed; afterwards the series is what it
//! would be if its history had come live.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::ask::{self, AskError, Question};
use super::router;
use super::shard::Message;
use crate::series::family;
use crate::wire::histogram::NativeHistogram;

/// What belongs together and wants history: one series, or all parts of one histogram.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// Canonical label bytes of each.
    pub members: Vec<Box<[u8]>>,
    pub(super) shard: u32,
}

/// The past of one series.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// Canonical label bytes.
    pub labels: Box<[u8]>,
    /// (Milliseconds, value), in order of time. What is not older than the oldest live sample is left
    /// out.
    pub floats: Vec<(i64, f64)>,
    /// Native histograms, in order of time.
    pub histograms: Vec<NativeHistogram>,
}

/// What became of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// The series were rebuilt with so many samples of history.
    Warmed { samples: u64 },
    /// Live samples are no longer all in memory and history does not reach them: the series stay as
    /// they are.
    TooLate,
    /// None of the series is there any more, or there is no room for them.
    Gone,
}

/// What a shard is told about history.
#[derive(Debug)]
pub enum Order {
    /// Give out units that were not given out before.
    Wanting {
        limit: usize,
        answer: oneshot::Sender<Vec<Unit>>,
    },
    /// Rebuild these series.
    Give {
        /// The series that stop waiting for history.
        members: Vec<Box<[u8]>>,
        history: Vec<History>,
        /// Whether unknown series are made.
        plant: bool,
        answer: oneshot::Sender<Given>,
    },
}

/// Series that want history, and their taking of it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Historian {
    shards: Arc<[mpsc::Sender<Message>]>,
}

impl Historian {
    pub fn new(shards: Vec<mpsc::Sender<Message>>) -> Self {
        Self {
            shards: shards.into(),
        }
    }

    /// Up to `limit` units that were born since they were last asked for; each is given out once, a
    /// few seconds after its birth, so that the parts of a histogram are all there. None unless the
    /// engine was made with `wants_history`.
    ///
    /// # Errors
    /// If a shard cannot answer.
    pub async fn wanting(&self, limit: usize) -> Result<Vec<Unit>, AskError> {
        let mut units = Vec::new();
        for (shard, sender) in self.shards.iter().enumerate() {
            let left = limit - units.len();
            if left == 0 {
                break;
            }
            match wanting(sender, left).await {
                Ok(more) => units.extend(more.into_iter().map(|unit| Unit {
                    shard: shard as u32,
                    ..unit
                })),
                // What others gave out already is given out once.
                Err(_) if !units.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        Ok(units)
    }

    /// Rebuilds a unit from its history followed by its live samples. An empty history only ends its
    /// waiting.
    ///
    /// # Errors
    /// If the shard cannot answer; the unit may have been rebuilt all the same.
    pub async fn give(&self, unit: Unit, history: Vec<History>) -> Result<Given, AskError> {
        self.order(unit.shard as usize, unit.members, history, false)
            .await
    }

    /// As [`Historian::give`], for series that need not be known yet.
    ///
    /// # Errors
    /// As there.
    pub async fn plant(&self, history: Vec<History>) -> Result<Given, AskError> {
        let mut by_shard: Vec<Vec<History>> = Vec::new();
        by_shard.resize_with(self.shards.len(), Vec::new);
        for one in history {
            let shard = router::partition(family::home(&one.labels)) % self.shards.len();
            by_shard[shard].push(one);
        }
        let mut given = Given::Gone;
        for (shard, history) in by_shard.into_iter().enumerate() {
            if !history.is_empty() {
                given = given.and(self.order(shard, Vec::new(), history, true).await?);
            }
        }
        Ok(given)
    }

    async fn order(
        &self,
        shard: usize,
        members: Vec<Box<[u8]>>,
        history: Vec<History>,
        plant: bool,
    ) -> Result<Given, AskError> {
        let Some(sender) = self.shards.get(shard) else {
            return Ok(Given::Gone);
        };
        let (answer, answered) = oneshot::channel();
        let order = Order::Give {
            members,
            history,
            plant,
            answer,
        };
        ask::ask(sender, Question::History(order)).await?;
        ask::answer(answered).await
    }
}

/// Units that one shard gives out.
async fn wanting(sender: &mpsc::Sender<Message>, limit: usize) -> Result<Vec<Unit>, AskError> {
    let (answer, answered) = oneshot::channel();
    let order = Order::Wanting { limit, answer };
    ask::ask(sender, Question::History(order)).await?;
    ask::answer(answered).await
}

impl Given {
    /// What became of two together: samples add up, and one that was warmed counts more than one
    /// that was not.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Warmed { samples: a }, Self::Warmed { samples: b }) => {
                Self::Warmed { samples: a + b }
            }
            (Self::Gone, one) | (one, Self::Gone) => one,
            (Self::TooLate, one) | (one, Self::TooLate) => one,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A shard that is too busy must not cost the others' series their history.
    #[tokio::test]
    async fn what_one_shard_gave_out_is_not_lost_when_another_cannot_answer() {
        let (first, mut inbox) = mpsc::channel(1);
        let (second, gone) = mpsc::channel(1);
        drop(gone);
        let shard = tokio::spawn(async move {
            while let Some(Message::Ask(Question::History(Order::Wanting { answer, .. }))) =
                inbox.recv().await
            {
                let members = vec![Box::from(&b"a"[..])];
                let _ = answer.send(vec![Unit { members, shard: 0 }]);
            }
        });
        let historian = Historian::new(vec![first, second]);
        assert_eq!(historian.wanting(10).await.unwrap().len(), 1);
        drop(historian);
        shard.await.unwrap();
        let (alone, gone) = mpsc::channel(1);
        drop(gone);
        let nobody = Historian::new(vec![alone]);
        assert_eq!(nobody.wanting(10).await, Err(AskError::Closed));
    }
}
