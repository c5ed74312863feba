//! From a real Prometheus to a real alert and back, with saimon restarted and killed on the way.
//!
//! The stack is the demo's. Its days are shorter still, and everything happens in one test: starting
//! five processes and waiting out a warm-up is what takes the time.

#[path = "support/browser.rs"]
mod browser;
#[path = "support/dashboard.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod dashboard;
#[path = "../examples/demo/stack.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod stack;

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use saimon::clock::{Clock as _, SystemClock};
use serde_json::json;

use stack::band::{self, Band};
use stack::pace::{DAY, SHIFT, WARMUP, YOUNG};
use stack::pages::{self, Labels, Sample};
use stack::{Options, Stack, http};

const CHECKPOINT: Duration = Duration::from_secs(3);

/// What is broken: a load that a machine has at no time of the day.
const METRIC: &str = "demo_load1";
const NODE: &str = "n1";
const FAULT_LASTS: Duration = Duration::from_secs(20);

/// What a panel looks at a minute at a time is looked at by the second: the days of this stack are
/// minutes, and an anomaly may end before a minute is full.
const BY_THE_MINUTE: &str = "[1h:1m]";
const BY_THE_SECOND: &str = "[1h:1s]";

/// What a user chooses in the dashboard, and what Grafana fills in.
const GRAFANA_VARS: [(&str, &str); 8] = [
    ("labels", ""),
    ("by", "job"),
    ("job", ".*"),
    ("instance", ".*"),
    ("metric", METRIC),
    ("saimon", "saimon"),
    ("__rate_interval", "15s"),
    ("DS_PROMETHEUS", "prometheus"),
];

/// The score at which a sample lies on its band's edge.
const LINE: f64 = 0.7;

/// Scores after a restart must be there in less time than a warm-up takes, by far.
const BACK_AT_ONCE: Duration = Duration::from_secs(12);

#[test]
fn a_fault_becomes_an_alert_and_models_survive_restarts() {
    let mut stack = Stack::start(Options {
        saimon: PathBuf::from(env!("CARGO_BIN_EXE_saimon")),
        day: DAY,
        warmup: WARMUP,
        // the others are too young to alert: how often they would is a matter of other tests
        alerting: "{__name__=\"demo_load1\"}",
        young: YOUNG,
        checkpoint: CHECKPOINT,
        seed: 7,
        keep: false,
    })
    .unwrap_or_else(|e| panic!("the stack does not start: {e:#}"));

    warm_up(&mut stack);
    both_pages_satisfy_promtool(&stack);
    fault_alerts(&mut stack);
    every_panel_has_data(&mut stack);
    score_returns(&mut stack);
    the_graph_page_draws_the_band(&mut stack);
    no_warm_up_after(&mut stack, "SIGTERM", |stack| {
        stack
            .stop_saimon()
            .unwrap_or_else(|e| panic!("saimon does not end well: {e:#}"));
    });
    // so that nothing younger than a checkpoint is needed
    std::thread::sleep(CHECKPOINT * 2);
    no_warm_up_after(&mut stack, "SIGKILL", |stack| stack.saimon.kill());
    alert_ends(&mut stack);
    nothing_was_lost_on_the_way(&mut stack);
    nothing_else_alerted(&mut stack);
}

