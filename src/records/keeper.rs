//! The thread that takes changes of records from the shards and writes them down.
//!
//! What always holds: an older state of a record never replaces a newer one; a change counts as dealt
//! with once it is on disk, or once the disk has refused it and it is held in memory to be tried again;
//! nobody ever waits for this thread for long.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Records, Shown};
use crate::clock::Clock;
use crate::config::RecordsConfig;
use crate::engine::record::{Record, RecordId, RecordState, Update};
use crate::engine::records::{RecordOutlet, Updates};
use crate::telemetry::Metrics;

/// How long it waits for changes before it looks whether something is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Two writes are at least so far apart: each waits for the disk.
const WRITE_EVERY: Duration = Duration::from_millis(50);
/// Batches in one write.
const BATCHES_MAX: usize = 64;
/// How often old records are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// Records that go in one step.
const SWEPT_MAX: usize = 2_000;
/// Changes that are held while the disk takes none. Beyond it the oldest are given up.
const UNWRITTEN_MAX: usize = 20_000;
/// Failures are said in the log this often at most.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What the thread is made with.
pub struct KeeperParts {
    pub outlet: RecordOutlet,
    pub records: Arc<Records>,
    pub config: RecordsConfig,
    pub metrics: Arc<Metrics>,
    pub clock: Arc<dyn Clock>,
}

/// Starts the thread. It ends when all shards have, with everything written.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(parts: KeeperParts) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("records".to_owned())
        .spawn(move || {
            let mut keeper = Keeper { parts, said: None };
            keeper.run();
        })
}

struct Keeper {
    parts: KeeperParts,
    said: Option<Instant>,
}

impl Keeper {
    fn run(&mut self) {
        self.sweep();
        let (mut wrote, mut swept) = (None::<Instant>, Instant::now());
        while let Ok(next) = self.parts.outlet.next(LOOK_EVERY) {
            let mut batches: Vec<Updates> = next.into_iter().collect();
            if !batches.is_empty()
                && let Some(rest) = wrote.and_then(|w| WRITE_EVERY.checked_sub(w.elapsed()))
            {
                std::thread::sleep(rest);
            }
            while batches.len() < BATCHES_MAX
                && let Ok(Some(more)) = self.parts.outlet.next(Duration::ZERO)
            {
                batches.push(more);
            }
            let held = !self.parts.records.read().unwritten.is_empty();
            if !batches.is_empty() || held {
                self.take(&mut batches);
                wrote = Some(Instant::now());
            }
            for batch in &batches {
                self.parts.outlet.done(batch);
            }
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                self.sweep();
            }
        }
        if !self.parts.records.read().unwritten.is_empty() {
            self.keep(&BTreeMap::new());
        }
    }

    fn take(&mut self, batches: &mut [Updates]) {
        let mut changes: BTreeMap<RecordId, Option<Record>> = BTreeMap::new();
        {
            let shown = self.parts.records.read();
            for update in batches.iter_mut().flat_map(|b| b.all.drain(..)) {
                match update {
                    Update::Put(record) => {
                        let newest = newest(&changes, &shown, record.id);
                        if newest.is_none_or(|(as_of, _)| as_of <= record.as_of_ms) {
                            changes.insert(record.id, Some(*record));
                        }
                    }
                    Update::Forget(id) => {
                        // Else another life of it came further than this one.
                        let newest = newest(&changes, &shown, id);
                        if newest.is_some_and(|(_, state)| state == RecordState::Pending) {
                            changes.insert(id, None);
                        }
                    }
                }
            }
        }
        self.keep(&changes);
    }

    /// Writes changes and shows them.
    fn keep(&mut self, changes: &BTreeMap<RecordId, Option<Record>>) {
        let records = Arc::clone(&self.parts.records);
        // Only this thread adds to what is unwritten.
        let mut all = records.read().unwritten.clone();
        all.extend(changes.clone());
        if all.is_empty() {
            return;
        }
        let now_ms = self.parts.clock.now_ms();
        let written = records
            .files
            .write(all.iter().map(|(id, r)| (*id, r.as_ref())), now_ms);
        let mut shown = records.write();
        shown.version += 1;
        let Shown { feed, index, .. } = &mut *shown;
        feed.note(changes, index);
        for (id, record) in changes {
            match record {
                Some(record) => shown.index.put(record),
                None => shown.index.remove(*id),
            }
        }
        match written {
            Ok(()) => shown.unwritten.clear(),
            Err(error) => {
                while all.len() > UNWRITTEN_MAX {
                    all.pop_first();
                }
                shown.unwritten = all;
                self.parts.metrics.records.errors.inc();
                if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
                    self.said = Some(Instant::now());
                    tracing::error!(%error, "records of anomalies cannot be written: they are held in memory until they can");
                }
            }
        }
        self.tell(&shown);
    }

    /// Gives up what is too old or too much.
    fn sweep(&mut self) {
        let keep_ms = i64::try_from(self.parts.config.keep.as_millis()).unwrap_or(i64::MAX);
        let before_ms = self.parts.clock.now_ms().saturating_sub(keep_ms);
        loop {
            let gone = {
                let shown = self.parts.records.read();
                let over = shown
                    .index
                    .len()
                    .saturating_sub(self.parts.config.max as usize);
                shown.index.oldest(before_ms, over, SWEPT_MAX)
            };
            if gone.is_empty() {
                break;
            }
            let held = self.parts.records.read().unwritten.len();
            self.parts.metrics.records.expired.inc_by(gone.len() as u64);
            self.keep(&gone.into_iter().map(|id| (id, None)).collect());
            if held > 0 {
                break;
            }
        }
        let shown = self.parts.records.read();
        self.tell(&shown);
    }

    fn tell(&self, shown: &Shown) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let metrics = &self.parts.metrics.records;
        metrics.kept.set(number(shown.index.len()));
        metrics.unwritten.set(number(shown.unwritten.len()));
    }
}

/// The newest sample and the state of a record as it is known, changes under way included.
fn newest(
    changes: &BTreeMap<RecordId, Option<Record>>,
    shown: &Shown,
    id: RecordId,
) -> Option<(i64, RecordState)> {
    match changes.get(&id) {
        Some(change) => change.as_ref().map(|r| (r.as_of_ms, r.state)),
        None => shown.index.get(id).map(|row| (row.as_of_ms, row.state)),
    }
}
