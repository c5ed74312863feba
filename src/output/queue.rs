//! The queue on disk: what shards have judged and receivers have not taken yet.
//!
//! One folder of segments that one thread appends to and every receiver reads at a pace of its own.
//! What always holds: a record is whole or not there, whatever ended the process; rows are numbered
//! from the first one that was ever written, so that what a receiver misses is known to the row; a
//! segment is deleted when nobody needs it, or needs it and has more waiting than it may; the newest
//! segment stays, because it says up to which record of the write-ahead log rows were written
//! (`have`). It does not know what a row is.

mod cursor;
mod reader;
mod segment;

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::engine::keep::PARTITIONS;
use crate::engine::tap::Rows;
use crate::telemetry::output::OutputMetrics;
pub use cursor::Place;
pub use reader::{Intent, Reader, Record};

/// Bytes of a segment at most, and as a share of the smallest limit: what is given up at once when a
/// receiver has too much waiting.
const SEGMENT_MAX: u64 = 16 << 20;
const SEGMENT_SHARE: u64 = 8;
/// The level of zstd: labels repeat from row to row, so the least finds nearly all.
const LEVEL: i32 = 1;

/// Why there is no queue.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("cannot use {}: {source}", path.display())]
    Io {
        path: PathBuf,
        source: std::io::Error,
    },
    /// It is left as it is.
    #[error(
        "{} is a queue of scores of version {found}, this saimon reads up to {known}: use a newer saimon, or another data directory",
        path.display()
    )]
    Newer {
        path: PathBuf,
        found: u16,
        known: u16,
    },
}

/// One receiver of what is queued.
#[derive(Debug, Clone)]
pub struct ReaderSpec {
    pub name: String,
    /// Bytes that may wait for it.
    pub limit: u64,
}

/// The queue, shared by its one writer and its readers.
#[derive(Debug)]
pub struct Queue {
    dir: PathBuf,
    state: Mutex<State>,
    /// Rows ever written.
    end: watch::Sender<u64>,
    segment_max: u64,
    metrics: OutputMetrics,
}

#[derive(Debug)]
struct State {
    /// Oldest first.
    segments: VecDeque<Segment>,
    end_row: u64,
    readers: Vec<ReaderState>,
}

/// A file of the queue.
#[derive(Debug, Clone, Copy)]
struct Segment {
    number: u64,
    /// Number of its first row.
    first_row: u64,
    /// Bytes of whole records, its header included.
    bytes: u64,
}

#[derive(Debug)]
struct ReaderState {
    limit: u64,
    place: Place,
    /// It may not read segments before this one.
    floor: u64,
}

/// The end that is written.
#[derive(Debug)]
pub struct Writer {
    queue: Arc<Queue>,
    file: Option<File>,
    have: Box<[u64; PARTITIONS]>,
    buffer: Vec<u8>,
    dirty: bool,
    next_number: u64,
}

