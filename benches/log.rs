//! What the write-ahead log costs: appending bodies of 70 KB (2,000 samples each, as Prometheus
//! sends them), against the same bytes into sled, and reading them back.
//!
//! Bodies are random bytes, because compressed ones look like that. Time is wall time of the
//! appending thread; what the kernel writes later is not in it, for neither side. At most 512 bodies
//! are kept at a time, as a checkpoint would see to it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use saimon::store::log::Log;
use saimon::store::log::files::Dir;
use saimon::store::log::options::{Options, SyncMode};

const BODY: usize = 70_000;
const BODY_SAMPLES: u64 = 2_000;
const KEPT: u64 = 512;
/// Bodies of the log that is read back: 280 MB.
const REPLAYED: u64 = 4_000;

fn body() -> Vec<u8> {
    let mut body = vec![0; BODY];
    fastrand::Rng::with_seed(1).fill(&mut body);
    body
}

fn log(dir: &std::path::Path, sync: SyncMode) -> Log {
    let options = Options {
        sync,
        salt: 1,
        ..Options::default()
    };
    let files = Dir::open(&dir.join("log")).expect("a folder");
    Log::open(Box::new(files), options, Arc::default())
        .expect("a log")
        .0
}

fn append(c: &mut Criterion) {
    let body = body();
    let mut group = c.benchmark_group("append a body of 2,000 samples");
    group
        .throughput(Throughput::Elements(BODY_SAMPLES))
        .sample_size(20)
        .measurement_time(Duration::from_secs(5));
    for (name, sync) in [
        ("log, no syncs", SyncMode::Never),
        ("log, synced every second", SyncMode::Interval),
    ] {
        let temp = tempfile::tempdir().expect("a temporary directory");
        let log = log(temp.path(), sync);
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                let mut spent = Duration::ZERO;
                for n in 0..times {
                    let began = Instant::now();
                    black_box(log.append(1, &[b"head", &body]).expect("appended"));
                    spent += began.elapsed();
                    if n % KEPT == KEPT - 1 {
                        log.drop_through(log.last_seq()).expect("dropped");
                    }
                }
                spent
            });
        });
    }
    let temp = tempfile::tempdir().expect("a temporary directory");
    let db = sled::Config::new()
        .path(temp.path().join("sled"))
        .flush_every_ms(Some(1000))
        .cache_capacity(8 << 20)
        .open()
        .expect("sled");
    let mut at = 0u64;
    group.bench_function("sled, flushed every second", |b| {
        b.iter_custom(|times| {
            let mut spent = Duration::ZERO;
            for _ in 0..times {
                let began = Instant::now();
                at += 1;
                black_box(
                    db.insert(at.to_be_bytes(), body.as_slice())
                        .expect("inserted"),
                );
                spent += began.elapsed();
                if at > KEPT {
                    db.remove((at - KEPT).to_be_bytes()).expect("removed");
                }
            }
            spent
        });
    });
    group.finish();
}

fn replay(c: &mut Criterion) {
    let body = body();
    let temp = tempfile::tempdir().expect("a temporary directory");
    let writing = log(temp.path(), SyncMode::Never);
    for _ in 0..REPLAYED {
        writing.append(1, &[&body]).expect("appended");
    }
    drop(writing);
    let log = log(temp.path(), SyncMode::Never);
    let mut group = c.benchmark_group("replay");
    group
        .throughput(Throughput::Bytes(REPLAYED * BODY as u64))
        .sample_size(10);
    group.bench_function("280 MB in the page cache", |b| {
        b.iter(|| {
            let replayed = log
                .replay(
                    0,
                    |_, _, payload| {
                        black_box(payload);
                    },
                    |_, _| (),
                )
                .expect("read");
            assert_eq!(replayed.records, REPLAYED);
        });
    });
    group.finish();
}

criterion_group!(benches, append, replay);
criterion_main!(benches);
