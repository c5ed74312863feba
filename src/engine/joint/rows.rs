//! Samples of the members of one group, put into rows by their times.
//!
//! A row is one interval of the group. It is whole when every member has come that was in the row
//! before, and it is given out at the latest when a sample is `LAG` rows ahead; what comes after that
//! is late and left out. A member that sends more slowly is taken for where it last was, for a few
//! rows.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::model::joint::MEMBERS_MAX;

/// Rows that are waited for those that lag behind.
const LAG: i64 = 4;
/// Rows for which the last sample of a member stands for it.
const HOLDS: i64 = 3;
/// The shortest row, in milliseconds.
const WIDTH_MIN_MS: i64 = 1000;

/// One row.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    slot: i64,
    present: u64,
    /// Distance of each member from its level in scales, NaN where it has none.
    #[serde(with = "all")]
    pub z: [f32; MEMBERS_MAX],
    /// The largest deviation of a member by itself.
    pub alone: f32,
}

/// Rows that are being filled.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rows {
    width_ms: i64,
    /// The newest row that was given out.
    given: i64,
    newest: i64,
    /// Who was in it.
    lately: u64,
    pending: VecDeque<Row>,
    #[serde(with = "all")]
    last: [(i64, f32); MEMBERS_MAX],
}

/// One value of each member, which serde knows only of up to 32.
mod all {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::MEMBERS_MAX;

    pub(super) fn serialize<T: Serialize, S: Serializer>(
        of: &[T; MEMBERS_MAX],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        of[..].serialize(to)
    }

    pub(super) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        from: D,
    ) -> Result<[T; MEMBERS_MAX], D::Error> {
        let of = Vec::deserialize(from)?;
        let of = of.try_into();
        of.map_err(|_| de::Error::custom("not as many as there are places in a group"))
    }
}

impl Rows {
    pub fn new() -> Self {
        Self {
            width_ms: 0,
            given: i64::MIN,
            newest: i64::MIN,
            lately: 0,
            pending: VecDeque::new(),
            last: [(i64::MIN, f32::NAN); MEMBERS_MAX],
        }
    }

    /// Rows of a day.
    pub fn a_day(&self) -> f32 {
        86_400_000.0 / self.width_ms.max(WIDTH_MIN_MS) as f32
    }

    /// When a row began, in milliseconds.
    pub fn time_of(&self, row: &Row) -> i64 {
        row.slot.saturating_mul(self.width_ms)
    }

    /// A member says that it ended: its last sample stands for nothing.
    pub fn end(&mut self, member: usize) {
        self.lately &= !(1 << member);
        self.last[member] = (i64::MIN, f32::NAN);
    }

    /// A member has gone, or another one has its place.
    pub fn vacate(&mut self, member: usize) {
        self.lately &= !(1 << member);
        self.last[member] = (i64::MIN, f32::NAN);
        for row in &mut self.pending {
            row.present &= !(1 << member);
            row.z[member] = f32::NAN;
        }
    }

    /// Takes one sample.
    pub fn put(&mut self, member: usize, t_ms: i64, interval_ms: u32, z: f32, deviation: f32) {
        if self.width_ms == 0 {
            self.width_ms = i64::from(interval_ms).max(WIDTH_MIN_MS);
        }
        let slot = t_ms.div_euclid(self.width_ms);
        if slot <= self.given {
            return;
        }
        self.newest = self.newest.max(slot);
        let at = self.pending.partition_point(|row| row.slot < slot);
        if self.pending.get(at).is_none_or(|row| row.slot != slot) {
            self.pending.insert(
                at,
                Row {
                    slot,
                    present: 0,
                    z: [f32::NAN; MEMBERS_MAX],
                    alone: 0.0,
                },
            );
        }
        let row = &mut self.pending[at];
        row.present |= 1 << member;
        row.z[member] = z;
        row.alone = row.alone.max(deviation);
    }

    /// The next row, if it is whole or need not be waited for any longer.
    pub fn ready(&mut self) -> Option<Row> {
        let front = self.pending.front()?;
        let whole = self.lately != 0 && front.present & self.lately == self.lately;
        if !whole && self.newest - front.slot < LAG {
            return None;
        }
        let mut row = self.pending.pop_front()?;
        self.given = row.slot;
        self.lately = row.present;
        for (member, z) in row.z.iter_mut().enumerate() {
            let last = &mut self.last[member];
            if z.is_finite() {
                *last = (row.slot, *z);
            } else if row.slot.saturating_sub(last.0) <= HOLDS {
                *z = last.1;
            }
        }
        Some(row)
    }
}

impl Default for Rows {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: i64 = 15_000;

    fn put(rows: &mut Rows, member: usize, slot: i64) {
        rows.put(
            member,
            slot * STEP + member as i64,
            STEP as u32,
            slot as f32,
            0.1,
        );
    }

    fn given(rows: &mut Rows) -> Vec<(i64, [f32; 3])> {
        std::iter::from_fn(|| rows.ready())
            .map(|row| (row.slot, [row.z[0], row.z[1], row.z[2]]))
            .collect()
    }

    #[test]
    fn a_row_is_given_once_it_is_whole_whatever_the_order() {
        let mut rows = Rows::new();
        for slot in 0..5 {
            (0..3).for_each(|m| put(&mut rows, m, slot));
        }
        // Nobody knew before how many there are.
        assert_eq!(given(&mut rows).len(), 5);
        put(&mut rows, 1, 6);
        put(&mut rows, 2, 5);
        put(&mut rows, 0, 5);
        assert_eq!(given(&mut rows), []);
        put(&mut rows, 1, 5);
        assert_eq!(given(&mut rows), [(5, [5.0; 3])]);
        put(&mut rows, 0, 5);
        assert_eq!(given(&mut rows), []);
    }

    #[test]
    fn who_lags_is_not_waited_for_and_stands_where_it_was_for_a_while() {
        let mut rows = Rows::new();
        for slot in 0..5 {
            (0..3).for_each(|m| put(&mut rows, m, slot));
        }
        given(&mut rows);
        for slot in 5..9 {
            (0..2).for_each(|m| put(&mut rows, m, slot));
        }
        assert_eq!(given(&mut rows), []);
        (0..2).for_each(|m| put(&mut rows, m, 9));
        let all = given(&mut rows);
        assert_eq!(all[0], (5, [5.0, 5.0, 4.0]));
        assert_eq!(all.len(), 5, "the others do not wait for it any more");
        assert!(all[4].1[2].is_nan());
        put(&mut rows, 2, 9);
        assert_eq!(given(&mut rows), []);
        rows.vacate(1);
        put(&mut rows, 0, 10);
        assert!(given(&mut rows)[0].1[1].is_nan());
        assert!((rows.a_day() - 5760.0).abs() < 1e-3);
    }
}
