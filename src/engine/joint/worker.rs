//! The thread that looks at groups: rows in order, one opinion a row, shown as it changes.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use super::rows::Rows;
use super::{Note, Place};
use crate::config::Severity;
use crate::model::joint::{Joint, MEMBERS_MAX, Opinion};
use crate::score::board::{Alarm, AlarmState, EntryOf, Reason, Side};
use crate::score::groups::joint::{Joined, JointStanding};
use crate::telemetry::Metrics;

/// Deviation from which on an anomaly is worth medium: a third of a line is a factor of twenty.
const MEDIUM: f32 = 4.0 / 3.0;

/// One group.
struct Group {
    values: Arc<[Box<str>]>,
    entries: Box<[Option<EntryOf>; MEMBERS_MAX]>,
    rows: Rows,
    joint: Joint,
    /// The member that the anomaly under way is shown on, and as what.
    named: Option<(usize, Alarm)>,
}

/// All groups.
pub struct Worker {
    groups: HashMap<u32, Group>,
    joined: Arc<Joined>,
    metrics: Arc<Metrics>,
}

impl Worker {
    pub fn new(joined: Arc<Joined>, metrics: Arc<Metrics>) -> Self {
        Self {
            groups: HashMap::new(),
            joined,
            metrics,
        }
    }

    /// Until nobody is left who tells anything.
    pub fn run(mut self, notes: &Receiver<Note>) {
        while let Ok(note) = notes.recv() {
            self.take(note);
        }
    }

    /// Takes one message.
    pub fn take(&mut self, note: Note) {
        match note {
            Note::Join {
                place,
                entry,
                values,
            } => {
                let group = self.groups.entry(place.group).or_insert_with(|| Group {
                    values,
                    entries: Box::new([const { None }; MEMBERS_MAX]),
                    rows: Rows::new(),
                    joint: Joint::new(u64::from(place.group)),
                    named: None,
                });
                group.entries[usize::from(place.member)] = Some(entry);
            }
            Note::Leave(place) => self.leave(place),
            Note::Samples(mut samples) => {
                // A batch has the samples of one series after those of another.
                samples.sort_by_key(|told| (told.place.group, told.t_ms));
                for of_one in samples.chunk_by(|a, b| a.place.group == b.place.group) {
                    let number = of_one[0].place.group;
                    let Some(group) = self.groups.get_mut(&number) else {
                        continue;
                    };
                    for told in of_one {
                        let member = usize::from(told.place.member);
                        group
                            .rows
                            .put(member, told.t_ms, told.interval_ms, told.z, told.deviation);
                    }
                    self.look(number);
                }
            }
        }
    }

    fn leave(&mut self, place: Place) {
        let Some(group) = self.groups.get_mut(&place.group) else {
            return;
        };
        let member = usize::from(place.member);
        group.rename(None, member);
        group.entries[member] = None;
        group.rows.vacate(member);
        group.joint.vacate(member);
        if group.entries.iter().all(Option::is_none) {
            self.groups.remove(&place.group);
            self.joined.forget(place.group);
        }
    }

    /// Judges the rows of a group that are ready.
    fn look(&mut self, number: u32) {
        let Some(group) = self.groups.get_mut(&number) else {
            return;
        };
        let a_day = group.rows.a_day();
        let mut newest = None;
        while let Some(row) = group.rows.next() {
            // Fits are done by libraries that may panic.
            let judged = catch_unwind(AssertUnwindSafe(|| {
                group.joint.take(&row.z, row.alone, a_day)
            }));
            let Ok(judged) = judged else {
                tracing::error!(group = ?group.values, "a group could not be judged and begins afresh");
                group.joint = Joint::new(u64::from(number));
                continue;
            };
            if let Some(opinion) = &judged {
                group.hear(opinion);
                if opinion.began {
                    self.metrics.groups.began();
                }
            }
            newest = Some(judged);
        }
        match newest {
            Some(Some(opinion)) => self.joined.tell(
                number,
                JointStanding {
                    values: Arc::clone(&group.values),
                    members: group.joint.members(),
                    deviation: opinion.deviation,
                },
            ),
            Some(None) => {
                group.calm();
                self.joined.forget(number);
            }
            None => {}
        }
    }
}

impl Group {
    /// Shows the anomaly on the member with the largest share, for as long as it lasts.
    fn hear(&mut self, opinion: &Opinion) {
        if !opinion.active {
            self.calm();
            return;
        }
        let severity = match opinion.deviation >= MEDIUM {
            true => Severity::Medium,
            false => Severity::Low,
        };
        let (member, severity) = match self.named {
            Some((member, alarm)) => (member, severity.max(alarm.severity)),
            None => {
                let shares = opinion.shares.iter().enumerate();
                let most = shares.max_by(|a, b| a.1.total_cmp(b.1));
                (most.map_or(0, |(member, _)| member), severity)
            }
        };
        let alarm = Alarm {
            state: AlarmState::Active,
            severity,
            side: Side::Both,
            reason: Reason::Joint,
        };
        if self.named != Some((member, alarm)) {
            self.named = Some((member, alarm));
            if let Some(entry) = &self.entries[member] {
                entry.tell_joint(Some(alarm));
            }
        }
    }

    fn calm(&mut self) {
        if let Some((member, _)) = self.named {
            self.rename(None, member);
        }
    }

    /// Takes the anomaly from a member, if it is the one.
    fn rename(&mut self, to: Option<(usize, Alarm)>, member: usize) {
        if self.named.is_some_and(|(named, _)| named == member) {
            if let Some(entry) = &self.entries[member] {
                entry.tell_joint(None);
            }
            self.named = to;
        }
    }
}
