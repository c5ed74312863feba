//! Births that wait for their history, and the taking of it.
//!
//! A series is rebuilt beside the one that takes live samples: from its history, then from its live
//! samples as they lie in the window, a slice at a time; when it has caught up it takes the other's
//! place between two batches. What always holds: the rebuilt series is what it would be if all those
//! samples had come live (but for start timestamps, which no window keeps).

mod build;

use std::collections::VecDeque;

use self::build::Build;
use super::Shard;
use crate::engine::history::{Given, History, Unit};
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::series::family;
use crate::series::fingerprint::fingerprint;
use crate::series::{kind, labels};

/// A series is given out for its history this long after its birth, in milliseconds: its relatives
/// may come in other requests.
const REST_MS: i64 = 10_000;
/// Births beyond twice the series that there are, and these, are looked through for dead ones.
const BIRTHS_SPARE: usize = 1024;

/// A series that was born.
#[derive(Debug, Clone, Copy)]
pub(super) struct Birth {
    group: u32,
    position: u16,
    born_ms: i64,
}

/// Histories on their way into their series.
#[derive(Debug)]
pub struct Warming {
    /// Series that stop waiting when all is done.
    members: Vec<Box<[u8]>>,
    units: VecDeque<Vec<History>>,
    plant: bool,
    build: Option<Box<Build>>,
    given: Given,
}

impl Warming {
    /// `history` of any series; those that belong together are rebuilt together.
    pub fn new(members: Vec<Box<[u8]>>, history: Vec<History>, plant: bool) -> Self {
        let mut homes: Vec<(u64, History)> = history
            .into_iter()
            .map(|h| (family::home(&h.labels), h))
            .collect();
        // Buckets come first in their family: `_b` is before `_c` and `_s`.
        homes.sort_by(|(a, x), (b, y)| (a, &x.labels).cmp(&(b, &y.labels)));
        let mut units: VecDeque<Vec<History>> = VecDeque::new();
        let mut last = None;
        for (home, history) in homes {
            match units.back_mut().filter(|_| last == Some(home)) {
                Some(unit) => unit.push(history),
                None => units.push_back(vec![history]),
            }
            last = Some(home);
        }
        Self {
            members,
            units,
            plant,
            build: None,
            given: Given::Gone,
        }
    }
}

impl Shard {
    /// Remembers that a series is new and has no history yet.
    pub(super) fn remember_birth(&mut self, at: u32, (group, position): (u32, u16), now_ms: i64) {
        if !self.parts.wants_history {
            return;
        }
        let histogram = self.histogram_of(at);
        if histogram.is_some_and(|h| self.histograms.get(h).is_some_and(|s| s.given)) {
            return;
        }
        self.births.push_back(Birth {
            group,
            position,
            born_ms: now_ms,
        });
        if self.births.len() > 2 * self.table.len() + BIRTHS_SPARE {
            let births = std::mem::take(&mut self.births);
            let lives = |b: &Birth| self.member(b.group, b.position).is_some();
            self.births = births.into_iter().filter(lives).collect();
        }
        self.set_waits(at, true);
        if let Some(h) = histogram {
            self.histogram_waits(h, true);
        }
    }

    /// There is no history any more for those that were born and not given out.
    pub(super) fn forget_births(&mut self) {
        for birth in std::mem::take(&mut self.births) {
            if let Some(at) = self.member(birth.group, birth.position) {
                self.set_waits(at, false);
                if let Some(h) = self.histogram_of(at) {
                    self.histogram_waits(h, false);
                }
                self.groups.get_mut(birth.group).dirty = true;
            }
        }
        self.publish();
    }

    /// A restored series waits for its history as it did before; asked for once more.
    pub(super) fn wait_again(&mut self, at: u32, (group, position): (u32, u16), born_ms: i64) {
        self.births.push_back(Birth {
            group,
            position,
            born_ms,
        });
        self.set_waits(at, true);
    }

    /// The histogram that a series is, or is part of.
    fn histogram_of(&self, at: u32) -> Option<u32> {
        match self.table.home(at) {
            Home::Plain(n) => self.plain.get(n)?.part.map(|(h, _)| h),
            Home::Histogram(h) => Some(h),
            Home::Tracked(_) | Home::Asleep(_) | Home::Nowhere => None,
        }
    }

