//! A group's state as bytes: labels, models and open chunks of its members.
//!
//! The first byte is the version. Version 2 has members of three sorts, version 3 says which of them
//! wait for their history, version 4 has other models: of what was written before, kinds and windows
//! are read, and the models start afresh. From version 5 on some sleep: their own states are apart,
//! each with a version of its own. Version 1 had only series with a model. What always holds: state
//! that is read and written again is the same bytes.

use serde::{Deserialize, Serialize};

use super::shard::histogram::{Histogram, HistogramRef, NormHistogram};
use crate::score::old::NormTrack;
use crate::score::track::Track;
use crate::window::head::Head;

/// First byte of a group's state.
const VERSION: u8 = 5;
/// What was written before series slept.
const NOBODY_SLEEPS: u8 = 4;
/// What was written before the models were those of [`crate::model::ensemble`].
const OTHER_MODELS: u8 = 3;
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
struct MemberV3 {
    labels: Vec<u8>,
    state: StateV3,
    waits: bool,
}

#[derive(Debug, Deserialize)]
struct MemberV2 {
    labels: Vec<u8>,
    state: StateV3,
}

#[derive(Debug, Deserialize)]
struct MemberV1 {
    labels: Vec<u8>,
    track: Box<NormTrack>,
}

/// As [`State`], with models of that time.
#[derive(Debug, Deserialize)]
enum StateV3 {
    Tracked(Box<NormTrack>),
    Plain(Box<Head>),
    Histogram(Box<NormHistogram>),
}

impl From<StateV3> for State {
    fn from(old: StateV3) -> Self {
        match old {
            StateV3::Tracked(track) => Self::Tracked(Box::new((*track).into())),
            StateV3::Plain(head) => Self::Plain(head),
            StateV3::Histogram(h) => Self::Histogram(Box::new((*h).into())),
        }
    }
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

/// True if the models in a state are not those of today, and start afresh when it is read.
pub fn relearns(state: &[u8]) -> bool {
    state
        .first()
        .is_some_and(|version| *version <= OTHER_MODELS)
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
    fn members<T: for<'a> Deserialize<'a>>(
        bytes: &[u8],
        member: impl Fn(T) -> Member,
    ) -> Result<Vec<Option<Member>>, StateError> {
        let members: Vec<Option<T>> = postcard::from_bytes(bytes)?;
        Ok(members.into_iter().map(|m| m.map(&member)).collect())
    }
    match state.split_first() {
        Some((&(VERSION | NOBODY_SLEEPS), rest)) => Ok(postcard::from_bytes(rest)?),
        Some((&OTHER_MODELS, rest)) => members(rest, |m: MemberV3| Member {
            labels: m.labels,
            state: m.state.into(),
            waits: m.waits,
        }),
        Some((&NOBODY_WAITS, rest)) => members(rest, |m: MemberV2| Member {
            labels: m.labels,
            state: m.state.into(),
            waits: false,
        }),
        Some((&TRACKED_ONLY, rest)) => members(rest, |m: MemberV1| Member {
            labels: m.labels,
            state: State::Tracked(Box::new((*m.track).into())),
            waits: false,
        }),
        Some((&other, _)) => Err(StateError::Version(other)),
        None => Ok(Vec::new()),
    }
}
