//! `/api/v1/maintenance` and `/api/v1/changes`: windows of maintenance, and changes at targets.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::acts::{Fields, nothing_kept};
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, answer, time};
use crate::engine::record::Record;
use crate::maintenance::changes::{self, CHANGES_MAX, Change, TEXT_MAX};
use crate::maintenance::window::{Source, Stage, Wanted, Window};
use crate::maintenance::{Maintenance, MaintenanceError};

const STATES: &[&str] = &["pending", "active", "expired"];
const SOURCES: &[&str] = &["api", "config", "alertmanager"];
const KINDS: &[&str] = &["restart", "build", "deploy"];
/// Longest time for which a change is held against anomalies, in milliseconds.
const CHANGE_MAX_MS: i64 = 86_400_000;

/// What [`list`] takes.
pub(super) const LIST: &[Param] = &[
    Param::many(
        "state",
        Kind::OneOf(STATES),
        "Only windows in this state. Several with commas, or given several times.",
    ),
    Param::many("source", Kind::OneOf(SOURCES), "Only windows from there."),
];

/// What [`one`] and [`end`] take.
pub(super) const ONE: &[Param] = &[Param::path("id", "The id of a window.")];

/// What [`changes`] takes.
pub(super) const CHANGES: &[Param] = &[
    Param::many("kind", Kind::OneOf(KINDS), "Only changes of this kind."),
    Param::many("job", Kind::Text, "Only changes of this job."),
    Param::query(
        "limit",
        Kind::Integer {
            least: 1,
            most: CHANGES_MAX as u64,
            usual: 100,
        },
        "At most so many, the newest first.",
    ),
];

/// A window of maintenance: from `start_time` to `end_time`, or `duration` long whenever `schedule`
/// says so.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read field by field")]
pub(super) struct WindowGiven {
    /// Which series, as in PromQL.
    selector: String,
    /// When it begins: RFC 3339 or seconds since 1970. Without: now.
    start_time: Option<String>,
    /// When it ends. Needed without a schedule.
    end_time: Option<String>,
    /// When it begins again and again: a cron expression such as `0 2 * * SUN`.
    schedule: Option<String>,
    /// How long each of these is: `2h`, from 1m to 30d.
    duration: Option<String>,
    /// The time zone of `schedule`, `Europe/Berlin`; UTC unless given.
    time_zone: Option<String>,
    /// Whether anomalies are shown in it; false unless given.
    alert: Option<bool>,
    /// Whether its samples are learned from; false unless given.
    learn: Option<bool>,
    /// Who says so, at most 200 characters.
    author: Option<String>,
    /// What for, at most 2000 characters.
    comment: Option<String>,
}

/// A window of maintenance.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WindowShown {
    id: String,
    selector: String,
    start_time: Option<String>,
    end_time: Option<String>,
    schedule: Option<String>,
    duration: Option<String>,
    time_zone: Option<String>,
    alert: bool,
    learn: bool,
    author: Option<String>,
    comment: Option<String>,
    /// `api`, `config` or `alertmanager`.
    source: &'static str,
    /// `pending`, `active` or `expired`.
    state: &'static str,
    created_time: String,
    /// Samples before this time were judged without it.
    counts_from_time: String,
    /// When it was ended, if it was; it holds for no sample from then on.
    ended_time: Option<String>,
    /// The id of the silence of the Alertmanager that it was read from.
    silence: Option<String>,
}

/// Windows, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WindowList {
    windows: Vec<WindowShown>,
}

/// A change at a target.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read field by field")]
pub(super) struct ChangeGiven {
    /// The label `job` of the series that it is about.
    job: String,
    /// Their label `instance`; without, of any instance.
    instance: Option<String>,
    /// When: RFC 3339 or seconds since 1970. Without: now.
    time: Option<String>,
    /// How long anomalies that begin are marked: `10m`, at most 1d; `maintenance.change_window` unless
    /// given.
    duration: Option<String>,
    /// Who says so, at most 200 characters.
    author: Option<String>,
    /// What changed, at most 2000 characters.
    comment: Option<String>,
}

/// A change at a target. Anomalies of its series that begin until `until_time` are marked with it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct ChangeShown {
    /// `restart`: `process_start_time_seconds` is another, or most counters began anew; `build`: a `*_build_info` has other labels;
    /// `deploy`: somebody said so.
    kind: &'static str,
    job: String,
    instance: Option<String>,
    time: String,
    until_time: String,
    author: Option<String>,
    comment: Option<String>,
}

