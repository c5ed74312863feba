//! Changes: how far the value moved, against the moves that this series usually makes.
//!
//! Two detectors of one shape. **Jump** is the change from the last value to this one: spikes, drops
//! and the first sample of a step. **Short change** is the residual against its own average over five
//! samples: what the time of the day explains is taken out first, so that a rush that comes every day
//! is no change; spikes, drops, steps and fast ramps. Neither can see what comes slowly, and after a
//! gap neither says anything: what happened in between nobody knows.

use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use super::bound::larger;
use super::robust::Robust;
use super::tail::{self, Tail};
use super::{Detector, Past, Seen};

/// Changes are measured in units of at least this share of the level's scale.
const FLOOR_OF_SCALE: f64 = 0.05;

/// From the last value to this one.
pub type Jump = Change<FromLast>;
/// From the mean of the last five to this one, without the season.
pub type Short = Change<FromMean>;

/// What a change is from.
pub trait From: Default + Clone {
    /// Name of the detector.
    const NAME: &'static str;
    /// The change at a sample, in the unit of the value.
    fn change(past: &Past) -> f64;
}

/// From the last value.
#[derive(Debug, Clone, Default)]
pub struct FromLast;

impl From for FromLast {
    const NAME: &'static str = "jump";

    fn change(past: &Past) -> f64 {
        past.value - past.last
    }
}

/// From the mean residual of the five samples before.
#[derive(Debug, Clone, Default)]
pub struct FromMean;

impl From for FromMean {
    const NAME: &'static str = "short_change";

    fn change(past: &Past) -> f64 {
        past.residual - past.mean_5
    }
}

/// A detector of changes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct Change<F> {
    usual: Robust,
    tail: Tail,
    #[serde(skip)]
    from: PhantomData<F>,
}

impl<F: From> Change<F> {
    /// Where changes lie and how widely, over the whole day.
    pub fn usual(&self) -> &Robust {
        &self.usual
    }

    /// The same of a series that moves `factor` times as much.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self {
            usual: self.usual.scaled(factor),
            ..self.clone()
        }
    }
}

impl<F: From> Detector for Change<F> {
    const NAME: &'static str = F::NAME;

    #[inline]
    fn score(&self, past: &Past) -> Option<Seen> {
        if past.after_gap {
            return None;
        }
        let signal = F::change(past);
        let floor = larger(FLOOR_OF_SCALE * past.scale, past.floor);
        let x = tail::size(self.usual.distance_at(signal, past.unrest, floor).abs());
        Some(Seen {
            signal,
            x,
            evidence: self.tail.nats(x),
        })
    }

    #[inline]
    fn absorb(&mut self, past: &Past, seen: &Seen, _weight: f64) {
        if past.tail_gain > 0.0 {
            self.tail.learn_at(seen.x, past.tail_gain);
        }
        self.usual.take(seen.signal, past.gain, past.n);
    }
}
