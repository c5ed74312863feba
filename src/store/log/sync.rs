//! Forcing what was appended onto the disk, and telling who waits for it.
//!
//! What always holds: a sequence number counts as synced only when its segment's name and data were
//! synced after it was written; a file whose sync failed is never written or synced again, because
//! the system may have dropped the pages that it could not write and would report success next time
//! (Rebello et al., "Can Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::sync::{Arc, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::files::LogFile;
use super::options::SyncMode;
use super::{Inner, Log, LogError, locked};

/// Runs of records with failed syncs that are remembered for those who still wait. Neighbouring runs
/// are one; more than this happens only if syncs fail and succeed in turn faster than tasks wake.
const LOST_MAX: usize = 64;

/// A file that was written since its last sync.
pub(super) struct Dirty {
    pub(super) number: u64,
    pub(super) file: Arc<dyn LogFile>,
    /// Sequence numbers of the first and the last record written since.
    pub(super) from: u64,
    pub(super) to: u64,
}

/// How far the log is on the disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Status {
    /// Every record up to this one is synced or in `lost`.
    through: u64,
    /// Runs of records whose sync failed, in order.
    lost: Vec<(u64, u64)>,
    /// Why the newest sync failed, if it did.
    error: Option<LogError>,
}

impl Status {
    pub(super) fn at(through: u64) -> Self {
        Self {
            through,
            ..Self::default()
        }
    }

    fn lose(&mut self, from: u64, to: u64, error: LogError) {
        match self.lost.last_mut() {
            Some(last) if last.1 + 1 >= from => last.1 = last.1.max(to),
            _ => self.lost.push((from, to)),
        }
        if self.lost.len() > LOST_MAX {
            // Whoever still asks for these is told that they are lost, and so is who asks for those
            // in between: rather one answer too sad than one too many.
            let second = self.lost.remove(1);
            self.lost[0].1 = second.1;
        }
        self.through = self.through.max(to);
        self.error = Some(error);
    }

    /// `None` if it is not yet decided.
    pub(super) fn of(&self, seq: u64) -> Option<Result<(), LogError>> {
        if seq > self.through {
            return None;
        }
        let lost = self.lost.iter().any(|(a, b)| (*a..=*b).contains(&seq));
        Some(match (lost, &self.error) {
            (false, _) => Ok(()),
            (true, Some(error)) => Err(error.clone()),
            (true, None) => Err(LogError::Sync {
                why: "it failed before".to_owned(),
            }),
        })
    }
}

impl Log {
    /// Returns when the record `seq` survives a power cut. At once with [`SyncMode::Never`], which
    /// promises nothing; within the interval with [`SyncMode::Interval`].
    ///
    /// # Errors
    /// [`LogError::Sync`] if the record was written and could not be synced: it may be lost, and its
    /// request must not be acknowledged as durable.
    pub async fn synced(&self, seq: u64) -> Result<(), LogError> {
        if self.inner.options.sync == SyncMode::Never {
            return Ok(());
        }
        wait(self.inner.status.subscribe(), seq).await
    }

    /// Syncs everything appended so far, on the calling thread.
    ///
    /// # Errors
    /// If any of it could not be synced; what could is nevertheless.
    pub fn sync(&self) -> Result<(), LogError> {
        self.inner.sync()
    }

    /// The newest record that is on the disk for good, with all before it except for those whose
    /// sync failed.
    pub fn synced_through(&self) -> u64 {
        self.inner.status.borrow().through
    }

    /// Why the newest sync failed; `None` if it did not.
    pub fn sync_error(&self) -> Option<LogError> {
        self.inner.status.borrow().error.clone()
    }
}

async fn wait(mut status: watch::Receiver<Status>, seq: u64) -> Result<(), LogError> {
    loop {
        if let Some(decided) = status.borrow_and_update().of(seq) {
            return decided;
        }
        if status.changed().await.is_err() {
            return Err(LogError::Closed);
        }
    }
}

