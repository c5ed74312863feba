//! `/api/v1/series/{id}/explain`: why a sample has the score that it has, in numbers and in words.
//!
//! The samples that are still kept are taken through a model of the same rules from the beginning, up
//! to the one that is asked for. So any of them can be explained, not only the newest; and what is said
//! is what that past says: a model that has seen more than is still kept may have another opinion, and
//! forests, which are grown from more, are not asked.

use schemars::JsonSchema;
use serde::Serialize;

use super::anomalies::shorter;
use super::params::{Kind, Param, Params};
use super::problem::Problem;
use super::{Answered, Api, answer, series, time};
use crate::engine::catalogue::{SeriesStatus, Sort};
use crate::model::ensemble::NAMES;
use crate::model::{Point, SeriesSpec};
use crate::score::band::Band;
use crate::score::judge::{Evidence, Judge, Judgement, Phase};
use crate::score::track::{Taken, Track};
use crate::series::kind::{self, Source};
use crate::series::labels;

/// The past that is taken through the model, in milliseconds: a week and the day before it.
const PAST_MS: i64 = 8 * DAY_MS;
const DAY_MS: i64 = 24 * 3_600_000;
/// Samples that are: at some microseconds each, under a second.
const SAMPLES_MAX: usize = 100_000;
/// A sample explains a time up to so many intervals after it.
const NEAR_INTERVALS: f64 = 3.0;

