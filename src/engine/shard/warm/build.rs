//! The rebuilding of one unit: a series, or a histogram with all its parts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use crate::engine::history::{Given, History};
use crate::engine::keep::ClosedChunk;
use crate::engine::shard::forest::Holder;
use crate::engine::shard::histogram::apart::Judged;
use crate::engine::shard::native::{Native, closed_native};
use crate::engine::shard::{Shard, closed};
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::model::SeriesSpec;
use crate::score::board::Alarm;
use crate::score::judge::Phase;
use crate::score::track::{GAP_INTERVALS, Taken, Track};
use crate::series::fingerprint::fingerprint;
use crate::window::encoding::Encoding;
use crate::window::head::Head;
use crate::window::histogram::classic::{Assembly, Part};
use crate::window::histogram_chunk;
use crate::wire::histogram::NativeHistogram;
use crate::wire::write::is_stale;

/// Samples that are taken in one turn: about a millisecond.
const SLICE: usize = 2048;

/// What becomes of the samples of one stream.
#[derive(Debug)]
enum Model {
    Track {
        track: Box<Track>,
        /// Not its number: that may be another one before the history is in.
        spec: Box<SeriesSpec>,
        /// What its newest sample shows.
        shown: Option<(f32, Option<Alarm>)>,
    },
    Window {
        head: Box<Head>,
        part: Option<Part>,
    },
    Native(Box<Native>),
}

#[derive(Debug)]
enum Samples {
    Floats(Vec<(i64, f64)>),
    Natives(Vec<NativeHistogram>),
}

impl Samples {
    fn time(&self, i: usize) -> Option<i64> {
        match self {
            Self::Floats(f) => f.get(i).map(|(t_ms, _)| *t_ms),
            Self::Natives(h) => h.get(i).map(|h| h.timestamp_ms),
        }
    }
}

/// The samples of one series, history and live ones, and where they go.
#[derive(Debug)]
struct Stream {
    at: u32,
    place: (u32, u16),
    model: Model,
    samples: Samples,
    next: usize,
    last_ms: i64,
}

/// A unit that is being rebuilt.
#[derive(Debug)]
pub(super) struct Build {
    streams: Vec<Stream>,
    /// The next sample of each stream.
    order: BinaryHeap<Reverse<(i64, usize)>>,
    histogram: Option<(u32, Assembly, Judged)>,
    finished: BTreeMap<(u32, u16), Vec<ClosedChunk>>,
    /// Samples of history.
    samples: u64,
}

impl Build {
    /// Begins with the histories of one unit.
    ///
    /// # Errors
    /// What becomes of it if it cannot be rebuilt.
    pub(super) fn new(shard: &Shard, unit: Vec<History>) -> Result<Self, Given> {
        let mut build = Self {
            streams: Vec::new(),
            order: BinaryHeap::new(),
            histogram: None,
            finished: BTreeMap::new(),
            samples: 0,
        };
        let mut histories = HashMap::new();
        let mut all = Vec::new();
        for history in unit {
            if let Some(at) = shard
                .table
                .peek(fingerprint(&history.labels), &history.labels)
            {
                if let Some(h) = shard.histogram_of(at)
                    && build.histogram.is_none()
                {
                    build.histogram = Some((h, Assembly::new(), Judged::default()));
                    all.extend(shard.histograms.get(h).map(|s| s.at));
                }
                all.push(at);
                histories.insert(at, history);
            }
        }
        all.extend(build.parts(shard));
        all.sort_unstable();
        all.dedup();
        for at in all {
            let history = histories.remove(&at).unwrap_or_default();
            build.add(shard, at, history)?;
        }
        if build.streams.is_empty() {
            return Err(Given::Gone);
        }
        Ok(build)
    }

    fn parts(&self, shard: &Shard) -> Vec<u32> {
        let slot = self
            .histogram
            .as_ref()
            .and_then(|(h, ..)| shard.histograms.get(*h));
        slot.map(|s| s.parts.clone()).unwrap_or_default()
    }

