//! What `make demo` runs: a whole monitoring stack, a fault in one series, and the alert for it.
//!
//! Everything is real and everything is temporary: the processes listen on free ports of this
//! machine, their files are in a temporary folder, and both go away at the end. With `--check`
//! nobody has to watch: the exit code says whether the alert came and nothing else alerted.

mod screen;
#[allow(dead_code, reason = "the end-to-end test uses the rest of it")]
mod stack;
mod story;
mod surfaces;
mod watch;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Parser;

use screen::Screen;
use stack::band::Band;
use stack::pace::{DAY, WARMUP, YOUNG};
use stack::{Options, Stack};
use story::{FAULT, Story};
use watch::Watcher;

/// Between two looks at scores and alerts. What is measured is that coarse.
const LOOK: Duration = Duration::from_millis(250);
/// In a row, of a stack whose processes all run.
const FAILED_LOOKS_MAX: u32 = 20;
/// `--check` gives up after this.
const CHECK_MAX: Duration = Duration::from_secs(300);

/// What the graph page shows.
const BAND: Band<'_> = Band {
    metric: FAULT.metric,
    node: FAULT.node,
};

#[derive(Debug, Parser)]
#[command(about = "a monitoring stack with saimon in it, and a fault for it to find")]
struct Args {
    /// Run unattended, and fail unless the alert came, ended, and was the only one, Prometheus has the
    /// band, and the incident and its explanation are the same by REST, by gRPC and on the page
    #[arg(long)]
    check: bool,
    /// The saimon to run; by default the one that was built beside this program
    #[arg(long)]
    saimon: Option<PathBuf>,
    /// Seed of the generated noise
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Leave logs and data behind
    #[arg(long)]
    keep: bool,
    /// Print lines even on a terminal
    #[arg(long)]
    plain: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether all was as it should be; without `--check` that is not judged.
fn run(args: &Args) -> Result<bool> {
    let interrupted = interrupts()?;
    let saimon = match &args.saimon {
        Some(path) => path.clone(),
        None => beside_this_program()?,
    };
    println!("starting node_exporter, saimon generate, saimon, Alertmanager and Prometheus ...");
    let mut stack = Stack::start(Options {
        saimon,
        day: DAY,
        warmup: WARMUP,
        alerting: "{job=\"demo\"}",
        young: YOUNG,
        checkpoint: Duration::from_secs(10),
        seed: args.seed,
        keep: args.keep,
    })?;
    let screen = Screen::new(
        welcome(&stack),
        std::io::stdout().is_terminal() && !args.check && !args.plain,
    );
    let outcome = watch_it(args, &mut stack, screen, &interrupted);
    if !matches!(outcome, Ok(true)) && args.check {
        eprintln!("{}", stack.log_tails(25));
    }
    if args.keep {
        println!("left behind: {}", stack.folder().display());
    }
    outcome
}

fn watch_it(
    args: &Args,
    stack: &mut Stack,
    mut screen: Screen,
    interrupted: &AtomicBool,
) -> Result<bool> {
    let mut watcher = Watcher::new(stack.ports);
    let mut story = Story::new(WARMUP.max(YOUNG), !args.check);
    let generator = stack.ports.generator;
    let start = Instant::now();
    let mut failed_looks = 0;
    while !interrupted.load(Ordering::Relaxed) {
        let looked = Instant::now();
        stack.check()?;
        match watcher.look() {
            Ok(view) => {
                failed_looks = 0;
                for event in story.advance(looked, view, |f| watch::inject(generator, f))? {
                    screen.say(event);
                }
                screen.show(looked, view, &story);
            }
            Err(error) => {
                failed_looks += 1;
                if failed_looks > FAILED_LOOKS_MAX {
                    return Err(error);
                }
            }
        }
        if args.check && (story.is_over() || start.elapsed() > CHECK_MAX) {
            break;
        }
        std::thread::sleep(LOOK.saturating_sub(looked.elapsed()));
    }
    drop(screen);
    let ever = watcher.ever_alerted().unwrap_or_default();
    let verdict = story.verdict(&ever);
    println!("\n{}", verdict.text);
    if interrupted.load(Ordering::Relaxed) && args.check {
        println!("interrupted");
        return Ok(false);
    }
    if args.check {
        if let Some(incident) = story.incident() {
            let seen = surfaces::agree_in_time(stack.ports, incident, watcher.links());
            println!(
                "\n{}",
                seen.context("the incident is not the same everywhere")?
                    .join("\n")
            );
        }
        let drawn = BAND.drawn(stack.ports.prometheus);
        let drawn = drawn.context("the graph page would not show the series in its band")?;
        println!("the graph page shows {}", drawn.join(", "));
    }
    Ok(verdict.good || !args.check)
}

/// Set by Ctrl-C and its kin.
fn interrupts() -> Result<Arc<AtomicBool>> {
    use tokio::signal::unix::{SignalKind, signal};

    let flag = Arc::new(AtomicBool::new(false));
    let set = Arc::clone(&flag);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot listen for signals")?;
    let mut signals = {
        let _inside = runtime.enter();
        [
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            let [interrupt, terminate, hangup] = &mut signals;
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                _ = hangup.recv() => {}
            }
        });
        set.store(true, Ordering::Relaxed);
    });
    Ok(flag)
}

/// `target/release/examples/demo` has its saimon in `target/release/`.
fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program")?;
    let saimon = program
        .ancestors()
        .nth(2)
        .unwrap_or_else(|| Path::new("."))
        .join("saimon");
    anyhow::ensure!(
        saimon.try_exists()?,
        "{} is missing: build it with cargo build --release, or name one with --saimon",
        saimon.display()
    );
    Ok(saimon)
}

fn welcome(stack: &Stack) -> Vec<String> {
    let ports = stack.ports;
    vec![
        format!(
            "saimon        http://127.0.0.1:{}/                    its page: anomalies, incidents, and why",
            ports.saimon
        ),
        format!(
            "              http://127.0.0.1:{}/metrics/scores      every score, as Prometheus gets it",
            ports.saimon
        ),
        format!(
            "              http://127.0.0.1:{}/docs                its API; gRPC on port {}",
            ports.saimon,
            ports.saimon + 1
        ),
        format!(
            "Prometheus    http://127.0.0.1:{}/graph               try saimon_anomaly_score >= 0.7, or {}",
            ports.prometheus, FAULT.metric
        ),
        format!(
            "  the band    {}\n              {} with what was expected of it, and its score",
            BAND.address(ports.prometheus),
            FAULT.series
        ),
        format!(
            "Alertmanager  http://127.0.0.1:{}/#/alerts            where the alert arrives",
            ports.alertmanager
        ),
        format!(
            "generator     http://127.0.0.1:{}/faults              what is really wrong",
            ports.generator
        ),
    ]
}
