//! The newest end of a series' window: order, interval, and the chunk that is being filled.

use serde::{Deserialize, Serialize, Serializer};

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
#[derive(Debug, Clone, Deserialize)]
#[serde(from = "Stored")]
pub struct Head {
    stage: Stage,
    interval: Interval,
    /// It knows the newest sample too, whether that is in it or in one that was finished.
    chunk: ChunkAppender,
}

/// A window as it is written; of values or of references to them.
#[derive(Serialize, Deserialize)]
struct Stored<I = Interval, C = ChunkAppender> {
    last_ms: i64,
    last_bits: u64,
    stage: Stage,
    interval: I,
    chunk: C,
}

impl Serialize for Head {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (last_ms, last_bits) = match self.stage.is_empty() {
            true => (i64::MIN, 0),
            false => self.chunk.newest(),
        };
        let stored = Stored {
            last_ms,
            last_bits,
            stage: self.stage,
            interval: &self.interval,
            chunk: &self.chunk,
        };
        stored.serialize(serializer)
    }
}

impl From<Stored> for Head {
    fn from(stored: Stored) -> Self {
        let chunk = match stored.chunk.is_empty() {
            true => ChunkAppender::after((stored.last_ms, stored.last_bits)),
            false => stored.chunk,
        };
        Self {
            stage: stored.stage,
            interval: stored.interval,
            chunk,
        }
    }
}

/// How far the window of a series has come: bit 0 before its first sample, above it the number of
/// samples of its first chunk until that is finished. (A window of earlier versions has only bit 0
/// there, and a first chunk like all others.)
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Stage(u8);

impl Stage {
    const EMPTY: u8 = 1;

    fn is_empty(self) -> bool {
        self.0 & Self::EMPTY != 0
    }

    /// Samples that the open chunk is finished with.
    fn goal(self) -> usize {
        match self.0 >> 1 {
            0 => CHUNK_SAMPLES,
            first => usize::from(first),
        }
    }
}

impl Head {
    pub fn new() -> Self {
        Self {
            stage: Stage(Stage::EMPTY),
            interval: Interval::new(),
            chunk: ChunkAppender::new(),
        }
    }

    /// The window of a new series, which finishes its first chunk early, how early is up to its
    /// fingerprint: series of one birth would finish all theirs in one scrape else, and what is
    /// finished takes memory until a checkpoint has written it.
    pub fn of_series(fingerprint: u64) -> Self {
        // The lower bits say which partition and place.
        let first = 1 + (fingerprint >> 32) % CHUNK_SAMPLES as u64;
        Self {
            stage: Stage((first as u8) << 1 | Stage::EMPTY),
            ..Self::new()
        }
    }

    /// Time of the newest sample; `None` before the first.
    pub fn last_ms(&self) -> Option<i64> {
        (!self.stage.is_empty()).then_some(self.chunk.newest().0)
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
        let none = ChunkAppender::after(self.chunk.newest());
        std::mem::replace(&mut self.chunk, none)
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
        !self.stage.is_empty() && is_stale(f64::from_bits(self.chunk.newest().1))
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
        let (last_ms, last_bits) = self.chunk.newest();
        if self.stage.is_empty() || t_ms > last_ms {
            Order::Newer
        } else if t_ms < last_ms {
            Order::Late
        } else if value.to_bits() == last_bits {
            Order::Duplicate
        } else {
            Order::Conflict
        }
    }

    /// Takes a sample that [`Head::order`] found newer, and gives the chunk that it finished, if
    /// any.
    pub fn take(&mut self, t_ms: i64, value: f64) -> Option<Finished> {
        if !self.stage.is_empty() {
            let last_ms = self.chunk.newest().0;
            self.interval.take(t_ms.saturating_sub(last_ms));
        }
        self.stage.0 &= !Stage::EMPTY;
        self.chunk.append(t_ms, value);
        if self.chunk.len() < self.stage.goal() {
            return None;
        }
        self.stage = Stage(0);
        self.cut()
    }
}

impl Default for Head {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(mut head: Head, samples: i64) -> Vec<usize> {
        let finished = (0..samples).filter_map(|t| head.take(t, 1.0));
        finished.map(|c| usize::from(c.samples)).collect()
    }

    #[test]
    fn only_the_first_chunk_is_shorter_and_as_the_fingerprint_says() {
        assert_eq!(chunks(Head::new(), 360), [120, 120, 120]);
        let mut first = [0u32; CHUNK_SAMPLES + 1];
        for n in 0..12_000u64 {
            let fingerprint = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let found = chunks(Head::of_series(fingerprint), 361);
            assert_eq!(found[1..3], [120, 120]);
            assert_eq!(found, chunks(Head::of_series(fingerprint), 361));
            first[found[0]] += 1;
        }
        assert!(
            first[0] == 0 && first[1..].iter().all(|n| (60..140).contains(n)),
            "{first:?}"
        );
    }

    #[test]
    fn the_stage_is_kept_and_windows_of_before_are_read() {
        let mut head = Head::of_series(57 << 32);
        head.take(1, 2.0);
        let mut back: Head = postcard::from_bytes(&postcard::to_stdvec(&head).unwrap()).unwrap();
        let rest = (2..58).map(|t| back.take(t, 2.0)).collect::<Vec<_>>();
        assert!(rest.iter().all(Option::is_none));
        assert_eq!(back.take(58, 2.0).unwrap().samples, 58);
        // What was a bool.
        for (was, is_empty) in [(true, true), (false, false)] {
            let stage: Stage = postcard::from_bytes(&postcard::to_stdvec(&was).unwrap()).unwrap();
            assert_eq!((stage.is_empty(), stage.goal()), (is_empty, CHUNK_SAMPLES));
        }
    }
}
