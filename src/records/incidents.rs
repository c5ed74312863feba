//! Incidents: anomalies that are one thing, as they are shown.
//!
//! An incident has the ids of its anomalies and what follows from their records:
//! whether one is active, the gravest severity, the likely origin. What always holds: an anomaly is in
//! one incident at most (one that was merged only remembers what it had), and there are no more than
//! `INCIDENTS_MAX`. Which anomalies belong together is decided in `gather`.

pub(super) mod gather;
pub mod origin;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;

use self::gather::News;
use super::index::Index;
use crate::config::Severity;
use crate::engine::incident::{Incident, IncidentId, IncidentState, Member};
use crate::engine::record::{RecordId, RecordState};
use crate::series::labels;
use crate::series::matcher::Selector;

/// Incidents that are kept. Beyond it the oldest go. Some 300 bytes each, with ten anomalies.
pub(super) const INCIDENTS_MAX: usize = 10_000;
/// Incidents that one remembers to have taken in; of more the newest.
const MERGED_MAX: usize = 64;

/// All incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    all: BTreeMap<IncidentId, Incident>,
    open: BTreeSet<IncidentId>,
    /// Which incident has an anomaly.
    of: HashMap<RecordId, IncidentId>,
}

/// Which incidents are wanted; what is empty or `None` holds for all.
#[derive(Debug, Default, Clone)]
pub struct IncidentFilter {
    /// Any of these is the metric of one of its series.
    pub metrics: Vec<String>,
    /// Any of these matches one of its series.
    pub selectors: Vec<Selector>,
    pub severities: Vec<Severity>,
    pub states: Vec<IncidentState>,
    /// Not over before this ...
    pub from_ms: Option<i64>,
    /// ... and begun at this time or before it.
    pub to_ms: Option<i64>,
}

impl Incidents {
    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub fn get(&self, id: IncidentId) -> Option<&Incident> {
        self.all.get(&id)
    }

    /// The incident that has an anomaly.
    pub fn of(&self, anomaly: RecordId) -> Option<IncidentId> {
        self.of.get(&anomaly).copied()
    }

    /// Those that are open, the oldest first.
    pub fn open(&self) -> impl DoubleEndedIterator<Item = &Incident> + ExactSizeIterator {
        self.open.iter().map(|id| &self.all[id])
    }

    /// At most `limit` incidents that are wanted, the newest first, after `skip` of them, and whether
    /// there are more; with `after` those that come after it.
    pub fn page(
        &self,
        index: &Index,
        filter: &IncidentFilter,
        after: Option<IncidentId>,
        skip: usize,
        limit: usize,
    ) -> (Vec<IncidentId>, bool) {
        let end = after.map_or(Bound::Unbounded, Bound::Excluded);
        let all = self.all.range((Bound::Unbounded, end)).rev();
        let mut asked = HashMap::new();
        let wanted = all.filter(|(_, i)| wants(filter, index, i, &mut asked));
        let mut ids: Vec<_> = wanted
            .map(|(id, _)| *id)
            .skip(skip)
            .take(limit + 1)
            .collect();
        let more = ids.len() > limit;
        ids.truncate(limit);
        (ids, more)
    }

    /// Puts in what was kept.
    pub(super) fn put(&mut self, incident: Incident) {
        let id = incident.id;
        if incident.state == IncidentState::Open {
            self.open.insert(id);
        } else {
            self.open.remove(&id);
        }
        if incident.state != IncidentState::Merged {
            self.of.extend(incident.members.iter().map(|m| (m.id, id)));
        }
        self.all.insert(id, incident);
    }

    pub(super) fn remove(&mut self, id: IncidentId) {
        self.open.remove(&id);
        for member in self.all.remove(&id).map_or_else(Vec::new, |i| i.members) {
            if self.of.get(&member.id) == Some(&id) {
                self.of.remove(&member.id);
            }
        }
    }

    /// What the gathering of anomalies makes of incidents, and of those whose anomalies changed:
    /// each as it is to be now, if it is another. Numbers of those opened and merged.
    pub(super) fn changes(
        &self,
        index: &Index,
        news: News,
        touched: &BTreeSet<IncidentId>,
    ) -> (BTreeMap<IncidentId, Incident>, u64, u64) {
        let mut changed: BTreeMap<IncidentId, Incident> = BTreeMap::new();
        let (mut opened, mut merged) = (0, 0);
        for (id, grown) in news.grown {
            let mut incident = match self.all.get(&id) {
                Some(known) => known.clone(),
                None => {
                    opened += 1;
                    new(id)
                }
            };
            (incident.members, incident.left_out) = (grown.members, grown.left_out);
            incident.learned |= grown.learned;
            changed.insert(id, incident);
        }
        for (from, into) in news.merged {
            // Of one that was never shown there is nothing to say.
            let Some(mut gone) = changed
                .remove(&from)
                .or_else(|| self.all.get(&from).cloned())
            else {
                continue;
            };
            if !self.all.contains_key(&from) {
                opened -= 1;
                continue;
            }
            let Some(stays) = changed
                .remove(&into)
                .or_else(|| self.all.get(&into).cloned())
            else {
                continue;
            };
            merged += 1;
            gone.state = IncidentState::Merged;
            gone.merged_into = Some(into);
            gone.merged.clear();
            let mut stays = stays;
            stays.merged.push(from);
            let over = stays.merged.len().saturating_sub(MERGED_MAX);
            stays.merged.drain(..over);
            changed.insert(from, gone);
            changed.insert(into, stays);
        }
        for id in touched {
            if let Some(known) = self.all.get(id) {
                changed.entry(*id).or_insert_with(|| known.clone());
            }
        }
        for incident in changed.values_mut() {
            follow(incident, index);
        }
        changed.retain(|id, incident| self.all.get(id) != Some(incident));
        (changed, opened, merged)
    }

