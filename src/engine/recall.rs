//! What was said of samples when they came, said again: from the anchor before them, by the code that
//! scored them then.
//!
//! Whether it is the same is not assumed but found out: where a stretch ends, at the next anchor or at
//! the series as it is now, the state must be the one that is there. It has all samples before it in
//! it, so what ends there was scored then. A stretch is scored by the rules that its first state names,
//! if they are among the last few. One that ends in another state is left out: samples are missing, or a
//! forest cannot be had back.

pub mod statistic;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::anchor::{Anchor, EVERY};
use super::ask::{AskError, Found, Reader};
use super::keep::ClosedChunk;
use super::merge;
use super::rules::{self, Past};
use crate::model::SeriesSpec;
use crate::model::forest::Tier;
use crate::model::forest::tier::Fits;
use crate::score::track::Track;
use crate::score::track::again::{Said, Told};
use crate::series::kind::{Kind, Source};
use crate::window::chunk;
use crate::window::encoding::Encoding;
use crate::window::head::Head;

/// The search of a band costs about as much as so many samples.
pub const BAND_COST: i64 = 50;
/// How far beyond what is asked for the next anchor is looked for, in values of a series: some of its
/// samples give none, and its interval is not always the same.
const REACH: f64 = 1.5 * EVERY as f64;

/// A series as it is now, and what its samples are scored by.
#[derive(Debug)]
pub struct Live {
    pub spec: SeriesSpec,
    /// As [`Anchor::State`] has it.
    pub rules: u64,
    /// The rules before those of today.
    pub past: Past,
    /// Time of its newest sample, and what tells its state from others; `None` while it sleeps.
    pub now: Option<(i64, u64)>,
    pub interval_ms: f64,
    pub forest: Option<Box<Tier>>,
    /// What it may have been declared as when it was born, the likeliest first.
    pub declared: Vec<Option<(Kind, Source)>>,
    /// Of its forest.
    pub seed: u64,
}

/// What may still be scored again for somebody, in samples. Shared by all that is done for them; used
/// up when they are gone.
#[derive(Debug, Clone)]
pub struct Effort {
    left: Arc<AtomicI64>,
    limit: usize,
}

impl Effort {
    pub fn new(limit: usize) -> Self {
        Self {
            left: Arc::new(AtomicI64::new(i64::try_from(limit).unwrap_or(i64::MAX))),
            limit,
        }
    }

    fn take(&self, samples: i64) -> Result<(), AskError> {
        match self.left.fetch_sub(samples, Ordering::Relaxed) >= samples {
            true => Ok(()),
            false => Err(AskError::TooMuch { limit: self.limit }),
        }
    }
}

/// Ends the work when whoever asked is gone.
struct Leash(Effort);

impl Drop for Leash {
    fn drop(&mut self) {
        self.0.left.store(0, Ordering::Relaxed);
    }
}

impl Reader {
    /// What was said of the samples of each of these series in `[from_ms, to_ms]`, in order of time;
    /// with their bands if they are wanted. What cannot be said for certain is left out.
    ///
    /// # Errors
    /// [`AskError::TooMuch`] if it would be more than is left of `effort`; if a shard cannot answer or
    /// the store cannot be read.
    pub async fn recall(
        &self,
        of: &[Found],
        range: (i64, i64),
        wants_band: bool,
        effort: &Effort,
    ) -> Result<Vec<Vec<Said>>, AskError> {
        let plain = |f: &&Found| f.statistic.is_none();
        if of.iter().all(|f| plain(&f)) {
            return self
                .once_more(of, range, (Track::say, wants_band), effort)
                .await;
        }
        let series: Vec<Found> = of.iter().filter(plain).cloned().collect();
        let series = self
            .once_more(&series, range, (Track::say, wants_band), effort)
            .await?;
        let mut series = series.into_iter();
        let mut statistics = self
            .recall_statistics(of, range, wants_band, effort)
            .await?
            .into_iter();
        let next = |f: &Found| match plain(&f) {
            true => series.next(),
            false => statistics.next(),
        };
        Ok(of.iter().map(next).map(Option::unwrap_or_default).collect())
    }

    /// The same of one series with all that there is to be told of each sample, bands included. What
    /// is told is part of what [`Reader::recall`] says, from the same states.
    ///
    /// # Errors
    /// As [`Reader::recall`].
    pub async fn tell(
        &self,
        of: &Found,
        range: (i64, i64),
        effort: &Effort,
    ) -> Result<Vec<Told>, AskError> {
        let of = std::slice::from_ref(of);
        let told = self
            .once_more(of, range, (Track::tell, true), effort)
            .await?;
        Ok(told.into_iter().flatten().collect())
    }

