//! Whether there is room in the data directory.
//!
//! A store cannot be opened on a full disk. A start that went on without one would acknowledge what it
//! does not keep and forget what it had learned, long after there is room again; so it waits. A
//! directory that cannot be written for another reason is not waited for.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// What opening a store and a log takes at the most, several times over.
const ROOM: usize = 4 << 20;

/// How often it is looked for.
const LOOK: Duration = Duration::from_secs(1);

/// How often that is said.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// The file that is written to see; removed at once.
const PROBE: &str = "room.tmp";

/// Returns when there is room, or if that cannot be told.
pub(super) fn wait(data_dir: &Path) {
    let mut said: Option<Instant> = None;
    while is_full(data_dir) {
        if said.is_none_or(|at| at.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            tracing::error!(
                data_dir = %data_dir.display(),
                needed_bytes = ROOM,
                "no space left in the data directory: free some, the start goes on by itself"
            );
        }
        std::thread::sleep(LOOK);
    }
}

fn is_full(data_dir: &Path) -> bool {
    let probe = data_dir.join(PROBE);
    let written = fs::create_dir_all(data_dir).and_then(|()| fill(&probe));
    // Fails only if it was not made.
    let _ = fs::remove_file(&probe);
    written.is_err_and(|e| {
        matches!(
            e.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge
        )
    })
}

fn fill(probe: &Path) -> io::Result<()> {
    // No file system makes these smaller.
    let mut bytes = vec![0; ROOM];
    fastrand::Rng::with_seed(1).fill(&mut bytes);
    File::create(probe)?.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_room_or_one_that_cannot_be_used_is_not_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        wait(&data);
        assert_eq!(fs::read_dir(&data).unwrap().count(), 0, "nothing is left");
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        wait(&file.join("data"));
    }
}
