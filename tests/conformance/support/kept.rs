//! What is held of every series, read from what the shards hand to the store.

use std::collections::BTreeMap;

use saimon::engine::keep::{ClosedChunk, GroupId, GroupSnapshot};
use saimon::engine::state;
use saimon::series::kind::Kind;
use saimon::series::labels as canonical;
use saimon::window::chunk;

/// All that is held of one series.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    /// In order of time: (milliseconds, bits of the value).
    pub(crate) samples: Vec<(i64, u64)>,
    /// Everything that a restart would bring back: window, models, kind.
    pub(crate) state: Vec<u8>,
    pub(crate) kind: Kind,
    /// Whether its newest sample was a staleness marker.
    pub(crate) ended: bool,
}

/// The newest state of every group and all its finished chunks.
#[derive(Debug, Default)]
pub(crate) struct Store {
    groups: BTreeMap<GroupId, (Vec<u8>, Vec<ClosedChunk>)>,
}

impl Store {
    pub(crate) fn take(&mut self, group: GroupSnapshot) {
        let (state, chunks) = self.groups.entry(group.id).or_default();
        *state = group.state;
        chunks.extend(group.chunks.iter().cloned());
    }

    pub(crate) fn held(&self) -> BTreeMap<String, Held> {
        let mut all = BTreeMap::new();
        for (state, chunks) in self.groups.values() {
            for (position, member) in state::decode(state).unwrap().into_iter().enumerate() {
                let Some(member) = member else { continue };
                let state::State::Tracked(track) = &member.state else {
                    continue;
                };
                let finished = chunks
                    .iter()
                    .filter(|c| usize::from(c.position) == position)
                    .map(|c| &c.bytes[..]);
                let open = track.head().chunk().bytes();
                let samples = finished
                    .chain([open])
                    .flat_map(|bytes| chunk::decode(bytes).unwrap())
                    .map(|(t, v)| (t, v.to_bits()))
                    .collect();
                let held = Held {
                    samples,
                    state: postcard::to_stdvec(track).unwrap(),
                    kind: track.kind(),
                    ended: track.ended(),
                };
                let before = all.insert(canonical::display(&member.labels), held);
                assert!(before.is_none(), "one series twice");
            }
        }
        all
    }
}

/// How a series is named in what is held: `up{job="a"}`.
pub(crate) fn labels(labels: &[(&str, &str)]) -> String {
    canonical::display(&canonical::encode(labels.iter().copied()))
}
