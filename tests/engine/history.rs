//! Histories: a series warmed is the series that it would be if all had come live.

use std::sync::Arc;

use saimon::engine::history::{Given, History};
use saimon::engine::keep::{ClosedChunk, GroupId, GroupSnapshot, PastChunks};
use saimon::series::labels;
use saimon::window::encoding::Encoding;
use saimon::wire::histogram::NativeHistogram;

use crate::driver::Driver;
use crate::histograms::{detect, native, parts, scrape};
use crate::running::Running;

const STEP_MS: i64 = 15_000;
/// Where live samples begin.
const LIVE: i64 = 700;
const END: i64 = 1000;

#[derive(Debug)]
pub(crate) struct Nothing;

impl PastChunks for Nothing {
    fn chunks(&self, _: GroupId, _: &[u16], _: i64, _: i64) -> Result<Vec<ClosedChunk>, String> {
        Ok(Vec::new())
    }
}

fn start() -> Running {
    Running::new(2, &detect(), 1000, Some(Arc::new(Nothing)))
}

fn gauge(i: i64) -> f64 {
    (i as f64 / 96.0).sin() * 20.0 + ((i * 7919) % 13) as f64
}

fn load() -> Vec<u8> {
    labels::encode([("__name__", "load"), ("job", "node")])
}

fn own() -> Vec<u8> {
    labels::encode([("__name__", "rpc_seconds"), ("job", "web")])
}

/// One round of everything: a gauge, an info, a classic and a native histogram.
fn send(running: &Running, parts: &[Vec<u8>], i: i64) {
    let (load, own) = (load(), own());
    let info = labels::encode([("__name__", "build_info"), ("job", "web")]);
    let mut now = scrape(parts, i);
    now.push((&load, i * STEP_MS, gauge(i)));
    now.push((&info, i * STEP_MS, 1.0));
    running.request(&now, &[(&own, &native(i))], i * STEP_MS);
}

/// The history of one series up to step `to`, as its source has it.
fn history(labels_of: &[u8], to: i64) -> History {
    let parts = parts("http_seconds", 0);
    let mut history = History {
        labels: labels_of.into(),
        ..History::default()
    };
    for i in 0..to {
        let name = labels::get(labels_of, "__name__").unwrap();
        match name {
            "load" => history.floats.push((i * STEP_MS, gauge(i))),
            "build_info" => history.floats.push((i * STEP_MS, 1.0)),
            "rpc_seconds" => history.histograms.push(native(i)),
            _ => {
                let at = parts.iter().position(|p| p == labels_of).unwrap();
                history.floats.push((i * STEP_MS, scrape(&parts, i)[at].2));
            }
        }
    }
    history
}

/// Tells everything that waits for its history that there is none.
fn waits_no_more(running: &Running) {
    let historian = running.engine().historian();
    let units = running.runtime.block_on(historian.wanting(10)).unwrap();
    for unit in units {
        let given = historian.give(unit, Vec::new());
        running.runtime.block_on(given).unwrap();
    }
    assert_eq!(running.phase("history"), 0);
}

fn states(groups: &[GroupSnapshot]) -> Vec<(GroupId, Vec<u8>)> {
    groups.iter().map(|g| (g.id, g.state.clone())).collect()
}

fn chunks(groups: &[GroupSnapshot]) -> Vec<ClosedChunk> {
    let mut all: Vec<_> = groups.iter().flat_map(|g| g.chunks.to_vec()).collect();
    // Those of a series that was warmed say what was said before that.
    all.retain(|c| c.encoding != Encoding::Anchor);
    all.sort_by(|a, b| (a.position, a.first_ms, &a.bytes).cmp(&(b.position, b.first_ms, &b.bytes)));
    all
}

