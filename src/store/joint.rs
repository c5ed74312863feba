//! What groups have learned, on disk: one state, and a log of what came after it.
//!
//! The log is one of [`super::log`], in a folder of its own; the state says up to which of its records
//! it counts. What always holds: a state is replaced in one step, by a rename; what was appended
//! survives a kill at once, and a power cut as soon as the write-ahead log's records do.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zstd::stream::write::Encoder;

use super::log::files::Dir;
use super::log::options::Options;
use super::log::{Log, LogError};
use super::{OpenError, value};
use crate::config::StoreConfig;
use crate::engine::joint::{JointFiles, Kept, StateWriter};
use crate::telemetry::durable::LogMetrics;

/// Version of the state's file. 1: number of the newest record of the log that is in it, then the state
/// as the engine gave it, packed with zstd.
const VERSION: u8 = 1;
/// What its checksum is over besides.
const KEY: &[u8] = b"groups";
const FILE: &str = "state";
const FRESH: &str = "state.new";
const LOG: &str = "log";
/// Kind of the log's records.
const ENTRY: u8 = 1;
/// Bytes of a segment of the log, and of all of it: the engine writes a state after eight MiB.
const SEGMENT: u64 = 2 << 20;
const LIMIT: u64 = 64 << 20;
/// As the states of series.
const LEVEL: i32 = 1;

/// The files of one process.
#[derive(Debug)]
pub struct Files {
    dir: PathBuf,
    log: Log,
}

impl Files {
    /// Opens what is in the folder `dir`. A state that is damaged is left out, and so is what came
    /// after it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(dir: &Path, config: &StoreConfig) -> Result<Kept, OpenError> {
        let unavailable = |why: String| OpenError::Unavailable {
            dir: dir.to_owned(),
            why,
        };
        let failed = |e: LogError| match e {
            LogError::Locked { dir } => OpenError::Locked { dir },
            LogError::Version { segment, found, .. } => OpenError::Newer {
                dir: dir.to_owned(),
                found: format!("{segment} has version {found}"),
            },
            other => unavailable(other.to_string()),
        };
        let files = Dir::open(&dir.join(LOG)).map_err(failed)?;
        let read = match fs::read(dir.join(FILE)) {
            Ok(sealed) => match open_state(&sealed) {
                Ok(read) => Some(read),
                Err(value::ValueError::Version { found, .. }) => {
                    return Err(OpenError::Newer {
                        dir: dir.to_owned(),
                        found: format!("version {found}"),
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, dir = %dir.display(), "what groups had learned is damaged: they learn afresh");
                    None
                }
            },
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(unavailable(e.to_string())),
        };
        let through = read.as_ref().map_or(0, |(through, _)| *through);
        let options = Options {
            sync: config.sync,
            interval: config.sync_interval,
            segment: SEGMENT,
            limit: LIMIT,
            salt: fastrand::u64(..),
            covered: through,
        };
        let metrics = Arc::new(LogMetrics::default());
        let (log, _) = Log::open(Box::new(files), options, metrics).map_err(failed)?;
        let mut entries = Vec::new();
        if read.is_some() {
            let take = |_, kind, entry: &[u8]| {
                if kind == ENTRY {
                    entries.push(entry.to_vec());
                }
            };
            let found = log.replay(through + 1, take, |_, _| ()).map_err(failed)?;
            if found.broken + found.unreadable + found.missing > 0 {
                tracing::warn!(
                    dir = %dir.display(),
                    "parts of what groups have learned lately are lost: going on without them"
                );
            }
        }
        Ok(Kept {
            files: Box::new(Self {
                dir: dir.to_owned(),
                log,
            }),
            state: read.map(|(_, state)| state),
            entries,
        })
    }

    /// Piece by piece: a state is up to ten megabytes, and nobody needs it whole.
    fn write(&self, through: u64, state: StateWriter<'_>) -> io::Result<()> {
        let fresh = self.dir.join(FRESH);
        let file = BufWriter::new(File::create(&fresh)?);
        let mut sealer = value::Sealer::new(VERSION, KEY, file)?;
        sealer.write_all(&through.to_le_bytes())?;
        let mut packed = Encoder::new(sealer, LEVEL)?;
        state(&mut packed)?;
        let file = packed.finish()?.finish()?;
        file.get_ref().sync_all()?;
        fs::rename(&fresh, self.dir.join(FILE))?;
        File::open(&self.dir)?.sync_all()
    }
}

impl JointFiles for Files {
    fn append(&mut self, entry: &[u8]) -> Result<(), String> {
        let appended = self.log.append(ENTRY, &[entry]);
        appended.map(drop).map_err(|e| e.to_string())
    }

    fn replace(&mut self, state: StateWriter<'_>) -> Result<(), String> {
        let through = self.log.last_seq();
        self.write(through, state).map_err(|e| e.to_string())?;
        // What stays is passed over, and tried again with the next state.
        let _ = self.log.drop_through(through);
        Ok(())
    }
}

fn open_state(sealed: &[u8]) -> Result<(u64, Vec<u8>), value::ValueError> {
    let payload = value::open(VERSION, KEY, sealed)?;
    let (through, packed) = payload
        .split_first_chunk()
        .ok_or(value::ValueError::Short)?;
    let state = zstd::decode_all(packed).map_err(|e| value::ValueError::Decode(e.to_string()))?;
    Ok((u64::from_le_bytes(*through), state))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(dir: &Path) -> Kept {
        Files::open(dir, &StoreConfig::default()).unwrap()
    }

    #[test]
    fn a_state_takes_the_place_of_the_entries_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("groups");
        let Kept {
            mut files, state, ..
        } = open(&dir);
        assert_eq!(state, None);
        files.replace(&mut |to| to.write_all(b"zero")).unwrap();
        files.append(b"a").unwrap();
        files.append(b"b").unwrap();
        assert!(matches!(
            Files::open(&dir, &StoreConfig::default()),
            Err(OpenError::Locked { .. })
        ));
        drop(files);
        let kept = open(&dir);
        assert_eq!(kept.state.as_deref(), Some(&b"zero"[..]));
        assert_eq!(kept.entries, [b"a", b"b"]);
        let mut files = kept.files;
        files.append(b"c").unwrap();
        files.replace(&mut |to| to.write_all(b"one")).unwrap();
        files.append(b"d").unwrap();
        drop(files);
        let kept = open(&dir);
        assert_eq!(kept.state.as_deref(), Some(&b"one"[..]));
        assert_eq!(kept.entries, [b"d"]);
    }

    #[test]
    fn a_damaged_state_is_left_out_and_a_newer_one_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("groups");
        let mut kept = open(&dir);
        kept.files
            .replace(&mut |to| to.write_all(b"state"))
            .unwrap();
        kept.files.append(b"a").unwrap();
        drop(kept);
        let path = dir.join(FILE);
        let whole = fs::read(&path).unwrap();
        let mut damaged = whole.clone();
        *damaged.last_mut().unwrap() ^= 1;
        fs::write(&path, damaged).unwrap();
        let kept = open(&dir);
        assert_eq!((kept.state, kept.entries), (None, Vec::<Vec<u8>>::new()));
        drop(kept.files);
        let mut newer = whole;
        newer[0] = VERSION + 1;
        fs::write(&path, newer).unwrap();
        assert!(matches!(
            Files::open(&dir, &StoreConfig::default()),
            Err(OpenError::Newer { .. })
        ));
    }
}
