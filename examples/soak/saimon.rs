//! The process under test: started, asked, killed.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::http;

/// A start that takes longer is a failure.
const READY_WAIT: Duration = Duration::from_secs(120);
/// A stop that takes longer is one.
const STOP_WAIT: Duration = Duration::from_secs(40);

/// How to start it.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) path: PathBuf,
    pub(crate) config: PathBuf,
    pub(crate) data: PathBuf,
    /// Where it says what it does; one file for all processes.
    pub(crate) log: PathBuf,
    pub(crate) address: SocketAddr,
}

/// What is remembered of one process and, merged, of all.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Seen {
    /// Longest stop of a shard for a checkpoint, in seconds.
    pub(crate) stop_s: f64,
    /// Most resident memory, in bytes.
    pub(crate) memory: u64,
    /// Bytes appended to the log, and handed to the store.
    pub(crate) log_written: u64,
    pub(crate) store_written: u64,
    /// Bytes that the process wrote by any call.
    pub(crate) written: u64,
    pub(crate) checkpoints: u64,
}

impl Seen {
    /// Both together, one after the other.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            stop_s: self.stop_s.max(other.stop_s),
            memory: self.memory.max(other.memory),
            log_written: self.log_written + other.log_written,
            store_written: self.store_written + other.store_written,
            written: self.written + other.written,
            checkpoints: self.checkpoints + other.checkpoints,
        }
    }
}

/// A running saimon; killed when dropped.
#[derive(Debug)]
pub(crate) struct Saimon {
    child: Child,
    address: SocketAddr,
    started: Instant,
    pub(crate) seen: Seen,
}

impl Program {
    /// A port that was free a moment ago, for all processes.
    pub(crate) fn free_address() -> Result<SocketAddr> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(listener.local_addr()?)
    }

    /// Starts it, and returns at once.
    pub(crate) fn spawn(&self) -> Result<Saimon> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let child = Command::new(&self.path)
            .arg("serve")
            .arg("--http-listen")
            .arg(self.address.to_string())
            .arg("--config")
            .arg(&self.config)
            .arg("--data-dir")
            .arg(&self.data)
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot run {}", self.path.display()))?;
        Ok(Saimon {
            child,
            address: self.address,
            started: Instant::now(),
            seen: Seen::default(),
        })
    }
}

impl Saimon {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has caught up; gives how long that took from its start.
    pub(crate) fn ready(&mut self) -> Result<Duration> {
        loop {
            if let Some(code) = self.child.try_wait()? {
                bail!("saimon ended with {code} instead of becoming ready");
            }
            if let Ok((200, _)) = http::get(self.address, "/-/ready") {
                return Ok(self.started.elapsed());
            }
            ensure!(
                self.started.elapsed() < READY_WAIT,
                "saimon is not ready after {READY_WAIT:?}"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Brings what is remembered of it up to date; what it does not answer stays as it was.
    pub(crate) fn look(&mut self) {
        let Ok((200, page)) = http::get(self.address, "/metrics") else {
            return;
        };
        let page = String::from_utf8_lossy(&page);
        let number = |name: &str| {
            let line = page.lines().find_map(|l| l.strip_prefix(name));
            line.and_then(|l| l.trim().parse::<f64>().ok())
                .unwrap_or(0.0)
        };
        self.seen.stop_s = number("saimon_checkpoint_longest_stop_seconds ");
        self.seen.log_written = number("saimon_wal_bytes_written_total ") as u64;
        self.seen.store_written = number("saimon_store_bytes_written_total ") as u64;
        self.seen.checkpoints = number("saimon_checkpoint_duration_seconds_count ") as u64;
        self.seen.memory = self.proc_number("status", "VmHWM:").unwrap_or(0) * 1024;
        self.seen.written = self.proc_number("io", "wchar:").unwrap_or(0);
    }

    /// One value of `/metrics`.
    pub(crate) fn metric(&self, name: &str) -> Option<f64> {
        let (_, page) = http::get(self.address, "/metrics").ok()?;
        let page = String::from_utf8_lossy(&page).into_owned();
        let line = page.lines().find(|l| l.split(' ').next() == Some(name))?;
        line.rsplit(' ').next()?.parse().ok()
    }

    fn proc_number(&self, file: &str, key: &str) -> Option<u64> {
        let path = format!("/proc/{}/{file}", self.child.id());
        let text = std::fs::read_to_string(path).ok()?;
        let line = text.lines().find_map(|l| l.strip_prefix(key))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Result<Seen> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.seen)
    }

    /// SIGTERM, and the wait for its end.
    pub(crate) fn stop(mut self) -> Result<Seen> {
        self.look();
        let pid = self.child.id().to_string();
        ensure!(
            Command::new("kill").arg(pid).status()?.success(),
            "cannot send SIGTERM"
        );
        let began = Instant::now();
        while began.elapsed() < STOP_WAIT {
            if let Some(code) = self.child.try_wait()? {
                ensure!(code.success(), "saimon ended with {code} after SIGTERM");
                return Ok(self.seen);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        bail!("saimon did not end within {STOP_WAIT:?} of SIGTERM");
    }
}

impl Drop for Saimon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Bytes of all files below a folder.
pub(crate) fn bytes_of(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return std::fs::metadata(dir).map_or(0, |m| m.len());
    };
    entries.flatten().map(|e| bytes_of(&e.path())).sum()
}
