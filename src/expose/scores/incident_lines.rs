//! The lines of open incidents on a page of scores, and of the series that are in them.
//!
//! Labels of an incident are its id, and `job` and `instance` if all its series have the same: empty
//! where they have not, so that Prometheus, told to honor labels, does not add those of saimon itself.
//! A series that is in an incident has the labels of its score, and those of the incident.

use std::collections::BTreeSet;

use crate::expose::accept::Names;
use crate::records::Records;
use crate::records::incidents::view::IncidentView;
use crate::score::label_text::{self, SOURCE};
use crate::series::labels::{self, METRIC_NAME};
use crate::series::matcher::Selector;

/// Open incidents that are shown, the newest. One takes three lines.
const INCIDENTS_MAX: usize = 500;
/// Series in incidents that are shown, those of the newest incidents first. A line has the labels of
/// its series, some 200 bytes.
const MEMBERS_MAX: usize = 5000;

/// The families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Family {
    Incident,
    Members,
    Start,
    Member,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Incident => "saimon_incident",
            Self::Members => "saimon_incident_members",
            Self::Start => "saimon_incident_start_time_seconds",
            Self::Member => "saimon_incident_member",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Incident => {
                "1 while an incident is open; source_metric is the metric that it likely began with"
            }
            Self::Members => "anomalies of an open incident, those that have ended included",
            Self::Start => {
                "when the first anomaly of an open incident began, in seconds since 1970"
            }
            Self::Member => "1 while an anomaly of the series is part of an open incident",
        }
    }
}

/// A line that is ready.
pub(super) type IncidentLine = (Family, Box<str>);

/// All lines that are selected, family by family; without selectors all.
pub(super) fn select(records: &Records, names: Names, selectors: &[Selector]) -> Vec<IncidentLine> {
    let mut lines = BTreeSet::new();
    records.look_at_incidents(|incidents, index| {
        let mut members = 0;
        for incident in incidents.open().rev().take(INCIDENTS_MAX) {
            let Some(view) = IncidentView::of(incidents, index, incident.id) else {
                continue;
            };
            of_incident(&view, selectors, &mut lines);
            let (id, severity) = (incident.id.to_string(), incident.severity.as_str());
            for member in &incident.members {
                let Some(own) = index.labels(member.id).filter(|_| members < MEMBERS_MAX) else {
                    continue;
                };
                let said = [("incident", id.as_str()), ("severity", severity)];
                if !selected(Family::Member, own, &said, selectors) {
                    continue;
                }
                let text = label_text::render(own);
                let text = text.shown(names, label_text::Family::Anomaly);
                let name = Family::Member.name();
                let line = format!("{name}{text},incident=\"{id}\",severity=\"{severity}\"}} 1\n");
                members += usize::from(lines.insert((Family::Member, line.into_boxed_str())));
            }
        }
    });
    lines.into_iter().collect()
}

fn of_incident(view: &IncidentView, selectors: &[Selector], lines: &mut BTreeSet<IncidentLine>) {
    let incident = &view.incident;
    let id = incident.id.to_string();
    let origin = view.origin.as_ref();
    let origin = origin.and_then(|o| labels::get(&o.labels, METRIC_NAME));
    let common = [
        ("incident", id.as_str()),
        ("instance", view.shared("instance").unwrap_or_default()),
        ("job", view.shared("job").unwrap_or_default()),
    ];
    let more = [
        ("severity", incident.severity.as_str()),
        (SOURCE, origin.unwrap_or_default()),
    ];
    let all: Vec<_> = common.into_iter().chain(more).collect();
    let start = incident.start_ms as f64 / 1000.0;
    let members = incident.members.len() as f64 + f64::from(incident.left_out);
    for (family, said, value) in [
        (Family::Incident, &all[..], 1.0),
        (Family::Members, &common[..], members),
        (Family::Start, &common[..], start),
    ] {
        if selected(family, &[], said, selectors) {
            let mut line = format!("{}{{", family.name());
            for (i, (name, value)) in said.iter().enumerate() {
                if i > 0 {
                    line.push(',');
                }
                label_text::push(&mut line, name, value);
            }
            line.push_str(&format!("}} {value}\n"));
            lines.insert((family, line.into_boxed_str()));
        }
    }
}

/// Asks for the labels of a series and for what is said of it.
fn selected(family: Family, own: &[u8], said: &[(&str, &str)], selectors: &[Selector]) -> bool {
    let of = |name: &str| match name {
        METRIC_NAME => Some(family.name()),
        SOURCE if !own.is_empty() => labels::get(own, METRIC_NAME),
        _ => {
            let ours = said.iter().find(|(n, _)| *n == name).map(|(_, v)| *v);
            ours.or_else(|| labels::get(own, name))
        }
    };
    selectors.is_empty() || selectors.iter().any(|s| s.matches(of))
}
