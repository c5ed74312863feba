//! Short change: the residual against its own average over five samples.
//!
//! What the time of the day explains is taken out first, so that a rush that comes every day is no
//! change. Sees spikes, drops, steps and fast ramps. Says nothing after a gap.

use serde::{Deserialize, Serialize};

use super::robust::Robust;
use super::tail::{self, Tail};
use super::{Detector, Past, Seen};

/// Changes are measured in units of at least this share of the level's scale.
const FLOOR_OF_SCALE: f64 = 0.05;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Short {
    usual: Robust,
    tail: Tail,
}

impl Short {
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

impl Detector for Short {
    const NAME: &'static str = "short_change";

    fn score(&self, past: &Past) -> Option<Seen> {
        if past.after_gap {
            return None;
        }
        let signal = past.residual - past.mean_5;
        let floor = (FLOOR_OF_SCALE * past.scale).max(past.floor);
        let x = tail::size(self.usual.distance_at(signal, past.unrest, floor).abs());
        Some(Seen {
            signal,
            x,
            evidence: self.tail.nats(x),
        })
    }

    fn absorb(&mut self, past: &Past, seen: &Seen, _weight: f64) {
        if past.tail_rate > 0.0 {
            self.tail.learn(seen.x, past.tail_rate);
        }
        self.usual.take(seen.signal, past.gain, past.n);
    }
}
