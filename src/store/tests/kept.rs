//! What is written comes back, for as long as it should.

use super::super::disk::Edit;
use super::super::key;
use super::*;
use crate::engine::keep::Appendix;
use crate::window::chunk::ChunkAppender;
use crate::window::rollup::{Row, STEP_MS};

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

/// Large parts of a state are written when they are given, stay when they are not, and leave when
/// they are no more or their group is.
#[test]
fn appendices_stay_until_they_are_given_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let appendix = |position, part, bytes: &[u8]| Appendix {
        position,
        part,
        bytes: bytes.to_vec(),
    };
    let with = |n, appendices: &[Appendix]| GroupSnapshot {
        appendices: appendices.to_vec(),
        ..group(id(0, n), b"state", NOW, vec![])
    };
    let rig = Rig::on(&dir, config());
    let rows: Vec<u8> = (0..25_000u32).map(|i| i as u8).collect();
    assert!(rig.write([
        with(0, &[appendix(0, 0, &rows), appendix(127, 4, b"a")]),
        with(1, &[appendix(3, 0, b"of another")]),
    ]));
    let written = rig.metrics.store_bytes_written.get();
    assert!(rig.write([with(0, &[appendix(127, 4, b"b")]), with(1, &[])]));
    assert!(rig.metrics.store_bytes_written.get() < written + 5_000);
    rig.stop();

    let store = reopened(&dir);
    all(&store);
    let mut found = store.appendices(id(0, 0));
    found.sort_by_key(|a| a.position);
    assert_eq!(found, [appendix(0, 0, &rows), appendix(127, 4, b"b")]);
    assert_eq!(store.appendices(id(0, 1)), [appendix(3, 0, b"of another")]);
    assert_eq!(store.appendices(id(0, 2)), []);
    drop(store);

    let rig = Rig::on(&dir, config());
    let gone = group(id(0, 1), b"", NOW, vec![]);
    assert!(rig.write([with(0, &[appendix(0, 0, b"")]), gone]));
    rig.stop();
    let store = reopened(&dir);
    assert_eq!(store.appendices(id(0, 0)), [appendix(127, 4, b"b")]);
    let disk = store.disk();
    assert_eq!(disk.get(key::appendix(id(0, 1), (3, 0))), Ok(None));
    assert_eq!(disk.get(key::appendix(id(0, 0), (0, 0))), Ok(None));
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
            rollups: Duration::ZERO,
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

/// Half an hour of samples 15 s apart that ends at `last_ms`.
pub(super) fn measured(position: u16, last_ms: i64) -> ClosedChunk {
    let mut appender = ChunkAppender::new();
    for i in 0..120 {
        let t_ms = last_ms - (119 - i) * 15_000;
        appender.append(t_ms, value(t_ms));
    }
    ClosedChunk {
        first_ms: last_ms - 119 * 15_000,
        bytes: appender.finish(),
        ..super::chunk(position, last_ms)
    }
}

fn value(t_ms: i64) -> f64 {
    (t_ms / 15_000 % 1009) as f64 / 8.0
}

/// Everything by a plain loop over the samples.
fn expected(from_ms: i64, last_ms: i64) -> Vec<(i64, u32, f64, f64, f64)> {
    let mut rows: Vec<(i64, u32, f64, f64, f64)> = Vec::new();
    let mut t_ms = from_ms;
    while t_ms <= last_ms {
        let start_ms = t_ms.div_euclid(STEP_MS) * STEP_MS;
        let v = value(t_ms);
        match rows.last_mut() {
            Some(row) if row.0 == start_ms => {
                *row = (start_ms, row.1 + 1, row.2.min(v), row.3.max(v), v);
            }
            _ => rows.push((start_ms, 1, v, v, v)),
        }
        t_ms += 15_000;
    }
    rows
}

fn plain(rows: &[Row]) -> Vec<(i64, u32, f64, f64, f64)> {
    rows.iter()
        .map(|r| (r.start_ms(), r.count(), r.min(), r.max(), r.last()))
        .collect()
}

