//! One receiver's way through the queue.
//!
//! Records are read ahead of what is settled: [`Reader::advance`] moves on, [`Reader::intend`] writes
//! down what is about to be sent, and [`Reader::commit`] that it has been. After a crash in between
//! [`Reader::intent`] says what may have arrived already: if just that is sent again, in requests of
//! the same bytes, nothing is lost by a receiver that refuses what it knows.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use tokio::sync::watch;

use super::cursor::{self, Cursor, Saved};
use super::segment::{self, HEADER, RECORD};
use super::{Place, Queue, ReaderSpec, ReaderState};

/// Rows as one shard handed them over.
#[derive(Debug)]
pub struct Record {
    pub rows: Vec<u8>,
    pub count: u64,
}

/// What was under way when the process before this one ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Intent {
    pub until_row: u64,
    pub lanes: u32,
}

/// What was met on the way to the next record.
#[derive(Debug, Default)]
pub struct Met {
    pub record: Option<Record>,
    /// Rows that were given up because too many waited.
    pub full: u64,
    /// Rows that cannot be read.
    pub damaged: u64,
}

/// One receiver's place in the queue.
#[derive(Debug)]
pub struct Reader {
    queue: Arc<Queue>,
    index: usize,
    name: String,
    cursor: Cursor,
    at: Place,
    settled: Place,
    intent: Option<Intent>,
    file: Option<(u64, File)>,
}

impl Reader {
    pub(super) fn open(queue: &Arc<Queue>, spec: &ReaderSpec) -> std::io::Result<Self> {
        let (mut cursor, saved) = Cursor::open(&queue.dir, &spec.name)?;
        let mut state = queue.lock();
        let end_row = state.end_row;
        let new = |from: &super::State| match from.segments.back() {
            Some(last) => Place {
                segment: last.number,
                offset: last.bytes,
                row: end_row,
            },
            None => Place::default(),
        };
        // One that is ahead of the queue is of a queue that was lost.
        let known = saved.filter(|s| s.place.row <= end_row);
        let saved = known.unwrap_or_else(|| Saved {
            place: new(&state),
            ..Saved::default()
        });
        if known.is_none() {
            cursor.save(&saved)?;
        }
        let index = state.readers.len();
        state.readers.push(ReaderState {
            limit: spec.limit,
            place: saved.place,
            floor: 0,
        });
        drop(state);
        let under_way = saved.until_row > saved.place.row && saved.until_row <= end_row;
        Ok(Self {
            queue: Arc::clone(queue),
            index,
            name: spec.name.clone(),
            cursor,
            at: saved.place,
            settled: saved.place,
            intent: under_way.then_some(Intent {
                until_row: saved.until_row,
                lanes: saved.lanes,
            }),
            file: None,
        })
    }

    pub(super) fn file_name(&self) -> String {
        cursor::file_name(&self.name)
    }

    /// What may have arrived although it is not settled: what comes first, up to this row.
    pub fn intent(&mut self) -> Option<Intent> {
        self.intent.take()
    }

    /// Number of the row that [`Reader::advance`] gives next.
    pub fn row(&self) -> u64 {
        self.at.row
    }

    /// Rows that are not settled.
    pub fn pending(&self) -> u64 {
        self.queue.lock().end_row.saturating_sub(self.settled.row)
    }

    /// Tells how many rows there ever were, whenever there are more.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.queue.end.subscribe()
    }

    /// Reads on; no record if there is none yet.
    ///
    /// # Errors
    /// If the disk does not answer. The same is read again next time.
    pub fn advance(&mut self) -> std::io::Result<Met> {
        let mut met = Met::default();
        loop {
            let state = self.queue.lock();
            let floor = state.readers[self.index].floor;
            let here = state
                .segments
                .iter()
                .find(|s| s.number == self.at.segment && s.number >= floor);
            let after = state
                .segments
                .iter()
                .find(|s| s.number > self.at.segment && s.number >= floor);
            let Some(here) = here.copied() else {
                let Some(after) = after.copied() else {
                    return Ok(met);
                };
                drop(state);
                met.full += after.first_row.saturating_sub(self.at.row);
                self.go_to(after.number, after.first_row);
                continue;
            };
            if self.at.offset >= here.bytes {
                let Some(after) = after.copied() else {
                    return Ok(met);
                };
                drop(state);
                met.damaged += after.first_row.saturating_sub(self.at.row);
                self.go_to(after.number, after.first_row);
                continue;
            }
            let end_row = after.map_or(state.end_row, |s| s.first_row);
            drop(state);
            match self.read(here.bytes)? {
                Some(record) => {
                    met.record = Some(record);
                    return Ok(met);
                }
                None => {
                    // What is behind it in this segment cannot be found.
                    met.damaged += end_row.saturating_sub(self.at.row);
                    self.at.offset = here.bytes;
                    self.at.row = end_row;
                }
            }
        }
    }

    fn go_to(&mut self, segment: u64, row: u64) {
        self.at = Place {
            segment,
            offset: HEADER as u64,
            row: row.max(self.at.row),
        };
    }

    /// The record at hand; `None` if it is damaged.
    fn read(&mut self, end: u64) -> std::io::Result<Option<Record>> {
        let number = self.at.segment;
        if self.file.as_ref().is_none_or(|(of, _)| *of != number) {
            let path = self.queue.dir.join(segment::name(number));
            self.file = Some((number, File::open(path)?));
        }
        let Some((_, file)) = &self.file else {
            return Ok(None);
        };
        let Some((head, bytes)) = segment::read_head(file, self.at.offset, end)? else {
            return Ok(None);
        };
        let mut packed = vec![0; head.len];
        file.read_exact_at(&mut packed, self.at.offset + RECORD as u64)?;
        let Some(rows) = head.open(&bytes, &packed) else {
            return Ok(None);
        };
        self.at.offset += (RECORD + head.len) as u64;
        self.at.row += head.rows;
        Ok(Some(Record {
            rows,
            count: head.rows,
        }))
    }

    /// Writes down that what was read is about to be sent by so many lanes.
    ///
    /// # Errors
    /// If it cannot be written down.
    pub fn intend(&mut self, lanes: u32) -> std::io::Result<()> {
        self.cursor.save(&Saved {
            place: self.settled,
            until_row: self.at.row,
            lanes,
        })
    }

    /// What was read is settled: it was sent, or given up.
    ///
    /// # Errors
    /// If that cannot be written down: after a crash it would be sent again.
    pub fn commit(&mut self) -> std::io::Result<()> {
        self.settled = self.at;
        let saved = self.cursor.save(&Saved {
            place: self.settled,
            ..Saved::default()
        });
        let mut state = self.queue.lock();
        state.readers[self.index].place = self.settled;
        self.queue.clear(&mut state);
        saved
    }

    /// Goes back to what is not settled.
    pub fn rewind(&mut self) {
        self.at = self.settled;
    }
}