/// What [`explain`] takes.
pub(super) const EXPLAIN: &[Param] = &[
    Param::path("id", "The id of a series: 16 hexadecimal digits."),
    Param::query(
        "time",
        Kind::Time,
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

/// What the explanation has learned from.
#[derive(Debug, Serialize, JsonSchema)]
struct Learned {
    /// Values before this one.
    samples: u32,
    /// Values from which on there are scores.
    warmup_samples: u32,
    /// The first of them.
    since_time: Option<String>,
    /// `warmup`, `young` or `mature`.
    phase: &'static str,
}

/// One sample as it was judged.
struct Told {
    x: Point,
    judged: Judgement,
    band: Option<Band>,
    before: u32,
    phase: Phase,
    season: bool,
}

/// `GET /api/v1/series/{id}/explain`
pub(super) fn explain(api: &Api, params: &Params) -> Answered {
    let (id, status) = series::named(api, params)?;
    if status.sort == Sort::Statistic {
        return Err(Problem::not_found(
            "a statistic of a histogram has no samples of its own to explain it by",
        ));
    }
    if matches!(status.sort, Sort::Window) {
        return Err(Problem::not_found("the series is kept and not modelled"));
    }
    let to_ms = params.time_of("time").unwrap_or(i64::MAX / 2);
    let newest_ms = status.last_ms.unwrap_or(to_ms).min(to_ms);
    let mut samples = series::samples(
        api,
        &status.labels,
        newest_ms.saturating_sub(PAST_MS),
        to_ms,
    )?;
    let over = samples.len().saturating_sub(SAMPLES_MAX);
    samples.drain(..over);
    let spec = match &api.state.api.rules {
        Some(rules) => rules.resolve(&status.labels),
        None => SeriesSpec::default(),
    };
    let (past, told) = play(&spec, &status, &samples);
    let Some(told) = told else {
        return Err(Problem::not_found(
            "no sample at or before that time is kept that gives a value: of a counter the second one is the first",
        ));
    };
    if params.one("time").is_some() {
        let interval_ms = status
            .model
            .as_ref()
            .map_or(DAY_MS as f64, |m| m.interval_ms);
        if (to_ms - told.x.t_ms) as f64 > NEAR_INTERVALS * interval_ms {
            let what = format!(
                "no sample near it: the last one before is of {}",
                time::shown(told.x.t_ms)
            );
            return Err(Problem::parameter("time", what));
        }
    }
    answer(&shown(id, &status, &spec, &past, &told))
}

/// Takes samples through a fresh model; gives all values, and what was said of the last.
fn play(
    spec: &SeriesSpec,
    status: &SeriesStatus,
    samples: &[(i64, f64)],
) -> (Vec<Point>, Option<Told>) {
    let is = match status.sort {
        Sort::Counter => Some((kind::Kind::Counter, Source::Metadata)),
        Sort::Gauge => Some((kind::Kind::Gauge, Source::Metadata)),
        _ => None,
    };
    let mut track = Track::new(spec, is);
    let mut past: Vec<Point> = Vec::with_capacity(samples.len());
    let mut told = None;
    for (i, (t_ms, value)) in samples.iter().enumerate() {
        // The band is searched for, which takes a hundred times as long: only where it may be shown.
        let near_the_end = i + 8 >= samples.len();
        let mut band = None;
        let before = track.judge().seen();
        let (phase, season) = (track.phase(spec), track.judge().knows_the_day());
        let mut seen = None;
        let look = |judge: &Judge, interval_ms: f64, x: Point| {
            seen = Some(x);
            if near_the_end {
                band = judge.band(spec, interval_ms, x.t_ms, Some(x.value));
            }
        };
        let taken = track.take_seen(spec, *t_ms, *value, None, look, |_, _, _, _| {});
        if let Some(x) = seen {
            past.push(x);
        }
        if let (
            Taken::Kept {
                judgement: Some(judged),
                ..
            },
            Some(x),
        ) = (taken, seen)
        {
            told = Some(Told {
                x,
                judged,
                band,
                before,
                phase,
                season,
            });
        }
    }
    (past, told)
}

fn shown(
    id: u64,
    status: &SeriesStatus,
    spec: &SeriesSpec,
    past: &[Point],
    told: &Told,
) -> Explanation {
    let evidence = told.judged.evidence;
    let finite = |x: f64| x.is_finite().then_some(x);
    let (lower, upper) = told.band.map(|b| (b.lower, b.upper)).unzip();
    let over = evidence.filter(|e| e.deviation >= 1.0);
    let alarm = told.judged.alarm;
    let phase = match told.phase {
        Phase::Warmup => "warmup",
        Phase::Young => "young",
        Phase::Mature => "mature",
    };
    let then = |back_ms: i64| near(past, told.x.t_ms - back_ms);
    Explanation {
        id: format!("{id:016x}"),
        series: labels::display(&status.labels),
        time: time::shown(told.x.t_ms),
        value: told.x.value,
        expected: evidence.and_then(|e| finite(e.expected)),
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
        yesterday: then(DAY_MS),
        last_week: then(7 * DAY_MS),
        season: if told.season { "day" } else { "none" },
        learned: Learned {
            samples: told.before,
            warmup_samples: spec.warmup,
            since_time: past
                .first()
                .filter(|_| told.before > 0)
                .map(|x| time::shown(x.t_ms)),
            phase,
        },
        sentences: [first(status, told), second(spec, told)],
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

/// The value that was at a time, if there is one within five minutes of it.
fn near(past: &[Point], t_ms: i64) -> Option<Then> {
    const NEAR_MS: u64 = 300_000;
    let at = past.partition_point(|x| x.t_ms < t_ms);
    let around = past.get(at.saturating_sub(1)..(at + 1).min(past.len()))?;
    let nearest = around.iter().min_by_key(|x| x.t_ms.abs_diff(t_ms))?;
    (nearest.t_ms.abs_diff(t_ms) <= NEAR_MS).then(|| Then {
        time: time::shown(nearest.t_ms),
        value: nearest.value,
    })
}

/// What was, and what would have been normal.
fn first(status: &SeriesStatus, told: &Told) -> String {
    let rate = if status.sort == Sort::Counter {
        "the rate of "
    } else {
        ""
    };
    let series = labels::display(&status.labels);
    let at = time::shown(told.x.t_ms);
    let was = format!("At {at} {rate}{series} was {}", number(told.x.value));
    let Some(e) = told.judged.evidence else {
        return format!("{was}; nothing is expected of it yet.");
    };
    let expected = number(e.expected);
    let normal = match told.band.map(|b| (b.lower, b.upper)) {
        None => return format!("{was}, and {expected} was expected."),
        Some((l, u)) if l == u => "no value would have been normal at this moment".to_owned(),
        Some((l, u)) if l.is_finite() && u.is_finite() => {
            format!("{} to {} would have been normal", number(l), number(u))
        }
        Some((l, _)) if l.is_finite() => format!("{} or more would have been normal", number(l)),
        Some((_, u)) if u.is_finite() => format!("{} or less would have been normal", number(u)),
        Some(_) => "any value would have been normal".to_owned(),
    };
    format!("{was}, and {expected} was expected: {normal}.")
}

/// What that makes it.
fn second(spec: &SeriesSpec, told: &Told) -> String {
    let Some(e) = told.judged.evidence else {
        return format!(
            "It is still being learned: there are scores after {} values, and {} have come.",
            spec.warmup,
            told.before + 1
        );
    };
    let knows = if told.season {
        "the time of day is taken into account"
    } else {
        "no daily rhythm is known"
    };
    if e.deviation < 1.0 {
        return format!(
            "That is normal: the evidence is {} of what it takes to stand out, after {} values; {knows}.",
            percent(e.deviation),
            told.before
        );
    }
    let why = match told.judged.alarm {
        Some(a) => format!("is taken for {}", words(a.reason.as_str())),
        None => "is odd and no anomaly yet".to_owned(),
    };
    let who = match (e.rule, parts(&e).first()) {
        (Some(rule), _) => format!("the rule {} says so", rule.name()),
        (None, Some(p)) => format!("{} says so most, with {}", p.part, percent(p.share)),
        (None, None) => knows.to_owned(),
    };
    let times = number(e.deviation);
    let often = number(10_f64.powf(told.judged.rarity));
    format!(
        "That {why}: the evidence is {times} times what it takes, which this series reaches about once in {often} values, and {who}."
    )
}

fn words(reason: &str) -> String {
    match reason {
        "level_shift" => "a shift of the level".to_owned(),
        "out_of_range" => "a value out of range".to_owned(),
        "season" => "a value at the wrong time of day".to_owned(),
        "variance" => "a change of variance".to_owned(),
        "absent" => "an absence".to_owned(),
        "joint" => "a parting from its group".to_owned(),
        other => format!("a {other}"),
    }
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three digits that matter.
fn number(x: f64) -> String {
    let size = x.abs();
    if !(1e-3..1e15).contains(&size) && x != 0.0 {
        return format!("{x:.2e}");
    }
    let digits = match size {
        s if s >= 100.0 => 0,
        s if s >= 10.0 => 1,
        s if s >= 1.0 => 2,
        _ => 4,
    };
    let text = format!("{x:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (x, text) in [
            (0.0, "0"),
            (123.456, "123"),
            (12.345, "12.3"),
            (1.2, "1.2"),
            (0.25, "0.25"),
            (-3.0, "-3"),
            (1.5e-7, "1.50e-7"),
            (2e20, "2.00e20"),
        ] {
            assert_eq!(number(x), text);
        }
    }
}
