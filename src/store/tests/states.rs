//! States in files of their own: what is left of them after kills, power cuts and damage, and how much
//! room they take.

use std::fs;
use std::path::PathBuf;

use super::super::disk::Edit;
use super::super::key;
use super::super::sled::{read_plain, write_plain};
use super::damage::copy;
use super::*;
use crate::engine::keep::{Appendix, Sleepers, Sleeping};

/// Bytes that cannot be packed.
fn noise(seed: u64, bytes: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(seed);
    (0..bytes).map(|_| rng.u8(..)).collect()
}

/// A group's state after its `n`th change.
fn state(group: u32, n: u64) -> Vec<u8> {
    noise(u64::from(group) << 32 | n, 20_000)
}

fn changed(g: u32, n: u64) -> GroupSnapshot {
    group(id(0, g), &state(g, n), NOW, vec![])
}

/// Files of states by their sizes.
fn files(dir: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(dir.join("states")).unwrap();
    let mut found: Vec<_> = entries
        .map(|e| {
            let e = e.unwrap();
            (e.path(), e.metadata().unwrap().len())
        })
        .collect();
    found.sort();
    found
}

/// Which change each group is at, by its number; panics if one is at none.
fn at(store: &Store, newest: u64) -> Vec<(u32, u64)> {
    let (groups, loaded) = all(store);
    assert_eq!((loaded.skipped, loaded.stopped), (0, None));
    let of = |id: GroupId, bytes: &[u8]| {
        let n = (0..=newest).find(|n| state(id.number, *n) == bytes);
        (id.number, n.expect("a state that was written"))
    };
    groups.iter().map(|(id, b, _)| of(*id, b)).collect()
}

#[test]
fn states_are_in_files_of_their_own() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write((0..4).map(|g| changed(g, 0))));
    rig.stop();
    let bytes: u64 = files(&dir).iter().map(|f| f.1).sum();
    assert!((80_000..82_000).contains(&bytes), "{bytes}");
    assert_eq!(at(&reopened(&dir), 0).len(), 4);
}

/// A group of one file, and one of another that is lost, cut or flipped.
#[test]
fn a_group_whose_file_is_missing_cut_or_flipped_is_skipped_and_the_others_load() {
    type Damage = fn(&Path);
    let damages: [Damage; 4] = [
        |file| fs::remove_file(file).unwrap(),
        |file| fs::write(file, b"").unwrap(),
        |file| {
            let bytes = fs::read(file).unwrap();
            fs::write(file, &bytes[..bytes.len() - 1]).unwrap();
        },
        |file| {
            let mut bytes = fs::read(file).unwrap();
            let at = bytes.len() / 2;
            bytes[at] ^= 4;
            fs::write(file, bytes).unwrap();
        },
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("store");
        let rig = Rig::on(&dir, config());
        assert!(rig.write([changed(0, 0)]));
        let of_first = files(&dir);
        assert!(rig.write([changed(1, 0)]));
        rig.stop();
        let second = files(&dir).into_iter().find(|f| !of_first.contains(f));
        damage(&second.unwrap().0);

        let metrics = Arc::new(Metrics::new());
        let opened = open(&dir, &metrics).unwrap();
        assert_eq!(opened.moved_aside, None, "damage {n}");
        let (groups, loaded) = all(&opened.store);
        assert_eq!(groups, [(id(0, 0), state(0, 0), NOW)], "damage {n}");
        assert_eq!((loaded.skipped, loaded.stopped), (1, None));
        assert_eq!(metrics.store_errors.get(), 1);
        let rig = Rig::start(opened.store, config(), &metrics);
        assert!(rig.write([changed(1, 1), changed(2, 0)]));
        rig.stop();
        assert_eq!(at(&reopened(&dir), 1), [(0, 0), (1, 1), (2, 0)]);
    }
}

