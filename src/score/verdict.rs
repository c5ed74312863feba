//! When an anomaly begins and ends.
//!
//! A score over the line makes an anomaly pending. It becomes active once `confirm` of the newest
//! `confirm_of` samples are over it, it has lasted as long as is asked for, and something began: an onset (see [`crate::model::onset`]) among the newest
//! samples or while it is pending, or a rule that says so itself. The score alone makes no anomaly: it
//! stays high while one lasts, and an onset has a rest period and habituation. `release` samples in a row under it end it. Severity only rises while it lasts;
//! direction and reason stay what they were when it became active, so that one anomaly is one alert;
//! but a spike or a drop that stays turns out to be a level shift, and one that goes to the other side
//! too to be a change of variance.

use serde::{Deserialize, Serialize};

use super::board::{Alarm, AlarmState, Reason, Side};
use crate::config::Severity;
use crate::model::SeriesSpec;
use crate::model::onset::Family;

/// Most samples that are remembered as over the line or not: m of n has no larger n.
pub const RECENT_MAX: u32 = u8::BITS;
/// Samples that an onset may be older than the anomaly it begins: evidence of a slow one comes later.
const ONSET_HOLDS: u8 = 60;

/// Samples after an anomaly in which the same rule begins no other: a value that flaps about a limit is
/// one anomaly at a time.
const RULE_RESTS: u8 = 60;

/// What the verdict hears about one sample.
#[derive(Debug, Clone, Copy)]
pub struct Hearing {
    /// In units of the line.
    pub deviation: f64,
    /// Severity that score and rarity allow; `None`: not over the line, or not rare enough to count.
    pub severity: Option<Severity>,
    pub side: Side,
    pub reason: Reason,
    /// The value has been where it is for a few samples.
    pub settled: bool,
    /// The value itself is far out, not only what is averaged over the samples before.
    pub away: bool,
    /// What begins at this sample.
    pub begins: Begin,
    /// It has been over the line for as long as an anomaly must be to become active.
    pub lasted: bool,
}

