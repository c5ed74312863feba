//! Anomalies on their way out of the shards: samples become records, and records that changed are
//! handed over in batches.
//!
//! A shard tells its [`RecordTap`] of every sample that has an anomaly under way, or ended one. The
//! tap has the record of each such series and, once a batch, hands over those that changed, without
//! ever waiting. What always holds:
//! - An anomaly has one record, whatever is replayed or sent again: samples that a record has already
//!   are passed over ([`Known`]), and its id follows from its first sample.
//! - What finds no room in the channel stays changed and is handed over later as it is then: an
//!   overload delays records and loses none. Only anomalies that begin while [`OPEN_MAX`] others are
//!   held are left out, and counted.
//! - [`RecordTap::mark`] and [`RecordTap::is_settled`] say when all changes made so far are on disk.
//!
//! A record changes when it begins, becomes active, gets graver, has a new peak or another reason, and
//! when it ends; a sample that is none of these costs a lookup.

mod entry;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use self::entry::Entry;
use super::batch::Batch;
use super::exemplars::{Exemplars, LOOKS_MS};
use super::record::{EndedBy, Record, RecordId, RecordState, Update};
use super::tap::Closed;
use crate::model::Point;
use crate::score::band::Band;
use crate::score::board::{Alarm, AlarmState, Reason};
use crate::score::judge::Judgement;
use crate::score::verdict::Change;
use crate::series::family;
use crate::series::fingerprint::fingerprint;

/// Anomalies that one shard holds, those that ended and are not handed over yet included. At half a
/// KiB each, 8 MiB; with the most exemplars that each may have, and the longest, five times that.
pub const OPEN_MAX: usize = 16_384;
/// Records in one batch.
const BATCH_MAX: usize = 512;
/// Batches of a shard that wait for the taker.
const CHANNEL_A_SHARD: usize = 4;
/// How long after a start series that had an anomaly are waited for, in milliseconds. Then it has
/// ended by silence.
const SEED_MS: i64 = 3_600_000;
/// How long an anomaly that ended by silence may go on, in milliseconds: a judge forgets it after
/// twenty intervals.
const DORMANT_MS: i64 = 7 * 24 * 3_600_000;

/// What is known of records from before a start.
#[derive(Debug, Default)]
pub struct Known {
    /// Records that may go on: not ended, or by silence.
    pub open: Vec<Record>,
    /// By series, the newest sample that its records have. It has no say in live samples.
    pub as_of: HashMap<u64, i64>,
}

/// Changes of records of one shard.
#[derive(Debug)]
pub struct Updates {
    shard: u16,
    made: u64,
    pub all: Vec<Update>,
}

/// The shard's end.
#[derive(Debug)]
pub struct RecordTap {
    shard: u16,
    open: HashMap<(u64, bool), Entry>,
    /// Records from before the start whose series have not been heard since.
    seeds: HashMap<(u64, bool), Record>,
    as_of: Arc<HashMap<u64, i64>>,
    /// The samples at hand are read from the log again.
    replayed: bool,
    began_ms: Option<i64>,
    /// Of all series, for the anomalies that are to begin.
    exemplars: Exemplars,
    dirty: HashSet<(u64, bool)>,
    /// Ended or forgotten, and not handed over.
    gone: Vec<Update>,
    made: u64,
    dropped: u64,
    to: SyncSender<Updates>,
    done: Arc<AtomicU64>,
}

/// The taker's end.
#[derive(Debug)]
pub struct RecordOutlet {
    updates: Receiver<Updates>,
    done: Vec<Arc<AtomicU64>>,
}

