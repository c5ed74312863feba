//! What an anomaly is made of, in the four bytes that an entry of the board has for it.
//!
//! What always holds: there are at most three parts, the largest first, each with a share above 0 and up
//! to 1, and the shares do not add up to more than 1; they are steps of a sixty-third, rounded down.

use crate::model::ensemble;
use crate::model::watch::Rule;
use crate::score::judge::Evidence;

/// Parts of one anomaly.
const MOST: usize = 3;
/// Bits of a share, and of the number of a part.
const SHARE_BITS: u32 = 6;
const PART_BITS: u32 = 4;
const STEPS: f32 = ((1 << SHARE_BITS) - 1) as f32;
/// Rules, by their numbers behind those of the detectors.
const RULES: [Rule; 6] = [
    Rule::Range,
    Rule::Flatline,
    Rule::Shift,
    Rule::Trend,
    Rule::Pattern,
    Rule::Absence,
];
const DETECTORS: usize = ensemble::NAMES.len();
/// The number of what a group sees in one of its series.
const JOINT: usize = DETECTORS + RULES.len();

const _: () = assert!(JOINT < 1 << PART_BITS && MOST as u32 * (SHARE_BITS + PART_BITS) < 32);

/// The detectors, or the one rule, that say that there is an anomaly, with their shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts([Option<(u8, u8)>; MOST]);

impl Parts {
    /// Of a series that fell silent.
    pub const ABSENCE: Self = Self::only(DETECTORS + RULES.len() - 1);
    /// Of a series in which its group sees an anomaly.
    pub const JOINT: Self = Self::only(JOINT);

    const fn only(part: usize) -> Self {
        Self([Some((part as u8, STEPS as u8)), None, None])
    }

    /// Of a sample.
    pub fn of(evidence: &Evidence) -> Self {
        if let Some(rule) = evidence.rule {
            let at = RULES.iter().position(|r| *r == rule).unwrap_or_default();
            return Self::only(DETECTORS + at);
        }
        let mut all: [(u8, u8); DETECTORS] = [(0, 0); DETECTORS];
        for (i, share) in evidence.shares.iter().enumerate() {
            all[i] = (i as u8, (share.clamp(0.0, 1.0) * STEPS) as u8);
        }
        // Equal ones stay in the order of the detectors.
        all.sort_by_key(|(_, share)| std::cmp::Reverse(*share));
        let mut parts = Self::default();
        for (to, part) in parts.0.iter_mut().zip(all) {
            *to = Some(part).filter(|(_, share)| *share > 0);
        }
        parts
    }

    /// Name and share of each, the largest first.
    pub fn iter(self) -> impl Iterator<Item = (&'static str, f32)> {
        self.0.into_iter().flatten().map(|(part, share)| {
            let part = usize::from(part);
            let name = match part.checked_sub(DETECTORS) {
                None => ensemble::NAMES[part],
                Some(rule) => RULES.get(rule).map_or("joint", |r| r.name()),
            };
            (name, f32::from(share) / STEPS)
        })
    }

    pub(super) fn pack(self) -> u32 {
        self.0.iter().rev().fold(0, |bits, part| {
            let (part, share) = part.unwrap_or_default();
            bits << (PART_BITS + SHARE_BITS) | u32::from(share) << PART_BITS | u32::from(part)
        })
    }

    pub(super) fn unpack(bits: u32) -> Self {
        let mut parts = Self::default();
        for (i, to) in parts.0.iter_mut().enumerate() {
            let bits = bits >> (i as u32 * (PART_BITS + SHARE_BITS));
            let part = (bits & ((1 << PART_BITS) - 1)) as u8;
            let share = (bits >> PART_BITS & ((1 << SHARE_BITS) - 1)) as u8;
            *to = (share > 0).then_some((part, share));
        }
        parts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::score::board::Side;

    fn evidence(shares: [f32; DETECTORS], rule: Option<Rule>) -> Evidence {
        Evidence {
            size: 3.0,
            deviation: 1.5,
            own: 1.5,
            expected: 0.0,
            side: Side::Up,
            shares,
            rule,
        }
    }

    #[test]
    fn the_three_largest_in_order_and_never_more_than_all() {
        let parts = Parts::of(&evidence([0.1, 0.3, 0.05, 0.0, 0.55], None));
        let told: Vec<_> = parts.iter().collect();
        let names: Vec<_> = told.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, ["forest", ensemble::NAMES[1], ensemble::NAMES[0]]);
        let sum: f32 = told.iter().map(|(_, share)| share).sum();
        assert!(
            sum <= 1.0 && told[0].1 > 0.53 && told[0].1 <= 0.55,
            "{told:?}"
        );
        assert_eq!(Parts::unpack(parts.pack()), parts);
    }

    #[test]
    fn a_rule_stands_alone() {
        for rule in RULES {
            let parts = Parts::of(&evidence([0.2; DETECTORS], Some(rule)));
            assert_eq!(Vec::from_iter(parts.iter()), [(rule.name(), 1.0)]);
            assert_eq!(Parts::unpack(parts.pack()), parts);
        }
        assert_eq!(Vec::from_iter(Parts::JOINT.iter()), [("joint", 1.0)]);
        assert_eq!(Vec::from_iter(Parts::ABSENCE.iter()), [("absence", 1.0)]);
    }

    #[test]
    fn without_evidence_there_is_no_part() {
        let none = Parts::of(&evidence([0.0; DETECTORS], None));
        assert_eq!(none.iter().count(), 0);
        assert_eq!(none.pack(), 0);
        assert_eq!(Parts::unpack(0), none);
    }
}
