//! `/api/v1/incidents`: anomalies that are one thing.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::{self, Anomaly, SEVERITIES, records, shorter};
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, answer, time};
use crate::config::Severity;
use crate::engine::incident::{IncidentId, IncidentState};
use crate::engine::record::RecordId;
use crate::records::incidents::IncidentFilter;
use crate::records::incidents::view::{IncidentView, OriginView};
use crate::records::{Records, Unreadable};
use crate::series::labels;

/// Incidents of one page.
const LIMIT_MAX: u64 = 1000;
const STATES: &[&str] = &["open", "closed", "merged"];

/// What [`list`] takes.
pub(super) const LIST: &[Param] = &[
    Param::many(
        "metric_name",
        Kind::Text,
        "Only incidents with a series of this name. Any of several.",
    ),
    Param::many(
        "match[]",
        Kind::Selector,
        "Only incidents with a series that this selector matches, as in PromQL. Any of several.",
    ),
    Param::many(
        "severity",
        Kind::OneOf(SEVERITIES),
        "Only incidents of this severity. Several with commas, or given several times.",
    ),
    Param::many(
        "state",
        Kind::OneOf(STATES),
        "Only incidents in this state. `open`: at least one of the anomalies is active; `closed`: all have ended; `merged`: it is a part of another one.",
    ),
    Param::query(
        "start_time",
        Kind::Time,
        "Only incidents that were not over before this time: RFC 3339 or seconds since 1970.",
    ),
    Param::query("start_date", Kind::Time, "The same as `start_time`."),
    Param::query(
        "end_time",
        Kind::Time,
        "Only incidents that began at this time or before it.",
    ),
    Param::query("end_date", Kind::Time, "The same as `end_time`."),
    Param::query(
        "limit",
        Kind::Integer {
            least: 1,
            most: LIMIT_MAX,
            usual: 100,
        },
        "Incidents of one page.",
    ),
    Param::query(
        "page_token",
        Kind::Text,
        "Where the page before ended: its `next_page_token`. The other parameters must be the same.",
    ),
    Param::query(
        "skip",
        Kind::Integer {
            least: 0,
            most: 10_000_000,
            usual: 0,
        },
        "Incidents to leave out at the beginning. Not together with `page_token`.",
    ),
];

/// What [`one`] takes.
pub(super) const ONE: &[Param] = &[Param::path("id", "The id of an incident.")];

/// A page of incidents, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentList {
    incidents: Vec<IncidentShown>,
    /// Where to go on; null on the last page.
    next_page_token: Option<String>,
}

/// Anomalies that began together on series that share labels or were learned to move together.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentShown {
    /// Stays the same through restarts: that of the anomaly that was confirmed first.
    id: String,
    /// `open`, `closed` or `merged`.
    state: &'static str,
    /// The gravest of its anomalies: `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// The highest score of its anomalies.
    score: f64,
    /// What it is, in one sentence.
    summary: String,
    /// When the first of its anomalies began.
    start_time: String,
    /// When a second series was confirmed, which made it an incident.
    opened_time: String,
    /// When the last of its anomalies was over; null while one lasts.
    end_time: Option<String>,
    /// From its beginning to its end; null while it lasts.
    duration_seconds: Option<f64>,
    /// Its anomalies, those that have ended included.
    members: usize,
    /// Those that are active now.
    members_active: usize,
    /// Anomalies that belong to it and were too many.
    members_left_out: u32,
    /// Series that have these anomalies.
    series: usize,
    /// Labels that all its series have with the same value.
    labels: BTreeMap<String, String>,
    /// Some of its series share no labels with the others: they were learned to move together.
    learned: bool,
    /// Where it likely came from; null once none of its anomalies is on record.
    origin: Option<OriginShown>,
    /// The incident that it is a part of, if it was merged.
    merged_into: Option<String>,
    /// Incidents that are parts of it.
    merged: Vec<String>,
    /// The address of this incident.
    link: String,
}

/// The anomaly that an incident likely came from.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct OriginShown {
    /// The id of the anomaly.
    anomaly: String,
    /// Its series as PromQL writes it.
    series: String,
    /// As in `/api/v1/series/{id}`.
    series_id: String,
    /// The name of its metric.
    metric_name: String,
    /// All its labels, its name included.
    labels: BTreeMap<String, String>,
    /// When the anomaly began.
    start_time: String,
    /// The highest score of the anomaly.
    score: f64,
    /// The reason of the anomaly, from the closed list.
    reason: &'static str,
    /// `up`, `down` or `both`.
    direction: &'static str,
    /// Why this one is named.
    why: String,
}

/// An incident with its anomalies.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct IncidentDetail {
    incident: IncidentShown,
    /// Those that began first come first, and of these the strongest. Without those that are not on
    /// record any more.
    anomalies: Vec<Anomaly>,
}

