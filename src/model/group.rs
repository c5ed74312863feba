//! How unusual the series of a group are together: one number for a machine, a job, a service.
//!
//! The strongest few of a group say more than any one of them, but how high they lie on an ordinary
//! day grows with the number of members: the strongest of fifty lie above the strongest of five. So
//! what they have beyond an ordinary evidence is added up and measured in units of the root of the
//! number of members, as a sum of so many independent ones would be:
//!
//! ```text
//! E = sum over the 5 strongest of max(0, d - 0.45) / w(N),   w(N) = sqrt(N)
//! deviation = E / 0.49
//! ```
//!
//! d is a member's evidence in units of its own line. Beyond 64 members w grows with the logarithm,
//! as the strongest of many do. On groups of 5 to 100 independent clean series of twelve kinds the
//! line lies where an ordinary row in 300 would (measured, docs/accuracy.md), so one line serves
//! groups of every size. It has no memory: what was usual for a group, divided out or subtracted,
//! ranked incidents worse.
//!
//! What always holds: a row is judged by itself alone; deviations are finite and not negative; the
//! order of the members does not matter; one more member at rest never raises it. What it does not
//! know: which members belong together.

/// Members that count.
const STRONGEST: usize = 5;
/// Evidence that an ordinary member reaches, in units of its line.
const ORDINARY: f32 = 2.5 / 5.5;
/// What is beyond it at the line.
const LINE: f32 = 2.69 / 5.5;
/// Members up to which the root holds.
const ROOT_UP_TO: f32 = 64.0;

/// Evidence of a group at one time, in units of the line: 1 is the line. `members` are the evidences
/// of its members at that time, each in units of its own line, in any order, which is changed.
pub fn together(members: &mut [f32]) -> f32 {
    let n = members.len();
    if n == 0 {
        return 0.0;
    }
    let count = STRONGEST.min(n);
    if count < n {
        members.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    }
    // A sum that depends on the order would not be the same for the same members.
    members[..count].sort_unstable_by(f32::total_cmp);
    let beyond: f32 = members[..count]
        .iter()
        .map(|d| (d - ORDINARY).max(0.0))
        .sum();
    beyond / width(n) / LINE
}

/// What the sum is measured in; value and slope are continuous.
fn width(members: usize) -> f32 {
    let n = members as f32;
    if n <= ROOT_UP_TO {
        n.sqrt()
    } else {
        ROOT_UP_TO.sqrt() * (1.0 + (n / ROOT_UP_TO).ln() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Evidence of members without anomalies: about 0.4 of a line, seldom more than 0.6.
    fn quiet(random: &mut fastrand::Rng, members: usize) -> Vec<f32> {
        let mut one = || 0.2 + 0.13 * (random.f32() + random.f32() + random.f32());
        (0..members).map(|_| one()).collect()
    }

    #[test]
    fn an_ordinary_row_is_under_the_line_in_groups_of_every_size() {
        let mut random = fastrand::Rng::with_seed(3);
        for members in [1, 5, 20, 50, 500] {
            for _ in 0..2000 {
                assert!(
                    together(&mut quiet(&mut random, members)) < 1.0,
                    "{members}"
                );
            }
        }
    }

    #[test]
    fn a_third_of_the_members_over_their_lines_is_over_the_line_in_groups_of_every_size() {
        let mut random = fastrand::Rng::with_seed(3);
        for members in [1usize, 5, 20, 50] {
            let mut row = quiet(&mut random, members);
            for member in row.iter_mut().take(members.div_ceil(3)) {
                *member = 1.4;
            }
            assert!(together(&mut row) >= 1.0, "{members}");
        }
    }

    #[test]
    fn the_width_has_no_step() {
        assert!((width(64) - 8.0).abs() < 1e-6);
        assert!((width(65) - width(64)) - (width(64) - width(63)) < 1e-3);
        assert!(width(1000) < 20.0);
        assert_eq!(together(&mut []), 0.0);
    }

    proptest! {
        #[test]
        fn neither_order_nor_a_member_at_rest_raises_it(
            mut members in proptest::collection::vec(0.0f32..100.0, 1..80),
        ) {
            let one = together(&mut members.clone());
            members.reverse();
            prop_assert_eq!(together(&mut members.clone()), one);
            members.push(0.0);
            prop_assert!(together(&mut members) <= one);
            prop_assert!(one.is_finite() && one >= 0.0);
        }
    }
}
