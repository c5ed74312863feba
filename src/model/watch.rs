//! The detectors with a rule of their own: range, flatline, trend, pattern, absence.
//!
//! Each says something that the evidence of [`super::ensemble`] does not, with a false alarm rate of
//! its own (docs/models/onset.md). What it says is raised to units of the line here: at the line where its
//! rule begins to hold, a severity up for each factor of e. What always holds: a sample is judged from
//! state that does not contain it.

use serde::{Deserialize, Serialize};

use super::absence::{Around, Rhythm, Silence};
use super::bound::larger;
use super::flatline::Flatline;
use super::pattern::{self, Pattern, Shape};
use super::shift::Shift;
use super::trend::Trend;
use super::{SeriesSpec, range};

/// Most that a rule without a limit set by hand is worth, in units of the line: severity high.
const CLAIM_MAX: f32 = 1.9;
/// Factor of e beyond a rule that is worth a severity.
const A_SEVERITY: f32 = 1.0 / 3.0;
/// A small shift is worth low: whether it matters is for those who know the series.
const SHIFT_MAX: f32 = 1.3;
/// Longest interval of a series whose trend is looked for, in days: two samples a quarter.
const TREND_DAYS_MAX: f64 = 1.0 / 8.0;

/// The rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Rule {
    Range,
    Flatline,
    Shift,
    Trend,
    Pattern,
    Absence,
}

impl Rule {
    /// Stable name, as in docs/models.md and in contributions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::Flatline => "flatline",
            Self::Shift => "shift",
            Self::Trend => "trend",
            Self::Pattern => "pattern",
            Self::Absence => "absence",
        }
    }

    /// It says that values are not where they should be, so that a least deviation which the user
    /// cares about holds for it.
    pub fn is_about_values(self) -> bool {
        matches!(self, Self::Shift | Self::Trend | Self::Pattern)
    }
}

/// What a rule says of a sample, or of a silence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Claim {
    pub rule: Rule,
    /// In units of the line; at least 1.
    pub deviation: f32,
    /// Which way, where there is one: true is up.
    pub up: Option<bool>,
}

/// A sample as the rules look at it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub t_ms: i64,
    pub value: f64,
    /// It differs from the value before.
    pub changed: bool,
    /// The scale of the series, positive.
    pub scale: f64,
    /// Distance from the level, and what the profile expects of it, in scales.
    pub z: f32,
    pub usual: Option<f32>,
    pub interval_ms: f64,
    /// The series is old enough for rules that need to know it.
    pub mature: bool,
}

/// How far out the slow rules are before a sample, whatever it is: worked out once, for
/// [`Watch::claim`] and [`Watch::take`].
#[derive(Debug, Clone, Copy)]
pub struct Slow {
    /// Samples a day.
    a_day: f32,
    pattern: pattern::Out,
    shift: f32,
}

/// The rules' state of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    flatline: Flatline,
    rhythm: Rhythm,
    trend: Trend,
    pattern: Pattern,
    shift: Shift,
}

impl Watch {
    /// How far out the slow rules are.
    #[inline]
    pub fn slow(&self, spec: &SeriesSpec, interval_ms: f64) -> Slow {
        Slow {
            a_day: (spec.day_ms as f64 / larger(interval_ms, 1.0)) as f32,
            pattern: self.pattern.out(),
            shift: self.shift.distance(),
        }
    }

    /// The strongest claim about a sample, from state without it. A direction that does not count for
    /// the series is no claim, nor is what stays under the line: `line` says by which factor that of a
    /// rule is moved for this series, 1 where it is not.
    #[inline]
    pub fn claim(
        &self,
        spec: &SeriesSpec,
        x: &Look,
        slow: &Slow,
        line: impl Fn(Rule) -> f32,
    ) -> Option<Claim> {
        let mut best: Option<Claim> = None;
        let mut hear = |rule, ratio: f32, up: Option<bool>, most: f32| {
            let counts = up.is_none_or(|up| spec.direction.counts(up));
            let factor = line(rule);
            if !counts || ratio < 1.0 && factor >= 1.0 {
                return;
            }
            let deviation = (1.0 + A_SEVERITY * ratio.ln()).min(most) / factor;
            // Of no ratio there is no logarithm.
            if deviation.is_nan() || deviation < 1.0 {
                return;
            }
            if best.is_none_or(|b| deviation > b.deviation) {
                best = Some(Claim {
                    rule,
                    deviation,
                    up,
                });
            }
        };
        if let Some((ratio, up)) = range::beyond(spec, x.value, x.scale) {
            hear(Rule::Range, ratio, Some(up), f32::MAX);
        }
        if x.mature {
            hear(
                Rule::Flatline,
                self.flatline.ratio(x.changed),
                None,
                CLAIM_MAX,
            );
            let trend = self.trend.ratio();
            hear(Rule::Trend, trend.abs(), Some(trend > 0.0), CLAIM_MAX);
            if let Some(ratio) = self.pattern.beyond(&slow.pattern) {
                let side = self.pattern.up(&slow.pattern);
                hear(Rule::Pattern, ratio, side, CLAIM_MAX);
            }
            let shift = self.shift.ratio_at(slow.shift, slow.a_day);
            hear(Rule::Shift, shift.abs(), Some(shift > 0.0), SHIFT_MAX);
        }
        best
    }

