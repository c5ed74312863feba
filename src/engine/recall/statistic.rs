//! What was said of the statistics of histograms, said again.
//!
//! A statistic has no samples: its values are put together from all that its histogram was made of
//! ([`crate::engine::feed`]), from what had come of it at an anchor on, and judged from the anchor of
//! the statistic on. What holds of series holds of them: a stretch counts only if it ends in the state
//! that is there. So it is also found out whether the values were those of then.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::{BAND_COST, Effort, Leash, Live, REACH, Specs, specs};
use crate::engine::anchor::Anchor;
use crate::engine::ask::{AskError, Found, Place, Reader};
use crate::engine::feed::{Feed, Parts, Piece, Value};
use crate::engine::keep::ClosedChunk;
use crate::engine::merge;
use crate::model::forest::tier::Fits;
use crate::model::{Point, SeriesSpec};
use crate::score::judge::{Judge, Phase};
use crate::score::track::again::Said;
use crate::window::chunk;
use crate::window::encoding::Encoding;
use crate::window::histogram::classic::Part;
use crate::window::histogram_chunk;
use crate::wire::histogram::NativeHistogram;
use crate::wire::write::is_stale;

/// To put parts together costs less than to score: so many of their samples count as one.
const PARTS_COST: usize = 4;
/// Samples of the parts of one histogram that are put together at once: 24 bytes each.
const PIECES_MAX: usize = 8_000_000;

/// A statistic as it is now, and what it is made of.
#[derive(Debug)]
pub struct LiveStatistic {
    pub live: Live,
    /// The buckets, sum and count of its histogram.
    pub(in crate::engine) parts: Vec<(Part, Place)>,
}

/// All that is asked for of one histogram: which statistic, where in the answer, and as it is now.
type Asked = Vec<(u8, usize, LiveStatistic)>;

impl Reader {
    /// What was said of those of these series that are statistics, in their order.
    pub(super) async fn recall_statistics(
        &self,
        of: &[Found],
        range: (i64, i64),
        wants_band: bool,
        effort: &Effort,
    ) -> Result<Vec<Vec<Said>>, AskError> {
        let wanted = of.iter().filter(|f| f.statistic.is_some());
        let wanted: Vec<Found> = wanted.cloned().collect();
        let lives = self.statistics(&wanted).await?;
        let mut said = vec![Vec::new(); wanted.len()];
        let mut by_place: BTreeMap<Place, Asked> = BTreeMap::new();
        for (at, (found, live)) in wanted.iter().zip(lives).enumerate() {
            if let (Some(which), Some(live)) = (found.statistic, live) {
                by_place
                    .entry(found.place)
                    .or_default()
                    .push((which, at, live));
            }
        }
        // One histogram after the other: each has a dozen series or two.
        for (place, asked) in by_place {
            let all = self
                .recall_histogram(&wanted, place, asked, (range, wants_band), effort)
                .await?;
            for (at, one) in all {
                said[at] = one;
            }
        }
        Ok(said)
    }