/// Changes, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChangeList {
    changes: Vec<ChangeShown>,
    /// Beyond the limit.
    left_out: usize,
}

impl WindowShown {
    fn of(window: &Window, stage: Stage) -> Self {
        let wanted = window.wanted.clone();
        let duration = wanted.duration_ms.map(|ms| {
            let duration = std::time::Duration::from_millis(ms.unsigned_abs());
            humantime::format_duration(duration).to_string()
        });
        Self {
            id: window.id(),
            selector: wanted.selector,
            start_time: wanted.start_ms.map(time::shown),
            end_time: wanted.end_ms.map(time::shown),
            schedule: wanted.schedule,
            duration,
            time_zone: wanted.time_zone,
            alert: wanted.alert,
            learn: wanted.learn,
            author: wanted.author,
            comment: wanted.comment,
            source: window.source.as_str(),
            state: stage.as_str(),
            created_time: time::shown(window.created_ms),
            counts_from_time: time::shown(window.counts_ms),
            ended_time: window.ended_ms.map(time::shown),
            silence: window.silence.clone(),
        }
    }
}

impl ChangeShown {
    fn of(change: &Change) -> Self {
        Self {
            kind: change.kind.as_str(),
            job: change.job.clone(),
            instance: change.instance.clone(),
            time: time::shown(change.t_ms),
            until_time: time::shown(change.until_ms),
            author: change.author.clone(),
            comment: change.comment.clone(),
        }
    }
}

impl From<MaintenanceError> for Problem {
    fn from(error: MaintenanceError) -> Self {
        match error {
            MaintenanceError::Window(error) => Self::parameter(error.field, error.what),
            MaintenanceError::Full => Self::parameter("selector", error),
            MaintenanceError::Configured | MaintenanceError::Silenced => {
                Self::parameter("id", error)
            }
            MaintenanceError::Unkept(_) => Self::unavailable(error.to_string()),
        }
    }
}

fn all(api: &Api) -> Result<&Arc<Maintenance>, Problem> {
    api.state.api.maintenance.as_ref().ok_or_else(nothing_kept)
}

/// A duration in milliseconds, if it is given.
fn duration(body: &mut Fields) -> Result<Option<i64>, Problem> {
    let Some(text) = body.text("duration")? else {
        return Ok(None);
    };
    let ms = humantime::parse_duration(&text)
        .ok()
        .and_then(|d| i64::try_from(d.as_millis()).ok());
    let wrong = || Problem::parameter("duration", "not a duration such as 30m or 2h");
    ms.map(Some).ok_or_else(wrong)
}

/// `GET /api/v1/maintenance`
pub(super) fn list(api: &Api, params: &Params) -> Answered {
    let states = params.named("state", &Stage::ALL, Stage::as_str);
    let sources = params.named("source", &Source::ALL, Source::as_str);
    let mut windows = all(api)?.list(api.state.clock.now_ms());
    windows.retain(|(w, stage)| {
        (states.is_empty() || states.contains(stage))
            && (sources.is_empty() || sources.contains(&w.source))
    });
    let shown = windows.iter().map(|(w, stage)| WindowShown::of(w, *stage));
    answer(&WindowList {
        windows: shown.collect(),
    })
}

fn shown(api: &Api, params: &Params) -> Result<WindowShown, Problem> {
    let id = params.one("id").unwrap_or_default();
    let windows = all(api)?.list(api.state.clock.now_ms());
    let found = windows.iter().find(|(w, _)| w.id() == id);
    let none = || Problem::not_found(format!("no window {}", super::problem::shortened(id)));
    let (window, stage) = found.ok_or_else(none)?;
    Ok(WindowShown::of(window, *stage))
}

/// `GET /api/v1/maintenance/{id}`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    answer(&shown(api, params)?)
}

