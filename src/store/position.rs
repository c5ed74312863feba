//! Up to which record of the journal the store has everything, and the families that were announced.
//!
//! A partition's number is written in the same step as its groups. The number of the last complete
//! checkpoint counts for every partition: what did not change since is in it as it was.

use super::disk::{DiskError, Edit};
use super::load::pages;
use super::value;
use super::{Store, key};
use crate::engine::keep::{Family, PARTITIONS};

/// Version of these values.
const VERSION: u8 = 1;

/// Families under one key: about 30 KiB.
const FAMILIES_A_PART: usize = 1024;

/// Up to which record each partition has everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// By partition.
    pub covered: Box<[u64; PARTITIONS]>,
    /// The same for all of them: what comes after it may be missing in some.
    pub through: u64,
}

impl Position {
    /// The newest record that any partition has.
    pub fn newest(&self) -> u64 {
        self.covered.iter().copied().max().unwrap_or(self.through)
    }
}

impl Default for Position {
    fn default() -> Self {
        Self {
            covered: Box::new([0; PARTITIONS]),
            through: 0,
        }
    }
}

impl Store {
    /// Up to which record the store has everything.
    ///
    /// # Errors
    /// If the disk does not answer. A number that is damaged counts as that of the last complete
    /// checkpoint: too many records are taken again then, and each of their samples is dropped as
    /// known.
    pub fn position(&self) -> Result<Position, DiskError> {
        let disk = self.disk();
        let mut position = Position::default();
        if let Some(sealed) = disk.get(key::THROUGH.to_vec())? {
            position.through = number(key::THROUGH, &sealed).unwrap_or(0);
        }
        position.covered.fill(position.through);
        let (from, to) = key::CUTS;
        pages(&disk, from, to, |key, sealed| {
            if let (Some(&partition), Some(seq)) = (key.get(1), number(key, sealed)) {
                let covered = &mut position.covered[usize::from(partition)];
                *covered = seq.max(*covered);
            }
        })?;
        Ok(position)
    }

    /// The families that were announced, in order; up to the first that cannot be read.
    ///
    /// # Errors
    /// If the disk does not answer.
    pub fn families(&self) -> Result<Vec<Family>, DiskError> {
        let mut families: Vec<Family> = Vec::new();
        let mut whole = true;
        let (from, to) = key::FAMILIES;
        pages(&self.disk(), from, to, |key, sealed| {
            let part = value::open(VERSION, key, sealed);
            let part: Option<Vec<Family>> = part
                .ok()
                .and_then(|payload| postcard::from_bytes(payload).ok());
            match part {
                Some(part) if whole => families.extend(part),
                _ => whole = false,
            }
        })?;
        if !whole {
            self.0.metrics.store_errors.inc();
            tracing::warn!(
                "some metadata in the store cannot be read: it is asked of senders again"
            );
        }
        Ok(families)
    }
}

/// Says how many records the partition has.
pub(super) fn cut(partition: u8, seq: u64) -> Edit {
    put(key::cut(partition), seq)
}

/// Says how many records all partitions have.
pub(super) fn through(seq: u64) -> Edit {
    put(key::THROUGH.to_vec(), seq)
}

/// The parts of the list that have changed since it had `written` families.
pub(super) fn families(all: &[Family], written: usize) -> Vec<Edit> {
    let first = written / FAMILIES_A_PART;
    let parts = all.chunks(FAMILIES_A_PART).enumerate().skip(first);
    parts
        .map(|(part, families)| {
            // 65,536 parts are more families than any limit allows.
            let key = key::families(part as u16);
            let payload = postcard::to_stdvec(families).expect("BUG: families are plain values");
            Edit::Put(key.clone(), value::seal(VERSION, &key, &payload))
        })
        .collect()
}

fn put(key: Vec<u8>, seq: u64) -> Edit {
    let sealed = value::seal(VERSION, &key, &seq.to_be_bytes());
    Edit::Put(key, sealed)
}

fn number(key: &[u8], sealed: &[u8]) -> Option<u64> {
    let payload = value::open(VERSION, key, sealed).ok()?;
    Some(u64::from_be_bytes(payload.try_into().ok()?))
}
