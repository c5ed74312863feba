//! Groups of neighbouring series: what one shard writes as one value.
//!
//! A group belongs to one partition of fingerprints and holds up to [`GROUP_SERIES`] series in order
//! of first arrival. A series keeps its position for life, a forgotten one leaves a gap; so blocks
//! on disk can name a series by group and position.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::keep::{ClosedChunk, GROUP_SERIES, GroupId, KeptFor, PARTITIONS};
use crate::window::encoding::Encoding;

/// Finished chunks that a group holds back when the store does not take them; the oldest go first.
pub const CLOSED_MAX: usize = 4 * GROUP_SERIES;

/// One group in memory.
#[derive(Debug)]
pub struct Group {
    pub id: GroupId,
    /// Slot of each member, `None` where one was forgotten.
    pub members: Vec<Option<u32>>,
    /// Something changed since the last snapshot.
    pub dirty: bool,
    /// Finished chunks that go with the next snapshot.
    pub closed: Vec<ClosedChunk>,
    /// Those of earlier snapshots that the store may not have yet.
    handed: Vec<Arc<[ClosedChunk]>>,
    /// The series and parts of which the store has an appendix, as far as it was told.
    pub appendices: BTreeSet<(u16, u8)>,
    /// Positions of which samples have left memory (to the store, or for good), one bit each.
    gone: u128,
    pub newest_ms: i64,
    /// How long its samples are kept, each once; new series join only groups that keep theirs as long
    /// as they do.
    pub kept_for: Vec<KeptFor>,
}

const _: () = assert!(GROUP_SERIES <= u128::BITS as usize);

impl Group {
    fn new(id: GroupId) -> Self {
        Self {
            id,
            members: Vec::new(),
            dirty: true,
            closed: Vec::new(),
            handed: Vec::new(),
            appendices: BTreeSet::new(),
            gone: 0,
            newest_ms: i64::MIN,
            kept_for: Vec::new(),
        }
    }

    /// A member's samples are to be kept so long.
    pub fn keep_for(&mut self, kept_for: KeptFor) {
        if !self.kept_for.contains(&kept_for) {
            self.kept_for.push(kept_for);
        }
    }

    /// True if a series whose samples are kept for so long may join.
    fn keeps_for(&self, kept_for: KeptFor) -> bool {
        match &self.kept_for[..] {
            [] => kept_for == KeptFor::default(),
            all => all == [kept_for],
        }
    }

    /// Memory of finished chunks, in bytes.
    fn chunk_bytes(&self) -> usize {
        let chunks = self.handed.iter().flat_map(|chunks| chunks.iter());
        let bytes: usize = chunks
            .chain(&self.closed)
            .map(|c| c.bytes.capacity() + size_of::<ClosedChunk>())
            .sum();
        bytes + (self.closed.capacity() - self.closed.len()) * size_of::<ClosedChunk>()
    }

    /// Takes a finished chunk until the next snapshot. Gives true if an older one had to go.
    pub fn close(&mut self, chunk: ClosedChunk) -> bool {
        let full = self.closed.len() >= CLOSED_MAX;
        if full {
            let oldest = self.closed.remove(0);
            self.lose(oldest.position);
        }
        self.closed.push(chunk);
        full
    }

    /// Puts the chunks of a series in the place of those that it had finished, in order of time.
    /// There may be more of them than [`CLOSED_MAX`]: the group is to be handed over soon.
    pub fn replace(&mut self, position: u16, chunks: Vec<ClosedChunk>) {
        // What is to be said again of what came live is so still.
        self.closed
            .retain(|c| c.position != position || c.encoding == Encoding::Anchor);
        self.closed.extend(chunks);
        self.dirty = true;
    }

    /// Lets go of what was handed over and is on disk.
    pub fn let_go(&mut self) {
        let mut gone = self.gone;
        self.handed.retain(|chunks| {
            let waits = Arc::strong_count(chunks) > 1;
            if !waits {
                let samples = chunks.iter().filter(|c| c.encoding != Encoding::Anchor);
                gone |= samples.fold(0, |bits, c| bits | bit(c.position));
            }
            waits
        });
        self.gone = gone;
    }

    /// The finished chunks for a snapshot. They stay readable here until the store has dropped its
    /// share of them, which it does when they are on disk.
    pub fn hand_over(&mut self) -> Arc<[ClosedChunk]> {
        self.let_go();
        let chunks: Arc<[ClosedChunk]> = std::mem::take(&mut self.closed).into();
        if !chunks.is_empty() {
            self.handed.push(Arc::clone(&chunks));
        }
        chunks
    }

    /// The finished chunks of a series that are in memory, in no order.
    pub fn finished(&self, position: u16) -> impl Iterator<Item = &ClosedChunk> {
        let handed = self.handed.iter().flat_map(|chunks| chunks.iter());
        handed
            .chain(&self.closed)
            .filter(move |c| c.position == position)
    }

    /// Samples of this series are no longer in memory.
    pub fn lose(&mut self, position: u16) {
        self.gone |= bit(position);
    }

    /// True if every sample of the series since its birth is in memory.
    pub fn is_whole(&self, position: u16) -> bool {
        self.gone & bit(position) == 0
    }
}

