//! The thread that takes rows from the shards' taps and writes them down.
//!
//! What always holds: it never waits for a receiver; rows of a shard are written in the order in which
//! they were made, and what cannot be written is counted and done with, so that nothing ever waits for
//! this thread for long.

use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::queue::Writer;
use super::scores::{Gate, Passes};
use crate::engine::tap::{Outlet, Rows, raw_rows};
use crate::telemetry::output::{Dropped, OutputMetrics};

/// How long it waits for rows before it looks whether a sync is due.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Failures are said in the log this often at most.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// What the thread is made with.
#[derive(Debug)]
pub struct IntakeParts {
    pub outlet: Outlet,
    pub writer: Writer,
    /// The least score that any receiver is sent.
    pub min_score: f64,
    /// How often what was written is made to survive a power cut; `None`: that is left to the
    /// operating system.
    pub sync: Option<Duration>,
    pub metrics: OutputMetrics,
}

/// Starts the thread. It ends when all shards have, with everything written.
///
/// # Errors
/// If it cannot be started.
pub fn spawn(parts: IntakeParts) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name("output".to_owned())
        .spawn(move || Intake::new(parts).run())
}

struct Intake {
    parts: IntakeParts,
    gate: Gate,
    said: Option<Instant>,
}

impl Intake {
    fn new(parts: IntakeParts) -> Self {
        Self {
            gate: Gate::new(parts.min_score),
            parts,
            said: None,
        }
    }

    fn run(mut self) {
        let mut synced = Instant::now();
        while let Ok(next) = self.parts.outlet.next(LOOK_EVERY) {
            if let Some(mut rows) = next {
                self.leave_out(&mut rows);
                if rows.count > 0
                    && let Err(error) = self.parts.writer.append(&rows)
                {
                    self.parts.metrics.lost(Dropped::Disk, rows.count);
                    self.say(&error);
                }
                self.parts.outlet.done(rows);
            }
            if self
                .parts
                .sync
                .is_some_and(|every| synced.elapsed() >= every)
            {
                synced = Instant::now();
                self.sync();
            }
        }
        self.sync();
    }

    fn sync(&mut self) {
        if self.parts.sync.is_some()
            && let Err(error) = self.parts.writer.sync()
        {
            self.parts.metrics.queue_errors.inc();
            self.say(&error);
        }
    }

    /// Leaves out what no receiver wants for its score.
    fn leave_out(&mut self, rows: &mut Rows) {
        if self.parts.min_score <= 0.0 {
            return;
        }
        let (mut kept, mut count) = (Vec::new(), 0);
        for (row, bytes) in raw_rows(&rows.bytes).flatten() {
            if self.gate.passes(&row) != Passes::No {
                kept.extend_from_slice(bytes);
                count += 1;
            }
        }
        (rows.bytes, rows.count) = (kept, count);
    }

    fn say(&mut self, error: &std::io::Error) {
        if self.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            self.said = Some(Instant::now());
            tracing::error!(%error, "the queue of scores cannot be written: scores are not sent until it can");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::keep::PARTITIONS;
    use crate::engine::tap::{TapSpec, Wants, taps};
    use crate::output::queue::{Queue, ReaderSpec};
    use crate::telemetry::Metrics;

    #[test]
    fn what_cannot_be_written_is_counted_and_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("output");
        let metrics = Metrics::new();
        let reader = ReaderSpec {
            name: "r".to_owned(),
            limit: 1 << 30,
        };
        let (writer, mut readers) =
            Queue::open(&folder, &[reader], u64::MAX, &metrics.output).unwrap();
        let spec = TapSpec {
            wants: Wants::default(),
            have: Box::new([0; PARTITIONS]),
        };
        let (mut taps, outlet) = taps(1, &spec);
        let thread = spawn(IntakeParts {
            outlet,
            writer,
            min_score: 0.0,
            sync: Some(Duration::ZERO),
            metrics: metrics.output.clone(),
        })
        .unwrap();
        let tap = &mut taps[0];
        let mut end = |t_ms| {
            tap.begin(1, false);
            tap.ended(0, b"labels", t_ms);
            assert_eq!(tap.flush(), 0);
            while !tap.is_settled(tap.mark()) {
                std::thread::yield_now();
            }
        };
        // No segment can be made in a folder that is gone ...
        std::fs::remove_dir_all(&folder).unwrap();
        end(1);
        end(2);
        // ... and they can when it is back.
        std::fs::create_dir(&folder).unwrap();
        end(3);
        drop(taps);
        thread.join().unwrap();
        let page = metrics.openmetrics();
        let lost = "saimon_output_dropped_total{receiver=\"all\",reason=\"disk\"} 2";
        assert!(page.contains(lost), "{page}");
        assert_eq!(readers[0].advance().unwrap().record.unwrap().count, 1);
    }
}