#[test]
fn a_series_warmed_by_its_history_is_the_one_that_had_it_live() {
    let parts = parts("http_seconds", 0);
    let whole = start();
    for i in 0..END {
        send(&whole, &parts, i);
    }
    let warmed = start();
    let historian = warmed.engine().historian();
    let wanting = |limit| warmed.runtime.block_on(historian.wanting(limit)).unwrap();
    send(&warmed, &parts, LIVE);
    assert!(wanting(10).is_empty(), "their relatives may still come");
    for i in LIVE + 1..LIVE + 150 {
        send(&warmed, &parts, i);
    }
    // A gauge, an info, seven parts, and the statistics of two histograms that have begun.
    let waiting = warmed.phase("history");
    let units = wanting(10);
    assert_eq!(units.iter().map(|u| u.members.len()).sum::<usize>(), 10);
    assert_eq!(units.len(), 4, "a gauge, an info, two histograms");
    assert!(wanting(10).is_empty(), "each is given out once");
    assert!(waiting >= 10, "{waiting}");
    for (n, unit) in units.into_iter().enumerate() {
        // The source is ahead of what arrived here, and behind what arrives meanwhile.
        let all = unit.members.iter().map(|m| history(m, LIVE + 20)).collect();
        let members = unit.members.len() as u64;
        send(&warmed, &parts, LIVE + 150 + n as i64);
        let given = warmed.runtime.block_on(historian.give(unit, all)).unwrap();
        let samples = members * LIVE as u64;
        assert_eq!(given, Given::Warmed { samples });
    }
    assert_eq!(warmed.phase("history"), 0);
    for i in LIVE + 154..END {
        send(&warmed, &parts, i);
    }
    waits_no_more(&whole);
    let (a, b) = (whole.checkpoint(), warmed.checkpoint());
    assert_eq!(states(&a), states(&b));
    assert_eq!(chunks(&a), chunks(&b), "and so is the window");
    assert_eq!(warmed.floats("load")[0].1.len(), END as usize);
}

#[test]
fn history_that_does_not_reach_what_left_memory_is_too_late() {
    let running = start();
    let load = load();
    let historian = running.engine().historian();
    let mut gone = Vec::new();
    for i in LIVE..LIVE + 300 {
        running.send(&[(&load, i * STEP_MS, gauge(i))], i * STEP_MS);
        if i % 100 == 99 {
            gone = running.checkpoint();
        }
    }
    drop(gone);
    let now = (LIVE + 300) * STEP_MS;
    running.send(&[(&load, now, 1.0)], now);
    running.checkpoint();
    let give = |to| {
        let history = vec![history(&load, to)];
        running.runtime.block_on(historian.plant(history)).unwrap()
    };
    assert_eq!(give(LIVE), Given::TooLate);
    assert!(matches!(give(LIVE + 290), Given::Warmed { samples } if samples as i64 > LIVE + 180));
    let other = vec![History {
        labels: labels::encode([("__name__", "other")]).into(),
        ..History::default()
    }];
    let units = running.runtime.block_on(historian.wanting(10)).unwrap();
    let unit = units.into_iter().next().unwrap();
    let given = running
        .runtime
        .block_on(historian.give(unit, other))
        .unwrap();
    assert_eq!(given, Given::Gone, "a history of nobody");
    assert_eq!(running.phase("history"), 0);
}

