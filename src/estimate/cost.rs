//! What series cost: figures that benches measured, and the arithmetic over them.
//!
//! Each constant names the bench it is from; docs/operations.md has the commands. What always holds:
//! nothing is rounded before it is shown, and nothing is negative.

use std::time::Duration;

use serde::Serialize;

/// What is to be estimated.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Load {
    /// Series with a model of their own.
    pub modelled: f64,
    /// Series that are only kept: buckets, `_info` ...
    pub windows: f64,
    /// Histograms; of each four statistics are judged.
    pub histograms: f64,
    /// Of all series.
    pub samples_per_second: f64,
    /// Series that ended and are still remembered.
    pub ended: f64,
}

/// How long what is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Kept {
    pub window: Duration,
    pub rollups: Duration,
    pub checkpoint: Duration,
}

/// One line of the table.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Part {
    pub name: &'static str,
    /// Bytes.
    pub memory: f64,
    /// Bytes.
    pub disk: f64,
    /// Of one core.
    pub cpu: f64,
}

/// An idle process (`/proc/PID/status`, VmRSS, after a start with an empty store), and the cache of
/// the store.
const IDLE_MEMORY: f64 = 28.0 * MIB;
/// A series with a model: `make bench-peers`, growth over the idle process at 100,000 series.
const MODELLED_MEMORY: f64 = 2_000.0;
/// A series that sleeps: its labels and its places (`saimon_memory_bytes`).
const ASLEEP_MEMORY: f64 = 400.0;
/// A series that is only kept: `benches/shard.rs` and `limits.series`.
const WINDOW_MEMORY: f64 = 600.0;
/// Statistics of a histogram, each like a series with a model.
const STATISTICS: f64 = 4.0;
/// Reading, scoring and keeping a sample, in seconds of CPU: `make bench-peers`, steady rounds at
/// 100,000 series.
const SAMPLE_CPU: f64 = 0.48e-6;
/// A sample on its way to disk, decimal form included: `benches/store.rs`, chunks of the generator's
/// world.
pub const STORED_CPU: f64 = 0.1e-6;
/// A state that is written: `benches/store.rs`.
const STATE_CPU: f64 = 1.8e-6;
/// A sample on disk: `benches/store.rs`, chunks of the generator's world, up to 3 ms late.
pub const SAMPLE_DISK: f64 = 2.5;
/// A row of five minutes on disk: `benches/store.rs`.
pub const ROW_DISK: f64 = 5.0;
/// A state on disk, twice during a checkpoint: `make bench-durable`.
const STATE_DISK: f64 = 1_000.0;
/// The same of a series that is only kept.
const WINDOW_STATE_DISK: f64 = 700.0;
/// Raw samples leave up to this share of the window later, because they leave together.
const LATE: f64 = 9.0 / 8.0;
/// Rows a day.
const ROWS_A_DAY: f64 = 288.0;

const MIB: f64 = 1024.0 * 1024.0;
const DAY: f64 = 86_400.0;

/// The parts that the costs are made of.
pub fn parts(load: &Load, kept: &Kept) -> Vec<Part> {
    let series = load.modelled + load.windows;
    let judged = load.modelled + STATISTICS * load.histograms;
    let window = kept.window.as_secs_f64();
    let rollups = match kept.rollups > kept.window {
        true => (kept.rollups - kept.window).as_secs_f64(),
        false => 0.0,
    };
    let late = if rollups > 0.0 { LATE } else { 1.0 };
    let checkpoint = kept.checkpoint.as_secs_f64().max(1.0);
    vec![
        Part {
            name: "the process itself",
            memory: IDLE_MEMORY,
            disk: 0.0,
            cpu: 0.0,
        },
        Part {
            name: "series with a model",
            memory: load.modelled * MODELLED_MEMORY,
            disk: load.modelled * STATE_DISK,
            cpu: load.modelled * STATE_CPU / checkpoint,
        },
        Part {
            name: "statistics of histograms",
            memory: STATISTICS * load.histograms * MODELLED_MEMORY,
            disk: STATISTICS * load.histograms * STATE_DISK,
            cpu: (judged - load.modelled) * STATE_CPU / checkpoint,
        },
        Part {
            name: "series kept as windows only",
            memory: load.windows * WINDOW_MEMORY,
            disk: load.windows * WINDOW_STATE_DISK,
            cpu: load.windows * STATE_CPU / checkpoint,
        },
        Part {
            name: "series that ended",
            memory: load.ended * ASLEEP_MEMORY,
            disk: load.ended * STATE_DISK,
            cpu: 0.0,
        },
        Part {
            name: "samples, raw",
            memory: 0.0,
            disk: load.samples_per_second * window * late * SAMPLE_DISK,
            cpu: load.samples_per_second * (SAMPLE_CPU + STORED_CPU),
        },
        Part {
            name: "rollups of five minutes",
            memory: 0.0,
            disk: series * rollups / DAY * ROWS_A_DAY * ROW_DISK,
            cpu: 0.0,
        },
    ]
}

/// All of them together.
pub fn total(parts: &[Part]) -> Part {
    let sum = |of: fn(&Part) -> f64| parts.iter().map(of).sum();
    Part {
        name: "in all",
        memory: sum(|p| p.memory),
        disk: sum(|p| p.disk),
        cpu: sum(|p| p.cpu),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEPT: Kept = Kept {
        window: Duration::from_secs(86_400),
        rollups: Duration::from_secs(15 * 86_400),
        checkpoint: Duration::from_secs(300),
    };

    fn load(modelled: f64) -> Load {
        Load {
            modelled,
            windows: 0.0,
            histograms: 0.0,
            samples_per_second: modelled / 15.0,
            ended: 0.0,
        }
    }

    #[test]
    fn costs_grow_with_series_and_time() {
        let small = total(&parts(&load(1_000.0), &KEPT));
        let large = total(&parts(&load(100_000.0), &KEPT));
        assert!(large.memory > small.memory && large.memory < 100.0 * small.memory);
        assert!((large.disk / small.disk - 100.0).abs() < 1e-9);
        assert!((large.cpu / small.cpu - 100.0).abs() < 1e-9);
        // A day of raw samples, an eighth more, at 15 s.
        let raw = parts(&load(1.0), &KEPT)[5].disk;
        assert!((raw - 5760.0 * 1.125 * SAMPLE_DISK).abs() < 1e-6);
        let none = Kept {
            rollups: Duration::ZERO,
            ..KEPT
        };
        assert_eq!(parts(&load(1_000.0), &none)[6].disk, 0.0);
        assert!(parts(&load(1_000.0), &none)[5].disk < parts(&load(1_000.0), &KEPT)[5].disk);
    }
}
