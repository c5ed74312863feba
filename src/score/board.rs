//! The newest score of every series, readable at any time without stopping a shard.
//!
//! A shard owns a [`BoardWriter`] and stores each new score as a relaxed atomic; a scrape walks all
//! entries through the shared [`Board`]. An entry knows where the labels of its series are; their text
//! is rendered by whoever makes a page. What always holds: a score is in [0, 1) or absent, and an entry
//! whose series ended is absent.

mod parts;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwap;

pub use self::parts::Parts;
use super::judge::Judgement;
use super::label_text;
use crate::config::Severity;
use crate::model::SeriesSpec;
use crate::series::label_store::{LabelBytes, LabelReader, LabelStore, Place};

/// Entries that are allocated together.
const BLOCK: usize = 1024;

/// Bits of "no score": a NaN that no score ever has.
const ABSENT: u32 = u32::MAX;

/// The place of an entry that no series has.
const NOBODY: u64 = u64::MAX;

/// Why an anomaly was raised. The list is closed (product contract).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Reason {
    Spike = 0,
    Drop = 1,
    LevelShift = 2,
    Trend = 3,
    Season = 4,
    Variance = 5,
    Flatline = 6,
    Absent = 7,
    OutOfRange = 8,
    Pattern = 9,
    Joint = 10,
}

impl Reason {
    pub const ALL: [Self; 11] = [
        Self::Spike,
        Self::Drop,
        Self::LevelShift,
        Self::Trend,
        Self::Season,
        Self::Variance,
        Self::Flatline,
        Self::Absent,
        Self::OutOfRange,
        Self::Pattern,
        Self::Joint,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Drop => "drop",
            Self::LevelShift => "level_shift",
            Self::Trend => "trend",
            Self::Season => "season",
            Self::Variance => "variance",
            Self::Flatline => "flatline",
            Self::Absent => "absent",
            Self::OutOfRange => "out_of_range",
            Self::Pattern => "pattern",
            Self::Joint => "joint",
        }
    }
}

/// Which way a value left its band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum Side {
    Up = 0,
    Down = 1,
    Both = 2,
}

impl Side {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Both => "both",
        }
    }
}

/// Whether an anomaly is only suspected or has been confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[repr(u8)]
pub enum AlarmState {
    Pending = 0,
    Active = 1,
}

impl AlarmState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
        }
    }
}

/// An anomaly of one series, as `saimon_anomaly` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Alarm {
    pub state: AlarmState,
    pub severity: Severity,
    pub side: Side,
    pub reason: Reason,
}

impl Alarm {
    fn pack(self) -> u32 {
        (self.state as u32)
            | (self.severity as u32) << 8
            | (self.side as u32) << 16
            | (self.reason as u32) << 24
    }

    fn unpack(bits: u32) -> Option<Self> {
        if bits == ABSENT {
            return None;
        }
        Some(Self {
            state: if bits & 0xff == 0 {
                AlarmState::Pending
            } else {
                AlarmState::Active
            },
            severity: Severity::ALL[(bits >> 8 & 0xff) as usize & 3],
            side: match bits >> 16 & 0xff {
                0 => Side::Up,
                1 => Side::Down,
                _ => Side::Both,
            },
            reason: Reason::ALL[(bits >> 24) as usize % Reason::ALL.len()],
        })
    }
}

/// The label text of one series, in the forms that pages need; see [`super::label_text`].
#[derive(Debug, PartialEq, Eq)]
pub struct LabelText {
    /// As on `saimon_anomaly_score`: `{job="a",...,source_metric="node_load1"`, without the closing
    /// brace, all names plain.
    pub score: Box<str>,
    /// Only where another form differs. In a box of its own: most series have none.
    pub other: Option<Box<OtherText>>,
}

/// Forms of a label text that few series have.
#[derive(Debug, PartialEq, Eq)]
pub struct OtherText {
    /// As on `saimon_anomaly`, which has more labels of its own; only where that differs.
    pub anomaly: Option<Box<str>>,
    /// The score's with names as the source has them, quoted; only where one is not plain.
    pub utf8: Option<Box<str>>,
}

/// One series on the board.
#[derive(Debug)]
pub struct Entry {
    labels: AtomicU64,
    score: AtomicU32,
    alarm: AtomicU32,
    /// The anomaly that its group sees in it, see [`crate::model::joint`].
    joint: AtomicU32,
    /// What it says to its groups ...
    evidence: AtomicU32,
    /// ... and until when, in seconds.
    until_s: AtomicU32,
    /// What its own anomaly is made of, see [`Parts`].
    parts: AtomicU32,
}

impl Entry {
    fn empty() -> Self {
        Self {
            labels: AtomicU64::new(NOBODY),
            score: AtomicU32::new(ABSENT),
            alarm: AtomicU32::new(ABSENT),
            joint: AtomicU32::new(ABSENT),
            evidence: AtomicU32::new(ABSENT),
            until_s: AtomicU32::new(0),
            parts: AtomicU32::new(0),
        }
    }

