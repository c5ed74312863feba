//! Forests of the series of an engine: the same scores whoever grows them and whatever restarts in
//! between, and no more of them than there is memory for.

use std::collections::BTreeMap;

use bytesize::ByteSize;
use saimon::config::{DetectConfig, ForestConfig, ForestUse, RuleConfig};
use saimon::engine::keep::{Appendix, GroupId, GroupSnapshot};
use saimon::engine::models::{ForestState, Wish};
use saimon::engine::rules::Rules;
use saimon::model::SeriesSpec;

use super::driver::Driver;
use super::running::Running;
use super::{STEP_MS, round, series};

/// Early fits, and many: samples are days apart in the time of `day`.
fn detect() -> DetectConfig {
    DetectConfig {
        warmup: 30,
        young: 100,
        day: std::time::Duration::from_secs(3600),
        forest: ForestConfig {
            min_points: 40,
            rows: 100,
            gate: 0.0,
            ..ForestConfig::default()
        },
        ..DetectConfig::default()
    }
}

/// What a store would have of the groups.
#[derive(Default)]
struct Disk {
    groups: BTreeMap<GroupId, GroupSnapshot>,
    /// Bytes of states and of appendices, since ever.
    states: usize,
    appendices: usize,
}

impl Disk {
    fn take(&mut self, groups: Vec<GroupSnapshot>) {
        for mut group in groups {
            self.states += group.state.len();
            let before = self.groups.remove(&group.id).map(|g| g.appendices);
            let given = std::mem::take(&mut group.appendices);
            self.appendices += given.iter().map(|a| a.bytes.len()).sum::<usize>();
            let of = |a: &Appendix| (a.position, a.part);
            let old = before.unwrap_or_default().into_iter();
            let kept = old.filter(|a| !given.iter().any(|g| of(g) == of(a)));
            group.appendices = kept.chain(given.iter().cloned()).collect();
            group.appendices.retain(|a| !a.bytes.is_empty());
            self.groups.insert(group.id, group);
        }
    }

    fn groups(&self) -> Vec<GroupSnapshot> {
        self.groups.values().cloned().collect()
    }
}

/// Restarts come at all sorts of moments, some between the order of a fit and its effect.
#[test]
fn a_restart_changes_no_score_of_a_forest_nor_does_another_number_of_shards() {
    let all: Vec<_> = (0..40).map(series).collect();
    let mut straight = Driver::new(1, &detect(), 1000);
    let mut broken = Driver::new(7, &detect(), 1000);
    let mut disk = Disk::default();
    for i in 0..700 {
        let restart = [45, 50, 90, 95, 262, 300, 511].contains(&i);
        if restart || i % 23 == 0 {
            disk.take(broken.snapshots());
        }
        if restart {
            let shards = if i % 2 == 0 { 3 } else { 7 };
            broken = Driver::restored(shards, &detect(), 1000, &disk.groups());
        }
        let round = round(&all, i);
        straight.send(&round, i * STEP_MS);
        broken.send(&round, i * STEP_MS);
        if i % 10 == 0 {
            let there = straight.shown();
            for (text, score) in broken.shown() {
                assert_eq!(there.get(&text), Some(&score), "{text} at step {i}");
            }
        }
    }
    assert_eq!(straight.shown(), broken.shown());
    let trained = straight.metrics.models_trained.get();
    assert!(trained >= 40 * 4, "{trained}");
    assert_eq!(straight.metrics.training_failed.get(), 0);
}

/// Without forests the same samples have other scores: the test above has something to see.
#[test]
fn forests_are_heard() {
    let all: Vec<_> = (0..6).map(series).collect();
    let mut without = detect();
    without.forest.memory = ByteSize(0);
    let mut drivers = [detect(), without].map(|detect| Driver::new(1, &detect, 1000));
    for i in 0..300 {
        for driver in &mut drivers {
            driver.send(&round(&all, i), i * STEP_MS);
        }
    }
    assert_ne!(drivers[0].shown(), drivers[1].shown());
    assert_eq!(drivers[1].metrics.models_trained.get(), 0);
}

#[test]
fn it_does_not_matter_whether_trainers_or_shards_grow_them() {
    let all: Vec<_> = (0..40).map(series).collect();
    let mut alone = Driver::new(2, &detect(), 1000);
    let helped = Running::new(
        3,
        &detect(),
        1000,
        Some(std::sync::Arc::new(super::history::Nothing)),
    );
    for i in 0..400 {
        let round = round(&all, i);
        alone.send(&round, i * STEP_MS);
        helped.send(&round, i * STEP_MS);
    }
    // When it is handed over, everything before it was taken.
    helped.checkpoint();
    let board = std::sync::Arc::clone(&helped.engine().board);
    assert_eq!(alone.shown(), super::driver::shown(&board));
    let trained = helped.metrics.models_trained.get();
    assert_eq!(alone.metrics.models_trained.get(), trained);
}

