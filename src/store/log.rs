//! The write-ahead log: every request as it came, on disk before it is answered.
//!
//! A folder of segments of its own, appended to and dropped as a whole when a checkpoint covers
//! them. What always holds: sequence numbers rise by one with each record, over segments and
//! restarts; an append costs one write and waits for no sync; what was synced is read back, in
//! order, each record once, whatever happened to the rest; nothing is handed out that was not
//! appended; a write that failed leaves nothing behind that hides later ones; the log has a size
//! that it never exceeds. It does not know what is in a record.

pub mod files;
mod journal;
pub mod metrics;
pub mod options;
mod reader;
mod record;
mod replay;
mod segment;
mod survey;
mod sync;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use smallvec::SmallVec;
use tokio::sync::watch;

use super::locked;
use files::{Files, LogFile, append_all};
use metrics::LogMetrics;
use options::{Options, SEGMENTS_MAX, SyncMode};
pub use record::PAYLOAD_MAX;
pub use replay::Replayed;
use survey::Found;
pub use survey::Opened;
use sync::{Dirty, Status};

/// Why the log did not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// No checkpoint has dropped segments for too long.
    #[error(
        "the write-ahead log has {bytes} bytes in {segments} files and may have no more: it shrinks at the next checkpoint that succeeds"
    )]
    Full { bytes: u64, segments: usize },
    /// The disk or a quota is full, or files may not grow (RLIMIT_FSIZE).
    #[error(
        "no space left for the write-ahead log while {what}: free some, appending goes on by itself"
    )]
    NoSpace { what: &'static str },
    #[error("a record of {bytes} bytes is larger than the write-ahead log takes")]
    TooLarge { bytes: usize },
    #[error("{what} failed: {why}")]
    Io { what: &'static str, why: String },
    /// Written, but possibly not there after a power cut.
    #[error(
        "the write-ahead log could not be synced: {why}; what was appended since the last sync may be lost in a power cut"
    )]
    Sync { why: String },
    /// It is left as it is.
    #[error(
        "segment {segment} of the write-ahead log has version {found}, this saimon reads up to {known}: use a newer saimon, or another data directory"
    )]
    Version {
        segment: String,
        found: u16,
        known: u16,
    },
    #[error(
        "the write-ahead log {dir} is in use by another process: stop it, or use another data directory"
    )]
    Locked { dir: PathBuf },
    #[error("the write-ahead log was closed")]
    Closed,
}

impl LogError {
    fn io(what: &'static str, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::FileTooLarge => Self::NoSpace { what },
            _ => Self::Io {
                what,
                why: error.to_string(),
            },
        }
    }

    fn sync(error: &io::Error) -> Self {
        Self::Sync {
            why: error.to_string(),
        }
    }
}

/// An open log. Dropping it syncs it, unless syncs are off.
#[derive(Debug)]
pub struct Log {
    inner: Arc<Inner>,
    /// Segments that were there at the start.
    found: Vec<Found>,
    cut_bytes: u64,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    files: Box<dyn Files>,
    options: Options,
    metrics: Arc<LogMetrics>,
    salt: u64,
    /// Held for one write by an append, for moments by the sync thread, never during a sync.
    tail: Mutex<Tail>,
    /// One sync at a time, so that what counts as synced only grows.
    rounds: Mutex<()>,
    /// The sync thread has something to do.
    work: Condvar,
    status: watch::Sender<Status>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// Where the log grows.
struct Tail {
    /// Oldest first; the last one may be active.
    segments: VecDeque<Segment>,
    active: Option<Active>,
    next_seq: u64,
    next_number: u64,
    /// Of all segments.
    bytes: u64,
    /// A file was created since the folder was synced.
    names_dirty: bool,
    dirty: Vec<Dirty>,
    closing: bool,
}

/// A file of the log.
struct Segment {
    number: u64,
    name: String,
    /// No record in it has a smaller sequence number; `None` if its header is damaged.
    first_seq: Option<u64>,
    bytes: u64,
}

/// The segment that is written.
struct Active {
    number: u64,
    file: Arc<dyn LogFile>,
    first_seq: u64,
    bytes: u64,
}

impl Log {
    /// Opens the log in `files` and cuts off a torn tail. Appends go to a new segment.
    ///
    /// # Errors
    /// [`LogError::Version`] if a newer saimon wrote it: nothing is changed then. [`LogError::Io`] if
    /// the folder cannot be read.
    pub fn open(
        files: Box<dyn Files>,
        options: Options,
        metrics: Arc<LogMetrics>,
    ) -> Result<(Self, Opened), LogError> {
        let options = options.checked();
        let survey = survey::survey(&*files, &metrics)?;
        if options.sync != SyncMode::Never {
            sync_found(&*files, &survey.found, &metrics);
        }
        let next_seq = survey.opened.last_seq.max(options.covered) + 1;
        let tail = Tail {
            segments: survey.found.iter().map(Segment::from).collect(),
            active: None,
            next_seq,
            next_number: survey.next_number,
            bytes: survey.opened.bytes,
            names_dirty: true,
            dirty: Vec::new(),
            closing: false,
        };
        let inner = Arc::new(Inner {
            files,
            salt: survey
                .salt
                .unwrap_or_else(|| new_salt(options.salt, survey.next_number)),
            options,
            metrics,
            tail: Mutex::new(tail),
            rounds: Mutex::new(()),
            work: Condvar::new(),
            status: watch::Sender::new(Status::at(next_seq - 1)),
        });
        inner.publish(&locked(&inner.tail));
        let thread = match inner.options.sync {
            SyncMode::Never => None,
            SyncMode::Always | SyncMode::Interval => {
                let inner = Arc::clone(&inner);
                let thread = thread::Builder::new()
                    .name("log-sync".to_owned())
                    .spawn(move || inner.keep_synced())
                    .map_err(|e| LogError::io("starting the log's sync thread", &e))?;
                Some(thread)
            }
        };
        let log = Self {
            inner,
            cut_bytes: survey.opened.cut_bytes,
            found: survey.found,
            thread,
        };
        Ok((log, survey.opened))
    }

