//! The forest's side of one series: what it is grown from and when it is grown anew.
//!
//! What always holds: a fit is ordered at one sample and takes effect at another, [`DELAY`] samples
//! on, whoever does it and however long that takes; no row is taken in between. So scores depend on
//! the samples before them alone, and an order that a restart interrupts is given again from the
//! same rows. The state that is written with the series is small: the rows lie elsewhere and the
//! forests, which follow from them, nowhere.

mod follow;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::follow::{Fits, Outline};
use super::random::{Random, seed};
use super::reservoir::{Changes, ChangesRef, Mark, Packed, Reservoir};
use super::seat::Seat;
use super::work::Work;
use super::{FEATURES, Forest, ForestSpec, NOT_ASKED};

/// Samples between the order of a fit and its effect: at an interval of 15 s four minutes, in which
/// a core grows 800,000 trees.
pub const DELAY: u64 = 16;

/// What happened to the forest with a sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct News {
    /// A fit was ordered: [`Tier::work`] has it.
    pub ordered: bool,
    /// A fit took effect.
    pub adopted: bool,
    /// There is none, and it would have been asked.
    pub wanted: bool,
}

/// The time of a sample, and what it is measured by.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub t_ms: i64,
    /// Usual distance between two samples, in milliseconds.
    pub interval_ms: f64,
    /// Length of a day, in milliseconds.
    pub day_ms: i64,
}

/// Why a version cannot be gone back to.
#[derive(Debug, Clone, Copy, thiserror::Error, PartialEq, Eq)]
#[error("there is no version {0}: the last five are kept")]
pub struct NoVersion(pub u32);

/// A fit that was ordered and has no effect yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    version: u32,
    /// It takes effect with the sample after so many.
    effect: u64,
}

/// The part that is written with the series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct State {
    /// Of the series.
    seed: u64,
    random: Random,
    /// Samples so far.
    n: u64,
    /// The next fit is due with so many samples; `u64::MAX`: by its time.
    due_n: u64,
    /// When the last fit was ordered.
    ordered_ms: i64,
    /// Samples for which it is still asked.
    hold: u8,
    /// Number of the newest fit; 0: none yet.
    newest: u32,
    /// Number of the fit in use; 0: none.
    current: u32,
    next: Option<Order>,
    /// A version was gone back to: no fits until one is asked for.
    pinned: bool,
    /// A fit was asked for.
    wanted: bool,
}

/// The forest of one series.
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Stored")]
pub struct Tier {
    state: State,
    reservoir: Reservoir,
    /// What a restart left to be joined with the rows.
    pending: Option<Changes>,
    /// Grown from the rows when it is first needed.
    current: Option<Arc<Work>>,
    next: Option<Arc<Work>>,
    /// When the next fit is due by its time; worked out once.
    due_ms: Option<i64>,
    /// Whose forests it uses in the place of its own, while it is scored again.
    follows: Option<Box<Fits>>,
    /// Its room in memory, where that is counted.
    seat: Option<Seat>,
}

/// A tier as it is written: without the rows that were written elsewhere.
#[derive(Debug, Deserialize)]
struct Stored {
    state: State,
    changes: Changes,
}

/// The same, borrowed for writing.
#[derive(Debug, Serialize)]
struct StoredRef<'a> {
    state: &'a State,
    changes: ChangesRef<'a>,
}

impl Serialize for Tier {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stored = StoredRef {
            state: &self.state,
            changes: self.reservoir.changes(),
        };
        stored.serialize(serializer)
    }
}

impl From<Stored> for Tier {
    fn from(stored: Stored) -> Self {
        Self {
            state: stored.state,
            reservoir: Reservoir::default(),
            pending: Some(stored.changes),
            current: None,
            next: None,
            due_ms: None,
            follows: None,
            seat: None,
        }
    }
}

impl Tier {
    /// A forest that has seen nothing. `series` is the same for a series wherever it lives.
    pub fn new(spec: &ForestSpec, series: u64) -> Self {
        let series = seed(series, spec.seed);
        Self {
            state: State {
                seed: series,
                random: Random::new(series),
                n: 0,
                due_n: u64::from(spec.min_points),
                ordered_ms: i64::MIN,
                hold: 0,
                newest: 0,
                current: 0,
                next: None,
                pinned: false,
                wanted: false,
            },
            reservoir: Reservoir::default(),
            pending: None,
            current: None,
            next: None,
            due_ms: None,
            follows: None,
            seat: None,
        }
    }