#[test]
fn raw_samples_become_rows_and_rows_go_in_their_turn() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(
        &dir,
        StoreConfig {
            window: Duration::from_secs(2 * 3600),
            rollups: Duration::from_secs(10 * 3600),
            ..config()
        },
    );
    let half = HOUR / 2;
    let begin = NOW - 100 * HOUR;
    let write = |n: i64| {
        let last_ms = begin + n * half;
        rig.write([group(
            id(2, 2),
            b"s",
            last_ms,
            vec![measured(0, last_ms), measured(9, last_ms)],
        )])
    };
    // Six half hours: the oldest block is older than the window, but not by an hour.
    for n in 1..=6 {
        assert!(write(n));
    }
    let first = begin + half - 119 * 15_000;
    let all_time = (i64::MIN, i64::MAX);
    let rows_of = |store: &Store, position: u16, (from, to): (i64, i64)| {
        let found = store.rollups(id(2, 2), &[position], from, to).unwrap();
        found.into_iter().next().map_or(Vec::new(), |(at, rows)| {
            assert_eq!(at, position);
            rows
        })
    };
    assert_eq!(rig.metrics.store_blocks_dropped.get(), 0);
    for n in 7..=10 {
        assert!(write(n));
    }
    rig.stop();
    let store = reopened(&dir);
    let newest = begin + 10 * half;
    let raw = store.chunks(id(2, 2), &[9], 0, i64::MAX).unwrap();
    let oldest_raw = raw[0].first_ms;
    assert!(oldest_raw <= newest - 2 * HOUR && oldest_raw > newest - 4 * HOUR);
    // Raw and rows together are all that was written, each sample in one of them.
    let rows = rows_of(&store, 9, all_time);
    assert_eq!(plain(&rows), expected(first, oldest_raw - 15_000));
    assert_eq!(rows, rows_of(&store, 0, all_time));
    let from = rows[3].start_ms();
    assert_eq!(rows_of(&store, 9, (from + 1, from + 2)), rows[3..4]);
    assert!(rows_of(&store, 5, all_time).is_empty());

    let metrics = Arc::new(Metrics::new());
    let rig = Rig::start(
        store,
        StoreConfig {
            window: Duration::from_secs(2 * 3600),
            rollups: Duration::from_secs(10 * 3600),
            ..config()
        },
        &metrics,
    );
    for n in 11..=40 {
        let last_ms = begin + n * half;
        assert!(rig.write([group(id(2, 2), b"s", last_ms, vec![measured(9, last_ms)])]));
    }
    rig.stop();
    let store = reopened(&dir);
    let newest = begin + 40 * half;
    let rows = rows_of(&store, 9, all_time);
    let oldest_ms = rows[0].start_ms();
    assert!(oldest_ms <= newest - 10 * HOUR + STEP_MS && oldest_ms > newest - 13 * HOUR);
    let oldest_raw = store.chunks(id(2, 2), &[9], 0, i64::MAX).unwrap()[0].first_ms;
    let want: Vec<_> = expected(first, oldest_raw - 15_000)
        .into_iter()
        .filter(|r| r.0 >= oldest_ms)
        .collect();
    // The oldest row that is left may have been cut by the border of two batches.
    assert_eq!(plain(&rows)[1..], want[1..]);
    assert_eq!(rows_of(&store, 0, all_time), []);

    // A group that is gone takes its rows with it.
    let rig = Rig::start(store, config(), &metrics);
    assert!(rig.write([group(id(2, 2), b"", newest, vec![])]));
    rig.stop();
    assert_eq!(keys(&reopened(&dir)), 0);
}

#[test]
fn a_store_of_the_format_before_is_taken_over() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write([group(id(0, 0), b"a", NOW, vec![chunk(0, NOW)])]));
    rig.stop();
    let store = reopened(&dir);
    let format = |bytes: &[u8]| Edit::Put(key::FORMAT.to_vec(), bytes.to_vec());
    store.disk().apply(vec![format(b"saimon store 1")]).unwrap();
    drop(store);
    let store = reopened(&dir);
    assert_eq!(all(&store).1.groups, 1);
    let now = store.disk().get(key::FORMAT.to_vec()).unwrap().unwrap();
    assert_eq!(now, b"saimon store 5");
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
    let of = |kind: u8| {
        let disk = store.disk();
        disk.scan(&[kind], &[kind + 1], usize::MAX).unwrap().len()
    };
    let groups = key::OF_GROUP.into_iter().map(of).sum::<usize>();
    groups + of(key::BLOCKS.0[0]) + of(key::ROLLUPS.0[0])
}
