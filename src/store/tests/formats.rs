//! Stores of earlier formats are read: all that was in one, as it was written then.

use super::super::sled::write_plain;
use super::super::{key, load, position};
use super::kept::measured;
use super::*;
use crate::engine::keep::{Appendix, Family, Sleepers, Sleeping};
use crate::wire::write::MetricType;

/// Keys and values in hexadecimal, one pair a line.
fn pairs(fixture: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let bytes = |text: &str| -> Vec<u8> {
        (0..text.len())
            .step_by(2)
            .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
            .collect()
    };
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap();
        (bytes(key), bytes(value))
    };
    fixture.lines().map(pair).collect()
}

/// Two groups of one partition, one of another: states, appendices, sleepers, chunks, rows, families,
/// positions.
fn write(dir: &Path) {
    let metrics = Arc::new(Metrics::new());
    let store = open(dir, &metrics).unwrap().store;
    let config = StoreConfig {
        window: Duration::from_secs(3600),
        rollups: Duration::from_secs(24 * 3600),
        ..config()
    };
    let rig = Rig::start(store, config, &metrics);
    // Old enough to have become rows by the end of this.
    for hours in [6, 5, 1] {
        let last_ms = NOW - hours * HOUR;
        assert!(rig.write([group(
            id(0, 0),
            b"of then",
            last_ms,
            vec![measured(2, last_ms)]
        )]));
    }
    assert!(rig.write([
        group(
            id(0, 0),
            b"first",
            NOW,
            vec![measured(2, NOW), measured(9, NOW)]
        ),
        GroupSnapshot {
            appendices: vec![rows()],
            asleep: 1 << 6,
            sleepers: vec![(6, Arc::new(Sleeping::new(b"sleeps".to_vec())))],
            ..group(id(0, 1), b"second", NOW, vec![])
        },
        group(id(200, 0), b"third", NOW - 1, vec![measured(0, NOW - 1)]),
    ]));
    rig.stop();
    let store = reopened(dir);
    let families = [
        ("jobs_done", MetricType::Counter),
        ("load", MetricType::Gauge),
    ];
    let families: Vec<Family> = families
        .into_iter()
        .zip(1..)
        .map(|((name, kind), seq)| Family {
            name: name.into(),
            kind,
            seq,
        })
        .collect();
    let mut edits = position::families(&families, 0);
    edits.push(position::through(7));
    edits.push(position::cut(3, 11));
    store.apply(edits, Vec::new()).unwrap();
    store.disk().flush().unwrap();
}

fn rows() -> Appendix {
    Appendix {
        position: 4,
        part: 1,
        bytes: b"rows of a forest".to_vec(),
    }
}

/// What a store has that says a group's forests and sleepers too: from format 3 on.
fn check_apart(store: &Store) {
    assert_eq!(store.appendices(id(0, 1)), [rows()]);
    let of = [(id(0, 1), 6), (id(0, 1), 7)];
    let asleep = Sleepers::states(store, &of).unwrap();
    assert_eq!(asleep, [Some(b"sleeps".to_vec()), None]);
}

fn check(store: &Store) {
    let (groups, loaded) = all(store);
    assert_eq!((groups.len(), loaded.skipped), (3, 0));
    assert!(groups.contains(&(id(0, 0), b"first".to_vec(), NOW)));
    assert!(groups.contains(&(id(200, 0), b"third".to_vec(), NOW - 1)));
    let families = store.families().unwrap();
    assert_eq!((families.len(), &*families[1].name), (2, "load"));
    let chunks = store.chunks(id(0, 0), &[2, 9], 0, i64::MAX).unwrap();
    let of = |position| chunks.iter().filter(move |c| c.position == position);
    assert_eq!(of(9).cloned().collect::<Vec<_>>(), [measured(9, NOW)]);
    assert_eq!(of(2).next_back(), Some(&measured(2, NOW)));
    let rows = store.rollups(id(0, 0), &[2], 0, i64::MAX).unwrap();
    assert!(rows[0].1.len() > 5, "{}", rows[0].1.len());
}

/// A store as it was written by an earlier saimon: read, written to and read again.
fn read_and_written(fixture: &str, apart: bool) {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    write_plain(&dir, pairs(fixture));
    let check = |store: &Store| {
        check(store);
        if apart {
            check_apart(store);
        }
    };
    let store = reopened(&dir);
    check(&store);
    let position = store.position().unwrap();
    assert!(position.through == 7 && position.covered[3] == 11);
    let format = store.disk().get(key::FORMAT.to_vec()).unwrap().unwrap();
    assert_eq!(format, b"saimon store 5");
    drop(store);
    let rig = Rig::on(&dir, config());
    assert!(rig.write([group(id(0, 0), b"first", NOW, vec![chunk(1, NOW)])]));
    rig.stop();
    let store = reopened(&dir);
    check(&store);
    assert_eq!(store.chunks(id(0, 0), &[1], 0, i64::MAX).unwrap().len(), 1);
}

#[test]
fn a_store_of_format_2_is_read_and_written() {
    let fixture = include_str!("../../../tests/fixtures/store-v2.txt");
    read_and_written(fixture, false);
}

#[test]
fn a_store_of_format_3_is_read_and_written() {
    let fixture = include_str!("../../../tests/fixtures/store-v3.txt");
    read_and_written(fixture, true);
}

#[test]
fn a_store_of_format_4_is_read_and_written() {
    let fixture = include_str!("../../../tests/fixtures/store-v4.txt");
    read_and_written(fixture, true);
}

/// Run with `--ignored` when the format changes, with a new name: the fixture of the one before stays.
#[test]
#[ignore = "writes a fixture"]
fn write_a_store() {
    use std::fmt::Write as _;
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    write(&dir);
    let store = reopened(&dir);
    check(&store);
    check_apart(&store);
    let mut text = String::new();
    // States and blocks are not where their keys are.
    for kind in 0..=key::SLEEPERS.0[0] {
        load::pages(&store.disk(), &[kind], &[kind + 1], |key, value| {
            for (bytes, end) in [(key, ' '), (value, '\n')] {
                bytes.iter().for_each(|b| write!(text, "{b:02x}").unwrap());
                text.push(end);
            }
        })
        .unwrap();
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v5.txt");
    std::fs::write(file, text).unwrap();
}
