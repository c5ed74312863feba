//! Decides which series a page of scores shows.
//!
//! What always holds: at most `lines_max` lines of each family; if there are more, the anomalous
//! series come first and then the highest scores; no two lines are of the same series; and what is
//! left out is counted. The decision is taken once, so that a page is consistent with itself while
//! scores go on changing.

use super::group_lines::GroupLine;
use super::incident_lines::IncidentLine;
use super::twins;
use crate::expose::accept::Names;
use crate::score::board::{AlarmState, Block, Board};
use crate::score::label_text::{self, Family, read};
use crate::series::labels::{self, METRIC_NAME};
use crate::series::matcher::Selector;

/// Names of the families.
pub(super) const SCORE: &str = "saimon_anomaly_score";
pub(super) const ANOMALY: &str = "saimon_anomaly";
pub(super) const CONTRIBUTION: &str = "saimon_anomaly_contribution";
/// Lines that a series has at most of the last one.
const PARTS_MAX: usize = 3;

/// A set of entries, by their position over all blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntrySet(Vec<u64>);

impl EntrySet {
    pub(super) fn empty(entries: usize) -> Self {
        Self(vec![0; entries.div_ceil(64)])
    }

    pub(super) fn add(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
    }

    pub(super) fn remove(&mut self, at: usize) {
        self.0[at / 64] &= !(1 << (at % 64));
    }

    pub(super) fn has(&self, at: usize) -> bool {
        self.0[at / 64] >> (at % 64) & 1 == 1
    }

    /// The first member at or after `at`.
    pub(super) fn next(&self, at: usize) -> Option<usize> {
        let mut word = at / 64;
        let mut bits = self.0.get(word)? & (u64::MAX << (at % 64));
        while bits == 0 {
            word += 1;
            bits = *self.0.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }
}

/// What a page will show.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) blocks: Vec<Block>,
    /// Entries with a line of `saimon_anomaly_score`.
    pub(super) scores: EntrySet,
    /// Entries with a line of `saimon_anomaly`.
    pub(super) anomalies: EntrySet,
    /// Entries with lines of `saimon_anomaly_contribution`.
    pub(super) contributions: EntrySet,
    /// Lines that there was no room for.
    pub(super) left_out: usize,
    /// Groups that are selected; none if nobody asked for groups.
    pub(super) groups: Vec<GroupLine>,
    /// Lines of changes at targets, as they are written.
    pub(super) changes: Vec<u8>,
    /// Lines of open incidents that are selected, family by family.
    pub(super) incidents: Vec<IncidentLine>,
}

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    /// None select all.
    pub(super) selectors: &'a [Selector],
    /// Lines of each family.
    pub(super) lines_max: usize,
    /// How the page will write names.
    pub(super) names: Names,
}

/// Series that may have a line, as (what ranks them, position).
type Ranked = Vec<(u32, u32)>;

/// Set in the rank of an anomalous series. Scores are below 1, whose bits are below this one.
const ANOMALOUS: u32 = 1 << 31;

/// Entries between two questions whether the client is still there: about a millisecond's work.
const ASK_EVERY: usize = 1024;

/// Looks at every entry once. Once `gone` says so, the rest is left undone: nobody will see it.
pub(super) fn plan(board: &Board, wanted: &Wanted<'_>, gone: &dyn Fn() -> bool) -> Plan {
    let Wanted {
        selectors,
        lines_max,
        names,
    } = *wanted;
    let blocks = board.blocks();
    let entries = blocks.iter().map(|b| b.len()).sum();
    let mut scores = Ranked::new();
    let mut anomalies = Ranked::new();
    let mut contributions = Ranked::new();
    let each = blocks
        .iter()
        .flat_map(|b| b.iter().enumerate().map(move |(i, entry)| (b, i, entry)));
    for (at, (block, i, entry)) in each.enumerate() {
        if at % ASK_EVERY == 0 && gone() {
            break;
        }
        let Some(score) = entry.score() else { continue };
        let alarm = entry.alarm();
        // Bits of floats that are not negative are ordered as the floats are.
        let rank = score.to_bits() | alarm.map_or(0, |_| ANOMALOUS);
        let ranked = (rank, u32::try_from(at).unwrap_or(u32::MAX));
        if selectors.is_empty() {
            scores.push(ranked);
            if let Some(alarm) = alarm {
                anomalies.push(ranked);
                if alarm.state == AlarmState::Active {
                    contributions.push(ranked);
                }
            }
            continue;
        }
        let Some(canonical) = block.labels(i) else {
            continue;
        };
        let own = [("__name__", SCORE)];
        if selected(wanted, &canonical, Family::Score, &own) {
            scores.push(ranked);
        }
        if let Some(alarm) = alarm {
            let own = [
                ("__name__", ANOMALY),
                ("state", alarm.state.as_str()),
                ("severity", alarm.severity.as_str()),
                ("direction", alarm.side.as_str()),
                ("reason", alarm.reason.as_str()),
            ];
            if selected(wanted, &canonical, Family::Anomaly, &own) {
                anomalies.push(ranked);
            }
            // Who asks for one part of an anomaly gets all of them.
            let mut parts = entry.parts().iter();
            if parts.any(|(part, _)| {
                let own = [("__name__", CONTRIBUTION), (label_text::PART, part)];
                selected(wanted, &canonical, Family::Contribution, &own)
            }) {
                contributions.push(ranked);
            }
        }
    }
    let choose = |ranked: Ranked, lines_max, family| {
        let (mut set, left_out) = keep_highest(ranked, lines_max, entries);
        let twins = twins::take_out(&blocks, &mut set, names, family);
        (set, left_out + twins)
    };
    let (scores, scores_left) = choose(scores, lines_max, Family::Score);
    let (anomalies, anomalies_left) = choose(anomalies, lines_max, Family::Anomaly);
    // Those of a series without a line of its own are not counted a second time; their texts are one
    // where those of the score are.
    let (contributions, _) = choose(contributions, lines_max / PARTS_MAX, Family::Score);
    Plan {
        blocks,
        scores,
        anomalies,
        contributions,
        left_out: scores_left + anomalies_left,
        groups: Vec::new(),
        changes: Vec::new(),
        incidents: Vec::new(),
    }
}