    async fn once_more<T: Send + 'static>(
        &self,
        of: &[Found],
        (from_ms, to_ms): (i64, i64),
        how: (Say<T>, bool),
        effort: &Effort,
    ) -> Result<Vec<Vec<T>>, AskError> {
        let lives = self.lives(of).await?;
        let longest = lives.iter().flatten().map(|l| l.interval_ms);
        let reach = (REACH * longest.fold(1.0, f64::max)) as i64;
        let (first, last) = (from_ms.saturating_sub(reach), to_ms.saturating_add(reach));
        let leash = Leash(Effort {
            left: Arc::new(AtomicI64::new(0)),
            ..effort.clone()
        });
        // Its share of what is left; given back what it did not need.
        let share = effort.left.swap(0, Ordering::Relaxed);
        leash.0.left.store(share, Ordering::Relaxed);
        let own = leash.0.clone();
        let labels: Vec<_> = of.iter().map(|found| found.labels.clone()).collect();
        let said = self
            .gather(of, first, last, move |windows| {
                let all = labels.iter().map(|l| &**l).zip(lives).zip(windows);
                let one = |((labels, live), chunks): ((&[u8], Option<Live>), Vec<_>)| match live {
                    Some(live) => again(labels, &live, chunks, (from_ms, to_ms), how, &own),
                    None => Ok(Vec::new()),
                };
                all.map(one).collect::<Result<Vec<_>, _>>()
            })
            .await??;
        effort
            .left
            .store(leash.0.left.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(said)
    }
}

/// Takes a sample, with its band if that is wanted, and says what is asked for of it.
type Say<T> = fn(&mut Track, &SeriesSpec, (i64, f64), Option<i64>, bool) -> Option<T>;

/// What there is to score again of one series.
struct Again<'a, T> {
    live: &'a Live,
    specs: Specs,
    samples: Vec<(i64, f64)>,
    anchors: Vec<(i64, Anchor)>,
    range: (i64, i64),
    /// What is said of each sample, and whether with its band.
    how: (Say<T>, bool),
    effort: &'a Effort,
}

/// Where a stretch ends: the time of its last sample, and the states that it may end in.
type End = (i64, Vec<u64>);

/// What tells its rules from others, and its spec under them: of today, and of those of its anchors that
/// are known.
type Specs = Vec<(u64, SeriesSpec)>;

/// Today's first.
fn specs(labels: &[u8], live: &Live, mut rules: impl Iterator<Item = u64>) -> Specs {
    let mut specs = vec![(live.rules, live.spec.clone())];
    if rules.any(|rules| rules != live.rules) {
        // Orders say themselves since when they count, whatever the rules were.
        let orders = &live.spec.orders;
        let ordered = |(mark, spec)| {
            (
                mark,
                SeriesSpec {
                    orders: orders.clone(),
                    ..spec
                },
            )
        };
        let before = rules::may_have_had(&live.past, labels).into_iter();
        specs.extend(before.map(ordered));
    }
    specs
}

fn again<T>(
    labels: &[u8],
    live: &Live,
    chunks: Vec<ClosedChunk>,
    range: (i64, i64),
    how: (Say<T>, bool),
    effort: &Effort,
) -> Result<Vec<T>, AskError> {
    let anchors = Anchor::among(&chunks);
    let samples = merge::in_order(chunks)
        .iter()
        .filter(|c| c.encoding == Encoding::Xor)
        .filter_map(|c| chunk::decode(&c.bytes).ok())
        .flatten()
        .collect();
    let named = anchors.iter().filter_map(|(_, anchor)| match anchor {
        Anchor::State { rules, .. } => Some(*rules),
        _ => None,
    });
    let again = Again {
        live,
        specs: specs(labels, live, named),
        samples,
        anchors,
        range,
        how,
        effort,
    };
    again.all()
}

