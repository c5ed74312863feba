//! A series through the code that serves.

use crate::config::Config;
use crate::engine::rules::{Rules, RulesError};
use crate::model::SeriesSpec;
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
}

impl Driver {
    pub(super) fn new(config: &Config) -> Result<Self, RulesError> {
        Ok(Self {
            rules: Rules::try_from(&config.detect)?,
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
                let spec = self.rules.resolve(&labels);
                series(&spec, fingerprint(&labels), &table.times, values)
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
}

/// One series: gauges, as all corpora hold.
fn series(spec: &SeriesSpec, seed: u64, times: &[i64], values: &[f64]) -> Vec<Outputs> {
    let mut track = Track::new(spec, Some((Kind::Gauge, Source::Rule)));
    track.judge_mut().give_forest(spec, seed);
    let mut last = Outputs::default();
    times
        .iter()
        .zip(values)
        .map(|(t_ms, value)| {
            last = match (*value).is_nan() {
                true => last.held(),
                false => match track.take(spec, *t_ms, *value) {
                    Taken::Kept {
                        judgement: Some(judgement),
                        ..
                    } => Outputs::of(&judgement),
                    _ => last.held(),
                },
            };
            last
        })
        .collect()
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