    /// A forest for the same series that has seen nothing: what the series is has changed.
    pub fn afresh(&mut self, spec: &ForestSpec) -> Self {
        let mut tier = Self::new(spec, 0);
        tier.state.seed = self.state.seed;
        tier.state.random = Random::new(self.state.seed);
        tier.seat = self.seat.take();
        tier
    }

    /// What the forest says of a sample with always-on evidence `a`, from state that does not
    /// contain it: 0..=1, [`NOT_ASKED`] if the gate is closed, `None` while there is no forest.
    pub fn score(
        &mut self,
        spec: &ForestSpec,
        a: f32,
        interval_ms: f64,
        x: &[f32; FEATURES],
    ) -> Option<f32> {
        self.begin(spec);
        let score = self.peek(spec, a, interval_ms, x);
        self.state.hold = if a >= spec.gate {
            spec.hold
        } else {
            self.state.hold.saturating_sub(1)
        };
        score
    }

    /// What [`Tier::score`] would say of a sample.
    pub fn peek(
        &self,
        spec: &ForestSpec,
        a: f32,
        interval_ms: f64,
        x: &[f32; FEATURES],
    ) -> Option<f32> {
        let forest = self.forest()?;
        let asked = a >= spec.gate || self.state.hold > 0 || interval_ms >= spec.always_from_ms;
        Some(if asked { forest.score(x) } else { NOT_ASKED })
    }

    /// A fit that is due with the next sample takes effect.
    fn begin(&mut self, spec: &ForestSpec) {
        self.take_effect(spec);
        if self.state.current != 0 && self.current.is_none() {
            self.current = self.again(spec, self.state.current);
        }
    }

    /// The forest for the next sample, from state that does not contain it; `None` before the first.
    pub fn forest(&self) -> Option<&Forest> {
        self.current.as_ref()?.forest()
    }

    /// Takes a sample that was scored.
    pub fn absorb(&mut self, spec: &ForestSpec, at: Moment, x: &[f32; FEATURES]) -> News {
        let state = &mut self.state;
        state.n += 1;
        if state.next.is_some() {
            let adopted = self.is_due_for_effect();
            return News {
                adopted,
                ..News::default()
            };
        }
        let memory = (spec.past_ms / at.interval_ms.max(1.0)).max(1.0);
        let kept = (spec.rows, memory);
        self.reservoir.offer(x, state.n, kept, &mut state.random);
        let ordered = self.is_due(spec, at);
        if ordered {
            self.order(spec, at);
        }
        News {
            ordered,
            ..News::default()
        }
    }

    /// The sample after this one is the first for which the new forest counts.
    fn is_due_for_effect(&self) -> bool {
        self.state.next.is_some_and(|o| self.state.n >= o.effect)
    }

    fn take_effect(&mut self, spec: &ForestSpec) {
        if !self.is_due_for_effect() {
            return;
        }
        let Some(order) = self.state.next.take() else {
            return;
        };
        let work = self.next.take().or_else(|| self.again(spec, order.version));
        // One that failed leaves the forest before it in use.
        if let Some(work) = work.filter(|w| w.forest().is_some()) {
            self.state.current = order.version;
            self.current = Some(work);
        }
    }

    fn is_due(&mut self, spec: &ForestSpec, at: Moment) -> bool {
        let state = &self.state;
        if state.wanted {
            return true;
        }
        if state.pinned {
            return false;
        }
        if state.due_n != u64::MAX {
            return state.n >= state.due_n;
        }
        let due_ms = *self
            .due_ms
            .get_or_insert_with(|| spec.schedule.after(state.ordered_ms, at.day_ms, state.seed));
        at.t_ms >= due_ms
    }

    fn order(&mut self, spec: &ForestSpec, at: Moment) {
        let state = &mut self.state;
        state.newest += 1;
        state.wanted = false;
        state.pinned = false;
        state.ordered_ms = at.t_ms;
        self.due_ms = None;
        // One that was asked for early is not the first.
        let doubled = (2 * state.n).max(u64::from(spec.min_points));
        let within_a_day = doubled as f64 * at.interval_ms < at.day_ms as f64;
        state.due_n = if within_a_day { doubled } else { u64::MAX };
        state.next = Some(Order {
            version: state.newest,
            effect: state.n + DELAY,
        });
        let version = state.newest;
        self.reservoir.mark(version, at.t_ms);
        self.next = self.again(spec, version);
    }

    /// The fit of a version, from its rows.
    fn again(&self, spec: &ForestSpec, version: u32) -> Option<Arc<Work>> {
        if let Some(fits) = &self.follows {
            let newest = version == self.state.newest;
            return fits.get(version, newest.then_some(self.state.ordered_ms));
        }
        let rows = self.reservoir.rows_at(version)?;
        let seed = seed(self.state.seed, u64::from(version));
        Some(Arc::new(Work::new(rows, spec, seed)))
    }

