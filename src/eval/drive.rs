//! A series through the code that serves.

use crate::config::Config;
use crate::engine::rules::{Rules, RulesError};
use crate::model::group;
use crate::score::track::{Taken, Track};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{Kind, Source};
use crate::series::labels;

use super::ablate::{Ablation, Row, VARIANTS};
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
    /// The same for each variant of the parts, if that is wanted.
    pub(super) ablated: Vec<Vec<f32>>,
}

/// How series are modelled.
#[derive(Debug)]
pub(super) struct Driver {
    rules: Rules,
    /// Whether series have a forest; in `serve` that is a matter of memory.
    forests: bool,
    /// Goes into every forest's seed.
    seed: u64,
    /// Whether variants are worked out.
    ablate: bool,
}

impl Driver {
    pub(super) fn new(config: &Config, forests: bool) -> Result<Self, RulesError> {
        Ok(Self {
            rules: Rules::try_from(&config.detect)?,
            forests,
            seed: 0,
            ablate: false,
        })
    }

    pub(super) fn seed(&mut self, seed: u64, ablate: bool) {
        self.seed = seed;
        self.ablate = ablate;
    }

    /// Every series of a file, from nothing, in the order of its rows.
    pub(super) fn run(&self, set: &Set, item: &Item, table: &Table) -> Runs {
        let (each, variants): (Vec<Vec<Outputs>>, Vec<Vec<Row>>) = table
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
                self.series(set.layout, &labels, &table.times, values)
            })
            .unzip();
        let judged = match set.layout {
            Layout::Nab | Layout::Series => each[0].iter().map(|o| o.judged(set.layout)).collect(),
            Layout::Machines => together(&each, |o| o.size),
        };
        let ablated = match (self.ablate, set.layout) {
            (false, _) | (_, Layout::Nab) => Vec::new(),
            (true, Layout::Series) => (0..VARIANTS)
                .map(|v| variants[0].iter().map(|row| row[v]).collect())
                .collect(),
            (true, Layout::Machines) => (0..VARIANTS)
                .map(|v| together(&variants, |row| row[v]))
                .collect(),
        };
        Runs {
            each,
            judged,
            ablated,
        }
    }

    /// One series: a gauge, as all corpora hold.
    fn series(
        &self,
        layout: Layout,
        labels: &[u8],
        times: &[i64],
        values: &[f64],
    ) -> (Vec<Outputs>, Vec<Row>) {
        let mut spec = self.rules.resolve(labels);
        spec.forest.seed = self.seed;
        let mut track = Track::new(&spec, Some((Kind::Gauge, Source::Rule)));
        if self.forests {
            track.judge_mut().give_forest(&spec, fingerprint(labels));
        }
        let mut ablation = Ablation::new(spec.line, layout == Layout::Series);
        let mut variants = Vec::with_capacity(if self.ablate { times.len() } else { 0 });
        let mut last = Outputs::default();
        let mut one = |(t_ms, value): (&i64, &f64)| {
            let judgement = match value.is_nan() {
                true => None,
                false => match track.take(&spec, *t_ms, *value) {
                    Taken::Kept { judgement, .. } => judgement,
                    _ => None,
                },
            };
            last = judgement
                .as_ref()
                .map_or(last.held(), |j| Outputs::of(j, spec.line));
            if self.ablate {
                variants.push(ablation.take(judgement.as_ref()));
            }
            last
        };
        let said = times.iter().zip(values).map(&mut one).collect();
        (said, variants)
    }
}

/// Evidence of all series of a machine, row by row.
fn together<T>(each: &[Vec<T>], of: impl Fn(&T) -> f32) -> Vec<f32> {
    let mut members = Vec::with_capacity(each.len());
    (0..each.first().map_or(0, Vec::len))
        .map(|row| {
            members.clear();
            members.extend(each.iter().map(|e| of(&e[row])));
            group::together(&mut members)
        })
        .collect()
}
