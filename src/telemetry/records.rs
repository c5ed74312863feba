//! What saimon says about records of anomalies.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use super::Register;

/// Numbers about records.
#[derive(Debug)]
pub struct RecordMetrics {
    /// `saimon_records`.
    pub kept: Gauge,
    /// `saimon_records_left_out_total`.
    left_out: Counter,
    /// `saimon_records_expired_total`.
    pub expired: Counter,
    /// `saimon_records_unwritten`.
    pub unwritten: Gauge,
    /// `saimon_records_errors_total`.
    pub errors: Counter,
    /// `saimon_incidents`.
    pub incidents: Gauge,
    /// `saimon_incidents_open`.
    pub incidents_open: Gauge,
    /// `saimon_incidents_opened_total`.
    pub incidents_opened: Counter,
    /// `saimon_incidents_merged_total`.
    pub incidents_merged: Counter,
}

impl RecordMetrics {
    pub(super) fn made(r: &mut Register<'_>) -> Self {
        Self {
            kept: r.made("records", "anomalies that are on record"),
            left_out: r.made(
                "records_left_out",
                "anomalies without a record, because too many were under way at once",
            ),
            expired: r.made(
                "records_expired",
                "records that were given up for their age or for their number",
            ),
            unwritten: r.made(
                "records_unwritten",
                "changes of records that are in memory only, because the disk takes none",
            ),
            errors: r.made(
                "records_errors",
                "records that could not be written or read",
            ),
            incidents: r.made("incidents", "incidents that are on record"),
            incidents_open: r.made(
                "incidents_open",
                "incidents of which at least one anomaly is active",
            ),
            incidents_opened: r.made("incidents_opened", "incidents that were opened"),
            incidents_merged: r.made(
                "incidents_merged",
                "incidents that turned out to be parts of others",
            ),
        }
    }

    /// Anomalies have no record.
    pub fn left_out(&self, anomalies: u64) {
        if anomalies > 0 {
            self.left_out.inc_by(anomalies);
        }
    }
}
