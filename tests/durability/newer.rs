//! What a newer saimon left is refused, and left as it was.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

use saimon::clock::{Clock as _, SystemClock};
use saimon::config::StoreConfig;
use saimon::engine::keep::{Cut, GroupId, GroupSnapshot, Kept};
use saimon::engine::router::Router;
use saimon::engine::shard::Message;
use saimon::store::Store;
use saimon::store::writer::{self, KEPT_MAX, WriterParts};
use saimon::telemetry::Metrics;

use crate::faults::{copy, files, serve_and_fail};

/// A store with one group in this state.
fn written(data: &Path, state: &[u8]) {
    std::fs::create_dir_all(data).unwrap();
    let (metrics, config) = (Arc::new(Metrics::new()), StoreConfig::default());
    let now_ms = SystemClock.now_ms();
    let store = Store::open(&data.join("store"), &config, &metrics, now_ms).unwrap();
    let (sender, mut messages) = tokio::sync::mpsc::channel(4);
    let (kept, received) = sync_channel(KEPT_MAX);
    let writer = writer::spawn(WriterParts {
        store: store.store,
        config,
        router: Router::new(vec![sender]),
        log: None,
        kept: received,
        clock: Arc::new(SystemClock),
        metrics,
    });
    let group = GroupSnapshot {
        id: GroupId {
            partition: 1,
            number: 0,
        },
        state: state.to_vec(),
        appendices: Vec::new(),
        chunks: Arc::new([]),
        newest_ms: now_ms,
        kept_for: Vec::new(),
        asleep: 0,
        sleepers: Vec::new(),
    };
    let shard = std::thread::spawn(move || {
        let stop = messages.blocking_recv().unwrap();
        assert!(matches!(stop, Message::Stop));
        let cut = Cut {
            partition: 1,
            seq: 0,
            groups: vec![group],
            whole: false,
        };
        kept.send(Kept::Cut(cut)).unwrap();
        let done = Kept::Done {
            shard: 0,
            complete: true,
            stopped: true,
        };
        kept.send(done).unwrap();
    });
    writer.unwrap().stop().unwrap();
    shard.join().unwrap();
}

#[test]
fn state_of_a_newer_saimon_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    written(&data, &[u8::MAX, 1, 2, 3]);
    let said = serve_and_fail(&data);
    assert!(said.contains("newer saimon"), "{said}");
    // It is there for the newer one.
    let copied = folder.path().join("copy");
    copy(&data.join("store"), &copied.join("store"));
    let (metrics, config) = (Arc::new(Metrics::new()), StoreConfig::default());
    let store = Store::open(&copied.join("store"), &config, &metrics, 0).unwrap();
    let mut found = Vec::new();
    store.store.groups(|_, state, _| found.push(state.to_vec()));
    assert_eq!(found, [[u8::MAX, 1, 2, 3]]);
    let broken = |p: &std::path::PathBuf| p.to_string_lossy().contains("broken");
    assert!(!files(&data).iter().any(broken), "nothing is moved aside");
}

/// Version 0 was never written: that is damage, which costs the group and nothing else.
#[test]
fn state_that_is_none_costs_its_group() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    written(&data, &[0, 1, 2, 3]);
    let saimon = crate::serving::Serving::start(&data);
    assert!(saimon.seen.iter().any(|l| l.contains("cannot be used")));
}
