//! What is said of memory is what is taken: sums of parts against what was asked of the allocator.

#![allow(
    unsafe_code,
    reason = "an allocator that counts cannot be written without"
)]

#[path = "support/driver.rs"]
#[allow(dead_code, reason = "each test binary uses a part of it")]
mod driver;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use driver::Driver;
use saimon::config::DetectConfig;
use saimon::series::labels;

/// Counts what is held.
struct Counting;

static HELD: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        HELD.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const SERIES: usize = 8_000;
const SAMPLES: i64 = 150;
/// The stated error of the sum: what is counted only roughly (lists, capacities that grew) ...
const ERROR: f64 = 0.05;

fn series(i: usize) -> Vec<u8> {
    let instance = format!("node-{:05}.prod.example:9100", i / 50);
    let name = match i % 10 {
        // Windows without a model, and parts of histograms.
        0 => format!("thing_{}_info", i % 50),
        _ => format!("node_metric_{}_ratio", i % 50),
    };
    let device = format!("dev{}", i % 8);
    labels::encode([
        ("__name__", name.as_str()),
        ("cluster", "prod-eu-1"),
        ("device", device.as_str()),
        ("env", "production"),
        ("instance", instance.as_str()),
        ("job", "node-exporter"),
        ("region", "eu-central-1"),
        ("team", "platform"),
        ("zone", "eu-central-1b"),
    ])
}

#[test]
fn the_parts_add_up_to_what_the_allocator_gave() {
    let mut all: Vec<_> = (0..SERIES).map(series).collect();
    for i in 0..20 {
        let instance = format!("web-{i}:80");
        for le in ["0.1", "0.5", "1", "5", "+Inf"] {
            all.push(labels::encode([
                ("__name__", "http_seconds_bucket"),
                ("instance", &*instance),
                ("le", le),
            ]));
        }
        for name in ["http_seconds_sum", "http_seconds_count"] {
            all.push(labels::encode([
                ("__name__", name),
                ("instance", &*instance),
            ]));
        }
    }
    let mut rng = fastrand::Rng::with_seed(7);
    let before = HELD.load(Ordering::Relaxed);
    let mut driver = Driver::new(2, &DetectConfig::default(), 100_000);
    for i in 0..SAMPLES {
        let t = i * 15_000;
        let samples: Vec<_> = all
            .iter()
            .map(|l| (&l[..], t, (rng.f64() * 1000.0).round() / 10.0))
            .collect();
        for some in samples.chunks(2000) {
            driver.send(some, t);
        }
    }
    let taken = (HELD.load(Ordering::Relaxed) - before) as f64;
    let memory: Vec<_> = driver.shards.iter().map(|s| s.memory()).collect();
    let mut parts = [0; 7];
    for m in &memory {
        for (sum, part) in parts.iter_mut().zip(m.parts()) {
            *sum += part;
        }
    }
    let counted: usize = parts.iter().sum();
    let each = |bytes: usize| bytes / SERIES;
    println!(
        "{} B a series counted, {} B taken: {:?}",
        each(counted),
        each(taken as usize),
        parts.map(each)
    );
    let error = (counted as f64 / taken - 1.0).abs();
    assert!(error < ERROR, "{counted} counted, {taken} taken: {parts:?}");
    // What the metrics say is the same, after a round of looking.
    for shard in &mut driver.shards {
        for _ in 0..32 {
            shard.tick(SAMPLES * 15_000);
        }
    }
    let shown = driver.metrics.memory.total() as f64;
    assert!(
        (shown / counted as f64 - 1.0).abs() < 0.01,
        "{shown} shown, {counted} counted"
    );
}
