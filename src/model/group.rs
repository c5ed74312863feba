//! How unusual the series of a group are together: one number for a machine, a job, a service.
//!
//! The mean of the strongest evidences of a group's members says more than any one of them, but what
//! it is on an ordinary day depends on the group: it grows with the number of members, because the
//! strongest of fifty lie higher than the strongest of five; it is lower where members move together,
//! because then there are fewer that are independent; and noisy members raise it. So it is measured
//! against its own usual size:
//!
//! ```text
//! t = mean of the k strongest evidences, k = a third of the members, 3 to 6
//! deviation = t / usual / 1.7
//! ```
//!
//! `usual` is a robust mean of t over a month: a step is clipped to three usual distances, and
//! whatever is more than 1.3 of it teaches a twentieth, so that an incident moves it little; what
//! stays there for three days on end is learned. A quotient and not a quantile of t: how far evidence
//! goes beyond the usual carries over from group to group, how often this group got there does not
//! (measured, docs/accuracy.md). One line then serves groups of 5 and of 50.
//!
//! What always holds: a row is judged by the rows before it alone; the state is 16 bytes whatever
//! the size of the group; deviations are finite and not negative. What it does not know: which
//! members belong together.

use serde::{Deserialize, Serialize};

use super::ensemble::SPEAKS_FROM;

/// Members that count, as a share of all ...
const STRONGEST_SHARE: usize = 3;
/// ... and within these bounds: a few, so that one is not enough; not many, so that it shows where
/// few are concerned.
const STRONGEST: (usize, usize) = (3, 6);
/// Quotient at the line.
const LINE: f32 = 1.7;
/// What is usual before anything is known, in units of a member's line: that of ten independent
/// series without anomalies.
const USUAL_FIRST: f32 = 0.6;
/// Rows that it is worth.
const FIRST_WEIGHT: u32 = 100;
/// What is usual is at least this: still series have evidence of nothing.
const USUAL_MIN: f32 = 0.3;
/// How far back it reaches: a month ...
const MEMORY_S: f64 = 30.0 * 86_400.0;
/// ... and not less rows than this.
const MEMORY_ROWS_MIN: f64 = 2000.0;
/// Usual distances beyond which a row counts as one so far away.
const CLIP: f32 = 3.0;
/// Mean absolute distance to standard deviation of a Gaussian.
const MEAN_TO_SCALE: f32 = 1.2533;
/// More than this share of the usual is not ordinary ...
const ORDINARY: f32 = 1.3;
/// ... and teaches this much.
const TEACHES: f32 = 0.05;
/// Rows from which on that holds.
const KNOWS_FROM: u32 = 1000;

/// What stays beyond the ordinary for so long on end is what the group does now.
const LASTS_S: f64 = 3.0 * 86_400.0;

/// What is usual for one group.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Group {
    usual: f32,
    scale: f32,
    /// Rows that were learned.
    n: u32,
    /// Rows in a row that were not ordinary.
    odd: u32,
}

impl Group {
    pub fn new() -> Self {
        Self {
            usual: USUAL_FIRST,
            scale: USUAL_FIRST / 10.0,
            n: 0,
            odd: 0,
        }
    }

    /// Judges one row, then learns from it: gives the evidence of the group in units of the line, 1
    /// is the line. `members` are the evidences of the members at that time, each in units of its
    /// own line, in any order, which is changed; `age` is the number of samples that they have seen;
    /// `interval_s` the distance of two rows. Nothing is learned while members say little.
    pub fn take(&mut self, members: &mut [f32], age: u32, interval_s: f64) -> f32 {
        let Some(together) = strongest(members) else {
            return 0.0;
        };
        let deviation = together / self.usual.max(USUAL_MIN) / LINE;
        if age >= 2 * SPEAKS_FROM {
            // Evidence grows to its full size while a member is young.
            let grown = together * age as f32 / (age - SPEAKS_FROM) as f32;
            self.learn(grown, interval_s);
        }
        deviation
    }

    fn learn(&mut self, together: f32, interval_s: f64) {
        self.n = self.n.saturating_add(1);
        let memory = (MEMORY_S / interval_s.max(1e-3)).max(MEMORY_ROWS_MIN) as f32;
        let mut gain = 1.0 / (self.n.saturating_add(FIRST_WEIGHT) as f32).min(memory);
        if together <= ORDINARY * self.usual {
            self.odd = 0;
        } else {
            self.odd = self.odd.saturating_add(1);
            if f64::from(self.odd) * interval_s >= LASTS_S {
                (self.n, self.odd) = (0, 0);
                self.scale = self.scale.max(self.usual / 10.0);
            } else if self.n > KNOWS_FROM {
                gain *= TEACHES;
            }
        }
        let reach = CLIP * self.scale;
        let step = (together - self.usual).clamp(-reach, reach);
        self.usual += gain * step;
        self.scale += gain * (MEAN_TO_SCALE * step.abs() - self.scale);
    }
}

