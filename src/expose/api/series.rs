//! `/api/v1/series` and `/api/v1/models`: which series there are, what is known of each, and its
//! samples.

use std::collections::{BTreeMap, HashMap};

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::{Anomaly, shorter};
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, answer, time};
use crate::engine::ask::Found;
use crate::engine::catalogue::{ModelSummary, SeriesStatus, Sort, Stage, Wanted};
use crate::engine::models::ForestState;
use crate::engine::recall::Effort;
use crate::score::track::again::Numbers;
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::window::chunk;
use crate::window::encoding::Encoding;

/// Series of one page.
const LIMIT_MAX: u64 = 1000;
/// Samples of one answer.
const SAMPLES_MAX: u64 = 11_000;
/// How far back a window reaches where nobody says, in milliseconds.
const USUAL_MS: i64 = 3_600_000;
/// Anomalies that are told with a series.
const ANOMALIES_MAX: usize = 10;

const KINDS: &[&str] = &["gauge", "counter", "statistic", "window", "asleep"];
const PHASES: &[&str] = &["warmup", "young", "mature", "ended", "none"];
const SEASONS: &[&str] = &["day", "none"];
const BOOLS: &[&str] = &["true", "false"];

const METRIC: Param = Param::many(
    "metric_name",
    Kind::Text,
    "Only series of this name. Any of several.",
);
const MATCH: Param = Param::many(
    "match[]",
    Kind::Selector,
    "Only series that this selector matches, as in PromQL. Any of several.",
);
const LIMIT: Param = Param::query(
    "limit",
    Kind::Integer {
        least: 1,
        most: LIMIT_MAX,
        usual: 100,
    },
    "Series of one page.",
);
const TOKEN: Param = Param::query(
    "page_token",
    Kind::Text,
    "Where the page before ended: its `next_page_token`. The other parameters must be the same.",
);
const PHASE: Param = Param::many(
    "phase",
    Kind::OneOf(PHASES),
    "Only series this far: `warmup` (no scores yet), `young` (severity at most low), `mature`, `ended` (by a staleness marker), `none` (not modelled, or put aside).",
);
const SEASON: Param = Param::query(
    "season",
    Kind::OneOf(SEASONS),
    "Only series whose model knows their day, or does not.",
);
const ID: Param = Param::path("id", "The id of a series: 16 hexadecimal digits.");

/// What [`list`] takes.
pub(super) const LIST: &[Param] = &[
    METRIC,
    MATCH,
    PHASE,
    Param::many(
        "kind",
        Kind::OneOf(KINDS),
        "Only series of this kind: `statistic` is one of a histogram, `window` is kept and not modelled, `asleep` is put aside until its next sample.",
    ),
    SEASON,
    Param::query(
        "missing",
        Kind::OneOf(BOOLS),
        "Only series that should send and do not, or only the others.",
    ),
    LIMIT,
    TOKEN,
];
/// What [`models`] takes.
pub(super) const MODELS: &[Param] = &[METRIC, MATCH, PHASE, SEASON, LIMIT, TOKEN];
/// What [`one`] takes.
pub(super) const ONE: &[Param] = &[ID];
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

/// A page of series, in the order of their ids.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SeriesList {
    series: Vec<SeriesShown>,
    /// Where to go on; null on the last page.
    next_page_token: Option<String>,
}

/// One series.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SeriesShown {
    /// The same for the same labels, always.
    id: String,
    /// As PromQL writes it.
    series: String,
    metric_name: String,
    /// All labels, the name included.
    labels: BTreeMap<String, String>,
    /// `gauge`, `counter`, `statistic`, `window` or `asleep`.
    kind: &'static str,
    /// `warmup`, `young`, `mature`, `ended` or `none`.
    phase: &'static str,
    /// It should send and does not.
    missing: bool,
    /// Time of its newest sample.
    last_time: Option<String>,
    /// The newest score, while it is of now.
    score: Option<f64>,
    /// The anomaly under way.
    anomaly: Option<AlarmShown>,
    /// Null for what is not modelled or put aside.
    model: Option<ModelShown>,
}

/// An anomaly as it is shown in `saimon_anomaly`.
#[derive(Debug, Serialize, JsonSchema)]
struct AlarmShown {
    state: &'static str,
    severity: &'static str,
    direction: &'static str,
    reason: &'static str,
}

/// The model of a series.
#[derive(Debug, Serialize, JsonSchema)]
struct ModelShown {
    /// Usual distance of two samples.
    interval_seconds: f64,
    /// Values judged so far.
    samples: u32,
    /// Values until there are scores.
    warmup_samples: u32,
    /// Values until severity is not limited to low.
    young_samples: u32,
    /// Where its values lie, whatever the time of the day.
    level: Option<f64>,
    /// How far they usually are from where they are expected.
    scale: Option<f64>,
    /// `day` if the model knows its days and judges by them, else `none`.
    season: &'static str,
    /// Memory of the model.
    bytes: usize,
    forest: ForestShown,
}

