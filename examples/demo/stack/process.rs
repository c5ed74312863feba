//! Real processes that never outlive the one that started them.
//!
//! Each runs in a process group of its own, which its guard ends on drop, a panic included. A guard
//! that does not run (a killed parent) is what the [`Watchdog`] is for: a shell that reads a pipe
//! and, when the pipe breaks, ends every group that is left.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks at something that is waited for.
const STEP: Duration = Duration::from_millis(50);

/// From SIGTERM to SIGKILL where nobody is interested in a clean end.
const GRACE: Duration = Duration::from_secs(5);

/// What the watchdog does. `start PID` and `stop PID` come in; the end of the input is the end of
/// the parent.
const WATCH: &str = r#"
left=""
while read -r what pid; do
    case "$what" in
        start) left="$left $pid" ;;
        stop)
            kept=""
            for p in $left; do [ "$p" = "$pid" ] || kept="$kept $p"; done
            left="$kept"
            ;;
    esac
done
if [ -n "$left" ]; then
    for pid in $left; do kill -s TERM -- "-$pid"; done
    sleep 2
    for pid in $left; do kill -s KILL -- "-$pid"; done
fi
[ -z "$1" ] || rm -rf -- "$1"
"#;

/// Ends the processes of a parent that was killed, and removes its folder.
#[derive(Debug)]
pub(crate) struct Watchdog {
    shell: Child,
    // a Mutex because processes are started and stopped from wherever their owner is; held for one
    // line
    pipe: Mutex<Option<ChildStdin>>,
}

impl Watchdog {
    /// `remove` is the folder that goes with the processes, if any should.
    pub(crate) fn start(remove: Option<&Path>) -> Result<Arc<Self>> {
        let mut shell = Command::new("sh")
            .args(["-c", WATCH, "watchdog"])
            .arg(remove.unwrap_or_else(|| Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start sh")?;
        let pipe = shell.stdin.take();
        Ok(Arc::new(Self {
            shell,
            pipe: Mutex::new(pipe),
        }))
    }

    fn tell(&self, what: &str, pid: u32) {
        let mut pipe = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipe) = pipe.as_mut() {
            // without a watchdog the guards still work
            let _ = writeln!(pipe, "{what} {pid}");
        }
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        self.pipe
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let _ = self.shell.wait();
    }
}

/// A running process and the file that its output goes to.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) name: String,
    child: Child,
    log: PathBuf,
    watchdog: Arc<Watchdog>,
}

impl Process {
    /// Starts `command`, with its output appended to `NAME.log` in `folder`.
    pub(crate) fn start(
        name: &str,
        command: &mut Command,
        folder: &Path,
        watchdog: &Arc<Watchdog>,
    ) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("cannot write {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| {
                format!(
                    "cannot start {name} ({}): is it installed?",
                    command.get_program().display()
                )
            })?;
        watchdog.tell("start", child.id());
        Ok(Self {
            name: name.to_owned(),
            child,
            log,
            watchdog: Arc::clone(watchdog),
        })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it did.
    pub(crate) fn ended(&mut self) -> Option<String> {
        let status = self.child.try_wait().ok()??;
        Some(match (status.code(), status.signal()) {
            (Some(code), _) => format!("{} ended with exit code {code}", self.name),
            (_, Some(signal)) => format!("{} was ended by signal {signal}", self.name),
            _ => format!("{} ended", self.name),
        })
    }

    /// SIGTERM, and an error if it is not gone after `grace` or did not end with 0.
    pub(crate) fn stop(&mut self, grace: Duration) -> Result<()> {
        self.signal("TERM");
        let deadline = Instant::now() + grace;
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait()? {
                self.watchdog.tell("stop", self.pid());
                if !status.success() {
                    bail!("{} ended with {status} after SIGTERM", self.name);
                }
                return Ok(());
            }
            sleep(STEP);
        }
        self.kill();
        bail!(
            "{} was still there {} s after SIGTERM and had to be killed",
            self.name,
            grace.as_secs()
        )
    }

    /// SIGKILL: no last words.
    pub(crate) fn kill(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal("KILL");
            let _ = self.child.wait();
        }
        self.watchdog.tell("stop", self.pid());
    }

    /// To the whole group, by the shell's `kill`: the standard library has none for groups.
    fn signal(&self, signal: &str) {
        let _ = Command::new("sh")
            .args(["-c", "kill -s \"$1\" -- \"-$2\" 2>/dev/null", "kill"])
            .args([signal, &self.pid().to_string()])
            .status();
    }

    /// Waits until `ready` gives something, for as long as the process runs.
    pub(crate) fn wait_for<T>(
        &mut self,
        what: &str,
        deadline: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T> {
        let end = Instant::now() + deadline;
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            if let Some(how) = self.ended() {
                bail!("{how} before {what}\n{}", self.log_tail(20));
            }
            if Instant::now() > end {
                bail!(
                    "waited {} s for {what}\n{}",
                    deadline.as_secs(),
                    self.log_tail(20)
                );
            }
            sleep(STEP);
        }
    }

    /// The newest lines that it wrote.
    pub(crate) fn log_tail(&self, lines: usize) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let all: Vec<&str> = text.lines().collect();
        let tail = &all[all.len().saturating_sub(lines)..];
        format!(
            "--- last lines of {} ---\n{}",
            self.log.display(),
            tail.join("\n")
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.stop(GRACE);
        }
        self.kill();
    }
}
