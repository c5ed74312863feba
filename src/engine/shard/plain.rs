//! Series with a window only: those whose names say that they are not modelled, and all parts of
//! classic histograms, which feed the histogram instead.

use super::{Shard, closed, not_newer};
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::score::track::Track;
use crate::series::family::{self, Role};
use crate::series::fingerprint::fingerprint;
use crate::series::{kind, labels};
use crate::telemetry::Outcome;
use crate::window::head::Head;
use crate::window::histogram::classic::{Part, bound};
use crate::wire::write::is_stale;

/// One series that is kept and not judged.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) head: Head,
    /// What it is in the histogram that it belongs to: number of that, and part of it.
    pub(super) part: Option<(u32, Part)>,
    pub(super) group: u32,
    pub(super) position: u16,
    pub(super) shown: Shown,
    /// Its history is still to come.
    pub(super) waits: bool,
    /// Wall clock of its newest sample.
    pub(super) arrived_ms: i64,
}

/// A sample of a part, on its way to its histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer {
    pub(super) h: u32,
    part: Part,
    pub(super) t_ms: i64,
    value: f64,
    /// The part had ended before this sample.
    was_ended: bool,
}

impl Shard {
    /// Gives the samples of all parts in a batch to their histograms, in order of time: a request may
    /// have several scrapes, and has them one series after the other.
    pub(super) fn put_offers(&mut self, now_ms: i64) {
        let mut offers = std::mem::take(&mut self.offers);
        if !offers.is_sorted_by_key(|o| o.t_ms) {
            offers.sort_by_key(|o| (o.h, o.t_ms));
        }
        for o in offers.drain(..) {
            self.offer(o.h, o.part, (o.t_ms, o.value), o.was_ended, now_ms);
        }
        self.offers = offers;
    }

    /// A new series without a model.
    pub(super) fn add_plain(&mut self, at: u32, place: (u32, u16), now_ms: i64) {
        let head = Head::of_series(fingerprint(self.table.labels(at)));
        self.put_plain(at, place, head, now_ms);
        self.link(at, true, now_ms);
    }

    pub(super) fn put_plain(
        &mut self,
        at: u32,
        (group, position): (u32, u16),
        head: Head,
        arrived_ms: i64,
    ) {
        let mut slot = Plain {
            head,
            part: None,
            group,
            position,
            shown: Shown::default(),
            waits: false,
            arrived_ms,
        };
        self.tally.show(&mut slot.shown, Shown::window());
        let n = self.plain.insert(slot);
        self.table.settle(at, Home::Plain(n));
    }

    /// True for the `_sum` or `_count` of a histogram whose buckets are known.
    pub(super) fn is_part_of_known(&self, canonical: &[u8]) -> bool {
        let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
        if !matches!(Role::of(name), Some((Role::Sum | Role::Count, _))) {
            return false;
        }
        family::base(canonical).is_some_and(|(_, base)| self.classic(&base).is_some())
    }

    /// The histogram with these labels, if it has buckets.
    pub(super) fn classic(&self, base: &[u8]) -> Option<u32> {
        let at = self.table.peek(fingerprint(base), base)?;
        let Home::Histogram(h) = self.table.home(at) else {
            return None;
        };
        self.histograms.get(h)?.is_classic().then_some(h)
    }

