//! Records in, groups out: the same however they were split, broken off and gone on with.

use std::sync::Mutex;

use super::together::Together;
use super::*;
use crate::config::GroupsConfig;
use crate::engine::record::{Record, RecordState, Update};
use crate::model::joint::MEMBERS_MAX;
use crate::score::board::{Board, BoardWriter};
use crate::series::fingerprint::fingerprint;
use crate::series::labels;

const STEP_MS: i64 = 15_000;
const SERIES: usize = 6;
const NOW_MS: i64 = 1_700_000_000_000;

fn spec(max: u32) -> GroupSpec {
    let config = GroupsConfig {
        joint_max: max,
        ..GroupsConfig::default()
    };
    GroupSpec::try_from(&config).unwrap()
}

fn canonical(name: &str, instance: &str) -> Vec<u8> {
    labels::encode([("__name__", name), ("instance", instance), ("job", "node")])
}

/// Files in memory, which a next one goes on with.
#[derive(Debug, Default)]
struct Disk {
    state: Option<Vec<u8>>,
    entries: Vec<Vec<u8>>,
    takes: bool,
}

#[derive(Debug, Clone)]
struct InMemory(Arc<Mutex<Disk>>);

impl InMemory {
    fn new() -> Self {
        let disk = Disk {
            takes: true,
            ..Disk::default()
        };
        Self(Arc::new(Mutex::new(disk)))
    }

    fn kept(&self) -> Kept {
        let disk = self.0.lock().unwrap();
        Kept {
            files: Box::new(self.clone()),
            state: disk.state.clone(),
            entries: disk.entries.clone(),
        }
    }
}

impl JointFiles for InMemory {
    fn append(&mut self, entry: &[u8]) -> Result<(), String> {
        let mut disk = self.0.lock().unwrap();
        if !disk.takes {
            return Err("full".to_owned());
        }
        disk.entries.push(entry.to_vec());
        Ok(())
    }

    fn replace(&mut self, state: StateWriter<'_>) -> Result<(), String> {
        let mut disk = self.0.lock().unwrap();
        if !disk.takes {
            return Err("full".to_owned());
        }
        let mut bytes = Vec::new();
        state(&mut bytes).unwrap();
        disk.state = Some(bytes);
        disk.entries.clear();
        Ok(())
    }
}

/// Shards that do nothing but tell, and the thread without a thread.
struct House {
    worker: Worker,
    notes: Receiver<Note>,
    feed: Feed,
    taps: Vec<JointTap>,
    writer: BoardWriter,
    all: Vec<(Vec<u8>, EntryOf, Standing, i64)>,
    random: fastrand::Rng,
    metrics: Arc<Metrics>,
    joined: Arc<Joined>,
    kin: Arc<Kin>,
}

impl House {
    fn new(shards: usize, max: u32, kept: Option<Kept>) -> Self {
        let (spec, metrics) = (spec(max), Arc::new(Metrics::new()));
        let (joints, notes) = Joints::new(&spec, &metrics).unwrap();
        let joined = Arc::new(Joined::new(spec.joint_by.clone()));
        let kin = Arc::new(Kin::default());
        let worker = Worker::new(WorkerParts {
            spec,
            shards,
            joined: Arc::clone(&joined),
            metrics: Arc::clone(&metrics),
            kept,
            records: None,
            kin: Arc::clone(&kin),
            waiting: Arc::clone(&joints.waiting),
            done: Arc::clone(&joints.done),
        });
        let (_, mut writers) = Board::new(1);
        let mut house = Self {
            worker,
            notes,
            feed: joints.feed(),
            taps: (0..shards).map(|_| joints.tap()).collect(),
            writer: writers.remove(0),
            all: Vec::new(),
            random: fastrand::Rng::with_seed(shards as u64),
            metrics,
            joined,
            kin,
        };
        for instance in ["one", "two"] {
            for i in 0..SERIES {
                house.add(&canonical(&format!("m{i}"), instance));
            }
        }
        house
    }

    fn add(&mut self, labels: &[u8]) {
        let at = self.writer.add_labels(labels);
        let entry = self.writer.entry_of(at);
        self.all
            .push((labels.to_vec(), entry, Standing::Unknown, i64::MIN));
    }