    /// Takes a sample that came so long after the one before (`None`: it is the first). `calm` says
    /// that its evidence is under the line, `slow` is what was said before it.
    pub fn take(
        &mut self,
        spec: &SeriesSpec,
        x: &Look,
        slow: &Slow,
        silence_ms: Option<f64>,
        calm: bool,
    ) {
        if let Some(silence) = silence_ms {
            self.rhythm.take(silence);
            self.flatline.take(x.changed);
        }
        if x.interval_ms <= TREND_DAYS_MAX * spec.day_ms as f64 {
            self.trend.take(x.t_ms, x.value, spec.day_ms, x.scale);
        }
        let shape = Shape {
            z: x.z,
            usual: x.usual,
            a_day: slow.a_day,
        };
        self.shift.take_at(slow.shift, x.z - x.usual.unwrap_or(0.0));
        let calm = calm && self.pattern.beyond(&slow.pattern).is_none();
        self.pattern.take_at(&slow.pattern, &shape, calm);
    }

    /// What to make of the silence since `last_ms`, when the newest sample of the series came. To be
    /// asked by a clock, not by a sample.
    pub fn silence(&self, spec: &SeriesSpec, last_ms: i64, around: &Around) -> Silence {
        self.rhythm.ask(last_ms, spec.absent_ms, around)
    }

    /// What it is worth that a series, or a target, is absent for so many times what is too long.
    pub fn absence(ratio: f32) -> Claim {
        Claim {
            rule: Rule::Absence,
            deviation: (1.0 + A_SEVERITY * ratio.max(1.0).ln()).min(CLAIM_MAX),
            up: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Direction;

    fn look(i: i64, value: f64, changed: bool) -> Look {
        Look {
            t_ms: i * 15_000,
            value,
            changed,
            scale: 1.0,
            z: 0.0,
            usual: None,
            interval_ms: 15_000.0,
            mature: true,
        }
    }

    fn claim(watch: &Watch, spec: &SeriesSpec, x: &Look) -> Option<Claim> {
        watch.claim(spec, x, &watch.slow(spec, x.interval_ms), |_| 1.0)
    }

    fn take(watch: &mut Watch, spec: &SeriesSpec, x: &Look, silence_ms: Option<f64>) {
        let slow = watch.slow(spec, x.interval_ms);
        watch.take(spec, x, &slow, silence_ms, true);
    }

    #[test]
    fn state_is_small() {
        assert!(size_of::<Watch>() <= 176, "{}", size_of::<Watch>());
    }

    #[test]
    fn the_strongest_claim_is_heard_and_directions_count() {
        let mut watch = Watch::default();
        let spec = SeriesSpec {
            max: Some(10.0),
            ..SeriesSpec::default()
        };
        for i in 0..100 {
            take(
                &mut watch,
                &spec,
                &look(i, 0.0, true),
                (i > 0).then_some(15_000.0),
            );
        }
        assert_eq!(claim(&watch, &spec, &look(100, 0.0, true)), None);
        for i in 100..200 {
            take(&mut watch, &spec, &look(i, 0.0, false), Some(15_000.0));
        }
        let flat = claim(&watch, &spec, &look(200, 0.0, false)).unwrap();
        assert_eq!((flat.rule, flat.up), (Rule::Flatline, None));
        assert!(flat.deviation >= 1.0);
        let range = claim(&watch, &spec, &look(200, 30.0, true)).unwrap();
        assert_eq!((range.rule, range.up), (Rule::Range, Some(true)));
        let down = SeriesSpec {
            direction: Direction::Down,
            ..spec
        };
        assert_eq!(claim(&watch, &down, &look(200, 30.0, true)), None);
    }

    #[test]
    fn a_silence_is_worth_more_the_longer_it_is() {
        let mut last = 0.99;
        for ratio in [0.5, 1.5, 3.0, 9.0] {
            let claim = Watch::absence(ratio);
            assert_eq!((claim.rule, claim.up), (Rule::Absence, None));
            assert!(claim.deviation > last);
            last = claim.deviation;
        }
        assert_eq!(Watch::absence(1e9).deviation, CLAIM_MAX);
    }
}
