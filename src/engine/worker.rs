//! The thread around a shard: messages in order, snapshots between them.
//!
//! A checkpoint never stops the shard: one group at a time is handed to the store's writer when no
//! message waits or a few have been taken, and a writer that is slow is simply asked again later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::jobs::Jobs;
use super::keep::Kept;
use super::shard::{Message, Shard};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// How long a shard with nothing to do waits before it offers its next group again.
const OFFER_AGAIN: Duration = Duration::from_millis(2);

/// What a worker is made with, besides its shard.
pub struct Worker {
    pub index: usize,
    pub inbox: mpsc::Receiver<Message>,
    /// To the store's writer; `None` if nothing is stored.
    pub kept: Option<SyncSender<Kept>>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// A checkpoint under way.
#[derive(Debug, Default)]
struct Checkpoint {
    groups: VecDeque<u32>,
    /// Made, and not taken yet.
    offered: Option<Kept>,
    under_way: bool,
}

impl Worker {
    /// Runs until told to stop, or until nobody is left to send anything.
    pub fn run(mut self, mut shard: Shard) {
        let mut checkpoint = Checkpoint::default();
        let mut jobs = Jobs::default();
        loop {
            let message = if checkpoint.under_way || !jobs.is_empty() {
                match self.inbox.try_recv() {
                    Ok(message) => Some(message),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return,
                }
            } else {
                match self.inbox.blocking_recv() {
                    Some(message) => Some(message),
                    None => return,
                }
            };
            let idle = message.is_none();
            match message {
                Some(Message::Batch(batch)) => {
                    shard.take(&batch);
                    let waited = self.clock.now_ms().saturating_sub(batch.received_ms);
                    self.metrics
                        .detection_latency
                        .observe(waited.max(0) as f64 / 1000.0);
                }
                Some(Message::Families(families)) => shard.families(&families),
                Some(Message::Ask(question)) => jobs.add(question),
                Some(Message::Tick { now_ms }) => shard.tick(now_ms),
                Some(Message::Checkpoint) => {
                    checkpoint.groups = shard.dirty_groups().into();
                    checkpoint.under_way = true;
                }
                Some(Message::Stop) => {
                    self.hand_over_all(&mut shard, checkpoint.offered.take());
                    return;
                }
                None => {}
            }
            if !jobs.is_empty() {
                jobs.step(&mut shard, self.clock.now_ms());
            }
            if checkpoint.under_way
                && !self.offer(&mut shard, &mut checkpoint)
                && idle
                && jobs.is_empty()
            {
                std::thread::sleep(OFFER_AGAIN);
            }
        }
    }

    /// Offers the next group to the writer. False if it had no room.
    fn offer(&self, shard: &mut Shard, checkpoint: &mut Checkpoint) -> bool {
        let Some(kept) = &self.kept else {
            checkpoint.under_way = false;
            return true;
        };
        let next = checkpoint.offered.take().unwrap_or_else(|| {
            std::iter::from_fn(|| checkpoint.groups.pop_front())
                .find_map(|group| self.snapshot(shard, group))
                .unwrap_or(Kept::Done { shard: self.index })
        });
        let last = matches!(next, Kept::Done { .. });
        match kept.try_send(next) {
            Ok(()) => {
                checkpoint.under_way = !last;
                true
            }
            Err(TrySendError::Full(next)) => {
                checkpoint.offered = Some(next);
                false
            }
            Err(TrySendError::Disconnected(_)) => {
                checkpoint.under_way = false;
                true
            }
        }
    }

    fn hand_over_all(&self, shard: &mut Shard, offered: Option<Kept>) {
        let Some(kept) = &self.kept else { return };
        let groups = shard.dirty_groups();
        let all = offered
            .filter(|k| !matches!(k, Kept::Done { .. }))
            .into_iter()
            .chain(
                groups
                    .into_iter()
                    .filter_map(|group| self.snapshot(shard, group)),
            );
        for next in all {
            if kept.send(next).is_err() {
                return;
            }
        }
        let _ = kept.send(Kept::Done { shard: self.index });
    }

    fn snapshot(&self, shard: &mut Shard, group: u32) -> Option<Kept> {
        match shard.snapshot(group) {
            Ok(snapshot) => Some(Kept::Group(snapshot)),
            Err(error) => {
                self.metrics.store_errors.inc();
                tracing::error!(%error, group, "group could not be written, its models are kept in memory only");
                None
            }
        }
    }
}
