//! From one decoded request to one batch for each shard.
//!
//! The hand-over is all or nothing: room is reserved on every shard concerned before anything is
//! kept or sent, so a request that is refused has left no trace, and one that is accepted is in the
//! journal and with all of its shards. Requests pass one by one: every shard takes them in the order
//! of the journal.

mod split;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::batch::{Batch, Families};
use super::joint::Feed;
use super::journal::{Fate, Journal, JournalError, Line, ORDER, Record, WhenFull};
use super::keep::PARTITIONS;
use super::models::{Done, ModelOrder, Wish};
use super::shard::Message;
use crate::series::family;
use crate::wire::snappy::PooledBody;
use crate::wire::write::WriteArena;

/// How long somebody waits for an order that was given: what is before it in the queue of its shard.
const ORDER_WAIT: Duration = Duration::from_secs(20);

/// The engine did not take the request; the sender has it and should send it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("the queue of shard {0} stayed full")]
    Full(usize),
    /// It could not be kept, so it was not taken.
    #[error("it cannot be kept: {0}")]
    NotKept(#[from] JournalError),
    #[error("saimon is still reading what it had kept")]
    Recovering,
    #[error("saimon is shutting down")]
    Closed,
}

/// What was handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routed {
    /// Samples now with their shards.
    pub rows: u64,
    /// Native histograms now with their shards.
    pub histograms: u64,
    /// Samples of saimon's own series, which are not kept.
    pub skipped: u64,
    /// Native histograms of those.
    pub skipped_histograms: u64,
    /// Number of its record, or of the newest before it.
    pub seq: u64,
    pub fate: Fate,
}

/// Sends rows to the shards that own their series. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router {
    shards: Arc<[mpsc::Sender<Message>]>,
    line: Arc<Line>,
    /// Where groups hear of records.
    joint: Option<Feed>,
}

/// The partition that a series with this home belongs to (see [`crate::series::family::home`]).
pub fn partition(home: u64) -> usize {
    (home >> 56) as usize & (PARTITIONS - 1)
}

/// A request, and what is kept of it.
#[derive(Debug)]
pub struct Origin<'a> {
    /// Wall clock when the request arrived, in milliseconds.
    pub received_ms: i64,
    /// `None` if it need not be kept.
    pub record: Option<Record<'a>>,
}

impl Router {
    /// A router that keeps no journal.
    pub fn new(shards: Vec<mpsc::Sender<Message>>) -> Self {
        Self {
            shards: shards.into(),
            line: Arc::new(Line::new(None, WhenFull::Refuse, 0, false)),
            joint: None,
        }
    }

    /// The same with somebody who looks at groups.
    #[must_use]
    pub fn feeding(self, joint: Option<Feed>) -> Self {
        Self { joint, ..self }
    }

