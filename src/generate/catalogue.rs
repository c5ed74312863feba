//! The families that one node exposes, and how its instruments differ from those of its neighbour.

use super::instrument::{
    BUCKETS, Counter, Gauge, HISTOGRAM_SERIES, Histogram, Process, Tail, Traffic, Version,
};
use super::noise::{Ar, Noise};
use super::rhythm::Rhythm;

/// The type that is announced for a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Gauge,
    Counter,
    Histogram,
}

impl Kind {
    /// As in a `# TYPE` line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// Series of one metric name with its type and help.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    pub name: &'static str,
    pub kind: Kind,
    pub help: &'static str,
}

/// What is needed to make one instrument of a node.
pub(super) struct Blueprint {
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) process: Process,
}

/// All families in the order in which they are exposed.
pub const FAMILIES: &[Family] = &[
    gauge("demo_cpu_usage_ratio", "Share of a CPU that is busy."),
    gauge("demo_memory_used_bytes", "Memory in use."),
    gauge(
        "demo_disk_used_percent",
        "Share of a file system that is used, of 100.",
    ),
    gauge("demo_load1", "Load average over one minute."),
    gauge("demo_temperature_celsius", "Temperature of a sensor."),
    counter(
        "demo_http_requests_total",
        "HTTP requests answered, by path and status code.",
    ),
    Family {
        name: "demo_http_request_duration_seconds",
        kind: Kind::Histogram,
        help: "Time until an HTTP request was answered.",
    },
    counter("demo_errors_total", "Errors on the way to other services."),
    gauge("demo_queue_length", "Jobs that wait."),
    gauge("demo_sessions", "Users that are signed in."),
    gauge(
        "demo_config_version",
        "Version of the configuration in use.",
    ),
    gauge("demo_up", "1 while the node answers."),
    gauge("demo_build_info", "1, with the version as labels."),
    gauge(
        "process_start_time_seconds",
        "Unix time at which the process began.",
    ),
];

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Gauge,
        help,
    }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family {
        name,
        kind: Kind::Counter,
        help,
    }
}

/// Series of one node, all families together.
pub(super) const SERIES_PER_NODE: usize = 4 + 1 + 2 + 1 + 2 + 9 + 2 * HISTOGRAM_SERIES + 2 + 2 + 5;

/// Seconds after which noise that remembers has decayed: a part of the day, but long enough for a
/// scrape each second to see it.
fn memory_s(day_s: f64) -> f64 {
    (day_s / 500.0).max(5.0)
}

