//! What is said of a sample over the line: its reason, its direction, its severity.

use super::{Judge, Phase};
use crate::config::Severity;
use crate::model::onset::Family;
use crate::model::watch::{Claim, Rule};
use crate::model::{SeriesSpec, Step};
use crate::score::board::{Reason, Side};
use crate::score::scale;

/// A sample whose distance is less than this share of the mean of those before is back.
pub(super) const BACK: f64 = 0.5;
/// Mean of the samples before, as a share of this one's distance, from which on it is a level and no
/// spike.
const SHIFTED: f64 = 0.5;
/// A value from so many scales on is far from what is usual ...
const AWAY: f64 = 3.0;
/// ... and one that is nearer than so many is usual, as are the samples before if their mean is: then
/// it is their order that is odd.
const USUAL: f64 = 2.0;
/// The same as [`SHIFTED`] once an anomaly that was taken for a spike is known to be a level: after four samples.
pub(super) const SETTLED: f64 = 0.8;

/// Rarity in nats that each severity needs: one sample in a thousand, ten thousand, a hundred
/// thousand, a million of this very series.
const RARITY_FLOORS: [f64; 4] = [6.907_755, 9.210_340, 11.512_925, 13.815_511];

impl Judge {
    /// Why, where no rule says so. Out of season if the value is usual at another time of the day;
    /// then what the onset was about; a level shift if the samples before went the same way; a pattern if
    /// all of them are usual; else the way it went.
    pub(super) fn reason(&self, step: &Step, side: Side, family: Option<Family>) -> Reason {
        if self.ensemble.profile().usual_sometime(step.look(), step.z) {
            return Reason::Season;
        }
        match family {
            Some(Family::Season) => return Reason::Season,
            Some(Family::Variance) => return Reason::Variance,
            Some(Family::Level | Family::Change | Family::Shift) | None => {}
        }
        if self.shifted(step, SHIFTED) {
            return Reason::LevelShift;
        }
        let scales = step.residual().abs().max(step.mean_before().abs());
        if scales < USUAL * self.ensemble.level().scale() {
            return Reason::Pattern;
        }
        match side {
            Side::Down => Reason::Drop,
            Side::Up | Side::Both => Reason::Spike,
        }
    }

    /// True if the samples before lay where this one does, by this share of its distance.
    pub(super) fn shifted(&self, step: &Step, share: f64) -> bool {
        let along = step.mean_before() / step.residual();
        self.away(step) && (share..1.0 / BACK).contains(&along)
    }

    /// True if the value itself is far from what is usual.
    pub(super) fn away(&self, step: &Step) -> bool {
        step.residual().abs() >= AWAY * self.ensemble.level().scale()
    }
}

/// Which way a rule says that the value went.
pub(super) fn side_of(claim: &Claim) -> Side {
    match claim.up {
        None => Side::Both,
        Some(true) => Side::Up,
        Some(false) => Side::Down,
    }
}

/// The reason that stands for a rule.
pub(super) fn reason_of(rule: Rule) -> Reason {
    match rule {
        Rule::Range => Reason::OutOfRange,
        Rule::Flatline => Reason::Flatline,
        Rule::Shift => Reason::LevelShift,
        Rule::Trend => Reason::Trend,
        Rule::Pattern => Reason::Pattern,
        Rule::Absence => Reason::Absent,
    }
}

/// The gravest severity that the score reaches and the rarity allows; `None` below the line or
/// where this series reaches such evidence too often for even the lowest.
pub(super) fn severity(
    spec: &SeriesSpec,
    phase: Phase,
    deviation: f64,
    rarity: f64,
) -> Option<Severity> {
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
