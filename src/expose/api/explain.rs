//! `/api/v1/series/{id}/explain`: why a sample has the score that it has, in numbers and in words.
//!
//! What was said of the sample when it came is said again, by [`crate::engine::recall`]: from the state
//! that the series had then, forest included. So the score here is, byte for byte, the one that was
//! given, and what cannot be said for certain is not said at all.

mod words;

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::shorter;
use super::params::shared::SERIES;
use super::params::{Kind as Is, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, answer, series, time, window};
use crate::engine::ask::Found;
use crate::engine::catalogue::{SeriesStatus, Sort};
use crate::engine::recall::Effort;
use crate::model::ensemble::NAMES;
use crate::score::judge::{Evidence, Phase};
use crate::score::track::again::Told;
use crate::series::kind::{Kind, KindState, Scored, Source};
use crate::series::labels;

const DAY_MS: i64 = 24 * 3_600_000;
/// A sample explains a time up to so many intervals after it ...
const NEAR_INTERVALS: f64 = 3.0;
/// ... and at least so long after it, in milliseconds.
const NEAR_MIN_MS: i64 = 1000;
/// How far from the same time of another day a value may be, in milliseconds.
const THEN_MS: i64 = 300_000;
/// Samples that may be scored again for one explanation: under a second.
const EFFORT: usize = 100_000;

/// What [`explain`] takes.
pub(super) const EXPLAIN: &[Param] = &[
    SERIES,
    Param::query(
        "time",
        Is::Time,
        "The last sample at or before this time is explained; the newest unless given.",
    ),
];

/// Why a sample has the score that it has.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Explanation {
    id: String,
    series: String,
    /// Of the sample.
    time: String,
    /// What is scored: of a counter its rate per second.
    value: f64,
    /// What was expected.
    expected: Option<f64>,
    /// The least value that would not have been over the line; null for no bound.
    lower_bound: Option<f64>,
    /// The greatest one.
    upper_bound: Option<f64>,
    /// Null while too little has been learned.
    score: Option<f64>,
    /// The evidence in units of the line; from 1 on over it.
    deviation: Option<f64>,
    /// -log10 of how often the series reaches such evidence.
    rarity: Option<f64>,
    /// `up` or `down`, of a sample over the line.
    direction: Option<&'static str>,
    /// Of the anomaly under way at this sample.
    reason: Option<&'static str>,
    /// Of the anomaly under way at this sample.
    severity: Option<&'static str>,
    /// `pending` or `active`, if an anomaly is under way.
    state: Option<&'static str>,
    /// What each detector says. Shares add up to 1, deviations to that of all detectors.
    detectors: Vec<Part>,
    /// The rule that says more than the detectors.
    rule: Option<String>,
    /// The value a day before.
    yesterday: Option<Then>,
    /// The value a week before.
    last_week: Option<Then>,
    /// `day` if the time of the day was known and judged by, else `none`.
    season: &'static str,
    learned: Learned,
    /// The same in plain English.
    sentences: [String; 2],
}

/// A detector's part.
#[derive(Debug, Serialize, JsonSchema)]
struct Part {
    part: &'static str,
    share: f64,
    /// Its share of the evidence, in units of the line.
    deviation: f64,
}

/// A value at another time.
#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Then {
    time: String,
    value: f64,
}

/// What was known before this sample.
#[derive(Debug, Serialize, JsonSchema)]
struct Learned {
    /// Values before this one.
    samples: u32,
    /// Values from which on there are scores.
    warmup_samples: u32,
    /// The time that so many values take at the usual distance of two of them.
    span_seconds: f64,
    /// `warmup`, `young` or `mature`.
    phase: &'static str,
    /// Where the values lay, whatever the time of the day.
    level: Option<f64>,
    /// How far they usually were from where they were expected.
    scale: Option<f64>,
    /// The isolation forest that had a say; null without one.
    forest: Option<ForestUsed>,
}

/// A version of a forest.
#[derive(Debug, Serialize, JsonSchema)]
struct ForestUsed {
    version: u32,
    /// Time of the sample at which it was ordered.
    ordered_time: String,
}

/// `GET /api/v1/series/{id}/explain`
pub(super) fn explain(api: &Api, params: &Params) -> Answered {
    let (id, status) = series::named(api, params)?;
    answer(&of_series(api, id, &status, params.time_of("time"))?)
}

