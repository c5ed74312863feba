//! Random histories of a log against what should be left of it.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Append {
        len: usize,
        parts: usize,
    },
    Sync,
    /// Drop what a checkpoint at this share of the records would cover.
    Drop(u8),
    /// Fails one of the next operations.
    Fail(u64),
    /// The disk takes only so much more.
    Full(usize),
    FailSync,
    Heal,
    Kill,
    PowerCut(u64),
    /// Flips a bit somewhere, then the process is killed.
    Rot(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (0..3000usize, 1..4usize).prop_map(|(len, parts)| Step::Append { len, parts }),
        4 => Just(Step::Sync),
        1 => any::<u8>().prop_map(Step::Drop),
        1 => (0..6u64).prop_map(Step::Fail),
        1 => (0..5000usize).prop_map(Step::Full),
        1 => Just(Step::FailSync),
        2 => Just(Step::Heal),
        1 => Just(Step::Kill),
        1 => any::<u64>().prop_map(Step::PowerCut),
        1 => any::<u64>().prop_map(Step::Rot),
    ]
}

/// What is known of the log.
#[derive(Default)]
struct Model {
    /// Everything that may be in it.
    appended: BTreeMap<u64, (u8, Vec<u8>)>,
    /// What must survive a power cut.
    synced: u64,
    lost: Vec<u64>,
    /// Everything up to it may be gone.
    dropped: u64,
}

impl Model {
    /// Opens the log again and compares. `all`: nothing at all may be missing; else all that was
    /// synced must be there, but for `broken` records.
    fn check(&mut self, disk: &Disk, all: bool, broken: usize) -> Log {
        let covering = Options {
            covered: self.dropped,
            ..options()
        };
        let (log, opened) = open_with(disk, covering);
        let (records, counts) = replayed(&log, 0);
        assert_eq!(counts.records as usize, records.len());
        let found: BTreeMap<_, _> = records
            .iter()
            .map(|(seq, kind, payload)| (*seq, (*kind, payload.clone())))
            .collect();
        assert_eq!(found.len(), records.len(), "each once");
        assert!(records.is_sorted_by_key(|r| r.0), "in order");
        for (seq, record) in &found {
            assert!(*seq <= opened.last_seq);
            assert!(
                self.appended.get(seq) == Some(record) || *seq <= self.dropped,
                "record {seq} was never appended"
            );
        }
        let missing = self
            .appended
            .keys()
            .filter(|seq| !found.contains_key(seq) && **seq > self.dropped)
            .filter(|seq| all || **seq <= self.synced && !self.lost.contains(seq))
            .count();
        assert!(missing <= broken, "{missing} missing, {broken} broken");
        // What is there now is what there is, and this disk will not lose it in the next cut.
        self.synced = log.last_seq();
        self.lost.clear();
        self.appended = found;
        log
    }
}

fn run(steps: Vec<Step>) {
    let disk = Disk::default();
    let mut model = Model::default();
    let mut log = model.check(&disk, true, 0);
    for (n, step) in steps.into_iter().enumerate() {
        match step {
            Step::Append { len, parts } => {
                let bytes: Vec<u8> = (0..len).map(|i| (i * 31 + n) as u8).collect();
                let split: Vec<&[u8]> = bytes.chunks(len.div_ceil(parts).max(1)).collect();
                let next = log.last_seq() + 1;
                if let Ok(seq) = log.append(n as u8, &split) {
                    assert_eq!(seq, next);
                    model.appended.insert(seq, (n as u8, bytes));
                }
            }
            Step::Sync => {
                let before = model.synced;
                let failed = log.sync().is_err();
                model.synced = log.last_seq();
                let status = log.inner.status.borrow();
                let lost = |seq: &u64| status.of(*seq).is_none_or(|decided| decided.is_err());
                let lost: Vec<u64> = (before + 1..=model.synced).filter(lost).collect();
                assert!(failed || lost.is_empty());
                drop(status);
                model.lost.extend(lost);
            }
            Step::Drop(share) => {
                let seq = model.synced * u64::from(share) / 255;
                model.dropped = model.dropped.max(seq);
                let _ = log.drop_through(seq);
            }
            Step::Fail(n) => disk.fail_in(n, ErrorKind::Other),
            Step::Full(room) => disk.limit(Some(disk.bytes() as usize + room)),
            Step::FailSync => disk.fail_syncs(1),
            Step::Heal => disk.heal(),
            Step::Kill => {
                drop(log);
                disk.heal();
                log = model.check(&disk, true, 0);
                disk.settle();
            }
            Step::PowerCut(seed) => {
                drop(log);
                disk.heal();
                disk.power_cut(&mut fastrand::Rng::with_seed(seed));
                log = model.check(&disk, false, 0);
            }
            Step::Rot(seed) => {
                drop(log);
                disk.heal();
                let mut rng = fastrand::Rng::with_seed(seed);
                let files: Vec<_> = disk
                    .list()
                    .unwrap()
                    .into_iter()
                    .filter(|f| f.1 > 0)
                    .collect();
                if let Some((name, len)) = rng.choice(&files) {
                    disk.flip(name, rng.usize(0..*len as usize * 8));
                }
                log = model.check(&disk, true, 1);
                disk.settle();
            }
        }
    }
    drop(log);
    disk.heal();
    model.check(&disk, true, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_was_synced_is_replayed_once_in_order_and_nothing_else(
        steps in prop::collection::vec(step(), 1..120)
    ) {
        run(steps);
    }
}
