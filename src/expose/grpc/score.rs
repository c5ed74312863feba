//! `ScoreSeries`: samples taken through a model of their own, and given back with their scores.
//!
//! The code is that of a series that is received ([`Track`]), under the rules that its labels call
//! for; nothing of it is kept, and no other series knows of it.

use super::{time, v1};
use crate::engine::rules::Rules;
use crate::expose::api::anomalies::shorter;
use crate::expose::api::problem::Problem;
use crate::model::{Point, SeriesSpec};
use crate::score::band::Band;
use crate::score::judge::{Judge, Judgement};
use crate::score::track::{Taken, Track};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{self, Kind};
use crate::series::labels;

/// Samples of one request: some 17 days of one every 15 s, and about what a message may hold.
const SAMPLES_MAX: usize = 100_000;
/// Samples of a request that wants bands, which take some ten times as long each.
const BANDS_MAX: usize = 10_000;
/// Labels of the series, and bytes of all of them.
const LABELS_MAX: (usize, usize) = (128, 16 << 10);

/// Scores a series.
pub(super) fn score(
    rules: Option<&Rules>,
    request: &v1::ScoreSeriesRequest,
) -> Result<v1::ScoreSeriesResponse, Problem> {
    let samples = samples(request)?;
    let from_ms = match &request.start_time {
        Some(time) => time::ms(time).ok_or_else(|| Problem::parameter("start_time", "no time"))?,
        None => i64::MIN,
    };
    let own = own_labels(request)?;
    let spec = match rules {
        Some(rules) => rules.resolve(&own),
        None => SeriesSpec::default(),
    };
    let name = labels::get(&own, labels::METRIC_NAME).unwrap_or_default();
    if !spec.model || kind::never_modelled(name.as_bytes()) {
        let what = "a series with these labels is not modelled, by its name or by a rule";
        return Err(Problem::parameter("labels", what));
    }
    let mut track = Box::new(Track::new(&spec, kind::declared(name, |_| None)));
    if request.forest {
        track.judge_mut().give_forest(&spec, fingerprint(&own));
    }
    let mut answer = v1::ScoreSeriesResponse::default();
    for (t_ms, value) in samples {
        let wanted = t_ms >= from_ms;
        let (mut seen, mut band) = (None, None);
        let look = |judge: &Judge, interval_ms: f64, x: Point| {
            seen = Some(x);
            if wanted && request.bands {
                band = judge.band(&spec, interval_ms, x.t_ms, Some(x.value));
            }
        };
        let taken = track.take_seen(&spec, t_ms, value, None, look, |_, _, _, _| {});
        let (Taken::Kept { judgement, .. }, Some(x)) = (taken, seen) else {
            continue;
        };
        let Some(judged) = judgement else { continue };
        answer.judged += 1;
        answer.scored += u64::from(judged.score.is_some());
        if wanted {
            answer.samples.push(shown(x, &judged, band));
        }
    }
    answer.kind = match track.kind() {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
    }
    .to_owned();
    Ok(answer)
}

fn shown(x: Point, judged: &Judgement, band: Option<Band>) -> v1::ScoredSample {
    let finite = |x: f64| x.is_finite().then_some(x);
    let (lower, upper) = band.map(|b| (b.lower, b.upper)).unzip();
    v1::ScoredSample {
        time: Some(time::of_ms(x.t_ms)),
        value: x.value,
        score: judged.score.map(shorter),
        deviation: judged.evidence.map(|e| e.deviation),
        rarity: judged.rarity,
        expected: judged.evidence.and_then(|e| finite(e.expected)),
        lower_bound: lower.and_then(finite),
        upper_bound: upper.and_then(finite),
        anomaly: judged.alarm.map(|a| v1::Alarm {
            state: a.state.as_str().to_owned(),
            severity: a.severity.as_str().to_owned(),
            direction: a.side.as_str().to_owned(),
            reason: a.reason.as_str().to_owned(),
        }),
    }
}

/// Times in milliseconds and values, in the order of time.
fn samples(request: &v1::ScoreSeriesRequest) -> Result<Vec<(i64, f64)>, Problem> {
    let all = &request.samples;
    if all.is_empty() {
        return Err(Problem::parameter(
            "samples",
            "none: there is nothing to score",
        ));
    }
    let most = if request.bands {
        BANDS_MAX
    } else {
        SAMPLES_MAX
    };
    let wanted = match (request.bands, &request.start_time) {
        (true, Some(from)) => {
            let from = time::ms(from);
            let late = |s: &&v1::Sample| s.time.as_ref().and_then(time::ms) >= from;
            all.iter().filter(late).count()
        }
        _ => all.len(),
    };
    if wanted > most || all.len() > SAMPLES_MAX {
        let what = match request.bands {
            true => format!(
                "more than {BANDS_MAX} with bands from start_time on, or {SAMPLES_MAX} in all"
            ),
            false => format!("more than {SAMPLES_MAX}"),
        };
        return Err(Problem::parameter("samples", what));
    }
    let mut read: Vec<(i64, f64)> = Vec::with_capacity(all.len());
    for (i, sample) in all.iter().enumerate() {
        let bad = |field, what| Problem::parameter(&format!("samples[{i}].{field}"), what);
        let t_ms = sample.time.as_ref().and_then(time::ms);
        let t_ms = t_ms.ok_or_else(|| bad("time", "no time"))?;
        if read.last().is_some_and(|(before, _)| *before >= t_ms) {
            return Err(bad("time", "not later than that of the sample before"));
        }
        let value = sample.value.ok_or_else(|| bad("value", "not set"))?;
        read.push((t_ms, value));
    }
    Ok(read)
}

/// Canonical label bytes.
fn own_labels(request: &v1::ScoreSeriesRequest) -> Result<Vec<u8>, Problem> {
    let all = &request.labels;
    let bytes: usize = all.iter().map(|(n, v)| n.len() + v.len()).sum();
    if all.len() > LABELS_MAX.0 || bytes > LABELS_MAX.1 {
        let what = format!(
            "more than {} of them, or {} bytes",
            LABELS_MAX.0, LABELS_MAX.1
        );
        return Err(Problem::parameter("labels", what));
    }
    if all.keys().any(String::is_empty) {
        return Err(Problem::parameter("labels", "one has no name"));
    }
    Ok(labels::encode(all.iter().map(|(n, v)| (&**n, &**v))))
}
