//! An incident of twelve series pages once: the real Prometheus with the rules that `saimon rules`
//! writes, and the real Alertmanager with their inhibitions, down to the webhook.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::{Value, json};

use crate::serving::{SAIMON, Serving};

const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 600;
const SERIES: usize = 12;
/// After the first notification, in case there are more.
const AFTERMATH: Duration = Duration::from_secs(8);

/// Ended when dropped.
struct Running(Child);

impl Running {
    fn start(command: &mut Command) -> Self {
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        Self(
            command
                .spawn()
                .unwrap_or_else(|e| panic!("{command:?}: {e}")),
        )
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is posted to this port, one body at a time.
fn webhook() -> (u16, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (to, posted) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if to.send(body(&stream)).is_err() {
                return;
            }
        }
    });
    (port, posted)
}

fn body(stream: &TcpStream) -> Value {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim().to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let mut answer = stream;
    answer
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        .unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Twelve series of one instance, whose last samples are far out, and as many of another one in good
/// health.
fn request(end_ms: i64) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let mut random = fastrand::Rng::with_seed(7);
    let mut timeseries = Vec::new();
    for instance in ["a:1", "b:1"] {
        for n in 0..SERIES {
            let sample = |i: i64| {
                let noise: f64 = (0..4).map(|_| random.f64()).sum();
                let wild = instance == "a:1" && i >= SAMPLES - 5;
                proto::Sample {
                    value: 100.0 + noise + if wild { 40.0 } else { 0.0 },
                    timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
                }
            };
            timeseries.push(proto::TimeSeries {
                samples: (0..SAMPLES).map(sample).collect(),
                labels: vec![
                    label("__name__", &format!("shop_metric_{n}")),
                    label("instance", instance),
                    label("job", "shop"),
                ],
                ..Default::default()
            });
        }
    }
    proto::WriteRequest {
        timeseries,
        ..Default::default()
    }
}

/// The written inhibitions, with a receiver.
fn alertmanager_yml(written: &Path, hook: u16) -> String {
    let text = std::fs::read_to_string(written).unwrap();
    let mut file: Value = serde_saphyr::from_str(&text).unwrap();
    let url = format!("http://127.0.0.1:{hook}/");
    file["receivers"][0]["webhook_configs"] = json!([{"url": url, "send_resolved": false}]);
    file["route"]["group_wait"] = json!("4s");
    file["route"]["group_interval"] = json!("2s");
    serde_saphyr::to_string(&file).unwrap()
}

