//! Forests of the series of a shard: who has one, and the handing over of fits.
//!
//! While there is room every series that may have a forest has one, from its first sample on. Beyond
//! that, one that asks twice as often as the least asking one takes its place, one at a time in each
//! round of ticks; one that a rule names takes it at once. What always holds: as long as there is
//! room, what a series is given depends on nothing but itself.

use super::Shard;
use super::histogram::{STATS, StatPlace};
use crate::config::ForestUse;
use crate::engine::keep::{Appendix, GroupId};
use crate::engine::state::{Member, State};
use crate::engine::table::Home;
use crate::model::SeriesSpec;
use crate::model::forest::Tier;
use crate::model::forest::tier::News;
use crate::score::judge::Judge;
use crate::series::fingerprint::fingerprint;

/// Whose place somebody may take: that of the series that asks least.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weakest {
    holder: Holder,
    asks: f32,
}

/// A series with a forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    Tracked(u32),
    Stat(StatPlace),
}

/// Share of samples for which a series must ask, at least, to be worth another's forest.
const ASKS_MIN: f32 = 0.002;

impl Shard {
    /// Gives a series that comes into memory a seat for the forest that it has or may have. `seed` is
    /// the same for a series wherever it lives.
    pub(super) fn seat(&self, judge: &mut Judge, spec: &SeriesSpec, seed: u64) {
        if spec.forest.wanted == ForestUse::Never {
            judge.take_forest();
            return;
        }
        if judge.forest().is_some_and(|tier| tier.is_seated()) {
            return;
        }
        match self.parts.seats.claim() {
            Some(seat) => {
                judge.give_forest(spec, seed);
                if let Some(tier) = judge.forest_mut() {
                    tier.sit(seat);
                }
            }
            None => drop(judge.take_forest()),
        }
    }

    /// Hears of the forest of a series after each of its samples.
    #[inline]
    pub(super) fn hear_of_forest(
        &mut self,
        holder: Holder,
        news: News,
        seed: impl Fn(&Self) -> u64,
    ) {
        if news == News::default() {
            return;
        }
        if news.adopted {
            self.tally.trained += 1;
        }
        if news.ordered {
            self.hand_over_fit(holder);
        }
        if news.wanted {
            self.contest(holder, seed(self));
        }
    }

    /// Offers a fit of this series to the trainers, if it has one to be done.
    pub(super) fn hand_over_fit(&mut self, holder: Holder) {
        let Some(trainers) = self.parts.trainers.clone() else {
            return;
        };
        let Some((judge, spec)) = self.judge_of(holder) else {
            return;
        };
        let Some(tier) = judge.forest_mut() else {
            return;
        };
        if let Some(work) = tier.work(&spec.forest) {
            let version = tier.newest();
            let series = self.fingerprint_of(holder).unwrap_or_default();
            trainers.offer(work, series, version);
        }
    }

    /// The fingerprint of the labels of a series with a judge.
    fn fingerprint_of(&self, holder: Holder) -> Option<u64> {
        match holder {
            Holder::Tracked(n) => {
                let slot = self.tracked.get(n)?;
                let group = self.groups.get(slot.group);
                let at = (*group.members.get(usize::from(slot.position))?)?;
                Some(self.table.fingerprint(at))
            }
            Holder::Stat((h, i)) => {
                let place = self.histograms.get(h)?.stat_labels(i)?;
                Some(fingerprint(self.table.kept_labels(place)))
            }
        }
    }

    /// A series without a forest would have asked one.
    fn contest(&mut self, holder: Holder, seed: u64) {
        let Some((judge, spec)) = self.judge_of(holder) else {
            return;
        };
        let (asks, wanted) = (judge.asks(), spec.forest.wanted);
        let full = self.parts.seats.used() >= self.parts.seats.max();
        if full && let Some(weakest) = self.weakest {
            let named = wanted == ForestUse::Always;
            if named || asks > (2.0 * weakest.asks).max(ASKS_MIN) {
                self.weakest = None;
                let before = self.mark_of(weakest.holder);
                if let Some((judge, _)) = self.judge_of(weakest.holder) {
                    judge.take_forest();
                }
                self.anchor_after(weakest.holder, before);
            }
        }
        let seat = self.parts.seats.claim();
        // Few get one.
        let before = seat.as_ref().and_then(|_| self.mark_of(holder));
        if let Some((judge, spec)) = self.judge_of(holder)
            && let Some(seat) = seat
        {
            judge.give_forest(spec, seed);
            if let Some(tier) = judge.forest_mut() {
                tier.sit(seat);
            }
        }
        self.anchor_after(holder, before);
    }

    /// Looks at the forest of a series once in a round of ticks.
    pub(super) fn look_at_forest(&mut self, holder: Holder) {
        let Some((judge, spec)) = self.judge_of(holder) else {
            return;
        };
        let Some(tier) = judge.forest() else {
            return;
        };
        let (asks, auto) = (judge.asks(), spec.forest.wanted == ForestUse::Auto);
        let has_work = tier.has_work();
        let weaker = |w: Weakest| w.holder == holder || asks < w.asks;
        if auto && self.weakest.is_none_or(weaker) {
            self.weakest = Some(Weakest { holder, asks });
        }
        if has_work {
            self.hand_over_fit(holder);
        }
    }

