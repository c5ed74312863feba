//! Native histograms, and series of floats that have the labels of a histogram.
//!
//! One label set has one window. Its samples rise in time whatever they are, and where the sort
//! changes the open chunk is finished, so that chunks never overlap.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::{Found, Shard, closed};
use crate::engine::anchor::Anchor;
use crate::engine::batch::{Batch, HistogramRow};
use crate::engine::keep::ClosedChunk;
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::score::judge::Phase;
use crate::score::track::Track;
use crate::series::fingerprint::fingerprint;
use crate::telemetry::Outcome;
use crate::window::head::Head;
use crate::window::histogram::Stats;
use crate::window::histogram::native::{Intervals, Scratch};
use crate::window::histogram_chunk::{FinishedHistograms, HistogramAppender};
use crate::wire::histogram::{Counts, NativeHistogram, decode_into};
use crate::wire::write::{STALE_NAN_BITS, is_stale};

use super::histogram::STATS;

/// Native samples that ended longer ago than this do not keep classic ones from being judged, in
/// milliseconds.
pub(in crate::engine) const LASTS_MS: i64 = 3_600_000;

/// Buckets that take the room of one series more in `limits.series`: each has some 32 bytes here. No
/// library makes more than twice as many, but a stranger could send thousands.
const BUCKETS_PER_ROOM: usize = 80;

/// The native samples of one histogram.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Native {
    open: HistogramAppender,
    intervals: Intervals,
    last_ms: i64,
    /// Hash of the newest sample's message: the same time and the same bytes are a duplicate.
    pub(super) last_hash: u64,
    ended: bool,
    /// Wall clock of the newest sample; a restored one has its own time.
    #[serde(skip)]
    pub(super) arrived_ms: i64,
    /// Room that its buckets took; a restored one takes it with its next sample.
    #[serde(skip)]
    pub(super) room: u32,
}

/// What a native sample came to.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) finished: Vec<FinishedHistograms>,
    pub(super) stats: Option<Stats>,
}

impl Native {
    pub(super) fn new() -> Self {
        Self {
            open: HistogramAppender::new(),
            intervals: Intervals::new(),
            last_ms: i64::MIN,
            last_hash: 0,
            ended: false,
            arrived_ms: i64::MIN,
            room: 0,
        }
    }

    /// Time of the newest sample; `None` before the first.
    pub(super) fn last_ms(&self) -> Option<i64> {
        (self.last_ms != i64::MIN).then_some(self.last_ms)
    }

    /// True if native samples are judged now, and classic parts of the same histogram are not.
    pub(super) fn is_judged_at(&self, t_ms: i64) -> bool {
        !self.ended
            && self
                .last_ms()
                .is_some_and(|l| t_ms.saturating_sub(l) <= LASTS_MS)
    }

    pub(super) fn intervals(&self) -> &Intervals {
        &self.intervals
    }

    /// The newest sample was a staleness marker.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// All that it takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.open.heap_bytes() + self.intervals.heap_bytes()
    }

    pub(super) fn open(&self) -> &HistogramAppender {
        &self.open
    }

    /// Takes one sample that is newer than the newest.
    pub(super) fn take(&mut self, h: &NativeHistogram, hash: u64, scratch: &mut Scratch) -> Kept {
        self.last_ms = h.timestamp_ms;
        self.last_hash = hash;
        self.ended = h.is_stale();
        let mut finished: Vec<_> = self.open.append(h).into_iter().collect();
        if self.open.is_full() {
            finished.extend(self.open.finish());
        }
        let stats = self.intervals.take(h, scratch);
        Kept { finished, stats }
    }
}

/// Room that the buckets of a sample take, besides that of every histogram.
fn room(h: &NativeHistogram) -> u32 {
    let buckets = match &h.counts {
        Counts::Integer {
            positive, negative, ..
        } => positive.len() + negative.len(),
        Counts::Float {
            positive, negative, ..
        } => positive.len() + negative.len(),
    };
    let spans = h.positive_spans.len() + h.negative_spans.len();
    ((buckets + spans + h.custom_values.len()) / BUCKETS_PER_ROOM) as u32
}

/// A finished chunk of histograms in its group.
pub(super) fn closed_native(position: u16, chunk: FinishedHistograms) -> ClosedChunk {
    ClosedChunk {
        position,
        first_ms: chunk.first_ms,
        last_ms: chunk.last_ms,
        samples: chunk.samples,
        encoding: chunk.encoding,
        bytes: chunk.bytes,
    }
}

impl Shard {
    pub(super) fn take_histograms(&mut self, batch: &Batch) {
        for row in &batch.histograms {
            let labels = row.labels.of(&batch.body);
            let now_ms = batch.received_ms;
            let found = self
                .known(row.fingerprint, labels)
                .or_else(|| self.birth_native(row.fingerprint, labels, now_ms));
            let outcome = match found {
                Some((at, Home::Nowhere)) => {
                    self.left_out.insert(at, now_ms);
                    Outcome::Skipped
                }
                Some((at, _)) => match self.make_histogram(at) {
                    Some(h) => self.native_row(h, row, row.message.of(&batch.body), now_ms),
                    // Of a name that has no model, or there is no room.
                    None => Outcome::Limit,
                },
                None => Outcome::Limit,
            };
            self.tally.histograms[outcome as usize] += 1;
        }
    }

    pub(super) fn birth_native(&mut self, fp: u64, canonical: &[u8], now_ms: i64) -> Option<Found> {
        if !self.admit(STATS as u32) {
            return None;
        }
        let at = self.table.insert(fp, canonical);
        let spec = self.parts.specs.find(canonical);
        if !self.parts.specs.get(spec).model {
            self.parts.admission.release(STATS as u32 - 1);
            self.left_out.insert(at, now_ms);
            return Some((at, Home::Nowhere));
        }
        let place = self.place(canonical, at);
        let h = self.add_histogram(at, place);
        self.remember_birth(at, place, now_ms);
        Some((at, Home::Histogram(h)))
    }

