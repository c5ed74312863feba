//! The onset of an anomaly: a value, a change, a shift, a variance or an hour that this series has
//! never seen.
//!
//! Fifteen signals of a sample each keep the highest and lowest value they ever had. A sample beyond
//! one of these records is evidence, by how far beyond in units of the range so far. Under
//! stationarity a record falls with probability 1/n (Rényi 1962), so the bar rises with the age of a
//! series without anybody knowing its length, and a series with heavy tails raises its own bar. What
//! follows a record of many signals is an onset once: see `onset::rest`.
//!
//! What always holds: a sample is judged from state that does not contain it, every number is finite
//! for any finite input, nothing is allocated, and the same samples give the same bits. The season
//! is not kept here but handed in.
//!
//! What it can't see: a value that stops moving, a silence, a leak of less than three scales a day,
//! and whatever has happened before.

mod record;
mod rest;

use serde::{Deserialize, Serialize};

use super::bound::{larger, smaller};
use super::ln::ln;
use super::{Gap, VALUE_MAX};
use record::{Outside, Records};
use rest::Rest;

/// What a sample is asked about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OnsetInput {
    pub value: f64,
    /// Distance of the value from the profile of the day in spreads, not negative: the smallest over
    /// this part of the day and its two neighbours. `None` while the profile can't say.
    pub season_residual: Option<f32>,
    /// How long the series was silent before it.
    pub gap: Gap,
}

/// What a sample is worth as the begin of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OnsetOutput {
    /// Strength of the onset, 0 to 1.5; 0 for no onset: nothing new, or the rest of the last one.
    pub event: f32,
    /// The evidence before habituation, cap and rest period; not negative, finite.
    pub evidence: f32,
    /// Expected onsets this strong per sample of this series, if it is one; else 1.
    pub return_period: f32,
    /// What the evidence is mostly about, where there is any.
    pub family: Option<Family>,
}

impl OnsetOutput {
    /// True for an onset that is worth an anomaly: strong enough, and as rare for this series as the
    /// lowest severity asks (one in a thousand samples).
    pub fn counts(&self) -> bool {
        self.event >= EVENT_MIN && self.return_period <= RETURN_MAX
    }
}

/// Smallest event that is worth an anomaly.
pub const EVENT_MIN: f32 = 0.36;
/// Largest return period that is.
pub const RETURN_MAX: f32 = 1e-3;

/// What a signal measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Family {
    /// Where the value lies.
    Level,
    /// How far it moved from the values before.
    Change,
    /// How far short averages moved from longer ones.
    Shift,
    /// How much it moves about.
    Variance,
    /// How far it lies from what is usual at its time of the day.
    Season,
}

impl Family {
    const ALL: [Self; 5] = [
        Self::Level,
        Self::Change,
        Self::Shift,
        Self::Variance,
        Self::Season,
    ];
}

/// Evidence of each family.
type Families = [f32; Family::ALL.len()];

/// Signals a sample.
const SIGNALS: usize = 15;
/// The same and one that is always 0: compilers take four at a time from sixteen on.
const LANES: usize = SIGNALS + 1;
/// The family of each signal, and its weight: that of the family, in equal parts.
const WORTH: [(Family, f32); SIGNALS] = {
    use Family::{Change, Level, Season, Shift, Variance};
    [
        (Level, 1.3 / 4.0),
        (Level, 1.3 / 4.0),
        (Level, 1.3 / 4.0),
        (Level, 1.3 / 4.0),
        (Change, 0.9 / 3.0),
        (Change, 0.9 / 3.0),
        (Change, 0.9 / 3.0),
        (Shift, 1.4 / 4.0),
        (Shift, 1.4 / 4.0),
        (Shift, 1.4 / 4.0),
        (Shift, 1.4 / 4.0),
        (Variance, 2.2 / 2.0),
        (Variance, 2.2 / 2.0),
        (Season, 1.8 / 2.0),
        (Season, 1.8 / 2.0),
    ]
};
/// Signals that are logarithms.
const LOGARITHMS: [usize; 3] = [3, 11, 12];
/// A bound on a logarithm is believed with this to spare.
const SURE: f32 = 1.001;
/// Signals of a change: they mean nothing after a gap.
const CHANGES: std::ops::Range<usize> = 4..7;
/// Signals of the season: there is none until the profile speaks.
const SEASONS: std::ops::Range<usize> = 13..15;

