//! A whole monitoring stack of real processes, in a folder that goes away with it.
//!
//! node_exporter and `saimon generate` are scraped by a Prometheus, which writes to saimon, scrapes
//! its scores, evaluates the rules that saimon wrote and sends alerts to an Alertmanager. All of
//! them listen on free ports of this machine only. The end-to-end test uses this file too.

#[path = "stack/band.rs"]
pub(crate) mod band;
#[path = "stack/http.rs"]
pub(crate) mod http;
#[path = "stack/pace.rs"]
pub(crate) mod pace;
#[path = "stack/pages.rs"]
pub(crate) mod pages;
#[path = "stack/ports.rs"]
pub(crate) mod ports;
#[path = "stack/process.rs"]
pub(crate) mod process;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use ports::Ports;
use process::{Process, Watchdog};

const PROMETHEUS: &str = include_str!("../../deploy/demo/prometheus.yml");
const ALERTMANAGER: &str = include_str!("../../deploy/demo/alertmanager.yml");
const SAIMON: &str = include_str!("../../deploy/demo/saimon.yaml");

/// For anything to answer its first request; a debug build on a busy machine included.
const START: Duration = Duration::from_secs(60);

/// For saimon to write its last checkpoint and end.
const STOP: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// The saimon to run.
    pub(crate) saimon: PathBuf,
    /// Length of the generator's day, and of the rhythm that saimon learns.
    pub(crate) day: Duration,
    /// Samples before the first score of a series.
    pub(crate) warmup: u32,
    /// Selector of the series that may alert while they are young.
    pub(crate) alerting: &'static str,
    /// Samples before they may.
    pub(crate) young: u32,
    /// Between two checkpoints of saimon.
    pub(crate) checkpoint: Duration,
    /// Of the generator's noise.
    pub(crate) seed: u64,
    /// Leaves the folder with logs and data behind.
    pub(crate) keep: bool,
}

/// The running processes. Dropping it ends them, Prometheus first, so that it raises no alert about
/// the others.
#[derive(Debug)]
pub(crate) struct Stack {
    pub(crate) prometheus: Process,
    pub(crate) alertmanager: Process,
    pub(crate) saimon: Process,
    pub(crate) generator: Process,
    pub(crate) node_exporter: Process,
    pub(crate) ports: Ports,
    options: Options,
    folder: TempDir,
    watchdog: Arc<Watchdog>,
}

