//! The thread that writes checkpoints.
//!
//! It orders checkpoints from the shards, takes in what they hand over and writes it; when all of a
//! checkpoint is on the disk, the write-ahead log up to it is dropped. What always holds: a shard never
//! waits for the disk longer than one job may take (see `disk.rs`), whatever the disk does; a
//! partition that could not be written is written by a later checkpoint, within a bound of memory;
//! nothing counts as written before a flush, and no record is dropped before everything in it
//! counts as written. It does not know what a group contains.

mod steps;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::error::TrySendError;

use self::steps::BATCH_BYTES;
use super::backlog::{BACKLOG_BYTES_MAX, Backlog};
use super::log::Log;
use super::{DiskError, Store};
use crate::allocator;
use crate::clock::Clock;
use crate::config::StoreConfig;
use crate::engine::keep::{Family, Kept, PARTITIONS, Wholes};
use crate::engine::router::Router;
use crate::engine::shard::Message;
use crate::telemetry::Metrics;

/// Messages from the shards that may wait for the writer: the bound for the channel of [`Kept`].
/// One partition of 100,000 series is about 500 KiB, one of a million 5 MiB: enough to be written while
/// the next ones are made, and no more memory than that.
pub const KEPT_MAX: usize = 4;

/// A checkpoint is made early when the log has grown by this since the last: what is to be read again
/// after a crash stays a matter of seconds.
const CHECKPOINT_LOG_BYTES: u64 = 128 * 1024 * 1024;

/// But not sooner than this after the last.
const CHECKPOINT_PAUSE: Duration = Duration::from_secs(5);

/// How often a checkpoint is tried: the first error closes the store, so the second finds it freshly
/// opened, and the third finds an empty one if it was damaged.
const ATTEMPTS: u32 = 3;

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

/// What the writer works with.
pub struct WriterParts {
    pub store: Store,
    pub config: StoreConfig,
    /// The way to the shards.
    pub router: Router,
    /// What is dropped when it is covered, if there is one.
    pub log: Option<Arc<Log>>,
    /// The other end of a channel of [`KEPT_MAX`] that all shards have.
    pub kept: Receiver<Kept>,
    pub clock: Arc<dyn Clock>,
    pub metrics: Arc<Metrics>,
}

/// Starts the writer.
///
/// # Errors
/// If the thread cannot be started.
pub fn spawn(parts: WriterParts) -> std::io::Result<WriterHandle> {
    let (orders, inbox) = mpsc::channel();
    let (done, ended) = mpsc::channel();
    let WriterParts {
        store,
        config,
        router,
        log,
        kept,
        clock,
        metrics,
    } = parts;
    thread::Builder::new()
        .name("store-writer".to_owned())
        .spawn(move || {
            let shards = router.shards();
            let writer = Writer {
                families_written: store.families().map_or(0, |f| f.len()),
                store,
                config,
                shards: vec![Shard::default(); shards],
                router,
                log,
                kept,
                clock,
                backlog: Backlog::default(),
                wholes: [false; PARTITIONS],
                families: Vec::new(),
                unflushed: 0,
                log_bytes: 0,
                log_found: u64::try_from(metrics.wal.size.get()).unwrap_or(0),
                looked_ms: None,
                failing: None,
                logged: None,
                metrics,
            };
            writer.run(&inbox);
            // The store is closed by now: whoever waited may open it again.
            let _ = done.send(());
        })?;
    Ok(WriterHandle { orders, ended })
}

/// What a shard is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Checkpoint,
    Stop,
}

#[derive(Debug, Clone, Default)]
struct Shard {
    /// What it is still to be told, because its queue was full.
    untold: Option<Word>,
    /// It still has to say that it is done.
    awaited: bool,
}

/// A checkpoint under way.
#[derive(Debug)]
struct Checkpoint {
    began: Instant,
    /// The records up to this one are in it, as far as shards were told.
    seq: u64,
    /// Nothing of it failed so far.
    complete: bool,
    replies: Vec<mpsc::Sender<bool>>,
}

impl Checkpoint {
    fn new(replies: Vec<mpsc::Sender<bool>>) -> Self {
        Self {
            began: Instant::now(),
            seq: u64::MAX,
            complete: true,
            replies,
        }
    }
}

struct Writer {
    store: Store,
    config: StoreConfig,
    shards: Vec<Shard>,
    router: Router,
    log: Option<Arc<Log>>,
    kept: Receiver<Kept>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    backlog: Backlog,
    /// Partitions that a fresh store in place of a damaged one has not been given yet.
    wholes: Wholes,
    families: Vec<Family>,
    families_written: usize,
    unflushed: u64,
    /// What this process had appended to the log when the newest checkpoint was ordered ...
    log_bytes: u64,
    /// ... and what the log had from before it, until the first is.
    log_found: u64,
    /// What the clock said when silent groups were last looked for.
    looked_ms: Option<i64>,
    /// The error since which nothing was written completely.
    failing: Option<DiskError>,
    logged: Option<Instant>,
}

