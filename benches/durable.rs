//! What it costs to keep an hour of 100,000 series, and how soon they are back: `make bench-durable`.
//!
//! A saimon with its default settings but for the checkpoint is sent an hour of samples at 15 s as fast
//! as it takes them, in twelve parts, with a checkpoint after each: what would happen in that hour.
//! Then come five minutes without a checkpoint, `kill -9`, and a start. The load is that of
//! `saimon generate --push`: counters and gauges of few decimals, on the millisecond.

#[path = "peers/account.rs"]
mod account;
#[path = "durable/figures.rs"]
mod figures;
#[path = "../examples/soak/http.rs"]
#[allow(dead_code, reason = "the soak uses the rest of it")]
mod http;
#[path = "../examples/soak/process.rs"]
#[allow(dead_code, reason = "the soak uses the rest of it")]
mod process;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;

use account::Account;
use figures::Figures;
use process::{Program, Saimon, bytes_of};

const SAIMON: &str = env!("CARGO_BIN_EXE_saimon");

/// Between two samples of a series, by their timestamps.
const INTERVAL_S: u64 = 15;
/// Rounds between two checkpoints: five minutes.
const ROUNDS: u64 = 20;
/// Checkpoints of the first process: they come by themselves, and most have nothing to write.
const CHECKPOINT: &str = "10s";
/// How long one may take, with the wait for it.
const CHECKPOINT_WAIT: Duration = Duration::from_secs(120);

#[derive(Debug, Parser)]
struct Args {
    #[arg(long, default_value_t = 100_000)]
    series: u64,
    /// Parts of five minutes
    #[arg(long, default_value_t = 12)]
    parts: u64,
    /// Another program than the one that was built with this
    #[arg(long, default_value = SAIMON)]
    saimon: PathBuf,
    /// Where the data is meanwhile; a folder on the disk that is meant
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also write the table into docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// Passed by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let folder = match &args.dir {
        Some(dir) => tempfile::tempdir_in(dir)?,
        None => tempfile::tempdir()?,
    };
    let figures = measure(&args, folder.path())?;
    let table = figures.markdown();
    println!("{table}");
    if args.write {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        figures::write(&file, &table)?;
    }
    Ok(())
}

fn measure(args: &Args, folder: &Path) -> Result<Figures> {
    let address = Program::free_address()?;
    let program = |checkpoint: &str| -> Result<Program> {
        let config = folder.join(format!("{checkpoint}.yaml"));
        std::fs::write(&config, format!("store:\n  checkpoint: {checkpoint}\n"))?;
        Ok(Program {
            path: args.saimon.clone(),
            config,
            data: folder.join("data"),
            log: folder.join("log"),
            address,
        })
    };
    let often = program(CHECKPOINT)?;
    let mut saimon = often.spawn()?;
    saimon.ready()?;
    let idle = Account::settled(saimon.pid())?;
    // One round more, so that the chunks of the hour are finished.
    let rounds = args.parts * ROUNDS + 1;
    push(args, &often, 1, rounds + ROUNDS)?;
    for part in 0..args.parts {
        push(args, &often, ROUNDS, rounds - 1 - part * ROUNDS + ROUNDS)?;
        checkpointed(&saimon)?;
        eprintln!("part {} of {}", part + 1, args.parts);
    }
    let full = Account::settled(saimon.pid())?;
    saimon.look();
    let mut figures = Figures {
        series: args.series,
        samples: rounds * args.series,
        cpu: full.cpu - idle.cpu,
        memory: full.resident.saturating_sub(idle.resident),
        stops: stops(&often)?,
        ..Figures::default()
    };
    figures.written(saimon.stop()?);
    let data = &often.data;
    figures.disk = bytes_of(&data.join("store"));
    figures.states_disk = bytes_of(&data.join("store/states"));
    figures.inspected(&inspect(args, data, folder)?)?;

    // A start after a proper stop, then five minutes that no checkpoint has, and a kill.
    let seldom = program("1h")?;
    let mut saimon = seldom.spawn()?;
    figures.ready_stopped = saimon.ready()?;
    push(args, &seldom, ROUNDS, ROUNDS)?;
    saimon.look();
    figures.log = bytes_of(&data.join("wal"));
    saimon.kill()?;
    let mut saimon = seldom.spawn()?;
    figures.ready_killed = saimon.ready()?;
    let again = saimon
        .metric("saimon_recovery_samples_total")
        .unwrap_or(0.0);
    figures.replayed = again as u64;
    let back = Account::settled(saimon.pid())?;
    figures.memory_back = back.resident.saturating_sub(idle.resident);
    saimon.stop()?;
    Ok(figures)
}

/// Waits until the log holds next to nothing: a checkpoint has everything.
fn checkpointed(saimon: &Saimon) -> Result<()> {
    let began = Instant::now();
    let last = || saimon.metric("saimon_checkpoint_last_success_timestamp_seconds");
    // Two, because one may have been under way.
    for _ in 0..2 {
        let before = last();
        while last() == before {
            ensure!(
                began.elapsed() < CHECKPOINT_WAIT,
                "no checkpoint within {CHECKPOINT_WAIT:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
    Ok(())
}

/// The buckets of stops: up to so many seconds, how many.
fn stops(program: &Program) -> Result<Vec<(String, u64)>> {
    let (_, page) = http::get(program.address, "/metrics")?;
    let page = String::from_utf8_lossy(&page).into_owned();
    let bucket = |line: &str| {
        let rest = line.strip_prefix("saimon_checkpoint_stop_seconds_bucket{le=\"")?;
        let (le, count) = rest.split_once("\"} ")?;
        Some((le.to_owned(), count.trim().parse().ok()?))
    };
    Ok(page.lines().filter_map(bucket).collect())
}

fn inspect(args: &Args, data: &Path, temp: &Path) -> Result<Value> {
    let said = Command::new(&args.saimon)
        .args(["inspect", "--json", "--limit", "1", "--data-dir"])
        .arg(data)
        .arg("--temp-dir")
        .arg(temp)
        .output()?;
    ensure!(
        said.status.success(),
        "saimon inspect failed: {}",
        String::from_utf8_lossy(&said.stderr)
    );
    Ok(serde_json::from_slice(&said.stdout)?)
}

/// Sends so many rounds of all series, the first of them `ago` intervals before now.
fn push(args: &Args, program: &Program, rounds: u64, ago: u64) -> Result<()> {
    let url = format!("http://{}/api/v1/write", program.address);
    let samples = args.series * rounds;
    let output = Command::new(&args.saimon)
        .args(["generate", "--push", &url])
        .args(["--series", &args.series.to_string()])
        .args(["--samples", &samples.to_string()])
        .args(["--interval", &format!("{INTERVAL_S}s")])
        .args(["--start-ago", &format!("{}s", ago * INTERVAL_S)])
        .args(["--speed", "max", "--seed", "1", "--leave-open", "--json"])
        .output()
        .context("cannot run saimon generate")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let error = String::from_utf8_lossy(&output.stderr);
        bail!("saimon generate --push failed: {said}{error}");
    }
    let json: Value = serde_json::from_str(&said).context("what generate said")?;
    ensure!(
        json["samples_acknowledged"].as_u64() == Some(samples),
        "not all was taken: {json}"
    );
    Ok(())
}
