//! The store's files: the only place that names sled.
//!
//! What has been learnt about sled 0.34.7 and is kept here: nodes above 128 KiB go to files of their
//! own that its `flush` does not sync, so it is done here (larger segments keep them in the log, for
//! 20 % more disk and half as much CPU again); the first I/O error makes every later call fail until the store is opened again; damage
//! may be an error or a panic, at open or at any call after; or sled takes the damaged place for the
//! end of its log and opens without what came after, silently, down to an empty store, hence the
//! count of flushes beside it; `len()` reads everything.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::sled::{Batch, Config, Db, Mode};

use super::disk::{Backend, DiskError, Edit, OpenFailure, Opener, Pairs, Waits};
use super::key;

/// The format of the whole store: keys, kinds, and what may be in a value of each version. A store
/// of a newer format is left alone, so a new value version that an older saimon must not skip over
/// silently needs a new format too. Format 1 had fewer partitions, no rollups and no decimal chunks,
/// and did not say which records of the journal are in it; it is read, as is
/// format 2, in which no series slept; either becomes format 3.
const FORMAT: u32 = 3;
/// What stands before the number.
const FORMAT_TEXT: &str = "saimon store ";

/// File in the store's folder with the number of flushes that succeeded. sled has the number too, so
/// that a store that lost its newest part is noticed.
const FLUSHES_FILE: &str = "flushes";

/// How often a taken lock is tried again, and after how long. Threads of sled hold the file for some
/// milliseconds after a store is closed, and a store is opened again after an error. Another saimon
/// is noticed before this by the lock beside the folder.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// Opens the store in `dir` with at most `cache` bytes of cached pages.
pub(super) fn opener(dir: &Path, cache: u64) -> Opener {
    let dir = dir.to_owned();
    Opener::new(Waits::default(), move || {
        open(&dir, cache).map(|s| Box::new(s) as Box<dyn Backend>)
    })
}

#[derive(Debug)]
struct SledStore {
    db: Db,
    flushes: u64,
    flushes_file: PathBuf,
    /// Folder of the nodes that have files of their own, named by ever rising numbers.
    blobs: PathBuf,
    /// The highest of them that is synced.
    synced: Option<u64>,
}

fn open(dir: &Path, cache: u64) -> Result<SledStore, OpenFailure> {
    let damaged = |why: String| Err(OpenFailure::Damaged(why));
    match std::fs::metadata(dir) {
        Ok(found) if !found.is_dir() => return damaged("it is not a folder".to_owned()),
        _ => {}
    }
    let flushes_file = dir.join(FLUSHES_FILE);
    let existed = flushes_file
        .try_exists()
        .map_err(|e| OpenFailure::Failed(e.to_string()))?;
    let db = open_files(dir, cache)?;
    let flushes = db.get(key::FLUSHES).map_err(open_failure)?;
    let mut store = SledStore {
        flushes: flushes.map_or(0, |n| number(&n).unwrap_or(0)),
        flushes_file,
        blobs: dir.join("blobs"),
        synced: None,
        db,
    };
    match store.db.get(key::FORMAT).map_err(open_failure)? {
        Some(format) => {
            let text = String::from_utf8_lossy(&format).into_owned();
            let number = text.strip_prefix(FORMAT_TEXT).and_then(|n| n.parse().ok());
            match number {
                Some(FORMAT) => store.compare_flushes()?,
                Some(newer) if newer > FORMAT => return Err(OpenFailure::Newer(text)),
                Some(1 | 2) => {
                    store.compare_flushes()?;
                    store.say_format()?;
                }
                _ => return damaged(format!("it has the format {text:?}")),
            }
        }
        None if existed => return damaged("its content is gone".to_owned()),
        None if store.db.is_empty() => store.say_format()?,
        None => return damaged("it does not say its format".to_owned()),
    }
    Ok(store)
}

impl SledStore {
    fn say_format(&mut self) -> Result<(), OpenFailure> {
        let format = format!("{FORMAT_TEXT}{FORMAT}");
        self.db
            .insert(key::FORMAT, format.as_bytes())
            .map_err(open_failure)?;
        Ok(self.flush()?)
    }

