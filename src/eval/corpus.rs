//! Which files a corpus has, and what its index says of them.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

/// Why a corpus cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum CorpusError {
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("{}: {line}: {what}", path.display())]
    Table {
        path: PathBuf,
        line: u64,
        what: String,
    },
    #[error(
        "{}: no corpus: neither index.json nor data/ with CSV files, here or one folder down",
        path.display()
    )]
    Nothing { path: PathBuf },
    #[error("{}: neither {name}.csv nor {name}.csv.gz", dir.display())]
    Missing { dir: PathBuf, name: String },
}

/// How a corpus is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    /// `timestamp,value`, windows apart: judged by the onsets.
    Nab,
    /// `timestamp,value,label`.
    Series,
    /// `row,label,m1..`: one score for all metrics of a row.
    Machines,
}

/// One corpus.
#[derive(Debug)]
pub(super) struct Set {
    /// Its folder's name.
    pub(super) name: String,
    pub(super) layout: Layout,
    pub(super) items: Vec<Item>,
}

/// One file of it.
#[derive(Debug)]
pub(super) struct Item {
    /// `<category>/<file>.csv` in the Numenta layout, otherwise as in the index.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// Distance of two rows, where they have no time of their own.
    pub(super) interval_s: u64,
    /// First row that counts.
    pub(super) eval_from: usize,
    /// Labelled causes of a machine's events.
    pub(super) events: Vec<Event>,
    /// First and last time of each labelled window, as text; only in the Numenta layout.
    pub(super) windows: Vec<(String, String)>,
}

/// One event of a machine, as its index says.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Event {
    pub(super) first_row: usize,
    pub(super) last_row: usize,
    #[serde(default)]
    pub(super) metrics: Vec<String>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    interval: Option<u64>,
    #[serde(default)]
    metrics: Option<u64>,
    #[serde(default)]
    eval_from: usize,
    #[serde(default)]
    events: Vec<Event>,
}

/// Every corpus in `dir`: itself, or its folders.
pub(super) fn find(dir: &Path) -> Result<Vec<Set>, CorpusError> {
    if let Some(set) = one(dir)? {
        return Ok(vec![set]);
    }
    let mut sets = Vec::new();
    for folder in folders(dir)? {
        sets.extend(one(&folder)?);
    }
    if sets.is_empty() {
        return Err(CorpusError::Nothing { path: dir.into() });
    }
    Ok(sets)
}

fn one(dir: &Path) -> Result<Option<Set>, CorpusError> {
    let name = dir
        .canonicalize()
        .ok()
        .and_then(|d| Some(d.file_name()?.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "corpus".to_owned());
    let set = if dir.join("index.json").is_file() {
        indexed(dir, name)?
    } else if dir.join("data").is_dir() {
        numenta(dir, name)?
    } else {
        return Ok(None);
    };
    Ok((!set.items.is_empty()).then_some(set))
}

fn indexed(dir: &Path, name: String) -> Result<Set, CorpusError> {
    let index: BTreeMap<String, Entry> = json(&dir.join("index.json"))?;
    let machines = index.values().any(|e| e.metrics.is_some());
    let mut items = Vec::new();
    for (name, entry) in index {
        let files = [
            dir.join(format!("{name}.csv")),
            dir.join(format!("{name}.csv.gz")),
        ];
        let Some(path) = files.into_iter().find(|p| p.is_file()) else {
            let dir = dir.to_owned();
            return Err(CorpusError::Missing { dir, name });
        };
        items.push(Item {
            name,
            path,
            interval_s: entry.interval.unwrap_or(60).max(1),
            eval_from: entry.eval_from,
            events: entry.events,
            windows: Vec::new(),
        });
    }
    Ok(Set {
        name,
        layout: if machines {
            Layout::Machines
        } else {
            Layout::Series
        },
        items,
    })
}

fn numenta(dir: &Path, name: String) -> Result<Set, CorpusError> {
    let labels = dir.join("labels").join("combined_windows.json");
    let mut windows: BTreeMap<String, Vec<(String, String)>> = if labels.is_file() {
        json(&labels)?
    } else {
        BTreeMap::new()
    };
    let mut items = Vec::new();
    for category in folders(&dir.join("data"))? {
        let mut files: Vec<PathBuf> = entries(&category)?;
        files.retain(|p| p.extension().is_some_and(|e| e == "csv"));
        for path in files {
            let (Some(folder), Some(file)) = (category.file_name(), path.file_name()) else {
                continue;
            };
            let name = format!("{}/{}", folder.to_string_lossy(), file.to_string_lossy());
            items.push(Item {
                windows: windows.remove(&name).unwrap_or_default(),
                name,
                path,
                interval_s: 300,
                eval_from: 0,
                events: Vec::new(),
            });
        }
    }
    for name in windows.keys() {
        tracing::warn!(file = name, "labelled and not among the data: left out");
    }
    Ok(Set {
        name,
        layout: Layout::Nab,
        items,
    })
}

fn folders(dir: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let mut all = entries(dir)?;
    all.retain(|p| p.is_dir());
    Ok(all)
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, CorpusError> {
    let failed = |source| CorpusError::Io {
        path: dir.into(),
        source,
    };
    let mut all = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        all.push(entry.map_err(failed)?.path());
    }
    all.sort();
    Ok(all)
}

fn json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T, CorpusError> {
    let text = fs::read(path).map_err(|source| CorpusError::Io {
        path: path.into(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| CorpusError::Json {
        path: path.into(),
        source,
    })
}
