//! How often series in which nothing is wrong are called anomalous: kinds of clean noise through
//! [`Track`], as `serve` judges them with the default configuration.
//!
//! Limits are those of docs/accuracy.md. What is counted from the end of youth on is stated with each
//! column; a severity is that of the single sample, before any rule about how many of them make an
//! anomaly.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::config::Severity;
use crate::generate::clean::{Kind, Stream};
use crate::model::SeriesSpec;
use crate::score::board::AlarmState;
use crate::score::judge::{Judgement, Phase};
use crate::score::track::{Taken, Track};
use crate::score::verdict::Change;
use crate::series::kind::{Kind as Scored, Source};

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
const RARITIES: [f64; 4] = [2.0, 3.0, 4.0, 5.0];

/// What is to be counted.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Samples of each kind at each interval, about.
    pub samples: u64,
    pub seed: u64,
    pub threads: usize,
    pub kinds: Vec<Kind>,
    pub intervals_s: Vec<u64>,
    pub spec: SeriesSpec,
    /// Series have the forests that the specification gives them.
    pub forests: bool,
}

impl Plan {
    /// All kinds at 15 s and at 5 minutes, with the default configuration.
    pub fn new(samples: u64) -> Self {
        Self {
            samples,
            seed: 1,
            threads: 1,
            kinds: Kind::ALL.to_vec(),
            intervals_s: vec![15, 300],
            spec: SeriesSpec::default(),
            forests: true,
        }
    }

    fn rows(&self) -> impl Iterator<Item = (u64, Kind)> {
        self.intervals_s
            .iter()
            .flat_map(|s| self.kinds.iter().map(|k| (*s, *k)))
    }
}

/// What was said of the clean samples of one kind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Count {
    /// Samples with a score.
    pub scored: u64,
    /// Of these, at or above 0.7, 0.85, 0.95, 0.99.
    pub over: [u64; 4],
    /// Samples from the end of youth on; all that follows counts these alone.
    pub grown: u64,
    /// With a severity of their own of at least low, medium, high, critical.
    pub severity: [u64; 4],
    /// While an anomaly was shown, pending or active, of at least that severity.
    pub shown: [u64; 4],
    /// With a rarity of at least 1 in 10^2, 10^3, 10^4, 10^5.
    pub rarity: [u64; 4],
    /// Anomalies that became active, by their severity at that moment.
    pub onsets: [u64; 4],
    /// Anomalies by the gravest severity they reached, while active.
    pub reached: [u64; 4],
    /// Time that the grown samples stand for.
    pub seconds: f64,
}

impl Count {
    fn add(&mut self, other: &Self) {
        self.scored += other.scored;
        self.grown += other.grown;
        self.seconds += other.seconds;
        for (mine, theirs) in [
            (&mut self.over, &other.over),
            (&mut self.severity, &other.severity),
            (&mut self.shown, &other.shown),
            (&mut self.rarity, &other.rarity),
            (&mut self.onsets, &other.onsets),
            (&mut self.reached, &other.reached),
        ] {
            for (a, b) in mine.iter_mut().zip(theirs) {
                *a += b;
            }
        }
    }

    fn take(&mut self, judged: &Judgement, phase: Phase, gravest: &mut Option<Severity>) {
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
        at_least(&mut self.severity, judged.severity);
        at_least(&mut self.shown, judged.alarm.map(|a| a.severity));
        if let Some(Change::Began(alarm)) = judged.change {
            self.onsets[alarm.severity as usize] += 1;
        }
        let active = judged
            .alarm
            .filter(|a| a.state == AlarmState::Active)
            .map(|a| a.severity);
        if let (None, Some(severity)) = (active, *gravest) {
            self.reached[severity as usize] += 1;
        }
        *gravest = active;
    }

    /// Critical onsets, those that became critical later among them, a series and month.
    fn critical_a_month(&self) -> f64 {
        self.reached[Severity::Critical as usize] as f64 * MONTH_S / self.seconds.max(1.0)
    }
}

fn at_least(counts: &mut [u64; 4], severity: Option<Severity>) {
    if let Some(severity) = severity {
        for n in &mut counts[..=severity as usize] {
            *n += 1;
        }
    }
}

/// One kind at one interval.
#[derive(Debug, Clone)]
pub struct Row {
    pub kind: Kind,
    pub interval_s: u64,
    pub count: Count,
}

impl Row {
    /// The limits it breaks, in words.
    pub fn broken(&self) -> Vec<String> {
        let mut out = Vec::new();
        for severity in &Severity::ALL[1..] {
            let level = *severity as usize;
            let share = self.count.severity[level] as f64 / self.count.grown.max(1) as f64;
            if share > SEVERITY_MAX[level] {
                out.push(format!(
                    "{} on {share:.1e} of samples (limit {:.1e})",
                    severity.as_str(),
                    SEVERITY_MAX[level]
                ));
            }
        }
        let critical = self.count.critical_a_month();
        if self.interval_s == 15 && critical >= CRITICAL_ONSETS_MAX {
            out.push(format!("{critical:.2} critical onsets a series and month"));
        }
        out
    }

    fn cells(&self) -> Vec<String> {
        let c = &self.count;
        let share = |n: u64, of: u64| match n {
            0 => "0".to_owned(),
            n => format!("{:.1e}", n as f64 / of.max(1) as f64),
        };
        let mut cells = vec![
            self.kind.as_str().to_owned(),
            format!("{} s", self.interval_s),
            format!("{:.2}", c.grown as f64 / 1e6),
        ];
        cells.extend(c.over.map(|n| share(n, c.scored)));
        cells.extend(c.severity.map(|n| share(n, c.grown)));
        cells.push(share(c.shown[1], c.grown));
        cells.extend(c.rarity.map(|n| share(n, c.grown)));
        let months = (c.seconds / MONTH_S).max(1e-9);
        cells.extend(c.reached.map(|n| format!("{:.2}", n as f64 / months)));
        cells
    }
}

