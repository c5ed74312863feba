//! Changes at targets: restarts and builds that are seen in the data, and what somebody says of.
//!
//! A change is held against anomalies of its target that begin within a short time after it: they are
//! marked, and shown all the same. What always holds: there are few of them, the oldest go; one that is
//! seen twice is one.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::engine::resets::SPREAD_MS;
use crate::series::labels;
use crate::store::notes::{Notes, NotesError};

/// Changes that are known: an hour of a large site that deploys everything.
pub const CHANGES_MAX: usize = 2048;
/// A restart is seen in a sample after it, and what it does may come before: an anomaly that began so
/// long before the change is held against it too, in milliseconds.
const BEFORE_MS: i64 = 60_000;
/// Targets whose newest start and builds are remembered.
const TARGETS_MAX: usize = 20_000;
/// Builds of one target that are remembered.
const BUILDS_MAX: usize = 16;
/// A start that is later by no more than this is the same one, in milliseconds: some work it out from
/// how long they have been up.
const START_WOBBLES_MS: i64 = 2_000;
/// Characters of each text of a change.
pub const TEXT_MAX: usize = 2000;

const FILE: &str = "changes";
const VERSION: u32 = 1;

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `process_start_time_seconds` is another, or most counters began anew.
    Restart,
    /// A `*_build_info` has other labels than before.
    Build,
    /// Somebody said so.
    Deploy,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Restart, Self::Build, Self::Deploy];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Build => "build",
            Self::Deploy => "deploy",
        }
    }
}

/// One change of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub kind: Kind,
    pub job: String,
    /// `None`: of any instance.
    pub instance: Option<String>,
    /// When, and until when anomalies are marked; milliseconds.
    pub t_ms: i64,
    pub until_ms: i64,
    pub author: Option<String>,
    pub comment: Option<String>,
}

impl Change {
    fn seen(kind: Kind, (job, instance): (String, String), t_ms: i64, window_ms: i64) -> Self {
        Self {
            kind,
            job,
            instance: Some(instance),
            t_ms,
            until_ms: t_ms.saturating_add(window_ms),
            author: None,
            comment: None,
        }
    }

    /// True if it is held against an anomaly of a series that begins at this time.
    pub fn explains(&self, canonical: &[u8], start_ms: i64) -> bool {
        let is = |name, value: &str| labels::get(canonical, name).unwrap_or_default() == value;
        (self.t_ms.saturating_sub(BEFORE_MS)..self.until_ms).contains(&start_ms)
            && is("job", &self.job)
            && self.instance.as_deref().is_none_or(|i| is("instance", i))
    }
}

/// What is known of a target from its series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Target {
    /// The newest value of its `process_start_time_seconds`, in milliseconds.
    start_ms: Option<i64>,
    /// Fingerprints of the builds that it had, by the name of their series.
    builds: BTreeMap<String, Vec<u64>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct All {
    /// The oldest first.
    changes: VecDeque<Change>,
    /// By job and instance.
    targets: Vec<((String, String), Target)>,
}

/// All changes of one process.
#[derive(Debug)]
pub struct Changes {
    notes: Notes,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    changes: VecDeque<Change>,
    targets: BTreeMap<(String, String), Target>,
    unwritten: bool,
}

/// What a series says of its target.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    /// It started at this time, in milliseconds.
    Started(i64),
    /// It has this build: the name of the series, and the fingerprint of its labels.
    Build(String, u64),
    /// Most of its counters began anew.
    Reset,
}

impl Changes {
    pub(super) fn open(dir: &Path, now_ms: i64) -> Result<Self, NotesError> {
        let notes = Notes::new(&dir.join(FILE), FILE, VERSION);
        let all: All = notes.read(now_ms)?.unwrap_or_default();
        let state = State {
            changes: all.changes,
            targets: all.targets.into_iter().collect(),
            unwritten: false,
        };
        Ok(Self {
            notes,
            state: Mutex::new(state),
        })
    }

    /// Takes a change that somebody said; it is answered when it is on disk. Blocks.
    ///
    /// # Errors
    /// If it cannot be kept; it is not taken then.
    pub fn say(&self, change: Change) -> std::io::Result<()> {
        let mut state = self.lock();
        let before = state.changes.clone();
        state.add(change);
        let kept = self.write(&mut state);
        if kept.is_err() {
            state.changes = before;
        }
        kept
    }

    /// Takes what the series of a target say of it at a time; true if it changed. The first that is
    /// heard of a target is no change.
    pub fn see(
        &self,
        (job, instance): (&str, &str),
        seen: Seen,
        t_ms: i64,
        window_ms: i64,
    ) -> bool {
        let mut state = self.lock();
        let is_known = state.has_restart((job, instance), t_ms);
        let key = (job.to_owned(), instance.to_owned());
        if seen == Seen::Reset {
            if !is_known {
                state.add(Change::seen(Kind::Restart, key, t_ms, window_ms));
            }
            return !is_known;
        }
        if !state.targets.contains_key(&key) && state.targets.len() >= TARGETS_MAX {
            return false;
        }
        let target = state.targets.entry(key.clone()).or_default();
        let (kind, changed, news) = match seen {
            Seen::Started(start_ms) => {
                let before = target.start_ms;
                // Older ones are read again.
                let is_new = before.is_none_or(|b| start_ms > b.saturating_add(START_WOBBLES_MS));
                if is_new {
                    target.start_ms = Some(start_ms);
                }
                let changed = before.is_some() && is_new && !is_known;
                (Kind::Restart, changed, is_new)
            }
            Seen::Build(name, fingerprint) => {
                let known = target.builds.entry(name).or_default();
                let is_new = !known.contains(&fingerprint);
                let changed = is_new && !known.is_empty();
                if is_new {
                    known.push(fingerprint);
                    let over = known.len().saturating_sub(BUILDS_MAX);
                    known.drain(..over);
                }
                (Kind::Build, changed, is_new)
            }
            Seen::Reset => return false,
        };
        state.unwritten |= news;
        if changed {
            state.add(Change::seen(kind, key, t_ms, window_ms));
        }
        changed
    }

