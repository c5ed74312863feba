//! The owner of a share of all series: an ordinary struct, tested without a thread.
//!
//! A batch is taken in two passes: first every row finds its series (label bytes, in order of
//! arrival), then every sample goes to it (state, in the same order). There are three sorts of
//! series, each with state of its own size: with a model, with a window only, and histograms, which
//! are fed by native samples or by the window-only series that are their parts. Counters are added up
//! locally and published once a batch. What always holds: nothing outside a shard touches its series,
//! and what a shard computes depends on the samples of each series alone, never on how many shards
//! there are.

mod absence;
mod accounting;
mod anchors;
mod describe;
mod forest;
pub mod histogram;
mod keeping;
mod kin;
pub(super) mod native;
mod orders;
mod plain;
mod renew;
mod sleep;
mod taps;
mod tracked;
pub(super) mod warm;
mod windows;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use self::accounting::Account;
use self::forest::Holder;
use self::histogram::Slot as HistogramSlot;
pub use self::keeping::Stray;
use self::plain::{Offer, Plain};
pub use self::renew::Renewal;
use self::sleep::Asleep;
pub use self::sleep::Sleep;
pub(super) use self::taps::Mark;
use self::tracked::Tracked;
use super::ask::Question;
use super::batch::{Batch, Families, Row};
use super::churn::Churn;
use super::groups::{CLOSED_MAX, Groups};
use super::joint::JointTap;
use super::keep::{Appendix, ClosedChunk, Family, GroupId, PARTITIONS, Wholes};
use super::kin::Kin;
use super::memory::Budget;
use super::models::ModelOrder;
use super::orders::NewOrders;
use super::prefetch::prefetch;
use super::presence::Presence;
use super::records::RecordTap;
use super::resets::ResetTap;
use super::router::partition;
use super::rules::Specs;
use super::slab::Slab;
use super::table::{Home, Table};
use super::tally::{Admission, Tally};
use super::tap::Tap;
use super::trainer::Trainers;
use crate::model::forest::seat::Seats;
use crate::score::board::BoardWriter;
use crate::score::track::Track;
use crate::series::family;
use crate::series::fingerprint::fingerprint;
use crate::telemetry::{Metrics, Outcome};
use crate::window::encoding::Encoding;
use crate::window::head::{Finished, Order};
use crate::window::histogram::native::Scratch;
use crate::wire::histogram::NativeHistogram;
use crate::wire::write::MetricType;

/// What a shard is told, in order.
#[derive(Debug)]
pub enum Message {
    Batch(Batch),
    Families(Families),
    /// Rules and limits have changed.
    Renew(Renewal),
    /// Somebody ordered something for a series, or for some.
    Order(NewOrders),
    /// Something to be done with the model of a series, before the next batch.
    Model {
        /// Number of its record in the journal, or of the newest before it.
        seq: u64,
        order: ModelOrder,
    },
    /// To be answered in slices between batches.
    Ask(Question),
    /// The wall clock, once a second: series that fell silent are hidden, in the end forgotten.
    Tick {
        now_ms: i64,
    },
    /// Hand every partition that changed to the store's writer, one at a time between two batches,
    /// then [`super::keep::Kept::Done`].
    Checkpoint {
        /// The records up to this one are in the queue before this message.
        seq: u64,
        /// Partitions to be handed over with all their groups.
        wholes: Option<Arc<Wholes>>,
    },
    /// Hand over every partition that changed, then `Done`, and end.
    Stop,
}

/// Ticks in which every series is looked at once.
const TICKS_A_ROUND: u32 = 16;
/// The least that one tick looks at.
const TICK_MIN: u32 = 1024;
/// A series is silent after this many of its intervals without a value to judge (NaN gives none) ...
const SILENT_INTERVALS: f64 = 10.0;
/// ... and not before this, in milliseconds: Prometheus' own look-back.
const SILENT_MIN_MS: f64 = 300_000.0;

/// A clock that moves on by more than this from one tick to the next has jumped (or the machine
/// slept), in milliseconds ...
const JUMP_MS: i64 = 300_000;
/// ... and nothing is forgotten for so long after it: what still sends will have sent by then.
const GRACE_MS: i64 = 3_600_000;

