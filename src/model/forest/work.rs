//! A fit that is done once, by whoever gets to it first: a trainer thread, or the owner of the series
//! if the sample comes at which the forest is needed and nobody has begun.
//!
//! What always holds: the result is the same whoever does it, so it does not matter who was faster;
//! nobody waits for a fit that has not begun.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, OnceLock, PoisonError};

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
    done: OnceLock<Option<Forest>>,
}

impl Work {
    pub fn new(rows: Vec<Packed>, spec: &ForestSpec, seed: u64) -> Self {
        Self {
            spec: spec.clone(),
            seed,
            rows: Mutex::new(rows),
            done: OnceLock::new(),
        }
    }

    /// The forest. Grows it if nobody has; waits if somebody is at it. `None` if the fit failed.
    #[inline]
    pub fn forest(&self) -> Option<&Forest> {
        self.done.get_or_init(|| self.fit()).as_ref()
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
    fn fit(&self) -> Option<Forest> {
        let rows = std::mem::take(&mut *self.rows.lock().unwrap_or_else(PoisonError::into_inner));
        catch_unwind(AssertUnwindSafe(|| fit::grow(&rows, &self.spec, self.seed))).ok()
    }
}
