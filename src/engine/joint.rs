//! Series of a group, looked at together while the shards go on.
//!
//! A series finds its place in a group when a tick looks at it; from then on each of its samples is
//! told to one thread ([`worker`]), a batch at a time, over a bounded queue. A shard never waits: what
//! finds no room is lost and counted, and leaves a hole. What always holds: there are no more groups
//! and members than the spec says; a place is given to another series only after the thread has heard
//! that the one before is gone; scores of series do not depend on any of it.

pub mod rows;
pub mod worker;

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::joint::MEMBERS_MAX;
use crate::score::board::EntryOf;
use crate::score::groups::GroupSpec;
use crate::score::groups::joint::Joined;
use crate::series::labels;
use crate::telemetry::Metrics;

/// Messages that wait for the thread; one has the samples of one batch.
const QUEUE: usize = 256;

/// A place in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub group: u32,
    pub member: u8,
}

/// One sample of a member.
#[derive(Debug, Clone, Copy)]
pub struct Told {
    pub place: Place,
    pub t_ms: i64,
    /// Usual time between two samples of the member, in milliseconds.
    pub interval_ms: u32,
    /// Its distance from its level in scales.
    pub z: f32,
    /// What it is worth by itself, in units of the line.
    pub deviation: f32,
}

/// What the thread is told, in order.
#[derive(Debug)]
pub enum Note {
    Join {
        place: Place,
        entry: EntryOf,
        /// The values of the labels that make the group.
        values: Arc<[Box<str>]>,
    },
    Leave(Place),
    Samples(Vec<Told>),
}

/// Who is where.
#[derive(Debug, Default)]
struct Directory {
    numbers: HashMap<Arc<[Box<str>]>, u32>,
    groups: Vec<Group>,
    free: Vec<u32>,
    /// Places whose series has gone, of which the thread has not heard.
    leaving: Vec<Place>,
}

#[derive(Debug)]
struct Group {
    values: Arc<[Box<str>]>,
    taken: u64,
}

/// What shards have of it.
#[derive(Debug)]
pub struct Joints {
    by: Box<[Box<str>]>,
    max: usize,
    directory: Mutex<Directory>,
    queue: SyncSender<Note>,
    metrics: Arc<Metrics>,
}

impl Joints {
    /// With the other end of the queue; `None` if no group is to be looked at.
    pub fn new(spec: &GroupSpec, metrics: &Arc<Metrics>) -> Option<(Arc<Self>, Receiver<Note>)> {
        let (queue, notes) = sync_channel(QUEUE);
        let joints = Self {
            by: spec.joint_by.clone(),
            max: spec.joint_max,
            directory: Mutex::default(),
            queue,
            metrics: Arc::clone(metrics),
        };
        (spec.joint_max > 0).then(|| (Arc::new(joints), notes))
    }

    /// A thread for these groups, and what it shows.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn start(
        spec: &GroupSpec,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<Option<(Arc<Self>, Arc<Joined>, std::thread::JoinHandle<()>)>> {
        let Some((joints, notes)) = Self::new(spec, metrics) else {
            return Ok(None);
        };
        let joined = Arc::new(Joined::new(spec.joint_by.clone()));
        let worker = worker::Worker::new(Arc::clone(&joined), Arc::clone(metrics));
        let thread = std::thread::Builder::new()
            .name("groups".to_owned())
            .spawn(move || worker.run(&notes))?;
        Ok(Some((joints, joined, thread)))
    }

    /// Gives a series a place in its group, if it has one and there is room.
    pub fn join(&self, canonical: &[u8], entry: impl FnOnce() -> EntryOf) -> Option<Place> {
        let value = |name: &str| labels::get(canonical, name).map(Box::from);
        let values: Option<Vec<Box<str>>> = self.by.iter().map(|name| value(name)).collect();
        let values: Arc<[Box<str>]> = values?.into();
        let mut directory = self
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        directory.send_leaving(&self.queue);
        if !directory.leaving.is_empty() {
            return None;
        }
        let place = directory.place(&values, self.max)?;
        let values = Arc::clone(&directory.groups[place.group as usize].values);
        let note = Note::Join {
            place,
            entry: entry(),
            values,
        };
        match self.queue.try_send(note) {
            Ok(()) => Some(place),
            Err(_) => {
                directory.vacate(place);
                None
            }
        }
    }