/// Waits until `ready` gives something; names the thing and shows the logs if it does not.
#[track_caller]
fn eventually<T>(
    stack: &mut Stack,
    what: &str,
    deadline: Duration,
    mut ready: impl FnMut(&Stack) -> Option<T>,
) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = ready(stack) {
            println!("{:6.1} s  {what}", start.elapsed().as_secs_f64());
            return found;
        }
        if let Err(error) = stack.check() {
            panic!("while waiting until {what}: {error:#}");
        }
        assert!(
            start.elapsed() < deadline,
            "waited {} s until {what}\n{}",
            deadline.as_secs(),
            stack.log_tails(15)
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn scores_page(stack: &Stack) -> Vec<Sample> {
    http::page(stack.ports.saimon, "/metrics/scores")
        .and_then(|page| pages::samples(&page))
        .unwrap_or_default()
}

fn scored(stack: &Stack) -> usize {
    scores_page(stack)
        .iter()
        .filter(|s| s.name == "saimon_anomaly_score")
        .count()
}

/// The score of the series that is to have the fault.
fn score(stack: &Stack) -> Option<f64> {
    scores_page(stack)
        .iter()
        .find(|s| s.name == "saimon_anomaly_score" && is_target(&s.labels))
        .map(|s| s.value)
}

fn is_target(labels: &Labels) -> bool {
    let is = |name: &str, value: &str| labels.get(name).is_some_and(|v| v == value);
    is("source_metric", METRIC) && is("node", NODE)
}

/// An incident that alerts has a series that alerts, so those about incidents tell nothing more.
fn is_of_incident(labels: &Labels) -> bool {
    let name = labels.get("alertname");
    name.is_some_and(|n| n.starts_with("SaimonIncident"))
}

/// The sum of a metric of saimon's own page over all of its labels.
fn own(stack: &Stack, name: &str, label: Option<(&str, &str)>) -> f64 {
    let page = http::page(stack.ports.saimon, "/metrics").unwrap_or_default();
    pages::samples(&page)
        .unwrap_or_default()
        .iter()
        .filter(|s| s.name == name)
        .filter(|s| label.is_none_or(|(k, v)| s.labels.get(k).is_some_and(|l| l == v)))
        .map(|s| s.value)
        .sum()
}

fn warm_up(stack: &mut Stack) {
    eventually(
        stack,
        "Prometheus has scraped saimon's scores of its own series",
        Duration::from_secs(u64::from(WARMUP) + 60),
        |stack| {
            let expr = format!("saimon_anomaly_score{{source_metric=\"{METRIC}\"}}");
            let rows = pages::query(stack.ports.prometheus, &expr).ok()?;
            (!rows.is_empty()).then_some(())
        },
    );
    eventually(
        stack,
        "series are old enough to alert",
        Duration::from_secs(u64::from(YOUNG) + 60),
        |stack| {
            let expr = "count_over_time(up{job=\"demo\"}[1h])";
            let rows = pages::query(stack.ports.prometheus, expr).ok()?;
            (rows.first()?.1 > f64::from(YOUNG + 10)).then_some(())
        },
    );
    let before = score(stack).expect("the score that was there is gone");
    assert!(
        before < LINE,
        "without a fault the score of {METRIC} is {before}"
    );
}

fn both_pages_satisfy_promtool(stack: &Stack) {
    for page in ["/metrics", "/metrics/scores"] {
        let text = http::page(stack.ports.saimon, page).unwrap();
        assert!(
            text.lines().any(|l| l.starts_with("saimon_")),
            "{page} has no series of saimon:\n{text}"
        );
        let mut promtool = Command::new("promtool")
            .args(["check", "metrics"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cannot start promtool: it comes with Debian's prometheus");
        promtool
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = promtool.wait_with_output().unwrap();
        assert!(
            output.status.success(),
            "promtool check metrics refuses {page}:\n{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

fn fault_alerts(stack: &mut Stack) {
    let order = json!({
        "kind": "level_shift",
        "series": format!("{METRIC}{{node=\"{NODE}\"}}"),
        "size": SHIFT,
        "for": format!("{}s", FAULT_LASTS.as_secs()),
    });
    let answer = http::post_json(stack.ports.generator, "/faults", &order).unwrap();
    assert!(
        (200..300).contains(&answer.status),
        "the generator refused {order}: {} {}",
        answer.status,
        answer.body
    );
    eventually(
        stack,
        "the score of the faulty series crosses the line",
        FAULT_LASTS,
        |stack| score(stack).filter(|s| *s >= LINE),
    );
    eventually(
        stack,
        "its alert is in Alertmanager",
        FAULT_LASTS + Duration::from_secs(40),
        |stack| {
            let alerts = pages::alerts(stack.ports.alertmanager).ok()?;
            alerts.into_iter().map(|a| a.labels).find(is_target)
        },
    );
}

/// When the alert of the faulty series began to fire: its anomaly was there then, however long it takes
/// to ask about a hundred queries.
fn fired_at(stack: &Stack) -> Option<f64> {
    let alert = format!("ALERTS{{source_metric=\"{METRIC}\",alertstate=\"firing\"}}");
    let expr = format!("min_over_time(timestamp({alert})[5m:1s])");
    let rows = pages::query(stack.ports.prometheus, &expr).unwrap();
    Some(rows.first()?.1)
}

/// With `SAIMON_PANELS` set to a folder, the table of docs/dashboards.md and what the panels show are
/// written there, for `scripts/panels`.
fn every_panel_has_data(stack: &mut Stack) {
    let folder = std::env::var_os("SAIMON_PANELS").map(PathBuf::from);
    let mut table = String::new();
    let mut drawn = Vec::new();
    let mut empty = Vec::new();
    // Prometheus sends it first and writes it down then.
    let fired_at = eventually(
        stack,
        "its alert is a series in Prometheus",
        Duration::from_secs(10),
        fired_at,
    );
    for dashboard in saimon::rules::dashboard::all() {
        table.push_str(&dashboard::heading(&dashboard));
        let mut vars = GRAFANA_VARS;
        if dashboard.uid == "saimon-series" {
            vars[0].1 = "node=\"n1\"";
        }
        for query in dashboard::queries(&dashboard, &vars) {
            let expr = query.expr.replace(BY_THE_MINUTE, BY_THE_SECOND);
            let rows = pages::query_at(stack.ports.prometheus, &expr, fired_at)
                .unwrap_or_else(|e| panic!("{}: {}: {e:#}", dashboard.uid, query.panel));
            table.push_str(&query.line(rows.len()));
            if rows.is_empty() {
                empty.push(format!(
                    "{}: {}: {}",
                    dashboard.uid, query.panel, query.expr
                ));
            }
            if !query.is_variable {
                drawn.push((dashboard.uid, query));
            }
        }
    }
    println!("{table}");
    if let Some(folder) = folder {
        std::fs::write(folder.join("table.md"), &table).unwrap();
        // a fault that can be seen
        std::thread::sleep(FAULT_LASTS / 2);
        let drawn: Vec<_> = drawn
            .iter()
            .map(|(dashboard, query)| {
                json!({
                    "dashboard": dashboard,
                    "panel": query.panel,
                    "legend": query.legend,
                    "result": range(stack, &query.expr),
                })
            })
            .collect();
        std::fs::write(folder.join("panels.json"), json!(drawn).to_string()).unwrap();
    }
    assert!(
        empty.is_empty(),
        "panels without data while an anomaly is under way:\n{}",
        empty.join("\n")
    );
}

/// The last two minutes of a query.
fn range(stack: &Stack, expr: &str) -> serde_json::Value {
    let now = SystemClock.now_ms() / 1000;
    let path = format!(
        "/api/v1/query_range?query={}&start={}&end={now}&step=1",
        http::encode(expr),
        now - 120
    );
    let page = http::page(stack.ports.prometheus, &path).unwrap();
    let mut json: serde_json::Value = serde_json::from_str(&page).unwrap();
    json["data"]["result"].take()
}

/// Prometheus' own page, at the address that the demo prints: value and band in one panel, the score in
/// another, drawn by what saimon computes when it is asked. `SAIMON_PANELS` keeps the picture, too.
fn the_graph_page_draws_the_band(stack: &mut Stack) {
    let of = Band {
        metric: METRIC,
        node: NODE,
    };
    let prometheus = stack.ports.prometheus;
    eventually(
        stack,
        "Prometheus reads the band from saimon",
        Duration::from_secs(20),
        |_| of.drawn(prometheus).ok(),
    );
    let page = browser::visit(&of.address(prometheus), (1200, 1560));
    for name in band::READ.iter().chain([&METRIC]) {
        let shown = page.lines.iter().filter(|line| line.name == *name).count();
        assert_eq!(shown, 1, "{name} in the legends of {:?}", page.lines);
    }
    for line in &page.lines {
        assert!(line.points >= 10, "{line:?} is no line");
    }
    // A fault, and so at least one line that is not flat.
    let score = page.lines.iter().find(|l| l.name == band::READ[0]).unwrap();
    assert!(score.height > 50.0, "the score went up: {score:?}");
    let colours = browser::colours(&page.picture);
    for line in &page.lines {
        let seen = colours.get(&line.colour).copied().unwrap_or_default();
        assert!(seen >= 50, "{line:?} has {seen} pixels");
    }
    if let Some(folder) = std::env::var_os("SAIMON_PANELS").map(PathBuf::from) {
        std::fs::write(folder.join("prometheus.png"), &page.picture).unwrap();
    }
}

fn score_returns(stack: &mut Stack) {
    let deadline = FAULT_LASTS + Duration::from_secs(30);
    eventually(stack, "the fault is over", deadline, |stack| {
        let truth = http::page(stack.ports.generator, "/faults").ok()?;
        (!truth.contains("\"active\"")).then_some(())
    });
    eventually(
        stack,
        "the score returns after the fault",
        deadline,
        |stack| score(stack).filter(|s| *s < LINE),
    );
    eventually(stack, "the anomaly is over", deadline, |stack| {
        let active = scores_page(stack)
            .iter()
            .any(|s| s.name == "saimon_anomaly" && is_target(&s.labels));
        (!active).then_some(())
    });
}

/// The rule lets an alert outlive its anomaly by a minute.
fn alert_ends(stack: &mut Stack) {
    eventually(
        stack,
        "the alert has ended",
        Duration::from_secs(90),
        |stack| {
            let alerts = pages::alerts(stack.ports.alertmanager).ok()?;
            (!alerts.iter().any(|a| is_target(&a.labels))).then_some(())
        },
    );
}

fn no_warm_up_after(stack: &mut Stack, how: &str, end: impl FnOnce(&mut Stack)) {
    let before = scored(stack);
    assert!(before > 100, "only {before} series are scored");
    end(stack);
    stack
        .start_saimon()
        .unwrap_or_else(|e| panic!("saimon does not start after {how}: {e:#}"));
    let moved = own(stack, "saimon_store_moved_aside", None);
    assert_eq!(moved, 0.0, "the store could not be opened after {how}");
    let what = format!("{before} series are scored again after {how}");
    eventually(stack, &what, BACK_AT_ONCE, |stack| {
        // a few may have come into being just before
        (scored(stack) * 10 >= before * 9).then_some(())
    });
}

/// Prometheus retries what was refused during a restart; nothing may be given up.
fn nothing_was_lost_on_the_way(stack: &mut Stack) {
    let page = http::page(stack.ports.prometheus, "/metrics").unwrap();
    let samples = pages::samples(&page).unwrap();
    let total = |name: &str| -> f64 {
        samples
            .iter()
            .filter(|s| s.name == name)
            .map(|s| s.value)
            .sum()
    };
    let failed = total("prometheus_remote_storage_samples_failed_total");
    assert_eq!(
        failed, 0.0,
        "Prometheus gave up samples that saimon refused"
    );
    assert!(total("prometheus_remote_storage_samples_total") > 0.0);
    let refused = own(stack, "saimon_ingest_requests_total", Some(("code", "400")));
    assert_eq!(refused, 0.0, "saimon refused requests of Prometheus");
}

fn nothing_else_alerted(stack: &mut Stack) {
    let expr = "max_over_time(ALERTS{alertstate=\"firing\"}[1h])";
    let others: Vec<String> = pages::query(stack.ports.prometheus, expr)
        .unwrap()
        .into_iter()
        .filter(|(labels, _)| !is_target(labels) && !is_of_incident(labels))
        .map(|(labels, _)| pages::display("alert", &labels, &["__name__"]))
        .collect();
    assert!(
        others.is_empty(),
        "alerts that nobody ordered:\n{}",
        others.join("\n")
    );
}
