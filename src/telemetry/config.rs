//! What saimon says about its configuration, and about those whom it does not answer.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{CodeLabel, Register};

/// Numbers about the configuration.
#[derive(Debug)]
pub struct ConfigMetrics {
    /// `saimon_config_last_reload_successful`.
    pub successful: Gauge,
    /// `saimon_config_last_reload_success_timestamp_seconds`.
    pub success_seconds: Gauge<f64, AtomicU64>,
    /// `saimon_config_restart_needed`.
    pub restart_needed: Gauge,
    /// `saimon_web_config_ok`.
    pub web_ok: Gauge,
    /// `saimon_http_refused_total{code}`.
    refused: Family<CodeLabel, Counter>,
}

impl ConfigMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        Self {
            successful: r.made(
                "config_last_reload_successful",
                "1 if the configuration was taken when it was last read, 0 if an older one is in use",
            ),
            success_seconds: r.made(
                "config_last_reload_success_timestamp_seconds",
                "when a configuration was last taken",
            ),
            restart_needed: r.made(
                "config_restart_needed",
                "keys of the configuration that say something else than what is in use until a restart",
            ),
            web_ok: r.made(
                "web_config_ok",
                "1 while what the web configuration says now is in use, or there is none",
            ),
            refused: r.made(
                "http_refused",
                "requests that were not answered for want of credentials or rights, by status",
            ),
        }
    }

    /// Somebody was not let in.
    pub fn refused(&self, code: u16) {
        let code = u32::from(code);
        self.refused.get_or_create(&CodeLabel { code }).inc();
    }
}
