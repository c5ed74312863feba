//! Series of a group, looked at together while the shards go on.
//!
//! One thread ([`worker`]) has all groups ([`together`]). The router numbers the records that it hands
//! to shards ([`Feed`]); each shard tells what its part of a record was worth ([`JointTap`]), and the
//! thread takes records in their order, each when all of its parts are there. What always holds:
//! - What is found follows from the records alone: not from the number of shards, from who was
//!   faster, or from restarts. Who becomes a member, and when, is decided by the samples: a series asks
//!   for a place with its first score and with the first sample of each of its hours.
//! - A shard never waits. What finds no room is lost and counted, and only then are results others than
//!   they might have been; records that are read from the log again wait for room, so none of those
//!   is lost.
//! - A partition is handed to the store only when what its samples said to groups is kept
//!   ([`JointTap::is_settled`]); what comes later is in the write-ahead log.
//! - There are no more groups and members than the spec says; scores of series do not depend on any
//!   of it.

mod group;
pub mod kin;
pub mod rows;
pub mod together;
pub mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use self::kin::Kin;
use self::together::values;
use self::worker::{Worker, WorkerParts};
use super::records::RecordTap;
use crate::score::board::EntryOf;
use crate::score::groups::GroupSpec;
use crate::score::groups::joint::Joined;
use crate::telemetry::Metrics;

/// Samples that wait for the thread: 16 MiB of them. A question for a place counts as eight.
const WAITING_MAX: usize = 262_144;
const ASK_WEIGHT: usize = 8;
/// How long the reading of the log waits before it looks for room again.
const ROOM_AGAIN: Duration = Duration::from_millis(1);
/// How often a series without a place asks for one, in milliseconds of its samples ...
const ASK_EVERY_MS: i64 = 3_600_000;
/// ... and how much later than its neighbour, so that not all ask at once.
const ASK_LATER_MS: i64 = ASK_EVERY_MS / super::keep::GROUP_SERIES as i64;

/// A place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub group: u32,
    pub member: u8,
    /// Tells apart those that had it.
    pub turn: u32,
}

/// What one sample of a series says to its group.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    pub t_ms: i64,
    /// Usual time between two samples of the series, in milliseconds.
    pub interval_ms: u32,
    /// Its distance from its level in scales.
    pub z: f32,
    /// What it is worth by itself, in units of the line.
    pub deviation: f32,
    /// It is a staleness marker, and says nothing else.
    pub ended: bool,
}

/// A sample of a member.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub place: Place,
    pub sample: Sample,
}

/// A sample of a series whose shard does not know its place.
#[derive(Debug)]
pub struct Ask {
    /// Canonical label bytes.
    pub labels: Box<[u8]>,
    pub partition: u8,
    /// It wants one, if it has none.
    pub due: bool,
    pub entry: EntryOf,
    pub seat: Arc<Seat>,
    pub sample: Sample,
}

/// Where a shard reads the place of a series.
#[derive(Debug)]
pub struct Seat(AtomicU64);

/// What a seat says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Waits,
    Refused,
    At(Place),
}

impl Seat {
    const WAITS: u64 = 0;
    /// No place is packed as this: the first turn is 1.
    const REFUSED: u64 = 1;

    fn new() -> Self {
        Self(AtomicU64::new(Self::WAITS))
    }

    fn give(&self, place: Place) {
        let Place {
            group,
            member,
            turn,
        } = place;
        let packed = u64::from(turn) << 32 | u64::from(group) << 8 | u64::from(member);
        self.0.store(packed, Ordering::Relaxed);
    }

    fn refuse(&self) {
        self.0.store(Self::REFUSED, Ordering::Relaxed);
    }

    pub fn read(&self) -> Answer {
        match self.0.load(Ordering::Relaxed) {
            Self::WAITS => Answer::Waits,
            Self::REFUSED => Answer::Refused,
            packed => Answer::At(Place {
                group: (packed >> 8) as u32 & 0xFF_FFFF,
                member: packed as u8,
                turn: (packed >> 32) as u32,
            }),
        }
    }
}

/// What a shard remembers of the place of one series.
#[derive(Debug, Default)]
pub enum Standing {
    /// It was not asked for since the series came into memory.
    #[default]
    Unknown,
    /// The series lacks a label that makes groups.
    Never,
    /// Not before its next hour.
    Refused,
    Asked(Arc<Seat>),
}

