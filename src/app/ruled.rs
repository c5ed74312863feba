//! Under which rules the series of a data directory were scored last.
//!
//! Scores are not stored, they are said again under the rules of today; so where these have changed
//! it must be known from when on. The file is written when saimon ends in order. Without that it is
//! older than it might be, and then more series count as changed than are.

use std::path::{Path, PathBuf};

use crate::config::DetectConfig;
use crate::engine::pool::Pool;
use crate::engine::rules::Rules;

fn file(data_dir: &Path) -> PathBuf {
    data_dir.join("rules.json")
}

/// Tells the shards of rules that were others. To be called before anything is restored.
pub(super) fn begin(data_dir: &Path, detect: &DetectConfig, pool: &mut Pool) {
    let Ok(text) = std::fs::read(file(data_dir)) else {
        end(data_dir, detect);
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

/// Remembers the rules of today.
pub(super) fn end(data_dir: &Path, detect: &DetectConfig) {
    let written = serde_json::to_vec(detect)
        .map_err(std::io::Error::from)
        .and_then(|text| std::fs::write(file(data_dir), text));
    if let Err(error) = written {
        tracing::warn!(%error, "the rules of today cannot be noted in the data directory: scores from before a change of rules may not be read back");
    }
}
