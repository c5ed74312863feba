//! Changed rules for series that are there.
//!
//! Whatever rules said before, a series goes on with its model and its window. What they say now
//! counts from its next sample: the number of a spec says of which rules it is, so nothing has to be
//! looked at when they change. Those that send nothing are looked at by ticks, a few at a time. A
//! series that is not to be modelled any more keeps what it has until a restart, in case somebody
//! thinks better of it; its samples are counted and not kept.

use std::collections::HashSet;
use std::sync::Arc;

use super::Shard;
use super::forest::Holder;
use super::histogram::LABEL as STATISTIC;
use super::tracked::HEARD_NOTHING;
use crate::config::ForestUse;
use crate::engine::orders::NewOrders;
use crate::engine::rules::Rules;
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::series::fingerprint::fingerprint;
use crate::series::labels;

/// Series that one tick looks at for the sake of changed rules; each takes a microsecond or a few.
pub(super) const RENEWED_A_TICK: u32 = 4096;

/// What changes while shards run.
#[derive(Debug, Clone)]
pub struct Renewal {
    pub rules: Arc<Rules>,
    /// Most series that are held, in all shards together.
    pub series_max: u32,
    /// Most bytes that they may take together, if there is a bound.
    pub memory_max: Option<u64>,
    /// New series wait for their history.
    pub wants_history: bool,
}

impl Shard {
    /// Goes by what has changed.
    pub fn renew(&mut self, renewal: &Renewal) {
        // Shared by all shards: each sets the same.
        self.parts.admission.set_max(renewal.series_max);
        let metrics = &self.parts.metrics;
        metrics.series_limit.set(i64::from(renewal.series_max));
        if let Some(max) = renewal.memory_max {
            self.parts.budget.set_max(max);
            let shown = i64::try_from(max).unwrap_or(i64::MAX);
            metrics.memory.limit.set(shown);
        }
        self.renew_history(renewal.wants_history);
        self.renew_rules(Arc::clone(&renewal.rules));
    }

    /// Series that were born wait for their history from now on, or those that nobody asked for yet wait
    /// no more.
    fn renew_history(&mut self, wants: bool) {
        let did = std::mem::replace(&mut self.parts.wants_history, wants);
        if did && !wants {
            self.forget_births();
        }
    }

    /// Takes changed rules.
    pub fn renew_rules(&mut self, rules: Arc<Rules>) {
        self.parts.specs.renew(rules);
        if self.parts.specs.is_crowded() {
            self.drop_unused_specs();
        }
        self.begins_anew();
        self.reconsidered = self.left_out.keys().copied().collect();
        for h in 0..self.histograms.end() {
            if let Some(slot) = self.histograms.get_mut(h) {
                slot.reconsider();
            }
        }
    }

    /// Goes by other orders. They count by the time of samples, so a series hears of them here and
    /// now, or with its next sample.
    pub fn order(&mut self, order: NewOrders) {
        let only = order.only.as_deref();
        let found = only.and_then(|labels| self.table.peek(fingerprint(labels), labels));
        // A statistic of a histogram has no place in the table.
        let any = match only {
            Some(labels) => found.is_none() && labels::get(labels, STATISTIC).is_some(),
            None => true,
        };
        self.parts.specs.order(order.book, any);
        match found.map(|at| (at, self.table.home(at))) {
            Some((at, Home::Tracked(n))) => self.renew_tracked(at, n),
            Some((at, Home::Histogram(h))) => {
                if let Some(n) = self.histograms.get(h).and_then(|slot| slot.floats) {
                    self.renew_tracked(at, n);
                }
            }
            // They have no spec until they have a model.
            Some((_, Home::Plain(_) | Home::Asleep(_) | Home::Nowhere)) | None => {}
        }
    }

    /// Drops specs of earlier rules that no series goes by any more. Every series is looked at once,
    /// some nanoseconds each, after many reloads.
    fn drop_unused_specs(&mut self) {
        let mut used = HashSet::new();
        self.each_spec(|at| {
            used.insert(*at);
        });
        let numbers = self.parts.specs.keep(&used);
        self.each_spec(|at| *at = numbers[at]);
    }

    fn each_spec(&mut self, mut one: impl FnMut(&mut u32)) {
        for n in 0..self.tracked.end() {
            if let Some(slot) = self.tracked.get_mut(n) {
                one(&mut slot.spec);
            }
        }
        for h in 0..self.histograms.end() {
            if let Some(slot) = self.histograms.get_mut(h) {
                slot.each_spec(&mut one);
            }
        }
    }

    /// Specs that are held, those of earlier rules included.
    pub fn specs_held(&self) -> usize {
        self.parts.specs.held()
    }

    /// The series with these labels, if it is here and the rules do not want it to be born anew: one
    /// that the rules before left out, and these do not.
    pub(super) fn known(&mut self, fp: u64, labels: &[u8]) -> Option<(u32, Home)> {
        let at = self.table.find(fp, labels)?;
        let home = self.table.home(at);
        if matches!(home, Home::Nowhere)
            && !self.reconsidered.is_empty()
            && self.reconsidered.remove(&at)
            && self.parts.specs.resolve(labels).model
        {
            self.left_out.remove(&at);
            self.table.remove(at);
            self.parts.admission.release(1);
            return None;
        }
        Some((at, home))
    }

    /// Has a series hear the rules as they are now.
    pub(super) fn renew_tracked(&mut self, at: u32, n: u32) {
        let Some(slot) = self.tracked.get_mut(n) else {
            return;
        };
        let labels = self.table.labels(at);
        let seed = fingerprint(labels);
        let (old, new) = self.parts.specs.renewed(slot.spec, labels);
        slot.spec = new;
        let (was, is) = (self.parts.specs.get(old), self.parts.specs.get(new));
        let (leaves, seats) = (
            was.model && !is.model,
            was.forest.wanted != is.forest.wanted,
        );
        if was.kind != is.kind {
            slot.epoch = HEARD_NOTHING;
        }
        let (old_mark, new_mark) = (self.parts.specs.mark(old), self.parts.specs.mark(new));
        let ended = match old_mark != new_mark {
            true => self.mark_of(Holder::Tracked(n)),
            false => None,
        };
        if seats {
            self.seat_again(Holder::Tracked(n), seed);
        }
        if old_mark != new_mark {
            self.anchor_anew(n, ended.map(|state| (old_mark, state)));
        }
        if leaves {
            self.tell_end(at, n);
            if let Some(slot) = self.tracked.get_mut(n) {
                self.parts.board.hide(slot.board);
                let shown = Shown::ended().waiting(slot.waits);
                self.tally.show(&mut slot.shown, shown);
            }
        }
    }

    /// Gives a series the seat that it may have now, or takes it.
    pub(super) fn seat_again(&mut self, holder: Holder, seed: u64) {
        let seats = Arc::clone(&self.parts.seats);
        let Some((judge, spec)) = self.judge_of(holder) else {
            return;
        };
        if spec.forest.wanted == ForestUse::Never {
            judge.take_forest();
        } else if judge.forest().is_none()
            && let Some(seat) = seats.claim()
        {
            judge.give_forest(spec, seed);
            if let Some(tier) = judge.forest_mut() {
                tier.sit(seat);
            }
        }
    }

    /// The same for an idle one, if this tick has time for it.
    pub(super) fn renew_idle(&mut self, at: u32, n: u32) {
        if self.renewals > 0
            && let Some(slot) = self.tracked.get(n)
            && self.parts.specs.is_old(slot.spec)
        {
            self.renewals -= 1;
            self.renew_tracked(at, n);
        }
    }
}
