//! The figures as a Markdown table, and their place in docs/benchmarks.md.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::process::Seen;

const BEGIN: &str = "<!-- durable:begin -->";
const END: &str = "<!-- durable:end -->";

/// What was measured.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) series: u64,
    /// Of the hour.
    pub(crate) samples: u64,
    /// Of the process, for all of them.
    pub(crate) cpu: Duration,
    /// Resident bytes that the series added, and those of a process that was killed and is back.
    pub(crate) memory: u64,
    pub(crate) memory_back: u64,
    /// Up to so many seconds, how many stops.
    pub(crate) stops: Vec<(String, u64)>,
    pub(crate) longest_stop_s: f64,
    pub(crate) checkpoints: u64,
    pub(crate) log_written: u64,
    pub(crate) store_written: u64,
    pub(crate) written: u64,
    /// Files of the store, and those of them that hold states.
    pub(crate) disk: u64,
    pub(crate) states_disk: u64,
    pub(crate) samples_on_disk: u64,
    pub(crate) chunk_bytes: u64,
    pub(crate) state_bytes: u64,
    pub(crate) ready_stopped: Duration,
    pub(crate) ready_killed: Duration,
    /// Bytes of the log that was read then, and samples in it.
    pub(crate) log: u64,
    pub(crate) replayed: u64,
}

impl Figures {
    pub(crate) fn written(&mut self, seen: Seen) {
        self.longest_stop_s = seen.stop_s;
        self.checkpoints = seen.checkpoints;
        self.log_written = seen.log_written;
        self.store_written = seen.store_written;
        self.written = seen.written;
    }

    /// What `saimon inspect --json` says.
    pub(crate) fn inspected(&mut self, said: &Value) -> Result<()> {
        let number = |key: &str| {
            let value = said["totals"][key].as_u64();
            value.with_context(|| format!("no {key} in what inspect says"))
        };
        self.samples_on_disk = number("samples_on_disk")?;
        self.chunk_bytes = number("disk_bytes")?;
        self.state_bytes = number("state_bytes")?;
        Ok(())
    }

    pub(crate) fn markdown(&self) -> String {
        let mut out = String::from("| what | figure | limit |\n| --- | ---: | ---: |\n");
        let mut row = |what: &str, figure: String, limit: &str| {
            let _ = writeln!(out, "| {what} | {figure} | {limit} |");
        };
        let samples = self.samples.max(1) as f64;
        let series = self.series.max(1) as f64;
        let on_disk = self.samples_on_disk.max(1) as f64;
        row(
            "series, samples",
            format!("{}, {}", self.series, self.samples),
            "",
        );
        row(
            "disk of a raw sample in a finished chunk",
            format!("{:.2} B", self.chunk_bytes as f64 / on_disk),
            "4 B",
        );
        row(
            "the same, all files of the store but the states",
            format!(
                "{:.2} B",
                self.disk.saturating_sub(self.states_disk) as f64 / on_disk
            ),
            "4 B",
        );
        row(
            "the same, all files of the store",
            format!("{:.2} B", self.disk as f64 / on_disk),
            "",
        );
        row(
            "state of a series, as it is handed over and in its file",
            format!(
                "{:.0} B, {:.0} B",
                self.state_bytes as f64 / series,
                self.states_disk as f64 / series
            ),
            "",
        );
        row(
            "all files of the store, a series",
            format!("{:.0} B", self.disk as f64 / series),
            "",
        );
        row(
            "memory of a series",
            format!("{:.0} B", self.memory as f64 / series),
            "2 KiB",
        );
        row(
            "the same after `kill -9` and a start",
            format!("{:.0} B", self.memory_back as f64 / series),
            "2 KiB",
        );
        row(
            "CPU of a sample, checkpoints included",
            format!("{:.3} us", self.cpu.as_secs_f64() * 1e6 / samples),
            "",
        );
        row(
            "checkpoints, most of them with nothing to write",
            self.checkpoints.to_string(),
            "",
        );
        row(
            "longest stop of a shard",
            format!("{:.2} ms", self.longest_stop_s * 1e3),
            "10 ms",
        );
        let all = self.stops.last().map_or(0, |(_, n)| *n);
        let within = |le: &str| {
            let stop = self.stops.iter().find(|(l, _)| l == le);
            stop.map_or(0, |(_, n)| *n)
        };
        row(
            "stops: all, within 1 ms, 5 ms, 10 ms",
            format!(
                "{all}, {}, {}, {}",
                within("0.001"),
                within("0.005"),
                within("0.01")
            ),
            "",
        );
        let a_sample = |bytes: u64| format!("{:.1} B", bytes as f64 / samples);
        row(
            "appended to the log, a sample",
            a_sample(self.log_written),
            "",
        );
        row(
            "handed to the store, a sample",
            a_sample(self.store_written),
            "",
        );
        row("written in all, a sample", a_sample(self.written), "");
        row(
            "write amplification: written in all, over 16 B a sample",
            format!("{:.2}", self.written as f64 / samples / 16.0),
            "",
        );
        row("ready after a stop", seconds(self.ready_stopped), "");
        row("ready after `kill -9`", seconds(self.ready_killed), "5 s");
        row(
            "of these five minutes: log read, samples taken again",
            format!("{} MiB, {}", self.log >> 20, self.replayed),
            "",
        );
        out
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

/// Puts the table between its marks.
pub(crate) fn write(file: &Path, table: &str) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (before, rest) = text.split_once(BEGIN).context("no place for the table")?;
    let (_, after) = rest
        .split_once(END)
        .context("no end of the table's place")?;
    std::fs::write(file, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}
