//! The series of a store: what their state says.

use std::collections::BTreeMap;

use crate::engine::keep::GroupId;
use crate::engine::rules::Rules;
use crate::engine::state::{self, Member, MemberRef, Sleeper, State, StateRef};
use crate::score::judge::{Judge, Phase};
use crate::score::track::Track;
use crate::series::kind::Kind;
use crate::series::labels;
use crate::series::matcher::Selector;
use crate::store::view::View;
use crate::window::encoding::Encoding;
use crate::window::head::Head;

/// Sleeping series that are read at once.
const SLEEPERS_AT_ONCE: usize = 1024;

/// Where a series is kept.
pub(crate) type Place = (GroupId, u16);

/// An open chunk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Open {
    pub(crate) encoding: Encoding,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) samples: u64,
    pub(crate) bytes: Vec<u8>,
}

/// One series.
#[derive(Debug)]
pub(crate) struct Series {
    /// Canonical.
    pub(crate) labels: Vec<u8>,
    pub(crate) kind: &'static str,
    /// Of its model; `-` without one.
    pub(crate) phase: &'static str,
    pub(crate) model: &'static str,
    /// Values that its model has judged.
    pub(crate) judged: u32,
    pub(crate) last_ms: Option<i64>,
    /// Floats, then native histograms.
    pub(crate) open: Vec<Open>,
    pub(crate) state_bytes: usize,
    /// Its state is under a key of its own.
    pub(crate) asleep: bool,
}

/// All series that match, by place.
///
/// # Errors
/// If the store cannot be read. A group that cannot be is left out and logged.
pub(crate) fn all(
    view: &View,
    rules: &Rules,
    selector: Option<&Selector>,
) -> anyhow::Result<BTreeMap<Place, Series>> {
    let mut found = BTreeMap::new();
    let mut sleepers = Vec::new();
    view.states(|id, bytes, _| {
        let members = match state::decode(bytes) {
            Ok(members) => members,
            Err(error) => {
                tracing::warn!(%error, partition = id.partition, group = id.number, "a group cannot be read");
                return;
            }
        };
        for (position, member) in members.into_iter().enumerate() {
            let matches =
                |m: &Member| selector.is_none_or(|s| s.matches_labels(&m.labels));
            if let Some(member) = member.filter(matches) {
                if let State::Asleep(_) = member.state {
                    sleepers.push(((id, position as u16), member));
                    continue;
                }
                found.insert((id, position as u16), series(member, rules));
            }
        }
    })?;
    for some in sleepers.chunks_mut(SLEEPERS_AT_ONCE) {
        let places: Vec<_> = some.iter().map(|(place, _)| *place).collect();
        for ((place, member), state) in some.iter_mut().zip(view.sleepers(&places)) {
            let state = state.and_then(|bytes| state::decode_sleeper(&bytes).ok());
            let missing = state.is_none();
            let member = Member {
                labels: std::mem::take(&mut member.labels),
                state: state.unwrap_or(State::Asleep(Sleeper {
                    last_ms: member.state.last_ms(),
                    plain: true,
                })),
                waits: false,
            };
            if missing {
                tracing::warn!(series = %labels::display(&member.labels), "the state of a sleeping series cannot be read");
            }
            let mut series = series(member, rules);
            series.asleep = true;
            found.insert(*place, series);
        }
    }
    Ok(found)
}

fn series(member: Member, rules: &Rules) -> Series {
    let spec = rules.resolve(&member.labels);
    let phase = |judge: &Judge| match judge.phase(&spec) {
        Phase::Warmup => "warm-up",
        Phase::Young => "young",
        Phase::Mature => "mature",
    };
    let judges: Vec<&Judge> = match &member.state {
        State::Tracked(track) => vec![track.judge()],
        State::Plain(_) | State::Asleep(_) => Vec::new(),
        State::Histogram(h) => h.judges().map(|(_, judge)| judge).collect(),
    };
    let oldest = judges.iter().max_by_key(|j| j.seen());
    let mut series = Series {
        kind: "window",
        phase: oldest.map_or("-", |j| phase(j)),
        model: oldest.map_or("-", |j| match j.knows_the_day() {
            true => "day",
            false => "norm",
        }),
        judged: oldest.map_or(0, |j| j.seen()),
        last_ms: None,
        open: Vec::new(),
        state_bytes: state_bytes(&member),
        asleep: false,
        labels: Vec::new(),
    };
    let float = |track: &Track| match track.kind() {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
    };
    match &member.state {
        State::Tracked(track) => {
            series.kind = float(track);
            series.last_ms = track.head().last_ms();
            series.open.extend(open(track.head()));
        }
        State::Plain(head) => {
            series.last_ms = head.last_ms();
            series.open.extend(open(head));
        }
        State::Asleep(sleeper) => series.last_ms = sleeper.last_ms,
        State::Histogram(h) => {
            series.kind = match h.is_classic() {
                true => "histogram",
                false => "native",
            };
            if let Some(track) = h.floats() {
                series.last_ms = track.head().last_ms();
                series.open.extend(open(track.head()));
            }
            let native = h.open().filter(|o| !o.is_empty());
            if let Some(native) = native
                && let (Some(first_ms), Some(last_ms)) = (native.first_ms(), native.last_ms())
            {
                series.last_ms = series.last_ms.max(Some(last_ms));
                series.open.push(Open {
                    encoding: native.encoding(),
                    first_ms,
                    last_ms,
                    samples: native.len() as u64,
                    bytes: native.bytes().to_vec(),
                });
            }
        }
    }
    series.labels = member.labels;
    series
}

fn open(head: &Head) -> Option<Open> {
    let chunk = head.chunk();
    Some(Open {
        encoding: Encoding::Xor,
        first_ms: chunk.first_ms()?,
        last_ms: chunk.last_ms()?,
        samples: chunk.len() as u64,
        bytes: chunk.bytes().to_vec(),
    })
}

/// Bytes of a member in the state of its group.
fn state_bytes(member: &Member) -> usize {
    let state = match &member.state {
        State::Tracked(track) => StateRef::Tracked(track),
        State::Plain(head) => StateRef::Plain(head),
        State::Histogram(h) => StateRef::Histogram(h.borrowed()),
        State::Asleep(sleeper) => StateRef::Asleep(*sleeper),
    };
    let member = MemberRef {
        labels: &member.labels,
        state,
        waits: member.waits,
    };
    postcard::to_stdvec(&Some(member)).map_or(0, |bytes| bytes.len())
}