    pub(super) fn judge_of(&mut self, holder: Holder) -> Option<(&mut Judge, &SeriesSpec)> {
        match holder {
            Holder::Tracked(n) => {
                let slot = self.tracked.get_mut(n)?;
                Some((slot.track.judge_mut(), self.parts.specs.get(slot.spec)))
            }
            Holder::Stat((h, i)) => {
                let (judge, spec) = self.histograms.get_mut(h)?.judge_mut(i)?;
                Some((judge, self.parts.specs.get(spec)))
            }
        }
    }

    /// Does something with the judge of a series that has one of its own.
    pub(in crate::engine) fn with_judge<T>(
        &mut self,
        canonical: &[u8],
        what: impl FnOnce(&mut Judge, &SeriesSpec) -> T,
    ) -> Option<T> {
        let at = self.table.peek(fingerprint(canonical), canonical)?;
        let Home::Tracked(n) = self.table.home(at) else {
            return None;
        };
        let before = self.mark_of(Holder::Tracked(n));
        let done = self
            .judge_of(Holder::Tracked(n))
            .map(|(judge, spec)| what(judge, spec));
        self.anchor_after(Holder::Tracked(n), before);
        if let Some(slot) = self.tracked.get(n) {
            self.groups.get_mut(slot.group).dirty = true;
        }
        done
    }

    /// Forests of all shards that share the room for them.
    pub fn forests_seated(&self) -> u32 {
        self.parts.seats.used()
    }

    /// Remembers what is to be joined with a group that will be restored next.
    pub fn expect_appendices(&mut self, id: GroupId, appendices: Vec<Appendix>) {
        if !appendices.is_empty() {
            self.appendices_of.insert(id, appendices);
        }
    }

    /// Gives the forests of a stored series their rows back.
    pub(super) fn rejoin(&self, member: &mut Member, appendices: &[Appendix], position: u16) {
        let spec = &self.parts.specs.resolve(&member.labels).forest;
        let rejoin = |part: u8, judge: &mut Judge| {
            let Some(tier) = judge.forest_mut() else {
                return;
            };
            let of = (position, part);
            let whole = appendices.iter().find(|a| (a.position, a.part) == of);
            if !tier.restore(spec, whole.map(|a| &*a.bytes)) {
                tracing::warn!("the rows of a forest are lost: it is grown from new ones");
            }
        };
        match &mut member.state {
            State::Tracked(track) => rejoin(FLOATS, track.judge_mut()),
            // What a sleeper has is all in its state.
            State::Plain(_) | State::Asleep(_) => {}
            State::Histogram(histogram) => {
                for (part, judge) in histogram.judges_mut() {
                    rejoin(part, judge);
                }
            }
        }
    }

    /// The rows of forests in a group that have to be written again, or all of them; and what is no
    /// more.
    pub(super) fn appendices(&mut self, group: u32, whole: bool) -> Vec<Appendix> {
        let mut given = Vec::new();
        let mut gone = self.groups.get(group).appendices.clone();
        self.each_forest(group, |position, part, tier| {
            gone.remove(&(position, part));
            let bytes = tier.whole(whole && tier.is_written());
            given.extend(bytes.map(|bytes| Appendix {
                position,
                part,
                bytes,
            }));
        });
        let had = &mut self.groups.get_mut(group).appendices;
        had.extend(given.iter().map(|a| (a.position, a.part)));
        for (position, part) in gone {
            had.remove(&(position, part));
            given.push(Appendix {
                position,
                part,
                bytes: Vec::new(),
            });
        }
        given
    }

    /// What [`Shard::appendices`] gave for this group was not handed over.
    pub(super) fn appendices_not_written(&mut self, group: u32) {
        self.each_forest(group, |_, _, tier| tier.not_written());
    }

    fn each_forest(&mut self, group: u32, mut visit: impl FnMut(u16, u8, &mut Tier)) {
        let members = self.groups.get(group).members.clone();
        for (position, at) in (0..).zip(members) {
            let (floats, h) = match at.map(|at| self.table.home(at)) {
                Some(Home::Tracked(n)) => (Some(n), None),
                Some(Home::Histogram(h)) => {
                    (self.histograms.get(h).and_then(|s| s.floats), Some(h))
                }
                Some(Home::Plain(_) | Home::Asleep(_) | Home::Nowhere) | None => (None, None),
            };
            let floats = floats.map(|n| (FLOATS, Holder::Tracked(n)));
            let stats = h.into_iter().flat_map(|h| {
                (0..STATS).map(move |i| (FLOATS + 1 + i as u8, Holder::Stat((h, i))))
            });
            for (part, holder) in floats.into_iter().chain(stats) {
                if let Some((judge, _)) = self.judge_of(holder)
                    && let Some(tier) = judge.forest_mut()
                {
                    visit(position, part, tier);
                }
            }
        }
    }
}

/// The part of a series that its own samples are; those of a histogram's statistics follow.
const FLOATS: u8 = 0;
