//! Targets that restart are found by their counters, whatever the number of shards, once, and after a
//! restart of our own too.

use std::sync::Arc;

use saimon::config::DetectConfig;
use saimon::maintenance::changes::{Change, Kind};
use saimon::maintenance::{Maintenance, watch};
use saimon::series::labels;

use crate::running::Running;
use crate::windows::Given;

const STEP_MS: i64 = 15_000;
/// The scrape in which target `a` began anew.
const RESTART: i64 = 20;
const END: i64 = 24;

/// Ten counters and a gauge of each of three targets. All of `a` begin anew at once, three of `b`, and
/// those of `c` one after the other.
fn samples() -> Vec<(Vec<u8>, i64, f64)> {
    let mut all = Vec::new();
    for i in 0..END {
        for instance in ["a", "b", "c"] {
            for n in 0..11 {
                let name = match n {
                    10 => "queue".to_owned(),
                    n => format!("things_{n}_total"),
                };
                let began = match (instance, n) {
                    ("a", _) => RESTART,
                    ("b", 0..3) => RESTART,
                    ("c", n) => RESTART - 11 + n,
                    _ => 0,
                };
                let since = if i >= began { began } else { 0 };
                // The first has counted nothing yet.
                let value = if n == 0 && instance == "a" {
                    0
                } else {
                    7 * (i - since) + 1
                };
                let series = [
                    ("__name__", &*name),
                    ("instance", instance),
                    ("job", "shop"),
                ];
                all.push((labels::encode(series), i * STEP_MS, value as f64));
            }
        }
    }
    all
}

fn looked(running: &Running, maintenance: &Maintenance, now_ms: i64) -> usize {
    let reader = running.reader();
    let changes = &maintenance.changes;
    let look = watch::look(&reader, changes, now_ms, 60_000);
    running.runtime.block_on(look).unwrap()
}

fn restart_of_a() -> Change {
    Change {
        kind: Kind::Restart,
        job: "shop".to_owned(),
        instance: Some("a".to_owned()),
        t_ms: RESTART * STEP_MS,
        until_ms: RESTART * STEP_MS + 60_000,
        author: None,
        comment: None,
    }
}

#[test]
fn a_target_whose_counters_began_anew_restarted() {
    let all = samples();
    let now_ms = END * STEP_MS;
    for shards in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let maintenance = Maintenance::open(folder.path(), 0).unwrap();
        let past = Arc::new(Given::default());
        let detect = DetectConfig::default();
        let running = Running::new(shards, &detect, 1000, Some(past.clone()));
        let send = |from: i64, to: i64| {
            let some = all
                .iter()
                .filter(|(_, t, _)| (from * STEP_MS..to * STEP_MS).contains(t));
            let some: Vec<_> = some.map(|(l, t, v)| (&l[..], *t, *v)).collect();
            running.send(&some, (to - 1) * STEP_MS);
        };
        send(0, RESTART);
        assert_eq!(looked(&running, &maintenance, (RESTART - 1) * STEP_MS), 0);
        send(RESTART, RESTART + 1);
        assert_eq!(looked(&running, &maintenance, RESTART * STEP_MS), 1);
        send(RESTART + 1, END);
        // Nothing is seen twice, and the others are given up.
        assert_eq!(looked(&running, &maintenance, now_ms), 0);
        assert_eq!(looked(&running, &maintenance, now_ms + 60_000), 0);
        assert_eq!(maintenance.changes.list(), [restart_of_a()]);
        assert!(running.reader().resets().due(now_ms).is_empty());

        // A process that has the windows, and of which nothing was noted, finds the same.
        let groups = running.checkpoint();
        past.take(&groups);
        drop(running);
        let again = Running::restored(2, &detect, 1000, Some(past), &groups);
        assert_eq!(looked(&again, &maintenance, now_ms), 0);
        let begin = |running: &Running| {
            let reader = running.reader();
            running
                .runtime
                .block_on(watch::begin(&reader, now_ms))
                .unwrap();
        };
        begin(&again);
        assert_eq!(looked(&again, &maintenance, now_ms), 0, "it is known");
        let other = tempfile::tempdir().unwrap();
        let fresh = Maintenance::open(other.path(), 0).unwrap();
        begin(&again);
        assert_eq!(looked(&again, &fresh, now_ms), 1);
        assert_eq!(fresh.changes.list(), [restart_of_a()]);
    }
}
