//! Shards with their threads, and the other end of what they hand to a store.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};

use saimon::clock::ManualClock;
use saimon::config::DetectConfig;
use saimon::engine::ask::{Found, Reader, WindowChunk};
use saimon::engine::keep::{GroupSnapshot, Kept, PastChunks};
use saimon::engine::models::{ModelStatus, NotDone, Wish};
use saimon::engine::pool::{Engine, EngineSpec, Pool};
use saimon::engine::rules::Rules;
use saimon::engine::shard::Message;
use saimon::series::labels;
use saimon::series::matcher::Selector;
use saimon::telemetry::{Metrics, PhaseLabel, Text};
use saimon::window::chunk;
use saimon::window::encoding::Encoding;
use saimon::wire::histogram::NativeHistogram;

use crate::driver::batches;

pub(crate) struct Running {
    pub(crate) engine: Option<Engine>,
    pub(crate) kept: Option<Receiver<Kept>>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) runtime: tokio::runtime::Runtime,
    past: Option<Arc<dyn PastChunks>>,
}

impl Running {
    /// With a store if there is a `past`, whose groups [`Running::checkpoint`] or a writer takes.
    pub(crate) fn new(
        shards: usize,
        detect: &DetectConfig,
        series_max: u32,
        past: Option<Arc<dyn PastChunks>>,
    ) -> Self {
        Self::restored(shards, detect, series_max, past, &[])
    }

    /// The same with what a store gave back.
    pub(crate) fn restored(
        shards: usize,
        detect: &DetectConfig,
        series_max: u32,
        past: Option<Arc<dyn PastChunks>>,
        groups: &[GroupSnapshot],
    ) -> Self {
        Self::made(shards, detect, series_max, past, groups, |_| {})
    }

    /// The same with a pool that is told more.
    pub(crate) fn made(
        shards: usize,
        detect: &DetectConfig,
        series_max: u32,
        past: Option<Arc<dyn PastChunks>>,
        groups: &[GroupSnapshot],
        tell: impl FnOnce(&mut Pool),
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let spec = EngineSpec {
            shards,
            series_max,
            queue_max: 64,
            families_max: 100,
            forget_ms: 7 * 86_400_000,
            keeps: past.is_some(),
            wants_history: true,
        };
        let mut pool = Pool::new(&spec, Rules::try_from(detect).unwrap(), &metrics);
        tell(&mut pool);
        for group in groups {
            let now_ms = group.newest_ms;
            pool.appendices(group.id, group.appendices.clone());
            pool.restore(group.id, &group.state, group.newest_ms, now_ms)
                .unwrap();
        }
        let clock = Arc::new(ManualClock::at(0));
        let (sender, kept) = sync_channel(1000);
        let engine = pool
            .start(
                past.is_some().then_some(&sender),
                &(Arc::clone(&clock) as _),
            )
            .unwrap();
        Self {
            engine: Some(engine),
            kept: Some(kept),
            metrics,
            clock,
            runtime: tokio::runtime::Runtime::new().unwrap(),
            past,
        }
    }

    pub(crate) fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    pub(crate) fn send(&self, samples: &[(&[u8], i64, f64)], now_ms: i64) {
        self.request(samples, &[], now_ms);
    }

    pub(crate) fn request(
        &self,
        samples: &[(&[u8], i64, f64)],
        natives: &[(&[u8], &NativeHistogram)],
        now_ms: i64,
    ) {
        self.clock.set(now_ms);
        let senders = &self.engine().senders;
        for (sender, batch) in
            senders
                .iter()
                .zip(batches(senders.len(), samples, &[], natives, now_ms))
        {
            sender.blocking_send(Message::Batch(batch)).unwrap();
        }
    }

    /// Orders a checkpoint and takes it in.
    pub(crate) fn checkpoint(&self) -> Vec<GroupSnapshot> {
        let senders = &self.engine().senders;
        for sender in senders {
            let order = Message::Checkpoint {
                seq: 0,
                wholes: None,
            };
            sender.blocking_send(order).unwrap();
        }
        let mut groups = Vec::new();
        let mut done = 0;
        while done < senders.len() {
            match self.kept.as_ref().unwrap().recv().unwrap() {
                Kept::Cut(cut) => groups.extend(cut.groups),
                Kept::Families(_) => {}
                Kept::Done { .. } => done += 1,
            }
        }
        groups.sort_by_key(|g| g.id);
        groups
    }

    pub(crate) fn reader(&self) -> Reader {
        self.engine().reader(self.past.clone())
    }

    /// Has something done with the model of a series, or is told of it.
    pub(crate) fn order(&self, labels: &[u8], wish: Wish) -> Option<Result<ModelStatus, NotDone>> {
        let router = &self.engine().router;
        let wait = std::time::Duration::from_secs(60);
        let done = router.model(labels, wish, wait);
        self.runtime.block_on(done).unwrap()
    }

    pub(crate) fn select(&self, selector: &str) -> Vec<Found> {
        self.select_in(selector, i64::MIN, i64::MAX)
    }

    pub(crate) fn select_in(&self, selector: &str, from_ms: i64, to_ms: i64) -> Vec<Found> {
        let selector = Arc::new(Selector::parse(selector).unwrap());
        let reader = self.reader();
        let asked = reader.select(selector, from_ms, to_ms, usize::MAX);
        let mut found = self.runtime.block_on(asked).unwrap();
        found.sort_by_key(|f| labels::display(&f.labels));
        found
    }

    /// The windows of these series between two times.
    pub(crate) fn windows_in(&self, of: &[Found], from: i64, to: i64) -> Vec<Vec<WindowChunk>> {
        let reader = self.reader();
        let windows = self.runtime.block_on(reader.windows(of, from, to)).unwrap();
        for chunks in &windows {
            for pair in chunks.windows(2) {
                assert!(pair[0].last_ms < pair[1].first_ms, "chunks overlap");
            }
        }
        windows
    }

    /// All floats of all series that match.
    pub(crate) fn floats(&self, selector: &str) -> Vec<(String, Vec<(i64, f64)>)> {
        let found = self.select(selector);
        let windows = self.windows_in(&found, i64::MIN, i64::MAX);
        let text = found.iter().map(|f| labels::display(&f.labels));
        text.zip(windows)
            .map(|(text, chunks)| {
                let xor = chunks.iter().filter(|c| c.encoding == Encoding::Xor);
                let samples = xor.flat_map(|c| chunk::decode(&c.bytes).unwrap());
                (text, samples.collect())
            })
            .collect()
    }

    /// Series now counted in a phase.
    pub(crate) fn phase(&self, phase: &'static str) -> i64 {
        let phase = PhaseLabel { phase: Text(phase) };
        self.metrics.series.get_or_create(&phase).get()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kept = None;
        if let Some(engine) = self.engine.take() {
            for sender in &engine.senders {
                let _ = sender.blocking_send(Message::Stop);
            }
            engine.join();
        }
    }
}