    /// The newest score, in [0, 1); `None` during warm-up and after the end of the series.
    pub fn score(&self) -> Option<f32> {
        let bits = self.score.load(Ordering::Relaxed);
        (bits != ABSENT).then(|| f32::from_bits(bits))
    }

    /// The anomaly under way, if any: its own, or else the one that its group sees in it.
    pub fn alarm(&self) -> Option<Alarm> {
        let own = Alarm::unpack(self.alarm.load(Ordering::Relaxed));
        own.or_else(|| Alarm::unpack(self.joint.load(Ordering::Relaxed)))
    }

    /// What says that there is an anomaly while it is active: of the newest sample over the line. Empty
    /// where there is none, and from a restart to the next such sample.
    pub fn parts(&self) -> Parts {
        let own = Alarm::unpack(self.alarm.load(Ordering::Relaxed));
        let parts = match own {
            Some(alarm) if alarm.reason == Reason::Absent => Parts::ABSENCE,
            Some(_) => Parts::unpack(self.parts.load(Ordering::Relaxed)),
            None => Parts::JOINT,
        };
        match self.alarm() {
            Some(alarm) if alarm.state == AlarmState::Active => parts,
            _ => Parts::default(),
        }
    }

    /// What the newest sample is worth to the groups of the series, in units of its line; `None` if
    /// there is none that is still of now.
    pub fn evidence(&self, now_ms: i64) -> Option<f32> {
        let until_ms = i64::from(self.until_s.load(Ordering::Relaxed)) * 1000;
        let bits = self.evidence.load(Ordering::Relaxed);
        (bits != ABSENT && now_ms <= until_ms).then(|| f32::from_bits(bits))
    }

    /// Tells apart the series that have had this entry; `None` if none has it.
    pub(super) fn holder(&self) -> Option<u64> {
        let place = self.labels.load(Ordering::Relaxed);
        (place != NOBODY).then_some(place)
    }
}

type Entries = Arc<[Entry]>;

/// The entry of one series, for somebody who is not its shard.
#[derive(Debug, Clone)]
pub struct EntryOf {
    entries: Entries,
    at: usize,
    holder: u64,
}

impl EntryOf {
    /// Shows the anomaly that the group of the series sees in it, or that it sees none any more. Nothing
    /// happens if another series has the entry now.
    pub fn tell_joint(&self, alarm: Option<Alarm>) {
        let entry = &self.entries[self.at];
        if entry.labels.load(Ordering::Relaxed) == self.holder {
            let bits = alarm.map_or(ABSENT, Alarm::pack);
            entry.joint.store(bits, Ordering::Relaxed);
        }
    }
}

/// Entries that lie together, and the way to their labels.
#[derive(Debug, Clone)]
pub struct Block {
    entries: Entries,
    labels: LabelReader,
}

impl Block {
    /// The entries; more than one share means that a page is under way.
    pub fn entries(&self) -> &Arc<[Entry]> {
        &self.entries
    }

    /// The canonical label bytes of an entry; `None` if no series has it.
    pub fn labels(&self, at: usize) -> Option<LabelBytes> {
        let place = self.entries.get(at)?.labels.load(Ordering::Relaxed);
        if place == NOBODY {
            return None;
        }
        self.labels.read(Place::unpack(place))
    }

    /// Their text.
    pub fn text(&self, at: usize) -> Option<LabelText> {
        Some(label_text::render(&self.labels(at)?))
    }
}

impl std::ops::Deref for Block {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.entries
    }
}

/// What one shard shows.
#[derive(Debug)]
struct Shown {
    entries: Arc<ArcSwap<Vec<Entries>>>,
    labels: LabelReader,
}

/// All entries of all shards.
#[derive(Debug)]
pub struct Board {
    shards: Vec<Shown>,
}

impl Board {
    /// A board and its writers, one for each shard.
    pub fn new(shards: usize) -> (Arc<Self>, Vec<BoardWriter>) {
        let writers: Vec<_> = (0..shards)
            .map(|_| BoardWriter {
                shared: Arc::default(),
                blocks: Vec::new(),
                used: 0,
                free: Vec::new(),
                labels: LabelStore::new(),
            })
            .collect();
        let shards = writers.iter().map(|writer| Shown {
            entries: Arc::clone(&writer.shared),
            labels: writer.labels.reader(),
        });
        let board = Self {
            shards: shards.collect(),
        };
        (Arc::new(board), writers)
    }

    /// The blocks of entries as they are now. Entries that no series has are among them.
    pub fn blocks(&self) -> Vec<Block> {
        self.shards
            .iter()
            .flat_map(|shown| {
                let block = |entries: &Entries| Block {
                    entries: Arc::clone(entries),
                    labels: shown.labels.clone(),
                };
                shown.entries.load().iter().map(block).collect::<Vec<_>>()
            })
            .collect()
    }
}

