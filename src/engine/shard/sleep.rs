//! Series that fell idle: their states are put on disk and come back with their next sample.
//!
//! A sleeping series keeps its labels, its place and the time of its newest sample, some hundred bytes
//! beside its labels. Its open chunk is finished when it falls asleep, so that all its samples are where
//! finished chunks are. What always holds: its state leaves memory only when the store has it on disk;
//! it wakes before its next sample is taken, as a restart would bring it back, so its scores are, byte
//! for byte, those of a series that never slept. A forest sleeps with its series: the rows that it grows
//! from are part of the state then, and its seat is free for others meanwhile. Series that wait for
//! their history, histograms and their parts stay awake.

use std::sync::Arc;

use super::keeping::Stray;
use super::{SILENT_MIN_MS, Shard, closed};
use crate::engine::groups::CLOSED_MAX;
use crate::engine::keep::{GroupId, SleeperState, Sleepers, Sleeping};
use crate::engine::state::{self, Member, Sleeper, StateRef};
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::window::head::Head;

/// Series that are put to sleep in one tick: some milliseconds' work, whatever there is to do ...
const SLEEPS_A_TICK: u32 = 1024;
/// ... where one with a forest counts as so many: its rows are 24 KiB.
const SLEEPS_OF_FOREST: u32 = 16;

/// How idle series are put to sleep.
#[derive(Debug, Clone)]
pub struct Sleep {
    /// Who gives their states back.
    pub store: Arc<dyn Sleepers>,
    /// After how long without a sample, in milliseconds.
    pub idle_ms: i64,
}

/// One sleeping series.
#[derive(Debug)]
pub(super) struct Asleep {
    pub(super) group: u32,
    pub(super) position: u16,
    pub(super) sleeper: Sleeper,
    shown: Shown,
    /// Wall clock of its newest sample.
    arrived_ms: i64,
    /// Its state, until the store has it.
    pub(super) state: Option<Arc<Sleeping>>,
}

impl Shard {
    /// How long a series may be idle now: less when memory is short.
    fn idle_ms(&self) -> Option<i64> {
        let sleep = self.parts.sleep.as_ref()?;
        Some(match self.parts.budget.has_room() {
            true => sleep.idle_ms,
            false => sleep.idle_ms.min(SILENT_MIN_MS as i64),
        })
    }

    fn may_sleep(&self, group: u32, arrived_ms: i64, now_ms: i64) -> bool {
        self.slept < SLEEPS_A_TICK
            && self
                .idle_ms()
                .is_some_and(|idle| now_ms.saturating_sub(arrived_ms) > idle)
            // The store takes what is finished.
            && self.groups.get(group).closed.len() < CLOSED_MAX / 2
    }

    /// Puts a series with a model to sleep if it is idle.
    pub(super) fn lull_tracked(&mut self, at: u32, n: u32, now_ms: i64) {
        let Some(slot) = self.tracked.get_mut(n) else {
            return;
        };
        let (group, position, arrived_ms) = (slot.group, slot.position, slot.arrived_ms);
        if slot.waits || !self.may_sleep(group, arrived_ms, now_ms) {
            return;
        }
        self.anchor_on(n);
        let Some(slot) = self.tracked.get_mut(n) else {
            return;
        };
        let finished = slot.track.cut();
        let last_ms = slot.track.head().last_ms();
        if let Some(forest) = slot.track.judge_mut().forest_mut() {
            // Its rows go with the rest: the next cut removes them from where they were.
            forest.not_written();
            self.slept += SLEEPS_OF_FOREST - 1;
        }
        let state = state::encode_sleeper(&StateRef::Tracked(&slot.track));
        if let Some(chunk) = finished {
            self.close(group, closed(position, chunk));
        }
        if let Ok(state) = state {
            self.take_tracked(at, n);
            let sleeper = Sleeper {
                last_ms,
                plain: false,
            };
            self.lay_down(at, (group, position), sleeper, arrived_ms, Some(state));
        }
    }

    /// The same of a series without one.
    pub(super) fn lull_plain(&mut self, at: u32, n: u32, now_ms: i64) {
        let Some(slot) = self.plain.get(n) else {
            return;
        };
        let (group, position, arrived_ms) = (slot.group, slot.position, slot.arrived_ms);
        if slot.waits || slot.part.is_some() || !self.may_sleep(group, arrived_ms, now_ms) {
            return;
        }
        let Some(slot) = self.plain.get_mut(n) else {
            return;
        };
        let finished = slot.head.cut();
        let last_ms = slot.head.last_ms();
        let state = state::encode_sleeper(&StateRef::Plain(&slot.head));
        if let Some(chunk) = finished {
            self.close(group, closed(position, chunk));
        }
        if let Ok(state) = state
            && let Some(mut slot) = self.plain.remove(n)
        {
            self.tally.show(&mut slot.shown, Shown::default());
            let sleeper = Sleeper {
                last_ms,
                plain: true,
            };
            self.lay_down(at, (group, position), sleeper, arrived_ms, Some(state));
        }
    }

