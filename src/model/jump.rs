//! Jump: the change from the last value to this one, against the changes this series usually makes.
//!
//! Sees spikes, drops and the first sample of a step. Cannot see what comes slowly. After a gap it
//! says nothing: what happened in between nobody knows.

use serde::{Deserialize, Serialize};

use super::robust::Robust;
use super::tail::{self, Tail};
use super::{Detector, Past, Seen};

/// Changes are measured in units of at least this share of the level's scale.
const FLOOR_OF_SCALE: f64 = 0.05;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Jump {
    usual: Robust,
    tail: Tail,
}

impl Jump {
    /// The same of a series that moves `factor` times as much.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self {
            usual: self.usual.scaled(factor),
            ..self.clone()
        }
    }
}

impl Detector for Jump {
    const NAME: &'static str = "jump";

    fn score(&self, past: &Past) -> Option<Seen> {
        if past.after_gap {
            return None;
        }
        let signal = past.value - past.last;
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
