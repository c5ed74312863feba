//! A disk in memory that can be full, fail, write too little, lose what was not synced, and rot.
//!
//! Data are kept twice: as a process sees them and as they are after a power cut, where every page
//! and every name that was not synced may or may not be there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

use super::super::files::{Files, LogFile};

const PAGE: usize = 512;

#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    files: BTreeMap<u64, Data>,
    /// Names as a process sees them, and as they are synced.
    names: BTreeMap<String, u64>,
    synced_names: BTreeMap<String, u64>,
    next: u64,
    operations: u64,
    /// Bytes that all files may have.
    room: Option<usize>,
    /// The operation that fails, and how.
    fail_at: Option<(u64, io::ErrorKind)>,
    /// Writes take at most this much.
    most: Option<usize>,
    fail_truncate: bool,
    /// Syncs of data that fail from now on.
    fail_syncs: u32,
    fail_sync_names: bool,
    syncs: u64,
}

#[derive(Default)]
struct Data {
    now: Vec<u8>,
    safe: Vec<u8>,
    dirty: BTreeSet<usize>,
}

struct Open {
    disk: Disk,
    id: u64,
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    pub(super) fn operations(&self) -> u64 {
        self.state().operations
    }

    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    pub(super) fn limit(&self, bytes: Option<usize>) {
        self.state().room = bytes;
    }

    /// The n-th operation from now on fails; 0 is the next.
    pub(super) fn fail_in(&self, n: u64, kind: io::ErrorKind) {
        let mut state = self.state();
        state.fail_at = Some((state.operations + n, kind));
    }

    pub(super) fn short_writes(&self, most: Option<usize>) {
        self.state().most = most;
    }

    pub(super) fn fail_truncate(&self, fail: bool) {
        self.state().fail_truncate = fail;
    }

    pub(super) fn fail_syncs(&self, n: u32) {
        self.state().fail_syncs = n;
    }

    pub(super) fn fail_sync_names(&self, fail: bool) {
        self.state().fail_sync_names = fail;
    }

    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.room = None;
        state.fail_at = None;
        state.most = None;
        state.fail_truncate = false;
        state.fail_syncs = 0;
        state.fail_sync_names = false;
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.list().unwrap().iter().map(|(_, len)| len).sum()
    }

    pub(super) fn newest(&self) -> (String, u64) {
        self.list().unwrap().pop().unwrap()
    }

    /// Cuts the end of the newest file.
    pub(super) fn shorten(&self, by: u64) {
        let (name, len) = self.newest();
        self.cut(&name, len - by).unwrap();
    }

    pub(super) fn copy(&self, from: &str, to: &str) {
        let bytes = {
            let state = self.state();
            state.files[&state.names[from]].now.clone()
        };
        self.write(to, &bytes);
    }

    pub(super) fn write(&self, name: &str, bytes: &[u8]) {
        self.create(name)
            .unwrap()
            .append(&[IoSlice::new(bytes)])
            .unwrap();
    }

    pub(super) fn flip(&self, name: &str, bit: usize) {
        let mut state = self.state();
        let id = state.names[name];
        let data = state.files.get_mut(&id).unwrap();
        data.now[bit / 8] ^= 1 << (bit % 8);
        if let Some(byte) = data.safe.get_mut(bit / 8) {
            *byte ^= 1 << (bit % 8);
        }
    }

    /// Makes everything safe, as it is after a while.
    pub(super) fn settle(&self) {
        let mut state = self.state();
        state.synced_names = state.names.clone();
        for data in state.files.values_mut() {
            data.safe = data.now.clone();
            data.dirty.clear();
        }
    }

    /// Loses any part of what was not synced.
    pub(super) fn power_cut(&self, rng: &mut fastrand::Rng) {
        let mut state = self.state();
        let State {
            files,
            names,
            synced_names,
            ..
        } = &mut *state;
        for data in files.values_mut() {
            let len = rng
                .usize(data.safe.len().min(data.now.len())..=data.now.len().max(data.safe.len()));
            let mut left = vec![0; len];
            for (i, page) in left.chunks_mut(PAGE).enumerate() {
                let from = match data.dirty.contains(&i) && rng.bool() {
                    true => &data.now,
                    false => &data.safe,
                };
                let from = from.get(i * PAGE..).unwrap_or_default();
                let n = from.len().min(page.len());
                page[..n].copy_from_slice(&from[..n]);
            }
            data.safe = left.clone();
            data.now = left;
            data.dirty.clear();
        }
        let changed: BTreeSet<String> = names.keys().chain(synced_names.keys()).cloned().collect();
        for name in changed {
            if names.get(&name) != synced_names.get(&name) && rng.bool() {
                match synced_names.get(&name) {
                    Some(id) => names.insert(name, *id),
                    None => names.remove(&name),
                };
            }
        }
        synced_names.clone_from(names);
    }
}