    /// Appends one record made of `payload`'s parts, in one write, and gives its sequence number.
    /// Returns as soon as the operating system has it; [`Log::synced`] says when the disk does.
    ///
    /// # Errors
    /// If it was not appended; later appends may be.
    pub fn append(&self, kind: u8, payload: &[&[u8]]) -> Result<u64, LogError> {
        let len: usize = payload.iter().map(|part| part.len()).sum();
        if len > PAYLOAD_MAX {
            return Err(LogError::TooLarge { bytes: len });
        }
        let mut tail = locked(&self.inner.tail);
        let result = self.inner.append(&mut tail, kind, payload, len);
        self.inner.metrics.failing.set(i64::from(result.is_err()));
        match &result {
            Ok(_) if self.inner.options.sync == SyncMode::Always => self.inner.work.notify_one(),
            Ok(_) => {}
            Err(LogError::Full { .. }) => {
                self.inner.metrics.full.inc();
            }
            Err(_) => {
                self.inner.metrics.errors.inc();
            }
        }
        result
    }

    /// The sequence number of the newest record, 0 before the first.
    pub fn last_seq(&self) -> u64 {
        locked(&self.inner.tail).next_seq - 1
    }

    /// Hands every whole record that was there when the log was opened and whose sequence number is
    /// at least `from_seq` to `record` (sequence number, kind, payload): in order, each once. 0
    /// means all. `progress` gets bytes done and bytes in all, about once a MiB. Appends may go on
    /// meanwhile.
    ///
    /// # Errors
    /// If no thread can be started. Damage is no error: it is counted in what is returned.
    pub fn replay(
        &self,
        from_seq: u64,
        mut record: impl FnMut(u64, u8, &[u8]),
        mut progress: impl FnMut(u64, u64),
    ) -> Result<Replayed, LogError> {
        let mut replayed = replay::replay(
            &*self.inner.files,
            &self.found,
            from_seq,
            &self.inner.metrics,
            &mut record,
            &mut progress,
        )?;
        replayed.cut_bytes += self.cut_bytes;
        Ok(replayed)
    }

    /// Deletes the segments that hold nothing newer than `seq`. The newest segment stays, because it
    /// is what carries the sequence numbers over a restart. Gives the bytes freed.
    ///
    /// # Errors
    /// If a segment cannot be deleted; it is tried again next time.
    pub fn drop_through(&self, seq: u64) -> Result<u64, LogError> {
        let inner = &self.inner;
        let covered: Vec<Segment> = {
            let mut tail = locked(&inner.tail);
            // A segment ends where the next one that knows its beginning begins.
            let keep_from = tail
                .segments
                .iter()
                .rposition(|s| {
                    s.first_seq
                        .is_some_and(|first| first <= seq.saturating_add(1))
                })
                .unwrap_or(0);
            tail.segments.drain(..keep_from).collect()
        };
        let mut freed = 0;
        let mut result = Ok(());
        let mut left = Vec::new();
        for segment in covered {
            match inner.files.remove(&segment.name) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    inner.metrics.errors.inc_by(1);
                    result = Err(LogError::io("deleting a segment of the log", &e));
                    left.push(segment);
                }
                _ => freed += segment.bytes,
            }
        }
        let mut tail = locked(&inner.tail);
        for segment in left.into_iter().rev() {
            tail.segments.push_front(segment);
        }
        tail.bytes = tail.segments.iter().map(|s| s.bytes).sum();
        inner.publish(&tail);
        result.map(|()| freed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        locked(&self.inner.tail).closing = true;
        self.inner.work.notify_all();
        if let Some(thread) = self.thread.take() {
            // It panicked only if a file operation did; there is nobody left to tell.
            let _ = thread.join();
            let _ = self.inner.sync();
        }
    }
}