    /// True if a target had this build before.
    pub fn knows(&self, (job, instance): (&str, &str), name: &str, fingerprint: u64) -> bool {
        let state = self.lock();
        let target = state.targets.get(&(job.to_owned(), instance.to_owned()));
        let known = target.and_then(|t| t.builds.get(name));
        known.is_some_and(|known| known.contains(&fingerprint))
    }

    /// Writes what was seen, if anything new was. Blocks.
    ///
    /// # Errors
    /// If it cannot be written; it is tried again the next time.
    pub fn keep(&self) -> std::io::Result<()> {
        let mut state = self.lock();
        match state.unwritten {
            true => self.write(&mut state),
            false => Ok(()),
        }
    }

    fn write(&self, state: &mut MutexGuard<'_, State>) -> std::io::Result<()> {
        let targets = state.targets.iter();
        self.notes.write(&All {
            changes: state.changes.clone(),
            targets: targets.map(|(k, t)| (k.clone(), t.clone())).collect(),
        })?;
        state.unwritten = false;
        Ok(())
    }

    /// The newest change that is held against an anomaly of a series that begins at this time.
    pub fn explaining(&self, canonical: &[u8], start_ms: i64) -> Option<Change> {
        let state = self.lock();
        let mut newest = state.changes.iter().rev();
        newest.find(|c| c.explains(canonical, start_ms)).cloned()
    }

    /// All changes, the newest first.
    pub fn list(&self) -> Vec<Change> {
        self.lock().changes.iter().rev().cloned().collect()
    }

    /// Those that anomalies which begin now are marked with.
    pub fn open_now(&self, now_ms: i64) -> Vec<Change> {
        let state = self.lock();
        let open = |c: &&Change| (c.t_ms..c.until_ms).contains(&now_ms);
        state.changes.iter().filter(open).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// True if the same restart was seen already: its start time and its counters tell of it in one
    /// scrape.
    fn has_restart(&self, (job, instance): (&str, &str), t_ms: i64) -> bool {
        let from = t_ms.saturating_sub(SPREAD_MS);
        let at = self.changes.partition_point(|c| c.t_ms < from);
        let mut near = self.changes.range(at..);
        near.any(|c| {
            c.kind == Kind::Restart
                && c.t_ms <= t_ms.saturating_add(SPREAD_MS)
                && c.job == job
                && c.instance.as_deref() == Some(instance)
        })
    }

    fn add(&mut self, change: Change) {
        if self.changes.contains(&change) {
            return;
        }
        let at = self.changes.partition_point(|c| c.t_ms <= change.t_ms);
        self.changes.insert(at, change);
        if self.changes.len() > CHANGES_MAX {
            self.changes.pop_front();
        }
        self.unwritten = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_and_a_new_build_are_seen_once_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let all = Changes::open(folder.path(), 0).unwrap();
        let target = ("shop", "a:1");
        let see = |all: &Changes, seen, t_ms| all.see(target, seen, t_ms, 1000);
        assert!(!see(&all, Seen::Started(5_000), 10_000));
        assert!(!see(&all, Seen::Started(5_000), 20_000));
        assert!(see(&all, Seen::Started(9_000), 30_000));
        // Its counters tell the same; later, another.
        assert!(!see(&all, Seen::Reset, 30_000));
        let build = |n| Seen::Build("go_build_info".to_owned(), n);
        assert!(!see(&all, build(1), 30_000));
        all.keep().unwrap();
        let all = Changes::open(folder.path(), 0).unwrap();
        assert!(!see(&all, Seen::Started(9_000), 40_000));
        assert!(see(&all, build(2), 40_000));
        assert!(!see(&all, build(1), 50_000));
        let labels = labels::encode([("instance", "a:1"), ("job", "shop")]);
        let of = |t_ms| all.explaining(&labels, t_ms).map(|c| c.kind);
        assert_eq!(of(30_000 - BEFORE_MS - 1), None);
        assert_eq!(of(30_500), Some(Kind::Build));
        assert_eq!(of(40_999), Some(Kind::Build));
        assert_eq!(of(41_000), None);
        all.say(Change {
            kind: Kind::Deploy,
            job: "shop".to_owned(),
            instance: None,
            t_ms: 100_000,
            until_ms: 101_000,
            author: None,
            comment: None,
        })
        .unwrap();
        assert_eq!(of(100_000), Some(Kind::Deploy));
        assert!(see(&all, Seen::Reset, 200_000));
        assert!(!see(&all, Seen::Started(199_000), 200_100));
        assert_eq!(of(200_000), Some(Kind::Restart));
        all.keep().unwrap();
        let again = Changes::open(folder.path(), 0).unwrap();
        assert_eq!(again.list(), all.list());
        assert_eq!(again.list().len(), 4);
        assert_eq!(again.open_now(100_500).len(), 1);
        for t_ms in 0..2 * CHANGES_MAX as i64 {
            see(&all, Seen::Started(10_000 * (t_ms + 1)), 10_000 * t_ms);
        }
        assert_eq!(all.list().len(), CHANGES_MAX);
    }
}
