//! The web configuration of a running saimon: read again every second, and used if it can be.
//!
//! Requests never wait for its files. What cannot be used is said once and changes nothing.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::config_file;
use crate::expose::secure::{Door, Entrance};
use crate::telemetry::Metrics;

/// How often the files are read. They are a few, and small.
const EVERY: Duration = Duration::from_secs(1);

/// Where the web configuration is, and what it is for.
#[derive(Debug)]
pub(super) struct Web {
    path: Option<PathBuf>,
    pub(super) entrance: Arc<Entrance>,
    metrics: Arc<Metrics>,
    /// What was wrong the last time.
    said: Mutex<Option<String>>,
}

impl Web {
    /// # Errors
    /// If there is a file and it cannot be used.
    pub(super) fn open(path: Option<&Path>, metrics: &Arc<Metrics>) -> anyhow::Result<Arc<Self>> {
        let door = match path {
            Some(path) => config_file::web::open(path).context("web.config_file")?,
            None => Door::default(),
        };
        if path.is_some() && !door.has_credentials() && !door.has_tls() {
            tracing::warn!("the web configuration asks for nothing: everybody is answered");
        }
        metrics.config.web_ok.set(1);
        Ok(Arc::new(Self {
            path: path.map(Path::to_owned),
            entrance: Arc::new(Entrance::new(door)),
            metrics: Arc::clone(metrics),
            said: Mutex::new(None),
        }))
    }

    /// The door as the files are now, if it may be put in. Blocks.
    pub(super) fn read(&self) -> Result<Option<Door>, String> {
        let Some(path) = &self.path else {
            return Ok(None);
        };
        let door = config_file::web::open(path).map_err(|e| e.to_string())?;
        self.entrance
            .fits(&door)
            .map_err(|e| format!("{} {e}", path.display()))?;
        Ok(Some(door))
    }

    /// Uses what was read; says so if it is something new.
    pub(super) fn put(&self, door: Result<Option<Door>, String>) {
        let put = door.and_then(|door| match door {
            Some(door) => self.entrance.put(door).map_err(|e| e.to_string()),
            None => Ok(false),
        });
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        self.metrics.config.web_ok.set(i64::from(put.is_ok()));
        match put {
            Ok(changed) => {
                if changed {
                    tracing::info!("the web configuration has changed and is in use");
                } else if said.is_some() {
                    tracing::info!("the web configuration is again what is in use");
                }
                *said = None;
            }
            Err(error) => {
                if said.as_ref() != Some(&error) {
                    tracing::error!(
                        error,
                        "the web configuration cannot be used, what it was before stays"
                    );
                }
                *said = Some(error);
            }
        }
    }

    /// Looks for changes until the end.
    pub(super) async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        if self.path.is_none() {
            return;
        }
        while shutdown
            .run_until_cancelled(tokio::time::sleep(EVERY))
            .await
            .is_some()
        {
            let web = Arc::clone(&self);
            // One at a time: a disk that does not answer is not asked again.
            let done = tokio::task::spawn_blocking(move || web.put(web.read())).await;
            if let Err(error) = done {
                tracing::error!(%error, "the web configuration could not be looked at");
            }
        }
    }
}
