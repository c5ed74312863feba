//! What shards hand to those who send scores on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use saimon::clock::ManualClock;
use saimon::engine::keep::{Kept, PARTITIONS};
use saimon::engine::pool::{EngineSpec, Pool};
use saimon::engine::rules::Rules;
use saimon::engine::shard::Message;
use saimon::engine::tap::{Outlet, TapSpec, Wants, rows};
use saimon::series::labels;
use saimon::telemetry::Metrics;
use saimon::wire::write::STALE_NAN_BITS;

use crate::driver::{Driver, batches};
use crate::histograms::{detect, parts, scrape};
use crate::{STEP_MS, series};

/// Labels to times, each with the bits of its score; none at an end.
type Rows = BTreeMap<String, Vec<(i64, Option<u32>)>>;

fn spec(wants: Wants) -> TapSpec {
    TapSpec {
        wants,
        have: Box::new([0; PARTITIONS]),
    }
}

fn tapped(
    shards: usize,
    groups: &[saimon::engine::keep::GroupSnapshot],
    wants: Wants,
) -> (Driver, Outlet) {
    let mut outlet = None;
    let driver = Driver::made(shards, &detect(), 1000, groups, 0, |pool| {
        outlet = Some(pool.tap(&spec(wants)));
    });
    (driver, outlet.unwrap())
}

fn taken(outlet: &Outlet, into: &mut Rows) {
    while let Some(some) = outlet.next(Duration::ZERO).unwrap() {
        for row in rows(&some.bytes) {
            let row = row.unwrap();
            let of = into.entry(labels::display(row.labels)).or_default();
            of.push((row.t_ms, row.score.map(f32::to_bits)));
        }
        outlet.done(some);
    }
}

fn value(n: usize, i: i64) -> f64 {
    ((i * 7919 + n as i64 * 31) % 101) as f64
}

/// Gauges and a histogram; of a series the end, of another silence.
fn played(shards: usize) -> Rows {
    let (mut driver, outlet) = tapped(shards, &[], Wants::default());
    let all: Vec<_> = (0..5).map(series).collect();
    let parts = parts("rpc_seconds", 1);
    let mut got = Rows::new();
    for i in 0..60 {
        let mut samples = scrape(&parts, i);
        for (n, labels) in all.iter().enumerate() {
            match (n, i) {
                (1, 40) => samples.push((labels, i * STEP_MS, f64::from_bits(STALE_NAN_BITS))),
                (1, 41..) | (2, 30..) => {}
                _ => samples.push((labels, i * STEP_MS, value(n, i))),
            }
        }
        driver.send(&samples, i * STEP_MS);
        // What the board shows is what was handed over last.
        taken(&outlet, &mut got);
        if i == 50 {
            let shown = driver.shown();
            assert_eq!(shown.len(), 5 + 3, "{shown:?}");
            for n in [0, 2, 3, 4] {
                let last = got[&labels::display(&series(n))].last().unwrap().1;
                let of = format!("instance=\"host-{n}:9100\"");
                let (_, (bits, _)) = shown.iter().find(|(l, _)| l.contains(&of)).unwrap();
                assert_eq!(last, Some(*bits));
            }
        }
    }
    // A day later by the clock, everybody has fallen silent.
    for _ in 0..40 {
        for shard in &mut driver.shards {
            shard.tick(86_400_000);
        }
        taken(&outlet, &mut got);
    }
    got
}

#[test]
fn every_score_and_every_end_is_handed_over_once_whatever_the_shards() {
    let one = played(1);
    assert_eq!(played(7), one);
    assert_eq!(one.len(), 5 + 4);
    let times = |n: usize| -> (Vec<i64>, Vec<i64>) {
        let all = &one[&labels::display(&series(n))];
        let (scores, ends): (Vec<_>, Vec<_>) = all.iter().partition(|(_, score)| score.is_some());
        let times = |of: Vec<(i64, Option<u32>)>| of.into_iter().map(|(t, _)| t).collect();
        (times(scores), times(ends))
    };
    let steps = |to: i64| (20..to).map(|i| i * STEP_MS).collect::<Vec<_>>();
    assert_eq!(times(0), (steps(60), vec![59 * STEP_MS + 1]));
    assert_eq!(times(1), (steps(40), vec![40 * STEP_MS]));
    assert_eq!(times(2), (steps(30), vec![29 * STEP_MS + 1]));
    for (labels, all) in &one {
        assert!(all.is_sorted_by(|a, b| a.0 < b.0), "{labels}: {all:?}");
        let ends = all.iter().filter(|(_, score)| score.is_none()).count();
        assert_eq!(ends, 1, "{labels}");
    }
}

