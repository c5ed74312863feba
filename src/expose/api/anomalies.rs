//! `/api/v1/anomalies`: records of anomalies, listed, one by one, and counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::maintenance::ChangeShown;
use super::params::shared::{MATCH, METRIC, TOKEN, limit};
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, answer, feedback, maintenance, time};
use crate::config::Severity;
use crate::engine::incident::IncidentId;
use crate::engine::record::{EndedBy, Exemplar, Record, RecordId, RecordState};
use crate::records::index::{Counts, Filter};
use crate::records::{Records, Unreadable};
use crate::score::board::{Reason, Side};
use crate::series::labels;

/// Records of one page.
const LIMIT_MAX: u64 = 1000;
/// Metrics that are named in the counts.
const METRICS_MAX: usize = 50;

pub(super) const SEVERITIES: &[&str] = &["low", "medium", "high", "critical"];
const STATES: &[&str] = &["pending", "active", "resolved"];
const REASONS: &[&str] = &[
    "spike",
    "drop",
    "level_shift",
    "trend",
    "season",
    "variance",
    "flatline",
    "absent",
    "out_of_range",
    "pattern",
    "joint",
];

const SEVERITY: Param = Param::many(
    "severity",
    Kind::OneOf(SEVERITIES),
    "Only anomalies of this severity. Several with commas, or given several times.",
);
const STATE: Param = Param::many(
    "state",
    Kind::OneOf(STATES),
    "Only anomalies in this state. `pending`: over the line and not confirmed yet, may be gone at any time; `active`; `resolved`.",
);
const REASON: Param = Param::many(
    "reason",
    Kind::OneOf(REASONS),
    "Only anomalies for this reason.",
);
const START: Param = Param::query(
    "start_time",
    Kind::Time,
    "Only anomalies that were not over before this time: RFC 3339 or seconds since 1970.",
);
const START_DATE: Param = Param::query(
    "start_date",
    Kind::Time,
    "The same as `start_time`; also a date alone, `2026-01-31`, which is its midnight in UTC.",
);
const END: Param = Param::query(
    "end_time",
    Kind::Time,
    "Only anomalies that began at this time or before it.",
);
const END_DATE: Param = Param::query("end_date", Kind::Time, "The same as `end_time`.");

/// What [`list`] takes.
pub(super) const LIST: &[Param] = &[
    METRIC,
    MATCH,
    SEVERITY,
    STATE,
    REASON,
    START,
    START_DATE,
    END,
    END_DATE,
    limit(LIMIT_MAX),
    TOKEN,
    Param::query(
        "skip",
        Kind::Integer {
            least: 0,
            most: 10_000_000,
            usual: 0,
        },
        "Anomalies to leave out at the beginning. Not together with `page_token`, which does not move \
         when anomalies begin.",
    ),
];

/// What [`stats`] takes.
pub(super) const STATS: &[Param] = &[
    METRIC, MATCH, SEVERITY, STATE, REASON, START, START_DATE, END, END_DATE,
];

/// What [`super::timeline::timeline`] takes.
pub(super) const TIMELINE: &[Param] = &[
    METRIC,
    MATCH,
    SEVERITY,
    STATE,
    REASON,
    START,
    START_DATE,
    END,
    END_DATE,
    Param::query(
        "parts",
        Kind::Integer {
            least: 1,
            most: 1000,
            usual: 60,
        },
        "Equal parts that the time is divided into.",
    ),
];

/// What [`one`] takes.
pub(super) const ONE: &[Param] = &[Param::path("id", "The id of an anomaly.")];

/// A page of anomalies, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct AnomalyList {
    anomalies: Vec<Anomaly>,
    /// Where to go on; null on the last page.
    next_page_token: Option<String>,
}

