//! Incidents, as the records change of which they are made.
//!
//! What always holds: an incident is shown with the records that it is made of; it is on disk before
//! it is shown, or the disk takes nothing. If a kill comes between its records and itself, it is made
//! again of them at the next start: anomalies that are in no incident are gathered anew.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Keeper;
use crate::engine::incident::spec::IncidentSpec;
use crate::engine::incident::{Incident, IncidentId};
use crate::engine::record::{Record, RecordId, RecordState};
use crate::records::Shown;
use crate::records::incidents::gather::{Gatherer, SETTLE};

/// What the thread knows of incidents.
#[derive(Debug)]
pub(super) struct Incidental {
    gatherer: Gatherer,
    /// Confirmed and not gathered yet.
    fresh: Vec<(i64, RecordId, Box<[u8]>)>,
    /// Their anomalies changed.
    touched: BTreeSet<IncidentId>,
    began: Instant,
    /// When it was seen that what had been kept is scored again.
    caught_up: Option<Duration>,
}

impl Incidental {
    pub(super) fn new(spec: IncidentSpec) -> Self {
        Self {
            gatherer: Gatherer::new(spec),
            fresh: Vec::new(),
            touched: BTreeSet::new(),
            began: Instant::now(),
            caught_up: None,
        }
    }

    /// Records are about to change.
    pub(super) fn hear(&mut self, changes: &BTreeMap<RecordId, Option<Record>>, before: &Shown) {
        for (id, record) in changes {
            self.touched.extend(before.incidents.of(*id));
            let Some((record, active_ms)) = record.as_ref().and_then(|r| Some((r, r.active_ms?)))
            else {
                continue;
            };
            let known = before.index.get(*id);
            if known.is_none_or(|row| row.state == RecordState::Pending) {
                self.fresh.push((active_ms, *id, record.labels.clone()));
            }
        }
    }
}

impl Keeper {
    /// Gathers what is on record.
    pub(super) fn begin_incidents(&mut self) {
        let records = Arc::clone(&self.parts.records);
        let mut confirmed = std::mem::take(&mut records.write().confirmed);
        confirmed.sort_unstable();
        let shown = records.read();
        let Incidental {
            gatherer,
            touched,
            began,
            ..
        } = &mut self.incidental;
        for (active_ms, id) in confirmed {
            let Some(labels) = shown.index.labels(id) else {
                continue;
            };
            match shown.incidents.of(id) {
                Some(incident) => gatherer.known(id, active_ms, labels, incident),
                None => gatherer.take(id, active_ms, labels, began.elapsed()),
            }
        }
        // Records may have changed without them.
        touched.extend(shown.incidents.open().map(|incident| incident.id));
    }

    /// Makes incidents of what came; of all of it at the end.
    pub(super) fn follow_incidents(&mut self, ends: bool) {
        let records = Arc::clone(&self.parts.records);
        let incidental = &mut self.incidental;
        let now = incidental.began.elapsed();
        incidental.fresh.sort_unstable();
        for (active_ms, id, labels) in incidental.fresh.drain(..) {
            incidental.gatherer.take(id, active_ms, &labels, now);
        }
        if records.caught_up.load(Ordering::Acquire) {
            let since = *incidental.caught_up.get_or_insert(now);
            // The last of what was scored again may still be on its way.
            match ends {
                true => incidental.gatherer.settle_all(),
                false if now.saturating_sub(since) >= SETTLE => incidental.gatherer.settle(now),
                false => {}
            }
        }
        let news = incidental.gatherer.news();
        let touched = std::mem::take(&mut incidental.touched);
        let held = !records.read().unwritten_incidents.is_empty();
        if news.is_empty() && touched.is_empty() && !held {
            return;
        }
        let (changed, opened, merged) = {
            let shown = records.read();
            shown.incidents.changes(&shown.index, news, &touched)
        };
        let metrics = &self.parts.metrics.records;
        metrics.incidents_opened.inc_by(opened);
        metrics.incidents_merged.inc_by(merged);
        self.keep_incidents(changed.into_iter().map(|(id, i)| (id, Some(i))).collect());
    }

    pub(super) fn sweep_incidents(&mut self, before_ms: i64) {
        let gone = self.parts.records.read().incidents.oldest(before_ms);
        if !gone.is_empty() {
            self.keep_incidents(gone.into_iter().map(|id| (id, None)).collect());
        }
    }

    /// Writes changes and shows them.
    fn keep_incidents(&mut self, changes: HashMap<IncidentId, Option<Incident>>) {
        let records = Arc::clone(&self.parts.records);
        // Only this thread adds to what is unwritten.
        let mut all = records.read().unwritten_incidents.clone();
        all.extend(changes.clone());
        if all.is_empty() {
            return;
        }
        let written = records.files.write_incidents(
            all.iter().map(|(id, i)| (*id, i.as_ref())),
            self.parts.clock.now_ms(),
        );
        let mut shown = records.write();
        shown.version += 1;
        for (id, incident) in changes {
            match incident {
                Some(incident) => shown.incidents.put(incident),
                None => shown.incidents.remove(id),
            }
        }
        match written {
            Ok(()) => shown.unwritten_incidents.clear(),
            Err(error) => {
                // There are no more of them than incidents, but for those that are to go.
                shown.unwritten_incidents = all;
                self.complain(&error);
            }
        }
        self.tell(&shown);
    }
}
