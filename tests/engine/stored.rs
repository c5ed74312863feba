//! What a restart brings back, of every sort of series and of earlier versions.

use std::collections::BTreeSet;

use saimon::engine::keep::{GROUP_SERIES, GroupId};
use saimon::engine::router::partition;
use saimon::series::{family, labels};
use saimon::telemetry::Outcome;
use saimon::window::encoding::Encoding;

use crate::driver::Driver;
use crate::histograms::{detect, native, parts, scrape};

const STEP_MS: i64 = 15_000;

fn hex(text: &str) -> Vec<u8> {
    (0..text.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&text[i..i + 2], 16).unwrap())
        .collect()
}

/// What a saimon wrote that knew no histograms, in the partitions of that time: four series of 130
/// samples, and `_sum` and `_count` among them.
#[test]
fn state_of_version_1_is_read_and_its_parts_move_to_where_they_belong() {
    let fixture = include_str!("../fixtures/group-v1.txt");
    let groups: Vec<_> = fixture
        .lines()
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            saimon::engine::keep::GroupSnapshot {
                id: GroupId {
                    partition: fields[0].parse().unwrap(),
                    number: fields[1].parse().unwrap(),
                },
                state: hex(fields[3]),
                chunks: [].into(),
                appendices: Vec::new(),
                newest_ms: fields[2].parse().unwrap(),
                kept_for: Vec::new(),
                asleep: 0,
                sleepers: Vec::new(),
            }
        })
        .collect();
    assert!(groups.iter().all(|g| g.state[0] == 1));
    for shards in [1, 5] {
        let mut d = Driver::restored(shards, &detect(), 100, &groups);
        for group in d.snapshots() {
            // Those that moved are written in their new groups, the old ones without them.
            assert!(group.state.is_empty() || group.newest_ms > 0, "{group:?}");
        }
        let series = |name: &str, job: &str| {
            labels::encode([("__name__", name), ("instance", "a:9100"), ("job", job)])
        };
        let all = [
            series("node_load1", "node"),
            series("http_requests_total", "web"),
            series("http_seconds_sum", "web"),
            series("http_seconds_count", "web"),
        ];
        let t = 130 * STEP_MS;
        let round: Vec<_> = all.iter().map(|l| (&l[..], t, 6500.0)).collect();
        d.send(&round, t);
        assert_eq!(d.shown().len(), 0, "all are learned anew");
        for group in d.snapshots().iter().filter(|g| !g.state.is_empty()) {
            assert_eq!(group.newest_ms, t, "retention counts from here");
        }
        let held: usize = d.shards.iter().map(|s| s.len()).sum();
        assert_eq!(held, 4);
        // Written again, they are in their partitions and in the version of today.
        let t = t + STEP_MS;
        let round: Vec<_> = all.iter().map(|l| (&l[..], t, 6500.0)).collect();
        d.send(&round, t);
        let again = d.snapshots();
        assert!(
            again
                .iter()
                .all(|g| g.state.first().is_none_or(|v| *v == 5))
        );
        let mut d = Driver::restored(2, &detect(), 100, &again);
        d.send(&round, t);
        assert_eq!(d.outcome(Outcome::Duplicate), 4);
    }
}

#[test]
fn a_restart_in_the_middle_of_a_scrape_changes_nothing() {
    let families: Vec<_> = (0..5).map(|n| parts("http_seconds", n)).collect();
    let own = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    let mut whole = Driver::new(2, &detect(), 1000);
    let mut broken = Driver::new(2, &detect(), 1000);
    for i in 0..90 {
        let now: Vec<_> = families.iter().flat_map(|f| scrape(f, i)).collect();
        let h = native(i);
        whole.request(&now, &[], &[(&own, &h)], i * STEP_MS);
        broken.send(&now[..17], i * STEP_MS);
        if i % 30 == 25 {
            let groups = broken.snapshots();
            assert!(broken.snapshots().is_empty());
            let shards = if i == 25 { 2 } else { 7 };
            broken = Driver::restored(shards, &detect(), 1000, &groups);
            assert!(broken.shown().is_empty());
        }
        broken.request(&now[17..], &[], &[(&own, &h)], i * STEP_MS);
        if i == 27 || i == 89 {
            assert_eq!(broken.shown(), whole.shown(), "step {i}");
        }
    }
    assert_eq!(whole.shown().len(), 24);
}