/// Why the last sample of a series at or before a time has its score.
fn of_series(
    api: &Api,
    id: u64,
    status: &SeriesStatus,
    time_ms: Option<i64>,
) -> Result<Explanation, Problem> {
    let not_here = match status.sort {
        Sort::Gauge | Sort::Counter => None,
        Sort::Statistic => {
            Some("a statistic of a histogram has no samples of its own to explain it by")
        }
        Sort::Window => Some("the series is kept and not modelled"),
        Sort::Asleep => {
            Some("the series is put aside until its next sample: ask again when it has come")
        }
    };
    if let Some(why) = not_here {
        return Err(Problem::not_found(why));
    }
    let interval_ms = status.model.as_ref().map_or(0.0, |m| m.interval_ms);
    let to_ms = time_ms.or(status.last_ms).unwrap_or_default();
    let near_ms = ((NEAR_INTERVALS * interval_ms) as i64).max(NEAR_MIN_MS);
    let range = (to_ms.saturating_sub(near_ms), to_ms);
    let found = window::found(api, &status.labels)?;
    let reader = &api.state.reader;
    let told = api.ask(reader.tell(&found, range, &Effort::new(EFFORT)))??;
    let Some(told) = told.last() else {
        let some = window::samples(api, &found, range)?;
        return Err(Problem::not_found(match some.is_empty() {
            true => "no sample is kept of that time, nor of shortly before it",
            false => {
                "what was said of that sample cannot be said again for certain: it gave no value to judge, it was judged by other rules, or samples before it are not kept any more"
            }
        }));
    };
    let then = |back_ms: i64| then(api, &found, status, told.x.t_ms - back_ms, interval_ms);
    let (yesterday, last_week) = (then(DAY_MS)?, then(7 * DAY_MS)?);
    Ok(shown(id, status, told, yesterday, last_week))
}

/// What the series was worth at about a time: the value nearest to it.
fn then(
    api: &Api,
    found: &Found,
    status: &SeriesStatus,
    t_ms: i64,
    interval_ms: f64,
) -> Result<Option<Then>, Problem> {
    // Of a counter, the sample before is half of the value.
    let before_ms = THEN_MS.saturating_add((NEAR_INTERVALS * interval_ms) as i64);
    let range = (t_ms.saturating_sub(before_ms), t_ms.saturating_add(THEN_MS));
    let is = match status.sort {
        Sort::Counter => Kind::Counter,
        _ => Kind::Gauge,
    };
    let mut kind = KindState::new(Some((is, Source::Metadata)));
    let values = window::samples(api, found, range)?;
    let values = values.into_iter().filter(|(_, v)| v.is_finite());
    let values = values.filter_map(|(t_ms, v)| match kind.take(t_ms, v, None) {
        Scored::Value(value) => Some((t_ms, value)),
        Scored::First | Scored::Reset | Scored::Turned => None,
    });
    let nearest = values.min_by_key(|(at_ms, _)| at_ms.abs_diff(t_ms));
    let near = nearest.filter(|(at_ms, _)| at_ms.abs_diff(t_ms) <= THEN_MS as u64);
    Ok(near.map(|(at_ms, value)| Then {
        time: time::shown(at_ms),
        value,
    }))
}

fn shown(
    id: u64,
    status: &SeriesStatus,
    told: &Told,
    yesterday: Option<Then>,
    last_week: Option<Then>,
) -> Explanation {
    let evidence = told.judged.evidence;
    let finite = |x: f64| x.is_finite().then_some(x);
    let (lower, upper) = told.band.map(|b| (b.lower, b.upper)).unzip();
    let expected = told.band.map(|b| b.expected);
    let over = evidence.filter(|e| e.deviation >= 1.0);
    let alarm = told.judged.alarm;
    let phase = match told.phase {
        Phase::Warmup => "warmup",
        Phase::Young => "young",
        Phase::Mature => "mature",
    };
    let (level, scale) = told.usual;
    let known = told.before > 0;
    Explanation {
        id: format!("{id:016x}"),
        series: labels::display(&status.labels),
        time: time::shown(told.x.t_ms),
        value: told.x.value,
        expected: expected.or(evidence.map(|e| e.expected)).and_then(finite),
        lower_bound: lower.and_then(finite),
        upper_bound: upper.and_then(finite),
        score: told.judged.score.map(shorter),
        deviation: evidence.map(|e| e.deviation),
        rarity: evidence.map(|_| told.judged.rarity),
        direction: over.map(|e| e.side.as_str()),
        reason: alarm.map(|a| a.reason.as_str()),
        severity: alarm.map(|a| a.severity.as_str()),
        state: alarm.map(|a| a.state.as_str()),
        detectors: evidence.map_or_else(Vec::new, |e| parts(&e)),
        rule: evidence.and_then(|e| e.rule).map(|r| r.name().to_owned()),
        yesterday,
        last_week,
        season: if told.knows_the_day { "day" } else { "none" },
        learned: Learned {
            samples: told.before,
            warmup_samples: told.warmup,
            span_seconds: f64::from(told.before) * told.interval_ms / 1000.0,
            phase,
            level: finite(level).filter(|_| known),
            scale: finite(scale).filter(|_| known),
            forest: told.forest.map(|(version, ordered_ms)| ForestUsed {
                version,
                ordered_time: time::shown(ordered_ms),
            }),
        },
        sentences: [words::first(status, told), words::second(told)],
    }
}

fn parts(e: &Evidence) -> Vec<Part> {
    let each = NAMES.iter().zip(e.shares);
    let mut parts: Vec<_> = each
        .map(|(part, share)| Part {
            part,
            share: shorter(share),
            deviation: f64::from(share) * e.own,
        })
        .collect();
    parts.sort_by(|a, b| b.share.total_cmp(&a.share));
    parts
}
