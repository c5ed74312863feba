//! A power cut: what was written and not synced is gone, in whole or page by page.

use std::collections::HashMap;
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use saimon::config::SyncMode;
use saimon::engine::journal::WhenFull;
use saimon::store::log::Log;
use saimon::store::log::files::{Dir, Files, LogFile};
use saimon::store::log::options::Options;
use saimon::telemetry::durable::LogMetrics;

use crate::process::{Disk, Process, unsynced};
use crate::stream::Stream;

const PAGE: usize = 4096;

/// What of a folder is on its disk for good.
#[derive(Debug, Default)]
struct Durable {
    /// Bytes of each file that were synced.
    bytes: HashMap<String, u64>,
    /// Files whose names were.
    names: Vec<String>,
    /// Nothing reaches the disk any more.
    off: bool,
}

/// A folder whose disk has a cache that forgets without power.
struct Cached {
    dir: Dir,
    durable: Arc<Mutex<Durable>>,
}

struct CachedFile {
    file: Arc<dyn LogFile>,
    name: String,
    path: PathBuf,
    durable: Arc<Mutex<Durable>>,
}

struct Folder {
    path: PathBuf,
    durable: Arc<Mutex<Durable>>,
}

impl Folder {
    fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            durable: Arc::default(),
        }
    }

    fn files(&self) -> Box<dyn Files> {
        Box::new(Opened {
            cached: Cached {
                dir: Dir::open(&self.path).unwrap(),
                durable: Arc::clone(&self.durable),
            },
            path: self.path.clone(),
        })
    }

    fn switch_off(&self) {
        self.durable.lock().unwrap().off = true;
    }

    /// Takes away some of what was not synced: names, ends of files, pages in between.
    fn forget(&self, rng: &mut fastrand::Rng) {
        let mut durable = self.durable.lock().unwrap();
        for entry in std::fs::read_dir(&self.path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let synced = durable.bytes.get(&name).copied().unwrap_or(0) as usize;
            if !durable.names.contains(&name) && rng.bool() {
                std::fs::remove_file(&path).unwrap();
                continue;
            }
            let mut bytes = std::fs::read(&path).unwrap();
            bytes.truncate(rng.usize(synced..=bytes.len()));
            let mut at = synced;
            while at < bytes.len() {
                let end = (at / PAGE * PAGE + PAGE).min(bytes.len());
                match rng.u8(0..4) {
                    0 => bytes[at..end].fill(0),
                    1 => rng.fill(&mut bytes[at..end]),
                    _ => {}
                }
                at = end;
            }
            std::fs::write(&path, &bytes).unwrap();
            durable.bytes.insert(name.clone(), bytes.len() as u64);
            durable.names.push(name);
        }
        durable.off = false;
    }
}

/// The folder as the log has it.
struct Opened {
    cached: Cached,
    path: PathBuf,
}

impl Opened {
    fn wrap(&self, name: &str, file: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(CachedFile {
            file,
            name: name.to_owned(),
            path: self.path.join(name),
            durable: Arc::clone(&self.cached.durable),
        })
    }
}

impl Files for Opened {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        self.cached.dir.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.wrap(name, self.cached.dir.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(self.wrap(name, self.cached.dir.open(name)?))
    }
    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        self.cached.dir.cut(name, len)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.cached.dir.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        let mut durable = self.cached.durable.lock().unwrap();
        if durable.off {
            return Err(io::Error::other("no power"));
        }
        for (name, _) in self.cached.dir.list()? {
            durable.names.push(name);
        }
        Ok(())
    }
}

impl LogFile for CachedFile {
    fn append(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.file.append(parts)
    }
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(at, into)
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn sync(&self) -> io::Result<()> {
        let mut durable = self.durable.lock().unwrap();
        if durable.off {
            return Err(io::Error::other("no power"));
        }
        let len = std::fs::metadata(&self.path)?.len();
        durable.bytes.insert(self.name.clone(), len);
        Ok(())
    }
}

