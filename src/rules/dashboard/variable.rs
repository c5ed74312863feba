//! Variables of dashboards: what a reader chooses.

use serde_json::{Value, json};

use super::SOURCE;
use super::panel::datasource;

/// The data source; everything else is asked of it.
pub(super) fn prometheus() -> Value {
    json!({
        "name": "DS_PROMETHEUS",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": false,
        "includeAll": false,
        "options": [],
    })
}

/// Values of a label, several or all of them.
pub(super) fn several(name: &str, label: &str, query: &str) -> Value {
    let mut variable = one(name, label, query);
    variable["multi"] = json!(true);
    variable["includeAll"] = json!(true);
    variable["allValue"] = json!(".*");
    variable["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
    variable
}

/// One value of a label.
pub(super) fn one(name: &str, label: &str, query: &str) -> Value {
    json!({
        "name": name,
        "label": label,
        "type": "query",
        "datasource": datasource(),
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "multi": false,
        "includeAll": false,
        "options": [],
    })
}

pub(super) fn job() -> Value {
    several("job", "Job", "label_values(saimon_anomaly_score, job)")
}

pub(super) fn instance() -> Value {
    several(
        "instance",
        "Instance",
        "label_values(saimon_anomaly_score{job=~\"$job\"}, instance)",
    )
}

pub(super) fn metric() -> Value {
    one(
        "metric",
        "Metric",
        &format!("label_values(saimon_anomaly_score{{{SOURCE}}}, source_metric)"),
    )
}

/// saimon's own job.
pub(super) fn saimon() -> Value {
    several(
        "saimon",
        "saimon's job",
        "label_values(saimon_build_info, job)",
    )
}

/// Matchers that a reader writes.
pub(super) fn labels(description: &str) -> Value {
    json!({
        "name": "labels",
        "label": "More labels",
        "description": description,
        "type": "textbox",
        "query": "",
        "current": {"selected": false, "text": "", "value": ""},
        "options": [],
        "hide": 0,
    })
}