/// A selector may name a label as its source does or as the page shows it.
fn selected(
    wanted: &Wanted<'_>,
    canonical: &[u8],
    family: Family,
    own: &[(&'static str, &'static str)],
) -> bool {
    let ours = |name: &str| {
        own.iter()
            .find(|(n, _)| *n == name)
            .map(|(_, value)| *value)
    };
    if label_text::is_plain(canonical) {
        return wanted.selectors.iter().any(|selector| {
            selector.matches(|name| {
                let theirs = if name == label_text::SOURCE {
                    METRIC_NAME
                } else {
                    name
                };
                ours(name).or_else(|| labels::get(canonical, theirs))
            })
        });
    }
    let (named, shown) = (
        label_text::form(canonical, Names::Utf8, family),
        label_text::form(canonical, wanted.names, family),
    );
    let named = read::labels(&named);
    let shown = if label_text::is_odd(canonical) {
        read::labels(&shown)
    } else {
        read::Labels::new()
    };
    wanted.selectors.iter().any(|selector| {
        selector.matches(|name| {
            let theirs = || named.iter().chain(&shown).find(|(n, _)| *n == name);
            ours(name).or_else(|| theirs().map(|(_, value)| &**value))
        })
    })
}

fn keep_highest(mut wanted: Ranked, lines_max: usize, entries: usize) -> (EntrySet, usize) {
    let left_out = wanted.len().saturating_sub(lines_max);
    if left_out > 0 {
        wanted.select_nth_unstable_by(lines_max, |a, b| b.cmp(a));
        wanted.truncate(lines_max);
    }
    let mut set = EntrySet::empty(entries);
    for (_, at) in wanted {
        set.add(at as usize);
    }
    (set, left_out)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::Severity;
    use crate::score::board::{Alarm, Reason, Side};
    use crate::series::labels::encode;

    const ALARM: Alarm = Alarm {
        state: AlarmState::Active,
        severity: Severity::High,
        side: Side::Up,
        reason: Reason::Spike,
    };

    /// A board with these scores, and an alarm where told.
    fn board(rows: &[(f32, bool)]) -> Arc<Board> {
        let (board, mut writers) = Board::new(1);
        for (i, (score, alarm)) in rows.iter().enumerate() {
            let labels = encode([("__name__", "m"), ("i", &*i.to_string())]);
            let at = writers[0].add_labels(&labels);
            writers[0].set(at, *score, alarm.then_some(ALARM));
        }
        writers[0].publish_labels();
        board
    }

    fn best(board: &Board, lines_max: usize) -> Plan {
        let wanted = Wanted {
            selectors: &[],
            lines_max,
            names: Names::default(),
        };
        plan(board, &wanted, &|| false)
    }

    fn members(set: &EntrySet) -> Vec<usize> {
        std::iter::successors(set.next(0), |at| set.next(at + 1)).collect()
    }

    #[test]
    fn above_the_limit_the_anomalous_come_first_then_the_highest() {
        let board = board(&[
            (0.1, false),
            (0.9, false),
            (0.2, true),
            (0.5, false),
            (0.3, false),
        ]);
        let all = best(&board, 5);
        assert_eq!(
            (members(&all.scores), all.left_out),
            (vec![0, 1, 2, 3, 4], 0)
        );
        let cut = best(&board, 3);
        assert_eq!((members(&cut.scores), cut.left_out), (vec![1, 2, 3], 2));
        assert_eq!(members(&cut.anomalies), vec![2]);
        let none = best(&board, 0);
        assert_eq!((members(&none.scores), none.left_out), (vec![], 6));
    }

    #[test]
    fn a_client_that_is_gone_ends_the_work() {
        let board = board(&[(0.5, true); 3000]);
        let wanted = Wanted {
            selectors: &[],
            lines_max: 5000,
            names: Names::default(),
        };
        let asked = std::cell::Cell::new(0);
        let plan = plan(&board, &wanted, &|| asked.replace(asked.get() + 1) == 1);
        assert_eq!(members(&plan.scores).len(), ASK_EVERY);
    }

    #[test]
    fn a_set_is_walked_over_empty_words_and_to_its_end() {
        let mut set = EntrySet::empty(1024);
        for at in [0, 63, 64, 900, 1023] {
            set.add(at);
        }
        assert_eq!(members(&set), vec![0, 63, 64, 900, 1023]);
        assert_eq!(set.next(1024), None);
    }
}
