//! `saimon inspect`: what a data directory holds, without a saimon and beside one.
//!
//! Everything is read from a copy ([`crate::store::view`]), so nothing that is looked at is changed.
//! It shows what the last checkpoint wrote; samples that came after it are in memory, and in the
//! write-ahead log.

mod check;
pub(crate) mod export;
mod list;
mod seasons;
pub(crate) mod series;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use crate::clock;
use crate::config::Config;
use crate::config_file;
use crate::engine::rules::Rules;
use crate::series::matcher::Selector;
use crate::store::view::View;

/// Folder of the store within the data directory.
pub(crate) const STORE: &str = "store";
/// Folder of the write-ahead log within the data directory.
const LOG: &str = "wal";

/// What `saimon inspect` was given.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "What is shown was written by the last checkpoint. The store is copied first, so a running\n\
                  saimon is not disturbed; the copy needs as much room as the store.\n\n\
                  Exit codes: 0 done, 1 something is wrong or failed, 2 used wrongly."
)]
pub struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: List,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Read everything and say what is wrong with it
    Check(Check),
    /// Write samples of series as CSV or OpenMetrics
    Export(Export),
    /// Say which rhythm series have, and whether they rise or fall, by their long past
    Seasons(Seasons),
}

/// Where to look.
#[derive(Debug, clap::Args)]
struct Place {
    /// The data directory of saimon
    #[arg(long, env = "SAIMON_DATA_DIR", default_value = "./saimon-data")]
    data_dir: PathBuf,
    /// Where the copy of the store is made; by default the system's folder for such files
    #[arg(long, value_name = "DIR")]
    temp_dir: Option<PathBuf>,
}

impl Place {
    fn temp(&self) -> PathBuf {
        self.temp_dir.clone().unwrap_or_else(std::env::temp_dir)
    }

    fn open(&self) -> anyhow::Result<View> {
        Ok(View::open(&self.data_dir.join(STORE), &self.temp())?)
    }
}

#[derive(Debug, Parser)]
struct List {
    /// Only series that match, for example '{job="node"}'
    #[arg(value_parser = Selector::parse)]
    selector: Option<Selector>,
    #[command(flatten)]
    place: Place,
    /// Configuration file: its rules say which phase a model is in
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
    /// Series shown at most; the totals are those of all that match
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Order of the series
    #[arg(long, value_enum, default_value = "name")]
    sort: Sort,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// By labels
    Name,
    /// Largest first, in state and on disk together
    Size,
    /// Most samples first
    Samples,
    /// Longest silent first
    Newest,
}

#[derive(Debug, Parser)]
struct Seasons {
    /// Only series that match, for example '{job="node"}'
    #[arg(value_parser = Selector::parse)]
    selector: Option<Selector>,
    #[command(flatten)]
    place: Place,
    /// Configuration file: days and weeks are those of its time zone
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
    /// Series shown at most
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Parser)]
struct Check {
    #[command(flatten)]
    place: Place,
    /// Write one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Parser)]
struct Export {
    /// Series to export, for example 'node_load1{job="node"}'
    #[arg(value_parser = Selector::parse)]
    selector: Selector,
    #[command(flatten)]
    place: Place,
    /// Oldest time: RFC 3339, or seconds since 1970
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    from: Option<i64>,
    /// Newest time
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    to: Option<i64>,
    /// How samples are written
    #[arg(long, value_enum, default_value = "csv")]
    format: Format,
    /// Write the rows of five minutes of the long past instead of samples; only as CSV
    #[arg(long, conflicts_with = "format")]
    rollups: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Exact to the bit: a NaN that is not the usual one is written as NaN: and its bits
    Csv,
    /// What promtool and others take; without stale markers and native histograms
    Openmetrics,
}

/// Does it; gives the exit code.
///
/// # Errors
/// If there is no store, or it cannot be read.
pub fn run(args: Args) -> anyhow::Result<u8> {
    let mut out = BufWriter::new(io::stdout().lock());
    let done = match args.command {
        None => list::run(&args.list, &mut out).map(|()| 0),
        Some(Command::Check(check)) => check::run(&check, &mut out),
        Some(Command::Export(export)) => export::run(&export, &mut out).map(|()| 0),
        Some(Command::Seasons(seasons)) => seasons::run(&seasons, &mut out).map(|()| 0),
    };
    match done.and_then(|code| Ok(out.flush().map(|()| code)?)) {
        // Whoever reads has seen enough.
        Err(e) if is_broken_pipe(&e) => Ok(0),
        done => done,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

fn rules(config: Option<&PathBuf>) -> anyhow::Result<Rules> {
    let config = match config {
        Some(path) => config_file::load(path)?,
        None => Config::default(),
    };
    Ok(Rules::try_from(&config.detect)?)
}

/// A time as people read it, to the minute or the second.
fn time(t_ms: i64, seconds: bool) -> String {
    match jiff::Timestamp::from_millisecond(t_ms) {
        Ok(t) if seconds => t.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Ok(t) => t.strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => t_ms.to_string(),
    }
}

/// A number of bytes as people read it.
fn size(bytes: u64) -> String {
    bytesize::ByteSize(bytes).display().iec_short().to_string()
}
