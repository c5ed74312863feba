//! A series through the code that serves.

use crate::config::Config;
use crate::engine::rules::{Rules, RulesError};
use crate::model::group::Group;
use crate::score::track::{Taken, Track};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{Kind, Source};
use crate::series::labels;

use super::column::Outputs;
use super::corpus::{Item, Layout, Set};
use super::table::Table;

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
            Layout::Machines => together(&each, item.interval_s as f64),
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

/// Evidence of all series of a machine, row by row.
fn together(each: &[Vec<Outputs>], interval_s: f64) -> Vec<f32> {
    let mut group = Group::new();
    let mut members = Vec::with_capacity(each.len());
    (0..each.first().map_or(0, Vec::len))
        .map(|row| {
            members.clear();
            members.extend(each.iter().map(|e| e[row].deviation));
            group.take(&mut members, row as u32 + 1, interval_s)
        })
        .collect()
}
