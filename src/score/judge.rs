//! One series' judge: ensemble, rarity and verdict, and the one method that takes a sample.
//!
//! The order is fixed: evidence from state without the sample, severity, verdict, and only then
//! learning. What an anomaly teaches is limited: scales and tails clip it, and the history, which
//! does not, learns hardly anything of it. A behaviour that has lasted `adapt` is normal: level,
//! season and history start afresh and the anomaly ends.

mod again;
mod forest;
mod hear;
mod orders;
mod say;
mod template;

use serde::{Deserialize, Serialize};

use super::band::Band;
use say::{reason_of, severity, side_of};
pub use template::Template;

use super::board::{Alarm, Side};
use super::rarity::Rarity;
use super::scale;
use super::verdict::{Change, Verdict};
use crate::config::{Direction, Severity};
use crate::model::ensemble::PARTS;
use crate::model::forest::Tier;
use crate::model::forest::tier::News;
use crate::model::watch::{self, Claim, Rule};
use crate::model::{
    self, Ensemble, Gap, Onset, OnsetInput, OnsetOutput, Pace, Point, SeriesSpec, Step, Watch,
};

/// Samples of an episode that are learned in full.
const EPISODE_LEARNED: u8 = 3;
/// What the later ones teach a detector that does not clip.
const EPISODE_WEIGHT: f64 = 0.02;
/// Samples in a row under the line that end an episode.
const EPISODE_ENDS: u8 = 5;
/// Its samples are counted up to here: more is all the same, and is written in one byte as ever.
const FEW: u8 = 100;
/// A silence of more than this many intervals is a gap: the next sample has no neighbour.
const GAP_INTERVALS: f64 = 3.0;
/// A gap that is longer than this besides is a long one.
const GAP_LONG_MS: f64 = 3_600_000.0;
/// A silence of this many intervals, and of at least an hour, ends an anomaly and an episode.
const SILENCE_INTERVALS: f64 = 20.0;
const SILENCE_MIN_MS: f64 = 3_600_000.0;
/// Samples after a long gap whose severity is low at most.
const WARY_AFTER_GAP: u8 = 30;
/// Evidence in nats of a change of a still series that reaches the line: one in a thousand.
const STILL_LINE: f64 = 6.907_755_278_982_137;

/// What one value is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// As the ensemble gives it; not negative, finite.
    pub size: f32,
    /// The same in units of the line, after the rules for the series: 1 is the line.
    pub deviation: f64,
    /// The same without what a rule claims: of the detectors alone.
    pub own: f64,
    /// What the value should have been.
    pub expected: f64,
    pub side: Side,
    /// Share of each detector, in the order of [`model::ensemble::NAMES`]; they add up to 1, or are
    /// all 0 where there is no evidence.
    pub shares: [f32; PARTS],
    /// The rule that says more than the evidence does, if one does.
    pub rule: Option<Rule>,
}

impl Evidence {
    /// The evidence itself in units of the line, without the bounds for still series and least
    /// deviations and without rules: what a group is judged by, where many series may stand still at
    /// once and nobody minds.
    pub fn in_lines(&self, spec: &SeriesSpec) -> f32 {
        (f64::from(self.size) / spec.line) as f32
    }
}

/// What became of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// As shown; `None` during warm-up.
    pub score: Option<f32>,
    pub alarm: Option<Alarm>,
    /// False where nobody is to be alerted: the anomaly is on record and is not shown.
    pub alerts: bool,
    pub change: Option<Change>,
    /// `None` during warm-up.
    pub evidence: Option<Evidence>,
    /// -log10 of how often this series reaches such evidence.
    pub rarity: f64,
    /// Severity of this sample alone; `None` under the line, in warm-up, and where the series reaches
    /// such evidence too often.
    pub severity: Option<Severity>,
    /// Whether something begins here.
    pub onset: OnsetOutput,
    /// What happened to the forest.
    pub forest: News,
    /// The value's distance from the level in scales, at most 30.
    pub z: f32,
}