fn answers(port: u16) {
    let start = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(start.elapsed() < Duration::from_secs(60), "port {port}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn an_incident_of_twelve_series_pages_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let config = at("saimon.yaml");
    let holds = "{low: 0s, medium: 0s, high: 0s, critical: 0s}";
    std::fs::write(
        &config,
        format!("detect: {{young: 0}}\nalerting: {{min_severity: low, hold: {holds}}}\n"),
    )
    .unwrap();
    let rules = Command::new(SAIMON)
        .args(["rules", "--config", &config, "--out", &at("rules")])
        .output()
        .unwrap();
    assert!(rules.status.success(), "{rules:?}");
    let (hook, posted) = webhook();
    let written = folder.path().join("rules").join(crate::ALERTMANAGER_FILE);
    std::fs::write(at("alertmanager.yml"), alertmanager_yml(&written, hook)).unwrap();

    let args = ["--config", config.as_str()];
    let saimon = Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &args);
    let (alerts, prometheus) = (free_port(), free_port());
    let rules = folder.path().join("rules").join(crate::RULES_FILE);
    std::fs::write(
        at("prometheus.yml"),
        format!(
            "global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}\n\
             rule_files: ['{}']\n\
             scrape_configs:\n  - {{job_name: saimon-scores, honor_labels: true, metrics_path: /metrics/scores, \
             static_configs: [{{targets: ['{}']}}]}}\n\
             alerting: {{alertmanagers: [{{static_configs: [{{targets: ['127.0.0.1:{alerts}']}}]}}]}}\n",
            rules.display(),
            saimon.address
        ),
    )
    .unwrap();
    let _alertmanager = Running::start(
        Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", at("alertmanager.yml")))
            .arg(format!("--storage.path={}", at("alertmanager")))
            .arg(format!("--web.listen-address=127.0.0.1:{alerts}"))
            .arg("--cluster.listen-address="),
    );
    answers(alerts);
    let _prometheus = Running::start(
        Command::new("prometheus")
            .arg(format!("--config.file={}", at("prometheus.yml")))
            .arg(format!("--storage.tsdb.path={}", at("prometheus")))
            .arg(format!("--web.listen-address=127.0.0.1:{prometheus}")),
    );
    answers(prometheus);

    let sent = saimon.connect().write(&request(SystemClock.now_ms()));
    assert_eq!(sent.status, 204, "{}", sent.text());
    let first = posted.recv_timeout(Duration::from_secs(90));
    let first = first.unwrap_or_else(|e| panic!("{e}: {}", state(&saimon)));
    let more: Vec<_> = std::iter::from_fn(|| posted.recv_timeout(AFTERMATH).ok()).collect();
    // Those about saimon's health have nothing to do with it: nobody scrapes that here.
    let about_health = |v: &Value| v["commonLabels"].get("incident").is_none() && is_of_health(v);
    let all: Vec<_> = std::iter::once(&first)
        .chain(&more)
        .filter(|v| !about_health(v))
        .collect();
    assert_eq!(all.len(), 1, "{all:?}\n{}", state(&saimon));
    let told = all[0]["alerts"].as_array().unwrap();
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!(told[0]["labels"]["alertname"], "SaimonIncident");
    let summary = told[0]["annotations"]["summary"].as_str().unwrap();
    assert_eq!(summary, "12 anomalies are one incident of job shop on a:1");
    let id = told[0]["labels"]["incident"].as_str().unwrap();
    let link = format!("/api/v1/incidents/{id}");
    let one = saimon.connect().get(&link, "");
    let one: Value = serde_json::from_str(one.text()).unwrap();
    assert_eq!(one["incident"]["series"], SERIES);
    assert_eq!(one["incident"]["labels"]["instance"], "a:1");
    selected(&saimon, id);
    // All twelve do alert, and are silenced.
    let alerts = format!("http://127.0.0.1:{alerts}/api/v2/alerts");
    let alerts = Command::new("curl").args(["-s", &alerts]).output().unwrap();
    let alerts: Vec<Value> = serde_json::from_slice(&alerts.stdout).unwrap();
    let silenced = |a: &&Value| {
        a["labels"]["alertname"] == "SaimonAnomaly"
            && !a["status"]["inhibitedBy"].as_array().unwrap().is_empty()
    };
    assert!(
        alerts.iter().filter(silenced).count() >= SERIES,
        "{alerts:?}"
    );
}

/// Lines of incidents are selected as all others are.
fn selected(saimon: &Serving, id: &str) {
    let lines = |selector: &str| {
        let page = saimon
            .connect()
            .get(&format!("/metrics/scores?match[]={selector}"), "");
        let page = page.text().to_owned();
        let lines = page.lines().filter(|l| !l.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let one = lines("saimon_incident_members");
    let wanted =
        format!("saimon_incident_members{{incident=\"{id}\",instance=\"a:1\",job=\"shop\"}} 12");
    assert_eq!(one, [wanted]);
    let member = "saimon_incident_member%7Bsource_metric%3D%22shop_metric_3%22%7D";
    let one = lines(member);
    assert_eq!(one.len(), 1, "{one:?}");
    let begins = "saimon_incident_member{instance=\"a:1\",job=\"shop\",source_metric=\"shop_metric_3\",incident=";
    assert!(one[0].starts_with(begins), "{one:?}");
    assert_eq!(lines(&format!("%7Bincident%3D%22{id}%22%7D")).len(), 15);
}

fn is_of_health(notification: &Value) -> bool {
    let alerts = notification["alerts"].as_array().unwrap();
    let name = |a: &Value| a["labels"]["alertname"].as_str().unwrap().to_owned();
    let others = [
        "SaimonAnomaly",
        "SaimonGroupAnomaly",
        "SaimonIncident",
        "SaimonIncidentMember",
    ];
    alerts.iter().all(|a| !others.contains(&name(a).as_str()))
}

/// For the reader of a failed test.
fn state(saimon: &Serving) -> String {
    let page = saimon
        .connect()
        .get("/metrics/scores", "")
        .text()
        .to_owned();
    let few = page
        .lines()
        .filter(|l| l.contains("saimon_anomaly{") || l.contains("incident"));
    few.collect::<Vec<_>>().join("\n")
}
