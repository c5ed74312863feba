//! Which rules apply to which series: the configuration's selectors, checked and resolved.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::keep::KeptFor;
use super::orders::Book;
use crate::config::{DetectConfig, RuleConfig};
use crate::model::SeriesSpec;
use crate::model::calendar::{self, Calendar, NoZone};
use crate::model::forest::ForestSpec;
use crate::model::forest::spec::ForestError;
use crate::score::track::again;
use crate::score::verdict::RECENT_MAX;
use crate::series::labels;
use crate::series::matcher::{Selector, SelectorError};

/// Why `detect` cannot be used.
#[derive(Debug, Clone, thiserror::Error, PartialEq)]
pub enum RulesError {
    #[error("{key}: {source}")]
    Selector { key: String, source: SelectorError },
    #[error("{key}: {value} is out of range, use {range}")]
    Range {
        key: String,
        value: String,
        range: &'static str,
    },
    #[error("{key}: min is above max: no value would be in range")]
    Limits { key: String },
    #[error("{key}: medium, high and critical must rise, from 0.7 to below 1")]
    Severity { key: String },
    #[error("detect.time_zone: {0}")]
    Zone(#[from] NoZone),
    #[error("detect.{0}")]
    Forest(#[from] ForestError),
}

/// The checked rules.
#[derive(Debug)]
pub struct Rules {
    defaults: SeriesSpec,
    rules: Vec<(Selector, RuleConfig)>,
    churning: Vec<String>,
}

impl TryFrom<&DetectConfig> for Rules {
    type Error = RulesError;

    fn try_from(config: &DetectConfig) -> Result<Self, RulesError> {
        let whole = RuleConfig {
            warmup: Some(config.warmup),
            young: Some(config.young),
            line: Some(config.line),
            confirm: Some(config.confirm),
            confirm_of: Some(config.confirm_of),
            min_duration: Some(config.min_duration),
            release: Some(config.release),
            adapt: Some(config.adapt),
            absent: Some(config.absent),
            day: Some(config.day),
            severity: Some(config.severity),
            ..RuleConfig::default()
        };
        check("detect", &whole)?;
        let mut defaults = SeriesSpec::default();
        let zone = calendar::zone(&config.time_zone)?;
        defaults.calendar = Calendar::new(&zone);
        defaults.forest = ForestSpec::new(&config.forest, &zone)?;
        apply(&mut defaults, &whole);
        let mut rules = Vec::with_capacity(config.rules.len());
        for (i, rule) in config.rules.iter().enumerate() {
            let key = format!("detect.rules[{i}]");
            let selector =
                Selector::parse(&rule.selector).map_err(|source| RulesError::Selector {
                    key: format!("{key}.selector"),
                    source,
                })?;
            check(&key, rule)?;
            rules.push((selector, rule.clone()));
        }
        Ok(Self {
            defaults,
            rules,
            churning: config.siblings.clone(),
        })
    }
}

impl Rules {
    /// Most series that have a forest at once.
    pub fn forests_max(&self) -> u32 {
        let forest = &self.defaults.forest;
        u32::try_from(forest.memory / forest.bytes() as u64).unwrap_or(u32::MAX)
    }

    /// How long samples of the series with these canonical label bytes are kept, if rules say so.
    pub fn kept_for(&self, canonical: &[u8]) -> KeptFor {
        let mut kept = KeptFor::default();
        for (selector, rule) in &self.rules {
            if (rule.window.is_some() || rule.rollups.is_some())
                && selector.matches(|name| labels::get(canonical, name))
            {
                let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
                kept.window_ms = rule.window.map(ms).or(kept.window_ms);
                kept.rollups_ms = rule.rollups.map(ms).or(kept.rollups_ms);
            }
        }
        kept
    }

    /// True if they say the same of every series.
    fn are(&self, other: &Self) -> bool {
        let rules = |r: &Self| {
            r.rules
                .iter()
                .map(|(_, rule)| rule.clone())
                .collect::<Vec<_>>()
        };
        self.defaults == other.defaults && rules(self) == rules(other)
    }

    /// How the series with these canonical label bytes is to be modelled.
    pub fn resolve(&self, canonical: &[u8]) -> SeriesSpec {
        let mut spec = self.defaults.clone();
        for (selector, rule) in &self.rules {
            if selector.matches(|name| labels::get(canonical, name)) {
                apply(&mut spec, rule);
            }
        }
        spec
    }
}

/// The rules before those of today.
#[derive(Debug)]
enum Earlier {
    Same,
    Unknown,
    Others(Arc<Rules>),
}

/// Rules before those of today that are known, so that what was said under them can be said again.
pub const EARLIER_MAX: usize = 8;

/// Specs that are held before it is worth looking which of them no series goes by any more.
const SPECS_ROOM: usize = 256;

/// Rules that were before, the newest first, at most [`EARLIER_MAX`].
pub type Past = Arc<Vec<Arc<Rules>>>;

/// The specs in use by one shard, each once.
#[derive(Debug)]
pub struct Specs {
    rules: Arc<Rules>,
    book: Book,
    /// Those of rules that were before, too: series that sent nothing since go by them.
    known: Vec<SeriesSpec>,
    /// What tells each from others.
    marks: Vec<u64>,
    earlier: Earlier,
    /// Specs under them, with what told them from others.
    before: Vec<(SeriesSpec, u64)>,
    past: Past,
    /// The first number of the rules as they are now.
    current: u32,
    /// So many are held when it is time to look for those that nobody needs.
    crowded: usize,
}

impl Specs {
    pub fn new(rules: Arc<Rules>) -> Self {
        Self {
            rules,
            book: Book::default(),
            known: Vec::new(),
            marks: Vec::new(),
            earlier: Earlier::Same,
            before: Vec::new(),
            past: Past::default(),
            current: 0,
            crowded: SPECS_ROOM,
        }
    }

    /// Goes by other rules from now on.
    pub fn renew(&mut self, rules: Arc<Rules>) {
        self.current = self.known.len() as u32;
        let before = std::mem::replace(&mut self.rules, rules);
        if !before.are(&self.rules) {
            // Who sleeps now may have been scored under any of them.
            self.earlier = Earlier::Unknown;
            self.before = Vec::new();
            let past = [before].into_iter().chain(self.past.iter().cloned());
            self.past = Arc::new(past.take(EARLIER_MAX).collect());
        }
    }

    /// Rules of earlier runs, the newest first.
    pub fn was_before(&mut self, past: Past) {
        self.past = past;
    }

    /// The rules before those of today, the newest first.
    pub fn past(&self) -> Past {
        Arc::clone(&self.past)
    }

    /// Specs that are held.
    pub fn held(&self) -> usize {
        self.known.len()
    }

    /// True if so many are held that those which no series goes by should be dropped.
    pub fn is_crowded(&self) -> bool {
        self.known.len() >= self.crowded
    }

    /// Drops all whose numbers are not among these; gives what each number is now. To be called when
    /// the rules have just changed: those that are left are of the rules before.
    pub fn keep(&mut self, used: &HashSet<u32>) -> HashMap<u32, u32> {
        let mut numbers = HashMap::with_capacity(used.len());
        let (known, marks) = (
            std::mem::take(&mut self.known),
            std::mem::take(&mut self.marks),
        );
        for (at, (spec, mark)) in (0..).zip(known.into_iter().zip(marks)) {
            if used.contains(&at) {
                numbers.insert(at, self.known.len() as u32);
                self.known.push(spec);
                self.marks.push(mark);
            }
        }
        self.current = self.known.len() as u32;
        self.crowded = SPECS_ROOM.max(2 * self.known.len());
        numbers
    }

    /// Goes by other orders from now on; with `any`, every series may have other ones.
    pub fn order(&mut self, book: Book, any: bool) {
        self.book = book;
        if any {
            self.current = self.known.len() as u32;
        }
    }

    /// True if a number is of rules that were before.
    pub fn is_old(&self, at: u32) -> bool {
        at < self.current
    }

    /// For a series that goes on: the number that it had, and the one that it has now. What its state
    /// is made of stays as it was until a restart: the length of its day, its clock, its forest.
    pub fn renewed(&mut self, old: u32, canonical: &[u8]) -> (u32, u32) {
        let spec = goes_on(self.resolve(canonical), self.get(old));
        (old, self.number(spec))
    }

    /// The spec for a series, without a number.
    pub fn resolve(&self, canonical: &[u8]) -> SeriesSpec {
        SeriesSpec {
            orders: self.book.of(canonical),
            ..self.rules.resolve(canonical)
        }
    }

    /// Labels in which the series of one family may differ.
    pub fn churning(&self) -> &[String] {
        &self.rules.churning
    }

    /// See [`Rules::kept_for`].
    pub fn kept_for(&self, canonical: &[u8]) -> KeptFor {
        self.rules.kept_for(canonical)
    }

    /// The number of the spec for a series.
    pub fn find(&mut self, canonical: &[u8]) -> u32 {
        let spec = self.resolve(canonical);
        self.number(spec)
    }

    fn number(&mut self, spec: SeriesSpec) -> u32 {
        let current = &self.known[self.current as usize..];
        let at = current.iter().position(|k| *k == spec);
        let at = at.map(|at| at + self.current as usize);
        at.unwrap_or_else(|| {
            self.marks.push(again::mark(&spec));
            self.known.push(spec);
            self.known.len() - 1
        }) as u32
    }

    /// The rules before, if they are known, were others.
    pub fn were(&mut self, earlier: Option<Arc<Rules>>) {
        self.earlier = earlier.map_or(Earlier::Unknown, Earlier::Others);
    }

    /// True if the series with these canonical label bytes may have had another spec before.
    pub fn is_new_for(&self, canonical: &[u8], at: u32) -> bool {
        match &self.earlier {
            Earlier::Same => false,
            Earlier::Unknown => true,
            Earlier::Others(rules) => again::mark(&rules.resolve(canonical)) != self.mark(at),
        }
    }

    /// What told the spec of a series under the rules before from others, if those are known.
    pub fn mark_before(&mut self, canonical: &[u8]) -> Option<u64> {
        let Earlier::Others(rules) = &self.earlier else {
            return None;
        };
        let spec = rules.resolve(canonical);
        if let Some((_, mark)) = self.before.iter().find(|(before, _)| *before == spec) {
            return Some(*mark);
        }
        let mark = again::mark(&spec);
        if self.before.len() < SPECS_ROOM {
            self.before.push((spec, mark));
        }
        Some(mark)
    }

    /// What tells a spec, and the way in which series are scored, from others.
    pub fn mark(&self, at: u32) -> u64 {
        self.marks[at as usize]
    }

    pub fn get(&self, at: u32) -> &SeriesSpec {
        &self.known[at as usize]
    }
}

/// The spec of a series that had another one before.
fn goes_on(mut spec: SeriesSpec, was: &SeriesSpec) -> SeriesSpec {
    spec.day_ms = was.day_ms;
    spec.calendar = was.calendar.clone();
    spec.forest = ForestSpec {
        wanted: spec.forest.wanted,
        ..was.forest.clone()
    };
    spec
}

/// The specs that a series with these canonical label bytes may have had under rules that were before,
/// each with what tells it from others; the likeliest first. A series that went on from one set of rules
/// to another has had something of both.
pub fn may_have_had(past: &Past, canonical: &[u8]) -> Vec<(u64, SeriesSpec)> {
    let all: Vec<_> = past.iter().map(|rules| rules.resolve(canonical)).collect();
    let mut found: Vec<(u64, SeriesSpec)> = Vec::new();
    for base in 0..all.len() {
        for now in 0..=base {
            let spec = goes_on(all[now].clone(), &all[base]);
            if found.iter().all(|(_, other)| *other != spec) {
                found.push((again::mark(&spec), spec));
            }
        }
    }
    found
}

fn apply(spec: &mut SeriesSpec, rule: &RuleConfig) {
    fn set<T>(to: &mut T, from: Option<T>) {
        if let Some(value) = from {
            *to = value;
        }
    }
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    set(&mut spec.model, rule.model);
    set(&mut spec.direction, rule.direction);
    if rule.min.is_some() {
        spec.min = rule.min;
    }
    if rule.max.is_some() {
        spec.max = rule.max;
    }
    set(&mut spec.min_deviation, rule.min_deviation);
    set(&mut spec.min_deviation_ratio, rule.min_deviation_ratio);
    set(&mut spec.warmup, rule.warmup);
    set(&mut spec.young, rule.young);
    set(&mut spec.line, rule.line);
    set(&mut spec.confirm, rule.confirm);
    set(&mut spec.confirm_of, rule.confirm_of);
    set(&mut spec.min_duration_ms, rule.min_duration.map(ms));
    set(&mut spec.release, rule.release);
    set(&mut spec.adapt_ms, rule.adapt.map(ms));
    set(&mut spec.absent_ms, rule.absent.map(ms));
    set(&mut spec.day_ms, rule.day.map(ms));
    set(&mut spec.severity, rule.severity);
    // Without memory for any, a rule cannot give one.
    if spec.forest.memory > 0 {
        set(&mut spec.forest.wanted, rule.forest);
    }
    if rule.kind.is_some() {
        spec.kind = rule.kind;
    }
}

fn check(key: &str, rule: &RuleConfig) -> Result<(), RulesError> {
    fn within<T: PartialOrd + std::fmt::Debug + Copy>(
        key: &str,
        name: &str,
        value: Option<T>,
        (low, high): (T, T),
        range: &'static str,
    ) -> Result<(), RulesError> {
        match value {
            Some(v) if !(v >= low && v <= high) => Err(RulesError::Range {
                key: format!("{key}.{name}"),
                value: format!("{v:?}"),
                range,
            }),
            _ => Ok(()),
        }
    }
    let second = Duration::from_secs(1);
    let days = |n: u64| Duration::from_secs(n * 86_400);
    within(key, "warmup", rule.warmup, (20, 10_000), "20 to 10000")?;
    within(key, "young", rule.young, (0, 1_000_000), "0 to 1000000")?;
    within(key, "line", rule.line, (1.0, 50.0), "1 to 50")?;
    let recent = (1, RECENT_MAX);
    within(key, "confirm", rule.confirm, recent, "1 to 8")?;
    within(key, "confirm_of", rule.confirm_of, recent, "1 to 8")?;
    if let (Some(confirm), Some(of)) = (rule.confirm, rule.confirm_of)
        && confirm > of
    {
        return Err(RulesError::Range {
            key: format!("{key}.confirm"),
            value: confirm.to_string(),
            range: "at most confirm_of",
        });
    }
    let lasts = (Duration::ZERO, days(30));
    within(key, "min_duration", rule.min_duration, lasts, "0s to 30d")?;
    within(key, "release", rule.release, (1, 1000), "1 to 1000")?;
    within(key, "day", rule.day, (second * 10, days(7)), "10s to 7d")?;
    within(key, "adapt", rule.adapt, (second, days(90)), "1s to 90d")?;
    let absent = (Duration::ZERO, days(30));
    within(key, "absent", rule.absent, absent, "0s to 30d")?;
    let any = (-1e300, 1e300);
    within(key, "min", rule.min, any, "-1e300 to 1e300")?;
    within(key, "max", rule.max, any, "-1e300 to 1e300")?;
    if let (Some(min), Some(max)) = (rule.min, rule.max)
        && min > max
    {
        return Err(RulesError::Limits {
            key: key.to_string(),
        });
    }
    let (minute, most) = (second * 60, days(400));
    within(key, "window", rule.window, (minute, most), "1m to 400d")?;
    let rollups = rule.rollups;
    within(
        key,
        "rollups",
        rollups,
        (Duration::ZERO, most),
        "0s to 400d",
    )?;
    let positive = (0.0, f64::MAX);
    within(
        key,
        "min_deviation",
        rule.min_deviation,
        positive,
        "0 or more",
    )?;
    within(
        key,
        "min_deviation_ratio",
        rule.min_deviation_ratio,
        positive,
        "0 or more",
    )?;
    if let Some(s) = rule.severity
        && !(0.7 <= s.medium && s.medium < s.high && s.high < s.critical && s.critical < 1.0)
    {
        return Err(RulesError::Severity {
            key: format!("{key}.severity"),
        });
    }
    Ok(())
}
