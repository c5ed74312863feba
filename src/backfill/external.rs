//! External labels: what a Prometheus adds to its series when it sends them, and where else.
//!
//! A series that came by remote write has the external labels of its Prometheus. Asked through
//! `/api/v1/read`, that Prometheus adds them to its answers too, and takes an equality matcher of
//! one of them as satisfied; asked through the query API it does neither. A store that was itself
//! written to has them as ordinary labels. So no request names them, and an answer's series is held
//! against what was asked for as it is, with them, and without them.

use std::collections::{BTreeMap, HashSet};

use crate::series::labels;

/// The external labels of the server that is asked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct External(BTreeMap<String, String>);

impl External {
    /// Those with an empty value are none.
    pub fn new(labels: impl IntoIterator<Item = (String, String)>) -> Self {
        Self(
            labels
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .collect(),
        )
    }

    /// True if a label of a series can be one that was added.
    pub fn has(&self, name: &str, value: &str) -> bool {
        self.0.get(name).is_some_and(|v| v == value)
    }

    /// Canonical labels with those added that the series has not itself.
    pub fn with(&self, series: &[u8]) -> Vec<u8> {
        let own = labels::iter(series);
        let added = self.0.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        labels::encode(own.chain(added))
    }

    /// Canonical labels without those that were or could have been added.
    fn without(&self, series: &[u8]) -> Vec<u8> {
        labels::encode(labels::iter(series).filter(|(n, v)| !self.has(n, v)))
    }
}

/// Series that were asked for, by what an answer may call them.
#[derive(Debug)]
pub struct Wanted {
    labels: HashSet<Box<[u8]>>,
    external: External,
}

/// How a returned series became a wanted one; the lesser is the better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    Same,
    WithExternal,
    WithoutExternal,
}

impl Wanted {
    pub fn new<'a>(labels: impl IntoIterator<Item = &'a Box<[u8]>>, external: &External) -> Self {
        Self {
            labels: labels.into_iter().cloned().collect(),
            external: external.clone(),
        }
    }

    /// The wanted series that a returned one is, by canonical labels; `None` if it is none.
    pub fn find(&self, returned: &[u8]) -> Option<(Box<[u8]>, Likeness)> {
        if let Some(labels) = self.labels.get(returned) {
            return Some((labels.clone(), Likeness::Same));
        }
        if self.external.0.is_empty() {
            return None;
        }
        let with = self.external.with(returned);
        if let Some(labels) = self.labels.get(&with[..]) {
            return Some((labels.clone(), Likeness::WithExternal));
        }
        let without = self.external.without(returned);
        let labels = self.labels.get(&without[..])?;
        Some((labels.clone(), Likeness::WithoutExternal))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(labels: &[(&str, &str)]) -> Box<[u8]> {
        labels::encode(labels.iter().copied()).into()
    }

    #[test]
    fn a_series_is_found_as_it_is_with_and_without_external_labels() {
        let external = External::new([
            ("cluster".to_owned(), "eu".to_owned()),
            ("gone".to_owned(), String::new()),
        ]);
        let sent = series(&[("__name__", "up"), ("cluster", "eu"), ("job", "a")]);
        let bare = series(&[("__name__", "up"), ("job", "a")]);
        let own = series(&[("__name__", "up"), ("cluster", "us"), ("job", "a")]);
        let wanted = Wanted::new([&sent], &external);
        assert_eq!(wanted.find(&sent), Some((sent.clone(), Likeness::Same)));
        assert_eq!(
            wanted.find(&bare),
            Some((sent.clone(), Likeness::WithExternal))
        );
        // its own label wins, so it was sent as it is
        assert_eq!(wanted.find(&own), None);
        let wanted = Wanted::new([&bare], &external);
        assert_eq!(
            wanted.find(&sent),
            Some((bare.clone(), Likeness::WithoutExternal))
        );
        let unknown = Wanted::new([&sent], &External::default());
        assert_eq!(unknown.find(&bare), None);
    }
}
