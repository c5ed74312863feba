//! The folder of the store: who may use it, and where a damaged one goes.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};

use super::OpenError;

/// Damaged stores beside the store from which on a warning asks to delete them. They are evidence
/// and may be large; saimon never deletes one.
const BROKEN_KEPT_MAX: usize = 3;

/// Names tried for one damaged store; more than one only if several are moved within a second.
const NAMES_TRIED: u32 = 1000;

/// A lock is asked for this often before it is another process' lock: between fork and exec, a child
/// of the owner holds it too for a moment.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// The folder of the store, which no other saimon uses while this exists.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
    /// Locked as long as it is open. Beside the folder and not in it, so that it stays when the
    /// folder is moved aside.
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process, and makes the directory that it will be in.
    pub(super) fn lock(dir: &Path) -> Result<Self, OpenError> {
        let unavailable = |path: &Path, e: io::Error| OpenError::Unavailable {
            dir: dir.to_owned(),
            why: format!("{}: {e}", path.display()),
        };
        if let Some(parent) = dir.parent() {
            fs::create_dir_all(parent).map_err(|e| unavailable(parent, e))?;
        }
        let path = beside(dir, "lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| unavailable(&path, e))?;
        let mut tries = 1;
        let mut locked = lock.try_lock();
        while tries < LOCK_TRIES && matches!(locked, Err(TryLockError::WouldBlock)) {
            std::thread::sleep(LOCK_PAUSE);
            tries += 1;
            locked = lock.try_lock();
        }
        match locked {
            Ok(()) => Ok(Self {
                dir: dir.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(OpenError::Locked {
                dir: dir.to_owned(),
            }),
            Err(TryLockError::Error(e)) => Err(unavailable(&path, e)),
        }
    }

    /// Renames the folder (or whatever has its name) to `<dir>.broken-<seconds>` and says so.
    pub(super) fn move_aside(&self, why: &str, now_ms: i64) -> io::Result<PathBuf> {
        let to = self.free_name(now_ms.div_euclid(1000))?;
        fs::rename(&self.dir, &to)?;
        tracing::warn!(
            store = %self.dir.display(),
            to = %to.display(),
            why,
            "the store is damaged: moved aside, starting with an empty one"
        );
        match self.broken() {
            Ok(n) if n > BROKEN_KEPT_MAX => tracing::warn!(
                store = %self.dir.display(),
                damaged = n,
                "many damaged stores lie beside the store: look at the disk, then delete them"
            ),
            _ => {}
        }
        Ok(to)
    }

    fn free_name(&self, seconds: i64) -> io::Result<PathBuf> {
        for n in 0..NAMES_TRIED {
            let name = match n {
                0 => format!("broken-{seconds}"),
                n => format!("broken-{seconds}-{n}"),
            };
            let to = beside(&self.dir, &name);
            if fs::symlink_metadata(&to).is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
                return Ok(to);
            }
        }
        Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "no free name for it",
        ))
    }

    /// How many damaged stores lie beside this one.
    fn broken(&self) -> io::Result<usize> {
        let prefix = beside(&self.dir, "broken-");
        let Some((parent, prefix)) = self.dir.parent().zip(prefix.file_name()) else {
            return Ok(0);
        };
        let parent = if parent.as_os_str().is_empty() {
            Path::new(".")
        } else {
            parent
        };
        let mut n = 0;
        for entry in fs::read_dir(parent)? {
            let name = entry?.file_name();
            if name
                .as_encoded_bytes()
                .starts_with(prefix.as_encoded_bytes())
            {
                n += 1;
            }
        }
        Ok(n)
    }
}

/// `<dir>.<suffix>`.
fn beside(dir: &Path, suffix: &str) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_of_two_is_told_that_it_is_locked() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("a/store");
        let first = Folder::lock(&dir).unwrap();
        assert_eq!(
            Folder::lock(&dir).unwrap_err(),
            OpenError::Locked { dir: dir.clone() }
        );
        drop(first);
        Folder::lock(&dir).unwrap();
    }

    #[test]
    fn moved_aside_twice_in_one_second_keeps_both() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("store");
        let folder = Folder::lock(&dir).unwrap();
        let mut names = Vec::new();
        for _ in 0..2 {
            fs::create_dir(&dir).unwrap();
            fs::write(dir.join("db"), "x").unwrap();
            names.push(folder.move_aside("test", 5_900).unwrap());
        }
        assert_eq!(names[0], temp.path().join("store.broken-5"));
        assert_eq!(names[1], temp.path().join("store.broken-5-1"));
        assert!(names.iter().all(|n| n.join("db").try_exists().unwrap()));
        assert_eq!(folder.broken().unwrap(), 2);
        assert!(!dir.try_exists().unwrap());
    }

    #[test]
    fn a_directory_that_cannot_be_made_is_said() {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join("file"), "").unwrap();
        let error = Folder::lock(&temp.path().join("file/store")).unwrap_err();
        assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
    }
}
