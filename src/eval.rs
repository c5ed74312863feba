//! `saimon eval`: a labelled corpus through the code that serves, and how well that did.
//!
//! Every series runs through [`crate::score::track::Track`] in the order of time, once, from a state
//! that knows nothing; labels are read for the figures alone and never reach it. What is written is
//! what public scorers of such corpora read, one score for each row of data.

mod column;
mod corpus;
mod drive;
pub mod noise;
mod results;
mod table;
mod work;

use std::path::PathBuf;

use crate::config::Config;
use crate::config_file;
use crate::engine::rules::Rules;
use crate::generate::clean::Kind;
use crate::series::labels;

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
    /// Another run of the noise
    #[arg(long, value_name = "N", requires = "noise", default_value_t = 1)]
    seed: u64,
    /// Configuration file; rules see the label set {__name__="<series>", corpus="<folder>"}
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
    /// Write what every output says of every row, and of every metric of a machine
    #[arg(long)]
    details: bool,
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
    let driver = drive::Driver::new(&config)?;
    let (Some(dir), Some(out_dir)) = (&args.dir, &args.out) else {
        anyhow::bail!("a folder and --out are needed");
    };
    let sets = corpus::find(dir)?;
    let single = sets.len() == 1;
    for set in &sets {
        let out = if single {
            out_dir.clone()
        } else {
            out_dir.join(&set.name)
        };
        let threads = args.threads.map(usize::from);
        let rate = work::through(set, threads, |item| {
            let table = table::read(set, item)?;
            let runs = driver.run(set, item, &table);
            results::write(&out, set, item, &table, &runs, args.details)?;
            Ok(table.samples())
        })?;
        println!(
            "{}: {} files, {} samples, {:.0} samples a second",
            set.name,
            set.items.len(),
            rate.samples,
            rate.per_second()
        );
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
