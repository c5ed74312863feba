//! What was said of samples when they came, said again: from the anchor before them, by the code that
//! scored them then.
//!
//! Whether it is the same is not assumed but found out: where a stretch ends, at the next anchor or at
//! the series as it is now, the state must be the one that is there. It has all samples before it in
//! it, so what ends there was scored then. A stretch that ends in another state is left out: rules
//! have changed since, samples are missing, or a forest cannot be had back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::anchor::{Anchor, EVERY};
use super::ask::{AskError, Found, Reader};
use super::keep::ClosedChunk;
use super::merge;
use crate::model::SeriesSpec;
use crate::model::forest::Tier;
use crate::model::forest::tier::Fits;
use crate::score::track::Track;
use crate::score::track::again::Said;
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
        (from_ms, to_ms): (i64, i64),
        wants_band: bool,
        effort: &Effort,
    ) -> Result<Vec<Vec<Said>>, AskError> {
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
        let said = self
            .gather(of, first, last, move |windows| {
                let both = lives.into_iter().zip(windows);
                let one = |(live, chunks): (Option<Live>, Vec<ClosedChunk>)| match live {
                    Some(live) => again(&live, chunks, (from_ms, to_ms), wants_band, &own),
                    None => Ok(Vec::new()),
                };
                both.map(one).collect::<Result<Vec<_>, _>>()
            })
            .await??;
        effort
            .left
            .store(leash.0.left.load(Ordering::Relaxed), Ordering::Relaxed);
        Ok(said)
    }
}

/// What there is to score again of one series.
struct Again<'a> {
    live: &'a Live,
    samples: Vec<(i64, f64)>,
    anchors: Vec<(i64, Anchor)>,
    range: (i64, i64),
    wants_band: bool,
    effort: &'a Effort,
}

/// Where a stretch ends: the time of its last sample, and the states that it may end in.
type End = (i64, Vec<u64>);

fn again(
    live: &Live,
    chunks: Vec<ClosedChunk>,
    range: (i64, i64),
    wants_band: bool,
    effort: &Effort,
) -> Result<Vec<Said>, AskError> {
    let anchors = Anchor::among(&chunks);
    let samples = merge::in_order(chunks)
        .iter()
        .filter(|c| c.encoding == Encoding::Xor)
        .filter_map(|c| chunk::decode(&c.bytes).ok())
        .flatten()
        .collect();
    let again = Again {
        live,
        samples,
        anchors,
        range,
        wants_band,
        effort,
    };
    again.all()
}

impl Again<'_> {
    fn all(&self) -> Result<Vec<Said>, AskError> {
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
            let Some(end) = self.end(times.get(i + 1).copied()) else {
                continue;
            };
            // Where several have one time, each but the last is where the next one began.
            for (_, rules, _, state) in states.iter().filter(|(t, ..)| *t == t_ms) {
                if *rules != self.live.rules {
                    continue;
                }
                let Some(track) = Track::at_anchor(state, &fits) else {
                    continue;
                };
                if self.stretch(track, t_ms, &end, &mut said)? {
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
                Anchor::Declared(_) | Anchor::Starts(_) => None,
            })
    }

    /// The end of a stretch: the anchors of this time that have the rules of today, or the series now.
    fn end(&self, next_ms: Option<i64>) -> Option<End> {
        let Some(next_ms) = next_ms else {
            return self.live.now.map(|(t_ms, mark)| (t_ms, vec![mark]));
        };
        let rules = self.live.rules;
        let at = self
            .states()
            .filter(|(t_ms, of, ..)| *t_ms == next_ms && *of == rules);
        Some((next_ms, at.filter_map(|(_, _, before, _)| before).collect()))
    }

    /// The stretch from the birth of the series, if its first samples are there.
    fn say_from_birth(&self, until_ms: Option<i64>, said: &mut Vec<Said>) -> Result<(), AskError> {
        let Some(end) = self.end(until_ms) else {
            return Ok(());
        };
        let mut tried = Vec::new();
        for declared in &self.live.declared {
            for forest in [true, false] {
                if tried.contains(&(*declared, forest)) {
                    continue;
                }
                tried.push((*declared, forest));
                let seed = self.live.seed;
                let head = Head::of_series(seed);
                let mut track = Track::with_window(head, &self.live.spec, *declared);
                if forest {
                    track.judge_mut().give_forest(&self.live.spec, seed);
                    if track.judge().forest().is_none() {
                        continue;
                    }
                }
                if self.stretch(track, i64::MIN, &end, said)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Takes the samples after `after_ms` up to the end. True, with what is said of those that were
    /// asked for, if that is the end which there is.
    fn stretch(
        &self,
        mut track: Track,
        after_ms: i64,
        (end_ms, marks): &End,
        said: &mut Vec<Said>,
    ) -> Result<bool, AskError> {
        let (from_ms, to_ms) = self.range;
        let spec = &self.live.spec;
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
                    Anchor::State { .. } => {}
                    Anchor::Declared(declared) => drop(track.declare(spec, *declared)),
                    Anchor::Starts(at_ms) => start_ms = Some(*at_ms),
                }
            }
            let asked = (from_ms..=to_ms).contains(t_ms);
            let band = asked && self.wants_band;
            self.effort.take(if band { BAND_COST } else { 1 })?;
            let one = track.say(spec, (*t_ms, *value), start_ms, band);
            new.extend(one.filter(|_| asked));
        }
        let is_there = track.head().last_ms() == Some(*end_ms) && marks.contains(&track.mark());
        if is_there {
            said.append(&mut new);
        }
        Ok(is_there)
    }
}