impl Writer {
    fn run(mut self, orders: &Receiver<Order>) {
        let mut ordered = Instant::now();
        let mut replies = Vec::new();
        let mut stopping = None;
        let mut current: Option<Checkpoint> = None;
        loop {
            match orders.try_recv() {
                Ok(Order::Checkpoint(reply)) => replies.push(reply),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) if stopping.is_none() => {
                    stopping = Some(Instant::now());
                    let mut all = current.take().map_or_else(Vec::new, |c| c.replies);
                    all.append(&mut replies);
                    current = Some(Checkpoint::new(all));
                    self.order(Word::Stop);
                }
                Ok(Order::Stop) | Err(_) => {}
            }
            let due = !replies.is_empty()
                || ordered.elapsed() >= self.config.checkpoint
                || self.log_has_grown() && ordered.elapsed() >= CHECKPOINT_PAUSE;
            if current.is_none() && due {
                ordered = Instant::now();
                self.log_bytes = self.metrics.wal.bytes.get();
                self.log_found = 0;
                current = Some(Checkpoint::new(std::mem::take(&mut replies)));
                self.order(Word::Checkpoint);
            }
            if let Some(checkpoint) = &mut current {
                self.tell(checkpoint);
            }
            let quiet = self.take_in(&mut current, stopping.is_some());
            let late = stopping.is_some_and(|since| since.elapsed() >= STOP_GATHER);
            if let Some(checkpoint) = &mut current {
                checkpoint.complete &= !late;
                if (self.all_done(quiet, checkpoint) || late)
                    && let Some(checkpoint) = current.take()
                {
                    self.finish(checkpoint);
                    if stopping.is_some() {
                        return;
                    }
                }
            }
        }
    }

    fn log_has_grown(&self) -> bool {
        let bytes = self.metrics.wal.bytes.get();
        bytes.saturating_sub(self.log_bytes) + self.log_found >= CHECKPOINT_LOG_BYTES
    }

    fn order(&mut self, word: Word) {
        for shard in &mut self.shards {
            shard.untold = Some(word);
            shard.awaited = false;
        }
    }

    /// Tells shards without blocking: one with a full queue may itself be waiting for the writer.
    fn tell(&mut self, checkpoint: &mut Checkpoint) {
        let mut wholes = None;
        for (at, shard) in self.shards.iter_mut().enumerate() {
            let Some(word) = shard.untold else {
                continue;
            };
            let wholes = wholes.get_or_insert_with(|| {
                let mut wholes = self.wholes;
                for (all, lost) in wholes.iter_mut().zip(self.backlog.lost()) {
                    *all |= lost;
                }
                wholes.contains(&true).then(|| Arc::new(wholes))
            });
            let told = self.router.order(at, |seq| match word {
                Word::Checkpoint => Message::Checkpoint {
                    seq,
                    wholes: wholes.clone(),
                },
                Word::Stop => Message::Stop,
            });
            match told {
                Ok(seq) => {
                    shard.untold = None;
                    shard.awaited = true;
                    checkpoint.seq = checkpoint.seq.min(seq);
                }
                Err(e) if matches!(*e, TrySendError::Full(_)) => {}
                Err(_) => {
                    shard.untold = None;
                    checkpoint.complete = false;
                }
            }
        }
    }

    /// Takes in what the shards sent, for at most [`POLL`] if that is nothing. True if it is.
    fn take_in(&mut self, current: &mut Option<Checkpoint>, stopping: bool) -> bool {
        match self.kept.recv_timeout(POLL) {
            Ok(first) => {
                self.take(first, current, stopping);
                for _ in 0..KEPT_MAX {
                    let Ok(kept) = self.kept.try_recv() else {
                        break;
                    };
                    self.take(kept, current, stopping);
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

    fn take(&mut self, kept: Kept, current: &mut Option<Checkpoint>, stopping: bool) {
        match kept {
            Kept::Done {
                shard,
                complete,
                stopped,
            } => {
                // One that was about to be done when it was told to stop will say so once more.
                if let (Some(shard), Some(checkpoint)) = (self.shards.get_mut(shard), current)
                    && stopped == stopping
                {
                    shard.awaited = false;
                    checkpoint.complete &= complete;
                }
            }
            Kept::Families(families) => {
                if families.len() > self.families.len() {
                    self.families = families;
                }
            }
            Kept::Cut(cut) => {
                if cut.whole {
                    self.wholes[usize::from(cut.partition)] = false;
                }
                let store = &self.store;
                self.backlog.add(cut, |id| store.outline(id));
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
    fn all_done(&mut self, quiet: bool, checkpoint: &mut Checkpoint) -> bool {
        for (at, shard) in self.shards.iter_mut().enumerate() {
            if quiet && shard.awaited && self.router.is_gone(at) {
                shard.awaited = false;
                checkpoint.complete = false;
            }
        }
        self.shards.iter().all(|s| !s.awaited && s.untold.is_none())
    }

    /// Writes the rest and ends a checkpoint.
    fn finish(&mut self, checkpoint: Checkpoint) {
        let mut written = self.write_all(&checkpoint);
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
                self.replaced();
            }
            written = self.write_all(&checkpoint);
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
            if self.covers(&checkpoint)
                && let Some(log) = &self.log
                && let Err(error) = log.drop_through(checkpoint.seq)
            {
                tracing::warn!(%error, "the write-ahead log cannot be shortened: trying again at the next checkpoint");
            }
        }
        self.shed();
        allocator::give_back();
        for reply in checkpoint.replies {
            // Fails only if nobody waits any more.
            let _ = reply.send(ok);
        }
    }

    /// True if the store will have everything up to the checkpoint's record when all that waits is
    /// written.
    fn covers(&self, checkpoint: &Checkpoint) -> bool {
        checkpoint.complete
            && checkpoint.seq != u64::MAX
            && !self.backlog.lost().contains(&true)
            && !self.wholes.contains(&true)
    }

    /// The store is empty: every partition is to be handed over once more.
    fn replaced(&mut self) {
        self.wholes = [true; PARTITIONS];
        self.families_written = 0;
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
        // Refusing what comes is better than giving up what was taken.
        self.router
            .hold_up(self.backlog.bytes() > BACKLOG_BYTES_MAX / 2);
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
