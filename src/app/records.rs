//! The keeping of records of anomalies, started and stopped.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context as _;

use crate::clock::Clock;
use crate::config::Config;
use crate::engine::incident::spec::IncidentSpec;
use crate::engine::joint::kin::Kin;
use crate::engine::pool::Pool;
use crate::records::Records;
use crate::records::keeper::{self, KeeperParts};
use crate::store::OpenError;
use crate::telemetry::Metrics;

/// The records' folder below the data directory.
const FOLDER: &str = "records";

/// Records that are being kept.
pub(super) struct Recording {
    pub(super) records: Arc<Records>,
    keeper: JoinHandle<()>,
}

impl Recording {
    /// Opens the records and has the shards fill them; `None` if none are wanted, or none can be kept:
    /// scoring goes on without.
    ///
    /// # Errors
    /// If another process has them, or a newer saimon wrote them.
    pub(super) fn open(
        data_dir: &Path,
        config: &Config,
        pool: &mut Pool,
        kin: &Arc<Kin>,
        metrics: &Arc<Metrics>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Option<Self>> {
        if config.records.keep.is_zero() {
            return Ok(None);
        }
        let (records, known) = match Records::open(&data_dir.join(FOLDER), clock.now_ms()) {
            Ok(opened) => opened,
            Err(error @ OpenError::Unavailable { .. }) => {
                metrics.records.errors.inc();
                tracing::error!(%error, "no records of anomalies are kept, scoring goes on");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let records = Arc::new(records);
        let keeper = keeper::spawn(KeeperParts {
            outlet: pool.record(known),
            records: Arc::clone(&records),
            config: config.records.clone(),
            incidents: IncidentSpec::try_from(&config.incidents)?,
            kin: Arc::clone(kin),
            metrics: Arc::clone(metrics),
            clock: Arc::clone(clock),
        })
        .context("the thread that keeps records could not be started")?;
        Ok(Some(Self { records, keeper }))
    }

    /// Ends when everything is written. To be called when all shards have ended.
    pub(super) fn stop(self) {
        if self.keeper.join().is_err() {
            tracing::error!("the thread that keeps records panicked before the end");
        }
    }
}
