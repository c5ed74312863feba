//! Killed at any moment, with any part of a checkpoint written, on any number of shards: the same.

use std::io::Write as _;
use std::path::Path;

use saimon::engine::state;
use saimon::telemetry::Outcome;

use crate::process::{Disk, Process};
use crate::stream::Stream;

const STEPS: i64 = 170;

fn send(process: &mut Process, round: &[crate::stream::Sent]) {
    for sent in round {
        let status = process.post(sent.headers, &sent.body, sent.now_ms);
        assert_eq!(status, if sent.early { 400 } else { 204 });
    }
}

/// What a crash in the middle of a write leaves behind.
fn tear(log: &Path, rng: &mut fastrand::Rng) {
    let mut names: Vec<_> = std::fs::read_dir(log)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    if let Some(last) = names.last() {
        let mut file = std::fs::File::options().append(true).open(last).unwrap();
        let mut torn = vec![0; rng.usize(1..300)];
        rng.fill(&mut torn);
        file.write_all(&torn).unwrap();
    }
}

fn the_same(seed: u64, shards: &[usize]) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("wal");
    let mut whole = Process::start(1, &Disk::default(), None);
    let mut disk = Disk::default();
    let mut broken = Process::start(shards[0], &disk, Some(&log));
    let mut stream = Stream::new(seed, STEPS);
    let (mut kills, mut replayed, mut taken, mut scored) = (0, 0, 0, 0);
    for step in 0..STEPS {
        let round = stream.round();
        send(&mut whole, &round);
        let cut = rng.usize(0..=round.len());
        send(&mut broken, &round[..cut]);
        match rng.u8(0..12) {
            0 => drop(broken.checkpoint(&mut disk, &mut rng, 1.0)),
            1 | 2 => drop(broken.checkpoint(&mut disk, &mut rng, 0.4)),
            3 => {
                broken.kill();
                kills += 1;
                if rng.bool() {
                    tear(&log, &mut rng);
                }
                broken = Process::start(shards[kills % shards.len()], &disk, Some(&log));
                replayed += broken.replayed.records;
                assert_eq!((broken.replayed.broken, broken.replayed.missing), (0, 0));
                let metrics = &broken.metrics;
                assert_eq!(
                    metrics.ingest_v1.get(Outcome::Accepted),
                    0,
                    "not received again"
                );
                taken += metrics.recovery.samples.get();
            }
            _ => {}
        }
        send(&mut broken, &round[cut..]);
        // What is shown after a restart is what had a sample since.
        let (a, b) = (whole.shown(), broken.shown());
        for (series, score) in &b {
            assert_eq!(a.get(series), Some(score), "{series} at step {step}");
        }
        scored += b.len();
    }
    assert!(
        kills > 3 && replayed > 50 && taken > 500,
        "{kills} {replayed} {taken}"
    );
    assert!(scored > 2000, "{scored}");
    let (a, b) = (whole.held(&Disk::default()), broken.held(&disk));
    assert_eq!(
        a.keys().collect::<Vec<_>>(),
        b.keys().collect::<Vec<_>>(),
        "series have the same places"
    );
    for (id, (state, newest_ms, chunks)) in &a {
        if *state != b[id].0 {
            let members = |state: &[u8]| state::decode(state).unwrap();
            for (a, b) in members(state).iter().zip(members(&b[id].0)) {
                assert_eq!(format!("{a:?}"), format!("{b:?}"), "{id:?}");
            }
            panic!("{id:?} differs in what cannot be seen");
        }
        assert_eq!((newest_ms, chunks), (&b[id].1, &b[id].2), "{id:?}");
    }
    let finished: usize = a.values().map(|g| g.2.len()).sum();
    assert!(finished > 20, "{finished}");
    whole.kill();
    broken.kill();
}

#[test]
fn one_shard_killed_again_and_again_is_one_that_never_was() {
    for seed in 1..4 {
        the_same(seed, &[1]);
    }
}

#[test]
fn so_are_three_shards() {
    for seed in 10..13 {
        the_same(seed, &[3]);
    }
}

#[test]
fn so_is_another_number_of_shards_after_each_restart() {
    for seed in 20..24 {
        the_same(seed, &[1, 3, 2, 7]);
    }
}
