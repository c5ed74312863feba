//! Histograms: what is known of one under its own labels, and the judging of its four statistics.
//!
//! The samples come from its parts (see `plain`) or are native (see `native`); if there are both, the
//! native ones are judged. Each statistic is judged as a series of its own, with
//! the histogram's labels and `stat`; its rules, its entry on the board and its model begin with its
//! first value. A histogram takes the room of [`STATS`] series in `limits.series`, besides that of its
//! parts and that of many native buckets.

mod anchored;
pub(super) mod apart;

mod kept;
mod old;
mod peek;
mod quiet;
mod statistic;

use serde::{Deserialize, Serialize};

pub use old::NormHistogram;
use statistic::stat_seed;

use super::Shard;
use super::forest::Holder;
use super::native::Native;
use crate::engine::memory::Memory;
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::model::Point;
use crate::score::groups;
use crate::score::judge::{Judge, Phase};
use crate::score::track::Track;
use crate::score::verdict::Change;
use crate::series::family::{self, Role};
use crate::series::fingerprint::fingerprint;
use crate::series::label_store::Place;
use crate::window::chunk;
use crate::window::histogram::Stats;
use crate::window::histogram::classic::{Assembly, Part};
use crate::window::interval::Interval;
use crate::wire::write::is_stale;

/// Statistics of a histogram that are judged.
pub const STATS: usize = 4;
/// Their names, as the label `stat` has them.
const NAMES: [&str; STATS] = ["rate", "mean", "p50", "p99"];
/// The label that tells them apart.
pub(super) const LABEL: &str = "stat";
/// Parts of one histogram. Buckets beyond it are kept and do not count: nobody has so many, but a
/// stranger could.
const PARTS_MAX: usize = 2048;
/// Samples of a part from before its histogram was known that are put together with the others.
const JOIN_SAMPLES: usize = 4;

/// One statistic.
#[derive(Debug)]
enum StatSlot {
    /// It had no value yet.
    New,
    /// A rule leaves it out.
    LeftOut,
    Judged(Box<Stat>),
}

#[derive(Debug)]
struct Stat {
    judge: Judge,
    spec: u32,
    board: u32,
    /// Where its labels are.
    labels: Place,
    shown: Shown,
    /// Wall clock of its newest value.
    judged_ms: i64,
    /// Those who hear of scores were told that there are none any more.
    ended: bool,
}

/// A statistic of a histogram: the number of that, and which.
pub(super) type StatPlace = (u32, usize);

/// One histogram.
#[derive(Debug)]
pub(super) struct Slot {
    /// Its number in the table.
    pub(super) at: u32,
    pub(super) group: u32,
    pub(super) position: u16,
    /// Its history is still to come.
    pub(super) waits: bool,
    /// It was given out for its history.
    pub(super) given: bool,
    /// Puts the parts together; only while there are buckets.
    pub(super) classic: Option<Box<Assembly>>,
    pub(super) native: Option<Box<Native>>,
    /// A series of floats with the same labels, if there is one.
    pub(super) floats: Option<u32>,
    stats: [StatSlot; STATS],
    interval: Interval,
    /// Time of the newest statistics.
    last_ms: i64,
    /// Numbers of its parts in the table.
    pub(super) parts: Vec<u32>,
    buckets: u32,
    /// Parts that have not ended.
    live: u32,
}

/// What is stored of a histogram.
#[derive(Debug, Deserialize)]
pub struct Histogram {
    classic: Option<Box<Assembly>>,
    native: Option<Box<Native>>,
    floats: Option<Box<Track>>,
    judges: [Option<Box<Judge>>; STATS],
    interval: Interval,
    last_ms: i64,
}

/// The same, borrowed for writing.
#[derive(Debug, Serialize)]
pub struct HistogramRef<'a> {
    classic: Option<&'a Assembly>,
    native: Option<&'a Native>,
    floats: Option<&'a Track>,
    judges: [Option<&'a Judge>; STATS],
    interval: &'a Interval,
    last_ms: i64,
}