/// The isolation forest of a series.
#[derive(Debug, Serialize, JsonSchema)]
struct ForestShown {
    /// `unwanted`: by a rule; `no_room`: others ask more often; `gathering`: too few samples yet;
    /// `in_use`.
    state: &'static str,
    /// The version in use.
    version: Option<u32>,
    /// Versions that can be gone back to, the oldest first.
    versions: Vec<ForestVersion>,
    /// Share of samples for which it is asked, or would be.
    asks: f64,
    bytes: usize,
}

/// A version of a forest.
#[derive(Debug, Serialize, JsonSchema)]
struct ForestVersion {
    version: u32,
    /// Time of the sample at which it was ordered.
    ordered_time: String,
}

/// One series with its anomalies.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SeriesDetail {
    #[serde(flatten)]
    series: SeriesShown,
    /// Its newest anomalies, at most 10.
    anomalies: Vec<Anomaly>,
}

/// Models, in the order of the ids of their series.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ModelList {
    models: Vec<ModelOfSeries>,
    /// Where to go on; null on the last page.
    next_page_token: Option<String>,
}

/// The model of one series.
#[derive(Debug, Serialize, JsonSchema)]
struct ModelOfSeries {
    series_id: String,
    series: String,
    kind: &'static str,
    phase: &'static str,
    #[serde(flatten)]
    model: ModelShown,
}

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

fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

fn id_text(fingerprint: u64) -> String {
    format!("{fingerprint:016x}")
}

impl SeriesShown {
    fn of(fingerprint: u64, status: &SeriesStatus) -> Self {
        let own = &status.labels;
        Self {
            id: id_text(fingerprint),
            series: labels::display(own),
            metric_name: labels::get(own, labels::METRIC_NAME)
                .unwrap_or_default()
                .to_owned(),
            labels: labels::iter(own)
                .map(|(n, v)| (n.to_owned(), v.to_owned()))
                .collect(),
            kind: status.sort.as_str(),
            phase: status.stage.as_str(),
            missing: status.missing,
            last_time: status.last_ms.map(time::shown),
            score: status.score.map(shorter),
            anomaly: status.alarm.map(|a| AlarmShown {
                state: a.state.as_str(),
                severity: a.severity.as_str(),
                direction: a.side.as_str(),
                reason: a.reason.as_str(),
            }),
            model: status.model.as_ref().map(ModelShown::of),
        }
    }
}

impl ModelShown {
    fn of(model: &ModelSummary) -> Self {
        let forest = &model.forest;
        let (state, version) = match forest.forest {
            ForestState::Unwanted => ("unwanted", None),
            ForestState::NoRoom => ("no_room", None),
            ForestState::Gathering { .. } => ("gathering", None),
            ForestState::Version(version) => ("in_use", Some(version)),
        };
        let known = model.samples > 0;
        Self {
            interval_seconds: model.interval_ms / 1000.0,
            samples: model.samples,
            warmup_samples: model.warmup,
            young_samples: model.young,
            level: finite(model.level).filter(|_| known),
            scale: finite(model.scale).filter(|_| known),
            season: if model.knows_the_day { "day" } else { "none" },
            bytes: model.bytes,
            forest: ForestShown {
                state,
                version,
                versions: forest
                    .versions
                    .iter()
                    .map(|(version, t_ms)| ForestVersion {
                        version: *version,
                        ordered_time: time::shown(*t_ms),
                    })
                    .collect(),
                asks: shorter(forest.asks),
                bytes: forest.forest_bytes,
            },
        }
    }
}

/// Selectors for what is wanted by name and by selector: both must hold.
fn selectors(params: &Params) -> Result<Vec<Selector>, Problem> {
    let names = params.all("metric_name");
    let given = params.selectors("match[]");
    if names.is_empty() {
        return Ok(given.to_vec());
    }
    let named = |name: &String| {
        let matcher = Matcher::new(labels::METRIC_NAME, MatchOp::Equal, name);
        matcher.map_err(|e| Problem::parameter("metric_name", e))
    };
    let mut all = Vec::new();
    for name in names {
        let own = named(name)?;
        if given.is_empty() {
            all.push(Selector::from(vec![own]));
        } else {
            all.extend(given.iter().map(|selector| {
                let mut matchers = selector.matchers().to_vec();
                matchers.push(own.clone());
                Selector::from(matchers)
            }));
        }
    }
    Ok(all)
}