    /// Takes a place back.
    pub fn leave(&self, place: Place) {
        let mut directory = self
            .directory
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        directory.leaving.push(place);
        directory.send_leaving(&self.queue);
    }

    /// Tells the samples of a batch.
    pub fn tell(&self, samples: Vec<Told>) {
        if let Err(TrySendError::Full(Note::Samples(lost))) =
            self.queue.try_send(Note::Samples(samples))
        {
            self.metrics.groups.lost(lost.len());
        }
    }
}

impl Directory {
    /// A free place in the group of these values.
    fn place(&mut self, values: &Arc<[Box<str>]>, max: usize) -> Option<Place> {
        let group = match self.numbers.get(values) {
            Some(group) => *group,
            None if self.numbers.len() >= max => return None,
            None => {
                let new = Group {
                    values: Arc::clone(values),
                    taken: 0,
                };
                let group = match self.free.pop() {
                    Some(free) => {
                        self.groups[free as usize] = new;
                        free
                    }
                    None => {
                        self.groups.push(new);
                        (self.groups.len() - 1) as u32
                    }
                };
                self.numbers.insert(Arc::clone(values), group);
                group
            }
        };
        let taken = &mut self.groups[group as usize].taken;
        let member = taken.trailing_ones();
        if member as usize >= MEMBERS_MAX {
            return None;
        }
        *taken |= 1 << member;
        Some(Place {
            group,
            member: member as u8,
        })
    }

    fn vacate(&mut self, place: Place) {
        let group = &mut self.groups[place.group as usize];
        group.taken &= !(1 << place.member);
        if group.taken == 0 {
            let values = Arc::clone(&group.values);
            self.numbers.remove(&values);
            self.free.push(place.group);
        }
    }

    fn send_leaving(&mut self, queue: &SyncSender<Note>) {
        while let Some(place) = self.leaving.pop() {
            if let Err(TrySendError::Full(_)) = queue.try_send(Note::Leave(place)) {
                self.leaving.push(place);
                return;
            }
            self.vacate(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::GroupsConfig;
    use crate::score::board::Board;

    fn canonical(name: &str, instance: &str) -> Vec<u8> {
        labels::encode([("__name__", name), ("instance", instance), ("job", "node")])
    }

    #[test]
    fn places_are_bounded_and_given_again_once_the_thread_knows() {
        let config = GroupsConfig {
            joint_max: 2,
            ..GroupsConfig::default()
        };
        let spec = GroupSpec::try_from(&config).unwrap();
        let (joints, notes) = Joints::new(&spec, &Arc::new(Metrics::new())).unwrap();
        let (_board, mut writers) = Board::new(1);
        let at = writers[0].add_labels(&canonical("a", "1"));
        let entry = writers[0].entry_of(at);
        let join =
            |name: &str, instance: &str| joints.join(&canonical(name, instance), || entry.clone());
        let first = join("a", "1").unwrap();
        assert_eq!((first.group, first.member), (0, 0));
        assert_eq!(join("b", "1").unwrap().member, 1);
        assert_eq!(join("a", "2").unwrap().group, 1);
        assert_eq!(join("a", "3"), None);
        assert!(
            joints
                .join(&labels::encode([("job", "x")]), || entry.clone())
                .is_none()
        );
        for i in 0..MEMBERS_MAX - 2 {
            assert!(join(&i.to_string(), "1").is_some());
        }
        assert_eq!(join("one more", "1"), None);
        // The queue is full: whoever goes is still in its place.
        while joints.queue.try_send(Note::Samples(Vec::new())).is_ok() {}
        joints.leave(first);
        assert_eq!(join("a", "1"), None);
        while notes.try_recv().is_ok() {}
        assert_eq!(join("a", "1"), Some(first));
        assert!(matches!(notes.try_recv(), Ok(Note::Leave(p)) if p == first));
        assert!(matches!(notes.try_recv(), Ok(Note::Join { .. })));
        let none = GroupsConfig {
            joint_max: 0,
            ..config
        };
        let none = GroupSpec::try_from(&none).unwrap();
        assert!(Joints::new(&none, &Arc::new(Metrics::new())).is_none());
    }
}
