//! What a checkpoint costs: `cargo bench --bench store [-- SERIES]`, 20,000 series by default.
//!
//! Writes the way `serve` does: the real writer, one shard, groups of 128 series with 1 KiB of state
//! each and chunks of 120 samples, all bytes random, so that nothing compresses by accident. Time is
//! CPU time of the whole process (user and system, from `/proc/self/stat`) beside wall time; disk is
//! the sum of all files of the store. A main of its own, because what is measured is a sequence on
//! one growing store and not the repetition of one call.

use std::path::Path;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use saimon::clock::ManualClock;
use saimon::config::StoreConfig;
use saimon::engine::keep::{
    ClosedChunk, Cut, GROUP_SERIES, GroupId, GroupSnapshot, Kept, PARTITIONS,
};
use saimon::engine::router::Router;
use saimon::engine::shard::Message;
use saimon::store::Store;
use saimon::store::writer::{self, KEPT_MAX, WriterHandle, WriterParts};
use saimon::telemetry::Metrics;

/// Bytes of state of one series.
const STATE: usize = 1024;
/// Samples of one chunk, 15 s apart.
const SAMPLES: u16 = 120;
/// Bytes of one chunk: 3 a sample, as XOR needs on real series.
const CHUNK: usize = 360;
const CHUNK_MS: i64 = SAMPLES as i64 * 15_000;
const START: i64 = 1_700_000_000_000;
/// Checkpoints per figure.
const ROUNDS: i64 = 48;

/// What the shard hands over at the next checkpoint.
#[derive(Clone, Copy)]
struct Order {
    groups: usize,
    state: usize,
    chunk: bool,
    at_ms: i64,
}

fn main() {
    let series = std::env::args()
        .skip(1)
        .find_map(|a| a.parse::<usize>().ok())
        .unwrap_or(20_000);
    let groups = series.div_ceil(GROUP_SERIES);
    let series = (groups * GROUP_SERIES) as f64;
    println!("{series} series in {groups} groups, {ROUNDS} checkpoints a figure");

    println!("\nstates of {STATE} bytes a series, no chunks");
    let order = Order {
        groups,
        state: STATE * GROUP_SERIES,
        chunk: false,
        at_ms: START,
    };
    let run = measure(order);
    println!(
        "  cpu {:.2} us, wall {:.2} us a series and checkpoint",
        run.cpu_us / series,
        run.wall_us / series
    );
    println!("  disk {:.0} bytes a series", run.disk / series);
    println!("  opened in {:?}, loaded in {:?}", run.open, run.load);

    println!("\nchunks of {SAMPLES} samples and {CHUNK} bytes, states of 16 bytes a group");
    let order = Order {
        state: 16,
        chunk: true,
        ..order
    };
    let run = measure(order);
    let samples = series * f64::from(SAMPLES);
    println!(
        "  cpu {:.4} us, wall {:.4} us a sample",
        run.cpu_us / samples,
        run.wall_us / samples
    );
    println!(
        "  disk {:.2} bytes a sample, {:.2} of them the chunk's",
        run.disk / samples / ROUNDS as f64,
        CHUNK as f64 / f64::from(SAMPLES)
    );
    println!("  opened in {:?}, loaded in {:?}", run.open, run.load);
}

struct Run {
    /// Of one checkpoint.
    cpu_us: f64,
    wall_us: f64,
    disk: f64,
    open: Duration,
    load: Duration,
}

