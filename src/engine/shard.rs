//! The owner of a share of all series.

use super::batch::{Batch, Families};

/// What a shard is told, in order.
#[derive(Debug)]
pub enum Message {
    Batch(Batch),
    Families(Families),
    /// Hand every group that changed to the store's writer, a few between two batches, then
    /// [`super::keep::Kept::Done`].
    Checkpoint,
    /// Hand over every group that changed, then `Done`, and end.
    Stop,
}