impl State {
    fn operation(&mut self) -> io::Result<()> {
        let now = self.operations;
        self.operations += 1;
        match self.fail_at {
            Some((at, kind)) if at == now => {
                self.fail_at = None;
                Err(kind.into())
            }
            _ => Ok(()),
        }
    }

    fn id(&self, name: &str) -> io::Result<u64> {
        let id = self.names.get(name).copied();
        id.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Files for Disk {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        Ok(state
            .names
            .iter()
            .map(|(name, id)| (name.clone(), state.files[id].now.len() as u64))
            .collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.state();
        state.operation()?;
        if state.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let id = state.next;
        state.next += 1;
        state.names.insert(name.to_owned(), id);
        state.files.insert(id, Data::default());
        Ok(Arc::new(Open {
            disk: self.clone(),
            id,
        }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let id = self.state().id(name)?;
        Ok(Arc::new(Open {
            disk: self.clone(),
            id,
        }))
    }

    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        let id = self.state().id(name)?;
        Open {
            disk: self.clone(),
            id,
        }
        .truncate(len)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        let removed = state.names.remove(name).map(|_| ());
        removed.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_names(&self) -> io::Result<()> {
        let mut state = self.state();
        state.operation()?;
        if state.fail_sync_names {
            return Err(io::Error::other("a bad folder"));
        }
        state.synced_names = state.names.clone();
        Ok(())
    }
}

impl LogFile for Open {
    fn append(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.operation()?;
        let used: usize = state
            .names
            .values()
            .map(|id| state.files[id].now.len())
            .sum();
        let room = state
            .room
            .map_or(usize::MAX, |room| room.saturating_sub(used));
        let most = state.most.unwrap_or(usize::MAX);
        let bytes: Vec<u8> = parts.iter().flat_map(|p| p.iter().copied()).collect();
        if room == 0 && !bytes.is_empty() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let n = bytes.len().min(room).min(most);
        let data = state.files.get_mut(&self.id).unwrap();
        let old = data.now.len();
        data.now.extend_from_slice(&bytes[..n]);
        if n > 0 {
            data.dirty.extend(old / PAGE..=(old + n - 1) / PAGE);
        }
        Ok(n)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        let state = self.disk.state();
        let now = &state.files[&self.id].now;
        let from = now.get(at as usize..).unwrap_or_default();
        let n = from.len().min(into.len());
        into[..n].copy_from_slice(&from[..n]);
        Ok(n)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operation()?;
        if state.fail_truncate {
            return Err(io::Error::other("no"));
        }
        let data = state.files.get_mut(&self.id).unwrap();
        let len = len as usize;
        data.dirty.extend(len / PAGE..=data.now.len() / PAGE);
        data.now.resize(len, 0);
        Ok(())
    }

    /// A failed sync drops the pages: the next one succeeds, and they are not there.
    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.syncs += 1;
        state.operation()?;
        let fails = state.fail_syncs > 0;
        state.fail_syncs -= u32::from(fails);
        let data = state.files.get_mut(&self.id).unwrap();
        data.dirty.clear();
        if fails {
            return Err(io::Error::other("a bad sector"));
        }
        data.safe = data.now.clone();
        Ok(())
    }
}
