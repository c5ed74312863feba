//! Small things that people said, each kind in one file: written whole, synced, and put in the place of
//! the one before.
//!
//! What always holds: what [`Notes::write`] returned for survives a kill and a power cut, and what is
//! read is one that was written whole; a file that is damaged is moved aside and begun anew, one of a
//! newer saimon is left alone.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use xxhash_rust::xxh3::xxh3_64;

/// Why notes cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    #[error("{} is of a newer saimon (version {found}): start that one, or move the file away", path.display())]
    Newer { path: PathBuf, found: u32 },
    #[error("{}: {error}", path.display())]
    Unavailable { path: PathBuf, error: io::Error },
}

/// One file of notes.
#[derive(Debug)]
pub struct Notes {
    path: PathBuf,
    what: &'static str,
    version: u32,
}

impl Notes {
    /// Those in the file `path`: which tells what they are, and in which version they are written.
    pub fn new(path: &Path, what: &'static str, version: u32) -> Self {
        Self {
            path: path.to_owned(),
            what,
            version,
        }
    }

    /// What is noted; `None` if nothing ever was, or if it was damaged and is moved aside.
    ///
    /// # Errors
    /// See [`NotesError`].
    pub fn read<T: DeserializeOwned>(&self, now_ms: i64) -> Result<Option<T>, NotesError> {
        let unavailable = |error| NotesError::Unavailable {
            path: self.path.clone(),
            error,
        };
        let bytes = match fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(unavailable(e)),
        };
        let why = match self.parse(&bytes) {
            Ok(notes) => return Ok(Some(notes)),
            Err(Fault::Newer(found)) => {
                return Err(NotesError::Newer {
                    path: self.path.clone(),
                    found,
                });
            }
            Err(Fault::Damaged(why)) => why,
        };
        let aside = format!("{}.broken-{}", self.path.display(), now_ms / 1000);
        fs::rename(&self.path, &aside).map_err(unavailable)?;
        tracing::error!(path = %self.path.display(), why, aside, "notes are damaged: they were moved aside and are begun anew");
        Ok(None)
    }

    fn parse<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, Fault> {
        let damaged = |why: &str| Fault::Damaged(why.to_owned());
        let end = bytes.iter().position(|b| *b == b'\n');
        let (head, rest) = bytes.split_at(end.ok_or_else(|| damaged("it is cut short"))?);
        let body = &rest[1..];
        let head = std::str::from_utf8(head).map_err(|_| damaged("it has no head"))?;
        let mut words = head.split(' ');
        let (saimon, what) = (words.next(), words.next());
        let version = words.next().and_then(|v| v.parse::<u32>().ok());
        let sum = words.next().and_then(|s| u64::from_str_radix(s, 16).ok());
        match (saimon, what, version, sum) {
            (Some("saimon"), Some(what), Some(version), Some(sum)) if what == self.what => {
                if version > self.version {
                    return Err(Fault::Newer(version));
                }
                if sum != xxh3_64(body) {
                    return Err(damaged("its checksum is wrong"));
                }
            }
            _ => return Err(damaged("it has another head")),
        }
        serde_json::from_slice(body).map_err(|e| Fault::Damaged(e.to_string()))
    }

    /// Writes what is to be read the next time. Blocks on the disk.
    ///
    /// # Errors
    /// If it may not be there after a crash; then what was there before is.
    pub fn write<T: Serialize>(&self, notes: &T) -> io::Result<()> {
        let body = serde_json::to_vec(notes)?;
        let folder = self.path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let beside = self.path.with_extension("new");
        let mut file = File::create(&beside)?;
        let sum = xxh3_64(&body);
        writeln!(file, "saimon {} {} {sum:016x}", self.what, self.version)?;
        file.write_all(&body)?;
        file.sync_all()?;
        drop(file);
        fs::rename(&beside, &self.path)?;
        File::open(folder)?.sync_all()
    }
}

enum Fault {
    Newer(u32),
    Damaged(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_read_and_what_is_damaged_is_moved_aside() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/things");
        let notes = Notes::new(&path, "things", 2);
        assert_eq!(notes.read::<Vec<u32>>(0).unwrap(), None);
        notes.write(&vec![1, 2]).unwrap();
        notes.write(&vec![3]).unwrap();
        assert_eq!(notes.read::<Vec<u32>>(0).unwrap(), Some(vec![3]));
        let newer = Notes::new(&path, "things", 3);
        newer.write(&vec![4]).unwrap();
        let refused = notes.read::<Vec<u32>>(0).unwrap_err();
        assert!(matches!(refused, NotesError::Newer { found: 3, .. }));
        let mut bytes = fs::read(&path).unwrap();
        let last = bytes.len() - 2;
        bytes[last] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(newer.read::<Vec<u32>>(5_000).unwrap(), None);
        assert!(folder.path().join("deep/things.broken-5").is_file());
        assert_eq!(newer.read::<Vec<u32>>(0).unwrap(), None);
    }
}