    /// Counts a series as waiting for its history, or as not.
    pub(super) fn set_waits(&mut self, at: u32, waits: bool) {
        match self.table.home(at) {
            Home::Tracked(n) => {
                let Some(slot) = self.tracked.get_mut(n) else {
                    return;
                };
                slot.waits = waits;
                let shown = if slot.track.ended() {
                    Shown::ended()
                } else {
                    let phase = slot.track.phase(self.parts.specs.get(slot.spec));
                    Shown::of(phase, slot.track.alarm())
                };
                self.tally.show(&mut slot.shown, shown.waiting(waits));
            }
            Home::Plain(n) => {
                if let Some(slot) = self.plain.get_mut(n) {
                    slot.waits = waits;
                    self.tally
                        .show(&mut slot.shown, Shown::window().waiting(waits));
                }
            }
            Home::Histogram(h) => self.histogram_waits(h, waits),
            Home::Asleep(_) | Home::Nowhere => {}
        }
    }

    /// Up to `limit` units that were born and not given out yet.
    pub fn wanting(&mut self, limit: usize, now_ms: i64) -> Vec<Unit> {
        let mut units = Vec::new();
        while units.len() < limit
            && let Some(birth) = self.births.front().copied()
            && now_ms.saturating_sub(birth.born_ms) >= REST_MS
        {
            self.births.pop_front();
            let Some(at) = self.member(birth.group, birth.position) else {
                continue;
            };
            let members = match self.histogram_of(at) {
                Some(h) => self.give_out(h),
                None => vec![self.table.labels(at).into()],
            };
            if !members.is_empty() {
                units.push(Unit { members, shard: 0 });
            }
        }
        units
    }

    /// The labels of all that feeds a histogram, the first time.
    fn give_out(&mut self, h: u32) -> Vec<Box<[u8]>> {
        let Some(slot) = self.histograms.get_mut(h) else {
            return Vec::new();
        };
        if std::mem::replace(&mut slot.given, true) {
            return Vec::new();
        }
        let own = (slot.native.is_some() || slot.floats.is_some()).then_some(slot.at);
        slot.parts
            .iter()
            .copied()
            .chain(own)
            .map(|at| self.table.labels(at).into())
            .collect()
    }

    /// Does one slice of the work; gives the end of it. [`Shard::urgent_partitions`] are to be handed over
    /// before the next slice.
    pub fn warm(&mut self, warming: &mut Warming, now_ms: i64) -> Option<Given> {
        if warming.build.is_none()
            && let Some(unit) = warming.units.pop_front()
        {
            if warming.plant {
                self.plant(&unit, now_ms);
            }
            let known = unit
                .iter()
                .filter_map(|h| self.table.peek(fingerprint(&h.labels), &h.labels));
            let known: Vec<u32> = known.collect();
            self.wake(&known);
            match Build::new(self, unit) {
                Ok(build) => warming.build = Some(Box::new(build)),
                Err(given) => warming.given = warming.given.and(given),
            }
        }
        if let Some(build) = &mut warming.build {
            if build.step(self) {
                let given = build.finish(self, now_ms);
                warming.given = warming.given.and(given);
                warming.build = None;
                self.publish();
            }
            return None;
        }
        if !warming.units.is_empty() {
            return None;
        }
        for labels in &warming.members {
            let Some(at) = self.table.peek(fingerprint(labels), labels) else {
                continue;
            };
            self.set_waits(at, false);
            let histogram = self.histogram_of(at);
            if let Some(h) = histogram {
                self.histogram_waits(h, false);
            }
            // That it waits no more is to be written, whatever came of it.
            let own = match self.table.home(at) {
                Home::Tracked(n) => self.tracked.get(n).map(|s| s.group),
                Home::Plain(n) => self.plain.get(n).map(|s| s.group),
                Home::Histogram(_) | Home::Asleep(_) | Home::Nowhere => None,
            };
            let histogram = histogram
                .and_then(|h| self.histograms.get(h))
                .map(|s| s.group);
            for group in own.into_iter().chain(histogram) {
                self.groups.get_mut(group).dirty = true;
            }
        }
        self.publish();
        Some(warming.given)
    }

    /// Makes the series of a unit that are not known.
    fn plant(&mut self, unit: &[History], now_ms: i64) {
        for history in unit {
            let canonical = &*history.labels;
            let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
            let fp = fingerprint(canonical);
            if name.is_empty()
                || kind::is_own(name.as_bytes())
                || self.table.peek(fp, canonical).is_some()
            {
                continue;
            }
            let waits = std::mem::replace(&mut self.parts.wants_history, false);
            if history.histograms.is_empty() {
                self.birth(fp, canonical, kind::never_modelled(name.as_bytes()), now_ms);
            } else {
                self.birth_native(fp, canonical, now_ms);
            }
            self.parts.wants_history = waits;
        }
    }
}
