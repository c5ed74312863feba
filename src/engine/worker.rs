//! The thread around a shard: messages in order, snapshots between them.
//!
//! A checkpoint stops the shard for no longer than one partition takes: one at a time is handed to the
//! store's writer after each message, and a writer that is slow is simply asked again later.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;

use super::jobs::Jobs;
use super::keep::{Cut, Kept, Wholes};
use super::shard::{Mark, Message, Shard};
use crate::clock::Clock;
use crate::telemetry::Metrics;

/// How long a shard with nothing to do waits before it offers its next partition again.
const OFFER_AGAIN: Duration = Duration::from_millis(2);
/// How long a snapshot waits for those who take the scores that came before it. A queue whose disk
/// hangs for longer may lose scores in a crash, and does not hold up the log.
const SETTLE_WAIT: Duration = Duration::from_secs(30);

/// What a worker is made with, besides its shard.
pub struct Worker {
    pub index: usize,
    pub inbox: mpsc::Receiver<Message>,
    /// To the store's writer; `None` if nothing is stored.
    pub kept: Option<SyncSender<Kept>>,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// Partitions on their way to the writer.
#[derive(Debug, Default)]
struct Handing {
    /// To be handed over before anything makes more of them.
    urgent: VecDeque<u8>,
    /// Of a checkpoint; `true` for one that is wanted whole.
    partitions: VecDeque<(u8, bool)>,
    /// A checkpoint is under way.
    ordered: bool,
    /// Something of it could not be made.
    failed: bool,
    /// It is the last one.
    stops: bool,
    /// Made, and not taken yet.
    offered: Option<Kept>,
    /// What must be dealt with before it may be taken, and since when it waits for that.
    behind: Option<(Mark, Instant)>,
    /// Families that the writer has.
    families: usize,
}

impl Handing {
    fn is_idle(&self) -> bool {
        !self.ordered && self.urgent.is_empty() && self.offered.is_none()
    }

    fn order(&mut self, shard: &Shard, wholes: Option<&Wholes>) {
        let whole = |p: u8| wholes.is_some_and(|w| w[usize::from(p)]);
        let dirty = shard.dirty_partitions();
        self.partitions = (0..=u8::MAX)
            .map(|p| (p, whole(p) && shard.owns(p)))
            .filter(|(p, whole)| *whole || dirty.binary_search(p).is_ok())
            .collect();
        self.ordered = true;
        self.failed = false;
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
                    if !batch.replayed {
                        let waited = self.clock.now_ms().saturating_sub(batch.received_ms);
                        self.metrics
                            .detection_latency
                            .observe(waited.max(0) as f64 / 1000.0);
                    }
                }
                Some(Message::Families(families)) => shard.families(&families),
                Some(Message::Renew(renewal)) => shard.renew(&renewal),
                Some(Message::Order(order)) => shard.order(order),
                Some(Message::Model { seq, order }) => shard.obey(seq, order),
                Some(Message::Ask(question)) => jobs.add(question),
                Some(Message::Tick { now_ms }) => shard.tick(now_ms),
                Some(Message::Checkpoint { seq, wholes }) => {
                    shard.advance(seq);
                    handing.order(&shard, wholes.as_deref());
                }
                Some(Message::Stop) => {
                    self.hand_over_all(&mut shard, handing);
                    return;
                }
                None => {}
            }
            if handing.urgent.is_empty() && !jobs.is_empty() {
                jobs.step(&mut shard, &*self.clock);
            }
            handing.urgent.extend(shard.urgent_partitions());
            let taken = handing.is_idle() || self.offer(&mut shard, &mut handing);
            if !taken && idle && (jobs.is_empty() || !handing.urgent.is_empty()) {
                std::thread::sleep(OFFER_AGAIN);
            }
        }
    }

    /// Offers what is next to the writer. False if it had no room.
    fn offer(&self, shard: &mut Shard, handing: &mut Handing) -> bool {
        let Some(kept) = &self.kept else {
            *handing = Handing::default();
            return true;
        };
        if handing.offered.is_none() {
            handing.offered = self.next(shard, handing);
            handing.behind = Some((shard.tap_mark(), Instant::now()));
        }
        if let Some((mark, since)) = handing.behind {
            shard.flush_tap();
            if !shard.is_tap_settled(mark) && since.elapsed() < SETTLE_WAIT {
                return false;
            }
            handing.behind = None;
        }
        let Some(next) = handing.offered.take() else {
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

    /// Makes what is to be handed over next.
    fn next(&self, shard: &mut Shard, handing: &mut Handing) -> Option<Kept> {
        while let Some(partition) = handing.urgent.pop_front() {
            if let Ok(Some(cut)) = self.cut(shard, partition, false) {
                return Some(Kept::Cut(cut));
            }
        }
        if !handing.ordered {
            return None;
        }
        // Every shard has them all.
        if self.index == 0 && shard.families_known() > handing.families {
            handing.families = shard.families_known();
            return Some(Kept::Families(shard.families_in_order()));
        }
        while let Some((partition, whole)) = handing.partitions.pop_front() {
            match self.cut(shard, partition, whole) {
                Ok(Some(cut)) => return Some(Kept::Cut(cut)),
                Ok(None) => {}
                Err(_) => handing.failed = true,
            }
        }
        handing.ordered = false;
        Some(Kept::Done {
            shard: self.index,
            complete: !handing.failed,
            stopped: handing.stops,
        })
    }

    fn hand_over_all(&self, shard: &mut Shard, mut handing: Handing) {
        let Some(kept) = &self.kept else { return };
        // A checkpoint that this ends has its `Done` with the one below.
        let offered = handing.offered.take();
        let offered = offered.filter(|k| !matches!(k, Kept::Done { .. }));
        handing.order(shard, None);
        handing.stops = true;
        handing.urgent.clear();
        let mut next = offered.or_else(|| self.next(shard, &mut handing));
        while let Some(message) = next {
            let (mark, since) = (shard.tap_mark(), Instant::now());
            shard.flush_tap();
            while !shard.is_tap_settled(mark) && since.elapsed() < SETTLE_WAIT {
                std::thread::sleep(OFFER_AGAIN);
                shard.flush_tap();
            }
            if kept.send(message).is_err() {
                return;
            }
            next = self.next(shard, &mut handing);
        }
    }

    fn cut(&self, shard: &mut Shard, partition: u8, whole: bool) -> Result<Option<Cut>, ()> {
        let began = Instant::now();
        let cut = shard.cut(partition, whole);
        self.metrics.stops.observe(began.elapsed());
        cut.map_err(|error| {
            self.metrics.store_errors.inc();
            tracing::error!(%error, partition, "some series could not be written, they are kept in memory only");
        })
    }
}
