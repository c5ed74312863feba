//! All groups, as the records of the journal make them.
//!
//! What is found depends on nothing but the records with samples of members, one after the other:
//! who becomes a member and who goes, which rows there are and what is said of them. So it is the
//! same whatever the number of shards, and after a restart: the state is stored with the number of its
//! newest record, what came after it as [`Entry`]s.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::group::{Group, Heard, Link, Member};
use super::kin::{Fit, Kin};
use super::{Ask, Place, Sample, Told};
use crate::engine::record::Update;
use crate::model::joint::MEMBERS_MAX;
use crate::score::groups::GroupSpec;
use crate::score::groups::joint::{Joined, JointStanding};
use crate::series::labels;
use crate::telemetry::Metrics;

/// A member that is not heard for so long, in milliseconds, or for ten of its intervals, goes ...
const GONE_MS: i64 = 7_200_000;
const GONE_INTERVALS: i64 = 10;
/// ... on a clock that moves on by no more than this with one record: nobody goes because saimon was
/// down.
const PAUSE_MS: i64 = 3_600_000;
/// How often it is looked for those that have gone.
const SWEEP_MS: i64 = 600_000;

/// What one record does to the groups. In this order it is applied again after a restart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Number of the record.
    pub seq: u64,
    /// When it arrived.
    pub received_ms: i64,
    /// Series that become members: canonical labels, and their partition.
    pub joins: Vec<(Box<[u8]>, u8)>,
    /// Group, member and sample.
    pub told: Vec<(u32, u8, Sample)>,
}

/// Why a stored state cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    #[error("it cannot be read: {0}")]
    Decode(String),
    #[error("it is damaged")]
    Unsound,
    #[error("series were grouped by other labels")]
    OtherLabels,
}

/// What is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    by: Vec<Box<str>>,
    seq: u64,
    clock_ms: i64,
    received_ms: Option<i64>,
    swept_ms: i64,
    turn: u32,
    groups: Vec<Option<Group>>,
}

/// A writer that keeps its error.
struct Minded<'a> {
    to: &'a mut dyn io::Write,
    error: Option<io::Error>,
}

impl io::Write for Minded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.to.write(bytes).map_err(|e| {
            let kind = e.kind();
            self.error = Some(e);
            kind.into()
        })
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// All groups.
#[derive(Debug)]
pub struct Together {
    max: usize,
    stored: Stored,
    numbers: HashMap<Arc<[Box<str>]>, u32>,
    places: HashMap<Box<[u8]>, (u32, u8)>,
    joined: Arc<Joined>,
    kin: Arc<Kin>,
    metrics: Arc<Metrics>,
}

