//! What people say of anomalies, and what comes of it: a rejection raises the line of its series for
//! its reason, confirmations in a row lower it a little.
//!
//! Feedback is kept in one small file beside the records, whole and synced before it is answered. What
//! always holds: there is one feedback for each anomaly, the newest; where lines are follows from the
//! feedback that there is, so undoing one is as if it had never been given; and where they were is kept
//! too, so that samples scored under them can be scored again.

mod levels;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

pub use self::levels::{LEVEL_MAX, LEVEL_MIN, RUN, STEP};
use crate::engine::orders::{Desk, Moved};
use crate::engine::record::{Record, RecordId};
use crate::model::orders::{Lines, NEUTRAL};
use crate::score::board::{Reason, Side};
use crate::series::fingerprint::fingerprint;
use crate::store::notes::{Notes, NotesError};

/// Feedback that is kept: some 500 bytes each, and each change writes them all.
pub const FEEDBACK_MAX: usize = 4096;
/// Characters of a comment.
pub const COMMENT_MAX: usize = 2000;
/// Characters of an author's name.
pub const AUTHOR_MAX: usize = 200;
/// Feedback counts from samples so long after it was given, in milliseconds: long enough that it is on
/// disk and with the shards before any of them comes.
pub const SETTLES_MS: i64 = 2000;
/// Places where the lines of one series have been; the oldest are forgotten.
const MOVES_MAX: usize = 64;

const FILE: &str = "feedback";
const VERSION: u32 = 1;

/// What somebody says of an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is one.
    Confirmed,
    /// It is none.
    Rejected,
}

impl Verdict {
    pub const ALL: [Self; 2] = [Self::Confirmed, Self::Rejected];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Rejected => "rejected",
        }
    }
}

/// What is said, by whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub verdict: Verdict,
    pub author: Option<String>,
    pub comment: Option<String>,
}

/// One feedback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feedback {
    pub anomaly: RecordId,
    pub verdict: Verdict,
    pub author: Option<String>,
    pub comment: Option<String>,
    /// Of the anomaly when the feedback was given.
    pub reason: Reason,
    pub side: Side,
    /// When it was given, and from which samples on it counts; milliseconds.
    pub given_ms: i64,
    pub counts_ms: i64,
}

