//! The judge's side of what people ordered for a series: where its lines are, and silences.
//!
//! A line is moved by dividing evidence before it becomes a deviation, so score, severity and band
//! move with it and none of them knows. What always holds: for which reason a line is asked is said by
//! the sample and by state without it, so it is the same for the band and for the sample that came.

use super::say::{reason_of, severity, side_of};
use super::{Judge, Phase};
use crate::config::Severity;
use crate::model::absence::{Around, Silence};
use crate::model::orders::{LINES, Lines};
use crate::model::watch::{Claim, Watch};
use crate::model::{SeriesSpec, Step};
use crate::score::board::{Alarm, AlarmState, Reason, Side};
use crate::score::scale;

const _: () = assert!(LINES == Reason::ALL.len(), "each reason has a line");

/// The factor of the line for a reason.
pub(super) fn line(lines: &Lines, reason: Reason) -> f64 {
    f64::from(lines[reason as usize])
}

impl Judge {
    /// The factor of the line that the evidence of a sample is measured by. The reason is the one that
    /// the sample itself gives: what an onset was about, and whether a spike stays, is known too late.
    pub(super) fn line(&self, spec: &SeriesSpec, step: &Step, side: Side, t_ms: i64) -> f64 {
        match spec.lines_at(t_ms) {
            None => 1.0,
            Some(lines) => line(lines, self.reason(step, side, None)),
        }
    }

    /// What to make of the silence since `last_ms`, when the newest sample of the series came, by the
    /// clock that asks. A series in warm-up is never missed. Changes nothing: what a clock says is no
    /// part of what samples say.
    pub fn silence(&self, spec: &SeriesSpec, last_ms: i64, around: &Around) -> Silence {
        let silence = match self.phase(spec) {
            Phase::Warmup => Silence::Usual,
            Phase::Young | Phase::Mature => self.watch.silence(spec, last_ms, around),
        };
        match silence {
            Silence::Absent(ratio) | Silence::Target(ratio)
                if f64::from(absence(spec, ratio, around.now_ms).deviation) < 1.0 =>
            {
                Silence::Usual
            }
            silence => silence,
        }
    }

    /// The anomaly that a silence of so many times what is too long is at this time, with its score. It
    /// needs no confirmation: it has lasted.
    pub fn absence(&self, spec: &SeriesSpec, ratio: f32, now_ms: i64) -> (f32, Alarm) {
        let claim = absence(spec, ratio, now_ms);
        let deviation = f64::from(claim.deviation).max(1.0);
        let severity = severity(spec, self.phase(spec), deviation, f64::INFINITY);
        let alarm = Alarm {
            state: AlarmState::Active,
            severity: severity.unwrap_or(Severity::Low),
            side: side_of(&claim),
            reason: reason_of(claim.rule),
        };
        (scale::shown(deviation), alarm)
    }
}

fn absence(spec: &SeriesSpec, ratio: f32, now_ms: i64) -> Claim {
    let claim = Watch::absence(ratio);
    let line = spec
        .lines_at(now_ms)
        .map_or(1.0, |lines| lines[Reason::Absent as usize]);
    Claim {
        deviation: claim.deviation / line,
        ..claim
    }
}