impl Together {
    pub fn new(
        spec: &GroupSpec,
        joined: Arc<Joined>,
        kin: Arc<Kin>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            max: spec.joint_max,
            stored: Stored {
                by: spec.joint_by.to_vec(),
                seq: 0,
                clock_ms: 0,
                received_ms: None,
                swept_ms: 0,
                turn: 0,
                groups: Vec::new(),
            },
            numbers: HashMap::new(),
            places: HashMap::new(),
            joined,
            kin,
            metrics,
        }
    }

    /// Goes on where a stored state ended.
    ///
    /// # Errors
    /// If it is of other labels or damaged; nothing is changed then.
    pub fn restore(&mut self, bytes: &[u8]) -> Result<(), StateError> {
        let (stored, rest): (Stored, _) =
            postcard::take_from_bytes(bytes).map_err(|e| StateError::Decode(e.to_string()))?;
        if stored.by != self.stored.by {
            return Err(StateError::OtherLabels);
        }
        if !stored.groups.iter().flatten().all(Group::is_sound) {
            return Err(StateError::Unsound);
        }
        self.stored = stored;
        // A state of before this was learned ends here: it is learned with the next fits.
        let kin: Vec<(u32, Vec<Fit>)> = postcard::from_bytes(rest).unwrap_or_default();
        for (number, fits) in kin {
            if let Some(Some(group)) = self.stored.groups.get_mut(number as usize) {
                group.kin = fits;
            }
        }
        self.numbers.clear();
        self.places.clear();
        for (number, group) in (0..).zip(&self.stored.groups) {
            let Some(group) = group else { continue };
            self.numbers.insert(Arc::clone(&group.values), number);
            for (member, known) in (0..).zip(&group.members) {
                if let Some(known) = known {
                    self.places.insert(known.labels.clone(), (number, member));
                }
            }
            tell(&self.joined, number, group);
            self.kin.tell(number, &group.kin);
        }
        Ok(())
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// If `to` does not take it.
    pub fn write_state(&self, to: &mut dyn io::Write) -> io::Result<()> {
        let groups = (0u32..).zip(&self.stored.groups);
        let kin: Vec<(u32, &[Fit])> = groups
            .filter_map(|(number, group)| Some((number, &*group.as_ref()?.kin)))
            .collect();
        // postcard hides why a writer failed.
        let mut to = Minded { to, error: None };
        let written = postcard::to_io(&self.stored, &mut to).map(|_| ());
        match written.and_then(|()| postcard::to_io(&kin, &mut to).map(|_| ())) {
            Ok(()) => Ok(()),
            Err(e) => Err(to.error.unwrap_or_else(|| io::Error::other(e))),
        }
    }

    /// Number of the newest record that is in it.
    pub fn seq(&self) -> u64 {
        self.stored.seq
    }

    /// Takes what the shards made of one record, in whatever order they did. What it comes to is given
    /// with the changes of records of anomalies; `None` if it has
    /// nothing of members and of those who want to be.
    pub fn gather(
        &mut self,
        seq: u64,
        received_ms: i64,
        mut asks: Vec<Ask>,
        told: Vec<Told>,
    ) -> Option<(Entry, Vec<Update>)> {
        let mut entry = Entry {
            seq,
            received_ms,
            joins: Vec::new(),
            told: Vec::new(),
        };
        for told in told {
            if self.has(told.place) {
                let Place { group, member, .. } = told.place;
                entry.told.push((group, member, told.sample));
            }
        }
        let mut wanted = false;
        asks.sort_by(|a, b| (&a.labels, a.sample.t_ms).cmp(&(&b.labels, b.sample.t_ms)));
        for ask in asks {
            let mut place = self.places.get(&ask.labels).copied();
            if place.is_none() && ask.due {
                place = self.join(&ask.labels, ask.partition);
                if place.is_some() {
                    entry.joins.push((ask.labels.clone(), ask.partition));
                }
            }
            let Some((group, member)) = place else {
                ask.seat.refuse();
                // Time passes for those who have the places, though none of them may speak any more.
                wanted |= ask.due;
                continue;
            };
            entry.told.push((group, member, ask.sample));
            self.link_one(group, member, ask);
        }
        if entry.told.is_empty() && !wanted {
            return None;
        }
        entry.told.sort_by_key(|(g, m, x)| (*g, x.t_ms, *m));
        let updates = self.hear(&entry, true);
        Some((entry, updates))
    }

    /// Links members whose samples are in the state already.
    pub fn link(&mut self, asks: Vec<Ask>) {
        for ask in asks {
            match self.places.get(&ask.labels) {
                Some((group, member)) => self.link_one(*group, *member, ask),
                None => ask.seat.refuse(),
            }
        }
    }

    fn link_one(&mut self, group: u32, member: u8, ask: Ask) {
        if let Some(known) = &mut self.stored.groups[group as usize] {
            let link = Link {
                entry: ask.entry,
                seat: ask.seat,
            };
            known.link(group, usize::from(member), link);
        }
    }

    /// Takes once more what was taken before a restart.
    pub fn again(&mut self, entry: &Entry) -> Vec<Update> {
        for (labels, partition) in &entry.joins {
            if !self.places.contains_key(labels) {
                self.join(labels, *partition);
            }
        }
        self.hear(entry, false)
    }

    /// `fresh` says that anomalies are to be counted.
    fn hear(&mut self, entry: &Entry, fresh: bool) -> Vec<Update> {
        let stored = &mut self.stored;
        stored.seq = stored.seq.max(entry.seq);
        let last_ms = stored.received_ms.unwrap_or(entry.received_ms);
        let passed = entry.received_ms.saturating_sub(last_ms);
        stored.received_ms = Some(last_ms.max(entry.received_ms));
        stored.clock_ms += passed.clamp(0, PAUSE_MS);
        let mut updates = Vec::new();
        for of_one in entry.told.chunk_by(|a, b| a.0 == b.0) {
            let number = of_one[0].0;
            let Some(Some(group)) = stored.groups.get_mut(number as usize) else {
                continue;
            };
            for (_, member, x) in of_one {
                let member = usize::from(*member).min(MEMBERS_MAX - 1);
                group.put(member, stored.clock_ms, x);
                if x.ended {
                    updates.extend(group.ended(member, x.t_ms));
                }
            }
            let newest = group.kin.last().map(|fit| fit.from_ms);
            let Heard {
                began,
                updates: mut more,
                failed,
            } = group.look();
            updates.append(&mut more);
            for _ in 0..if fresh { began } else { 0 } {
                self.metrics.groups.began();
            }
            if failed > 0 {
                tracing::error!(group = ?group.values, "a group could not be judged and begins afresh");
            }
            tell(&self.joined, number, group);
            if group.kin.last().map(|fit| fit.from_ms) != newest {
                self.kin.tell(number, &group.kin);
            }
        }
        if stored.clock_ms - stored.swept_ms >= SWEEP_MS {
            stored.swept_ms = stored.clock_ms;
            updates.append(&mut self.sweep());
        }
        updates
    }

    /// Takes the places of those that have gone.
    fn sweep(&mut self) -> Vec<Update> {
        let clock_ms = self.stored.clock_ms;
        let mut updates = Vec::new();
        for (number, slot) in (0..).zip(&mut self.stored.groups) {
            let Some(group) = slot else { continue };
            for at in 0..MEMBERS_MAX {
                let gone = |m: &Member| {
                    let patience = GONE_MS.max(GONE_INTERVALS * i64::from(m.interval_ms));
                    clock_ms - m.heard_ms > patience
                };
                if let Some(member) = &group.members[at]
                    && gone(member)
                {
                    self.places.remove(&member.labels);
                    updates.extend(group.leave(at));
                }
            }
            if group.is_empty() {
                self.joined.forget(number);
                self.kin.tell(number, &[]);
                self.numbers.remove(&group.values);
                *slot = None;
            }
        }
        updates
    }

    /// Gives a series a place in its group, if it has one and there is room.
    fn join(&mut self, canonical: &[u8], partition: u8) -> Option<(u32, u8)> {
        let values: Arc<[Box<str>]> = values(canonical, &self.stored.by)?.into();
        let number = match self.numbers.get(&values) {
            Some(known) => *known,
            None if self.numbers.len() >= self.max => return None,
            None => {
                let groups = &mut self.stored.groups;
                let at = groups.iter().position(Option::is_none);
                let at = at.unwrap_or_else(|| {
                    groups.push(None);
                    groups.len() - 1
                });
                groups[at] = Some(Group::new(Arc::clone(&values)));
                self.numbers.insert(Arc::clone(&values), at as u32);
                at as u32
            }
        };
        let group = self.stored.groups[number as usize].as_mut()?;
        let member = group.free()?;
        self.stored.turn = self.stored.turn.wrapping_add(1);
        group.members[member] = Some(Member {
            labels: canonical.into(),
            partition,
            turn: self.stored.turn,
            heard_ms: self.stored.clock_ms,
            interval_ms: 0,
            link: None,
        });
        let place = (number, member as u8);
        self.places.insert(canonical.into(), place);
        Some(place)
    }

    /// True if the series that was given this place still has it.
    fn has(&self, place: Place) -> bool {
        let group = self.stored.groups.get(place.group as usize);
        let members = group.and_then(Option::as_ref).map(|g| &g.members);
        let member = members.and_then(|m| m.get(usize::from(place.member)));
        member
            .and_then(Option::as_ref)
            .is_some_and(|m| m.turn == place.turn)
    }
}

