//! What is written comes back, for as long as it should.

use super::super::key;
use super::*;

#[test]
fn groups_and_chunks_survive_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data/store");
    let rig = Rig::on(&dir, config());
    let long: Vec<u8> = (0..200_000u32).map(|i| i as u8).collect();
    assert!(rig.write([
        group(id(0, 0), &long, NOW, vec![chunk(0, NOW), chunk(1, NOW)]),
        group(id(63, 7), b"other", NOW - 5, vec![]),
    ]));
    assert!(rig.write([group(
        id(0, 0),
        &long[1..],
        NOW + HOUR,
        vec![chunk(0, NOW + HOUR / 2), chunk(0, NOW + HOUR)],
    )]));
    assert!(rig.metrics.store_bytes.get() > 0);
    assert!(rig.metrics.store_bytes_written.get() > 400_000);
    assert_eq!(rig.metrics.checkpoint_last.get(), NOW as f64 / 1000.0);
    rig.stop();

    let store = reopened(&dir);
    let (groups, loaded) = all(&store);
    assert_eq!(
        groups,
        [
            (id(0, 0), long[1..].to_vec(), NOW + HOUR),
            (id(63, 7), b"other".to_vec(), NOW - 5),
        ]
    );
    assert_eq!(
        (loaded.groups, loaded.skipped, loaded.stopped),
        (2, 0, None)
    );
    assert_eq!(
        store.chunks(id(0, 0), &[0], 0, i64::MAX).unwrap(),
        [
            chunk(0, NOW),
            chunk(0, NOW + HOUR / 2),
            chunk(0, NOW + HOUR)
        ]
    );
    assert_eq!(
        store
            .chunks(id(0, 0), &[0], NOW + 1, NOW + HOUR / 2 - 1)
            .unwrap(),
        [chunk(0, NOW + HOUR / 2)]
    );
    assert_eq!(
        store.chunks(id(0, 0), &[1], i64::MIN, i64::MAX).unwrap(),
        [chunk(1, NOW)]
    );
    assert_eq!(store.chunks(id(0, 0), &[2], 0, i64::MAX).unwrap(), []);
    assert_eq!(store.chunks(id(9, 9), &[0], 0, i64::MAX).unwrap(), []);
}

#[test]
fn stop_writes_what_the_shards_still_have() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    for n in 0..500 {
        rig.change(group(id(1, n), &[n as u8; 3000], NOW, vec![chunk(0, NOW)]));
    }
    rig.stop();
    let store = reopened(&dir);
    assert_eq!(all(&store).1.groups, 500);
    assert_eq!(store.chunks(id(1, 499), &[0], 0, NOW).unwrap().len(), 1);
}

#[test]
fn checkpoints_come_by_themselves() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(
        &dir,
        StoreConfig {
            checkpoint: Duration::from_millis(1),
            ..config()
        },
    );
    rig.change(group(id(0, 0), b"state", NOW, vec![]));
    while rig.metrics.store_bytes_written.get() == 0 {
        std::thread::sleep(Duration::from_millis(5));
    }
    rig.stop();
}

#[test]
fn shards_that_are_gone_do_not_hold_the_writer_up() {
    let temp = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let store = open(&temp.path().join("store"), &metrics).unwrap().store;
    let (gone, _) = tokio::sync::mpsc::channel(1);
    let (dies, receiver) = tokio::sync::mpsc::channel(1);
    let (kept, received) = mpsc::sync_channel(KEPT_MAX);
    let clock = Arc::new(ManualClock::at(NOW));
    let writer = writer::spawn(WriterParts {
        store,
        config: config(),
        router: Router::new(vec![gone, dies]),
        log: None,
        kept: received,
        clock,
        metrics,
    })
    .unwrap();
    let waiting = std::thread::spawn(move || writer.checkpoint_now().then_some(writer));
    for cut in cuts(vec![group(id(0, 0), b"state", NOW, vec![])]) {
        kept.send(Kept::Cut(cut)).unwrap();
    }
    // A number that no shard has does no harm.
    kept.send(Kept::Done {
        shard: 99,
        complete: true,
        stopped: false,
    })
    .unwrap();
    drop(receiver);
    let writer = waiting.join().unwrap().unwrap();
    writer.stop().unwrap();
}

#[test]
fn old_blocks_go_by_the_newest_sample_not_by_the_clock() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(
        &dir,
        StoreConfig {
            window: Duration::from_secs(3600),
            ..config()
        },
    );
    let start = NOW - 24 * HOUR;
    assert!(rig.write([
        group(id(0, 0), b"a", start, vec![chunk(0, start)]),
        group(id(0, 1), b"b", start, vec![chunk(0, start)]),
    ]));
    rig.clock.set(NOW + 48 * HOUR);
    let end = start + HOUR + 1;
    assert!(rig.write([group(id(0, 0), b"a", end, vec![chunk(0, end)])]));
    assert_eq!(rig.metrics.store_blocks_dropped.get(), 1);
    rig.stop();
    let store = reopened(&dir);
    assert_eq!(
        store.chunks(id(0, 0), &[0], 0, i64::MAX).unwrap(),
        [chunk(0, end)]
    );
    assert_eq!(
        store.chunks(id(0, 1), &[0], 0, i64::MAX).unwrap(),
        [chunk(0, start)]
    );
}

#[test]
fn silent_groups_are_forgotten_by_the_clock() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(
        &dir,
        StoreConfig {
            forget: Duration::from_secs(3600),
            ..config()
        },
    );
    let long = vec![1; 200_000];
    assert!(rig.write([
        group(id(0, 0), &long, NOW - 10, vec![chunk(0, NOW - 10)]),
        group(id(0, 1), b"b", NOW, vec![]),
        group(id(0, 2), b"c", NOW - 10, vec![]),
    ]));
    rig.clock.set(NOW + HOUR);
    // The last one is back in this very checkpoint.
    assert!(rig.write([group(id(0, 2), b"back", NOW + HOUR, vec![])]));
    rig.stop();
    let store = reopened(&dir);
    let (groups, loaded) = all(&store);
    assert_eq!(
        groups,
        [
            (id(0, 1), b"b".to_vec(), NOW),
            (id(0, 2), b"back".to_vec(), NOW + HOUR)
        ]
    );
    assert_eq!(loaded.skipped, 0);
    assert_eq!(keys(&store), 2 * 2);
}

#[test]
fn a_group_that_is_gone_leaves_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write([group(id(3, 3), &[1; 100_000], NOW, vec![chunk(0, NOW)])]));
    assert!(rig.write([group(id(3, 3), b"", NOW, vec![])]));
    rig.stop();
    let store = reopened(&dir);
    assert_eq!(all(&store).0, []);
    assert_eq!(keys(&store), 0);
}

/// Keys in the store that belong to groups.
fn keys(store: &Store) -> usize {
    store
        .disk()
        .scan(key::OUTLINES.0, key::BLOCKS.1, usize::MAX)
        .unwrap()
        .len()
}
