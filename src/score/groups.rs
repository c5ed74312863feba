//! Groups of series by their labels, and what each is worth now.
//!
//! Worked out from the board when a page is asked for: no shard does anything for it but say what its
//! newest samples are worth. Which groups a series is in is remembered, so that a page compares label
//! bytes only of series that are new. What always holds: there are no more groups than the spec says;
//! a member whose newest sample is no longer of now says nothing to the score of its group; groups are
//! given in the order of their labels. What it does not know: series that share no label and still
//! move together.

pub mod joint;
mod spec;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use self::joint::Joined;
use self::spec::Kind;
pub use self::spec::{GroupError, GroupSpec};
use super::board::{AlarmState, Block, Board, Entry};
use super::scale;
use crate::model::group;
use crate::series::labels;

/// The label that says by which labels a group is one.
pub const BY: &str = "group_by";
/// A group of fewer is its member.
const MEMBERS_MIN: u32 = 2;
/// Intervals of a series for which its newest sample is of now ...
const NOW_INTERVALS: f64 = 4.0;
/// ... and what it may take on the way besides, in milliseconds.
const NOW_SLACK_MS: f64 = 10_000.0;
/// In no group.
const NONE: u32 = u32::MAX;

/// Until when a sample that arrived at `arrived_ms` counts for the groups of its series, which has one
/// every `interval_ms`.
pub fn counts_until(arrived_ms: i64, interval_ms: f64) -> i64 {
    arrived_ms.saturating_add((NOW_INTERVALS * interval_ms + NOW_SLACK_MS) as i64)
}

/// What makes a group one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    kind: Arc<Kind>,
    /// The value of each label of the kind, in its order.
    pub values: Box<[Box<str>]>,
}

impl Group {
    /// By which labels it is one, as the configuration has it.
    pub fn by(&self) -> &str {
        &self.kind.text
    }

    /// The names of those labels, in the order of its values.
    pub fn names(&self) -> &[Box<str>] {
        &self.kind.names
    }
}

/// A group now.
#[derive(Debug, Clone)]
pub struct Standing {
    pub group: Arc<Group>,
    /// Members that have a score.
    pub members: u32,
    /// Members with an active anomaly.
    pub anomalous: u32,
    /// Evidence of all together, in units of the line.
    pub deviation: f32,
}

impl Standing {
    /// As the scores of series are.
    pub fn score(&self) -> f32 {
        scale::shown(f64::from(self.deviation))
    }

    /// Share of its members that are anomalous.
    pub fn ratio(&self) -> f64 {
        f64::from(self.anomalous) / f64::from(self.members.max(1))
    }
}

/// All groups now.
#[derive(Debug, Clone, Default)]
pub struct Standings {
    pub groups: Vec<Standing>,
    /// Memberships for which there was no room.
    pub left_out: usize,
}

/// The groups of a board.
#[derive(Debug)]
pub struct Groups {
    memo: Mutex<Memo>,
    joint: Arc<Joined>,
}

/// Who was in which group when the last page was made.
#[derive(Debug, Default)]
struct Memo {
    spec: Arc<GroupSpec>,
    /// By where a block's entries lie, which they do for ever.
    blocks: HashMap<usize, Known>,
    groups: Vec<Option<Gathering>>,
    free: Vec<u32>,
    numbers: HashMap<Vec<u8>, u32>,
}

/// The entries of one block.
#[derive(Debug)]
struct Known {
    holders: Vec<Option<u64>>,
    /// As many numbers of groups for each entry as there are kinds.
    groups: Vec<u32>,
}

#[derive(Debug)]
struct Gathering {
    group: Arc<Group>,
    key: Vec<u8>,
    /// Series of this group, with a score or without.
    series: u32,
    members: u32,
    anomalous: u32,
    evidences: Vec<f32>,
}

impl Default for Groups {
    /// As without a configuration.
    fn default() -> Self {
        Self::new(GroupSpec::default())
    }
}

impl Groups {
    pub fn new(spec: GroupSpec) -> Self {
        let groups = Self {
            memo: Mutex::default(),
            joint: Arc::default(),
        };
        groups.renew(spec);
        groups
    }

    /// Groups by other labels from the next page on. What is said of series that move together stays by
    /// those that it was by.
    pub fn renew(&self, spec: GroupSpec) {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        if *memo.spec != spec {
            *memo = Memo {
                spec: Arc::new(spec),
                ..Memo::default()
            };
        }
    }

    /// With what is said of series that move together.
    pub fn with_joint(&mut self, joint: Arc<Joined>) {
        self.joint = joint;
    }

    /// What is said of series that move together.
    pub fn joint(&self) -> &Joined {
        &self.joint
    }

