//! `saimon generate`: series to try saimon on, healthy or faulty by order, and load to measure it.
//!
//! A tool that ships in the same binary and knows none of the engine. Without `--push` it is an
//! exporter of a made-up installation ([`world`]) whose faults are labelled ([`fault`]); with it, a
//! load generator for remote write ([`push`]). The world is also driven without sockets, by
//! simulations and tests.

pub mod catalogue;
pub mod clean;
pub mod exporter;
pub mod fault;
mod instrument;
mod noise;
mod page;
pub mod push;
mod rhythm;
pub mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::output::{BATCH_MAX, Protocol};
use exporter::Exporter;
use fault::{FaultError, FaultSpec};
use push::{Plan, PushError, Report, Speed};
use world::{INSTANCES_MAX, Shape, World};

/// Series of a load if none are asked for.
const PUSH_SERIES: u64 = 10_000;
/// Bytes of a file of faults.
const FAULT_FILE_BYTES_MAX: u64 = 4 << 20;

/// Serve realistic series with labelled faults, or push load.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Address of the exporter; port 0 takes a free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:9930")]
    pub listen: SocketAddr,
    /// Number of series: roughly for the exporter, exactly for --push [default with --push: 10000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub series: Option<u64>,
    /// Nodes of the exporter, told apart by the label node [default: as --series needs, else 3]
    #[arg(long, value_name = "N", conflicts_with_all = ["series", "push"],
          value_parser = clap::value_parser!(u32).range(1..=i64::from(INSTANCES_MAX)))]
    pub instances: Option<u32>,
    /// Length of a day: all rhythms of the exporter scale with it
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = humantime::parse_duration)]
    pub day: Duration,
    /// The same seed gives the same series
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// A fault of the exporter as kind:series:at=2m:for=30s:size=8; kinds are spike, drop,
    /// level_shift, leak, variance, missing_peak, flatline, counter_reset, vanish
    #[arg(long, value_name = "FAULT", conflicts_with = "push")]
    pub fault: Vec<FaultSpec>,
    /// A file with a list of faults in YAML or JSON
    #[arg(long, value_name = "FILE", conflicts_with = "push")]
    pub faults: Option<PathBuf>,

    /// Push load by remote write to this URL instead of serving
    #[arg(long, value_name = "URL")]
    pub push: Option<String>,
    /// Between two samples of a series
    #[arg(long, value_name = "TIME", default_value = "15s", requires = "push", value_parser = humantime::parse_duration)]
    pub interval: Duration,
    /// As fast as the receiver takes it with timestamps from the past, or one round each interval
    #[arg(long, value_enum, default_value = "max", requires = "push")]
    pub speed: Speed,
    /// Stop after this time
    #[arg(long, value_name = "TIME", requires = "push", value_parser = humantime::parse_duration)]
    pub duration: Option<Duration>,
    /// Stop after so many samples, rounded up to whole rounds over all series
    #[arg(long, value_name = "N", requires = "push", conflicts_with = "duration")]
    pub samples: Option<u64>,
    /// How long ago the first timestamp lies (default: as long as --samples need, or 7 days; with
    /// --speed real now)
    #[arg(long, value_name = "TIME", requires = "push", value_parser = humantime::parse_duration)]
    pub start_ago: Option<Duration>,
    /// Connections, each with its own part of the series
    #[arg(long, value_name = "C", default_value_t = 1, requires = "push")]
    pub connections: u32,
    /// Series in one request
    #[arg(long, value_name = "N", default_value_t = BATCH_MAX as u32, requires = "push")]
    pub batch: u32,
    /// How long each request is repeated before it is given up
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "push", value_parser = humantime::parse_duration)]
    pub retry_for: Duration,
    /// Version of remote write
    #[arg(
        long,
        value_enum,
        default_value = "1.0",
        requires = "push",
        conflicts_with = "replay"
    )]
    pub protocol: Protocol,
    /// Go on with 1.0 if the receiver does not take 2.0
    #[arg(long, requires = "push", conflicts_with = "replay")]
    pub fall_back: bool,
    /// Drop what is answered with 429, as Prometheus does by default, instead of sending it again
    #[arg(long, requires = "push", conflicts_with = "replay")]
    pub drop_on_429: bool,
    /// A header to add to every request; can be given several times
    #[arg(
        long,
        value_name = "NAME: VALUE",
        requires = "push",
        conflicts_with = "replay"
    )]
    pub header: Vec<String>,
    /// Send no stale markers at the end: another run will go on with these series
    #[arg(long, requires = "push", conflicts_with = "replay")]
    pub leave_open: bool,
    /// Post every recorded *.snappy body of this folder in order, instead of made-up series
    #[arg(long, value_name = "DIR", requires = "push")]
    pub replay: Option<PathBuf>,
    /// Print the result as JSON
    #[arg(long, requires = "push")]
    pub json: bool,
}

/// Why there was nothing generated, or not all of it arrived.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    #[error("could not listen on {addr}: {source}")]
    Listen {
        addr: SocketAddr,
        source: std::io::Error,
    },
    #[error("could not read faults from {path}: {what}", path = path.display())]
    FaultFile { path: PathBuf, what: String },
    #[error("fault {series}: {source}")]
    Fault { series: String, source: FaultError },
    #[error(transparent)]
    Push(#[from] PushError),
    #[error("{missing} of {sent} samples were not acknowledged ({statuses})")]
    Unacknowledged {
        missing: u64,
        sent: u64,
        statuses: String,
    },
}