/// How many samples ahead the state of a series is fetched ...
const STATE_AHEAD: usize = 8;
/// ... and, once it is there, the end of its open chunk.
const CHUNK_AHEAD: usize = 4;

/// What a shard is made with.
#[derive(Debug)]
pub struct ShardParts {
    /// Which shard this is, and of how many.
    pub index: usize,
    pub shards: usize,
    pub specs: Specs,
    pub board: BoardWriter,
    pub metrics: Arc<Metrics>,
    pub admission: Arc<Admission>,
    /// Room for forests, shared by all shards.
    pub seats: Arc<Seats>,
    /// Who grows them; without, the shard does.
    pub trainers: Option<Trainers>,
    pub budget: Arc<Budget>,
    pub churn: Arc<Churn>,
    /// Who still speaks, in all shards.
    pub presence: Arc<Presence>,
    /// To who looks for targets that restarted.
    pub resets: ResetTap,
    /// Who looks at series together, if somebody does.
    pub joints: Option<JointTap>,
    /// How idle series are put to sleep, if they are.
    pub sleep: Option<Sleep>,
    /// Most metric families whose metadata is remembered.
    pub families_max: usize,
    /// How long a silent series is remembered, in milliseconds.
    pub forget_ms: i64,
    /// Whether finished chunks are held for a store.
    pub keeps: bool,
    /// Whether births are remembered for a historian.
    pub wants_history: bool,
    /// To those who send scores on, if there are any.
    pub tap: Option<Tap>,
    /// To those who keep records of anomalies, if anybody does.
    pub records: Option<RecordTap>,
}

/// What is known of a family.
#[derive(Debug, Clone, Copy)]
struct Announced {
    kind: MetricType,
    seq: u64,
    /// How many were known before it.
    order: u32,
}

/// A series that was found: its number in the table, and where its state is.
type Found = (u32, Home);

/// The owner of a share of all series.
#[derive(Debug)]
pub struct Shard {
    parts: ShardParts,
    table: Table,
    tracked: Slab<Tracked>,
    plain: Slab<Plain>,
    histograms: Slab<Box<HistogramSlot>>,
    asleep: Slab<Asleep>,
    /// Wall clock of the newest sample of each series that a rule leaves out, by number.
    left_out: HashMap<u32, i64>,
    /// Those of them that changed rules may want.
    reconsidered: HashSet<u32>,
    /// Idle series that this tick may still look at for changed rules.
    renewals: u32,
    groups: Groups,
    kin: Kin,
    families: HashMap<Box<str>, Announced>,
    epoch: u32,
    /// Families announced before a restart by records that are still to be taken again.
    expected: VecDeque<Family>,
    /// Number of the newest record that was taken.
    applied: u64,
    /// The records that each partition had when it was restored.
    restored_to: Option<Box<[u64; PARTITIONS]>>,
    /// The newest tick.
    ticked_ms: Option<i64>,
    /// Nothing is forgotten before this.
    grace_until_ms: i64,
    tally: Tally,
    /// The series of each row of the batch at hand.
    found: Vec<Option<Found>>,
    /// What the parts of histograms in the batch at hand have to say.
    offers: Vec<Offer>,
    /// The native histogram at hand.
    scratch: NativeHistogram,
    intervals: Scratch,
    /// Where the next tick goes on looking.
    swept: u32,
    /// Large parts of stored groups that are to be restored.
    appendices_of: HashMap<GroupId, Vec<Appendix>>,
    /// Whose forest another may have, as far as this round of ticks knows.
    weakest: Option<forest::Weakest>,
    account: Account,
    /// Series that were put to sleep in this tick.
    slept: u32,
    /// Series of the batch at hand that sleep.
    waking: Vec<u32>,
    /// Series that were born and not given out for their history yet.
    births: VecDeque<warm::Birth>,
    /// Partitions with more finished chunks than they should hold.
    urgent: Vec<u8>,
    /// States of series that were kept because they came back to something new.
    anchored_anew: u32,
}

