//! What lies in the folder of a log when it is opened.
//!
//! What always holds: a log of a newer saimon is refused before anything is changed, and nothing is
//! changed but a torn tail, which is cut off. Segments are ordered by what stands in them and not
//! by their names, so that a copied or renamed file does no harm.

use std::io;

use super::LogError;
use super::files::{Files, LogFile, read_full};
use super::metrics::LogMetrics;
use super::reader::{BLOCK, Scanner, Source};
use super::segment::{self, Header, Unreadable};

/// A segment as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) name: String,
    pub(super) number: u64,
    /// Bytes, without a torn tail.
    pub(super) len: u64,
    /// `None` if both copies are damaged.
    pub(super) header: Option<Header>,
    /// What its records are checked with: its own, or that of its neighbours.
    pub(super) salt: u64,
}

/// What opening a log found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Opened {
    pub segments: u64,
    pub bytes: u64,
    /// Of the newest record; 0 if there is none and never was.
    pub last_seq: u64,
    /// Bytes of a torn tail that were cut off.
    pub cut_bytes: u64,
    /// Segments missing between others, by their numbers.
    pub missing: u64,
    /// Segments that say of themselves that they are another one.
    pub misnamed: u64,
    /// Segments whose header is damaged; their records are read all the same.
    pub headless: u64,
}

pub(super) struct Survey {
    pub(super) found: Vec<Found>,
    pub(super) opened: Opened,
    /// The salt of the log; `None` if it is new.
    pub(super) salt: Option<u64>,
    /// Larger than any number in a name or a header.
    pub(super) next_number: u64,
}

/// Looks at every segment's header and at the end of the last one.
pub(super) fn survey(files: &dyn Files, metrics: &LogMetrics) -> Result<Survey, LogError> {
    let mut found = headers(files)?;
    let salt = found.iter().rev().find_map(|f| f.header).map(|h| h.salt);
    for f in &mut found {
        f.salt = f.header.map(|h| h.salt).or(salt).unwrap_or_default();
    }
    let mut opened = Opened {
        segments: found.len() as u64,
        misnamed: count(&found, |f| f.header.is_some_and(|h| h.number != f.number)),
        headless: count(&found, |f| f.header.is_none()),
        ..Opened::default()
    };
    let mut numbers: Vec<u64> = found.iter().map(|f| f.number).collect();
    numbers.sort_unstable();
    opened.missing = numbers.windows(2).map(|w| w[1] - w[0] - 1).sum();
    order(&mut found);

    let last = found.len().wrapping_sub(1);
    for (i, f) in found.iter_mut().enumerate().rev() {
        let (seq, good_end) = scan(files, f, metrics)?;
        let before = f.header.map_or(0, |h| h.first_seq.saturating_sub(1));
        opened.last_seq = opened.last_seq.max(seq).max(before);
        if i == last && good_end < f.len && salt.is_some() {
            // A disk that is read-only keeps its torn tail; every reader leaves it out anyway.
            if files.cut(&f.name, good_end).is_err() {
                metrics.errors.inc_by(1);
            }
            opened.cut_bytes = f.len - good_end;
            f.len = good_end;
        }
        if f.header.is_some() {
            // All before it is older than it.
            break;
        }
    }
    opened.bytes = found.iter().map(|f| f.len).sum();
    let next_number = found
        .iter()
        .flat_map(|f| [Some(f.number), f.header.map(|h| h.number)])
        .flatten()
        .max()
        .map_or(1, |n| n.saturating_add(1));
    Ok(Survey {
        found,
        opened,
        salt,
        next_number,
    })
}

fn count(found: &[Found], which: impl Fn(&Found) -> bool) -> u64 {
    found.iter().filter(|f| which(f)).count() as u64
}

/// Segments by their names.
fn headers(files: &dyn Files) -> Result<Vec<Found>, LogError> {
    let failed = |e: io::Error| LogError::io("looking for the log", &e);
    let mut found = Vec::new();
    for (name, len) in files.list().map_err(failed)? {
        let Some(number) = segment::number(&name) else {
            continue;
        };
        let mut bytes = [0; segment::HEADER];
        let read = files
            .open(&name)
            .and_then(|file| read_full(&*file, 0, &mut bytes))
            .unwrap_or_default();
        let header = match Header::parse(&bytes[..read]) {
            Ok(header) => Some(header),
            Err(Unreadable::Damaged) => None,
            Err(Unreadable::Version(found)) => {
                return Err(LogError::Version {
                    segment: name,
                    found,
                    known: segment::VERSION,
                });
            }
        };
        found.push(Found {
            name,
            number,
            len,
            header,
            salt: 0,
        });
    }
    found.sort_by_key(|f| f.number);
    Ok(found)
}

/// By first sequence number; one without a header stays behind the one before it.
fn order(found: &mut Vec<Found>) {
    let mut first = 0;
    let mut keyed: Vec<_> = std::mem::take(found)
        .into_iter()
        .map(|f| {
            first = f.header.map_or(first, |h| h.first_seq);
            (first, f)
        })
        .collect();
    keyed.sort_by_key(|(first, f)| (*first, f.number));
    found.extend(keyed.into_iter().map(|(_, f)| f));
}

/// The largest sequence number in a segment, 0 if it has none, and where its last record ends.
fn scan(files: &dyn Files, found: &Found, metrics: &LogMetrics) -> Result<(u64, u64), LogError> {
    let Ok(file) = files.open(&found.name) else {
        metrics.errors.inc_by(1);
        return Ok((0, found.len));
    };
    let source = Straight {
        file: &*file,
        at: 0,
        len: found.len,
        metrics,
    };
    let skip = found.header.map_or(0, |_| segment::HEADER);
    let mut scanner = Scanner::new(source, found.salt, found.len, skip, Vec::new());
    let mut seq = 0;
    while let Some(header) = scanner
        .next()
        .map_err(|e| LogError::io("reading the end of the log", &e))?
    {
        seq = seq.max(header.seq);
    }
    Ok((seq, scanner.good_end().min(found.len)))
}

/// Reads a file on the calling thread.
struct Straight<'a> {
    file: &'a dyn LogFile,
    at: u64,
    len: u64,
    metrics: &'a LogMetrics,
}

impl Source for Straight<'_> {
    fn more(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
        let old = to.len();
        let left = self.len.saturating_sub(self.at);
        to.resize(old + BLOCK.min(left as usize), 0);
        let read = read_block(self.file, self.at, &mut to[old..], self.metrics);
        to.truncate(old + read);
        self.at += (to.len() - old) as u64;
        Ok(to.len() > old)
    }
}

/// Fills `into` as far as the file reaches. What a bad sector holds is lost and reads as zeros: what
/// follows need not be.
pub(super) fn read_block(
    file: &dyn LogFile,
    at: u64,
    into: &mut [u8],
    metrics: &LogMetrics,
) -> usize {
    read_full(file, at, into).unwrap_or_else(|_| {
        metrics.errors.inc_by(1);
        into.fill(0);
        into.len()
    })
}
