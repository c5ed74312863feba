//! A store as it lies on disk, to be looked at beside the process that writes it.
//!
//! sled has no way to read its files without writing some, and locks them; so the folder is copied,
//! and the copy is opened. What always holds: the store itself is only ever read, its lock is not
//! asked for; the copy is one of a moment at which nothing was written; it is removed in the end. It
//! shows what was written by the last checkpoint.

mod check;
mod copy;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::disk::{DiskError, OpenFailure};
use super::folder::Folder;
use super::load::pages;
use super::{Inner, Store, block, key, locked, start, value};
use crate::engine::keep::{ClosedChunk, GroupId, Sleepers};
use crate::telemetry::Metrics;
use crate::window::encoding::Encoding;
use crate::window::rollup::Row;

pub use check::{Checked, Complaint};
pub(crate) use copy::Copy;

/// Bytes of sled's cache: everything is read once.
const CACHE: u64 = 16 << 20;

/// Why a store cannot be looked at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewError {
    #[error(
        "there is no store {dir}: name the directory that `saimon serve` was given as --data-dir"
    )]
    Missing { dir: PathBuf },
    #[error("{dir} cannot be copied to {to}: {why}")]
    Copy {
        dir: PathBuf,
        to: PathBuf,
        why: String,
    },
    #[error(
        "{dir} was written to all the time while it was copied: try again when the checkpoint is over"
    )]
    Busy { dir: PathBuf },
    #[error("the store {dir} cannot be opened: {why}")]
    Open { dir: PathBuf, why: String },
    #[error("the store {dir} cannot be read: {why}")]
    Read { dir: PathBuf, why: String },
}

/// A chunk on disk, without its samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkInfo {
    pub id: GroupId,
    pub position: u16,
    pub first_ms: i64,
    pub last_ms: i64,
    pub samples: u16,
    /// As it is stored.
    pub bytes: usize,
}

/// The copy of a store.
#[derive(Debug)]
pub struct View {
    // In this order: files are closed before they are removed.
    store: Store,
    dir: PathBuf,
    copy: Copy,
}

impl View {
    /// Copies the store in the folder `dir` into a new folder in `temp` and opens that.
    ///
    /// # Errors
    /// If there is none, if there is no room for a copy, or if it cannot be opened.
    pub fn open(dir: &Path, temp: &Path) -> Result<Self, ViewError> {
        if !dir.is_dir() {
            return Err(ViewError::Missing {
                dir: dir.to_owned(),
            });
        }
        let copy = Copy::of(dir, temp)?;
        let open = |why: String| ViewError::Open {
            dir: dir.to_owned(),
            why,
        };
        let folder = Folder::lock(copy.path()).map_err(|e| open(e.to_string()))?;
        let (disk, index) = start(&super::sled::opener(copy.path(), CACHE)).map_err(|e| {
            open(match e {
                OpenFailure::Damaged(why) => format!("it is damaged: {why}"),
                other => other.to_string(),
            })
        })?;
        Ok(Self {
            store: Store(Arc::new(Inner {
                disk: Mutex::new(Arc::new(disk)),
                folder,
                index: Mutex::new(index),
                remains: Mutex::new(Vec::new()),
                metrics: Arc::new(Metrics::new()),
            })),
            dir: dir.to_owned(),
            copy,
        })
    }

    /// Bytes of the store's files.
    pub fn file_bytes(&self) -> u64 {
        self.copy.bytes()
    }

    /// Hands every state that can be read to `take`: its group, its bytes, its newest sample.
    ///
    /// # Errors
    /// If reading had to end early.
    pub fn states(&self, take: impl FnMut(GroupId, &[u8], i64)) -> Result<(), ViewError> {
        match self.store.groups(take).stopped {
            None => Ok(()),
            Some(error) => Err(self.unreadable(&error)),
        }
    }

    /// Every chunk on disk that can be read, by the times of their blocks.
    ///
    /// # Errors
    /// If reading had to end early.
    pub fn infos(&self, mut take: impl FnMut(ChunkInfo)) -> Result<(), ViewError> {
        let (from, to) = key::BLOCKS;
        let scanned = pages(&self.store.disk(), from, to, |key, sealed| {
            let stored = value::open_any(block::VERSION, key, sealed).and_then(block::read);
            if let (Some(id), Ok(stored)) = (key::group_of_block(key), stored) {
                for c in stored {
                    take(ChunkInfo {
                        id,
                        position: c.position,
                        first_ms: c.first_ms,
                        last_ms: c.last_ms,
                        samples: c.samples,
                        bytes: c.bytes.len(),
                    });
                }
            }
        });
        scanned.map_err(|e| self.unreadable(&e))
    }

    /// As [`Store::chunks`].
    ///
    /// # Errors
    /// If the copy cannot be read.
    pub fn chunks(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<ClosedChunk>, ViewError> {
        let chunks = self.store.chunks(id, positions, from_ms, to_ms);
        let mut chunks = chunks.map_err(|e| self.unreadable(&e))?;
        chunks.retain(|c| c.encoding != Encoding::Anchor);
        Ok(chunks)
    }

    /// The states of series that sleep, as they wrote them.
    pub fn sleepers(&self, of: &[(GroupId, u16)]) -> Vec<Option<Vec<u8>>> {
        let states = Sleepers::states(&self.store, of);
        states.unwrap_or_else(|_| vec![None; of.len()])
    }

    /// As [`Store::rollups`].
    ///
    /// # Errors
    /// If the copy cannot be read.
    pub fn rollups(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<(u16, Vec<Row>)>, ViewError> {
        let rows = self.store.rollups(id, positions, from_ms, to_ms);
        rows.map_err(|e| self.unreadable(&e))
    }

    /// Groups that are known, and the blocks of rollups that they have.
    pub fn rollup_blocks(&self) -> usize {
        let index = locked(&self.store.0.index);
        index.values().map(|o| o.rollups.len()).sum()
    }

    fn unreadable(&self, error: &DiskError) -> ViewError {
        ViewError::Read {
            dir: self.dir.clone(),
            why: error.to_string(),
        }
    }
}
