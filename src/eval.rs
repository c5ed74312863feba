//! `saimon eval`: a labelled corpus through the code that serves, and how well that did.
//!
//! Every series runs through [`crate::score::track::Track`] in the order of time, once, from a state
//! that knows nothing; labels are read for the figures alone and never reach it. What is written is
//! what public scorers of such corpora read, one score for each row of data.

mod column;
mod corpus;
mod drive;
mod results;
mod table;
mod work;

use std::path::PathBuf;

use crate::config::Config;
use crate::config_file;

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
    let driver = drive::Driver::new(&config)?;
    let sets = corpus::find(&args.dir)?;
    let single = sets.len() == 1;
    for set in &sets {
        let out = if single {
            args.out.clone()
        } else {
            args.out.join(&set.name)
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
