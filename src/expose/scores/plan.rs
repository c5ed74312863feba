//! Decides which series a page of scores shows.
//!
//! What always holds: at most `lines_max` lines of each family; if there are more, the anomalous
//! series come first and then the highest scores, and what is left out is counted. The decision is
//! taken once, so that a page is consistent with itself while scores go on changing.

use std::borrow::Cow;
use std::sync::Arc;

use super::labels::{Labels, parse};
use crate::score::board::{Board, Entry};
use crate::series::matcher::Selector;

/// Names of the two families.
pub(super) const SCORE: &str = "saimon_anomaly_score";
pub(super) const ANOMALY: &str = "saimon_anomaly";

/// A set of entries, by their position over all blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EntrySet(Vec<u64>);

impl EntrySet {
    fn empty(entries: usize) -> Self {
        Self(vec![0; entries.div_ceil(64)])
    }

    fn add(&mut self, at: usize) {
        self.0[at / 64] |= 1 << (at % 64);
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
    pub(super) blocks: Vec<Arc<[Entry]>>,
    /// Entries with a line of `saimon_anomaly_score`.
    pub(super) scores: EntrySet,
    /// Entries with a line of `saimon_anomaly`.
    pub(super) anomalies: EntrySet,
    /// Lines that there was no room for.
    pub(super) left_out: usize,
}

/// Series that are wanted, as (what ranks them, position).
type Wanted = Vec<(u32, u32)>;

/// Set in the rank of an anomalous series. Scores are below 1, whose bits are below this one.
const ANOMALOUS: u32 = 1 << 31;

/// Looks at every entry once. No selectors select all.
pub(super) fn plan(board: &Board, selectors: &[Selector], lines_max: usize) -> Plan {
    let blocks = board.blocks();
    let entries = blocks.iter().map(|b| b.len()).sum();
    let mut scores = Wanted::new();
    let mut anomalies = Wanted::new();
    for (at, entry) in blocks.iter().flat_map(|b| b.iter()).enumerate() {
        let Some(score) = entry.score() else { continue };
        let alarm = entry.alarm();
        // Bits of floats that are not negative are ordered as the floats are.
        let rank = score.to_bits() | alarm.map_or(0, |_| ANOMALOUS);
        let wanted = (rank, u32::try_from(at).unwrap_or(u32::MAX));
        if selectors.is_empty() {
            scores.push(wanted);
            if alarm.is_some() {
                anomalies.push(wanted);
            }
            continue;
        }
        let Some(text) = entry.labels() else { continue };
        if selected(selectors, parse(&text.score), &[("__name__", SCORE)]) {
            scores.push(wanted);
        }
        if let Some(alarm) = alarm {
            let labels = parse(text.anomaly.as_deref().unwrap_or(&text.score));
            let own = [
                ("__name__", ANOMALY),
                ("state", alarm.state.as_str()),
                ("severity", alarm.severity.as_str()),
                ("direction", alarm.side.as_str()),
                ("reason", alarm.reason.as_str()),
            ];
            if selected(selectors, labels, &own) {
                anomalies.push(wanted);
            }
        }
    }
    let (scores, scores_left) = keep_highest(scores, lines_max, entries);
    let (anomalies, anomalies_left) = keep_highest(anomalies, lines_max, entries);
    Plan {
        blocks,
        scores,
        anomalies,
        left_out: scores_left + anomalies_left,
    }
}

fn selected<'a>(
    selectors: &[Selector],
    mut labels: Labels<'a>,
    own: &[(&'static str, &'static str)],
) -> bool {
    labels.extend(
        own.iter()
            .map(|&(name, value)| (name, Cow::Borrowed(value))),
    );
    selectors.iter().any(|selector| {
        selector.matches(|name| {
            let found = labels.iter().find(|(n, _)| *n == name)?;
            Some(found.1.as_ref())
        })
    })
}

fn keep_highest(mut wanted: Wanted, lines_max: usize, entries: usize) -> (EntrySet, usize) {
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
    use super::*;
    use crate::config::Severity;
    use crate::score::board::{Alarm, AlarmState, LabelText, Reason, Side};

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
            let at = writers[0].add(LabelText {
                score: format!("{{i=\"{i}\",source_metric=\"m\"").into(),
                anomaly: None,
            });
            writers[0].set(at, *score, alarm.then_some(ALARM));
        }
        board
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
        let all = plan(&board, &[], 5);
        assert_eq!(
            (members(&all.scores), all.left_out),
            (vec![0, 1, 2, 3, 4], 0)
        );
        let cut = plan(&board, &[], 3);
        assert_eq!((members(&cut.scores), cut.left_out), (vec![1, 2, 3], 2));
        assert_eq!(members(&cut.anomalies), vec![2]);
        let none = plan(&board, &[], 0);
        assert_eq!((members(&none.scores), none.left_out), (vec![], 6));
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
