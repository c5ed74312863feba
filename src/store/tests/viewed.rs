//! A store that is looked at: what is wrong with it is said, and nothing else.

use super::super::block;
use super::super::disk::Edit;
use super::super::outline::{self, Outline};
use super::super::view::{Checked, Complaint, View};
use super::super::{key, value};
use super::*;
use crate::window::chunk::ChunkAppender;
use crate::window::decimal::Encoder;

/// A chunk that is one.
fn real(position: u16, first_ms: i64) -> ClosedChunk {
    let mut appender = ChunkAppender::new();
    for i in 0..20 {
        appender.append(first_ms + i * 15_000, i as f64 / 4.0);
    }
    ClosedChunk {
        position,
        first_ms,
        last_ms: first_ms + 19 * 15_000,
        samples: 20,
        encoding: crate::window::encoding::Encoding::Xor,
        bytes: appender.finish(),
    }
}

fn check(dir: &Path) -> (Checked, Vec<Complaint>) {
    let temp = tempfile::tempdir().unwrap();
    let view = View::open(dir, temp.path()).unwrap();
    let mut complaints = Vec::new();
    let checked = view.check(
        |state| match state {
            b"bad" => Err("no state of a group".to_owned()),
            _ => Ok(()),
        },
        |_| Ok(()),
        |c| complaints.push(c),
    );
    drop(view);
    assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    (checked, complaints)
}

/// Two groups with chunks, and rollups of one of them.
fn written(dir: &Path) {
    let rig = Rig::on(
        dir,
        StoreConfig {
            window: Duration::from_secs(3600),
            ..config()
        },
    );
    for n in 0..6 {
        let at = NOW + n * HOUR;
        let chunks = vec![real(0, at), real(1, at)];
        assert!(rig.write([group(id(0, 0), b"good", at + HOUR / 2, chunks)]));
    }
    assert!(rig.write([group(id(0, 1), b"good", NOW + HOUR, vec![real(0, NOW)])]));
    rig.stop();
}

#[test]
fn a_whole_store_has_nothing_wrong() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    let (checked, complaints) = check(&dir);
    assert_eq!(complaints, []);
    assert_eq!(checked.groups, 2);
    assert!(checked.blocks >= 3 && checked.chunks >= 4);
    assert_eq!(checked.samples, checked.chunks * 20);
    assert!(checked.rollup_blocks > 0 && checked.rows > 0);
}

#[test]
fn a_store_is_looked_at_while_it_is_open() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let rig = Rig::on(&dir, config());
    assert!(rig.write([group(id(0, 0), b"good", NOW, vec![real(0, NOW)])]));
    let (checked, complaints) = check(&dir);
    assert_eq!((complaints, checked.chunks), (vec![], 1));
    rig.stop();
}

#[test]
fn everything_that_is_wrong_is_said_once() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    written(&dir);
    let store = reopened(&dir);
    let good = store.outline(id(0, 0)).unwrap();
    let put = |key: Vec<u8>, version: u8, payload: &[u8]| {
        let sealed = value::seal(version, &key, payload);
        Edit::Put(key, sealed)
    };
    // A block that is not there, one with a flipped bit, one that overlaps, one that lies.
    let mut outline = Outline {
        newest_ms: NOW,
        ..good
    };
    let missing = outline.blocks[0];
    let next = outline.blocks.iter().map(|b| b.sequence + 1).max().unwrap();
    let mut edits = vec![Edit::Remove(key::block(id(0, 0), missing))];
    let mut add = |sequence: u32, chunks: &[ClosedChunk], edits: &mut Vec<Edit>| {
        let (first_ms, last_ms, payload) = block::encode(chunks, &mut Encoder::new()).unwrap();
        let at = super::super::outline::BlockRef {
            first_ms,
            last_ms,
            sequence,
            bytes: 0,
        };
        outline.blocks.push(at);
        let key = key::block(id(0, 0), at);
        edits.push(put(key.clone(), block::VERSION, &payload));
        key
    };
    let far = NOW + 100 * HOUR;
    add(next, &[real(5, far), real(5, far + 60_000)], &mut edits);
    let mut lies = real(6, far);
    lies.last_ms += 1;
    add(next + 1, &[lies], &mut edits);
    let flipped = add(next + 2, &[real(7, far)], &mut edits);
    if let Some(Edit::Put(_, sealed)) = edits.last_mut() {
        *sealed.last_mut().unwrap() ^= 1;
    }
    let key = key::outline(id(0, 0));
    edits.push(put(key, outline::VERSION, &outline.encode()));
    // A state of the engine's that it cannot read, and a block of nobody.
    edits.push(put(key::state(id(0, 1), 0), 1, b"bad"));
    let orphan = key::block(id(9, 9), missing);
    edits.push(put(orphan, block::VERSION, &[0, 0]));
    store.disk().apply(edits).unwrap();
    store.disk().flush().unwrap();
    drop(store);
    assert!(flipped.len() > 10);

    let (_, complaints) = check(&dir);
    let mut said: Vec<String> = complaints
        .iter()
        .map(|c| format!("{}: {}", c.place, c.what))
        .collect();
    said.sort();
    assert_eq!(
        said,
        [
            "a block of group 0/0: its checksum is wrong",
            "a block of group 9/9: no outline names it",
            "a chunk of series 6 of group 0/0: it does not span the time that it says",
            "group 0/0: a block of it is missing",
            "series 5 of group 0/0: its chunks overlap",
            "the state of group 0/1: no state of a group",
        ]
    );
}
