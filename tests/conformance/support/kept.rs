//! What is held of every series: windows as the reader of windows gives them, and the state that the
//! shards hand to the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use saimon::engine::ask::{Reader, WindowChunk};
use saimon::engine::keep::{ClosedChunk, GroupId, GroupSnapshot, PastChunks};
use saimon::engine::state::{Member, State};
use saimon::series::kind::Kind;
use saimon::series::labels as canonical;
use saimon::series::matcher::Selector;
use saimon::window::encoding::Encoding;
use saimon::window::{chunk, histogram_chunk};
use saimon::wire::histogram::NativeHistogram;
use saimon::wire::write::STALE_NAN_BITS;

/// All that is held of one series, or of one histogram.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Held {
    /// In order of time: (milliseconds, bits of the value).
    pub(crate) samples: Vec<(i64, u64)>,
    /// Native histograms in order of time.
    pub(crate) histograms: Vec<HeldHistogram>,
    /// Everything that a restart would bring back: window, models, kind.
    pub(crate) state: Vec<u8>,
    /// As what it is scored; `None` for what is kept in the window only, and for histograms.
    pub(crate) kind: Option<Kind>,
    /// Whether its newest sample was a staleness marker.
    pub(crate) ended: bool,
}

/// One native histogram. Its bytes are compared, because a marker's NaN is equal to nothing.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct HeldHistogram {
    pub(crate) timestamp_ms: i64,
    pub(crate) stale: bool,
    pub(crate) bytes: Vec<u8>,
}

impl From<NativeHistogram> for HeldHistogram {
    fn from(h: NativeHistogram) -> Self {
        Self {
            timestamp_ms: h.timestamp_ms,
            stale: h.is_stale(),
            bytes: postcard::to_stdvec(&h).unwrap(),
        }
    }
}

type Groups = BTreeMap<GroupId, (Vec<u8>, Vec<ClosedChunk>)>;

/// The newest state of every group and all its finished chunks. A store without a disk.
#[derive(Debug, Clone, Default)]
pub(crate) struct Store(Arc<Mutex<Groups>>);

impl Store {
    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn take(&self, group: GroupSnapshot) {
        let mut groups = self.groups();
        let (state, chunks) = groups.entry(group.id).or_default();
        *state = group.state;
        chunks.extend(group.chunks.iter().cloned());
    }

    /// Everything, by canonical labels as text.
    pub(crate) async fn held(&self, reader: &Reader) -> BTreeMap<String, Held> {
        let mut all = BTreeMap::new();
        for (state, _) in self.groups().values() {
            for (member, bytes) in members(state) {
                let kind = match &member.state {
                    State::Tracked(track) => Some(track.kind()),
                    State::Plain(_) | State::Histogram(_) | State::Asleep(_) => None,
                };
                let held = Held {
                    samples: Vec::new(),
                    histograms: Vec::new(),
                    state: bytes.to_vec(),
                    kind,
                    ended: false,
                };
                let before = all.insert(canonical::display(&member.labels), held);
                assert!(before.is_none(), "one series twice");
            }
        }
        let every = Arc::new(Selector::parse("{__name__=~\".+\"}").unwrap());
        let found = reader.select(every, i64::MIN, i64::MAX, usize::MAX - 1);
        let found = found.await.unwrap();
        let windows = reader.windows(&found, i64::MIN, i64::MAX).await.unwrap();
        for (found, chunks) in found.iter().zip(windows) {
            let name = canonical::display(&found.labels);
            let held = all.get_mut(&name).unwrap_or_else(|| {
                panic!("{name} has a window and is in no group");
            });
            held.read(&chunks);
        }
        all
    }
}

impl Held {
    fn read(&mut self, chunks: &[WindowChunk]) {
        let mut last = (i64::MIN, false);
        for chunk in chunks {
            if chunk.encoding == Encoding::Xor {
                for (t, v) in chunk::decode(&chunk.bytes).unwrap() {
                    self.samples.push((t, v.to_bits()));
                    last = last.max((t, v.to_bits() == STALE_NAN_BITS));
                }
            } else {
                for h in histogram_chunk::decode(&chunk.bytes, chunk.encoding).unwrap() {
                    last = last.max((h.timestamp_ms, h.is_stale()));
                    self.histograms.push(h.into());
                }
            }
        }
        self.ended = last.1;
    }
}

impl PastChunks for Store {
    fn chunks(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<ClosedChunk>, String> {
        let groups = self.groups();
        let chunks = groups.get(&id).map_or(&[][..], |(_, chunks)| chunks);
        let wanted = |c: &&ClosedChunk| {
            positions.contains(&c.position) && c.last_ms >= from_ms && c.first_ms <= to_ms
        };
        Ok(chunks.iter().filter(wanted).cloned().collect())
    }
}

/// The members of a group's state, each with the bytes that stand for it. A version byte comes
/// first, then their number.
fn members(state: &[u8]) -> Vec<(Member, &[u8])> {
    let Some((_version, rest)) = state.split_first() else {
        return Vec::new();
    };
    let (count, mut rest) = postcard::take_from_bytes::<usize>(rest).unwrap();
    let mut members = Vec::new();
    for _ in 0..count {
        let (member, behind) = postcard::take_from_bytes::<Option<Member>>(rest).unwrap();
        members.extend(member.map(|m| (m, &rest[..rest.len() - behind.len()])));
        rest = behind;
    }
    assert!(rest.is_empty());
    members
}

/// How a series is named in what is held: `up{job="a"}`.
pub(crate) fn labels(labels: &[(&str, &str)]) -> String {
    canonical::display(&canonical::encode(labels.iter().copied()))
}