/// A tap for each shard, one more for whoever looks at several series, and where all of them lead.
pub fn record_taps(shards: usize, known: Known) -> (Vec<RecordTap>, RecordOutlet) {
    let (to, updates) = sync_channel((shards + 1) * CHANNEL_A_SHARD);
    let as_of = Arc::new(known.as_of);
    let mut done = Vec::new();
    let mut taps: Vec<_> = (0..=shards)
        .map(|shard| {
            let settled = Arc::new(AtomicU64::new(0));
            done.push(Arc::clone(&settled));
            RecordTap {
                // There are at most as many shards as partitions.
                shard: shard as u16,
                open: HashMap::new(),
                seeds: HashMap::new(),
                as_of: Arc::clone(&as_of),
                replayed: false,
                began_ms: None,
                exemplars: Exemplars::default(),
                dirty: HashSet::new(),
                gone: Vec::new(),
                made: 0,
                dropped: 0,
                to: to.clone(),
                done: settled,
            }
        })
        .collect();
    for record in known.open {
        let owner = usize::from(record.partition) % shards.max(1);
        taps[owner]
            .seeds
            .insert((record.id.fingerprint, record.absent), record);
    }
    (taps, RecordOutlet { updates, done })
}

impl RecordTap {
    /// A batch begins, read from the log again or not.
    pub fn begin(&mut self, replayed: bool) {
        self.replayed = replayed;
    }

    /// Remembers the exemplars of a batch, before its samples are judged.
    pub fn exemplars(&mut self, batch: &Batch) {
        self.exemplars.take(batch);
    }

    /// True if every sample is to be told, because a record from before the start may end with it.
    #[inline]
    pub fn wants_all(&self) -> bool {
        !self.seeds.is_empty()
    }

    /// True if a sample this far over the line is the peak of its anomaly, so that its band is of
    /// interest. The fingerprint is that of the series' labels.
    pub fn is_peak(&self, fingerprint: u64, deviation: f64) -> bool {
        let key = (fingerprint, false);
        let known = self.open.get(&key).map(|e| &e.record);
        let known = known.or_else(|| self.seeds.get(&key));
        known.is_none_or(|r| deviation > r.peak.deviation)
    }

    /// A judged sample of a series that has an anomaly under way, had one before it, or may have had.
    /// `source` are the labels of what sends its samples: of a statistic, those of its histogram.
    pub fn judged(
        &mut self,
        partition: u8,
        labels: &[u8],
        source: &[u8],
        x: Point,
        judged: &Judgement,
        band: Option<Band>,
    ) {
        let fp = fingerprint(labels);
        self.end((fp, true), x.t_ms, EndedBy::Samples);
        if self.is_had(fp, x.t_ms) {
            return;
        }
        let key = (fp, false);
        self.wake(key);
        let begins = matches!(judged.change, Some(Change::Began(_)));
        let was_active = self.open.get(&key).is_some_and(|e| !e.is_pending());
        if judged.change == Some(Change::Ended) || begins && was_active {
            self.end(key, x.t_ms, EndedBy::Samples);
        }
        match judged.alarm {
            Some(alarm) => {
                self.goes_on(partition, labels, key, (x, judged, band), alarm);
                self.illustrate(key, source, x.t_ms);
            }
            // Of a model that starts afresh there is no end to be told.
            None => self.end(key, x.t_ms, EndedBy::Samples),
        }
    }

    fn goes_on(
        &mut self,
        partition: u8,
        labels: &[u8],
        key: (u64, bool),
        (x, judged, band): (Point, &Judgement, Option<Band>),
        alarm: Alarm,
    ) {
        let room = self.open.contains_key(&key) || self.has_room();
        let changed = match self.open.get_mut(&key) {
            Some(entry) => entry.take(x, judged, band, alarm),
            None if !room => {
                if matches!(judged.change, Some(Change::Began(_))) {
                    self.dropped += 1;
                }
                return;
            }
            None => {
                let mut entry = Entry::new(key.0, partition, labels, x, judged, band, alarm);
                if alarm.state == AlarmState::Active {
                    entry.record.active_ms = Some(x.t_ms);
                }
                self.open.insert(key, entry);
                true
            }
        };
        if changed {
            self.changed(key);
        }
    }