    /// One record; those of `missing` have no sample in it. Shards take their parts in any order.
    fn record(&mut self, seq: u64, replayed: bool, mut z: impl FnMut(usize) -> Option<f32>) {
        let shards = self.taps.len();
        let received_ms = NOW_MS + seq as i64 * STEP_MS;
        let order = self.feed.begin(seq, received_ms, replayed, shards);
        self.taps.iter_mut().for_each(|t| t.begin(order, replayed));
        let mut order: Vec<_> = (0..self.all.len()).collect();
        self.random.shuffle(&mut order);
        let z: Vec<_> = (0..self.all.len()).map(&mut z).collect();
        for i in order {
            let Some(z) = z[i] else { continue };
            let (labels, entry, standing, before_ms) = &mut self.all[i];
            let t_ms = received_ms + i as i64;
            // As a shard: its first score is the first that it ever had, whatever was restarted.
            let due = seq == 1 || JointTap::is_due(0, *before_ms, t_ms);
            *before_ms = t_ms;
            let sample = Sample {
                t_ms,
                interval_ms: STEP_MS as u32,
                z,
                deviation: 0.3,
                ended: z.is_nan(),
            };
            self.taps[i % shards].tell(standing, due, sample, || {
                (labels.as_slice().into(), 0, entry.clone())
            });
        }
        self.random.shuffle(&mut self.taps);
        self.taps.iter_mut().for_each(JointTap::end);
        // The thread is behind sometimes.
        if self.random.u8(0..4) > 0 {
            self.catch_up();
        }
    }

    fn catch_up(&mut self) {
        while let Ok(note) = self.notes.try_recv() {
            self.worker.take(note);
        }
    }

    fn state(&mut self) -> Vec<u8> {
        self.catch_up();
        let mut bytes = Vec::new();
        self.worker.together().write_state(&mut bytes).unwrap();
        bytes
    }
}

fn noise(random: &mut fastrand::Rng) -> f32 {
    (0..12).map(|_| random.f32()).sum::<f32>() - 6.0
}

/// Distances of all series in one round; the first series of the first group goes against the others
/// for a while. Each is missing now and then.
fn round(seq: u64) -> Vec<Option<f32>> {
    let mut random = fastrand::Rng::with_seed(seq);
    let mut all = Vec::new();
    for group in 0..2 {
        let load = 1.4 * (seq as f32 * 0.05 + group as f32).sin();
        for i in 0..SERIES {
            let own = 0.2 * noise(&mut random);
            let against = group == 0 && i == 0 && (1200..1230).contains(&seq);
            let z = if against { own - load } else { own + load };
            all.push((random.u8(..) > 4).then_some(z));
        }
    }
    all
}

fn run(house: &mut House, seqs: std::ops::RangeInclusive<u64>, replayed: bool) {
    for seq in seqs {
        let round = round(seq);
        house.record(seq, replayed, |i| round[i]);
    }
}

/// After a restart shards know their newest samples.
fn remember(house: &mut House, seq: u64) {
    for (i, series) in house.all.iter_mut().enumerate() {
        series.3 = NOW_MS + seq as i64 * STEP_MS + i as i64;
    }
}

