//! Posts recorded bodies again, byte for byte and in their order.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use prost::Message as _;
use serde::{Deserialize, Serialize};

use crate::output::Protocol;
use crate::output::request::Request;
use crate::wire::proto::WriteRequest;

/// Bytes of one recorded body, and of what it unpacks to.
const BODY_BYTES_MAX: u64 = 64 << 20;
const RAW_BYTES_MAX: usize = 256 << 20;
/// Bytes of `index.jsonl`: some hundred thousand lines.
const INDEX_BYTES_MAX: u64 = 256 << 20;

/// Why a folder could not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error("could not read {path}: {source}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} has more than {limit} bytes", path = path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{path} line {line}: {source}", path = path.display())]
    Index {
        path: PathBuf,
        line: usize,
        source: serde_json::Error,
    },
    #[error("{path} is not a write request: {what}", path = path.display())]
    Body { path: PathBuf, what: String },
    #[error("{path} has no .snappy file to post", path = path.display())]
    Empty { path: PathBuf },
}

/// What the bodies hold, by this program's own decoding.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    pub bodies: u64,
    /// Bodies that the recorder itself refused, left out here.
    pub skipped: u64,
    pub series: u64,
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
    pub metadata: u64,
}

#[derive(Deserialize)]
struct IndexLine {
    file: String,
    #[serde(default)]
    replied: u16,
}

/// The bodies of `dir` in the order of their names, without those that `index.jsonl`, if there is
/// one, says were answered with 300 or more. Also their number.
pub(super) fn list(dir: &Path) -> Result<(Vec<PathBuf>, u64), ReplayError> {
    let failed = |source| ReplayError::Read {
        path: dir.to_owned(),
        source,
    };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "snappy")
        {
            files.push(path);
        }
    }
    files.sort();
    let refused = refused(&dir.join("index.jsonl"))?;
    let before = files.len();
    files.retain(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_none_or(|name| !refused.contains(name))
    });
    if files.is_empty() {
        return Err(ReplayError::Empty {
            path: dir.to_owned(),
        });
    }
    let skipped = (before - files.len()) as u64;
    Ok((files, skipped))
}

fn refused(index: &Path) -> Result<HashSet<String>, ReplayError> {
    let text = match read(index, INDEX_BYTES_MAX) {
        Ok(text) => text,
        Err(ReplayError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(HashSet::new());
        }
        Err(err) => return Err(err),
    };
    let mut names = HashSet::new();
    for (i, line) in text.split(|b| *b == b'\n').enumerate() {
        if line.trim_ascii().is_empty() {
            continue;
        }
        let line: IndexLine =
            serde_json::from_slice(line).map_err(|source| ReplayError::Index {
                path: index.to_owned(),
                line: i + 1,
                source,
            })?;
        if line.replied >= 300 {
            names.insert(line.file);
        }
    }
    Ok(names)
}

/// Reads one body and adds what it holds to `contents`.
pub(super) fn load(path: &Path, contents: &mut Contents) -> Result<Request, ReplayError> {
    let bytes = read(path, BODY_BYTES_MAX)?;
    let bad = |what: String| ReplayError::Body {
        path: path.to_owned(),
        what,
    };
    let length = snap::raw::decompress_len(&bytes).map_err(|err| bad(err.to_string()))?;
    if length > RAW_BYTES_MAX {
        return Err(bad(format!("it unpacks to {length} bytes")));
    }
    let mut raw = vec![0; length];
    snap::raw::Decoder::new()
        .decompress(&bytes, &mut raw)
        .map_err(|err| bad(err.to_string()))?;
    let request = WriteRequest::decode(raw.as_slice()).map_err(|err| bad(err.to_string()))?;
    let mut samples = 0;
    for series in &request.timeseries {
        samples += series.samples.len();
        contents.histograms += series.histograms.len() as u64;
        contents.exemplars += series.exemplars.len() as u64;
    }
    contents.bodies += 1;
    contents.series += request.timeseries.len() as u64;
    contents.samples += samples as u64;
    contents.metadata += request.metadata.len() as u64;
    Ok(Request {
        protocol: Protocol::V1,
        body: Bytes::from(bytes),
        raw_bytes: length,
        samples,
        // Sent as they were found, markers and all.
        markers: 0,
    })
}

fn read(path: &Path, limit: u64) -> Result<Vec<u8>, ReplayError> {
    let failed = |source| ReplayError::Read {
        path: path.to_owned(),
        source,
    };
    if std::fs::metadata(path).map_err(failed)?.len() > limit {
        return Err(ReplayError::TooLarge {
            path: path.to_owned(),
            limit,
        });
    }
    std::fs::read(path).map_err(failed)
}
