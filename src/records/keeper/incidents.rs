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
use crate::engine::joint::kin::Kin;
use crate::engine::record::{Record, RecordId, RecordState};
use crate::records::Shown;
use crate::records::incidents::gather::{Gatherer, Keys};

/// Anomalies that are confirmed with the same scrape come within this, on whichever shards they are.
const SETTLE: Duration = Duration::from_secs(1);
/// How long anomalies wait at the most while more come.
const SETTLE_MAX: Duration = Duration::from_secs(5);
/// Anomalies that wait, at some 200 bytes each.
const WAITING_MAX: usize = 20_000;

/// What the thread knows of incidents.
#[derive(Debug)]
pub(super) struct Incidental {
    gatherer: Gatherer,
    spec: IncidentSpec,
    /// Which series move together.
    kin: Arc<Kin>,
    /// What is on record has been gathered.
    begun: bool,
    waiting: Waiting,
    /// Their anomalies changed.
    touched: BTreeSet<IncidentId>,
    began: Instant,
    /// When it was seen that what had been kept is scored again.
    caught_up: Option<Duration>,
}

/// Anomalies that are confirmed and not gathered yet. Those of one scrape come from several shards;
/// they wait until no more come, so that they are gathered in the order of their confirmation.
#[derive(Debug, Default)]
struct Waiting {
    all: Vec<(i64, RecordId, Box<[u8]>)>,
    /// When the first and the last came, since any fixed moment.
    came: Option<(Duration, Duration)>,
}

impl Waiting {
    fn add(&mut self, anomaly: (i64, RecordId, Box<[u8]>), now: Duration) {
        let first = self.came.map_or(now, |(first, _)| first);
        self.came = Some((first, now));
        self.all.push(anomaly);
    }

    fn is_ready(&self, now: Duration) -> bool {
        self.came.is_some_and(|(first, last)| {
            now.saturating_sub(last) >= SETTLE
                || now.saturating_sub(first) >= SETTLE_MAX
                || self.all.len() >= WAITING_MAX
        })
    }

    /// All of them in the order of their confirmation.
    fn take(&mut self) -> Vec<(i64, RecordId, Box<[u8]>)> {
        self.came = None;
        let mut all = std::mem::take(&mut self.all);
        all.sort_unstable();
        all
    }
}

impl Incidental {
    pub(super) fn new(spec: IncidentSpec, kin: Arc<Kin>) -> Self {
        Self {
            gatherer: Gatherer::new(spec.clone()),
            spec,
            kin,
            begun: false,
            waiting: Waiting::default(),
            touched: BTreeSet::new(),
            began: Instant::now(),
            caught_up: None,
        }
    }

    /// What an anomaly has in common with others: by labels, and by what was learned.
    fn keys(&self, id: RecordId, labels: &[u8]) -> (Vec<u64>, Vec<u64>) {
        let learned = match self.spec.learned {
            true => self.kin.keys(id.fingerprint, id.start_ms),
            false => Vec::new(),
        };
        (self.spec.keys(labels), learned)
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
                let now = self.began.elapsed();
                self.waiting
                    .add((active_ms, *id, record.labels.clone()), now);
            }
        }
    }
}

impl Keeper {
    /// Gathers what is on record, once, and not before what groups have learned has been read: before
    /// that nothing is gathered at all.
    fn begin_incidents(&mut self) {
        self.incidental.begun = true;
        let records = Arc::clone(&self.parts.records);
        let mut confirmed = std::mem::take(&mut records.write().confirmed);
        confirmed.sort_unstable();
        let shown = records.read();
        let incidental = &mut self.incidental;
        for (active_ms, id) in confirmed {
            let Some(labels) = shown.index.labels(id) else {
                continue;
            };
            let (labels, learned) = incidental.keys(id, labels);
            let keys = Keys {
                labels: &labels,
                learned: &learned,
            };
            let incident = shown.incidents.of(id);
            match incident.and_then(|id| shown.incidents.get(id)) {
                Some(known) => {
                    let known = (known.id, known.learned);
                    incidental.gatherer.known(id, active_ms, keys, known);
                }
                None => incidental.gatherer.take(id, active_ms, keys),
            }
        }
        // Records may have changed without them.
        incidental
            .touched
            .extend(shown.incidents.open().map(|incident| incident.id));
    }

    /// Makes incidents of what came; of all of it at the end.
    pub(super) fn follow_incidents(&mut self, ends: bool) {
        if !self.incidental.begun {
            if !self.incidental.kin.is_ready() && !ends {
                return;
            }
            self.begin_incidents();
        }
        let records = Arc::clone(&self.parts.records);
        let incidental = &mut self.incidental;
        let now = incidental.began.elapsed();
        // Before that half of an incident may still be on its way.
        let caught_up = records.caught_up.load(Ordering::Acquire);
        let since = caught_up.then(|| *incidental.caught_up.get_or_insert(now));
        let settled = since.is_some_and(|since| ends || now.saturating_sub(since) >= SETTLE);
        let full = incidental.waiting.all.len() >= WAITING_MAX;
        if full || settled && (ends || incidental.waiting.is_ready(now)) {
            for (active_ms, id, labels) in incidental.waiting.take() {
                let (labels, learned) = incidental.keys(id, &labels);
                let keys = Keys {
                    labels: &labels,
                    learned: &learned,
                };
                incidental.gatherer.take(id, active_ms, keys);
            }
        }
        if settled && incidental.waiting.all.is_empty() {
            incidental.gatherer.settle();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anomalies_wait_until_no_more_come_and_go_in_the_order_of_their_confirmation() {
        let mut waiting = Waiting::default();
        let at = |ms| Duration::from_millis(ms);
        let anomaly = |active_ms: i64| {
            let id = RecordId {
                start_ms: 0,
                fingerprint: active_ms as u64,
            };
            (active_ms, id, Box::default())
        };
        assert!(!waiting.is_ready(at(0)));
        waiting.add(anomaly(7), at(0));
        waiting.add(anomaly(5), at(900));
        assert!(!waiting.is_ready(at(1800)));
        assert!(waiting.is_ready(at(1900)));
        let active: Vec<_> = waiting.take().into_iter().map(|a| a.0).collect();
        assert_eq!(active, [5, 7]);
        assert!(!waiting.is_ready(at(9000)));
        for ms in 0..51 {
            waiting.add(anomaly(ms), at(9000 + ms as u64 * 100));
        }
        assert!(waiting.is_ready(at(14_000)));
    }
}
