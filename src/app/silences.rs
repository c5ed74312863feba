//! Reads the silences of the configured Alertmanager, every so often.
//!
//! What always holds: an answer counts as a whole or not at all, and without one the silences that are
//! known stay, each until its end; a window made of a silence counts as every other, for samples that
//! are newer than its being known and on disk.

use std::sync::Arc;

use http::{HeaderValue, Method, StatusCode, header};
use tokio::sync::watch;

use crate::client::{Client, ClientError};
use crate::clock::Clock;
use crate::config::{AlertingConfig, AlertmanagerConfig, Config};
use crate::maintenance::silences::{self, AlertLabels, Taken};
use crate::maintenance::{Maintenance, MaintenanceError};
use crate::rules::anomaly;
use crate::telemetry::Metrics;

const PATH: &str = "/api/v2/silences";
/// Bytes of an answer: ten thousand silences, which an Alertmanager shows for five days after their end.
const BODY_MAX: usize = 16 << 20;

/// Why silences are not known.
#[derive(Debug, thiserror::Error)]
enum SilencesError {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the Alertmanager says {status}: {text}")]
    Refused { status: StatusCode, text: String },
    #[error("no list of silences: {0}")]
    Odd(#[from] serde_json::Error),
    #[error(transparent)]
    Maintenance(#[from] MaintenanceError),
    #[error("reading them broke off: {0}")]
    Broken(#[from] tokio::task::JoinError),
}

/// What of a configuration says how silences are read and understood.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    from: AlertmanagerConfig,
    alerts: AlertLabels,
}

impl Wanted {
    pub(super) fn of(config: &Config) -> Self {
        Self {
            from: config.maintenance.alertmanager.clone(),
            alerts: alert_labels(&config.alerting),
        }
    }
}

/// What the rules of `saimon rules` add to the labels of a series.
fn alert_labels(config: &AlertingConfig) -> AlertLabels {
    let mut labels = AlertLabels::new();
    for alert in anomaly::alerts(config) {
        let own = labels.entry("alertname".to_owned()).or_default();
        own.push(alert.name.to_owned());
        for (name, value) in &alert.labels {
            // Others are told of by templates.
            if name == "severity" || config.labels.contains_key(name) {
                labels.entry(name.clone()).or_default().push(value.clone());
            }
        }
    }
    labels
}

/// Who reads them.
pub(super) struct Silences {
    pub(super) maintenance: Arc<Maintenance>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Silences {
    /// Reads, until it is dropped, what the newest configuration asks for.
    pub(super) async fn run(self, mut wanted: watch::Receiver<Wanted>) {
        loop {
            let now = wanted.borrow_and_update().clone();
            tokio::select! {
                () = self.read_all(&now) => {}
                changed = wanted.changed() => if changed.is_err() {
                    return;
                },
            }
        }
    }

    async fn read_all(&self, wanted: &Wanted) {
        let Some(url) = &wanted.from.url else {
            if let Err(error) = self.put(Taken::default()).await {
                tracing::error!(%error, "windows of silences that are no longer read cannot be ended");
            }
            return std::future::pending().await;
        };
        let client = match Client::new(url, &wanted.from.client) {
            Ok(client) => client,
            Err(error) => {
                tracing::error!(%error, "silences cannot be read: mend maintenance.alertmanager");
                return std::future::pending().await;
            }
        };
        let mut every = tokio::time::interval(wanted.from.interval);
        every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut failed = false;
        loop {
            every.tick().await;
            self.metrics.silences.polls.inc();
            let read = self.read(&client, &wanted.alerts).await;
            // Once, and not every time.
            match &read {
                Ok(()) if failed => tracing::info!("silences are read again"),
                Err(error) if !failed => {
                    tracing::warn!(%error, "silences cannot be read, those that are known stay until their end");
                }
                _ => {}
            }
            failed = read.is_err();
            self.metrics.silences.failures.inc_by(u64::from(failed));
        }
    }

    async fn read(&self, client: &Client, alerts: &AlertLabels) -> Result<(), SilencesError> {
        let json = [(header::ACCEPT, HeaderValue::from_static("application/json"))];
        let answer = client.send(Method::GET, PATH, &json, Default::default());
        let answer = answer.await?;
        if answer.status != StatusCode::OK {
            return Err(SilencesError::Refused {
                status: answer.status,
                text: answer.error_text().await,
            });
        }
        let body = answer.body.all(BODY_MAX).await?;
        let alerts = alerts.clone();
        let read = tokio::task::spawn_blocking(move || silences::read(&body, &alerts));
        self.put(read.await??).await
    }

    async fn put(&self, taken: Taken) -> Result<(), SilencesError> {
        let (maintenance, now_ms) = (Arc::clone(&self.maintenance), self.clock.now_ms());
        let left_out = taken.left_out;
        let put = tokio::task::spawn_blocking(move || maintenance.silence(taken.windows, now_ms));
        let (held, no_room) = put.await??;
        let gauge = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.silences.held.set(gauge(held));
        self.metrics
            .silences
            .left_out
            .set(gauge(left_out + no_room));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_alerts_add_to_series_is_known() {
        let mut config = AlertingConfig::default();
        config.labels.insert("team".to_owned(), "sre".to_owned());
        let labels = alert_labels(&config);
        let names: Vec<_> = labels.keys().map(String::as_str).collect();
        assert_eq!(names, ["alertname", "severity", "team"]);
        assert_eq!(labels["alertname"][0], "SaimonAnomaly");
        assert_eq!(labels["severity"], ["medium", "high", "critical"]);
    }
}