/// One anomaly of one series.
#[derive(Debug, Serialize, JsonSchema)]
pub(in crate::expose) struct Anomaly {
    /// Stays the same through restarts: the time of the first sample and the fingerprint of the series.
    id: String,
    /// The series as PromQL writes it.
    series: String,
    /// As in `/api/v1/series/{id}`.
    series_id: String,
    /// The name of the series' metric.
    metric_name: String,
    /// All labels of the series, its name included.
    labels: BTreeMap<String, String>,
    /// The label `job` of the series.
    job: Option<String>,
    /// The label `instance` of the series.
    instance: Option<String>,
    /// `pending`, `active` or `resolved`.
    state: &'static str,
    /// The gravest so far: `low`, `medium`, `high` or `critical`.
    severity: &'static str,
    /// `up`, `down` or `both`.
    direction: &'static str,
    /// Why, from the closed list of reasons.
    reason: &'static str,
    /// The first sample over the line.
    start_time: String,
    /// When it was confirmed; null while it is pending.
    active_time: Option<String>,
    /// When it was over; null while it lasts.
    end_time: Option<String>,
    /// `samples`: they are usual again, or what they do now has been learned; `stale`: the series
    /// ended; `silence`: nothing came any more.
    ended_by: Option<&'static str>,
    /// From its beginning to its end; null while it lasts.
    duration_seconds: Option<f64>,
    /// The sample that was furthest over the line.
    peak: PeakShown,
    /// Exemplars of the series near its beginning, at most four, the newest last.
    exemplars: Vec<ExemplarShown>,
    /// What somebody said of it, `confirmed` or `rejected`; null if nobody said anything.
    feedback: Option<&'static str>,
    /// What changed at its target shortly before it began; null if nothing is known to have.
    change: Option<ChangeShown>,
    /// The windows of maintenance that it began in, by their ids.
    maintenance: Vec<String>,
    /// The id of the incident that it is a part of, as in `/api/v1/incidents/{id}`; null if it is alone.
    incident: Option<String>,
    /// The address of this anomaly.
    link: String,
}

/// The sample of an anomaly that was furthest over the line.
#[derive(Debug, Serialize, JsonSchema)]
struct PeakShown {
    time: String,
    /// What was scored: of a counter its rate per second. Null for an absence.
    value: Option<f64>,
    /// In [0, 1); from 0.7 on over the line.
    score: f64,
    /// -log10 of how often this series reaches such evidence.
    rarity: f64,
    /// The evidence in units of the line.
    deviation: f64,
    /// What was expected instead. Null for an absence.
    expected: Option<f64>,
    /// The least value that would not have been over the line. Null if there is none, or for an absence.
    lower_bound: Option<f64>,
    /// The greatest value that would not have been over the line.
    upper_bound: Option<f64>,
    /// What said so, at most three, the largest share first.
    contributions: Vec<Contribution>,
}

/// A value that says which trace it came from.
#[derive(Debug, Serialize, JsonSchema)]
struct ExemplarShown {
    /// As they were sent: `trace_id` and the like.
    labels: BTreeMap<String, String>,
    /// Null for one that is no finite number.
    value: Option<f64>,
    timestamp: String,
}

/// A detector or a rule, and its share.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Contribution {
    part: String,
    /// Of all parts together 1.
    share: f64,
}

/// How many anomalies there are, of which kind.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Stats {
    total: u64,
    /// Series that have any.
    series: u64,
    by_severity: BTreeMap<&'static str, u64>,
    by_state: BTreeMap<&'static str, u64>,
    by_reason: BTreeMap<&'static str, u64>,
    by_direction: BTreeMap<&'static str, u64>,
    /// The metrics with the most, at most 50.
    by_metric: Vec<MetricCount>,
    /// Metrics that are not among these.
    metrics_left_out: u64,
    /// When the oldest of them began.
    oldest_time: Option<String>,
    /// When the newest of them began.
    newest_time: Option<String>,
    /// Mean of the scores of their peaks.
    mean_score: Option<f64>,
    max_score: Option<f64>,
}

/// Anomalies of one metric.
#[derive(Debug, Serialize, JsonSchema)]
struct MetricCount {
    metric_name: String,
    count: u64,
}

