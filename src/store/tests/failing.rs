//! Disks that fail, panic or hang, and lose what was not flushed.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};

use super::super::disk::{Backend, DiskError, Edit, Opener, Pairs, Waits};
use super::super::key;
use super::*;

/// What the disk does with each kind of call.
const WORK: u32 = 0;
const FAIL: u32 = 1;
const PANIC: u32 = 2;
const DAMAGED: u32 = 3;
const HANG: u32 = 4;
const PANIC_ONCE: u32 = 5;

/// A disk in memory that forgets what was not flushed when it is closed.
#[derive(Debug, Default)]
struct Machine {
    durable: Mutex<BTreeMap<Vec<u8>, Vec<u8>>>,
    open: AtomicU32,
    /// Reading states.
    states: AtomicU32,
    apply: AtomicU32,
    flush: AtomicU32,
    applied: AtomicU32,
    opened: AtomicU32,
}

impl Machine {
    fn obey(what: &AtomicU32) -> Result<(), DiskError> {
        while what.load(Ordering::SeqCst) == HANG {
            std::thread::sleep(Duration::from_millis(1));
        }
        match what.load(Ordering::SeqCst) {
            FAIL => Err(DiskError::Failed("no space left on device".to_owned())),
            PANIC => panic!("as sled does"),
            PANIC_ONCE => {
                what.store(WORK, Ordering::SeqCst);
                panic!("as sled does, once")
            }
            DAMAGED => Err(DiskError::Damaged("a bad page".to_owned())),
            _ => Ok(()),
        }
    }

    fn opener(self: &Arc<Self>, dir: &Path) -> Opener {
        let machine = Arc::clone(self);
        let dir = dir.to_owned();
        let waits = Waits {
            job: Duration::from_millis(200),
            ..Waits::default()
        };
        Opener::new(waits, move || {
            Self::obey(&machine.open)?;
            machine.opened.fetch_add(1, Ordering::SeqCst);
            // A store that was moved aside is an empty one.
            if !dir.try_exists().unwrap() {
                std::fs::create_dir_all(&dir).unwrap();
                locked(&machine.durable).clear();
            }
            let map = locked(&machine.durable).clone();
            Ok(Box::new(Volatile {
                machine: Arc::clone(&machine),
                map,
            }))
        })
    }
}

