//! The usual `process_*` series, read from `/proc/self` when scraped.
//!
//! What cannot be read (another system, a container without `/proc`) is left out, never guessed.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;

/// Ticks per second in `/proc/self/stat`: `USER_HZ`, which Linux fixes at 100 for user space on
/// every architecture we build for (asking `sysconf` would need `unsafe`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Adds the `process_*` series; `registry` must have no prefix.
pub fn register(registry: &mut Registry) {
    registry.register_collector(Box::new(ProcessCollector));
}

#[derive(Debug)]
struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let read = |path: &str| fs::read_to_string(path).ok();
        let stat = read("/proc/self/stat").and_then(|s| Stat::parse(&s));
        if let Some(stat) = &stat {
            let cpu = ConstCounter::new(stat.cpu_seconds);
            let name = "process_cpu_seconds";
            let help = "user and system CPU time spent";
            cpu.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
        }
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            let kind = <ConstGauge<f64> as TypedMetric>::TYPE;
            gauge.encode(encoder.encode_descriptor(name, help, None, kind)?)
        };
        let status = read("/proc/self/status").unwrap_or_default();
        gauge(
            "process_resident_memory_bytes",
            "resident memory size",
            status_field(&status, "VmRSS:").map(|kib| kib * 1024.0),
        )?;
        gauge(
            "process_virtual_memory_bytes",
            "virtual memory size",
            status_field(&status, "VmSize:").map(|kib| kib * 1024.0),
        )?;
        gauge(
            "process_threads",
            "threads of the process",
            status_field(&status, "Threads:"),
        )?;
        gauge(
            "process_start_time_seconds",
            "start of the process since the unix epoch",
            stat.zip(read("/proc/stat").and_then(|s| boot_time(&s)))
                .map(|(stat, boot)| boot + stat.start_seconds_after_boot),
        )?;
        gauge(
            "process_open_fds",
            "open file descriptors",
            // Reading the folder holds one descriptor itself.
            fs::read_dir("/proc/self/fd")
                .ok()
                .map(|fds| fds.count().saturating_sub(1) as f64),
        )?;
        gauge(
            "process_max_fds",
            "most file descriptors that may be open",
            read("/proc/self/limits").and_then(|s| open_files_max(&s)),
        )
    }
}

#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    start_seconds_after_boot: f64,
}

impl Stat {
    /// `man 5 proc`; the name in parentheses may itself hold blanks and parentheses.
    fn parse(stat: &str) -> Option<Self> {
        let (_, after_name) = stat.rsplit_once(')')?;
        // Field 3, the state, comes first here.
        let ticks = |field: usize| {
            let text = after_name.split_ascii_whitespace().nth(field - 3)?;
            Some(text.parse::<u64>().ok()? as f64 / TICKS_PER_SECOND)
        };
        Some(Self {
            cpu_seconds: ticks(14)? + ticks(15)?,
            start_seconds_after_boot: ticks(22)?,
        })
    }
}

fn status_field(status: &str, name: &str) -> Option<f64> {
    let line = status.lines().find_map(|l| l.strip_prefix(name))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines()
        .find_map(|l| l.strip_prefix("btime "))?
        .trim()
        .parse()
        .ok()
}

fn open_files_max(limits: &str) -> Option<f64> {
    let line = limits
        .lines()
        .find_map(|l| l.strip_prefix("Max open files"))?;
    match line.split_ascii_whitespace().next()? {
        "unlimited" => Some(f64::INFINITY),
        n => n.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_nasty_name() {
        let stat =
            "4242 (a) b (c) S 1 4242 4242 0 -1 4194304 100 0 0 0 250 50 0 0 20 0 8 0 123400 1 2";
        assert_eq!(
            Stat::parse(stat),
            Some(Stat {
                cpu_seconds: 3.0,
                start_seconds_after_boot: 1234.0
            })
        );
        assert_eq!(Stat::parse("nonsense"), None);
    }

    #[test]
    fn fields_and_limits() {
        let status = "Name:\tsaimon\nVmSize:\t  2048 kB\nThreads:\t8\n";
        assert_eq!(status_field(status, "VmSize:"), Some(2048.0));
        assert_eq!(status_field(status, "Threads:"), Some(8.0));
        assert_eq!(status_field(status, "VmRSS:"), None);
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\n"), Some(1.7e9));
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files  1024  4096  files\n";
        assert_eq!(open_files_max(limits), Some(1024.0));
    }

    #[test]
    fn names_have_no_prefix_and_values_are_plausible() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let value = |name: &str| -> f64 {
            let line = text.lines().find_map(|l| l.strip_prefix(name)).unwrap();
            line.trim().parse().unwrap()
        };
        assert!(value("process_resident_memory_bytes ") > 1e6);
        assert!(value("process_open_fds ") >= 3.0);
        assert!(value("process_start_time_seconds ") > 1.6e9);
        assert!(value("process_cpu_seconds_total ") >= 0.0);
    }
}
