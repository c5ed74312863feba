//! The usual distance between two samples of a series, learned from its own timestamps.

use serde::{Deserialize, Serialize};

/// Gaps whose median is the first answer.
const FIRST: usize = 15;
/// Gaps in a row that say otherwise before the answer changes: the scrape interval was changed.
const CHANGED: u8 = 32;
/// What is assumed before the second sample, in milliseconds.
const ASSUMED_MS: u32 = 15_000;

/// Median of the first gaps, followed when it changes for good.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    ms: u32,
    /// Gaps in a row that were far from `ms`.
    odd: u8,
    /// True once the first gaps are enough.
    known: bool,
    /// The first gaps, sorted; without memory once they are enough.
    first: Vec<u32>,
}

impl Interval {
    pub fn new() -> Self {
        Self {
            ms: ASSUMED_MS,
            odd: 0,
            known: false,
            first: Vec::new(),
        }
    }

    /// In milliseconds; at least 1.
    pub fn ms(&self) -> f64 {
        f64::from(self.ms.max(1))
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.first.capacity() * size_of::<u32>()
    }

    /// Takes the distance to the sample before, in milliseconds; positive.
    pub fn take(&mut self, gap_ms: i64) {
        let gap = u32::try_from(gap_ms).unwrap_or(u32::MAX).max(1);
        if !self.known {
            if self.first.capacity() == 0 {
                self.first.reserve_exact(FIRST);
            }
            let at = self.first.partition_point(|g| *g < gap);
            self.first.insert(at, gap);
            self.ms = self.first[self.first.len() / 2];
            if self.first.len() == FIRST {
                self.known = true;
                self.first = Vec::new();
            }
            return;
        }
        let ratio = f64::from(gap) / self.ms();
        if (0.67..1.5).contains(&ratio) {
            self.odd = 0;
            return;
        }
        self.odd += 1;
        if self.odd == CHANGED {
            self.odd = 0;
            self.ms = gap;
        }
    }
}

impl Default for Interval {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_of_the_first_then_steady_then_followed() {
        let mut i = Interval::new();
        for gap in [15_000, 15_001, 90_000, 14_999, 15_000] {
            i.take(gap);
        }
        assert_eq!(i.ms(), 15_000.0);
        for _ in 0..20 {
            i.take(15_000);
        }
        for _ in 0..31 {
            i.take(60_000);
        }
        assert_eq!(i.ms(), 15_000.0);
        i.take(60_000);
        assert_eq!(i.ms(), 60_000.0);
    }
}
