//! What has changed, one after the other, for those who watch.
//!
//! Changes have numbers. The newest `CHANGES_MAX` are held: who asks for older ones, or for those of
//! an earlier process, is told that they are lost, and looks at everything instead. Nobody is waited
//! for.

use std::collections::{BTreeMap, VecDeque};

use tokio::sync::watch;

use super::Records;
use super::index::{Filter, Index, Row};
use crate::engine::record::{Record, RecordId, RecordState};

/// Changes that are held, some 50 bytes each: what comes in half an hour of ten changes a second.
const CHANGES_MAX: usize = 16_384;

/// The newest changes.
#[derive(Debug)]
pub(super) struct Feed {
    changes: VecDeque<Change>,
    /// Number of the first one that is held.
    first: u64,
    max: usize,
    /// Rung with each change.
    bell: watch::Sender<()>,
}

#[derive(Debug)]
struct Change {
    id: RecordId,
    /// What there was of a pending record that is gone.
    gone: Option<(Row, Box<[u8]>)>,
}

/// Changes that came after some number and are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// With the number of each; of several of one record only the last.
    pub all: Vec<Changed>,
    /// The number to go on after.
    pub to: u64,
    /// There are more.
    pub more: bool,
}

/// A record that changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    pub number: u64,
    pub id: RecordId,
    /// It was pending, and nothing came of it.
    pub gone: bool,
}

/// The changes after a number are not held any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{behind} changes behind, of which not all are held")]
pub struct Lost {
    pub behind: u64,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            changes: VecDeque::new(),
            first: 1,
            max: CHANGES_MAX,
            bell: watch::Sender::new(()),
        }
    }
}

impl Feed {
    /// Number of the newest change.
    fn newest(&self) -> u64 {
        self.first + self.changes.len() as u64 - 1
    }

    /// Notes changes that `index` does not have yet.
    pub(super) fn note(&mut self, changes: &BTreeMap<RecordId, Option<Record>>, index: &Index) {
        for (id, change) in changes {
            let gone = match change {
                Some(_) => None,
                // A record that was confirmed goes when it is old, which is nobody's news.
                None => match index.row_with_labels(*id) {
                    Some(was) if was.0.state == RecordState::Pending => Some(was),
                    _ => continue,
                },
            };
            self.changes.push_back(Change { id: *id, gone });
            if self.changes.len() > self.max {
                self.changes.pop_front();
                self.first += 1;
            }
        }
        self.bell.send_replace(());
    }

    /// At most `most` changes after a number that are wanted, of as many as are looked at at once.
    fn after(
        &self,
        number: u64,
        most: usize,
        filter: &Filter,
        index: &Index,
    ) -> Result<Changes, Lost> {
        let newest = self.newest();
        if number > newest || number + 1 < self.first {
            let behind = newest.saturating_sub(number);
            return Err(Lost { behind });
        }
        let from = (number + 1 - self.first) as usize;
        let some = self.changes.range(from..).take(most);
        let mut last: BTreeMap<RecordId, (u64, &Change)> = BTreeMap::new();
        let mut to = number;
        for change in some {
            to += 1;
            last.insert(change.id, (to, change));
        }
        let there = last.values().filter(|(_, c)| c.gone.is_none());
        let wanted = index.sift(filter, there.map(|(_, c)| c.id));
        let mut all: Vec<Changed> = last
            .values()
            .filter(|(_, change)| match &change.gone {
                Some((row, labels)) => filter.wanted(row, labels),
                None => wanted.contains(&change.id),
            })
            .map(|(number, change)| Changed {
                number: *number,
                id: change.id,
                gone: change.gone.is_some(),
            })
            .collect();
        all.sort_by_key(|c| c.number);
        Ok(Changes {
            all,
            to,
            more: to < newest,
        })
    }
}

impl Records {
    /// Number of the newest change of this process. Numbers begin anew with each, see
    /// [`Records::opened_ms`].
    pub fn newest_change(&self) -> u64 {
        self.read().feed.newest()
    }

    /// When this process began to number changes.
    pub fn opened_ms(&self) -> i64 {
        self.opened_ms
    }

    /// Has something to say whenever anything changes.
    pub fn listen(&self) -> watch::Receiver<()> {
        self.read().feed.bell.subscribe()
    }

    /// Changes after a number that are wanted; at most `most` are looked at.
    ///
    /// # Errors
    /// If not all of them are held.
    pub fn changes(&self, after: u64, most: usize, filter: &Filter) -> Result<Changes, Lost> {
        let shown = self.read();
        shown.feed.after(after, most, filter, &shown.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::index::tests;

    fn record(start_ms: i64, name: &str, state: RecordState) -> Record {
        let labels = crate::series::labels::encode([("__name__", name)]);
        let made = tests::record("a", start_ms, None);
        Record {
            labels: labels.into(),
            id: RecordId {
                start_ms,
                fingerprint: start_ms as u64,
            },
            state,
            ..made
        }
    }

    fn note(feed: &mut Feed, index: &mut Index, change: (RecordId, Option<Record>)) {
        let (id, record) = change.clone();
        feed.note(&[change].into(), index);
        match record {
            Some(record) => index.put(&record),
            None => index.remove(id),
        }
    }

    #[test]
    fn changes_are_given_once_and_the_lost_are_said() {
        let (mut feed, mut index) = (Feed::default(), Index::default());
        feed.max = 3;
        let all = Filter::default();
        let nothing = feed.after(0, 9, &all, &index).unwrap();
        assert_eq!(nothing, Changes::default());
        let pending = record(1, "up", RecordState::Pending);
        let active = record(2, "load", RecordState::Active);
        note(&mut feed, &mut index, (pending.id, Some(pending.clone())));
        note(&mut feed, &mut index, (active.id, Some(active.clone())));
        note(&mut feed, &mut index, (pending.id, None));
        let found = feed.after(0, 9, &all, &index).unwrap();
        let short = |c: &Changes| -> Vec<_> { c.all.iter().map(|c| (c.number, c.gone)).collect() };
        assert_eq!(short(&found), [(2, false), (3, true)]);
        assert_eq!((found.to, found.more), (3, false));
        let first = feed.after(0, 1, &all, &index).unwrap();
        assert_eq!((first.to, first.more), (1, true));
        let only_up = Filter {
            metrics: vec!["up".to_owned()],
            ..Filter::default()
        };
        let found = feed.after(0, 9, &only_up, &index).unwrap();
        assert_eq!(short(&found), [(3, true)]);
        // Old ones that go are nobody's news; a fourth change pushes the first out.
        note(&mut feed, &mut index, (active.id, None));
        assert_eq!(feed.newest(), 3);
        note(&mut feed, &mut index, (active.id, Some(active)));
        assert_eq!(feed.after(0, 9, &all, &index), Err(Lost { behind: 4 }));
        assert_eq!(feed.after(9, 9, &all, &index), Err(Lost { behind: 0 }));
        assert_eq!(
            short(&feed.after(3, 9, &all, &index).unwrap()),
            [(4, false)]
        );
    }
}
