//! A clock that stands where the test puts it, and can make shards stand still.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use saimon::clock::Clock;

/// Time by hand. While the gate is closed, a shard that asks for the time waits: shards ask after
/// every batch, so from then on their queues fill.
#[derive(Debug)]
pub(crate) struct GateClock {
    now_ms: AtomicI64,
    /// The shards that are held, by the names of their threads.
    closed: Mutex<Vec<String>>,
    opened: Condvar,
}

impl GateClock {
    pub(crate) fn at(now_ms: i64) -> Self {
        Self {
            now_ms: AtomicI64::new(now_ms),
            closed: Mutex::new(Vec::new()),
            opened: Condvar::new(),
        }
    }

    pub(crate) fn set(&self, now_ms: i64) {
        self.now_ms.store(now_ms, Ordering::SeqCst);
    }

    /// Holds these shards.
    pub(crate) fn close(&self, shards: &[usize]) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.extend(shards.iter().map(|i| format!("shard-{i}")));
    }

    /// Lets all go on.
    pub(crate) fn open(&self) {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        closed.clear();
        self.opened.notify_all();
    }
}

impl Clock for GateClock {
    fn now_ms(&self) -> i64 {
        if let Some(thread) = std::thread::current().name()
            && thread.starts_with("shard-")
        {
            let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
            let held = |closed: &mut Vec<String>| closed.iter().any(|name| name == thread);
            drop(
                self.opened
                    .wait_while(closed, held)
                    .unwrap_or_else(PoisonError::into_inner),
            );
        }
        self.now_ms.load(Ordering::SeqCst)
    }
}
