//! The owner of a share of all series: an ordinary struct, tested without a thread.
//!
//! A batch is taken in two passes: first every row finds its slot (label bytes, in order of arrival),
//! then every sample goes to its series (state, in the same order). Counters are added up locally
//! and published once a batch. What always holds: nothing outside a shard touches its series, and
//! what a shard computes depends on the samples of each series alone, never on how many shards there
//! are.

use std::collections::HashMap;
use std::sync::Arc;

use super::ask::Question;
use super::batch::{Batch, Families};
use super::groups::{self, Groups, MemberRef};
use super::keep::{GroupId, GroupSnapshot};
use super::prefetch::prefetch;
use super::rules::Specs;
use super::table::Table;
use super::tally::{Admission, Shown, Tally};
use crate::score::board::BoardWriter;
use crate::score::judge::Phase;
use crate::score::label_text;
use crate::score::track::{Taken, Track};
use crate::score::verdict::Change;
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{self, Kind, Source};
use crate::series::labels;
use crate::telemetry::{Metrics, Outcome};
use crate::window::head::Order;
use crate::wire::write::MetricType;

/// What a shard is told, in order.
#[derive(Debug)]
pub enum Message {
    Batch(Batch),
    Families(Families),
    /// To be answered in slices between batches.
    Ask(Question),
    /// The wall clock, once a second: series that fell silent are hidden, in the end forgotten.
    Tick {
        now_ms: i64,
    },
    /// Hand every group that changed to the store's writer, a few between two batches, then
    /// [`super::keep::Kept::Done`].
    Checkpoint,
    /// Hand over every group that changed, then `Done`, and end.
    Stop,
}

/// Slots that lie together in memory.
const BLOCK: usize = 1024;
/// Ticks in which every slot is looked at once.
const TICKS_A_ROUND: usize = 16;
/// A series is silent after this many of its intervals without a value to judge (NaN gives none) ...
const SILENT_INTERVALS: f64 = 10.0;
/// ... and not before this, in milliseconds: Prometheus' own look-back.
const SILENT_MIN_MS: f64 = 300_000.0;

/// How many samples ahead a slot is fetched ...
const SLOT_AHEAD: usize = 8;
/// ... and, once it is there, the end of its open chunk.
const CHUNK_AHEAD: usize = 4;

/// One modelled series.
#[derive(Debug)]
struct Slot {
    track: Track,
    spec: u32,
    board: u32,
    group: u32,
    position: u16,
    shown: Shown,
    /// Generation of the metadata that this series has heard.
    epoch: u32,
    /// Wall clock of its newest sample.
    arrived_ms: i64,
    /// Wall clock of the newest sample that gave a value to judge; of its birth before the first.
    judged_ms: i64,
}

/// What a shard is made with.
#[derive(Debug)]
pub struct ShardParts {
    pub specs: Specs,
    pub board: BoardWriter,
    pub metrics: Arc<Metrics>,
    pub admission: Arc<Admission>,
    /// Most metric families whose metadata is remembered.
    pub families_max: usize,
    /// How long a silent series is remembered, in milliseconds.
    pub forget_ms: i64,
    /// Whether finished chunks are held for a store.
    pub keeps: bool,
}

/// The owner of a share of all series.
#[derive(Debug)]
pub struct Shard {
    parts: ShardParts,
    table: Table,
    /// By slot number; `None` for a series that a rule leaves out, and for free slots.
    slots: Vec<Vec<Option<Slot>>>,
    /// Wall clock of the newest sample of each series that a rule leaves out, by slot number.
    left_out: HashMap<u32, i64>,
    groups: Groups,
    families: HashMap<Box<str>, MetricType>,
    epoch: u32,
    tally: Tally,
    /// Slot of each row of the batch at hand.
    found: Vec<Option<u32>>,
    /// Where the next tick goes on looking.
    swept: usize,
}

