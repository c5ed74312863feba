//! How often series in which nothing is wrong are called anomalous: kinds of clean noise, judged as
//! `serve` judges them with the default configuration.
//!
//! `cargo run --profile quick --example noise -- [--samples N] [--seed S] [--threads T] [--kind K]
//! [--seconds S]` prints one line for each kind and interval, and exits with 1 if a limit is broken.

use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use saimon::generate::clean::{Kind, Stream};
use saimon::model::SeriesSpec;
use saimon::score::board::AlarmState;
use saimon::score::judge::{Judgement, Phase};
use saimon::score::track::{Taken, Track};
use saimon::score::verdict::Change;
use saimon::series::kind::{Kind as Scored, Source};

/// 2026-01-05 00:00 UTC, a Monday.
const START_MS: i64 = 1_767_571_200_000;
const MONTH_S: f64 = 30.0 * 86_400.0;
/// Samples of one series at most: a month at 15 s and its youth.
const LENGTH_MAX: u64 = 175_000;
/// The same at longer intervals: 139 days at 5 minutes.
const LENGTH_SLOW: u64 = 40_000;

/// Largest share of clean samples of a grown series with a severity of at least low, medium, high,
/// critical; low has no limit.
const SEVERITY_MAX: [f64; 4] = [1.0, 1.5e-4, 3e-5, 1e-5];
/// False critical onsets a series and month, at 15 s.
const CRITICAL_ONSETS_MAX: f64 = 1.0;

const SCORES: [f32; 4] = [0.7, 0.85, 0.95, 0.99];
/// -log10 of the share.
const RARITIES: [f64; 3] = [2.0, 3.0, 4.0];
const FLOORS: [f64; 4] = [3.0, 4.0, 5.0, 6.0];

#[derive(Debug, Clone, Default)]
struct Count {
    scored: u64,
    over: [u64; 4],
    /// Samples from the end of youth on; what follows counts these alone.
    grown: u64,
    severity: [u64; 4],
    rarity: [u64; 3],
    onsets: [u64; 4],
    seconds: f64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.scored += other.scored;
        self.grown += other.grown;
        self.seconds += other.seconds;
        let pairs = [
            (&mut self.over[..], &other.over[..]),
            (&mut self.severity[..], &other.severity[..]),
            (&mut self.rarity[..], &other.rarity[..]),
            (&mut self.onsets[..], &other.onsets[..]),
        ];
        for (mine, theirs) in pairs {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += b;
            }
        }
    }

    fn take(&mut self, judged: &Judgement, phase: Phase) {
        let Some(score) = judged.score else { return };
        self.scored += 1;
        for (n, at) in self.over.iter_mut().zip(SCORES) {
            *n += u64::from(score >= at);
        }
        if phase != Phase::Mature {
            return;
        }
        self.grown += 1;
        for (n, at) in self.rarity.iter_mut().zip(RARITIES) {
            *n += u64::from(judged.rarity >= at);
        }
        for level in 0..4 {
            let reached = score >= SCORES[level] && judged.rarity >= FLOORS[level];
            self.severity[level] += u64::from(reached);
        }
        if let Some(Change::Began(alarm)) = judged.change
            && alarm.state == AlarmState::Active
        {
            self.onsets[alarm.severity as usize] += 1;
        }
    }

    fn broken(&self, interval_s: u64) -> Vec<String> {
        let mut out = Vec::new();
        for level in 1..4 {
            let share = self.severity[level] as f64 / self.grown.max(1) as f64;
            if share > SEVERITY_MAX[level] {
                out.push(format!("severity {level} on {share:.1e}"));
            }
        }
        let critical = self.onsets[3] as f64 * MONTH_S / self.seconds.max(1.0);
        if interval_s == 15 && critical >= CRITICAL_ONSETS_MAX {
            out.push(format!("{critical:.2} critical onsets a month"));
        }
        out
    }

    fn row(&self, kind: Kind, interval_s: u64) -> String {
        let share = |n: u64, of: u64| match n {
            0 => "0".to_owned(),
            n => format!("{:.1e}", n as f64 / of.max(1) as f64),
        };
        let mut cells = vec![
            kind.as_str().to_owned(),
            format!("{interval_s} s"),
            format!("{:.2}", self.grown as f64 / 1e6),
        ];
        cells.extend(self.over.map(|n| share(n, self.scored)));
        cells.extend(self.severity.map(|n| share(n, self.grown)));
        cells.extend(self.rarity.map(|n| share(n, self.grown)));
        let months = self.seconds / MONTH_S;
        cells.extend(
            self.onsets
                .map(|n| format!("{:.2}", n as f64 / months.max(1e-9))),
        );
        format!("| {} |", cells.join(" | "))
    }
}