    fn native_row(&mut self, h: u32, row: &HistogramRow, message: &[u8], now_ms: i64) -> Outcome {
        let mut sample = std::mem::take(&mut self.scratch);
        let decoded = decode_into(message, &mut sample);
        sample.timestamp_ms = row.timestamp_ms;
        let outcome = match decoded {
            Ok(()) => self.native_sample(h, &sample, xxh3_64(message), now_ms),
            // The decoder has checked it.
            Err(_) => Outcome::Refused,
        };
        self.scratch = sample;
        outcome
    }

    pub(super) fn native_sample(
        &mut self,
        h: u32,
        sample: &NativeHistogram,
        hash: u64,
        now_ms: i64,
    ) -> Outcome {
        let t_ms = sample.timestamp_ms;
        let Some(slot) = self.histograms.get_mut(h) else {
            return Outcome::Skipped;
        };
        let (group, position, floats) = (slot.group, slot.position, slot.floats);
        if let Some(native) = &slot.native
            && let Some(last_ms) = native.last_ms()
            && t_ms <= last_ms
        {
            return match (t_ms == last_ms, hash == native.last_hash) {
                (true, true) => Outcome::Duplicate,
                (true, false) => Outcome::Conflict,
                (false, _) => Outcome::Late,
            };
        }
        let has = slot.native.as_ref().map_or(0, |n| n.room);
        let track = floats.and_then(|n| self.tracked.get(n));
        if track.is_some_and(|t| t.track.head().last_ms().is_some_and(|last| t_ms <= last)) {
            return Outcome::Late;
        }
        let more = room(sample).saturating_sub(has);
        if more > 0 && !self.parts.admission.admit_all(more) {
            self.dissolve_if_empty(h);
            return Outcome::Limit;
        }
        let track = floats.and_then(|n| self.tracked.get_mut(n));
        if let Some(chunk) = track.and_then(|t| t.track.cut()) {
            self.close(group, closed(position, chunk));
        }
        let Some(slot) = self.histograms.get_mut(h) else {
            return Outcome::Skipped;
        };
        let native = slot.native.get_or_insert_with(|| Box::new(Native::new()));
        let before_ms = native.last_ms();
        native.arrived_ms = now_ms;
        native.room += more;
        let kept = native.take(sample, hash, &mut self.intervals);
        self.touch(group, t_ms);
        if let Some(before_ms) = before_ms
            && sample.start_ms > before_ms
            && sample.start_ms < t_ms
        {
            // No window keeps it.
            let anchor = Anchor::Starts(sample.start_ms);
            self.keep_anchor((group, position), before_ms, &anchor);
        }
        for chunk in kept.finished {
            self.close(group, closed_native(position, chunk));
        }
        if sample.is_stale() {
            self.end_stats(h, t_ms);
            return Outcome::Stale;
        }
        if let Some(stats) = kept.stats {
            self.judge_stats(h, t_ms, &stats, now_ms);
        }
        Outcome::Accepted
    }

    /// A float under the labels of a histogram. A staleness marker ends what is there; anything else
    /// begins or goes on with a series of floats.
    pub(super) fn float_of_histogram(
        &mut self,
        at: u32,
        h: u32,
        t_ms: i64,
        value: f64,
        now_ms: i64,
    ) -> Outcome {
        let Some(slot) = self.histograms.get_mut(h) else {
            return Outcome::Skipped;
        };
        let place = (slot.group, slot.position);
        let n = match (slot.floats, &mut slot.native) {
            (floats, Some(native)) => {
                let newest = native.last_ms();
                if floats.is_none() && is_stale(value) {
                    let marker = NativeHistogram {
                        sum: f64::from_bits(STALE_NAN_BITS),
                        timestamp_ms: t_ms,
                        ..NativeHistogram::default()
                    };
                    return self.native_sample(h, &marker, STALE_NAN_BITS, now_ms);
                }
                if newest.is_some_and(|last| t_ms <= last) {
                    return Outcome::Late;
                }
                let cut = native.open.finish();
                if let Some(chunk) = cut {
                    self.close(place.0, closed_native(place.1, chunk));
                }
                floats
            }
            (floats, None) => floats,
        };
        let n = match n {
            Some(n) => n,
            None => {
                if !self.parts.admission.admit() {
                    self.tally.dropped += 1;
                    return Outcome::Limit;
                }
                let labels = self.table.labels(at);
                let spec = self.parts.specs.find(labels);
                let declared = self.declared(labels);
                let head = Head::of_series(fingerprint(labels));
                let track = Track::with_window(head, self.parts.specs.get(spec), declared);
                let shown = Shown::of(Phase::Warmup, None);
                let n = self.put_tracked(at, place, spec, track, shown, now_ms);
                if let Some(slot) = self.histograms.get_mut(h) {
                    slot.floats = Some(n);
                }
                n
            }
        };
        self.sample(at, n, t_ms, value, None, now_ms)
    }

    pub(super) fn forget_native(&mut self, h: u32, now_ms: i64) {
        let arrived_ms = self
            .histograms
            .get(h)
            .and_then(|s| s.native.as_ref().map(|n| n.arrived_ms));
        if arrived_ms.is_some_and(|ms| self.is_long_ago(ms, now_ms))
            && let Some(slot) = self.histograms.get_mut(h)
        {
            let room = slot.native.take().map_or(0, |native| native.room);
            self.parts.admission.release(room);
            self.dissolve_if_empty(h);
        }
    }
}