impl Histogram {
    pub(in crate::engine) fn last_ms(&self) -> Option<i64> {
        let classic = self.classic.is_some().then_some(self.last_ms);
        let native = self.native.as_ref().and_then(|n| n.last_ms());
        let floats = self.floats.as_ref().and_then(|t| t.head().last_ms());
        [classic, native, floats].into_iter().flatten().max()
    }

    /// Room that it takes in `limits.series`.
    pub(super) fn admitted(&self) -> u32 {
        STATS as u32 + u32::from(self.floats.is_some())
    }
}

impl Slot {
    /// Adds what it points to.
    pub(super) fn add_memory(&self, memory: &mut Memory) {
        let classic = self.classic.as_deref();
        let classic = classic.map_or(0, |a| size_of::<Assembly>() + a.heap_bytes());
        let native = self.native.as_deref().map_or(0, Native::memory);
        memory.histograms +=
            classic + self.parts.capacity() * size_of::<u32>() + self.interval.heap_bytes();
        memory.windows += native;
        for stat in &self.stats {
            if let StatSlot::Judged(stat) = stat {
                memory.models += size_of::<Stat>() + stat.judge.heap_bytes();
            }
        }
    }

    fn new(at: u32, (group, position): (u32, u16)) -> Self {
        Self {
            at,
            group,
            position,
            waits: false,
            given: false,
            classic: None,
            native: None,
            floats: None,
            stats: [const { StatSlot::New }; STATS],
            interval: Interval::new(),
            last_ms: i64::MIN,
            parts: Vec::new(),
            buckets: 0,
            live: 0,
        }
    }

    pub(super) fn is_classic(&self) -> bool {
        self.classic.is_some()
    }

    pub(super) fn stored<'a>(&'a self, floats: Option<&'a Track>) -> HistogramRef<'a> {
        HistogramRef {
            classic: self.classic.as_deref(),
            native: self.native.as_deref(),
            floats,
            judges: self.stats.each_ref().map(|stat| match stat {
                StatSlot::Judged(stat) => Some(&stat.judge),
                StatSlot::New | StatSlot::LeftOut => None,
            }),
            interval: &self.interval,
            last_ms: self.last_ms,
        }
    }

    /// True if native samples are judged now, and the parts are not.
    fn is_native_at(&self, t_ms: i64) -> bool {
        self.native.as_ref().is_some_and(|n| n.is_judged_at(t_ms))
    }

    /// Takes native samples that were put together anew; the newest is the same.
    pub(super) fn put_native(&mut self, mut native: Box<Native>) {
        if let Some(old) = &self.native {
            native.arrived_ms = old.arrived_ms;
            native.room = old.room;
            native.last_hash = old.last_hash;
        }
        self.native = Some(native);
    }
}

/// The values of the statistics that there are, by their place in [`NAMES`].
pub(in crate::engine) fn values(stats: &Stats) -> [Option<f64>; STATS] {
    [stats.rate, stats.mean, stats.p50, stats.p99].map(|v| v.filter(|v| v.is_finite()))
}

impl Shard {
    /// The histogram with these labels, made if there is none, to be put together from parts. `None`
    /// if there is no room for it, or if the labels are those of a series without a model.
    pub(super) fn make_classic(&mut self, base: &[u8], now_ms: i64) -> Option<u32> {
        let fp = fingerprint(base);
        let h = match self.table.peek(fp, base) {
            Some(at) => self.make_histogram(at)?,
            None => {
                self.admit_histogram()?;
                let at = self.table.insert_aside(fp, base);
                let place = self.place(base, at);
                self.add_histogram(at, place)
            }
        };
        let slot = self.histograms.get_mut(h)?;
        if slot.classic.is_none() {
            slot.classic = Some(Box::default());
            for role in [Role::Sum, Role::Count] {
                self.call(base, role, now_ms);
            }
        }
        Some(h)
    }

