//! Groups out to the store and back from it.

use super::{Announced, Shard};
use crate::engine::groups;
use crate::engine::keep::{Appendix, Cut, Family, GroupId, GroupSnapshot, PARTITIONS};
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
    pub(super) fn new(member: Member, now_ms: i64) -> Self {
        Self { member, now_ms }
    }

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

    /// True if the series of this partition are here.
    pub fn owns(&self, partition: u8) -> bool {
        usize::from(partition) % self.parts.shards == self.parts.index
    }

    /// The partitions that have changed since their last cut.
    pub fn dirty_partitions(&self) -> Vec<u8> {
        self.groups.dirty_partitions().collect()
    }

    /// Partitions that hold more finished chunks than they should, to be cut before the next
    /// checkpoint. Each is given once.
    pub fn urgent_partitions(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.urgent)
    }

    /// Has a partition cut before the next checkpoint.
    pub(super) fn hurry(&mut self, group: u32) {
        let partition = self.groups.get(group).id.partition;
        if !self.urgent.contains(&partition) {
            self.urgent.push(partition);
        }
    }

    /// Number of the newest record that this shard has taken, with all before it that concern it.
    pub fn applied(&self) -> u64 {
        self.applied
    }

    /// Every record up to this one that concerns this shard has been taken.
    pub fn advance(&mut self, seq: u64) {
        self.applied = self.applied.max(seq);
        while let Some(family) = self.expected.pop_front_if(|f| f.seq <= seq) {
            self.announce(&family.name, family.kind, family.seq);
        }
    }

    /// See [`crate::engine::pool::Pool::resume`].
    pub fn resume(&mut self, covered: &[u64; PARTITIONS], applied: u64, families: &[Family]) {
        self.restored_to = Some(Box::new(*covered));
        self.expected.extend(families.iter().cloned());
        self.advance(applied);
    }

    /// The record up to which a partition has everything.
    fn reached(&self, partition: u8) -> u64 {
        let restored = self.restored_to.as_ref();
        let restored = restored.map_or(0, |all| all[usize::from(partition)]);
        self.applied.max(restored)
    }

    /// How many families are known.
    pub fn families_known(&self) -> usize {
        self.families.len()
    }

    /// All families that are known, in the order in which they were announced.
    pub fn families_in_order(&self) -> Vec<Family> {
        let known = self.families.iter();
        let mut all: Vec<_> = known
            .map(|(name, known)| (known.order, &**name, known))
            .collect();
        all.sort_unstable_by_key(|(order, ..)| *order);
        let family = |(_, name, known): (u32, &str, &Announced)| Family {
            name: name.into(),
            kind: known.kind,
            seq: known.seq,
        };
        all.into_iter().map(family).collect()
    }

    /// A partition as it is now, if anything in it changed or if all of it is asked for; it counts as
    /// unchanged from here on.
    ///
    /// # Errors
    /// If a group cannot be written; nothing counts as handed over then.
    pub fn cut(&mut self, partition: u8, whole: bool) -> Result<Option<Cut>, StateError> {
        let groups = self.groups.of(partition).iter().copied();
        let wanted: Vec<u32> = groups
            .filter(|at| whole || self.groups.get(*at).dirty)
            .collect();
        // Before the states, which count from them.
        let mut appendices: Vec<_> = wanted
            .iter()
            .map(|at| self.appendices(*at, whole))
            .collect();
        let states: Result<Vec<_>, _> = wanted.iter().map(|at| self.encode(*at)).collect();
        if states.is_err() {
            wanted
                .iter()
                .for_each(|at| self.appendices_not_written(*at));
        }
        let groups: Vec<_> = wanted
            .into_iter()
            .zip(states?.into_iter().zip(appendices.drain(..)))
            .map(|(group, (state, appendices))| self.hand_over(group, state, appendices))
            .collect();
        Ok((whole || !groups.is_empty()).then_some(Cut {
            partition,
            seq: self.reached(partition),
            groups,
            whole,
        }))
    }

    /// One group as it is now; it counts as unchanged from here on.
    pub fn snapshot(&mut self, group: u32) -> Result<GroupSnapshot, StateError> {
        let appendices = self.appendices(group, false);
        let state = self
            .encode(group)
            .inspect_err(|_| self.appendices_not_written(group))?;
        Ok(self.hand_over(group, state, appendices))
    }

    /// One group with everything in it that its appendices have, for a comparison. They are given
    /// again with the next snapshot.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn whole_state(&mut self, group: u32) -> Result<Vec<u8>, StateError> {
        self.appendices_not_written(group);
        self.encode(group)
    }

    fn encode(&self, group: u32) -> Result<Vec<u8>, StateError> {
        let members: Vec<Option<MemberRef<'_>>> = self
            .groups
            .get(group)
            .members
            .iter()
            .map(|at| self.stored((*at)?))
            .collect();
        if members.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        state::encode(&members)
    }

    fn hand_over(
        &mut self,
        group: u32,
        state: Vec<u8>,
        appendices: Vec<Appendix>,
    ) -> GroupSnapshot {
        let (asleep, sleepers) = self.sleepers(group);
        let group = self.groups.get_mut(group);
        group.dirty = false;
        GroupSnapshot {
            asleep,
            sleepers,
            kept_for: group.kept_for.clone(),
            id: group.id,
            state,
            chunks: group.hand_over(),
            appendices,
            newest_ms: group.newest_ms,
        }
    }

    fn stored(&self, at: u32) -> Option<MemberRef<'_>> {
        let (state, waits) = match self.table.home(at) {
            Home::Tracked(n) => {
                let slot = self.tracked.get(n)?;
                (StateRef::Tracked(&slot.track), slot.waits)
            }
            Home::Plain(n) => {
                let slot = self.plain.get(n)?;
                (StateRef::Plain(&slot.head), slot.waits)
            }
            Home::Histogram(h) => {
                let slot = self.histograms.get(h)?;
                let floats = slot.floats.and_then(|n| self.tracked.get(n));
                let stored = slot.stored(floats.map(|f| &f.track));
                (StateRef::Histogram(stored), slot.waits)
            }
            Home::Asleep(n) => (StateRef::Asleep(self.asleep.get(n)?.sleeper), false),
            Home::Nowhere => return None,
        };
        Some(MemberRef {
            labels: self.table.labels(at),
            state,
            waits,
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
        let appendices = self.appendices_of.remove(&id).unwrap_or_default();
        let group = self.groups.restore(id, newest_ms);
        let mut restored = 0;
        let mut strays = Vec::new();
        for appendix in &appendices {
            let of = (appendix.position, appendix.part);
            self.groups.get_mut(group).appendices.insert(of);
        }
        for mut member in members {
            let position = self.groups.get(group).members.len() as u16;
            if let Some(member) = &mut member {
                self.rejoin(member, &appendices, position);
            }
            let at = member.and_then(|member| {
                let kept_for = self.parts.specs.kept_for(&member.labels);
                self.groups.get_mut(group).keep_for(kept_for);
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
        self.publish();
        Ok((restored, strays))
    }

    /// Takes in a series that was stored in another partition. Chunks that it had finished stay
    /// behind.
    pub fn adopt(&mut self, stray: Stray) {
        if let Some(at) = self.admit_stored(&stray.member) {
            let kept_for = self.parts.specs.kept_for(&stray.member.labels);
            let place = self.groups.place(stray.partition(), at, kept_for);
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
            State::Tracked(_) | State::Plain(_) | State::Asleep(_) => 1,
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

    pub(super) fn put_stored(&mut self, at: u32, place: (u32, u16), stray: Stray) {
        // As the store counts: a restart does not make a silent series look alive.
        let now_ms = stray.now_ms;
        let arrived = |last_ms: Option<i64>| last_ms.unwrap_or(now_ms).min(now_ms);
        let arrived_ms = arrived(stray.member.state.last_ms());
        let waits = stray.member.waits && self.parts.wants_history;
        match stray.member.state {
            State::Tracked(track) => {
                let labels = self.table.labels(at);
                let spec = self.parts.specs.find(labels);
                let n = self.put_tracked(at, place, spec, *track, Shown::ended(), arrived_ms);
                self.hears_again(n);
                self.table.settle(at, Home::Tracked(n));
                self.add_kin(at, place);
            }
            State::Plain(head) => {
                self.put_plain(at, place, *head, arrived_ms);
            }
            State::Histogram(stored) => {
                self.restore_histogram(at, place, *stored, arrived_ms);
            }
            State::Asleep(sleeper) => {
                self.lay_down(at, place, sleeper, arrived_ms, None);
                if !sleeper.plain {
                    self.add_kin(at, place);
                }
            }
        }
        if waits {
            self.wait_again(at, place, arrived_ms);
        }
    }

    /// Ends the restoring: the parts of histograms find them again. After damage a part may lack its
    /// histogram or the other way round.
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
        self.publish();
    }

    /// True if a group has more finished chunks than it should hold back.
    pub(super) fn is_overfull(&self, group: u32) -> bool {
        self.groups.get(group).closed.len() > groups::CLOSED_MAX
    }
}
