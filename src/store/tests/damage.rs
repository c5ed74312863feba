//! Stores that are not what they should be.

use std::fs;

use super::super::disk::{DiskError, Edit};
use super::super::key;
use super::super::outline::BlockRef;
use super::*;

/// A store with groups 0, 1 and 2 of partition 0, one chunk each.
fn written(dir: &Path) {
    let rig = Rig::on(dir, config());
    assert!(
        rig.write(
            (0..3).map(|n| { group(id(0, n), &[n as u8; 100_000], NOW, vec![chunk(0, NOW)]) })
        )
    );
    rig.stop();
}

fn spoil(dir: &Path, key: Vec<u8>, change: impl Fn(&mut Vec<u8>)) {
    let store = reopened(dir);
    let mut value = store.disk().get(key.clone()).unwrap().unwrap();
    change(&mut value);
    store.disk().apply(vec![Edit::Put(key, value)]).unwrap();
}

fn first_block() -> BlockRef {
    BlockRef {
        first_ms: NOW - HOUR / 2,
        last_ms: NOW,
        sequence: 0,
        bytes: 0,
    }
}

#[test]
fn a_group_with_a_bad_value_is_skipped_and_the_others_load() {
    let flip = |v: &mut Vec<u8>| *v.last_mut().unwrap() ^= 1;
    let future = |v: &mut Vec<u8>| v[0] = 200;
    let cut = |v: &mut Vec<u8>| v.truncate(3);
    let one = id(0, 1);
    type Change<'a> = &'a dyn Fn(&mut Vec<u8>);
    let cases: [(Vec<u8>, Change<'_>); 5] = [
        (key::state(one, 0), &flip),
        (key::state(one, 1), &flip),
        (key::state(one, 0), &future),
        (key::outline(one), &flip),
        (key::outline(one), &cut),
    ];
    for (key, change) in cases {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("store");
        written(&dir);
        spoil(&dir, key.clone(), change);
        let metrics = Arc::new(Metrics::new());
        let store = open(&dir, &metrics).unwrap().store;
        let (groups, loaded) = all(&store);
        let ids: Vec<_> = groups.iter().map(|g| g.0).collect();
        assert_eq!(ids, [id(0, 0), id(0, 2)], "{key:?}");
        assert_eq!(
            (loaded.groups, loaded.skipped, loaded.stopped),
            (2, 1, None)
        );
        assert_eq!(metrics.store_errors.get(), 1);

        // Its number may be used again: nothing of the old group shows up in the new one.
        let rig = Rig::start(store.clone(), config(), &metrics);
        assert!(rig.write([group(one, b"new", NOW, vec![])]));
        rig.stop();
        assert_eq!(store.chunks(one, &[0], 0, i64::MAX).unwrap(), []);
        assert_eq!(store.disk().get(key::block(one, first_block())), Ok(None));
        drop(store);
        assert_eq!(all(&reopened(&dir)).1.groups, 3);
    }
}

#[test]
fn a_bad_block_is_left_out() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    let key = key::block(id(0, 1), first_block());
    spoil(&dir, key, |v| v[20] ^= 1);
    let metrics = Arc::new(Metrics::new());
    let store = open(&dir, &metrics).unwrap().store;
    assert_eq!(all(&store).1.groups, 3);
    assert_eq!(store.chunks(id(0, 1), &[0], 0, NOW).unwrap(), []);
    assert_eq!(metrics.store_errors.get(), 1);
    assert_eq!(
        store.chunks(id(0, 2), &[0], 0, NOW).unwrap(),
        [chunk(0, NOW)]
    );
}

#[test]
fn a_store_of_a_newer_saimon_is_left_alone() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    spoil(&dir, key::FORMAT.to_vec(), |v| *v.last_mut().unwrap() += 1);
    let error = open(&dir, &Arc::new(Metrics::new())).unwrap_err();
    assert!(matches!(error, OpenError::Newer { .. }), "{error}");
    assert!(error.to_string().contains("saimon store 6"), "{error}");
    let beside = fs::read_dir(temp.path()).unwrap().count();
    assert_eq!(beside, 2, "the store and its lock");
}

