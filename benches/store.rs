//! What a checkpoint costs: `cargo bench --bench store [-- SERIES]`, 20,000 series by default.
//!
//! Writes the way `serve` does: the real writer, one shard, groups of 128 series with 1 KiB of state
//! each and chunks of 120 samples. Figures with random bytes are those of the store alone: nothing
//! compresses by accident. Those of the generator's world are what a sample takes and costs with its
//! chunk's decimal form, on the millisecond and up to 3 ms late. Time is
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
use saimon::generate::world::{Shape, World};
use saimon::store::Store;
use saimon::store::writer::{self, KEPT_MAX, WriterHandle, WriterParts};
use saimon::telemetry::Metrics;
use saimon::window::chunk::{self, ChunkAppender};
use saimon::window::rollup::{self, Builder};

/// Bytes of state of one series.
const STATE: usize = 1024;
/// Samples of one chunk, 15 s apart.
const SAMPLES: u16 = 120;
/// Bytes of one chunk: 3 a sample, as XOR needs on real series.
const CHUNK: usize = 360;
const CHUNK_MS: i64 = SAMPLES as i64 * 15_000;
const START: i64 = 1_700_000_000_000;
/// Three hours.
const ROLLED_CHUNKS: usize = 6;
/// Checkpoints per figure.
const ROUNDS: i64 = 48;

/// What the shard hands over at the next checkpoint.
#[derive(Clone)]
struct Order {
    groups: usize,
    state: usize,
    chunks: Chunks,
    round: i64,
}

#[derive(Clone)]
enum Chunks {
    None,
    Noise,
    /// By series of a small world, then by round.
    World(Arc<Vec<Vec<Vec<u8>>>>),
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
        chunks: Chunks::None,
        round: 0,
    };
    let run = measure(&order);
    println!(
        "  cpu {:.2} us, wall {:.2} us a series and checkpoint",
        run.cpu_us / series,
        run.wall_us / series
    );
    println!("  disk {:.0} bytes a series", run.disk / series);
    println!("  opened in {:?}, loaded in {:?}", run.open, run.load);

    println!("\nchunks of {SAMPLES} samples and {CHUNK} bytes, states of 16 bytes a group");
    let samples = series * f64::from(SAMPLES);
    let mut order = Order {
        state: 16,
        chunks: Chunks::Noise,
        ..order
    };
    show(&measure(&order), samples, CHUNK as f64 / f64::from(SAMPLES));

    for late_ms in [0, 3] {
        println!("\nchunks of {SAMPLES} samples of the generator's world, up to {late_ms} ms late");
        let chunks = world(late_ms);
        let each: Vec<usize> = chunks.iter().flatten().map(Vec::len).collect();
        let xor = each.iter().sum::<usize>() as f64 / each.len() as f64 / f64::from(SAMPLES);
        println!("  as rollups {:.2} bytes a row", rollups(&chunks));
        order.chunks = Chunks::World(Arc::new(chunks));
        show(&measure(&order), samples, xor);
    }
}

/// `samples` of one checkpoint, each of `handed` bytes.
fn show(run: &Run, samples: f64, handed: f64) {
    println!(
        "  cpu {:.4} us, wall {:.4} us a sample",
        run.cpu_us / samples,
        run.wall_us / samples
    );
    println!(
        "  disk {:.2} bytes a sample, handed over as {handed:.2}",
        run.disk / samples / ROUNDS as f64,
    );
    println!("  opened in {:?}, loaded in {:?}", run.open, run.load);
}

/// Bytes of a row of five minutes, of those that leave retention together.
fn rollups(chunks: &[Vec<Vec<u8>>]) -> f64 {
    let (mut bytes, mut rows) = (0, 0);
    for chunks in chunks
        .iter()
        .flat_map(|series| series.chunks(ROLLED_CHUNKS))
    {
        let mut builder = Builder::new();
        let mut of = Vec::new();
        for chunk in chunks {
            for (t, v) in chunk::decode(chunk).expect("a chunk") {
                of.extend(builder.take(t, v));
            }
        }
        of.extend(builder.finish());
        bytes += rollup::encode(&of).len();
        rows += of.len();
    }
    bytes as f64 / f64::from(rows as u32)
}

/// The chunks of every series of a small world, one a round.
fn world(late_ms: i64) -> Vec<Vec<Vec<u8>>> {
    let mut world = World::new(7, &Shape::default());
    let mut rng = fastrand::Rng::with_seed(3);
    let mut chunks = vec![Vec::new(); world.len()];
    for round in 0..ROUNDS {
        let mut open: Vec<_> = (0..world.len()).map(|_| ChunkAppender::new()).collect();
        for i in 0..i64::from(SAMPLES) {
            let t = START + round * CHUNK_MS + i * 15_000;
            let late = rng.i64(0..=late_ms);
            world.at(t, |s| {
                open[s.id].append(t + late, s.value);
            });
        }
        for (chunks, mut open) in chunks.iter_mut().zip(open) {
            chunks.push(open.finish());
        }
    }
    chunks
}

struct Run {
    /// Of one checkpoint.
    cpu_us: f64,
    wall_us: f64,
    disk: f64,
    open: Duration,
    load: Duration,
}

fn measure(order: &Order) -> Run {
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
        *orders.lock().expect("no panic") = Some(Order {
            round,
            ..order.clone()
        });
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
                        groups: groups.map(|n| group(n, &order, &noise)).collect(),
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

fn group(n: usize, order: &Order, noise: &[u8]) -> GroupSnapshot {
    let at = n * 7919 % (noise.len() / 2);
    let at_ms = START + order.round * CHUNK_MS;
    let bytes = |position: usize| match &order.chunks {
        Chunks::None => None,
        Chunks::Noise => Some(noise[at + position * CHUNK..][..CHUNK].to_vec()),
        Chunks::World(chunks) => {
            let series = (n * 31 + position) % chunks.len();
            Some(chunks[series][order.round as usize].clone())
        }
    };
    let chunk = |position: usize| {
        Some(ClosedChunk {
            position: position as u16,
            first_ms: at_ms,
            last_ms: at_ms + CHUNK_MS - 15_000,
            samples: SAMPLES,
            encoding: saimon::window::encoding::Encoding::Xor,
            bytes: bytes(position)?,
        })
    };
    GroupSnapshot {
        id: GroupId {
            partition: (n % PARTITIONS) as u8,
            number: (n / PARTITIONS) as u32,
        },
        state: noise[at..][..order.state].to_vec(),
        appendices: Vec::new(),
        chunks: (0..GROUP_SERIES).filter_map(chunk).collect(),
        newest_ms: at_ms + CHUNK_MS,
        kept_for: Vec::new(),
        asleep: 0,
        sleepers: Vec::new(),
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
