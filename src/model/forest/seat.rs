//! Room for forests: so many, and no more, over all series.
//!
//! A forest holds its seat as long as it lives, whoever drops it and why; so nobody has to count.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// All seats. Touched when a series begins, asks without a forest, or ends.
#[derive(Debug, Default)]
pub struct Seats {
    used: AtomicU32,
    max: u32,
}

impl Seats {
    pub fn new(max: u32) -> Arc<Self> {
        Arc::new(Self {
            used: AtomicU32::new(0),
            max,
        })
    }

    /// A seat, if there is one.
    pub fn claim(self: &Arc<Self>) -> Option<Seat> {
        let room = |used| (used < self.max).then_some(used + 1);
        self.used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room)
            .ok()?;
        Some(Seat(Arc::clone(self)))
    }

    /// Seats that are taken.
    pub fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    pub fn max(&self) -> u32 {
        self.max
    }
}

/// One seat, free again when this is dropped.
#[derive(Debug)]
pub struct Seat(Arc<Seats>);

/// A copy of a forest takes a seat of its own, though there be none: it lives for a moment.
impl Clone for Seat {
    fn clone(&self) -> Self {
        self.0.used.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.used.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_again_when_it_is_dropped() {
        let seats = Seats::new(2);
        let first = seats.claim().unwrap();
        let second = seats.claim().unwrap();
        assert!(seats.claim().is_none());
        drop(first);
        let third = seats.claim();
        assert!(third.is_some());
        drop((second, third));
        assert_eq!(seats.used(), 0);
    }
}