#[test]
fn a_store_of_format_1_is_read_and_becomes_one_of_today() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    spoil(&dir, key::FORMAT.to_vec(), |v| {
        *v.last_mut().unwrap() = b'1';
    });
    let store = reopened(&dir);
    assert_eq!(all(&store).1.groups, 3);
    let format = store.disk().get(key::FORMAT.to_vec()).unwrap().unwrap();
    assert_eq!(format, b"saimon store 5");
}

#[test]
fn a_store_of_another_format_is_moved_aside() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    spoil(&dir, key::FORMAT.to_vec(), |v| {
        *v.last_mut().unwrap() = b'x';
    });
    let metrics = Arc::new(Metrics::new());
    let opened = open(&dir, &metrics).unwrap();
    let aside = temp.path().join(format!("store.broken-{}", NOW / 1000));
    assert_eq!(opened.moved_aside.as_ref(), Some(&aside));
    assert!(aside.join("db").try_exists().unwrap());
    assert_eq!(metrics.store_moved_aside.get(), 1);
    assert_eq!(metrics.store_ok.get(), 1);
    assert_eq!(all(&opened.store).1, Loaded::default());
    // The fresh one is kept.
    let rig = Rig::start(opened.store, config(), &metrics);
    assert!(rig.write([group(id(0, 0), b"state", NOW, vec![])]));
    rig.stop();
    assert_eq!(all(&reopened(&dir)).1.groups, 1);
}

#[test]
fn what_is_no_store_is_moved_aside() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    fs::write(&dir, "a file").unwrap();
    let opened = open(&dir, &Arc::new(Metrics::new())).unwrap();
    assert_eq!(fs::read(opened.moved_aside.unwrap()).unwrap(), b"a file");
    drop(opened.store);

    let dir = temp.path().join("other");
    fs::create_dir_all(&dir).unwrap();
    fs::write(dir.join("db"), vec![0x55; 10_000]).unwrap();
    fs::write(dir.join("conf"), vec![0xff; 100]).unwrap();
    let opened = open(&dir, &Arc::new(Metrics::new())).unwrap();
    assert!(opened.moved_aside.unwrap().join("db").try_exists().unwrap());
}

#[test]
fn a_store_in_use_stays_where_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let first = reopened(&dir);
    let metrics = Arc::new(Metrics::new());
    let second = open(&dir, &metrics).unwrap_err();
    assert_eq!(second, OpenError::Locked { dir: dir.clone() });
    assert!(second.to_string().contains("in use by another process"));
    assert_eq!(metrics.store_ok.get(), 0);
    drop(first);
    drop(reopened(&dir));

    // A program that does not know of our lock, such as another version.
    let opener = super::super::sled::opener(&dir, 1 << 20);
    let other = opener.open().unwrap();
    let second = open(&dir, &metrics).unwrap_err();
    assert_eq!(second, OpenError::Locked { dir: dir.clone() });
    drop(other);
    reopened(&dir);
}

#[test]
fn without_a_place_for_it_there_is_no_store() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join("file"), "").unwrap();
    let metrics = Arc::new(Metrics::new());
    let error = open(&temp.path().join("file/store"), &metrics).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
    assert_eq!(metrics.store_ok.get(), 0);
    assert_eq!(metrics.store_moved_aside.get(), 0);
}

#[test]
fn a_snapshot_that_was_not_finished_is_no_damage() {
    for content in [&b""[..], b"cut", &[0; 4096]] {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("store");
        written(&dir);
        // As sled leaves it if the disk is full, or the process killed, while it opens.
        let unfinished = dir.join("snap.FFFFFFFFFFFFFFFF.generating");
        fs::write(&unfinished, content).unwrap();
        assert_eq!(all(&reopened(&dir)).1.groups, 3);
        assert!(!unfinished.try_exists().unwrap());
    }
}

#[test]
fn a_store_that_lost_its_newest_checkpoint_goes_on_from_the_one_before() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    let older = temp.path().join("older");
    copy(&dir, &older);
    let rig = Rig::on(&dir, config());
    assert!(rig.write([group(id(0, 9), b"newest", NOW, vec![])]));
    rig.stop();
    // What sled makes of a damaged end: the store as it was before.
    fs::copy(dir.join("flushes"), older.join("flushes")).unwrap();
    assert_eq!(all(&reopened(&older)).1.groups, 3);
}