    fn add(&mut self, shard: &Shard, at: u32, history: History) -> Result<(), Given> {
        match shard.table.home(at) {
            Home::Tracked(n) => self.add_track(shard, at, n, history.floats),
            Home::Plain(n) => {
                let Some(slot) = shard.plain.get(n) else {
                    return Ok(());
                };
                let model = Model::Window {
                    head: Box::new(Head::of_series(fingerprint(shard.table.labels(at)))),
                    part: slot.part.map(|(_, part)| part),
                };
                let place = (slot.group, slot.position);
                self.add_floats(shard, at, place, &slot.head, model, history.floats)
            }
            Home::Histogram(h) => {
                let Some(slot) = shard.histograms.get(h) else {
                    return Ok(());
                };
                if let Some(n) = slot.floats {
                    self.add_track(shard, at, n, history.floats)?;
                }
                if slot.native.is_some() || !history.histograms.is_empty() {
                    let place = (slot.group, slot.position);
                    let native = slot.native.as_deref();
                    self.add_native(shard, at, place, native, history.histograms)?;
                }
                Ok(())
            }
            Home::Asleep(_) | Home::Nowhere => Ok(()),
        }
    }

    fn add_track(
        &mut self,
        shard: &Shard,
        at: u32,
        n: u32,
        history: Vec<(i64, f64)>,
    ) -> Result<(), Given> {
        let Some(slot) = shard.tracked.get(n) else {
            return Ok(());
        };
        let labels = shard.table.labels(at);
        let declared = shard.declared(labels);
        let spec = shard.parts.specs.get(slot.spec);
        let seed = fingerprint(labels);
        let head = Head::of_series(seed);
        let mut track = Box::new(Track::with_window(head, spec, declared));
        if slot.track.judge().forest().is_some() {
            track.judge_mut().give_forest(spec, seed);
        }
        let model = Model::Track {
            track,
            spec: Box::new(spec.clone()),
            shown: None,
        };
        let place = (slot.group, slot.position);
        self.add_floats(shard, at, place, slot.track.head(), model, history)
    }

    fn add_floats(
        &mut self,
        shard: &Shard,
        at: u32,
        place: (u32, u16),
        head: &Head,
        model: Model,
        history: Vec<(i64, f64)>,
    ) -> Result<(), Given> {
        let live = shard.floats_after(place.0, place.1, i64::MIN);
        // Where memory begins; behind the newest sample if its chunk has just gone to the store.
        let oldest = live.first().map(|(t_ms, _)| *t_ms);
        let cut = oldest.or(head.last_ms().map(|ms| ms.saturating_add(1)));
        let mut samples = rising(history, cut, |(t_ms, _)| *t_ms);
        if let Some(cut) = cut
            && !shard.groups.get(place.0).is_whole(place.1)
        {
            let reaches = cut.saturating_sub((GAP_INTERVALS * head.interval_ms()) as i64);
            if samples.last().is_none_or(|(t_ms, _)| *t_ms < reaches) {
                return Err(Given::TooLate);
            }
        }
        self.samples += samples.len() as u64;
        samples.extend(live);
        self.push(at, place, model, Samples::Floats(samples));
        Ok(())
    }

    fn add_native(
        &mut self,
        shard: &Shard,
        at: u32,
        place: (u32, u16),
        native: Option<&Native>,
        history: Vec<NativeHistogram>,
    ) -> Result<(), Given> {
        let live = natives_after(shard, place, i64::MIN);
        let oldest = live.first().map(|h| h.timestamp_ms);
        let newest = native.and_then(Native::last_ms);
        let cut = oldest.or(newest.map(|ms| ms.saturating_add(1)));
        let mut samples = rising(history, cut, |h| h.timestamp_ms);
        let whole = shard.groups.get(place.0).is_whole(place.1);
        // How far apart its samples are is not known well: any history at all will do.
        if cut.is_some() && !whole && samples.is_empty() {
            return Err(Given::TooLate);
        }
        self.samples += samples.len() as u64;
        samples.extend(live);
        let model = Model::Native(Box::new(Native::new()));
        self.push(at, place, model, Samples::Natives(samples));
        Ok(())
    }

    fn push(&mut self, at: u32, place: (u32, u16), model: Model, samples: Samples) {
        if let Some(t_ms) = samples.time(0) {
            self.order.push(Reverse((t_ms, self.streams.len())));
        }
        self.streams.push(Stream {
            at,
            place,
            model,
            samples,
            next: 0,
            last_ms: i64::MIN,
        });
    }

