//! When the anchors of a series are made, and what tells the state of a series now from others.

use std::sync::Arc;

use super::Shard;
use super::forest::Holder;
use crate::engine::anchor::Anchor;
use crate::engine::recall::Live;
use crate::engine::rules::{Past, Rules};
use crate::engine::table::Home;
use crate::score::track::Track;
use crate::series::fingerprint::fingerprint;
use crate::series::kind;
use crate::series::labels;

/// States that are kept at a start for series that begin something new there: they are in memory until
/// the first checkpoint. What is said of the others can be said again from their next state on.
const ANEW_MAX: u32 = 20_000;

impl Shard {
    /// Keeps the state of a series with its newest sample. `before` is as [`Anchor::State`] has it.
    pub(super) fn anchor(&mut self, n: u32, before: Option<u64>) {
        if !self.parts.keeps {
            return;
        }
        let Some(slot) = self.tracked.get_mut(n) else {
            return;
        };
        let Some(last_ms) = slot.track.head().last_ms() else {
            return;
        };
        let anchor = Anchor::State {
            rules: self.parts.specs.mark(slot.spec),
            before,
            state: slot.track.anchor(),
        };
        let (group, position) = (slot.group, slot.position);
        self.keep_anchor((group, position), last_ms, &anchor);
    }

    /// A series goes on under other rules, or has come back with a forest where it had none: what is
    /// said of it from here on does not follow from the samples before. `ended` tells the rules before
    /// and its state under them, where that is known: what was said until now ends there.
    pub(super) fn anchor_anew(&mut self, n: u32, ended: Option<(u64, u64)>) {
        let keeps = self.parts.keeps;
        let Some(slot) = self.tracked.get(n).filter(|_| keeps) else {
            return;
        };
        let Some(last_ms) = slot.track.head().last_ms() else {
            return;
        };
        let (place, rules) = (
            (slot.group, slot.position),
            self.parts.specs.mark(slot.spec),
        );
        let nothing = |rules, before| Anchor::State {
            rules,
            before,
            state: Vec::new(),
        };
        if let Some((rules, mark)) = ended {
            self.keep_anchor(place, last_ms, &nothing(rules, Some(mark)));
        }
        if self.may_anchor_anew() {
            self.anchor(n, None);
        } else {
            self.keep_anchor(place, last_ms, &nothing(rules, None));
        }
    }

    /// True if there is room for one more state of a series that begins something new.
    pub(super) fn may_anchor_anew(&mut self) -> bool {
        let may = self.anchored_anew < ANEW_MAX;
        self.anchored_anew += u32::from(may);
        may
    }

    /// Rules are others from here on.
    pub(super) fn begins_anew(&mut self) {
        self.anchored_anew = 0;
    }

    pub(in crate::engine) fn rules_were(&mut self, earlier: Option<Arc<Rules>>) {
        self.parts.specs.were(earlier);
    }

    pub(in crate::engine) fn rules_before(&mut self, past: Past) {
        self.parts.specs.was_before(past);
    }

    /// The same for a state that follows from the samples before it.
    pub(super) fn anchor_on(&mut self, n: u32) {
        let mark = self.mark_of(Holder::Tracked(n));
        self.anchor(n, mark);
    }

    pub(super) fn keep_anchor(
        &mut self,
        (group, position): (u32, u16),
        t_ms: i64,
        anchor: &Anchor,
    ) {
        if self.parts.keeps {
            self.groups.get_mut(group).dirty = true;
            self.close(group, anchor.chunk(position, t_ms));
        }
    }

    /// What tells the state of a series with a model from others.
    pub(super) fn mark_of(&mut self, holder: Holder) -> Option<u64> {
        if !self.parts.keeps {
            return None;
        }
        match holder {
            Holder::Tracked(n) => Some(self.tracked.get_mut(n)?.track.mark()),
            Holder::Stat((h, i)) => self.mark_of_stat(h, i),
        }
    }

    /// The state of a series has changed by something that is not among its samples; before it, this
    /// told it from others.
    pub(super) fn anchor_after(&mut self, holder: Holder, before: Option<u64>) {
        if before.is_some() && before != self.mark_of(holder) {
            match holder {
                Holder::Tracked(n) => self.anchor(n, before),
                Holder::Stat((h, i)) => self.anchor_stat(h, i, before),
            }
        }
    }

    /// The series at a place as it is now, for somebody who scores its samples again; `None` if it has
    /// no model of its own.
    pub fn live(&mut self, (group, position): (u32, u16)) -> Option<Live> {
        let at = self.member(group, position)?;
        let n = match self.table.home(at) {
            Home::Tracked(n) => Some(n),
            Home::Histogram(h) => Some(self.histograms.get(h)?.floats?),
            Home::Asleep(m) if !self.asleep.get(m)?.sleeper.plain => None,
            Home::Plain(_) | Home::Asleep(_) | Home::Nowhere => return None,
        };
        let canonical = self.table.labels(at);
        let seed = fingerprint(canonical);
        let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
        let declared = vec![
            self.declared(canonical),
            kind::declared(name, |_| None),
            None,
        ];
        let Some(n) = n else {
            let at = self.parts.specs.find(canonical);
            return Some(Live {
                spec: self.parts.specs.get(at).clone(),
                rules: self.parts.specs.mark(at),
                past: self.parts.specs.past(),
                now: None,
                interval_ms: crate::window::interval::Interval::new().ms(),
                forest: None,
                declared,
                seed,
            });
        };
        let slot = self.tracked.get_mut(n)?;
        let track: &mut Track = &mut slot.track;
        Some(Live {
            spec: self.parts.specs.get(slot.spec).clone(),
            rules: self.parts.specs.mark(slot.spec),
            past: self.parts.specs.past(),
            now: track
                .head()
                .last_ms()
                .map(|last_ms| (last_ms, track.mark())),
            interval_ms: track.head().interval_ms(),
            forest: track.judge().forest().map(|tier| Box::new(tier.apart())),
            declared,
            seed,
        })
    }
}