impl ExemplarShown {
    fn of(exemplar: &Exemplar) -> Self {
        Self {
            labels: labels::iter(&exemplar.labels)
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            value: exemplar.value.is_finite().then_some(exemplar.value),
            timestamp: time::shown(exemplar.t_ms),
        }
    }
}

impl Anomaly {
    pub(in crate::expose) fn of(record: &Record, incident: Option<IncidentId>) -> Self {
        let get = |name| labels::get(&record.labels, name).map(str::to_owned);
        let text = |ms: i64| time::shown(ms);
        let peak = &record.peak;
        let (lower, upper) = peak.band.unzip();
        // Both are NaN for an absence; an open side is infinite.
        let finite = |x: f64| x.is_finite().then_some(x);
        Self {
            id: record.id.to_string(),
            series: labels::display(&record.labels),
            series_id: format!("{:016x}", record.id.fingerprint),
            metric_name: get(labels::METRIC_NAME).unwrap_or_default(),
            labels: labels::iter(&record.labels)
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            job: get("job"),
            instance: get("instance"),
            state: record.state.as_str(),
            severity: record.severity.as_str(),
            direction: record.side.as_str(),
            reason: record.reason.as_str(),
            start_time: text(record.id.start_ms),
            active_time: record.active_ms.map(text),
            end_time: record.end_ms.map(text),
            ended_by: record.ended_by.map(EndedBy::as_str),
            duration_seconds: record
                .end_ms
                .map(|end| end.saturating_sub(record.id.start_ms).max(0) as f64 / 1000.0),
            peak: PeakShown {
                time: text(peak.t_ms),
                value: finite(peak.value),
                score: shorter(peak.score),
                rarity: peak.rarity,
                deviation: peak.deviation,
                expected: finite(peak.expected),
                lower_bound: lower.and_then(finite),
                upper_bound: upper.and_then(finite),
                contributions: peak
                    .parts
                    .iter()
                    .map(|(part, share)| Contribution {
                        part: part.clone(),
                        share: shorter(*share),
                    })
                    .collect(),
            },
            exemplars: record.exemplars.iter().map(ExemplarShown::of).collect(),
            feedback: None,
            change: None,
            maintenance: Vec::new(),
            incident: incident.map(|id| id.to_string()),
            link: format!("/api/v1/anomalies/{}", record.id),
        }
    }
}

/// Anomalies with these ids, in this order, without those that are gone, and what is known of them
/// besides their records.
pub(in crate::expose) fn told(
    api: &Api,
    records: &Records,
    ids: &[RecordId],
) -> Result<Vec<Anomaly>, Unreadable> {
    let found = records.get(ids)?;
    let ids: Vec<_> = found.iter().map(|r| r.id).collect();
    let both = found.iter().zip(records.incidents_of(&ids));
    let one = |(record, incident): (&Record, Option<IncidentId>)| {
        let given = feedback::kept(api).and_then(|all| all.of(record.id));
        let (change, maintenance) = maintenance::around(api, record);
        Anomaly {
            feedback: given.map(|f| f.verdict.as_str()),
            change,
            maintenance,
            ..Anomaly::of(record, incident)
        }
    };
    Ok(both.map(one).collect())
}

/// A number of single precision as people write it, not with what double precision adds.
pub(in crate::expose) fn shorter(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(f64::from(x))
}

