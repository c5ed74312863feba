//! A classic histogram, put together from the series of its buckets, its sum and its count.
//!
//! The series come one by one, in any order, split over requests, and those of two scrapes may
//! overlap; only their equal timestamps tell which belong together. What always holds: the same
//! parts in the same order give the same numbers; a scrape is judged once or never; late and
//! repeated parts change nothing; a part that is no number spoils its own scrape and no other;
//! memory is bounded by [`BUCKETS_MAX`] and [`PENDING_MAX`].

mod scrape;
#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};
use smallvec::SmallVec;

use self::scrape::{COUNT, FIRST_BUCKET, SUM, Scrape};
use super::quantile::{self, Bucket};
use super::{INTERVAL_MAX_MS, Stats};

/// Buckets of one histogram. Beyond them buckets are left out and the histogram has no quantiles:
/// libraries have some 10 to 20, and a label that only looks like a bucket's can have any number.
pub const BUCKETS_MAX: usize = 512;

/// Scrapes whose parts are still coming. Senders split a scrape over connections that are at most
/// a few seconds apart, less than two scrapes.
pub const PENDING_MAX: usize = 2;

/// Scrapes in a row that lack a part before it is taken for gone: not every sender marks the end of
/// a series.
const LACKING_MAX: u8 = 4;

/// Buckets that an interval's increase takes without a detour over the heap.
const USUAL_BUCKETS: usize = 32;

/// One of the series of a classic histogram.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    /// `_bucket` with this `le`: observations of at most so much.
    Bucket(f64),
    /// `_sum`.
    Sum,
    /// `_count`.
    Count,
}

/// The upper bound that the text of a label `le` means; `None` if it means none.
pub fn bound(le: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(le).ok()?;
    let bound: f64 = text.parse().ok()?;
    let spelt = text.trim_start_matches(['+', '-']);
    let infinite = spelt.starts_with(['i', 'I']);
    (!bound.is_nan() && bound.is_infinite() == infinite).then_some(bound)
}

/// Collects the parts of each scrape of one histogram and makes differences of whole ones.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "Stored")]
pub struct Assembly {
    /// Of all buckets that are known, rising.
    bounds: Vec<f64>,
    has_sum: bool,
    has_count: bool,
    /// More buckets came than there is room for.
    overfull: bool,
    /// Judged scrapes in a row that lacked a part.
    lacking: u8,
    /// Time of the newest judged scrape.
    judged_ms: Option<i64>,
    /// What the next scrape is compared with.
    previous: Option<Scrape>,
    /// Scrapes whose parts are still coming, oldest first.
    pending: Vec<Scrape>,
    /// Memory for the next scrape.
    spare: Vec<f64>,
}

impl Assembly {
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one part of the scrape at `t_ms`. If a scrape is judged now, gives its time and what
    /// was observed since the one before, which is [`Stats::NONE`] after a reset, after more than
    /// [`INTERVAL_MAX_MS`], and for a scrape with a part that is no count.
    ///
    /// A scrape is judged as soon as all known parts of it have come and none was new in it, at the
    /// latest when a scrape begins that there is no room for; what it lacks then is not said. The
    /// first one is never judged, nor is one that was not whole when a later one was.
    pub fn offer(&mut self, part: Part, t_ms: i64, value: f64) -> Option<(i64, Stats)> {
        if let Some(judged_ms) = self.judged_ms
            && t_ms <= judged_ms
        {
            if t_ms == judged_ms {
                // A new part that came behind all known ones: the next scrape waits for it.
                self.slot(part);
            }
            return None;
        }
        let at = self.pending.partition_point(|s| s.t_ms < t_ms);
        let begun = self.pending.get(at).is_some_and(|s| s.t_ms == t_ms);
        if !begun && at == 0 && self.pending.len() == PENDING_MAX {
            // Older than all that there is room for.
            return None;
        }
        let (slot, born) = self.slot(part)?;
        let mut at = at;
        let mut judged = None;
        if !begun {
            if self.pending.len() == PENDING_MAX {
                judged = self.judge(0);
                at = at.saturating_sub(1);
            }
            let mut values = std::mem::take(&mut self.spare);
            values.clear();
            self.pending.reserve_exact(1);
            self.pending.insert(at, Scrape::new(t_ms, values));
        }
        let slots = FIRST_BUCKET + self.bounds.len();
        let counts = !matches!(part, Part::Sum);
        let known = self.bounds.len() + usize::from(self.has_sum) + usize::from(self.has_count);
        let scrape = &mut self.pending[at];
        scrape.put(slot, slots, value, counts);
        scrape.born |= born;
        if scrape.is_whole(known) {
            judged = self.judge(at).or(judged);
        }
        judged
    }

