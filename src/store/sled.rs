//! The store's files: the only place that names sled.
//!
//! States (of groups, of forests, of series that sleep) and blocks are in files of their own
//! ([`super::files`]); under their keys, as [`key::filed`] has them, sled holds pointers, so that both
//! are changed in one step.
//!
//! What has been learnt about sled 0.34.7 and is kept here: nodes above 128 KiB go to files of their
//! own that its `flush` does not sync, so it is done here (larger segments keep them in the log, for
//! 20 % more disk and half as much CPU again); the first I/O error makes every later call fail until the store is opened again; damage
//! may be an error or a panic, at open or at any call after; or sled takes the damaged place for the
//! end of its log and opens without what came after, silently, down to an empty store, hence the
//! count of flushes beside it; a snapshot that could not be written whole when it was opened (a full
//! disk, a kill) is taken for the newest one the next time, and the store for a damaged one, so it is
//! deleted first; `len()` reads everything.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::sled::{Batch, Config, Db, Mode};

use super::disk::{Backend, DiskError, Edit, OpenFailure, Opener, Pairs, Waits};
use super::files::{Files, Moved, Pointer};
use super::key::Lot;
use super::{key, value};

/// The format of the whole store: keys, kinds, and what may be in a value of each version. A store
/// of a newer format is left alone, so a new value version that an older saimon must not skip over
/// silently needs a new format too. Format 1 had fewer partitions, no rollups and no decimal chunks,
/// and did not say which records of the journal are in it; in format 2 no series slept; in format 3
/// states were in sled, in format 4 blocks. They are read and become format 5.
const FORMAT: u32 = 5;
/// What stands before the number.
const FORMAT_TEXT: &str = "saimon store ";

/// File in the store's folder with the number of flushes that succeeded. sled has the number too, so
/// that a store that lost its newest part is noticed.
const FLUSHES_FILE: &str = "flushes";

/// Folder in the store's folder with the files of a lot.
const fn folder(lot: Lot) -> &'static str {
    match lot {
        Lot::States => "states",
        Lot::Blocks => "chunks",
    }
}

/// Version of a pointer.
const POINTER_VERSION: u8 = 1;

/// Bytes of values that are moved into files in one step.
const CONVERT_BYTES: usize = 4 * 1024 * 1024;

