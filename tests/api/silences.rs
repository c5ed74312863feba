//! Silences of the real Alertmanager are windows in which nothing is learned.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;
use serde_json::{Value, json};

use crate::get;
use crate::serving::Serving;

const PATH: &str = "/api/v1/maintenance?source=alertmanager";

/// Ended when dropped.
struct Alertmanager(Child, u16);

impl Alertmanager {
    fn start(folder: &Path) -> Self {
        // None that a connection may have for its own end, and so be connected to itself.
        let mut ports = std::iter::repeat_with(|| fastrand::u16(20_000..30_000));
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let port = ports.find(is_free).unwrap();
        let config = folder.join("alertmanager.yml");
        std::fs::write(&config, "route: {receiver: x}\nreceivers: [{name: x}]\n").unwrap();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.path={}", folder.join("am").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .arg("--cluster.listen-address=")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("an Alertmanager is needed for this test");
        let manager = Self(child, port);
        until("an Alertmanager", || {
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        manager
    }

    /// Asks it for something; gives the body of the answer.
    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.1)).unwrap();
        let length = body.len();
        let head = format!(
            "{method} /api/v2/{path} HTTP/1.0\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        answer.split("\r\n\r\n").nth(1).unwrap().to_owned()
    }

    /// Adds a silence; gives its id.
    fn silence(&self, matchers: &[(&str, &str)]) -> String {
        let now = jiff::Timestamp::now();
        let matchers: Vec<_> = matchers
            .iter()
            .map(|(name, value)| {
                json!({"name": name, "value": value, "isRegex": true, "isEqual": true})
            })
            .collect();
        let silence = json!({
            "matchers": matchers, "createdBy": "ada", "comment": "moving disks",
            "startsAt": now.to_string(), "endsAt": (now + Duration::from_secs(3600)).to_string(),
        });
        let said: Value =
            serde_json::from_str(&self.ask("POST", "silences", &silence.to_string())).unwrap();
        said["silenceID"].as_str().unwrap().to_owned()
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..600 {
        if done() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} never happens");
}

fn start(folder: &Path, url: Option<u16>) -> Serving {
    let path = folder.join("saimon.yaml");
    configure(folder, url);
    let config = format!("--config={}", path.display());
    Serving::start_with(&folder.join("data"), "127.0.0.1:0", &[&config])
}

fn configure(folder: &Path, url: Option<u16>) {
    let manager = url.map_or(String::new(), |port| {
        format!("maintenance: {{alertmanager: {{url: 'http://127.0.0.1:{port}', interval: 1s}}}}\n")
    });
    let text = format!("{manager}detect: {{forest: {{memory: 0B}}}}\n");
    std::fs::write(folder.join("saimon.yaml"), text).unwrap();
}

/// Its window in what is listed.
fn window(saimon: &Serving, silence: &str) -> Option<Value> {
    let all = get(saimon, PATH);
    let mut all = all["windows"].as_array().unwrap().clone().into_iter();
    all.find(|w| w["silence"] == silence)
}

fn metric(saimon: &Serving, name: &str) -> f64 {
    let page = saimon.connect().get("/metrics", "");
    let text = page.text();
    let line = text.lines().find_map(|l| l.strip_prefix(name));
    line.unwrap_or_else(|| panic!("no {name}"))
        .trim()
        .parse()
        .unwrap()
}

#[test]
fn in_a_silence_nothing_is_learned() {
    let folder = tempfile::tempdir().unwrap();
    let manager = Alertmanager::start(folder.path());
    let of_b = manager.silence(&[("instance", "b|x")]);
    // As its page fills it in for an alert of a series.
    let of_c = manager.silence(&[
        ("alertname", "SaimonAnomaly"),
        ("instance", "c"),
        ("severity", "high"),
        ("source_metric", "queue_length"),
    ]);
    manager.silence(&[("alertname", "NodeDown"), ("instance", "a")]);
    let saimon = start(folder.path(), Some(manager.1));
    until("a window", || {
        window(&saimon, &of_c).is_some_and(|w| w["state"] == "active")
    });
    let shown = window(&saimon, &of_b).unwrap();
    for (field, value) in [
        ("selector", json!("{instance=~\"b|x\"}")),
        ("alert", json!(true)),
        ("learn", json!(false)),
        ("author", json!("ada")),
        ("comment", json!("moving disks")),
        ("source", json!("alertmanager")),
        ("state", json!("active")),
    ] {
        assert_eq!(shown[field], value, "{shown}");
    }
    let other = window(&saimon, &of_c).unwrap();
    let selector = "{__name__=~\"queue_length\", instance=~\"c\"}";
    assert_eq!(other["selector"], selector);
    assert_eq!(metric(&saimon, "saimon_silences_held "), 2.0);
    assert_eq!(metric(&saimon, "saimon_silences_left_out "), 1.0);
    let path = format!("/api/v1/maintenance/{}", shown["id"].as_str().unwrap());
    let ended = saimon.connect().delete(&path);
    assert_eq!(ended.status, 400, "{}", ended.text());

    // Samples of after now.
    let now_ms = SystemClock.now_ms();
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let timeseries = ["a", "b", "c"].map(|instance| proto::TimeSeries {
        labels: vec![
            label("__name__", "queue_length"),
            label("instance", instance),
        ],
        samples: (0..200)
            .map(|i| proto::Sample {
                value: 50.0 + fastrand::Rng::with_seed(i as u64).f64(),
                timestamp: now_ms + 10_000 + i * 1000,
            })
            .collect(),
        ..Default::default()
    });
    let request = proto::WriteRequest {
        timeseries: timeseries.into(),
        ..Default::default()
    };
    assert_eq!(saimon.connect().write(&request).status, 204);
    let phase = |instance: &str| {
        let path = format!("/api/v1/series?match[]=%7Binstance=%22{instance}%22%7D");
        get(&saimon, &path)["series"][0]["phase"].clone()
    };
    until("scores of a", || phase("a") == "young");
    assert_eq!((phase("b"), phase("c")), (json!("warmup"), json!("warmup")));

    // One is expired there; the other stays when nobody answers any more, through a restart too.
    manager.ask("DELETE", &format!("silence/{of_b}"), "");
    let is = |saimon: &Serving, silence: &str, state: &str| {
        window(saimon, silence).is_some_and(|w| w["state"] == state)
    };
    until("an end", || is(&saimon, &of_b, "expired"));
    let port = manager.1;
    drop(manager);
    let failures = "saimon_silences_poll_failures_total ";
    until("a failure", || metric(&saimon, failures) > 0.0);
    assert!(is(&saimon, &of_c, "active"));
    drop(saimon);
    let saimon = start(folder.path(), Some(port));
    until("a failure", || metric(&saimon, failures) > 0.0);
    assert!(is(&saimon, &of_c, "active"));

    // Without a url they are no more.
    configure(folder.path(), None);
    let reloaded = saimon.connect().post_json("/-/reload", "");
    assert_eq!(reloaded.status, 200, "{}", reloaded.text());
    assert!(reloaded.text().contains("maintenance.alertmanager"));
    until("an end", || is(&saimon, &of_c, "expired"));
}
