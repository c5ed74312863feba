//! The sending of scores: queue, intake and one task for each receiver, started and stopped.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::config::{Config, SyncMode};
use crate::engine::pool::Pool;
use crate::engine::tap::{TapSpec, Wants};
use crate::output::forward::Forward;
use crate::output::intake::{self, IntakeParts};
use crate::output::queue::{Queue, QueueError, ReaderSpec};
use crate::output::scores;
use crate::telemetry::Metrics;

/// The queue's folder below the data directory.
const FOLDER: &str = "output";
/// How long a stop waits for what is still in the queue. What is left is sent after the next start.
const LAST_ROUNDS: Duration = Duration::from_secs(5);

/// Outputs that are ready to run.
pub(super) struct Outputs {
    intake: JoinHandle<()>,
    forwards: Vec<Forward>,
    stop: CancellationToken,
}

/// Outputs that run.
pub(super) struct Running {
    intake: JoinHandle<()>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    stop: CancellationToken,
}

impl Outputs {
    /// Opens the queue and has the shards fill it; `None` if there are no receivers, or no queue can
    /// be had: scoring goes on without. `newest` is the newest record of the write-ahead log.
    ///
    /// # Errors
    /// If a receiver cannot be used as it is configured, or a newer saimon wrote the queue.
    pub(super) fn open(
        data_dir: &Path,
        config: &Config,
        pool: &mut Pool,
        newest: u64,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Self>> {
        let receivers = &config.outputs.remote_write;
        if receivers.is_empty() {
            return Ok(None);
        }
        let specs: Vec<ReaderSpec> = receivers
            .iter()
            .map(|r| ReaderSpec {
                name: r.shown_name(),
                limit: r.queue_config.limit.as_u64(),
            })
            .collect();
        let opened = Queue::open(&data_dir.join(FOLDER), &specs, newest, &metrics.output);
        let (writer, readers) = match opened {
            Ok(opened) => opened,
            Err(error @ QueueError::Newer { .. }) => return Err(error.into()),
            Err(error @ QueueError::Io { .. }) => {
                metrics.output.queue_errors.inc();
                tracing::error!(%error, "scores cannot be queued on disk and will not be sent, scoring goes on");
                return Ok(None);
            }
        };
        let wanted = receivers.iter().map(|r| scores::wants(&r.series));
        let wants = wanted.fold(Wants::default(), |all, one| Wants {
            extra: all.extra || one.extra,
            band: all.band || one.band,
        });
        let stop = CancellationToken::new();
        let forwards: anyhow::Result<Vec<_>> = receivers
            .iter()
            .zip(readers)
            .enumerate()
            .map(|(i, (receiver, reader))| {
                Forward::new(receiver, reader, &metrics.output, clock, &stop)
                    .with_context(|| format!("outputs.remote_write[{i}]"))
            })
            .collect();
        let forwards = forwards?;
        let outlet = pool.tap(&TapSpec {
            wants,
            have: Box::new(*writer.have()),
        });
        let min_scores = receivers.iter().map(|r| r.min_score);
        let intake = intake::spawn(IntakeParts {
            outlet,
            writer,
            min_score: min_scores.fold(1.0, f64::min),
            sync: (config.store.sync != SyncMode::Never).then_some(config.store.sync_interval),
            metrics: metrics.output.clone(),
        })
        .context("the thread that queues scores could not be started")?;
        Ok(Some(Self {
            intake,
            forwards,
            stop,
        }))
    }

    pub(super) fn start(self, runtime: &tokio::runtime::Runtime) -> Running {
        let tasks = self.forwards.into_iter();
        Running {
            intake: self.intake,
            tasks: tasks.map(|f| runtime.spawn(f.run())).collect(),
            stop: self.stop,
        }
    }
}

impl Running {
    /// Ends when what the shards made is written down and, if that goes fast, sent. To be called when
    /// all shards have ended.
    pub(super) fn stop(self, runtime: &tokio::runtime::Runtime) {
        if self.intake.join().is_err() {
            tracing::error!("the thread that queues scores panicked before the end");
        }
        self.stop.cancel();
        runtime.block_on(async {
            let all = async {
                for task in self.tasks {
                    // A panic was reported when it happened.
                    let _ = task.await;
                }
            };
            if tokio::time::timeout(LAST_ROUNDS, all).await.is_err() {
                tracing::info!(
                    "scores that a receiver did not take in time are sent after the next start"
                );
            }
        });
    }
}