/// Samples over the line that belong together, whether or not they make an anomaly: what limits
/// learning must not depend on what is shown.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[repr(Rust, packed)]
struct Episode {
    #[serde(deserialize_with = "few")]
    over: u8,
    #[serde(deserialize_with = "few")]
    under: u8,
    since_ms: i64,
}

/// A count of which it only matters whether it is beyond some small number; once it was written whole.
fn few<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<u8, D::Error> {
    let count = u32::deserialize(deserializer)?;
    Ok(count.min(u32::from(FEW)) as u8)
}

impl Episode {
    /// How long it has lasted with a sample at a time; 0 if it begins there.
    fn lasted_ms(&self, t_ms: i64) -> i64 {
        let since_ms = if self.over == 0 { t_ms } else { self.since_ms };
        t_ms.saturating_sub(since_ms)
    }

    fn take(&mut self, over: bool, t_ms: i64) {
        if over {
            if self.over == 0 {
                self.since_ms = t_ms;
            }
            self.over = (self.over + 1).min(FEW);
            self.under = 0;
        } else {
            self.under = (self.under + 1).min(FEW);
            if self.under >= EPISODE_ENDS {
                self.over = 0;
            }
        }
    }
}

/// Where a series stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Phase {
    /// No score yet.
    Warmup,
    /// Scored, severity at most low.
    Young,
    Mature,
}

/// The whole state behind one series' scores.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judge {
    ensemble: Ensemble,
    /// Apart, because it is large and not every series has one.
    forest: Option<Box<Tier>>,
    /// Share of samples for which it asks, or would ask, a forest.
    asks: f32,
    rarity: Rarity,
    onset: Onset,
    watch: Watch,
    verdict: Verdict,
    episode: Episode,
    /// Values judged, restarts of the norm included.
    seen: u32,
    last_ms: i64,
    /// Samples whose severity is still low at most, after a long gap.
    wary: u8,
    /// For the first value; never kept beyond the sample that it was offered for.
    #[serde(skip)]
    template: Option<Box<Template>>,
}

impl Judge {
    pub fn new() -> Self {
        Self {
            ensemble: Ensemble::new(),
            forest: None,
            asks: 0.0,
            rarity: Rarity::new(),
            onset: Onset::new(),
            watch: Watch::default(),
            verdict: Verdict::new(),
            episode: Episode::default(),
            seen: 0,
            last_ms: i64::MIN,
            wary: 0,
            template: None,
        }
    }

    /// Where the series stands, before its next value.
    pub fn phase(&self, spec: &SeriesSpec) -> Phase {
        if self.seen < spec.warmup {
            Phase::Warmup
        } else if self.seen < spec.young {
            Phase::Young
        } else {
            Phase::Mature
        }
    }

    pub fn alarm(&self) -> Option<Alarm> {
        self.verdict.alarm()
    }

