//! How unusual the series of a group are together: one number for a machine, a job, a service.
//!
//! The strongest few of a group say more than any one of them, but how high they lie on an ordinary
//! day grows with the number of members: the strongest of fifty lie above the strongest of five. So
//! what they have beyond an ordinary evidence, e = max(0, d - 0.45), is added up and measured in units
//! of the root of the number of members, as a sum of so many independent ones would be:
//!
//! ```text
//! crossed  = sum over the 5 strongest of 0.54 ln(1 + e / 0.54) / w(N) / 0.35,   w(N) = sqrt(N)
//! strength = sum over the 3 strongest of e / w(N) / 0.35
//! deviation = crossed below the line, the larger of the two beyond it
//! ```
//!
//! d is a member's evidence in units of its own line. Whether the line is crossed is a matter of
//! several members: one alone, however wild, counts little more than one that is clearly odd. How
//! far it is crossed is a matter of how wild they are. Beyond 64 members w grows with the logarithm,
//! slowly, as the strongest of many do. On groups of 1 to 10 independent clean series of twelve kinds
//! an ordinary row in 300 to 450 is over the line, on larger ones fewer (measured, docs/accuracy.md),
//! so one line serves groups of every size. It has no memory: what was usual for a group, divided
//! out or subtracted, ranked incidents worse.
//!
//! What always holds: a row is judged by itself alone; deviations are finite and not negative; the
//! order of the members does not matter; one more member at rest never raises it. What it does not
//! know: which members belong together.

/// Members that count towards the line ...
const STRONGEST: usize = 5;
/// ... and beyond it.
const WILDEST: usize = 3;
/// Evidence that an ordinary member reaches, in units of its line.
const ORDINARY: f32 = 2.5 / 5.6;
/// Evidence beyond that from which on more of it counts ever less.
const DAMPED: f32 = 3.0 / 5.6;
/// The sum at the line.
const LINE: f32 = 1.97 / 5.6;
/// Members up to which the root holds.
const ROOT_UP_TO: f32 = 64.0;
/// How much of the logarithm counts beyond.
const BEYOND_ROOT: f32 = 1.0 / 8.0;

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
    let excess = |d: &f32| (d - ORDINARY).max(0.0);
    let damped = |d: &f32| DAMPED * (excess(d) / DAMPED).ln_1p();
    let unit = width(n) * LINE;
    let strongest = &members[..count];
    let crossed = strongest.iter().map(damped).sum::<f32>() / unit;
    if crossed < 1.0 {
        return crossed;
    }
    let wildest = &strongest[count.saturating_sub(WILDEST)..];
    crossed.max(wildest.iter().map(excess).sum::<f32>() / unit)
}

/// What the sum is measured in; it has no step.
fn width(members: usize) -> f32 {
    let n = members as f32;
    if n <= ROOT_UP_TO {
        n.sqrt()
    } else {
        ROOT_UP_TO.sqrt() * (1.0 + BEYOND_ROOT * (n / ROOT_UP_TO).ln())
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
    fn one_wild_member_of_many_is_under_the_line_and_adds_to_what_is_over_it() {
        let mut random = fastrand::Rng::with_seed(3);
        let mut row = quiet(&mut random, 20);
        row[7] = 6.0;
        assert!(together(&mut row.clone()) < 1.0);
        for member in row.iter_mut().take(4) {
            *member = 1.4;
        }
        let with_it = together(&mut row.clone());
        row.retain(|d| *d < 5.0);
        let without = together(&mut row);
        assert!(
            without >= 1.0 && with_it > 1.5 * without,
            "{with_it} {without}"
        );
    }

    #[test]
    fn the_width_has_no_step() {
        assert!((width(64) - 8.0).abs() < 1e-6);
        assert!((0.0..0.02).contains(&(width(65) - width(64))));
        assert!(width(1000) < 11.0);
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