#[test]
fn one_shard_and_eight_write_the_same_state() {
    let families: Vec<_> = (0..12).map(|n| parts("http_seconds", n)).collect();
    let own = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    let mut states = Vec::new();
    for shards in [1, 8] {
        let mut d = Driver::new(shards, &detect(), 1000);
        for i in 0..140 {
            let now: Vec<_> = families.iter().flat_map(|f| scrape(f, i)).collect();
            d.request(&now, &[], &[(&own, &native(i))], i * STEP_MS);
        }
        let mut groups = d.snapshots();
        groups.sort_by_key(|g| g.id);
        states.push(groups);
    }
    assert_eq!(states[0], states[1]);
    let chunks = states[0].iter().flat_map(|g| {
        let samples = g.chunks.iter().filter(|c| c.encoding != Encoding::Anchor);
        samples.map(|c| (g.id, c.position))
    });
    let series: BTreeSet<_> = chunks.collect();
    assert_eq!(series.len(), 12 * 7 + 1, "native ones too");
}

#[test]
fn state_that_is_read_and_written_again_is_the_same() {
    let parts = parts("http_seconds", 0);
    let own = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    let info = labels::encode([("__name__", "build_info"), ("job", "web")]);
    let mut d = Driver::new(1, &detect(), 1000);
    for i in 0..50 {
        let mut now = scrape(&parts, i);
        now.push((&info, i * STEP_MS, 1.0));
        d.request(&now, &[], &[(&own, &native(i))], i * STEP_MS);
    }
    let first = d.snapshots();
    let again = Driver::restored(3, &detect(), 1000, &first);
    let mut again = again;
    for shard in &mut again.shards {
        for (n, id) in shard.groups().into_iter().enumerate() {
            let state = shard.snapshot(n as u32).unwrap().state;
            let same = first.iter().find(|g| g.id == id).unwrap();
            assert_eq!(state, same.state);
        }
    }
}

/// Groups are written one by one; a crash may leave some of a family older than others.
#[test]
fn a_histogram_whose_parts_are_of_another_time_goes_on() {
    let parts = parts("http_seconds", 0);
    let mut d = Driver::new(1, &detect(), 1000);
    for i in 0..30 {
        d.send(&scrape(&parts, i)[5..], i * STEP_MS);
    }
    let mut old = d.snapshots();
    for i in 30..60 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    // Only the sum and the count as they were, with models of their own.
    let mut d = Driver::restored(1, &detect(), 1000, &old);
    for i in 60..110 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    assert_eq!(d.shown().len(), 4);
    // And a histogram without its parts.
    old = d.snapshots();
    let mut d = Driver::restored(1, &detect(), 7, &old);
    for i in 110..115 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    assert!(d.shown().len() <= 4);
}

/// A histogram comes to lie behind its parts, in the next group of its partition; what changes in it
/// must be written all the same.
#[test]
fn a_histogram_in_another_group_than_its_parts_is_written_when_it_changes() {
    let part = |suffix: &str, le: &str| {
        let name = format!("lone{suffix}");
        labels::encode([("__name__", name.as_str()), ("job", "web"), ("le", le)])
    };
    let all = [
        part("_sum", ""),
        part("_count", ""),
        part("_bucket", "+Inf"),
    ];
    let partition_of = |labels: &[u8]| partition(family::home(labels));
    // With these, sum, count and bucket are the last of the first group.
    let fillers: Vec<_> = (0..)
        .map(|n| {
            let n = format!("{n}");
            labels::encode([("__name__", "filler_info"), ("n", n.as_str())])
        })
        .filter(|labels| partition_of(labels) == partition_of(&all[0]))
        .take(GROUP_SERIES - 3)
        .collect();
    let scrape = |i: i64| -> Vec<(&[u8], i64, f64)> {
        let n = (100 * (i + 1) + i * 7 % 5) as f64;
        let row = |(labels, v)| (labels, i * STEP_MS, v);
        all.iter()
            .map(|l| &l[..])
            .zip([n * 0.3, n, n])
            .map(row)
            .collect()
    };
    let mut whole = Driver::new(1, &detect(), 1000);
    let mut broken = Driver::new(1, &detect(), 1000);
    for d in [&mut whole, &mut broken] {
        let round: Vec<_> = fillers.iter().map(|l| (&l[..], 0, 1.0)).collect();
        d.send(&round, 0);
        d.send(&scrape(0)[..2], 0);
        d.send(&scrape(0)[2..], 0);
    }
    let mut stored = std::collections::BTreeMap::new();
    for i in 1..60 {
        whole.send(&scrape(i), i * STEP_MS);
        broken.send(&scrape(i), i * STEP_MS);
        if i % 20 == 19 {
            for group in broken.snapshots() {
                stored.insert(group.id, group);
            }
            let groups: Vec<_> = stored.values().cloned().collect();
            assert_eq!(groups.len(), 2);
            broken = Driver::restored(1, &detect(), 1000, &groups);
        }
    }
    whole.send(&scrape(60), 60 * STEP_MS);
    broken.send(&scrape(60), 60 * STEP_MS);
    assert_eq!(whole.shown(), broken.shown());
    assert!(!whole.shown().is_empty());
}
