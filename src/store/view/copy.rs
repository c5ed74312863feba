//! A copy of a folder, of one moment.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::ViewError;

/// A folder that changes while it is copied is copied again so often, after such a pause. A
/// checkpoint takes seconds of every five minutes.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_secs(2);

/// Names tried for the copy.
const NAMES_TRIED: u32 = 1000;

/// Folders within folders: sled has one.
const DEPTH_MAX: u32 = 4;

/// A copy, removed when dropped.
#[derive(Debug)]
pub(crate) struct Copy {
    /// A folder of its own, which holds the copy and what is made beside it.
    root: PathBuf,
    path: PathBuf,
    bytes: u64,
}

/// What tells that a file has not been written to: where, how long, when changed.
type Files = Vec<(PathBuf, u64, Option<SystemTime>)>;

impl Copy {
    /// Copies `dir` into a new folder in `temp`, which only this user can read.
    ///
    /// # Errors
    /// If it cannot be read or written, or never stood still.
    pub(crate) fn of(dir: &Path, temp: &Path) -> Result<Self, ViewError> {
        Self::take(dir, temp, true)
    }

    /// The same of a folder with files that only grow at their ends, and may go.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub(crate) fn of_growing(dir: &Path, temp: &Path) -> Result<Self, ViewError> {
        Self::take(dir, temp, false)
    }

    fn take(dir: &Path, temp: &Path, still: bool) -> Result<Self, ViewError> {
        let failed = |to: &Path, e: io::Error| ViewError::Copy {
            dir: dir.to_owned(),
            to: to.to_owned(),
            why: match e.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => format!(
                    "{e}; it has {}: name a folder with so much room with --temp-dir",
                    bytesize::ByteSize(files(dir).map_or(0, |f| sum(&f)))
                        .display()
                        .iec()
                ),
                _ => e.to_string(),
            },
        };
        let root = new_folder(temp).map_err(|e| failed(temp, e))?;
        let mut copy = Self {
            path: root.join("copy"),
            root,
            bytes: 0,
        };
        for n in 0..TRIES {
            if n > 0 {
                std::thread::sleep(PAUSE);
            }
            match copy.fill(dir) {
                Ok(unchanged) if unchanged || !still => return Ok(copy),
                Ok(_) => {}
                // A file that was there a moment ago: it is being written to.
                Err(e) if e.kind() == io::ErrorKind::NotFound && dir.is_dir() => {}
                Err(e) => return Err(failed(&copy.path, e)),
            }
        }
        Err(ViewError::Busy {
            dir: dir.to_owned(),
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// False if something was written meanwhile.
    fn fill(&mut self, dir: &Path) -> io::Result<bool> {
        match fs::remove_dir_all(&self.path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => fs::create_dir(&self.path)?,
        }
        let before = files(dir)?;
        for (name, ..) in &before {
            let to = self.path.join(name);
            if let Some(folder) = to.parent() {
                fs::create_dir_all(folder)?;
            }
            fs::copy(dir.join(name), to)?;
        }
        self.bytes = sum(&before);
        Ok(files(dir)? == before)
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn sum(files: &Files) -> u64 {
    files.iter().map(|f| f.1).sum()
}

fn new_folder(temp: &Path) -> io::Result<PathBuf> {
    for n in 0..NAMES_TRIED {
        let path = temp.join(format!("saimon-inspect-{}-{n}", std::process::id()));
        match DirBuilder::new().mode(0o700).create(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|()| path),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::AlreadyExists,
        "no free name for it",
    ))
}

/// All files of a folder by their paths within it.
fn files(dir: &Path) -> io::Result<Files> {
    let mut found = Vec::new();
    walk(dir, Path::new(""), 0, &mut found)?;
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, within: &Path, depth: u32, found: &mut Files) -> io::Result<()> {
    for entry in fs::read_dir(dir.join(within))? {
        let entry = entry?;
        let name = within.join(entry.file_name());
        let meta = entry.metadata()?;
        if meta.is_dir() && depth < DEPTH_MAX {
            walk(dir, &name, depth + 1, found)?;
        } else if meta.is_file() {
            found.push((name, meta.len(), meta.modified().ok()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_has_every_file_and_goes_in_the_end() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("store");
        fs::create_dir_all(dir.join("blobs")).unwrap();
        fs::write(dir.join("db"), b"abc").unwrap();
        fs::write(dir.join("blobs/7"), b"de").unwrap();
        let copy = Copy::of(&dir, temp.path()).unwrap();
        assert_eq!(copy.bytes(), 5);
        assert_eq!(fs::read(copy.path().join("blobs/7")).unwrap(), b"de");
        fs::write(copy.path().join("db"), b"other").unwrap();
        assert_eq!(fs::read(dir.join("db")).unwrap(), b"abc");
        let second = Copy::of(&dir, temp.path()).unwrap();
        assert_ne!(copy.path(), second.path());
        let root = copy.path().parent().unwrap().to_owned();
        drop(copy);
        assert!(!root.try_exists().unwrap());
        assert!(second.path().try_exists().unwrap());
    }

    #[test]
    fn a_folder_that_is_not_there_is_said() {
        let temp = tempfile::tempdir().unwrap();
        let gone = temp.path().join("gone");
        assert!(Copy::of(temp.path(), &gone).is_err());
        let missing = super::super::View::open(&gone, temp.path());
        assert!(matches!(missing, Err(ViewError::Missing { .. })));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
    }
}
