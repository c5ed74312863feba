//! Real senders write to saimon and to another store at once, and both hold the same: every series,
//! every time, every bit of every value, staleness markers included.
//!
//! A vmagent 1.79 writes to saimon and to a Prometheus 2.42; a Prometheus 2.42 keeps what it writes.
//! In the middle saimon is gone for a while, so what it missed has to come again.

#[path = "support/client.rs"]
mod client;
#[path = "../examples/demo/stack/http.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod http;
#[path = "../examples/demo/stack/ports.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod ports;
#[path = "../examples/demo/stack/process.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod process;
#[path = "support/reading.rs"]
mod reading;

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use client::Client;
use process::{Process, Watchdog};
use reading::{ask, query, request, samples};

/// For anything to answer its first request, or to have what it was sent; a debug build on a busy
/// machine included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Before saimon goes, while it is gone, and after it has come back.
const BEFORE: Duration = Duration::from_secs(6);
const GONE: Duration = Duration::from_secs(5);
const AFTER: Duration = Duration::from_secs(5);

const SAIMON: usize = 0;
const STORE: usize = 1;
const NODE: usize = 2;
const GENERATOR: usize = 3;
const AGENT: usize = 4;

/// Everything that a test starts, in a folder that goes away with it.
struct Scene {
    ports: [u16; 5],
    folder: TempDir,
    watchdog: Arc<Watchdog>,
    targets: Vec<Process>,
}