/// Spans of the averages of the value, in samples; the gain is 2/(span + 1).
const SPANS: [f32; 5] = [4.0, 5.0, 30.0, 120.0, 280.0];
/// Spans of the averages of the size of a change.
const SPANS_CHANGE: [f32; 2] = [60.0, 120.0];
/// Span of the average of the season's residual.
const SPAN_SEASON: f32 = 12.0;
/// Residuals count at most this much in it.
const SEASON_MAX: f32 = 10.0;
/// Samples of a signal before its records are evidence.
const ACTIVE_FROM: u32 = 60;
/// Memory of location and scale, in samples.
const HORIZON: f32 = 2000.0;
/// Deviations count at most this many scales, from the 21st sample on.
const CLIP: f32 = 1.5;
const CLIP_FROM: u32 = 20;
/// sqrt(pi/2): mean absolute deviation to standard deviation, for Gaussian noise.
const MAD_TO_SIGMA: f32 = 1.253_314_1;
/// The scale is never below this share of the location, which is more than f32 loses of a value.
const FLOOR_OF_LOCATION: f32 = 1e-6;
const FLOOR: f32 = 1e-12;
/// Size of a change, in scales, that is next to none.
const CHANGE_NONE: f32 = 0.01;
/// Mean size of a change in scales of the changes, for Gaussian noise.
const CHANGE_USUAL: f32 = 0.8;
/// A change counts at most so many scales of changes ...
const CHANGE_MAX: f32 = 10.0;
/// ... which are at least this share of the scale of the values.
const CHANGE_MIN: f32 = 0.02;
/// Distances from the location count at most so many scales.
const Z_MAX: f32 = 1e15;
/// A value is out of season if it lies so many times further from that than from its level.
const OUT_OF_SEASON: f32 = 1.5;
/// The part of a jump over a long gap that may be noise, in scales of changes.
const GAP_NOISE: f32 = 2.0;

/// Robust running location and scale, see [`super::robust`]; in f32, with a clip of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Spread {
    at: f32,
    scale: f32,
}

impl Spread {
    fn take(&mut self, x: f32, n: u32) {
        let gain = 1.0 / smaller(n as f32, HORIZON);
        let mut d = x - self.at;
        if n > CLIP_FROM && self.scale > 0.0 {
            d = d.clamp(-CLIP * self.scale, CLIP * self.scale);
        }
        self.at += gain * d;
        self.scale += gain * (MAD_TO_SIGMA * d.abs() - self.scale);
    }
}

/// The onset detector of one series: 204 bytes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Onset {
    records: Records,
    /// Averages of the value, in the order of [`SPANS`].
    means: [f32; 5],
    /// Averages of the size of a change.
    changes: [f32; 2],
    /// Average of the season's residual.
    season: f32,
    level: Spread,
    step: Spread,
    last: f32,
    n: u32,
    /// Samples with a residual of the season, at most [`ACTIVE_FROM`] + 1.
    seasons: u8,
    rest: Rest,
}

impl Onset {
    pub fn new() -> Self {
        Self::default()
    }

    /// Samples taken.
    pub fn count(&self) -> u32 {
        self.n
    }

    /// Judges a sample, then takes it into the state. A value that is not finite is not taken.
    pub fn take(&mut self, x: &OnsetInput) -> OnsetOutput {
        let value = x.value.clamp(-VALUE_MAX, VALUE_MAX) as f32;
        if !value.is_finite() {
            return self.rest.nothing();
        }
        let first = self.n == 0;
        if first {
            self.means = [value; 5];
            self.level.at = value;
            self.last = value;
        } else if x.gap == Gap::Long {
            self.bridge(value);
        }
        self.n = self.n.saturating_add(1);
        let season = x.season_residual.filter(|r| r.is_finite()).map(f32::abs);
        let step = value - self.last;
        let short = self.take_change(step);
        if let Some(r) = season {
            self.season += gain(SPAN_SEASON) * (smaller(r, SEASON_MAX) - self.season);
            self.seasons = self.seasons.saturating_add(1).min(ACTIVE_FROM as u8 + 1);
        }
        let signals = self.signals(value, step, short, season);
        let out = match self.judge(&signals, x.gap, season.is_some()) {
            None => self.rest.pass(self.n),
            Some(evidence) => self.hear(value, season, &evidence),
        };
        if x.gap == Gap::None {
            self.step.take(step, self.n);
        }
        self.level.take(value, self.n);
        for (mean, span) in self.means.iter_mut().zip(SPANS) {
            *mean += gain(span) * (value - *mean);
        }
        self.last = value;
        out
    }

    /// What is made of evidence, and what that is about.
    #[cold]
    fn hear(&mut self, value: f32, season: Option<f32>, evidence: &Families) -> OnsetOutput {
        let mut out = self.rest.hear(self.n, evidence);
        // Where there is no day to speak of, a value is as far from its season as from its level, and
        // the season explains nothing.
        let z = (value - self.level.at).abs() / self.scale();
        if out.family == Some(Family::Season) && season.is_none_or(|r| r < OUT_OF_SEASON * z) {
            let mut others = *evidence;
            others[Family::Season as usize] = 0.0;
            out.family = rest::strongest(&others);
        }
        out
    }

    /// Moves the averages over a long gap: what changed while nobody looked is no change now.
    fn bridge(&mut self, value: f32) {
        let jump = value - self.means[1];
        let noise = GAP_NOISE * self.step.scale;
        let moved = jump - jump.clamp(-noise, noise);
        for mean in &mut self.means {
            *mean += moved;
        }
        self.last = value;
    }

    fn scale(&self) -> f32 {
        larger(
            self.level.scale,
            FLOOR_OF_LOCATION * self.level.at.abs() + FLOOR,
        )
    }

