//! `/api/v1/series` and `/api/v1/models`: which series there are, and what is known of each.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::{Anomaly, shorter};
use super::feedback::{self, FeedbackShown, LineShown};
use super::params::shared::{MATCH, METRIC, SERIES, TOKEN, limit};
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, anomalies, answer, time, window};
use crate::engine::ask::Found;
use crate::engine::catalogue::{ModelSummary, SeriesStatus, Sort, Stage, Wanted};
use crate::engine::long_past::{self, LongPast};
use crate::engine::models::ForestState;
use crate::model::baseline::HOUR_MS;
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};

/// Series of one page.
const LIMIT_MAX: u64 = 1000;
/// Anomalies that are told with a series.
const ANOMALIES_MAX: usize = 10;

/// Hours to come for which the long past says what it expects.
const HOURS_AHEAD: i64 = 24;

const KINDS: &[&str] = &["gauge", "counter", "statistic", "window", "asleep"];
const PHASES: &[&str] = &["warmup", "young", "mature", "ended", "none"];
const SEASONS: &[&str] = &["day", "none"];
const BOOLS: &[&str] = &["true", "false"];

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
    limit(LIMIT_MAX),
    TOKEN,
];
/// What [`models`] takes.
pub(super) const MODELS: &[Param] = &[METRIC, MATCH, PHASE, SEASON, limit(LIMIT_MAX), TOKEN];
/// What [`one`] takes.
pub(super) const ONE: &[Param] = &[SERIES];
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
    /// Time of the sample at which the version in use was ordered.
    trained_time: Option<String>,
    /// How the fit of the version in use went; null before it was done in this process.
    last_fit: Option<FitShown>,
    /// Versions that can be gone back to, the oldest first.
    versions: Vec<ForestVersion>,
    /// It stays as it is: no fits until one is asked for.
    pinned: bool,
    /// Share of samples for which it is asked, or would be.
    asks: f64,
    bytes: usize,
}

/// A fit of a forest.
#[derive(Debug, Serialize, JsonSchema)]
struct FitShown {
    /// Null if the series did it itself, because its sample came before a trainer.
    duration_seconds: Option<f64>,
    /// Mean score of the rows that it was grown from, in 0 to 1: how alone they are among themselves.
    /// 0.35 to 0.5 is ordinary; the higher, the less an odd sample stands out.
    typical_score: f64,
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
    /// Its lines that feedback has moved.
    lines: Vec<LineShown>,
    /// What people said of its anomalies, the newest last.
    feedback: Vec<FeedbackShown>,
    /// What its long past says, which no score goes by. Null for a past of less than some days or one
    /// that never changes, for what is no gauge or counter, and while a fit waits for its turn.
    long_past: Option<LongPastShown>,
}

/// Rhythms and rise of a series by its rows of five minutes and its window.
#[derive(Debug, Serialize, JsonSchema)]
struct LongPastShown {
    /// `none`, `day`, `week`, `day and week`, or the length of another rhythm such as `7.3 h`.
    season: String,
    /// Share of the variance of hours it had not seen that the season explains.
    strength: f64,
    /// Rise a day in the unit of the value, of a counter in that of its rate; 0 where a trend explains
    /// nothing of hours it had not seen.
    trend_a_day: f64,
    /// Hours that it was made from.
    hours: u32,
    /// It is made again after a day, when somebody looks.
    fitted_time: String,
    /// What it expects of the hours to come, 24 of them; of a counter rates per second.
    next_day: Vec<Expected>,
}

/// A value that is expected at a time.
#[derive(Debug, Serialize, JsonSchema)]
struct Expected {
    time: String,
    value: f64,
}