impl Queue {
    /// Opens the queue in `dir`, making it if need be, for these readers; what others have left of
    /// themselves is removed. `newest` is the newest record of the write-ahead log: numbers beyond it
    /// are of another log.
    ///
    /// # Errors
    /// If the folder cannot be used, or a newer saimon wrote in it.
    pub fn open(
        dir: &Path,
        readers: &[ReaderSpec],
        newest: u64,
        metrics: &OutputMetrics,
    ) -> Result<(Writer, Vec<Reader>), QueueError> {
        let io = |source| QueueError::Io {
            path: dir.to_owned(),
            source,
        };
        fs::create_dir_all(dir).map_err(io)?;
        let found = segment::find(dir)?;
        let mut have = found.have;
        for seq in have.iter_mut() {
            *seq = (*seq).min(newest);
        }
        let segments: VecDeque<Segment> = found.segments.into();
        let smallest = readers.iter().map(|r| r.limit / SEGMENT_SHARE).min();
        let queue = Arc::new(Self {
            dir: dir.to_owned(),
            state: Mutex::new(State {
                end_row: found.end_row,
                readers: Vec::new(),
                segments,
            }),
            end: watch::Sender::new(found.end_row),
            segment_max: smallest.unwrap_or(SEGMENT_MAX).min(SEGMENT_MAX),
            metrics: metrics.clone(),
        });
        let readers: Result<Vec<_>, _> = readers
            .iter()
            .map(|spec| Reader::open(&queue, spec).map_err(io))
            .collect();
        let readers = readers?;
        cursor::remove_others(dir, readers.iter().map(Reader::file_name)).map_err(io)?;
        queue.clear(&mut queue.lock());
        let writer = Writer {
            next_number: found.next_number,
            queue,
            file: None,
            have,
            buffer: Vec::new(),
            dirty: false,
        };
        Ok((writer, readers))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Deletes what nobody needs any more.
    fn clear(&self, state: &mut State) {
        let needed = |r: &ReaderState| r.place.segment.max(r.floor);
        let from = state.readers.iter().map(needed).min().unwrap_or(u64::MAX);
        while state.segments.len() > 1 && state.segments[0].number < from {
            if let Some(gone) = state.segments.pop_front()
                && fs::remove_file(self.dir.join(segment::name(gone.number))).is_err()
            {
                // It is not read again before the next start, which will see that nobody needs it.
                self.metrics.queue_errors.inc();
            }
        }
        let bytes: u64 = state.segments.iter().map(|s| s.bytes).sum();
        self.metrics
            .queue_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// Has readers that are too far behind give up their oldest.
    fn hold_to_limits(&self, state: &mut State) {
        let State {
            segments, readers, ..
        } = state;
        for reader in readers {
            let mut waits: u64 = segments
                .iter()
                .filter(|s| s.number >= reader.place.segment.max(reader.floor))
                .map(|s| s.bytes)
                .sum();
            if reader.floor <= reader.place.segment {
                waits = waits.saturating_sub(reader.place.offset);
            }
            for segment in segments.iter() {
                let last = segments.back().is_some_and(|s| s.number == segment.number);
                if waits <= reader.limit || last {
                    break;
                }
                if segment.number >= reader.place.segment.max(reader.floor) {
                    waits = waits.saturating_sub(segment.bytes);
                    reader.floor = segment.number + 1;
                }
            }
        }
    }
}

impl Writer {
    /// By partition: rows of the records up to this one are in the queue.
    pub fn have(&self) -> &[u64; PARTITIONS] {
        &self.have
    }

    /// Appends rows, to be read from now on. They are where a killed process does not lose them;
    /// [`Writer::sync`] keeps them from a power cut.
    ///
    /// # Errors
    /// If they were not appended; later ones may be.
    pub fn append(&mut self, rows: &Rows) -> std::io::Result<()> {
        for partition in (usize::from(rows.shard)..PARTITIONS).step_by(rows.shards.into()) {
            self.have[partition] = self.have[partition].max(rows.seq);
        }
        let appended = self.try_append(rows);
        if appended.is_err() {
            // What part of it was written is behind what readers are told of.
            self.file = None;
            self.queue.metrics.queue_errors.inc();
        }
        appended
    }

    fn try_append(&mut self, rows: &Rows) -> std::io::Result<()> {
        segment::seal(rows, LEVEL, &mut self.buffer)?;
        if self.file.is_none() {
            self.begin()?;
        }
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.write_all(&self.buffer)?;
        self.dirty = true;
        let queue = &self.queue;
        let mut state = queue.lock();
        state.end_row += rows.count;
        let end_row = state.end_row;
        let mut full = false;
        if let Some(segment) = state.segments.back_mut() {
            segment.bytes += self.buffer.len() as u64;
            full = segment.bytes >= queue.segment_max;
        }
        queue.hold_to_limits(&mut state);
        queue.clear(&mut state);
        drop(state);
        queue.metrics.queued.inc_by(rows.count);
        queue.end.send_replace(end_row);
        if full {
            self.sync()?;
            self.file = None;
        }
        Ok(())
    }

    fn begin(&mut self) -> std::io::Result<()> {
        let number = self.next_number;
        // A number is used once, whatever comes of it.
        self.next_number += 1;
        let first_row = self.queue.lock().end_row;
        let path = self.queue.dir.join(segment::name(number));
        let mut file = File::options().append(true).create_new(true).open(path)?;
        let header = segment::header(number, first_row, &self.have);
        file.write_all(&header)?;
        self.queue.lock().segments.push_back(Segment {
            number,
            first_row,
            bytes: header.len() as u64,
        });
        self.file = Some(file);
        Ok(())
    }

    /// Returns when what was appended survives a power cut.
    ///
    /// # Errors
    /// If it may not.
    pub fn sync(&mut self) -> std::io::Result<()> {
        if !std::mem::take(&mut self.dirty) {
            return Ok(());
        }
        if let Some(file) = &self.file {
            file.sync_data()?;
        }
        File::open(&self.queue.dir)?.sync_all()
    }
}

#[cfg(test)]
mod tests;
