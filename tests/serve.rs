//! The program itself, over a real socket: what is pushed is all accounted for, an orderly stop
//! forgets nothing, and a data directory has one owner.

#[path = "../examples/demo/stack/http.rs"]
#[allow(dead_code, reason = "the demo uses the rest of it")]
mod http;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SAIMON: &str = env!("CARGO_BIN_EXE_saimon");

/// A running saimon; killed when dropped.
struct Serving {
    child: Child,
    address: String,
    log: std::sync::mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Serving {
    fn start(data: &Path) -> Self {
        let mut child = Command::new(SAIMON)
            .args(["serve", "--http-listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (to, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        let mut seen = Vec::new();
        let address = loop {
            let line = log
                .recv_timeout(std::time::Duration::from_secs(60))
                .unwrap_or_else(|e| panic!("saimon said nothing of being ready: {e}\n{seen:?}"));
            let at = line.split("http=").nth(1).map(|rest| {
                rest.split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned()
            });
            seen.push(line);
            if let Some(at) = at {
                break at;
            }
        };
        Self {
            child,
            address,
            log,
            seen,
        }
    }

    fn metrics(&self) -> String {
        let port = self.address.rsplit(':').next().unwrap().parse().unwrap();
        http::page(port, "/metrics").unwrap()
    }

    /// Sum of all series of `/metrics` whose line begins with one of these.
    fn sum(&self, begins: &str) -> u64 {
        self.metrics()
            .lines()
            .filter(|l| l.starts_with(begins))
            .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Waits until the shards have taken all that was answered with 204.
    fn settled(&self, samples: u64) {
        for _ in 0..600 {
            if self.sum("saimon_ingest_samples_total") >= samples {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    fn terminate(mut self) -> (i32, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.log.iter());
        (code, seen)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn generate(args: &[&str]) -> serde_json::Value {
    let out = Command::new(SAIMON)
        .arg("generate")
        .args(args)
        .arg("--json")
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).unwrap()
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/write-1.0")
}

#[test]
fn everything_pushed_is_accounted_for_and_survives_an_orderly_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let saimon = Serving::start(&data);
    let url = format!("http://{}/api/v1/write", saimon.address);

    let pushed = generate(&[
        "--push",
        &url,
        "--series",
        "3000",
        "--interval",
        "15s",
        "--speed",
        "max",
        "--samples",
        "360000",
        "--connections",
        "2",
        "--batch",
        "500",
        "--leave-open",
    ]);
    let sent = pushed["samples_sent"].as_u64().unwrap();
    assert!(sent >= 360_000, "{pushed}");
    assert_eq!(pushed["samples_acknowledged"], pushed["samples_sent"]);
    saimon.settled(sent);
    assert_eq!(saimon.sum("saimon_ingest_samples_total"), sent);
    assert_eq!(
        saimon.sum("saimon_ingest_samples_total{protocol=\"1.0\",outcome=\"accepted\"}"),
        sent
    );
    assert_eq!(saimon.sum("saimon_active_models "), 3000);

    // Recorded bodies of two senders.
    let replayed = generate(&["--push", &url, "--replay", recorded().to_str().unwrap()]);
    let more = replayed["samples_acknowledged"].as_u64().unwrap();
    assert!(more > 1000, "{replayed}");
    saimon.settled(sent + more);
    assert_eq!(saimon.sum("saimon_ingest_samples_total"), sent + more);

    // A second process on the same directory refuses and leaves it alone.
    let second = Command::new(SAIMON)
        .args(["serve", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another process"), "{said}");

    let series = saimon.sum("saimon_series{");
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
    assert!(
        log.iter()
            .any(|l| l.contains("models and windows are written")),
        "{log:?}"
    );

    let again = Serving::start(&data);
    assert_eq!(again.sum("saimon_series{"), series, "{:?}", again.seen);
    assert!(
        again.seen.iter().any(|l| l.contains("models restored")),
        "{:?}",
        again.seen
    );
}

#[test]
fn wrong_use_is_told_with_exit_code_two_and_what_fails_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(&wrong, "detect:\n  warmpu: 5\n").unwrap();
    let run = |args: &[&str]| Command::new(SAIMON).args(args).output().unwrap();
    let bad = run(&["serve", "--nonsense"]);
    assert_eq!(bad.status.code(), Some(2));
    let bad = run(&["serve", "--config", wrong.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8_lossy(&bad.stderr);
    assert!(
        said.contains("wrong.yaml:2:3") && said.contains("warmup"),
        "{said}"
    );
    let check = run(&["check", wrong.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(1));
    let bad = run(&[
        "serve",
        "--data-dir",
        "/dev/null/x",
        "--http-listen",
        "256.0.0.1:1",
    ]);
    assert_eq!(bad.status.code(), Some(2));
}