impl Shard {
    pub fn new(parts: ShardParts) -> Self {
        Self {
            parts,
            table: Table::new(),
            slots: Vec::new(),
            left_out: HashMap::new(),
            groups: Groups::new(),
            families: HashMap::new(),
            epoch: 0,
            tally: Tally::default(),
            found: Vec::new(),
            swept: 0,
        }
    }

    /// Series in this shard, those that a rule leaves out included.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes one batch.
    pub fn take(&mut self, batch: &Batch) {
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for row in &batch.rows {
            let labels = row.labels.of(&batch.body);
            let at = self
                .table
                .find(row.fingerprint, labels)
                .or_else(|| self.birth(row.fingerprint, labels, batch.received_ms));
            found.push(at);
        }
        for (i, (row, at)) in batch.rows.iter().zip(&found).enumerate() {
            self.expect(&found, i);
            let outcome = match at {
                Some(at) => self.sample(*at, row.timestamp_ms, row.value, batch.received_ms),
                None => Outcome::Limit,
            };
            self.tally.outcomes[outcome as usize] += 1;
        }
        self.found = found;
        self.tally.publish(&self.parts.metrics);
    }

    /// Takes metadata. The first type that a family is announced with stays.
    pub fn families(&mut self, families: &Families) {
        let before = self.families.len();
        for (family, kind) in families.0.iter() {
            if self.families.len() < self.parts.families_max && !self.families.contains_key(family)
            {
                self.families.insert(family.clone(), *kind);
            }
        }
        if self.families.len() > before {
            self.epoch += 1;
        }
    }

    /// Looks at a share of the slots: hides series that fell silent, forgets those long gone.
    pub fn tick(&mut self, now_ms: i64) {
        let all = self.slots.len() * BLOCK;
        let share = all / TICKS_A_ROUND + 1;
        for _ in 0..share.min(all) {
            self.swept = (self.swept + 1) % all;
            let at = self.swept as u32;
            let Some(slot) = slot_mut(&mut self.slots, at) else {
                let seen = self.left_out.get(&at);
                if seen.is_some_and(|seen| now_ms.saturating_sub(*seen) > self.parts.forget_ms) {
                    self.left_out.remove(&at);
                    self.table.remove(at);
                    self.parts.admission.release();
                }
                continue;
            };
            if now_ms.saturating_sub(slot.arrived_ms) > self.parts.forget_ms {
                self.forget(at);
            } else if now_ms.saturating_sub(slot.judged_ms) as f64
                > (SILENT_INTERVALS * slot.track.head().interval_ms()).max(SILENT_MIN_MS)
            {
                self.parts.board.hide(slot.board);
                self.tally.show(&mut slot.shown, Shown::ended());
            }
        }
        self.tally.publish(&self.parts.metrics);
    }

    /// The groups that have changed since their last snapshot.
    pub fn dirty_groups(&self) -> Vec<u32> {
        self.groups.dirty()
    }

    /// One group as it is now; it counts as unchanged from here on.
    pub fn snapshot(&mut self, group: u32) -> Result<GroupSnapshot, groups::StateError> {
        let slots = &self.slots;
        let members: Vec<Option<MemberRef<'_>>> = self
            .groups
            .get(group)
            .members
            .iter()
            .map(|at| {
                let at = (*at)?;
                Some(MemberRef {
                    labels: self.table.labels(at),
                    track: &slot_ref(slots, at)?.track,
                })
            })
            .collect();
        let state = if members.iter().all(Option::is_none) {
            Vec::new()
        } else {
            groups::encode(&members)?
        };
        let group = self.groups.get_mut(group);
        group.dirty = false;
        Ok(GroupSnapshot {
            id: group.id,
            state,
            chunks: std::mem::take(&mut group.closed),
            newest_ms: group.newest_ms,
        })
    }