/// Only what cannot be read is lost of what waits for its series, and the store goes on.
#[test]
fn forests_and_sleepers_of_a_lost_file_are_not_there() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let appendix = |position, bytes: &[u8]| Appendix {
        position,
        part: 0,
        bytes: bytes.to_vec(),
    };
    let snapshot = |appendices, position: u16, asleep| GroupSnapshot {
        appendices,
        asleep,
        sleepers: vec![(position, Arc::new(Sleeping::new(vec![7; 300])))],
        ..changed(0, 0)
    };
    let rig = Rig::on(&dir, config());
    // So much that the file is worth keeping when the state in it is replaced.
    let rows = noise(1, 30_000);
    assert!(rig.write([snapshot(vec![appendix(1, &rows)], 5, 1 << 5)]));
    let first = files(&dir);
    assert!(rig.write([snapshot(vec![appendix(2, b"more")], 6, 3 << 5)]));
    rig.stop();
    fs::remove_file(&first[0].0).unwrap();
    let store = reopened(&dir);
    assert_eq!(at(&store, 0), [(0, 0)]);
    assert_eq!(store.appendices(id(0, 0)), [appendix(2, b"more")]);
    let asleep = Sleepers::states(&store, &[(id(0, 0), 5), (id(0, 0), 6)]).unwrap();
    assert_eq!(asleep, [None, Some(vec![7; 300])]);
}

/// A process that was killed when it had written a file and sled did not know of it.
#[test]
fn what_nothing_points_to_is_deleted_and_its_name_not_used_again() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write((0..3).map(|g| changed(g, 0))));
    rig.stop();
    let killed = temp.path().join("killed/store");
    copy(&dir, &killed);
    let rig = Rig::on(&dir, config());
    assert!(rig.write((0..3).map(|g| changed(g, 1))));
    rig.stop();
    let before = files(&killed);
    for (file, _) in files(&dir) {
        let to = killed.join("states").join(file.file_name().unwrap());
        fs::copy(&file, to).unwrap();
    }
    let orphans: Vec<_> = files(&killed)
        .into_iter()
        .filter(|f| !before.contains(f))
        .collect();
    assert!(!orphans.is_empty());

    assert_eq!(at(&reopened(&killed), 1), [(0, 0), (1, 0), (2, 0)]);
    let rig = Rig::on(&killed, config());
    assert!(rig.write([changed(2, 1)]));
    assert!(rig.write([changed(2, 1)]));
    rig.stop();
    let after = files(&killed);
    assert!(orphans.iter().all(|(file, _)| !file.try_exists().unwrap()));
    assert!(
        after
            .iter()
            .all(|(file, _)| *file > orphans[0].0 || before.iter().any(|b| b.0 == *file))
    );
    assert_eq!(at(&reopened(&killed), 1), [(0, 0), (1, 0), (2, 1)]);
}

/// What a kill leaves of a step that was applied and not flushed: each group as it was before or after.
#[test]
fn a_process_killed_before_the_flush_leaves_whole_groups() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write((0..3).map(|g| changed(g, 0))));
    rig.stop();
    let store = reopened(&dir);
    let mut edits = Vec::new();
    for g in 0..3 {
        super::super::snapshot::put(id(0, g), &state(g, 1), 1, &mut edits);
    }
    store.apply(edits, Vec::new()).unwrap();
    let killed = temp.path().join("killed/store");
    copy(&dir, &killed);
    drop(store);
    let found = at(&reopened(&killed), 1);
    assert!(found == [(0, 0), (1, 0), (2, 0)] || found == [(0, 1), (1, 1), (2, 1)]);
}

/// A power cut, or damage at the end of sled's log, takes it back to an earlier flush: the files that it
/// points to then are still there.
#[test]
fn the_flush_before_the_newest_still_has_its_files() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    for n in 0..3 {
        assert!(rig.write((0..3).map(|g| changed(g, n))));
    }
    let older = temp.path().join("older/store");
    copy(&dir, &older);
    assert!(rig.write((0..3).map(|g| changed(g, 3))));
    fs::remove_dir_all(older.join("states")).unwrap();
    copy(&dir.join("states"), &older.join("states"));
    rig.stop();
    assert_eq!(at(&reopened(&older), 3), [(0, 2), (1, 2), (2, 2)]);
    assert_eq!(at(&reopened(&dir), 3), [(0, 3), (1, 3), (2, 3)]);
}

