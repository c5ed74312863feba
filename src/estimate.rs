//! `saimon estimate`: memory, disk and CPU for a number of series, before they are sent.

mod ask;
pub mod cost;

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use crate::client::Client;
use crate::config::Config;
use crate::config::client::Address;
use crate::config_file;
use ask::{Answers, Count};
use cost::{Kept, Load, Part};

/// Metrics and labels that are named.
const NAMED: usize = 5;
/// Buckets of a histogram where nothing else is known: those of most client libraries.
const BUCKETS: f64 = 12.0;
/// Series created a day, as a share of all, from which on it is called churn.
const CHURN: f64 = 0.5;

/// What `saimon estimate` was given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The figures behind it are those of the benches in this repository, see\n\
                  docs/operations.md; another machine may need half or twice the CPU."
)]
pub struct Args {
    /// Ask this Prometheus for its series, for example http://prometheus:9090
    #[arg(long, value_parser = Address::parse, conflicts_with_all = ["series", "histograms"])]
    url: Option<Address>,
    /// Series, without the parts of histograms
    #[arg(long, required_unless_present = "url")]
    series: Option<u64>,
    /// Classic histograms, each of 12 buckets, a sum and a count
    #[arg(long, default_value_t = 0)]
    histograms: u64,
    /// Time between two samples of a series; with --url only if the server does not say
    #[arg(long, default_value = "15s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// How long raw samples are kept; by default store.window
    #[arg(long, value_parser = humantime::parse_duration)]
    retention: Option<Duration>,
    /// How long rollups of five minutes are kept; by default store.rollups
    #[arg(long, value_parser = humantime::parse_duration)]
    rollups: Option<Duration>,
    /// Configuration file; history.* says how the server is asked
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

/// Estimates and prints.
///
/// # Errors
/// If the configuration cannot be read, or the server does not answer.
pub fn run(args: &Args, out: &mut dyn Write) -> anyhow::Result<()> {
    let config = match &args.config {
        Some(path) => config_file::load(path)?,
        None => Config::default(),
    };
    let kept = Kept {
        window: args.retention.unwrap_or(config.store.window),
        rollups: args.rollups.unwrap_or(config.store.rollups),
        checkpoint: config.store.checkpoint,
    };
    let answers = match &args.url {
        None => None,
        Some(url) => {
            let client = Client::new(url, &config.history.client)?;
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .context("the runtime could not be started")?;
            Some(runtime.block_on(ask::ask(&client))?)
        }
    };
    let load = match &answers {
        Some(answers) => answers.load(args.interval, config.store.forget),
        None => told(args),
    };
    let parts = cost::parts(&load, &kept);
    let total = cost::total(&parts);
    if args.json {
        let all = serde_json::json!({
            "load": load, "parts": parts, "total": total, "server": answers,
        });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
        return Ok(());
    }
    table(&load, &parts, &total, out)?;
    if let Some(answers) = &answers {
        hints(answers, &load, out)?;
    }
    let limit = f64::from(config.limits.series);
    let held = load.modelled + load.windows + load.ended + 4.0 * load.histograms;
    if held > limit {
        writeln!(
            out,
            "\nlimits.series is {limit}: raise it to {} or more, or series are left out",
            (held * 1.2).ceil()
        )?;
    }
    Ok(())
}

/// What the command line says.
fn told(args: &Args) -> Load {
    let histograms = args.histograms as f64;
    let modelled = args.series.unwrap_or(0) as f64;
    // Sum and count of a histogram are kept, and judged with it.
    let windows = histograms * (BUCKETS + 2.0);
    Load {
        modelled,
        windows,
        histograms,
        samples_per_second: (modelled + windows) / args.interval.as_secs_f64().max(0.001),
        ended: 0.0,
    }
}

impl Answers {
    fn load(&self, interval: Duration, forget: Duration) -> Load {
        let windows = (self.windows + 2.0 * self.histograms).min(self.series);
        let by_interval = self.series / interval.as_secs_f64().max(0.001);
        // What was created since the server's head began is among its series already; what ends
        // meanwhile is remembered here.
        let ended = self.created_per_hour.unwrap_or(0.0) * forget.as_secs_f64() / 3600.0;
        Load {
            modelled: self.series - windows,
            windows,
            histograms: self.histograms,
            samples_per_second: self.samples_per_second.unwrap_or(by_interval),
            ended: ended.max(0.0),
        }
    }
}

fn table(load: &Load, parts: &[Part], total: &Part, out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(
        out,
        "{:.0} series with a model, {:.0} kept as windows only, {:.0} histograms, {:.0} samples a second\n",
        load.modelled, load.windows, load.histograms, load.samples_per_second
    )?;
    writeln!(
        out,
        "{:<30} {:>12} {:>12} {:>12}",
        "", "memory", "disk", "CPU cores"
    )?;
    for part in parts.iter().chain([total]) {
        if part.memory + part.disk + part.cpu > 0.0 {
            writeln!(
                out,
                "{:<30} {:>12} {:>12} {:>12}",
                part.name,
                size(part.memory),
                size(part.disk),
                match part.cpu {
                    0.0 => "-".to_owned(),
                    cpu => format!("{cpu:.4}"),
                }
            )?;
        }
    }
    Ok(())
}

fn hints(answers: &Answers, load: &Load, out: &mut dyn Write) -> anyhow::Result<()> {
    if answers.samples_per_second.is_none() {
        writeln!(
            out,
            "\nthe server does not say how many samples it takes: --interval was used"
        )?;
    }
    writeln!(out, "\nmetrics with most series")?;
    named(&answers.metrics, out)?;
    writeln!(out, "labels with most values")?;
    let labels: Vec<Count> = answers
        .labels
        .iter()
        .filter(|l| l.name != "__name__")
        .cloned()
        .collect();
    named(&labels, out)?;
    if let Some(created) = answers.created_per_hour {
        writeln!(out, "series created an hour  {created:.0}")?;
        if created * 24.0 > answers.series * CHURN {
            writeln!(
                out,
                "that is churn: {:.0} ended series are remembered for store.forget; look whether a label\n\
                 with many values, such as {}, is needed",
                load.ended,
                labels.first().map_or("those above", |l| &l.name)
            )?;
        }
    }
    Ok(())
}

fn named(counts: &[Count], out: &mut dyn Write) -> anyhow::Result<()> {
    for count in counts.iter().take(NAMED) {
        writeln!(out, "  {:>12}  {}", count.value, count.name)?;
    }
    Ok(())
}

fn size(bytes: f64) -> String {
    match bytes {
        0.0 => "-".to_owned(),
        bytes => bytesize::ByteSize(bytes as u64).display().iec().to_string(),
    }
}
