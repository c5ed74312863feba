//! Plays a scenario: a clean series that behaves for some weeks, then something happens to it.

use saimon::config::Severity;
use saimon::generate::clean::{Draw, Kind, Stream};
use saimon::model::SeriesSpec;
use saimon::score::board::{Alarm, AlarmState, Reason, Side};
use saimon::score::track::{Taken, Track};
use saimon::series::kind::{Kind as Scored, Source};

/// Runs of a scenario, each with a seed of its own.
pub(crate) const RUNS: usize = 10;
/// 2026-01-28 00:00 UTC, a Wednesday: the day on which things happen.
const THE_DAY_MS: i64 = 1_769_558_400_000;

/// One sample on its way, before it is taken.
pub(crate) struct Moment {
    /// Samples since the thing happened; negative before it.
    pub(crate) since: i64,
    /// Hour of the day, UTC.
    pub(crate) hour: f64,
    /// What chance has drawn; may be changed.
    pub(crate) draw: Draw,
    /// Standard deviation of the clean noise.
    pub(crate) sd: f64,
    /// What becomes of it.
    pub(crate) turn: Turn,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Turn {
    Sent,
    /// No sample comes.
    Lost,
    /// The last value again.
    Stuck,
    /// The process starts anew, and counts from 0.
    Restarted,
}

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// The values are events to be counted up.
    pub(crate) counted: bool,
    pub(crate) interval_s: i64,
    /// Clean samples before.
    pub(crate) before: i64,
    /// Samples from the change on that are looked at.
    pub(crate) after: i64,
    /// Hour of the day at which it happens.
    pub(crate) hour: f64,
    pub(crate) happens: fn(&mut Moment),
    pub(crate) expected: Expected,
    /// Runs of [`RUNS`] that must go as expected.
    pub(crate) at_least: usize,
}

impl Scenario {
    pub(crate) const USUAL: Self = Self {
        name: "",
        kind: Kind::Gaussian,
        counted: false,
        interval_s: 300,
        before: 6000,
        after: 60,
        hour: 10.0,
        happens: |_| {},
        expected: Expected::Quiet {
            below: Severity::Medium,
        },
        at_least: 9,
    };
}

pub(crate) enum Expected {
    /// An anomaly is active, at least so severe, within so many samples; for one of these reasons
    /// and on this side.
    Found {
        within: i64,
        severity: Severity,
        reasons: &'static [Reason],
        side: Option<Side>,
        /// It is over by the end of what is looked at.
        ends: bool,
    },
    /// No anomaly is active that is graver than below this.
    Quiet { below: Severity },
}

/// What came of one run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Samples from the change to the first active anomaly of the severity asked for.
    pub(crate) delay: Option<i64>,
    pub(crate) first_low: Option<i64>,
    pub(crate) alarm: Option<(Severity, Reason, Side)>,
    pub(crate) ended: bool,
    pub(crate) as_expected: bool,
    /// The highest score from the change on.
    pub(crate) score: f32,
    /// Of all scores from the change on, for comparison.
    pub(crate) sum: f64,
}

pub(crate) fn play(scenario: &Scenario, run: usize) -> Outcome {
    play_with(scenario, run, true, |_| {})
}

/// The same run with a restart of saimon at the change: what is written is read again. Without a
/// forest, which has a place of its own in the store and tests of its own over restarts.
pub(crate) fn restarted(scenario: &Scenario) {
    let through = play_with(scenario, 0, false, |_| {});
    let again = play_with(scenario, 0, false, |track| {
        let bytes = postcard::to_stdvec(track).expect("state is plain data");
        *track = postcard::from_bytes(&bytes).expect("what was written can be read");
    });
    assert_eq!(through, again, "{}", scenario.name);
}

