//! Idle series: put to sleep, woken, given up for want of memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use saimon::config::{DetectConfig, ForestConfig, ForestUse, RuleConfig};
use saimon::engine::keep::{GroupId, GroupSnapshot, Sleepers};
use saimon::engine::pool::Pool;
use saimon::engine::shard::Sleep;
use saimon::telemetry::{Outcome, ReasonLabel, Text};

use crate::driver::Driver;
use crate::{STEP_MS, round, series};

const IDLE_MS: i64 = 3_600_000;

/// What a store has of sleepers.
#[derive(Debug, Default)]
struct Disk(Mutex<HashMap<(GroupId, u16), Vec<u8>>>);

impl Sleepers for Disk {
    fn states(&self, of: &[(GroupId, u16)]) -> Result<Vec<Option<Vec<u8>>>, String> {
        let kept = self.0.lock().unwrap();
        Ok(of.iter().map(|place| kept.get(place).cloned()).collect())
    }
}

impl Disk {
    /// As the store's writer does it.
    fn take(&self, groups: &[GroupSnapshot]) {
        let mut kept = self.0.lock().unwrap();
        for group in groups {
            kept.retain(|(id, p), _| *id != group.id || group.asleep >> p & 1 == 1);
            for (position, state) in &group.sleepers {
                kept.insert((group.id, *position), state.bytes().to_vec());
                state.keep();
            }
        }
    }
}

/// No series has a forest, nor is missed: those that are stay awake.
fn detect() -> DetectConfig {
    DetectConfig {
        warmup: 20,
        young: 60,
        absent: std::time::Duration::ZERO,
        rules: vec![RuleConfig {
            selector: "{__name__=~\".+\"}".into(),
            forest: Some(ForestUse::Never),
            ..RuleConfig::default()
        }],
        ..DetectConfig::default()
    }
}

/// Each has one, with early fits and many, and asks it all the time.
fn with_forests() -> DetectConfig {
    DetectConfig {
        day: std::time::Duration::from_secs(3600),
        forest: ForestConfig {
            min_points: 40,
            rows: 100,
            gate: 0.0,
            ..ForestConfig::default()
        },
        rules: Vec::new(),
        ..detect()
    }
}

fn sleepy(shards: usize, detect: &DetectConfig, disk: &Arc<Disk>) -> Driver {
    Driver::made(shards, detect, 1000, &[], 0, lull(disk))
}

fn lull(disk: &Arc<Disk>) -> impl FnOnce(&mut Pool) {
    |pool| {
        pool.lull(&Sleep {
            store: Arc::clone(disk) as _,
            idle_ms: IDLE_MS,
        });
    }
}

fn tick(driver: &mut Driver, now_ms: i64) {
    for shard in &mut driver.shards {
        shard.tick(now_ms);
    }
}

/// Rounds from `from` to `to`; of every second series nothing comes from 400 to 800.
fn rounds(
    driver: &mut Driver,
    all: &[Vec<u8>],
    from: i64,
    to: i64,
    mut each: impl FnMut(&mut Driver, i64),
) {
    for i in from..to {
        let mut samples = round(all, i);
        if (400..800).contains(&i) {
            samples.retain(|(labels, ..)| all.iter().position(|l| l == labels).unwrap() % 2 == 0);
        }
        driver.send(&samples, i * STEP_MS);
        each(driver, i);
    }
}

#[test]
fn a_series_that_slept_scores_as_one_that_never_did() {
    for (detect, forests) in [(detect(), false), (with_forests(), true)] {
        scores_as_one_that_never_slept(&detect, forests);
    }
}

fn scores_as_one_that_never_slept(detect: &DetectConfig, forests: bool) {
    let all: Vec<_> = (0..40).map(series).collect();
    let mut awake = Driver::new(1, detect, 1000);
    let mut shown = HashMap::new();
    rounds(&mut awake, &all, 0, 1000, |d, i| {
        if i % 50 == 0 {
            tick(d, i * STEP_MS);
        }
        shown.insert(i, d.shown());
    });
    let trained = awake.metrics.models_trained.get();
    assert_eq!(trained > 0, forests, "{trained}");
    for shards in [1, 3] {
        let disk = Arc::new(Disk::default());
        let mut driver = sleepy(shards, detect, &disk);
        let mut most = 0;
        let mut each = |d: &mut Driver, i: i64| {
            if i % 50 == 0 {
                tick(d, i * STEP_MS);
                most = most.max(d.phase("asleep"));
                if i % 100 == 0 {
                    disk.take(&d.snapshots());
                }
            }
            assert_eq!(d.shown(), shown[&i], "round {i}");
        };
        rounds(&mut driver, &all, 0, 1000, &mut each);
        assert_eq!(most, 20);
        assert_eq!(driver.phase("asleep"), 0);
        assert_eq!(driver.metrics.memory.slept.get(), 20);
        assert_eq!(driver.metrics.memory.woken.get(), 20);
        // Nothing is left behind of those that woke.
        disk.take(&driver.snapshots());
        assert!(disk.0.lock().unwrap().is_empty());
        let seats: u32 = driver
            .shards
            .iter()
            .map(|s| s.forests_seated())
            .max()
            .unwrap();
        assert_eq!(seats, if forests { 40 } else { 0 });
    }
}

