//! The store as a whole: on real disks, with disks that fail, and with processes that are killed.

mod damage;
mod failing;
mod formats;
mod kept;
mod killed;
mod states;
mod viewed;

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use super::writer::{self, KEPT_MAX, WriterHandle, WriterParts};
use super::{Loaded, OpenError, Opened, Store, locked};
use crate::clock::ManualClock;
use crate::config::StoreConfig;
use crate::engine::keep::{ClosedChunk, Cut, GroupId, GroupSnapshot, Kept};
use crate::engine::router::Router;
use crate::engine::shard::Message;
use crate::telemetry::Metrics;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;
/// Where the clock of these tests stands.
const NOW: i64 = 1_700_000_000_000;

fn config() -> StoreConfig {
    StoreConfig {
        // Checkpoints are ordered by the tests.
        checkpoint: Duration::from_secs(3600),
        ..StoreConfig::default()
    }
}

fn open(dir: &Path, metrics: &Arc<Metrics>) -> Result<Opened, OpenError> {
    Store::open(dir, &config(), metrics, NOW)
}

/// Opens a store that must be whole.
fn reopened(dir: &Path) -> Store {
    let opened = open(dir, &Arc::new(Metrics::new())).unwrap();
    assert_eq!(opened.moved_aside, None);
    opened.store
}

fn id(partition: u8, number: u32) -> GroupId {
    GroupId { partition, number }
}

/// A chunk of half an hour that ends at `last_ms`.
fn chunk(position: u16, last_ms: i64) -> ClosedChunk {
    ClosedChunk {
        position,
        first_ms: last_ms - HOUR / 2,
        last_ms,
        samples: 120,
        encoding: crate::window::encoding::Encoding::Xor,
        bytes: (0..300u16).map(|i| (i ^ position) as u8).collect(),
    }
}

fn group(id: GroupId, state: &[u8], newest_ms: i64, chunks: Vec<ClosedChunk>) -> GroupSnapshot {
    GroupSnapshot {
        id,
        state: state.to_vec(),
        chunks: chunks.into(),
        appendices: Vec::new(),
        newest_ms,
        kept_for: Vec::new(),
        asleep: 0,
        sleepers: Vec::new(),
    }
}

/// Groups as the cuts of their partitions.
fn cuts(groups: Vec<GroupSnapshot>) -> Vec<Cut> {
    let mut cuts: Vec<Cut> = Vec::new();
    for group in groups {
        let partition = group.id.partition;
        match cuts.iter_mut().find(|c| c.partition == partition) {
            Some(cut) => cut.groups.push(group),
            None => cuts.push(Cut {
                partition,
                seq: 1,
                groups: vec![group],
                whole: false,
            }),
        }
    }
    cuts
}

type Groups = Vec<(GroupId, Vec<u8>, i64)>;

fn all(store: &Store) -> (Groups, Loaded) {
    let mut groups = Vec::new();
    let loaded = store.groups(|id, state, newest_ms| groups.push((id, state.to_vec(), newest_ms)));
    (groups, loaded)
}

/// A writer with one shard that hands over what a test gives it.
struct Rig {
    writer: WriterHandle,
    changed: Arc<Mutex<Vec<GroupSnapshot>>>,
    shard: JoinHandle<()>,
    clock: Arc<ManualClock>,
    metrics: Arc<Metrics>,
}

impl Rig {
    fn start(store: Store, config: StoreConfig, metrics: &Arc<Metrics>) -> Self {
        let (sender, mut messages) = tokio::sync::mpsc::channel(4);
        let (kept, received) = mpsc::sync_channel(KEPT_MAX);
        let changed = Arc::new(Mutex::new(Vec::new()));
        let clock = Arc::new(ManualClock::at(NOW));
        let shard = std::thread::spawn({
            let changed = Arc::clone(&changed);
            move || {
                while let Some(message) = messages.blocking_recv() {
                    for cut in cuts(std::mem::take(&mut *locked(&changed))) {
                        kept.send(Kept::Cut(cut)).unwrap();
                    }
                    let stopped = matches!(message, Message::Stop);
                    kept.send(Kept::Done {
                        shard: 0,
                        complete: true,
                        stopped,
                    })
                    .unwrap();
                    if stopped {
                        break;
                    }
                }
            }
        });
        let writer = writer::spawn(WriterParts {
            store,
            config,
            router: Router::new(vec![sender]),
            log: None,
            kept: received,
            clock: Arc::clone(&clock) as _,
            metrics: Arc::clone(metrics),
        })
        .unwrap();
        Self {
            writer,
            changed,
            shard,
            clock,
            metrics: Arc::clone(metrics),
        }
    }

    fn on(dir: &Path, config: StoreConfig) -> Self {
        let metrics = Arc::new(Metrics::new());
        let store = open(dir, &metrics).unwrap().store;
        Self::start(store, config, &metrics)
    }

    fn change(&self, group: GroupSnapshot) {
        locked(&self.changed).push(group);
    }

    /// Hands `groups` over at a checkpoint. True if all of it is on disk.
    fn write(&self, groups: impl IntoIterator<Item = GroupSnapshot>) -> bool {
        locked(&self.changed).extend(groups);
        self.writer.checkpoint_now()
    }

    fn stop(self) {
        self.writer.stop().unwrap();
        self.shard.join().unwrap();
    }
}
