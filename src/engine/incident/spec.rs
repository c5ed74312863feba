//! Which anomalies are one incident: the configuration, checked.

use crate::config::IncidentsConfig;
use crate::series::labels::{self, METRIC_NAME, is_plain_label_name};

/// Ways to share labels that one configuration may have: each is looked at for every anomaly.
const KINDS_MAX: usize = 16;

/// Why anomalies cannot be gathered like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IncidentError {
    #[error("{0} ways to share labels are more than {KINDS_MAX}: leave some out")]
    TooMany(usize),
    #[error(
        "{0:?} is no label to share: use letters, digits and underscores, no digit first, or __name__"
    )]
    Label(String),
    #[error("{0:?} is there twice")]
    Twice(String),
    #[error("no anomaly could join within more than the whole spread: incidents.within is larger")]
    Spread,
}

impl IncidentError {
    /// The key of the configuration that it is about.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Spread => "incidents.spread",
            _ => "incidents.by",
        }
    }
}

/// What series share whose anomalies are one incident, and when these begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncidentSpec {
    kinds: Vec<Box<[Box<str>]>>,
    /// Series that were learned to move together need share nothing.
    pub learned: bool,
    pub within_ms: i64,
    pub spread_ms: i64,
}

impl TryFrom<&IncidentsConfig> for IncidentSpec {
    type Error = IncidentError;

    fn try_from(config: &IncidentsConfig) -> Result<Self, IncidentError> {
        if config.by.len() > KINDS_MAX {
            return Err(IncidentError::TooMany(config.by.len()));
        }
        let mut kinds: Vec<Box<[Box<str>]>> = Vec::new();
        for by in &config.by {
            let mut names: Vec<Box<str>> = Vec::new();
            for name in by.split(',').map(str::trim) {
                let hidden = name.starts_with("__") && name != METRIC_NAME;
                if !is_plain_label_name(name) || hidden {
                    return Err(IncidentError::Label(name.to_owned()));
                }
                if names.iter().any(|n| &**n == name) {
                    return Err(IncidentError::Twice(name.to_owned()));
                }
                names.push(name.into());
            }
            names.sort_unstable();
            if kinds.iter().any(|k| **k == *names) {
                return Err(IncidentError::Twice(by.clone()));
            }
            kinds.push(names.into());
        }
        if config.within > config.spread {
            return Err(IncidentError::Spread);
        }
        let ms = |d: std::time::Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Ok(Self {
            // Without kinds there are no incidents.
            learned: config.learned && !kinds.is_empty(),
            kinds,
            within_ms: ms(config.within),
            spread_ms: ms(config.spread),
        })
    }
}

impl IncidentSpec {
    /// What a series may share with others: equal numbers mean equal labels of one kind. A series that
    /// lacks a label shares nothing of that kind.
    pub fn keys(&self, canonical: &[u8]) -> Vec<u64> {
        let key = |(number, names): (usize, &[Box<str>])| {
            let mut hash = xxhash_rust::xxh3::Xxh3::new();
            hash.update(&(number as u64).to_le_bytes());
            for name in names {
                let value = labels::get(canonical, name).filter(|v| !v.is_empty())?;
                hash.update(&(value.len() as u64).to_le_bytes());
                hash.update(value.as_bytes());
            }
            Some(hash.digest())
        };
        let kinds = self.kinds.iter().map(|names| &**names);
        kinds.enumerate().filter_map(key).collect()
    }
}

impl Default for IncidentSpec {
    fn default() -> Self {
        Self::try_from(&IncidentsConfig::default()).expect("BUG: the default incidents are wrong")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn of(by: &[&str]) -> Result<IncidentSpec, IncidentError> {
        IncidentSpec::try_from(&IncidentsConfig {
            by: by.iter().map(|b| (*b).to_owned()).collect(),
            ..IncidentsConfig::default()
        })
    }

    #[test]
    fn what_is_shared_is_equal_in_all_labels_of_one_kind() {
        let spec = of(&["instance", "job, __name__"]).unwrap();
        let keys = |name: &str, job: &str, instance: &str| {
            let pairs = [("__name__", name), ("instance", instance), ("job", job)];
            spec.keys(&labels::encode(
                pairs.into_iter().filter(|(_, v)| !v.is_empty()),
            ))
        };
        let of = keys("m", "node", "a");
        assert_eq!(of.len(), 2);
        assert_eq!(keys("n", "shop", "a")[0], of[0]);
        assert_eq!(keys("m", "node", "b")[1], of[1]);
        assert_ne!(keys("m", "shop", "b")[1], of[1]);
        assert_eq!(keys("m", "", "a"), of[..1]);
        assert!(keys("m", "", "").is_empty());
    }

    #[test]
    fn labels_are_read_and_wrong_ones_are_named() {
        assert!(of(&[]).unwrap().keys(b"").is_empty());
        let label = |l: &str| Err(IncidentError::Label(l.to_owned()));
        assert_eq!(of(&["a-b"]), label("a-b"));
        assert_eq!(of(&["job,"]), label(""));
        assert_eq!(of(&["__address__"]), label("__address__"));
        let twice = |l: &str| Err(IncidentError::Twice(l.to_owned()));
        assert_eq!(of(&["a,a"]), twice("a"));
        assert_eq!(of(&["a,b", "b,a"]), twice("b,a"));
        assert_eq!(of(&["a"; 17]), Err(IncidentError::TooMany(17)));
        let config = IncidentsConfig {
            spread: Duration::from_secs(1),
            ..IncidentsConfig::default()
        };
        assert_eq!(IncidentSpec::try_from(&config), Err(IncidentError::Spread));
    }
}