impl Inner {
    /// Syncs until the log is closed.
    pub(super) fn keep_synced(&self) {
        loop {
            let mut tail = locked(&self.tail);
            match self.options.sync {
                SyncMode::Never => return,
                SyncMode::Always => {
                    while tail.dirty.is_empty() && !tail.closing {
                        tail = self.work.wait(tail).unwrap_or_else(PoisonError::into_inner);
                    }
                }
                SyncMode::Interval => {
                    let until = Instant::now() + self.options.interval;
                    while !tail.closing {
                        let left = until.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            break;
                        }
                        (tail, _) = self
                            .work
                            .wait_timeout(tail, left)
                            .unwrap_or_else(PoisonError::into_inner);
                    }
                }
            }
            if tail.closing {
                return;
            }
            drop(tail);
            // Whoever cares learns it from the status; the next round goes on with a new file.
            let _ = self.sync();
        }
    }

    pub(super) fn sync(&self) -> Result<(), LogError> {
        let _round = locked(&self.rounds);
        let (dirty, names) = {
            let mut tail = locked(&self.tail);
            let names = std::mem::take(&mut tail.names_dirty);
            (std::mem::take(&mut tail.dirty), names)
        };
        let mut result = Ok(());
        if names && let Err(e) = self.timed(|| self.files.sync_names()) {
            locked(&self.tail).names_dirty = true;
            result = Err(LogError::sync(&e));
        }
        let named = result.clone();
        for file in dirty {
            let done = match &named {
                Ok(()) => self
                    .timed(|| file.file.sync())
                    .map_err(|e| LogError::sync(&e)),
                // What cannot be found again is not safe, whatever its data are.
                Err(e) => Err(e.clone()),
            };
            match done {
                Ok(()) => self.status.send_modify(|s| {
                    s.through = s.through.max(file.to);
                    if result.is_ok() {
                        s.error = None;
                    }
                }),
                Err(error) => {
                    let to = self.give_up(&file);
                    self.metrics.unsynced.inc_by(to - file.from + 1);
                    self.status
                        .send_modify(|s| s.lose(file.from, to, error.clone()));
                    result = Err(error);
                }
            }
        }
        if let Err(error) = &result {
            self.metrics.errors.inc_by(1);
            self.status.send_modify(|s| s.error = Some(error.clone()));
        }
        result
    }

    /// Closes a file for good; gives the last record in it.
    fn give_up(&self, file: &Dirty) -> u64 {
        let mut tail = locked(&self.tail);
        if tail
            .active
            .as_ref()
            .is_some_and(|a| a.number == file.number)
        {
            tail.active = None;
        }
        let later = tail
            .dirty
            .iter()
            .position(|d| d.number == file.number)
            .map(|i| tail.dirty.remove(i).to);
        later.unwrap_or(file.to)
    }

    fn timed(&self, sync: impl FnOnce() -> std::io::Result<()>) -> std::io::Result<()> {
        let began = Instant::now();
        let done = sync();
        self.metrics
            .sync_seconds
            .inc_by(began.elapsed().as_secs_f64());
        self.metrics.syncs.inc_by(u64::from(done.is_ok()));
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error() -> LogError {
        LogError::Sync {
            why: "test".to_owned(),
        }
    }

    #[test]
    fn neighbouring_losses_are_one_and_many_are_never_forgotten() {
        let mut status = Status::default();
        status.lose(3, 4, error());
        status.lose(5, 6, error());
        assert_eq!(status.lost, [(3, 6)]);
        for i in 0..10 * LOST_MAX as u64 {
            status.lose(10 + 2 * i, 10 + 2 * i, error());
        }
        assert!(status.lost.len() <= LOST_MAX);
        assert_eq!(status.of(1), Some(Ok(())));
        for i in 0..10 * LOST_MAX as u64 {
            assert_eq!(status.of(10 + 2 * i), Some(Err(error())));
        }
        assert_eq!(status.of(10_000_000), None);
    }
}
