//! What is read from saimon: metrics, scores, health and the index.

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};

use saimon::config::Severity;
use saimon::expose::accept::Format;
use saimon::score::board::{Alarm, AlarmState, Reason, Side};
use saimon::score::label_text::read;
use saimon::series::labels::encode;

use crate::server::Server;

const OPENMETRICS: &str = "accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1\r\n";

const ALARM: Alarm = Alarm {
    state: AlarmState::Active,
    severity: Severity::Critical,
    side: Side::Down,
    reason: Reason::Drop,
};

fn add(server: &mut Server, labels: &str, score: f32, alarm: Option<Alarm>) {
    let text = format!("{{{labels}");
    let labels = read::labels(&text);
    let canonical = encode(labels.iter().map(|(name, value)| match &**name {
        "source_metric" => ("__name__", &**value),
        name => (name, &**value),
    }));
    let at = server.board.add_labels(&canonical);
    server.board.publish_labels();
    server.board.set(at, score, alarm);
}

/// Fails if promtool has anything to say about the page. It comes with Debian's prometheus.
fn promtool(page: &[u8]) {
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed by make test");
    tool.stdin.take().unwrap().write_all(page).unwrap();
    let said = tool.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&said.stderr) + String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success() && text.is_empty(), "promtool: {text}");
}

fn score_lines(page: &str) -> Vec<&str> {
    page.lines()
        .filter(|l| l.starts_with("saimon_anomaly_score{"))
        .collect()
}

#[test]
fn both_pages_pass_promtool_as_text_and_end_with_eof_as_openmetrics() {
    let mut server = Server::start(|_| {});
    add(
        &mut server,
        r#"job="a\"b\\c\nd",source_metric="up""#,
        0.25,
        None,
    );
    add(
        &mut server,
        "job=\"\u{e4}\",source_metric=\"load\"",
        0.995,
        Some(ALARM),
    );
    server.metrics.detection_latency.observe(0.01);
    server.metrics.scores_left_out.set(3);
    server.get("/api/v1/write", "");
    for path in ["/metrics", "/metrics/scores"] {
        let text = server.get(path, "");
        assert_eq!(text.status, 200);
        assert_eq!(
            text.header("content-type"),
            Some(Format::Text.content_type())
        );
        promtool(&text.body);
        let open = server.get(path, OPENMETRICS);
        assert_eq!(
            open.header("content-type"),
            Some(Format::OpenMetrics.content_type())
        );
        assert!(open.text().ends_with("\n# EOF\n"));
        assert_eq!(open.text().matches("# EOF").count(), 1);
        assert!(!text.text().contains("# EOF"));
    }
}

#[test]
fn metrics_have_saimons_own_and_the_process_under_their_usual_names() {
    let server = Server::start(|_| {});
    server.get("/api/v1/write", "");
    let page = server.get("/metrics", "");
    let version = env!("CARGO_PKG_VERSION");
    for line in [
        format!("saimon_build_info{{version=\"{version}\"}} 1"),
        "# TYPE saimon_ingest_requests_total counter".to_owned(),
        "saimon_ingest_requests_total{code=\"405\"} 1".to_owned(),
        "saimon_ingest_samples_total{protocol=\"1.0\",outcome=\"accepted\"} 0".to_owned(),
    ] {
        assert!(
            page.text().lines().any(|l| l == line),
            "{line} in\n{}",
            page.text()
        );
    }
    for name in [
        "cpu_seconds_total",
        "resident_memory_bytes",
        "open_fds",
        "max_fds",
        "start_time_seconds",
        "virtual_memory_bytes",
    ] {
        assert!(
            page.text().contains(&format!("\nprocess_{name} ")),
            "{name}"
        );
    }
    assert!(!page.text().contains("saimon_process"));
}

#[test]
fn pages_are_compressed_only_if_asked() {
    let mut server = Server::start(|_| {});
    for i in 0..3_000 {
        let labels = format!("instance=\"host-{i}:9100\",source_metric=\"m\"");
        add(&mut server, &labels, 0.5, None);
    }
    let plain = server.get("/metrics/scores", "");
    assert_eq!(plain.header("content-encoding"), None);
    assert_eq!(score_lines(plain.text()).len(), 3_000);
    let packed = server.get("/metrics/scores", "accept-encoding: gzip\r\n");
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    assert!(packed.body.len() < plain.body.len() / 4);
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    assert!(unpacked == plain.body);
    assert_eq!(
        server
            .get("/metrics", "accept-encoding: gzip\r\n")
            .header("content-encoding"),
        Some("gzip")
    );
}

