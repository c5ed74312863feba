//! Burst: how restless the newest ten samples are, against how restless this series usually is.
//!
//! The deviation of the residual over ten samples, this one included. One-sided: silence raises
//! nothing. Sees a change of variance, and keeps the score up while an incident goes on.

use serde::{Deserialize, Serialize};

use super::bound::larger;
use super::robust::Robust;
use super::tail::{self, Tail};
use super::{Detector, Past, Seen};

/// Deviations are measured in units of at least this share of the level's scale, and this.
const FLOOR_OF_SCALE: f64 = 1e-3;
const FLOOR: f64 = 1e-12;
/// Samples before the first opinion: the longest average's span.
const SPEAKS_FROM: u32 = 61;

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Burst {
    usual: Robust,
    tail: Tail,
}

impl Burst {
    /// The same of a series that moves `factor` times as much.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self {
            usual: self.usual.scaled(factor),
            ..self.clone()
        }
    }
}

impl Detector for Burst {
    const NAME: &'static str = "burst";

    #[inline]
    fn score(&self, past: &Past) -> Option<Seen> {
        let signal = past.deviation_10;
        let floor = FLOOR_OF_SCALE * past.scale + FLOOR;
        let r = if past.n > SPEAKS_FROM {
            larger(self.usual.distance(signal, floor), 0.0)
        } else {
            0.0
        };
        let x = tail::size(r);
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
