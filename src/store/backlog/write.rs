//! How one group is brought to disk: its new blocks, its state, what leaves, and what is left of it.
//!
//! What always holds: all of it is one step.

use super::{Pending, Plan};
use crate::engine::keep::GroupId;
use crate::store::disk::{DiskError, Edit};
use crate::store::outline::{self, BlockRef, Outline, positions};
use crate::store::rollup::{self, Retention, Roller};
use crate::store::{SLEEPER_VERSION, block, key, snapshot, value};
use crate::telemetry::Metrics;
use crate::window::chunk;
use crate::window::decimal::Encoder;
use crate::window::encoding::Encoding;

impl Plan {
    /// Counts and logs what was lost.
    pub(in crate::store) fn say_unreadable(&self, metrics: &Metrics) {
        if self.unreadable > 0 {
            metrics.store_errors.inc_by(self.unreadable);
            tracing::warn!(
                blocks = self.unreadable,
                "blocks past their retention cannot be read: the long past of their series has a gap"
            );
        }
    }
}

/// A block made of small ones spans at most this share of the window: what leaves, leaves whole.
const MERGED_SHARE: i64 = 8;

/// One group that is to be written.
pub(super) struct Write<'a, G> {
    pub(super) id: GroupId,
    pub(super) pending: &'a Pending,
    pub(super) retention: Retention,
    /// Reads a value of the store.
    pub(super) get: &'a G,
}