fn play_with(
    scenario: &Scenario,
    run: usize,
    forest: bool,
    at_change: impl Fn(&mut Track),
) -> Outcome {
    let spec = SeriesSpec::default();
    let counter = scenario.counted || scenario.kind.is_counter();
    let declared = if counter {
        Scored::Counter
    } else {
        Scored::Gauge
    };
    let mut track = Track::new(&spec, Some((declared, Source::Metadata)));
    if forest {
        track.judge_mut().give_forest(&spec, run as u64 + 1);
    }
    let mut stream = Stream::new(scenario.kind, 100, run as u64);
    let change_ms = THE_DAY_MS + (scenario.hour * 3_600_000.0) as i64;
    let (mut last, mut total) = (0.0, 0.0);
    let mut out = Outcome::default();
    let asked = match scenario.expected {
        Expected::Found { severity, .. } => severity,
        Expected::Quiet { below } => below,
    };
    let mut shown: Option<Alarm> = None;
    let mut quiet_before = true;
    for since in -scenario.before..scenario.after {
        let t_ms = change_ms + since * scenario.interval_s * 1000;
        let mut moment = Moment {
            since,
            hour: t_ms.rem_euclid(86_400_000) as f64 / 3_600_000.0,
            draw: stream.draw(t_ms),
            sd: scenario.kind.sd(),
            turn: Turn::Sent,
        };
        (scenario.happens)(&mut moment);
        if since == 0 {
            at_change(&mut track);
        }
        let mut value = stream.value(moment.draw);
        match moment.turn {
            Turn::Sent => {}
            Turn::Stuck => value = last,
            Turn::Lost => continue,
            Turn::Restarted => {
                stream.restart();
                total = 0.0;
                value = stream.value(moment.draw);
            }
        }
        last = value;
        if scenario.counted {
            total += value;
            value = total;
        }
        let Taken::Kept {
            judgement: Some(judged),
            ..
        } = track.take(&spec, t_ms, value)
        else {
            continue;
        };
        shown = judged.alarm.filter(|a| a.state == AlarmState::Active);
        if since < 0 {
            quiet_before = shown.is_none_or(|a| a.severity < asked);
            continue;
        }
        out.sum += f64::from(judged.score.unwrap_or(0.0));
        out.score = out.score.max(judged.score.unwrap_or(0.0));
        if let Some(alarm) = shown {
            out.first_low.get_or_insert(since);
            if alarm.severity >= asked && quiet_before {
                out.delay.get_or_insert(since);
            }
            // The gravest one, as it was seen last: a reason may become clear while it lasts.
            if out
                .alarm
                .is_none_or(|(severity, ..)| alarm.severity >= severity)
            {
                out.alarm = Some((alarm.severity, alarm.reason, alarm.side));
            }
        }
    }
    out.ended = shown.is_none();
    out.as_expected = match &scenario.expected {
        Expected::Quiet { .. } => out.delay.is_none(),
        Expected::Found {
            within,
            reasons,
            side,
            ends,
            ..
        } => {
            out.delay.is_some_and(|d| d <= *within)
                && out.alarm.is_some_and(|(_, reason, to)| {
                    reasons.contains(&reason) && side.is_none_or(|s| s == to)
                })
                && (!ends || out.ended)
        }
    };
    out
}

pub(crate) fn runs(scenario: &Scenario) -> Vec<Outcome> {
    (0..RUNS).map(|run| play(scenario, run)).collect()
}

/// Asserts that enough of the runs went as expected.
pub(crate) fn holds(scenario: &Scenario) {
    let outcomes = runs(scenario);
    let good = outcomes.iter().filter(|o| o.as_expected).count();
    assert!(
        good >= scenario.at_least,
        "{}: {good} of {RUNS} as expected, {} needed\nexpected {}\nfound {}",
        scenario.name,
        scenario.at_least,
        scenario.expected,
        found(&outcomes),
    );
}

impl std::fmt::Display for Expected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Quiet {
                below: Severity::Low,
            } => write!(f, "quiet"),
            Self::Quiet { below } => write!(f, "nothing {} or worse", below.as_str()),
            Self::Found {
                within,
                severity,
                reasons,
                side,
                ends,
            } => {
                let reasons: Vec<&str> = reasons.iter().map(|r| r.as_str()).collect();
                write!(
                    f,
                    "{} within {within}, {}{}{}",
                    severity.as_str(),
                    reasons.join(" or "),
                    side.map_or(String::new(), |s| format!(", {}", s.as_str())),
                    if *ends { ", and it ends" } else { "" },
                )
            }
        }
    }
}

/// What was found, in words.
pub(crate) fn found(outcomes: &[Outcome]) -> String {
    let mut delays: Vec<i64> = outcomes.iter().filter_map(|o| o.delay).collect();
    delays.sort_unstable();
    let mut alarms = std::collections::BTreeMap::<String, usize>::new();
    for outcome in outcomes {
        let what = outcome.alarm.map_or("nothing".to_owned(), |(s, r, side)| {
            let end = if outcome.ended { "" } else { ", not over" };
            format!("{} {} {}{end}", s.as_str(), r.as_str(), side.as_str())
        });
        *alarms.entry(what).or_default() += 1;
    }
    let alarms: Vec<String> = alarms.iter().map(|(k, n)| format!("{n} {k}")).collect();
    let top = outcomes.iter().map(|o| o.score).fold(0.0, f32::max);
    match delays.get(delays.len() / 2) {
        Some(median) => format!(
            "{} found, median delay {median}, longest {}; {}",
            delays.len(),
            delays[delays.len() - 1],
            alarms.join("; ")
        ),
        None => format!("none; {}; highest score {top:.3}", alarms.join("; ")),
    }
}

/// The line of docs/scenarios.md.
pub(crate) fn row(scenario: &Scenario) -> String {
    let outcomes = runs(scenario);
    let good = outcomes.iter().filter(|o| o.as_expected).count();
    format!(
        "| {} | {} | {} of {RUNS} | {good} | {} |",
        scenario.name,
        scenario.expected,
        scenario.at_least,
        found(&outcomes)
    )
}