/// The values of the labels that make the group of a series; `None` if it lacks one.
pub(super) fn values(canonical: &[u8], by: &[Box<str>]) -> Option<Vec<Box<str>>> {
    let value = |name: &str| labels::get(canonical, name).map(Box::from);
    by.iter().map(|name| value(name)).collect()
}

/// Shows how a group stands.
fn tell(joined: &Joined, number: u32, group: &Group) {
    match group.deviation {
        Some(deviation) => joined.tell(
            number,
            JointStanding {
                values: Arc::clone(&group.values),
                members: group.together(),
                deviation,
            },
        ),
        None => joined.forget(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_before_it_was_kept_who_moves_together_is_read() {
        let new = || {
            let spec = GroupSpec::default();
            Together::new(&spec, Arc::default(), Arc::default(), Arc::default())
        };
        let mut together = new();
        let of = |name: &str| labels::encode([("__name__", name), ("instance", "a"), ("job", "b")]);
        let entry = Entry {
            seq: 7,
            received_ms: 1000,
            joins: vec![(of("x").into(), 1), (of("y").into(), 2)],
            told: Vec::new(),
        };
        together.again(&entry);
        let before = postcard::to_allocvec(&together.stored).unwrap();
        let fit = Fit {
            from_ms: 5,
            series: vec![1, 2],
            with: vec![3, 3],
        };
        together.stored.groups[0].as_mut().unwrap().kin = vec![fit.clone()];
        let mut now = Vec::new();
        together.write_state(&mut now).unwrap();
        for (state, kin) in [(before, vec![]), (now, vec![fit])] {
            let mut again = new();
            again.restore(&state).unwrap();
            let group = again.stored.groups[0].as_ref().unwrap();
            assert_eq!((again.seq(), &group.kin), (7, &kin));
            assert_eq!(again.kin.keys(1, 5).len(), kin.len());
        }
    }
}
