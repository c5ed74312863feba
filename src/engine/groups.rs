//! Groups of neighbouring series: what one shard writes as one value.
//!
//! A group belongs to one partition of fingerprints and holds up to [`GROUP_SERIES`] series in order
//! of first arrival. A series keeps its position for life, a forgotten one leaves a gap; so blocks
//! on disk can name a series by group and position.

use serde::{Deserialize, Serialize};

use super::keep::{ClosedChunk, GROUP_SERIES, GroupId, PARTITIONS};
use crate::score::track::Track;
use crate::window::encoding::Encoding;
use crate::window::head::Finished;

/// First byte of a group's state.
const VERSION: u8 = 1;
/// Finished chunks that a group holds back when the store does not take them; the oldest go first.
const CLOSED_MAX: usize = 4 * GROUP_SERIES;

/// A group's state as stored, borrowed for writing.
#[derive(Debug, Serialize)]
pub struct MemberRef<'a> {
    #[serde(with = "bytes")]
    pub labels: &'a [u8],
    pub track: &'a Track,
}

/// The same, owned, as read back.
#[derive(Debug, Deserialize)]
pub struct Member {
    pub labels: Vec<u8>,
    pub track: Track,
}

mod bytes {
    pub(super) fn serialize<S: serde::Serializer>(v: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(v)
    }
}

/// Why stored state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("group state has version {0}, this saimon reads version {VERSION}")]
    Version(u8),
    #[error("group state is damaged: {0}")]
    Damaged(#[from] postcard::Error),
}

/// Writes the members of a group, gaps included.
pub fn encode(members: &[Option<MemberRef<'_>>]) -> Result<Vec<u8>, StateError> {
    let out = Vec::with_capacity(members.len() * 1024);
    let mut out = postcard::to_extend(&VERSION, out)?;
    out = postcard::to_extend(members, out)?;
    Ok(out)
}

/// Reads what [`encode`] wrote.
pub fn decode(state: &[u8]) -> Result<Vec<Option<Member>>, StateError> {
    match state.split_first() {
        Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
        Some((&other, _)) => Err(StateError::Version(other)),
        None => Ok(Vec::new()),
    }
}

/// One group in memory.
#[derive(Debug)]
pub struct Group {
    pub id: GroupId,
    /// Slot of each member, `None` where one was forgotten.
    pub members: Vec<Option<u32>>,
    /// Something changed since the last snapshot.
    pub dirty: bool,
    pub closed: Vec<ClosedChunk>,
    pub newest_ms: i64,
}

impl Group {
    fn new(id: GroupId) -> Self {
        Self {
            id,
            members: Vec::new(),
            dirty: true,
            closed: Vec::new(),
            newest_ms: i64::MIN,
        }
    }

    /// Takes a finished chunk until the next snapshot. Gives true if an older one had to go.
    pub fn close(&mut self, position: u16, chunk: Finished) -> bool {
        let full = self.closed.len() >= CLOSED_MAX;
        if full {
            self.closed.remove(0);
        }
        self.closed.push(ClosedChunk {
            position,
            first_ms: chunk.first_ms,
            last_ms: chunk.last_ms,
            samples: chunk.samples,
            encoding: Encoding::Xor,
            bytes: chunk.bytes,
        });
        full
    }
}

/// All groups of one shard.
#[derive(Debug)]
pub struct Groups {
    groups: Vec<Group>,
    /// The group of each partition that still has room.
    open: [Option<u32>; PARTITIONS],
    /// The next number of each partition.
    next: [u32; PARTITIONS],
}

impl Groups {
    pub fn new() -> Self {
        Self {
            groups: Vec::new(),
            open: [None; PARTITIONS],
            next: [0; PARTITIONS],
        }
    }

    pub fn get(&self, at: u32) -> &Group {
        &self.groups[at as usize]
    }

    pub fn get_mut(&mut self, at: u32) -> &mut Group {
        &mut self.groups[at as usize]
    }

    /// Gives a new series its place: (group, position).
    pub fn place(&mut self, partition: usize, slot: u32) -> (u32, u16) {
        let at = self.open[partition].unwrap_or_else(|| {
            let id = GroupId {
                partition: partition as u8,
                number: self.next[partition],
            };
            self.next[partition] += 1;
            self.push(id)
        });
        let group = &mut self.groups[at as usize];
        group.members.push(Some(slot));
        group.dirty = true;
        let position = group.members.len() - 1;
        self.open[partition] = (group.members.len() < GROUP_SERIES).then_some(at);
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

    /// Ends the restoring of a group: if it has room, new series of its partition go there.
    pub fn restored(&mut self, at: u32) {
        let group = &self.groups[at as usize];
        if group.members.len() < GROUP_SERIES {
            self.open[usize::from(group.id.partition)] = Some(at);
        }
    }

    /// The groups that changed.
    pub fn dirty(&self) -> Vec<u32> {
        (0..self.groups.len() as u32)
            .filter(|at| self.get(*at).dirty)
            .collect()
    }

    fn push(&mut self, id: GroupId) -> u32 {
        self.groups.push(Group::new(id));
        (self.groups.len() - 1) as u32
    }
}

impl Default for Groups {
    fn default() -> Self {
        Self::new()
    }
}
