//! The command line: words in, one call, an exit code out.
//!
//! Exit codes: 0 done, 1 found something wrong or failed, 2 used wrongly.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio_util::sync::CancellationToken;

use crate::app::{self, BackfillOptions, ServeOptions};
use crate::clock::{self, SystemClock};
use crate::config::client::Address;
use crate::config::{Config, Preset, PrometheusVersion};
use crate::config_file::preset;
use crate::series::matcher::Selector;
use crate::telemetry::log::{self, LogFormat};
use crate::{backtest, config_file, estimate, eval, generate, inspect, rules};

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
    /// Read the past of all series once, from a Prometheus or another store, so that serve starts warm
    Backfill(Backfill),
    /// Show what is kept on disk: series, models, windows, sizes; check it; export windows
    Inspect(Box<inspect::Args>),
    /// Say what a number of series needs of memory, disk and CPU, from numbers or from a Prometheus
    Estimate(Box<estimate::Args>),
    /// Score the past as serve would have, from files, a server or the data directory
    Backtest(Box<backtest::Args>),
    /// Score a labelled corpus row by row, and say how well that went
    Eval(Box<eval::Args>),
    /// Check a configuration file, saimon's own or a prometheus.yml that should send to saimon
    Check {
        /// The file
        file: PathBuf,
    },
    /// Write rules for Prometheus, promtool tests for them, and inhibitions for Alertmanager
    Rules(Rules),
    /// Write the dashboards for Grafana 10 and later
    Dashboards {
        /// Folder for them; made if it is missing
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
struct Rules {
    #[command(flatten)]
    config: ConfigFile,
    /// Folder for saimon-rules.yml, saimon-rules-test.yml and saimon-alertmanager.yml; made if it is
    /// missing
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Also write saimon-prometheusrule.yaml, an object for the Prometheus operator
    #[arg(long)]
    kubernetes: bool,
    /// Version of the Prometheus that evaluates the rules; overrides alerting.prometheus_version
    #[arg(long, value_name = "VERSION", value_parser = PrometheusVersion::parse)]
    prometheus_version: Option<PrometheusVersion>,
}

#[derive(Debug, clap::Args)]
struct Presets {
    /// Ready rules for the series of a well-known exporter, under the rules of the configuration file;
    /// may be repeated
    #[arg(
        long = "preset",
        env = "SAIMON_PRESET",
        value_name = "NAME",
        value_enum,
        value_delimiter = ','
    )]
    presets: Vec<Preset>,
}

#[derive(Debug, clap::Args)]
struct Serve {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    presets: Presets,
    /// Where models and windows are kept
    #[arg(long, env = "SAIMON_DATA_DIR", default_value = "./saimon-data")]
    data_dir: PathBuf,
    /// Address of the HTTP surface
    #[arg(long, env = "SAIMON_HTTP_LISTEN", default_value = "0.0.0.0:9925")]
    http_listen: SocketAddr,
    /// Address of gRPC, or off; by default the port after that of --http-listen, on its address:
    /// 0.0.0.0:9926
    #[arg(long, env = "SAIMON_GRPC_LISTEN", value_name = "ADDRESS", value_parser = grpc_listen)]
    grpc_listen: Option<GrpcListen>,
    /// A file that says whom saimon answers: TLS, users, tokens, as Prometheus and its exporters have
    /// it; overrides web.config_file
    #[arg(
        long = "web.config.file",
        env = "SAIMON_WEB_CONFIG_FILE",
        value_name = "FILE"
    )]
    web_config: Option<PathBuf>,
    /// Warm new series from their past on this server, for example http://prometheus:9090; overrides
    /// history.url
    #[arg(long, env = "SAIMON_HISTORY_URL", hide_env_values = true, value_parser = Address::parse)]
    history_url: Option<Address>,
    /// Threads that own series, 1 to 64; by default two thirds of the cores
    #[arg(long, env = "SAIMON_SHARDS", value_parser = clap::value_parser!(u8).range(1..=64))]
    shards: Option<u8>,
}

/// Where gRPC is served, if it is.
#[derive(Debug, Clone, Copy)]
enum GrpcListen {
    Off,
    At(SocketAddr),
}

fn grpc_listen(text: &str) -> Result<GrpcListen, String> {
    match text {
        "off" => Ok(GrpcListen::Off),
        at => at
            .parse()
            .map(GrpcListen::At)
            .map_err(|_| "neither an address with a port nor off".to_owned()),
    }
}