fn start(folder: &Folder, disk: &Disk, shards: usize, sync: SyncMode) -> Process {
    let options = Options {
        sync,
        // Several segments, so that their names matter.
        segment: 64 << 10,
        ..unsynced()
    };
    let files = Some(folder.files());
    Process::start_on(shards, disk, files, options, WhenFull::Refuse)
}

#[test]
fn with_sync_always_a_power_cut_costs_nothing_that_was_acknowledged() {
    for seed in 1..4 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(&temp.path().join("wal"));
        let mut disk = Disk::default();
        let mut whole = Process::start(1, &disk, None);
        let mut cut = start(&folder, &disk, 2, SyncMode::Always);
        let mut stream = Stream::new(seed, 120);
        let (mut cuts, mut replayed) = (0, 0);
        for step in 0..120 {
            for sent in stream.round() {
                let want = if sent.early { 400 } else { 204 };
                if rng.u8(0..30) == 0 {
                    // Written, not synced, not acknowledged: it may be kept or not.
                    folder.switch_off();
                    assert_eq!(cut.post(sent.headers, &sent.body, sent.now_ms), 503);
                    cut.kill();
                    folder.forget(&mut rng);
                    cut = start(&folder, &disk, 1 + cuts % 3, SyncMode::Always);
                    cuts += 1;
                    replayed += cut.replayed.records;
                }
                assert_eq!(cut.post(sent.headers, &sent.body, sent.now_ms), want);
                assert_eq!(whole.post(sent.headers, &sent.body, sent.now_ms), want);
            }
            if rng.u8(0..20) == 0 {
                cut.checkpoint(&mut disk, &mut rng, 1.0);
            }
            let shown = whole.shown();
            for (series, score) in cut.shown() {
                assert_eq!(shown.get(&series), Some(&score), "{series} at step {step}");
            }
        }
        assert!(cuts > 3 && replayed > 50, "{cuts} {replayed}");
        assert!(
            whole.held(&Disk::default()) == cut.held(&disk),
            "seed {seed}"
        );
        whole.kill();
        cut.kill();
    }
}

#[test]
fn with_sync_interval_it_costs_at_most_what_came_since_the_last_sync() {
    for seed in 1..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let temp = tempfile::tempdir().unwrap();
        let folder = Folder::new(&temp.path().join("wal"));
        let disk = Disk::default();
        let mut stream = Stream::new(seed, 60);
        let mut process = start(&folder, &disk, 1, SyncMode::Never);
        let mut synced = 0;
        for _ in 0..60 {
            for sent in stream.round() {
                process.post(sent.headers, &sent.body, sent.now_ms);
            }
            if rng.u8(0..8) == 0 {
                // What the log's thread does once an interval.
                let log = process.log.as_ref().unwrap();
                log.sync().unwrap();
                synced = log.last_seq();
            }
        }
        let all = process.log.as_ref().unwrap().last_seq();
        assert!(synced > 20 && all > synced, "{synced} of {all}");
        folder.switch_off();
        process.kill();
        folder.forget(&mut rng);
        let mut found = Vec::new();
        {
            let metrics = Arc::new(LogMetrics::default());
            let (log, _) = Log::open(folder.files(), unsynced(), metrics).unwrap();
            log.replay(0, |seq, _, _| found.push(seq), |_, _| {})
                .unwrap();
        }
        assert!(found.len() as u64 >= synced && *found.last().unwrap() <= all);
        assert!(found.is_sorted(), "in order, each once");
        let first: Vec<u64> = (1..=synced).collect();
        assert_eq!(found[..first.len()], first, "all that was synced");
        // And it goes on from there.
        let mut process = start(&folder, &disk, 1, SyncMode::Always);
        assert_eq!(process.replayed.records, found.len() as u64);
        for sent in stream.round() {
            let want = if sent.early { 400 } else { 204 };
            assert_eq!(process.post(sent.headers, &sent.body, sent.now_ms), want);
        }
        process.kill();
    }
}
