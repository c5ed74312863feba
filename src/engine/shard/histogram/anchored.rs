//! The anchors of a histogram: what its statistics are made of and judged by, now and then.
//!
//! They lie at the histogram's own place, where a classic one has no chunks otherwise. All of its
//! statistics have theirs with the same values, together with what they are put together from.

use super::statistic::stat_seed;
use super::{STATS, Slot, StatSlot};
use crate::engine::anchor::{Anchor, is_due};
use crate::engine::ask::{Found, Place};
use crate::engine::feed::{NativeParts, Parts, Values};
use crate::engine::recall::Live;
use crate::engine::recall::statistic::LiveStatistic;
use crate::engine::shard::Shard;
use crate::engine::table::Home;
use crate::series::fingerprint::fingerprint;
use crate::series::matcher::Selector;
use crate::window::histogram::classic::Assembly;

/// A histogram with so many buckets that an anchor takes more bytes than this is not scored again: a
/// block has room for twice as much.
const BYTES_MAX: usize = 32 * 1024;

impl Shard {
    /// What tells the state of a statistic from others.
    pub(in crate::engine::shard) fn mark_of_stat(&mut self, h: u32, i: usize) -> Option<u64> {
        let (judge, _) = self.histograms.get_mut(h)?.judge_mut(i)?;
        Some(judge.mark())
    }

    /// Keeps the state of a statistic as it is after all values up to `t_ms`. `before` is as
    /// [`Anchor::State`] has it.
    fn keep_statistic(&mut self, h: u32, i: usize, t_ms: i64, before: Option<Option<u64>>) {
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let place = (slot.group, slot.position);
        let Some((judge, spec)) = slot.judge_mut(i) else {
            return;
        };
        let state = judge.anchor();
        let own = fingerprint(&state);
        let anchor = Anchor::Statistic {
            statistic: i as u8,
            rules: self.parts.specs.mark(spec),
            before: before.unwrap_or(Some(own)),
            state,
        };
        self.keep_anchor(place, t_ms, &anchor);
    }

    /// Keeps the state of a statistic that has changed by something that is not among its values.
    pub(in crate::engine::shard) fn anchor_stat(&mut self, h: u32, i: usize, before: Option<u64>) {
        if let Some(t_ms) = self.stats_ms(h) {
            self.keep_statistic(h, i, t_ms, Some(before));
        }
    }

    /// A statistic goes on under other rules, or has come back to something new, with its values after
    /// `t_ms`; as [`Shard::anchor_anew`].
    pub(in crate::engine::shard) fn anchor_stat_anew(
        &mut self,
        h: u32,
        i: usize,
        t_ms: i64,
        ended: Option<(u64, u64)>,
    ) {
        if !self.parts.keeps {
            return;
        }
        if let Some((rules, mark)) = ended
            && let Some(slot) = self.histograms.get(h)
        {
            let place = (slot.group, slot.position);
            let anchor = Anchor::Statistic {
                statistic: i as u8,
                rules,
                before: Some(mark),
                state: Vec::new(),
            };
            self.keep_anchor(place, t_ms, &anchor);
        }
        if self.may_anchor_anew() {
            self.keep_statistic(h, i, t_ms, Some(None));
        }
    }

    fn stats_ms(&self, h: u32) -> Option<i64> {
        let slot = self.histograms.get(h).filter(|_| self.parts.keeps)?;
        Some(slot.last_ms).filter(|ms| *ms != i64::MIN)
    }

    /// A statistic has its first value now.
    pub(super) fn stat_begins(&mut self, h: u32, i: usize) {
        let Some(t_ms) = self.stats_ms(h) else {
            return;
        };
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        let place = (slot.group, slot.position);
        if let Some((judge, spec)) = slot.judge_mut(i) {
            let anchor = Anchor::Begins {
                statistic: i as u8,
                forest: judge.forest().is_some(),
                rules: self.parts.specs.mark(spec),
            };
            self.keep_anchor(place, t_ms.saturating_sub(1), &anchor);
        }
    }

    /// Values that the statistic with most of them has had, and whether one of `values` is the first
    /// of its own.
    pub(super) fn stats_seen(&self, h: u32, values: &Values) -> (u32, bool) {
        let Some(slot) = self.histograms.get(h) else {
            return (0, false);
        };
        let seen = slot.stats.iter().filter_map(|stat| match stat {
            StatSlot::Judged(stat) => Some(stat.judge.seen()),
            StatSlot::New | StatSlot::LeftOut => None,
        });
        let begins = slot.stats.iter().zip(values);
        let begins = { begins }.any(|(s, v)| v.is_some() && matches!(s, StatSlot::New));
        (seen.max().unwrap_or(0), begins)
    }

