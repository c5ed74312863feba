//! The program itself as a process of its own.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::client::Client;

pub(crate) const SAIMON: &str = env!("CARGO_BIN_EXE_saimon");

/// A saimon that has been started and may not be ready yet.
pub(crate) struct Spawned {
    child: Running,
    log: std::sync::mpsc::Receiver<String>,
    seen: Vec<String>,
}

impl Spawned {
    pub(crate) fn start(data: &Path, listen: &str, args: &[&str]) -> Self {
        let mut command = Command::new(SAIMON);
        command
            // The port after that of HTTP may be somebody else's.
            .env("SAIMON_GRPC_LISTEN", "127.0.0.1:0")
            .args(["serve", "--http-listen", listen, "--data-dir"])
            .arg(data)
            .args(args);
        Self::run(command)
    }

    /// Of a command of its own.
    pub(crate) fn run(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (to, log) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = to.send(line);
            }
        });
        Self {
            child: Running(child),
            log,
            seen: Vec::new(),
        }
    }

    /// The next line that it says.
    pub(crate) fn line(&mut self, wait: Duration) -> String {
        let line = self
            .log
            .recv_timeout(wait)
            .unwrap_or_else(|e| panic!("saimon said nothing of being ready: {e}\n{:?}", self.seen));
        self.seen.push(line.clone());
        line
    }

    /// Once it is ready.
    pub(crate) fn serving(self, address: SocketAddr) -> Serving {
        Serving {
            child: self.child,
            address,
            log: self.log,
            seen: self.seen,
        }
    }
}

/// A running saimon; killed when dropped.
pub(crate) struct Serving {
    child: Running,
    pub(crate) address: SocketAddr,
    log: std::sync::mpsc::Receiver<String>,
    pub(crate) seen: Vec<String>,
}

impl Serving {
    /// With its data in this folder.
    pub(crate) fn start(data: &Path) -> Self {
        Self::start_with(data, "127.0.0.1:0", &[])
    }

    /// With more arguments.
    pub(crate) fn start_with(data: &Path, listen: &str, args: &[&str]) -> Self {
        let mut starting = Spawned::start(data, listen, args);
        loop {
            let line = starting.line(Duration::from_secs(60));
            let at = line.split("http=").nth(1);
            if let Some(at) = at.and_then(|rest| rest.split_whitespace().next()) {
                let address = at.parse().unwrap();
                return starting.serving(address);
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address)
    }

    /// A number of `/proc/PID/status`, in bytes: `VmHWM` is the most memory it ever had, `VmPeak` the
    /// most address space.
    pub(crate) fn memory(&self, what: &str) -> u64 {
        let status = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(what)).unwrap();
        let kib = line.trim_matches(|c: char| !c.is_ascii_digit());
        kib.parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn metrics(&self) -> String {
        let page = self.connect().get("/metrics", "");
        assert_eq!(page.status, 200);
        page.text().to_owned()
    }

    /// Sum of all series of `/metrics` whose line begins with one of these.
    pub(crate) fn sum(&self, begins: &str) -> u64 {
        self.metrics()
            .lines()
            .filter(|l| l.starts_with(begins))
            .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64)
            .sum()
    }

    /// Waits until the shards have taken all that was answered with 204.
    pub(crate) fn settled(&self, samples: u64) {
        for _ in 0..600 {
            if self.sum("saimon_ingest_samples_total") >= samples {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub(crate) fn terminate(mut self) -> (i32, Vec<String>) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        let code = self.child.wait().unwrap().code().unwrap_or(-1);
        let mut seen = std::mem::take(&mut self.seen);
        seen.extend(self.log.iter());
        (code, seen)
    }
}

/// Killed when dropped.
struct Running(Child);

impl std::ops::Deref for Running {
    type Target = Child;

    fn deref(&self) -> &Child {
        &self.0
    }
}

impl std::ops::DerefMut for Running {
    fn deref_mut(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