/// Beside HTTP unless said otherwise. With any free port for HTTP it is any free port for gRPC.
fn grpc_address(wanted: Option<GrpcListen>, http: SocketAddr) -> Option<SocketAddr> {
    match wanted {
        Some(GrpcListen::Off) => None,
        Some(GrpcListen::At(address)) => Some(address),
        None => {
            let after = |port: u16| port.checked_add(1).unwrap_or(0);
            let port = if http.port() == 0 {
                0
            } else {
                after(http.port())
            };
            Some(SocketAddr::new(http.ip(), port))
        }
    }
}

#[derive(Debug, clap::Args)]
struct Backfill {
    #[command(flatten)]
    config: ConfigFile,
    #[command(flatten)]
    presets: Presets,
    /// Where models and windows are kept; no other saimon may be using it
    #[arg(long, env = "SAIMON_DATA_DIR", default_value = "./saimon-data")]
    data_dir: PathBuf,
    /// The server that has the past, for example http://prometheus:9090; by default history.url
    #[arg(long, env = "SAIMON_HISTORY_URL", hide_env_values = true, value_parser = Address::parse)]
    url: Option<Address>,
    /// How far back to read, for example 7d; by default history.range
    #[arg(long, value_parser = humantime::parse_duration, conflicts_with = "start")]
    range: Option<Duration>,
    /// Oldest time to read: RFC 3339, or seconds since 1970
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    start: Option<i64>,
    /// Newest time to read, by default now
    #[arg(long, value_parser = clock::parse_time, allow_negative_numbers = true)]
    end: Option<i64>,
    /// Read only series that match, for example '{job="node"}'; may be repeated
    #[arg(long = "selector", value_parser = Selector::parse)]
    selectors: Vec<Selector>,
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
            let source = move || {
                let mut config = load(&serve.config)?;
                preset::lay_under(&mut config, &serve.presets.presets);
                let over = serve.history_url.clone();
                config.history.url = over.or(config.history.url);
                let over = serve.web_config.clone();
                config.web.config_file = over.or(config.web.config_file);
                Ok(config)
            };
            let options = ServeOptions {
                data_dir: serve.data_dir,
                http_listen: serve.http_listen,
                grpc_listen: grpc_address(serve.grpc_listen, serve.http_listen),
                shards: serve.shards.map(usize::from),
            };
            let source: app::Source = Arc::new(source);
            app::serve(&source, &options)?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Check { file } => {
            let report = config_file::report::check_file(&file);
            print!("{}", report.text);
            Ok(ExitCode::from(report.code))
        }
        Command::Rules(args) => {
            let mut config = load(&args.config)?;
            if let Some(version) = args.prometheus_version {
                config.alerting.prometheus_version = version.to_string();
            }
            Ok(said(&rules::write(&config, &args.out, args.kubernetes)?))
        }
        Command::Dashboards { out } => Ok(said(&rules::write_dashboards(&out)?)),
        Command::Estimate(args) => {
            estimate::run(&args, &mut std::io::stdout().lock())?;
            Ok(ExitCode::SUCCESS)
        }
        Command::Backtest(args) => Ok(ExitCode::from(backtest::run(&args)?)),
        Command::Eval(args) => Ok(ExitCode::from(eval::run(&args)?)),
        Command::Inspect(args) => Ok(ExitCode::from(inspect::run(*args)?)),
        Command::Generate(args) => run_generate(*args),
        Command::Backfill(args) => run_backfill(args),
    }
}

fn said(written: &[PathBuf]) -> ExitCode {
    for path in written {
        println!("wrote {}", path.display());
    }
    ExitCode::SUCCESS
}

fn run_backfill(args: Backfill) -> anyhow::Result<ExitCode> {
    let mut config = load(&args.config)?;
    preset::lay_under(&mut config, &args.presets.presets);
    if let Some(range) = args.range {
        config.history.range = range;
    }
    let Some(url) = args.url.or_else(|| config.history.url.clone()) else {
        eprintln!("saimon: nothing to read from: give --url, or history.url in the configuration");
        return Ok(ExitCode::from(2));
    };
    let mut selectors = args.selectors;
    if let (true, Some(selector)) = (selectors.is_empty(), &config.history.selector) {
        selectors.push(Selector::parse(selector)?);
    }
    let options = BackfillOptions {
        data_dir: args.data_dir,
        url,
        start_ms: args.start,
        end_ms: args.end,
        selectors,
        shards: args.shards.map(usize::from),
    };
    let report = app::backfill(&config, &options)?;
    println!("{report}");
    if report.standing.done() == 0 && !report.stopped {
        eprintln!("saimon: the server has no series in this range that match");
    }
    Ok(ExitCode::from(u8::from(!report.is_complete())))
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
