//! The settings of a forest, checked.

use jiff::tz::TimeZone;

use super::schedule::{Schedule, ScheduleError};
use super::{FEATURE_NAMES, FEATURES};
use crate::config::{ForestConfig, ForestUse};

/// How forests are grown, from what, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestSpec {
    /// Whether the series has one.
    pub wanted: ForestUse,
    /// Bytes for all forests together.
    pub memory: u64,
    pub trees: u16,
    /// Rows that each tree is grown from.
    pub samples: u16,
    /// The features that are cut, one bit each, the first one lowest.
    pub features: u16,
    /// Rows of the past that are kept.
    pub rows: u16,
    /// How far back they reach, in milliseconds.
    pub past_ms: f64,
    /// Samples before the first fit.
    pub min_points: u32,
    pub schedule: Schedule,
    /// Always-on evidence from which the forest is asked ...
    pub gate: f32,
    /// ... and for how many samples after it.
    pub hold: u8,
    /// Samples this far apart or further ask it every time, in milliseconds.
    pub always_from_ms: f64,
    /// Goes into every seed.
    pub seed: u64,
}

/// All features.
const ALL_FEATURES: u16 = (1 << FEATURES) - 1;

/// There is no feature of that name.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("there is no feature {0:?}, use {names}", names = FEATURE_NAMES.join(", "))]
pub struct NoFeature(pub String);

/// Why there are no such forests.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ForestError {
    #[error("{key}: {value} is out of range, use {range}")]
    Range {
        key: &'static str,
        value: String,
        range: &'static str,
    },
    #[error("forest.features: {0}")]
    Feature(NoFeature),
    #[error("forest.schedule: {0}")]
    Schedule(#[from] ScheduleError),
}

impl ForestSpec {
    /// The settings of a configuration, in whose time zone schedules are read.
    ///
    /// # Errors
    /// If a value is out of its range, a feature does not exist or the schedule is none.
    pub fn new(config: &ForestConfig, zone: &TimeZone) -> Result<Self, ForestError> {
        let within = |key, value: f64, low: f64, high: f64, range| {
            if value >= low && value <= high {
                return Ok(());
            }
            let value = value.to_string();
            Err(ForestError::Range { key, value, range })
        };
        let past_ms = config.past.as_secs_f64() * 1000.0;
        let always_from_ms = config.always_from.map(|d| d.as_secs_f64() * 1000.0);
        let many = |n: u16| f64::from(n);
        within("forest.trees", many(config.trees), 1.0, 1000.0, "1 to 1000")?;
        within(
            "forest.samples",
            many(config.samples),
            8.0,
            4096.0,
            "8 to 4096",
        )?;
        within("forest.rows", many(config.rows), 64.0, 4096.0, "64 to 4096")?;
        within("forest.past", past_ms, 3.6e6, 3.1536e10, "1h to 365d")?;
        let first = f64::from(config.min_points);
        within("forest.min_points", first, 20.0, 1e5, "20 to 100000")?;
        within("forest.gate", config.gate, 0.0, 30.0, "0 to 30")?;
        let always = always_from_ms.unwrap_or(1e3);
        within("forest.always_from", always, 1e3, 6.048e8, "1s to 7d")?;
        let mut features = 0;
        for name in &config.features {
            let known = FEATURE_NAMES.iter().position(|n| n == name);
            let at = known.ok_or_else(|| ForestError::Feature(NoFeature(name.clone())))?;
            features |= 1 << at;
        }
        Ok(Self {
            wanted: if config.memory.as_u64() == 0 {
                ForestUse::Never
            } else {
                ForestUse::Auto
            },
            memory: config.memory.as_u64(),
            trees: config.trees,
            samples: config.samples,
            features: if features == 0 {
                ALL_FEATURES
            } else {
                features
            },
            rows: config.rows,
            past_ms,
            min_points: config.min_points,
            schedule: Schedule::parse(&config.schedule, zone)?,
            gate: config.gate as f32,
            hold: config.hold,
            always_from_ms: always_from_ms.unwrap_or(f64::INFINITY),
            seed: u64::from(config.seed),
        })
    }

    /// Bytes of a forest and its rows, about: a node for every half row of a tree, twice that of
    /// eight bytes each, and a third as many rows again for those that were replaced since a fit.
    pub fn bytes(&self) -> usize {
        let nodes = usize::from(self.trees) * usize::from(self.samples) / 2;
        nodes * size_of::<super::Node>() + usize::from(self.rows) * 32
    }
}

impl Default for ForestSpec {
    fn default() -> Self {
        Self::new(&ForestConfig::default(), &TimeZone::UTC)
            .expect("BUG: the defaults are out of their ranges")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(change: impl FnOnce(&mut ForestConfig)) -> Result<ForestSpec, ForestError> {
        let mut config = ForestConfig::default();
        change(&mut config);
        ForestSpec::new(&config, &TimeZone::UTC)
    }

    #[test]
    fn features_are_chosen_by_name() {
        assert_eq!(ForestSpec::default().features, 0b11_1111_1111);
        let two = spec(|c| c.features = vec!["value".into(), "deviation_60".into()]);
        assert_eq!(two.unwrap().features, 0b10_0000_0001);
        let none = spec(|c| c.features = vec!["colour".into()]);
        assert_eq!(none, Err(ForestError::Feature(NoFeature("colour".into()))));
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        let says = |change: fn(&mut ForestConfig)| spec(change).unwrap_err().to_string();
        assert_eq!(
            says(|c| c.trees = 0),
            "forest.trees: 0 is out of range, use 1 to 1000"
        );
        assert!(says(|c| c.gate = f64::NAN).starts_with("forest.gate: NaN"));
        assert!(says(|c| c.schedule = "often".into()).starts_with("forest.schedule: "));
    }

    #[test]
    fn without_memory_no_series_has_one() {
        let none = spec(|c| c.memory = bytesize::ByteSize(0)).unwrap();
        assert_eq!(none.wanted, ForestUse::Never);
    }
}
