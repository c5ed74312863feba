//! The store's files: the only place that names sled.
//!
//! What has been learnt about sled 0.34.7 and is kept here: values larger than a quarter of a
//! segment go to files of their own that `flush` does not sync, hence large segments and small
//! values; the first I/O error makes every later call fail until the store is opened again; damage
//! may be an error or a panic, at open or at any call after; `len()` reads everything.

use std::path::{Path, PathBuf};

use ::sled::{Batch, Config, Db, Mode};

use super::disk::{Backend, DiskError, Edit, OpenFailure, Opener, Pairs, Waits};
use super::key;

/// The format of the whole store: keys, kinds, and what may be in a value of each version. A store
/// of another format is moved aside, so a new value version that an older saimon must not skip over
/// silently needs a new format too.
const FORMAT: &[u8] = b"saimon store 1";

/// Bytes that sled writes and reclaims together. Nodes up to a quarter of it stay in the log, which
/// `flush` syncs; a leaf has at most 17 values of 48 KiB. Cannot be changed for an existing store.
const SEGMENT_BYTES: usize = 4 * 1024 * 1024;

/// Opens the store in `dir` with at most `cache` bytes of cached pages.
pub(super) fn opener(dir: &Path, cache: u64) -> Opener {
    let dir = dir.to_owned();
    Opener::new(Waits::default(), move || {
        open(&dir, cache).map(|s| Box::new(s) as Box<dyn Backend>)
    })
}

#[derive(Debug)]
struct SledStore(Db);

fn open(dir: &PathBuf, cache: u64) -> Result<SledStore, OpenFailure> {
    match std::fs::metadata(dir) {
        Ok(found) if !found.is_dir() => {
            return Err(OpenFailure::Damaged("it is not a folder".to_owned()));
        }
        _ => {}
    }
    let db = Config::default()
        .path(dir)
        .cache_capacity(cache)
        // A checkpoint is flushed when it is complete; between two there is nothing to flush.
        .flush_every_ms(None)
        // Prefers a small file over fast writes: a checkpoint has a minute for its work. (0.34.7
        // does the same in both modes.)
        .mode(Mode::LowSpace)
        .segment_size(SEGMENT_BYTES)
        .open()
        .map_err(open_failure)?;
    match db.get(key::FORMAT).map_err(open_failure)? {
        Some(format) if format == FORMAT => {}
        Some(format) => {
            return Err(OpenFailure::Damaged(format!(
                "it has the format {:?}, this saimon reads {:?}",
                String::from_utf8_lossy(&format),
                String::from_utf8_lossy(FORMAT)
            )));
        }
        None if db.is_empty() => {
            db.insert(key::FORMAT, FORMAT).map_err(open_failure)?;
            db.flush().map_err(open_failure)?;
        }
        None => {
            return Err(OpenFailure::Damaged(
                "it does not say its format".to_owned(),
            ));
        }
    }
    Ok(SledStore(db))
}

impl Backend for SledStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.0.get(key).map_err(disk_error)?.map(|v| v.to_vec()))
    }

    fn scan(&mut self, from: &[u8], to: &[u8], bytes: usize) -> Result<Pairs, DiskError> {
        let mut pairs = Vec::new();
        let mut sum = 0;
        for pair in self.0.range(from..to) {
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
        self.0.apply_batch(batch).map_err(disk_error)
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.0.flush().map_err(disk_error)?;
        Ok(())
    }

    fn bytes(&mut self) -> Result<u64, DiskError> {
        self.0.size_on_disk().map_err(disk_error)
    }
}

fn open_failure(error: ::sled::Error) -> OpenFailure {
    // sled has no variant for a lock that is taken.
    if let ::sled::Error::Io(e) = &error
        && e.to_string().contains("could not acquire lock")
    {
        return OpenFailure::Locked;
    }
    match disk_error(error) {
        DiskError::Damaged(why) => OpenFailure::Damaged(why),
        other => OpenFailure::Failed(other.to_string()),
    }
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
