//! `/api/v1/series/{id}/window`: the samples of one series, and what was said of them.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::shorter;
use super::params::shared::SERIES;
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::series::{finite, id_text, named};
use super::{Answered, Api, answer, time};
use crate::engine::ask::Found;
use crate::engine::catalogue::Sort;
use crate::engine::recall::Effort;
use crate::score::track::again::Numbers;
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::window::chunk;
use crate::window::encoding::Encoding;

/// Samples of one answer.
const SAMPLES_MAX: u64 = 11_000;
/// How far back a window reaches where nobody says, in milliseconds.
const USUAL_MS: i64 = 3_600_000;
/// Series that are looked through for the one with the very labels.
const LIMIT_MAX: u64 = 1000;
const BOOLS: &[&str] = &["true", "false"];

/// What [`window`] takes.
pub(super) const WINDOW: &[Param] = &[
    SERIES,
    Param::query(
        "start_time",
        Kind::Time,
        "The first sample is not before this: an hour before `end_time` unless given.",
    ),
    Param::query(
        "end_time",
        Kind::Time,
        "The last sample is not after this: now unless given.",
    ),
    Param::query(
        "limit",
        Kind::Integer {
            least: 1,
            most: SAMPLES_MAX,
            usual: 1000,
        },
        "Samples at most; the newest are given.",
    ),
    Param::query(
        "scores",
        Kind::OneOf(BOOLS),
        "With what was said of each sample: its score, what was expected, its band. Worked out again from the samples, so it takes a while.",
    ),
];

/// Samples of one series.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct WindowShown {
    id: String,
    series: String,
    /// In the order of time.
    samples: Vec<Sample>,
    /// There are older ones in the range than these.
    truncated: bool,
}

/// One raw sample; of a statistic of a histogram, which has none, a value that was scored.
#[derive(Debug, Serialize, JsonSchema)]
struct Sample {
    time: String,
    /// Null if it is not finite: NaN, an infinity or a staleness marker.
    value: Option<f64>,
    /// What was said of it, with `scores=true`; not there for what has no score, or whose score cannot
    /// be had back for certain.
    #[serde(skip_serializing_if = "Option::is_none")]
    scored: Option<Scored>,
}

/// What was said of a sample.
#[derive(Debug, Serialize, JsonSchema)]
struct Scored {
    /// What was scored: of a counter its rate per second.
    value: Option<f64>,
    /// In [0, 1); from 0.7 on over the line.
    score: f64,
    /// The evidence in units of the line.
    deviation: f64,
    /// -log10 of how often the series reaches such evidence.
    rarity: f64,
    expected: Option<f64>,
    /// The least value that would not have been over the line; null for no bound.
    lower_bound: Option<f64>,
    /// The greatest one.
    upper_bound: Option<f64>,
}

impl Scored {
    fn of(said: &Numbers) -> Self {
        let (lower, upper) = said.band.unzip();
        Self {
            value: finite(said.value),
            score: shorter(said.score),
            deviation: said.deviation,
            rarity: said.rarity,
            expected: finite(said.expected),
            lower_bound: lower.and_then(finite),
            upper_bound: upper.and_then(finite),
        }
    }
}

/// Where the series with these labels is, which may be a statistic of a histogram.
pub(super) fn found(api: &Api, own: &[u8]) -> Result<Found, Problem> {
    let equal = |(name, value)| Matcher::new(name, MatchOp::Equal, value);
    let matchers: Result<Vec<_>, _> = labels::iter(own).map(equal).collect();
    let matchers = matchers.map_err(|e| Problem::parameter("id", e))?;
    let selector = std::sync::Arc::new(Selector::from(matchers));
    let all = (i64::MIN, i64::MAX, LIMIT_MAX as usize);
    let reader = &api.state.reader;
    let found = api.ask(reader.select_scored(selector, all.0, all.1, all.2))??;
    let same = found.into_iter().find(|f| *f.labels == *own);
    same.ok_or_else(|| Problem::not_found("the series is gone"))
}

/// What was said of the samples of a series in a range, by their times.
fn said(api: &Api, of: &Found, range: (i64, i64)) -> Result<HashMap<i64, Scored>, Problem> {
    let of = std::slice::from_ref(of);
    let effort = Effort::new(api.state.read.virtual_samples as usize);
    let said = api.ask(api.state.reader.recall(of, range, true, &effort))??;
    let said = said.iter().flatten();
    let scored = said.filter_map(|s| Some((s.t_ms, Scored::of(s.what.as_ref()?))));
    Ok(scored.collect())
}

/// The values of a statistic, which has no samples, as they were judged; none of its warm-up.
fn judged(said: &HashMap<i64, Scored>) -> Vec<(i64, f64)> {
    let value = |(t_ms, scored): (&i64, &Scored)| (*t_ms, scored.value.unwrap_or(f64::NAN));
    let mut values: Vec<_> = said.iter().map(value).collect();
    values.sort_unstable_by_key(|(t_ms, _)| *t_ms);
    values
}

/// The raw samples of a series in a range, in the order of time.
pub(super) fn samples(
    api: &Api,
    of: &Found,
    (from_ms, to_ms): (i64, i64),
) -> Result<Vec<(i64, f64)>, Problem> {
    let reader = &api.state.reader;
    let windows = api.ask(reader.windows(std::slice::from_ref(of), from_ms, to_ms))??;
    let mut samples = Vec::new();
    for chunk in windows
        .iter()
        .flatten()
        .filter(|c| c.encoding == Encoding::Xor)
    {
        let decoded = chunk::decode(&chunk.bytes)
            .map_err(|e| Problem::unavailable(format!("samples cannot be read: {e}")))?;
        samples.extend(
            decoded
                .into_iter()
                .filter(|(t, _)| (from_ms..=to_ms).contains(t)),
        );
    }
    Ok(samples)
}

/// `GET /api/v1/series/{id}/window`
pub(super) fn window(api: &Api, params: &Params) -> Answered {
    let to_ms = params
        .time_of("end_time")
        .unwrap_or_else(|| api.state.clock.now_ms());
    let from_ms = params
        .time_of("start_time")
        .unwrap_or(to_ms.saturating_sub(USUAL_MS));
    if from_ms > to_ms {
        return Err(Problem::parameter("start_time", "after end_time"));
    }
    let (id, status) = named(api, params)?;
    let found = found(api, &status.labels)?;
    let mut values = HashMap::new();
    let mut samples = match status.sort {
        Sort::Statistic => {
            values = said(api, &found, (from_ms, to_ms))?;
            judged(&values)
        }
        _ => samples(api, &found, (from_ms, to_ms))?,
    };
    let limit = params.number("limit") as usize;
    let over = samples.len().saturating_sub(limit);
    samples.drain(..over);
    let mut said = match (params.one("scores"), samples.first(), samples.last()) {
        (Some("true"), _, _) if status.sort == Sort::Statistic => values,
        (Some("true"), Some((first, _)), Some((last, _))) if status.sort != Sort::Window => {
            said(api, &found, (*first, *last))?
        }
        _ => HashMap::new(),
    };
    answer(&WindowShown {
        id: id_text(id),
        series: labels::display(&status.labels),
        samples: samples
            .into_iter()
            .map(|(t_ms, value)| Sample {
                time: time::shown(t_ms),
                value: finite(value),
                scored: said.remove(&t_ms),
            })
            .collect(),
        truncated: over > 0,
    })
}