fn series(kind: Kind, interval_s: u64, seed: u64, number: u64, length: u64) -> Count {
    let spec = SeriesSpec::default();
    let declared = Some(match kind.is_counter() {
        true => (Scored::Counter, Source::Metadata),
        false => (Scored::Gauge, Source::Metadata),
    });
    let mut track = Track::new(&spec, declared);
    let mut stream = Stream::new(kind, seed, number);
    let mut count = Count::default();
    // Not every process begins at midnight.
    let start_ms = START_MS + (number as i64 * 7 % 24) * 3_600_000;
    for i in 0..length as i64 {
        let t_ms = start_ms + i * interval_s as i64 * 1000;
        let phase = track.phase(&spec);
        if let Taken::Kept {
            judgement: Some(judged),
            ..
        } = track.take(&spec, t_ms, stream.next(t_ms))
        {
            count.take(&judged, phase);
        }
    }
    count.seconds = count.grown as f64 * interval_s as f64;
    count
}

struct Plan {
    samples: u64,
    seed: u64,
    threads: usize,
    kinds: Vec<Kind>,
    intervals_s: Vec<u64>,
}

fn words() -> Result<Plan, String> {
    let mut plan = Plan {
        samples: 3_000_000,
        seed: 1,
        threads: 1,
        kinds: Vec::new(),
        intervals_s: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let text = words.next().ok_or(format!("{word} needs a value"))?;
        let number = || {
            text.parse::<u64>()
                .map_err(|e| format!("{word} {text}: {e}"))
        };
        match &*word {
            "--samples" => plan.samples = number()?.max(10_000),
            "--seed" => plan.seed = number()?,
            "--threads" => plan.threads = number()?.clamp(1, 64) as usize,
            "--seconds" => plan.intervals_s.push(number()?.clamp(1, 3600)),
            "--kind" => {
                let kind = Kind::ALL.into_iter().find(|k| k.as_str() == text);
                plan.kinds.push(kind.ok_or(format!("no kind {text}"))?);
            }
            other => return Err(format!("unknown word {other}")),
        }
    }
    if plan.kinds.is_empty() {
        plan.kinds = Kind::ALL.to_vec();
    }
    if plan.intervals_s.is_empty() {
        plan.intervals_s = vec![15, 300];
    }
    Ok(plan)
}

fn main() -> ExitCode {
    let plan = match words() {
        Ok(plan) => plan,
        Err(what) => {
            eprintln!("noise: {what}");
            return ExitCode::from(2);
        }
    };
    let mut jobs = Vec::new();
    for (row, (interval, kind)) in rows(&plan).enumerate() {
        let longest = if interval < 60 {
            LENGTH_MAX
        } else {
            LENGTH_SLOW
        };
        let length = plan.samples.min(longest);
        jobs.extend((0..plan.samples.div_ceil(length)).map(|n| (row, interval, kind, n, length)));
    }
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![Count::default(); rows(&plan).count()]);
    std::thread::scope(|scope| {
        for _ in 0..plan.threads {
            scope.spawn(|| {
                while let Some((row, interval, kind, number, length)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let count = series(*kind, *interval, plan.seed, *number, *length);
                    counts.lock().expect("BUG: no thread panics")[*row].add(&count);
                }
            });
        }
    });
    let counts = counts.into_inner().expect("BUG: no thread panics");
    println!(
        "| noise | interval | 10^6 samples | score >= .7 | .85 | .95 | .99 | severity low or more | medium | high | critical | rarity 1e-2 | 1e-3 | 1e-4 | onsets a month low | medium | high | critical |"
    );
    println!("|{}", " --- |".repeat(18));
    let mut broken = Vec::new();
    for ((interval, kind), count) in rows(&plan).zip(&counts) {
        println!("{}", count.row(kind, interval));
        let what = count.broken(interval);
        if !what.is_empty() {
            broken.push(format!(
                "{} at {interval} s: {}",
                kind.as_str(),
                what.join(", ")
            ));
        }
    }
    for line in &broken {
        println!("over the limit: {line}");
    }
    ExitCode::from(u8::from(!broken.is_empty()))
}

fn rows(plan: &Plan) -> impl Iterator<Item = (u64, Kind)> {
    plan.intervals_s
        .iter()
        .flat_map(|s| plan.kinds.iter().map(|k| (*s, *k)))
}
