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

/// Groups on their way to the writer.
#[derive(Debug, Default)]
struct Handing {
    /// To be handed over before anything makes more of them.
    urgent: VecDeque<u32>,
    /// Of a checkpoint.
    groups: VecDeque<u32>,
    /// A checkpoint is under way.
    ordered: bool,
    /// Made, and not taken yet.
    offered: Option<Kept>,
}

impl Handing {
    fn is_idle(&self) -> bool {
        !self.ordered && self.urgent.is_empty() && self.offered.is_none()
    }
}

impl Worker {
    /// Runs until told to stop, or until nobody is left to send anything.
    pub fn run(mut self, mut shard: Shard) {
        let mut handing = Handing::default();
        let mut jobs = Jobs::default();
        loop {
            let message = if handing.is_idle() && jobs.is_empty() {
                match self.inbox.blocking_recv() {
                    Some(message) => Some(message),
                    None => return,
                }
            } else {
                match self.inbox.try_recv() {
                    Ok(message) => Some(message),
                    Err(TryRecvError::Empty) => None,
                    Err(TryRecvError::Disconnected) => return,
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
                    handing.groups = shard.dirty_groups().into();
                    handing.ordered = true;
                }
                Some(Message::Stop) => {
                    self.hand_over_all(&mut shard, handing.offered.take());
                    return;
                }
                None => {}
            }
            if handing.urgent.is_empty() && !jobs.is_empty() {
                jobs.step(&mut shard, &*self.clock);
                handing.urgent.extend(shard.urgent_groups());
            }
            let taken = handing.is_idle() || self.offer(&mut shard, &mut handing);
            if !taken && idle && (jobs.is_empty() || !handing.urgent.is_empty()) {
                std::thread::sleep(OFFER_AGAIN);
            }
        }
    }

    /// Offers the next group to the writer. False if it had no room.
    fn offer(&self, shard: &mut Shard, handing: &mut Handing) -> bool {
        let Some(kept) = &self.kept else {
            *handing = Handing::default();
            return true;
        };
        let next = handing.offered.take().or_else(|| {
            let groups = std::iter::from_fn(|| {
                let urgent = handing.urgent.pop_front();
                urgent.or_else(|| handing.groups.pop_front())
            });
            let mut kept = groups.filter_map(|group| self.snapshot(shard, group));
            kept.next()
        });
        let Some(next) = next.or_else(|| {
            let done = Kept::Done { shard: self.index };
            std::mem::take(&mut handing.ordered).then_some(done)
        }) else {
            return true;
        };
        match kept.try_send(next) {
            Ok(()) => true,
            Err(TrySendError::Full(next)) => {
                handing.offered = Some(next);
                false
            }
            Err(TrySendError::Disconnected(_)) => {
                *handing = Handing::default();
                true
            }
        }
    }

    fn hand_over_all(&self, shard: &mut Shard, offered: Option<Kept>) {
        let Some(kept) = &self.kept else { return };
        let groups = shard.dirty_groups();
        // A checkpoint that this ends has its `Done` with the one below.
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
