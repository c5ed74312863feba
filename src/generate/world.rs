//! A made-up installation whose every value is known to be healthy or faulty.
//!
//! What always holds: the same seed, shape, faults and sequence of steps give the same values, bit
//! for bit; a fault changes the series that its truth lists and no other. There is no clock and no
//! socket here: an exporter steps the world by the clock, a simulation by a loop.

use std::time::Duration;

use serde::Serialize;

use super::catalogue::{self, FAMILIES, Family, Kind, SERIES_PER_NODE};
use super::fault::{FAULTS_MAX, Fault, FaultError, FaultKind, FaultSpec, FaultState, field};
use super::instrument::{BUCKETS, Effect, Moment, Process};
use super::noise::Noise;

/// Nodes of a world at most: about 2.7 million series, some 2 GB.
pub const INSTANCES_MAX: u32 = 50_000;
/// Series that one fault may meet, so that the truth stays readable.
pub const FAULT_SERIES_MAX: usize = 10_000;
/// Shortest day: a rhythm needs some scrapes to be seen.
pub const DAY_MIN: Duration = Duration::from_secs(1);

/// The size and the pace of a world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Nodes, each with all families. 1 to [`INSTANCES_MAX`].
    pub instances: u32,
    /// Length of a day; all rhythms scale with it. At least [`DAY_MIN`].
    pub day: Duration,
}

impl Shape {
    /// The number of nodes that together have about so many series.
    pub fn instances_for(series: u64) -> u32 {
        let nodes = series.div_ceil(SERIES_PER_NODE as u64);
        u32::try_from(nodes)
            .unwrap_or(u32::MAX)
            .clamp(1, INSTANCES_MAX)
    }
}

impl Default for Shape {
    /// Three nodes and a day of 24 hours.
    fn default() -> Self {
        Self {
            instances: 3,
            day: Duration::from_secs(24 * 3600),
        }
    }
}

/// One series at one moment.
#[derive(Debug, Clone, Copy)]
pub struct SeriesRef<'a> {
    /// Stays the same for the life of the world.
    pub id: usize,
    /// Sorted by name, `__name__` among them.
    pub labels: &'a [(String, String)],
    /// `name{label="value"}` as in an exposition.
    pub text: &'a str,
    pub family: &'a Family,
    /// Of the family; the `_count`, `_sum` and `_bucket` of a histogram behave as counters.
    pub kind: Kind,
    pub value: f64,
}

/// A fault as told to users: what, when, on which series.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Truth {
    pub id: u64,
    pub kind: FaultKind,
    pub state: FaultState,
    /// As asked for.
    pub selector: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<f64>,
    pub start: String,
    pub start_ms: i64,
    pub end: String,
    pub end_ms: i64,
    /// Labels of every series that it changes.
    pub series: Vec<serde_json::Map<String, serde_json::Value>>,
}

struct Instrument {
    process: Process,
    noise: Noise,
    effect: Effect,
    node: u32,
    family: usize,
    /// Its values are `values[first..last]`.
    first: usize,
    last: usize,
}

struct Series {
    labels: Vec<(String, String)>,
    text: String,
}

/// See the module's description.
pub struct World {
    day_ms: i64,
    instruments: Vec<Instrument>,
    series: Vec<Series>,
    values: Vec<f64>,
    faults: Vec<Fault>,
    next_fault: u64,
    /// Instruments whose effect is not [`Effect::NONE`].
    disturbed: Vec<usize>,
    start_ms: Option<i64>,
    now_ms: i64,
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("World")
            .field("series", &self.series.len())
            .field("faults", &self.faults.len())
            .field("now_ms", &self.now_ms)
            .finish_non_exhaustive()
    }
}

impl World {
    /// A world that begins with its first step. Out-of-range parts of `shape` are brought into range.
    pub fn new(seed: u64, shape: &Shape) -> Self {
        let day = shape.day.max(DAY_MIN);
        let instances = shape.instances.clamp(1, INSTANCES_MAX);
        let mut world = Self {
            day_ms: i64::try_from(day.as_millis()).unwrap_or(i64::MAX),
            instruments: Vec::new(),
            series: Vec::new(),
            values: Vec::new(),
            faults: Vec::new(),
            next_fault: 1,
            disturbed: Vec::new(),
            start_ms: None,
            now_ms: i64::MIN,
        };
        // Family by family, because an exposition must not interleave them.
        for (family, description) in FAMILIES.iter().enumerate() {
            for node in 1..=instances {
                let of_node = format!("{}/n{node}", description.name);
                let mut noise = Noise::new(seed, &of_node);
                let made = catalogue::blueprints(description, day.as_secs_f64(), &mut noise);
                for (i, blueprint) in made.into_iter().enumerate() {
                    let first = world.series.len();
                    let mut labels = blueprint.labels;
                    labels.push(("node", format!("n{node}")));
                    world.add_series(description, &labels);
                    world.instruments.push(Instrument {
                        process: blueprint.process,
                        noise: Noise::new(seed, &format!("{of_node}/{i}")),
                        effect: Effect::NONE,
                        node,
                        family,
                        first,
                        last: world.series.len(),
                    });
                }
            }
        }
        world.values = vec![0.0; world.series.len()];
        world
    }

