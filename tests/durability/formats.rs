//! Logs of earlier versions are read: a segment of each, as it was written then.

use std::path::{Path, PathBuf};

use saimon::engine::journal::WhenFull;
use saimon::store::log::files::Dir;
use saimon::store::log::options::Options;

use crate::process::{Disk, Process, unsynced};
use crate::stream::Stream;

/// Rounds in a fixture.
const ROUNDS: usize = 3;
const NAME: &str = "0000000000000001.log";

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

/// What is in the fixture.
fn rounds() -> Vec<crate::stream::Sent> {
    let mut stream = Stream::small(4);
    (0..ROUNDS).flat_map(|_| stream.round()).collect()
}

#[test]
fn a_log_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("wal");
    std::fs::create_dir(&log).unwrap();
    let fixture = std::fs::read(fixtures().join("log-v1.bin")).unwrap();
    assert_eq!(fixture[8], 1, "its version");
    std::fs::write(log.join(NAME), fixture).unwrap();
    let mut old = Process::start(2, &Disk::default(), Some(&log));
    let sent = rounds();
    assert_eq!(old.replayed.records, sent.len() as u64);
    assert_eq!((old.replayed.broken, old.replayed.cut_bytes), (0, 0));
    let mut now = Process::start(1, &Disk::default(), None);
    for sent in &sent {
        assert_eq!(now.post(sent.headers, &sent.body, sent.now_ms), 204);
    }
    let none = Disk::default();
    assert!(old.series() > 3 && old.held(&none) == now.held(&none));
    old.kill();
    now.kill();
}

/// Run with `--ignored` when the format of the log changes: the fixture of the version before stays.
#[test]
#[ignore = "writes a fixture"]
fn write_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("wal");
    let options = Options {
        salt: 0x5a17,
        ..unsynced()
    };
    let files = Some(Box::new(Dir::open(&log).unwrap()) as _);
    let mut process = Process::start_on(1, &Disk::default(), files, options, WhenFull::Refuse);
    for sent in rounds() {
        process.post(sent.headers, &sent.body, sent.now_ms);
    }
    process.kill();
    std::fs::copy(log.join(NAME), fixtures().join("log-v1.bin")).unwrap();
}
