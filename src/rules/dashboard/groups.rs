//! Series that share labels, judged together.

use serde_json::Value;

use super::{Grid, OWN, Panel, variable};

/// Groups of the chosen kind.
const CHOSEN: &str = "group_by=\"$by\", $labels";

pub(super) fn variables() -> Vec<Value> {
    vec![
        variable::prometheus(),
        variable::one(
            "by",
            "Grouped by",
            "label_values(saimon_group_score, group_by)",
        ),
        variable::labels("Matchers for groups and their series: job=\"node\""),
        variable::saimon(),
    ]
}

pub(super) fn panels(grid: &mut Grid) {
    grid.add(
        6,
        4,
        Panel::new("stat", "Groups", "Groups of at least two scored series.")
            .query("groups", &format!("sum(saimon_groups{{{OWN}}})"))
            .query(
                "memberships left out",
                &format!("sum(saimon_group_series_left_out{{{OWN}}})"),
            ),
    );
    grid.add(
        6,
        4,
        Panel::new(
            "stat",
            "Over the line",
            "Groups whose score is 0.7 or more.",
        )
        .query(
            "groups",
            &format!("count(saimon_group_score{{{CHOSEN}}} >= 0.7) or vector(0)"),
        )
        .steps(&[(0.0, "green"), (1.0, "orange")]),
    );
    grid.add(
        12,
        4,
        Panel::new(
            "stat",
            "Series that no longer move together",
            "Anomalies of that kind since the start of saimon, and samples that came too late to be \
             looked at together.",
        )
        .query(
            "anomalies",
            &format!("sum(saimon_group_joint_anomalies_total{{{OWN}}})"),
        )
        .query(
            "samples lost",
            &format!("sum(saimon_group_joint_samples_lost_total{{{OWN}}})"),
        ),
    );
    grid.next();
    incidents(grid);
    over_time(grid);
    members(grid);
}

fn incidents(grid: &mut Grid) {
    grid.add(
        6,
        7,
        Panel::new(
            "stat",
            "Incidents",
            "Incidents that are open, and those that were opened since the start of saimon.",
        )
        .query("open", &format!("sum(saimon_incidents_open{{{OWN}}})"))
        .query(
            "opened",
            &format!("sum(saimon_incidents_opened_total{{{OWN}}})"),
        ),
    );
    grid.add(
        18,
        7,
        Panel::new(
            "table",
            "Open incidents",
            "Anomalies of each, and the metric that it likely began with; incident is its id in \
             /api/v1/incidents. One row of the value 0 if there is none.",
        )
        .table(
            "saimon_incident_members{$labels} * on (incident) group_left (severity, source_metric) \
             saimon_incident or on () label_replace(vector(0), \"incident\", \"none\", \"\", \"\")",
            &[],
            "Value",
        ),
    );
    grid.next();
}

fn over_time(grid: &mut Grid) {
    let score = format!("saimon_group_score{{{CHOSEN}}}");
    grid.add(
        24,
        9,
        Panel::new(
            "timeseries",
            "Scores of groups",
            "The ten highest of each time: how unlikely the newest samples of a group are together. 0.7 \
             is the line.",
        )
        .query("", &format!("topk(10, {score})"))
        .range(0.0, 1.0)
        .decimals(3)
        .severities(true),
    );
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Share of series with an anomaly",
            "The ten groups with the highest share of each time.",
        )
        .query(
            "",
            &format!("topk(10, saimon_group_anomaly_ratio{{{CHOSEN}}})"),
        )
        .unit("percentunit"),
    );
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Whether series still move together",
            "Score of each group of groups.joint_by, 0.7 is the line: there once a group knows its series.",
        )
        .query(
            "",
            "saimon_group_joint_score{$labels} or 0 * saimon_group_score{$labels}",
        )
        .range(0.0, 1.0)
        .decimals(3)
        .severities(true),
    );
}

fn members(grid: &mut Grid) {
    grid.add(
        12,
        9,
        Panel::new("table", "Groups now", "The twenty highest scores.")
            .table(
                &format!("topk(20, saimon_group_score{{{CHOSEN}}})"),
                &["group_by"],
                "Value",
            )
            .decimals(3)
            .severities(false),
    );
    grid.add(
        12,
        9,
        Panel::new(
            "table",
            "Their series",
            "The twenty highest scores of the series that match.",
        )
        .table("topk(20, saimon_anomaly_score{$labels})", &[], "Value")
        .decimals(3)
        .severities(false)
        .linked(),
    );
}