    async fn recall_histogram(
        &self,
        wanted: &[Found],
        place: Place,
        asked: Asked,
        (range, wants_band): ((i64, i64), bool),
        effort: &Effort,
    ) -> Result<Vec<(usize, Vec<Said>)>, AskError> {
        let intervals = asked.iter().map(|(_, _, one)| one.live.interval_ms);
        let reach = (REACH * intervals.fold(1.0, f64::max)) as i64;
        let (first, last) = (range.0.saturating_sub(reach), range.1.saturating_add(reach));
        let at = |place: Place| Found {
            labels: Box::default(),
            counter: false,
            place,
            statistic: None,
        };
        // The same for all of them.
        let parts = asked.first().map(|(_, _, one)| one.parts.clone());
        let parts = parts.unwrap_or_default();
        let in_shard = |mut part: Place| {
            part.shard = place.shard;
            at(part)
        };
        let all: Vec<Found> = std::iter::once(at(place))
            .chain(parts.iter().map(|(_, part)| in_shard(*part)))
            .collect();
        let labels: Vec<Box<[u8]>> = asked
            .iter()
            .map(|(_, i, _)| wanted[*i].labels.clone())
            .collect();
        let leash = Leash(Effort {
            left: Arc::new(AtomicI64::new(effort.left.swap(0, Ordering::Relaxed))),
            ..effort.clone()
        });
        let own = leash.0.clone();
        let said = self
            .gather(&all, first, last, move |mut windows| {
                let of_parts = windows.split_off(1.min(windows.len()));
                let histogram = windows.pop().unwrap_or_default();
                let anchors = Anchor::among(&histogram);
                let mut pieces = Pieces::new(histogram, &parts, of_parts, &own)?;
                let mut all = Vec::new();
                for ((which, at, one), labels) in asked.iter().zip(&labels) {
                    let again = Again {
                        which: *which,
                        specs: specs(labels, &one.live, rules(&anchors, *which)),
                        live: &one.live,
                        anchors: &anchors,
                        range,
                        wants_band,
                        effort: &own,
                    };
                    all.push((*at, again));
                }
                let mut values: Vec<_> = all.iter().map(|(_, a)| vec![a.values(&pieces)]).collect();
                if pieces.has_ends {
                    pieces.sort(true);
                    let more = all.iter().map(|(_, a)| a.values(&pieces));
                    values.iter_mut().zip(more).for_each(|(v, m)| v.push(m));
                }
                let said = all.iter().zip(values);
                said.map(|((at, again), values)| Ok((*at, again.all(&values)?)))
                    .collect::<Result<Vec<_>, AskError>>()
            })
            .await??;
        effort
            .left
            .store(leash.0.left.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(said)
    }
}

/// The rules that the anchors of a statistic name.
fn rules(anchors: &[(i64, Anchor)], which: u8) -> impl Iterator<Item = u64> {
    anchors
        .iter()
        .filter_map(move |(_, anchor)| begins(anchor, which).map(|(rules, _)| rules))
}

/// The rules under which a statistic goes on from an anchor, and what told its state before.
fn begins(anchor: &Anchor, which: u8) -> Option<(u64, Option<u64>)> {
    match anchor {
        Anchor::Statistic {
            statistic,
            rules,
            before,
            ..
        } if *statistic == which => Some((*rules, *before)),
        Anchor::Begins {
            statistic, rules, ..
        } if *statistic == which => Some((*rules, None)),
        _ => None,
    }
}

/// All that came of a histogram, in order of time.
#[derive(Debug)]
struct Pieces {
    parts: Vec<Part>,
    /// Time, number of the part, value.
    floats: Vec<(i64, u32, f64)>,
    native: Vec<NativeHistogram>,
    /// A part ended in between.
    has_ends: bool,
}

impl Pieces {
    fn new(
        own: Vec<ClosedChunk>,
        parts: &[(Part, Place)],
        windows: Vec<Vec<ClosedChunk>>,
        effort: &Effort,
    ) -> Result<Self, AskError> {
        let samples = |chunks: &Vec<ClosedChunk>| -> usize {
            chunks.iter().map(|c| usize::from(c.samples)).sum()
        };
        let all = samples(&own) + windows.iter().map(samples).sum::<usize>();
        if all > PIECES_MAX {
            return Err(AskError::TooMuch {
                limit: effort.limit,
            });
        }
        effort.take((all / PARTS_COST) as i64)?;
        let mut starts = Anchor::among(&own)
            .into_iter()
            .filter_map(|(t_ms, anchor)| match anchor {
                Anchor::Starts(at_ms) => Some((t_ms, at_ms)),
                _ => None,
            })
            .peekable();
        let mut native: Vec<NativeHistogram> = merge::in_order(own)
            .iter()
            .filter(|c| c.encoding != Encoding::Xor)
            .filter_map(|c| histogram_chunk::decode(&c.bytes, c.encoding).ok())
            .flatten()
            .collect();
        for sample in &mut native {
            while let Some((_, at_ms)) = starts.next_if(|(t_ms, _)| *t_ms < sample.timestamp_ms) {
                sample.start_ms = at_ms;
            }
        }
        let mut floats = Vec::new();
        for (number, chunks) in (0..).zip(windows) {
            let samples = merge::in_order(chunks).into_iter();
            let samples = samples.filter_map(|c| chunk::decode(&c.bytes).ok());
            floats.extend(samples.flatten().map(|(t_ms, v)| (t_ms, number, v)));
        }
        let has_ends = floats.iter().any(|(_, _, v)| is_stale(*v));
        let mut pieces = Self {
            parts: parts.iter().map(|(part, _)| *part).collect(),
            floats,
            native,
            has_ends,
        };
        pieces.sort(false);
        Ok(pieces)
    }

