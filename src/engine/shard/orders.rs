//! Orders about models, as a shard carries them out.

use super::Shard;
use crate::engine::models::ModelOrder;
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::score::judge::Phase;
use crate::series::fingerprint::fingerprint;

impl Shard {
    /// Carries out an order that came in this record. Nobody waits for one that is read from the log
    /// again.
    pub(in crate::engine) fn obey(&mut self, seq: u64, order: ModelOrder) {
        self.advance(seq);
        let replayed = order.answer.is_none();
        if let Some(tap) = &mut self.parts.tap {
            tap.begin(seq, replayed);
        }
        if let Some(records) = &mut self.parts.records {
            records.begin(replayed);
        }
        order.carry_out(self);
        self.publish();
    }

    /// The model of a series with one of its own is about to begin afresh: what is shown of it holds
    /// no more, and its anomaly is over.
    pub(in crate::engine) fn tell_fresh_start(&mut self, canonical: &[u8]) {
        let found = self.table.peek(fingerprint(canonical), canonical);
        let Some(at) = found else { return };
        let Home::Tracked(n) = self.table.home(at) else {
            return;
        };
        let Some(slot) = self.tracked.get_mut(n) else {
            return;
        };
        let spec = self.parts.specs.get(slot.spec);
        let had_score = !slot.track.ended() && slot.track.phase(spec) != Phase::Warmup;
        let last_ms = slot.track.head().last_ms();
        self.parts.board.hide(slot.board);
        let shown = Shown::of(Phase::Warmup, None).waiting(slot.waits);
        self.tally.show(&mut slot.shown, shown);
        let partition = self.groups.get(slot.group).id.partition;
        let Some(last_ms) = last_ms else { return };
        if had_score && let Some(tap) = &mut self.parts.tap {
            // Just behind its newest sample: the next one is later.
            tap.ended(partition, canonical, last_ms.saturating_add(1));
        }
        if let Some(records) = &mut self.parts.records {
            records.afresh(canonical, last_ms);
        }
    }
}
