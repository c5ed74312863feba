//! `saimon backtest`: the past, scored exactly as `serve` would have, and what it would have said.
//!
//! Samples come from files, from a server, or from the data directory, and go one by one through
//! [`crate::score::track::Track`], as they do in `serve`. What is held is one state and one picture of
//! fixed size for each series, never its samples, so that memory does not grow with the length of the
//! past. What it does not do: histograms are left out (their parts are counted), and series that
//! `serve` would not model are not modelled here either.

mod compare;
mod input;
mod page;
mod picture;
mod player;
mod report;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::clock::{self, Clock as _, SystemClock};
use crate::config::Config;
use crate::config::client::Address;
use crate::config_file;
use crate::engine::rules::Rules;
use crate::series::matcher::Selector;
use input::{From, Place};
use player::Player;

/// What `saimon backtest` was given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "CSV has a header: timestamp,value (a series, named by its file), timestamp,a,b,.. (a series for\n\
                  each column), or series,timestamp,value as saimon inspect export writes it. Times are\n\
                  RFC 3339 or seconds since 1970; a column timestamp_ms has milliseconds. Files may be packed\n\
                  by gzip; .csv is read as CSV, everything else as OpenMetrics text with timestamps.\n\n\
                  Exit codes: 0 done, 1 something is wrong or failed, 2 used wrongly."
)]
pub struct Args {
    /// Files to read, CSV or OpenMetrics text
    #[arg(required_unless_present_any = ["url", "data_dir"], conflicts_with_all = ["url", "data_dir"])]
    files: Vec<PathBuf>,
    /// Read from this server by remote read, for example http://prometheus:9090
    #[arg(long, value_parser = Address::parse, conflicts_with = "data_dir")]
    url: Option<Address>,
    /// Read what this data directory of saimon keeps
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// Only series that match, for example '{job="node"}'; may be repeated
    #[arg(long = "selector", value_parser = Selector::parse)]
    selectors: Vec<Selector>,
    /// How far back a server is read, for example 7d; by default history.range
    #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "start")]
    range: Option<Duration>,
    /// Oldest time that is read: RFC 3339, or seconds since 1970
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    start: Option<i64>,
    /// Newest time that is read
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    end: Option<i64>,
    /// Report anomalies from this time on; what lies before only teaches
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    report_from: Option<i64>,
    /// Configuration file; everything has a default
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
    /// A second configuration: which anomalies it adds, and which it loses
    #[arg(long, value_name = "OTHER.yaml")]
    compare: Option<PathBuf>,
    /// Write one page with a picture of each series that had an anomaly
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Pictures on the page at most, the gravest anomalies first
    #[arg(long, default_value_t = 100)]
    pictures: usize,
    /// How the anomalies are printed
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Rows of the table at most, gravest first; CSV and JSON have all
    #[arg(long, default_value_t = 50)]
    limit: usize,
    /// No series has a forest, as if there were no memory for one
    #[arg(long)]
    no_forest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// A row for each anomaly
    Csv,
    /// One object
    Json,
}

/// Does it; gives the exit code.
///
/// # Errors
/// If a configuration or the past cannot be read, or a file cannot be written.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let config = load(args.config.as_ref())?;
    let rules = Rules::try_from(&config.detect)?;
    let other = match &args.compare {
        Some(path) => Some(Rules::try_from(&load(Some(path))?.detect)?),
        None => None,
    };
    let pictured = args.html.is_some();
    let mut player = Player::new(rules, !args.no_forest, pictured, args.report_from);
    let mut second =
        other.map(|rules| Player::new(rules, !args.no_forest, false, args.report_from));
    let place = place(args, &config)?;
    let read = input::play(&place, &config, &mut |event| {
        player.hear(&event);
        if let Some(second) = &mut second {
            second.hear(&event);
        }
    })?;
    let past = player.finish();
    let other = second.map(Player::finish);
    let compared = other.as_ref().map(|other| compare::compare(&past, other));
    if let Some(path) = &args.html {
        let text = page::render(&past, compared.as_ref(), args.pictures);
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    match args.format {
        Format::Table => report::table(&past, compared.as_ref(), args.limit, &read, &mut out)?,
        Format::Csv => report::csv(&past, compared.as_ref(), &mut out)?,
        Format::Json => report::json(&past, compared.as_ref(), &mut out)?,
    }
    out.flush()?;
    if let Some(path) = &args.html {
        eprintln!("wrote {}", path.display());
    }
    if past.series == 0 {
        eprintln!("saimon: no series with samples matches");
        return Ok(1);
    }
    Ok(0)
}

fn load(path: Option<&PathBuf>) -> anyhow::Result<Config> {
    match path {
        Some(path) => Ok(config_file::load(path)?),
        None => Ok(Config::default()),
    }
}

fn place(args: &Args, config: &Config) -> anyhow::Result<Place> {
    let from = match (&args.url, &args.data_dir) {
        (Some(url), _) => {
            let end_ms = args.end.unwrap_or_else(|| SystemClock.now_ms());
            let range = args.range.unwrap_or(config.history.range);
            let range_ms = i64::try_from(range.as_millis()).context("--range is too long")?;
            let start_ms = args.start.unwrap_or(end_ms.saturating_sub(range_ms));
            From::Server {
                url: url.clone(),
                start_ms,
                end_ms,
            }
        }
        (None, Some(dir)) => From::DataDir(dir.clone()),
        (None, None) => From::Files(args.files.clone()),
    };
    Ok(Place {
        from,
        selectors: args.selectors.clone(),
        start_ms: args.start.unwrap_or(i64::MIN),
        end_ms: args.end.unwrap_or(i64::MAX),
    })
}