/// The instruments of one family on one node. `noise` makes nodes differ.
pub(super) fn blueprints(family: &Family, day_s: f64, noise: &mut Noise) -> Vec<Blueprint> {
    let tau = memory_s(day_s);
    let one = |process| vec![blueprint([], process)];
    let plain = Gauge {
        base: 0.0,
        swing: 0.0,
        rhythm: Rhythm::None,
        ar: Ar::new(0.0, tau),
        white_sd: 0.0,
        tail: Tail::Normal,
        steps_per_unit: 1.0,
        low: 0.0,
        high: f64::INFINITY,
    };
    match family.name {
        "demo_cpu_usage_ratio" => (0..4)
            .map(|cpu| {
                let gauge = Gauge {
                    base: noise.uniform(0.12, 0.25),
                    swing: noise.uniform(0.15, 0.25),
                    rhythm: Rhythm::Office,
                    ar: Ar::new(0.015, tau),
                    white_sd: 0.012,
                    steps_per_unit: 1e6,
                    high: 1.0,
                    ..plain.clone()
                };
                blueprint([("cpu", cpu.to_string())], Process::Gauge(gauge))
            })
            .collect(),
        "demo_memory_used_bytes" => one(Process::Gauge(Gauge {
            base: noise.uniform(1.5e9, 3e9),
            swing: 1.2e9,
            rhythm: Rhythm::Saw { cycles: 4.0 },
            ar: Ar::new(2e7, tau),
            white_sd: 6e6,
            // Whole pages.
            steps_per_unit: 1.0 / 4096.0,
            ..plain
        })),
        "demo_disk_used_percent" => [("/", 1.0), ("/data", 10.0)]
            .into_iter()
            .map(|(mount, steps_per_unit)| {
                let gauge = Gauge {
                    base: noise.uniform(35.0, 60.0),
                    swing: 5.0,
                    rhythm: Rhythm::Saw { cycles: 1.0 },
                    ar: Ar::new(0.08, tau),
                    white_sd: 0.04,
                    steps_per_unit,
                    high: 100.0,
                    ..plain.clone()
                };
                blueprint([("mountpoint", mount.into())], Process::Gauge(gauge))
            })
            .collect(),
        "demo_load1" => one(Process::Gauge(Gauge {
            base: noise.uniform(1.2, 2.0),
            swing: 0.8,
            rhythm: Rhythm::Office,
            ar: Ar::new(0.2, tau),
            white_sd: 0.02,
            steps_per_unit: 100.0,
            ..plain
        })),
        "demo_temperature_celsius" => ["board", "intake"]
            .into_iter()
            .map(|sensor| {
                let gauge = Gauge {
                    base: noise.uniform(28.0, 45.0),
                    swing: 8.0,
                    rhythm: Rhythm::AFTERNOON,
                    ar: Ar::new(0.3, tau),
                    white_sd: 0.15,
                    steps_per_unit: 10.0,
                    low: -40.0,
                    ..plain.clone()
                };
                blueprint([("sensor", sensor.into())], Process::Gauge(gauge))
            })
            .collect(),
        "demo_http_requests_total" => requests(tau, noise),
        "demo_http_request_duration_seconds" => [("/api/items", 25.0, -3.2), ("/login", 4.0, -2.3)]
            .into_iter()
            .map(|(path, per_s, log_mean)| {
                let mut histogram = Histogram {
                    traffic: traffic(per_s, Rhythm::Office, 0.04, tau),
                    log_mean: log_mean + noise.uniform(-0.2, 0.2),
                    log_sd: 0.6,
                    ar: Ar::new(0.04, tau),
                    counts: [0.0; BUCKETS.len() + 1],
                    sum: 0.0,
                };
                histogram.run_for(noise.uniform(5e3, 5e4), noise);
                blueprint(
                    [("path", path.into())],
                    Process::Histogram(Box::new(histogram)),
                )
            })
            .collect(),
        "demo_errors_total" => [("timeout", 0.05), ("refused", 0.005)]
            .into_iter()
            .map(|(reason, per_s)| {
                let traffic = traffic(per_s, Rhythm::None, 0.0, tau);
                blueprint([("reason", reason.into())], running(traffic, noise))
            })
            .collect(),
        "demo_queue_length" => [("mail", 6.0, 0.7), ("render", 30.0, 0.5)]
            .into_iter()
            .map(|(queue, base, log_sd): (_, _, f64)| {
                let gauge = Gauge {
                    base,
                    ar: Ar::new(log_sd * 0.7, tau),
                    white_sd: log_sd * 0.7,
                    tail: Tail::Lognormal,
                    ..plain.clone()
                };
                blueprint([("queue", queue.into())], Process::Gauge(gauge))
            })
            .collect(),
        "demo_sessions" => one(Process::Gauge(Gauge {
            base: noise.uniform(80.0, 150.0),
            swing: 1200.0,
            rhythm: Rhythm::EVENING,
            ar: Ar::new(8.0, tau),
            tail: Tail::Count,
            ..plain
        })),
        "demo_config_version" => one(Process::Version(Version {
            value: noise.uniform(3.0, 90.0).floor(),
            next_s: None,
        })),
        "demo_up" => one(Process::Flag),
        "demo_build_info" => vec![blueprint(
            [("revision", "4f1c2ab".into()), ("version", "1.4.2".into())],
            Process::Fixed(1.0),
        )],
        "process_start_time_seconds" => one(Process::StartTime {
            uptime_s: noise.uniform(5e3, 5e5).floor(),
        }),
        other => unreachable!("BUG: family {other} has no blueprint"),
    }
}

fn requests(tau: f64, noise: &mut Noise) -> Vec<Blueprint> {
    let mut made = Vec::new();
    for (path, per_s) in [("/", 40.0), ("/api/items", 25.0), ("/login", 4.0)] {
        let per_s = per_s * noise.uniform(0.8, 1.2);
        for (code, share) in [("200", 0.95), ("404", 0.04), ("500", 0.01)] {
            let traffic = traffic(per_s * share, Rhythm::Office, 0.04, tau);
            let labels = [("code", code.into()), ("path", path.into())];
            made.push(blueprint(labels, running(traffic, noise)));
        }
    }
    made
}

fn traffic(per_s: f64, rhythm: Rhythm, relative_sd: f64, tau: f64) -> Traffic {
    Traffic {
        per_s,
        rhythm,
        ar: Ar::new(relative_sd, tau),
    }
}

/// A counter of a process that has been running for a while.
fn running(traffic: Traffic, noise: &mut Noise) -> Process {
    let value = (traffic.per_s * noise.uniform(5e3, 5e5)).ceil();
    Process::Counter(Counter { traffic, value })
}

fn blueprint<const N: usize>(labels: [(&'static str, String); N], process: Process) -> Blueprint {
    Blueprint {
        labels: labels.into(),
        process,
    }
}
