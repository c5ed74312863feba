//! Load at the speed of the clock, with kills, restarts and a full disk: `make soak`.
//!
//! Fifty thousand series send to a saimon that is killed at random moments, also while it starts and
//! while its disk is full. In the end everything that was acknowledged is read back and compared.
//! Exit code 1 if anything is lost, wrong or made up, or if saimon does not come back.

mod check;
mod disk;
mod http;
mod load;
mod saimon;
mod table;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::saimon::clock::{Clock as _, SystemClock};
use anyhow::{Context as _, Result, ensure};
use clap::Parser;

use disk::Disk;
use load::{Load, Senders};
use saimon::{Program, Saimon, Seen, bytes_of};
use table::Report;

/// Between two things that happen to saimon.
const PAUSE: std::ops::Range<u64> = 2_000..9_000;
/// How long a disk stays full.
const FULL: std::ops::Range<u64> = 3_000..6_000;
/// How long the senders may take to catch up in the end.
const CATCH_UP: Duration = Duration::from_secs(60);
const SENDERS: usize = 4;

#[derive(Debug, Parser)]
struct Args {
    /// How long
    #[arg(long, default_value_t = 600)]
    seconds: u64,
    /// Series
    #[arg(long, default_value_t = 50_000)]
    series: usize,
    /// Between two samples of a series: three times as often as usual
    #[arg(long, default_value = "5s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// Time between two checkpoints
    #[arg(long, default_value = "20s", value_parser = humantime::parse_duration)]
    checkpoint: Duration,
    /// Of kills and moments
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program; by default the one that was built with this
    #[arg(long)]
    saimon: Option<PathBuf>,
    /// Leaves the data and what saimon said here
    #[arg(long)]
    keep: Option<PathBuf>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let temp = tempfile::tempdir()?;
    let result = soak(&args, temp.path());
    if let Some(keep) = &args.keep {
        std::fs::create_dir_all(keep)?;
        std::fs::copy(temp.path().join("log"), keep.join("log"))?;
    }
    let report = result?;
    print!("{report}");
    ensure!(
        report.is_good(),
        "something that was acknowledged is not there"
    );
    Ok(())
}

fn soak(args: &Args, folder: &Path) -> Result<Report> {
    let disk = Disk::new(folder)?;
    let config = folder.join("saimon.yaml");
    let checkpoint = humantime::format_duration(args.checkpoint);
    std::fs::write(&config, format!("store:\n  checkpoint: {checkpoint}\n"))?;
    let program = Program {
        path: program(args)?,
        config,
        data: disk.data.clone(),
        log: folder.join("log"),
        address: Program::free_address()?,
    };
    let mut run = Run {
        saimon: Some(program.spawn()?),
        rng: fastrand::Rng::with_seed(args.seed),
        report: Report {
            own_disk: disk.is_own(),
            ..Report::default()
        },
        program,
        disk,
    };
    run.ready()?;
    let mut senders = Senders::start(Load {
        series: args.series,
        interval: args.interval,
        base_ms: SystemClock.now_ms(),
        senders: SENDERS,
        address: run.program.address,
    })?;
    let result = run.trouble(Duration::from_secs(args.seconds), &senders);
    let caught_up = result.and_then(|()| run.catch_up(&senders));
    senders.stop();
    caught_up?;
    run.finish(&senders)?;
    Ok(run.report)
}

fn program(args: &Args) -> Result<PathBuf> {
    if let Some(path) = &args.saimon {
        return Ok(path.clone());
    }
    let program = std::env::current_exe().context("cannot find this program")?;
    let beside = program.ancestors().nth(2).unwrap_or_else(|| Path::new("."));
    let saimon = beside.join("saimon");
    ensure!(
        saimon.try_exists()?,
        "{} is missing: build it with cargo build --release, or name one with --saimon",
        saimon.display()
    );
    Ok(saimon)
}

/// What is going on.
struct Run {
    saimon: Option<Saimon>,
    program: Program,
    disk: Disk,
    rng: fastrand::Rng,
    report: Report,
}

impl Run {
    fn ready(&mut self) -> Result<()> {
        if let Some(saimon) = &mut self.saimon {
            let took = saimon.ready()?;
            self.report.ready.push(took);
        }
        Ok(())
    }

