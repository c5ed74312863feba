//! One metric in detail: its value in its band, its score, its state.

use serde_json::Value;

use super::{Grid, Panel, SOURCE, variable};

/// The one metric.
const CHOSEN: &str = "source_metric=\"$metric\", job=~\"$job\", instance=~\"$instance\", $labels";

/// Names of series that are scored by their rate.
const COUNTERS: &str = ".+_(total|count|sum)";

/// Bounds that many times what was expected, and one, are not drawn.
const FAR: u32 = 20;

pub(super) fn variables() -> Vec<Value> {
    vec![
        variable::prometheus(),
        variable::job(),
        variable::instance(),
        variable::metric(),
        variable::labels("Further matchers, until one series is left: mode=\"idle\", cpu=\"0\""),
    ]
}

pub(super) fn panels(grid: &mut Grid) {
    grid.row("Metric: $metric");
    value(grid);
    score(grid);
    state(grid);
    grid.row("By remote read: $metric");
    remote(grid);
}

/// What is judged: a gauge's value, the rate of a counter, of a histogram the mean.
fn judged() -> String {
    let of = |suffix: &str, more: &str| {
        format!("{{__name__=\"${{metric}}{suffix}\", {more}{SOURCE}, $labels}}")
    };
    let rate = |suffix: &str, more: &str| format!("rate({}[$__rate_interval])", of(suffix, more));
    let counters = format!("__name__=~\"{COUNTERS}\", ");
    let others = format!("__name__!~\"{COUNTERS}\", ");
    format!(
        "{} or {} or {} / {}",
        of("", &others),
        rate("", &counters),
        rate("_sum", ""),
        rate("_count", "")
    )
}

fn band(panel: Panel, more: &str) -> Panel {
    let of = |name: &str| format!("{name}{{{more}{CHOSEN}}}");
    let expected = of("saimon_expected");
    // Of a series that is hardly known any value would do, and nothing else would be seen beside it.
    let far = format!("{FAR} * (1 + abs({expected}))");
    panel
        .query("value", &judged())
        .query("expected", &expected)
        .query("lower", &format!("{} > -{far}", of("saimon_lower_bound")))
        .query("upper", &format!("{} < {far}", of("saimon_upper_bound")))
        .between("lower", "upper")
}

fn value(grid: &mut Grid) {
    grid.add(
        24,
        9,
        band(
            Panel::new(
                "timeseries",
                "Value and band of $metric",
                "A counter as its rate, a histogram as its mean. The band needs outputs.remote_write \
                 with series: [expected, bounds], or the row below. Bounds twenty times as large as \
                 what was expected are not drawn.",
            ),
            "",
        ),
    );
}

fn score(grid: &mut Grid) {
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
}

fn state(grid: &mut Grid) {
    let anomaly = |state: &str| {
        format!(
            "max without (state, severity, direction, reason) \
             (saimon_anomaly{{state=\"{state}\", {CHOSEN}}})"
        )
    };
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

/// What nobody stores: Prometheus asks saimon for it when a panel is drawn.
fn remote(grid: &mut Grid) {
    let virtual_ = |name: &str| format!("{name}{{saimon=\"virtual\", {CHOSEN}}}");
    grid.add(
        24,
        9,
        band(
            Panel::new(
                "timeseries",
                "Value and band of $metric, by remote read",
                "As far back as saimon keeps samples. Needs remote_read in Prometheus.",
            ),
            "saimon=\"virtual\", ",
        ),
    );
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Score of $metric, by remote read",
            "Of every sample that is kept.",
        )
        .query("", &virtual_("saimon_anomaly_score"))
        .range(0.0, 1.0)
        .decimals(3)
        .severities(true),
    );
    grid.add(
        12,
        8,
        Panel::new(
            "timeseries",
            "Evidence and rarity of $metric, by remote read",
            "Evidence in units of the line; a rarity of 3 is once in a thousand samples.",
        )
        .query("evidence", &virtual_("saimon_deviation"))
        .query("rarity", &virtual_("saimon_rarity")),
    );
}
