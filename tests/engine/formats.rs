//! State of groups as earlier versions wrote it: every series is known, its window is exact, and it
//! still waits for its history if it did. What a model knew may be lost with a version, no sample may.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use saimon::engine::keep::{GroupId, GroupSnapshot};
use saimon::series::labels;
use saimon::telemetry::Outcome;
use saimon::window::chunk;
use saimon::window::encoding::Encoding;

use crate::driver::Driver;
use crate::histograms::{detect, native, parts, scrape};
use crate::history::Nothing;
use crate::running::Running;

const STEP_MS: i64 = 15_000;
/// Rounds in a fixture: all are in open chunks.
const ROUNDS: i64 = 25;
const SERIES: usize = 11;

fn series() -> Vec<Vec<u8>> {
    let one = |name: &str| labels::encode([("__name__", name), ("job", "node")]);
    ["load", "jobs_total", "build_info"].map(one).into()
}

fn own() -> Vec<u8> {
    labels::encode([("__name__", "rpc_seconds"), ("job", "web")])
}

/// The floats of a round, in the order of [`series`] and then of a histogram's parts.
fn floats<'a>(singles: &'a [Vec<u8>], parts: &'a [Vec<u8>], i: i64) -> Vec<(&'a [u8], i64, f64)> {
    let values = [
        ((i * 7919) % 13) as f64 / 7.0,
        (i * 100 + i % 3) as f64,
        1.0,
    ];
    let singles = singles.iter().zip(values);
    let mut all: Vec<_> = singles
        .map(|(labels, v)| (&labels[..], i * STEP_MS, v))
        .collect();
    all.extend(scrape(parts, i));
    all
}

/// One line a group: partition, number, newest sample, state in hexadecimal.
fn read(fixture: &str) -> Vec<GroupSnapshot> {
    let group = |line: &str| {
        let fields: Vec<_> = line.split(' ').collect();
        let byte = |i: usize| u8::from_str_radix(&fields[3][i..i + 2], 16).unwrap();
        GroupSnapshot {
            id: GroupId {
                partition: fields[0].parse().unwrap(),
                number: fields[1].parse().unwrap(),
            },
            state: (0..fields[3].len()).step_by(2).map(byte).collect(),
            chunks: [].into(),
            appendices: Vec::new(),
            newest_ms: fields[2].parse().unwrap(),
            kept_for: Vec::new(),
            asleep: 0,
            sleepers: Vec::new(),
        }
    };
    fixture.lines().map(group).collect()
}

fn is_read(fixture: &str, version: u8, waits: bool) {
    let groups = read(fixture);
    assert!(groups.iter().all(|g| g.state[0] == version));
    let (singles, parts, own) = (series(), parts("http_seconds", 0), own());
    for shards in [1, 3] {
        let past = Arc::new(Nothing);
        let running = Running::restored(shards, &detect(), 100, Some(past), &groups);
        assert_eq!(running.phase("history") > 0, waits);
        let windows = running.floats("{}");
        assert_eq!(windows.len(), SERIES);
        for (at, (labels, ..)) in floats(&singles, &parts, 0).into_iter().enumerate() {
            let text = labels::display(labels);
            let (_, found) = windows.iter().find(|(t, _)| *t == text).unwrap();
            let sent = |i: i64| {
                let (_, t, v) = floats(&singles, &parts, i)[at];
                (t, v.to_bits())
            };
            let found: Vec<_> = found.iter().map(|(t, v)| (*t, v.to_bits())).collect();
            assert_eq!(found, (0..ROUNDS).map(sent).collect::<Vec<_>>(), "{text}");
        }
        drop(running);

        let mut d = Driver::restored(shards, &detect(), 100, &groups);
        let natives = d.chunks("rpc_seconds");
        let samples = |(_, chunks): &(String, Vec<_>)| -> u16 {
            let chunks: &Vec<saimon::engine::keep::ClosedChunk> = chunks;
            assert!(chunks.iter().all(|c| c.encoding != Encoding::Xor));
            chunks.iter().map(|c| c.samples).sum()
        };
        assert_eq!(samples(&natives[0]), ROUNDS as u16);
        // The newest again, then one more: each is known, and goes on.
        let t = (ROUNDS - 1) * STEP_MS;
        d.request(
            &floats(&singles, &parts, ROUNDS - 1),
            &[],
            &[(&own, &native(ROUNDS - 1))],
            t,
        );
        assert_eq!(d.outcome(Outcome::Duplicate), 10);
        let next = floats(&singles, &parts, ROUNDS);
        d.request(&next, &[], &[(&own, &native(ROUNDS))], t + STEP_MS);
        let load = d.chunks("load");
        let all: usize = load[0]
            .1
            .iter()
            .map(|c| chunk::decode(&c.bytes).unwrap().len())
            .sum();
        assert_eq!(all as i64, ROUNDS + 1);
        // Written again it is of today.
        let again = d.snapshots();
        let today = again.iter().filter_map(|g| g.state.first()).max();
        assert!(today >= Some(&3), "{today:?}");
        let d = Driver::restored(2, &detect(), 100, &again);
        assert_eq!(d.shards.iter().map(|s| s.len()).sum::<usize>(), SERIES + 1);
    }
}

#[test]
fn version_2_is_read() {
    is_read(include_str!("../fixtures/group-v2.txt"), 2, false);
}

#[test]
fn version_3_is_read() {
    is_read(include_str!("../fixtures/group-v3.txt"), 3, true);
}

/// Run with `--ignored` before the version is raised: it writes the fixture of the one that is.
#[test]
#[ignore = "writes a fixture"]
fn write_state() {
    let (singles, parts, own) = (series(), parts("http_seconds", 0), own());
    let running = Running::new(1, &detect(), 100, Some(Arc::new(Nothing)));
    for i in 0..ROUNDS {
        let floats = floats(&singles, &parts, i);
        running.request(&floats, &[(&own, &native(i))], i * STEP_MS);
    }
    let mut text = String::new();
    let groups = running.checkpoint();
    for g in groups.iter().filter(|g| !g.state.is_empty()) {
        write!(text, "{} {} {} ", g.id.partition, g.id.number, g.newest_ms).unwrap();
        g.state
            .iter()
            .for_each(|b| write!(text, "{b:02x}").unwrap());
        text.push('\n');
    }
    let name = format!("tests/fixtures/group-v{}.txt", groups[0].state[0]);
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::write(file, text).unwrap();
}