    /// Makes a histogram of what has these labels already.
    pub(super) fn make_histogram(&mut self, at: u32) -> Option<u32> {
        match self.table.home(at) {
            Home::Histogram(h) => Some(h),
            Home::Tracked(n) => {
                let slot = self.tracked.get(n)?;
                let place = (slot.group, slot.position);
                self.admit_histogram()?;
                let h = self.add_histogram(at, place);
                self.histograms.get_mut(h)?.floats = Some(n);
                Some(h)
            }
            Home::Asleep(_) => {
                self.wake(&[at]);
                match self.table.home(at) {
                    Home::Tracked(_) => self.make_histogram(at),
                    _ => None,
                }
            }
            Home::Plain(_) | Home::Nowhere => None,
        }
    }

    fn admit_histogram(&mut self) -> Option<()> {
        self.admit(STATS as u32).then_some(())
    }

    /// Gives a histogram its place; the room for it is taken.
    pub(super) fn add_histogram(&mut self, at: u32, place: (u32, u16)) -> u32 {
        let h = self.histograms.insert(Box::new(Slot::new(at, place)));
        self.table.settle(at, Home::Histogram(h));
        h
    }

    /// Makes the `_sum` or `_count` of a histogram a part of it, if there is one.
    fn call(&mut self, base: &[u8], role: Role, now_ms: i64) {
        let labels = family::sibling(base, role);
        if let Some(at) = self.table.peek(fingerprint(&labels), &labels) {
            self.wake(&[at]);
            if let Home::Tracked(n) = self.table.home(at) {
                self.demote(at, n);
            }
            self.link(at, true, now_ms);
        }
    }

    /// Takes a part in. False if there are too many.
    pub(super) fn join(&mut self, h: u32, at: u32, part: Part, ended: bool) -> bool {
        let Some(slot) = self.histograms.get_mut(h) else {
            return false;
        };
        if slot.parts.len() >= PARTS_MAX {
            return false;
        }
        slot.parts.push(at);
        slot.buckets += u32::from(matches!(part, Part::Bucket(_)));
        slot.live += u32::from(!ended);
        true
    }

    /// What a part had to say just before it was known to be one.
    pub(super) fn offer_recent(&mut self, h: u32, part: Part, open: &[u8], now_ms: i64) {
        let Ok(samples) = chunk::decode(open) else {
            return;
        };
        let recent = samples.len().saturating_sub(JOIN_SAMPLES);
        for (t_ms, value) in &samples[recent..] {
            if !is_stale(*value) {
                self.put_together(h, part, *t_ms, *value, now_ms);
            }
        }
    }

    /// Hears a kept sample of a part.
    pub(super) fn offer(
        &mut self,
        h: u32,
        part: Part,
        (t_ms, value): (i64, f64),
        was_ended: bool,
        now_ms: i64,
    ) {
        if !is_stale(value) {
            if was_ended && let Some(slot) = self.histograms.get_mut(h) {
                slot.live += 1;
            }
            self.put_together(h, part, t_ms, value, now_ms);
            return;
        }
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let group = slot.group;
        if let Some(classic) = &mut slot.classic {
            classic.remove(part);
        }
        slot.live = slot.live.saturating_sub(u32::from(!was_ended));
        if slot.live == 0 && !slot.is_native_at(t_ms) {
            self.end_stats(h, t_ms);
        }
        self.touch(group, t_ms);
    }