#[test]
fn a_store_that_lost_everything_is_moved_aside() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    for part in ["db", "conf"] {
        fs::remove_file(dir.join(part)).unwrap();
    }
    for name in files_of(&dir) {
        if name.to_string_lossy().starts_with("snap") {
            fs::remove_file(dir.join(name)).unwrap();
        }
    }
    let metrics = Arc::new(Metrics::new());
    let opened = open(&dir, &metrics).unwrap();
    assert!(opened.moved_aside.is_some());
    assert_eq!(metrics.store_moved_aside.get(), 1);
}

/// Opens a store, reads everything and writes to it, as a start of saimon does.
fn use_it(dir: &Path) {
    let metrics = Arc::new(Metrics::new());
    let opened = open(dir, &metrics).expect("a damaged store is replaced");
    let store = opened.store;
    let mut good = 0;
    let loaded = store.groups(|id, state, newest_ms| {
        // What is handed over is what was written, whatever happened to the files.
        assert_eq!(state, [id.number as u8; 100_000]);
        assert_eq!(newest_ms, NOW);
        good += 1;
    });
    // Nothing is lost without a word.
    let told = opened.moved_aside.is_some() || loaded.stopped.is_some();
    assert!(told || good + loaded.skipped == 3, "{loaded:?}");
    for n in 0..3 {
        match store.chunks(id(0, n), &[0], 0, i64::MAX) {
            Ok(found) => assert!(found.is_empty() || found == [chunk(0, NOW)]),
            Err(error) => assert_ne!(error, DiskError::Stalled),
        }
    }
    let rig = Rig::start(store.clone(), config(), &metrics);
    let written = rig.write((0..4).map(|n| group(id(1, n), b"new", NOW, vec![chunk(0, NOW)])));
    rig.stop();
    assert!(written, "the store takes writes again");
    println!("moved aside {}, {loaded:?}", opened.moved_aside.is_some());
    let mut new = 0;
    store.groups(|id, _, _| new += u32::from(id.partition == 1));
    assert_eq!(new, 4);
}

/// In a process of its own, because damage can make sled end threads that a process cannot start
/// again, and because this is about not crashing.
#[test]
fn flipped_bytes_on_disk_never_crash() {
    let temp = tempfile::tempdir().unwrap();
    let whole = temp.path().join("whole");
    written(&whole);
    let files = files_of(&whole);
    assert!(files.len() >= 2, "{files:?}");
    let mut rng = fastrand::Rng::with_seed(7);
    // More of them when looking for trouble.
    let rounds = std::env::var("SAIMON_TEST_FLIPS").map_or(60, |n| n.parse().unwrap());
    for round in 0..rounds {
        let dir = temp.path().join(format!("damaged-{round}/store"));
        copy(&whole, &dir);
        let file = dir.join(&files[round % files.len()]);
        let mut bytes = fs::read(&file).unwrap();
        match round % 5 {
            // Near the start, where headers are.
            0 | 1 if !bytes.is_empty() => {
                let at = rng.usize(..bytes.len().min(256));
                bytes[at] ^= 1 << rng.u8(..8);
            }
            2 => bytes.truncate(rng.usize(..=bytes.len())),
            _ => {
                for _ in 0..4 {
                    if !bytes.is_empty() {
                        let at = rng.usize(..bytes.len());
                        bytes[at] = rng.u8(..);
                    }
                }
            }
        }
        fs::write(&file, bytes).unwrap();
        let child = super::killed::child("store::tests::damage::child", &dir)
            .output()
            .unwrap();
        assert!(
            child.status.success(),
            "round {round}, {}: {}\n{}",
            file.display(),
            child.status,
            String::from_utf8_lossy(&child.stderr)
        );
        println!("{}", String::from_utf8_lossy(&child.stdout));
        fs::remove_dir_all(dir.parent().unwrap()).unwrap();
    }
}

#[test]
fn child() {
    if let Some(dir) = super::killed::child_dir() {
        use_it(&dir);
    }
}

/// Names of all files under a folder.
fn files_of(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = std::path::PathBuf::from(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            found.extend(files_of(&entry.path()).into_iter().map(|f| name.join(f)));
        } else {
            found.push(name);
        }
    }
    found.sort();
    found
}

pub(super) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
