//! The thread that takes changes of records from the shards and writes them down.
//!
//! What always holds: an older state of a record never replaces a newer one; a change counts as dealt
//! with once it is on disk, or once the disk has refused it and it is held in memory to be tried again;
//! nobody ever waits for this thread for long.

mod incidents;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use self::incidents::Incidental;
use super::{Records, Shown};
use crate::clock::Clock;
use crate::config::RecordsConfig;
use crate::engine::incident::spec::IncidentSpec;
use crate::engine::joint::kin::Kin;
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
    /// Which anomalies are one incident.
    pub incidents: IncidentSpec,
    /// Which series were learned to move together.
    pub kin: Arc<Kin>,
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
            let incidental = Incidental::new(parts.incidents.clone(), Arc::clone(&parts.kin));
            let mut keeper = Keeper {
                parts,
                said: None,
                incidental,
            };
            keeper.run();
        })
}

struct Keeper {
    parts: KeeperParts,
    said: Option<Instant>,
    incidental: Incidental,
}

impl Keeper {
    fn run(&mut self) {
        self.sweep();
        self.follow_incidents(false);
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
            self.follow_incidents(false);
            if swept.elapsed() >= SWEEP_EVERY {
                swept = Instant::now();
                self.sweep();
            }
        }
        if !self.parts.records.read().unwritten.is_empty() {
            self.keep(&BTreeMap::new());
        }
        self.follow_incidents(true);
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
        self.incidental.hear(changes, &shown);
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
                self.complain(&error);
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
        self.sweep_incidents(before_ms);
        let shown = self.parts.records.read();
        self.tell(&shown);
    }

    /// Says that the disk takes nothing, now and then.
    fn complain(&mut self, error: &impl std::fmt::Display) {
        self.parts.metrics.records.errors.inc();
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::error!(%error, "records of anomalies cannot be written: they are held in memory until they can");
        }
    }

    fn tell(&self, shown: &Shown) {
        let number = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        let metrics = &self.parts.metrics.records;
        metrics.kept.set(number(shown.index.len()));
        let unwritten = shown.unwritten.len() + shown.unwritten_incidents.len();
        metrics.unwritten.set(number(unwritten));
        metrics.incidents.set(number(shown.incidents.len()));
        metrics
            .incidents_open
            .set(number(shown.incidents.open().len()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::config::Severity;
    use crate::engine::records::{Known, RecordTap, record_taps};
    use crate::score::board::{Alarm, AlarmState, Reason, Side};
    use crate::series::labels;

    fn keeper(dir: &std::path::Path, max: u32) -> (Keeper, RecordTap, Arc<ManualClock>) {
        let (records, known) = Records::open(&dir.join("records"), 0).unwrap();
        let (mut taps, outlet) = record_taps(1, known);
        let clock = Arc::new(ManualClock::at(1_000));
        let parts = KeeperParts {
            outlet,
            records: Arc::new(records),
            config: RecordsConfig {
                keep: Duration::from_secs(100),
                max,
            },
            incidents: IncidentSpec::default(),
            kin: Arc::default(),
            metrics: Arc::new(Metrics::new()),
            clock: Arc::clone(&clock) as _,
        };
        let keeper = Keeper {
            incidental: Incidental::new(parts.incidents.clone(), Arc::clone(&parts.kin)),
            parts,
            said: None,
        };
        (keeper, taps.remove(0), clock)
    }

    fn absent(tap: &mut RecordTap, name: &str, last_ms: i64) -> Vec<u8> {
        let labels = labels::encode([("__name__", name)]);
        let alarm = Alarm {
            state: AlarmState::Active,
            severity: Severity::High,
            side: Side::Down,
            reason: Reason::Absent,
        };
        tap.absent(0, &labels, last_ms, 0.9, alarm);
        labels
    }

    fn take(keeper: &mut Keeper, tap: &mut RecordTap) {
        tap.flush();
        let mut batches = Vec::new();
        while let Ok(Some(batch)) = keeper.parts.outlet.next(Duration::ZERO) {
            batches.push(batch);
        }
        keeper.take(&mut batches);
        batches.iter().for_each(|b| keeper.parts.outlet.done(b));
    }

    #[test]
    fn an_older_state_of_a_record_never_replaces_a_newer_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut keeper, mut tap, _) = keeper(dir.path(), 100);
        let labels = absent(&mut tap, "m", 9);
        take(&mut keeper, &mut tap);
        tap.stale(&labels, 50);
        take(&mut keeper, &mut tap);
        assert!(tap.is_settled(tap.mark()));
        // Another life that knows nothing makes it again.
        let (mut again, outlet) = record_taps(1, Known::default());
        keeper.parts.outlet = outlet;
        absent(&mut again[0], "m", 9);
        take(&mut keeper, &mut again[0]);
        let records = Arc::clone(&keeper.parts.records);
        let ids = records
            .look(|index| index.page(&super::super::index::Filter::default(), None, 0, 10))
            .ids;
        let kept = records.get(&ids).unwrap();
        assert_eq!(kept.len(), 1);
        assert_eq!(
            (kept[0].state, kept[0].end_ms),
            (RecordState::Resolved, Some(50))
        );
    }

    #[test]
    fn what_is_old_or_too_much_goes_from_the_disk_too() {
        let dir = tempfile::tempdir().unwrap();
        let (mut keeper, mut tap, clock) = keeper(dir.path(), 3);
        for (name, t_ms) in [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)] {
            let labels = absent(&mut tap, name, t_ms);
            if name != "c" {
                tap.stale(&labels, t_ms + 20_000);
            }
        }
        take(&mut keeper, &mut tap);
        keeper.sweep();
        assert_eq!(keeper.parts.records.look(|i| i.len()), 3);
        clock.set(200_000);
        keeper.sweep();
        // That which lasts stays.
        assert_eq!(keeper.parts.records.look(|i| i.len()), 1);
        assert!(
            keeper
                .parts
                .metrics
                .openmetrics()
                .contains("saimon_records_expired_total 4")
        );
        drop(keeper);
        let (records, known) = Records::open(&dir.path().join("records"), 0).unwrap();
        assert_eq!((records.look(|i| i.len()), known.open.len()), (1, 1));
    }
}