fn measure(order: Order) -> Run {
    let temp = tempfile::tempdir().expect("a temporary directory");
    let dir = temp.path().join("store");
    let metrics = Arc::new(Metrics::new());
    let config = StoreConfig {
        checkpoint: Duration::from_secs(3600),
        ..StoreConfig::default()
    };
    let store = Store::open(&dir, &config, &metrics, START)
        .expect("a fresh store")
        .store;
    let orders = Arc::new(Mutex::new(None));
    let writer = start(store, &config, &metrics, &orders);
    let (cpu, wall) = (cpu_us(), Instant::now());
    let mut longest = Duration::ZERO;
    for round in 0..ROUNDS {
        let at_ms = START + round * CHUNK_MS;
        *orders.lock().expect("no panic") = Some(Order { at_ms, ..order });
        let began = Instant::now();
        assert!(writer.checkpoint_now(), "the disk takes it");
        longest = longest.max(began.elapsed());
    }
    let rounds = ROUNDS as f64;
    let cpu_us = (cpu_us() - cpu) / rounds;
    let wall_us = wall.elapsed().as_secs_f64() * 1e6 / rounds;
    writer.stop().expect("it stops");
    let disk = bytes(&dir) as f64;
    println!(
        "  longest checkpoint {longest:?}, handed over {} MiB in all",
        metrics.store_bytes_written.get() >> 20
    );

    let began = Instant::now();
    let store = Store::open(&dir, &config, &metrics, START)
        .expect("the store it wrote")
        .store;
    let open = began.elapsed();
    let began = Instant::now();
    let loaded = store.groups(|_, _, _| {});
    assert_eq!(loaded.groups, order.groups as u64);
    Run {
        cpu_us,
        wall_us,
        disk,
        open,
        load: began.elapsed(),
    }
}

fn start(
    store: Store,
    config: &StoreConfig,
    metrics: &Arc<Metrics>,
    orders: &Arc<Mutex<Option<Order>>>,
) -> WriterHandle {
    let (sender, mut messages) = tokio::sync::mpsc::channel(4);
    let (kept, received) = mpsc::sync_channel(KEPT_MAX);
    let orders = Arc::clone(orders);
    std::thread::spawn(move || {
        let mut noise = vec![0; STATE * GROUP_SERIES * 2];
        fastrand::Rng::with_seed(1).fill(&mut noise);
        while let Some(message) = messages.blocking_recv() {
            if let Some(order) = orders.lock().expect("no panic").take() {
                for partition in 0..PARTITIONS.min(order.groups) {
                    let groups = (partition..order.groups).step_by(PARTITIONS);
                    let cut = Cut {
                        partition: partition as u8,
                        seq: 1,
                        groups: groups.map(|n| group(n, order, &noise)).collect(),
                        whole: false,
                    };
                    kept.send(Kept::Cut(cut)).expect("the writer listens");
                }
            }
            let stopped = matches!(message, Message::Stop);
            kept.send(Kept::Done {
                shard: 0,
                complete: true,
                stopped,
            })
            .expect("the writer listens");
            if stopped {
                break;
            }
        }
    });
    let clock = Arc::new(ManualClock::at(START));
    writer::spawn(WriterParts {
        store,
        config: config.clone(),
        router: Router::new(vec![sender]),
        log: None,
        kept: received,
        clock,
        metrics: Arc::clone(metrics),
    })
    .expect("a thread")
}

fn group(n: usize, order: Order, noise: &[u8]) -> GroupSnapshot {
    let at = n * 7919 % (noise.len() / 2);
    let chunk = |position: usize| ClosedChunk {
        position: position as u16,
        first_ms: order.at_ms + position as i64,
        last_ms: order.at_ms + CHUNK_MS - 15_000 + position as i64,
        samples: SAMPLES,
        encoding: saimon::window::encoding::Encoding::Xor,
        bytes: noise[at + position * CHUNK..][..CHUNK].to_vec(),
    };
    GroupSnapshot {
        id: GroupId {
            partition: (n % PARTITIONS) as u8,
            number: (n / PARTITIONS) as u32,
        },
        state: noise[at..][..order.state].to_vec(),
        chunks: match order.chunk {
            true => (0..GROUP_SERIES).map(chunk).collect(),
            false => [].into(),
        },
        newest_ms: order.at_ms + CHUNK_MS,
    }
}

/// CPU time of this process so far.
fn cpu_us() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let after_name = stat.rsplit(')').next().unwrap_or_default();
    let ticks: f64 = after_name
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|t| t.parse::<f64>().ok())
        .sum();
    // A tick is 10 ms on every Linux this runs on.
    ticks * 10_000.0
}

fn bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir)
        .expect("the store")
        .map(|entry| {
            let entry = entry.expect("an entry");
            let found = entry.metadata().expect("its size");
            if found.is_dir() {
                bytes(&entry.path())
            } else {
                found.len()
            }
        })
        .sum()
}
