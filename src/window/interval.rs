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
#[serde(into = "Stored", try_from = "Stored")]
pub struct Interval {
    ms: u32,
    /// Gaps in a row that were far from `ms`.
    odd: u8,
    /// True once the first gaps are enough.
    known: bool,
    /// How many there are, and they, sorted; without memory once they are enough.
    count: u8,
    first: Option<Box<[u32; FIRST]>>,
}

/// An interval as it is written.
#[derive(Serialize, Deserialize)]
struct Stored {
    ms: u32,
    odd: u8,
    known: bool,
    first: Vec<u32>,
}

impl From<Interval> for Stored {
    fn from(interval: Interval) -> Self {
        Self {
            ms: interval.ms,
            odd: interval.odd,
            known: interval.known,
            first: interval.gaps().to_vec(),
        }
    }
}

impl TryFrom<Stored> for Interval {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Self, Self::Error> {
        let gaps = stored.first;
        if gaps.len() >= FIRST {
            return Err("too many first gaps");
        }
        let mut first = [0; FIRST];
        first[..gaps.len()].copy_from_slice(&gaps);
        Ok(Self {
            ms: stored.ms,
            odd: stored.odd,
            known: stored.known,
            count: gaps.len() as u8,
            first: (!gaps.is_empty()).then(|| Box::new(first)),
        })
    }
}

impl Interval {
    pub fn new() -> Self {
        Self {
            ms: ASSUMED_MS,
            odd: 0,
            known: false,
            count: 0,
            first: None,
        }
    }

    fn gaps(&self) -> &[u32] {
        let first = self.first.as_ref().map_or(&[][..], |f| &f[..]);
        &first[..usize::from(self.count)]
    }

    /// In milliseconds; at least 1.
    pub fn ms(&self) -> f64 {
        f64::from(self.ms.max(1))
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.first.as_ref().map_or(0, |f| size_of_val(&**f))
    }

    /// Takes the distance to the sample before, in milliseconds; positive.
    pub fn take(&mut self, gap_ms: i64) {
        let gap = u32::try_from(gap_ms).unwrap_or(u32::MAX).max(1);
        if !self.known {
            let count = usize::from(self.count);
            let first = self.first.get_or_insert_default();
            let at = first[..count].partition_point(|g| *g < gap);
            first.copy_within(at..count, at + 1);
            first[at] = gap;
            self.ms = first[count.div_ceil(2)];
            self.count += 1;
            if count + 1 == FIRST {
                self.known = true;
                self.count = 0;
                self.first = None;
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
