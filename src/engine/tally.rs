//! What one shard counted since it last published: plain numbers inside a batch, atomics after it.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::config::Severity;
use crate::score::board::{Alarm, AlarmState};
use crate::score::judge::Phase;
use crate::score::track::Note;
use crate::telemetry::{Metrics, Outcome, PhaseLabel, ReasonLabel, SeverityLabel, Text};
use crate::wire::write::Protocol;

/// Room for new series, shared by all shards; touched only at births and deaths.
#[derive(Debug)]
pub struct Admission {
    used: AtomicU32,
    max: AtomicU32,
}

impl Admission {
    pub fn new(max: u32) -> Self {
        Self {
            used: AtomicU32::new(0),
            max: AtomicU32::new(max),
        }
    }

    /// Another limit; nothing is given up for a lower one.
    pub fn set_max(&self, max: u32) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// Takes room for one series, if there is any.
    pub fn admit(&self) -> bool {
        self.admit_all(1)
    }

    /// Takes room for several, or for none of them.
    pub fn admit_all(&self, n: u32) -> bool {
        let max = self.max.load(Ordering::Relaxed);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
                used.checked_add(n).filter(|sum| *sum <= max)
            })
            .is_ok()
    }

    pub fn release(&self, n: u32) {
        self.used.fetch_sub(n, Ordering::Relaxed);
    }
}

/// `window`: not modelled; `history`: its history is still to come, whatever its model knows so far;
/// `asleep`: idle, its state is on disk.
const PHASES: [&str; 7] = [
    "warmup", "young", "mature", "ended", "window", "history", "asleep",
];
/// Why a series is not taken or given up.
const REASONS: [&str; 2] = ["limit", "memory"];

/// As what a series is counted: its phase, and its active anomaly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Shown {
    phase: Option<u8>,
    active: Option<Severity>,
}

impl Shown {
    pub fn of(phase: Phase, alarm: Option<Alarm>) -> Self {
        Self {
            phase: Some(match phase {
                Phase::Warmup => 0,
                Phase::Young => 1,
                Phase::Mature => 2,
            }),
            active: alarm
                .filter(|a| a.state == AlarmState::Active)
                .map(|a| a.severity),
        }
    }

    pub fn ended() -> Self {
        Self {
            phase: Some(3),
            active: None,
        }
    }

    /// A series without a model.
    pub fn window() -> Self {
        Self {
            phase: Some(4),
            active: None,
        }
    }

    /// A series whose state is on disk.
    pub fn asleep() -> Self {
        Self {
            phase: Some(6),
            active: None,
        }
    }

    /// The same series while it waits for its history.
    pub fn waiting(self, waits: bool) -> Self {
        Self {
            phase: if waits { Some(5) } else { self.phase },
            ..self
        }
    }
}

/// Makes every labelled series of these metrics, at zero: what has not happened yet is 0, not
/// missing.
pub fn begin(metrics: &Metrics) {
    for name in PHASES {
        let label = PhaseLabel { phase: Text(name) };
        drop(metrics.series.get_or_create(&label));
    }
    for severity in Severity::ALL {
        let label = SeverityLabel {
            severity: Text(severity.as_str()),
        };
        drop(metrics.anomalies_by_severity.get_or_create(&label));
    }
    for reason in REASONS {
        let label = ReasonLabel {
            reason: Text(reason),
        };
        drop(metrics.series_dropped.get_or_create(&label));
    }
}

/// Counts of one shard since it last published.
#[derive(Debug, Default)]
pub struct Tally {
    /// Under what `outcomes` are published: what the batch at hand was sent in.
    pub protocol: Protocol,
    /// The batch at hand was counted by the process that received it.
    pub replayed: bool,
    pub outcomes: [u64; Outcome::ALL.len()],
    /// The same of native histograms.
    pub histograms: [u64; Outcome::ALL.len()],
    resets: u64,
    gaps: u64,
    not_finite: u64,
    /// Anomalies that became active.
    pub began: u64,
    /// Forests that came into use.
    pub trained: u64,
    /// New series beyond the limit.
    pub dropped: u64,
    /// New series that there was no memory for, and those given up for want of it.
    pub shed: u64,
    /// Series that were put to sleep ...
    pub slept: u64,
    /// ... and woken.
    pub woken: u64,
    /// Finished chunks that the store did not take in time.
    pub chunks_lost: u64,
    phases: [i64; PHASES.len()],
    active: [i64; 4],
}

impl Tally {
    /// Moves a series from what it was counted as to what it is now.
    pub fn show(&mut self, was: &mut Shown, now: Shown) {
        if let Some(phase) = was.phase {
            self.phases[usize::from(phase)] -= 1;
        }
        if let Some(phase) = now.phase {
            self.phases[usize::from(phase)] += 1;
        }
        if let Some(severity) = was.active {
            self.active[severity as usize] -= 1;
        }
        if let Some(severity) = now.active {
            self.active[severity as usize] += 1;
        }
        *was = now;
    }

    /// Counts what was odd about a kept sample.
    pub fn note(&mut self, note: Note) {
        self.resets += u64::from(note.reset);
        self.gaps += u64::from(note.gap);
        self.not_finite += u64::from(note.not_finite);
    }

    /// What happened, as opposed to what there is: a replay makes it happen once more.
    fn publish_events(&self, metrics: &Metrics) {
        let (samples, histograms) = match self.protocol {
            Protocol::V1 => (&metrics.ingest_v1, &metrics.histograms_v1),
            Protocol::V2 => (&metrics.ingest_v2, &metrics.histograms_v2),
        };
        for outcome in Outcome::ALL {
            samples.add(outcome, self.outcomes[outcome as usize]);
            histograms.add(outcome, self.histograms[outcome as usize]);
        }
        metrics.resets.inc_by(self.resets);
        metrics.gaps.inc_by(self.gaps);
        metrics.not_finite.inc_by(self.not_finite);
        metrics.anomalies.inc_by(self.began);
        metrics.models_trained.inc_by(self.trained);
    }

    /// Adds everything to the metrics and starts again from zero.
    pub fn publish(&mut self, metrics: &Metrics) {
        if self.replayed {
            let samples = self.outcomes.iter().chain(&self.histograms).sum();
            metrics.recovery.samples.inc_by(samples);
        } else {
            self.publish_events(metrics);
        }
        metrics.chunks_dropped.inc_by(self.chunks_lost);
        for (reason, dropped) in REASONS.iter().zip([self.dropped, self.shed]) {
            if dropped > 0 {
                let label = ReasonLabel {
                    reason: Text(reason),
                };
                metrics.series_dropped.get_or_create(&label).inc_by(dropped);
            }
        }
        metrics.memory.slept.inc_by(self.slept);
        metrics.memory.woken.inc_by(self.woken);
        for (name, delta) in PHASES.iter().zip(self.phases) {
            if delta != 0 {
                let label = PhaseLabel { phase: Text(name) };
                metrics.series.get_or_create(&label).inc_by(delta);
            }
        }
        metrics
            .active_models
            .inc_by(self.phases[1] + self.phases[2]);
        for (severity, delta) in Severity::ALL.iter().zip(self.active) {
            if delta != 0 {
                let label = SeverityLabel {
                    severity: Text(severity.as_str()),
                };
                metrics
                    .anomalies_by_severity
                    .get_or_create(&label)
                    .inc_by(delta);
            }
        }
        *self = Self::default();
    }
}
