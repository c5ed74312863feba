//! What survives a restart: groups of series and blocks of their finished chunks, in sled.
//!
//! Everything here can be lost without harm to what Prometheus has: a store that is damaged is
//! moved aside and a fresh one is started, and a disk that takes no writes costs warm models after
//! the next restart, nothing else. What always holds: a group's state and the blocks that the
//! state no longer contains are written in one atomic step; every value carries a version and a
//! checksum; no call waits for a disk without a bound. The store does not know what the bytes of a
//! group mean.

mod backlog;
pub mod block;
mod disk;
mod files;
mod folder;
pub mod joint;
mod key;
mod load;
pub mod log;
pub mod notes;
mod outline;
mod position;
pub mod records;
mod rollup;
mod sled;
mod snapshot;
mod value;
pub mod view;
pub mod writer;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::StoreConfig;
use crate::engine::keep::{ClosedChunk, GroupId, PastChunks, Sleepers};
use crate::telemetry::Metrics;
use crate::window::rollup::Row;

pub use disk::DiskError;
pub use load::Loaded;
pub use position::Position;

use disk::{Disk, Edit, OpenFailure, Opener};
use folder::Folder;
use outline::Outline;
use rollup::Joined;

/// Why there is no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Two processes must never write one store, so this one is left as it is.
    #[error("the store {dir} is in use by another process: stop it, or use another data directory")]
    Locked { dir: PathBuf },
    /// What a newer saimon has learned is not thrown away, so this one is left as it is too.
    #[error(
        "the store {dir} was written by a newer saimon ({found}): use that one, or another data directory"
    )]
    Newer { dir: PathBuf, found: String },
    /// Neither this store nor a fresh one in its place can be used: a full disk, a read-only
    /// directory. saimon can go on without a store; it then forgets everything when it ends.
    #[error("the store {dir} cannot be used: {why}; make the directory writable and restart")]
    Unavailable { dir: PathBuf, why: String },
}

/// An open store, and where the one before it went if that could not be opened.
#[derive(Debug)]
pub struct Opened {
    pub store: Store,
    pub moved_aside: Option<PathBuf>,
}

/// The store of one process. Cheap to clone; all clones share one thread that talks to the disk.
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    // Fields are dropped in order: the disk is closed before the folder's lock is released.
    /// Behind a mutex because a disk that never answers is replaced by a new one; held only to
    /// clone the handle.
    disk: Mutex<Arc<Disk>>,
    folder: Folder,
    /// Which blocks each group has. Behind a mutex because readers look up blocks while the writer
    /// adds them; held for one lookup or one update, never during disk work.
    index: Mutex<HashMap<GroupId, Outline>>,
    /// Groups whose remains are unreadable and still on disk; removed before anything is written.
    /// Behind a mutex because loading and writing are different threads; held for a copy.
    remains: Mutex<Vec<GroupId>>,
    metrics: Arc<Metrics>,
}

impl Store {
    /// Opens the store in the folder `dir`, which must be a folder of its own inside a directory
    /// that saimon may write (its lock `<dir>.lock` and damaged stores lie beside it).
    ///
    /// `now_ms` names a store that is moved aside.
    ///
    /// # Errors
    /// See [`OpenError`]; `metrics.store_ok` is then 0.
    pub fn open(
        dir: &Path,
        config: &StoreConfig,
        metrics: &Arc<Metrics>,
        now_ms: i64,
    ) -> Result<Opened, OpenError> {
        Self::open_with(
            dir,
            &sled::opener(dir, config.cache.as_u64()),
            metrics,
            now_ms,
        )
    }

    /// As [`Store::open`], with another backend in tests.
    fn open_with(
        dir: &Path,
        opener: &Opener,
        metrics: &Arc<Metrics>,
        now_ms: i64,
    ) -> Result<Opened, OpenError> {
        metrics.store_ok.set(0);
        let folder = Folder::lock(dir)?;
        let unavailable = |why: String| OpenError::Unavailable {
            dir: dir.to_owned(),
            why,
        };
        let mut moved_aside = None;
        let (disk, index) = match start(opener) {
            Ok(started) => started,
            Err(OpenFailure::Locked) => {
                return Err(OpenError::Locked {
                    dir: dir.to_owned(),
                });
            }
            Err(OpenFailure::Newer(found)) => {
                return Err(OpenError::Newer {
                    dir: dir.to_owned(),
                    found,
                });
            }
            Err(OpenFailure::Failed(why)) => return Err(unavailable(why)),
            Err(OpenFailure::Damaged(why)) => {
                let to = folder.move_aside(&why, now_ms).map_err(|e| {
                    unavailable(format!(
                        "it is damaged ({why}) and cannot be moved aside: {e}"
                    ))
                })?;
                metrics.store_moved_aside.set(1);
                moved_aside = Some(to);
                start(opener)
                    .map_err(|e| unavailable(format!("a fresh one cannot be started: {e}")))?
            }
        };
        metrics.store_ok.set(1);
        Ok(Opened {
            store: Self(Arc::new(Inner {
                disk: Mutex::new(Arc::new(disk)),
                folder,
                index: Mutex::new(index),
                remains: Mutex::new(Vec::new()),
                metrics: Arc::clone(metrics),
            })),
            moved_aside,
        })
    }