    /// Gives an anomaly that began of late the exemplars near its beginning.
    fn illustrate(&mut self, key: (u64, bool), source: &[u8], t_ms: i64) {
        if self.exemplars.is_empty() {
            return;
        }
        let Some(Entry { record }) = self.open.get_mut(&key) else {
            return;
        };
        let start_ms = record.id.start_ms;
        if t_ms.saturating_sub(start_ms) > LOOKS_MS {
            return;
        }
        let home = family::home(source);
        let found = (self.exemplars).add_near(home, start_ms, &mut record.exemplars);
        if found {
            record.as_of_ms = record.as_of_ms.max(t_ms);
            self.changed(key);
        }
    }

    /// The series said that it ended.
    pub fn stale(&mut self, labels: &[u8], t_ms: i64) {
        if self.open.is_empty() && self.seeds.is_empty() {
            return;
        }
        let fp = fingerprint(labels);
        self.end((fp, true), t_ms, EndedBy::Samples);
        if self.is_had(fp, t_ms) {
            return;
        }
        self.end((fp, false), t_ms, EndedBy::Stale);
    }

    /// The model of the series begins afresh after its newest sample: what it does is not known to be
    /// odd any more.
    pub fn afresh(&mut self, labels: &[u8], last_ms: i64) {
        let fp = fingerprint(labels);
        if !self.is_had(fp, last_ms) {
            self.end((fp, false), last_ms, EndedBy::Samples);
        }
    }

    /// The series fell silent, was put aside or forgotten; `last_ms` is its newest sample.
    pub fn silent(&mut self, labels: &[u8], last_ms: Option<i64>) {
        if self.open.is_empty() && self.seeds.is_empty() {
            return;
        }
        let key = (fingerprint(labels), false);
        self.wake(key);
        if let Some(entry) = self.open.get_mut(&key)
            && entry.record.state != RecordState::Resolved
        {
            if entry.is_pending() {
                self.end(key, last_ms.unwrap_or(0), EndedBy::Silence);
                return;
            }
            let last_ms = last_ms.unwrap_or(entry.record.as_of_ms);
            entry.rest(last_ms);
            self.changed(key);
        }
    }

    /// The series is missed: its silence is an anomaly, with the score that the clock gives it.
    pub fn absent(&mut self, partition: u8, labels: &[u8], last_ms: i64, score: f32, alarm: Alarm) {
        let key = (fingerprint(labels), true);
        self.wake(key);
        let room = self.open.contains_key(&key) || self.has_room();
        let changed = match self.open.get_mut(&key) {
            Some(entry) => entry.missed(score, alarm),
            None if !room => {
                self.dropped += 1;
                return;
            }
            None => {
                let start_ms = last_ms.saturating_add(1);
                let entry = Entry::absent(key.0, partition, labels, start_ms, score, alarm);
                self.open.insert(key, entry);
                self.illustrate(key, labels, start_ms);
                true
            }
        };
        if changed {
            self.changed(key);
        }
    }

    /// The time, now and then.
    pub fn tick(&mut self, now_ms: i64) {
        let began_ms = *self.began_ms.get_or_insert(now_ms);
        if !self.seeds.is_empty() && now_ms.saturating_sub(began_ms) > SEED_MS {
            for key in self.seeds.keys().copied().collect::<Vec<_>>() {
                self.wake(key);
                if let Some(entry) = self.open.get_mut(&key)
                    && entry.record.state != RecordState::Resolved
                {
                    entry.rest(entry.record.as_of_ms);
                    self.changed(key);
                }
            }
        }
        let rests = |e: &Entry| e.record.end_ms.is_some_and(|t| now_ms - t > DORMANT_MS);
        let dirty = &self.dirty;
        self.open.retain(|key, e| !rests(e) || dirty.contains(key));
    }

    /// True for a sample that the records of its series have already.
    fn is_had(&self, fp: u64, t_ms: i64) -> bool {
        self.replayed && self.as_of.get(&fp).is_some_and(|as_of| t_ms <= *as_of)
    }

    /// Takes up a record from before the start.
    fn wake(&mut self, key: (u64, bool)) {
        if let Some(record) = self.seeds.remove(&key) {
            self.open.entry(key).or_insert(Entry { record });
        }
    }

