//! The statistics of a histogram, as holders of forests: one judge each, known by its labels.

use super::super::Shard;
use super::super::forest::Holder;
use super::{LABEL, NAMES, Slot, StatSlot};
use crate::engine::tally::Shown;
use crate::score::judge::Judge;
use crate::series::family;
use crate::series::fingerprint::fingerprint;
use crate::series::label_store::Place;

impl Slot {
    /// True if a statistic has a forest, or is yet to come and may have one.
    pub(super) fn has_forest(&self, i: usize) -> bool {
        match &self.stats[i] {
            StatSlot::Judged(stat) => stat.judge.forest().is_some(),
            StatSlot::New | StatSlot::LeftOut => true,
        }
    }

    /// Rules have changed: what they left out may be wanted now.
    pub(in crate::engine::shard) fn reconsider(&mut self) {
        for stat in &mut self.stats {
            if matches!(stat, StatSlot::LeftOut) {
                *stat = StatSlot::New;
            }
        }
    }

    /// The number of the spec of each.
    pub(in crate::engine::shard) fn each_spec(&mut self, mut one: impl FnMut(&mut u32)) {
        for stat in &mut self.stats {
            if let StatSlot::Judged(stat) = stat {
                one(&mut stat.spec);
            }
        }
    }

    /// The judge of a statistic, and the number of its spec.
    pub(in crate::engine::shard) fn stat_labels(&self, i: usize) -> Option<Place> {
        match self.stats.get(i)? {
            StatSlot::Judged(stat) => Some(stat.labels),
            StatSlot::New | StatSlot::LeftOut => None,
        }
    }

    pub(in crate::engine::shard) fn judge_mut(&mut self, i: usize) -> Option<(&mut Judge, u32)> {
        match &mut self.stats[i] {
            StatSlot::Judged(stat) => Some((&mut stat.judge, stat.spec)),
            StatSlot::New | StatSlot::LeftOut => None,
        }
    }
}

/// The seed of a statistic: the fingerprint of its labels.
pub(super) fn stat_seed(labels: &[u8], i: usize) -> u64 {
    fingerprint(&family::with(labels, LABEL, NAMES[i]))
}

impl Shard {
    /// Has a statistic hear changed rules; false if they leave it out.
    pub(super) fn is_stat_modelled(&mut self, h: u32, i: usize) -> bool {
        let Some(StatSlot::Judged(stat)) = self.histograms.get_mut(h).map(|s| &mut s.stats[i])
        else {
            return true;
        };
        if !self.parts.specs.is_old(stat.spec) {
            return self.parts.specs.get(stat.spec).model;
        }
        let labels = self.table.kept_labels(stat.labels);
        let seed = fingerprint(labels);
        let (old, new) = self.parts.specs.renewed(stat.spec, labels);
        stat.spec = new;
        let (was, is) = (self.parts.specs.get(old), self.parts.specs.get(new));
        let (model, seats) = (is.model, was.forest.wanted != is.forest.wanted);
        let (old_mark, new_mark) = (self.parts.specs.mark(old), self.parts.specs.mark(new));
        let differs = old_mark != new_mark && self.parts.keeps;
        let ended = differs.then(|| stat.judge.mark());
        if was.model && !model {
            self.parts.board.hide(stat.board);
            self.tally.show(&mut stat.shown, Shown::ended());
        }
        if seats {
            self.seat_again(Holder::Stat((h, i)), seed);
        }
        if differs && let Some(slot) = self.histograms.get(h) {
            // The values of today are still to come.
            let t_ms = slot.last_ms.saturating_sub(1);
            self.anchor_stat_anew(h, i, t_ms, ended.map(|state| (old_mark, state)));
        }
        model
    }
}