fn bit(position: u16) -> u128 {
    1 << (usize::from(position) % GROUP_SERIES)
}

/// All groups of one shard.
#[derive(Debug)]
pub struct Groups {
    groups: Vec<Group>,
    /// The groups of each partition.
    of: Vec<Vec<u32>>,
    /// The groups of each partition that new series go to, one for each time that samples are kept.
    open: Vec<Vec<u32>>,
    /// The next number of each partition.
    next: [u32; PARTITIONS],
}

impl Groups {
    pub fn new() -> Self {
        Self {
            groups: Vec::new(),
            of: vec![Vec::new(); PARTITIONS],
            open: vec![Vec::new(); PARTITIONS],
            next: [0; PARTITIONS],
        }
    }

    pub fn get(&self, at: u32) -> &Group {
        &self.groups[at as usize]
    }

    /// The same for a number from elsewhere.
    pub fn try_get(&self, at: u32) -> Option<&Group> {
        self.groups.get(at as usize)
    }

    pub fn get_mut(&mut self, at: u32) -> &mut Group {
        &mut self.groups[at as usize]
    }

    /// Gives a new series its place: (group, position), in a group that keeps samples for so long.
    pub fn place(&mut self, partition: usize, slot: u32, kept_for: KeptFor) -> (u32, u16) {
        let open = self.open[partition].iter().copied();
        let at = open
            .into_iter()
            .find(|at| self.get(*at).keeps_for(kept_for))
            .unwrap_or_else(|| {
                let id = GroupId {
                    partition: partition as u8,
                    number: self.next[partition],
                };
                self.next[partition] += 1;
                let at = self.push(id);
                self.groups[at as usize].keep_for(kept_for);
                self.open[partition].push(at);
                at
            });
        let group = &mut self.groups[at as usize];
        // Most groups have a few members for long.
        if group.members.len() == group.members.capacity() {
            let room = (group.members.len() / 2).clamp(4, GROUP_SERIES);
            group.members.reserve_exact(room);
        }
        group.members.push(Some(slot));
        group.dirty = true;
        let position = group.members.len() - 1;
        if group.members.len() >= GROUP_SERIES {
            self.open_again(partition);
        }
        (at, position as u16)
    }

    /// Gives the number of a stored group to no other: what is on disk under it is its own.
    pub fn reserve(&mut self, id: GroupId) {
        let next = &mut self.next[usize::from(id.partition)];
        *next = (*next).max(id.number.saturating_add(1));
    }

    /// Brings back a stored group, without members yet.
    pub fn restore(&mut self, id: GroupId, newest_ms: i64) -> u32 {
        self.reserve(id);
        let at = self.push(id);
        let group = &mut self.groups[at as usize];
        group.dirty = false;
        group.newest_ms = newest_ms;
        at
    }

    /// Ends the restoring of a group: if it has room, new series of its partition go there, unless an
    /// older one has room.
    pub fn restored(&mut self, at: u32) {
        let partition = usize::from(self.groups[at as usize].id.partition);
        self.open_again(partition);
    }

    /// New series go to the oldest groups of a partition that have room.
    fn open_again(&mut self, partition: usize) {
        let with_room = self.of[partition].iter().copied();
        let mut open: Vec<u32> = with_room
            .filter(|at| self.get(*at).members.len() < GROUP_SERIES)
            .collect();
        open.sort_unstable_by_key(|at| self.get(*at).id.number);
        self.open[partition] = open;
    }

    /// Lets go of all that was handed over and is on disk.
    pub fn let_go(&mut self) {
        self.groups.iter_mut().for_each(Group::let_go);
    }

    /// Memory of finished chunks.
    pub fn chunk_bytes(&self) -> usize {
        self.groups.iter().map(Group::chunk_bytes).sum()
    }

    /// Memory of the rest.
    pub fn heap_bytes(&self) -> usize {
        let members = |g: &Group| g.members.capacity() * size_of::<Option<u32>>();
        let lists = |l: &Vec<u32>| l.capacity() * 4 + size_of::<Vec<u32>>();
        self.groups.iter().map(members).sum::<usize>()
            + self.groups.capacity() * size_of::<Group>()
            + self.of.iter().chain(&self.open).map(lists).sum::<usize>()
    }

    /// The groups that changed.
    pub fn dirty(&self) -> Vec<u32> {
        (0..self.groups.len() as u32)
            .filter(|at| self.get(*at).dirty)
            .collect()
    }

    /// The partitions of which a group changed.
    pub fn dirty_partitions(&self) -> impl Iterator<Item = u8> {
        (0..PARTITIONS)
            .filter(|p| self.of[*p].iter().any(|at| self.get(*at).dirty))
            .map(|p| p as u8)
    }

    /// The groups of a partition.
    pub fn of(&self, partition: u8) -> &[u32] {
        &self.of[usize::from(partition)]
    }

    /// The ids of all groups, in order of their numbers here.
    pub fn ids(&self) -> Vec<GroupId> {
        self.groups.iter().map(|g| g.id).collect()
    }

    fn push(&mut self, id: GroupId) -> u32 {
        self.groups.push(Group::new(id));
        let at = (self.groups.len() - 1) as u32;
        self.of[usize::from(id.partition)].push(at);
        at
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self::new()
    }
}