impl Stack {
    /// Starts everything and waits until each of them answers.
    pub(crate) fn start(options: Options) -> Result<Self> {
        let mut folder = tempfile::Builder::new()
            .prefix("saimon-demo-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        folder.disable_cleanup(options.keep);
        let dir = folder.path().to_owned();
        let watchdog = Watchdog::start((!options.keep).then_some(dir.as_path()))?;
        let ports = Ports::choose()?;
        write_configuration(&dir, &ports, &options)?;

        let mut node_exporter = Process::start(
            "node_exporter",
            Command::new("prometheus-node-exporter")
                .arg(listen("--web.listen-address=", ports.node)),
            &dir,
            &watchdog,
        )?;
        let mut generator = start_generator(&dir, &ports, &options, &watchdog)?;
        let mut saimon = start_saimon(&dir, &ports, &options, &watchdog)?;
        let mut alertmanager = Process::start(
            "alertmanager",
            Command::new("prometheus-alertmanager")
                .arg(path("--config.file=", &dir, "alertmanager.yml"))
                .arg(path("--storage.path=", &dir, "alertmanager"))
                .arg(listen("--web.listen-address=", ports.alertmanager))
                .arg("--cluster.listen-address="),
            &dir,
            &watchdog,
        )?;
        answers(&mut node_exporter, ports.node, "/metrics")?;
        answers(&mut generator, ports.generator, "/metrics")?;
        answers(&mut saimon, ports.saimon, "/-/ready")?;
        answers(&mut alertmanager, ports.alertmanager, "/-/ready")?;

        // last, so that its first scrapes and writes find everyone there
        let mut prometheus = Process::start(
            "prometheus",
            Command::new("prometheus")
                .arg(path("--config.file=", &dir, "prometheus.yml"))
                .arg(path("--storage.tsdb.path=", &dir, "prometheus"))
                .arg("--web.enable-remote-write-receiver")
                .arg(listen("--web.listen-address=", ports.prometheus)),
            &dir,
            &watchdog,
        )?;
        answers(&mut prometheus, ports.prometheus, "/-/ready")?;

        Ok(Self {
            prometheus,
            alertmanager,
            saimon,
            generator,
            node_exporter,
            ports,
            options,
            folder,
            watchdog,
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Ends saimon by SIGTERM, as a deployment does.
    pub(crate) fn stop_saimon(&mut self) -> Result<()> {
        self.saimon.stop(STOP)
    }

    /// Starts an ended saimon again, on its data and its port, and waits until it is ready.
    pub(crate) fn start_saimon(&mut self) -> Result<()> {
        self.saimon = start_saimon(
            self.folder.path(),
            &self.ports,
            &self.options,
            &self.watchdog,
        )?;
        answers(&mut self.saimon, self.ports.saimon, "/-/ready")
    }

    fn processes(&mut self) -> [&mut Process; 5] {
        [
            &mut self.saimon,
            &mut self.generator,
            &mut self.prometheus,
            &mut self.alertmanager,
            &mut self.node_exporter,
        ]
    }

    /// An error if one of them is gone.
    pub(crate) fn check(&mut self) -> Result<()> {
        for process in self.processes() {
            if let Some(how) = process.ended() {
                bail!("{how}\n{}", process.log_tail(20));
            }
        }
        Ok(())
    }

    /// The newest lines of every log.
    pub(crate) fn log_tails(&mut self, lines: usize) -> String {
        self.processes().map(|p| p.log_tail(lines)).join("\n")
    }
}

fn write_configuration(dir: &Path, ports: &Ports, options: &Options) -> Result<()> {
    let seconds = |d: Duration| humantime::format_duration(d).to_string();
    let rules_dir = dir.join("rules");
    let values = [
        ("saimon", address(ports.saimon)),
        ("node", address(ports.node)),
        ("generator", address(ports.generator)),
        ("alertmanager", address(ports.alertmanager)),
        ("prometheus", address(ports.prometheus)),
        (
            "rules",
            rules_dir.join("saimon-rules.yml").display().to_string(),
        ),
        ("day", seconds(options.day)),
        ("warmup", options.warmup.to_string()),
        ("alerting", options.alerting.to_owned()),
        ("young", options.young.to_string()),
        ("checkpoint", seconds(options.checkpoint)),
    ];
    for (name, template) in [
        ("prometheus.yml", PROMETHEUS),
        ("alertmanager.yml", ALERTMANAGER),
        ("saimon.yaml", SAIMON),
    ] {
        fs::write(dir.join(name), fill(template, &values)?)?;
    }
    let output = Command::new(&options.saimon)
        .args(["rules", "--config"])
        .arg(dir.join("saimon.yaml"))
        .arg("--out")
        .arg(&rules_dir)
        .output()
        .with_context(|| format!("cannot run {}", options.saimon.display()))?;
    if !output.status.success() {
        bail!(
            "saimon rules failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(())
}

/// Puts the values in the place of `${name}`. A name without a value is an error.
fn fill(template: &str, values: &[(&str, String)]) -> Result<String> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        out.push_str(before);
        let (name, after) = after.split_once('}').context("a ${ without a }")?;
        let value = values.iter().find(|(n, _)| *n == name);
        out.push_str(
            &value
                .with_context(|| format!("no value for ${{{name}}}"))?
                .1,
        );
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn start_generator(
    dir: &Path,
    ports: &Ports,
    options: &Options,
    watchdog: &Arc<Watchdog>,
) -> Result<Process> {
    Process::start(
        "generate",
        Command::new(&options.saimon)
            .args(["generate", "--listen", &address(ports.generator)])
            .args(["--day", &format!("{}s", options.day.as_secs())])
            .args(["--seed", &options.seed.to_string()]),
        dir,
        watchdog,
    )
}

fn start_saimon(
    dir: &Path,
    ports: &Ports,
    options: &Options,
    watchdog: &Arc<Watchdog>,
) -> Result<Process> {
    Process::start(
        "saimon",
        Command::new(&options.saimon)
            .arg("serve")
            .arg("--config")
            .arg(dir.join("saimon.yaml"))
            .arg("--data-dir")
            .arg(dir.join("saimon"))
            .args(["--preset", "node"])
            .args(["--http-listen", &address(ports.saimon)])
            .args(["--log-level", "info", "--log-format", "text"]),
        dir,
        watchdog,
    )
}

fn answers(process: &mut Process, port: u16, page: &str) -> Result<()> {
    let what = format!("{} answers {page} on port {port}", process.name);
    process.wait_for(&what, START, || http::page(port, page).ok().map(|_| ()))
}

fn address(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn listen(flag: &str, port: u16) -> String {
    format!("{flag}{}", address(port))
}

fn path(flag: &str, dir: &Path, name: &str) -> String {
    format!("{flag}{}", dir.join(name).display())
}