    /// The same for a journal, or for none, of which the records up to `last` are with the shards.
    /// While it is `recovering` it takes nothing but replayed records. Routers cloned before do not
    /// hear of it.
    #[must_use]
    pub fn journaled(
        self,
        journal: Option<Arc<dyn Journal>>,
        when_full: WhenFull,
        last: u64,
        recovering: bool,
    ) -> Self {
        Self {
            line: Arc::new(Line::new(journal, when_full, last, recovering)),
            ..self
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// True until [`Router::recovered`] if it was made so.
    pub fn is_recovering(&self) -> bool {
        self.line.is_recovering()
    }

    /// All kept records are with their shards: requests are taken from now on.
    pub fn recovered(&self) {
        self.line.recovered();
    }

    /// Has requests refused (if that is how it was made) while a store is too far behind.
    pub fn hold_up(&self, yes: bool) {
        self.line.hold_up(yes);
    }

    /// Number of the newest record that is with its shards.
    pub fn last(&self) -> u64 {
        self.line.hold().last()
    }

    /// Hands one request over, waiting at most `wait` for room.
    ///
    /// # Errors
    /// If it was not handed over; nothing of it was kept then.
    pub async fn route(
        &self,
        body: PooledBody,
        arena: &WriteArena,
        origin: Origin<'_>,
        wait: Duration,
    ) -> Result<Routed, RouteError> {
        if self.is_recovering() {
            return Err(RouteError::Recovering);
        }
        let received_ms = origin.received_ms;
        let (batches, families, routed) = self.split(body, arena, received_ms, |_| true);
        let mut permits = Vec::with_capacity(batches.len());
        let until = Instant::now() + wait;
        // In the order of shards, so that two requests never wait for each other.
        for (shard, sender) in self.shards.iter().enumerate() {
            let wanted = usize::from(!batches[shard].is_empty()) + usize::from(families.is_some());
            if wanted == 0 {
                continue;
            }
            match tokio::time::timeout_at(until, sender.reserve_many(wanted)).await {
                Ok(Ok(p)) => permits.push((shard, p)),
                Ok(Err(_)) => return Err(RouteError::Closed),
                Err(_) => return Err(RouteError::Full(shard)),
            }
        }
        let record = origin.record.filter(|_| !permits.is_empty());
        self.hand_over(
            permits,
            batches,
            families.as_ref(),
            record,
            received_ms,
            routed,
        )
    }

    /// Keeps the record and sends everything while the line is held; nothing here waits for a shard.
    fn hand_over(
        &self,
        permits: Vec<(usize, mpsc::PermitIterator<'_, Message>)>,
        batches: Vec<Batch>,
        families: Option<&Families>,
        record: Option<Record<'_>>,
        received_ms: i64,
        routed: Routed,
    ) -> Result<Routed, RouteError> {
        let mut batches: Vec<_> = batches.into_iter().map(Some).collect();
        let mut held = self.line.hold();
        let (seq, fate) = held.keep(record)?;
        let told = |shard: usize| batches[shard].as_ref().is_some_and(|b| !b.is_empty());
        let parts = permits.iter().filter(|permit| told(permit.0)).count();
        let order = self
            .joint
            .as_ref()
            .map_or(0, |joint| joint.begin(seq, received_ms, false, parts));
        for (shard, mut permits) in permits {
            if let Some(families) = families
                && let Some(permit) = permits.next()
            {
                permit.send(Message::Families(Families {
                    seq,
                    ..families.clone()
                }));
            }
            if let Some(permit) = permits.next()
                && let Some(batch) = batches[shard].take()
            {
                permit.send(Message::Batch(Batch {
                    seq,
                    order,
                    ..batch
                }));
            }
        }
        drop(held);
        Ok(Routed {
            seq,
            fate,
            ..routed
        })
    }

    /// Gives an order about the model of one series, keeps it, and waits until it is done.
    ///
    /// # Errors
    /// If it was not given; nothing of it was kept then. [`RouteError::Closed`] also if it was given
    /// and the shard ended before it came to it.
    pub async fn model(
        &self,
        labels: &[u8],
        wish: Wish,
        wait: Duration,
    ) -> Result<Done, RouteError> {
        if self.is_recovering() {
            return Err(RouteError::Recovering);
        }
        let shard = partition(family::home(labels)) % self.shards.len().max(1);
        let sender = self.shards.get(shard).ok_or(RouteError::Closed)?;
        let permit = match tokio::time::timeout(wait, sender.reserve()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(RouteError::Closed),
            Err(_) => return Err(RouteError::Full(shard)),
        };
        let (answer, answered) = oneshot::channel();
        let order = ModelOrder {
            labels: labels.into(),
            wish,
            answer: Some(answer),
        };
        let (seq, fate) = {
            let mut held = self.line.hold();
            let (seq, fate) = match wish {
                Wish::Tell => (held.last(), Fate::Unasked),
                _ => held.keep_as(ORDER, &[&order.to_bytes()])?,
            };
            permit.send(Message::Model { seq, order });
            (seq, fate)
        };
        let kept = Routed {
            seq,
            fate,
            ..Routed::default()
        };
        self.acknowledge(&kept).await?;
        match tokio::time::timeout(ORDER_WAIT, answered).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(_)) => Err(RouteError::Closed),
            Err(_) => Err(RouteError::Full(shard)),
        }
    }

    /// Gives an order that was kept before, as [`Router::replay`] does with requests. False if it
    /// cannot be read.
    ///
    /// # Errors
    /// [`RouteError::Closed`] if a shard is gone.
    pub fn replay_order(
        &self,
        kept: &[u8],
        seq: u64,
        covered: &[u64; PARTITIONS],
    ) -> Result<bool, RouteError> {
        let order = ModelOrder::from_bytes(kept);
        let was_read = order.is_some();
        if let Some(order) = order {
            let partition = partition(family::home(&order.labels));
            let sender = self.shards.get(partition % self.shards.len().max(1));
            if let Some(sender) = sender.filter(|_| covered[partition] < seq) {
                let sent = sender.blocking_send(Message::Model { seq, order });
                sent.map_err(|_| RouteError::Closed)?;
            }
        }
        self.passed(seq);
        Ok(was_read)
    }

    /// Returns when the record of this request may be acknowledged.
    ///
    /// # Errors
    /// If a power cut may lose it.
    pub async fn acknowledge(&self, routed: &Routed) -> Result<(), RouteError> {
        match self.line.journal() {
            Some(journal) if routed.fate == Fate::Appended && journal.waits() => {
                Ok(journal.synced(routed.seq).await?)
            }
            _ => Ok(()),
        }
    }

    /// Hands over a record that was kept before, of which the partitions with a number of `seq` or
    /// later in `covered` have their part already. Blocks while queues are full; to be called by one
    /// thread, in the order of records.
    ///
    /// # Errors
    /// [`RouteError::Closed`] if a shard is gone.
    pub fn replay(
        &self,
        body: PooledBody,
        arena: &WriteArena,
        received_ms: i64,
        seq: u64,
        covered: &[u64; PARTITIONS],
    ) -> Result<Routed, RouteError> {
        let missing = |partition: usize| covered[partition] < seq;
        let (batches, families, routed) = self.split(body, arena, received_ms, missing);
        let parts = batches.iter().filter(|batch| !batch.is_empty()).count();
        let order = self.joint.as_ref().map_or(0, |joint| {
            joint.wait_for_room();
            joint.begin(seq, received_ms, true, parts)
        });
        for (sender, batch) in self.shards.iter().zip(batches) {
            if let Some(families) = &families {
                let families = Message::Families(Families {
                    seq,
                    ..families.clone()
                });
                let sent = sender.blocking_send(families);
                sent.map_err(|_| RouteError::Closed)?;
            }
            if !batch.is_empty() {
                let batch = Message::Batch(Batch {
                    seq,
                    order,
                    replayed: true,
                    ..batch
                });
                let sent = sender.blocking_send(batch);
                sent.map_err(|_| RouteError::Closed)?;
            }
        }
        self.passed(seq);
        Ok(Routed { seq, ..routed })
    }

    /// The records up to this one are with their shards, or were nothing for them.
    pub fn passed(&self, seq: u64) {
        self.line.hold().advance(seq);
    }

    /// Puts an order into the queue of a shard, if it has room: `message` is told up to which record
    /// the shard will have taken everything when it comes to it. Gives that number.
    ///
    /// # Errors
    /// The message, if the queue is full or the shard is gone.
    pub fn order(
        &self,
        shard: usize,
        message: impl FnOnce(u64) -> Message,
    ) -> Result<u64, Box<TrySendError<Message>>> {
        let held = self.line.hold();
        let seq = held.last();
        self.shards[shard].try_send(message(seq))?;
        Ok(seq)
    }

    /// True if this shard has ended.
    pub fn is_gone(&self, shard: usize) -> bool {
        self.shards[shard].is_closed()
    }
}
