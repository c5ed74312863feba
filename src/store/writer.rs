//! The thread that writes checkpoints.
//!
//! It orders checkpoints from the shards, takes in what they hand over and writes it. What always
//! holds: a shard never waits for the disk longer than one job may take (see `disk.rs`),
//! whatever the disk does; a group that could not be written is written by a later checkpoint,
//! within a bound of memory; nothing counts as written before a flush. It does not know what a
//! group contains.

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::Sender;
use tokio::sync::mpsc::error::TrySendError;

use super::backlog::{self, BACKLOG_BYTES_MAX, Backlog, Plan};
use super::rollup::Retention;
use super::{DiskError, Store};
use crate::clock::Clock;
use crate::config::StoreConfig;
use crate::engine::keep::Kept;
use crate::engine::shard::Message;
use crate::telemetry::Metrics;

/// Messages from the shards that may wait for the writer: the bound for the channel of [`Kept`].
/// One group is about 200 KiB.
pub const KEPT_MAX: usize = 64;

/// Bytes written in one atomic step. Small enough to leave the shards waiting only for
/// milliseconds, large enough to make the cost of a step vanish.
const BATCH_BYTES: u64 = 4 * 1024 * 1024;

/// How often a checkpoint is tried: the first error closes the store, so the second finds it freshly
/// opened, and the third finds an empty one if it was damaged.
const ATTEMPTS: u32 = 3;

/// Edits in one step when groups are deleted.
const BATCH_EDITS: usize = 4096;

/// Written bytes that wait for a flush and are kept in memory until then, in case it fails.
const UNFLUSHED_BYTES: u64 = 64 * 1024 * 1024;

/// How often orders are looked for and full queues of shards are tried again.
const POLL: Duration = Duration::from_millis(50);

/// How long the shards may take to hand over everything when saimon stops.
const STOP_GATHER: Duration = Duration::from_secs(10);

/// How long [`WriterHandle::stop`] waits.
const STOP_WAIT: Duration = Duration::from_secs(20);

/// A store that keeps failing is logged this often.
const LOG_EVERY: Duration = Duration::from_secs(300);

/// The writer did not end well; what it was writing may be lost, what it wrote before is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    #[error("the store was not written completely within {0:?}: the newest models may be lost")]
    Late(Duration),
    #[error("the store's writer had died before: the newest models may be lost")]
    Died,
}

/// Orders to the writer. Dropping it stops the writer too, without waiting for it.
#[derive(Debug)]
pub struct WriterHandle {
    orders: mpsc::Sender<Order>,
    ended: Receiver<()>,
}

#[derive(Debug)]
enum Order {
    Checkpoint(mpsc::Sender<bool>),
    Stop,
}

impl WriterHandle {
    /// Stops the shards with [`Message::Stop`], writes everything they hand over, flushes. Blocks
    /// for at most 20 s.
    ///
    /// # Errors
    /// If that was not enough.
    pub fn stop(self) -> Result<(), StopError> {
        // Fails only if the writer has ended.
        let _ = self.orders.send(Order::Stop);
        match self.ended.recv_timeout(STOP_WAIT) {
            Ok(()) => Ok(()),
            Err(RecvTimeoutError::Disconnected) => Err(StopError::Died),
            Err(RecvTimeoutError::Timeout) => Err(StopError::Late(STOP_WAIT)),
        }
    }

    /// Makes a checkpoint now and waits for it. True if everything is on disk.
    pub fn checkpoint_now(&self) -> bool {
        let (reply, done) = mpsc::channel();
        let _ = self.orders.send(Order::Checkpoint(reply));
        done.recv().unwrap_or(false)
    }
}

/// Starts the writer. `kept` is the other end of a channel of [`KEPT_MAX`] that all shards have.
///
/// # Errors
/// If the thread cannot be started.
pub fn spawn(
    store: Store,
    config: StoreConfig,
    shards: Vec<Sender<Message>>,
    kept: Receiver<Kept>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) -> std::io::Result<WriterHandle> {
    let (orders, inbox) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || {
            let writer = Writer {
                store,
                config,
                shards: shards.into_iter().map(Shard::new).collect(),
                kept,
                clock,
                metrics,
                backlog: Backlog::default(),
                unflushed: 0,
                failing: None,
                logged: None,
            };
            writer.run(&inbox);
            // The store is closed by now: whoever waited may open it again.
            let _ = done.send(());
        })?;
    Ok(WriterHandle { orders, ended })
}