    /// Makes a window-only series a part of its histogram if it is one: a bucket makes the histogram,
    /// `_sum` and `_count` join the one that is there. If it joins only now (`fresh`; not after a
    /// restart), the histogram hears its newest samples.
    pub(super) fn link(&mut self, at: u32, fresh: bool, now_ms: i64) {
        let Home::Plain(n) = self.table.home(at) else {
            return;
        };
        let canonical = self.table.labels(at);
        let Some((role, base)) = family::base(canonical) else {
            return;
        };
        let (h, part) = match role {
            Role::Bucket => {
                let Some(le) =
                    labels::get(canonical, family::LE).and_then(|le| bound(le.as_bytes()))
                else {
                    return;
                };
                (self.make_classic(&base, now_ms), Part::Bucket(le))
            }
            Role::Sum => (self.classic(&base), Part::Sum),
            Role::Count => (self.classic(&base), Part::Count),
        };
        let unlinked = self.plain.get(n).filter(|slot| slot.part.is_none());
        let (Some(h), Some(slot)) = (h, unlinked) else {
            return;
        };
        let open = slot.head.chunk().bytes().to_vec();
        if self.join(h, at, part, slot.head.ended()) {
            if let Some(slot) = self.plain.get_mut(n) {
                slot.part = Some((h, part));
            }
            if fresh {
                self.offer_recent(h, part, &open, now_ms);
            }
        }
    }

    /// Takes the model from a series that turned out to be part of a histogram.
    pub(super) fn demote(&mut self, at: u32, n: u32) {
        if let Some(slot) = self.take_tracked(at, n) {
            let place = (slot.group, slot.position);
            self.put_plain(at, place, slot.track.into_window(), slot.arrived_ms);
            self.set_waits(at, slot.waits);
            self.groups.get_mut(slot.group).dirty = true;
        }
    }

    /// Gives a series without a model one, because its histogram is no more; not if its name says
    /// that it has none.
    pub(super) fn promote(&mut self, at: u32, n: u32) {
        let canonical = self.table.labels(at);
        let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
        if kind::never_modelled(name.as_bytes()) {
            return;
        }
        let declared = self.declared(canonical);
        let spec = self.parts.specs.find(canonical);
        let Some(mut slot) = self.plain.remove(n) else {
            return;
        };
        self.tally.show(&mut slot.shown, Shown::default());
        let track = Track::with_window(slot.head, self.parts.specs.get(spec), declared);
        let place = (slot.group, slot.position);
        let n = self.put_tracked(at, place, spec, track, Shown::ended(), slot.arrived_ms);
        self.table.settle(at, Home::Tracked(n));
        self.add_kin(at, place);
        self.set_waits(at, slot.waits);
        self.groups.get_mut(slot.group).dirty = true;
    }

    pub(super) fn plain_sample(
        &mut self,
        n: u32,
        t_ms: i64,
        value: f64,
        kept: Outcome,
        now_ms: i64,
    ) -> Outcome {
        let Some(slot) = self.plain.get_mut(n) else {
            return Outcome::Skipped;
        };
        if let Some(outcome) = not_newer(slot.head.order(t_ms, value)) {
            return outcome;
        }
        let was_ended = slot.head.ended();
        let finished = slot.head.take(t_ms, value);
        slot.arrived_ms = now_ms;
        let (group, position) = (slot.group, slot.position);
        if let Some((h, part)) = slot.part {
            self.offers.push(Offer {
                h,
                part,
                t_ms,
                value,
                was_ended,
            });
        }
        self.touch(group, t_ms);
        if let Some(chunk) = finished {
            self.close(group, closed(position, chunk));
        }
        if is_stale(value) {
            Outcome::Stale
        } else {
            kept
        }
    }

    /// Forgets a series long gone, puts an idle one to sleep.
    pub(super) fn look_at_plain(&mut self, at: u32, n: u32, now_ms: i64) {
        let Some(slot) = self.plain.get(n) else {
            return;
        };
        if !self.is_long_ago(slot.arrived_ms, now_ms) {
            self.lull_plain(at, n, now_ms);
            return;
        }
        self.forget_plain(at, n);
    }

    /// Forgets a series.
    pub(super) fn forget_plain(&mut self, at: u32, n: u32) {
        let Some(slot) = self.plain.get(n) else {
            return;
        };
        let ended = slot.head.ended();
        if let Some((h, part)) = slot.part {
            self.leave(h, at, part, ended);
        }
        if let Some(mut slot) = self.plain.remove(n) {
            self.tally.show(&mut slot.shown, Shown::default());
            self.vacate(at, slot.group, slot.position, 1);
        }
    }
}