#[test]
fn what_is_found_does_not_depend_on_shards_nor_on_restarts() {
    let mut one = House::new(1, 8, None);
    run(&mut one, 1..=1500, false);
    let expected = one.state();
    assert_eq!(one.metrics.groups.joint_began(), 1, "the fault was seen");
    assert_eq!(one.joined.now().len(), 2);

    // Each of the first group moves with the other five of it, and with none of the second; from the
    // first fit on, not before.
    let series = |one: &House, i: usize| fingerprint(&one.all[i].0);
    let keys =
        |one: &House, i: usize, seq: i64| one.kin.keys(series(one, i), NOW_MS + seq * STEP_MS);
    let first = keys(&one, 0, 1100);
    assert_eq!(first.len(), SERIES - 1);
    assert!(keys(&one, 0, 150).is_empty());
    for i in 1..2 * SERIES {
        let common = keys(&one, i, 1100)
            .into_iter()
            .filter(|k| first.contains(k));
        assert_eq!(common.count(), usize::from(i < SERIES), "series {i}");
    }

    let mut seven = House::new(7, 8, None);
    run(&mut seven, 1..=1500, false);
    assert!(seven.state() == expected, "with seven shards");

    // Ended at some records, at one of them in the middle of the anomaly; the newest records are read
    // from the log again, of which groups have some already.
    let disk = InMemory::new();
    let mut began = 0;
    let mut from = 1;
    for (shards, to) in [(3, 700), (1, 1205), (7, 1210), (2, 1500)] {
        let mut house = House::new(shards, 8, Some(disk.kept()));
        if from > 1 {
            let had = house.worker.together().seq();
            assert_eq!(had, from - 1);
            remember(&mut house, from - 40);
            let again = to.min(from + 5);
            run(&mut house, from - 39..=again, true);
            run(&mut house, again + 1..=to, false);
        } else {
            run(&mut house, from..=to, false);
        }
        house.catch_up();
        began += house.metrics.groups.joint_began();
        if to == 700 {
            // It ended in order, the others were killed.
            let state = house.state();
            disk.clone()
                .replace(&mut |to| to.write_all(&state))
                .unwrap();
        }
        from = to + 1;
        if to == 1500 {
            assert!(house.state() == expected, "with restarts");
            assert_eq!(keys(&house, 0, 1100), first);
        }
    }
    assert!(began >= 1);
}

#[test]
fn an_anomaly_of_a_group_has_one_record_with_its_series() {
    let mut together = Together::new(
        &spec(8),
        Arc::new(Joined::default()),
        Arc::default(),
        Arc::new(Metrics::new()),
    );
    let disk = InMemory::new();
    let mut house = House::new(1, 8, Some(disk.kept()));
    run(&mut house, 1..=1300, false);
    house.catch_up();
    let mut updates: Vec<Record> = Vec::new();
    for entry in &disk.0.lock().unwrap().entries {
        let entry = postcard::from_bytes(&entry[1..]).unwrap();
        for update in together.again(&entry) {
            let Update::Put(record) = update else {
                panic!("forgotten");
            };
            updates.push(*record);
        }
    }
    let (first, last) = (&updates[0], updates.last().unwrap());
    assert!(updates.iter().all(|r| r.id == first.id));
    assert_eq!(&*first.labels, canonical("m0", "one"));
    assert_eq!(first.state, RecordState::Active);
    assert_eq!(first.reason, crate::score::board::Reason::Joint);
    assert_eq!(last.state, RecordState::Resolved);
    let seconds = (last.end_ms.unwrap() - first.id.start_ms) / 1000;
    assert!((15 * 5..15 * 45).contains(&seconds), "{seconds} s");
    assert!(last.peak.deviation >= 1.0 && last.peak.score >= 0.7);
}

#[test]
fn there_are_no_more_groups_and_members_than_there_may_be_and_places_come_back() {
    let mut house = House::new(2, 1, None);
    run(&mut house, 1..=3, false);
    house.catch_up();
    let placed = |house: &House| {
        let at = |s: &Standing| matches!(s, Standing::Asked(seat) if matches!(seat.read(), Answer::At(_)));
        house.all.iter().map(|s| at(&s.2)).collect::<Vec<_>>()
    };
    let first = placed(&house);
    assert_eq!(first.iter().filter(|p| **p).count(), SERIES);
    assert!(first[..SERIES].iter().all(|p| *p), "in the order of labels");
    // Nobody of the first group speaks for hours; those of the other one ask in each.
    for seq in 4..1500 {
        house.record(seq, false, |i| (i >= SERIES).then_some(0.1));
    }
    house.catch_up();
    let then = placed(&house);
    assert!(then[SERIES..].iter().all(|p| *p) && !then[..SERIES].iter().any(|p| *p));

    // No more than fit into a group.
    let mut house = House::new(1, 1, None);
    for i in 0..MEMBERS_MAX {
        house.add(&canonical(&format!("more{i}"), "one"));
    }
    let all = house.all.len();
    house.record(1, false, |i| {
        (!(SERIES..2 * SERIES).contains(&i)).then_some(0.0)
    });
    house.record(2, false, |_| None);
    house.catch_up();
    house.record(3, false, |_| Some(0.0));
    house.catch_up();
    assert!(all - SERIES > MEMBERS_MAX);
    assert_eq!(placed(&house).iter().filter(|p| **p).count(), MEMBERS_MAX);
}
