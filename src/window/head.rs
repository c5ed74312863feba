//! The newest end of a series' window: order, interval, and the chunk that is being filled.

use serde::{Deserialize, Serialize};

use super::chunk::ChunkAppender;
use super::interval::Interval;
use crate::wire::write::is_stale;

/// Samples in one chunk, as in Prometheus' TSDB.
pub const CHUNK_SAMPLES: usize = 120;

/// How a sample stands to the newest one of its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    Newer,
    /// Same time, same bits.
    Duplicate,
    /// Same time, other bits: the first one wins.
    Conflict,
    Late,
}

/// A chunk that has just been finished.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    pub first_ms: i64,
    pub last_ms: i64,
    pub samples: u16,
    pub bytes: Vec<u8>,
}

/// The newest samples of one series.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Head {
    last_ms: i64,
    last_bits: u64,
    empty: bool,
    interval: Interval,
    chunk: ChunkAppender,
}

impl Head {
    pub fn new() -> Self {
        Self {
            last_ms: i64::MIN,
            last_bits: 0,
            empty: true,
            interval: Interval::new(),
            chunk: ChunkAppender::new(),
        }
    }

    /// Time of the newest sample; `None` before the first.
    pub fn last_ms(&self) -> Option<i64> {
        (!self.empty).then_some(self.last_ms)
    }

    /// Usual distance between samples in milliseconds.
    pub fn interval_ms(&self) -> f64 {
        self.interval.ms()
    }

    /// The chunk that is being filled.
    pub fn chunk(&self) -> &ChunkAppender {
        &self.chunk
    }

    /// Takes the open chunk out, for a moment: what else there is of the window is written without it.
    pub fn take_chunk(&mut self) -> ChunkAppender {
        std::mem::take(&mut self.chunk)
    }

    /// Puts it back.
    pub fn put_chunk(&mut self, chunk: ChunkAppender) {
        self.chunk = chunk;
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.chunk.heap_bytes() + self.interval.heap_bytes()
    }

    /// True if the newest sample is a staleness marker.
    pub fn ended(&self) -> bool {
        !self.empty && is_stale(f64::from_bits(self.last_bits))
    }

    /// Finishes the open chunk before it is full, because what follows is no float.
    pub fn cut(&mut self) -> Option<Finished> {
        let (first_ms, last_ms) = (self.chunk.first_ms()?, self.chunk.last_ms()?);
        Some(Finished {
            first_ms,
            last_ms,
            samples: self.chunk.len() as u16,
            bytes: self.chunk.finish(),
        })
    }

    /// How a sample stands to the newest one.
    pub fn order(&self, t_ms: i64, value: f64) -> Order {
        if self.empty || t_ms > self.last_ms {
            Order::Newer
        } else if t_ms < self.last_ms {
            Order::Late
        } else if value.to_bits() == self.last_bits {
            Order::Duplicate
        } else {
            Order::Conflict
        }
    }

    /// Takes a sample that [`Head::order`] found newer, and gives the chunk that it finished, if
    /// any.
    pub fn take(&mut self, t_ms: i64, value: f64) -> Option<Finished> {
        if !self.empty {
            self.interval.take(t_ms.saturating_sub(self.last_ms));
        }
        self.empty = false;
        self.last_ms = t_ms;
        self.last_bits = value.to_bits();
        self.chunk.append(t_ms, value);
        if self.chunk.len() < CHUNK_SAMPLES {
            return None;
        }
        self.cut()
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}