impl Stats {
    fn of(counts: &Counts) -> Self {
        let sides = [Side::Up, Side::Down, Side::Both];
        let mean = counts.score_sum / counts.total as f64;
        let few = counts.by_metric.iter().take(METRICS_MAX);
        Self {
            total: counts.total,
            series: counts.series,
            by_severity: named(&Severity::ALL, Severity::as_str, &counts.by_severity),
            by_state: named(&RecordState::ALL, RecordState::as_str, &counts.by_state),
            by_reason: named(&Reason::ALL, Reason::as_str, &counts.by_reason),
            by_direction: named(&sides, Side::as_str, &counts.by_side),
            by_metric: few
                .map(|(name, count)| MetricCount {
                    metric_name: name.clone(),
                    count: *count,
                })
                .collect(),
            metrics_left_out: counts.by_metric.len().saturating_sub(METRICS_MAX) as u64,
            oldest_time: counts.oldest_ms.map(time::shown),
            newest_time: counts.newest_ms.map(time::shown),
            mean_score: mean.is_finite().then_some(mean),
            max_score: (counts.total > 0).then(|| shorter(counts.score_max)),
        }
    }
}

fn named<T: Copy>(
    all: &[T],
    name: fn(T) -> &'static str,
    counts: &[u64],
) -> BTreeMap<&'static str, u64> {
    all.iter()
        .map(|t| name(*t))
        .zip(counts.iter().copied())
        .collect()
}

/// What the parameters of [`LIST`] want.
pub(in crate::expose) fn filter(params: &Params) -> Result<Filter, Problem> {
    Ok(Filter {
        metrics: params.all("metric_name").to_vec(),
        selectors: params.selectors("match[]").to_vec(),
        severities: params.named("severity", &Severity::ALL, Severity::as_str),
        states: params.named("state", &RecordState::ALL, RecordState::as_str),
        reasons: params.named("reason", &Reason::ALL, Reason::as_str),
        from_ms: params.time("start_time", "start_date")?,
        to_ms: params.time("end_time", "end_date")?,
    })
}

pub(in crate::expose) fn records(api: &Api) -> Result<&Arc<Records>, Problem> {
    let none = "no records of anomalies are kept: see records.keep in the configuration, or the log for why the data directory cannot be used";
    api.state
        .api
        .records
        .as_ref()
        .ok_or_else(|| Problem::not_found(none))
}

/// `GET /api/v1/anomalies`
pub(super) fn list(api: &Api, params: &Params) -> Answered {
    let records = records(api)?;
    let filter = filter(params)?;
    let key = params.key_without(&["page_token", "limit", "skip"]);
    let after = params
        .one("page_token")
        .map(|token| {
            if params.one("skip").is_some() {
                let what = "not together with page_token";
                return Err(Problem::parameter("skip", what));
            }
            super::token::read(token, key)
        })
        .transpose()?
        .and_then(|place: [u8; 16]| RecordId::from_bytes(&place));
    let limit = params.number("limit") as usize;
    let skip = params.number("skip") as usize;
    let page = records.look(|index| index.page(&filter, after, skip, limit));
    let last = page.ids.last().filter(|_| page.more);
    let next_page_token = last.map(|id| super::token::write(id.to_bytes(), key));
    answer(&AnomalyList {
        anomalies: told(api, records, &page.ids)?,
        next_page_token,
    })
}

/// `GET /api/v1/anomalies/{id}`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    let id: RecordId = params
        .parsed("id")?
        .ok_or_else(|| Problem::not_found("no id"))?;
    let found = told(api, records(api)?, &[id])?;
    match found.first() {
        Some(anomaly) => answer(anomaly),
        None => Err(Problem::not_found(format!(
            "no anomaly {id}: it is older than records.keep, was never confirmed, or never was"
        ))),
    }
}

/// `GET /api/v1/anomalies/stats` and `/api/v1/anomalies/stats/summary`
pub(super) fn stats(api: &Api, params: &Params) -> Answered {
    let filter = filter(params)?;
    let counts = records(api)?.look(|index| index.count(&filter));
    answer(&Stats::of(&counts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_those_of_the_types() {
        let severities: Vec<_> = Severity::ALL.iter().map(|s| s.as_str()).collect();
        let states: Vec<_> = RecordState::ALL.iter().map(|s| s.as_str()).collect();
        let reasons: Vec<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(severities, SEVERITIES);
        assert_eq!(states, STATES);
        assert_eq!(reasons, REASONS);
    }
}