impl Scene {
    /// With the two targets: node_exporter, and the generator with its histograms and odd labels.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let watchdog = Watchdog::start(Some(folder.path())).unwrap();
        let mut scene = Self {
            ports: ports::free().unwrap(),
            folder,
            watchdog,
            targets: Vec::new(),
        };
        let node = Command::new("prometheus-node-exporter")
            .arg(format!("--web.listen-address={}", scene.at(NODE)))
            .arg("--collector.disable-defaults")
            .args([
                "--collector.cpu",
                "--collector.loadavg",
                "--collector.meminfo",
            ])
            .run(&scene, "node_exporter");
        let generator = Command::new(env!("CARGO_BIN_EXE_saimon"))
            .args(["generate", "--listen", &scene.at(GENERATOR)])
            .args(["--day", "30s", "--seed", "3"])
            .run(&scene, "generator");
        scene.targets = vec![node, generator];
        for (i, port) in [NODE, GENERATOR].into_iter().enumerate() {
            let port = scene.ports[port];
            let answers = || http::page(port, "/metrics").ok().map(drop);
            scene.targets[i]
                .wait_for("it has metrics", PATIENCE, answers)
                .unwrap();
        }
        scene
    }

    fn at(&self, who: usize) -> String {
        format!("127.0.0.1:{}", self.ports[who])
    }

    fn dir(&self) -> &Path {
        self.folder.path()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir().join(name);
        fs::write(&path, text).unwrap();
        path
    }

    fn ready(&self, process: &mut Process, who: usize, path: &str) {
        let answers = || http::page(self.ports[who], path).ok().map(drop);
        process.wait_for("it is ready", PATIENCE, answers).unwrap();
    }

    fn saimon(&self) -> Process {
        let mut saimon = Command::new(env!("CARGO_BIN_EXE_saimon"))
            .args(["serve", "--grpc-listen", "off"])
            .args(["--http-listen", &self.at(SAIMON), "--data-dir"])
            .arg(self.dir().join("saimon"))
            .run(self, "saimon");
        self.ready(&mut saimon, SAIMON, "/-/ready");
        saimon
    }

    fn prometheus(&self, config: &str, args: &[&str]) -> Process {
        let config = self.file("prometheus.yml", config);
        let mut prometheus = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                self.dir().join("tsdb").display()
            ))
            .arg(format!("--web.listen-address={}", self.at(STORE)))
            .args(args)
            .run(self, "prometheus");
        self.ready(&mut prometheus, STORE, "/-/ready");
        prometheus
    }

    /// The two targets, as a list of jobs to scrape every half second.
    fn jobs(&self) -> String {
        format!(
            "scrape_configs:\n\
             - {{job_name: node, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{{targets: ['{}']}}]}}\n\
             - {{job_name: demo, scrape_interval: 500ms, scrape_timeout: 500ms, static_configs: [{{targets: ['{}']}}]}}\n",
            self.at(NODE),
            self.at(GENERATOR)
        )
    }

    /// All samples between two times that a store has, asked by remote read.
    fn stored(&self, who: usize, from_ms: i64, to_ms: i64) -> BTreeMap<String, Vec<(i64, u64)>> {
        let mut client = Client::connect(SocketAddr::from(([127, 0, 0, 1], self.ports[who])));
        let queries = vec![query(&[("__name__", "=~", ".+")], from_ms, to_ms)];
        let results = samples(&ask(&mut client, &request(&[], queries)));
        let series = results.into_iter().next().unwrap();
        series.into_iter().filter(|(_, s)| !s.is_empty()).collect()
    }

    /// Asks saimon until it has everything up to a time that the other store has, and compares.
    fn both_hold_the_same(&self, from_ms: i64, to_ms: i64) {
        let wanted = self.stored(STORE, from_ms, to_ms);
        let all: usize = wanted.values().map(Vec::len).sum();
        assert!(
            wanted.len() > 100 && all > 2_000,
            "{} series, {all}",
            wanted.len()
        );
        let begun = Instant::now();
        loop {
            let got = self.stored(SAIMON, from_ms, to_ms);
            if got == wanted {
                return;
            }
            if begun.elapsed() > PATIENCE {
                differ(&wanted, &got);
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// Says where, a few times.
fn differ(
    wanted: &BTreeMap<String, Vec<(i64, u64)>>,
    got: &BTreeMap<String, Vec<(i64, u64)>>,
) -> ! {
    let none = Vec::new();
    let mut said = Vec::new();
    for name in wanted.keys().chain(got.keys()) {
        let (wanted, got) = (
            wanted.get(name).unwrap_or(&none),
            got.get(name).unwrap_or(&none),
        );
        if wanted != got && said.len() < 5 {
            let missing: Vec<_> = wanted.iter().filter(|s| !got.contains(s)).take(3).collect();
            let added: Vec<_> = got.iter().filter(|s| !wanted.contains(s)).take(3).collect();
            said.push(format!("{name}: without {missing:x?}, but with {added:x?}"));
        }
    }
    panic!(
        "{} series wanted, {} there; {said:#?}",
        wanted.len(),
        got.len()
    );
}

trait Run {
    fn run(&mut self, scene: &Scene, name: &str) -> Process;
}

impl Run for Command {
    fn run(&mut self, scene: &Scene, name: &str) -> Process {
        Process::start(name, self, scene.dir(), &scene.watchdog).unwrap()
    }
}

fn now_ms() -> i64 {
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    now.as_millis() as i64
}

/// saimon ends in good order, is away, and starts again on its data.
fn goes_and_comes_back(scene: &Scene, saimon: &mut Process) {
    std::thread::sleep(BEFORE);
    saimon.stop(PATIENCE).unwrap();
    std::thread::sleep(GONE);
    *saimon = scene.saimon();
    std::thread::sleep(AFTER);
}

#[test]
fn vmagent_writes_the_same_to_saimon_as_to_prometheus() {
    let scene = Scene::start();
    let mut saimon = scene.saimon();
    let _prometheus = scene.prometheus("", &["--web.enable-remote-write-receiver"]);
    let scrapes = scene.file("vmagent.yml", &scene.jobs());
    let mut agent = Command::new("vmagent")
        .arg(format!("-promscrape.config={}", scrapes.display()))
        .arg(format!("-httpListenAddr={}", scene.at(AGENT)))
        .arg(format!(
            "-remoteWrite.tmpDataPath={}",
            scene.dir().join("queue").display()
        ))
        .arg(format!(
            "-remoteWrite.url=http://{}/api/v1/write",
            scene.at(SAIMON)
        ))
        .arg(format!(
            "-remoteWrite.url=http://{}/api/v1/write",
            scene.at(STORE)
        ))
        // One queue for each: Prometheus takes nothing out of order.
        .arg("-remoteWrite.queues=1")
        .run(&scene, "vmagent");
    scene.ready(&mut agent, AGENT, "/health");
    goes_and_comes_back(&scene, &mut saimon);
    // At its end it marks all series as stale and sends what is left.
    agent.stop(PATIENCE).unwrap();
    scene.both_hold_the_same(0, i64::MAX);
    drop(saimon);
}

#[test]
fn prometheus_keeps_what_it_writes_to_saimon() {
    let scene = Scene::start();
    let mut saimon = scene.saimon();
    let config = format!(
        "global: {{external_labels: {{cluster: t, replica: a}}}}\n{}\
         remote_write:\n\
         - {{url: 'http://{}/api/v1/write', send_exemplars: true, queue_config: {{batch_send_deadline: 200ms}}}}\n",
        scene.jobs(),
        scene.at(SAIMON)
    );
    let mut prometheus = scene.prometheus(&config, &["--enable-feature=exemplar-storage"]);
    // What was scraped before its queues had begun is not sent.
    std::thread::sleep(Duration::from_secs(2));
    let from_ms = now_ms();
    goes_and_comes_back(&scene, &mut saimon);
    scene.both_hold_the_same(from_ms, now_ms() - 1_000);
    prometheus.stop(PATIENCE).unwrap();
}
