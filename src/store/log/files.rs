//! What the log asks of a file system, and the real one.
//!
//! A trait, because what a log is worth shows on disks that are full, fail at one call, write less
//! than they were given, or lose what was not synced: tests pass such a disk in.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LogError;
use crate::store::OpenError;
use crate::store::folder::Folder;

/// One folder of files.
pub trait Files: Send + Sync {
    /// Names and lengths in bytes, in no order.
    ///
    /// # Errors
    /// As the operating system says; so for all that follows.
    fn list(&self) -> io::Result<Vec<(String, u64)>>;
    /// A new, empty file for writing. An existing one is an error.
    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// A file for reading and syncing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>>;
    /// Cuts a file that is not open for writing.
    fn cut(&self, name: &str, len: u64) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Returns when files that were created are found again after a power cut.
    fn sync_names(&self) -> io::Result<()>;
}

/// One open file.
pub trait LogFile: Send + Sync {
    /// Writes at the end, possibly less than all of `parts`.
    fn append(&self, parts: &[IoSlice<'_>]) -> io::Result<usize>;
    /// Reads at most `into.len()` bytes; 0 only at the end of the file.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize>;
    /// Makes the file `len` bytes long.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Returns when everything that was appended survives a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// A folder on a real disk, which no other process uses as a log while this exists.
#[derive(Debug)]
pub struct Dir {
    path: PathBuf,
    handle: File,
    _lock: Folder,
}

impl Dir {
    /// Takes the folder for this process, making it if need be. Its lock is `<dir>.lock`.
    ///
    /// # Errors
    /// [`LogError::Locked`] if another process has it, [`LogError::Io`] if it cannot be used.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        let lock = Folder::lock(path).map_err(|e| match e {
            OpenError::Locked { dir } => LogError::Locked { dir },
            OpenError::Unavailable { why, .. } | OpenError::Newer { found: why, .. } => {
                LogError::Io {
                    what: "opening the log",
                    why,
                }
            }
        })?;
        let failed = |e| LogError::io("opening the log's folder", &e);
        fs::create_dir_all(path).map_err(failed)?;
        Ok(Self {
            handle: File::open(path).map_err(failed)?,
            path: path.to_owned(),
            _lock: lock,
        })
    }
}

impl Files for Dir {
    fn list(&self) -> io::Result<Vec<(String, u64)>> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            if let Ok(name) = entry.file_name().into_string() {
                let about = entry.metadata()?;
                if about.is_file() {
                    found.push((name, about.len()));
                }
            }
        }
        Ok(found)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let file = File::options()
            .create_new(true)
            .append(true)
            .open(self.path.join(name))?;
        Ok(Arc::new(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        Ok(Arc::new(File::open(self.path.join(name))?))
    }

    fn cut(&self, name: &str, len: u64) -> io::Result<()> {
        let file = File::options().write(true).open(self.path.join(name))?;
        file.set_len(len)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

impl LogFile for File {
    fn append(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut file = self;
        file.write_vectored(parts)
    }

    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<usize> {
        FileExt::read_at(self, into, at)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Writes all of `parts`, going on after short writes. On an error an unknown part is written.
pub(super) fn append_all(file: &dyn LogFile, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
    // Empty slices at the front would look like a file that takes nothing.
    IoSlice::advance_slices(&mut parts, 0);
    while !parts.is_empty() {
        match file.append(parts) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => IoSlice::advance_slices(&mut parts, n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// Fills `into` from `at` on as far as the file reaches; gives how much that was.
pub(super) fn read_full(file: &dyn LogFile, at: u64, into: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < into.len() {
        match file.read_at(at + filled as u64, &mut into[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}