#[test]
fn above_the_limit_the_anomalous_and_the_highest_are_shown_and_the_rest_counted() {
    let mut server = Server::start(|limits| limits.score_lines = 3);
    for i in 0..10_u8 {
        let labels = format!("i=\"{i}\",source_metric=\"m\"");
        let alarm = (i == 2).then_some(ALARM);
        add(&mut server, &labels, f32::from(i) / 10.0, alarm);
    }
    let page = server.get("/metrics/scores", "");
    let expected = [
        "saimon_anomaly_score{i=\"2\",source_metric=\"m\"} 0.200",
        "saimon_anomaly_score{i=\"8\",source_metric=\"m\"} 0.800",
        "saimon_anomaly_score{i=\"9\",source_metric=\"m\"} 0.900",
    ];
    assert_eq!(score_lines(page.text()), expected);
    assert_eq!(server.metrics.scores_left_out.get(), 7);
}

#[test]
fn selectors_choose_lines_of_either_family() {
    let mut server = Server::start(|_| {});
    add(&mut server, r#"job="a",source_metric="load""#, 0.1, None);
    add(&mut server, r#"job="b\"x",source_metric="load""#, 0.2, None);
    add(
        &mut server,
        r#"job="a",source_metric="up""#,
        0.9,
        Some(ALARM),
    );
    let scores = |query: &str| {
        let page = server.get(&format!("/metrics/scores?{query}"), "");
        assert_eq!(page.status, 200, "{}", page.text());
        let anomalies = page.text().matches("\nsaimon_anomaly{").count();
        (score_lines(page.text()).len(), anomalies)
    };
    let one = |selector: &str| format!("match[]={}", encoded(selector));
    assert_eq!(scores(""), (3, 1));
    assert_eq!(scores(&one(r#"{source_metric="load"}"#)), (2, 0));
    assert_eq!(scores(&one(r#"{job="b\"x"}"#)), (1, 0));
    assert_eq!(scores(&one(r#"{job=~"a|c"}"#)), (2, 1));
    assert_eq!(scores(&one(r#"saimon_anomaly"#)), (0, 1));
    assert_eq!(scores(&one(r#"{severity="critical"}"#)), (0, 1));
    assert_eq!(scores(&one(r#"{severity="low"}"#)), (0, 0));
    let two = format!(
        "{}&{}",
        one(r#"{source_metric="up"}"#),
        one(r#"{job!="a"}"#)
    );
    assert_eq!(scores(&two), (2, 1));
}

/// Percent-encodes everything that is not a letter or a digit.
fn encoded(text: &str) -> String {
    let escape = |b: u8| match b {
        b if b.is_ascii_alphanumeric() => (b as char).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[test]
fn bad_selectors_and_unknown_parameters_are_named() {
    let server = Server::start(|_| {});
    let bad = server.get(&format!("/metrics/scores?match[]={}", encoded("{job=")), "");
    assert_eq!(bad.status, 400);
    assert!(bad.text().contains("{job="), "{}", bad.text());
    let unknown = server.get("/metrics/scores?limit=5", "");
    assert_eq!(unknown.status, 400);
    assert!(unknown.text().contains("\"limit\""));
    let many = "match%5B%5D=up&".repeat(33);
    assert_eq!(
        server.get(&format!("/metrics/scores?{many}"), "").status,
        400
    );
}

#[test]
fn health_follows_the_life_of_the_process() {
    let server = Server::start(|_| {});
    server.metrics.store_ok.set(1);
    let status = |path: &str| server.get(path, "").status;
    assert_eq!(
        (status("/-/healthy"), status("/-/ready"), status("/health")),
        (200, 503, 503)
    );
    server.health.set_ready();
    assert_eq!(
        (status("/-/healthy"), status("/-/ready"), status("/health")),
        (200, 200, 200)
    );
    let health = server.get("/health", "");
    assert_eq!(health.header("content-type"), Some("application/json"));
    let json: serde_json::Value = serde_json::from_slice(&health.body).unwrap();
    assert_eq!(json["status"], "ok");
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["store"]["state"], "ok");
    server.health.set_stopping();
    assert_eq!((status("/-/healthy"), status("/-/ready")), (200, 503));
}

#[test]
fn the_index_names_every_endpoint() {
    let server = Server::start(|_| {});
    let page = server.get("/", "");
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    for path in [
        "/metrics/scores",
        "/metrics",
        "/health",
        "/-/ready",
        "/-/healthy",
        "/api/v1/write",
    ] {
        assert!(page.text().contains(path), "{path}");
    }
    // None that is written into the page: its policy would not let it run.
    let scripts = page.text().matches("<script").count();
    let own = page
        .text()
        .matches("<script type=\"module\" src=\"/ui/")
        .count();
    assert_eq!((scripts, own), (1, 1));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"));
}