    /// Incidents that are to go: those that were over before a time, and the oldest beyond the limit.
    pub(super) fn oldest(&self, before_ms: i64) -> Vec<IncidentId> {
        let over = self.all.len().saturating_sub(INCIDENTS_MAX);
        let old = |i: &Incident| i.end_ms.is_some_and(|end| end < before_ms);
        let all = self.all.iter().enumerate();
        all.filter(|(n, (_, incident))| *n < over || old(incident))
            .map(|(_, (id, _))| *id)
            .collect()
    }
}

fn new(id: IncidentId) -> Incident {
    Incident {
        id,
        state: IncidentState::Open,
        members: Vec::new(),
        left_out: 0,
        start_ms: id.0.start_ms,
        opened_ms: 0,
        end_ms: None,
        severity: Severity::Low,
        score: 0.0,
        origin: id.0,
        merged_into: None,
        merged: Vec::new(),
        learned: false,
    }
}

/// What follows from the records of its anomalies. Those that are not on record any more have no say.
fn follow(incident: &mut Incident, index: &Index) {
    let first = incident.members.iter().map(|m| m.id.start_ms).min();
    incident.start_ms = first.unwrap_or(incident.start_ms);
    incident.opened_ms = opened(&incident.members).unwrap_or(incident.start_ms);
    let rows = || {
        let of = |m: &Member| Some((m.id, index.get(m.id)?));
        incident.members.iter().filter_map(of)
    };
    let active = rows().any(|(_, row)| row.state != RecordState::Resolved);
    let end = rows().filter_map(|(_, row)| row.end_ms).max();
    let severity = rows().map(|(_, row)| row.severity).max();
    let score = rows().map(|(_, row)| row.score).max_by(f32::total_cmp);
    let origin = origin::of(&rows().map(|(id, row)| (id, row.score)));
    incident.severity = severity.map_or(incident.severity, |s| s.max(incident.severity));
    incident.score = score.map_or(incident.score, |s| s.max(incident.score));
    incident.origin = origin.map_or(incident.origin, |o| o.id);
    incident.end_ms = match active && incident.state != IncidentState::Merged {
        true => None,
        false => Some(end.or(incident.end_ms).unwrap_or(incident.start_ms)),
    };
    if incident.state != IncidentState::Merged {
        incident.state = match active {
            true => IncidentState::Open,
            false => IncidentState::Closed,
        };
    }
}

/// When the second series was confirmed.
fn opened(members: &[Member]) -> Option<i64> {
    let mut by_time: Vec<_> = members.iter().map(|m| (m.active_ms, m.id)).collect();
    by_time.sort_unstable();
    let first = by_time.first()?.1.fingerprint;
    let mut others = by_time.iter().filter(|(_, id)| id.fingerprint != first);
    others.next().map(|(active_ms, _)| *active_ms)
}

fn wants(
    filter: &IncidentFilter,
    index: &Index,
    incident: &Incident,
    asked: &mut HashMap<u64, bool>,
) -> bool {
    let any = |n: usize, has: bool| n == 0 || has;
    any(
        filter.severities.len(),
        filter.severities.contains(&incident.severity),
    ) && any(filter.states.len(), filter.states.contains(&incident.state))
        && (filter.from_ms).is_none_or(|from| incident.end_ms.is_none_or(|end| end >= from))
        && (filter.to_ms).is_none_or(|to| incident.start_ms <= to)
        && ((filter.metrics.is_empty() && filter.selectors.is_empty())
            || incident.members.iter().any(|member| {
                *asked
                    .entry(member.id.fingerprint)
                    .or_insert_with(|| wants_series(filter, index.labels(member.id)))
            }))
}

fn wants_series(filter: &IncidentFilter, of: Option<&[u8]>) -> bool {
    let Some(of) = of else {
        return false;
    };
    let name = labels::get(of, labels::METRIC_NAME).unwrap_or_default();
    let metric = filter.metrics.is_empty() || filter.metrics.iter().any(|m| m == name);
    metric && (filter.selectors.is_empty() || filter.selectors.iter().any(|s| s.matches_labels(of)))
}