    /// Brings back a stored group. Series that the rules of today leave out are forgotten.
    pub fn restore(
        &mut self,
        id: GroupId,
        state: &[u8],
        newest_ms: i64,
        now_ms: i64,
    ) -> Result<usize, groups::StateError> {
        let members = groups::decode(state).inspect_err(|_| self.groups.reserve(id))?;
        let group = self.groups.restore(id, newest_ms);
        let mut restored = 0;
        for member in members {
            let position = self.groups.get(group).members.len() as u16;
            let at = member.and_then(|m| {
                let fp = fingerprint(&m.labels);
                let spec = self.parts.specs.find(&m.labels);
                let known = self.table.find(fp, &m.labels).is_some();
                if known || !self.parts.specs.get(spec).model || !self.parts.admission.admit() {
                    return None;
                }
                let at = self.table.insert(fp, &m.labels);
                let declared = self.declared(&m.labels);
                // As the store counts: a restart does not make a silent series look alive.
                let last_ms = m.track.head().last_ms().unwrap_or(now_ms).min(now_ms);
                let mut slot = Slot {
                    track: m.track,
                    spec,
                    board: self.parts.board.add(label_text::render(&m.labels)),
                    group,
                    position,
                    shown: Shown::default(),
                    epoch: self.epoch,
                    arrived_ms: last_ms,
                    judged_ms: last_ms,
                };
                slot.track.declare(self.parts.specs.get(spec), declared);
                self.tally.show(&mut slot.shown, Shown::ended());
                put(&mut self.slots, at, Some(slot));
                Some(at)
            });
            restored += usize::from(at.is_some());
            self.groups.get_mut(group).members.push(at);
        }
        self.groups.restored(group);
        self.tally.publish(&self.parts.metrics);
        Ok(restored)
    }

    /// The track of a series, by its canonical label bytes.
    pub fn track(&mut self, canonical: &[u8]) -> Option<&Track> {
        let at = self.table.find(fingerprint(canonical), canonical)?;
        slot_ref(&self.slots, at).map(|s| &s.track)
    }

    /// Has the memory fetched that the next samples will need: first a slot, then what it points to.
    #[inline]
    fn expect(&self, found: &[Option<u32>], i: usize) {
        let slot = |ahead: usize| {
            let at = (*found.get(i + ahead)?)?;
            Some(&self.slots[at as usize / BLOCK][at as usize % BLOCK])
        };
        if let Some(slot) = slot(SLOT_AHEAD) {
            prefetch(slot);
        }
        if let Some(Some(slot)) = slot(CHUNK_AHEAD) {
            let bytes = slot.track.head().chunk().bytes();
            prefetch(&bytes[bytes.len() - 1]);
        }
    }

    fn birth(&mut self, fp: u64, canonical: &[u8], now_ms: i64) -> Option<u32> {
        if !self.parts.admission.admit() {
            self.tally.dropped += 1;
            return None;
        }
        let at = self.table.insert(fp, canonical);
        let spec = self.parts.specs.find(canonical);
        if !self.parts.specs.get(spec).model {
            put(&mut self.slots, at, None);
            self.left_out.insert(at, now_ms);
            return Some(at);
        }
        let declared = self.declared(canonical);
        let (group, position) = self.groups.place(super::router::partition(fp), at);
        let mut slot = Slot {
            track: Track::new(self.parts.specs.get(spec), declared),
            spec,
            board: self.parts.board.add(label_text::render(canonical)),
            group,
            position,
            shown: Shown::default(),
            epoch: self.epoch,
            arrived_ms: now_ms,
            judged_ms: now_ms,
        };
        self.tally
            .show(&mut slot.shown, Shown::of(Phase::Warmup, None));
        put(&mut self.slots, at, Some(slot));
        Some(at)
    }

    fn declared(&self, canonical: &[u8]) -> Option<(Kind, Source)> {
        let name = labels::get(canonical, "__name__")?;
        kind::declared(name, |family| self.families.get(family).copied())
    }