impl Shard {
    pub fn new(mut parts: ShardParts) -> Self {
        let labels = parts.board.take_labels();
        Self {
            parts,
            table: Table::new(labels),
            tracked: Slab::new(),
            plain: Slab::new(),
            histograms: Slab::new(),
            asleep: Slab::new(),
            left_out: HashMap::new(),
            reconsidered: HashSet::new(),
            renewals: 0,
            groups: Groups::new(),
            kin: Kin::default(),
            families: HashMap::new(),
            epoch: 0,
            expected: VecDeque::new(),
            applied: 0,
            restored_to: None,
            ticked_ms: None,
            grace_until_ms: i64::MIN,
            tally: Tally::default(),
            found: Vec::new(),
            offers: Vec::new(),
            scratch: NativeHistogram::default(),
            intervals: Scratch::default(),
            swept: 0,
            appendices_of: HashMap::new(),
            weakest: None,
            account: Account::default(),
            slept: 0,
            waking: Vec::new(),
            births: VecDeque::new(),
            urgent: Vec::new(),
            anchored_anew: 0,
        }
    }

    pub(super) fn set_budget(&mut self, budget: Arc<Budget>) {
        self.parts.budget = budget;
    }

    pub(super) fn set_sleep(&mut self, sleep: Sleep) {
        self.parts.sleep = Some(sleep);
    }

    /// Series in this shard, those that a rule leaves out included, and each histogram that is put
    /// together.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Takes one batch.
    pub fn take(&mut self, batch: &Batch) {
        self.advance(batch.seq);
        self.tally.protocol = batch.protocol;
        self.tally.replayed = batch.replayed;
        if !batch.replayed {
            self.parts.presence.hear(batch.received_ms);
        }
        if let Some(tap) = &mut self.parts.tap {
            tap.begin(batch.seq, batch.replayed);
        }
        if let Some(records) = &mut self.parts.records {
            records.begin(batch.replayed);
            records.exemplars(batch);
        }
        if let Some(joints) = &mut self.parts.joints {
            joints.begin(batch.order, batch.replayed);
        }
        // Buckets first: that they are there makes parts of a histogram's `_sum` and `_count`.
        self.take_floats(batch, true);
        self.take_floats(batch, false);
        self.put_offers(batch.received_ms);
        self.take_histograms(batch);
        if let Some(joints) = &mut self.parts.joints {
            joints.end();
        }
        self.publish();
    }

    fn take_floats(&mut self, batch: &Batch, plain: bool) {
        let rows = if plain { &batch.plain } else { &batch.rows };
        let mut found = std::mem::take(&mut self.found);
        found.clear();
        for row in rows {
            let labels = row.labels.of(&batch.body);
            let known = self.known(row.fingerprint, labels);
            let now_ms = batch.received_ms;
            if let Some((at, Home::Asleep(_))) = known {
                self.waking.push(at);
            }
            found.push(known.or_else(|| self.birth(row.fingerprint, labels, plain, now_ms)));
        }
        self.wake_all();
        let mut starts = batch.starts.iter().peekable();
        for (i, (row, found_row)) in rows.iter().zip(&found).enumerate() {
            self.expect(&found, i);
            let start_ms = (!plain)
                .then(|| starts.next_if(|(at, _)| *at == i as u32).map(|(_, ms)| *ms))
                .flatten();
            let outcome = match *found_row {
                Some((at, Home::Tracked(n))) if !plain => self.sample(
                    at,
                    n,
                    row.timestamp_ms,
                    row.value,
                    start_ms,
                    batch.received_ms,
                ),
                // A birth of this batch may have moved its relatives.
                Some((at, _)) => self.other_sample(at, row, plain, batch.received_ms),
                None => Outcome::Limit,
            };
            self.tally.outcomes[outcome as usize] += 1;
        }
        self.found = found;
    }

