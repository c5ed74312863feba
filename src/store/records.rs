//! Records of anomalies and of incidents on disk: sled in a folder of its own, a key for each.
//!
//! Apart from the store of windows and models, because neither must be lost with the other, and
//! because a record is written when its anomaly changes and not when a checkpoint comes. What always
//! holds: what [`RecordFiles::write`] returned for survives a kill; keys sort by the time at which
//! anomalies began; files that are damaged are moved aside and begun anew.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::disk::{Disk, DiskError, Edit, OpenFailure};
use super::folder::Folder;
use super::sled as files;
use super::{OpenError, value};
use crate::engine::incident::{Incident, IncidentId};
use crate::engine::record::{Record, RecordId};

/// Version of a record's value. 2: postcard of [`Record`]; 1: without its last field, `exemplars`.
const VERSION: u8 = 2;
/// What stands before an id in its key.
const KIND: u8 = 1;
/// Version of an incident's value. 2: postcard of [`Incident`]; 1: without its last field, `learned`.
const INCIDENT_VERSION: u8 = 2;
/// What stands before the id of an incident in its key.
const INCIDENT: u8 = 2;
/// Read in one step at a start.
const SCAN_BYTES: usize = 1 << 20;
/// sled's cache. Pages of some records each; a page of a list is read in one stretch.
const CACHE: u64 = 8 << 20;

/// The files of one process.
#[derive(Debug)]
pub struct RecordFiles {
    // Dropped before the folder's lock.
    disk: Mutex<Arc<Disk>>,
    folder: Folder,
}

/// What a change of the files has: a record, or nothing any more.
pub type Change<'a> = (RecordId, Option<&'a Record>);

impl RecordFiles {
    /// Opens the records in the folder `dir`; damaged ones are moved aside, which `now_ms` names.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, now_ms: i64) -> Result<Self, OpenError> {
        let folder = Folder::lock(dir)?;
        let files = Self {
            disk: Mutex::new(Arc::new(Disk::new(files::opener_of_records(dir, CACHE)))),
            folder,
        };
        let unavailable = |why: String| OpenError::Unavailable {
            dir: dir.to_owned(),
            why,
        };
        match files.disk().open() {
            Ok(()) => Ok(files),
            Err(OpenFailure::Locked) => Err(OpenError::Locked {
                dir: dir.to_owned(),
            }),
            Err(OpenFailure::Newer(found)) => Err(OpenError::Newer {
                dir: dir.to_owned(),
                found,
            }),
            Err(OpenFailure::Failed(why)) => Err(unavailable(why)),
            Err(OpenFailure::Damaged(why)) => {
                files
                    .replace(&why, now_ms)
                    .map_err(|e| unavailable(format!("it is damaged ({why}): {e}")))?;
                Ok(files)
            }
        }
    }

    fn disk(&self) -> Arc<Disk> {
        Arc::clone(&self.disk.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace(&self, why: &str, now_ms: i64) -> Result<(), OpenFailure> {
        self.folder
            .move_aside(why, now_ms)
            .map_err(|e| OpenFailure::Failed(format!("it cannot be moved aside: {e}")))?;
        let fresh = Arc::new(self.disk().again());
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&fresh);
        fresh.open()
    }

    /// Gives every record in the order of their ids; the number of those that cannot be read.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub fn load(&self, mut each: impl FnMut(Record)) -> Result<u64, DiskError> {
        self.scan(KIND, |key, sealed| decode(key, sealed).map(&mut each))
    }

    /// The same of incidents.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub fn load_incidents(&self, mut each: impl FnMut(Incident)) -> Result<u64, DiskError> {
        self.scan(INCIDENT, |key, sealed| {
            decode_incident(key, sealed).map(&mut each)
        })
    }

    /// Gives every pair of a kind; counts those of which nothing is made.
    fn scan(
        &self,
        kind: u8,
        mut take: impl FnMut(&[u8], &[u8]) -> Option<()>,
    ) -> Result<u64, DiskError> {
        let disk = self.disk();
        let mut from = vec![kind];
        let mut unreadable = 0;
        loop {
            let pairs = disk.scan(&from, &[kind + 1], SCAN_BYTES)?;
            let Some((last, _)) = pairs.last() else {
                return Ok(unreadable);
            };
            from = last.clone();
            from.push(0);
            for (key, sealed) in &pairs {
                unreadable += u64::from(take(key, sealed).is_none());
            }
        }
    }

    /// The records with these ids that there are, in this order.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub fn get(&self, ids: &[RecordId]) -> Result<Vec<Option<Record>>, DiskError> {
        let keys: Vec<_> = ids.iter().map(|id| key(*id)).collect();
        let values = self.disk().get_all(keys.clone())?;
        let pairs = keys.iter().zip(values);
        Ok(pairs.map(|(key, sealed)| decode(key, &sealed?)).collect())
    }

    /// Writes changes in one step, and returns when they are on the disk. After an error, it is
    /// opened anew the next time.
    ///
    /// # Errors
    /// If they may not be; they can be written again.
    pub fn write<'a>(
        &self,
        changes: impl IntoIterator<Item = Change<'a>>,
        now_ms: i64,
    ) -> Result<(), DiskError> {
        let edits: BTreeMap<RecordId, Option<&Record>> = changes.into_iter().collect();
        let edits = edits
            .into_iter()
            .map(|(id, record)| edit(key(id), VERSION, record));
        self.apply(edits.collect::<Result<_, DiskError>>()?, now_ms)
    }

    /// The same for incidents.
    ///
    /// # Errors
    /// If they may not be; they can be written again.
    pub fn write_incidents<'a>(
        &self,
        changes: impl IntoIterator<Item = (IncidentId, Option<&'a Incident>)>,
        now_ms: i64,
    ) -> Result<(), DiskError> {
        let edits = changes
            .into_iter()
            .map(|(id, incident)| edit(incident_key(id), INCIDENT_VERSION, incident));
        self.apply(edits.collect::<Result<_, DiskError>>()?, now_ms)
    }

    fn apply(&self, edits: Vec<Edit>, now_ms: i64) -> Result<(), DiskError> {
        let mut disk = self.disk();
        if disk.is_closed() {
            match disk.open() {
                Ok(()) => {}
                Err(OpenFailure::Damaged(why)) => {
                    self.replace(&why, now_ms)
                        .map_err(|e| DiskError::Failed(e.to_string()))?;
                    disk = self.disk();
                }
                Err(e) => return Err(DiskError::Failed(e.to_string())),
            }
        }
        disk.apply(edits)?;
        disk.flush()
    }
}