    /// What every group of at least two members is worth at this time.
    pub fn now(&self, board: &Board, now_ms: i64) -> Standings {
        let mut memo = self.memo.lock().unwrap_or_else(PoisonError::into_inner);
        let spec = Arc::clone(&memo.spec);
        if spec.kinds.is_empty() {
            return Standings::default();
        }
        memo.begin();
        let mut left_out = 0;
        for block in board.blocks() {
            left_out += memo.take(&spec, &block, now_ms);
        }
        memo.forget_empty();
        Standings {
            groups: memo.standings(),
            left_out,
        }
    }
}

impl Memo {
    fn begin(&mut self) {
        for gathering in self.groups.iter_mut().flatten() {
            gathering.series = 0;
            gathering.members = 0;
            gathering.anomalous = 0;
            gathering.evidences.clear();
        }
    }

    /// Looks at every entry of a block; how many memberships there was no room for.
    fn take(&mut self, spec: &GroupSpec, block: &Block, now_ms: i64) -> usize {
        let kinds = spec.kinds.len();
        let entries: &[Entry] = block;
        let at = entries.as_ptr() as usize;
        let mut known = self.blocks.remove(&at).unwrap_or_else(|| Known {
            holders: vec![None; entries.len()],
            groups: vec![NONE; entries.len() * kinds],
        });
        let mut left_out = 0;
        for (i, entry) in entries.iter().enumerate() {
            let Some(holder) = entry.holder() else {
                known.holders[i] = None;
                continue;
            };
            let groups = &mut known.groups[i * kinds..][..kinds];
            if known.holders[i] != Some(holder) {
                let Some(canonical) = block.labels(i) else {
                    known.holders[i] = None;
                    continue;
                };
                let mut room = true;
                for (kind, number) in spec.kinds.iter().zip(groups.iter_mut()) {
                    *number = match self.number(spec, kind, &canonical) {
                        Ok(number) => number,
                        Err(NoRoom) => {
                            room = false;
                            left_out += 1;
                            NONE
                        }
                    };
                }
                // Those without room are looked at again: some may have become free.
                known.holders[i] = room.then_some(holder);
            }
            for number in groups.iter() {
                if let Some(Some(gathering)) = self.groups.get_mut(*number as usize) {
                    gathering.hear(entry, now_ms);
                }
            }
        }
        self.blocks.insert(at, known);
        left_out
    }

    /// The group of a kind that a series is in; [`NONE`] if it lacks a label.
    fn number(
        &mut self,
        spec: &GroupSpec,
        kind: &Arc<Kind>,
        canonical: &[u8],
    ) -> Result<u32, NoRoom> {
        let values: Option<Vec<&str>> = kind
            .names
            .iter()
            .map(|name| labels::get(canonical, name))
            .collect();
        let Some(values) = values else {
            return Ok(NONE);
        };
        let mut key = vec![kind.number as u8];
        for value in &values {
            key.extend_from_slice(&(value.len() as u32).to_le_bytes());
            key.extend_from_slice(value.as_bytes());
        }
        if let Some(number) = self.numbers.get(&key) {
            return Ok(*number);
        }
        if self.numbers.len() >= spec.max {
            return Err(NoRoom);
        }
        let group = Arc::new(Group {
            kind: Arc::clone(kind),
            values: values.into_iter().map(Box::from).collect(),
        });
        let gathering = Some(Gathering {
            group,
            key: key.clone(),
            series: 0,
            members: 0,
            anomalous: 0,
            evidences: Vec::new(),
        });
        let number = match self.free.pop() {
            Some(number) => {
                self.groups[number as usize] = gathering;
                number
            }
            None => {
                self.groups.push(gathering);
                (self.groups.len() - 1) as u32
            }
        };
        self.numbers.insert(key, number);
        Ok(number)
    }

    /// Gives up the groups that no series is in any more.
    fn forget_empty(&mut self) {
        for (number, place) in self.groups.iter_mut().enumerate() {
            if let Some(gathering) = place.take_if(|g| g.series == 0) {
                self.numbers.remove(&gathering.key);
                self.free.push(number as u32);
            }
        }
    }

    fn standings(&mut self) -> Vec<Standing> {
        let standing = |gathering: &mut Gathering| Standing {
            group: Arc::clone(&gathering.group),
            members: gathering.members,
            anomalous: gathering.anomalous,
            deviation: group::together(&mut gathering.evidences),
        };
        let mut standings: Vec<Standing> = self
            .groups
            .iter_mut()
            .flatten()
            .filter(|g| g.members >= MEMBERS_MIN)
            .map(standing)
            .collect();
        standings.sort_by(|a, b| a.group.cmp(&b.group));
        standings
    }
}

/// There are as many groups as there may be.
struct NoRoom;

impl Gathering {
    fn hear(&mut self, entry: &Entry, now_ms: i64) {
        self.series += 1;
        if entry.score().is_none() {
            return;
        }
        self.members += 1;
        let active = |state| state == AlarmState::Active;
        self.anomalous += u32::from(entry.alarm().is_some_and(|a| active(a.state)));
        self.evidences.extend(entry.evidence(now_ms));
    }
}

#[cfg(test)]
mod tests;
