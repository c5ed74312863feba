//! What a shard hands to those who send scores on: every judged sample, and every end of a series.
//!
//! A shard appends rows to a buffer of its own and hands it over after a batch, by a bounded channel
//! that it never waits for: while the channel is full rows stay in the buffer, and beyond
//! `BUFFER_MAX` they are dropped and counted. No lock, and no allocation but for the buffers, which
//! come back. Two promises follow from the numbers that go with the rows:
//!
//! - *Nothing is lost by a crash.* A partition is handed to the store only when whoever takes the rows
//!   has dealt with all of them up to that moment ([`Tap::mark`], [`Tap::is_settled`]); what comes
//!   later is in the write-ahead log and is judged again, with the same result.
//! - *Nothing is handed over twice.* Rows of a batch that is read from the log again are left out
//!   where the taker has them already ([`TapSpec::have`]).

mod row;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

pub use row::{Extra, Row, RowError, raw_rows, rows};

use super::keep::PARTITIONS;
use crate::score::band::Band;
use crate::score::judge::Judgement;

/// Bytes that wait in a shard for room in the channel: the rows of several requests.
const BUFFER_MAX: usize = 4 << 20;
/// Buffers on their way to the taker, for each shard.
const CHANNEL_A_SHARD: usize = 4;
/// A buffer that grew beyond this is not used again.
const SPARE_MAX: usize = 1 << 20;

/// What rows are to have beside the score.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wants {
    /// Expected value, deviation and rarity.
    pub extra: bool,
    /// The band, which is searched for: about a hundred times the work of the score.
    pub band: bool,
}

/// What taps are made with.
#[derive(Debug, Clone)]
pub struct TapSpec {
    pub wants: Wants,
    /// By partition: rows of the records up to this one are with the taker already.
    pub have: Box<[u64; PARTITIONS]>,
}

/// Rows of one shard, in order of time for every series.
#[derive(Debug)]
pub struct Rows {
    pub shard: u16,
    pub shards: u16,
    /// Rows of the records up to this one are in this or in earlier buffers of the shard.
    pub seq: u64,
    pub count: u64,
    /// As [`rows()`] reads them.
    pub bytes: Vec<u8>,
    /// Rows that the shard has made so far.
    made: u64,
}

/// The shard's end.
#[derive(Debug)]
pub struct Tap {
    wants: Wants,
    have: Arc<[u64; PARTITIONS]>,
    shard: u16,
    shards: u16,
    bytes: Vec<u8>,
    /// Rows in `bytes`.
    count: u64,
    /// Rows that were put into a buffer.
    made: u64,
    dropped: u64,
    seq: u64,
    replayed: bool,
    to: SyncSender<Rows>,
    back: Receiver<Vec<u8>>,
    done: Arc<AtomicU64>,
}

/// The taker's end.
#[derive(Debug)]
pub struct Outlet {
    rows: Receiver<Rows>,
    back: Vec<SyncSender<Vec<u8>>>,
    done: Vec<Arc<AtomicU64>>,
}

/// A tap for each shard, and where all of them lead.
pub fn taps(shards: usize, spec: &TapSpec) -> (Vec<Tap>, Outlet) {
    let (to, rows) = sync_channel(shards * CHANNEL_A_SHARD);
    let have: Arc<[u64; PARTITIONS]> = Arc::new(*spec.have);
    let mut outlet = Outlet {
        rows,
        back: Vec::new(),
        done: Vec::new(),
    };
    let taps = (0..shards).map(|shard| {
        let (spare, back) = sync_channel(CHANNEL_A_SHARD + 1);
        let done = Arc::new(AtomicU64::new(0));
        outlet.back.push(spare);
        outlet.done.push(Arc::clone(&done));
        Tap {
            wants: spec.wants,
            have: Arc::clone(&have),
            // There are at most as many shards as partitions.
            shard: shard as u16,
            shards: shards as u16,
            bytes: Vec::new(),
            count: 0,
            made: 0,
            dropped: 0,
            seq: 0,
            replayed: false,
            to: to.clone(),
            back,
            done,
        }
    });
    (taps.collect(), outlet)
}

impl Tap {
    pub fn wants(&self) -> Wants {
        self.wants
    }

    /// A batch begins: the record that it came in, and whether that is read from the log again.
    pub fn begin(&mut self, seq: u64, replayed: bool) {
        self.seq = self.seq.max(seq);
        self.replayed = replayed;
    }

    /// A judged sample that has a score.
    #[inline]
    pub fn judged(
        &mut self,
        partition: u8,
        labels: &[u8],
        t_ms: i64,
        judged: &Judgement,
        band: Option<Band>,
    ) {
        let (Some(score), Some(evidence)) = (judged.score, &judged.evidence) else {
            return;
        };
        if !self.takes(partition) {
            return;
        }
        let extra = Extra {
            expected: band.map_or(evidence.expected, |b| b.expected),
            deviation: evidence.deviation,
            rarity: judged.rarity,
        };
        row::put(
            &mut self.bytes,
            &Row {
                labels,
                t_ms,
                score: Some(score),
                extra: self.wants.extra.then_some(extra),
                bounds: band.map(|b| (b.lower, b.upper)),
            },
        );
    }

    /// A series that had scores has none from this time on.
    pub fn ended(&mut self, partition: u8, labels: &[u8], t_ms: i64) {
        if self.takes(partition) {
            row::put(
                &mut self.bytes,
                &Row {
                    labels,
                    t_ms,
                    score: None,
                    extra: None,
                    bounds: None,
                },
            );
        }
    }