impl<T> Again<'_, T> {
    fn all(&self) -> Result<Vec<T>, AskError> {
        let (from_ms, to_ms) = self.range;
        let fits = self.live.forest.as_ref();
        let fits = fits.map_or_else(Fits::default, |f| f.fits(&self.live.spec.forest));
        let states: Vec<_> = self.states().collect();
        let mut times: Vec<i64> = states.iter().map(|(t_ms, ..)| *t_ms).collect();
        times.dedup();
        // The last one before what is asked for; without one, its birth.
        let first = times.partition_point(|t_ms| *t_ms < from_ms);
        let mut said = Vec::new();
        if first == 0 {
            self.say_from_birth(times.first().copied(), &mut said)?;
        }
        for i in first.saturating_sub(1)..times.len() {
            let t_ms = times[i];
            if t_ms >= to_ms {
                break;
            }
            let next_ms = times.get(i + 1).copied();
            // Where several have one time, each but the last is where the next one began.
            for (_, rules, _, state) in states.iter().filter(|(t, ..)| *t == t_ms) {
                // Those that a rule leaves out have no scores.
                let Some(spec) = self.spec(*rules).filter(|spec| spec.model) else {
                    continue;
                };
                let Some(end) = self.end(*rules, next_ms) else {
                    continue;
                };
                let Some(track) = Track::at_anchor(state, &fits) else {
                    continue;
                };
                if self.stretch(spec, track, t_ms, &end, &mut said)? {
                    break;
                }
            }
        }
        Ok(said)
    }

    fn states(&self) -> impl Iterator<Item = (i64, u64, Option<u64>, &[u8])> {
        self.anchors
            .iter()
            .filter_map(|(t_ms, anchor)| match anchor {
                Anchor::State {
                    rules,
                    before,
                    state,
                } => Some((*t_ms, *rules, *before, &**state)),
                _ => None,
            })
    }

    fn spec(&self, rules: u64) -> Option<&SeriesSpec> {
        let of = self.specs.iter().find(|(mark, _)| *mark == rules);
        of.map(|(_, spec)| spec)
    }

    /// The end of a stretch under these rules: what anchors of this time that have them say of the state
    /// before them, or the series now.
    fn end(&self, rules: u64, next_ms: Option<i64>) -> Option<End> {
        let Some(next_ms) = next_ms else {
            let now = self.live.now.filter(|_| rules == self.live.rules);
            return now.map(|(t_ms, mark)| (t_ms, vec![mark]));
        };
        let at = self
            .states()
            .filter(|(t_ms, of, ..)| *t_ms == next_ms && *of == rules);
        Some((next_ms, at.filter_map(|(_, _, before, _)| before).collect()))
    }

    /// The stretch from the birth of the series, if its first samples are there.
    fn say_from_birth(&self, until_ms: Option<i64>, said: &mut Vec<T>) -> Result<(), AskError> {
        let mut born = vec![self.live.rules];
        if until_ms.is_some() {
            let first = self.states().filter(|(t_ms, ..)| Some(*t_ms) == until_ms);
            born = first.map(|(_, rules, ..)| rules).collect();
            born.dedup();
        }
        for rules in born {
            let spec = self.spec(rules).filter(|spec| spec.model);
            let (Some(spec), Some(end)) = (spec, self.end(rules, until_ms)) else {
                continue;
            };
            if end.1.is_empty() {
                continue;
            }
            let mut tried = Vec::new();
            for declared in &self.live.declared {
                for forest in [true, false] {
                    if tried.contains(&(*declared, forest)) {
                        continue;
                    }
                    tried.push((*declared, forest));
                    let head = Head::of_series(self.live.seed);
                    let mut track = Track::with_window(head, spec, *declared);
                    if forest {
                        track.judge_mut().give_forest(spec, self.live.seed);
                        if track.judge().forest().is_none() {
                            continue;
                        }
                    }
                    if self.stretch(spec, track, i64::MIN, &end, said)? {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes the samples after `after_ms` up to the end. True, with what is said of those that were
    /// asked for, if that is the end which there is.
    fn stretch(
        &self,
        spec: &SeriesSpec,
        mut track: Track,
        after_ms: i64,
        (end_ms, marks): &End,
        said: &mut Vec<T>,
    ) -> Result<bool, AskError> {
        let (from_ms, to_ms) = self.range;
        let mut befell: VecDeque<&(i64, Anchor)> = self
            .anchors
            .iter()
            .filter(|(t_ms, _)| *t_ms >= after_ms && t_ms < end_ms)
            .collect();
        let first = self.samples.partition_point(|(t_ms, _)| *t_ms <= after_ms);
        let samples = self.samples[first..].iter();
        let mut new = Vec::new();
        for (t_ms, value) in samples.take_while(|(t_ms, _)| t_ms <= end_ms) {
            let mut start_ms = None;
            while let Some((_, anchor)) = befell.pop_front_if(|(t, _)| t < t_ms) {
                match anchor {
                    Anchor::Declared(declared) => drop(track.declare(spec, *declared)),
                    Anchor::Starts(at_ms) => start_ms = Some(*at_ms),
                    // A state, or of a histogram with the same labels.
                    _ => {}
                }
            }
            let asked = (from_ms..=to_ms).contains(t_ms);
            let (say, wants_band) = self.how;
            let band = asked && wants_band;
            self.effort.take(if band { BAND_COST } else { 1 })?;
            let one = say(&mut track, spec, (*t_ms, *value), start_ms, band);
            new.extend(one.filter(|_| asked));
        }
        let is_there = track.head().last_ms() == Some(*end_ms) && marks.contains(&track.mark());
        if is_there {
            said.append(&mut new);
        }
        Ok(is_there)
    }
}
