//! What the engine asks of a write-ahead log, and the one line in which requests stand.
//!
//! A request that is to be kept is appended to the journal and handed to its shards while the line is
//! held, so every shard sees the records in the order of the journal, and a shard that has taken
//! record `n` has taken all before it that concern it. The engine does not know where the journal is.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why a record is not kept.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It has all the room that it may have.
    #[error("{0}")]
    Full(String),
    /// Its disk takes nothing.
    #[error("{0}")]
    Failed(String),
}

/// A record's way onto the disk.
pub type Synced<'a> = Pin<Box<dyn Future<Output = Result<(), JournalError>> + Send + 'a>>;

/// An append-only log of records with rising sequence numbers, the first of which is 1.
pub trait Journal: std::fmt::Debug + Send + Sync {
    /// Appends one record made of these parts and gives its number. Does not wait for the disk.
    ///
    /// # Errors
    /// If it was not appended; later ones may be.
    fn append(&self, kind: u8, parts: &[&[u8]]) -> Result<u64, JournalError>;

    /// True if a request is answered only when its record is [`Journal::synced`].
    fn waits(&self) -> bool;

    /// Returns when the record survives a power cut.
    ///
    /// # Errors
    /// If it may not: its request must not be acknowledged.
    fn synced(&self, seq: u64) -> Synced<'_>;
}

/// A request in one record.
pub const REQUEST: u8 = 1;
/// An order about one model in one record, see [`super::models`].
pub const ORDER: u8 = 2;

/// What a request was, to be kept as it came.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// What is needed to read `body` again.
    pub head: &'a [u8],
    /// As sent.
    pub body: &'a [u8],
}

/// What happens to requests that the journal does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// They are refused: what is acknowledged is kept.
    #[default]
    Refuse,
    /// They are taken and not kept: a crash before the next checkpoint loses them.
    Shed,
}

/// Where all requests pass one by one.
#[derive(Debug)]
pub(super) struct Line {
    journal: Option<Arc<dyn Journal>>,
    when_full: WhenFull,
    /// Number of the newest record that is with its shards. A plain mutex, because nothing is awaited
    /// under it: one append to a file and a few sends into queues with room.
    last: Mutex<u64>,
    recovering: AtomicBool,
    /// The store is so far behind that more would have to be forgotten.
    held_up: AtomicBool,
}

impl Line {
    pub(super) fn new(
        journal: Option<Arc<dyn Journal>>,
        when_full: WhenFull,
        last: u64,
        recovering: bool,
    ) -> Self {
        Self {
            journal,
            when_full,
            last: Mutex::new(last),
            recovering: AtomicBool::new(recovering),
            held_up: AtomicBool::new(false),
        }
    }

    pub(super) fn hold(&self) -> Held<'_> {
        Held {
            line: self,
            last: self.last.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    pub(super) fn journal(&self) -> Option<&dyn Journal> {
        self.journal.as_deref()
    }

    pub(super) fn is_recovering(&self) -> bool {
        self.recovering.load(Ordering::Acquire)
    }

    pub(super) fn recovered(&self) {
        self.recovering.store(false, Ordering::Release);
    }

    pub(super) fn hold_up(&self, yes: bool) {
        self.held_up.store(yes, Ordering::Relaxed);
    }
}

/// The line, held by one.
#[derive(Debug)]
pub(super) struct Held<'a> {
    line: &'a Line,
    last: MutexGuard<'a, u64>,
}

impl Held<'_> {
    /// Number of the newest record that is with its shards.
    pub(super) fn last(&self) -> u64 {
        *self.last
    }

    /// The records up to this one are with their shards.
    pub(super) fn advance(&mut self, seq: u64) {
        *self.last = (*self.last).max(seq);
    }

    /// Keeps a record: its number, and whether it is in the journal.
    pub(super) fn keep(&mut self, record: Option<Record<'_>>) -> Result<(u64, Fate), JournalError> {
        match record {
            Some(Record { head, body }) => self.keep_as(REQUEST, &[head, body]),
            None => Ok((self.last(), Fate::Unasked)),
        }
    }

    /// The same for a record of any kind.
    pub(super) fn keep_as(
        &mut self,
        kind: u8,
        parts: &[&[u8]],
    ) -> Result<(u64, Fate), JournalError> {
        let Some(journal) = self.line.journal() else {
            return Ok((self.last(), Fate::Unasked));
        };
        let refuse = self.line.when_full == WhenFull::Refuse;
        if refuse && self.line.held_up.load(Ordering::Relaxed) {
            return Err(JournalError::Full(
                "the store takes nothing and what waits for it has no more room".to_owned(),
            ));
        }
        match journal.append(kind, parts) {
            Ok(seq) => {
                self.advance(seq);
                Ok((seq, Fate::Appended))
            }
            Err(_) if !refuse => Ok((self.last(), Fate::Shed)),
            Err(e) => Err(e),
        }
    }
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fate {
    /// There is no journal, or nothing to keep.
    #[default]
    Unasked,
    Appended,
    /// The journal did not take it, and it was handed over all the same.
    Shed,
}