    /// A sample of anything but a series with a model of its own.
    fn other_sample(&mut self, at: u32, row: &Row, plain: bool, now_ms: i64) -> Outcome {
        let (t_ms, value) = (row.timestamp_ms, row.value);
        match self.table.home(at) {
            Home::Tracked(n) => self.sample(at, n, t_ms, value, None, now_ms),
            Home::Plain(n) => {
                let kept = if plain {
                    Outcome::Window
                } else {
                    Outcome::Accepted
                };
                self.plain_sample(n, t_ms, value, kept, now_ms)
            }
            Home::Histogram(n) => self.float_of_histogram(at, n, t_ms, value, now_ms),
            // All that sleep were woken.
            Home::Asleep(_) => Outcome::Skipped,
            Home::Nowhere => {
                self.left_out.insert(at, now_ms);
                Outcome::Skipped
            }
        }
    }

    /// Takes metadata. The first type that a family is announced with stays.
    pub fn families(&mut self, families: &Families) {
        self.advance(families.seq);
        for (family, kind) in families.all.iter() {
            self.announce(family, *kind, families.seq);
        }
    }

    fn announce(&mut self, family: &str, kind: MetricType, seq: u64) {
        if self.families.len() < self.parts.families_max && !self.families.contains_key(family) {
            let order = self.families.len() as u32;
            let known = Announced { kind, seq, order };
            self.families.insert(family.into(), known);
            self.epoch += 1;
        }
    }

    /// Looks at a share of the series: hides those that fell silent, forgets those long gone.
    pub fn tick(&mut self, now_ms: i64) {
        if let Some(tap) = &mut self.parts.tap {
            // What a clock ends is in no record.
            tap.begin(self.applied, false);
        }
        if let Some(records) = &mut self.parts.records {
            records.begin(false);
            records.tick(now_ms);
        }
        if self.ticked_ms.is_some_and(|last| now_ms - last > JUMP_MS) {
            self.grace_until_ms = now_ms.saturating_add(GRACE_MS);
        }
        self.ticked_ms = Some(now_ms);
        self.slept = 0;
        self.renewals = renew::RENEWED_A_TICK;
        let all = self.table.end();
        for _ in 0..(all / TICKS_A_ROUND + 1).max(TICK_MIN).min(all) {
            self.swept += 1;
            if self.swept >= all {
                self.swept = 0;
                self.end_of_round();
            }
            let at = self.swept;
            self.count(at);
            match self.table.home(at) {
                Home::Tracked(n) => {
                    self.look_at_forest(Holder::Tracked(n));
                    self.look_at_tracked(at, n, now_ms);
                }
                Home::Plain(n) => self.look_at_plain(at, n, now_ms),
                Home::Histogram(n) => self.look_at_histogram(at, n, now_ms),
                Home::Asleep(n) => self.look_at_sleeper(at, n, now_ms),
                Home::Nowhere => self.look_at_left_out(at, now_ms),
            }
        }
        self.parts
            .metrics
            .forests
            .set(i64::from(self.parts.seats.used()));
        self.shed();
        self.close_up();
        if self.parts.index == 0 {
            self.parts.churn.report(now_ms);
        }
        self.publish();
    }

    /// Shows what has changed: counts, the labels of new series, and what is to be sent on.
    fn publish(&mut self) {
        self.tally.publish(&self.parts.metrics);
        self.table.publish();
        self.flush_tap();
    }

    fn look_at_left_out(&mut self, at: u32, now_ms: i64) {
        let seen = self.left_out.get(&at);
        if seen.is_some_and(|seen| self.is_long_ago(*seen, now_ms)) {
            self.left_out.remove(&at);
            self.reconsidered.remove(&at);
            self.table.remove(at);
            self.parts.admission.release(1);
        }
    }

    fn is_long_ago(&self, arrived_ms: i64, now_ms: i64) -> bool {
        now_ms.saturating_sub(arrived_ms) > self.parts.forget_ms && now_ms >= self.grace_until_ms
    }

    /// The track of a series, by its canonical label bytes.
    pub fn track(&self, canonical: &[u8]) -> Option<&Track> {
        let at = self.table.peek(fingerprint(canonical), canonical)?;
        match self.table.home(at) {
            Home::Tracked(n) => self.tracked.get(n).map(|s| &s.track),
            _ => None,
        }
    }

