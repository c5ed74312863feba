//! What series take in memory, by what it is for, and the bound on it.
//!
//! A shard counts what it holds: sizes of its structures and of all that they point to, a share of its
//! series at each tick, so a figure is at most sixteen ticks old; births count at once, by what a young
//! series takes. What always holds: a new series is taken only below `ROOM` of the bound, so that what
//! is there has room to grow; beyond the bound the newest series go first. What it does not know: what
//! an allocator adds (a tenth, as a rule), buffers of requests, and the cache of the store.

use std::sync::atomic::{AtomicU64, Ordering};

/// What a series takes soon after its birth, until it is counted, in bytes: labels, places, the first
/// samples and the empty model.
const BIRTH_BYTES: u64 = 1024;

/// Share of the bound up to which new series are taken, as a fraction.
const ROOM: (u64, u64) = (15, 16);

/// Bytes, by what they are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// Label bytes.
    pub labels: usize,
    /// What finds series: the table, groups, places in slabs.
    pub index: usize,
    /// Newest samples: open chunks, and finished ones that the store does not have yet.
    pub windows: usize,
    /// Models with their tails, rarity and verdicts; those of the statistics of histograms too.
    pub models: usize,
    /// What puts histograms together from their parts and intervals.
    pub histograms: usize,
    /// Entries of the board.
    pub board: usize,
    /// States of sleeping series on their way to the store.
    pub asleep: usize,
}

impl Memory {
    pub const PARTS: [&str; 7] = [
        "labels",
        "index",
        "windows",
        "models",
        "histograms",
        "board",
        "asleep",
    ];

    /// In the order of [`Memory::PARTS`].
    pub fn parts(&self) -> [usize; 7] {
        [
            self.labels,
            self.index,
            self.windows,
            self.models,
            self.histograms,
            self.board,
            self.asleep,
        ]
    }

    pub fn total(&self) -> usize {
        self.parts().iter().sum()
    }
}

/// The bound that all shards share.
#[derive(Debug)]
pub struct Budget {
    /// Bytes; `u64::MAX` for none.
    max: AtomicU64,
    shards: Box<[Used]>,
}

#[derive(Debug, Default)]
struct Used {
    counted: AtomicU64,
    births: AtomicU64,
}

impl Budget {
    pub fn new(max: u64, shards: usize) -> Self {
        Self {
            max: AtomicU64::new(max),
            shards: (0..shards).map(|_| Used::default()).collect(),
        }
    }

    /// Another bound; what is beyond it is given up by and by.
    pub fn set_max(&self, max: u64) {
        self.max.store(max, Ordering::Relaxed);
    }

    fn max(&self) -> u64 {
        self.max.load(Ordering::Relaxed)
    }

    /// All shards together, births since they counted included.
    pub fn used(&self) -> u64 {
        let of = |u: &Used| {
            let births = u.births.load(Ordering::Relaxed) * BIRTH_BYTES;
            u.counted.load(Ordering::Relaxed) + births
        };
        self.shards.iter().map(of).sum()
    }

    /// True if there is room for a new series.
    pub fn has_room(&self) -> bool {
        let max = self.max();
        max == u64::MAX || self.used() < max / ROOM.1 * ROOM.0
    }

    /// A series was born in a shard.
    pub fn born(&self, shard: usize) {
        self.shards[shard].births.fetch_add(1, Ordering::Relaxed);
    }

    /// A shard has counted, and what was born before it did is among it.
    pub fn counted(&self, shard: usize, bytes: u64, births: u64) {
        let used = &self.shards[shard];
        used.counted.store(bytes, Ordering::Relaxed);
        used.births.fetch_sub(births, Ordering::Relaxed);
    }

    /// Births in a shard since it counted.
    pub fn births(&self, shard: usize) -> u64 {
        self.shards[shard].births.load(Ordering::Relaxed)
    }

    /// Bytes that a shard should give up: its share of what is beyond the bound.
    pub fn excess(&self, shard: usize) -> u64 {
        let (used, max) = (self.used(), self.max());
        if used <= max {
            return 0;
        }
        let own = self.shards[shard].counted.load(Ordering::Relaxed);
        let share = u128::from(used - max) * u128::from(own) / u128::from(used);
        share as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn births_count_at_once_and_new_series_leave_room_for_the_old() {
        let budget = Budget::new(160 * BIRTH_BYTES, 2);
        for _ in 0..149 {
            budget.born(0);
        }
        assert!(budget.has_room());
        budget.born(1);
        assert!(!budget.has_room());
        assert_eq!(budget.excess(0), 0);
        budget.counted(0, 240 * BIRTH_BYTES, budget.births(0));
        budget.counted(1, 80 * BIRTH_BYTES, budget.births(1));
        assert_eq!(budget.used(), 320 * BIRTH_BYTES);
        assert_eq!(budget.excess(0), 120 * BIRTH_BYTES);
        assert_eq!(budget.excess(1), 40 * BIRTH_BYTES);
        let none = Budget::new(u64::MAX, 1);
        none.counted(0, u64::MAX / 2, 0);
        assert!(none.has_room() && none.excess(0) == 0);
    }
}
