//! All detectors of one series together: from a value to its evidence.
//!
//! Level and profile take out what is usual; four detectors say what the rest is worth, each in a
//! different way; a forest, where there is one, is asked about samples that look odd to them. The
//! evidence is the root of the weighted mean of their squares, smoothed over two samples. What
//! always holds: [`Ensemble::score`] changes nothing and depends on nothing but the samples before,
//! every number is finite for any finite input, and the same samples give the same bits.

mod template;

use serde::{Deserialize, Serialize};

use super::averages::{Averages, SPAN_5, SPAN_10};
use super::bound::{larger, smaller};
use super::burst::Burst;
use super::change::{Jump, Short};
use super::features;
use super::forest::{self, FEATURES};
use super::history::History;
use super::level::Level;
use super::pace::{self, Pace};
use super::profile::{Look, Profile};
use super::still::Still;
use super::tail;
use super::{Detector, Gap, Past, Point, Seen, SeriesSpec};

/// Detectors that look at every sample.
pub const ALWAYS: usize = 4;
/// Parts of the evidence: those detectors, then the forest.
pub const PARTS: usize = ALWAYS + 1;
/// Place of the forest among them.
pub const FOREST: usize = ALWAYS;
/// Their names, as in docs/models.md and in contributions.
pub const NAMES: [&str; PARTS] = [
    Jump::NAME,
    Short::NAME,
    Burst::NAME,
    History::NAME,
    "forest",
];
/// Weights of the squares.
pub const WEIGHTS: [f32; PARTS] = [1.0, 1.0, 1.0, 2.0, 3.0];

/// Samples before there is any evidence; it grows to its full size after that.
pub const SPEAKS_FROM: u32 = 100;
/// Share of a new sample in the smoothed evidence: removes blips of one sample, costs about one
/// sample of delay.
pub const SMOOTHING: f32 = 2.0 / 3.0;
/// Evidence of a forest's score of 1.
pub const FOREST_WORTH: f32 = 10.0;
/// Values before the profile is filled: its units must mean something.
const PROFILE_FROM: u32 = 20;

/// What one sample is worth, and what was worked out on the way, for [`Ensemble::absorb`] and for the
/// forest, of which most series have none.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// What the value should have been, in its own unit.
    pub expected: f64,
    /// Evidence of each detector, in the order of [`NAMES`]; 0 for a forest that was not asked.
    pub parts: [f32; PARTS],
    /// Evidence of the detectors that look at every sample.
    pub always: f32,
    /// Evidence of this sample, not smoothed.
    pub alone: f32,
    /// The evidence: smoothed. Not negative, finite.
    pub evidence: f32,
    /// The sample's distance from the level in scales, at most 30.
    pub z: f32,
    past: Past,
    /// The evidence of the sample before.
    before: f32,
    seen: [Option<Seen>; ALWAYS],
    averages: Averages,
    look: Look,
}

impl Step {
    /// What the forest sees.
    pub fn features(&self) -> [f32; FEATURES] {
        features::row(self.past.value, self.past.residual, &self.averages)
    }

    /// Takes what the forest said of [`Step::features`], 0..=1; [`forest::NOT_ASKED`] stands for an
    /// ordinary sample.
    pub fn hear_forest(&mut self, score: f32) {
        self.parts[FOREST] = FOREST_WORTH * score;
        let sum: f32 = (0..PARTS).map(|i| self.square(i)).sum();
        self.alone = (sum / WEIGHTS.iter().sum::<f32>()).sqrt();
        self.evidence = smoothed(self.before, self.alone);
    }

    /// Share of each part in the evidence, in the order of [`NAMES`]: they add up to 1, or are all 0
    /// where there is no evidence. A forest's share is what it says beyond an ordinary sample.
    pub fn shares(&self) -> [f32; PARTS] {
        let mut shares = [0.0; PARTS];
        for (i, share) in shares.iter_mut().enumerate() {
            *share = self.square(i);
        }
        let ordinary = FOREST_WORTH * forest::NOT_ASKED;
        let ordinary = WEIGHTS[FOREST] * ordinary * ordinary;
        shares[FOREST] = (shares[FOREST] - ordinary).max(0.0);
        let sum: f32 = shares.iter().sum();
        if sum > 0.0 {
            for share in &mut shares {
                *share /= sum;
            }
        }
        shares
    }

    fn square(&self, part: usize) -> f32 {
        WEIGHTS[part] * self.parts[part] * self.parts[part]
    }

    /// Mean residual of the five samples before it.
    pub fn mean_before(&self) -> f64 {
        self.past.mean_5
    }

    /// True if the value differs from the one before it.
    pub fn changed(&self) -> bool {
        self.past.n > 1 && self.past.value != self.past.last
    }

    /// The value without what is usual at its time, in its own unit.
    pub fn residual(&self) -> f64 {
        self.past.residual
    }

    /// What the profile said.
    pub fn look(&self) -> &Look {
        &self.look
    }
}

/// Scales that a residual counts at most in the averages: they forget by a share of what they hold, so
/// one wild value would stay in them for thousands of samples.
const REACH: f64 = 1e6;

