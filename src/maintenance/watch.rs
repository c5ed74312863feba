//! Looks for changes of targets among what they send: a process that started anew, a build that was not
//! there before, counters that began anew.
//!
//! It asks for the series that say so, every so often, as anybody may who asks for windows; so samples
//! cost nothing more for it. What always holds: what was read before is no change when it is read again.

use std::sync::Arc;

use super::changes::{Changes, Seen};
use super::restarts;
use crate::engine::ask::{AskError, Found, Reader, WindowChunk};
use crate::series::fingerprint::fingerprint;
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::window::chunk;
use crate::window::encoding::Encoding;

/// Series that are looked at; a site with more has its changes told.
const SERIES_MAX: usize = 20_000;
/// Samples of so long are looked at, in milliseconds: more than from one look to the next, so that what
/// comes late is seen too.
const BACK_MS: i64 = 300_000;
const START: &str = "process_start_time_seconds";
const NAMES: &str = "process_start_time_seconds|.+_build_info";

/// Looks once; gives how many changes it saw. Changes count for `window_ms`.
///
/// # Errors
/// If the shards do not answer; the next look sees what this one would have.
pub async fn look(
    reader: &Reader,
    changes: &Changes,
    now_ms: i64,
    window_ms: i64,
) -> Result<usize, AskError> {
    let names = Matcher::new(labels::METRIC_NAME, MatchOp::Regex, NAMES);
    let selector = Selector::from(vec![names.expect("BUG: a constant pattern is sound")]);
    let from_ms = now_ms.saturating_sub(BACK_MS);
    // What is ahead of the clock a little is of now.
    let to_ms = now_ms.saturating_add(BACK_MS);
    let mut found = reader
        .select(Arc::new(selector), from_ms, to_ms, SERIES_MAX)
        .await?;
    found.retain(|f| says_something(changes, f));
    let windows = reader.windows(&found, from_ms, to_ms).await?;
    let mut seen = 0;
    for (series, chunks) in found.iter().zip(&windows) {
        seen += take(changes, &series.labels, chunks, (from_ms, to_ms), window_ms);
    }
    Ok(seen + restarts::look(reader, changes, now_ms, window_ms).await?)
}

/// Before the first look: what was found in samples that came before a start, and not said.
///
/// # Errors
/// If the shards do not answer, or there are too many series to look at.
pub async fn begin(reader: &Reader, now_ms: i64) -> Result<(), AskError> {
    restarts::look_back(reader, (now_ms.saturating_sub(BACK_MS), now_ms)).await
}

/// False for a build that is known.
fn says_something(changes: &Changes, series: &Found) -> bool {
    let name = labels::get(&series.labels, labels::METRIC_NAME).unwrap_or_default();
    name == START || !changes.knows(target(&series.labels), name, fingerprint(&series.labels))
}

fn target(canonical: &[u8]) -> (&str, &str) {
    let get = |name| labels::get(canonical, name).unwrap_or_default();
    (get("job"), get("instance"))
}

fn take(
    changes: &Changes,
    canonical: &[u8],
    chunks: &[WindowChunk],
    (from_ms, to_ms): (i64, i64),
    window_ms: i64,
) -> usize {
    let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
    let floats = chunks.iter().filter(|c| c.encoding == Encoding::Xor);
    let decoded = floats
        .filter_map(|c| chunk::decode(&c.bytes).ok())
        .flatten();
    let mut samples = decoded.filter(|(t, v)| (from_ms..=to_ms).contains(t) && v.is_finite());
    let see = |seen, t_ms| usize::from(changes.see(target(canonical), seen, t_ms, window_ms));
    if name == START {
        samples
            .map(|(t_ms, value)| see(Seen::Started((value * 1000.0) as i64), t_ms))
            .sum()
    } else {
        let build = |(t_ms, _)| {
            let own = fingerprint(canonical);
            see(Seen::Build(name.to_owned(), own), t_ms)
        };
        samples.next().map_or(0, build)
    }
}
