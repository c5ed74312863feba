//! A group's state as bytes: labels, models and open chunks of its members.
//!
//! The first byte is the version. Version 2 has members of three sorts, version 3 says which of them
//! wait for their history, version 4 which of them sleep: their own states are apart, each with a
//! version of its own. Earlier ones are still read; version 1 had only series with a model. What always holds: state that is read and written again is the
//! same bytes.

use serde::{Deserialize, Serialize};

use super::shard::histogram::{Histogram, HistogramRef};
use crate::score::track::Track;
use crate::window::head::Head;

/// First byte of a group's state.
const VERSION: u8 = 4;
/// What was written before series slept.
const NOBODY_SLEEPS: u8 = 3;
/// What was written before series said that they wait.
const NOBODY_WAITS: u8 = 2;
/// What was written before there were window-only series and histograms.
const TRACKED_ONLY: u8 = 1;

/// One member, borrowed for writing.
#[derive(Debug, Serialize)]
pub struct MemberRef<'a> {
    #[serde(with = "bytes")]
    pub labels: &'a [u8],
    pub state: StateRef<'a>,
    /// Its history is still to come.
    pub waits: bool,
}

/// The variants are in the order of [`State`].
#[derive(Debug, Serialize)]
pub enum StateRef<'a> {
    Tracked(&'a Track),
    Plain(&'a Head),
    Histogram(HistogramRef<'a>),
    Asleep(Sleeper),
}

/// What the state of a group has of a series that sleeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sleeper {
    /// Time of its newest sample.
    pub last_ms: Option<i64>,
    /// It has no model.
    pub plain: bool,
}

/// The same, owned, as read back.
#[derive(Debug, Deserialize)]
pub struct Member {
    pub labels: Vec<u8>,
    pub state: State,
    pub waits: bool,
}

/// What is stored of a member besides its labels.
#[derive(Debug, Deserialize)]
pub enum State {
    /// A series with a model.
    Tracked(Box<Track>),
    /// A series with a window only.
    Plain(Box<Head>),
    /// A histogram: native, classic, or both.
    Histogram(Box<Histogram>),
    /// A series of one of the first two sorts whose state is apart.
    Asleep(Sleeper),
}

impl State {
    /// Time of its newest sample.
    pub fn last_ms(&self) -> Option<i64> {
        match self {
            Self::Tracked(track) => track.head().last_ms(),
            Self::Plain(head) => head.last_ms(),
            Self::Histogram(stored) => stored.last_ms(),
            Self::Asleep(sleeper) => sleeper.last_ms,
        }
    }
}

#[derive(Debug, Deserialize)]
struct MemberV2 {
    labels: Vec<u8>,
    state: State,
}

#[derive(Debug, Deserialize)]
struct MemberV1 {
    labels: Vec<u8>,
    track: Box<Track>,
}

mod bytes {
    pub(super) fn serialize<S: serde::Serializer>(v: &[u8], s: S) -> Result<S::Ok, S::Error> {
        s.serialize_bytes(v)
    }
}

/// Why stored state could not be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    #[error("group state has version {0}, this saimon reads versions {TRACKED_ONLY} to {VERSION}")]
    Version(u8),
    #[error("group state is damaged: {0}")]
    Damaged(#[from] postcard::Error),
}

impl StateError {
    /// True for the state of a saimon newer than this one: it is whole, and not ours to give up.
    pub fn is_newer(&self) -> bool {
        matches!(self, Self::Version(found) if *found > VERSION)
    }
}

/// Writes the members of a group, gaps included.
pub fn encode(members: &[Option<MemberRef<'_>>]) -> Result<Vec<u8>, StateError> {
    let out = Vec::with_capacity(members.len() * 1024);
    let mut out = postcard::to_extend(&VERSION, out)?;
    out = postcard::to_extend(members, out)?;
    Ok(out)
}

/// Writes the state of one series that is going to sleep.
pub fn encode_sleeper(state: &StateRef<'_>) -> Result<Vec<u8>, StateError> {
    let out = postcard::to_extend(&VERSION, Vec::with_capacity(1024))?;
    Ok(postcard::to_extend(state, out)?)
}

/// Reads what [`encode_sleeper`] wrote.
pub fn decode_sleeper(state: &[u8]) -> Result<State, StateError> {
    match state.split_first() {
        Some((&VERSION, rest)) => Ok(postcard::from_bytes(rest)?),
        Some((&other, _)) => Err(StateError::Version(other)),
        None => Err(StateError::Version(0)),
    }
}

/// Reads what [`encode`] wrote, now or in an earlier version.
pub fn decode(state: &[u8]) -> Result<Vec<Option<Member>>, StateError> {
    match state.split_first() {
        Some((&(VERSION | NOBODY_SLEEPS), rest)) => Ok(postcard::from_bytes(rest)?),
        Some((&NOBODY_WAITS, rest)) => {
            let members: Vec<Option<MemberV2>> = postcard::from_bytes(rest)?;
            let member = |m: MemberV2| Member {
                labels: m.labels,
                state: m.state,
                waits: false,
            };
            Ok(members.into_iter().map(|m| m.map(member)).collect())
        }
        Some((&TRACKED_ONLY, rest)) => {
            let members: Vec<Option<MemberV1>> = postcard::from_bytes(rest)?;
            let member = |m: MemberV1| Member {
                labels: m.labels,
                state: State::Tracked(m.track),
                waits: false,
            };
            Ok(members.into_iter().map(|m| m.map(member)).collect())
        }
        Some((&other, _)) => Err(StateError::Version(other)),
        None => Ok(Vec::new()),
    }
}