    /// Takes one slice. True when all live samples are in.
    pub(super) fn step(&mut self, shard: &mut Shard) -> bool {
        for _ in 0..SLICE {
            let Some(Reverse((t_ms, i))) = self.order.pop() else {
                if self.catch_up(shard) {
                    return true;
                }
                continue;
            };
            self.take(shard, i, t_ms);
            let stream = &self.streams[i];
            if let Some(t_ms) = stream.samples.time(stream.next) {
                self.order.push(Reverse((t_ms, i)));
            }
        }
        false
    }

    /// Looks for live samples that came meanwhile. True if there are none.
    fn catch_up(&mut self, shard: &Shard) -> bool {
        let parts = self.parts(shard);
        let known: Vec<u32> = self.streams.iter().map(|s| s.at).collect();
        for at in parts.into_iter().filter(|at| !known.contains(at)) {
            // Born meanwhile: whole in memory, so it cannot be too late.
            let _ = self.add(shard, at, History::default());
        }
        for (i, stream) in self.streams.iter_mut().enumerate().take(known.len()) {
            let (group, position) = stream.place;
            stream.samples = match stream.samples {
                Samples::Floats(_) => {
                    Samples::Floats(shard.floats_after(group, position, stream.last_ms))
                }
                Samples::Natives(_) => {
                    Samples::Natives(natives_after(shard, stream.place, stream.last_ms))
                }
            };
            stream.next = 0;
            if let Some(t_ms) = stream.samples.time(0) {
                self.order.push(Reverse((t_ms, i)));
            }
        }
        self.order.is_empty()
    }

    fn take(&mut self, shard: &mut Shard, i: usize, t_ms: i64) {
        let stream = &mut self.streams[i];
        stream.last_ms = t_ms;
        let at = stream.next;
        stream.next += 1;
        let place = stream.place;
        let (mut chunks, mut offered, mut stats) = (Vec::new(), None, None);
        match (&mut stream.model, &stream.samples) {
            (Model::Track { track, spec, shown }, Samples::Floats(floats)) => {
                let spec = &**spec;
                let finished = match track.take(spec, t_ms, floats[at].1) {
                    Taken::Old(_) => None,
                    Taken::Ended { finished, .. } => {
                        *shown = None;
                        finished
                    }
                    Taken::Kept {
                        judgement,
                        finished,
                        ..
                    } => {
                        match judgement {
                            Some(judged) => {
                                *shown = judged.score.map(|s| (s, judged.alarm)).or(*shown);
                            }
                            None if track.phase(spec) == Phase::Warmup => *shown = None,
                            None => {}
                        }
                        finished
                    }
                };
                chunks.extend(finished.map(|c| closed(place.1, c)));
            }
            (Model::Window { head, part }, Samples::Floats(floats)) => {
                let value = floats[at].1;
                let finished = head.take(t_ms, value);
                chunks.extend(finished.map(|c| closed(place.1, c)));
                offered = part.map(|part| (part, value));
            }
            (Model::Native(native), Samples::Natives(natives)) => {
                let kept = native.take(&natives[at], 0, &mut shard.intervals);
                let finished = kept.finished.into_iter();
                chunks.extend(finished.map(|c| closed_native(place.1, c)));
                stats = Some((kept.stats, natives[at].is_stale()));
            }
            _ => {}
        }
        if !chunks.is_empty() {
            self.finished.entry(place).or_default().append(&mut chunks);
        }
        if let Some((part, value)) = offered {
            self.offer(shard, part, t_ms, value);
        }
        if let (Some((stats, stale)), Some((h, _, judged))) = (stats, &mut self.histogram) {
            match stats {
                Some(stats) => shard.judge_apart(*h, judged, t_ms, &stats),
                None if stale => judged.close(),
                None => {}
            }
        }
    }

    /// As [`Shard::offer`] does in the histogram itself.
    fn offer(&mut self, shard: &Shard, part: Part, t_ms: i64, value: f64) {
        let native = self.streams.iter().find_map(|s| match &s.model {
            Model::Native(native) => Some(native.is_judged_at(t_ms)),
            _ => None,
        });
        let native = native.unwrap_or(false);
        let Some((h, assembly, judged)) = &mut self.histogram else {
            return;
        };
        if !is_stale(value) {
            if let Some((t_ms, stats)) = assembly.offer(part, t_ms, value)
                && !native
            {
                shard.judge_apart(*h, judged, t_ms, &stats);
            }
            return;
        }
        assembly.remove(part);
        let lives = self.streams.iter().any(|s| match &s.model {
            Model::Window { head, part } => {
                part.is_some() && head.last_ms().is_some() && !head.ended()
            }
            _ => false,
        });
        if !lives && !native {
            judged.close();
        }
    }

