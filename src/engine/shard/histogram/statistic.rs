//! The statistics of a histogram, as holders of forests: one judge each, known by its labels.

use super::{LABEL, NAMES, Slot, StatSlot};
use crate::score::judge::Judge;
use crate::series::family;
use crate::series::fingerprint::fingerprint;

impl Slot {
    /// True if a statistic has a forest, or is yet to come and may have one.
    pub(super) fn has_forest(&self, i: usize) -> bool {
        match &self.stats[i] {
            StatSlot::Judged(stat) => stat.judge.forest().is_some(),
            StatSlot::New | StatSlot::LeftOut => true,
        }
    }

    /// The judge of a statistic, and the number of its spec.
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