/// Groups change seldom or often, each file holds some of both: garbage stays below what is live, but
/// for the newest flush.
#[test]
fn garbage_is_bounded() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    let groups = 16;
    assert!(rig.write((0..groups).map(|g| changed(g, 0))));
    let mut newest = vec![0; groups as usize];
    let live = u64::from(groups) * 20_100;
    for n in 1..60u64 {
        let all = (0..groups).filter(|g| n % (u64::from(*g) * 3 + 1) == 0);
        let all: Vec<u32> = all.collect();
        all.iter().for_each(|g| newest[*g as usize] = n);
        assert!(rig.write(all.iter().map(|g| changed(*g, n))));
        let bytes: u64 = files(&dir).iter().map(|f| f.1).sum();
        // Twice what is live, and what two steps replaced.
        let replaced = 2 * live;
        assert!(bytes <= 2 * live + replaced, "{bytes} after {n}");
    }
    // With nothing to write, what the newest steps replaced goes too.
    for _ in 0..2 {
        assert!(rig.write([]));
    }
    let bytes: u64 = files(&dir).iter().map(|f| f.1).sum();
    assert!(bytes <= 2 * live, "{bytes}");
    rig.stop();
    let expected: Vec<_> = (0..groups).zip(newest).collect();
    assert_eq!(at(&reopened(&dir), 60), expected);
}

/// Each checkpoint finds one group changed that never changes again.
#[test]
fn small_files_become_one() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    for g in 0..150 {
        assert!(rig.write([group(id(0, g), &g.to_le_bytes(), NOW, vec![])]));
        assert!(files(&dir).len() < 70);
    }
    rig.stop();
    let (groups, _) = all(&reopened(&dir));
    assert_eq!(groups.len(), 150);
    assert!(
        groups
            .iter()
            .all(|(id, bytes, _)| id.number.to_le_bytes() == bytes[..])
    );
}

/// A file that cannot be read whole is not moved: what can be read of it stays readable.
#[test]
fn what_is_left_of_a_damaged_file_is_kept() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write((0..4).map(|g| changed(g, 0))));
    rig.stop();
    let file = &files(&dir)[0].0;
    let mut bytes = fs::read(file).unwrap();
    bytes[100] ^= 1;
    fs::write(file, bytes).unwrap();
    let store = reopened(&dir);
    assert_eq!(all(&store).1.skipped, 1);
    drop(store);
    let metrics = Arc::new(Metrics::new());
    let store = open(&dir, &metrics).unwrap().store;
    all(&store);
    let rig = Rig::start(store, config(), &metrics);
    for n in 1..4 {
        assert!(rig.write([changed(0, n), changed(1, n), changed(2, n)]));
    }
    rig.stop();
    let found = at(&reopened(&dir), 3);
    assert_eq!(found, [(0, 3), (1, 3), (2, 3), (3, 0)]);
}

/// A store of format 3 whose states are on their way into files when the process is killed.
#[test]
fn states_in_sled_are_moved_into_files_and_that_can_be_broken_off() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write((0..6).map(|g| changed(g, 0))));
    rig.stop();
    // Half of them as they were in format 3.
    let store = reopened(&dir);
    let (mut plain, mut edits) = (Vec::new(), Vec::new());
    for g in 0..3 {
        let key = key::state(id(0, g), 0);
        let value = store.disk().get(key.clone()).unwrap().unwrap();
        plain.push((key.clone(), value));
        edits.push(Edit::Remove(key));
    }
    store.disk().apply(edits).unwrap();
    store.disk().flush().unwrap();
    drop(store);
    write_plain(&dir, plain.clone());
    assert_eq!(read_plain(&dir, &plain[0].0), Some(plain[0].1.clone()));
    let expected: Vec<_> = (0..6).map(|g| (g, 0)).collect();
    assert_eq!(at(&reopened(&dir), 0), expected);
    assert_eq!(read_plain(&dir, &plain[0].0), None);
    assert_eq!(at(&reopened(&dir), 0), expected);
}