#[derive(Debug)]
struct Shard {
    sender: Sender<Message>,
    /// What it is still to be told, because its queue was full.
    untold: Option<fn() -> Message>,
    /// How many times it still has to say that it is done.
    awaited: u32,
}

impl Shard {
    fn new(sender: Sender<Message>) -> Self {
        Self {
            sender,
            untold: None,
            awaited: 0,
        }
    }

    /// Without blocking: a shard with a full queue may itself be waiting for the writer.
    fn tell(&mut self) {
        if let Some(message) = self.untold {
            match self.sender.try_send(message()) {
                Ok(()) => {
                    self.untold = None;
                    self.awaited += 1;
                }
                Err(TrySendError::Full(_)) => {}
                Err(TrySendError::Closed(_)) => self.untold = None,
            }
        }
    }
}

/// A checkpoint under way.
#[derive(Debug)]
struct Checkpoint {
    began: Instant,
    replies: Vec<mpsc::Sender<bool>>,
}

struct Writer {
    store: Store,
    config: StoreConfig,
    shards: Vec<Shard>,
    kept: Receiver<Kept>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    backlog: Backlog,
    unflushed: u64,
    /// The error since which nothing was written completely.
    failing: Option<DiskError>,
    logged: Option<Instant>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut next = Instant::now() + self.config.checkpoint;
        let mut replies = Vec::new();
        let mut stopping = None;
        let mut current: Option<Checkpoint> = None;
        loop {
            match orders.try_recv() {
                Ok(Order::Checkpoint(reply)) => replies.push(reply),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) if stopping.is_none() => {
                    stopping = Some(Instant::now());
                    let began = current.as_ref().map_or_else(Instant::now, |c| c.began);
                    let mut all = current.take().map_or_else(Vec::new, |c| c.replies);
                    all.append(&mut replies);
                    current = Some(Checkpoint {
                        began,
                        replies: all,
                    });
                    self.order(|| Message::Stop);
                }
                Ok(Order::Stop) | Err(_) => {}
            }
            let due = !replies.is_empty() || Instant::now() >= next;
            if current.is_none() && due {
                next = Instant::now() + self.config.checkpoint;
                current = Some(Checkpoint {
                    began: Instant::now(),
                    replies: std::mem::take(&mut replies),
                });
                self.order(|| Message::Checkpoint);
            }
            for shard in &mut self.shards {
                shard.tell();
            }
            let quiet = self.take_in();
            let late = stopping.is_some_and(|since| since.elapsed() >= STOP_GATHER);
            if (self.all_done(quiet) || late)
                && let Some(checkpoint) = current.take()
            {
                self.finish(checkpoint);
                if stopping.is_some() {
                    return;
                }
            }
        }
    }

    fn order(&mut self, message: fn() -> Message) {
        for shard in &mut self.shards {
            shard.untold = Some(message);
        }
    }

    /// Takes in what the shards sent, for at most [`POLL`] if that is nothing. True if it is.
    fn take_in(&mut self) -> bool {
        match self.kept.recv_timeout(POLL) {
            Ok(first) => {
                self.take(first);
                for _ in 0..KEPT_MAX {
                    let Ok(kept) = self.kept.try_recv() else {
                        break;
                    };
                    self.take(kept);
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => true,
            Err(RecvTimeoutError::Disconnected) => {
                thread::sleep(POLL);
                true
            }
        }
    }

    fn take(&mut self, kept: Kept) {
        match kept {
            Kept::Done { shard } => {
                if let Some(shard) = self.shards.get_mut(shard) {
                    shard.awaited = shard.awaited.saturating_sub(1);
                }
            }
            Kept::Group(group) => {
                let outline = self.store.outline(group.id);
                self.backlog.add(group, outline.as_ref());
                if self.backlog.queued_bytes() >= BATCH_BYTES && self.failing.is_none() {
                    let written = self.write_one();
                    self.note(written.map(drop));
                }
                self.shed();
            }
        }
    }

    /// True if every shard has handed over what it was told to. A shard that is gone can say
    /// nothing more once the channel is empty.
    fn all_done(&mut self, quiet: bool) -> bool {
        for shard in &mut self.shards {
            if quiet && shard.sender.is_closed() {
                shard.awaited = 0;
            }
        }
        self.shards
            .iter()
            .all(|s| s.awaited == 0 && s.untold.is_none())
    }

    /// Writes the rest and ends a checkpoint.
    fn finish(&mut self, checkpoint: Checkpoint) {
        let mut written = self.write_all();
        for again in 1..ATTEMPTS {
            let Err(error) = &written else {
                break;
            };
            let error = error.clone();
            self.note(written);
            if let DiskError::Damaged(why) = &error
                && again > 1
            {
                // It opens, and the damage is still there.
                if let Err(error) = self.store.replace(why, self.clock.now_ms()) {
                    written = Err(error);
                    break;
                }
            }
            written = self.write_all();
        }
        let ok = written.is_ok();
        self.note(written);
        if ok {
            self.metrics.store_ok.set(1);
            self.metrics
                .checkpoint_last
                .set(self.clock.now_ms() as f64 / 1000.0);
            self.metrics
                .checkpoint_duration
                .observe(checkpoint.began.elapsed().as_secs_f64());
        }
        self.shed();
        for reply in checkpoint.replies {
            // Fails only if nobody waits any more.
            let _ = reply.send(ok);
        }
    }

    fn write_all(&mut self) -> Result<(), DiskError> {
        self.prepare()?;
        self.forget()?;
        while self.write_one()? {}
        self.flush()?;
        if let Ok(bytes) = self.store.disk().bytes() {
            self.metrics
                .store_bytes
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    /// Brings the store into a state in which it can be written.
    fn prepare(&mut self) -> Result<(), DiskError> {
        self.store.reopen(self.clock.now_ms())?;
        self.store.purge()
    }

    /// Writes about [`BATCH_BYTES`] of what waits. False if nothing does.
    fn write_one(&mut self) -> Result<bool, DiskError> {
        if self.backlog.queued_bytes() == 0 {
            return Ok(false);
        }
        self.prepare()?;
        let retention = Retention {
            window_ms: millis(self.config.window),
            rollups_ms: millis(self.config.rollups),
        };
        let store = &self.store;
        let disk = store.disk();
        let Some(plan) = self.backlog.plan(
            BATCH_BYTES,
            retention,
            |id| store.outline(id),
            |key| disk.get(key),
        )?
        else {
            return Ok(false);
        };
        if plan.unreadable > 0 {
            self.metrics.store_errors.inc_by(plan.unreadable);
            tracing::warn!(
                blocks = plan.unreadable,
                "blocks past their retention cannot be read: the long past of their series has a gap"
            );
        }
        self.apply(plan)?;
        if self.unflushed >= UNFLUSHED_BYTES {
            self.flush()?;
        }
        Ok(true)
    }

    /// Deletes groups that have sent nothing for longer than `store.forget`.
    fn forget(&mut self) -> Result<(), DiskError> {
        let oldest_ms = self
            .clock
            .now_ms()
            .saturating_sub(millis(self.config.forget));
        let mut plan = Plan::default();
        for (id, outline) in self.store.silent_since(oldest_ms) {
            if self.backlog.contains(id) {
                continue;
            }
            backlog::forget(id, &outline, &mut plan);
            if plan.edits.len() >= BATCH_EDITS {
                self.apply(std::mem::take(&mut plan))?;
            }
        }
        if plan.edits.is_empty() {
            return Ok(());
        }
        self.apply(plan)
    }

    fn apply(&mut self, plan: Plan) -> Result<(), DiskError> {
        self.unflushed += self.store.apply(plan.edits, plan.outlines)?;
        self.metrics.store_blocks_dropped.inc_by(plan.expired);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.store.disk().flush()?;
        self.unflushed = 0;
        self.backlog.flushed();
        Ok(())
    }

    /// Keeps account of how the last write went.
    fn note(&mut self, result: Result<(), DiskError>) {
        match result {
            Ok(()) => {
                if self.failing.take().is_some() {
                    self.logged = None;
                    tracing::info!("the store takes writes again");
                }
            }
            Err(error) => {
                self.metrics.store_errors.inc();
                self.metrics.store_ok.set(0);
                self.unflushed = 0;
                self.backlog.failed();
                if self.logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
                    self.logged = Some(Instant::now());
                    tracing::warn!(
                        %error,
                        "writing the store failed: trying again at every checkpoint; scoring goes \
                         on, but a restart now would forget what is not written"
                    );
                }
                self.failing = Some(error);
            }
        }
    }

    fn shed(&mut self) {
        let (blocks, states) = self.backlog.shed(BACKLOG_BYTES_MAX);
        if blocks + states > 0 {
            self.metrics.store_errors.inc_by(blocks + states);
            tracing::warn!(
                blocks,
                groups = states,
                "too much waits for a store that takes no writes: the oldest is given up"
            );
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