    /// Values judged so far, those of the warm-up included.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let forest = self.forest().map_or(0, Tier::bytes);
        self.ensemble.profile().heap_bytes() + forest
    }

    /// Where the values lie when the time of the day does not matter, and how far they spread.
    pub fn usual(&self) -> (f64, f64) {
        let level = self.ensemble.level();
        (level.location(), level.scale())
    }

    /// True if it knows a day of the series and judges by it.
    pub fn knows_the_day(&self) -> bool {
        self.ensemble.profile().speaks()
    }

    /// Judges one finite value, then learns from it. `interval_ms` is the usual distance between
    /// two samples of the series. Values must come in order of time.
    pub fn judge(&mut self, spec: &SeriesSpec, interval_ms: f64, x: Point) -> Judgement {
        self.judge_seen(spec, interval_ms, x, |_, _| {})
    }

    /// The same for somebody who looks at the judge if the value is over the line and counts, before
    /// it is learned from; he is told how far over it is, in units of the line.
    pub fn judge_seen(
        &mut self,
        spec: &SeriesSpec,
        interval_ms: f64,
        x: Point,
        over: impl FnOnce(&Self, f64),
    ) -> Judgement {
        let x = Point {
            value: x.value.clamp(-model::VALUE_MAX, model::VALUE_MAX),
            ..x
        };
        let pace = Pace::new(interval_ms, spec.day_ms);
        if self.template.is_some() {
            self.begin_with_template(spec, interval_ms, x);
        }
        let gap = self.gap(interval_ms, x.t_ms);
        let mut step = self.ensemble.score(&pace, spec, x, gap);
        if let Some(forest) = &mut self.forest
            && let Some(score) =
                forest.score(&spec.forest, step.always, interval_ms, &step.features())
        {
            step.hear_forest(score);
        }
        let phase = self.phase(spec);
        let look = self.look(spec, interval_ms, &step, x);
        let slow = self.watch.slow(spec, interval_ms);
        let opinion = self.opinion(spec, &step, &look, &slow);
        let season_residual = self.ensemble.profile().residual(step.look(), step.z);
        let learns = spec.learns(x.t_ms);
        let onset_before = (!learns).then(|| self.onset.clone());
        let onset = self.onset.take(&OnsetInput {
            value: x.value,
            season_residual,
            gap,
        });
        let rarity = self.rarity.nats(f64::from(step.evidence));
        let silence = self.end_after_silence(interval_ms, x.t_ms);
        self.wary = match gap {
            Gap::Long => WARY_AFTER_GAP,
            Gap::None | Gap::Short => self.wary.saturating_sub(1),
        };
        let severity = self.severity(spec, phase, &opinion, rarity);
        if severity.is_some() {
            over(self, opinion.deviation);
        }
        let heard = (phase != Phase::Warmup)
            .then(|| self.hear(spec, &step, &opinion, (&onset, severity), x.t_ms))
            .flatten();
        let silence_ms = (self.seen > 0).then(|| x.t_ms.saturating_sub(self.last_ms) as f64);
        let (mut adapted, mut news) = (None, News::default());
        if let Some(before) = onset_before {
            self.onset = before;
        } else {
            let calm = opinion.own < 1.0;
            self.watch.take(spec, &look, &slow, silence_ms, calm);
            adapted = self.learn(spec, &pace, &step, &opinion, x);
            news = self.teach_forest(spec, interval_ms, x.t_ms, &step);
            self.seen = self.seen.saturating_add(1);
        }
        self.last_ms = x.t_ms;
        Judgement {
            score: (phase != Phase::Warmup).then(|| scale::shown(opinion.deviation)),
            alarm: self.verdict.alarm(),
            alerts: spec.alerts(x.t_ms),
            change: adapted.or(heard).or(silence),
            evidence: (phase != Phase::Warmup).then(|| Evidence {
                size: step.evidence,
                deviation: opinion.deviation,
                own: opinion.own,
                expected: step.expected,
                side: opinion.side,
                shares: step.shares(),
                rule: opinion.claim.map(|c| c.rule),
            }),
            rarity: rarity / std::f64::consts::LN_10,
            severity,
            onset,
            forest: news,
            z: step.z,
        }
    }

    /// The band at a time: the values that would stay under the line. `None` in warm-up. With the
    /// value that came at that time the band is exact for it, see [`Band`].
    pub fn band(
        &self,
        spec: &SeriesSpec,
        interval_ms: f64,
        t_ms: i64,
        came: Option<f64>,
    ) -> Option<Band> {
        if self.phase(spec) == Phase::Warmup {
            return None;
        }
        let pace = Pace::new(interval_ms, spec.day_ms);
        let gap = self.gap(interval_ms, t_ms);
        let step = |value: f64| {
            let value = value.clamp(-model::VALUE_MAX, model::VALUE_MAX);
            let x = Point { t_ms, value };
            let mut step = self.ensemble.score(&pace, spec, x, gap);
            let ask =
                |tier: &Tier| tier.peek(&spec.forest, step.always, interval_ms, &step.features());
            if let Some(score) = self.forest().and_then(ask) {
                step.hear_forest(score);
            }
            (step, x)
        };
        let slow = self.watch.slow(spec, interval_ms);
        let over = |value: f64| {
            let (step, x) = step(value);
            let look = self.look(spec, interval_ms, &step, x);
            self.opinion(spec, &step, &look, &slow).deviation >= 1.0
        };
        let expected = step(0.0).0.expected;
        Some(Band::find(
            expected,
            self.ensemble.level().scale(),
            over,
            came,
        ))
    }

    /// The sample as the rules look at it.
    fn look(&self, spec: &SeriesSpec, interval_ms: f64, step: &Step, x: Point) -> watch::Look {
        watch::Look {
            t_ms: x.t_ms,
            value: x.value,
            changed: step.changed(),
            scale: self.ensemble.level().scale(),
            z: step.z,
            usual: step.look().usual.map(|u| u as f32),
            interval_ms,
            mature: self.phase(spec) == Phase::Mature,
        }
    }

    /// The evidence, or the claim of a rule that says more.
    fn opinion(
        &self,
        spec: &SeriesSpec,
        step: &Step,
        look: &watch::Look,
        slow: &watch::Slow,
    ) -> Opinion {
        let (own, side) = self.deviation(spec, step, look);
        let far_enough =
            |c: &Claim| !c.rule.is_about_values() || towards_least(spec, step, look.value) >= 1.0;
        let line = |rule| {
            spec.lines_at(look.t_ms)
                .map_or(1.0, |l| orders::line(l, reason_of(rule)) as f32)
        };
        let claim = self.watch.claim(spec, look, slow, line);
        let claim = claim.filter(far_enough);
        match claim.filter(|c| f64::from(c.deviation) > own) {
            None => Opinion {
                own,
                deviation: own,
                side,
                claim: None,
            },
            Some(claim) => Opinion {
                own,
                deviation: f64::from(claim.deviation),
                side: side_of(&claim),
                claim: Some(claim),
            },
        }
    }

    /// What evidence is worth in units of the line under the rules for the series, and which way the
    /// value went.
    fn deviation(&self, spec: &SeriesSpec, step: &Step, look: &watch::Look) -> (f64, Side) {
        // By a table: which side it is nobody can guess.
        let up = look.value - step.expected >= 0.0;
        let side = [Side::Down, Side::Up][usize::from(up)];
        if spec.direction != Direction::Both && !spec.direction.counts(up) {
            return (0.0, side);
        }
        let mut deviation = f64::from(step.evidence) / spec.line;
        let still = self.ensemble.still();
        if still.is_still() {
            deviation = deviation.min(still.nats_max(self.ensemble.count()) / STILL_LINE);
        }
        let deviation = deviation / self.line(spec, step, side, look.t_ms);
        (deviation.min(towards_least(spec, step, look.value)), side)
    }

    fn gap(&self, interval_ms: f64, t_ms: i64) -> Gap {
        if self.seen == 0 {
            return Gap::None;
        }
        let silence = t_ms.saturating_sub(self.last_ms) as f64;
        if silence <= GAP_INTERVALS * interval_ms {
            Gap::None
        } else if silence <= GAP_LONG_MS {
            Gap::Short
        } else {
            Gap::Long
        }
    }

    /// The series ended: so does its anomaly.
    pub fn close(&mut self) -> Option<Change> {
        self.verdict.close()
    }

    fn end_after_silence(&mut self, interval_ms: f64, t_ms: i64) -> Option<Change> {
        let silence = t_ms.saturating_sub(self.last_ms.max(0)) as f64;
        if self.seen == 0 || silence <= (SILENCE_INTERVALS * interval_ms).max(SILENCE_MIN_MS) {
            return None;
        }
        // What nobody saw did not last: two samples a night apart are no new behaviour.
        self.episode = Episode::default();
        self.verdict.close()
    }

    fn severity(
        &self,
        spec: &SeriesSpec,
        phase: Phase,
        opinion: &Opinion,
        rarity: f64,
    ) -> Option<Severity> {
        let phase = match phase {
            Phase::Warmup => return None,
            Phase::Mature if self.wary == 0 => Phase::Mature,
            _ => Phase::Young,
        };
        // A rule has a rarity of its own.
        let rarity = match opinion.claim {
            Some(_) => f64::INFINITY,
            None => rarity,
        };
        severity(spec, phase, opinion.deviation, rarity)
    }

    fn learn(
        &mut self,
        spec: &SeriesSpec,
        pace: &Pace,
        step: &Step,
        opinion: &Opinion,
        x: Point,
    ) -> Option<Change> {
        let scored = self.phase(spec) != Phase::Warmup;
        let over = scored && opinion.own >= 1.0;
        // What a rule alone says lasts too, where that is asked for.
        let lasts = over || scored && spec.min_duration_ms > 0 && opinion.deviation >= 1.0;
        self.episode.take(lasts, x.t_ms);
        if self.seen >= model::ensemble::SPEAKS_FROM {
            self.rarity.learn(f64::from(step.evidence), pace.tail);
        }
        // Of a still series the step is the event: where it went is soon at home.
        let still = self.ensemble.still().is_still();
        let limited = over && !still && self.episode.over > EPISODE_LEARNED;
        let weight = if limited { EPISODE_WEIGHT } else { 1.0 };
        self.ensemble.absorb(pace, spec, x, step, weight);
        let lasted = x.t_ms.saturating_sub(self.episode.since_ms);
        if over && lasted >= spec.adapt_ms {
            self.ensemble.restart();
            self.episode = Episode::default();
            return self.verdict.close();
        }
        None
    }
}