/// The writing side, owned by one shard.
#[derive(Debug)]
pub struct BoardWriter {
    shared: Arc<ArcSwap<Vec<Entries>>>,
    blocks: Vec<Entries>,
    used: u32,
    free: Vec<u32>,
    labels: LabelStore,
}

impl BoardWriter {
    /// The store that labels of entries must be in: to be taken once, before the first entry, by
    /// whoever looks after it from then on.
    pub fn take_labels(&mut self) -> LabelStore {
        std::mem::take(&mut self.labels)
    }

    /// Gives a new series whose labels nobody else holds an entry; readers see it after
    /// [`BoardWriter::publish_labels`]. For tools and tests.
    pub fn add_labels(&mut self, canonical: &[u8]) -> u32 {
        let place = self.labels.add(canonical);
        self.add(place)
    }

    /// Shows the entries that have been given by [`BoardWriter::add_labels`].
    pub fn publish_labels(&mut self) {
        self.labels.publish();
    }

    /// Gives a new series an entry.
    pub fn add(&mut self, labels: Place) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            if self.used as usize == self.blocks.len() * BLOCK {
                self.blocks
                    .push((0..BLOCK).map(|_| Entry::empty()).collect());
                self.shared.store(Arc::new(self.blocks.clone()));
            }
            self.used += 1;
            self.used - 1
        });
        let entry = self.entry(at);
        entry.labels.store(labels.pack(), Ordering::Relaxed);
        at
    }

    /// Memory of the entries.
    pub fn heap_bytes(&self) -> usize {
        self.blocks.len() * (BLOCK * size_of::<Entry>() + 16 + 2 * size_of::<Entries>())
            + self.free.capacity() * 4
    }

    /// Takes the entry back from a series that is forgotten.
    pub fn remove(&mut self, at: u32) {
        self.hide(at);
        self.entry(at).joint.store(ABSENT, Ordering::Relaxed);
        self.entry(at).labels.store(NOBODY, Ordering::Relaxed);
        self.free.push(at);
    }

    /// Shows what became of a sample; `until_ms` says until when it counts for the groups of its
    /// series. In warm-up there is nothing to show.
    pub fn tell(&self, at: u32, spec: &SeriesSpec, judged: &Judgement, until_ms: i64) {
        if let Some(score) = judged.score {
            self.set(at, score, judged.alarm.filter(|_| judged.alerts));
            let evidence = judged.evidence.map_or(0.0, |e| e.in_lines(spec));
            self.weigh(at, evidence, until_ms);
            if judged.alarm.is_some()
                && let Some(evidence) = judged.evidence.filter(|e| e.deviation >= 1.0)
            {
                self.tell_parts(at, Parts::of(&evidence));
            }
        }
    }

    /// Says what the anomaly under way is made of.
    pub fn tell_parts(&self, at: u32, parts: Parts) {
        self.entry(at).parts.store(parts.pack(), Ordering::Relaxed);
    }

    /// Shows a new score and the anomaly under way.
    pub fn set(&self, at: u32, score: f32, alarm: Option<Alarm>) {
        debug_assert!(
            (0.0..1.0).contains(&score),
            "BUG: score {score} outside [0, 1)"
        );
        let entry = self.entry(at);
        entry.score.store(score.to_bits(), Ordering::Relaxed);
        entry
            .alarm
            .store(alarm.map_or(ABSENT, Alarm::pack), Ordering::Relaxed);
    }

    /// Says what the newest sample is worth to the groups of the series: its evidence in units of its
    /// line, and until when it counts.
    pub fn weigh(&self, at: u32, evidence: f32, until_ms: i64) {
        let entry = self.entry(at);
        // Up to 2106.
        let until_s = u32::try_from(until_ms / 1000).unwrap_or(0);
        entry.evidence.store(evidence.to_bits(), Ordering::Relaxed);
        entry.until_s.store(until_s, Ordering::Relaxed);
    }

    /// Leaves the series out until its next score.
    pub fn hide(&self, at: u32) {
        let entry = self.entry(at);
        entry.evidence.store(ABSENT, Ordering::Relaxed);
        entry.score.store(ABSENT, Ordering::Relaxed);
        entry.alarm.store(ABSENT, Ordering::Relaxed);
        entry.parts.store(0, Ordering::Relaxed);
    }

    /// The entry for somebody else to hold.
    pub fn entry_of(&self, at: u32) -> EntryOf {
        EntryOf {
            entries: Arc::clone(&self.blocks[at as usize / BLOCK]),
            at: at as usize % BLOCK,
            holder: self.entry(at).labels.load(Ordering::Relaxed),
        }
    }

    /// One entry.
    pub fn entry(&self, at: u32) -> &Entry {
        &self.blocks[at as usize / BLOCK][at as usize % BLOCK]
    }
}
