//! A log that takes nothing: requests are refused or taken unkept, as configured, and all is well again
//! when there is room.

use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use saimon::engine::journal::WhenFull;
use saimon::store::log::files::{Dir, Files, LogFile};
use saimon::store::log::options::Options;
use saimon::telemetry::Outcome;

use crate::process::{Disk, Process, unsynced};
use crate::stream::Stream;

/// A folder on a disk with room for so many bytes.
struct Small {
    dir: Dir,
    room: Arc<AtomicU64>,
}

struct SmallFile {
    file: Arc<dyn LogFile>,
    room: Arc<AtomicU64>,
}

impl Small {
    fn wrap(&self, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(SmallFile {
            file,
            room: Arc::clone(&self.room),
        })
    }
}

impl Files for Small {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.dir.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.wrap(self.dir.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.wrap(self.dir.open(name)?))
    }
    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        self.dir.cut(name, len)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.dir.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.dir.sync_names()
    }
}

impl LogFile for SmallFile {
    fn append(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted: usize = parts.iter().map(|p| p.len()).sum();
        let room = self.room.load(Ordering::Relaxed) as usize;
        if room == 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let first = &parts[0][..parts[0].len().min(room)];
        let written = if wanted <= room {
            self.file.append(parts)?
        } else {
            self.file.append(&[IoSlice::new(first)])?
        };
        self.room.fetch_sub(written as u64, Ordering::Relaxed);
        Ok(written)
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(at, into)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
}

fn start(log: &Path, room: &Arc<AtomicU64>, when_full: WhenFull) -> Process {
    let files = Small {
        dir: Dir::open(log).unwrap(),
        room: Arc::clone(room),
    };
    let disk = Disk::default();
    Process::start_on(2, &disk, Some(Box::new(files)), unsynced(), when_full)
}

#[test]
fn a_full_disk_refuses_until_there_is_room_and_what_was_taken_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("wal");
    let room = Arc::new(AtomicU64::new(200_000));
    let mut whole = Process::start(1, &Disk::default(), None);
    let mut small = start(&log, &room, WhenFull::Refuse);
    let mut stream = Stream::new(5, 120);
    let mut refused = 0;
    for step in 0..120 {
        for sent in stream.round() {
            let want = if sent.early { 400 } else { 204 };
            let mut status = small.post(sent.headers, &sent.body, sent.now_ms);
            if status == 503 {
                refused += 1;
                assert!(refused < 1000, "it recovers by itself");
                let page = small.get("/metrics/scores");
                assert_eq!(page.status, 200, "scores are shown");
                // The sender sends it until it is taken, which is when somebody has made room.
                room.fetch_add(20_000, Ordering::Relaxed);
                status = small.post(sent.headers, &sent.body, sent.now_ms);
            }
            assert_eq!(status, want);
            assert_eq!(whole.post(sent.headers, &sent.body, sent.now_ms), want);
        }
        assert_eq!(small.shown(), whole.shown(), "step {step}");
    }
    assert!(refused > 3, "{refused}");
    assert!(small.metrics.ingest_v1.get(Outcome::Unavailable) > 0);
    small.kill();
    let mut small = start(&log, &room, WhenFull::Refuse);
    let none = Disk::default();
    assert!(small.held(&none) == whole.held(&none));
}

#[test]
fn a_full_disk_sheds_if_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("wal");
    let room = Arc::new(AtomicU64::new(200_000));
    let mut whole = Process::start(1, &Disk::default(), None);
    let mut small = start(&log, &room, WhenFull::Shed);
    let mut stream = Stream::new(6, 100);
    for step in 0..100 {
        for sent in stream.round() {
            let want = if sent.early { 400 } else { 204 };
            assert_eq!(small.post(sent.headers, &sent.body, sent.now_ms), want);
            assert_eq!(whole.post(sent.headers, &sent.body, sent.now_ms), want);
        }
        assert_eq!(small.shown(), whole.shown(), "step {step}: all are scored");
    }
    let shed = small.metrics.wal.shed.get();
    assert!(shed > 10, "{shed}");
    room.fetch_add(1 << 20, Ordering::Relaxed);
    for sent in stream.round() {
        small.post(sent.headers, &sent.body, sent.now_ms);
    }
    assert_eq!(small.metrics.wal.shed.get(), shed, "kept again");
}

#[test]
fn a_log_at_its_limit_refuses_until_a_checkpoint_covers_it() {
    let folder = tempfile::tempdir().unwrap();
    let files = Box::new(Dir::open(&folder.path().join("wal")).unwrap());
    let options = Options {
        segment: 64 << 10,
        limit: 256 << 10,
        ..unsynced()
    };
    let mut disk = Disk::default();
    let mut process = Process::start_on(1, &disk, Some(files), options, WhenFull::Refuse);
    let mut stream = Stream::new(7, 200);
    let mut rng = fastrand::Rng::with_seed(1);
    let mut checkpoints = 0;
    for _ in 0..200 {
        for sent in stream.round() {
            let mut status = process.post(sent.headers, &sent.body, sent.now_ms);
            if status == 503 {
                assert!(process.checkpoint(&mut disk, &mut rng, 1.0));
                checkpoints += 1;
                status = process.post(sent.headers, &sent.body, sent.now_ms);
            }
            assert_eq!(status, if sent.early { 400 } else { 204 });
        }
    }
    assert!(checkpoints > 1, "{checkpoints}");
}