/// What the thread is told.
#[derive(Debug)]
pub enum Note {
    /// A record was handed to so many shards.
    Record {
        order: u64,
        seq: u64,
        received_ms: i64,
        replayed: bool,
        parts: usize,
    },
    /// What a shard made of its part.
    Part {
        order: u64,
        asks: Vec<Ask>,
        told: Vec<Told>,
    },
    /// A shard has ended.
    Gone,
}

/// Writes a state to whom it is given.
pub type StateWriter<'a> = &'a mut dyn FnMut(&mut dyn io::Write) -> io::Result<()>;

/// What a state is kept in, see [`worker`].
pub trait JointFiles: std::fmt::Debug + Send {
    /// Keeps an entry behind those before it: it survives a kill.
    ///
    /// # Errors
    /// Why it is not kept, for a log line.
    fn append(&mut self, entry: &[u8]) -> Result<(), String>;

    /// Keeps a state in the place of the one before it and of all entries.
    ///
    /// # Errors
    /// Why it is not kept, for a log line; everything is as it was then.
    fn replace(&mut self, state: StateWriter<'_>) -> Result<(), String>;
}

/// What was kept of groups.
#[derive(Debug)]
pub struct Kept {
    pub files: Box<dyn JointFiles>,
    pub state: Option<Vec<u8>>,
    /// What came after it, in order.
    pub entries: Vec<Vec<u8>>,
}

/// Groups that are looked at.
#[derive(Debug)]
pub struct Started {
    /// For the shards.
    pub joints: Arc<Joints>,
    /// What is shown of them.
    pub joined: Arc<Joined>,
    /// Ends after the last shard.
    pub thread: JoinHandle<()>,
}

/// What router, shards and thread share.
#[derive(Debug)]
pub struct Joints {
    by: Box<[Box<str>]>,
    to: Sender<Note>,
    /// Samples that wait for the thread.
    waiting: Arc<AtomicUsize>,
    /// Number of the newest record that the thread has taken and kept.
    done: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

impl Joints {
    /// With the other end of the queue; `None` if no group is to be looked at.
    pub fn new(spec: &GroupSpec, metrics: &Arc<Metrics>) -> Option<(Arc<Self>, Receiver<Note>)> {
        // Bounded by what waits: shards leave out what is too much.
        let (to, notes) = channel();
        let joints = Self {
            by: spec.joint_by.clone(),
            to,
            waiting: Arc::default(),
            done: Arc::default(),
            metrics: Arc::clone(metrics),
        };
        (spec.joint_max > 0).then(|| (Arc::new(joints), notes))
    }

    /// A thread for these groups, which goes on where `kept` ended, and what it shows. Anomalies go to
    /// `records`, what was learned of series to `kin`.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        spec: &GroupSpec,
        shards: usize,
        kept: Option<Kept>,
        records: Option<RecordTap>,
        kin: &Arc<Kin>,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Option<Started>> {
        let Some((joints, notes)) = Self::new(spec, metrics) else {
            kin.begin();
            return Ok(None);
        };
        let joined = Arc::new(Joined::new(spec.joint_by.clone()));
        let worker = Worker::new(WorkerParts {
            spec: spec.clone(),
            shards,
            joined: Arc::clone(&joined),
            metrics: Arc::clone(metrics),
            kept,
            records,
            kin: Arc::clone(kin),
            waiting: Arc::clone(&joints.waiting),
            done: Arc::clone(&joints.done),
        });
        let thread = std::thread::Builder::new()
            .name("groups".to_owned())
            .spawn(move || worker.run(&notes))?;
        Ok(Some(Started {
            joints,
            joined,
            thread,
        }))
    }

    /// For one shard.
    pub fn tap(self: &Arc<Self>) -> JointTap {
        JointTap {
            joints: Arc::clone(self),
            order: 0,
            newest: 0,
            replayed: false,
            asks: Vec::new(),
            told: Vec::new(),
        }
    }

    /// For the router.
    pub fn feed(self: &Arc<Self>) -> Feed {
        Feed {
            joints: Arc::clone(self),
            order: Arc::default(),
        }
    }
}

/// The router's end: it says which records there are.
#[derive(Debug, Clone)]
pub struct Feed {
    joints: Arc<Joints>,
    order: Arc<AtomicU64>,
}

impl Feed {
    /// A record is handed to so many shards now, and to nobody another one before this has been: to be
    /// called by one at a time. Gives what its batches are marked with.
    pub fn begin(&self, seq: u64, received_ms: i64, replayed: bool, parts: usize) -> u64 {
        if parts == 0 {
            return 0;
        }
        let order = self.order.fetch_add(1, Ordering::Relaxed) + 1;
        // Fails only if the thread has ended, after the shards.
        let _ = self.joints.to.send(Note::Record {
            order,
            seq,
            received_ms,
            replayed,
            parts,
        });
        order
    }