impl IncidentShown {
    pub(super) fn of(view: &IncidentView) -> Self {
        let incident = &view.incident;
        let seconds = |end: i64| end.saturating_sub(incident.start_ms).max(0) as f64 / 1000.0;
        Self {
            id: incident.id.to_string(),
            state: incident.state.as_str(),
            severity: incident.severity.as_str(),
            score: shorter(incident.score),
            summary: view.summary(),
            start_time: time::shown(incident.start_ms),
            opened_time: time::shown(incident.opened_ms),
            end_time: incident.end_ms.map(time::shown),
            duration_seconds: incident.end_ms.map(seconds),
            members: incident.members.len(),
            members_active: view.active,
            members_left_out: incident.left_out,
            series: view.series,
            labels: view.shared.iter().cloned().collect(),
            learned: incident.learned,
            origin: view.origin.as_ref().map(OriginShown::of),
            merged_into: incident.merged_into.map(|id| id.to_string()),
            merged: incident.merged.iter().map(ToString::to_string).collect(),
            link: format!("/api/v1/incidents/{}", incident.id),
        }
    }
}

impl OriginShown {
    fn of(view: &OriginView) -> Self {
        let id = view.origin.id;
        let pairs = labels::iter(&view.labels);
        Self {
            anomaly: id.to_string(),
            series: labels::display(&view.labels),
            series_id: format!("{:016x}", id.fingerprint),
            metric_name: labels::get(&view.labels, labels::METRIC_NAME)
                .unwrap_or_default()
                .to_owned(),
            labels: pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            start_time: time::shown(id.start_ms),
            score: shorter(view.row.score),
            reason: view.row.reason.as_str(),
            direction: view.row.side.as_str(),
            why: view.origin.why(),
        }
    }
}

/// Incidents that are wanted, the newest first, and whether there are more.
pub(super) fn page(
    records: &Records,
    filter: &IncidentFilter,
    after: Option<IncidentId>,
    skip: usize,
    limit: usize,
) -> (Vec<IncidentView>, bool) {
    records.look_at_incidents(|incidents, index| {
        let (ids, more) = incidents.page(index, filter, after, skip, limit);
        let views = ids
            .into_iter()
            .filter_map(|id| IncidentView::of(incidents, index, id));
        (views.collect(), more)
    })
}

/// An incident with its anomalies; `None` if there is no such incident.
pub(super) fn detail(
    api: &Api,
    records: &Records,
    id: IncidentId,
) -> Result<Option<IncidentDetail>, Unreadable> {
    let found = records.look_at_incidents(|incidents, index| {
        let view = IncidentView::of(incidents, index, id)?;
        let members = view.members(index);
        Some((view, members))
    });
    let Some((view, members)) = found else {
        return Ok(None);
    };
    Ok(Some(IncidentDetail {
        incident: IncidentShown::of(&view),
        anomalies: anomalies::told(api, records, &members)?,
    }))
}

/// `GET /api/v1/incidents`
pub(super) fn list(api: &Api, params: &Params) -> Answered {
    let records = records(api)?;
    let filter = IncidentFilter {
        metrics: params.all("metric_name").to_vec(),
        selectors: params.selectors("match[]").to_vec(),
        severities: params.named("severity", &Severity::ALL, Severity::as_str),
        states: params.named("state", &IncidentState::ALL, IncidentState::as_str),
        from_ms: params.time("start_time", "start_date")?,
        to_ms: params.time("end_time", "end_date")?,
    };
    let key = params.key_without(&["page_token", "limit", "skip"]);
    let token = params.one("page_token");
    if token.is_some() && params.one("skip").is_some() {
        return Err(Problem::parameter("skip", "not together with page_token"));
    }
    let after = token
        .map(|token| super::token::read(token, key))
        .transpose()?;
    let after = after.and_then(|place: [u8; 16]| RecordId::from_bytes(&place));
    let (skip, limit) = (params.number("skip"), params.number("limit"));
    let after = after.map(IncidentId);
    let (views, more) = page(records, &filter, after, skip as usize, limit as usize);
    let last = views.last().filter(|_| more);
    let next_page_token = last.map(|view| super::token::write(view.incident.id.0.to_bytes(), key));
    answer(&IncidentList {
        incidents: views.iter().map(IncidentShown::of).collect(),
        next_page_token,
    })
}

/// `GET /api/v1/incidents/{id}`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    let id: IncidentId = params
        .parsed("id")?
        .ok_or_else(|| Problem::not_found("no id"))?;
    match detail(api, records(api)?, id)? {
        Some(detail) => answer(&detail),
        None => Err(Problem::not_found(format!(
            "no incident {id}: it is older than records.keep, or never was"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_states_are_those_of_the_type() {
        let states: Vec<_> = IncidentState::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(states, STATES);
    }
}