    /// Keeps the state of a histogram after statistics if that is due, or if one of them has begun.
    pub(super) fn anchor_stats(&mut self, h: u32, values: &Values, before: (u32, bool)) {
        if !self.parts.keeps || self.is_large(h) {
            return;
        }
        let (seen, _) = self.stats_seen(h, values);
        let position = self.histograms.get(h).map_or(0, |slot| slot.position);
        if seen > before.0 && is_due(seen, position) {
            self.anchor_all_stats(h, values, |_| None);
        } else if before.1 {
            self.keep_parts(h, values);
        }
    }

    /// Keeps the state of all statistics, and of what they are made of. `before` tells of each what told
    /// its state before from others, if it has not just gone on.
    pub(super) fn anchor_all_stats(
        &mut self,
        h: u32,
        values: &Values,
        before: impl Fn(usize) -> Option<Option<u64>>,
    ) {
        let Some(t_ms) = self.stats_ms(h).filter(|_| !self.is_large(h)) else {
            return;
        };
        for i in 0..STATS {
            self.keep_statistic(h, i, t_ms, before(i));
        }
        self.keep_parts(h, values);
    }

    fn is_large(&self, h: u32) -> bool {
        let bytes = |slot: &Slot| {
            let classic = slot.classic.as_deref().map_or(0, Assembly::heap_bytes);
            let native = slot.native.as_deref().map(|n| n.intervals().heap_bytes());
            classic + native.unwrap_or(0)
        };
        self.histograms.get(h).is_some_and(|s| bytes(s) > BYTES_MAX)
    }

    fn keep_parts(&mut self, h: u32, values: &Values) {
        let Some(slot) = self.histograms.get(h) else {
            return;
        };
        let native = slot.native.as_deref().and_then(|native| {
            Some(NativeParts {
                intervals: native.intervals().clone(),
                last_ms: native.last_ms()?,
                ended: native.ended(),
            })
        });
        let parts = Parts {
            classic: slot.classic.as_deref().map(|c| c.settled()),
            native,
            interval: slot.interval.clone(),
            last_ms: slot.last_ms,
            values: *values,
        };
        let place = (slot.group, slot.position);
        let (t_ms, anchor) = (slot.last_ms, Anchor::Parts(Box::new(parts)));
        self.keep_anchor(place, t_ms, &anchor);
    }

    /// A histogram ended; `t_ms` is what is said of it.
    pub(super) fn anchor_end(&mut self, h: u32, t_ms: i64) {
        if let (Some(at_ms), Some(slot)) = (self.stats_ms(h), self.histograms.get(h)) {
            let place = (slot.group, slot.position);
            self.keep_anchor(place, at_ms, &Anchor::Ended(t_ms));
        }
    }

    /// Adds the statistics of a histogram that match and may have values since `from_ms`.
    pub(in crate::engine::shard) fn select_statistics(
        &self,
        h: u32,
        selector: &Selector,
        from_ms: i64,
        found: &mut Vec<Found>,
    ) {
        let Some(slot) = self.histograms.get(h).filter(|s| s.last_ms >= from_ms) else {
            return;
        };
        for (i, stat) in (0..).zip(&slot.stats) {
            let StatSlot::Judged(stat) = stat else {
                continue;
            };
            let labels = self.table.kept_labels(stat.labels);
            if selector.matches_labels(labels) {
                found.push(Found {
                    labels: labels.into(),
                    counter: false,
                    place: Place {
                        shard: 0,
                        group: slot.group,
                        position: slot.position,
                        id: self.groups.get(slot.group).id,
                    },
                    statistic: Some(i),
                });
            }
        }
    }

    /// A statistic of the histogram at a place as it is now, for somebody who scores its values again;
    /// `None` if there is none.
    pub fn live_statistic(
        &mut self,
        (group, position): (u32, u16),
        i: usize,
    ) -> Option<LiveStatistic> {
        let at = self.member(group, position)?;
        let Home::Histogram(h) = self.table.home(at) else {
            return None;
        };
        let slot = self.histograms.get_mut(h)?;
        let (last_ms, interval_ms) = (slot.last_ms, slot.interval.ms());
        let parts = slot.parts.clone();
        let (judge, spec) = slot.judge_mut(i)?;
        let labels = self.table.labels(at);
        let parts = parts.into_iter().filter_map(|part| {
            // Parts stay awake.
            let Home::Plain(n) = self.table.home(part) else {
                return None;
            };
            let plain = self.plain.get(n)?;
            let place = Place {
                shard: 0,
                group: plain.group,
                position: plain.position,
                id: self.groups.get(plain.group).id,
            };
            Some((plain.part?.1, place))
        });
        Some(LiveStatistic {
            live: Live {
                spec: self.parts.specs.get(spec).clone(),
                rules: self.parts.specs.mark(spec),
                past: self.parts.specs.past(),
                now: Some((last_ms, judge.mark())),
                interval_ms,
                forest: judge.forest().map(|tier| Box::new(tier.apart())),
                declared: Vec::new(),
                seed: stat_seed(labels, i),
            },
            parts: parts.collect(),
        })
    }
}
