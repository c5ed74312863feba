//! What receiving a sample costs in saimon, VictoriaMetrics and vmagent: `make bench-peers`.
//!
//! One after the other gets the same stream of remote write 1.0 from `saimon generate --push`. CPU
//! time and memory are those of the server's process, as the kernel accounts them; what was received
//! is the server's own word. They do different work: saimon scores each sample, VictoriaMetrics
//! stores it, vmagent passes it on (to a receiver in this process that throws it away).

#[path = "peers/account.rs"]
mod account;
#[path = "peers/servers.rs"]
mod servers;
#[path = "../examples/demo/stack.rs"]
#[allow(
    dead_code,
    reason = "the demo and the end-to-end test use the rest of it"
)]
mod stack;
#[path = "peers/table.rs"]
mod table;

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;
use serde_json::Value;

use account::Account;
use servers::{Kind, Server};
use table::Row;

/// Between two samples of a series, by their timestamps.
const INTERVAL_S: u64 = 15;

const SAIMON: &str = env!("CARGO_BIN_EXE_saimon");

#[derive(Debug, Parser)]
struct Args {
    /// Also write the table into docs/benchmarks.md
    #[arg(long)]
    write: bool,
    /// Numbers of series, each with its number of steady rounds
    #[arg(long, value_delimiter = ',', default_value = "10000:100,100000:30")]
    sizes: Vec<String>,
    /// Only these servers
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Passed by cargo bench
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut rows = Vec::new();
    for size in &args.sizes {
        let (series, rounds) = size
            .split_once(':')
            .and_then(|(s, r)| Some((s.parse().ok()?, r.parse().ok()?)))
            .with_context(|| format!("{size} is not SERIES:ROUNDS"))?;
        for kind in Kind::ALL {
            if !args.only.is_empty() && !args.only.iter().any(|o| o == kind.name()) {
                continue;
            }
            let row = measure(kind, series, rounds)
                .with_context(|| format!("{} with {series} series", kind.name()))?;
            eprintln!("{}", row.line());
            rows.push(row);
        }
    }
    let table = table::markdown(&rows);
    println!("{table}");
    if args.write {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
        table::write(&file, &table)?;
        eprintln!("written into {}", file.display());
    }
    Ok(())
}

fn measure(kind: Kind, series: u64, rounds: u64) -> Result<Row> {
    let mut server = Server::start(kind)?;
    let idle = Account::settled(server.pid())?;

    // the first round lies before all of the steady ones
    let first = push(&server, series, 1, rounds + 1)?;
    ensure!(first == series, "{first} samples in a round of {series}");
    server.wait_until_received(first)?;
    let known = Account::settled(server.pid())?;

    let steady = push(&server, series, rounds, rounds)?;
    server.wait_until_received(first + steady)?;
    let full = Account::settled(server.pid())?;

    Ok(Row {
        server: kind,
        series,
        rounds,
        first_us: (known.cpu - idle.cpu).as_secs_f64() * 1e6 / first as f64,
        steady_us: (full.cpu - known.cpu).as_secs_f64() * 1e6 / steady as f64,
        bytes_per_series: (full.resident.saturating_sub(idle.resident)) as f64 / series as f64,
    })
}

/// Sends so many rounds of all series, the first of them `ago` intervals before now, and returns the
/// samples that were acknowledged: all of them, or this is an error.
fn push(server: &Server, series: u64, rounds: u64, ago: u64) -> Result<u64> {
    let output = Command::new(SAIMON)
        .args(["generate", "--push", &server.url()])
        .args(["--series", &series.to_string()])
        .args(["--samples", &(series * rounds).to_string()])
        .args(["--interval", &format!("{INTERVAL_S}s")])
        .args(["--start-ago", &format!("{}s", ago * INTERVAL_S)])
        .args(["--speed", "max", "--seed", "1", "--leave-open", "--json"])
        .output()
        .context("cannot run saimon generate")?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        bail!(
            "saimon generate --push failed: {said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let json: Value = serde_json::from_str(&said)
        .with_context(|| format!("saimon generate --json said: {said}"))?;
    let count = |key: &str| {
        json[key]
            .as_u64()
            .with_context(|| format!("no {key} in {json}"))
    };
    let acknowledged = count("samples_acknowledged")?;
    ensure!(
        acknowledged == count("samples_sent")? && count("retries")? == 0,
        "not all was taken at once: {json}"
    );
    Ok(acknowledged)
}
