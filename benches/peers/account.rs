//! CPU time and memory of a process, as the kernel accounts them.

use std::fs;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// A process that used less CPU time than this in [`STEP`] has nothing left to do. Garbage
/// collectors and timers use a little.
const IDLE: Duration = Duration::from_millis(10);
const STEP: Duration = Duration::from_millis(500);
/// One that never comes to rest is measured after this.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    /// User and system time since the start of the process.
    pub(crate) cpu: Duration,
    /// Resident bytes.
    pub(crate) resident: u64,
}

impl Account {
    /// The account once the process has come to rest. The work it puts off is part of the price.
    pub(crate) fn settled(pid: u32) -> Result<Self> {
        let start = Instant::now();
        let mut cpu = cpu(pid)?;
        let mut quiet = 0;
        while quiet < 2 && start.elapsed() < PATIENCE {
            sleep(STEP);
            let now = self::cpu(pid)?;
            quiet = if now - cpu < IDLE { quiet + 1 } else { 0 };
            cpu = now;
        }
        Ok(Self {
            cpu,
            resident: resident(pid)?,
        })
    }
}

/// Time on a CPU. The scheduler counts nanoseconds for each living thread, `stat` counts ticks of
/// 10 ms for the whole process: the larger is right, because a thread that ended is only in `stat`.
fn cpu(pid: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // the name in parentheses may contain spaces
    let fields: Vec<&str> = stat
        .rsplit_once(") ")
        .map(|(_, rest)| rest.split(' ').collect())
        .unwrap_or_default();
    let ticks: u64 = [11, 12]
        .iter()
        .filter_map(|i| fields.get(*i)?.parse::<u64>().ok())
        .sum();
    let by_ticks = Duration::from_millis(ticks * 10);

    let mut by_scheduler = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        by_scheduler += text
            .split(' ')
            .next()
            .and_then(|ns| ns.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(by_ticks.max(Duration::from_nanos(by_scheduler)))
}

fn resident(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let kib: u64 = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
        .context("no VmRSS in the status of the process")?;
    Ok(kib * 1024)
}