impl GenerateError {
    /// 1 if the run found something wrong, 2 if the command was used wrongly.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Listen { .. } | Self::Unacknowledged { .. } => 1,
            Self::Push(PushError::Request(_) | PushError::NotSpoken { .. }) => 1,
            Self::FaultFile { .. } | Self::Fault { .. } | Self::Push(_) => 2,
        }
    }
}

/// Runs the command until it is done or `stop` is cancelled. Prints the address or the result to
/// standard output, progress to standard error.
pub async fn run(
    args: Args,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), GenerateError> {
    match &args.push {
        Some(url) => send(url, &args, clock, stop).await,
        None => serve(&args, clock, stop).await,
    }
}

async fn serve(
    args: &Args,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), GenerateError> {
    let instances = match (args.instances, args.series) {
        (Some(instances), _) => instances,
        (None, Some(series)) => Shape::instances_for(series),
        (None, None) => Shape::default().instances,
    };
    let shape = Shape {
        instances,
        day: args.day,
    };
    let mut world = World::new(args.seed, &shape);
    let mut faults = args.fault.clone();
    if let Some(path) = &args.faults {
        faults.extend(fault_file(path)?);
    }
    let now_ms = clock.now_ms();
    world.advance(now_ms);
    for spec in &faults {
        world
            .plan(spec, now_ms)
            .map_err(|source| GenerateError::Fault {
                series: spec.series.clone(),
                source,
            })?;
    }
    let listen = |source| GenerateError::Listen {
        addr: args.listen,
        source,
    };
    let listener = TcpListener::bind(args.listen).await.map_err(listen)?;
    let addr = listener.local_addr().map_err(listen)?;
    println!(
        "listening on http://{addr}/metrics with {} series of {} nodes, {} faults planned",
        world.len(),
        shape.instances,
        faults.len()
    );
    Exporter::new(world, clock)
        .serve(listener, stop.cancelled_owned())
        .await;
    Ok(())
}

fn fault_file(path: &PathBuf) -> Result<Vec<FaultSpec>, GenerateError> {
    let bad = |what: String| GenerateError::FaultFile {
        path: path.clone(),
        what,
    };
    let length = std::fs::metadata(path)
        .map_err(|err| bad(err.to_string()))?
        .len();
    if length > FAULT_FILE_BYTES_MAX {
        return Err(bad(format!(
            "it has more than {FAULT_FILE_BYTES_MAX} bytes"
        )));
    }
    let text = std::fs::read_to_string(path).map_err(|err| bad(err.to_string()))?;
    fault::parse_file(&text).map_err(|err| bad(err.to_string()))
}

async fn send(
    url: &str,
    args: &Args,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<(), GenerateError> {
    let report = match &args.replay {
        Some(folder) => push::replay(url, folder, args.retry_for, clock, stop).await?,
        None => {
            let plan = Plan {
                url: url.to_owned(),
                series: args.series.unwrap_or(PUSH_SERIES),
                interval: args.interval,
                speed: args.speed,
                duration: args.duration,
                samples: args.samples,
                start_ago: args.start_ago,
                connections: args.connections,
                batch: args.batch,
                retry_for: args.retry_for,
                seed: args.seed,
                protocol: args.protocol,
                fall_back: args.fall_back,
                retry_on_429: !args.drop_on_429,
                headers: args.header.clone(),
                leave_open: args.leave_open,
            };
            push::push(&plan, clock, stop).await?
        }
    };
    if args.json {
        let json = serde_json::to_string(&report).expect("BUG: a report is plain data");
        println!("{json}");
    } else {
        println!("{report}");
    }
    all_acknowledged(&report)
}

fn all_acknowledged(report: &Report) -> Result<(), GenerateError> {
    if report.complete {
        return Ok(());
    }
    let totals = &report.totals;
    let missing = totals.samples_sent - totals.samples_acknowledged;
    Err(GenerateError::Unacknowledged {
        missing: missing + totals.stale_markers_dropped,
        sent: totals.samples_sent,
        statuses: totals.statuses_line(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: Args,
    }

    fn parse(line: &str) -> Result<Args, clap::Error> {
        let words = std::iter::once("generate").chain(line.split_whitespace());
        Cli::try_parse_from(words).map(|cli| cli.args)
    }

    #[test]
    fn the_defaults_serve() {
        let args = parse("").unwrap();
        assert_eq!(args.listen.to_string(), "127.0.0.1:9930");
        assert!(args.push.is_none());
        let args =
            parse("--day 60s --fault spike:demo_load1:at=2m --fault vanish:{node=\"n1\"}").unwrap();
        assert_eq!((args.day.as_secs(), args.fault.len()), (60, 2));
    }

    #[test]
    fn wrong_use_is_refused() {
        for line in [
            "--fault bang:demo_load1",
            "--speed max",
            "--push http://x --fault spike:demo_load1",
            "--push http://x --samples 1 --duration 1s",
            "--series 0",
            "--series 10 --instances 2",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
        assert!(parse("--push http://x --series 5 --speed real --interval 1s --json").is_ok());
    }

    #[tokio::test]
    async fn a_fault_that_meets_nothing_stops_the_start() {
        let args = parse("--listen 127.0.0.1:0 --fault spike:demo_nothing").unwrap();
        let clock = Arc::new(crate::clock::SystemClock);
        let err = run(args, clock, CancellationToken::new())
            .await
            .unwrap_err();
        assert_eq!(err.exit_code(), 2);
        assert!(
            err.to_string().contains("demo_nothing matches no series"),
            "{err}"
        );
    }
}