    /// True if a row is to be made now, which is counted then.
    #[inline]
    fn takes(&mut self, partition: u8) -> bool {
        if self.replayed && self.seq <= self.have[usize::from(partition)] {
            return false;
        }
        if self.bytes.len() >= BUFFER_MAX {
            self.dropped += 1;
            return false;
        }
        self.count += 1;
        self.made += 1;
        true
    }

    /// Hands over what there is, if there is room. Gives the rows that were dropped since the last
    /// time.
    pub fn flush(&mut self) -> u64 {
        let dropped = std::mem::take(&mut self.dropped);
        if self.count == 0 {
            return dropped;
        }
        let rows = Rows {
            shard: self.shard,
            shards: self.shards,
            seq: self.seq,
            count: self.count,
            bytes: std::mem::take(&mut self.bytes),
            made: self.made,
        };
        match self.to.try_send(rows) {
            Ok(()) => {
                self.bytes = self.back.try_recv().unwrap_or_default();
                self.count = 0;
                dropped
            }
            Err(TrySendError::Full(rows)) => {
                self.bytes = rows.bytes;
                dropped
            }
            // The taker is gone: so are these.
            Err(TrySendError::Disconnected(rows)) => {
                self.bytes = rows.bytes;
                self.bytes.clear();
                self.done.store(self.made, Ordering::Release);
                dropped + std::mem::take(&mut self.count)
            }
        }
    }

    /// Where the rows end that were made so far.
    pub fn mark(&self) -> u64 {
        self.made
    }

    /// True if the taker has dealt with all rows up to the mark.
    pub fn is_settled(&self, mark: u64) -> bool {
        self.done.load(Ordering::Acquire) >= mark
    }
}

impl Outlet {
    /// The next rows of any shard; `None` if none came in time.
    ///
    /// # Errors
    /// If all shards have ended and all their rows were given.
    pub fn next(&self, wait: std::time::Duration) -> Result<Option<Rows>, Closed> {
        use std::sync::mpsc::RecvTimeoutError;
        match self.rows.recv_timeout(wait) {
            Ok(rows) => Ok(Some(rows)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Closed),
        }
    }

    /// These rows are dealt with, on disk or given up.
    pub fn done(&self, rows: Rows) {
        let shard = usize::from(rows.shard);
        self.done[shard].store(rows.made, Ordering::Release);
        let mut bytes = rows.bytes;
        if bytes.capacity() <= SPARE_MAX {
            bytes.clear();
            // Without room for it, it is one too many.
            let _ = self.back[shard].try_send(bytes);
        }
    }
}

/// All shards have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Closed;

/// Rows for those who test what is behind a tap.
#[cfg(test)]
impl Rows {
    pub fn of<'a>(seq: u64, rows: impl IntoIterator<Item = Row<'a>>) -> Self {
        let (mut bytes, mut count) = (Vec::new(), 0);
        for row in rows {
            row::put(&mut bytes, &row);
            count += 1;
        }
        Self {
            shard: 0,
            shards: 1,
            seq,
            count,
            bytes,
            made: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn tap(have: u64) -> (Tap, Outlet) {
        let spec = TapSpec {
            wants: Wants::default(),
            have: Box::new([have; PARTITIONS]),
        };
        let (mut taps, outlet) = taps(1, &spec);
        (taps.remove(0), outlet)
    }

    #[test]
    fn what_the_taker_has_is_left_out_of_a_replay_and_of_nothing_else() {
        let (mut tap, outlet) = tap(5);
        for (seq, replayed) in [(5, true), (6, true), (5, false), (7, false)] {
            tap.begin(seq, replayed);
            tap.ended(0, b"", seq as i64);
        }
        // The numbers of records only rise: the third has that of the second.
        assert_eq!(tap.flush(), 0);
        let got = outlet.next(Duration::ZERO).unwrap().unwrap();
        assert_eq!((got.count, got.seq), (3, 7));
        let times: Vec<_> = rows(&got.bytes).map(|r| r.unwrap().t_ms).collect();
        assert_eq!(times, [6, 5, 7]);
    }

    #[test]
    fn a_full_channel_makes_nobody_wait_and_what_is_dropped_is_counted() {
        let (mut tap, outlet) = tap(0);
        let labels = vec![0; 64 << 10];
        let mut dropped = 0;
        for i in 0..200 {
            tap.begin(i, false);
            tap.ended(0, &labels, i as i64);
            dropped += tap.flush();
        }
        let mark = tap.mark();
        assert!(!tap.is_settled(mark));
        let mut got = Vec::new();
        while let Some(some) = outlet.next(Duration::ZERO).unwrap() {
            got.extend(rows(&some.bytes).map(|r| r.unwrap().t_ms));
            outlet.done(some);
            dropped += tap.flush();
        }
        assert!(tap.is_settled(mark));
        assert!(dropped > 0 && got.is_sorted());
        assert_eq!(got.len() as u64 + dropped, 200);
        drop(tap);
        assert_eq!(outlet.next(Duration::ZERO).unwrap_err(), Closed);
    }

    #[test]
    fn without_a_taker_rows_are_dropped_and_nothing_waits_for_them() {
        let (mut tap, outlet) = tap(0);
        drop(outlet);
        tap.ended(0, b"x", 1);
        assert_eq!(tap.flush(), 1);
        assert!(tap.is_settled(tap.mark()));
    }
}