/// The detectors of one series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Ensemble {
    level: Level,
    profile: Profile,
    averages: Averages,
    still: Still,
    jump: Jump,
    short: Short,
    burst: Burst,
    history: History,
    last: f64,
    n: u32,
    /// The evidence of the last sample, smoothed.
    evidence: f32,
}

impl Ensemble {
    pub fn new() -> Self {
        Self::default()
    }

    /// Values taken.
    pub fn count(&self) -> u32 {
        self.n
    }

    pub fn still(&self) -> &Still {
        &self.still
    }

    pub fn level(&self) -> &Level {
        &self.level
    }

    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// What `x` is worth, from state that does not contain it; a forest is heard after that, see
    /// [`Step::hear_forest`].
    pub fn score(&self, pace: &Pace, spec: &SeriesSpec, x: Point, gap: Gap) -> Step {
        let look = self
            .profile
            .look(spec.calendar.local_ms(x.t_ms), spec.day_ms);
        // The first value lies where it is expected: there is nothing to compare it with.
        let location = match self.level.count() {
            0 => x.value,
            _ => self.level.location(),
        };
        let scale = self.level.scale();
        let expected = location + look.usual.unwrap_or(0.0) * scale;
        let residual = x.value - expected;
        let before = match gap {
            Gap::Long => Averages::default(),
            Gap::None | Gap::Short => self.averages,
        };
        // Positive, as every scale is.
        let reach = REACH * scale;
        let averages = before.with(larger(-reach, smaller(residual, reach)));
        let n = self.n.saturating_add(1);
        let past = Past {
            value: x.value,
            last: self.last,
            residual,
            mean_5: f64::from(before.means[SPAN_5]),
            deviation_10: f64::from(averages.deviations[SPAN_10]),
            scale,
            floor: self.level.floor(),
            n,
            gain: pace::gain(n, pace.level),
            tail_gain: match n.checked_sub(SPEAKS_FROM) {
                None | Some(0) => 0.0,
                Some(taught) => tail::gain(pace.tail_rate(taught)),
            },
            unrest: self.profile.unrest(&look, self.short.usual().scale()),
            after_gap: gap != Gap::None || self.n == 0,
        };
        let seen = [
            self.jump.score(&past),
            self.short.score(&past),
            self.burst.score(&past),
            self.history.score(&past),
        ];
        let mut parts = [0.0; PARTS];
        let from = SPEAKS_FROM.min(spec.warmup);
        let grown = |n: u32| n.saturating_sub(from) as f32 / n.max(1) as f32;
        let grown_all = grown(n);
        let grown_history = match self.history.count().saturating_add(1) {
            taught if taught < n => grown(taught),
            _ => grown_all,
        };
        let grown = [grown_all, grown_all, grown_all, grown_history];
        for i in 0..ALWAYS {
            parts[i] = seen[i].map_or(0.0, |s| s.evidence) * grown[i];
        }
        let sum: f32 = (0..ALWAYS).map(|i| WEIGHTS[i] * parts[i] * parts[i]).sum();
        let weights: f32 = WEIGHTS[..ALWAYS].iter().sum();
        let always = (sum / weights).sqrt();
        Step {
            expected,
            parts,
            always,
            alone: always,
            evidence: smoothed(self.evidence, always),
            z: self.level.z(x.value),
            past,
            before: self.evidence,
            seen,
            averages,
            look,
        }
    }

    /// Takes `x` into the state; `step` is what [`Ensemble::score`] said of it. `weight` in 0..=1
    /// limits what it teaches.
    pub fn absorb(&mut self, pace: &Pace, spec: &SeriesSpec, x: Point, step: &Step, weight: f64) {
        let n = self.n.saturating_add(1);
        let past = step.past;
        let [jump, short, burst, history] = &step.seen;
        let usual = *self.short.usual();
        if let Some(seen) = jump {
            self.jump.absorb(&past, seen, weight);
        }
        if let Some(seen) = short {
            self.short.absorb(&past, seen, weight);
        }
        if let Some(seen) = burst {
            self.burst.absorb(&past, seen, weight);
        }
        if let Some(seen) = history {
            self.history.absorb(&past, seen, weight);
        }
        if self.profile.is_empty() && self.level.count() == PROFILE_FROM {
            self.profile.begin(pace, spec.day_ms);
        } else {
            self.profile.take(&step.look, step.z, pace, weight);
            if let Some(seen) = short {
                let size = seen.signal - usual.location();
                self.profile
                    .take_change(&step.look, size, usual.scale(), pace);
            }
        }
        self.level.take(x.value, pace.level);
        self.still.take(self.n > 0 && x.value != self.last);
        self.averages = step.averages;
        self.last = x.value;
        self.n = n;
        self.evidence = step.evidence;
    }

    /// Forgets level, profile and history: a new behaviour has lasted long enough to be normal. What
    /// was learned of changes and tails stays.
    pub fn restart(&mut self) {
        self.level.restart();
        self.profile.restart();
        self.history.restart();
    }
}

fn smoothed(before: f32, now: f32) -> f32 {
    before + SMOOTHING * (now - before)
}