/// `POST /api/v1/maintenance`
pub(super) fn add(api: &Api, _: &Params, mut body: Fields) -> Answered {
    let all = all(api)?;
    let wanted = Wanted {
        selector: body.text("selector")?.unwrap_or_default(),
        start_ms: body.time("start_time")?,
        end_ms: body.time("end_time")?,
        schedule: body.text("schedule")?,
        duration_ms: duration(&mut body)?,
        time_zone: body.text("time_zone")?,
        alert: body.yes("alert")?.unwrap_or(false),
        learn: body.yes("learn")?.unwrap_or(false),
        author: body.text("author")?,
        comment: body.text("comment")?,
    };
    body.end(
        "selector, start_time, end_time, schedule, duration, time_zone, alert, learn, author, comment",
    )?;
    let now_ms = api.state.clock.now_ms();
    if wanted.end_ms.is_some_and(|end| end <= now_ms) {
        return Err(Problem::parameter("end_time", "it is over already"));
    }
    let window = all.add(wanted, now_ms)?;
    let stage = all
        .list(now_ms)
        .into_iter()
        .find(|(w, _)| w.number == window.number);
    answer(&WindowShown::of(
        &window,
        stage.map_or(Stage::Pending, |(_, stage)| stage),
    ))
}

/// `DELETE /api/v1/maintenance/{id}`
pub(super) fn end(api: &Api, params: &Params, _: Fields) -> Answered {
    // One that there is.
    shown(api, params)?;
    if let Some(number) = params.one("id").and_then(|id| id.parse().ok()) {
        all(api)?.end(number, api.state.clock.now_ms())?;
    }
    answer(&shown(api, params)?)
}

/// `GET /api/v1/changes`
pub(super) fn changes(api: &Api, params: &Params) -> Answered {
    let kinds = params.named("kind", &changes::Kind::ALL, changes::Kind::as_str);
    let jobs = params.all("job");
    let mut found = all(api)?.changes.list();
    found.retain(|c| {
        (kinds.is_empty() || kinds.contains(&c.kind)) && (jobs.is_empty() || jobs.contains(&c.job))
    });
    let limit = params.number("limit") as usize;
    let left_out = found.len().saturating_sub(limit);
    found.truncate(limit);
    answer(&ChangeList {
        changes: found.iter().map(ChangeShown::of).collect(),
        left_out,
    })
}

/// `POST /api/v1/changes`
pub(super) fn say(api: &Api, _: &Params, mut body: Fields) -> Answered {
    let all = all(api)?;
    let now_ms = api.state.clock.now_ms();
    let long_ms = duration(&mut body)?.unwrap_or(api.state.api.change_window_ms);
    let t_ms = body.time("time")?.unwrap_or(now_ms);
    let change = Change {
        kind: changes::Kind::Deploy,
        job: body
            .text("job")?
            .filter(|job| !job.is_empty())
            .ok_or_else(|| {
                Problem::parameter("job", "it is missing: which targets is it about?")
            })?,
        instance: body.text("instance")?,
        t_ms,
        until_ms: t_ms.saturating_add(long_ms),
        author: body.text("author")?,
        comment: body.text("comment")?,
    };
    body.end("job, instance, time, duration, author, comment")?;
    if !(0..=CHANGE_MAX_MS).contains(&long_ms) {
        return Err(Problem::parameter("duration", "it is more than 1d"));
    }
    for (field, text, max) in [
        ("job", Some(&change.job), TEXT_MAX),
        ("instance", change.instance.as_ref(), TEXT_MAX),
        ("author", change.author.as_ref(), 200),
        ("comment", change.comment.as_ref(), TEXT_MAX),
    ] {
        if text.is_some_and(|t| t.chars().count() > max) {
            let what = format!("more than {max} characters");
            return Err(Problem::parameter(field, what));
        }
    }
    if all.changes.say(change.clone()).is_err() {
        let what = "it cannot be kept, so it is not taken, try again";
        return Err(Problem::unavailable(what));
    }
    answer(&ChangeShown::of(&change))
}

/// The change that an anomaly is marked with, if any, and the windows that it began in.
pub(super) fn around(api: &Api, record: &Record) -> (Option<ChangeShown>, Vec<String>) {
    let Some(all) = &api.state.api.maintenance else {
        return (None, Vec::new());
    };
    let start_ms = record.id.start_ms;
    let change = all.changes.explaining(&record.labels, start_ms);
    let windows = all.holding(&record.labels, start_ms);
    (
        change.as_ref().map(ChangeShown::of),
        windows.iter().map(Window::id).collect(),
    )
}