    /// Notices that sled has dropped what was flushed.
    fn compare_flushes(&self) -> Result<(), OpenFailure> {
        // Unreadable after a crash while it was written: then nothing can be said.
        let Some(expected) = std::fs::read_to_string(&self.flushes_file)
            .ok()
            .and_then(|text| text.trim().parse::<u64>().ok())
        else {
            return Ok(());
        };
        if self.flushes >= expected {
            return Ok(());
        }
        let (from, to) = key::OUTLINES;
        if self.db.range(from..to).next().is_none() {
            return Err(OpenFailure::Damaged("its groups are gone".to_owned()));
        }
        // An older state of it, in which every group is whole.
        tracing::warn!(
            store = %self.flushes_file.display(),
            checkpoints_lost = expected - self.flushes,
            "the newest part of the store is damaged: going on from an older checkpoint"
        );
        Ok(())
    }

    /// Syncs the nodes that got files since the last time.
    fn sync_blobs(&mut self) -> std::io::Result<()> {
        let mut newest = self.synced;
        for entry in std::fs::read_dir(&self.blobs)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(number) = name.to_str().and_then(|n| n.parse::<u64>().ok()) else {
                continue;
            };
            if self.synced.is_some_and(|synced| number <= synced) {
                continue;
            }
            match File::open(entry.path()) {
                Ok(file) => file.sync_data()?,
                // sled has replaced it in the meantime.
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
            newest = newest.max(Some(number));
        }
        if newest != self.synced {
            File::open(&self.blobs)?.sync_all()?;
            self.synced = newest;
        }
        Ok(())
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn open_files(dir: &Path, cache: u64) -> Result<Db, OpenFailure> {
    let mut tries = 0;
    loop {
        // A config is used up by opening with it.
        let config = Config::default()
            .path(dir)
            .cache_capacity(cache)
            // A checkpoint is flushed when it is complete; between two there is nothing to flush.
            .flush_every_ms(None)
            // Prefers a small file over fast writes: a checkpoint has a minute for its work. (0.34.7
            // does the same in both modes.)
            .mode(Mode::LowSpace);
        match config.open().map_err(open_failure) {
            Err(OpenFailure::Locked) if tries < LOCK_TRIES => {
                tries += 1;
                std::thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

impl Backend for SledStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.db.get(key).map_err(disk_error)?.map(|v| v.to_vec()))
    }

    fn scan(&mut self, from: &[u8], to: &[u8], bytes: usize) -> Result<Pairs, DiskError> {
        let mut pairs = Vec::new();
        let mut sum = 0;
        for pair in self.db.range(from..to) {
            let (key, value) = pair.map_err(disk_error)?;
            sum += value.len();
            pairs.push((key.to_vec(), value.to_vec()));
            if sum >= bytes {
                break;
            }
        }
        Ok(pairs)
    }

    fn apply(&mut self, edits: Vec<Edit>) -> Result<(), DiskError> {
        let mut batch = Batch::default();
        for edit in edits {
            match edit {
                Edit::Put(key, value) => batch.insert(key, value),
                Edit::Remove(key) => batch.remove(key),
            }
        }
        self.db.apply_batch(batch).map_err(disk_error)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let next = self.flushes + 1;
        self.db
            .insert(key::FLUSHES, &next.to_be_bytes())
            .map_err(disk_error)?;
        self.db.flush().map_err(disk_error)?;
        self.sync_blobs()
            .map_err(|e| DiskError::Failed(e.to_string()))?;
        self.flushes = next;
        // Not synced: after a power cut it may name an older flush, which does no harm.
        std::fs::write(&self.flushes_file, format!("{next}\n"))
            .map_err(|e| DiskError::Failed(e.to_string()))
    }

    fn bytes(&mut self) -> Result<u64, DiskError> {
        self.db.size_on_disk().map_err(disk_error)
    }
}

fn open_failure(error: ::sled::Error) -> OpenFailure {
    // sled has no variant for a lock that is taken.
    if let ::sled::Error::Io(e) = &error
        && e.to_string().contains("could not acquire lock")
    {
        return OpenFailure::Locked;
    }
    disk_error(error).into()
}

/// Tells files that are wrong from a machine that refuses: only the former are moved aside.
fn disk_error(error: ::sled::Error) -> DiskError {
    use std::io::ErrorKind;
    match error {
        ::sled::Error::Io(e) => match e.kind() {
            // Not what a file of sled's own would give: it reads where it wrote.
            ErrorKind::UnexpectedEof
            | ErrorKind::InvalidData
            | ErrorKind::InvalidInput
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::AlreadyExists
            | ErrorKind::NotFound => DiskError::Damaged(e.to_string()),
            _ => DiskError::Failed(e.to_string()),
        },
        other => DiskError::Damaged(other.to_string()),
    }
}
