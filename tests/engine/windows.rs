//! What readers see: every sample once, wherever it is at the moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use saimon::config::{DetectConfig, StoreConfig};
use saimon::engine::ask::AskError;
use saimon::engine::keep::{ClosedChunk, GroupId, GroupSnapshot, PastChunks};
use saimon::series::labels;
use saimon::series::matcher::Selector;
use saimon::store::Store;
use saimon::store::writer;
use saimon::telemetry::Metrics;
use saimon::window::encoding::Encoding;

use crate::histograms::{native, parts, scrape};
use crate::running::Running;

const STEP_MS: i64 = 15_000;

fn series(n: usize) -> Vec<u8> {
    let instance = format!("host-{n}");
    labels::encode([("__name__", "load"), ("instance", instance.as_str())])
}

/// A store that has what it was given.
#[derive(Debug, Default)]
pub(crate) struct Given(Mutex<BTreeMap<GroupId, Vec<ClosedChunk>>>);

impl Given {
    pub(crate) fn take(&self, groups: &[GroupSnapshot]) {
        let mut all = self.0.lock().unwrap();
        for group in groups {
            let chunks = all.entry(group.id).or_default();
            chunks.extend(group.chunks.iter().cloned());
        }
    }
}

impl PastChunks for Given {
    fn chunks(
        &self,
        id: GroupId,
        positions: &[u16],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<ClosedChunk>, String> {
        let all = self.0.lock().unwrap();
        let chunks = all.get(&id).map_or(&[][..], |c| &c[..]);
        let wanted = |c: &&ClosedChunk| {
            positions.contains(&c.position) && c.first_ms <= to_ms && c.last_ms >= from_ms
        };
        Ok(chunks.iter().filter(wanted).cloned().collect())
    }
}

#[test]
fn every_sample_is_seen_once_in_memory_on_its_way_and_in_the_store() {
    let past = Arc::new(Given::default());
    let running = Running::new(2, &DetectConfig::default(), 1000, Some(past.clone()));
    let all: Vec<_> = (0..20).map(series).collect();
    let mut on_their_way = Vec::new();
    for i in 0..500i64 {
        let round: Vec<_> = all
            .iter()
            .map(|l| (&l[..], i * STEP_MS, i as f64))
            .collect();
        running.send(&round, i * STEP_MS);
        // The store takes each snapshot in, and has it on disk a checkpoint later.
        if i % 70 == 69 {
            past.take(&on_their_way);
            on_their_way = running.checkpoint();
        }
        if i % 50 == 49 || i % 70 == 69 {
            let want: Vec<_> = (0..=i).map(|i| (i * STEP_MS, i as f64)).collect();
            let seen = running.floats("load");
            assert_eq!(seen.len(), 20);
            assert!(seen.iter().all(|(_, samples)| *samples == want), "step {i}");
        }
    }
    // What was let go of is in memory no more, so both halves were needed.
    past.take(&on_their_way);
    drop(on_their_way);
    running.checkpoint();
    past.0.lock().unwrap().clear();
    assert!(running.floats("load")[0].1.len() < 200);
}

#[test]
fn a_range_selects_series_and_chunks() {
    let past = Arc::new(Given::default());
    let running = Running::new(1, &DetectConfig::default(), 1000, Some(past));
    let (early, late) = (series(1), series(2));
    for i in 0..300 {
        running.send(&[(&early, i * STEP_MS, 1.0)], 0);
    }
    for i in 1000..1300 {
        running.send(&[(&late, i * STEP_MS, 1.0)], 0);
    }
    let found = running.select_in("{}", 400 * STEP_MS, 2000 * STEP_MS);
    assert_eq!(found.len(), 1);
    assert_eq!(&*found[0].labels, &late[..]);
    let found = running.select("{instance=~\"host-.*\"}");
    assert_eq!(found.len(), 2);
    let begin = crate::first_chunk(&early);
    let (from, to) = (begin + 10, begin + 20);
    let windows = running.windows_in(&found, from * STEP_MS, to * STEP_MS);
    let spans: Vec<_> = windows[0].iter().map(|c| (c.first_ms, c.last_ms)).collect();
    assert_eq!(spans, [(begin * STEP_MS, (begin + 119) * STEP_MS)]);
    assert!(windows[1].is_empty());
}

#[test]
fn all_sorts_of_series_are_found_by_their_own_names_and_no_derived_ones() {
    let past = Arc::new(Given::default());
    let running = Running::new(3, &DetectConfig::default(), 1000, Some(past));
    let parts = parts("http_seconds", 0);
    let own = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    let info = labels::encode([("__name__", "build_info"), ("version", "1")]);
    for i in 0..200 {
        let mut now = scrape(&parts, i);
        now.push((&info, i * STEP_MS, 1.0));
        running.request(&now, &[(&own, &native(i))], i * STEP_MS);
    }
    let names: Vec<_> = running
        .select("{}")
        .iter()
        .map(|f| labels::get(&f.labels, "__name__").unwrap().to_owned())
        .collect();
    let mut want = vec![
        "build_info",
        "http_seconds_count",
        "http_seconds_sum",
        "rpc_seconds",
    ];
    want.extend(["http_seconds_bucket"; 5]);
    want.sort_unstable();
    let mut names_sorted = names;
    names_sorted.sort_unstable();
    assert_eq!(names_sorted, want);
    let found = running.select("rpc_seconds");
    let window = &running.windows_in(&found, i64::MIN, i64::MAX)[0];
    assert!(window.iter().all(|c| c.encoding == Encoding::Histogram));
    assert_eq!(
        window.iter().map(|c| usize::from(c.samples)).sum::<usize>(),
        200
    );
    assert_eq!(running.select("http_seconds").len(), 0);
    assert_eq!(running.select("{stat!=\"\"}").len(), 0);
}

#[test]
fn too_many_series_and_a_stopped_engine_are_errors_and_an_old_place_is_empty() {
    let mut running = Running::new(2, &DetectConfig::default(), 20_000, None);
    let all: Vec<_> = (0..10_000).map(series).collect();
    let round: Vec<_> = all.iter().map(|l| (&l[..], 0, 1.0)).collect();
    running.send(&round, 0);
    let every = || Arc::new(Selector::parse("{}").unwrap());
    let reader = running.reader();
    let ask = |limit| {
        running
            .runtime
            .block_on(reader.select(every(), 0, 10, limit))
    };
    assert_eq!(ask(9_999), Err(AskError::TooMany { limit: 9_999 }));
    assert_eq!(ask(10_000).unwrap().len(), 10_000);
    let found = running.select("{instance=\"host-7\"}");
    assert_eq!(running.windows_in(&found, 0, 10)[0].len(), 1);
    let day = 86_400_000;
    for sender in &running.engine().senders {
        for _ in 0..20 {
            let message = saimon::engine::shard::Message::Tick { now_ms: 8 * day };
            sender.blocking_send(message).unwrap();
        }
    }
    assert!(
        running.windows_in(&found, 0, 10)[0].is_empty(),
        "it is forgotten"
    );
    let engine = running.engine.take().unwrap();
    for sender in &engine.senders {
        let stop = saimon::engine::shard::Message::Stop;
        sender.blocking_send(stop).unwrap();
    }
    engine.join();
    assert_eq!(ask(1), Err(AskError::Closed));
}

#[test]
fn windows_go_through_a_real_store_and_a_restart_of_its_own() {
    let temp = tempfile::tempdir().unwrap();
    let metrics = Arc::new(Metrics::new());
    let config = StoreConfig {
        checkpoint: std::time::Duration::from_secs(3600),
        ..StoreConfig::default()
    };
    let dir = temp.path().join("store");
    let store = Store::open(&dir, &config, &metrics, 0).unwrap().store;
    let past: Arc<dyn PastChunks> = Arc::new(store.clone());
    let mut running = Running::new(2, &DetectConfig::default(), 1000, Some(past));
    let clock: Arc<dyn saimon::clock::Clock> = running.clock.clone();
    let kept = running.kept.take().unwrap();
    let writer = writer::spawn(writer::WriterParts {
        store,
        config,
        router: running.engine().router.clone(),
        log: None,
        kept,
        clock,
        metrics,
    })
    .unwrap();
    let parts = parts("http_seconds", 0);
    let own = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    for i in 0..400 {
        running.request(&scrape(&parts, i), &[(&own, &native(i))], i * STEP_MS);
        if i % 130 == 129 {
            assert!(writer.checkpoint_now());
        }
    }
    for (name, samples) in running.floats("{le!=\"\"}") {
        let times: Vec<_> = samples.iter().map(|(t, _)| *t).collect();
        let want: Vec<_> = (0..400).map(|i| i * STEP_MS).collect();
        assert_eq!(times, want, "{name}");
    }
    let found = running.select("rpc_seconds");
    let window = &running.windows_in(&found, i64::MIN, i64::MAX)[0];
    assert_eq!(
        window.iter().map(|c| usize::from(c.samples)).sum::<usize>(),
        400
    );
    writer.stop().unwrap();
}