    /// Returns when the thread has room for the samples of another record. Blocks.
    pub fn wait_for_room(&self) {
        while self.joints.waiting.load(Ordering::Relaxed) > WAITING_MAX / 2 {
            std::thread::sleep(ROOM_AGAIN);
        }
    }
}

/// A shard's end.
#[derive(Debug)]
pub struct JointTap {
    joints: Arc<Joints>,
    /// Of the record at hand.
    order: u64,
    /// Of the newest one that was handed over.
    newest: u64,
    replayed: bool,
    asks: Vec<Ask>,
    told: Vec<Told>,
}

impl JointTap {
    /// A part of a record begins.
    pub fn begin(&mut self, order: u64, replayed: bool) {
        (self.order, self.replayed) = (order, replayed);
    }

    /// A sample of a series that has a score. `due` says that it is the first one, or one that
    /// [`JointTap::is_due`].
    #[inline]
    pub fn tell(
        &mut self,
        standing: &mut Standing,
        due: bool,
        sample: Sample,
        series: impl FnOnce() -> (Box<[u8]>, u8, EntryOf),
    ) {
        // A record without a number is nobody's.
        if self.order == 0 {
            return;
        }
        match standing {
            Standing::Never => return,
            Standing::Refused if !due => return,
            Standing::Asked(seat) if !due => match seat.read() {
                Answer::At(place) => {
                    self.told.push(Told { place, sample });
                    return;
                }
                Answer::Refused => {
                    *standing = Standing::Refused;
                    return;
                }
                Answer::Waits => {}
            },
            Standing::Unknown | Standing::Refused | Standing::Asked(_) => {}
        }
        self.ask(standing, due, sample, series());
    }

    #[cold]
    fn ask(
        &mut self,
        standing: &mut Standing,
        due: bool,
        sample: Sample,
        (labels, partition, entry): (Box<[u8]>, u8, EntryOf),
    ) {
        if matches!(standing, Standing::Unknown) && values(&labels, &self.joints.by).is_none() {
            *standing = Standing::Never;
            return;
        }
        let seat = match &*standing {
            Standing::Asked(seat) => Arc::clone(seat),
            _ => Arc::new(Seat::new()),
        };
        *standing = Standing::Asked(Arc::clone(&seat));
        self.asks.push(Ask {
            labels,
            partition,
            due,
            entry,
            seat,
            sample,
        });
    }

    /// True for the first sample in an hour of the series at this position of its group of neighbours.
    #[inline]
    pub fn is_due(position: u16, before_ms: i64, t_ms: i64) -> bool {
        let later = i64::from(position) * ASK_LATER_MS;
        let hour = |t: i64| t.saturating_add(later).div_euclid(ASK_EVERY_MS);
        hour(before_ms) != hour(t_ms)
    }

    /// Hands over what the part said.
    pub fn end(&mut self) {
        if self.order == 0 {
            return;
        }
        let (mut asks, mut told) = (
            std::mem::take(&mut self.asks),
            std::mem::take(&mut self.told),
        );
        let weight = weight(&asks, &told);
        let waits = self.joints.waiting.load(Ordering::Relaxed);
        if !self.replayed && waits + weight > WAITING_MAX {
            self.joints.metrics.groups.lost(told.len() + asks.len());
            asks.clear();
            told.clear();
        } else {
            self.joints.waiting.fetch_add(weight, Ordering::Relaxed);
        }
        let part = Note::Part {
            order: self.order,
            asks,
            told,
        };
        self.newest = self.order;
        // Fails only if the thread has ended: it panicked.
        let _ = self.joints.to.send(part);
    }

    /// Where what was told so far ends.
    pub fn mark(&self) -> u64 {
        self.newest
    }

    /// True if all that was told up to the mark is kept, or will never be.
    pub fn is_settled(&self, mark: u64) -> bool {
        self.joints.done.load(Ordering::Acquire) >= mark
    }
}

impl Drop for JointTap {
    fn drop(&mut self) {
        // Fails only if the thread has ended.
        let _ = self.joints.to.send(Note::Gone);
    }
}

/// What a part counts in the queue.
fn weight(asks: &[Ask], told: &[Told]) -> usize {
    told.len() + ASK_WEIGHT * asks.len()
}

#[cfg(test)]
mod tests;