/// Whether something begins at a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    Nothing,
    /// An onset, which has a rest period of its own.
    Onset,
    /// A rule speaks.
    Rule,
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
    /// Samples for which the last onset still counts, and what it was about.
    onset: u8,
    family: Option<Family>,
    /// Samples for which a rule that spoke last begins nothing new.
    rest: u8,
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
            onset: 0,
            family: None,
            rest: 0,
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

    /// What the last onset was about that still counts, `new` being the one of this sample.
    pub fn family(&mut self, new: Option<Family>) -> Option<Family> {
        if new.is_some() {
            self.family = new;
        } else if self.onset == 0 {
            self.family = None;
        }
        self.family
    }

    /// Takes one sample.
    pub fn hear(&mut self, spec: &SeriesSpec, at: Hearing) -> Option<Change> {
        self.rest = self.rest.saturating_sub(1);
        let begins = match at.begins {
            Begin::Nothing => false,
            Begin::Onset => true,
            Begin::Rule => self.rest == 0 || at.reason != self.reason,
        };
        self.onset = if begins {
            ONSET_HOLDS
        } else {
            self.onset.saturating_sub(1)
        };
        let over = at.severity.filter(|_| at.deviation >= 1.0);
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
                let newest = (1_u32 << spec.confirm_of.min(RECENT_MAX)) - 1;
                let confirmed = (u32::from(self.recent) & newest).count_ones();
                let needed = spec.confirm.min(spec.confirm_of);
                let would = over.is_some() && confirmed >= needed && self.onset > 0;
                if would && !at.lasted {
                    // What began goes on beginning while nothing but time is missing.
                    self.onset = self.onset.saturating_add(1);
                } else if would {
                    self.onset = 0;
                    self.phase = Phase::Active;
                    let swings = self.swings(&at);
                    self.side = at.side;
                    self.reason = at.reason;
                    if swings {
                        self.swing();
                    }
                    return self.alarm().map(Change::Began);
                }
                if self.under >= spec.release.min(spec.confirm_of) {
                    self.phase = Phase::Quiet;
                }
                None
            }
            Phase::Active => {
                let taken = matches!(self.reason, Reason::Spike | Reason::Drop);
                if over.is_some() && self.swings(&at) {
                    self.swing();
                } else if over.is_some() && at.settled && taken {
                    self.reason = Reason::LevelShift;
                }
                (self.under >= spec.release).then(|| self.end())
            }
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

    /// True if the anomaly was far out on one side and now is on the other.
    fn swings(&self, at: &Hearing) -> bool {
        let of_value = |r| matches!(r, Reason::Spike | Reason::Drop | Reason::LevelShift);
        let other = matches!(
            (self.side, at.side),
            (Side::Up, Side::Down) | (Side::Down, Side::Up)
        );
        at.away && other && of_value(self.reason) && of_value(at.reason)
    }

    /// Neither a spike nor a drop: the values move about more than they did.
    fn swing(&mut self) {
        self.side = Side::Both;
        self.reason = Reason::Variance;
    }

    fn end(&mut self) -> Change {
        self.rest = RULE_RESTS;
        self.onset = 0;
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
        run_as(verdict, Begin::Onset, deviations)
    }

    fn run_as(verdict: &mut Verdict, begins: Begin, deviations: &[f64]) -> Vec<Option<Change>> {
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
                        settled: false,
                        away: true,
                        begins,
                        lasted: true,
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
    fn m_of_n_and_the_least_duration_are_as_the_rule_says() {
        let at = |deviation: f64, lasted: bool| Hearing {
            deviation,
            severity: (deviation >= 1.0).then_some(Severity::Low),
            side: Side::Up,
            reason: Reason::Spike,
            settled: false,
            away: true,
            begins: Begin::Nothing,
            lasted,
        };
        let spec = SeriesSpec {
            confirm: 4,
            confirm_of: 8,
            ..SeriesSpec::default()
        };
        let mut v = Verdict::new();
        let first = Hearing {
            begins: Begin::Onset,
            ..at(1.5, true)
        };
        v.hear(&spec, first);
        // Every other one: the fourth is the seventh sample.
        for i in 1..6 {
            let change = v.hear(&spec, at(f64::from((i + 1) % 2) * 1.5, true));
            assert_eq!(change, None, "{i}");
        }
        assert!(v.hear(&spec, at(1.5, true)).is_some());
        let mut v = Verdict::new();
        v.hear(&spec, first);
        // However long it takes, what began is not forgotten.
        for _ in 0..500 {
            assert_eq!(v.hear(&spec, at(1.5, false)), None);
        }
        assert_eq!(v.alarm().unwrap().state, AlarmState::Pending);
        assert!(v.hear(&spec, at(1.5, true)).is_some());
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
    fn the_score_alone_makes_no_anomaly_and_an_onset_holds_for_a_while() {
        let mut v = Verdict::new();
        let changes = run_as(&mut v, Begin::Nothing, &[1.5; 50]);
        assert!(changes.iter().all(Option::is_none));
        assert_eq!(v.alarm().unwrap().state, AlarmState::Pending);
        assert!(run(&mut v, &[1.5])[0].is_some());
        let mut v = Verdict::new();
        run(&mut v, &[0.5]);
        run_as(&mut v, Begin::Nothing, &[0.5; 40]);
        assert!(run_as(&mut v, Begin::Nothing, &[1.5, 1.5])[1].is_some());
        let mut v = Verdict::new();
        run(&mut v, &[0.5]);
        run_as(&mut v, Begin::Nothing, &[0.5; 80]);
        assert_eq!(run_as(&mut v, Begin::Nothing, &[1.5; 2])[1], None);
    }

    #[test]
    fn a_spike_that_stays_is_a_level_shift() {
        let mut v = Verdict::new();
        run(&mut v, &[1.5, 1.5]);
        assert_eq!(v.alarm().unwrap().reason, Reason::Spike);
        let stays = Hearing {
            deviation: 1.5,
            severity: Some(Severity::Low),
            side: Side::Up,
            reason: Reason::Spike,
            settled: true,
            away: true,
            begins: Begin::Nothing,
            lasted: true,
        };
        v.hear(&SeriesSpec::default(), stays);
        assert_eq!(v.alarm().unwrap().reason, Reason::LevelShift);
    }

    #[test]
    fn a_rule_that_flaps_is_one_anomaly_until_it_has_rested() {
        let mut v = Verdict::new();
        let began = |changes: &[Option<Change>]| {
            let began = |c: &&Option<Change>| matches!(c, Some(Change::Began(_)));
            changes.iter().filter(began).count()
        };
        let flap = [1.5, 1.5, 1.5, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        let begins = |d: f64| {
            if d >= 1.0 {
                Begin::Rule
            } else {
                Begin::Nothing
            }
        };
        let mut all = Vec::new();
        for d in flap.iter().cycle().take(50) {
            all.extend(run_as(&mut v, begins(*d), &[*d]));
        }
        assert_eq!(began(&all), 1);
        run_as(&mut v, Begin::Nothing, &[0.0; 100]);
        assert_eq!(began(&run_as(&mut v, Begin::Rule, &[1.5, 1.5])), 1);
    }
}
