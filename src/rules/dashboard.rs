//! The Grafana dashboards (`deploy/grafana`, Grafana 10 and newer): anomalies over all series, one
//! metric in detail, groups, and saimon itself. Plain Prometheus queries, nothing to install in Grafana.
//!
//! Written by a program so that panels are placed and coloured alike. What always holds: every query
//! selects by the variables of its dashboard, every panel has its data source from one of them, and
//! none needs a recording rule.

mod groups;
mod overview;
mod own;
mod panel;
mod series;
mod variable;

use serde_json::{Value, json};

use panel::{Grid, Panel};

/// Which scores and anomalies a panel is about.
const SOURCE: &str = "job=~\"$job\", instance=~\"$instance\"";
/// saimon's own series.
const OWN: &str = "job=~\"$saimon\"";

/// A dashboard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dashboard {
    /// What links name it by; also the name of its file.
    pub uid: &'static str,
    pub title: &'static str,
    pub json: String,
}

/// All of them.
pub fn all() -> Vec<Dashboard> {
    vec![
        dashboard(
            "saimon-overview",
            "saimon: anomalies",
            "Anomalies in everything that Prometheus sends to saimon.",
            &overview::variables(),
            overview::panels,
        ),
        dashboard(
            "saimon-series",
            "saimon: a metric",
            "One metric: its value, what was expected, its score.",
            &series::variables(),
            series::panels,
        ),
        dashboard(
            "saimon-groups",
            "saimon: groups",
            "Jobs, instances and whatever else series are grouped by.",
            &groups::variables(),
            groups::panels,
        ),
        dashboard(
            "saimon-self",
            "saimon: itself",
            "What saimon takes in and sends, keeps and costs.",
            &own::variables(),
            own::panels,
        ),
    ]
}

fn dashboard(
    uid: &'static str,
    title: &'static str,
    description: &str,
    variables: &[Value],
    panels: fn(&mut Grid),
) -> Dashboard {
    let mut grid = Grid::default();
    panels(&mut grid);
    let json = json!({
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["saimon", "anomalies"],
        "timezone": "browser",
        "editable": true,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "schemaVersion": 38,
        "version": 1,
        "templating": {"list": variables},
        "annotations": {"list": []},
        "links": [{
            "title": "saimon",
            "type": "dashboards",
            "tags": ["saimon"],
            "asDropdown": true,
            "icon": "external link",
            "includeVars": false,
            "keepTime": true,
            "targetBlank": false,
            "tooltip": "",
            "url": "",
        }],
        "panels": grid.panels,
    });
    let text = serde_json::to_string_pretty(&json).expect("BUG: JSON cannot be written");
    Dashboard {
        uid,
        title,
        json: text + "\n",
    }
}
