//! Reading the whole store at start.

use std::collections::{HashMap, HashSet};

use super::disk::{Disk, DiskError, Edit};
use super::outline::{self, Outline};
use super::{Store, key, locked, snapshot, value};
use crate::engine::keep::{Appendix, GroupId};

/// Bytes of values read at once. One read must end well within the wait for the disk.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Keys deleted in one step.
const PURGE_EDITS: usize = 4096;

/// What a start got back.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Groups that were handed over.
    pub groups: u64,
    /// Groups on disk that could not be read. They are deleted before anything is written, so that
    /// their numbers can be used again.
    pub skipped: u64,
    /// Why reading ended early, if it did. What was not reached counts as skipped.
    pub stopped: Option<DiskError>,
}

impl Store {
    /// Hands every stored group to `take`: its id, its state, its newest sample. To be called once,
    /// before the writer is started.
    ///
    /// Whatever cannot be read is left out, counted in `saimon_store_errors_total` and logged. If
    /// the store turns out to be damaged while it is read, it is moved aside by the writer.
    pub fn groups(&self, mut take: impl FnMut(GroupId, &[u8], i64)) -> Loaded {
        let mut loaded = Loaded::default();
        let mut seen = HashSet::new();
        let mut good = HashSet::new();
        let scanned = states(&self.disk(), |id, joined| {
            seen.insert(id);
            let newest_ms = self.outline(id).map(|o| o.newest_ms);
            match (newest_ms, snapshot::open(id, joined)) {
                (Some(newest_ms), Ok(state)) => {
                    good.insert(id);
                    loaded.groups += 1;
                    take(id, state, newest_ms);
                }
                (None, _) => self.skipping(id, "its outline is missing or unreadable"),
                (_, Err(why)) => self.skipping(id, &why.to_string()),
            }
        });
        if let Err(error) = scanned {
            self.0.metrics.store_errors.inc();
            tracing::warn!(%error, "reading the store ended early");
            loaded.stopped = Some(error);
        }
        let mut index = locked(&self.0.index);
        let mut skipped: Vec<_> = seen.difference(&good).copied().collect();
        for &id in index.keys() {
            if !seen.contains(&id) {
                self.skipping(id, "its state is missing");
                skipped.push(id);
            }
        }
        index.retain(|id, _| good.contains(id));
        drop(index);
        skipped.sort_unstable();
        loaded.skipped = skipped.len() as u64;
        locked(&self.0.remains).extend(skipped);
        loaded
    }

    /// The large parts of the states of a group, to be had before the writer is started. One that
    /// cannot be read is left out.
    pub fn appendices(&self, id: GroupId) -> Vec<Appendix> {
        let of = self.outline(id).map(|o| o.appendices).unwrap_or_default();
        let disk = self.disk();
        let read = of.into_iter().filter_map(|(position, part)| {
            let key = key::appendix(id, (position, part));
            let sealed = disk.get(key.clone()).ok().flatten()?;
            match value::open(snapshot::APPENDIX_VERSION, &key, &sealed) {
                Ok(bytes) => Some(Appendix {
                    position,
                    part,
                    bytes: bytes.to_vec(),
                }),
                Err(why) => {
                    self.skipping(id, &why.to_string());
                    None
                }
            }
        });
        read.collect()
    }

    fn skipping(&self, id: GroupId, why: &str) {
        self.0.metrics.store_errors.inc();
        tracing::warn!(
            partition = id.partition,
            group = id.number,
            why,
            "a group of the store cannot be read: its series start anew"
        );
    }

    /// Deletes what is left of groups that could not be read. Nothing may be written before: a new
    /// group may get the number of one of them. Reads all blocks, but is needed only after damage.
    pub(super) fn purge(&self) -> Result<(), DiskError> {
        let remains: HashSet<_> = locked(&self.0.remains).iter().copied().collect();
        if remains.is_empty() {
            return Ok(());
        }
        let disk = self.disk();
        let mut keys = Vec::new();
        for &id in &remains {
            for kind in key::OF_GROUP {
                let (from, to) = key::range(kind, id);
                pages(&disk, &from, &to, |key, _| keys.push(key.to_vec()))?;
            }
        }
        for (from, to) in [key::BLOCKS, key::ROLLUPS] {
            pages(&disk, from, to, |key, _| {
                if key::group_of_block(key).is_some_and(|id| remains.contains(&id)) {
                    keys.push(key.to_vec());
                }
            })?;
        }
        for some in keys.chunks(PURGE_EDITS) {
            disk.apply(some.iter().cloned().map(Edit::Remove).collect())?;
        }
        locked(&self.0.remains).clear();
        Ok(())
    }
}

/// All outlines that can be read. The others show up as states without one.
pub(super) fn outlines(disk: &Disk) -> Result<HashMap<GroupId, Outline>, DiskError> {
    let mut found = HashMap::new();
    let (from, to) = key::OUTLINES;
    pages(disk, from, to, |key, sealed| {
        let outline = value::open_any(outline::VERSION, key, sealed).and_then(Outline::decode);
        if let (Some(id), Ok(outline)) = (key::group(key), outline) {
            found.insert(id, outline);
        }
    })?;
    Ok(found)
}

/// All states, each joined from its parts.
pub(super) fn states(disk: &Disk, mut take: impl FnMut(GroupId, &[u8])) -> Result<(), DiskError> {
    let mut joined = Vec::new();
    let mut current = None;
    let (from, to) = key::STATES;
    pages(disk, from, to, |key, value| {
        let id = key::group(key);
        if id != current {
            if let Some(id) = current {
                take(id, &joined);
            }
            joined.clear();
            current = id;
        }
        joined.extend_from_slice(value);
    })?;
    if let Some(id) = current {
        take(id, &joined);
    }
    Ok(())
}

/// Everything in `[from, to)`, a page at a time.
pub(super) fn pages(
    disk: &Disk,
    from: &[u8],
    to: &[u8],
    mut take: impl FnMut(&[u8], &[u8]),
) -> Result<(), DiskError> {
    let mut from = from.to_vec();
    loop {
        let page = disk.scan(&from, to, PAGE_BYTES)?;
        let Some((last, _)) = page.last() else {
            return Ok(());
        };
        from.clone_from(last);
        // The next key there can be.
        from.push(0);
        for (key, value) in &page {
            take(key, value);
        }
    }
}
