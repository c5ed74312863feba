//! The command line: words in, one call, an exit code out.
//!
//! Exit codes: 0 done, 1 found something wrong or failed, 2 used wrongly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::app::{self, ServeOptions};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::telemetry::log::{self, LogFormat};
use crate::{config_file, generate, rules};

/// Anomaly detection in the Prometheus write path: every sample scored on arrival.
#[derive(Debug, Parser)]
#[command(name = "saimon", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// Lowest level that is logged: error, warn, info, debug, trace, or directives by module
    #[arg(
        long,
        global = true,
        env = "SAIMON_LOG_LEVEL",
        default_value = "info",
        display_order = 900
    )]
    log_level: String,
    /// How a log line looks
    #[arg(
        long,
        global = true,
        env = "SAIMON_LOG_FORMAT",
        value_enum,
        default_value = "text",
        display_order = 901
    )]
    log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Receive, score, and show scores: what runs beside Prometheus
    Serve(Serve),
    /// Check a configuration file, saimon's own or a prometheus.yml that should send to saimon
    Check {
        /// The file
        file: PathBuf,
    },
    /// Write alert rules for Prometheus, and promtool tests for them
    Rules {
        #[command(flatten)]
        config: ConfigFile,
        /// Folder for saimon-rules.yml and saimon-rules-test.yml; made if it is missing
        #[arg(long, default_value = ".")]
        out: PathBuf,
    },
    /// Serve realistic series with labelled faults, or load a receiver with --push or --replay
    Generate(Box<generate::Args>),
}

#[derive(Debug, clap::Args)]
struct ConfigFile {
    /// Configuration file; everything has a default
    #[arg(long, env = "SAIMON_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    /// Where models and windows are kept
    #[arg(long, env = "SAIMON_DATA_DIR", default_value = "./saimon-data")]
    data_dir: PathBuf,
    /// Address of the HTTP surface
    #[arg(long, env = "SAIMON_HTTP_LISTEN", default_value = "0.0.0.0:9925")]
    http_listen: SocketAddr,
    /// Threads that own series, 1 to 64; by default two thirds of the cores
    #[arg(long, env = "SAIMON_SHARDS", value_parser = clap::value_parser!(u8).range(1..=64))]
    shards: Option<u8>,
}

/// Runs the program on the words of the process.
pub fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 2 } else { 0 });
        }
    };
    if let Err(error) = log::init(&cli.log_level, cli.log_format) {
        eprintln!("saimon: --log-level {:?}: {error}", cli.log_level);
        return ExitCode::from(2);
    }
    match dispatch(cli.command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("saimon: {error:#}");
            ExitCode::from(1)
        }
    }
}

fn dispatch(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve(serve) => {
            let config = load(&serve.config)?;
            let options = ServeOptions {
                data_dir: serve.data_dir,
                http_listen: serve.http_listen,
                shards: serve.shards.map(usize::from),
            };
            app::serve(&config, &options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { file } => {
            let report = config_file::report::check_file(&file);
            print!("{}", report.text);
            Ok(ExitCode::from(report.code))
        }
        Command::Rules { config, out } => {
            for path in rules::write(&load(&config)?, &out)? {
                println!("wrote {}", path.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Generate(args) => run_generate(*args),
    }
}

fn run_generate(args: generate::Args) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let done = runtime.block_on(async {
        let stop = CancellationToken::new();
        let signalled = stop.clone();
        tokio::spawn(async move {
            if app::stop_signal().await.is_ok() {
                signalled.cancel();
            }
        });
        generate::run(args, Arc::new(SystemClock), stop).await
    });
    Ok(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("saimon: {error}");
            ExitCode::from(error.exit_code())
        }
    })
}

fn load(file: &ConfigFile) -> anyhow::Result<Config> {
    match &file.config {
        Some(path) => Ok(config_file::load(path)?),
        None => Ok(Config::default()),
    }
}