    /// A part's series has ended: scrapes from now on are whole without it.
    pub fn remove(&mut self, part: Part) {
        match part {
            Part::Sum => self.forget(SUM, |a| std::mem::take(&mut a.has_sum)),
            Part::Count => self.forget(COUNT, |a| std::mem::take(&mut a.has_count)),
            Part::Bucket(bound) => {
                self.overfull = false;
                let Some(i) = self.bounds.iter().position(|b| *b == bound) else {
                    return;
                };
                self.bounds.remove(i);
                let scrapes = self.pending.iter_mut().chain(&mut self.previous);
                scrapes.for_each(|s| s.remove(FIRST_BUCKET + i));
            }
        }
    }

    fn forget(&mut self, slot: usize, known: impl Fn(&mut Self) -> bool) {
        if known(self) {
            let scrapes = self.pending.iter_mut().chain(&mut self.previous);
            scrapes.for_each(|s| s.clear(slot));
        }
    }

    /// The same without scrapes whose parts are still coming.
    #[must_use]
    pub fn settled(&self) -> Self {
        Self {
            bounds: self.bounds.clone(),
            previous: self.previous.clone(),
            pending: Vec::new(),
            spare: Vec::new(),
            ..*self
        }
    }

    /// True if no part is known, or none is left.
    pub fn is_empty(&self) -> bool {
        self.bounds.is_empty() && !self.has_sum && !self.has_count
    }

    /// Buckets that are known.
    pub fn buckets(&self) -> usize {
        self.bounds.len()
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let scrapes = self.pending.iter().chain(&self.previous);
        let values: usize = scrapes.map(|s| s.heap_bytes()).sum();
        values
            + self.pending.capacity() * size_of::<Scrape>()
            + (self.bounds.capacity() + self.spare.capacity()) * size_of::<f64>()
    }

    /// Where a part's value lies in a scrape, and whether the part is new; `None` if there is no
    /// room for it.
    fn slot(&mut self, part: Part) -> Option<(usize, bool)> {
        match part {
            Part::Sum => Some((SUM, !std::mem::replace(&mut self.has_sum, true))),
            Part::Count => Some((COUNT, !std::mem::replace(&mut self.has_count, true))),
            Part::Bucket(bound) => {
                let i = self.bounds.partition_point(|b| *b < bound);
                let known = self.bounds.get(i).is_some_and(|b| *b == bound);
                if !known {
                    if self.bounds.len() >= BUCKETS_MAX || bound.is_nan() {
                        self.overfull = true;
                        return None;
                    }
                    self.bounds.reserve_exact(1);
                    self.bounds.insert(i, bound);
                    let scrapes = self.pending.iter_mut().chain(&mut self.previous);
                    scrapes.for_each(|s| s.insert(FIRST_BUCKET + i));
                }
                Some((FIRST_BUCKET + i, !known))
            }
        }
    }

    /// Judges the pending scrape `at`; older ones will not be.
    fn judge(&mut self, at: usize) -> Option<(i64, Stats)> {
        let now = self.pending.remove(at);
        let t_ms = now.t_ms;
        // A part that was new in a scrape made it wait for this one, which may have all it had.
        let base = self.pending[..at].iter().rposition(|s| s.has_all_of(&now));
        if let Some(i) = base {
            let base = self.pending.remove(i);
            self.keep_previous(base);
        }
        self.pending.retain(|s| s.t_ms > t_ms);
        self.judged_ms = Some(t_ms);
        if now.unusable {
            self.keep_memory(now.into_values());
            return Some((t_ms, Stats::NONE));
        }
        let Some(previous) = &self.previous else {
            self.previous = Some(now);
            return None;
        };
        let stats = self.stats(previous, &now);
        let slots = 0..FIRST_BUCKET + self.bounds.len();
        let lacks = { slots }.any(|slot| self.is_known(slot) && now.get(slot).is_none());
        self.lacking = if lacks { self.lacking + 1 } else { 0 };
        if !lacks {
            self.keep_previous(now);
        } else if self.lacking == LACKING_MAX {
            self.lacking = 0;
            self.keep_previous(now);
            self.forget_lacking();
        } else {
            // The next one that is whole is compared with the last that was.
            self.keep_memory(now.into_values());
        }
        Some((t_ms, stats))
    }

