//! One group: who is in it, its rows, and the anomaly under way.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::kin::{self, Fit};
use super::rows::Rows;
use super::{Place, Sample, Seat};
use crate::config::Severity;
use crate::engine::record::{EndedBy, Peak, Record, RecordId, RecordState, Update};
use crate::model::joint::{Joint, MEMBERS_MAX, Opinion};
use crate::score::board::{Alarm, AlarmState, EntryOf, Reason, Side};
use crate::score::scale;
use crate::series::fingerprint::fingerprint;

/// Deviation from which on an anomaly is worth medium: a third of a line is a factor of twenty.
const MEDIUM: f32 = 4.0 / 3.0;
/// -log10 of how often a row is over the line.
const LINE_RARITY: f64 = 4.0;
/// What said so, in records.
const PART: &str = "joint";

/// Where a member is shown, and where its shard looks for its place.
#[derive(Debug)]
pub(super) struct Link {
    pub entry: EntryOf,
    pub seat: Arc<Seat>,
}

/// A series in its place.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Member {
    /// Canonical label bytes.
    pub labels: Box<[u8]>,
    pub partition: u8,
    /// Tells apart those that had the place.
    pub turn: u32,
    /// When it was heard last, on the clock of records with samples.
    pub heard_ms: i64,
    pub interval_ms: u32,
    /// `None` until its shard has said where it is.
    #[serde(skip)]
    pub link: Option<Link>,
}

/// An anomaly under way.
#[derive(Debug, Serialize, Deserialize)]
struct Named {
    member: u8,
    severity: Severity,
    record: Box<Record>,
}

/// What rows came to.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub began: u32,
    pub updates: Vec<Update>,
    /// Fits that panicked.
    pub failed: u32,
}

/// One group.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Group {
    #[serde(with = "shared")]
    pub values: Arc<[Box<str>]>,
    pub members: Vec<Option<Member>>,
    rows: Rows,
    joint: Joint,
    named: Option<Named>,
    /// Of the newest row, while there is something to say.
    pub deviation: Option<f32>,
    /// Which members move together, as of the newest fits. Stored by itself: states of before have none.
    #[serde(skip)]
    pub kin: Vec<Fit>,
}

/// Shared values, which serde has only by a feature.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(of: &Arc<[Box<str>]>, to: S) -> Result<S::Ok, S::Error> {
        of[..].serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Arc<[Box<str>]>, D::Error> {
        Vec::deserialize(from).map(Into::into)
    }
}

impl Group {
    pub(super) fn new(values: Arc<[Box<str>]>) -> Self {
        Self {
            members: (0..MEMBERS_MAX).map(|_| None).collect(),
            rows: Rows::new(),
            joint: Joint::new(seed(&values)),
            values,
            named: None,
            deviation: None,
            kin: Vec::new(),
        }
    }

    /// False for what was never a group.
    pub(super) fn is_sound(&self) -> bool {
        self.members.len() == MEMBERS_MAX
            && self.joint.is_sound()
            && self
                .named
                .as_ref()
                .is_none_or(|n| usize::from(n.member) < MEMBERS_MAX)
    }

    /// The first place that nobody has.
    pub(super) fn free(&self) -> Option<usize> {
        self.members.iter().position(Option::is_none)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.iter().all(Option::is_none)
    }

    /// Members that move together.
    pub(super) fn together(&self) -> usize {
        self.joint.members()
    }

    /// The shard of a member says where it is: it is told its place, and shown what is known of it.
    pub(super) fn link(&mut self, group: u32, member: usize, link: Link) {
        if let Some(known) = &mut self.members[member] {
            link.seat.give(Place {
                group,
                // There are at most 64.
                member: member as u8,
                turn: known.turn,
            });
            known.link = Some(link);
            if let Some(named) = &self.named
                && usize::from(named.member) == member
            {
                self.show(Some(named.severity), member);
            }
        }
    }

    pub(super) fn put(&mut self, member: usize, clock_ms: i64, x: &Sample) {
        let Some(known) = &mut self.members[member] else {
            return;
        };
        known.heard_ms = clock_ms;
        if x.ended {
            self.rows.end(member);
            return;
        }
        known.interval_ms = x.interval_ms;
        self.rows
            .put(member, x.t_ms, x.interval_ms, x.z, x.deviation);
    }

    /// The series in which an anomaly is seen has ended.
    pub(super) fn ended(&mut self, member: usize, t_ms: i64) -> Option<Update> {
        let named = self.named.as_ref();
        if named.is_none_or(|n| usize::from(n.member) != member) {
            return None;
        }
        self.joint.end();
        self.calm(t_ms, EndedBy::Stale)
    }

    /// A member goes.
    pub(super) fn leave(&mut self, member: usize) -> Option<Update> {
        let named = self.named.as_ref();
        let shown = named.filter(|n| usize::from(n.member) == member);
        let last_ms = shown.map(|n| n.record.as_of_ms);
        let update = last_ms.and_then(|t_ms| {
            self.joint.end();
            self.calm(t_ms, EndedBy::Silence)
        });
        if let Some(gone) = self.members[member].take()
            && let Some(link) = gone.link
        {
            link.seat.refuse();
        }
        self.rows.vacate(member);
        self.joint.vacate(member);
        update
    }