/// Rows that hardly change are not written again with every checkpoint.
#[test]
fn rows_are_written_when_they_have_changed() {
    let all: Vec<_> = (0..20).map(series).collect();
    let mut detect = detect();
    detect.forest.rows = 1024;
    detect.forest.schedule = "0 0 1 1 *".to_owned();
    let mut driver = Driver::new(1, &detect, 1000);
    let mut disk = Disk::default();
    let mut at_full = 0;
    for i in 0..3_000 {
        driver.send(&round(&all, i), i * STEP_MS);
        if i % 20 == 19 {
            disk.take(driver.snapshots());
        }
        if i == 1_999 {
            (at_full, disk.states) = (disk.appendices, 0);
        }
    }
    // 50 checkpoints of 20 series with 22 KiB of rows, of which four in ten change on the way.
    let written = disk.appendices - at_full;
    assert!(written > 0 && written < 20 * 8 * 24 * 1024, "{written}");
    let a_state = disk.states / (50 * 20);
    assert!(a_state < 6 * 1024, "{a_state}");
}

#[test]
fn there_are_no_more_forests_than_there_is_memory_for() {
    let all: Vec<_> = (0..10).map(series).collect();
    let mut detect = detect();
    let one = SeriesSpec::default().forest.bytes();
    detect.forest.rows = 1024;
    detect.forest.memory = ByteSize(3 * one as u64);
    detect.rules = vec![RuleConfig {
        selector: "{instance=\"host-9:9100\"}".to_owned(),
        forest: Some(ForestUse::Always),
        ..RuleConfig::default()
    }];
    let rules = Rules::try_from(&detect).unwrap();
    assert_eq!(rules.forests_max(), 3);
    let mut driver = Driver::new(1, &detect, 1000);
    let has = |driver: &Driver| -> Vec<usize> {
        let has = |i: &usize| {
            let track = driver.shards[0].track(&all[*i]).unwrap();
            track.judge().forest().is_some()
        };
        (0..10).filter(has).collect()
    };
    for i in 0..20 {
        driver.send(&round(&all, i), i * STEP_MS);
    }
    assert_eq!(has(&driver), [0, 1, 2]);
    // One that a rule names takes the place of one that asks least, when that is known.
    for i in 20..40 {
        driver.shards[0].tick(i * STEP_MS);
        driver.send(&round(&all, i), i * STEP_MS);
    }
    let now = has(&driver);
    assert!(now.len() == 3 && now.contains(&9), "{now:?}");
    driver.shards[0].tick(41 * STEP_MS);
    assert_eq!(driver.metrics.forests.get(), 3);
    assert_eq!(driver.metrics.forests_limit.get(), 3);
    // It is the same after a restart, and one that ends leaves its place.
    let groups = driver.snapshots();
    let again = Driver::restored(2, &detect, 1000, &groups);
    let seated = |d: &Driver| d.shards.iter().map(|s| s.forests_seated()).max().unwrap();
    assert_eq!(seated(&again), 3);
}

#[test]
fn a_fit_comes_when_it_is_asked_for_and_an_earlier_one_comes_back() {
    let labels = series(0);
    let running = Running::new(
        2,
        &detect(),
        1000,
        Some(std::sync::Arc::new(super::history::Nothing)),
    );
    let send = |from: i64, to: i64| {
        for i in from..to {
            let value = f64::from(fastrand::Rng::with_seed(i as u64).u8(..));
            running.send(&[(&labels[..], i * STEP_MS, value)], i * STEP_MS);
        }
    };
    let order = |wish| running.order(&labels, wish).unwrap();
    assert_eq!(running.order(&labels, Wish::Tell), None);
    send(1, 11);
    assert_eq!(
        order(Wish::Tell).unwrap().forest,
        ForestState::Gathering { rows: 10 }
    );
    order(Wish::Train).unwrap();
    send(11, 30);
    let status = order(Wish::Tell).unwrap();
    assert_eq!(status.forest, ForestState::Version(1));
    assert_eq!(status.versions, [(1, 11 * STEP_MS)]);
    order(Wish::Train).unwrap();
    send(30, 60);
    assert_eq!(order(Wish::Tell).unwrap().forest, ForestState::Version(2));
    assert_eq!(
        order(Wish::GoBack(1)).unwrap().forest,
        ForestState::Version(1)
    );
    send(60, 200);
    assert_eq!(order(Wish::Tell).unwrap().forest, ForestState::Version(1));
    assert!(order(Wish::GoBack(9)).is_err());
}