impl<G: Fn(Vec<u8>) -> Result<Option<Vec<u8>>, DiskError>> Write<'_, G> {
    /// Adds what brings the group to disk to `plan`.
    pub(super) fn plan(
        &self,
        on_disk: Option<Outline>,
        encoder: &mut Encoder,
        plan: &mut Plan,
    ) -> Result<(), DiskError> {
        let (id, pending) = (self.id, self.pending);
        let retention = self.retention;
        if pending.state.is_empty() {
            if let Some(outline) = on_disk {
                forget(id, &outline, plan);
            }
            return Ok(());
        }
        let mut outline = on_disk.unwrap_or_default();
        outline.newest_ms = pending.newest_ms;
        for block in &pending.blocks {
            if !outline.blocks.contains(&block.at) {
                outline.blocks.push(block.at);
            }
        }
        let oldest_ms = pending.newest_ms.saturating_sub(retention.window_ms);
        let mut expired = outline.take_expired(oldest_ms, retention.late_ms());
        if retention.rolls_up() && !expired.is_empty() {
            self.roll_up(&mut expired, &mut outline, plan)?;
        }
        self.merge(&mut outline, plan)?;
        for block in &pending.blocks {
            if !expired.contains(&block.at) {
                let key = key::block(id, block.at);
                if let Some(sealed) = block.seal(&key, encoder) {
                    plan.edits.push(Edit::Put(key, sealed));
                }
            }
        }
        plan.expired += expired.len() as u64;
        let removed = expired
            .into_iter()
            .map(|at| Edit::Remove(key::block(id, at)));
        plan.edits.extend(removed);
        let oldest_ms = pending.newest_ms.saturating_sub(retention.rollups_ms);
        let expired = outline.take_expired_rollups(oldest_ms);
        plan.expired += expired.len() as u64;
        let removed = expired
            .into_iter()
            .map(|at| Edit::Remove(key::rollup(id, at)));
        plan.edits.extend(removed);
        for position in positions(outline.asleep & !pending.asleep) {
            plan.edits.push(Edit::Remove(key::sleeper(id, position)));
        }
        outline.asleep = pending.asleep;
        for (position, state) in &pending.sleepers {
            let key = key::sleeper(id, *position);
            let sealed = value::seal(SLEEPER_VERSION, &key, state.bytes());
            plan.edits.push(Edit::Put(key, sealed));
        }
        outline.state_parts =
            snapshot::put(id, &pending.state, outline.state_parts, &mut plan.edits);
        for (&of, bytes) in &pending.appendices {
            outline.appendices.retain(|known| *known != of);
            let key = key::appendix(id, of);
            if bytes.is_empty() {
                plan.edits.push(Edit::Remove(key));
                continue;
            }
            let sealed = value::seal(snapshot::APPENDIX_VERSION, &key, bytes);
            plan.edits.push(Edit::Put(key, sealed));
            outline.appendices.push(of);
        }
        let key = key::outline(id);
        let sealed = value::seal(outline::VERSION, &key, &outline.encode());
        plan.edits.push(Edit::Put(key, sealed));
        plan.outlines.push((id, Some(outline)));
        Ok(())
    }

    /// Makes small blocks that are on disk one, so that a group has few keys: chunks of its series end
    /// at different times, and each checkpoint writes those that ended since the last.
    fn merge(&self, outline: &mut Outline, plan: &mut Plan) -> Result<(), DiskError> {
        let waiting = |at: &BlockRef| self.pending.blocks.iter().any(|b| b.at == *at);
        let small = outline.mergeable(self.retention.window_ms / MERGED_SHARE);
        if small.is_empty() || small.iter().any(waiting) {
            return Ok(());
        }
        let mut values = Vec::with_capacity(small.len());
        for at in &small {
            let key = key::block(self.id, *at);
            let Some(sealed) = (self.get)(key.clone())? else {
                return Ok(());
            };
            values.push((key, sealed));
        }
        let mut chunks = Vec::new();
        for (key, sealed) in &values {
            // Whatever is wrong with one stays as it is, for whoever reads it.
            match value::open_any(block::VERSION, key, sealed).and_then(block::read) {
                Ok(stored) => chunks.extend(stored),
                Err(_) => return Ok(()),
            }
        }
        let Some((first_ms, last_ms, payload)) = block::join(chunks) else {
            return Ok(());
        };
        let at = BlockRef {
            first_ms,
            last_ms,
            sequence: outline
                .blocks
                .iter()
                .map(|b| b.sequence + 1)
                .max()
                .unwrap_or(0),
            bytes: small.iter().map(|b| b.bytes).sum(),
        };
        let key = key::block(self.id, at);
        let sealed = value::seal(block::VERSION, &key, &payload);
        plan.edits.push(Edit::Put(key, sealed));
        plan.edits
            .extend(values.into_iter().map(|(key, _)| Edit::Remove(key)));
        outline.blocks.retain(|b| !small.contains(b));
        outline.blocks.push(at);
        Ok(())
    }

    /// Makes rollups of `expired`. What is too much for one step goes back to the outline.
    fn roll_up(
        &self,
        expired: &mut Vec<BlockRef>,
        outline: &mut Outline,
        plan: &mut Plan,
    ) -> Result<(), DiskError> {
        let mut roller = Roller::default();
        let mut done = 0;
        for at in expired.iter() {
            if roller.is_full() {
                break;
            }
            done += 1;
            if !self.roll_block(*at, &mut roller)? {
                plan.unreadable += 1;
            }
        }
        let rest = expired.split_off(done);
        outline.blocks.splice(0..0, rest);
        let oldest_ms = self
            .pending
            .newest_ms
            .saturating_sub(self.retention.rollups_ms);
        let mut sequence = outline.rollups.iter().map(|r| r.sequence + 1).max();
        for rolled in roller.finish(oldest_ms) {
            let at = BlockRef {
                first_ms: rolled.first_ms,
                last_ms: rolled.last_ms,
                sequence: sequence.unwrap_or_default(),
                bytes: 0,
            };
            sequence = Some(at.sequence + 1);
            let key = key::rollup(self.id, at);
            let sealed = value::seal(rollup::VERSION, &key, &rolled.payload);
            plan.edits.push(Edit::Put(key, sealed));
            outline.rollups.push(at);
        }
        Ok(())
    }

    /// Adds the samples of one block. False if some could not be read: they are lost.
    fn roll_block(&self, at: BlockRef, roller: &mut Roller) -> Result<bool, DiskError> {
        if let Some(block) = self.pending.blocks.iter().find(|b| b.at == at) {
            let floats = block.chunks[block.run.clone()]
                .iter()
                .filter(|c| c.encoding == Encoding::Xor);
            let mut whole = true;
            for chunk in floats {
                match chunk::decode(&chunk.bytes) {
                    Ok(samples) => roller.add(chunk.position, samples),
                    Err(_) => whole = false,
                }
            }
            return Ok(whole);
        }
        let key = key::block(self.id, at);
        let Some(sealed) = (self.get)(key.clone())? else {
            return Ok(false);
        };
        let opened = value::open_any(block::VERSION, &key, &sealed).and_then(block::read);
        let Ok(stored) = opened else {
            return Ok(false);
        };
        let mut whole = true;
        for chunk in stored {
            match chunk.floats() {
                Ok(samples) => roller.add(chunk.position, samples),
                Err(_) => whole = false,
            }
        }
        Ok(whole)
    }
}

/// Removes a group with all its blocks.
pub(in crate::store) fn forget(id: GroupId, outline: &Outline, plan: &mut Plan) {
    plan.edits.push(Edit::Remove(key::outline(id)));
    snapshot::remove(id, outline.state_parts, &mut plan.edits);
    let appendices = outline.appendices.iter();
    plan.edits
        .extend(appendices.map(|&of| Edit::Remove(key::appendix(id, of))));
    let blocks = outline.blocks.iter();
    plan.edits
        .extend(blocks.map(|&at| Edit::Remove(key::block(id, at))));
    let rollups = outline.rollups.iter();
    plan.edits
        .extend(rollups.map(|&at| Edit::Remove(key::rollup(id, at))));
    let sleepers = outline.sleepers();
    plan.edits
        .extend(sleepers.map(|p| Edit::Remove(key::sleeper(id, p))));
    plan.expired += (outline.blocks.len() + outline.rollups.len()) as u64;
    plan.outlines.push((id, None));
}
