//! Programs of others: a Prometheus and a VictoriaMetrics that saimon talks to, and promtool.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use saimon::clock::{Clock as _, SystemClock};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::{Client, Response};

/// For a program to start, or for something to have happened in it; a guard, not a measurement.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program with its data in a folder of its own; both end with it.
pub(crate) struct Program {
    child: Child,
    command: Command,
    ready: String,
    pub(crate) address: SocketAddr,
    folder: TempDir,
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn free_port() -> SocketAddr {
    let free = SocketAddr::from(([127, 0, 0, 1], 0));
    TcpListener::bind(free).unwrap().local_addr().unwrap()
}

impl Program {
    fn start(ready: &str, command: impl FnOnce(SocketAddr, &Path) -> Command) -> Self {
        let (address, folder) = (free_port(), tempfile::tempdir().unwrap());
        let mut command = command(address, folder.path());
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        let child = command
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}; make test installs it"));
        let program = Self {
            child,
            command,
            ready: ready.to_owned(),
            address,
            folder,
        };
        program.wait();
        program
    }

    fn wait(&self) {
        let since = Instant::now();
        while std::net::TcpStream::connect(self.address).is_err()
            || self.get(&self.ready).status != 200
        {
            assert!(since.elapsed() < PATIENCE, "{}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Waits until it has ended by itself.
    pub(crate) fn ended(&mut self) {
        self.child.wait().unwrap();
    }

    /// Starts it again, with the data that it had.
    pub(crate) fn start_again(&mut self) {
        self.child = self.command.spawn().unwrap();
        self.wait();
    }

    /// Sends it a signal, for example `-STOP`.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// A Prometheus with this configuration, which takes remote write.
    pub(crate) fn prometheus(configuration: &str) -> Self {
        Self::start("/-/ready", |address, folder| {
            let file = folder.join("prometheus.yml");
            std::fs::write(&file, configuration).unwrap();
            let mut command = Command::new("prometheus");
            command
                .arg(format!("--config.file={}", file.display()))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.join("d").display()
                ))
                .arg(format!("--web.listen-address={address}"))
                .arg("--web.enable-remote-write-receiver");
            command
        })
    }

    pub(crate) fn victoria_metrics() -> Self {
        Self::start("/health", |address, folder| {
            let mut command = Command::new("victoria-metrics");
            command
                .arg(format!("-storageDataPath={}", folder.join("d").display()))
                .arg(format!("-httpListenAddr={address}"))
                .args(["-retentionPeriod=1y", "-search.latencyOffset=0s"]);
            command
        })
    }

    pub(crate) fn write_url(&self) -> String {
        format!("http://{}/api/v1/write", self.address)
    }

    pub(crate) fn get(&self, path: &str) -> Response {
        Client::connect(self.address).get(path, "connection: close\r\n")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// An instant query at a time in seconds: labels and value of each series.
    pub(crate) fn query(&self, expression: &str, at: f64) -> Vec<(Value, f64)> {
        let query = percent(expression);
        let answer = self.get(&format!("/api/v1/query?query={query}&time={at}&nocache=1"));
        assert_eq!(answer.status, 200, "{expression}: {}", answer.text());
        let json: Value = serde_json::from_str(answer.text()).unwrap();
        let rows = json["data"]["result"].as_array().unwrap();
        rows.iter()
            .map(|row| {
                let value = row["value"][1].as_str().unwrap().parse().unwrap();
                (row["metric"].clone(), value)
            })
            .collect()
    }

    /// All metric names.
    pub(crate) fn names(&self) -> Vec<String> {
        let answer = self.get("/api/v1/label/__name__/values");
        let json: Value = serde_json::from_str(answer.text()).unwrap();
        let names = json["data"].as_array().unwrap().iter();
        names.map(|n| n.as_str().unwrap().to_owned()).collect()
    }

    /// The one number that a query gives; 0 if it gives none.
    pub(crate) fn number(&self, expression: &str, at: f64) -> f64 {
        self.query(expression, at).first().map_or(0.0, |row| row.1)
    }

    /// Waits until `ready` gives something.
    pub(crate) fn eventually<T>(&self, what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
        let since = Instant::now();
        loop {
            if let Some(found) = ready() {
                return found;
            }
            assert!(since.elapsed() < PATIENCE, "not {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Percent-encodes everything that is not a letter or a digit.
pub(crate) fn percent(text: &str) -> String {
    let escape = |b: u8| match b {
        b if b.is_ascii_alphanumeric() => (b as char).to_string(),
        b => format!("%{b:02X}"),
    };
    text.bytes().map(escape).collect()
}

/// Fails if promtool has anything to say about the page. It comes with Debian's prometheus.
pub(crate) fn promtool(page: &[u8]) {
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

/// Seconds since 1970, by the clock that these programs look at.
pub(crate) fn now() -> f64 {
    SystemClock.now_ms() as f64 / 1e3
}
