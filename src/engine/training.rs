//! Fits that were handed to the trainers: which wait, which are under way, and how the last ones went.
//!
//! A list for people. What always holds: it has at most [`LISTED_MAX`] fits, those that ended first go
//! first; nothing waits for it longer than a look at it takes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Fits that are listed. As many as can wait, and as many that ended.
pub const LISTED_MAX: usize = 1024;

/// How far a fit is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FitState {
    Waiting,
    Running,
    Done,
    /// The forest before it stays in use.
    Failed,
    /// The shard had done it itself, or nobody wants it any more.
    Passed,
}

impl FitState {
    pub const ALL: [Self; 5] = [
        Self::Waiting,
        Self::Running,
        Self::Done,
        Self::Failed,
        Self::Passed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Passed => "passed",
        }
    }

    fn is_over(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Passed)
    }
}

/// One fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FitListed {
    /// Rises with each fit that was handed over since the start.
    pub number: u64,
    /// Of the labels of its series.
    pub fingerprint: u64,
    /// The newest version that its series had ordered.
    pub version: u32,
    pub state: FitState,
    /// How long it took.
    pub took: Option<Duration>,
}

/// The fits of one process.
#[derive(Debug, Default)]
pub struct Training {
    all: Mutex<(u64, VecDeque<FitListed>)>,
}

impl Training {
    fn lock(&self) -> MutexGuard<'_, (u64, VecDeque<FitListed>)> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A fit waits. Gives its number; `None` if it is waited for already.
    pub(super) fn waits(&self, fingerprint: u64, version: u32) -> Option<u64> {
        let mut all = self.lock();
        let is = |f: &FitListed| f.fingerprint == fingerprint && f.version == version;
        if all.1.iter().any(|f| is(f) && !f.state.is_over()) {
            return None;
        }
        all.0 += 1;
        let number = all.0;
        if all.1.len() >= LISTED_MAX {
            let over = all.1.iter().position(|f| f.state.is_over());
            all.1.remove(over.unwrap_or(0));
        }
        all.1.push_back(FitListed {
            number,
            fingerprint,
            version,
            state: FitState::Waiting,
            took: None,
        });
        Some(number)
    }

    /// There was no room for a fit after all.
    pub(super) fn refused(&self, number: u64) {
        self.lock().1.retain(|f| f.number != number);
    }

    /// A fit is another now.
    pub(super) fn is(&self, number: u64, state: FitState, took: Option<Duration>) {
        let mut all = self.lock();
        if let Some(fit) = all.1.iter_mut().rfind(|f| f.number == number) {
            (fit.state, fit.took) = (state, took);
        }
    }

    /// All of them, the newest first.
    pub fn list(&self) -> Vec<FitListed> {
        self.lock().1.iter().rev().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_ended_go_first_and_the_list_is_bounded() {
        let training = Training::default();
        let first = training.waits(1, 1).unwrap();
        assert_eq!(training.waits(1, 1), None);
        let second = training.waits(2, 1).unwrap();
        training.is(second, FitState::Done, Some(Duration::from_millis(3)));
        for i in 0..LISTED_MAX as u64 {
            training.waits(i, 2);
        }
        let all = training.list();
        assert_eq!(all.len(), LISTED_MAX);
        assert!(all[0].number > all[1].number);
        assert!(all.iter().all(|f| f.number != second));
        training.refused(first + 5);
        assert_eq!(training.list().len(), LISTED_MAX - 1);
    }
}
