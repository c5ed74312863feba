//! Groups out to the store and back from it.

use super::Shard;
use crate::engine::groups;
use crate::engine::keep::{GroupId, GroupSnapshot};
use crate::engine::router::partition;
use crate::engine::state::{self, Member, MemberRef, State, StateError, StateRef};
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::series::family;
use crate::series::fingerprint::fingerprint;

/// A stored series that belongs into another partition than the one it was stored in.
#[derive(Debug)]
pub struct Stray {
    member: Member,
    now_ms: i64,
}

impl Stray {
    /// The partition that it belongs to.
    pub fn partition(&self) -> usize {
        partition(family::home(&self.member.labels))
    }
}

impl Shard {
    /// The groups that have changed since their last snapshot.
    pub fn dirty_groups(&self) -> Vec<u32> {
        self.groups.dirty()
    }

    /// All groups, by their numbers within the shard.
    pub fn groups(&self) -> Vec<GroupId> {
        self.groups.ids()
    }

    /// Groups that hold more finished chunks than they should, to be handed over before the next
    /// checkpoint. Each is given once.
    pub fn urgent_groups(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.urgent)
    }

    /// One group as it is now; it counts as unchanged from here on.
    pub fn snapshot(&mut self, group: u32) -> Result<GroupSnapshot, StateError> {
        let members: Vec<Option<MemberRef<'_>>> = self
            .groups
            .get(group)
            .members
            .iter()
            .map(|at| self.stored((*at)?))
            .collect();
        let state = if members.iter().all(Option::is_none) {
            Vec::new()
        } else {
            state::encode(&members)?
        };
        let group = self.groups.get_mut(group);
        group.dirty = false;
        Ok(GroupSnapshot {
            id: group.id,
            state,
            chunks: group.hand_over(),
            newest_ms: group.newest_ms,
        })
    }

    fn stored(&self, at: u32) -> Option<MemberRef<'_>> {
        let state = match self.table.home(at) {
            Home::Tracked(n) => StateRef::Tracked(&self.tracked.get(n)?.track),
            Home::Plain(n) => StateRef::Plain(&self.plain.get(n)?.head),
            Home::Histogram(h) => {
                let slot = self.histograms.get(h)?;
                let floats = slot.floats.and_then(|n| self.tracked.get(n));
                StateRef::Histogram(slot.stored(floats.map(|f| &f.track)))
            }
            Home::Nowhere => return None,
        };
        Some(MemberRef {
            labels: self.table.labels(at),
            state,
        })
    }

    /// Brings back a stored group; gives the number of its series and those that belong elsewhere:
    /// before version 2 the parts of a histogram were not kept together. Series that the rules of
    /// today leave out are forgotten. [`Shard::settle`] must follow when all groups are back.
    pub fn restore(
        &mut self,
        id: GroupId,
        state: &[u8],
        newest_ms: i64,
        now_ms: i64,
    ) -> Result<(usize, Vec<Stray>), StateError> {
        let members = state::decode(state).inspect_err(|_| self.groups.reserve(id))?;
        let group = self.groups.restore(id, newest_ms);
        let mut restored = 0;
        let mut strays = Vec::new();
        for member in members {
            let position = self.groups.get(group).members.len() as u16;
            let at = member.and_then(|member| {
                let stray = Stray { member, now_ms };
                if stray.partition() != usize::from(id.partition) {
                    strays.push(stray);
                    self.groups.get_mut(group).dirty = true;
                    return None;
                }
                let at = self.admit_stored(&stray.member)?;
                self.put_stored(at, (group, position), stray);
                Some(at)
            });
            restored += usize::from(at.is_some());
            let group = self.groups.get_mut(group);
            group.members.push(at);
            // What it had finished is in the store.
            group.lose(position);
        }
        self.groups.restored(group);
        self.tally.publish(&self.parts.metrics);
        Ok((restored, strays))
    }

    /// Takes in a series that was stored in another partition. Chunks that it had finished stay
    /// behind.
    pub fn adopt(&mut self, stray: Stray) {
        if let Some(at) = self.admit_stored(&stray.member) {
            let place = self.groups.place(stray.partition(), at);
            self.groups.get_mut(place.0).lose(place.1);
            // Retention counts from the newest sample of a group.
            self.touch(
                place.0,
                stray.member.state.last_ms().unwrap_or(stray.now_ms),
            );
            self.put_stored(at, place, stray);
        }
    }

    /// Makes room for a stored series, if it is to come back.
    fn admit_stored(&mut self, member: &Member) -> Option<u32> {
        let labels = &member.labels;
        let fp = fingerprint(labels);
        let room = match &member.state {
            State::Histogram(h) => h.admitted(),
            State::Tracked(_) | State::Plain(_) => 1,
        };
        let derived = matches!(member.state, State::Histogram(_));
        let spec = self.parts.specs.find(labels);
        let left_out = !derived && !self.parts.specs.get(spec).model;
        if left_out
            || self.table.peek(fp, labels).is_some()
            || !self.parts.admission.admit_all(room)
        {
            return None;
        }
        Some(self.table.insert(fp, labels))
    }

    fn put_stored(&mut self, at: u32, place: (u32, u16), stray: Stray) {
        // As the store counts: a restart does not make a silent series look alive.
        let now_ms = stray.now_ms;
        let arrived = |last_ms: Option<i64>| last_ms.unwrap_or(now_ms).min(now_ms);
        let arrived_ms = arrived(stray.member.state.last_ms());
        match stray.member.state {
            State::Tracked(mut track) => {
                let labels = self.table.labels(at);
                let spec = self.parts.specs.find(labels);
                track.declare(self.parts.specs.get(spec), self.declared(labels));
                let n = self.put_tracked(at, place, spec, *track, Shown::ended(), arrived_ms);
                self.table.settle(at, Home::Tracked(n));
            }
            State::Plain(head) => {
                self.put_plain(at, place, *head, arrived_ms);
            }
            State::Histogram(stored) => {
                self.restore_histogram(at, place, *stored, arrived_ms);
            }
        }
    }

    /// Ends the restoring: the parts of histograms find them again. Groups are written one by one,
    /// so after a crash they may be of different times, and a part may lack its histogram or the
    /// other way round.
    pub fn settle(&mut self, now_ms: i64) {
        let all = self.table.end();
        for at in 0..all {
            // Buckets, and the histograms that they need.
            self.link(at, false, now_ms);
        }
        for at in 0..all {
            match self.table.home(at) {
                Home::Tracked(n) if self.is_part_of_known(self.table.labels(at)) => {
                    self.demote(at, n);
                    self.link(at, false, now_ms);
                }
                Home::Plain(n) if self.plain.get(n).is_some_and(|s| s.part.is_none()) => {
                    self.link(at, false, now_ms);
                    if self.plain.get(n).is_some_and(|s| s.part.is_none()) {
                        self.promote(at, n);
                    }
                }
                _ => {}
            }
        }
        for at in 0..all {
            if let Home::Histogram(h) = self.table.home(at) {
                self.end_classic_without_buckets(h);
                self.dissolve_if_empty(h);
            }
        }
        self.tally.publish(&self.parts.metrics);
    }

    /// True if a group has more finished chunks than it should hold back.
    pub(super) fn is_overfull(&self, group: u32) -> bool {
        self.groups.get(group).closed.len() > groups::CLOSED_MAX
    }
}