    /// Gives a sleeping series its place; without a state if the store has it.
    pub(super) fn lay_down(
        &mut self,
        at: u32,
        (group, position): (u32, u16),
        sleeper: Sleeper,
        arrived_ms: i64,
        state: Option<Vec<u8>>,
    ) {
        let fresh = state.is_some();
        let mut slot = Asleep {
            group,
            position,
            sleeper,
            shown: Shown::default(),
            arrived_ms,
            state: state.map(|bytes| Arc::new(Sleeping::new(bytes))),
        };
        self.tally.show(&mut slot.shown, Shown::asleep());
        let n = self.asleep.insert(slot);
        self.table.settle(at, Home::Asleep(n));
        if fresh {
            self.slept += 1;
            self.tally.slept += 1;
            self.groups.get_mut(group).dirty = true;
        }
    }

    /// Lets go of the state of a series once the store has it; forgets one long gone.
    pub(super) fn look_at_sleeper(&mut self, at: u32, n: u32, now_ms: i64) {
        let Some(slot) = self.asleep.get_mut(n) else {
            return;
        };
        if slot.state.as_ref().is_some_and(|s| s.is_on_disk()) {
            slot.state = None;
        }
        if self
            .asleep
            .get(n)
            .is_some_and(|slot| self.is_long_ago(slot.arrived_ms, now_ms))
        {
            self.forget_sleeper(at, n);
        }
    }

    pub(super) fn forget_sleeper(&mut self, at: u32, n: u32) {
        if let Some(mut slot) = self.asleep.remove(n) {
            self.tally.show(&mut slot.shown, Shown::default());
            self.vacate(at, slot.group, slot.position, 1);
        }
    }

    /// What the store is to be told of the members of a group that sleep.
    pub(super) fn sleepers(&self, group: u32) -> (u128, Vec<SleeperState>) {
        let (mut asleep, mut states) = (0, Vec::new());
        for (position, at) in self.groups.get(group).members.iter().enumerate() {
            let Some(Home::Asleep(n)) = at.map(|at| self.table.home(at)) else {
                continue;
            };
            if let Some(slot) = self.asleep.get(n) {
                asleep |= 1 << position;
                states.extend(slot.state.clone().map(|state| (position as u16, state)));
            }
        }
        (asleep, states)
    }

    /// Wakes the series of the batch at hand.
    pub(super) fn wake_all(&mut self) {
        if !self.waking.is_empty() {
            let mut waking = std::mem::take(&mut self.waking);
            waking.sort_unstable();
            waking.dedup();
            self.wake(&waking);
            waking.clear();
            self.waking = waking;
        }
    }

    /// Brings back those of these series that sleep, as a restart would. One whose state cannot be read
    /// begins afresh.
    pub(super) fn wake(&mut self, all: &[u32]) {
        let mut wanted: Vec<(GroupId, u16)> = Vec::new();
        let mut waking = Vec::new();
        for at in all {
            let Home::Asleep(n) = self.table.home(*at) else {
                continue;
            };
            let Some(mut slot) = self.asleep.remove(n) else {
                continue;
            };
            self.tally.show(&mut slot.shown, Shown::default());
            if slot.state.is_none() {
                wanted.push((self.groups.get(slot.group).id, slot.position));
            }
            waking.push((*at, slot));
        }
        let mut read = self.read_sleepers(&wanted).into_iter();
        for (at, mut slot) in waking {
            let state = match slot.state.take() {
                Some(state) => Some(state.bytes().to_vec()),
                None => read.next().flatten(),
            };
            let state = state.and_then(|state| state::decode_sleeper(&state).ok());
            let place = (slot.group, slot.position);
            self.groups.get_mut(slot.group).dirty = true;
            self.tally.woken += 1;
            match state {
                Some(state) => {
                    let mut member = Member {
                        labels: self.table.labels(at).to_vec(),
                        state,
                        waits: false,
                    };
                    // The rows of its forest, if it has one, are in its state.
                    self.rejoin(&mut member, &[], slot.position);
                    self.put_stored(at, place, Stray::new(member, slot.arrived_ms));
                }
                None => {
                    self.parts.metrics.store_errors.inc();
                    if slot.sleeper.plain {
                        self.put_plain(at, place, Head::new(), slot.arrived_ms);
                    } else {
                        let spec = self.parts.specs.find(self.table.labels(at));
                        self.add_tracked(at, place, spec, slot.arrived_ms);
                    }
                }
            }
        }
    }

    fn read_sleepers(&self, wanted: &[(GroupId, u16)]) -> Vec<Option<Vec<u8>>> {
        if wanted.is_empty() {
            return Vec::new();
        }
        let read = match &self.parts.sleep {
            Some(sleep) => sleep.store.states(wanted),
            None => Err("there is no store".to_owned()),
        };
        read.unwrap_or_else(|why| {
            tracing::warn!(series = wanted.len(), %why, "sleeping series cannot be read and begin afresh");
            vec![None; wanted.len()]
        })
    }
}