/// Its rows are with the state of the series while it sleeps, and nowhere else.
#[test]
fn a_forest_sleeps_with_its_series() {
    let all: Vec<_> = (0..40).map(series).collect();
    let disk = Arc::new(Disk::default());
    let mut d = sleepy(1, &with_forests(), &disk);
    rounds(&mut d, &all, 0, 300, |_, _| {});
    let apart = |groups: &[GroupSnapshot], gone: bool| {
        let of = groups.iter().flat_map(|g| &g.appendices);
        of.filter(|a| a.bytes.is_empty() == gone).count()
    };
    let groups = d.snapshots();
    disk.take(&groups);
    assert_eq!((apart(&groups, false), apart(&groups, true)), (40, 0));
    assert_eq!(d.shards[0].forests_seated(), 40);
    tick(&mut d, 300 * STEP_MS + 2 * IDLE_MS);
    assert_eq!(d.phase("asleep"), 40);
    assert_eq!(d.shards[0].forests_seated(), 0);
    let groups = d.snapshots();
    disk.take(&groups);
    assert_eq!((apart(&groups, false), apart(&groups, true)), (0, 40));
    // Some send nothing in a round.
    let samples = round(&all, 300);
    let woken = samples.len();
    d.send(&samples, 300 * STEP_MS);
    assert_eq!(d.phase("asleep"), 40 - woken as i64);
    assert_eq!(d.shards[0].forests_seated() as usize, woken);
    let groups = d.snapshots();
    assert_eq!((apart(&groups, false), apart(&groups, true)), (woken, 0));
}

#[test]
fn a_sleeper_leaves_memory_only_when_it_is_on_disk_and_sleeps_over_a_restart() {
    let all: Vec<_> = (0..1000).map(series).collect();
    let disk = Arc::new(Disk::default());
    let mut d = Driver::made(1, &detect(), 2000, &[], 0, lull(&disk));
    rounds(&mut d, &all, 0, 150, |_, _| {});
    let held = d.shards[0].memory();
    let late = 150 * STEP_MS + 2 * IDLE_MS;
    tick(&mut d, late);
    assert_eq!(d.phase("asleep"), 1000);
    tick(&mut d, late);
    assert!(
        d.shards[0].memory().asleep > 0,
        "nobody has their states yet"
    );
    let groups = d.snapshots();
    tick(&mut d, late);
    assert!(
        d.shards[0].memory().asleep > 0,
        "the store has not said that it has them"
    );
    disk.take(&groups);
    // Finished chunks are dropped by the store too.
    let groups: Vec<_> = groups
        .into_iter()
        .map(|g| GroupSnapshot {
            sleepers: Vec::new(),
            chunks: [].into(),
            ..g
        })
        .collect();
    tick(&mut d, late);
    let asleep = d.shards[0].memory();
    assert_eq!(asleep.asleep, 0);
    assert_eq!(asleep.models, 0);
    assert!(asleep.total() < held.total() / 2, "{asleep:?} of {held:?}");
    // After a restart they sleep on, and are known.
    let mut again = Driver::made(2, &detect(), 2000, &groups, 0, lull(&disk));
    assert_eq!(again.phase("asleep"), 1000);
    let samples = round(&all, 149);
    let sent = samples.len() as u64;
    again.send(&samples, late);
    assert_eq!(
        again.outcome(Outcome::Duplicate) + again.outcome(Outcome::Stale),
        sent
    );
    // One whose state is lost begins afresh, and loses nothing but that.
    disk.0.lock().unwrap().clear();
    d.send(&round(&all, 2000), late);
    assert!(d.outcome(Outcome::Accepted) > 0);
    assert!(d.metrics.store_errors.get() > 0);
}

#[test]
fn beyond_the_bound_of_memory_the_newest_series_go() {
    let dropped = |d: &Driver| {
        let label = ReasonLabel {
            reason: Text("memory"),
        };
        d.metrics.series_dropped.get_or_create(&label).get()
    };
    let all: Vec<_> = (0..2000).map(series).collect();
    let mut free = Driver::new(2, &detect(), 10_000);
    rounds(&mut free, &all[..1000], 0, 130, |_, _| {});
    let each = |d: &Driver| d.shards.iter().map(|s| s.memory().total()).sum::<usize>();
    let max = each(&free) as u64;
    let mut d = Driver::made(2, &detect(), 10_000, &[], 0, |pool| pool.bound_memory(max));
    // Young series are small, so more are taken than there will be room for when they are grown.
    for i in 0..400 {
        d.send(&round(&all, i), i * STEP_MS);
        tick(&mut d, i * STEP_MS);
    }
    for _ in 0..20 {
        tick(&mut d, 400 * STEP_MS);
    }
    assert!(each(&d) as u64 <= max, "{} of {max}", each(&d));
    assert!(dropped(&d) > 0);
    let held: usize = d.shards.iter().map(|s| s.len()).sum();
    assert!((300..1500).contains(&held), "{held}");
    // The oldest are there.
    let known = |d: &Driver, l: &[u8]| d.shards.iter().any(|s| s.track(l).is_some());
    assert!(all[..100].iter().all(|l| known(&d, l)));
    assert!(!known(&d, &all[1999]));
}
