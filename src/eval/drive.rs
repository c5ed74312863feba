//! A series through the code that serves.

use crate::config::Config;
use crate::engine::rules::{Rules, RulesError};
use crate::score::track::{Taken, Track};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{Kind, Source};
use crate::series::labels;

use super::column::Outputs;
use super::corpus::{Item, Layout, Set};
use super::table::Table;

/// Metrics whose evidence makes up that of their machine: the strongest ones. See docs/accuracy.md.
const STRONGEST: usize = 5;

/// What was said of every row of a file.
#[derive(Debug)]
pub(super) struct Runs {
    /// Of each series.
    pub(super) each: Vec<Vec<Outputs>>,
    /// The one score of each row that the corpus is judged by.
    pub(super) judged: Vec<f32>,
}

/// How series are modelled.
#[derive(Debug)]
pub(super) struct Driver {
    rules: Rules,
    /// Whether series have a forest; in `serve` that is a matter of memory.
    forests: bool,
    /// Goes into every forest's seed.
    seed: u64,
}

impl Driver {
    pub(super) fn new(config: &Config, forests: bool, seed: u64) -> Result<Self, RulesError> {
        Ok(Self {
            rules: Rules::try_from(&config.detect)?,
            forests,
            seed,
        })
    }

    /// Every series of a file, from nothing, in the order of its rows.
    pub(super) fn run(&self, set: &Set, item: &Item, table: &Table) -> Runs {
        let each: Vec<Vec<Outputs>> = table
            .columns
            .iter()
            .zip(&table.names)
            .map(|(values, name)| {
                let name = match set.layout {
                    Layout::Machines => format!("{}_{name}", item.name),
                    _ => item.name.clone(),
                };
                let labels =
                    labels::encode([(labels::METRIC_NAME, name.as_str()), ("corpus", &set.name)]);
                self.series(&labels, &table.times, values)
            })
            .collect();
        let judged = match set.layout {
            Layout::Nab | Layout::Series => each[0].iter().map(|o| o.judged(set.layout)).collect(),
            Layout::Machines => (0..table.times.len())
                .map(|row| mean_of_strongest(each.iter().map(|e| e[row].judged(set.layout))))
                .collect(),
        };
        Runs { each, judged }
    }

    /// One series: a gauge, as all corpora hold.
    fn series(&self, labels: &[u8], times: &[i64], values: &[f64]) -> Vec<Outputs> {
        let mut spec = self.rules.resolve(labels);
        spec.forest.seed = self.seed;
        let mut track = Track::new(&spec, Some((Kind::Gauge, Source::Rule)));
        if self.forests {
            track.judge_mut().give_forest(&spec, fingerprint(labels));
        }
        let mut one = |t_ms: i64, value: f64| match track.take(&spec, t_ms, value) {
            Taken::Kept { judgement, .. } => judgement.as_ref().map(Outputs::of),
            _ => None,
        };
        let mut last = Outputs::default();
        let rows = times.iter().zip(values);
        rows.map(|(t_ms, value)| {
            let said = (!value.is_nan()).then(|| one(*t_ms, *value)).flatten();
            last = said.unwrap_or_else(|| last.held());
            last
        })
        .collect()
    }
}

fn mean_of_strongest(values: impl Iterator<Item = f32>) -> f32 {
    let mut all: Vec<f32> = values.collect();
    all.sort_unstable_by(|a, b| b.total_cmp(a));
    all.truncate(STRONGEST);
    if all.is_empty() {
        return 0.0;
    }
    all.iter().sum::<f32>() / all.len() as f32
}
