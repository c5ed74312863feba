//! How quiet saimon is when nothing happens: the generator's world without faults, simulated, judged
//! with the default configuration, and the share of samples at each score.
//!
//! `cargo run --release --example quiet -- [--days D] [--step-seconds S] [--nodes N] [--seed S]`
//! prints the table of docs/benchmarks.md. The first days are learned from; only the last is counted,
//! and the first day beside it.

use std::process::ExitCode;

use saimon::config::Severity;
use saimon::generate::catalogue::Kind;
use saimon::generate::world::{SeriesRef, Shape, World};
use saimon::model::SeriesSpec;
use saimon::score::board::AlarmState;
use saimon::score::track::{Taken, Track};
use saimon::score::verdict::Change;
use saimon::series::kind;
use saimon::wire::write::MetricType;

const DAY_MS: i64 = 86_400_000;
/// 2026-01-05 00:00 UTC, a Monday: any start will do, a fixed one repeats.
const START_MS: i64 = 1_767_571_200_000;

#[derive(Debug, Default, Clone)]
struct Count {
    samples: u64,
    over: [u64; 4],
    began: [u64; 4],
}

impl Count {
    fn line(&self, what: &str, series_days: f64) {
        let share = |n: u64| n as f64 / self.samples.max(1) as f64;
        let began: u64 = self.began.iter().sum();
        let pages: u64 = self.began[1..].iter().sum();
        println!(
            "| {what} | {} | {:.6} | {:.6} | {:.6} | {:.6} | {:.3} | {:.4} |",
            self.samples,
            share(self.over[0]),
            share(self.over[1]),
            share(self.over[2]),
            share(self.over[3]),
            began as f64 / series_days,
            pages as f64 / series_days,
        );
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("quiet: {what}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<(), String> {
    let (mut days, mut step_s, mut nodes, mut seed, mut names) = (3i64, 15i64, 4u32, 1u64, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || {
            let text = words.next().ok_or(format!("{word} needs a number"))?;
            text.parse::<u64>()
                .map_err(|e| format!("{word} {text}: {e}"))
        };
        match &*word {
            "--days" => days = number()?.clamp(1, 60) as i64,
            "--step-seconds" => step_s = number()?.clamp(1, 3600) as i64,
            "--nodes" => nodes = number()?.clamp(1, 1000) as u32,
            "--seed" => seed = number()?,
            "--names" => names = true,
            other => return Err(format!("unknown word {other}")),
        }
    }
    let shape = Shape {
        instances: nodes,
        ..Shape::default()
    };
    let mut world = World::new(seed, &shape);
    let spec = SeriesSpec::default();
    let mut tracks: Vec<Option<Track>> = Vec::new();
    let mut counted = vec![Count::default(); days as usize];
    let mut by_name = std::collections::BTreeMap::<String, Count>::new();
    let per_day = DAY_MS / (step_s * 1000);
    for step in 0..days * per_day {
        let t_ms = START_MS + step * step_s * 1000;
        let day = (step / per_day) as usize;
        world.at(t_ms, |series| {
            if tracks.len() <= series.id {
                tracks.resize_with(series.id + 1, || None);
            }
            let name = series_name(series.labels);
            if kind::never_modelled(name.as_bytes()) {
                return;
            }
            let track = tracks[series.id].get_or_insert_with(|| {
                let declared = kind::declared(name, |_| metric_type(&series));
                Track::new(&spec, declared)
            });
            let Taken::Kept {
                judgement: Some(judged),
                ..
            } = track.take(&spec, t_ms, series.value)
            else {
                return;
            };
            let Some(score) = judged.score else { return };
            let mut counts = vec![&mut counted[day]];
            if day + 1 == days as usize {
                counts.push(by_name.entry(name.to_owned()).or_default());
            }
            for count in counts {
                count.samples += 1;
                for (n, line) in count.over.iter_mut().zip([0.7f32, 0.85, 0.95, 0.99]) {
                    *n += u64::from(score >= line);
                }
                // An anomaly counts under the severity it has when it begins.
                if let Some(Change::Began(alarm)) = judged.change
                    && alarm.state == AlarmState::Active
                {
                    count.began[alarm.severity as usize] += 1;
                }
            }
        });
    }
    let series = tracks.iter().flatten().count() as f64;
    println!("{series} series, {days} days at {step_s} s, seed {seed}, default configuration\n");
    println!(
        "| day | samples | >= 0.7 | >= 0.85 | >= 0.95 | >= 0.99 | anomalies a series and day | of them {} or worse |",
        Severity::Medium.as_str()
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (day, count) in counted.iter().enumerate() {
        count.line(&(day + 1).to_string(), series);
    }
    if names {
        println!("\nlast day by metric");
        for (name, count) in &by_name {
            count.line(name, f64::from(nodes));
        }
    }
    Ok(())
}

fn series_name(labels: &[(String, String)]) -> &str {
    labels
        .iter()
        .find(|(name, _)| name == "__name__")
        .map_or("", |(_, value)| value)
}

fn metric_type(series: &SeriesRef<'_>) -> Option<MetricType> {
    match series.family.kind {
        Kind::Gauge => Some(MetricType::Gauge),
        Kind::Counter => Some(MetricType::Counter),
        // The suffixes of a histogram's series say it.
        Kind::Histogram => None,
    }
}