    /// A fit that may be done elsewhere meanwhile: one that was ordered, or that of the forest in use
    /// after a restart.
    pub fn work(&mut self, spec: &ForestSpec) -> Option<Arc<Work>> {
        if let Some(order) = self.state.next
            && self.next.is_none()
        {
            self.next = self.again(spec, order.version);
        }
        if self.state.current != 0 && self.current.is_none() {
            self.current = self.again(spec, self.state.current);
        }
        let both = self.next.iter().chain(&self.current);
        both.filter(|w| !w.is_done()).map(Arc::clone).next()
    }

    /// True if [`Tier::work`] has something to do.
    pub fn has_work(&self) -> bool {
        let waits = |work: &Option<Arc<Work>>| work.as_ref().is_none_or(|w| !w.is_done());
        (self.state.next.is_some() && waits(&self.next))
            || (self.state.current != 0 && waits(&self.current))
    }

    /// Orders a fit with the next sample, and gives up a version that was gone back to.
    pub fn request(&mut self) {
        self.state.wanted = true;
    }

    /// Orders no more fits until one is asked for, or orders them again as they are due.
    pub fn pin(&mut self, yes: bool) {
        self.state.pinned = yes;
    }

    /// True if no fits are ordered until one is asked for.
    pub fn is_pinned(&self) -> bool {
        self.state.pinned
    }

    /// Uses an earlier version from the next sample on, until a fit is asked for.
    ///
    /// # Errors
    /// If it is none of the last five.
    pub fn go_back(&mut self, spec: &ForestSpec, version: u32) -> Result<(), NoVersion> {
        let work = self.again(spec, version).ok_or(NoVersion(version))?;
        self.state.current = version;
        self.state.next = None;
        self.state.pinned = true;
        self.state.wanted = false;
        self.current = Some(work);
        self.next = None;
        Ok(())
    }

    /// Rows that it holds.
    pub fn rows(&self) -> usize {
        self.reservoir.len()
    }

    /// Takes its seat.
    pub fn sit(&mut self, seat: Seat) {
        self.seat = Some(seat);
    }

    /// Gives up its seat, to a forest that takes its place.
    pub fn stand(&mut self) -> Option<Seat> {
        self.seat.take()
    }

    pub fn is_seated(&self) -> bool {
        self.seat.is_some()
    }

    /// The version in use; `None` before the first fit.
    pub fn version(&self) -> Option<u32> {
        (self.state.current != 0).then_some(self.state.current)
    }

    /// The version in use, and the time of the sample at which it was ordered.
    pub fn in_use(&self) -> Option<(u32, i64)> {
        let version = self.version()?;
        let own = || self.versions().find(|m| m.version == version).copied();
        let mark = match &self.follows {
            Some(fits) => fits.mark(version),
            None => own(),
        };
        Some((version, mark?.t_ms))
    }

    /// The fit of the version in use, if it is done.
    pub fn fit(&self) -> Option<&Work> {
        self.current.as_deref().filter(|work| work.is_done())
    }

    /// The number of the newest fit that was ordered; 0: none yet.
    pub fn newest(&self) -> u32 {
        self.state.newest
    }

    /// The versions that can be gone back to, oldest first.
    pub fn versions(&self) -> impl Iterator<Item = &Mark> {
        self.reservoir.marks()
    }

    /// The rows for the disk, if they have to be written again, or if they are `wanted`.
    pub fn whole(&mut self, wanted: bool) -> Option<Vec<u8>> {
        self.reservoir.whole(wanted)
    }

    /// True if the rows, but for those in the state, have been written whole before.
    pub fn is_written(&self) -> bool {
        self.reservoir.is_written()
    }

    /// The rows were not written after all.
    pub fn not_written(&mut self) {
        self.reservoir.not_written();
    }

    /// Brings the rows back after the rest. False if they are lost: then it starts afresh.
    pub fn restore(&mut self, spec: &ForestSpec, whole: Option<&[u8]>) -> bool {
        let Some(changes) = self.pending.take() else {
            return true;
        };
        match Reservoir::restore(whole, changes) {
            Some(reservoir) => {
                self.reservoir = reservoir;
                true
            }
            None => {
                let newest = self.state.newest;
                *self = self.afresh(spec);
                self.state.newest = newest;
                false
            }
        }
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        let forests = self.current.iter().chain(&self.next);
        let grown = forests.filter(|w| w.is_done()).filter_map(|w| w.forest());
        size_of::<Self>() + self.reservoir.bytes() + grown.map(Forest::bytes).sum::<usize>()
    }
}