    /// Gives the shard trainers, before its first sample.
    pub fn train_with(&mut self, trainers: Trainers) {
        self.parts.trainers = Some(trainers);
    }

    /// Has the memory fetched that the next samples will need: first the state of a series, then
    /// what that points to.
    #[inline]
    fn expect(&self, found: &[Option<Found>], i: usize) {
        match found.get(i + STATE_AHEAD) {
            Some(Some((_, Home::Tracked(n)))) => {
                if let Some(place) = self.tracked.place(*n) {
                    prefetch(place);
                }
            }
            Some(Some((_, Home::Plain(n)))) => {
                if let Some(place) = self.plain.place(*n) {
                    prefetch(place);
                }
            }
            _ => {}
        }
        let head = match found.get(i + CHUNK_AHEAD) {
            Some(Some((_, Home::Tracked(n)))) => self.tracked.get(*n).map(|s| s.track.head()),
            Some(Some((_, Home::Plain(n)))) => self.plain.get(*n).map(|s| &s.head),
            _ => None,
        };
        if let Some(head) = head {
            let bytes = head.chunk().bytes();
            prefetch(&bytes[bytes.len() - 1]);
        }
    }

    /// Makes room for a new series; `plain` if its name says that it has no model.
    fn birth(&mut self, fp: u64, canonical: &[u8], plain: bool, now_ms: i64) -> Option<Found> {
        if !self.admit(1) {
            return None;
        }
        let at = self.table.insert(fp, canonical);
        self.parts.churn.born(canonical, now_ms);
        let spec = self.parts.specs.find(canonical);
        if !self.parts.specs.get(spec).model {
            self.left_out.insert(at, now_ms);
            return Some((at, Home::Nowhere));
        }
        let place = self.place(canonical, at);
        if plain || self.is_part_of_known(canonical) {
            self.add_plain(at, place, now_ms);
        } else {
            self.add_tracked(at, place, spec, now_ms);
        }
        self.remember_birth(at, place, now_ms);
        Some((at, self.table.home(at)))
    }

    /// Gives a new series its place in a group.
    fn place(&mut self, canonical: &[u8], at: u32) -> (u32, u16) {
        let kept_for = self.parts.specs.kept_for(canonical);
        let partition = partition(family::home(canonical));
        self.groups.place(partition, at, kept_for)
    }

    /// What every kept sample does to its group.
    fn touch(&mut self, group: u32, t_ms: i64) {
        let group = self.groups.get_mut(group);
        group.dirty = true;
        group.newest_ms = group.newest_ms.max(t_ms);
    }

    /// Keeps a finished chunk for the store.
    fn close(&mut self, group: u32, chunk: ClosedChunk) {
        let held = self.groups.get_mut(group);
        if !self.parts.keeps {
            held.lose(chunk.position);
            return;
        }
        if held.close(chunk) {
            self.tally.chunks_lost += 1;
        }
        // Long before any is lost.
        if held.closed.len() == CLOSED_MAX / 2 {
            self.hurry(group);
        }
    }

    /// Forgets a series of any sort whose state is gone already.
    fn vacate(&mut self, at: u32, group: u32, position: u16, admitted: u32) {
        self.remove_kin(at, (group, position));
        self.table.remove(at);
        self.parts.admission.release(admitted);
        let group = self.groups.get_mut(group);
        group.members[usize::from(position)] = None;
        // Nobody can ask for them any more.
        group.closed.retain(|c| c.position != position);
        group.dirty = true;
    }
}

/// A finished chunk of floats in its group.
fn closed(position: u16, chunk: Finished) -> ClosedChunk {
    ClosedChunk {
        position,
        first_ms: chunk.first_ms,
        last_ms: chunk.last_ms,
        samples: chunk.samples,
        encoding: Encoding::Xor,
        bytes: chunk.bytes,
    }
}

/// What becomes of a sample that is not newer than the newest; `None` for one that is.
fn not_newer(order: Order) -> Option<Outcome> {
    match order {
        Order::Newer => None,
        Order::Duplicate => Some(Outcome::Duplicate),
        Order::Conflict => Some(Outcome::Conflict),
        Order::Late => Some(Outcome::Late),
    }
}
