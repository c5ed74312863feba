//! What is kept of a series so that it can be scored again: its state now and then, and in between
//! what befell it that is not among its samples.
//!
//! Anchors lie among the finished chunks of their series, so they are written, kept and dropped with
//! them, and nothing of them stays in memory. A state is about a kilobyte and is kept every
//! [`EVERY`] values; what else there is are some bytes now and then.

use serde::{Deserialize, Serialize};

use super::feed::Parts;
use super::keep::{ClosedChunk, GROUP_SERIES};
use crate::series::kind::{Kind, Source};
use crate::window::encoding::Encoding;

/// Values of a series from one state to the next: less than two bytes a sample. It is also how many are
/// scored again, at the most, before the first that was asked for, and after the last.
pub const EVERY: u32 = 512;

/// Room for most states.
const BYTES_MAX: usize = 2048;

/// First byte of an anchor.
const VERSION: u8 = 1;

/// What befell a series between two samples.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Anchor {
    /// Its state.
    State {
        /// What tells its rules, and the way in which it is scored, from others.
        rules: u64,
        /// What told its state before from others; its own where it just went on. `None`: nobody
        /// knows.
        before: Option<u64>,
        /// As `Track::anchor` writes it.
        state: Vec<u8>,
    },
    /// It heard what metadata and its name say of it.
    Declared(Option<(Kind, Source)>),
    /// The next sample has a time from which it counts, in milliseconds.
    Starts(i64),
    /// A statistic of a histogram, its judge; as [`Anchor::State`]. A histogram has it at its own place.
    Statistic {
        statistic: u8,
        rules: u64,
        before: Option<u64>,
        /// As `Judge::anchor` writes it.
        state: Vec<u8>,
    },
    /// A statistic has its first value next.
    Begins {
        statistic: u8,
        rules: u64,
        forest: bool,
    },
    /// What the statistics of a histogram are made of, and what they were at this time.
    Parts(Box<Parts>),
    /// A histogram ended, and this is the time that was said of it.
    Ended(i64),
}

impl Anchor {
    /// The order of those that have one time: the state, then what comes just before the next sample.
    fn rank(&self) -> u8 {
        match self {
            Self::State { .. } => 0,
            Self::Declared(_) => 1,
            Self::Starts(_) => 2,
            Self::Statistic { .. } | Self::Begins { .. } | Self::Parts(_) => 0,
            Self::Ended(_) => 3,
        }
    }

    /// As a chunk of the series at a position, whose newest sample is of time `t_ms`.
    pub fn chunk(&self, position: u16, t_ms: i64) -> ClosedChunk {
        let mut bytes = Vec::with_capacity(1 + BYTES_MAX);
        bytes.push(VERSION);
        let bytes = postcard::to_extend(self, bytes);
        // Some thousand of them wait for a checkpoint.
        let mut bytes = bytes.expect("BUG: numbers can be written");
        bytes.shrink_to_fit();
        ClosedChunk {
            position,
            first_ms: t_ms,
            last_ms: t_ms,
            samples: 0,
            encoding: Encoding::Anchor,
            bytes,
        }
    }

    /// The anchors among chunks, in order of time, each once. One that cannot be read is left out:
    /// without it the samples around it are not scored again.
    pub fn among(chunks: &[ClosedChunk]) -> Vec<(i64, Self)> {
        let chunks = chunks.iter().filter(|c| c.encoding == Encoding::Anchor);
        let mut anchors: Vec<(i64, Self)> = chunks
            .filter_map(|c| match c.bytes.split_first() {
                Some((&VERSION, rest)) => Some((c.first_ms, postcard::from_bytes(rest).ok()?)),
                _ => None,
            })
            .collect();
        anchors.sort_by_key(|(t_ms, anchor)| (*t_ms, anchor.rank()));
        anchors.dedup();
        anchors
    }
}

/// True if a state is due with the `seen`th value of the series at this position. Neighbours have
/// theirs at different times.
#[inline]
pub fn is_due(seen: u32, position: u16) -> bool {
    const APART: u32 = EVERY / GROUP_SERIES as u32;
    seen.wrapping_add(u32::from(position) * APART)
        .is_multiple_of(EVERY)
}