impl Default for Judge {
    fn default() -> Self {
        Self::new()
    }
}

/// What is said of a sample: by the evidence, or by a rule that says more.
#[derive(Debug, Clone, Copy)]
struct Opinion {
    /// By the evidence, in units of the line: what learning goes by.
    own: f64,
    deviation: f64,
    side: Side,
    claim: Option<Claim>,
}

/// How far a value is towards the least deviation that the user cares about: 1 is reached.
fn towards_least(spec: &SeriesSpec, step: &Step, value: f64) -> f64 {
    let least = spec
        .min_deviation
        .max(spec.min_deviation_ratio * step.expected.abs());
    if least > 0.0 {
        (value - step.expected).abs() / least
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every series has for score, rarity, onset, rules and anomaly, with a day's profile and
    /// without a forest, is at most 1 KiB: written, and in memory.
    #[test]
    fn the_state_of_a_series_is_small() {
        let spec = SeriesSpec::default();
        let mut judge = Judge::new();
        for i in 0..20_000 {
            let (t_ms, value) = (i * 15_000, 100.0 + f64::from((i as i32 * 7919) % 13));
            judge.judge(&spec, 15_000.0, Point { t_ms, value });
        }
        let ensemble = postcard::to_stdvec(&judge.ensemble).unwrap();
        let onset = postcard::to_stdvec(&judge.onset).unwrap();
        let rarity = postcard::to_stdvec(&judge.rarity).unwrap();
        let parts = ensemble.len() + onset.len() + rarity.len();
        assert!(parts <= 1024, "{parts} bytes written");
        // In memory the profile of the day is apart from the rest, and known whole after three days.
        let held = size_of::<Judge>() + judge.heap_bytes();
        assert_eq!(judge.heap_bytes(), 24 * 17, "a whole day is known");
        assert!(held <= 1024, "{held} bytes held");
        let all = postcard::to_stdvec(&judge).unwrap().len();
        assert!(all <= 1024, "{all} bytes written");
    }
}