    /// Puts what was rebuilt in the place of what was there.
    pub(super) fn finish(&mut self, shard: &mut Shard, now_ms: i64) -> Given {
        let mut swapped = HashSet::new();
        for stream in std::mem::take(&mut self.streams) {
            let (place, last_ms) = (stream.place, stream.last_ms);
            if shard.member(place.0, place.1) == Some(stream.at) && put(shard, stream) {
                swapped.insert(place);
                shard.touch(place.0, last_ms);
            }
        }
        if swapped.is_empty() {
            return Given::Gone;
        }
        // Where the series stayed as it is, its chunks do too.
        self.finished.retain(|place, _| swapped.contains(place));
        for ((group, position), chunks) in std::mem::take(&mut self.finished) {
            if shard.parts.keeps {
                shard.groups.get_mut(group).replace(position, chunks);
                if shard.is_overfull(group) {
                    shard.hurry(group);
                }
            } else {
                shard.groups.get_mut(group).lose(position);
            }
        }
        if let Some((h, assembly, judged)) = self.histogram.take() {
            shard.replace_histogram(h, assembly, judged, now_ms);
        }
        Given::Warmed {
            samples: self.samples,
        }
    }
}

fn put(shard: &mut Shard, stream: Stream) -> bool {
    let home = shard.table.home(stream.at);
    match (stream.model, home) {
        (Model::Track { track, shown, .. }, home) => {
            let n = match home {
                Home::Tracked(n) => Some(n),
                Home::Histogram(h) => shard.histograms.get(h).and_then(|s| s.floats),
                _ => None,
            };
            // What metadata says may have come meanwhile.
            let declared = shard.declared(shard.table.labels(stream.at));
            let Some(n) = n else {
                return false;
            };
            let mut before = shard.mark_of(Holder::Tracked(n));
            let Some(slot) = shard.tracked.get_mut(n) else {
                return false;
            };
            if slot.track.head().last_ms().is_none() {
                // Nothing was ever said of it.
                before = None;
            }
            slot.track.give_place(*track);
            let spec = shard.parts.specs.get(slot.spec);
            let shown = shown.filter(|_| !slot.track.declare(spec, declared));
            slot.epoch = shard.epoch;
            let now = if slot.track.ended() {
                Shown::ended()
            } else {
                Shown::of(slot.track.phase(spec), slot.track.alarm())
            };
            shard.tally.show(&mut slot.shown, now.waiting(slot.waits));
            match shown {
                Some((score, alarm)) => shard.parts.board.set(slot.board, score, alarm),
                None => shard.parts.board.hide(slot.board),
            }
            shard.anchor_after(Holder::Tracked(n), before);
            true
        }
        (Model::Window { head, .. }, Home::Plain(n)) => {
            let slot = shard.plain.get_mut(n);
            slot.is_some_and(|slot| {
                slot.head = *head;
                true
            })
        }
        (Model::Native(native), Home::Histogram(h)) => {
            let slot = shard.histograms.get_mut(h);
            slot.is_some_and(|slot| {
                slot.put_native(native);
                true
            })
        }
        _ => false,
    }
}

/// History in order of time, each time once, before the oldest live sample.
fn rising<T>(history: Vec<T>, cut: Option<i64>, time: impl Fn(&T) -> i64) -> Vec<T> {
    let mut last = None;
    history
        .into_iter()
        .filter(|sample| {
            let t_ms = time(sample);
            let keep = last.is_none_or(|last| t_ms > last) && cut.is_none_or(|cut| t_ms < cut);
            if keep {
                last = Some(t_ms);
            }
            keep
        })
        .collect()
}

/// As [`Shard::floats_after`], of native histograms.
fn natives_after(shard: &Shard, place: (u32, u16), after_ms: i64) -> Vec<NativeHistogram> {
    let chunks = shard.chunks(place, after_ms.saturating_add(1), i64::MAX);
    let chunks = crate::engine::merge::in_order(chunks);
    chunks
        .iter()
        .filter(|c| c.encoding != Encoding::Xor)
        .filter_map(|c| histogram_chunk::decode(&c.bytes, c.encoding).ok())
        .flatten()
        .filter(|h| h.timestamp_ms > after_ms)
        .collect()
}
