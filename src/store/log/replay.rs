//! Reading the records of many segments in order, the next blocks already on their way.

use std::io;
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread;

use super::files::Files;
use super::metrics::LogMetrics;
use super::reader::{BLOCK, Scanner, Source};
use super::survey::{Found, read_block};
use super::{LogError, segment};

/// Blocks read ahead of the one that is worked on.
const AHEAD: usize = 3;

/// What a replay gave and what it could not give.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Records handed out, and the bytes of their payloads.
    pub records: u64,
    pub bytes: u64,
    /// Stretches of damage, each of which was one record or more, and their bytes.
    pub broken: u64,
    pub skipped_bytes: u64,
    /// Bytes of a torn tail behind the last record of the log.
    pub cut_bytes: u64,
    /// Records left out because their sequence number had been before: a copied segment.
    pub duplicates: u64,
    /// Places where sequence numbers are missing, and how many are.
    pub gaps: u64,
    pub missing: u64,
    /// Segments that were there and cannot be read at all.
    pub unreadable: u64,
}

/// What the reading thread sends.
enum Part {
    Begin(usize),
    Block(Vec<u8>),
    End,
    /// The segment cannot be opened.
    Unreadable,
}

/// Hands every whole record from `from_seq` on to `record`, in order of sequence numbers, each once.
pub(super) fn replay(
    files: &dyn Files,
    segments: &[Found],
    from_seq: u64,
    metrics: &LogMetrics,
    record: &mut dyn FnMut(u64, u8, &[u8]),
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Replayed, LogError> {
    let wanted: Vec<&Found> = segments
        .iter()
        .enumerate()
        .filter(|(i, _)| {
            // All of the next one comes after all of this one.
            let bound = segments[i + 1..].iter().find_map(|s| s.header);
            bound.is_none_or(|next| next.first_seq > from_seq)
        })
        .map(|(_, segment)| segment)
        .collect();
    let all: u64 = wanted.iter().map(|s| s.len).sum();
    let mut out = Replayed::default();
    let mut last = from_seq.saturating_sub(1);
    let mut any = from_seq > 0;
    thread::scope(|scope| {
        let (full, parts) = sync_channel(AHEAD);
        let (spent, empty) = channel();
        thread::Builder::new()
            .name("log-reader".to_owned())
            .spawn_scoped(scope, {
                let wanted = &wanted;
                move || read(files, wanted, metrics, &full, &empty)
            })
            .map_err(|e| LogError::io("starting the log's reader", &e))?;
        let mut buffer = Vec::new();
        let mut done = 0;
        while let Ok(part) = parts.recv() {
            let Part::Begin(i) = part else {
                out.unreadable += u64::from(matches!(part, Part::Unreadable));
                continue;
            };
            let found = wanted[i];
            let source = Blocks {
                parts: &parts,
                spent: &spent,
                progress: &mut |n| {
                    done += n;
                    progress(done, all);
                },
            };
            let skip = found.header.map_or(0, |_| segment::HEADER);
            let mut scanner = Scanner::new(source, found.salt, found.len, skip, buffer);
            while let Some(header) = scanner
                .next()
                .map_err(|e| LogError::io("reading the log", &e))?
            {
                let seq = header.seq;
                if any && seq <= last {
                    out.duplicates += u64::from(seq >= from_seq);
                    continue;
                }
                if any && seq > last + 1 {
                    out.gaps += 1;
                    out.missing += seq - last - 1;
                }
                (any, last) = (true, seq);
                out.records += 1;
                out.bytes += scanner.payload().len() as u64;
                record(seq, header.kind, scanner.payload());
            }
            let (between, behind) = scanner.damage();
            (_, buffer) = scanner.into_parts();
            out.broken += between.stretches;
            out.skipped_bytes += between.bytes;
            if i + 1 == wanted.len() {
                out.cut_bytes += behind.bytes;
            } else {
                out.broken += behind.stretches;
                out.skipped_bytes += behind.bytes;
            }
        }
        Ok(())
    })?;
    metrics.broken.inc_by(out.broken + out.unreadable);
    Ok(out)
}

/// Reads all segments and sends them on; ends early if nobody listens any more.
fn read(
    files: &dyn Files,
    wanted: &[&Found],
    metrics: &LogMetrics,
    full: &SyncSender<Part>,
    empty: &Receiver<Vec<u8>>,
) {
    for (i, found) in wanted.iter().enumerate() {
        let Ok(file) = files.open(&found.name) else {
            metrics.errors.inc_by(1);
            if full.send(Part::Unreadable).is_err() {
                return;
            }
            continue;
        };
        if full.send(Part::Begin(i)).is_err() {
            return;
        }
        let mut at = 0;
        while at < found.len {
            let mut block = empty.try_recv().unwrap_or_default();
            block.resize(BLOCK.min((found.len - at) as usize), 0);
            let n = read_block(&*file, at, &mut block, metrics);
            block.truncate(n);
            if n == 0 {
                break;
            }
            at += block.len() as u64;
            if full.send(Part::Block(block)).is_err() {
                return;
            }
        }
        if full.send(Part::End).is_err() {
            return;
        }
    }
}

struct Blocks<'a> {
    parts: &'a Receiver<Part>,
    spent: &'a Sender<Vec<u8>>,
    progress: &'a mut dyn FnMut(u64),
}

impl Source for Blocks<'_> {
    fn more(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
        match self.parts.recv() {
            Ok(Part::Block(block)) => {
                to.extend_from_slice(&block);
                (self.progress)(block.len() as u64);
                // Fails only if the reader has read everything.
                let _ = self.spent.send(block);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}