fn edit(key: Vec<u8>, version: u8, value: Option<&impl Serialize>) -> Result<Edit, DiskError> {
    let Some(value) = value else {
        return Ok(Edit::Remove(key));
    };
    let payload = postcard::to_stdvec(value).map_err(|e| DiskError::Failed(e.to_string()))?;
    let sealed = super::value::seal(version, &key, &payload);
    Ok(Edit::Put(key, sealed))
}

fn incident_key(id: IncidentId) -> Vec<u8> {
    let mut key = vec![INCIDENT];
    key.extend_from_slice(&id.0.to_bytes());
    key
}

fn decode_incident(key: &[u8], sealed: &[u8]) -> Option<Incident> {
    let (version, payload) = value::open_any(INCIDENT_VERSION, key, sealed).ok()?;
    let mut payload = payload.to_vec();
    if version == 1 {
        payload.push(u8::from(false));
    }
    let incident: Incident = postcard::from_bytes(&payload).ok()?;
    (RecordId::from_bytes(key.get(1..)?) == Some(incident.id.0)).then_some(incident)
}

fn key(id: RecordId) -> Vec<u8> {
    let mut key = vec![KIND];
    key.extend_from_slice(&id.to_bytes());
    key
}

fn decode(key: &[u8], sealed: &[u8]) -> Option<Record> {
    let (version, payload) = value::open_any(VERSION, key, sealed).ok()?;
    let mut payload = payload.to_vec();
    if version == 1 {
        // The length of a list that is empty.
        payload.push(0);
    }
    let record: Record = postcard::from_bytes(&payload).ok()?;
    (RecordId::from_bytes(key.get(1..)?) == Some(record.id)).then_some(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Severity;
    use crate::engine::incident::IncidentState;
    use crate::engine::record::{Exemplar, Peak, RecordState};
    use crate::score::board::{Reason, Side};

    #[test]
    fn records_of_before_they_had_exemplars_are_read() {
        let record = |exemplars| Record {
            id: RecordId {
                start_ms: 1_700_000_000_000,
                fingerprint: 7,
            },
            labels: Box::new(*b"labels"),
            partition: 3,
            state: RecordState::Active,
            severity: Severity::High,
            side: Side::Up,
            reason: Reason::Spike,
            active_ms: Some(5),
            end_ms: None,
            ended_by: None,
            peak: Peak {
                t_ms: 5,
                value: 1.0,
                score: 0.5,
                rarity: 3.0,
                deviation: 2.0,
                expected: 0.0,
                band: None,
                parts: vec![("jump".to_owned(), 1.0)],
            },
            as_of_ms: 9,
            absent: false,
            exemplars,
        };
        let exemplars = vec![Exemplar {
            t_ms: 4,
            value: 0.25,
            labels: Box::new(*b"more labels"),
        }];
        let key = key(record(Vec::new()).id);
        let payload = postcard::to_stdvec(&record(exemplars.clone())).unwrap();
        let sealed = value::seal(VERSION, &key, &payload);
        assert_eq!(decode(&key, &sealed), Some(record(exemplars)));
        // As version 1 wrote it.
        let payload: &[u8] = &[
            128, 160, 171, 254, 249, 98, 7, 6, 108, 97, 98, 101, 108, 115, 3, 1, 2, 0, 0, 1, 10, 0,
            0, 10, 0, 0, 0, 0, 0, 0, 240, 63, 0, 0, 0, 63, 0, 0, 0, 0, 0, 0, 8, 64, 0, 0, 0, 0, 0,
            0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 4, 106, 117, 109, 112, 0, 0, 128, 63, 18, 0,
        ];
        let sealed = value::seal(1, &key, payload);
        assert_eq!(decode(&key, &sealed), Some(record(Vec::new())));
        let sealed = value::seal(VERSION + 1, &key, payload);
        assert_eq!(decode(&key, &sealed), None);
    }

    #[test]
    fn incidents_of_before_they_could_be_learned_are_read() {
        let id = IncidentId(RecordId {
            start_ms: 1_700_000_000_000,
            fingerprint: 7,
        });
        let incident = |learned| Incident {
            id,
            state: IncidentState::Open,
            members: Vec::new(),
            left_out: 3,
            start_ms: id.0.start_ms,
            opened_ms: 2,
            end_ms: None,
            severity: Severity::High,
            score: 0.9,
            origin: id.0,
            merged_into: None,
            merged: vec![id],
            learned,
        };
        let key = incident_key(id);
        let mut payload = postcard::to_stdvec(&incident(true)).unwrap();
        let sealed = value::seal(INCIDENT_VERSION, &key, &payload);
        assert_eq!(decode_incident(&key, &sealed), Some(incident(true)));
        payload.pop();
        let sealed = value::seal(1, &key, &payload);
        assert_eq!(decode_incident(&key, &sealed), Some(incident(false)));
    }
}