    /// Opens the store again after an error, moving it aside if it turns out to be damaged: true then.
    /// What was written since the last flush may be gone.
    fn reopen(&self, now_ms: i64) -> Result<bool, DiskError> {
        let disk = self.disk();
        if !disk.is_closed() {
            return Ok(false);
        }
        match load_index(&disk) {
            Ok(mut index) => {
                for id in locked(&self.0.remains).iter() {
                    index.remove(id);
                }
                *locked(&self.0.index) = index;
                Ok(false)
            }
            Err(OpenFailure::Damaged(why)) => self.replace(&why, now_ms).map(|()| true),
            Err(e) => Err(DiskError::Failed(e.to_string())),
        }
    }

    /// Moves the store aside and starts an empty one in its place.
    fn replace(&self, why: &str, now_ms: i64) -> Result<(), DiskError> {
        self.0
            .folder
            .move_aside(why, now_ms)
            .map_err(|e| DiskError::Failed(format!("moving it aside: {e}")))?;
        self.0.metrics.store_moved_aside.set(1);
        locked(&self.0.index).clear();
        locked(&self.0.remains).clear();
        let fresh = Arc::new(self.disk().again());
        *locked(&self.0.disk) = Arc::clone(&fresh);
        load_index(&fresh).map_err(|e| DiskError::Failed(e.to_string()))?;
        Ok(())
    }

    /// The chunks of the series at `positions` of a group that have samples in
    /// `[from_ms, to_ms]`, in order of time. Chunks that were handed to the writer and are not
    /// written yet are not among them; the shard that owns the group still has those.
    ///
    /// # Errors
    /// If the disk does not answer. A block that cannot be decoded is left out, counted and logged.
    pub fn chunks(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<ClosedChunk>, DiskError> {
        let mut found = None;
        for again in (0..MOVED_MAX).rev() {
            found = self.chunks_now((id, positions), from_ms, to_ms, again == 0)?;
            if found.is_some() {
                break;
            }
            std::thread::sleep(MOVED_WAIT);
        }
        let mut found = found.unwrap_or_default();
        found.sort_by_key(|c| (c.first_ms, c.last_ms));
        Ok(found)
    }

    /// The same, in no order; `None` if blocks were moved meanwhile, unless the rest will do.
    fn chunks_now(
        &self,
        (id, positions): (GroupId, &[u16]),
        from_ms: i64,
        to_ms: i64,
        rest_will_do: bool,
    ) -> Result<Option<Vec<ClosedChunk>>, DiskError> {
        let wanted: Vec<_> = match locked(&self.0.index).get(&id) {
            None => return Ok(Some(Vec::new())),
            Some(outline) => outline.overlapping(from_ms, to_ms).copied().collect(),
        };
        let disk = self.disk();
        let mut found = Vec::new();
        for at in wanted {
            let key = key::block(id, at);
            let Some(sealed) = disk.get(key.clone())? else {
                // It was made one with others since the lookup, or it is past its retention. The
                // index says so a moment after the disk. If it does not, the store is damaged.
                if rest_will_do {
                    continue;
                }
                return Ok(None);
            };
            let wanted = |c: &block::Stored<'_>| {
                positions.contains(&c.position) && c.first_ms <= to_ms && c.last_ms >= from_ms
            };
            let opened = value::open_any(block::VERSION, &key, &sealed);
            match opened.and_then(|block| block::chunks(block, wanted)) {
                Ok(chunks) => found.extend(chunks),
                Err(why) => {
                    self.0.metrics.store_errors.inc();
                    tracing::warn!(
                        partition = id.partition,
                        group = id.number,
                        first_ms = at.first_ms,
                        %why,
                        "a block of the store cannot be read and is left out"
                    );
                }
            }
        }
        Ok(Some(found))
    }

