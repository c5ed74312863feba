//! Still series: how much a change can be worth where there have hardly been any.
//!
//! A series that has changed fewer than twenty times has no changes to measure by. It is judged by
//! how long it has been still: the probability that the next value is a change (the rule of
//! succession, Laplace).

use serde::{Deserialize, Serialize};

/// Changes from which on their sizes are known, and stillness is no longer the evidence.
const KNOWN: u8 = 20;

/// Counts the changes of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Still {
    changes: u8,
}

impl Still {
    /// True for a series that has changed too seldom for its changes to be known.
    pub fn is_still(&self) -> bool {
        self.changes < KNOWN
    }

    /// The most that a change can be worth in nats, after `n` values; no bound once changes are
    /// known.
    pub fn nats_max(&self, n: u32) -> f64 {
        if !self.is_still() {
            return f64::INFINITY;
        }
        (1.0 + f64::from(n) / f64::from(1 + u32::from(self.changes))).ln()
    }

    pub fn take(&mut self, changed: bool) {
        self.changes = self.changes.saturating_add(u8::from(changed)).min(KNOWN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_still_series_bounds_the_evidence_by_how_long_it_was_still() {
        let mut still = Still::default();
        assert!((still.nats_max(1000) - 1001f64.ln()).abs() < 1e-9);
        still.take(true);
        assert!(still.nats_max(1001) < 1001f64.ln() - 0.6);
        for _ in 0..KNOWN {
            still.take(true);
        }
        assert_eq!(still.nats_max(1020), f64::INFINITY);
    }
}
