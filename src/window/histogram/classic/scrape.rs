//! The parts of one scrape that have come so far.

use serde::{Deserialize, Serialize};

pub(super) const SUM: usize = 0;
pub(super) const COUNT: usize = 1;
/// Buckets lie here and behind, in the order of their bounds.
pub(super) const FIRST_BUCKET: usize = 2;

/// One scrape. Slots behind the end are those of parts that have not come.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Scrape {
    pub(super) t_ms: i64,
    /// By slot; NaN is a part that has not come.
    values: Vec<f64>,
    /// Parts that have come, also those whose value was no number.
    came: u16,
    /// A part was seen for the first time in it.
    pub(super) born: bool,
    /// A part was no finite number, or a count below zero.
    pub(super) unusable: bool,
}

impl Scrape {
    /// `values` is empty memory.
    pub(super) fn new(t_ms: i64, values: Vec<f64>) -> Self {
        Self {
            t_ms,
            values,
            came: 0,
            born: false,
            unusable: false,
        }
    }

    /// Takes a part that has not come before; `slots` is their number.
    pub(super) fn put(&mut self, slot: usize, slots: usize, value: f64, is_count: bool) {
        if self.values.len() < slots {
            self.values.reserve_exact(slots - self.values.len());
            self.values.resize(slots, f64::NAN);
        }
        let usable = value.is_finite() && (value >= 0.0 || !is_count);
        let Some(place) = self.values.get_mut(slot).filter(|v| v.is_nan()) else {
            return;
        };
        self.came += 1;
        if usable {
            *place = value;
        } else {
            // Marked as come, so that a repetition does not count twice.
            *place = f64::INFINITY;
            self.unusable = true;
        }
    }

    pub(super) fn get(&self, slot: usize) -> Option<f64> {
        self.values.get(slot).copied().filter(|v| !v.is_nan())
    }

    /// True if all of `known` parts have come and none of them is new.
    pub(super) fn is_whole(&self, known: usize) -> bool {
        !self.born && usize::from(self.came) >= known
    }

    /// True if it can be compared with `later`: nothing that is there is missing here.
    pub(super) fn has_all_of(&self, later: &Self) -> bool {
        !self.unusable
            && (0..later.values.len()).all(|i| later.get(i).is_none() || self.get(i).is_some())
    }

    /// Makes room for a new part's value.
    pub(super) fn insert(&mut self, slot: usize) {
        if slot < self.values.len() {
            self.values.reserve_exact(1);
            self.values.insert(slot, f64::NAN);
        }
    }

    /// Takes a part out, and its slot.
    pub(super) fn remove(&mut self, slot: usize) {
        if slot < self.values.len() && !self.values.remove(slot).is_nan() {
            self.came = self.came.saturating_sub(1);
        }
    }

    /// Takes a part out whose slot stays.
    pub(super) fn clear(&mut self, slot: usize) {
        if let Some(value) = self.values.get_mut(slot)
            && !value.is_nan()
        {
            *value = f64::NAN;
            self.came = self.came.saturating_sub(1);
        }
    }

    pub(super) fn into_values(self) -> Vec<f64> {
        self.values
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.values.capacity() * size_of::<f64>()
    }
}