    fn add_series(&mut self, family: &Family, labels: &[(&'static str, String)]) {
        if family.kind != Kind::Histogram {
            self.series.push(Series::new(family.name, labels, None));
            return;
        }
        let name = |suffix| format!("{}{suffix}", family.name);
        let bounds = BUCKETS
            .iter()
            .map(f64::to_string)
            .chain(["+Inf".to_owned()]);
        for bound in bounds {
            let series = Series::new(&name("_bucket"), labels, Some(bound));
            self.series.push(series);
        }
        self.series.push(Series::new(&name("_sum"), labels, None));
        self.series.push(Series::new(&name("_count"), labels, None));
    }

    /// Series of this world, vanished ones included.
    pub fn len(&self) -> usize {
        self.series.len()
    }

    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// True if there is a node `n1`, `n2`, ... of this number.
    pub fn has_node(&self, node: u32) -> bool {
        // The last family has every node, in order.
        (1..=self.instruments.last().map_or(0, |last| last.node)).contains(&node)
    }

    /// Labels of the series with this id, sorted by name.
    pub fn labels(&self, id: usize) -> &[(String, String)] {
        &self.series[id].labels
    }

    /// Moves on to `t_ms` (Unix milliseconds). A time not after the last step changes nothing.
    pub fn advance(&mut self, t_ms: i64) {
        if self.start_ms.is_some() && t_ms <= self.now_ms {
            return;
        }
        let start_ms = *self.start_ms.get_or_insert(t_ms);
        let dt_ms = if start_ms == t_ms {
            0
        } else {
            t_ms - self.now_ms
        };
        self.now_ms = t_ms;
        self.collect_effects();
        let now = Moment {
            since_start_s: (t_ms - start_ms) as f64 / 1e3,
            dt_s: dt_ms as f64 / 1e3,
            phase: t_ms.rem_euclid(self.day_ms) as f64 / self.day_ms as f64,
            start_s: start_ms as f64 / 1e3,
        };
        for instrument in &mut self.instruments {
            let out = &mut self.values[instrument.first..instrument.last];
            let Instrument {
                process,
                noise,
                effect,
                ..
            } = instrument;
            process.step(now, effect, noise, out);
        }
    }

    fn collect_effects(&mut self) {
        for i in self.disturbed.drain(..) {
            self.instruments[i].effect = Effect::NONE;
        }
        for fault in &mut self.faults {
            if !fault.holds(self.now_ms) {
                continue;
            }
            for &i in &fault.targets {
                fault.add_to(&mut self.instruments[i].effect, self.now_ms);
                self.disturbed.push(i);
            }
            fault.seen = true;
            // One that fell between two steps, or that takes no time, ends with this one.
            fault.end_ms = fault.end_ms.max(self.now_ms + 1);
        }
    }

    /// Moves on to `t_ms` and shows every series that is there.
    pub fn at(&mut self, t_ms: i64, mut visit: impl FnMut(SeriesRef<'_>)) {
        self.advance(t_ms);
        self.visit(None, &mut visit);
    }

    /// Shows the series as of the last step, of one node or of all, without those that vanished.
    pub fn visit(&self, node: Option<u32>, mut visit: impl FnMut(SeriesRef<'_>)) {
        for instrument in &self.instruments {
            if instrument.effect.gone || node.is_some_and(|node| node != instrument.node) {
                continue;
            }
            let family = &FAMILIES[instrument.family];
            for id in instrument.first..instrument.last {
                visit(SeriesRef {
                    id,
                    labels: &self.series[id].labels,
                    text: &self.series[id].text,
                    family,
                    kind: family.kind,
                    value: self.values[id],
                });
            }
        }
    }

    /// Plans a fault. `now_ms` is the time that its `at` counts from. Returns its id.
    pub fn plan(&mut self, spec: &FaultSpec, now_ms: i64) -> Result<u64, FaultError> {
        if self.faults.len() >= FAULTS_MAX {
            return Err(FaultError::TooMany);
        }
        let targets = self.targets(spec)?;
        let (at_ms, peak_ms) = self.next_peak(&targets, now_ms);
        let start_ms = match (spec.at, spec.kind) {
            (Some(at), _) => now_ms.saturating_add(millis(at)),
            (None, FaultKind::MissingPeak) => at_ms,
            (None, _) => now_ms,
        };
        let length_ms = match (spec.length, spec.kind) {
            (Some(length), _) => millis(length),
            (None, FaultKind::MissingPeak) => peak_ms,
            (None, kind) => millis(kind.default_length(Duration::from_millis(self.day_ms as u64))),
        };
        let id = self.next_fault;
        self.next_fault += 1;
        self.faults.push(Fault {
            id,
            kind: spec.kind,
            series: spec.series.clone(),
            size: spec.size,
            start_ms,
            end_ms: start_ms.saturating_add(length_ms),
            seen: false,
            targets,
        });
        Ok(id)
    }

    /// Instruments with a series that the selector matches and in which the fault can be seen.
    fn targets(&self, spec: &FaultSpec) -> Result<Vec<usize>, FaultError> {
        let (mut matched, mut targets, mut series) = (false, Vec::new(), 0);
        for (i, instrument) in self.instruments.iter().enumerate() {
            let hit = |id: usize| {
                let labels = &self.series[id].labels;
                spec.selector.matches(|name| {
                    let found = labels.iter().find(|(n, _)| n == name);
                    found.map(|(_, value)| value.as_str())
                })
            };
            if !(instrument.first..instrument.last).any(hit) {
                continue;
            }
            matched = true;
            if instrument.process.can_have(spec.kind) {
                targets.push(i);
                series += instrument.last - instrument.first;
            }
        }
        if !matched {
            return Err(field(
                "series",
                format!("{} matches no series", spec.series),
            ));
        }
        if targets.is_empty() {
            let what = format!("{} cannot have a {}", spec.series, spec.kind.name());
            return Err(field("series", what));
        }
        if series > FAULT_SERIES_MAX {
            let what = format!(
                "{} matches {series} series, more than {FAULT_SERIES_MAX}",
                spec.series
            );
            return Err(field("series", what));
        }
        Ok(targets)
    }

    /// Start of the next peak and its length in milliseconds, of the first of these instruments.
    fn next_peak(&self, targets: &[usize], now_ms: i64) -> (i64, i64) {
        let peak = targets
            .first()
            .and_then(|&i| self.instruments[i].process.rhythm().peak());
        let Some(peak) = peak else {
            return (now_ms, 0);
        };
        let day = self.day_ms as f64;
        let phase = now_ms.rem_euclid(self.day_ms) as f64 / day;
        let wait = (peak.start - phase).rem_euclid(1.0);
        let length = ((peak.end - peak.start) * day) as i64;
        (now_ms + (wait * day) as i64, length.max(1))
    }

    /// All faults, in the order in which they were asked for.
    pub fn faults(&self) -> &[Fault] {
        &self.faults
    }

    /// What is told about all faults, or about one.
    pub fn truth(&self, id: Option<u64>, now_ms: i64) -> Vec<Truth> {
        let wanted = self
            .faults
            .iter()
            .filter(|fault| id.is_none_or(|id| id == fault.id));
        wanted.map(|fault| self.truth_of(fault, now_ms)).collect()
    }

    fn truth_of(&self, fault: &Fault, now_ms: i64) -> Truth {
        let ids = fault.targets.iter().flat_map(|&i| {
            let instrument = &self.instruments[i];
            instrument.first..instrument.last
        });
        let series = ids.map(|id| {
            let labels = self.series[id].labels.iter();
            labels
                .map(|(name, value)| (name.clone(), value.clone().into()))
                .collect()
        });
        Truth {
            id: fault.id,
            kind: fault.kind,
            state: fault.state(now_ms),
            selector: fault.series.clone(),
            size: fault.size,
            start: rfc3339(fault.start_ms),
            start_ms: fault.start_ms,
            end: rfc3339(fault.end_ms),
            end_ms: fault.end_ms,
            series: series.collect(),
        }
    }

    /// Ends a fault now: an active one stops, a planned one is forgotten (nothing happened, so the
    /// truth has nothing to tell). False if there is none of this id.
    pub fn end_fault(&mut self, id: u64, now_ms: i64) -> bool {
        let Some(at) = self.faults.iter().position(|fault| fault.id == id) else {
            return false;
        };
        let fault = &mut self.faults[at];
        if fault.seen {
            fault.end_ms = fault.end_ms.min(now_ms);
        } else {
            self.faults.remove(at);
        }
        true
    }
}

impl Series {
    fn new(name: &str, labels: &[(&'static str, String)], le: Option<String>) -> Self {
        let mut all: Vec<(String, String)> = vec![("__name__".into(), name.into())];
        all.extend(labels.iter().map(|(n, v)| ((*n).to_owned(), v.clone())));
        all.extend(le.map(|le| ("le".to_owned(), le)));
        all.sort();
        // No value of the catalogue needs escaping.
        let inner: Vec<String> = all
            .iter()
            .filter(|(name, _)| name != "__name__")
            .map(|(name, value)| format!("{name}=\"{value}\""))
            .collect();
        Self {
            text: format!("{name}{{{}}}", inner.join(",")),
            labels: all,
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn rfc3339(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests;
