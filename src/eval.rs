//! `saimon eval`: a labelled corpus through the code that serves, and how well that did.
//!
//! Every series runs through [`crate::score::track::Track`] in the order of time, once, from a state
//! that knows nothing; labels are read for the figures alone and never reach it. What is written is
//! what public scorers of such corpora read, one score for each row of data.

mod column;
mod corpus;
mod drive;
mod figures;
mod report;
mod results;
mod table;
mod work;

use std::path::PathBuf;

use anyhow::Context as _;

use crate::config::Config;
use crate::config_file;
use column::Outputs;
use corpus::{Item, Layout, Set};
use drive::Runs;
use figures::numenta::FileRows;
use figures::{Part, Scored};
use report::Done;
use table::Table;

/// What `saimon eval` was given.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "DIR holds index.json and <id>.csv[.gz] with timestamp,value,label (one series a file) or\n\
                  row,label,m1,m2,.. (one machine a file), or data/<category>/<file>.csv and\n\
                  labels/combined_windows.json as the Numenta Anomaly Benchmark; or folders of these.\n\n\
                  Exit codes: 0 done, 1 something is wrong or failed, 2 used wrongly."
)]
pub struct Args {
    /// The corpus, or a folder of several
    dir: PathBuf,
    /// Where the scores of every row are written; made if it is missing
    #[arg(long, value_name = "RESULTS")]
    out: PathBuf,
    /// Configuration file; rules see the label set {__name__="<series>", corpus="<folder>"}
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "F")]
    scores: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Write what every output says of every row, and of every metric of a machine
    #[arg(long)]
    details: bool,
    /// No series has a forest: what the detectors see that look at every sample
    #[arg(long)]
    no_forest: bool,
    /// Goes into the seed of every forest
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Threads; by default one for each core
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: Option<u16>,
}

/// Does it; gives the exit code.
///
/// # Errors
/// If the corpus cannot be read, or the results cannot be written.
pub fn run(args: &Args) -> anyhow::Result<u8> {
    let config = match &args.config {
        Some(path) => config_file::load(path)?,
        None => Config::default(),
    };
    let driver = drive::Driver::new(&config, !args.no_forest, args.seed)?;
    let sets = corpus::find(&args.dir)?;
    let single = sets.len() == 1;
    let mut all = Vec::with_capacity(sets.len());
    for set in &sets {
        let out = match single {
            true => args.out.clone(),
            false => args.out.join(&set.name),
        };
        let threads = args.threads.map(usize::from);
        let (rate, parts) = work::through(set, threads, |item| {
            let table = table::read(set, item)?;
            let runs = driver.run(set, item, &table);
            results::write(&out, set, item, &table, &runs, args.details)?;
            Ok((table.samples(), part(set, item, &table, &runs)?))
        })?;
        let (parts, causes): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        if set.layout == Layout::Machines {
            results::causes(&out, set, &causes)?;
        }
        let figures = figures::of(set.layout, parts);
        all.push(Done::new(&set.name, set.items.len(), rate, figures));
    }
    if let Some(path) = &args.scores {
        let text = serde_json::to_vec_pretty(&all)?;
        std::fs::write(path, text).with_context(|| path.display().to_string())?;
    }
    match args.json {
        true => println!("{}", serde_json::to_string_pretty(&all)?),
        false => print!("{}", report::text(&all)),
    }
    Ok(0)
}

/// Metrics of each event of a machine, strongest first, with their peaks.
type Ranking = Vec<Vec<(String, f32)>>;

/// What one file gives to the figures, and the causes of its events.
fn part(set: &Set, item: &Item, table: &Table, runs: &Runs) -> anyhow::Result<(Part, Ranking)> {
    let from = item.eval_from.min(table.times.len());
    if set.layout == Layout::Nab {
        let mut windows = Vec::with_capacity(item.windows.len());
        for (first, last) in &item.windows {
            let edge = |text: &str| table::time(text).with_context(|| format!("{text:?}: no time"));
            windows.push((edge(first)?, edge(last)?));
        }
        let rows = FileRows::new(&table.times, &runs.judged, &windows)
            .with_context(|| item.path.display().to_string())?;
        return Ok((Part::Numenta(rows), Ranking::new()));
    }
    let mut causes = Vec::new();
    let mut ranking = Ranking::new();
    for event in &item.events {
        let rows = event.first_row..=event.last_row.min(table.times.len().saturating_sub(1));
        let peak = |outputs: &Vec<Outputs>| {
            let inside = outputs.get(rows.clone()).unwrap_or_default();
            inside.iter().map(|o| o.deviation).fold(0.0, f32::max)
        };
        let peaks: Vec<f32> = runs.each.iter().map(peak).collect();
        let order = figures::causes::order(&peaks);
        let labelled = |metric: usize| event.metrics.contains(&table.names[metric]);
        if event.first_row >= from {
            causes.extend(figures::causes::one(&order, labelled));
        }
        let named = order.iter().map(|m| (table.names[*m].clone(), peaks[*m]));
        ranking.push(named.collect());
    }
    let times = &table.times[from..];
    let days = match (times.first(), times.last()) {
        (Some(first), Some(last)) => (last - first) as f64 / 86_400_000.0,
        _ => 0.0,
    };
    let scored = Scored {
        name: item.name.clone(),
        scores: runs.judged[from..].to_vec(),
        labels: table.labels[from..].to_vec(),
        days,
        causes,
    };
    Ok((Part::Scored(scored), ranking))
}