/// What was counted.
#[derive(Debug, Clone)]
pub struct Table {
    pub rows: Vec<Row>,
}

impl Table {
    /// Every broken limit, one line each.
    pub fn broken(&self) -> Vec<String> {
        let lines = self.rows.iter().filter(|r| !r.broken().is_empty());
        lines
            .map(|r| {
                format!(
                    "{} at {} s: {}",
                    r.kind.as_str(),
                    r.interval_s,
                    r.broken().join(", ")
                )
            })
            .collect()
    }
}

/// As Markdown.
impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| noise | interval | 10^6 samples | score >= .7 | .85 | .95 | .99 | severity low | medium | high | critical | shown medium | rarity 1e-2 | 1e-3 | 1e-4 | 1e-5 | anomalies a series and month low | medium | high | critical |"
        )?;
        writeln!(f, "|{}", " --- |".repeat(20))?;
        for row in &self.rows {
            writeln!(f, "| {} |", row.cells().join(" | "))?;
        }
        Ok(())
    }
}

/// Counts, on several threads. The same plan gives the same table, whatever their number.
pub fn run(plan: &Plan) -> Table {
    let mut jobs = Vec::new();
    for (row, (interval_s, kind)) in plan.rows().enumerate() {
        let longest = if interval_s < 60 {
            LENGTH_MAX
        } else {
            LENGTH_SLOW
        };
        let length = plan.samples.min(longest);
        let series = 0..plan.samples.div_ceil(length);
        jobs.extend(series.map(|n| (row, interval_s, kind, n, length)));
    }
    let next = AtomicUsize::new(0);
    let counts = Mutex::new(vec![Count::default(); plan.rows().count()]);
    std::thread::scope(|scope| {
        for _ in 0..plan.threads.max(1) {
            scope.spawn(|| {
                while let Some((row, interval_s, kind, number, length)) =
                    jobs.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    let count = series(plan, *kind, *interval_s, *number, *length);
                    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
                    counts[*row].add(&count);
                }
            });
        }
    });
    let counts = counts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let rows = plan
        .rows()
        .zip(counts)
        .map(|((interval_s, kind), count)| Row {
            kind,
            interval_s,
            count,
        })
        .collect();
    Table { rows }
}

fn series(plan: &Plan, kind: Kind, interval_s: u64, number: u64, length: u64) -> Count {
    let declared = match kind.is_counter() {
        true => Scored::Counter,
        false => Scored::Gauge,
    };
    let mut track = Track::new(&plan.spec, Some((declared, Source::Metadata)));
    if plan.forests {
        track.judge_mut().give_forest(&plan.spec, number + 1);
    }
    let mut stream = Stream::new(kind, plan.seed, number);
    let mut count = Count::default();
    let mut gravest = None;
    // Not every process begins at midnight.
    let start_ms = START_MS + (number as i64 * 7 % 24) * 3_600_000;
    for i in 0..length as i64 {
        let t_ms = start_ms + i * interval_s as i64 * 1000;
        let phase = track.phase(&plan.spec);
        if let Taken::Kept {
            judgement: Some(judged),
            ..
        } = track.take(&plan.spec, t_ms, stream.next(t_ms))
        {
            count.take(&judged, phase, &mut gravest);
        }
    }
    if let Some(severity) = gravest {
        count.reached[severity as usize] += 1;
    }
    count.seconds = count.grown as f64 * interval_s as f64;
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(kinds: &[Kind]) -> Plan {
        Plan {
            kinds: kinds.to_vec(),
            intervals_s: vec![300],
            forests: false,
            ..Plan::new(12_000)
        }
    }

    #[test]
    fn what_is_clean_is_hardly_ever_medium_and_never_critical() {
        let table = run(&plan(&Kind::ALL));
        let mut sum = Count::default();
        for row in &table.rows {
            assert!(row.count.grown >= 9_900, "{}", row.kind.as_str());
            assert_eq!(row.count.severity[3], 0, "{}", row.kind.as_str());
            // One in a thousand is ten; too few samples to say more of one kind.
            assert!(row.count.rarity[1] <= 40, "{}", row.kind.as_str());
            sum.add(&row.count);
        }
        let most = SEVERITY_MAX[1] * sum.grown as f64;
        assert!(sum.severity[1] as f64 <= most, "{sum:?}");
    }

    #[test]
    fn the_same_table_on_one_thread_and_on_three() {
        let one = plan(&[Kind::HeavyT3, Kind::RareSteps]);
        let three = Plan {
            threads: 3,
            ..one.clone()
        };
        let (a, b) = (run(&one), run(&three));
        assert_eq!(a.to_string(), b.to_string());
        assert!(a.rows[0].count.over[0] > 0, "{a}");
    }

    #[test]
    fn a_broken_limit_is_told() {
        let count = Count {
            grown: 1_000_000,
            severity: [300, 200, 10, 11],
            reached: [0, 0, 0, 8],
            seconds: MONTH_S * 8.0,
            ..Count::default()
        };
        let row = Row {
            kind: Kind::Gaussian,
            interval_s: 15,
            count,
        };
        let broken = row.broken();
        assert_eq!(broken.len(), 3, "{broken:?}");
        assert!(broken[0].contains("medium on 2.0e-4"), "{broken:?}");
        let slow = Row {
            interval_s: 300,
            ..row
        };
        assert_eq!(slow.broken().len(), 2);
    }
}
