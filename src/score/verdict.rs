//! When an anomaly begins and ends.
//!
//! A score over the line makes an anomaly pending; `confirm` of the newest five samples over it
//! make it active; `release` samples in a row under it end it. Severity only rises while it lasts;
//! direction and reason stay what they were when it became active, so that one anomaly is one alert.
//! A series that had an anomaly a short while ago needs more for the next (habituation), so that a
//! flapping series does not page at every flap.

use serde::{Deserialize, Serialize};

use super::board::{Alarm, AlarmState, Reason, Side};
use crate::config::Severity;
use crate::model::SeriesSpec;

/// Newest samples among which `confirm` must be over the line.
pub const RECENT: u32 = 5;
/// How much more than the line the next onset needs after one just before, in units of the line.
const HABIT: f64 = 0.15;
/// Most of it.
const HABIT_MAX: f64 = 0.6;
/// Samples in which habituation falls to a third (e-fold).
const HABIT_FADES: f64 = 1500.0;

/// What the verdict hears about one sample.
#[derive(Debug, Clone, Copy)]
pub struct Hearing {
    /// In units of the line.
    pub deviation: f64,
    /// Severity that score and rarity allow; `None`: not over the line, or not rare enough to count.
    pub severity: Option<Severity>,
    pub side: Side,
    pub reason: Reason,
}

/// What just happened to the anomaly of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It became active.
    Began(Alarm),
    /// It ended.
    Ended,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
enum Phase {
    Quiet,
    Pending,
    Active,
}

/// The anomaly of one series, if there is one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Verdict {
    phase: Phase,
    /// Newest samples, 1 = over the line, newest lowest.
    recent: u8,
    under: u32,
    severity: Severity,
    side: Side,
    reason: Reason,
    habit: f32,
}

impl Verdict {
    pub fn new() -> Self {
        Self {
            phase: Phase::Quiet,
            recent: 0,
            under: 0,
            severity: Severity::Low,
            side: Side::Both,
            reason: Reason::Spike,
            habit: 0.0,
        }
    }

    /// The anomaly under way, as the board shows it.
    pub fn alarm(&self) -> Option<Alarm> {
        let state = match self.phase {
            Phase::Quiet => return None,
            Phase::Pending => AlarmState::Pending,
            Phase::Active => AlarmState::Active,
        };
        Some(Alarm {
            state,
            severity: self.severity,
            side: self.side,
            reason: self.reason,
        })
    }

    /// Takes one sample.
    pub fn hear(&mut self, spec: &SeriesSpec, at: Hearing) -> Option<Change> {
        self.habit *= 1.0 - (1.0 / HABIT_FADES) as f32;
        let bar = match self.phase {
            Phase::Active => 1.0,
            _ => 1.0 + f64::from(self.habit),
        };
        let over = at.severity.filter(|_| at.deviation >= bar);
        self.recent = self.recent << 1 | u8::from(over.is_some());
        if let Some(severity) = over {
            self.under = 0;
            if self.phase == Phase::Quiet {
                self.phase = Phase::Pending;
                self.severity = severity;
                self.side = at.side;
                self.reason = at.reason;
            }
            self.severity = self.severity.max(severity);
        } else {
            self.under = self.under.saturating_add(1);
        }
        match self.phase {
            Phase::Quiet => None,
            Phase::Pending => {
                let confirmed = (u32::from(self.recent) & ((1 << RECENT) - 1)).count_ones();
                if confirmed >= spec.confirm {
                    self.phase = Phase::Active;
                    self.side = at.side;
                    self.reason = at.reason;
                    let habit = f64::from(self.habit) + HABIT;
                    self.habit = habit.min(HABIT_MAX) as f32;
                    return self.alarm().map(Change::Began);
                }
                if self.under >= spec.release.min(RECENT) {
                    self.phase = Phase::Quiet;
                }
                None
            }
            Phase::Active => (self.under >= spec.release).then(|| self.end()),
        }
    }

    /// Ends the anomaly under way, if any: the series ended, was silent for long, or its new
    /// behaviour has been learned.
    pub fn close(&mut self) -> Option<Change> {
        match self.phase {
            Phase::Quiet => None,
            Phase::Pending => {
                self.phase = Phase::Quiet;
                self.recent = 0;
                None
            }
            Phase::Active => Some(self.end()),
        }
    }

    fn end(&mut self) -> Change {
        self.phase = Phase::Quiet;
        self.recent = 0;
        self.under = 0;
        Change::Ended
    }
}

impl Default for Verdict {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(verdict: &mut Verdict, deviations: &[f64]) -> Vec<Option<Change>> {
        let spec = SeriesSpec::default();
        deviations
            .iter()
            .map(|d| {
                verdict.hear(
                    &spec,
                    Hearing {
                        deviation: *d,
                        severity: (*d >= 1.0).then_some(if *d > 2.0 {
                            Severity::High
                        } else {
                            Severity::Low
                        }),
                        side: Side::Up,
                        reason: Reason::Spike,
                    },
                )
            })
            .collect()
    }

    #[test]
    fn one_sample_is_suspected_two_are_an_anomaly() {
        let mut v = Verdict::new();
        assert!(run(&mut v, &[0.1, 1.5]).iter().all(Option::is_none));
        assert_eq!(v.alarm().unwrap().state, AlarmState::Pending);
        let changes = run(&mut v, &[1.5]);
        assert!(matches!(changes[0], Some(Change::Began(a)) if a.state == AlarmState::Active));
    }

    #[test]
    fn a_single_spike_never_becomes_active_and_passes() {
        let mut v = Verdict::new();
        assert!(
            run(&mut v, &[3.0, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1])
                .iter()
                .all(Option::is_none)
        );
        assert_eq!(v.alarm(), None);
    }

    #[test]
    fn severity_only_rises_and_the_end_comes_once() {
        let mut v = Verdict::new();
        run(&mut v, &[1.1, 1.1, 3.0, 1.1]);
        assert_eq!(v.alarm().unwrap().severity, Severity::High);
        let changes = run(&mut v, &[0.0; 12]);
        assert_eq!(changes.iter().flatten().count(), 1);
        assert_eq!(changes[4], Some(Change::Ended));
    }

    #[test]
    fn the_next_onset_needs_more_and_the_habit_fades() {
        let mut v = Verdict::new();
        run(&mut v, &[1.1, 1.1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert!(run(&mut v, &[1.1, 1.1, 1.1]).iter().all(Option::is_none));
        run(&mut v, &[0.0; 6000]);
        assert!(run(&mut v, &[1.1, 1.1]).iter().any(Option::is_some));
    }
}
