//! What people said, read before the first sample and told to the shards.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::Config;
use crate::engine::ask::Reader;
use crate::engine::orders::Book;
use crate::engine::pool::{Engine, Pool};
use crate::feedback::Feedbacks;
use crate::maintenance::window::Wanted;
use crate::maintenance::{Maintenance, watch};
use crate::store::notes::NotesError;
use crate::telemetry::Metrics;

/// The folder of what people said, below the data directory.
const FOLDER: &str = "said";
/// How often windows are looked ahead for, and changes among what came.
const LOOK_EVERY: Duration = Duration::from_secs(15);

/// What people said.
pub(super) struct Said {
    /// `None` if it cannot be kept: scoring goes on without.
    pub(super) feedback: Option<Arc<Feedbacks>>,
    pub(super) maintenance: Option<Arc<Maintenance>>,
    book: Book,
}

impl Said {
    /// Reads it and has the shards go by it.
    ///
    /// # Errors
    /// If a newer saimon wrote it.
    pub(super) fn open(
        data_dir: &Path,
        config: &Config,
        pool: &mut Pool,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let feedback = match Feedbacks::open(&data_dir.join(FOLDER), clock.now_ms()) {
            Ok(feedback) => Some(Arc::new(feedback)),
            Err(error @ NotesError::Unavailable { .. }) => {
                tracing::error!(%error, "what people said of anomalies cannot be read, scoring goes on without");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut book = Book::default();
        if let Some(feedback) = &feedback {
            book = book.with_lines(feedback.lines());
        }
        let wanted = windows(config)?;
        let maintenance = match Maintenance::open(&data_dir.join(FOLDER), clock.now_ms()) {
            Ok(maintenance) => Some(Arc::new(maintenance)),
            Err(error @ NotesError::Unavailable { .. }) => {
                tracing::error!(%error, "windows of maintenance cannot be read, scoring goes on without");
                None
            }
            Err(error) => return Err(error.into()),
        };
        if let Some(maintenance) = &maintenance {
            if let Err(error) = maintenance.configure(&wanted, clock.now_ms()) {
                tracing::error!(%error, "the windows of maintenance of the configuration are not in use");
            }
            book = book.with_pauses(maintenance.pauses());
        }
        pool.order(&book);
        Ok(Self {
            feedback,
            maintenance,
            book,
        })
    }

    /// What is said from now on is told to the shards.
    pub(super) fn start(&self, engine: &Engine) {
        let desk = Arc::new(engine.desk(self.book.clone()));
        if let Some(feedback) = &self.feedback {
            feedback.tell(Arc::clone(&desk));
        }
        if let Some(maintenance) = &self.maintenance {
            maintenance.tell(desk);
        }
    }
}

/// The windows that a configuration asks for.
///
/// # Errors
/// The first mistake in them.
pub(super) fn windows(config: &Config) -> anyhow::Result<Vec<Wanted>> {
    let read = |(i, window)| {
        Wanted::read(window).map_err(|e| anyhow::anyhow!("maintenance.windows[{i}].{e}"))
    };
    config
        .maintenance
        .windows
        .iter()
        .enumerate()
        .map(read)
        .collect()
}

/// Looks now and then, until it is dropped. `window_ms` says for how long what is seen counts; at 0
/// nothing is looked for.
pub(super) async fn look(
    maintenance: Arc<Maintenance>,
    reader: Reader,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    window_ms: impl Fn() -> i64,
) {
    let mut every = tokio::time::interval(LOOK_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    if window_ms() > 0
        && let Err(error) = watch::begin(&reader, clock.now_ms()).await
    {
        tracing::debug!(%error, "restarts from before the start could not be looked for");
    }
    loop {
        every.tick().await;
        let (now_ms, window_ms) = (clock.now_ms(), window_ms());
        if window_ms > 0 {
            match watch::look(&reader, &maintenance.changes, now_ms, window_ms).await {
                Ok(seen) => drop(metrics.feedback.changes.inc_by(seen as u64)),
                Err(error) => tracing::debug!(%error, "changes of targets could not be looked for"),
            }
        }
        let (maintenance, metrics) = (Arc::clone(&maintenance), Arc::clone(&metrics));
        let ticked = tokio::task::spawn_blocking(move || {
            let active = maintenance.tick(now_ms);
            metrics
                .feedback
                .windows
                .set(i64::try_from(active).unwrap_or(i64::MAX));
            maintenance.changes.keep()
        });
        if let Ok(Err(error)) = ticked.await {
            tracing::warn!(%error, "changes of targets cannot be written, they are in memory only");
        }
    }
}
