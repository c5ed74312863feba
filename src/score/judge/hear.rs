//! What the verdict is told of a sample.

use super::say::{BACK, SETTLED, reason_of};
use super::{Judge, Opinion};
use crate::config::Severity;
use crate::model::{OnsetOutput, SeriesSpec, Step};
use crate::score::board::{Reason, Side};
use crate::score::verdict::{Begin, Change, Hearing};

impl Judge {
    /// Tells the verdict of a sample.
    pub(super) fn hear(
        &mut self,
        spec: &SeriesSpec,
        step: &Step,
        opinion: &Opinion,
        (onset, severity): (&OnsetOutput, Option<Severity>),
        t_ms: i64,
    ) -> Option<Change> {
        let deviation = opinion.deviation;
        if deviation < 1.0 {
            return self.hear_nothing(spec, opinion, onset);
        }
        // A value that is back at once makes as much evidence as when it went: what it did counts.
        let back = step.residual().abs() < BACK * step.mean_before().abs();
        let side = match (back && opinion.claim.is_none(), step.mean_before() >= 0.0) {
            (false, _) => opinion.side,
            (true, true) => Side::Up,
            (true, false) => Side::Down,
        };
        let begins = if onset.counts() {
            Begin::Onset
        } else if opinion.claim.is_some() {
            Begin::Rule
        } else {
            Begin::Nothing
        };
        let family = self.verdict.family(onset.family.filter(|_| onset.counts()));
        let reason = match opinion.claim {
            Some(claim) => reason_of(claim.rule),
            None => self.reason(step, side, family),
        };
        self.verdict.hear(
            spec,
            Hearing {
                deviation,
                severity,
                side,
                reason,
                settled: self.shifted(step, SETTLED),
                away: self.away(step),
                begins,
                lasted: self.episode.lasted_ms(t_ms) >= spec.min_duration_ms,
            },
        )
    }

    /// The same of a value under the line: there is nothing to say of it.
    fn hear_nothing(
        &mut self,
        spec: &SeriesSpec,
        opinion: &Opinion,
        onset: &OnsetOutput,
    ) -> Option<Change> {
        self.verdict.family(onset.family.filter(|_| onset.counts()));
        let begins = match onset.counts() {
            true => Begin::Onset,
            false => Begin::Nothing,
        };
        self.verdict.hear(
            spec,
            Hearing {
                deviation: opinion.deviation,
                severity: None,
                side: opinion.side,
                reason: Reason::Spike,
                settled: false,
                away: false,
                begins,
                lasted: false,
            },
        )
    }
}