    fn put_together(&mut self, h: u32, part: Part, t_ms: i64, value: f64, now_ms: i64) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let group = slot.group;
        let classic = slot.classic.as_mut();
        if let Some((t_ms, stats)) = classic.and_then(|c| c.offer(part, t_ms, value))
            && !slot.is_native_at(t_ms)
        {
            self.judge_stats(h, t_ms, &stats, now_ms);
        }
        // It may be in another group than its parts.
        self.touch(group, t_ms);
    }

    /// A part is forgotten.
    pub(super) fn leave(&mut self, h: u32, at: u32, part: Part, ended: bool) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        slot.parts.retain(|p| *p != at);
        slot.live = slot.live.saturating_sub(u32::from(!ended));
        if let Some(classic) = &mut slot.classic {
            classic.remove(part);
        }
        if matches!(part, Part::Bucket(_)) {
            slot.buckets -= 1;
            self.end_classic_without_buckets(h);
        }
    }

    /// Without buckets a histogram is not put together; its `_sum` and `_count` are series again.
    pub(super) fn end_classic_without_buckets(&mut self, h: u32) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        if slot.buckets > 0 || slot.classic.is_none() {
            return;
        }
        slot.classic = None;
        slot.live = 0;
        for at in std::mem::take(&mut slot.parts) {
            if let Home::Plain(n) = self.table.home(at)
                && let Some(plain) = self.plain.get_mut(n)
            {
                plain.part = None;
                self.promote(at, n);
            }
        }
        self.dissolve_if_empty(h);
    }

    /// Forgets a histogram that nothing feeds any more.
    pub(super) fn dissolve_if_empty(&mut self, h: u32) {
        let fed = self.histograms.get(h);
        if fed.is_none_or(|s| s.classic.is_some() || s.native.is_some()) {
            return;
        }
        let Some(mut slot) = self.histograms.remove(h) else {
            return;
        };
        for stat in &mut slot.stats {
            if let StatSlot::Judged(stat) = stat {
                self.parts.board.remove(stat.board);
                self.table.drop_labels(stat.labels);
                self.tally.show(&mut stat.shown, Shown::default());
            }
        }
        if let Some(n) = slot.floats {
            self.table.settle(slot.at, Home::Tracked(n));
            self.parts.admission.release(STATS as u32);
            self.groups.get_mut(slot.group).dirty = true;
        } else {
            self.vacate(slot.at, slot.group, slot.position, STATS as u32);
        }
    }

    /// The statistics of a histogram that are judged: place of the labels, entry on the board, judge,
    /// number of the spec.
    pub(super) fn stats_of(&self, h: u32) -> impl Iterator<Item = (Place, u32, &Judge, u32)> {
        let slot = self.histograms.get(h).into_iter();
        slot.flat_map(|slot| &slot.stats)
            .filter_map(|stat| match stat {
                StatSlot::Judged(s) => Some((s.labels, s.board, &s.judge, s.spec)),
                StatSlot::New | StatSlot::LeftOut => None,
            })
    }

    /// Usual distance in milliseconds and newest time of statistics, and whether the histogram ended.
    pub(super) fn statistic_time(&self, h: u32) -> (f64, Option<i64>, bool) {
        let slot = self.histograms.get(h);
        let last_ms = slot.map(|s| s.last_ms).filter(|ms| *ms != i64::MIN);
        let ended = |s: &StatSlot| matches!(s, StatSlot::Judged(stat) if stat.ended);
        let ended = slot.is_some_and(|s| s.stats.iter().any(ended));
        (slot.map_or(0.0, |s| s.interval.ms()), last_ms, ended)
    }

    /// Judges the statistics of one interval that ended at `t_ms`.
    pub(super) fn judge_stats(&mut self, h: u32, t_ms: i64, stats: &Stats, now_ms: i64) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        if t_ms <= slot.last_ms {
            return;
        }
        if slot.last_ms != i64::MIN {
            slot.interval.take(t_ms.saturating_sub(slot.last_ms));
        }
        slot.last_ms = t_ms;
        let values = values(stats);
        let before = self.stats_seen(h, &values);
        for (i, value) in values.into_iter().enumerate() {
            if let Some(value) = value {
                self.judge_stat(h, i, Point { t_ms, value }, now_ms);
            }
        }
        self.anchor_stats(h, &values, before);
    }

    fn judge_stat(&mut self, h: u32, i: usize, x: Point, now_ms: i64) {
        let new = |s: &Slot| matches!(s.stats[i], StatSlot::New);
        if self.histograms.get(h).is_some_and(|s| new(s)) {
            self.begin_stat(h, i, Judge::new(), Shown::of(Phase::Warmup, None), now_ms);
            self.stat_begins(h, i);
        }
        if !self.is_stat_modelled(h, i) {
            return;
        }
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let StatSlot::Judged(stat) = &mut slot.stats[i] else {
            return;
        };
        let spec = self.parts.specs.get(stat.spec);
        let tap = self.parts.tap.as_mut();
        let band = tap.as_ref().filter(|t| t.wants().band).and_then(|_| {
            let interval_ms = slot.interval.ms();
            stat.judge.band(spec, interval_ms, x.t_ms, Some(x.value))
        });
        let (interval_ms, had_alarm) = (slot.interval.ms(), stat.judge.alarm().is_some());
        let records = self.parts.records.as_mut();
        let labels = self.table.kept_labels(stat.labels);
        let mut peak_band = None;
        let judged = stat.judge.judge_seen(spec, interval_ms, x, |judge, size| {
            if records
                .as_ref()
                .is_some_and(|r| r.is_peak(fingerprint(labels), size))
            {
                peak_band = judge.band(spec, interval_ms, x.t_ms, Some(x.value));
            }
        });
        stat.judged_ms = now_ms;
        stat.ended = false;
        let at = slot.at;
        let forest = judged.forest;
        let until_ms = groups::counts_until(now_ms, slot.interval.ms());
        self.parts.board.tell(stat.board, spec, &judged, until_ms);
        let partition = self.groups.get(slot.group).id.partition;
        if let Some(records) = records
            && (had_alarm || judged.alarm.is_some() || records.wants_all())
        {
            let source = self.table.labels(slot.at);
            records.judged(partition, labels, source, x, &judged, peak_band);
        }
        if let Some(tap) = tap {
            tap.judged(partition, labels, x.t_ms, &judged, band);
        }
        if let Some(Change::Began(_)) = judged.change {
            self.tally.began += 1;
        }
        let shown = Shown::of(stat.judge.phase(spec), judged.alarm).waiting(slot.waits);
        if shown != stat.shown {
            self.tally.show(&mut stat.shown, shown);
        }
        self.hear_of_forest(Holder::Stat((h, i)), forest, |shard| {
            stat_seed(shard.table.labels(at), i)
        });
    }

    /// Gives a statistic its rules, its entry on the board and its model.
    fn begin_stat(&mut self, h: u32, i: usize, mut judge: Judge, shown: Shown, now_ms: i64) {
        let Some(slot) = self.histograms.get(h) else {
            return;
        };
        let labels = family::with(self.table.labels(slot.at), LABEL, NAMES[i]);
        let spec = self.parts.specs.find(&labels);
        if !self.parts.specs.get(spec).model {
            if let Some(slot) = self.histograms.get_mut(h) {
                slot.stats[i] = StatSlot::LeftOut;
            }
            return;
        }
        self.seat(&mut judge, self.parts.specs.get(spec), fingerprint(&labels));
        let labels = self.table.keep_labels(&labels);
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let mut stat = Stat {
            judge,
            spec,
            board: self.parts.board.add(labels),
            labels,
            shown: Shown::default(),
            judged_ms: now_ms,
            ended: false,
        };
        self.tally.show(&mut stat.shown, shown.waiting(slot.waits));
        slot.stats[i] = StatSlot::Judged(Box::new(stat));
    }

    /// Counts the statistics as waiting for history, or as not.
    pub(super) fn histogram_waits(&mut self, h: u32, waits: bool) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        slot.waits = waits;
        for stat in &mut slot.stats {
            if let StatSlot::Judged(stat) = stat {
                let spec = self.parts.specs.get(stat.spec);
                let shown = Shown::of(stat.judge.phase(spec), stat.judge.alarm()).waiting(waits);
                self.tally.show(&mut stat.shown, shown);
            }
        }
    }
}
