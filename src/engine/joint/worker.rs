//! The thread that has all groups: records in order, kept, and what they come to shown.
//!
//! What a record did to the groups is appended to files before it counts as done; when there is much
//! of it the whole state is written in its place. What always holds: state and entries together are
//! the groups as they are; an entry that cannot be written is made up for by the next state that can.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::kin::Kin;
use super::together::{Entry, StateError, Together};
use super::{Ask, JointFiles, Kept, Note, Told, weight};
use crate::engine::record::Update;
use crate::engine::records::RecordTap;
use crate::score::groups::GroupSpec;
use crate::score::groups::joint::Joined;
use crate::telemetry::Metrics;

/// Bytes of entries from which on the state is written anew: with 64 groups of 64 series about as many
/// as it has itself, some hours of samples.
const ENTRIES_MAX: usize = 8 << 20;
/// How long a disk that did not take something is left alone.
const AGAIN: Duration = Duration::from_secs(30);
/// How long the last state waits for the records of anomalies that are in it.
const SETTLE_WAIT: Duration = Duration::from_secs(10);
/// How often records that found no room are offered again.
const OFFER_AGAIN: Duration = Duration::from_millis(200);
/// Version of an entry. 1: postcard of [`Entry`].
const VERSION: u8 = 1;

/// What a worker is made with.
#[derive(Debug)]
pub struct WorkerParts {
    pub spec: GroupSpec,
    /// Shards that tell something.
    pub shards: usize,
    pub joined: Arc<Joined>,
    pub metrics: Arc<Metrics>,
    pub kept: Option<Kept>,
    pub records: Option<RecordTap>,
    pub kin: Arc<Kin>,
    pub waiting: Arc<AtomicUsize>,
    pub done: Arc<AtomicU64>,
}

/// A record of which parts may be missing.
#[derive(Debug)]
struct Open {
    seq: u64,
    received_ms: i64,
    replayed: bool,
    missing: usize,
    asks: Vec<Ask>,
    told: Vec<Told>,
}

/// All groups, and what is kept of them.
#[derive(Debug)]
pub struct Worker {
    together: Together,
    shards: usize,
    metrics: Arc<Metrics>,
    files: Option<Box<dyn JointFiles>>,
    records: Option<RecordTap>,
    waiting: Arc<AtomicUsize>,
    done: Arc<AtomicU64>,
    /// In order; the first one has the number after `done`.
    open: VecDeque<Open>,
    /// Entries since the state.
    entries: usize,
    /// An entry is missing: the next state is wanted, not before this.
    behind: Option<Instant>,
}

impl Worker {
    pub fn new(parts: WorkerParts) -> Self {
        let mut worker = Self {
            together: Together::new(
                &parts.spec,
                Arc::clone(&parts.joined),
                Arc::clone(&parts.kin),
                Arc::clone(&parts.metrics),
            ),
            shards: parts.shards,
            metrics: Arc::clone(&parts.metrics),
            files: None,
            records: parts.records,
            waiting: parts.waiting,
            done: parts.done,
            open: VecDeque::new(),
            entries: 0,
            behind: None,
        };
        if let Some(kept) = parts.kept {
            worker.go_on(kept);
        }
        parts.kin.begin();
        worker
    }

    /// Goes on where what was kept ends.
    fn go_on(&mut self, kept: Kept) {
        let Kept {
            files,
            state,
            entries,
        } = kept;
        self.files = Some(files);
        let restored = state.map(|state| self.together.restore(&state));
        match restored {
            None => {}
            Some(Ok(())) => {
                self.entries = entries.iter().map(Vec::len).sum();
                let mut unreadable = 0;
                for bytes in &entries {
                    match decode(bytes) {
                        Some(entry) => {
                            let updates = self.together.again(&entry);
                            self.put(updates);
                        }
                        None => unreadable += 1,
                    }
                }
                if unreadable > 0 {
                    tracing::warn!(
                        unreadable,
                        "some of what groups had learned cannot be read: going on without it"
                    );
                }
                // A state has the entries only when the records of anomalies have them.
                return;
            }
            Some(Err(StateError::OtherLabels)) => {
                tracing::info!("groups.joint_by is another: groups learn afresh");
            }
            Some(Err(error)) => {
                tracing::warn!(%error, "what groups had learned cannot be used: they learn afresh");
            }
        }
        // From here on the entries are of this state.
        self.keep_state();
    }