/// Why feedback is not taken.
#[derive(Debug, thiserror::Error)]
pub enum FeedbackError {
    #[error("{what} has more than {max} characters")]
    TooLong { what: &'static str, max: usize },
    #[error("there is feedback for {FEEDBACK_MAX} anomalies already: delete what is not needed")]
    Full,
    #[error("it cannot be kept, so it is not taken, try again: {0}")]
    Unkept(#[from] std::io::Error),
}

/// All that is known of one series.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct OfSeries {
    labels: Box<[u8]>,
    /// In the order in which they were given.
    given: Vec<Feedback>,
    /// In the order of time.
    moved: Vec<(i64, Lines)>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct All {
    /// By the fingerprints of the series' canonical labels.
    series: BTreeMap<u64, OfSeries>,
}

/// All feedback of one process.
#[derive(Debug)]
pub struct Feedbacks {
    notes: Notes,
    all: Mutex<All>,
    /// To the shards, once there are any.
    desk: std::sync::OnceLock<Arc<Desk>>,
}

impl Feedbacks {
    /// Reads what is kept in the folder `dir`.
    ///
    /// # Errors
    /// See [`NotesError`].
    pub fn open(dir: &Path, now_ms: i64) -> Result<Self, NotesError> {
        let notes = Notes::new(&dir.join(FILE), FILE, VERSION);
        let all = notes.read(now_ms)?.unwrap_or_default();
        Ok(Self {
            notes,
            all: Mutex::new(all),
            desk: std::sync::OnceLock::new(),
        })
    }

    /// Where the lines of series are and were, for the shards before their first sample.
    pub fn lines(&self) -> HashMap<u64, Moved> {
        let all = self.lock();
        let moved = all.series.iter().filter(|(_, of)| !of.moved.is_empty());
        moved
            .map(|(fp, of)| (*fp, of.moved.clone().into()))
            .collect()
    }

    /// Has shards hear of what is said from now on.
    pub fn tell(&self, desk: Arc<Desk>) {
        // Told twice, the first one stays.
        let _ = self.desk.set(desk);
    }

    /// Takes what somebody says of an anomaly, in the place of what was said of it before. Blocks on the
    /// disk.
    ///
    /// # Errors
    /// See [`FeedbackError`]; nothing has changed then.
    pub fn give(&self, of: &Record, said: Said, now_ms: i64) -> Result<Feedback, FeedbackError> {
        for (what, text, max) in [
            ("comment", &said.comment, COMMENT_MAX),
            ("author", &said.author, AUTHOR_MAX),
        ] {
            if text.as_ref().is_some_and(|t| t.chars().count() > max) {
                return Err(FeedbackError::TooLong { what, max });
            }
        }
        let mut all = self.lock();
        let mut changed = all.clone();
        let fp = fingerprint(&of.labels);
        let series = changed.series.entry(fp).or_default();
        series.labels.clone_from(&of.labels);
        series.given.retain(|f| f.anomaly != of.id);
        let newest_ms = now_ms.max(of.as_of_ms);
        let feedback = Feedback {
            anomaly: of.id,
            verdict: said.verdict,
            author: said.author,
            comment: said.comment,
            reason: of.reason,
            side: of.side,
            given_ms: now_ms,
            counts_ms: series.next_ms(newest_ms),
        };
        series.given.push(feedback.clone());
        series.lines_move(feedback.counts_ms);
        if changed
            .series
            .values()
            .map(|s| s.given.len())
            .sum::<usize>()
            > FEEDBACK_MAX
        {
            return Err(FeedbackError::Full);
        }
        self.put(&mut all, changed, fp)?;
        Ok(feedback)
    }

    /// Takes back what was said of an anomaly; gives it, if anything was. Blocks on the disk.
    ///
    /// # Errors
    /// If that cannot be kept; nothing has changed then.
    pub fn undo(&self, id: RecordId, now_ms: i64) -> Result<Option<Feedback>, FeedbackError> {
        let mut all = self.lock();
        let mut changed = all.clone();
        let Some((fp, series)) = changed
            .series
            .iter_mut()
            .find(|(_, s)| s.given.iter().any(|f| f.anomaly == id))
        else {
            return Ok(None);
        };
        let fp = *fp;
        let at = series.given.iter().position(|f| f.anomaly == id);
        let gone = at.map(|at| series.given.remove(at));
        let from_ms = series.next_ms(now_ms);
        series.lines_move(from_ms);
        self.put(&mut all, changed, fp)?;
        Ok(gone)
    }

    fn put(
        &self,
        all: &mut MutexGuard<'_, All>,
        changed: All,
        fp: u64,
    ) -> Result<(), std::io::Error> {
        self.notes.write(&changed)?;
        **all = changed;
        if let (Some(desk), Some(series)) = (self.desk.get(), all.series.get(&fp)) {
            desk.move_lines(&series.labels, series.moved.clone().into());
        }
        Ok(())
    }

    /// What was said of an anomaly.
    pub fn of(&self, id: RecordId) -> Option<Feedback> {
        let all = self.lock();
        let mut given = all.series.values().flat_map(|s| &s.given);
        given.find(|f| f.anomaly == id).cloned()
    }

    /// What was said of the anomalies of a series, the newest last.
    pub fn of_series(&self, fingerprint: u64) -> Vec<Feedback> {
        let all = self.lock();
        let series = all.series.get(&fingerprint);
        series.map(|s| s.given.clone()).unwrap_or_default()
    }

    /// Where the lines of a series are that were moved: the reason and the factor.
    pub fn moved(&self, fingerprint: u64) -> Vec<(Reason, f64)> {
        let all = self.lock();
        let lines = all.series.get(&fingerprint).and_then(|s| s.moved.last());
        let lines = lines.map_or(NEUTRAL, |(_, lines)| *lines);
        let named = Reason::ALL.iter().zip(lines);
        let moved = named.filter(|(_, factor)| *factor != 1.0);
        moved.map(|(r, factor)| (*r, f64::from(factor))).collect()
    }

    /// All that was said, the newest first.
    pub fn list(&self) -> Vec<Feedback> {
        let all = self.lock();
        let given = all.series.values().flat_map(|s| &s.given);
        let mut given: Vec<_> = given.cloned().collect();
        given.sort_by_key(|f| std::cmp::Reverse((f.given_ms, f.anomaly)));
        given
    }

    fn lock(&self) -> MutexGuard<'_, All> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfSeries {
    /// From when on a change counts that comes after what has this time.
    fn next_ms(&self, newest_ms: i64) -> i64 {
        let settled = newest_ms.saturating_add(SETTLES_MS);
        let last = self.moved.last().map_or(i64::MIN, |(from, _)| *from);
        settled.max(last.saturating_add(1))
    }

    /// Has the lines go where what is given says.
    fn lines_move(&mut self, from_ms: i64) {
        let lines = levels::lines(&self.given);
        let were = self.moved.last().map_or(NEUTRAL, |(_, lines)| *lines);
        if lines != were {
            self.moved.push((from_ms, lines));
        }
        let over = self.moved.len().saturating_sub(MOVES_MAX);
        self.moved.drain(..over);
    }
}

#[cfg(test)]
mod tests;
