//! One series' judge: ensemble, rarity and verdict, and the one method that takes a sample.
//!
//! The order is fixed: evidence from state without the sample, severity, verdict, and only then
//! learning. What an anomaly teaches is limited: scales and tails clip it, and the history, which
//! does not, learns hardly anything of it. A behaviour that has lasted `adapt` is normal: level,
//! season and history start afresh and the anomaly ends.

use serde::{Deserialize, Serialize};

use super::band::Band;
use super::board::{Alarm, Reason, Side};
use super::rarity::Rarity;
use super::scale;
use super::verdict::{Change, Hearing, Verdict};
use crate::config::{Direction, ForestUse, Severity};
use crate::model::ensemble::PARTS;
use crate::model::forest::Tier;
use crate::model::forest::tier::{Moment, News};
use crate::model::{self, Ensemble, Gap, Pace, Point, SeriesSpec, Step};

/// Samples of an episode that are learned in full.
const EPISODE_LEARNED: u32 = 3;
/// What the later ones teach a detector that does not clip.
const EPISODE_WEIGHT: f64 = 0.02;
/// Samples in a row under the line that end an episode.
const EPISODE_ENDS: u32 = 5;
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

/// Rarity in nats that each severity needs: one sample in a thousand, ten thousand, a hundred
/// thousand, a million of this very series.
const RARITY_FLOORS: [f64; 4] = [6.907_755, 9.210_340, 11.512_925, 13.815_511];

/// Samples over which it is counted how often a forest is asked.
const ASKS_OVER: f32 = 5000.0;

/// What one value is worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// As the ensemble gives it; not negative, finite.
    pub size: f32,
    /// The same in units of the line, after the rules for the series: 1 is the line.
    pub deviation: f64,
    /// What the value should have been.
    pub expected: f64,
    pub side: Side,
    /// Share of each detector, in the order of [`model::ensemble::NAMES`]; they add up to 1, or are
    /// all 0 where there is no evidence.
    pub shares: [f32; PARTS],
}

/// What became of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Judgement {
    /// As shown; `None` during warm-up.
    pub score: Option<f32>,
    pub alarm: Option<Alarm>,
    pub change: Option<Change>,
    /// `None` during warm-up.
    pub evidence: Option<Evidence>,
    /// -log10 of how often this series reaches such evidence.
    pub rarity: f64,
    /// What happened to the forest.
    pub forest: News,
}

/// Samples over the line that belong together, whether or not they make an anomaly: what limits
/// learning must not depend on what is shown.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Episode {
    over: u32,
    under: u32,
    since_ms: i64,
}

