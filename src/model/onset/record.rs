//! The highest and lowest value a signal ever had, and what it is worth to leave them behind.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LANES, SIGNALS};
use crate::model::ln::ln;

/// Samples in which the range would shrink to nothing, if no value held it up: records of long ago
/// must not blind a series for ever. Linear, so that a third of a year at five minutes costs next to
/// nothing and three weeks at fifteen seconds are forgotten.
const FORGETS: f32 = 100_000.0;
/// By how much more than it shrinks something is inside.
const LEAST_INSIDE: f32 = 1e-4;
/// How fast worth rises with the excess, in units of the range.
const STEEPNESS: f32 = 20.0;
/// Most that one signal is worth, before its weight.
const WORTH_MAX: f32 = 3.0;

/// The records of all signals: highs beside highs, so that one instruction does four.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Records {
    high: [f32; LANES],
    low: [f32; LANES],
}

/// One of them, as all are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Record {
    high: f32,
    low: f32,
}

/// How far signals lie outside of their records, and how wide these are.
#[derive(Debug)]
pub(super) struct Outside {
    /// Not above 0 for a value inside.
    pub(super) by: [f32; LANES],
    pub(super) range: [f32; LANES],
}

impl Outside {
    /// True if one lies outside.
    #[inline]
    pub(super) fn any(&self) -> bool {
        self.by.iter().fold(false, |any, by| any | (*by > 0.0))
    }
}

impl Record {
    fn of(x: f32) -> Self {
        Self { high: x, low: x }
    }
}

impl Records {
    pub(super) fn of(signals: &[f32; LANES]) -> Self {
        Self {
            high: *signals,
            low: *signals,
        }
    }

    pub(super) fn get(&self, signal: usize) -> Record {
        Record {
            high: self.high[signal],
            low: self.low[signal],
        }
    }

    /// What lies between these changes nothing: lowest and highest, both well inside of the records
    /// and on either side of zero, or in the wrong order.
    #[inline]
    pub(super) fn inside(&self, signal: usize) -> (f32, f32) {
        let (high, low) = (self.high[signal], self.low[signal]);
        let shrink = (high - low) * (1.0 / FORGETS) + LEAST_INSIDE;
        (low + shrink, high - shrink)
    }

    pub(super) fn put(&mut self, signal: usize, record: Record) {
        self.high[signal] = record.high;
        self.low[signal] = record.low;
    }

    /// Begins one anew.
    pub(super) fn begin(&mut self, signal: usize, x: f32) {
        self.put(signal, Record::of(x));
    }

    /// Takes all signals, which must be numbers; gives how far they lay outside. Without branches, on
    /// copies that nothing else can reach, and with the larger of two written as one instruction is:
    /// four at a time.
    #[inline]
    pub(super) fn take(&mut self, signals: &[f32; LANES]) -> Outside {
        let (x, high, low) = (*signals, self.high, self.low);
        let mut next = *self;
        let mut out = Outside {
            by: [0.0; LANES],
            range: [0.0; LANES],
        };
        for i in 0..LANES {
            let (above, below) = (x[i] - high[i], low[i] - x[i]);
            out.by[i] = if above > below { above } else { below };
            let range = high[i] - low[i];
            out.range[i] = range;
            let shrink = range * (1.0 / FORGETS);
            let (high, low) = (high[i] - shrink, low[i] + shrink);
            next.high[i] = if high > x[i] { high } else { x[i] };
            next.low[i] = if low < x[i] { low } else { x[i] };
        }
        *self = next;
        out
    }
}

impl Serialize for Records {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let each: [Record; SIGNALS] = std::array::from_fn(|i| self.get(i));
        each.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Records {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let each = <[Record; SIGNALS]>::deserialize(deserializer)?;
        let mut records = Self::default();
        for (signal, record) in each.into_iter().enumerate() {
            records.put(signal, record);
        }
        Ok(records)
    }
}

/// What an excess, in ranges, is worth: the logarithm, so that one wild signal does not outweigh five odd ones.
pub(super) fn worth(excess: f32) -> f32 {
    ln(f64::from(1.0 + STEEPNESS * excess)).min(WORTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inside_is_nothing_and_outside_is_a_distance() {
        let mut records = Records::of(&[0.0; LANES]);
        records.take(&[10.0; LANES]);
        let at = |x: f32| records.clone().take(&[x; LANES]);
        assert!(at(5.0).by.iter().all(|by| *by <= 0.0));
        for (x, outside) in [(15.0, 5.0), (-5.0, 5.0)] {
            let out = at(x);
            assert!(out.by.iter().all(|by| (by - outside).abs() < 1e-3));
            assert!(out.range.iter().all(|range| (range - 10.0).abs() < 1e-3));
        }
        assert_eq!(worth(1e30), WORTH_MAX);
    }

    #[test]
    fn an_old_record_is_forgotten() {
        let mut records = Records::of(&[0.0; LANES]);
        records.take(&[100.0; LANES]);
        for _ in 0..200_000 {
            records.take(&[1.0; LANES]);
        }
        let out = records.take(&[90.0; LANES]);
        assert!(out.range[0] < 20.0 && out.by[0] > 60.0);
    }

    #[test]
    fn they_are_stored_one_after_the_other() {
        let mut records = Records::default();
        let signals: [f32; LANES] =
            std::array::from_fn(|i| if i < SIGNALS { i as f32 } else { 0.0 });
        records.take(&signals);
        records.begin(3, -7.0);
        let bytes = postcard::to_allocvec(&records).unwrap();
        let pairs: Vec<u8> = (0..SIGNALS)
            .flat_map(|i| [records.high[i].to_le_bytes(), records.low[i].to_le_bytes()])
            .flatten()
            .collect();
        assert_eq!(bytes, pairs);
        assert_eq!(postcard::from_bytes::<Records>(&bytes).unwrap(), records);
    }
}
