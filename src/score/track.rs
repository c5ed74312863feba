//! One series from raw samples to judgements: window, kind and judge together.
//!
//! Everything that a restart must bring back is in here and is serialised as it stands. `serve`,
//! offline runs and tests take samples through [`Track::take`] alone.

pub mod again;

use serde::{Deserialize, Serialize};

use super::board::Alarm;
use super::judge::{Judge, Judgement, Phase};
use super::verdict::Change;
use crate::config::KindOverride;
use crate::model::{Point, SeriesSpec};
use crate::series::kind::{Kind, KindState, Scored, Source};
use crate::window::head::{Finished, Head, Order};
use crate::wire::write::is_stale;

/// What became of one raw sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Taken {
    /// Not newer than the newest of the series: left out.
    Old(Order),
    /// The series ended.
    Ended {
        change: Option<Change>,
        finished: Option<Finished>,
    },
    /// In the window; judged, unless it gave no value to score (first of a counter, reset, NaN,
    /// infinity).
    Kept {
        judgement: Option<Judgement>,
        finished: Option<Finished>,
        note: Note,
    },
}

/// What was odd about a sample that was kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Note {
    /// It came after a silence of more than [`GAP_INTERVALS`] of the series' intervals.
    pub gap: bool,
    /// A counter reset.
    pub reset: bool,
    /// An ordinary NaN or an infinity.
    pub not_finite: bool,
}

/// A silence of more than this many intervals is a gap. What was learned stays; an anomaly ends
/// after a longer one (see [`super::judge`]), and a counter gives no rate over more than an hour.
pub const GAP_INTERVALS: f64 = 3.0;

/// The whole state of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Track {
    kind: KindState,
    head: Head,
    judge: Judge,
    ended: bool,
}

impl Track {
    /// A new series. `declared` is what metadata and name say of it.
    pub fn new(spec: &SeriesSpec, declared: Option<(Kind, Source)>) -> Self {
        Self {
            kind: KindState::new(by_rule(spec).or(declared)),
            head: Head::new(),
            judge: Judge::new(),
            ended: false,
        }
    }

    /// Hears what metadata (or a changed rule) says now; models start afresh if that changes the
    /// kind, and true is given: what was shown of them holds no more.
    pub fn declare(&mut self, spec: &SeriesSpec, declared: Option<(Kind, Source)>) -> bool {
        if spec.kind.is_none() {
            self.kind.without_rule();
        }
        let changed = self.kind.declare(by_rule(spec).or(declared));
        if changed {
            self.judge = self.judge.afresh(spec);
        }
        changed
    }

    /// A series whose window was kept without a model until now.
    pub fn with_window(head: Head, spec: &SeriesSpec, declared: Option<(Kind, Source)>) -> Self {
        Self {
            ended: head.ended(),
            head,
            ..Self::new(spec, declared)
        }
    }

    /// A series that was judged by a model of an earlier version.
    pub(super) fn relearned(kind: KindState, head: Head, ended: bool) -> Self {
        Self {
            kind,
            head,
            judge: Judge::new(),
            ended,
        }
    }

    /// Finishes the open chunk before it is full, see [`Head::cut`].
    pub fn cut(&mut self) -> Option<Finished> {
        self.head.cut()
    }

    /// The window, of a series that is not to be modelled any more.
    pub fn into_window(self) -> Head {
        self.head
    }

    /// Takes one sample of any kind: float, NaN, infinity, staleness marker.
    pub fn take(&mut self, spec: &SeriesSpec, t_ms: i64, value: f64) -> Taken {
        self.take_since(spec, t_ms, value, None)
    }

    /// The same for a sample whose counting started at `start_ms`, if that is known.
    pub fn take_since(
        &mut self,
        spec: &SeriesSpec,
        t_ms: i64,
        value: f64,
        start_ms: Option<i64>,
    ) -> Taken {
        self.take_seen(spec, t_ms, value, start_ms, |_, _, _| {}, |_, _, _, _| {})
    }

    /// The same for somebody who looks at the judge, the usual interval in milliseconds and the value
    /// to be judged just before it is: what the judge expects, it expects then. `over` looks at a value
    /// over the line alone, see [`Judge::judge_seen`].
    pub fn take_seen(
        &mut self,
        spec: &SeriesSpec,
        t_ms: i64,
        value: f64,
        start_ms: Option<i64>,
        before: impl FnOnce(&Judge, f64, Point),
        over: impl FnOnce(&Judge, f64, Point, f64),
    ) -> Taken {
        match self.head.order(t_ms, value) {
            Order::Newer => {}
            old => return Taken::Old(old),
        }
        let mut note = Note {
            gap: self.head.last_ms().is_some_and(|last| {
                t_ms.saturating_sub(last) as f64 > GAP_INTERVALS * self.head.interval_ms()
            }),
            ..Note::default()
        };
        let finished = self.head.take(t_ms, value);
        if is_stale(value) {
            self.ended = true;
            return Taken::Ended {
                change: self.judge.close(),
                finished,
            };
        }
        self.ended = false;
        let scored = if value.is_finite() {
            self.kind.take(t_ms, value, start_ms)
        } else {
            note.not_finite = true;
            Scored::First
        };
        let judgement = match scored {
            Scored::Value(value) => {
                let (interval_ms, x) = (self.head.interval_ms(), Point { t_ms, value });
                before(&self.judge, interval_ms, x);
                let over = |judge: &Judge, size: f64| over(judge, interval_ms, x, size);
                let judged = self.judge.judge_seen(spec, interval_ms, x, over);
                Some(judged)
            }
            Scored::First => None,
            Scored::Reset => {
                note.reset = true;
                None
            }
            Scored::Turned => {
                self.judge = self.judge.afresh(spec);
                None
            }
        };
        Taken::Kept {
            judgement,
            finished,
            note,
        }
    }

    /// True after a staleness marker.
    pub fn ended(&self) -> bool {
        self.ended
    }

    pub fn phase(&self, spec: &SeriesSpec) -> Phase {
        self.judge.phase(spec)
    }

    pub fn alarm(&self) -> Option<Alarm> {
        self.judge.alarm()
    }

    /// The newest end of the window.
    pub fn head(&self) -> &Head {
        &self.head
    }

    pub fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Gives its place to the same series with more of its past; see [`Judge::give_place`].
    pub fn give_place(&mut self, other: Self) {
        let old = std::mem::replace(self, other).judge;
        self.judge.take_seat_of(old);
    }

    pub fn judge_mut(&mut self) -> &mut Judge {
        &mut self.judge
    }

    pub fn kind(&self) -> Kind {
        self.kind.kind()
    }
}

fn by_rule(spec: &SeriesSpec) -> Option<(Kind, Source)> {
    spec.kind.map(|k| match k {
        KindOverride::Gauge => (Kind::Gauge, Source::Rule),
        KindOverride::Counter => (Kind::Counter, Source::Rule),
    })
}
