//! How small decimal chunks are beside XOR, and what they cost: `cargo bench --bench decimal`.
//!
//! Chunks of 120 samples of the generator's world, 15 s apart, on the millisecond and up to 3 ms
//! late; and what was recorded of Prometheus and vmagent, where the recordings are there (series of
//! few samples, so headers weigh more). A main of its own, because sizes are the first figure.

use std::collections::HashMap;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use saimon::generate::world::{Shape, World};
use saimon::window::chunk::{self, ChunkAppender};
use saimon::window::decimal::{self, Encoder};
use saimon::window::head::CHUNK_SAMPLES;
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::{LabelLimits, WriteArena};
use saimon::wire::write_v1;

const STEP_MS: i64 = 15_000;
const START_MS: i64 = 1_700_000_000_000;
/// Two hours.
const STEPS: i64 = 480;
/// Runs over all chunks per timing.
const RUNS: u32 = 5;

type Series = Vec<(i64, f64)>;

fn main() {
    println!(
        "{:<28} {:>8} {:>9} {:>7} {:>8} {:>8} {:>8} | ns/sample {:>6} {:>6} {:>6}",
        "B/sample",
        "samples",
        "per chunk",
        "xor",
        "decimal",
        "mixed",
        "chosen",
        "encode",
        "decode",
        "xor"
    );
    for (late, name) in [(0, "world, on time"), (3, "world, up to 3 ms late")] {
        measure(name, &world(late), true);
    }
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures");
    for (folder, name) in [
        ("prom-2.42/write", "recorded, prometheus 2.42"),
        ("vmagent-1.79", "recorded, vmagent 1.79"),
    ] {
        match recorded(&captures.join(folder)) {
            Some(series) => {
                measure(name, &series, false);
            }
            None => println!("{name}: not there"),
        }
    }
}

/// Every series of a small world with its samples.
fn world(late_ms: i64) -> Vec<Series> {
    let mut world = World::new(7, &Shape::default());
    let mut rng = fastrand::Rng::with_seed(3);
    let mut series = vec![Series::new(); world.len()];
    for i in 0..STEPS {
        let t = START_MS + i * STEP_MS;
        let late = rng.i64(0..=late_ms);
        world.at(t, |s| series[s.id].push((t + late, s.value)));
    }
    series
}

/// Every series of a folder of recorded requests, in order of time.
fn recorded(folder: &Path) -> Option<Vec<Series>> {
    const LIMITS: LabelLimits = LabelLimits {
        labels_per_series: 128,
        name_bytes: 1024,
        value_bytes: 8192,
    };
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .map(|e| e.expect("an entry").path())
        .filter(|p| p.extension().is_some_and(|e| e == "snappy"))
        .collect();
    files.sort();
    let (pool, mut arena) = (BodyPool::new(1), WriteArena::default());
    let mut found: HashMap<Vec<u8>, Series> = HashMap::new();
    for file in files {
        let packed = std::fs::read(file).expect("a file");
        let mut body = pool.decompress(&packed, 32 << 20).expect("a body");
        write_v1::decode(body.bytes_mut(), &LIMITS, &mut arena).expect("a request");
        for series in &arena.series {
            let samples =
                &arena.samples[series.samples_start as usize..series.samples_end as usize];
            let rows = found.entry(series.labels.of(&body).to_vec()).or_default();
            rows.extend(samples.iter().map(|s| (s.timestamp_ms, s.value)));
        }
    }
    Some(
        found
            .into_values()
            .map(|mut rows| {
                rows.sort_by_key(|(t, _)| *t);
                rows.dedup_by_key(|(t, _)| *t);
                rows
            })
            .filter(|rows| rows.len() > 1)
            .collect(),
    )
}

fn measure(name: &str, series: &[Series], whole: bool) {
    let chunks: Vec<Vec<u8>> = series
        .iter()
        .flat_map(|rows| rows.chunks(CHUNK_SAMPLES))
        .filter(|rows| !whole || rows.len() == CHUNK_SAMPLES)
        .map(|rows| {
            let mut chunk = ChunkAppender::new();
            for (t, v) in rows {
                chunk.append(*t, *v);
            }
            chunk.finish()
        })
        .collect();
    let (mut samples, mut chosen, mut xor, mut mixed) = (0, 0, 0, 0);
    let (mut xor_of_chosen, mut decimal_of_chosen) = (0, 0);
    let mut encoder = Encoder::new();
    let mut packed = Vec::new();
    for bytes in &chunks {
        let rows = chunk::decode(bytes).expect("a chunk");
        samples += rows.len();
        xor += bytes.len();
        match encoder.encode(bytes).expect("a chunk") {
            Some(small) => {
                let back = decimal::decode(&small).expect("a decimal chunk");
                assert!(
                    rows.iter()
                        .zip(&back)
                        .all(|(a, b)| a.0 == b.0 && a.1.to_bits() == b.1.to_bits())
                );
                chosen += 1;
                xor_of_chosen += bytes.len();
                decimal_of_chosen += small.len();
                mixed += small.len();
                packed.push(small);
            }
            None => mixed += bytes.len(),
        }
    }
    let n = samples as f64;
    let encode = timed(samples, || {
        for bytes in &chunks {
            black_box(encoder.encode(bytes).expect("a chunk"));
        }
    });
    let of_chosen: usize = packed
        .iter()
        .map(|p| decimal::decode(p).map_or(0, |d| d.len()))
        .sum();
    let decode = timed(of_chosen, || {
        for bytes in &packed {
            black_box(decimal::decode(bytes).expect("a decimal chunk"));
        }
    });
    let plain = timed(samples, || {
        for bytes in &chunks {
            black_box(chunk::decode(bytes).expect("a chunk"));
        }
    });
    println!(
        "{name:<28} {samples:>8} {:>9.0} {:>7.2} {:>8} {:>8.2} {:>7.1}% |           {encode:>6.0} {decode:>6.0} {plain:>6.0}",
        n / chunks.len() as f64,
        xor as f64 / n,
        format!(
            "{:.2}/{:.2}",
            decimal_of_chosen as f64 / of_chosen as f64,
            xor_of_chosen as f64 / of_chosen as f64
        ),
        mixed as f64 / n,
        f64::from(chosen) * 100.0 / chunks.len() as f64,
    );
}

/// Nanoseconds of one of `samples`, the best of [`RUNS`].
fn timed(samples: usize, mut run: impl FnMut()) -> f64 {
    (0..RUNS)
        .map(|_| {
            let began = Instant::now();
            run();
            began.elapsed().as_nanos() as f64 / samples.max(1) as f64
        })
        .fold(f64::INFINITY, f64::min)
}
