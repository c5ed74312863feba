//! One series' judge: models, tails, rarity and verdict, and the one method that takes a sample.
//!
//! The order is fixed: opinions from state without the sample, evidence, severity, verdict, and only
//! then learning. An anomaly teaches little: of each episode over the line the first few samples are
//! learned like any other (so that the tail of a series that spikes often knows it: clusters of
//! exceedances count once, Coles 2001, section 5.3), the rest hardly, until the new behaviour has
//! lasted `adapt`; then location, scale and season start afresh and the anomaly ends.

use serde::{Deserialize, Serialize};

use super::board::{Alarm, Reason, Side};
use super::combine::{self, Band, Evidence};
use super::rarity::Rarity;
use super::scale;
use super::tail::Tail;
use super::verdict::{Change, Hearing, Verdict};
use crate::config::Severity;
use crate::model::{self, COUNT, Look, Models, Opinion, Pace, Point, SeriesSpec};

/// Samples of an episode that are learned in full.
const EPISODE_LEARNED: u32 = 3;
/// Samples in a row under the line that end an episode.
const EPISODE_ENDS: u32 = 5;
/// What the later ones teach the models; the tails learn nothing from them.
const EPISODE_WEIGHT: f64 = 0.02;
/// Opinions before a tail learns: the first ones are of models that know little.
const TAIL_FROM: u32 = 30;
/// A still series that has stepped is at home in its new value after this share of `adapt`: the step
/// was the event, not the value.
const ADAPT_STILL: i64 = 12;
/// A silence of this many intervals, and of at least an hour, ends an anomaly and an episode.
const SILENCE_INTERVALS: f64 = 20.0;
const SILENCE_MIN_MS: f64 = 3_600_000.0;

/// Rarity in nats that each severity needs: one sample in a thousand, ten thousand, a hundred
/// thousand, a million of this very series.
const RARITY_FLOORS: [f64; 4] = [6.907_755, 9.210_340, 11.512_925, 13.815_511];

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
    models: Models,
    tails: [Tail; COUNT],
    rarity: Rarity,
    verdict: Verdict,
    episode: Episode,
    /// Values judged, restarts of the norm included.
    seen: u32,
    last_ms: i64,
    #[serde(skip)]
    pace: Pace,
}

impl Judge {
    pub fn new() -> Self {
        Self {
            models: Models::new(),
            tails: Default::default(),
            rarity: Rarity::new(),
            verdict: Verdict::new(),
            episode: Episode::default(),
            seen: 0,
            last_ms: i64::MIN,
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

    /// Values judged so far, those of the warm-up included.
    pub fn seen(&self) -> u32 {
        self.seen
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.models.profile.heap_bytes()
    }

    /// True if it knows a day of the series and judges by it.
    pub fn knows_the_day(&self) -> bool {
        self.models.profile.in_use()
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
        let look = self.models.look(spec, x.t_ms);
        let opinions = self.models.score(&self.pace, spec, &look, x);
        let evidence = combine::evidence(
            spec,
            &opinions,
            &self.tails,
            self.models.norm.evidence_max(),
            x.value,
        );
        let phase = self.phase(spec);
        let rarity = self.rarity.nats(evidence.nats);
        let silence = self.end_after_silence(interval_ms, x.t_ms);
        let heard = (phase != Phase::Warmup)
            .then(|| self.hear(spec, phase, &evidence, rarity, x))
            .flatten();
        let adapted = self.learn(spec, &look, &opinions, &evidence, x);
        self.seen = self.seen.saturating_add(1);
        self.last_ms = x.t_ms;
        Judgement {
            score: (phase != Phase::Warmup).then(|| scale::shown(evidence.deviation)),
            alarm: self.verdict.alarm(),
            change: adapted.or(heard).or(silence),
            evidence: (phase != Phase::Warmup).then_some(evidence),
            rarity: rarity / std::f64::consts::LN_10,
        }
    }

    /// The band at a time: the values that would have stayed under the line. `None` in warm-up.
    pub fn band(&self, spec: &SeriesSpec, interval_ms: f64, t_ms: i64) -> Option<Band> {
        if self.phase(spec) == Phase::Warmup {
            return None;
        }
        let pace = Pace::new(interval_ms, spec.day_ms);
        let look = self.models.look(spec, t_ms);
        let x = Point { t_ms, value: 0.0 };
        let opinions = self.models.score(&pace, spec, &look, x);
        combine::band(
            spec,
            &opinions,
            &self.tails,
            self.models.norm.evidence_max(),
        )
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
        evidence: &Evidence,
        rarity: f64,
        x: Point,
    ) -> Option<Change> {
        let reason = if evidence.deviation >= 1.0 {
            self.reason(evidence, x.value)
        } else {
            Reason::Spike
        };
        self.verdict.hear(
            spec,
            Hearing {
                deviation: evidence.deviation,
                severity: severity(spec, phase, evidence.deviation, rarity),
                side: evidence.side,
                reason,
            },
        )
    }

    /// Why: out of season if the value is usual at another time of the day, else the way it went.
    fn reason(&self, evidence: &Evidence, value: f64) -> Reason {
        if self.models.profile.usual_sometime(value) {
            return Reason::Season;
        }
        match evidence.side {
            Side::Down => Reason::Drop,
            Side::Up | Side::Both => Reason::Spike,
        }
    }

    fn learn(
        &mut self,
        spec: &SeriesSpec,
        look: &Look,
        opinions: &[Option<Opinion>; COUNT],
        evidence: &Evidence,
        x: Point,
    ) -> Option<Change> {
        let over = evidence.deviation >= 1.0 && self.phase(spec) != Phase::Warmup;
        self.episode.take(over, x.t_ms);
        let limited = over && self.episode.over > EPISODE_LEARNED;
        if !limited && self.seen >= TAIL_FROM {
            for (i, opinion) in opinions.iter().enumerate() {
                // Distances of a still series are in units of next to nothing: no tail to learn.
                if opinion.is_none() || self.models.norm.is_still() {
                    continue;
                }
                if i > 0 && self.tails[i].is_new() {
                    self.tails[i] = self.tails[0].heir();
                }
                self.tails[i].learn(evidence.distances[i], self.pace.tail);
            }
            self.rarity.learn(evidence.nats, self.pace.tail);
        }
        let weight = if limited { EPISODE_WEIGHT } else { 1.0 };
        self.models.absorb(&self.pace, spec, look, x, weight);
        let lasted = x.t_ms.saturating_sub(self.episode.since_ms);
        let still = self.models.norm.is_still();
        let adapt_ms = if still {
            spec.adapt_ms / ADAPT_STILL
        } else {
            spec.adapt_ms
        };
        if over && lasted >= adapt_ms {
            if still {
                self.models.norm.settle();
            } else {
                self.models.norm.restart();
            }
            self.models.profile.restart();
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
