//! `/api/v1/series/{id}/window`: samples of a series, and what was said of each.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::shorter;
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::series::{BOOLS, ID, finite, found, id_text, named, samples};
use super::{Answered, Api, answer, time};
use crate::engine::catalogue::Sort;
use crate::engine::recall::Effort;
use crate::score::track::again::Numbers;
use crate::series::labels;

/// Samples of one answer.
const SAMPLES_MAX: u64 = 11_000;
/// How far back a window reaches where nobody says, in milliseconds.
const USUAL_MS: i64 = 3_600_000;

/// What [`window`] takes.
pub(super) const WINDOW: &[Param] = &[
    ID,
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

/// One raw sample.
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

/// What was said of the samples of a series in a range, by their times.
fn said(api: &Api, own: &[u8], range: (i64, i64)) -> Result<HashMap<i64, Scored>, Problem> {
    let found = found(api, own, range.0, range.1)?;
    let effort = Effort::new(api.state.read.virtual_samples as usize);
    let said = api.ask(api.state.reader.recall(&found, range, true, &effort))??;
    let said = said.iter().flatten();
    let scored = said.filter_map(|s| Some((s.t_ms, Scored::of(s.what.as_ref()?))));
    Ok(scored.collect())
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
    if status.sort == Sort::Statistic {
        return Err(Problem::not_found(
            "a statistic of a histogram has no samples of its own: ask for the parts of the histogram",
        ));
    }
    let mut samples = samples(api, &status.labels, from_ms, to_ms)?;
    let limit = params.number("limit") as usize;
    let over = samples.len().saturating_sub(limit);
    samples.drain(..over);
    let mut said = match (params.one("scores"), samples.first(), samples.last()) {
        (Some("true"), Some((first, _)), Some((last, _))) if status.sort != Sort::Window => {
            said(api, &status.labels, (*first, *last))?
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
