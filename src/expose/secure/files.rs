//! The files that a web configuration names, as they were when it was read.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::SecureError;

/// A bundle of every public authority has 300 KiB.
const FILE_MAX: u64 = 4 << 20;

/// What was read, to see whether anything has changed since.
#[derive(Default, PartialEq, Eq)]
pub(super) struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    /// The content of a file that `key` names.
    pub(super) fn read(&mut self, key: &str, path: &Path) -> Result<Vec<u8>, SecureError> {
        let read = || {
            let mut bytes = Vec::new();
            let file = std::fs::File::open(path)?;
            file.take(FILE_MAX + 1).read_to_end(&mut bytes)?;
            if bytes.len() as u64 > FILE_MAX {
                return Err(std::io::Error::other("it is larger than 4 MiB"));
            }
            Ok(bytes)
        };
        let bytes = read().map_err(|e| {
            SecureError::new(
                key.to_owned(),
                format!("{} cannot be read: {e}", path.display()),
            )
        })?;
        self.0.push((path.to_owned(), bytes.clone()));
        Ok(bytes)
    }
}