    /// Lets it run, and looks at it now and then.
    fn pause(&mut self, time: Duration) {
        let began = Instant::now();
        while began.elapsed() < time {
            let left = time.saturating_sub(began.elapsed());
            std::thread::sleep(left.min(Duration::from_millis(500)));
            if let Some(saimon) = &mut self.saimon {
                saimon.look();
                let disk = bytes_of(&self.program.data);
                self.report.most_disk = self.report.most_disk.max(disk);
            }
        }
    }

    fn random(&mut self, range: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.u64(range))
    }

    /// One thing after the other until the time is over.
    fn trouble(&mut self, time: Duration, senders: &Senders) -> Result<()> {
        let began = Instant::now();
        let mut n = 0;
        while began.elapsed() < time {
            let pause = self.random(PAUSE);
            self.pause(pause);
            // A kill in the middle of a look is as likely as any other moment.
            match n % 5 {
                2 => self.full_disk(false)?,
                3 => self.restart()?,
                4 if self.rng.bool() => self.full_disk(true)?,
                _ => self.kill()?,
            }
            n += 1;
            eprintln!(
                "{:>4.0} s: {} kills, {} stops, {} times a full disk, {} samples acknowledged",
                began.elapsed().as_secs_f64(),
                self.report.kills,
                self.report.stops,
                self.report.full,
                senders.acknowledged()
            );
        }
        Ok(())
    }

    fn killed(&mut self) -> Result<()> {
        if let Some(saimon) = self.saimon.take() {
            let seen = saimon.kill()?;
            self.report.take(seen);
            self.report.kills += 1;
        }
        Ok(())
    }

    /// `kill -9` and a start, sometimes one that is killed too.
    fn kill(&mut self) -> Result<()> {
        self.killed()?;
        while self.rng.u8(..) < 80 {
            self.saimon = Some(self.program.spawn()?);
            let wait = self.random(0..1500);
            std::thread::sleep(wait);
            self.killed()?;
        }
        self.saimon = Some(self.program.spawn()?);
        self.ready()
    }

    /// SIGTERM and a start.
    fn restart(&mut self) -> Result<()> {
        if let Some(saimon) = self.saimon.take() {
            let seen: Seen = saimon.stop()?;
            self.report.take(seen);
            self.report.stops += 1;
        }
        self.saimon = Some(self.program.spawn()?);
        self.ready()
    }

    /// A disk that takes nothing for some seconds, with or without a kill meanwhile.
    fn full_disk(&mut self, kill: bool) -> Result<()> {
        self.report.full += 1;
        let time = self.random(FULL);
        let began = Instant::now();
        while began.elapsed() < time {
            let pid = self.saimon.as_ref().map(Saimon::pid);
            self.disk.fill(pid)?;
            self.pause(Duration::from_millis(200));
        }
        if kill {
            self.killed()?;
        }
        let pid = self.saimon.as_ref().map(Saimon::pid);
        self.disk.free(pid)?;
        if kill {
            self.saimon = Some(self.program.spawn()?);
            self.ready()?;
        }
        Ok(())
    }

    /// Waits until the senders have sent what was due when the trouble ended.
    fn catch_up(&mut self, senders: &Senders) -> Result<()> {
        let load = &senders.load;
        let due = (SystemClock.now_ms() - load.base_ms) / load.interval.as_millis() as i64 - 1;
        let due = due.max(0) as u64 * load.series as u64;
        let began = Instant::now();
        while senders.acknowledged() < due {
            ensure!(
                began.elapsed() < CATCH_UP,
                "the senders have not caught up {CATCH_UP:?} after the last trouble: {} of {due} samples",
                senders.acknowledged()
            );
            self.pause(Duration::from_millis(500));
        }
        Ok(())
    }

    /// A last kill, then everything is read back.
    fn finish(&mut self, senders: &Senders) -> Result<()> {
        self.kill()?;
        self.report.senders(senders);
        let began = Instant::now();
        self.report.found = check::all(senders)?;
        self.report.read_back = began.elapsed();
        if let Some(saimon) = self.saimon.take() {
            self.report.broken = saimon.metric("saimon_wal_broken_total").unwrap_or(0.0) as u64;
            let seen = saimon.stop()?;
            self.report.take(seen);
        }
        self.report.disk = bytes_of(&self.program.data);
        self.report.series = senders.load.series;
        Ok(())
    }
}
