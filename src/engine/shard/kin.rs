//! What new series take from older ones of their family.
//!
//! A series with its first value looks for a sibling in its own partition that knows its behaviour,
//! the newest first. What always holds: which one it finds, and in what state, follows from the
//! order of the samples of that partition; so it depends neither on how many shards there are nor on
//! restarts, and a sibling that sleeps is woken for it.

use super::Shard;
use crate::engine::kin::{LOOKED_AT, are_siblings};
use crate::engine::table::Home;
use crate::score::judge::Template;

impl Shard {
    /// A series with a model, awake or asleep, is in its place.
    pub(super) fn add_kin(&mut self, at: u32, (group, position): (u32, u16)) {
        let id = self.groups.get(group).id;
        let place = (id.partition, (id.number, position));
        let labels = self.table.labels(at);
        self.kin.add(place, labels, at, self.parts.specs.churning());
    }

    /// A series leaves its place.
    pub(super) fn remove_kin(&mut self, at: u32, (group, position): (u32, u16)) {
        let id = self.groups.get(group).id;
        let place = (id.partition, (id.number, position));
        let labels = self.table.labels(at);
        self.kin.remove(place, labels, self.parts.specs.churning());
    }

    /// Has the series begin with what a sibling knows, if its next value is its first.
    pub(super) fn offer_template(&mut self, at: u32, n: u32) {
        let Some(slot) = self.tracked.get(n) else {
            return;
        };
        let (partition, kind) = (self.groups.get(slot.group).id.partition, slot.track.kind());
        let labels = self.table.labels(at);
        let churning = self.parts.specs.churning();
        let others = self.kin.others(partition, labels, churning, |other| {
            other != at
                && match self.table.home(other) {
                    Home::Tracked(_) => true,
                    Home::Asleep(m) => self.asleep.get(m).is_some_and(|s| !s.sleeper.plain),
                    Home::Plain(_) | Home::Histogram(_) | Home::Nowhere => false,
                }
        });
        if others.is_empty() {
            return;
        }
        let sleeping: smallvec::SmallVec<[u32; LOOKED_AT]> = others
            .iter()
            .copied()
            .filter(|other| matches!(self.table.home(*other), Home::Asleep(_)))
            .collect();
        if !sleeping.is_empty() {
            self.wake(&sleeping);
        }
        let labels = self.table.labels(at);
        let churning = self.parts.specs.churning();
        let template: Option<Box<Template>> = others.iter().find_map(|other| {
            let Home::Tracked(m) = self.table.home(*other) else {
                return None;
            };
            let sibling = self.tracked.get(m)?;
            let alike = sibling.track.kind() == kind
                && are_siblings(labels, self.table.labels(*other), churning);
            let spec = self.parts.specs.get(sibling.spec);
            alike
                .then(|| sibling.track.judge().template(spec))
                .flatten()
        });
        if let Some(slot) = self.tracked.get_mut(n) {
            slot.track.judge_mut().offer(template);
        }
    }
}