impl LongPastShown {
    fn of(long: &LongPast, now_ms: i64) -> Self {
        let baseline = long.baseline();
        let next = now_ms.div_euclid(HOUR_MS).saturating_add(1);
        let hour = |i: i64| {
            let t_ms = next.saturating_add(i).saturating_mul(HOUR_MS);
            Expected {
                time: time::shown(t_ms),
                value: long.expected(t_ms),
            }
        };
        Self {
            season: baseline.season().to_string(),
            strength: baseline.strength(),
            trend_a_day: baseline.trend_a_day(),
            hours: baseline.hours() as u32,
            fitted_time: time::shown(long.fitted_ms()),
            next_day: (0..HOURS_AHEAD).map(hour).collect(),
        }
    }
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
pub(super) struct ModelOfSeries {
    series_id: String,
    series: String,
    kind: &'static str,
    phase: &'static str,
    #[serde(flatten)]
    model: ModelShown,
}

pub(super) fn finite(x: f64) -> Option<f64> {
    x.is_finite().then_some(x)
}

pub(super) fn id_text(fingerprint: u64) -> String {
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

impl ModelOfSeries {
    /// `None` if there is no model in memory.
    pub(super) fn of(id: u64, status: &SeriesStatus) -> Option<Self> {
        Some(Self {
            series_id: id_text(id),
            series: labels::display(&status.labels),
            kind: status.sort.as_str(),
            phase: status.stage.as_str(),
            model: ModelShown::of(status.model.as_ref()?),
        })
    }
}

impl ModelOfSeries {
    /// The version of the forest before the one in use.
    pub(super) fn version_before(&self) -> Option<u32> {
        let forest = &self.model.forest;
        let earlier = forest.versions.iter().map(|v| v.version);
        earlier.filter(|v| Some(*v) < forest.version).max()
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
                trained_time: version.and_then(|v| {
                    let mut all = forest.versions.iter();
                    let (_, ordered_ms) = all.find(|(version, _)| *version == v)?;
                    Some(time::shown(*ordered_ms))
                }),
                last_fit: forest.fit.map(|(took, typical)| FitShown {
                    duration_seconds: took.map(|t| t.as_secs_f64()),
                    typical_score: shorter(typical),
                }),
                versions: forest
                    .versions
                    .iter()
                    .map(|(version, t_ms)| ForestVersion {
                        version: *version,
                        ordered_time: time::shown(*t_ms),
                    })
                    .collect(),
                pinned: forest.pinned,
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
    let all = page.found.iter();
    let models = all.filter_map(|(id, s)| ModelOfSeries::of(*id, s));
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

/// What the long past of a series says, of which `found` is the place.
fn long_past(
    api: &Api,
    status: &SeriesStatus,
    found: &Found,
) -> Result<Option<Arc<LongPast>>, Problem> {
    let Some(model) = &status.model else {
        return Ok(None);
    };
    let wanted = long_past::Wanted {
        counter: status.sort == Sort::Counter,
        zone: model.calendar.clone(),
        now_ms: api.state.clock.now_ms(),
    };
    Ok(api.ask(api.state.reader.long_past(found, wanted))??)
}

/// `GET /api/v1/series/{id}`
pub(super) fn one(api: &Api, params: &Params) -> Answered {
    let (id, status) = named(api, params)?;
    let anomalies = match &api.state.api.records {
        Some(records) => {
            let ids = records.look(|index| index.of_series(id, ANOMALIES_MAX));
            anomalies::told(api, records, &ids)?
        }
        None => Vec::new(),
    };
    let said = feedback::kept(api);
    let long = match status.sort {
        Sort::Gauge | Sort::Counter => {
            long_past(api, &status, &window::found(api, &status.labels)?)?
        }
        Sort::Statistic | Sort::Window | Sort::Asleep => None,
    };
    let now_ms = api.state.clock.now_ms();
    answer(&SeriesDetail {
        series: SeriesShown::of(id, &status),
        anomalies,
        lines: said.map_or_else(Vec::new, |all| feedback::lines(all, id)),
        feedback: said.map_or_else(Vec::new, |all| {
            let given = all.of_series(id);
            given.iter().map(|f| FeedbackShown::of(all, f)).collect()
        }),
        long_past: long.map(|long| LongPastShown::of(&long, now_ms)),
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