    /// The rows of five minutes of the series at `positions` of a group that have any of
    /// `[from_ms, to_ms]`, by position, in order of time. They begin where the raw samples end, and
    /// the newest row may lack samples that are still raw. Native histograms have none.
    ///
    /// # Errors
    /// If the disk does not answer. A block that cannot be decoded is left out, counted and logged.
    pub fn rollups(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(u16, Vec<Row>)>, DiskError> {
        let wanted: Vec<_> = match locked(&self.0.index).get(&id) {
            None => return Ok(Vec::new()),
            Some(outline) => outline.rollups(from_ms, to_ms).copied().collect(),
        };
        let disk = self.disk();
        let mut joined = Joined::default();
        for at in wanted {
            let key = key::rollup(id, at);
            let Some(sealed) = disk.get(key.clone())? else {
                continue;
            };
            let opened = value::open(rollup::VERSION, &key, &sealed).and_then(rollup::read);
            let added = opened.and_then(|entries| {
                let mut wanted = entries.into_iter().filter(|e| positions.contains(&e.0));
                wanted.try_for_each(|e| joined.add(e, (from_ms, to_ms)))
            });
            if let Err(why) = added {
                self.0.metrics.store_errors.inc();
                tracing::warn!(
                    partition = id.partition,
                    group = id.number,
                    first_ms = at.first_ms,
                    %why,
                    "a block of rollups cannot be read and is left out"
                );
            }
        }
        Ok(joined.finish())
    }

    /// Applies all edits or none, then takes over the outlines that they wrote.
    fn apply(
        &self,
        edits: Vec<Edit>,
        outlines: Vec<(GroupId, Option<Outline>)>,
    ) -> Result<u64, DiskError> {
        let bytes = edits.iter().map(Edit::bytes).sum();
        self.disk().apply(edits)?;
        let mut index = locked(&self.0.index);
        for (id, outline) in outlines {
            match outline {
                Some(outline) => index.insert(id, outline),
                None => index.remove(&id),
            };
        }
        drop(index);
        self.0.metrics.store_bytes_written.inc_by(bytes);
        Ok(bytes)
    }

    fn disk(&self) -> Arc<Disk> {
        Arc::clone(&locked(&self.0.disk))
    }

    /// Groups whose newest sample is older than `oldest_ms`.
    fn silent_since(&self, oldest_ms: i64) -> Vec<(GroupId, Outline)> {
        locked(&self.0.index)
            .iter()
            .filter(|(_, o)| o.newest_ms < oldest_ms)
            .map(|(id, o)| (*id, o.clone()))
            .collect()
    }

    fn outline(&self, id: GroupId) -> Option<Outline> {
        locked(&self.0.index).get(&id).cloned()
    }
}

/// How often a reader looks again whose blocks were moved ...
const MOVED_MAX: u32 = 20;
/// ... and how long it waits before that: the index follows the disk within a millisecond, as a rule.
const MOVED_WAIT: std::time::Duration = std::time::Duration::from_millis(5);

/// Version of the seal around the state of a series that sleeps. What the bytes mean is the engine's.
const SLEEPER_VERSION: u8 = 1;

impl Sleepers for Store {
    fn states(&self, of: &[(GroupId, u16)]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let keys: Vec<_> = of.iter().map(|(id, p)| key::sleeper(*id, *p)).collect();
        let found = self
            .disk()
            .get_all(keys.clone())
            .map_err(|e| e.to_string())?;
        let open = |(key, sealed): (Vec<u8>, Option<Vec<u8>>)| {
            let sealed = sealed?;
            match value::open(SLEEPER_VERSION, &key, &sealed) {
                Ok(state) => Some(state.to_vec()),
                Err(why) => {
                    tracing::warn!(%why, "the state of a sleeping series cannot be read");
                    None
                }
            }
        };
        Ok(keys.into_iter().zip(found).map(open).collect())
    }
}

impl PastChunks for Store {
    fn chunks(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<ClosedChunk>, String> {
        Store::chunks(self, id, positions, from_ms, to_ms).map_err(|e| e.to_string())
    }

    fn rows(&self, id: GroupId, position: u16) -> Result<Vec<Row>, String> {
        let found = self.rollups(id, &[position], i64::MIN, i64::MAX);
        let found = found.map_err(|e| e.to_string())?;
        Ok(found.into_iter().flat_map(|(_, rows)| rows).collect())
    }
}

/// A panic while one of these short locks was held cannot leave its content half changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start(opener: &Opener) -> Result<(Disk, HashMap<GroupId, Outline>), OpenFailure> {
    let disk = Disk::new(opener.clone());
    let index = load_index(&disk)?;
    Ok((disk, index))
}

fn load_index(disk: &Disk) -> Result<HashMap<GroupId, Outline>, OpenFailure> {
    disk.open()?;
    Ok(load::outlines(disk)?)
}