    fn sample(&mut self, at: u32, t_ms: i64, value: f64, now_ms: i64) -> Outcome {
        let Some(mut slot) = slot_mut(&mut self.slots, at) else {
            self.left_out.insert(at, now_ms);
            return Outcome::Skipped;
        };
        if slot.epoch != self.epoch {
            self.declare(at);
            slot = slot_mut(&mut self.slots, at).expect("BUG: the slot was there");
        }
        let spec = self.parts.specs.get(slot.spec);
        let (outcome, finished) = match slot.track.take(spec, t_ms, value) {
            Taken::Old(Order::Duplicate) => return Outcome::Duplicate,
            Taken::Old(Order::Conflict) => return Outcome::Conflict,
            Taken::Old(_) => return Outcome::Late,
            Taken::Ended { finished, .. } => {
                self.parts.board.hide(slot.board);
                self.tally.show(&mut slot.shown, Shown::ended());
                (Outcome::Stale, finished)
            }
            Taken::Kept {
                judgement,
                finished,
                note,
            } => {
                self.tally.note(note);
                let phase = slot.track.phase(spec);
                if let Some(judged) = judgement {
                    slot.judged_ms = now_ms;
                    if let Some(score) = judged.score {
                        self.parts.board.set(slot.board, score, judged.alarm);
                    }
                    if let Some(Change::Began(_)) = judged.change {
                        self.tally.began += 1;
                    }
                    let shown = Shown::of(phase, judged.alarm);
                    if shown != slot.shown {
                        self.tally.show(&mut slot.shown, shown);
                    }
                } else if phase == Phase::Warmup {
                    // Its models may just have started afresh: what they said before is no more.
                    self.parts.board.hide(slot.board);
                    self.tally.show(&mut slot.shown, Shown::of(phase, None));
                }
                (Outcome::Accepted, finished)
            }
        };
        slot.arrived_ms = now_ms;
        let group = self.groups.get_mut(slot.group);
        group.dirty = true;
        group.newest_ms = group.newest_ms.max(t_ms);
        if let Some(chunk) = finished
            && self.parts.keeps
            && group.close(slot.position, chunk)
        {
            self.tally.chunks_lost += 1;
        }
        outcome
    }

    fn declare(&mut self, at: u32) {
        let declared = self.declared(self.table.labels(at));
        let epoch = self.epoch;
        if let Some(slot) = slot_mut(&mut self.slots, at) {
            slot.epoch = epoch;
            let spec = self.parts.specs.get(slot.spec);
            if slot.track.declare(spec, declared) {
                self.parts.board.hide(slot.board);
                self.tally
                    .show(&mut slot.shown, Shown::of(slot.track.phase(spec), None));
            }
        }
    }

    fn forget(&mut self, at: u32) {
        let Some(mut slot) = take(&mut self.slots, at) else {
            return;
        };
        self.parts.board.remove(slot.board);
        self.tally.show(&mut slot.shown, Shown::default());
        self.table.remove(at);
        self.parts.admission.release();
        let group = self.groups.get_mut(slot.group);
        group.members[usize::from(slot.position)] = None;
        group.dirty = true;
    }
}

type Slots = Vec<Vec<Option<Slot>>>;

fn slot_ref(slots: &Slots, at: u32) -> Option<&Slot> {
    slots[at as usize / BLOCK][at as usize % BLOCK].as_ref()
}

fn slot_mut(slots: &mut Slots, at: u32) -> Option<&mut Slot> {
    slots[at as usize / BLOCK][at as usize % BLOCK].as_mut()
}

fn take(slots: &mut Slots, at: u32) -> Option<Slot> {
    slots[at as usize / BLOCK][at as usize % BLOCK].take()
}

fn put(slots: &mut Slots, at: u32, slot: Option<Slot>) {
    while slots.len() <= at as usize / BLOCK {
        let mut block = Vec::with_capacity(BLOCK);
        block.resize_with(BLOCK, || None);
        slots.push(block);
    }
    slots[at as usize / BLOCK][at as usize % BLOCK] = slot;
}