impl Episode {
    fn take(&mut self, over: bool, t_ms: i64) {
        if over {
            if self.over == 0 {
                self.since_ms = t_ms;
            }
            self.over = self.over.saturating_add(1);
            self.under = 0;
        } else {
            self.under = self.under.saturating_add(1);
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
    verdict: Verdict,
    episode: Episode,
    /// Values judged, restarts of the norm included.
    seen: u32,
    last_ms: i64,
    /// Samples whose severity is still low at most, after a long gap.
    wary: u8,
    #[serde(skip)]
    pace: Pace,
}

impl Judge {
    pub fn new() -> Self {
        Self {
            ensemble: Ensemble::new(),
            forest: None,
            asks: 0.0,
            rarity: Rarity::new(),
            verdict: Verdict::new(),
            episode: Episode::default(),
            seen: 0,
            last_ms: i64::MIN,
            wary: 0,
            pace: Pace::default(),
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

    /// Gives the series a forest, unless it has one or is to have none. `seed` is the same for a
    /// series wherever it lives.
    pub fn give_forest(&mut self, spec: &SeriesSpec, seed: u64) {
        if self.forest.is_none() && spec.forest.wanted != ForestUse::Never {
            self.forest = Some(Box::new(Tier::new(&spec.forest, seed)));
        }
    }

    /// Takes the forest and all that it was grown from.
    pub fn take_forest(&mut self) -> Option<Box<Tier>> {
        self.forest.take()
    }

    /// Share of the last several thousand samples for which it asks a forest, or would if it had one.
    pub fn asks(&self) -> f32 {
        self.asks
    }

    /// The series' forest, if it has one.
    pub fn forest(&self) -> Option<&Tier> {
        self.forest.as_deref()
    }

    pub fn forest_mut(&mut self) -> Option<&mut Tier> {
        self.forest.as_deref_mut()
    }

    /// The same series from nothing: what it is has changed.
    pub fn afresh(&mut self, spec: &SeriesSpec) -> Self {
        let afresh = |tier: &mut Tier| Box::new(tier.afresh(&spec.forest));
        Self {
            forest: self.forest.as_deref_mut().map(afresh),
            ..Self::new()
        }
    }

    /// Gives its place to the same series with more of its past: that has a forest if this one has,
    /// in its seat.
    pub fn give_place(&mut self, other: Self) {
        let old = std::mem::replace(self, other);
        self.take_seat_of(old);
    }

    pub(super) fn take_seat_of(&mut self, mut old: Self) {
        let seat = old.forest_mut().and_then(Tier::stand);
        match (seat, &mut self.forest) {
            (Some(seat), Some(tier)) => tier.sit(seat),
            // One that lost it meanwhile, or won one: it is one of many that ask.
            _ => self.forest = None,
        }
    }

    /// Values judged so far, those of the warm-up included.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// True if it knows a day of the series and judges by it.
    pub fn knows_the_day(&self) -> bool {
        self.ensemble.profile().speaks()
    }

    /// Judges one finite value, then learns from it. `interval_ms` is the usual distance between
    /// two samples of the series. Values must come in order of time.
    pub fn judge(&mut self, spec: &SeriesSpec, interval_ms: f64, x: Point) -> Judgement {
        let x = Point {
            value: x.value.clamp(-model::VALUE_MAX, model::VALUE_MAX),
            ..x
        };
        if self.pace.is_old(interval_ms) {
            self.pace = Pace::new(interval_ms, spec.day_ms);
        }
        let gap = self.gap(interval_ms, x.t_ms);
        let mut step = self.ensemble.score(&self.pace, spec, x, gap);
        if let Some(forest) = &mut self.forest
            && let Some(score) =
                forest.score(&spec.forest, step.always, interval_ms, &step.features)
        {
            step.hear_forest(score);
        }
        let (deviation, side) = self.deviation(spec, &step, x.value);
        let phase = self.phase(spec);
        let rarity = self.rarity.nats(f64::from(step.evidence));
        let silence = self.end_after_silence(interval_ms, x.t_ms);
        self.wary = match gap {
            Gap::Long => WARY_AFTER_GAP,
            Gap::None | Gap::Short => self.wary.saturating_sub(1),
        };
        let heard = (phase != Phase::Warmup)
            .then(|| self.hear(spec, phase, &step, (deviation, side), rarity))
            .flatten();
        let adapted = self.learn(spec, &step, deviation, x);
        let news = self.teach_forest(spec, interval_ms, x.t_ms, &step);
        self.seen = self.seen.saturating_add(1);
        self.last_ms = x.t_ms;
        Judgement {
            score: (phase != Phase::Warmup).then(|| scale::shown(deviation)),
            alarm: self.verdict.alarm(),
            change: adapted.or(heard).or(silence),
            evidence: (phase != Phase::Warmup).then(|| Evidence {
                size: step.evidence,
                deviation,
                expected: step.expected,
                side,
                shares: step.shares(),
            }),
            rarity: rarity / std::f64::consts::LN_10,
            forest: news,
        }
    }

    fn teach_forest(
        &mut self,
        spec: &SeriesSpec,
        interval_ms: f64,
        t_ms: i64,
        step: &Step,
    ) -> News {
        let asks = step.always >= spec.forest.gate;
        self.asks += (f32::from(u8::from(asks)) - self.asks) / ASKS_OVER;
        let Some(tier) = &mut self.forest else {
            return News {
                wanted: asks && spec.forest.wanted != ForestUse::Never,
                ..News::default()
            };
        };
        let at = Moment {
            t_ms,
            interval_ms,
            day_ms: spec.day_ms,
        };
        tier.absorb(&spec.forest, at, &step.features)
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
                |tier: &Tier| tier.peek(&spec.forest, step.always, interval_ms, &step.features);
            if let Some(score) = self.forest().and_then(ask) {
                step.hear_forest(score);
            }
            (step, value)
        };
        let over = |value: f64| {
            let (step, value) = step(value);
            self.deviation(spec, &step, value).0 >= 1.0
        };
        let expected = step(0.0).0.expected;
        Some(Band::find(
            expected,
            self.ensemble.level().scale(),
            over,
            came,
        ))
    }

    /// What evidence is worth in units of the line under the rules for the series, and which way the
    /// value went.
    fn deviation(&self, spec: &SeriesSpec, step: &Step, value: f64) -> (f64, Side) {
        let beyond = value - step.expected;
        let side = if beyond >= 0.0 { Side::Up } else { Side::Down };
        let counts = match spec.direction {
            Direction::Both => true,
            Direction::Up => side == Side::Up,
            Direction::Down => side == Side::Down,
        };
        if !counts {
            return (0.0, side);
        }
        let still = self.ensemble.still().nats_max(self.ensemble.count()) / STILL_LINE;
        let least = spec
            .min_deviation
            .max(spec.min_deviation_ratio * step.expected.abs());
        let least = if least > 0.0 {
            beyond.abs() / least
        } else {
            f64::INFINITY
        };
        let deviation = f64::from(step.evidence) / spec.line;
        (deviation.min(still).min(least), side)
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

    fn hear(
        &mut self,
        spec: &SeriesSpec,
        phase: Phase,
        step: &Step,
        (deviation, side): (f64, Side),
        rarity: f64,
    ) -> Option<Change> {
        let reason = if deviation >= 1.0 {
            self.reason(step, side)
        } else {
            Reason::Spike
        };
        let phase = if self.wary > 0 { Phase::Young } else { phase };
        self.verdict.hear(
            spec,
            Hearing {
                deviation,
                severity: severity(spec, phase, deviation, rarity),
                side,
                reason,
            },
        )
    }

    /// Why: out of season if the value is usual at another time of the day, else the way it went.
    fn reason(&self, step: &Step, side: Side) -> Reason {
        if self.ensemble.profile().usual_sometime(step.look(), step.z) {
            return Reason::Season;
        }
        match side {
            Side::Down => Reason::Drop,
            Side::Up | Side::Both => Reason::Spike,
        }
    }

    fn learn(
        &mut self,
        spec: &SeriesSpec,
        step: &Step,
        deviation: f64,
        x: Point,
    ) -> Option<Change> {
        let over = deviation >= 1.0 && self.phase(spec) != Phase::Warmup;
        self.episode.take(over, x.t_ms);
        if self.seen >= model::ensemble::SPEAKS_FROM {
            self.rarity.learn(f64::from(step.evidence), self.pace.tail);
        }
        let limited = over && self.episode.over > EPISODE_LEARNED;
        let weight = if limited { EPISODE_WEIGHT } else { 1.0 };
        self.ensemble.absorb(&self.pace, spec, x, step, weight);
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

/// The gravest severity that the score reaches and the rarity allows; `None` below the line or
/// where this series reaches such evidence too often for even the lowest.
fn severity(spec: &SeriesSpec, phase: Phase, deviation: f64, rarity: f64) -> Option<Severity> {
    if deviation < 1.0 {
        return None;
    }
    let score = scale::score(deviation);
    let by_score = if score >= spec.severity.critical {
        3
    } else if score >= spec.severity.high {
        2
    } else {
        usize::from(score >= spec.severity.medium)
    };
    let by_score = if phase == Phase::Mature { by_score } else { 0 };
    (0..=by_score)
        .rev()
        .find(|level| rarity >= RARITY_FLOORS[*level])
        .map(|level| Severity::ALL[level])
}