/// A crash between the birth of a series and its history, or between that and the next checkpoint.
#[test]
fn a_series_that_waits_for_its_history_waits_again_after_a_restart() {
    let parts = parts("http_seconds", 0);
    let whole = start();
    for i in 0..LIVE + 160 {
        send(&whole, &parts, i);
    }
    let before = start();
    for i in LIVE..LIVE + 150 {
        send(&before, &parts, i);
    }
    let groups = before.checkpoint();
    let historian = before.engine().historian();
    let given_out = before.runtime.block_on(historian.wanting(10)).unwrap();
    assert_eq!(given_out.len(), 4);
    drop(before);

    let past: Arc<dyn PastChunks> = Arc::new(Nothing);
    let after = Running::restored(3, &detect(), 1000, Some(past), &groups);
    assert!(after.phase("history") >= 10, "{}", after.phase("history"));
    for i in LIVE + 150..LIVE + 155 {
        send(&after, &parts, i);
    }
    let historian = after.engine().historian();
    let units = after.runtime.block_on(historian.wanting(10)).unwrap();
    let members = |units: &[saimon::engine::history::Unit]| -> usize {
        units.iter().map(|u| u.members.len()).sum()
    };
    assert_eq!(
        (units.len(), members(&units)),
        (4, 10),
        "the same once more"
    );
    for unit in units {
        // The source has by now what was live before the restart.
        let all = unit.members.iter().map(|m| history(m, LIVE + 152));
        let given = historian.give(unit.clone(), all.collect());
        let given = after.runtime.block_on(given).unwrap();
        assert!(matches!(given, Given::Warmed { .. }), "{given:?}");
    }
    assert_eq!(after.phase("history"), 0);
    for i in LIVE + 155..LIVE + 160 {
        send(&after, &parts, i);
    }
    let groups = after.checkpoint();
    let mut again = Running::restored(1, &detect(), 1000, None, &groups);
    assert_eq!(
        again.phase("history"),
        0,
        "it is stored that they wait no more"
    );
    again.clock.set(i64::MAX);
    let historian = again.engine().historian();
    let none = again.runtime.block_on(historian.wanting(10)).unwrap();
    assert!(none.is_empty());
    drop(again.kept.take());
    waits_no_more(&whole);
    let scored = |of: &Running| {
        let judged = |phase| of.phase(phase);
        (
            judged("mature"),
            judged("young"),
            judged("warmup"),
            judged("window"),
        )
    };
    assert_eq!(scored(&after), scored(&whole));
}

#[test]
fn planted_series_are_as_if_they_had_come() {
    let parts = parts("http_seconds", 0);
    let planted = start();
    let historian = planted.engine().historian();
    let mut all: Vec<History> = parts.iter().map(|p| history(p, 400)).collect();
    all.push(history(&load(), 400));
    all.push(history(&own(), 400));
    all.push(History {
        labels: labels::encode([("__name__", "saimon_up")]).into(),
        floats: vec![(0, 1.0)],
        ..History::default()
    });
    let given = planted.runtime.block_on(historian.plant(all)).unwrap();
    assert_eq!(given, Given::Warmed { samples: 9 * 400 });
    let groups = planted.checkpoint();
    let mut d = Driver::restored(3, &detect(), 1000, &groups);
    let h: NativeHistogram = native(400);
    let mut now = scrape(&parts, 400);
    let (load, own) = (load(), own());
    now.push((&load, 400 * STEP_MS, gauge(400)));
    d.request(&now, &[], &[(&own, &h)], 400 * STEP_MS);
    assert_eq!(d.shown().len(), 9, "all are warm");
    assert_eq!(planted.select("{}").len(), 9);
    assert_eq!(planted.floats("load")[0].1.len(), 400);
}

#[test]
fn a_year_of_history_is_handed_over_piece_by_piece() {
    let running = start();
    let historian = running.engine().historian();
    let all: Vec<History> = (0..40)
        .map(|n| History {
            labels: labels::encode([("__name__", "load"), ("instance", format!("{n}").as_str())])
                .into(),
            floats: (0..30_000).map(|i| (i * 60_000, gauge(i))).collect(),
            ..History::default()
        })
        .collect();
    let given = running.runtime.block_on(historian.plant(all)).unwrap();
    assert_eq!(
        given,
        Given::Warmed {
            samples: 40 * 30_000
        }
    );
    let groups = running.checkpoint();
    let chunks: usize = groups.iter().map(|g| g.chunks.len()).sum();
    assert_eq!(chunks, 40 * 250, "none is lost, whatever a group may hold");
    assert_eq!(running.metrics.chunks_dropped.get(), 0);
}
