//! Puts together the chunks of a series from memory and from the store: in order, each sample once.

use super::ask::{AskError, Place, WindowChunk};
use super::keep::{ClosedChunk, PastChunks};

/// Adds to each of `windows` what the store has for its place. Each group is read once.
pub(super) fn add_past(
    past: &dyn PastChunks,
    places: &[Place],
    from_ms: i64,
    to_ms: i64,
    windows: &mut [Vec<ClosedChunk>],
) -> Result<(), AskError> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|i| (places[*i].id, places[*i].position));
    for group in order.chunk_by(|a, b| places[*a].id == places[*b].id) {
        let mut positions: Vec<u16> = group.iter().map(|i| places[*i].position).collect();
        positions.dedup();
        let chunks = past
            .chunks(places[group[0]].id, &positions, from_ms, to_ms)
            .map_err(AskError::Store)?;
        for chunk in chunks {
            for i in group {
                if places[*i].position == chunk.position {
                    windows[*i].push(chunk.clone());
                }
            }
        }
    }
    Ok(())
}

/// The chunks in order of time, each sample once.
pub(super) fn in_order(mut chunks: Vec<ClosedChunk>) -> Vec<WindowChunk> {
    chunks.sort_by_key(|c| (c.first_ms, c.last_ms));
    chunks.dedup();
    chunks.into_iter().map(WindowChunk::from).collect()
}
