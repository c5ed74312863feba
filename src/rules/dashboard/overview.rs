//! Anomalies over all series.

use serde_json::Value;

use super::{Grid, OWN, Panel, SOURCE, variable};

pub(super) fn variables() -> Vec<Value> {
    vec![
        variable::prometheus(),
        variable::job(),
        variable::instance(),
        variable::saimon(),
    ]
}

pub(super) fn panels(grid: &mut Grid) {
    now(grid);
    shares(grid);
    tables(grid);
}

fn score() -> String {
    format!("saimon_anomaly_score{{{SOURCE}}}")
}

fn active() -> String {
    format!("saimon_anomaly{{state=\"active\", {SOURCE}}}")
}

fn now(grid: &mut Grid) {
    let (score, active) = (score(), active());
    grid.add(
        4,
        4,
        Panel::new("stat", "Anomalies now", "Series with an active anomaly.")
            .query("anomalies", &format!("count({active}) or vector(0)"))
            .steps(&[(0.0, "green"), (1.0, "orange")]),
    );
    grid.add(
        4,
        4,
        Panel::new(
            "stat",
            "Series scored",
            "Series that have a score, and the score lines that the last page had no room for: shares \
             here are of the lines shown, which are the highest.",
        )
        .query("series", &format!("sum(saimon_active_models{{{OWN}}})"))
        .query("left out", &format!("sum(saimon_scores_left_out{{{OWN}}})")),
    );
    grid.add(
        4,
        4,
        Panel::new(
            "stat",
            "Over the line",
            "Share of the scored series whose score is 0.7 or more.",
        )
        .query(
            "share",
            &format!("(count({score} >= 0.7) or vector(0)) / count({score})"),
        )
        .unit("percentunit")
        .steps(&[(0.0, "green"), (0.02, "orange"), (0.1, "red")]),
    );
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Anomalies by severity",
            "Active anomalies of all series, as saimon counts them.",
        )
        .query(
            "{{severity}}",
            &format!("sum by (severity) (saimon_anomalies_by_severity{{{OWN}}})"),
        )
        .stacked()
        .colours(&[
            ("low", "blue"),
            ("medium", "yellow"),
            ("high", "orange"),
            ("critical", "red"),
        ]),
    );
    grid.add_below(
        12,
        4,
        Panel::new(
            "timeseries",
            "Anomalies by job",
            "Series with an active anomaly.",
        )
        .query(
            "{{job}}",
            &format!("count by (job) ({active}) or 0 * count by (job) ({score})"),
        ),
    );
    grid.next();
}

fn shares(grid: &mut Grid) {
    let score = score();
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Share of series over the line",
            "By job: series with a score of 0.7 or more, of all that have a score.",
        )
        .query(
            "{{job}}",
            &format!(
                "(count by (job) ({score} >= 0.7) or 0 * count by (job) ({score})) / \
                 count by (job) ({score})"
            ),
        )
        .unit("percentunit"),
    );
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Anomalies that began",
            "In the last hour, of all series.",
        )
        .query(
            "anomalies",
            &format!("sum(increase(saimon_anomalies_total{{{OWN}}}[1h]))"),
        )
        .decimals(0),
    );
}

fn tables(grid: &mut Grid) {
    let score = score();
    grid.add(
        24,
        8,
        Panel::new(
            "table",
            "Anomalies under way",
            "Pending and active ones. Empty when all is well.",
        )
        .table(&format!("saimon_anomaly{{{SOURCE}}}"), &["Value"], "state")
        .linked(),
    );
    grid.add(
        24,
        9,
        Panel::new(
            "table",
            "Highest scores",
            "The twenty highest scores now, with all labels of their series.",
        )
        .table(&format!("topk(20, {score})"), &[], "Value")
        .decimals(3)
        .severities(false)
        .linked(),
    );
    grid.add(
        24,
        9,
        Panel::new(
            "table",
            "Longest over the line",
            "Of the last hour, by the share of it that their score was 0.7 or more. Empty if none was.",
        )
        .table(
            &format!("topk(20, avg_over_time(({score} >= bool 0.7)[1h:1m]) > 0)"),
            &[],
            "Value",
        )
        .unit("percentunit")
        .linked(),
    );
}