struct Volatile {
    machine: Arc<Machine>,
    map: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Backend for Volatile {
    fn get(&mut self, key: &[u8]) -> Result<Option<Vec<u8>>, DiskError> {
        Ok(self.map.get(key).cloned())
    }

    fn scan(&mut self, from: &[u8], to: &[u8], bytes: usize) -> Result<Pairs, DiskError> {
        if from.first() == key::STATES.0.first() {
            Machine::obey(&self.machine.states)?;
        }
        let mut left = bytes;
        let range = self.map.range(from.to_vec()..to.to_vec());
        Ok(range
            .take_while(|(_, v)| {
                let more = left > 0;
                left = left.saturating_sub(v.len());
                more
            })
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect())
    }

    fn apply(&mut self, edits: Vec<Edit>) -> Result<(), DiskError> {
        Machine::obey(&self.machine.apply)?;
        self.machine.applied.fetch_add(1, Ordering::SeqCst);
        for edit in edits {
            match edit {
                Edit::Put(key, value) => self.map.insert(key, value),
                Edit::Remove(key) => self.map.remove(&key),
            };
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DiskError> {
        Machine::obey(&self.machine.flush)?;
        (*locked(&self.machine.durable)).clone_from(&self.map);
        Ok(())
    }

    fn bytes(&mut self) -> Result<u64, DiskError> {
        Ok(1)
    }
}

struct Faulty {
    machine: Arc<Machine>,
    store: Store,
    rig: Rig,
    dir: std::path::PathBuf,
    _temp: tempfile::TempDir,
}

fn faulty() -> Faulty {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let machine = Arc::new(Machine::default());
    let metrics = Arc::new(Metrics::new());
    let opened = Store::open_with(&dir, &machine.opener(&dir), &metrics, NOW).unwrap();
    let store = opened.store.clone();
    let rig = Rig::start(opened.store, config(), &metrics);
    Faulty {
        machine,
        store,
        rig,
        dir,
        _temp: temp,
    }
}

fn one(n: u8, last_ms: i64) -> GroupSnapshot {
    group(id(0, 0), &[n], last_ms, vec![chunk(0, last_ms)])
}

impl Faulty {
    /// The only group as it is on the disk: state and chunks.
    fn durable(&self) -> (Vec<u8>, Vec<ClosedChunk>) {
        let metrics = Arc::new(Metrics::new());
        let copy = tempfile::tempdir().unwrap();
        let dir = copy.path().join("store");
        std::fs::create_dir_all(&dir).unwrap();
        let machine = Arc::new(Machine::default());
        *locked(&machine.durable) = locked(&self.machine.durable).clone();
        let store = Store::open_with(&dir, &machine.opener(&dir), &metrics, NOW)
            .unwrap()
            .store;
        let (groups, _) = all(&store);
        let state = groups.first().map_or_else(Vec::new, |g| g.1.clone());
        (state, store.chunks(id(0, 0), &[0], 0, i64::MAX).unwrap())
    }
}

#[test]
fn what_failed_is_written_later_with_every_chunk() {
    for failing in ["apply", "flush"] {
        let f = faulty();
        assert!(f.rig.write([one(1, NOW)]));
        let broken = match failing {
            "apply" => &f.machine.apply,
            _ => &f.machine.flush,
        };
        broken.store(FAIL, Ordering::SeqCst);
        assert!(!f.rig.write([one(2, NOW + HOUR)]));
        assert!(!f.rig.write([one(3, NOW + 2 * HOUR)]));
        assert_eq!(f.rig.metrics.store_ok.get(), 0);
        assert!(f.rig.metrics.store_errors.get() > 0);
        assert_eq!(f.durable(), (vec![1], vec![chunk(0, NOW)]));
        broken.store(WORK, Ordering::SeqCst);
        // Nothing new: what waits is written nevertheless.
        assert!(f.rig.write([]));
        assert_eq!(f.rig.metrics.store_ok.get(), 1);
        assert_eq!(f.rig.metrics.store_moved_aside.get(), 0);
        let chunks = [NOW, NOW + HOUR, NOW + 2 * HOUR].map(|at| chunk(0, at));
        assert_eq!(f.durable(), (vec![3], chunks.to_vec()));
        assert_eq!(f.store.chunks(id(0, 0), &[0], 0, i64::MAX).unwrap(), chunks);
        f.rig.stop();
    }
}

#[test]
fn a_disk_that_cannot_be_opened_again_is_tried_until_it_can() {
    let f = faulty();
    assert!(f.rig.write([one(1, NOW)]));
    f.machine.apply.store(FAIL, Ordering::SeqCst);
    f.machine.open.store(FAIL, Ordering::SeqCst);
    assert!(!f.rig.write([one(2, NOW + HOUR)]));
    f.machine.apply.store(WORK, Ordering::SeqCst);
    assert!(!f.rig.write([]));
    assert!(f.store.chunks(id(0, 0), &[0], 0, NOW).is_err());
    f.machine.open.store(WORK, Ordering::SeqCst);
    assert!(f.rig.write([]));
    assert_eq!(f.durable().0, [2]);
    f.rig.stop();
}

#[test]
fn an_error_that_passes_does_not_cost_the_checkpoint() {
    let f = faulty();
    assert!(f.rig.write([one(1, NOW)]));
    // The first attempt finds the store closed by a reader's error.
    f.machine.flush.store(FAIL, Ordering::SeqCst);
    assert!(f.store.disk().flush().is_err());
    f.machine.flush.store(WORK, Ordering::SeqCst);
    assert!(f.rig.write([one(2, NOW + HOUR)]));
    assert_eq!(f.durable().0, [2]);
    f.rig.stop();
}

#[test]
fn a_store_that_panics_while_running_is_opened_again() {
    let f = faulty();
    assert!(f.rig.write([one(1, NOW)]));
    f.machine.apply.store(PANIC_ONCE, Ordering::SeqCst);
    assert!(f.rig.write([one(2, NOW + HOUR)]));
    assert_eq!(f.rig.metrics.store_errors.get(), 1);
    // It opened, so it was not moved aside.
    assert_eq!(f.rig.metrics.store_moved_aside.get(), 0);
    assert_eq!(f.durable().1.len(), 2);
    f.rig.stop();
}

#[test]
fn a_store_that_stays_damaged_while_running_is_moved_aside() {
    for how in [DAMAGED, PANIC] {
        let f = faulty();
        assert!(f.rig.write([one(1, NOW)]));
        f.machine.apply.store(how, Ordering::SeqCst);
        assert!(!f.rig.write([one(2, NOW + HOUR)]));
        f.machine.apply.store(WORK, Ordering::SeqCst);
        assert!(f.rig.write([]));
        assert_eq!(f.rig.metrics.store_moved_aside.get(), 1);
        let aside = format!("store.broken-{}", NOW / 1000);
        assert!(f.dir.with_file_name(aside).try_exists().unwrap());
        // What waited is in it; the rest comes when its group changes.
        assert_eq!(f.durable(), (vec![2], vec![chunk(0, NOW + HOUR)]));
        f.rig.stop();
    }
}

#[test]
fn a_disk_that_hangs_is_given_up_and_used_again_when_it_answers() {
    let f = faulty();
    assert!(f.rig.write([one(1, NOW)]));
    f.machine.apply.store(HANG, Ordering::SeqCst);
    assert!(!f.rig.write([one(2, NOW + HOUR)]));
    assert!(!f.rig.write([one(3, NOW + 2 * HOUR)]));
    assert_eq!(f.rig.metrics.store_ok.get(), 0);
    assert_eq!(
        f.store.chunks(id(0, 0), &[0], 0, i64::MAX),
        Err(DiskError::Stalled)
    );
    f.machine.apply.store(WORK, Ordering::SeqCst);
    while !f.rig.write([]) {}
    assert_eq!(f.rig.metrics.store_moved_aside.get(), 0);
    let chunks = [NOW, NOW + HOUR, NOW + 2 * HOUR].map(|at| chunk(0, at));
    assert_eq!(f.durable(), (vec![3], chunks.to_vec()));
    f.rig.stop();
}

#[test]
fn stopping_with_a_disk_that_takes_nothing_ends() {
    let f = faulty();
    f.machine.apply.store(FAIL, Ordering::SeqCst);
    f.rig.change(one(1, NOW));
    f.rig.stop();
    assert!(locked(&f.machine.durable).is_empty());
}

#[test]
fn large_checkpoints_are_written_in_steps_and_flushed_in_between() {
    let f = faulty();
    let state = vec![1; 1 << 20];
    assert!(
        f.rig
            .write((0..20).map(|n| group(id(n, 0), &state, NOW, vec![])))
    );
    let steps = f.machine.applied.load(Ordering::SeqCst);
    assert!((8..=12).contains(&steps), "{steps}");
    f.rig.stop();
}

#[test]
fn a_full_disk_at_start_moves_nothing_aside() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    std::fs::create_dir_all(&dir).unwrap();
    let machine = Arc::new(Machine::default());
    machine.open.store(FAIL, Ordering::SeqCst);
    let metrics = Arc::new(Metrics::new());
    let error = Store::open_with(&dir, &machine.opener(&dir), &metrics, NOW).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    assert!(dir.try_exists().unwrap());

    // Damaged, and a fresh one cannot be had either.
    machine.open.store(DAMAGED, Ordering::SeqCst);
    let error = Store::open_with(&dir, &machine.opener(&dir), &metrics, NOW).unwrap_err();
    assert!(matches!(error, OpenError::Unavailable { .. }), "{error}");
    assert_eq!(metrics.store_ok.get(), 0);

    // A panic at open is damage.
    std::fs::create_dir_all(&dir).unwrap();
    machine.open.store(PANIC, Ordering::SeqCst);
    let error = Store::open_with(&dir, &machine.opener(&dir), &metrics, NOW).unwrap_err();
    assert!(error.to_string().contains("as sled does"), "{error}");
}

#[test]
fn a_store_that_cannot_be_read_to_its_end_starts_with_what_was_read() {
    for how in [FAIL, PANIC] {
        let f = faulty();
        let two = group(id(0, 1), b"two", NOW, vec![chunk(0, NOW)]);
        assert!(f.rig.write([one(1, NOW), two]));
        f.rig.stop();
        drop(f.store);

        f.machine.states.store(how, Ordering::SeqCst);
        let metrics = Arc::new(Metrics::new());
        let opened = Store::open_with(&f.dir, &f.machine.opener(&f.dir), &metrics, NOW).unwrap();
        let store = opened.store;
        let (groups, loaded) = all(&store);
        assert_eq!((groups.len(), loaded.groups, loaded.skipped), (0, 0, 2));
        assert!(loaded.stopped.is_some());
        f.machine.states.store(WORK, Ordering::SeqCst);

        // A new group with an old number has none of the old blocks.
        let rig = Rig::start(store.clone(), config(), &metrics);
        assert!(rig.write([group(id(0, 0), b"new", NOW, vec![])]));
        rig.stop();
        assert_eq!(store.chunks(id(0, 0), &[0], 0, i64::MAX).unwrap(), []);
        let (groups, loaded) = all(&store);
        assert_eq!(groups, [(id(0, 0), b"new".to_vec(), NOW)]);
        assert_eq!((loaded.skipped, loaded.stopped), (0, None));
    }
}