    /// Judges the rows that are ready.
    pub(super) fn look(&mut self) -> Heard {
        let mut heard = Heard::default();
        let a_day = self.rows.a_day();
        while let Some(row) = self.rows.ready() {
            let fits = self.joint.fits();
            // Fits are done by libraries that may panic.
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                self.joint.take(&row.z, row.alone, a_day)
            }));
            let t_ms = self.rows.time_of(&row);
            let Ok(judged) = judged else {
                heard.failed += 1;
                self.joint = Joint::new(seed(&self.values));
                heard.updates.extend(self.calm(t_ms, EndedBy::Samples));
                self.deviation = None;
                continue;
            };
            self.deviation = judged.as_ref().map(|o| o.deviation);
            if self.joint.fits() != fits {
                let fit = self.fit(t_ms);
                kin::add(&mut self.kin, fit);
            }
            match judged {
                Some(opinion) if opinion.active => {
                    heard.began += u32::from(opinion.began);
                    heard.updates.extend(self.hear(&opinion, t_ms));
                }
                // Nothing can be said of rows in which too many are missing, and nothing is over.
                None if self.joint.is_active() => {}
                Some(_) | None => heard.updates.extend(self.calm(t_ms, EndedBy::Samples)),
            }
        }
        heard
    }

    /// What the newest fit says of series.
    fn fit(&self, from_ms: i64) -> Fit {
        let there = |(place, with): (usize, u64)| {
            let member = self.members[place].as_ref()?;
            Some((place, fingerprint(&member.labels), with))
        };
        let all = self.joint.alike();
        let all: Vec<_> = all.into_iter().filter_map(there).collect();
        let moved = |with: u64| {
            let bits = all.iter().enumerate();
            let bits = bits.filter(|(_, (place, ..))| with >> place & 1 == 1);
            bits.fold(0, |mask, (i, _)| mask | 1u64 << i)
        };
        Fit {
            from_ms,
            series: all.iter().map(|(_, series, _)| *series).collect(),
            with: all.iter().map(|(.., with)| moved(*with)).collect(),
        }
    }

    /// Shows the anomaly on the member with the largest share, for as long as it lasts.
    fn hear(&mut self, opinion: &Opinion, t_ms: i64) -> Option<Update> {
        let severity = match opinion.deviation >= MEDIUM {
            true => Severity::Medium,
            false => Severity::Low,
        };
        let Some(named) = &mut self.named else {
            let shares = (0..MEMBERS_MAX).filter(|m| self.members[*m].is_some());
            let most = shares.max_by(|a, b| opinion.shares[*a].total_cmp(&opinion.shares[*b]))?;
            let record = Box::new(record(
                self.members[most].as_ref()?,
                severity,
                t_ms,
                peak(opinion, t_ms),
            ));
            self.named = Some(Named {
                member: most as u8,
                severity,
                record: record.clone(),
            });
            self.show(Some(severity), most);
            return Some(Update::Put(record));
        };
        let member = usize::from(named.member);
        let graver = severity > named.severity;
        let higher = f64::from(opinion.deviation) > named.record.peak.deviation;
        named.severity = named.severity.max(severity);
        if higher {
            named.record.peak = peak(opinion, t_ms);
        }
        if !(graver || higher) {
            return None;
        }
        named.record.severity = named.severity;
        named.record.as_of_ms = t_ms;
        let (severity, record) = (named.severity, named.record.clone());
        if graver {
            self.show(Some(severity), member);
        }
        Some(Update::Put(record))
    }

    /// The anomaly under way is over, if there is one.
    fn calm(&mut self, t_ms: i64, by: EndedBy) -> Option<Update> {
        let mut named = self.named.take()?;
        self.show(None, usize::from(named.member));
        named.record.state = RecordState::Resolved;
        named.record.end_ms = Some(t_ms);
        named.record.ended_by = Some(by);
        named.record.as_of_ms = named.record.as_of_ms.max(t_ms);
        Some(Update::Put(named.record))
    }

    fn show(&self, severity: Option<Severity>, member: usize) {
        let link = self.members[member].as_ref().and_then(|m| m.link.as_ref());
        if let Some(link) = link {
            link.entry.tell_joint(severity.map(|severity| Alarm {
                state: AlarmState::Active,
                severity,
                side: Side::Both,
                reason: Reason::Joint,
            }));
        }
    }
}

/// Of the values that make the group, so that it is the same wherever the group is.
fn seed(values: &[Box<str>]) -> u64 {
    let mut bytes = Vec::new();
    for value in values {
        bytes.extend_from_slice(value.as_bytes());
        // Not in UTF-8.
        bytes.push(0xFF);
    }
    fingerprint(&bytes)
}

fn record(of: &Member, severity: Severity, t_ms: i64, peak: Peak) -> Record {
    Record {
        id: RecordId {
            start_ms: t_ms,
            fingerprint: fingerprint(&of.labels),
        },
        labels: of.labels.clone(),
        partition: of.partition,
        state: RecordState::Active,
        severity,
        side: Side::Both,
        reason: Reason::Joint,
        active_ms: Some(t_ms),
        end_ms: None,
        ended_by: None,
        peak,
        as_of_ms: t_ms,
        absent: false,
        exemplars: Vec::new(),
    }
}

fn peak(opinion: &Opinion, t_ms: i64) -> Peak {
    let deviation = f64::from(opinion.deviation);
    Peak {
        t_ms,
        // What is out of the ordinary is not a value.
        value: f64::NAN,
        score: scale::shown(deviation),
        rarity: deviation * LINE_RARITY,
        deviation,
        expected: f64::NAN,
        band: None,
        parts: vec![(PART.to_owned(), 1.0)],
    }
}