    fn is_known(&self, slot: usize) -> bool {
        match slot {
            SUM => self.has_sum,
            COUNT => self.has_count,
            _ => true,
        }
    }

    /// Removes the parts that the newest judged scrape lacks.
    fn forget_lacking(&mut self) {
        let Some(previous) = &self.previous else {
            return;
        };
        let lacks = |slot: usize| previous.get(slot).is_none();
        let (sum, count) = (lacks(SUM), lacks(COUNT));
        let gone: SmallVec<[f64; USUAL_BUCKETS]> = (self.bounds.iter().enumerate())
            .filter(|(i, _)| lacks(FIRST_BUCKET + i))
            .map(|(_, bound)| *bound)
            .collect();
        if sum {
            self.remove(Part::Sum);
        }
        if count {
            self.remove(Part::Count);
        }
        for bound in gone {
            self.remove(Part::Bucket(bound));
        }
    }

    fn keep_previous(&mut self, scrape: Scrape) {
        if let Some(old) = self.previous.replace(scrape) {
            self.keep_memory(old.into_values());
        }
    }

    fn keep_memory(&mut self, values: Vec<f64>) {
        if values.capacity() > self.spare.capacity() {
            self.spare = values;
        }
    }

    /// What was observed between two scrapes.
    fn stats(&self, previous: &Scrape, now: &Scrape) -> Stats {
        let ms = now.t_ms.saturating_sub(previous.t_ms);
        if ms > INTERVAL_MAX_MS {
            return Stats::NONE;
        }
        let mut increases = SmallVec::<[Bucket; USUAL_BUCKETS]>::new();
        let mut same_buckets = !self.overfull;
        for (i, upper) in self.bounds.iter().enumerate() {
            let slot = FIRST_BUCKET + i;
            match (previous.get(slot), now.get(slot)) {
                (Some(old), Some(new)) if new < old => return Stats::NONE,
                (Some(old), Some(new)) => increases.push(Bucket {
                    upper: *upper,
                    count: new - old,
                }),
                (None, None) => {}
                _ => same_buckets = false,
            }
        }
        let count = match (previous.get(COUNT), now.get(COUNT)) {
            (Some(old), Some(new)) => new - old,
            _ => match increases.last() {
                Some(highest) if highest.upper == f64::INFINITY => highest.count,
                _ => return Stats::NONE,
            },
        };
        if count < 0.0 {
            return Stats::NONE;
        }
        let sum = previous.get(SUM).zip(now.get(SUM));
        let sum = sum.map(|(old, new)| new - old);
        Stats::of(count, sum, ms, |q| {
            if same_buckets {
                quantile::classic(q, &mut increases)
            } else {
                f64::NAN
            }
        })
    }
}

/// An assembly as it lies on disk; one that does not fit together is refused.
#[derive(Serialize, Deserialize)]
struct Stored {
    bounds: Vec<f64>,
    has_sum: bool,
    has_count: bool,
    overfull: bool,
    lacking: u8,
    judged_ms: Option<i64>,
    previous: Option<Scrape>,
    pending: Vec<Scrape>,
}

impl From<Assembly> for Stored {
    fn from(a: Assembly) -> Self {
        Self {
            bounds: a.bounds,
            has_sum: a.has_sum,
            has_count: a.has_count,
            overfull: a.overfull,
            lacking: a.lacking,
            judged_ms: a.judged_ms,
            previous: a.previous,
            pending: a.pending,
        }
    }
}

impl TryFrom<Stored> for Assembly {
    type Error = &'static str;

    fn try_from(s: Stored) -> Result<Self, Self::Error> {
        if s.bounds.len() > BUCKETS_MAX
            || s.pending.len() > PENDING_MAX
            || !s.bounds.is_sorted_by(|a, b| a < b)
        {
            return Err("state of a classic histogram does not fit together");
        }
        Ok(Self {
            bounds: s.bounds,
            has_sum: s.has_sum,
            has_count: s.has_count,
            overfull: s.overfull,
            lacking: s.lacking,
            judged_ms: s.judged_ms,
            previous: s.previous,
            pending: s.pending,
            spare: Vec::new(),
        })
    }
}
