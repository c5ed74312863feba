//! How what waits is written: in steps of a few megabytes, flushed now and then.

use super::super::backlog::{self, Plan};
use super::super::rollup::Retention;
use super::super::{DiskError, position};
use super::{Checkpoint, Writer, millis};

/// A clock that moves on by more than this beyond the time between two checkpoints has jumped:
/// nothing is forgotten by it then, in milliseconds.
const JUMP_MS: i64 = 600_000;

/// Bytes written in one atomic step, which are twice in memory meanwhile. Small enough to leave the
/// shards waiting only for milliseconds, large enough to make the cost of a step vanish.
pub(super) const BATCH_BYTES: u64 = 2 * 1024 * 1024;

/// Edits in one step when groups are deleted.
const BATCH_EDITS: usize = 4096;

/// Written bytes that wait for a flush and are kept in memory until then, in case it fails. A flush
/// writes no more than is new, so many of them cost little.
const UNFLUSHED_BYTES: u64 = 8 * 1024 * 1024;

impl Writer {
    pub(super) fn write_all(&mut self, checkpoint: &Checkpoint) -> Result<(), DiskError> {
        self.prepare()?;
        self.forget()?;
        while self.write_one()? {}
        let families = self.families.len();
        if families > self.families_written {
            let edits = position::families(&self.families, self.families_written);
            self.unflushed += self.store.apply(edits, Vec::new())?;
        }
        if self.covers(checkpoint) {
            let edits = vec![position::through(checkpoint.seq)];
            self.unflushed += self.store.apply(edits, Vec::new())?;
        }
        self.store.disk().tidy()?;
        self.flush()?;
        self.families_written = families.max(self.families_written);
        if let Ok(bytes) = self.store.disk().bytes() {
            self.metrics
                .store_bytes
                .set(i64::try_from(bytes).unwrap_or(i64::MAX));
        }
        Ok(())
    }

    /// Brings the store into a state in which it can be written.
    pub(super) fn prepare(&mut self) -> Result<(), DiskError> {
        if self.store.reopen(self.clock.now_ms())? {
            self.replaced();
        }
        self.store.purge()
    }

    /// Writes about [`BATCH_BYTES`] of what waits. False if nothing does.
    pub(super) fn write_one(&mut self) -> Result<bool, DiskError> {
        if self.backlog.is_written() {
            return Ok(false);
        }
        self.prepare()?;
        let retention = Retention::from(&self.config);
        let store = &self.store;
        let disk = store.disk();
        let Some(plan) = self.backlog.plan(
            BATCH_BYTES,
            retention,
            |id| store.outline(id),
            |key| disk.get(key),
        )?
        else {
            return Ok(false);
        };
        plan.say_unreadable(&self.metrics);
        self.apply(plan)?;
        if self.unflushed >= UNFLUSHED_BYTES {
            self.flush()?;
        }
        Ok(true)
    }

    /// Deletes groups that have sent nothing for longer than `store.forget`.
    fn forget(&mut self) -> Result<(), DiskError> {
        let now_ms = self.clock.now_ms();
        let looked_ms = self.looked_ms.replace(now_ms);
        let expected_ms = millis(self.config.checkpoint).saturating_add(JUMP_MS);
        if looked_ms.is_some_and(|last| now_ms.saturating_sub(last) > expected_ms) {
            return Ok(());
        }
        let oldest_ms = now_ms.saturating_sub(millis(self.config.forget));
        let mut plan = Plan::default();
        for (id, outline) in self.store.silent_since(oldest_ms) {
            if self.backlog.contains(id) {
                continue;
            }
            backlog::forget(id, &outline, &mut plan);
            if plan.edits.len() >= BATCH_EDITS {
                self.apply(std::mem::take(&mut plan))?;
            }
        }
        if plan.edits.is_empty() {
            return Ok(());
        }
        self.apply(plan)
    }

    fn apply(&mut self, plan: Plan) -> Result<(), DiskError> {
        self.unflushed += self.store.apply(plan.edits, plan.outlines)?;
        self.metrics.store_blocks_dropped.inc_by(plan.expired);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        self.store.disk().flush()?;
        self.unflushed = 0;
        self.backlog.flushed();
        Ok(())
    }
}
