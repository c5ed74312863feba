//! Windows of many series, a bounded amount at a time.

use super::answer::ReadError;
use super::select::Selected;
use super::source::Source;
use crate::engine::ask::WindowChunk;

/// Bytes of chunks that are wanted at once: some milliseconds of decoding, and little memory for each
/// reader.
const BATCH_BYTES: usize = 256 * 1024;

/// Series asked for first, when it is not known how long their windows are.
const FIRST: usize = 16;

/// Series asked for at once at most: a shard looks them all up between two batches of samples.
const MOST: usize = 512;

/// What a chunk costs besides its bytes.
const CHUNK_BYTES: usize = 64;

/// Goes through the windows of selected series in order.
pub(super) struct Windows<'a, S: Source> {
    source: &'a S,
    selected: &'a Selected<S::Series>,
    next: usize,
    batch: usize,
}

impl<'a, S: Source> Windows<'a, S> {
    pub(super) fn new(source: &'a S, selected: &'a Selected<S::Series>) -> Self {
        Self {
            source,
            selected,
            next: 0,
            batch: FIRST,
        }
    }

    /// The next series, by their index, with their chunks in the range; `None` after the last.
    pub(super) async fn next(
        &mut self,
    ) -> Result<Option<Vec<(usize, Vec<WindowChunk>)>>, ReadError> {
        let Selected {
            series,
            from_ms,
            to_ms,
            ..
        } = self.selected;
        let start = self.next;
        if start >= series.len() {
            return Ok(None);
        }
        let end = series.len().min(start + self.batch);
        let windows = self
            .source
            .windows(&series[start..end], *from_ms, *to_ms)
            .await?;
        if windows.len() != end - start {
            return Err(ReadError::Broken("an answer for other series".to_owned()));
        }
        self.next = end;
        let bytes: usize = windows
            .iter()
            .flatten()
            .map(|chunk| chunk.bytes.len() + CHUNK_BYTES)
            .sum();
        self.batch = (self.batch * BATCH_BYTES / bytes.max(1)).clamp(1, MOST.min(self.batch * 2));
        let in_range = |chunk: &WindowChunk| chunk.last_ms >= *from_ms && chunk.first_ms <= *to_ms;
        let windows = windows.into_iter().map(|mut chunks| {
            chunks.retain(in_range);
            chunks
        });
        Ok(Some((start..end).zip(windows).collect()))
    }
}
