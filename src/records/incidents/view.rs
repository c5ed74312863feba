//! An incident with what is looked up for it, for whoever shows it.

use std::collections::BTreeSet;

use super::Incidents;
use super::origin::{self, Origin};
use crate::engine::incident::{Incident, IncidentId};
use crate::engine::record::{RecordId, RecordState};
use crate::records::index::{Index, Row};
use crate::series::labels::{self, METRIC_NAME};

/// One incident.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentView {
    pub incident: Incident,
    /// Anomalies that are active now.
    pub active: usize,
    /// Series that have any.
    pub series: usize,
    /// Labels that all its series have with the same value, as far as they are on record.
    pub shared: Vec<(String, String)>,
    /// `None` if none of its anomalies is on record any more.
    pub origin: Option<OriginView>,
}

/// The anomaly that it likely came from.
#[derive(Debug, Clone, PartialEq)]
pub struct OriginView {
    pub origin: Origin,
    pub row: Row,
    /// Canonical label bytes of its series.
    pub labels: Box<[u8]>,
}

impl IncidentView {
    /// The incident of this id.
    pub fn of(incidents: &Incidents, index: &Index, id: IncidentId) -> Option<Self> {
        let incident = incidents.get(id)?.clone();
        let rows = || {
            let of = |id: RecordId| Some((id, index.get(id)?));
            incident.members.iter().filter_map(move |m| of(m.id))
        };
        let series: BTreeSet<u64> = incident.members.iter().map(|m| m.id.fingerprint).collect();
        let active = rows().filter(|(_, row)| row.state != RecordState::Resolved);
        let origin = origin::of(&rows().map(|(id, row)| (id, row.score)));
        let origin = origin.and_then(|origin| {
            Some(OriginView {
                row: *index.get(origin.id)?,
                labels: index.labels(origin.id)?.into(),
                origin,
            })
        });
        Some(Self {
            active: active.count(),
            series: series.len(),
            shared: shared(rows().filter_map(|(id, _)| index.labels(id))),
            origin,
            incident,
        })
    }

    /// Ids of its anomalies: those that began first come first, and of these the strongest.
    pub fn members(&self, index: &Index) -> Vec<RecordId> {
        let score = |id: RecordId| index.get(id).map_or(0.0, |row| row.score);
        let members = self.incident.members.iter();
        let mut members: Vec<_> = members.map(|m| (m.id, score(m.id))).collect();
        members.sort_by(|(a, x), (b, y)| {
            let by_onset = a.start_ms.cmp(&b.start_ms);
            by_onset.then(y.total_cmp(x)).then(a.cmp(b))
        });
        members.into_iter().map(|(id, _)| id).collect()
    }

    /// The value of a label that all its series have.
    pub fn shared(&self, name: &str) -> Option<&str> {
        let found = self.shared.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One sentence.
    pub fn summary(&self) -> String {
        let metric = self.shared(METRIC_NAME);
        let of: Vec<_> = (self.shared.iter())
            .filter(|(name, _)| name == "job" || name == "instance")
            .map(|(name, value)| format!("{name} {value}"))
            .collect();
        let mut text = match metric {
            Some(metric) => format!("{} series of {metric}", self.series),
            None => format!("{} series", self.series),
        };
        if !of.is_empty() {
            text.push_str(&format!(" of {}", of.join(", ")));
        }
        text.push_str(match self.incident.end_ms {
            None => " are not as expected",
            Some(_) => " were not as expected",
        });
        if self.incident.learned {
            text.push_str(", some of them here because they were learned to move together");
        }
        if let Some(origin) = &self.origin {
            let name = labels::display(&origin.labels);
            text.push_str(&format!(
                "; it likely began with {name}: {}",
                origin.origin.why()
            ));
        }
        text
    }
}

/// What all of these have.
fn shared<'a>(mut series: impl Iterator<Item = &'a [u8]>) -> Vec<(String, String)> {
    let Some(first) = series.next() else {
        return Vec::new();
    };
    let mut all: Vec<(&str, &str)> = labels::iter(first).collect();
    for of in series {
        all.retain(|(name, value)| labels::get(of, name) == Some(value));
    }
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    all.into_iter().map(owned).collect()
}
