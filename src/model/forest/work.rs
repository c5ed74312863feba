//! A fit that is done once, by whoever gets to it first: a trainer thread, or the owner of the series
//! if the sample comes at which the forest is needed and nobody has begun.
//!
//! What always holds: the result is the same whoever does it, so it does not matter who was faster;
//! nobody waits for a fit that has not begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use super::reservoir::Packed;
use super::{Forest, ForestSpec, fit};

/// One fit: what it needs, then its result.
#[derive(Debug)]
pub struct Work {
    spec: ForestSpec,
    seed: u64,
    /// Taken by whoever does it. A mutex and not a cell of the owner's: it is shared between two
    /// threads, locked twice in its life and never waited for.
    rows: Mutex<Vec<Packed>>,
    done: OnceLock<Option<Grown>>,
    /// How long it took, in nanoseconds, if somebody measured; 0: nobody did.
    took: AtomicU64,
}

/// What a fit gave.
#[derive(Debug)]
struct Grown {
    forest: Forest,
    /// See [`Work::typical`].
    typical: f32,
}

impl Work {
    pub fn new(rows: Vec<Packed>, spec: &ForestSpec, seed: u64) -> Self {
        Self {
            spec: spec.clone(),
            seed,
            rows: Mutex::new(rows),
            done: OnceLock::new(),
            took: AtomicU64::new(0),
        }
    }

    /// Mean score of the rows that the forest was grown from, in 0..=1: how alone they are among
    /// themselves. 0.35 to 0.5 is ordinary; the higher, the less they have in common and the less an odd
    /// sample stands out. `None` until it is done, or if it failed.
    pub fn typical(&self) -> Option<f32> {
        Some(self.done.get()?.as_ref()?.typical)
    }

    /// Whoever does it may say how long it took: there is no clock here.
    pub fn took(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.took.store(nanos.max(1), Ordering::Relaxed);
    }

    /// How long it took, if that was measured.
    pub fn time_taken(&self) -> Option<Duration> {
        let nanos = self.took.load(Ordering::Relaxed);
        (nanos > 0).then(|| Duration::from_nanos(nanos))
    }

    /// The forest. Grows it if nobody has; waits if somebody is at it. `None` if the fit failed.
    #[inline]
    pub fn forest(&self) -> Option<&Forest> {
        let grown = self.done.get_or_init(|| self.fit());
        grown.as_ref().map(|grown| &grown.forest)
    }

    /// True once there is a result.
    pub fn is_done(&self) -> bool {
        self.done.get().is_some()
    }

    /// True if it was done and failed.
    pub fn has_failed(&self) -> bool {
        matches!(self.done.get(), Some(None))
    }

    /// A fit that panics costs one forest and not the thread.
    fn fit(&self) -> Option<Grown> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        catch_unwind(AssertUnwindSafe(|| {
            let forest = fit::grow(&rows, &self.spec, self.seed);
            let scores = rows.iter().map(|row| forest.score(&row.unpack()));
            let typical = scores.sum::<f32>() / rows.len().max(1) as f32;
            Grown { forest, typical }
        }))
        .ok()
    }
}