    /// In order of time; whether the end of a part came before what else has its time is not known.
    fn sort(&mut self, ends_first: bool) {
        self.floats
            .sort_unstable_by_key(|(t_ms, number, v)| (*t_ms, is_stale(*v) != ends_first, *number));
    }

    /// The values of a statistic from what had come of its histogram at some time on, up to `until_ms`.
    fn values(&self, parts: &Parts, which: u8, until_ms: i64) -> Vec<Value> {
        let from_ms = parts.last_ms;
        let mut feed = Feed::new(parts.clone());
        let since = self.floats.partition_point(|(t_ms, ..)| *t_ms <= from_ms);
        let mut floats = self.floats[since..].iter().peekable();
        // Of the two the native samples of a time are taken in last.
        let native_ms = parts.native.as_ref().map_or(i64::MIN, |n| n.last_ms);
        let natives = self.native.iter().filter(|h| h.timestamp_ms > native_ms);
        let mut natives = natives.peekable();
        while feed.last_ms() < until_ms {
            let native_ms = natives.peek().map(|h| h.timestamp_ms);
            let float = floats.next_if(|(t_ms, ..)| native_ms.is_none_or(|native| *t_ms <= native));
            if let Some((t_ms, number, value)) = float {
                feed.take(*t_ms, &Piece::Part(self.parts[*number as usize], *value));
            } else if let Some(h) = natives.next() {
                feed.take(h.timestamp_ms, &Piece::Native(h));
            } else {
                break;
            }
        }
        let mut all = feed.into_values();
        std::mem::take(&mut all[usize::from(which)])
    }
}

/// What there is to judge again of one statistic.
struct Again<'a> {
    which: u8,
    live: &'a Live,
    specs: Specs,
    anchors: &'a [(i64, Anchor)],
    range: (i64, i64),
    wants_band: bool,
    effort: &'a Effort,
}

