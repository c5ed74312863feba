//! `/api/v1/anomalies/{id}/feedback` and `/api/v1/feedback`: what people say of anomalies.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::acts::{Fields, nothing_kept};
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, anomalies, answer, time};
use crate::engine::record::{Record, RecordId};
use crate::feedback::{FEEDBACK_MAX, Feedback, FeedbackError, Feedbacks, Said, Verdict};

const VERDICTS: &[&str] = &["confirmed", "rejected"];

/// What [`give`], [`undo`] and [`one`] take.
pub(super) const ONE: &[Param] = &[Param::path("id", "The id of an anomaly.")];

/// What [`list`] takes.
pub(super) const LIST: &[Param] = &[
    Param::many(
        "verdict",
        Kind::OneOf(VERDICTS),
        "Only feedback that says this.",
    ),
    Param::query(
        "limit",
        Kind::Integer {
            least: 1,
            most: FEEDBACK_MAX as u64,
            usual: 100,
        },
        "At most so many, the newest first.",
    ),
];

/// What somebody says of an anomaly.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "describes what is read field by field")]
pub(super) struct FeedbackGiven {
    /// `confirmed`: it is an anomaly; `rejected`: it is none.
    verdict: VerdictGiven,
    /// Who says so, at most 200 characters.
    #[schemars(length(max = 200))]
    author: Option<String>,
    /// Why, at most 2000 characters.
    #[schemars(length(max = 2000))]
    comment: Option<String>,
}

/// What is said.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(dead_code, reason = "describes what is read field by field")]
enum VerdictGiven {
    Confirmed,
    Rejected,
}

/// What somebody said of an anomaly, and where the lines of its series are now.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FeedbackShown {
    anomaly_id: String,
    series_id: String,
    /// `confirmed` or `rejected`.
    verdict: &'static str,
    author: Option<String>,
    comment: Option<String>,
    /// Of the anomaly when this was said.
    reason: &'static str,
    given_time: String,
    /// Samples of this time and later ones are judged by it.
    counts_from_time: String,
    /// The lines of the series that feedback has moved.
    lines: Vec<LineShown>,
}

/// A line of a series that is not where it is for others.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct LineShown {
    reason: &'static str,
    /// Evidence of this reason is divided by it: above 1 it takes more to cross the line.
    factor: f64,
}

/// Feedback, the newest first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FeedbackList {
    feedback: Vec<FeedbackShown>,
    /// Beyond the limit.
    left_out: usize,
}

impl FeedbackShown {
    pub(super) fn of(all: &Feedbacks, given: &Feedback) -> Self {
        Self {
            anomaly_id: given.anomaly.to_string(),
            series_id: format!("{:016x}", given.anomaly.fingerprint),
            verdict: given.verdict.as_str(),
            author: given.author.clone(),
            comment: given.comment.clone(),
            reason: given.reason.as_str(),
            given_time: time::shown(given.given_ms),
            counts_from_time: time::shown(given.counts_ms),
            lines: lines(all, given.anomaly.fingerprint),
        }
    }
}

/// The lines of a series that feedback has moved.
pub(super) fn lines(all: &Feedbacks, fingerprint: u64) -> Vec<LineShown> {
    let moved = all.moved(fingerprint).into_iter();
    let shown = moved.map(|(reason, factor)| LineShown {
        reason: reason.as_str(),
        factor: (factor * 1e6).round() / 1e6,
    });
    shown.collect()
}

impl From<FeedbackError> for Problem {
    fn from(error: FeedbackError) -> Self {
        match error {
            FeedbackError::TooLong { what, .. } => Self::parameter(what, error),
            FeedbackError::Full => Self::parameter("id", error),
            FeedbackError::Unkept(_) => Self::unavailable(error.to_string()),
        }
    }
}

/// What feedback there is, if any is kept.
pub(super) fn kept(api: &Api) -> Option<&Arc<Feedbacks>> {
    api.state.api.feedback.as_ref()
}

fn all(api: &Api) -> Result<&Arc<Feedbacks>, Problem> {
    kept(api).ok_or_else(nothing_kept)
}

fn id(params: &Params) -> Result<RecordId, Problem> {
    let id = params.parsed("id")?;
    id.ok_or_else(|| Problem::not_found("no id"))
}

fn record(api: &Api, id: RecordId) -> Result<Record, Problem> {
    let found = anomalies::records(api)?.get(&[id])?;
    let none = || Problem::not_found(format!("no anomaly {id}"));
    found.into_iter().next().ok_or_else(none)
}

/// `POST /api/v1/anomalies/{id}/feedback`
pub(super) fn give(api: &Api, params: &Params, mut body: Fields) -> Answered {
    let all = all(api)?;
    let said = Said {
        verdict: body.one_of("verdict", &Verdict::ALL, Verdict::as_str)?,
        author: body.text("author")?,
        comment: body.text("comment")?,
    };
    body.end("verdict, author, comment")?;
    answer(&take(api, all, id(params)?, said)?)
}

/// Takes feedback, whichever protocol it came by.
pub(super) fn take(
    api: &Api,
    all: &Feedbacks,
    id: RecordId,
    said: Said,
) -> Result<FeedbackShown, Problem> {
    let record = record(api, id)?;
    let verdict = said.verdict;
    let given = all.give(&record, said, api.state.clock.now_ms())?;
    api.state.metrics.feedback.given(verdict.as_str());
    Ok(FeedbackShown::of(all, &given))
}

/// `DELETE /api/v1/anomalies/{id}/feedback`
pub(super) fn undo(api: &Api, params: &Params, _: Fields) -> Answered {
    let (all, id) = (all(api)?, id(params)?);
    match all.undo(id, api.state.clock.now_ms())? {
        Some(gone) => {
            api.state.metrics.feedback.undone.inc();
            answer(&FeedbackShown::of(all, &gone))
        }
        None => Err(Problem::not_found(format!("no feedback on anomaly {id}"))),
    }
}

/// `GET /api/v1/anomalies/{id}/feedback`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    let (all, id) = (all(api)?, id(params)?);
    let none = || Problem::not_found(format!("no feedback on anomaly {id}"));
    let given = all.of(id).ok_or_else(none)?;
    answer(&FeedbackShown::of(all, &given))
}

/// `GET /api/v1/feedback`
pub(super) fn list(api: &Api, params: &Params) -> Answered {
    let all = all(api)?;
    let wanted = params.named("verdict", &Verdict::ALL, Verdict::as_str);
    let mut given = all.list();
    given.retain(|f| wanted.is_empty() || wanted.contains(&f.verdict));
    let limit = params.number("limit") as usize;
    let left_out = given.len().saturating_sub(limit);
    given.truncate(limit);
    answer(&FeedbackList {
        feedback: given.iter().map(|f| FeedbackShown::of(all, f)).collect(),
        left_out,
    })
}
