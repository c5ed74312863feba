//! `saimon eval`: a labelled corpus through the code that serves, and how well that did.
//!
//! Every series runs through [`crate::score::track::Track`] in the order of time, once, from a state
//! that knows nothing; labels are read for the figures alone and never reach it. What is written is
//! what public scorers of such corpora read, one score for each row of data.

mod ablate;
mod accuracy;
mod column;
mod corpus;
mod drive;
mod figures;
pub mod noise;
mod report;
mod results;
mod table;
mod work;

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::config::Config;
use crate::config_file;
use crate::engine::rules::Rules;
use crate::generate::clean::Kind;
use crate::model::cause::Usual;
use crate::series::labels;
use column::Outputs;
use corpus::{Item, Layout, Set};
use drive::{Driver, Runs};
use figures::causes::Causes;
use figures::numenta::FileRows;
use figures::{Figures, Part, Scored};
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
    #[arg(required_unless_present = "noise")]
    dir: Option<PathBuf>,
    /// Where the scores of every row are written; made if it is missing
    #[arg(long, value_name = "RESULTS", required_unless_present = "noise")]
    out: Option<PathBuf>,
    /// Instead of a corpus, so many samples of each kind of clean noise: how often they are called
    /// anomalous; exit code 1 if more often than promised
    #[arg(long, value_name = "SAMPLES", conflicts_with_all = ["dir", "out", "details"])]
    noise: Option<u64>,
    /// Only this kind of noise; can be given several times
    #[arg(long, value_name = "KIND", requires = "noise")]
    kind: Vec<String>,
    /// Configuration file; rules see the label set `{__name__="SERIES", corpus="FOLDER"}`
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
    /// Goes into the seed of every forest, and of the noise
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write tables of the figures into this file, between its marks; with the mean of several seeds,
    /// and what each part is worth
    #[arg(long, value_name = "FILE")]
    accuracy: Option<PathBuf>,
    /// Seeds for these tables
    #[arg(long, default_value_t = 5, requires = "accuracy", value_parser = clap::value_parser!(u8).range(1..=20))]
    seeds: u8,
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
    if let Some(samples) = args.noise {
        return calibrate(args, samples, &config);
    }
    let (Some(dir), Some(out_dir)) = (&args.dir, &args.out) else {
        anyhow::bail!("a folder and --out are needed");
    };
    let mut driver = drive::Driver::new(&config, !args.no_forest)?;
    let sets = corpus::find(dir)?;
    let mut all = Vec::with_capacity(sets.len());
    let mut measured = Vec::new();
    for set in &sets {
        let out = match sets.len() {
            1 => out_dir.clone(),
            _ => out_dir.join(&set.name),
        };
        driver.seed(args.seed, args.accuracy.is_some());
        let (done, ablated) = one(args, &driver, set, Some(&out))?;
        if args.accuracy.is_some() {
            let mut seeds = vec![done.figures.clone()];
            for seed in 1..u64::from(args.seeds) {
                driver.seed(args.seed + seed, false);
                seeds.push(one(args, &driver, set, None)?.0.figures);
            }
            measured.push(accuracy::Measured {
                name: set.name.clone(),
                seeds,
                ablated,
            });
        }
        all.push(done);
    }
    if let Some(path) = &args.accuracy {
        accuracy::write(path, &measured).with_context(|| path.display().to_string())?;
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

fn calibrate(args: &Args, samples: u64, config: &Config) -> anyhow::Result<u8> {
    let mut plan = noise::Plan::new(samples);
    plan.spec = Rules::try_from(&config.detect)?.resolve(&labels::encode([
        (labels::METRIC_NAME, "noise"),
        ("corpus", "noise"),
    ]));
    plan.seed = args.seed;
    plan.threads = args.threads.map_or_else(
        || std::thread::available_parallelism().map_or(1, usize::from),
        usize::from,
    );
    if !args.kind.is_empty() {
        plan.kinds = Vec::new();
        for name in &args.kind {
            let kind = Kind::ALL.into_iter().find(|k| k.as_str() == name);
            plan.kinds
                .push(kind.ok_or_else(|| anyhow::anyhow!("no kind of noise is named {name}"))?);
        }
    }
    let table = noise::run(&plan);
    print!("{table}");
    let broken = table.broken();
    for line in &broken {
        println!("over the limit: {line}");
    }
    Ok(u8::from(!broken.is_empty()))
}

/// One corpus: its figures, and those of each variant if there are any. Rows are written to `out`.
fn one(
    args: &Args,
    driver: &Driver,
    set: &Set,
    out: Option<&Path>,
) -> anyhow::Result<(Done, Vec<Figures>)> {
    let (rate, done) = work::through(set, args.threads.map(usize::from), |item| {
        let table = table::read(set, item)?;
        let runs = driver.run(set, item, &table);
        if let Some(out) = out {
            results::write(out, set, item, &table, &runs, args.details)?;
        }
        let (whole, ranking) = part(set, item, &table, &runs)?;
        let variant = |judged: &Vec<f32>| scored(item, &table, judged, Vec::new());
        let variants: Vec<Part> = runs.ablated.iter().map(variant).collect();
        Ok((table.samples(), (whole, ranking, variants)))
    })?;
    let (mut parts, mut causes, mut ablated) = (Vec::new(), Vec::new(), Vec::new());
    for (whole, ranking, variants) in done {
        parts.push(whole);
        causes.push(ranking);
        ablated.resize_with(variants.len(), Vec::new);
        for (all, one) in ablated.iter_mut().zip(variants) {
            all.push(one);
        }
    }
    if let (Layout::Machines, Some(out)) = (set.layout, out) {
        results::causes(out, set, &causes)?;
    }
    let figures = figures::of(set.layout, parts);
    let ablated = ablated.into_iter().map(|p| figures::of(set.layout, p));
    let done = Done::new(&set.name, set.items.len(), rate, figures);
    Ok((done, ablated.collect()))
}

/// Metrics of each event of a machine, those that stand out most first, and by how much.
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
    let members = || table.columns.iter().zip(&runs.each);
    let usual: Vec<Vec<Usual>> = members().map(|(v, o)| usual_before(item, v, o)).collect();
    for (i, event) in item.events.iter().enumerate() {
        let rows = event.first_row..(event.last_row + 1).min(table.times.len());
        let stands_out = |((values, outputs), usual): ((&Vec<f64>, &Vec<Outputs>), &Vec<Usual>)| {
            let mut incident = usual[i].begin();
            for row in rows.clone() {
                incident.take(outputs[row].size, values[row]);
            }
            incident.stands_out()
        };
        let peaks: Vec<f32> = members().zip(&usual).map(stands_out).collect();
        let order = figures::causes::order(&peaks);
        let labelled = |metric: usize| event.metrics.contains(&table.names[metric]);
        if event.first_row >= from {
            causes.extend(figures::causes::one(&order, labelled));
        }
        let named = order.iter().map(|m| (table.names[*m].clone(), peaks[*m]));
        ranking.push(named.collect());
    }
    Ok((scored(item, table, &runs.judged, causes), ranking))
}

/// What was usual for a metric when each event began.
fn usual_before(item: &Item, values: &[f64], outputs: &[Outputs]) -> Vec<Usual> {
    let mut order: Vec<usize> = (0..item.events.len()).collect();
    order.sort_by_key(|e| item.events[*e].first_row);
    let mut all = vec![Usual::new(); item.events.len()];
    let (mut usual, mut row) = (Usual::new(), 0);
    for event in order {
        let first = item.events[event].first_row.min(outputs.len());
        for i in row..first.max(row) {
            usual.take(outputs[i].size, values[i]);
        }
        row = first.max(row);
        all[event] = usual;
    }
    all
}

/// The rows that count.
fn scored(item: &Item, table: &Table, judged: &[f32], causes: Vec<Causes>) -> Part {
    let from = item.eval_from.min(table.times.len());
    let times = &table.times[from..];
    let days = match (times.first(), times.last()) {
        (Some(first), Some(last)) => (last - first) as f64 / 86_400_000.0,
        _ => 0.0,
    };
    Part::Scored(Scored {
        name: item.name.clone(),
        scores: judged[from..].to_vec(),
        labels: table.labels[from..].to_vec(),
        days,
        causes,
    })
}