impl Again<'_> {
    /// The times from which it goes on, and the first of them that is needed.
    fn times(&self) -> (Vec<i64>, usize) {
        let mut times: Vec<i64> = self.states().map(|(t_ms, ..)| *t_ms).collect();
        times.dedup();
        let first = times.partition_point(|t_ms| *t_ms < self.range.0);
        (times, first.saturating_sub(1))
    }

    /// The values that are needed.
    fn values(&self, pieces: &Pieces) -> Vec<Value> {
        let (times, first) = self.times();
        let parts = times.get(first).and_then(|t_ms| self.parts_at(*t_ms));
        let until_ms = self.last_ms(self.range.1, &times);
        parts.map_or_else(Vec::new, |p| pieces.values(p, self.which, until_ms))
    }

    /// What is said of these values; of each stretch, of the first of them that are those of then.
    fn all(&self, values: &[Vec<Value>]) -> Result<Vec<Said>, AskError> {
        let to_ms = self.range.1;
        let fits = self.live.forest.as_ref();
        let fits = fits.map_or_else(Fits::default, |f| f.fits(&self.live.spec.forest));
        let (times, first) = self.times();
        let mut said = Vec::new();
        for i in first..times.len() {
            let t_ms = times[i];
            if t_ms >= to_ms {
                break;
            }
            let next_ms = times.get(i + 1).copied();
            for (_, anchor) in self.states().filter(|(t, _)| *t == t_ms) {
                let Some((rules, _)) = begins(anchor, self.which) else {
                    continue;
                };
                let Some(spec) = self.spec(rules).filter(|spec| spec.model) else {
                    continue;
                };
                let Some(end) = self.end(rules, next_ms) else {
                    continue;
                };
                let mut is_there = false;
                for values in values {
                    if !is_there && let Some(judge) = self.judge(anchor, spec, &fits) {
                        is_there = self.stretch(spec, judge, (t_ms, &end), values, &mut said)?;
                    }
                }
                if is_there {
                    break;
                }
            }
        }
        Ok(said)
    }

    /// The anchors from which it goes on.
    fn states(&self) -> impl Iterator<Item = &(i64, Anchor)> {
        let own = |(_, anchor): &&(i64, Anchor)| begins(anchor, self.which).is_some();
        self.anchors.iter().filter(own)
    }

    /// The time up to which values are needed.
    fn last_ms(&self, to_ms: i64, times: &[i64]) -> i64 {
        let now_ms = self.live.now.map_or(i64::MIN, |(t_ms, _)| t_ms);
        let next = times.iter().find(|t_ms| **t_ms >= to_ms);
        next.copied().unwrap_or(now_ms)
    }

    /// What had come of the histogram when the statistic was in a state: the newest that is known. The
    /// first values of one are those that the anchor itself has.
    fn parts_at(&self, t_ms: i64) -> Option<&Parts> {
        let mut parts = self.anchors.iter().filter_map(|(_, anchor)| match anchor {
            Anchor::Parts(parts) => Some(&**parts),
            _ => None,
        });
        parts.rfind(|parts| parts.last_ms.saturating_sub(1) <= t_ms)
    }

    fn judge(&self, anchor: &Anchor, spec: &SeriesSpec, fits: &Fits) -> Option<Judge> {
        match anchor {
            Anchor::Statistic { state, .. } => Judge::at_anchor(state, fits),
            Anchor::Begins { forest, .. } => {
                let mut judge = Judge::new();
                if *forest {
                    judge.give_forest(spec, self.live.seed);
                }
                Some(judge)
            }
            _ => None,
        }
    }

    fn spec(&self, rules: u64) -> Option<&SeriesSpec> {
        let of = self.specs.iter().find(|(mark, _)| *mark == rules);
        of.map(|(_, spec)| spec)
    }

    /// The end of a stretch under these rules, and the states that it may end in.
    fn end(&self, rules: u64, next_ms: Option<i64>) -> Option<(i64, bool, Vec<u64>)> {
        let Some(next_ms) = next_ms else {
            let now = self.live.now.filter(|_| rules == self.live.rules);
            return now.map(|(t_ms, mark)| (t_ms, true, vec![mark]));
        };
        let at = self.states().filter(|(t_ms, _)| *t_ms == next_ms);
        let marks = at
            .filter_map(|(_, anchor)| begins(anchor, self.which))
            .filter(|(of, _)| *of == rules);
        Some((
            next_ms,
            false,
            marks.filter_map(|(_, before)| before).collect(),
        ))
    }

    /// Judges the values of a stretch. True, with what is said of those that were asked for, if its end
    /// is the one which there is.
    fn stretch(
        &self,
        spec: &SeriesSpec,
        mut judge: Judge,
        (after_ms, (end_ms, is_now, marks)): (i64, &(i64, bool, Vec<u64>)),
        values: &[Value],
        said: &mut Vec<Said>,
    ) -> Result<bool, AskError> {
        let (from_ms, to_ms) = self.range;
        let asked = |t_ms: i64| (from_ms..=to_ms).contains(&t_ms);
        let ends = self.anchors.iter().filter_map(|(t_ms, a)| match a {
            Anchor::Ended(told_ms) => Some((*t_ms, *told_ms)),
            _ => None,
        });
        let mut ends = ends
            .filter(|(t_ms, _)| *t_ms >= after_ms && (t_ms < end_ms || *is_now))
            .peekable();
        let mut new: Vec<Said> = Vec::new();
        let mut ended = said.last().is_some_and(|s| s.what.is_none());
        let close = |judge: &mut Judge, told_ms: i64, new: &mut Vec<Said>, ended: &mut bool| {
            judge.close();
            if judge.phase(spec) != Phase::Warmup
                && !std::mem::replace(ended, true)
                && asked(told_ms)
            {
                new.push(Said {
                    t_ms: told_ms,
                    what: None,
                });
            }
        };
        let first = values.partition_point(|v| v.t_ms <= after_ms);
        for v in values[first..].iter().take_while(|v| v.t_ms <= *end_ms) {
            while let Some((_, told_ms)) = ends.next_if(|(t_ms, _)| *t_ms < v.t_ms) {
                close(&mut judge, told_ms, &mut new, &mut ended);
            }
            ended = false;
            let band = self.wants_band && asked(v.t_ms);
            self.effort.take(if band { BAND_COST } else { 1 })?;
            let x = Point {
                t_ms: v.t_ms,
                value: v.value,
            };
            let one = judge.say(spec, v.interval_ms, x, band);
            new.extend(one.filter(|_| asked(v.t_ms)));
        }
        for (_, told_ms) in ends {
            close(&mut judge, told_ms, &mut new, &mut ended);
        }
        let is_there = marks.contains(&judge.mark());
        if is_there {
            said.append(&mut new);
        }
        Ok(is_there)
    }
}