/// How often a taken lock is tried again, and after how long. Threads of sled hold the file for some
/// milliseconds after a store is closed, and a store is opened again after an error. Another saimon
/// is noticed before this by the lock beside the folder.
const LOCK_TRIES: u32 = 100;
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// How the name of a snapshot ends while sled writes it. It is renamed when it is whole, and only then
/// is the one before deleted, so one that is found has no part in the store.
const UNFINISHED: &str = ".generating";

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
    states: Files,
    chunks: Files,
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
    let files = |lot| {
        let name = folder(lot);
        Files::open(dir.join(name)).map_err(|e| OpenFailure::Failed(format!("{name}: {e}")))
    };
    let flushes = db.get(key::FLUSHES).map_err(open_failure)?;
    let mut store = SledStore {
        flushes: flushes.map_or(0, |n| number(&n).unwrap_or(0)),
        flushes_file,
        blobs: dir.join("blobs"),
        synced: None,
        states: files(Lot::States)?,
        chunks: files(Lot::Blocks)?,
        db,
    };
    match store.db.get(key::FORMAT).map_err(open_failure)? {
        Some(format) => {
            let text = String::from_utf8_lossy(&format).into_owned();
            let number = text.strip_prefix(FORMAT_TEXT).and_then(|n| n.parse().ok());
            match number {
                Some(FORMAT) => store.compare_flushes()?,
                Some(newer) if newer > FORMAT => return Err(OpenFailure::Newer(text)),
                Some(1..FORMAT) => {
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
    store.count()?;
    store.convert()?;
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

    fn files(&mut self, lot: Lot) -> &mut Files {
        match lot {
            Lot::States => &mut self.states,
            Lot::Blocks => &mut self.chunks,
        }
    }

    /// Counts what is pointed to.
    fn count(&mut self) -> Result<(), OpenFailure> {
        for lot in Lot::ALL {
            for kind in lot.kinds() {
                let (from, to) = (key::filed(&[*kind]), key::filed(&[*kind + 1]));
                for pair in self.db.range(from..to) {
                    let (key, sealed) = pair.map_err(open_failure)?;
                    if let Some(pointer) = pointer(&key, &sealed) {
                        self.files(lot).point(pointer);
                    }
                }
            }
            self.files(lot).settle();
        }
        Ok(())
    }

    /// Moves values out of sled that an older saimon has put there; begun by one that was killed or
    /// not.
    fn convert(&mut self) -> Result<(), OpenFailure> {
        let mut any = false;
        for kind in Lot::ALL.iter().flat_map(|l| l.kinds()).copied() {
            loop {
                let (mut edits, mut sum) = (Vec::new(), 0);
                for pair in self.db.range([kind]..[kind + 1]) {
                    let (key, value) = pair.map_err(open_failure)?;
                    sum += value.len();
                    edits.push(Edit::Put(key.to_vec(), value.to_vec()));
                    if sum >= CONVERT_BYTES {
                        break;
                    }
                }
                if edits.is_empty() {
                    break;
                }
                any = true;
                let mut batch = Batch::default();
                for edit in &edits {
                    if let Edit::Put(key, _) = edit {
                        batch.remove(&key[..]);
                    }
                }
                self.apply_with(edits, batch)?;
            }
        }
        match any {
            true => Ok(self.flush()?),
            false => Ok(()),
        }
    }

    /// Where sled says that the value of a key is.
    fn pointer(&self, filed: &[u8]) -> Result<Option<Pointer>, DiskError> {
        let sealed = self.db.get(filed).map_err(disk_error)?;
        Ok(sealed.and_then(|sealed| pointer(filed, &sealed)))
    }

    /// The value of `key` for what sled has in its place. Empty, which no sealed value is, if it is not
    /// there or not what was written: whoever opens it says so.
    fn filed_value(&mut self, key: &[u8], sealed: &[u8]) -> Result<Vec<u8>, DiskError> {
        let read = match pointer(&key::filed(key), sealed) {
            Some(pointer) => {
                let lot = Lot::of(key).expect("BUG: only a key that has one is asked for");
                self.files(lot).read(key, pointer).map_err(failed)?
            }
            None => None,
        };
        Ok(read.unwrap_or_default())
    }

    /// Does all edits and those that `batch` has already, or none.
    fn apply_with(&mut self, edits: Vec<Edit>, mut batch: Batch) -> Result<(), DiskError> {
        // The last edit of a key counts, as in a batch.
        let mut lots: BTreeMap<Lot, BTreeMap<Vec<u8>, Option<Vec<u8>>>> = BTreeMap::new();
        for edit in edits {
            let (key, value) = match edit {
                Edit::Put(key, value) => (key, Some(value)),
                Edit::Remove(key) => (key, None),
            };
            match (Lot::of(&key), value) {
                (Some(lot), value) => {
                    lots.entry(lot).or_default().insert(key, value);
                }
                (None, Some(value)) => batch.insert(key, value),
                (None, None) => batch.remove(key),
            }
        }
        let mut gone = Vec::new();
        for (lot, values) in &lots {
            for (key, value) in values {
                let filed = key::filed(key);
                gone.extend(self.pointer(&filed)?.map(|p| (*lot, p)));
                if value.is_none() {
                    batch.remove(filed);
                }
            }
            let put = values
                .iter()
                .filter_map(|(k, v)| Some((&**k, v.as_deref()?)));
            let put: Vec<(&[u8], &[u8])> = put.collect();
            if !put.is_empty() {
                let pointers = self.files(*lot).write(&put).map_err(failed)?;
                let keys = put.iter().map(|(key, _)| *key);
                insert_pointers(&mut batch, keys.zip(pointers));
            }
        }
        self.db.apply_batch(batch).map_err(disk_error)?;
        for (lot, pointer) in gone {
            self.files(lot).unpoint(pointer);
        }
        Ok(())
    }

    /// What is live in files of a lot that are wasteful.
    fn wasted(&mut self, lot: Lot) -> Result<Vec<Moved>, DiskError> {
        let mut moved = Vec::new();
        for file in self.files(lot).wasteful() {
            let db = self.db.clone();
            let is_live = |key: &[u8], at: Pointer| -> Result<bool, DiskError> {
                let filed = key::filed(key);
                let sealed = db.get(&filed).map_err(disk_error)?;
                Ok(sealed.and_then(|s| pointer(&filed, &s)) == Some(at))
            };
            moved.extend(self.files(lot).live(file, is_live)?);
        }
        Ok(moved)
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

fn pointer(filed: &[u8], sealed: &[u8]) -> Option<Pointer> {
    let bytes = value::open(POINTER_VERSION, filed, sealed).ok()?;
    Pointer::decode(bytes)
}

fn insert_pointers<'a>(batch: &mut Batch, to: impl Iterator<Item = (&'a [u8], Pointer)>) {
    for (key, pointer) in to {
        let filed = key::filed(key);
        let sealed = value::seal(POINTER_VERSION, &filed, &pointer.encode());
        batch.insert(filed, sealed);
    }
}

fn number(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}

fn open_files(dir: &Path, cache: u64) -> Result<Db, OpenFailure> {
    let mut tries = 0;
    loop {
        remove_unfinished(dir).map_err(|e| open_failure(e.into()))?;
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

/// Deletes snapshots of sled that are not whole.
fn remove_unfinished(dir: &Path) -> std::io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(UNFINISHED) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl Backend for SledStore {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        if Lot::of(key).is_none() {
            return Ok(self.db.get(key).map_err(disk_error)?.map(|v| v.to_vec()));
        }
        match self.db.get(key::filed(key)).map_err(disk_error)? {
            Some(sealed) => self.filed_value(key, &sealed).map(Some),
            None => Ok(None),
        }
    }

    fn scan(&mut self, from: &[u8], to: &[u8], bytes: usize) -> Result<Pairs, DiskError> {
        let is_filed = Lot::of(from).is_some();
        let range = match is_filed {
            true => self.db.range(key::filed(from)..key::filed(to)),
            false => self.db.range(from..to),
        };
        let mut pairs = Vec::new();
        let mut sum = 0;
        for pair in range {
            let (key, value) = pair.map_err(disk_error)?;
            let (key, value) = match is_filed {
                true => {
                    let key = key::unfiled(&key);
                    let value = self.filed_value(&key, &value)?;
                    (key, value)
                }
                false => (key.to_vec(), value.to_vec()),
            };
            sum += value.len();
            pairs.push((key, value));
            if sum >= bytes {
                break;
            }
        }
        Ok(pairs)
    }

    fn apply(&mut self, edits: Vec<Edit>) -> Result<(), DiskError> {
        self.apply_with(edits, Batch::default())
    }

    fn tidy(&mut self) -> Result<(), DiskError> {
        for lot in Lot::ALL {
            let moved = self.wasted(lot)?;
            if moved.is_empty() {
                continue;
            }
            let files = self.files(lot);
            let pointers = files.write_moved(&moved).map_err(failed)?;
            let mut batch = Batch::default();
            let keys = moved.iter().map(|(key, ..)| &**key);
            insert_pointers(&mut batch, keys.zip(pointers));
            self.db.apply_batch(batch).map_err(disk_error)?;
            let files = self.files(lot);
            moved.into_iter().for_each(|(_, at, _)| files.unpoint(at));
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        let next = self.flushes + 1;
        self.db
            .insert(key::FLUSHES, &next.to_be_bytes())
            .map_err(disk_error)?;
        self.db.flush().map_err(disk_error)?;
        self.sync_blobs().map_err(failed)?;
        self.flushes = next;
        // Not synced: after a power cut it may name an older flush, which does no harm.
        std::fs::write(&self.flushes_file, format!("{next}\n")).map_err(failed)?;
        self.states.flushed();
        self.chunks.flushed();
        Ok(())
    }

    fn bytes(&mut self) -> Result<u64, DiskError> {
        Ok(self.db.size_on_disk().map_err(disk_error)? + self.states.bytes() + self.chunks.bytes())
    }
}

/// Opens the records of anomalies in `dir`: keys and values, and nothing beside them.
pub(super) fn opener_of_records(dir: &Path, cache: u64) -> Opener {
    let dir = dir.to_owned();
    Opener::new(Waits::default(), move || {
        open_records(&dir, cache).map(|s| Box::new(s) as Box<dyn Backend>)
    })
}

#[derive(Debug)]
struct RecordStore(Db);

/// Format of the records as a whole, under the key of the store's own format.
const RECORDS_FORMAT: &str = "saimon records 1";

fn open_records(dir: &Path, cache: u64) -> Result<RecordStore, OpenFailure> {
    let db = open_files(dir, cache)?;
    match db.get(key::FORMAT).map_err(open_failure)? {
        Some(format) if &*format == RECORDS_FORMAT.as_bytes() => {}
        Some(other) => {
            let text = String::from_utf8_lossy(&other).into_owned();
            return Err(match text.starts_with("saimon records ") {
                true => OpenFailure::Newer(text),
                false => OpenFailure::Damaged(format!("it has the format {text:?}")),
            });
        }
        None => {
            db.insert(key::FORMAT, RECORDS_FORMAT.as_bytes())
                .map_err(open_failure)?;
            db.flush().map_err(open_failure)?;
        }
    }
    Ok(RecordStore(db))
}

impl Backend for RecordStore {
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

/// What the machine refuses beside sled.
fn failed(error: impl std::fmt::Display) -> DiskError {
    DiskError::Failed(error.to_string())
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

/// Writes into sled itself, as before format 4.
#[cfg(test)]
pub(super) fn write_plain(dir: &Path, pairs: Vec<(Vec<u8>, Vec<u8>)>) {
    let db = open_files(dir, 1 << 20).unwrap();
    for (key, value) in pairs {
        db.insert(key, value).unwrap();
    }
    db.flush().unwrap();
}

/// What sled itself has under a key.
#[cfg(test)]
pub(super) fn read_plain(dir: &Path, key: &[u8]) -> Option<Vec<u8>> {
    let db = open_files(dir, 1 << 20).unwrap();
    db.get(key).unwrap().map(|v| v.to_vec())
}
