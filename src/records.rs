//! Records of anomalies: kept on disk, found by an index in memory, for as long as is configured.
//!
//! One thread ([`keeper`]) takes what the shards hand over, writes it, and shows it in the index.
//! Questions are answered from the index alone, but for the records of one page, which are read. What
//! always holds: what is shown is on disk (or the disk takes nothing, and that is counted); a record is
//! never shown twice; and there are never more than `records.max` of them.

pub mod feed;
pub mod incidents;
pub mod index;
pub mod keeper;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use self::feed::Feed;
use self::incidents::Incidents;
use self::incidents::view::IncidentView;
use self::index::Index;
use crate::engine::incident::{Incident, IncidentId};
use crate::engine::record::{Record, RecordId};
use crate::engine::records::Known;
use crate::store::records::RecordFiles;
use crate::store::{DiskError, OpenError};

/// Records that are there cannot be read now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the records of anomalies cannot be read, try again: {0}")]
pub struct Unreadable(#[from] DiskError);

/// All records of one process.
#[derive(Debug)]
pub struct Records {
    files: RecordFiles,
    /// Behind a lock that is held for one look through the index or for one batch of changes.
    shown: RwLock<Shown>,
    /// The samples that were kept have all been scored again, so that anomalies come as they begin.
    caught_up: AtomicBool,
    opened_ms: i64,
}

#[derive(Debug, Default)]
struct Shown {
    index: Index,
    /// Changes that the disk does not take.
    unwritten: BTreeMap<RecordId, Option<Record>>,
    /// Changes since the start, for those who ask whether there is anything new.
    version: u64,
    incidents: Incidents,
    /// Changes of incidents that the disk does not take.
    unwritten_incidents: BTreeMap<IncidentId, Option<Incident>>,
    /// All anomalies that were confirmed before the start, and when, for who gathers them.
    confirmed: Vec<(i64, RecordId)>,
    /// The same, one by one.
    feed: Feed,
}

impl Records {
    /// Opens the records in `dir`, and what the shards have to know of them.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, now_ms: i64) -> Result<(Self, Known), OpenError> {
        let files = RecordFiles::open(dir, now_ms)?;
        let mut known = Known::default();
        let mut index = Index::default();
        let mut confirmed = Vec::new();
        let mut incidents = Incidents::default();
        let unavailable = |e: DiskError| OpenError::Unavailable {
            dir: dir.to_owned(),
            why: e.to_string(),
        };
        let unreadable = files
            .load(|record| {
                index.put(&record);
                confirmed.extend(record.active_ms.map(|active_ms| (active_ms, record.id)));
                known.add(record);
            })
            .map_err(unavailable)?;
        let unreadable = unreadable
            + files
                .load_incidents(|incident| incidents.put(incident))
                .map_err(unavailable)?;
        if unreadable > 0 {
            tracing::warn!(
                unreadable,
                "records of anomalies cannot be read: passing them over"
            );
        }
        let shown = Shown {
            index,
            incidents,
            confirmed,
            ..Shown::default()
        };
        let records = Self {
            files,
            shown: RwLock::new(shown),
            caught_up: AtomicBool::new(false),
            opened_ms: now_ms,
        };
        Ok((records, known))
    }

    /// Looks through the index.
    pub fn look<T>(&self, at: impl FnOnce(&Index) -> T) -> T {
        at(&self.read().index)
    }

    /// Looks through incidents, with the index of their anomalies.
    pub fn look_at_incidents<T>(&self, at: impl FnOnce(&Incidents, &Index) -> T) -> T {
        let shown = self.read();
        at(&shown.incidents, &shown.index)
    }

    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Option<IncidentView> {
        self.look_at_incidents(|incidents, index| IncidentView::of(incidents, index, id))
    }

    /// The incidents that have these anomalies.
    pub fn incidents_of(&self, anomalies: &[RecordId]) -> Vec<Option<IncidentId>> {
        let shown = self.read();
        let of = |id: &RecordId| shown.incidents.of(*id);
        anomalies.iter().map(of).collect()
    }

    /// What had been kept is scored again: from now on anomalies come as they begin. Before that no
    /// incident is opened, because half of it may still be on its way.
    pub fn caught_up(&self) {
        self.caught_up.store(true, Ordering::Release);
    }

    /// Changes whenever anything that is shown does.
    pub fn version(&self) -> u64 {
        self.read().version
    }

    /// The records with these ids, in this order, without those that are gone. Blocks on the disk.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn get(&self, ids: &[RecordId]) -> Result<Vec<Record>, Unreadable> {
        let unwritten: BTreeMap<RecordId, Option<Record>> = {
            let shown = self.read();
            let held = ids.iter().filter_map(|id| {
                let held = shown.unwritten.get(id)?;
                Some((*id, held.clone()))
            });
            if shown.unwritten.is_empty() {
                BTreeMap::new()
            } else {
                held.collect()
            }
        };
        let mut found = Vec::with_capacity(ids.len());
        for (id, read) in ids.iter().zip(self.files.get(ids)?) {
            match unwritten.get(id) {
                Some(held) => found.extend(held.clone()),
                None => found.extend(read),
            }
        }
        Ok(found)
    }

    fn read(&self) -> RwLockReadGuard<'_, Shown> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shown> {
        self.shown.write().unwrap_or_else(PoisonError::into_inner)
    }
}