    /// Takes the size of a change into its averages; gives the shorter one as it was before.
    fn take_change(&mut self, step: f32) -> f32 {
        let most = CHANGE_MAX * larger(self.step.scale, CHANGE_MIN * self.scale());
        let size = smaller(step.abs(), most);
        let before = self.changes[0];
        for (mean, span) in self.changes.iter_mut().zip(SPANS_CHANGE) {
            *mean += gain(span) * (size - *mean);
        }
        before
    }

    /// The signals of a sample.
    #[inline]
    fn signals(&self, value: f32, step: f32, short: f32, season: Option<f32>) -> [f32; LANES] {
        let s = self.scale();
        let e = &self.means;
        let none = CHANGE_NONE * s;
        let usual = CHANGE_USUAL * self.step.scale + none;
        let logarithms = self.logarithms(
            (value - self.level.at) / s,
            (short + none) / usual,
            (self.changes[1] + none) / usual,
        );
        [
            value,
            e[2],
            e[4],
            logarithms[0],
            step,
            value - e[1],
            value - e[3],
            e[1] - e[3],
            e[0] - e[2],
            e[3] - e[4],
            e[1] - e[2],
            logarithms[1],
            logarithms[2],
            season.unwrap_or(0.0),
            self.season,
            0.0,
        ]
    }

    /// The signals that are logarithms: of a distance, and of two ratios. 0 for all three where each is
    /// well inside of its records, which is nearly always: then nobody asks what it is.
    #[inline]
    fn logarithms(&self, z: f32, one: f32, two: f32) -> [f32; 3] {
        let [distance, first, second] = LOGARITHMS.map(|i| self.records.inside(i));
        // |asinh z| is at most |z|, and (r - 1)/r <= ln r <= r - 1.
        let within = |x: f32, least: f32, (low, high): (f32, f32)| {
            let size = SURE * x.abs();
            (size < high) & (size < -low * least)
        };
        let inside = within(z, 1.0, distance)
            & within(one - 1.0, smaller(one, 1.0), first)
            & within(two - 1.0, smaller(two, 1.0), second);
        if inside {
            return [0.0; 3];
        }
        [asinh(z), ln(f64::from(one)), ln(f64::from(two))]
    }

    /// The least that a range of each signal may be taken for.
    fn floors(&self) -> [f32; LANES] {
        let s = self.scale();
        let part = 0.3 * s;
        [
            s, part, part, 1.0, part, part, part, part, part, part, part, 1.0, 1.0, 1.0, 1.0, 1.0,
        ]
    }

    /// Evidence of each family, where there is any; the records take the signals.
    #[inline]
    fn judge(&mut self, signals: &[f32; LANES], gap: Gap, in_season: bool) -> Option<Families> {
        if self.n == 1 {
            self.records = Records::of(signals);
            return None;
        }
        let of_season = in_season && self.seasons > ACTIVE_FROM as u8;
        if gap == Gap::None && of_season {
            // Nearly always: nothing is put back, and nothing is outside.
            let outside = self.records.take(signals);
            if !outside.any() || self.n <= ACTIVE_FROM {
                return None;
            }
            return Some(self.evidence(&outside));
        }
        self.judge_some(signals, gap, in_season)
    }

    /// The same where some lie outside, or have nothing to say and are put back.
    #[inline(never)]
    fn judge_some(
        &mut self,
        signals: &[f32; LANES],
        gap: Gap,
        in_season: bool,
    ) -> Option<Families> {
        let before = self.records;
        let mut outside = self.records.take(signals);
        if gap != Gap::None {
            for i in CHANGES {
                outside.by[i] = 0.0;
                self.records.put(i, before.get(i));
            }
        }
        if !in_season || self.seasons <= ACTIVE_FROM as u8 {
            for i in SEASONS {
                outside.by[i] = 0.0;
                if !in_season {
                    self.records.put(i, before.get(i));
                } else if self.seasons == 1 {
                    self.records.begin(i, signals[i]);
                }
            }
        }
        if !outside.any() || self.n <= ACTIVE_FROM {
            return None;
        }
        Some(self.evidence(&outside))
    }

    /// What it is worth to be so far outside.
    #[cold]
    fn evidence(&self, outside: &Outside) -> Families {
        let floors = self.floors();
        let mut evidence = [0.0; Family::ALL.len()];
        for (i, by) in outside.by.into_iter().take(SIGNALS).enumerate() {
            if by > 0.0 {
                let (family, weight) = WORTH[i];
                let excess = by / outside.range[i].max(floors[i]);
                evidence[family as usize] += weight * record::worth(excess);
            }
        }
        evidence
    }
}

/// Inverse hyperbolic sine: a logarithm on both sides of zero. Of the definition; exactness near zero,
/// which costs twice as much, is not needed.
fn asinh(z: f32) -> f32 {
    let z = z.clamp(-Z_MAX, Z_MAX);
    let size = z.abs();
    ln(f64::from(size + (size * size + 1.0).sqrt())).copysign(z)
}

/// Share of a new sample in an average over so many.
const fn gain(span: f32) -> f32 {
    2.0 / (span + 1.0)
}

#[cfg(test)]
mod tests;