    fn has_room(&mut self) -> bool {
        if self.open.len() + self.gone.len() < OPEN_MAX {
            return true;
        }
        // Those that ended by silence need not be held.
        let dirty = &self.dirty;
        self.open
            .retain(|key, e| e.record.state != RecordState::Resolved || dirty.contains(key));
        self.open.len() + self.gone.len() < OPEN_MAX
    }

    /// The anomaly is over, if there is one.
    fn end(&mut self, key: (u64, bool), t_ms: i64, by: EndedBy) {
        if self.open.is_empty() && self.seeds.is_empty() {
            return;
        }
        self.wake(key);
        let Some(mut entry) = self.open.remove(&key) else {
            return;
        };
        self.dirty.remove(&key);
        self.made += 1;
        self.gone.push(if entry.is_pending() {
            Update::Forget(entry.record.id)
        } else {
            entry.end(t_ms, by);
            Update::Put(Box::new(entry.record))
        });
    }

    fn changed(&mut self, key: (u64, bool)) {
        self.made += 1;
        self.dirty.insert(key);
    }

    /// A record that somebody else has made.
    pub fn update(&mut self, update: Update) {
        self.made += 1;
        self.gone.push(update);
    }

    /// Hands over what changed, as far as there is room. Gives the anomalies that were left out since
    /// the last time.
    pub fn flush(&mut self) -> u64 {
        while !(self.gone.is_empty() && self.dirty.is_empty()) {
            let few = self.gone.len().min(BATCH_MAX);
            let mut all = self.gone[..few].to_vec();
            let keys: Vec<_> = self.dirty.iter().copied().take(BATCH_MAX - few).collect();
            let records = keys.iter().filter_map(|key| self.open.get(key));
            all.extend(records.map(|e| Update::Put(Box::new(e.record.clone()))));
            let last = few == self.gone.len() && keys.len() == self.dirty.len();
            let updates = Updates {
                shard: self.shard,
                made: if last { self.made } else { 0 },
                all,
            };
            match self.to.try_send(updates) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => break,
                // The taker is gone: so are these.
                Err(TrySendError::Disconnected(_)) => {
                    self.done.store(u64::MAX, Ordering::Release);
                }
            }
            self.gone.drain(..few);
            for key in keys {
                self.dirty.remove(&key);
            }
        }
        std::mem::take(&mut self.dropped)
    }

    /// Where the changes end that were made so far.
    pub fn mark(&self) -> u64 {
        self.made
    }

    /// True if the taker has dealt with all changes up to the mark.
    pub fn is_settled(&self, mark: u64) -> bool {
        self.done.load(Ordering::Acquire) >= mark
    }
}

impl RecordOutlet {
    /// The next changes of any shard; `None` if none came in time.
    ///
    /// # Errors
    /// If all shards have ended and all their changes were given.
    pub fn next(&self, wait: Duration) -> Result<Option<Updates>, Closed> {
        match self.updates.recv_timeout(wait) {
            Ok(updates) => Ok(Some(updates)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err(Closed),
        }
    }

    /// These and all before them of the same shard are dealt with, on disk or given up.
    pub fn done(&self, updates: &Updates) {
        if updates.made > 0 {
            self.done[usize::from(updates.shard)].fetch_max(updates.made, Ordering::AcqRel);
        }
    }
}

/// Where a record of an id stands among those of its series, for whoever loads them: what a start
/// has to know.
impl Known {
    /// Adds one record.
    pub fn add(&mut self, record: Record) {
        // Those of groups are known by what is kept of groups.
        if record.reason == Reason::Joint {
            return;
        }
        let RecordId { fingerprint, .. } = record.id;
        if !record.absent {
            let as_of = self.as_of.entry(fingerprint).or_insert(i64::MIN);
            *as_of = record.as_of_ms.max(*as_of);
        }
        if record.state != RecordState::Resolved || record.ended_by == Some(EndedBy::Silence) {
            self.open.push(record);
        }
    }
}