impl Default for Group {
    fn default() -> Self {
        Self::new()
    }
}

/// Mean of the strongest; `None` without members.
fn strongest(members: &mut [f32]) -> Option<f32> {
    let n = members.len();
    if n == 0 {
        return None;
    }
    let count = n
        .div_ceil(STRONGEST_SHARE)
        .clamp(STRONGEST.0, STRONGEST.1)
        .min(n);
    if count < n {
        members.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    }
    // The order within the strongest is the sort's business: a sum that depends on it would not be
    // the same for the same members.
    members[..count].sort_unstable_by(f32::total_cmp);
    Some(members[..count].iter().sum::<f32>() / count as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Evidence of members without anomalies: about 0.4 of a line, seldom more than 0.8.
    fn quiet(random: &mut fastrand::Rng, members: usize) -> Vec<f32> {
        let mut one = || 0.2 + 0.15 * (random.f32() + random.f32() + random.f32());
        (0..members).map(|_| one()).collect()
    }

    fn learned(members: usize, rows: u32) -> (Group, fastrand::Rng) {
        let mut random = fastrand::Rng::with_seed(3);
        let mut group = Group::new();
        for age in 1000..1000 + rows {
            group.take(&mut quiet(&mut random, members), age, 60.0);
        }
        (group, random)
    }

    #[test]
    fn an_ordinary_row_lies_as_far_below_the_line_in_groups_of_every_size() {
        let usual: Vec<f32> = [5, 20, 50, 500]
            .into_iter()
            .map(|members| {
                let (mut group, mut random) = learned(members, 5000);
                let rows = (0..2000)
                    .map(|i| group.take(&mut quiet(&mut random, members), 9000 + i, 60.0))
                    .collect::<Vec<f32>>();
                assert!(rows.iter().all(|d| *d < 1.0), "{members}");
                rows.iter().sum::<f32>() / rows.len() as f32
            })
            .collect();
        // Learned while the members were younger, the usual size is a little above it.
        for one in &usual {
            assert!((one - usual[0]).abs() < 0.01, "{usual:?}");
            assert!((one - 1.0 / LINE).abs() < 0.03, "{usual:?}");
        }
    }

    #[test]
    fn a_third_of_the_members_over_their_lines_is_over_the_line_in_groups_of_every_size() {
        for members in [5, 20, 50] {
            let (mut group, mut random) = learned(members, 5000);
            let mut row = quiet(&mut random, members);
            for member in row.iter_mut().take(members.div_ceil(3)) {
                *member = 1.4;
            }
            assert!(group.take(&mut row, 9000, 60.0) >= 1.0, "{members}");
        }
    }

    #[test]
    fn an_incident_of_a_day_teaches_little_and_a_lasting_change_is_learned() {
        let (mut group, _) = learned(20, 20_000);
        let before = group.usual;
        for _ in 0..1440 {
            group.take(&mut [1.5; 20], 30_000, 60.0);
        }
        assert!(group.usual < before * 1.05, "{} {before}", group.usual);
        for _ in 0..5 * 1440 {
            group.take(&mut [1.0; 20], 30_000, 60.0);
        }
        assert!(group.take(&mut [1.0; 20], 30_000, 60.0) < 1.0);
    }

    #[test]
    fn the_order_of_the_members_does_not_matter() {
        let (group, mut random) = learned(30, 500);
        let mut row = quiet(&mut random, 30);
        let first = group.clone().take(&mut row.clone(), 5000, 60.0);
        for _ in 0..20 {
            random.shuffle(&mut row);
            let again = group.clone().take(&mut row.clone(), 5000, 60.0);
            assert_eq!(first.to_bits(), again.to_bits());
        }
    }

    #[test]
    fn nobody_and_silence_are_nothing() {
        let mut group = Group::new();
        assert_eq!(group.take(&mut [], 5000, 60.0), 0.0);
        for _ in 0..10_000 {
            assert_eq!(group.take(&mut [0.0; 4], 5000, 60.0), 0.0);
        }
        assert!(group.take(&mut [1.0; 4], 5000, 60.0).is_finite());
    }

    #[test]
    fn it_is_small_and_comes_back_as_it_was() {
        assert!(size_of::<Group>() <= 16);
        let (group, _) = learned(5, 300);
        let bytes = postcard::to_stdvec(&group).unwrap();
        let back: Group = postcard::from_bytes(&bytes).unwrap();
        assert_eq!(back.usual.to_bits(), group.usual.to_bits());
    }
}
