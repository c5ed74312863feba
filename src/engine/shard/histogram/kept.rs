//! Histograms that come back from the store.

use super::{Histogram, LABEL, NAMES};
use crate::engine::shard::Shard;
use crate::engine::tally::Shown;
use crate::score::judge::Judge;
use crate::series::family;

impl Shard {
    /// Brings back a stored histogram; its parts come back by themselves.
    pub(in crate::engine::shard) fn restore_histogram(
        &mut self,
        at: u32,
        place: (u32, u16),
        stored: Histogram,
        last_ms: i64,
    ) {
        let floats = stored.floats.map(|mut track| {
            let labels = self.table.labels(at);
            let spec = self.parts.specs.find(labels);
            track.declare(self.parts.specs.get(spec), self.declared(labels));
            let n = self.put_tracked(at, place, spec, *track, Shown::ended(), last_ms);
            self.hears_again(n);
            n
        });
        let h = self.add_histogram(at, place);
        let mut anew = Vec::new();
        for (i, judge) in stored.judges.into_iter().enumerate() {
            if let Some(mut judge) = judge {
                let ended = self.stat_ended(at, i, &mut judge);
                let had_forest = judge.forest().is_some();
                self.begin_stat(h, i, *judge, Shown::ended(), last_ms);
                let slot = self.histograms.get(h);
                if ended.is_some() || slot.is_some_and(|s| s.has_forest(i) != had_forest) {
                    anew.push((i, ended.flatten()));
                }
            }
        }
        if let Some(slot) = self.histograms.get_mut(h) {
            slot.floats = floats;
            slot.classic = stored.classic;
            slot.native = stored.native.map(|mut native| {
                native.arrived_ms = last_ms;
                native
            });
            slot.interval = stored.interval;
            slot.last_ms = stored.last_ms;
        }
        for (i, ended) in anew {
            self.anchor_stat_anew(h, i, stored.last_ms, ended);
        }
    }

    /// Whether a stored statistic comes back to other rules than it had; then those, and what told its
    /// state from others, if that is known.
    fn stat_ended(&mut self, at: u32, i: usize, judge: &mut Judge) -> Option<Option<(u64, u64)>> {
        if !self.parts.keeps {
            return None;
        }
        let labels = family::with(self.table.labels(at), LABEL, NAMES[i]);
        let spec = self.parts.specs.find(&labels);
        if !self.parts.specs.is_new_for(&labels, spec) {
            return None;
        }
        let rules = self.parts.specs.mark_before(&labels);
        Some(rules.map(|rules| (rules, judge.mark())))
    }
}