    /// Until the last shard has ended.
    pub fn run(mut self, notes: &Receiver<Note>) {
        while self.shards > 0 {
            match notes.recv_timeout(OFFER_AGAIN) {
                Ok(note) => self.take(note),
                Err(RecvTimeoutError::Timeout) => {
                    self.flush_records();
                    self.keep_state_if_due();
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let since = Instant::now();
        while !self.are_records_settled() && since.elapsed() < SETTLE_WAIT {
            self.flush_records();
            std::thread::sleep(Duration::from_millis(2));
        }
        self.keep_state();
    }

    /// Takes one message.
    pub fn take(&mut self, note: Note) {
        match note {
            Note::Record {
                seq,
                received_ms,
                replayed,
                parts,
                order,
            } => {
                debug_assert_eq!(
                    order,
                    self.done.load(Ordering::Relaxed) + self.open.len() as u64 + 1
                );
                self.open.push_back(Open {
                    seq,
                    received_ms,
                    replayed,
                    missing: parts,
                    asks: Vec::new(),
                    told: Vec::new(),
                });
            }
            Note::Part {
                order,
                mut asks,
                mut told,
            } => {
                let first = self.done.load(Ordering::Relaxed) + 1;
                let at = order.checked_sub(first).map(|at| at as usize);
                if let Some(open) = at.and_then(|at| self.open.get_mut(at)) {
                    open.missing = open.missing.saturating_sub(1);
                    open.asks.append(&mut asks);
                    open.told.append(&mut told);
                }
                while let Some(whole) = self.open.pop_front_if(|open| open.missing == 0) {
                    self.whole(whole);
                    self.done.fetch_add(1, Ordering::Release);
                }
            }
            Note::Gone => self.shards = self.shards.saturating_sub(1),
        }
    }

    /// A record of which every part is there.
    fn whole(&mut self, record: Open) {
        let Open {
            seq,
            received_ms,
            replayed,
            asks,
            told,
            ..
        } = record;
        self.waiting
            .fetch_sub(weight(&asks, &told), Ordering::Relaxed);
        if replayed && seq <= self.together.seq() {
            self.together.link(asks);
            return;
        }
        if let Some((entry, updates)) = self.together.gather(seq, received_ms, asks, told) {
            self.keep(&entry);
            self.put(updates);
        }
    }

    /// The groups, for a comparison.
    pub fn together(&self) -> &Together {
        &self.together
    }

    fn put(&mut self, updates: Vec<Update>) {
        if let Some(records) = &mut self.records
            && !updates.is_empty()
        {
            updates
                .into_iter()
                .for_each(|update| records.update(update));
            self.flush_records();
        }
    }

    fn flush_records(&mut self) {
        if let Some(records) = &mut self.records {
            self.metrics.records.left_out(records.flush());
        }
    }

    fn are_records_settled(&self) -> bool {
        let records = self.records.as_ref();
        records.is_none_or(|r| r.is_settled(r.mark()))
    }

    /// Keeps what a record did.
    fn keep(&mut self, entry: &Entry) {
        let Some(files) = &mut self.files else { return };
        if self.behind.is_none() {
            let bytes = encode(entry);
            let kept = bytes.and_then(|bytes| files.append(&bytes).map(|()| bytes.len()));
            match kept {
                Ok(bytes) => self.entries += bytes,
                Err(error) => {
                    self.metrics.groups.not_kept();
                    tracing::error!(%error, "what groups have learned cannot be kept: a crash now would lose some of it");
                    self.behind = Some(Instant::now() + AGAIN);
                }
            }
        }
        self.keep_state_if_due();
    }

    fn keep_state_if_due(&mut self) {
        let due = match self.behind {
            Some(since) => Instant::now() >= since,
            None => self.entries >= ENTRIES_MAX,
        };
        // What is in a state is not said again after a restart: the records must have it.
        if due && self.are_records_settled() {
            self.keep_state();
        }
    }

    fn keep_state(&mut self) {
        let Some(files) = &mut self.files else { return };
        match files.replace(&mut |to| self.together.write_state(to)) {
            Ok(()) => {
                self.entries = 0;
                self.behind = None;
            }
            Err(error) => {
                self.metrics.groups.not_kept();
                tracing::error!(%error, "what groups have learned cannot be written, trying again later");
                self.behind = Some(Instant::now() + AGAIN);
            }
        }
    }
}

fn encode(entry: &Entry) -> Result<Vec<u8>, String> {
    postcard::to_extend(entry, vec![VERSION]).map_err(|e| e.to_string())
}

fn decode(bytes: &[u8]) -> Option<Entry> {
    let (version, entry) = bytes.split_first()?;
    (*version == VERSION)
        .then(|| postcard::from_bytes(entry).ok())
        .flatten()
}