impl Inner {
    fn append(
        &self,
        tail: &mut Tail,
        kind: u8,
        payload: &[&[u8]],
        len: usize,
    ) -> Result<u64, LogError> {
        let size = (record::HEADER + len) as u64;
        let full = |tail: &Tail| LogError::Full {
            bytes: tail.bytes,
            segments: tail.segments.len(),
        };
        if tail
            .active
            .as_ref()
            .is_some_and(|a| a.bytes + size > self.options.segment && a.first_seq < tail.next_seq)
        {
            tail.active = None;
        }
        if tail.active.is_none() {
            let needed = segment::HEADER as u64 + size;
            if tail.bytes + needed > self.options.limit || tail.segments.len() >= SEGMENTS_MAX {
                return Err(full(tail));
            }
            tail.active = Some(self.begin(tail)?);
        }
        let Some(active) = &mut tail.active else {
            return Err(LogError::Closed);
        };
        if tail.bytes + size > self.options.limit {
            return Err(full(tail));
        }
        let seq = tail.next_seq;
        let header = record::Header::seal(self.salt, kind, seq, payload);
        let mut parts: SmallVec<[IoSlice<'_>; 8]> = SmallVec::new();
        parts.push(IoSlice::new(&header));
        parts.extend(payload.iter().map(|part| IoSlice::new(part)));
        if let Err(e) = append_all(&*active.file, &mut parts) {
            self.abandon(tail);
            return Err(LogError::io("appending to the write-ahead log", &e));
        }
        active.bytes += size;
        tail.bytes += size;
        tail.next_seq += 1;
        match tail.dirty.last_mut() {
            Some(dirty) if dirty.number == active.number => dirty.to = seq,
            _ => tail.dirty.push(Dirty {
                number: active.number,
                file: Arc::clone(&active.file),
                from: seq,
                to: seq,
            }),
        }
        let bytes = active.bytes;
        if let Some(segment) = tail.segments.back_mut() {
            segment.bytes = bytes;
        }
        self.metrics.records.inc_by(1);
        self.metrics.bytes.inc_by(size);
        self.publish(tail);
        Ok(seq)
    }

    /// Starts a segment. Its name is synced later, before anything in it counts as synced.
    fn begin(&self, tail: &mut Tail) -> Result<Active, LogError> {
        let number = tail.next_number;
        let name = segment::name(number);
        let failed = |e: &io::Error| LogError::io("starting a segment of the write-ahead log", e);
        let header = segment::Header {
            salt: self.salt,
            number,
            first_seq: tail.next_seq,
        };
        // A number is used once, whatever comes of it.
        tail.next_number += 1;
        let file = self.files.create(&name).map_err(|e| failed(&e))?;
        if let Err(e) = append_all(&*file, &mut [IoSlice::new(&header.bytes())]) {
            // What stays behind if this fails too is a file without a record.
            let _ = self.files.remove(&name);
            return Err(failed(&e));
        }
        let bytes = segment::HEADER as u64;
        tail.segments.push_back(Segment {
            number,
            name,
            first_seq: Some(header.first_seq),
            bytes,
        });
        tail.bytes += bytes;
        tail.names_dirty = true;
        Ok(Active {
            number,
            file,
            first_seq: header.first_seq,
            bytes,
        })
    }

    /// Removes what a failed write may have left and closes the segment: a file that failed once is
    /// not trusted with more.
    fn abandon(&self, tail: &mut Tail) {
        let Some(active) = tail.active.take() else {
            return;
        };
        if active.first_seq < tail.next_seq {
            // If this fails, a reader finds a record without an end, and goes on with the next file.
            let _ = active.file.truncate(active.bytes);
            return;
        }
        // Nothing is in it yet.
        if self.files.remove(&segment::name(active.number)).is_ok() {
            tail.segments.retain(|s| s.number != active.number);
            tail.bytes = tail.segments.iter().map(|s| s.bytes).sum();
        }
    }

    fn publish(&self, tail: &Tail) {
        self.metrics
            .segments
            .set(i64::try_from(tail.segments.len()).unwrap_or(i64::MAX));
        self.metrics
            .size
            .set(i64::try_from(tail.bytes).unwrap_or(i64::MAX));
    }
}

impl From<&Found> for Segment {
    fn from(found: &Found) -> Self {
        Self {
            number: found.number,
            name: found.name.clone(),
            first_seq: found.header.map(|h| h.first_seq),
            bytes: found.len,
        }
    }
}

/// Another one each time that a log begins anew: what an earlier log left in files without a header
/// must not become readable among records that have its numbers again.
fn new_salt(secret: u64, next_number: u64) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(&next_number.to_le_bytes(), secret)
}

/// What a killed process left unsynced is about to count as kept.
fn sync_found(files: &dyn Files, found: &[Found], metrics: &LogMetrics) {
    for segment in found {
        match files.open(&segment.name).and_then(|file| file.sync()) {
            Ok(()) => metrics.syncs.inc(),
            Err(_) => metrics.errors.inc(),
        };
    }
}
