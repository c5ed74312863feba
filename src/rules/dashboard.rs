//! The Grafana dashboard (`deploy/grafana/saimon.json`, Grafana 10 and newer): anomalies over all
//! series, one metric in detail, and saimon itself. Plain Prometheus queries, nothing to install in
//! Grafana.
//!
//! Written by a program so that panels are placed and coloured alike. What always holds: every query
//! selects by the variables of the dashboard, and every panel has its data source from one of them.

mod panel;

use serde_json::{Value, json};

use panel::{Grid, Panel, datasource};

/// Which scores and anomalies a panel is about.
const SOURCE: &str = "job=~\"$job\", instance=~\"$instance\"";
/// The same for the one metric of the detail row.
const CHOSEN: &str = "source_metric=\"$metric\", job=~\"$job\", instance=~\"$instance\", $labels";
/// saimon's own series.
const OWN: &str = "job=~\"$saimon\"";

/// The dashboard as JSON.
pub fn render() -> String {
    let mut grid = Grid::default();
    overview(&mut grid);
    detail(&mut grid);
    health(&mut grid);
    let dashboard = json!({
        "uid": "saimon-overview",
        "title": "saimon",
        "description": "Anomalies in everything that Prometheus sends to saimon.",
        "tags": ["saimon", "anomalies"],
        "timezone": "browser",
        "editable": true,
        "graphTooltip": 1,
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m"]},
        "schemaVersion": 38,
        "version": 1,
        "templating": {"list": variables()},
        "annotations": {"list": []},
        "links": [],
        "panels": grid.panels,
    });
    let text = serde_json::to_string_pretty(&dashboard).expect("BUG: JSON cannot be written");
    text + "\n"
}

fn variables() -> Vec<Value> {
    let labels = |name: &str, label: &str, query: &str, all: bool| {
        let mut variable = json!({
            "name": name,
            "label": label,
            "type": "query",
            "datasource": datasource(),
            "definition": query,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "sort": 1,
            "hide": 0,
            "multi": all,
            "includeAll": all,
            "options": [],
        });
        if all {
            variable["allValue"] = json!(".*");
            variable["current"] = json!({"selected": true, "text": ["All"], "value": ["$__all"]});
        }
        variable
    };
    vec![
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
        }),
        labels(
            "job",
            "Job",
            "label_values(saimon_anomaly_score, job)",
            true,
        ),
        labels(
            "instance",
            "Instance",
            "label_values(saimon_anomaly_score{job=~\"$job\"}, instance)",
            true,
        ),
        labels(
            "metric",
            "Metric",
            &format!("label_values(saimon_anomaly_score{{{SOURCE}}}, source_metric)"),
            false,
        ),
        json!({
            "name": "labels",
            "label": "More labels",
            "description": "Further matchers, until one series is left: mode=\"idle\", cpu=\"0\"",
            "type": "textbox",
            "query": "",
            "current": {"selected": false, "text": "", "value": ""},
            "options": [],
            "hide": 0,
        }),
        labels(
            "saimon",
            "saimon's job",
            "label_values(saimon_build_info, job)",
            true,
        ),
    ]
}

fn overview(grid: &mut Grid) {
    let score = format!("saimon_anomaly_score{{{SOURCE}}}");
    let active = format!("saimon_anomaly{{state=\"active\", {SOURCE}}}");
    grid.row("Overview");
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
        .query("series", "sum(saimon_active_models{job=~\"$saimon\"})")
        .query("left out", "sum(saimon_scores_left_out{job=~\"$saimon\"})"),
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
            "table",
            "Anomalies under way",
            "Pending and active ones. Empty when all is well.",
        )
        .table(&format!("saimon_anomaly{{{SOURCE}}}"), &["Value"], "state"),
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
        .severities(false),
    );
}

fn detail(grid: &mut Grid) {
    let anomaly = |state: &str| {
        format!(
            "max without (state, severity, direction, reason) \
             (saimon_anomaly{{state=\"{state}\", {CHOSEN}}})"
        )
    };
    grid.row("Metric: $metric");
    grid.add(
        24,
        8,
        Panel::new(
            "timeseries",
            "Value of $metric",
            "As scraped. Counters are scored by their rate, shown here is their value.",
        )
        .query("", &format!("{{__name__=\"$metric\", {SOURCE}, $labels}}")),
    );
    grid.add(
        24,
        8,
        Panel::new(
            "timeseries",
            "Score of $metric",
            "0.7 is the edge of normal; 0.85, 0.95 and 0.99 are medium, high and critical.",
        )
        .query("", &format!("saimon_anomaly_score{{{CHOSEN}}}"))
        .range(0.0, 1.0)
        .decimals(3)
        .severities(true),
    );
    grid.add(
        24,
        6,
        Panel::new(
            "state-timeline",
            "State of $metric",
            "Pending until enough samples confirm it, then active.",
        )
        .query(
            "",
            &format!(
                "2 * {} or {} or 0 * saimon_anomaly_score{{{CHOSEN}}}",
                anomaly("active"),
                anomaly("pending")
            ),
        )
        .words(&[
            (0, "quiet", "green"),
            (1, "pending", "yellow"),
            (2, "active", "red"),
        ]),
    );
}

