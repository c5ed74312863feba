//! Under which rules the series of a data directory were scored last.
//!
//! Scores are not stored, they are said again under the rules of their time; so where these have changed
//! it must be known from when on, and what they were. The file of the newest is written when saimon ends
//! in order: without that it is older than it might be, and then more series count as changed than are.
//! That of the others has all that were in use lately, in no less than their order.

use std::path::{Path, PathBuf};

use crate::config::DetectConfig;
use crate::engine::pool::Pool;
use crate::engine::rules::{EARLIER_MAX, Rules};

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("rules.json")
}

/// Those that were in use, the newest first.
fn all_file(data_dir: &Path) -> PathBuf {
    data_dir.join("rules-before.json")
}

/// Tells the shards of rules that were others. To be called before anything is restored.
pub(super) fn begin(data_dir: &Path, detect: &DetectConfig, pool: &mut Pool) {
    let all = all(data_dir);
    let rules = all.iter().filter(|earlier| *earlier != detect);
    pool.rules_before(rules.filter_map(|e| Rules::try_from(e).ok()).collect());
    remember(data_dir, detect);
    let Ok(text) = std::fs::read(file(data_dir)) else {
        write(&file(data_dir), detect);
        return;
    };
    let earlier = serde_json::from_slice::<DetectConfig>(&text);
    match earlier.map(|earlier| (Rules::try_from(&earlier), earlier)) {
        Ok((_, earlier)) if earlier == *detect => {}
        Ok((Ok(rules), _)) => pool.rules_were(Some(rules)),
        // Whatever it was, it is none of today.
        Ok((Err(_), _)) | Err(_) => pool.rules_were(None),
    }
}

/// Notes the rules that were in use last, a reload since the start included.
pub(super) fn end(data_dir: &Path) {
    if let Some(detect) = all(data_dir).first() {
        write(&file(data_dir), detect);
    }
}

/// Notes rules that are in use from now on.
pub(super) fn remember(data_dir: &Path, detect: &DetectConfig) {
    let mut all = all(data_dir);
    if all.first() == Some(detect) {
        return;
    }
    all.retain(|earlier| earlier != detect);
    all.insert(0, detect.clone());
    // Those of today are none of the earlier ones.
    all.truncate(EARLIER_MAX + 1);
    write(&all_file(data_dir), &all);
}

/// What a version before this, or nobody, has written is nothing.
fn all(data_dir: &Path) -> Vec<DetectConfig> {
    let text = std::fs::read(all_file(data_dir)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn write(file: &Path, what: &impl serde::Serialize) {
    let written = serde_json::to_vec(what)
        .map_err(std::io::Error::from)
        .and_then(|text| std::fs::write(file, text));
    if let Err(error) = written {
        tracing::warn!(%error, "the rules of today cannot be noted in the data directory: scores from before a change of rules may not be read back");
    }
}