fn page(api: &Api, params: &Params, wanted: Wanted) -> Result<Page, Problem> {
    let key = params.key_without(&["page_token", "limit"]);
    let after = params
        .one("page_token")
        .map(|token| super::token::read(token, key))
        .transpose()?
        .map(u64::from_be_bytes);
    let wanted = Wanted {
        selectors: selectors(params)?,
        after,
        limit: params.number("limit") as usize,
        ..wanted
    };
    let (found, more) = api.ask(api.state.reader.series(wanted))??;
    let last = found.last().filter(|_| more);
    let next_page_token = last.map(|(id, _)| super::token::write(id.to_be_bytes(), key));
    Ok(Page {
        found,
        next_page_token,
    })
}

struct Page {
    found: Vec<(u64, SeriesStatus)>,
    next_page_token: Option<String>,
}

fn yes(params: &Params, name: &str, yes: &str) -> Option<bool> {
    params.one(name).map(|given| given == yes)
}

/// `GET /api/v1/series`
pub(super) fn list(api: &Api, params: &Params) -> Answered {
    let wanted = Wanted {
        sorts: params.named("kind", &Sort::ALL, Sort::as_str),
        stages: params.named("phase", &Stage::ALL, Stage::as_str),
        missing: yes(params, "missing", "true"),
        knows_the_day: yes(params, "season", "day"),
        ..Wanted::default()
    };
    let page = page(api, params, wanted)?;
    let series = page.found.iter().map(|(id, s)| SeriesShown::of(*id, s));
    answer(&SeriesList {
        series: series.collect(),
        next_page_token: page.next_page_token,
    })
}

/// `GET /api/v1/models`
pub(super) fn models(api: &Api, params: &Params) -> Answered {
    let wanted = Wanted {
        stages: params.named("phase", &Stage::ALL, Stage::as_str),
        knows_the_day: yes(params, "season", "day"),
        modelled: true,
        ..Wanted::default()
    };
    let page = page(api, params, wanted)?;
    let models = page.found.iter().filter_map(|(id, s)| {
        Some(ModelOfSeries {
            series_id: id_text(*id),
            series: labels::display(&s.labels),
            kind: s.sort.as_str(),
            phase: s.stage.as_str(),
            model: ModelShown::of(s.model.as_ref()?),
        })
    });
    answer(&ModelList {
        models: models.collect(),
        next_page_token: page.next_page_token,
    })
}

/// The series that a path names.
pub(super) fn named(api: &Api, params: &Params) -> Result<(u64, SeriesStatus), Problem> {
    let text = params.one("id").unwrap_or_default();
    let id = u64::from_str_radix(text, 16).ok();
    let id = id.filter(|id| id_text(*id) == text).ok_or_else(|| {
        Problem::parameter(
            "id",
            "not the id of a series, which is 16 hexadecimal digits",
        )
    })?;
    let wanted = Wanted {
        fingerprint: Some(id),
        limit: 1,
        ..Wanted::default()
    };
    let (found, _) = api.ask(api.state.reader.series(wanted))??;
    found.into_iter().next().ok_or_else(|| {
        Problem::not_found(format!(
            "no series {text}: it is left out by a rule, was forgotten, or never was"
        ))
    })
}

/// `GET /api/v1/series/{id}`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    let (id, status) = named(api, params)?;
    let anomalies = match &api.state.api.records {
        Some(records) => {
            let ids = records.look(|index| index.of_series(id, ANOMALIES_MAX));
            records.get(&ids)?.iter().map(Anomaly::of).collect()
        }
        None => Vec::new(),
    };
    answer(&SeriesDetail {
        series: SeriesShown::of(id, &status),
        anomalies,
    })
}

/// Where the samples of a series are.
fn found(api: &Api, own: &[u8], from_ms: i64, to_ms: i64) -> Result<Vec<Found>, Problem> {
    let equal = |(name, value)| Matcher::new(name, MatchOp::Equal, value);
    let matchers: Result<Vec<_>, _> = labels::iter(own).map(equal).collect();
    let matchers = matchers.map_err(|e| Problem::parameter("id", e))?;
    let selector = std::sync::Arc::new(Selector::from(matchers));
    let reader = &api.state.reader;
    let found: Vec<Found> =
        api.ask(reader.select(selector, from_ms, to_ms, LIMIT_MAX as usize))??;
    Ok(found.into_iter().filter(|f| *f.labels == *own).collect())
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

/// The raw samples of a series in a range, in the order of time.
pub(super) fn samples(
    api: &Api,
    own: &[u8],
    from_ms: i64,
    to_ms: i64,
) -> Result<Vec<(i64, f64)>, Problem> {
    let found = found(api, own, from_ms, to_ms)?;
    let reader = &api.state.reader;
    let windows = api.ask(reader.windows(&found, from_ms, to_ms))??;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_those_of_the_types() {
        let sorts: Vec<_> = Sort::ALL.iter().map(|s| s.as_str()).collect();
        let stages: Vec<_> = Stage::ALL.iter().map(|s| s.as_str()).collect();
        assert_eq!(sorts, KINDS);
        assert_eq!(stages, PHASES);
    }
}