fn health(grid: &mut Grid) {
    let rate = |name: &str| format!("rate({name}{{{OWN}}}[$__rate_interval])");
    let quantile = |q: &str| {
        let rate = rate("saimon_detection_latency_seconds_bucket");
        format!("histogram_quantile({q}, sum by (le) ({rate}))")
    };
    grid.row("saimon itself");
    grid.add(
        8,
        7,
        Panel::new(
            "timeseries",
            "Samples by outcome",
            "Per second. Every sample has one outcome.",
        )
        .query(
            "{{outcome}}",
            &format!("sum by (outcome) ({})", rate("saimon_ingest_samples_total")),
        )
        .stacked(),
    );
    grid.add(
        8,
        7,
        Panel::new(
            "timeseries",
            "Requests by answer",
            "Write requests per second by HTTP status.",
        )
        .query(
            "{{code}}",
            &format!("sum by (code) ({})", rate("saimon_ingest_requests_total")),
        ),
    );
    grid.add(
        8,
        7,
        Panel::new(
            "timeseries",
            "Series by phase",
            "Scores begin after warmup; young series reach severity low at most.",
        )
        .query(
            "{{phase}}",
            &format!("sum by (phase) (saimon_series{{{OWN}}})"),
        )
        .stacked(),
    );
    grid.add(
        8,
        7,
        Panel::new(
            "timeseries",
            "Detection latency",
            "From the arrival of a request to its scores being visible.",
        )
        .query("median", &quantile("0.5"))
        .query("99 %", &quantile("0.99"))
        .unit("s"),
    );
    grid.add(
        8,
        7,
        Panel::new("timeseries", "Memory", "Resident memory of the process.")
            .query(
                "{{instance}}",
                &format!("process_resident_memory_bytes{{{OWN}}}"),
            )
            .unit("bytes"),
    );
    grid.add(
        8,
        7,
        Panel::new("timeseries", "CPU", "CPU seconds per second.")
            .query("{{instance}}", &rate("process_cpu_seconds_total"))
            .decimals(3),
    );
    grid.add(
        8,
        7,
        Panel::new(
            "timeseries",
            "Checkpoints",
            "Time since the last one, and how long one takes.",
        )
        .query(
            "age",
            &format!("time() - max(saimon_checkpoint_last_success_timestamp_seconds{{{OWN}}} > 0)"),
        )
        .query(
            "duration",
            &format!(
                "sum(rate(saimon_checkpoint_duration_seconds_sum{{{OWN}}}[10m])) / \
                 sum(rate(saimon_checkpoint_duration_seconds_count{{{OWN}}}[10m]))"
            ),
        )
        .unit("s"),
    );
    grid.add(
        8,
        7,
        Panel::new("timeseries", "Store", "Size on disk.")
            .query("{{instance}}", &format!("saimon_store_bytes{{{OWN}}}"))
            .unit("bytes"),
    );
    grid.add(
        4,
        7,
        Panel::new(
            "stat",
            "Store is well",
            "Whether it takes writes, and whether it was there at start.",
        )
        .query("writes", &format!("min(saimon_store_ok{{{OWN}}})"))
        .query(
            "opened",
            &format!("1 - max(saimon_store_moved_aside{{{OWN}}})"),
        )
        .words(&[(0, "no", "red"), (1, "yes", "green")]),
    );
    grid.add(
        4,
        7,
        Panel::new(
            "stat",
            "Trouble",
            "In the last hour: writes answered 503, series not taken, store errors.",
        )
        .query(
            "queue full",
            &format!("sum(increase(saimon_queue_full_total{{{OWN}}}[1h]))"),
        )
        .query(
            "series not taken",
            &format!("sum(increase(saimon_series_dropped_total{{{OWN}}}[1h])) or vector(0)"),
        )
        .query(
            "store errors",
            &format!("sum(increase(saimon_store_errors_total{{{OWN}}}[1h]))"),
        )
        .decimals(0)
        .steps(&[(0.0, "green"), (0.5, "orange")]),
    );
}
