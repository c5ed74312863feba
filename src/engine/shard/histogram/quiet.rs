//! The end of histograms: by a staleness marker, by silence, by being long gone.

use super::{STATS, StatSlot};
use crate::engine::shard::forest::Holder;
use crate::engine::shard::{SILENT_INTERVALS, SILENT_MIN_MS, Shard};
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::score::judge::Phase;

impl Shard {
    /// The histogram ended: its statistics vanish from the board, their models wait.
    pub(in crate::engine::shard) fn end_stats(&mut self, h: u32, t_ms: i64) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        // Parts of a histogram may end one by one, the last not with the newest time.
        let t_ms = t_ms.max(slot.last_ms.saturating_add(1));
        let waits = slot.waits;
        let begun = |s: &StatSlot| matches!(s, StatSlot::Judged(_));
        let has_begun = slot.stats.iter().any(begun);
        let partition = self.groups.get(slot.group).id.partition;
        for stat in &mut slot.stats {
            if let StatSlot::Judged(stat) = stat {
                stat.judge.close();
                let spec = self.parts.specs.get(stat.spec);
                if stat.judge.phase(spec) != Phase::Warmup
                    && !std::mem::replace(&mut stat.ended, true)
                    && let Some(tap) = &mut self.parts.tap
                {
                    tap.ended(partition, self.table.kept_labels(stat.labels), t_ms);
                }
                if let Some(records) = &mut self.parts.records {
                    records.stale(self.table.kept_labels(stat.labels), t_ms);
                }
                self.parts.board.hide(stat.board);
                self.tally
                    .show(&mut stat.shown, Shown::ended().waiting(waits));
            }
        }
        if has_begun {
            self.anchor_end(h, t_ms);
        }
    }

    /// Hides statistics that fell silent, forgets what is long gone.
    pub(in crate::engine::shard) fn look_at_histogram(&mut self, at: u32, h: u32, now_ms: i64) {
        for i in 0..STATS {
            self.look_at_forest(Holder::Stat((h, i)));
        }
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let silent = (SILENT_INTERVALS * slot.interval.ms()).max(SILENT_MIN_MS);
        for stat in &mut slot.stats {
            if let StatSlot::Judged(stat) = stat
                && now_ms.saturating_sub(stat.judged_ms) as f64 > silent
            {
                let had_score = self.parts.board.entry(stat.board).score().is_some();
                if had_score && let Some(tap) = &mut self.parts.tap {
                    stat.ended = true;
                    let partition = self.groups.get(slot.group).id.partition;
                    let labels = self.table.kept_labels(stat.labels);
                    tap.ended(partition, labels, slot.last_ms.saturating_add(1));
                }
                if let Some(records) = &mut self.parts.records {
                    records.silent(self.table.kept_labels(stat.labels), Some(slot.last_ms));
                }
                self.parts.board.hide(stat.board);
                let shown = Shown::ended().waiting(slot.waits);
                self.tally.show(&mut stat.shown, shown);
            }
        }
        if let Some(n) = slot.floats {
            self.hide_if_silent(at, n, now_ms);
            self.forget_floats(h, n, now_ms);
        }
        self.forget_native(h, now_ms);
        debug_assert!(self.table.home(at) != Home::Nowhere || self.histograms.get(h).is_none());
    }

    fn forget_floats(&mut self, h: u32, n: u32, now_ms: i64) {
        let arrived_ms = self.tracked.get(n).map(|s| s.arrived_ms);
        if arrived_ms.is_some_and(|ms| self.is_long_ago(ms, now_ms)) {
            if let Some(slot) = self.histograms.get_mut(h) {
                let at = slot.at;
                self.take_tracked(at, n);
            }
            self.parts.admission.release(1);
            if let Some(slot) = self.histograms.get_mut(h) {
                slot.floats = None;
            }
        }
    }
}