#[test]
fn a_restored_series_that_ends_with_its_first_sample_is_said_to_have_ended() {
    let (mut driver, _) = tapped(2, &[], Wants::default());
    let labels = series(0);
    for i in 0..30 {
        driver.one(&labels, i * STEP_MS, value(0, i));
    }
    let groups = driver.snapshots();
    let (mut driver, outlet) = tapped(3, &groups, Wants::default());
    let stale = f64::from_bits(STALE_NAN_BITS);
    driver.one(&labels, 30 * STEP_MS, stale);
    driver.one(&labels, 31 * STEP_MS, stale);
    let mut got = Rows::new();
    taken(&outlet, &mut got);
    assert_eq!(got[&labels::display(&labels)], [(30 * STEP_MS, None)]);
}

#[test]
fn the_rest_is_there_if_asked_for_and_agrees_with_the_score() {
    let wants = Wants {
        extra: true,
        band: true,
    };
    let (mut driver, outlet) = tapped(1, &[], wants);
    let labels = series(0);
    let (mut outside, mut inside) = (0, 0);
    for i in 0..120 {
        let spike = if i > 60 && i % 20 == 10 { 1e4 } else { 0.0 };
        let value = value(0, i) + spike;
        driver.one(&labels, i * STEP_MS, value);
        while let Some(some) = outlet.next(Duration::ZERO).unwrap() {
            for row in rows(&some.bytes) {
                let row = row.unwrap();
                let (extra, (lower, upper)) = (row.extra.unwrap(), row.bounds.unwrap());
                let over = row.score.unwrap() >= 0.7;
                assert_eq!(over, extra.deviation >= 1.0);
                assert_eq!(over, !(lower <= value && value <= upper), "at {i}");
                assert!(extra.rarity >= 0.0 && extra.expected.is_finite());
                outside += u32::from(over);
                inside += u32::from(!over);
            }
            outlet.done(some);
        }
    }
    assert!(outside > 2 && inside > 40, "{outside} {inside}");
}

/// Or a crash could lose the scores of samples that the store has.
#[test]
fn a_partition_is_handed_to_the_store_only_when_its_rows_are_dealt_with() {
    let metrics = Arc::new(Metrics::new());
    let engine = EngineSpec {
        shards: 1,
        series_max: 100,
        queue_max: 100,
        families_max: 10,
        forget_ms: 86_400_000,
        keeps: true,
        wants_history: false,
    };
    let mut pool = Pool::new(&engine, Rules::try_from(&detect()).unwrap(), &metrics);
    let outlet = pool.tap(&spec(Wants::default()));
    let (to, kept) = sync_channel(100);
    let clock = Arc::new(ManualClock::at(0));
    let engine = pool.start(Some(&to), &(clock as _)).unwrap();
    let labels = series(0);
    for i in 0..22 {
        let samples = [(&labels[..], i * STEP_MS, value(0, i))];
        for batch in batches(1, &samples, &[], &[], 0) {
            engine.senders[0]
                .blocking_send(Message::Batch(batch))
                .unwrap();
        }
    }
    let order = Message::Checkpoint {
        seq: 0,
        wholes: None,
    };
    engine.senders[0].blocking_send(order).unwrap();
    let first = outlet.next(Duration::from_secs(60)).unwrap().unwrap();
    let second = outlet.next(Duration::from_secs(60)).unwrap().unwrap();
    let early = kept.recv_timeout(Duration::from_millis(300));
    assert!(early.is_err(), "{early:?}");
    outlet.done(first);
    let early = kept.recv_timeout(Duration::from_millis(100));
    assert!(early.is_err(), "{early:?}");
    outlet.done(second);
    let cut = kept.recv_timeout(Duration::from_secs(60)).unwrap();
    assert!(matches!(cut, Kept::Cut(_) | Kept::Families(_)), "{cut:?}");
    engine.senders[0].blocking_send(Message::Stop).unwrap();
    drop(kept);
    engine.join();
}
