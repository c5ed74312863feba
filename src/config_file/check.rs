//! Finds every mistake of a configuration file in one run.
//!
//! The file is read into a tree with positions and is held against the shape of the types; then the
//! values are held against each other. What always holds: a file in which nothing is found is
//! exactly a file that [`super::load()`] takes, because both read it here.

pub mod leaf;
mod maintenance;
mod outputs;
mod unknown;

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::shape::{self, Field, Shape};
use super::unit;
use super::yaml::{self, At, Key, Node, Value};
use crate::config::client::Address;
use crate::config::{ClientConfig, Config, GroupsConfig, SeverityConfig};
use crate::engine::incident::spec::IncidentSpec;
use crate::model::calendar;
use crate::model::forest::ForestSpec;
use crate::model::forest::spec::ForestError;
use crate::score::groups::GroupSpec;

/// Labels of an alert that say what it is about; a fixed label of that name would hide it.
const LABELS_TAKEN: [&str; 6] = [
    "alertname",
    "severity",
    "series",
    "job",
    "instance",
    "source_metric",
];

/// Something wrong in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Counted from 1.
    pub line: u64,
    /// Counted from 1, in characters.
    pub column: u64,
    /// Path of the key, for example `detect.rules[0].selector`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Mistake {
    pub(crate) fn new(at: At, key: &str, message: impl Into<String>) -> Self {
        Self {
            line: at.line,
            column: at.column,
            key: key.to_owned(),
            message: message.into(),
        }
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Every mistake of a configuration file, in the order of its lines.
pub fn check(text: &str) -> Vec<Mistake> {
    read(text).err().unwrap_or_default()
}

/// The configuration that a file means.
///
/// # Errors
///
/// Every mistake in it, in the order of its lines; never none.
pub(super) fn read(text: &str) -> Result<Config, Vec<Mistake>> {
    read_as(text, &shape::config(), |walk, config| walk.together(config))
}

/// The same for a file of another shape; `together` holds values against each other.
pub(super) fn read_as<T: serde::de::DeserializeOwned + Default>(
    text: &str,
    shape: &Shape,
    together: impl FnOnce(&mut Walk<'_>, &T),
) -> Result<T, Vec<Mistake>> {
    let root = match yaml::read(text) {
        Ok(Some(root)) => root,
        Ok(None) => return Ok(T::default()),
        Err(e) => {
            let message = format!("not valid yaml: {}", e.message);
            return Err(vec![Mistake::new(e.at, "", message)]);
        }
    };
    let mut walk = Walk {
        root: shape,
        found: Vec::new(),
        places: BTreeMap::new(),
    };
    let value = walk.value(shape, &root, "");
    // Wrong values were left out, so what is here can be compared, with defaults for the rest.
    match serde_json::from_value::<T>(value.unwrap_or_else(|| Json::Object(Default::default()))) {
        Ok(config) => {
            together(&mut walk, &config);
            if walk.found.is_empty() {
                return Ok(config);
            }
        }
        Err(e) => walk.mistake(root.at, "", format!("cannot be used: {e}")),
    }
    walk.found.sort_by_key(|m| (m.line, m.column));
    Err(walk.found)
}

/// One pass over the tree.
pub(super) struct Walk<'a> {
    root: &'a Shape,
    found: Vec<Mistake>,
    /// Where each key stands that the file has, and whether its value is usable.
    places: BTreeMap<String, (At, bool)>,
}

impl Walk<'_> {
    /// True if nothing is wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.found.is_empty()
    }

    fn mistake(&mut self, at: At, path: &str, message: impl Into<String>) {
        self.found.push(Mistake::new(at, path, message));
    }

    /// The value as its type takes it; `None`, with a mistake noted, if it does not fit.
    fn value(&mut self, shape: &Shape, node: &Node, path: &str) -> Option<Json> {
        match (shape, &node.value) {
            (Shape::Section(fields), Value::Map(entries)) => {
                Some(self.section(fields, entries, path))
            }
            // A section whose keys are all commented out.
            (Shape::Section(_) | Shape::Labels | Shape::Headers, Value::Null) => {
                Some(Json::Object(Default::default()))
            }
            (Shape::List(_), Value::Null) => Some(Json::Array(Vec::new())),
            (Shape::List(item), Value::List(items)) => Some(Json::Array(
                items
                    .iter()
                    .enumerate()
                    .map(|(i, node)| {
                        // An empty one for one that is wrong: those after it keep their numbers.
                        self.item(item, node, &format!("{path}[{i}]"))
                            .unwrap_or_else(|| match **item {
                                Shape::Text | Shape::AnyText => Json::String(String::new()),
                                Shape::Choice(ref words) => {
                                    Json::from(words.first().map(|w| w.word.as_str()))
                                }
                                _ => Json::Object(Default::default()),
                            })
                    })
                    .collect(),
            )),
            (Shape::Labels, Value::Map(entries)) => Some(self.labels(entries, path)),
            (Shape::Headers, Value::Map(entries)) => Some(self.headers(entries, path)),
            _ => match leaf::read(shape, &node.value) {
                Ok(value) => Some(value),
                Err(message) => {
                    self.mistake(node.at, path, message);
                    None
                }
            },
        }
    }

    /// An element of a list, with what it must not lack.
    fn item(&mut self, shape: &Shape, node: &Node, path: &str) -> Option<Json> {
        let value = self.value(shape, node, path);
        self.places
            .insert(path.to_owned(), (node.at, value.is_some()));
        if let (Shape::Section(fields), Some(_)) = (shape, &value) {
            for field in fields.iter().filter(|f| f.required()) {
                if node.get(&field.name).is_none() {
                    let message = format!("has no `{}`, which says what it is for", field.name);
                    self.mistake(node.at, path, message);
                }
            }
        }
        value
    }

    fn section(&mut self, fields: &[Field], entries: &[(Key, Node)], path: &str) -> Json {
        let mut values = serde_json::Map::new();
        let mut first = BTreeMap::new();
        for (key, node) in entries {
            let path = joined(path, &key.name);
            if let Some(line) = first.insert(key.name.as_str(), key.at.line) {
                let message = format!("is there twice, the first time in line {line}");
                self.mistake(key.at, &path, message);
                continue;
            }
            let Some(field) = fields.iter().find(|f| f.name == key.name) else {
                let message = unknown::message(&key.name, fields, self.root);
                self.mistake(key.at, &path, message);
                continue;
            };
            if field.optional && node.value == Value::Null {
                self.places.insert(path, (node.at, true));
                continue;
            }
            let value = self.value(&field.shape, node, &path);
            self.places.insert(path, (node.at, value.is_some()));
            if let Some(value) = value {
                values.insert(key.name.clone(), value);
            }
        }
        Json::Object(values)
    }

    fn labels(&mut self, entries: &[(Key, Node)], path: &str) -> Json {
        let mut labels = serde_json::Map::new();
        let of_alerts = path.starts_with("alerting.");
        for (key, node) in entries {
            let path = joined(path, &key.name);
            let name = key.name.as_str();
            if labels.contains_key(name) {
                self.mistake(key.at, &path, "is there twice");
            } else if !is_label_name(name) {
                let message = "not a label name: use letters, digits and underscores, no digit \
                               first, not two underscores first";
                self.mistake(key.at, &path, message);
            } else if of_alerts && LABELS_TAKEN.contains(&name) {
                let message = "is set by every alert itself: choose another name";
                self.mistake(key.at, &path, message);
            }
            match leaf::read(&Shape::Text, &node.value) {
                // Prometheus would expand it, once per evaluation, with names of its own.
                Ok(Json::String(text)) if of_alerts && text.contains("{{") => {
                    self.mistake(node.at, &path, "must be plain text, not a template");
                }
                Ok(value) => {
                    labels.insert(name.to_owned(), value);
                }
                Err(message) => self.mistake(node.at, &path, message),
            }
        }
        Json::Object(labels)
    }

    /// Names are judged with the rest of the client's keys.
    fn headers(&mut self, entries: &[(Key, Node)], path: &str) -> Json {
        let mut headers = serde_json::Map::new();
        for (key, node) in entries {
            let path = joined(path, &key.name);
            let same = |name: &String| name.eq_ignore_ascii_case(&key.name);
            if headers.keys().any(same) {
                self.mistake(key.at, &path, "is there twice");
            }
            match leaf::read(&Shape::Secret, &node.value) {
                Ok(value) => {
                    self.places.insert(path, (key.at, true));
                    headers.insert(key.name.clone(), value);
                }
                Err(message) => self.mistake(node.at, &path, message),
            }
        }
        Json::Object(headers)
    }

    /// What a client's keys are not together; `section` is the one that they stand in.
    fn client(&mut self, section: &str, client: &ClientConfig, address: Option<&Address>) {
        for (key, message) in client.mistakes(address) {
            let path = joined(section, &key);
            let place = self.places.get(&path);
            let at = place.map_or(At::START, |(at, _)| *at);
            self.mistake(at, &path, message);
        }
    }

    /// Values that are fine alone and not together.
    fn together(&mut self, config: &Config) {
        self.forest(config);
        self.maintenance(config);
        if let Err(message) = config.alerting.version() {
            let key = "alerting.prometheus_version";
            self.pair(false, key, key, message);
        }
        if let Err(error) = GroupSpec::try_from(&config.groups) {
            let own = GroupsConfig {
                joint_by: GroupsConfig::default().joint_by,
                ..config.groups.clone()
            };
            let key = match GroupSpec::try_from(&own) {
                Ok(_) => "groups.joint_by",
                Err(_) => "groups.by",
            };
            self.pair(false, key, key, error.to_string());
        }
        if let Err(error) = IncidentSpec::try_from(&config.incidents) {
            let key = error.key();
            self.pair(false, key, key, error.to_string());
        }
        self.rising("detect.severity", &config.detect.severity);
        for (i, rule) in config.detect.rules.iter().enumerate() {
            if let Some(severity) = &rule.severity {
                let path = format!("detect.rules[{i}].severity");
                self.complete(&path);
                self.rising(&path, severity);
            }
        }
        let history = &config.history;
        self.client("history", &history.client, history.url.as_ref());
        self.outputs(&config.outputs);
        let store = &config.store;
        self.pair(
            store.forget >= store.window,
            "store.window",
            "store.forget",
            format!(
                "{} is less than `store.window`, {}: a series would lose its window early",
                unit::duration(store.forget),
                unit::duration(store.window)
            ),
        );
        for (i, rule) in config.detect.rules.iter().enumerate() {
            if let Some(window) = rule.window {
                self.pair(
                    store.forget >= window,
                    &format!("detect.rules[{i}].window"),
                    "store.forget",
                    format!(
                        "{} is less than the window of a rule, {}: a series would lose its window early",
                        unit::duration(store.forget),
                        unit::duration(window)
                    ),
                );
            }
        }
        let limits = &config.limits;
        self.pair(
            limits.body_raw >= limits.body,
            "limits.body",
            "limits.body_raw",
            format!(
                "{} is less than `limits.body`, {}: the largest bodies would always be refused",
                unit::size(limits.body_raw),
                unit::size(limits.body)
            ),
        );
        self.pair(
            limits.request > limits.queue_wait,
            "limits.queue_wait",
            "limits.request",
            format!(
                "{} is not longer than `limits.queue_wait`, {}: a sender that waits for room would \
                 be cut off without an answer",
                unit::duration(limits.request),
                unit::duration(limits.queue_wait)
            ),
        );
    }

    /// The type would fill what is left out with defaults; a reader would expect `detect.severity`.
    fn complete(&mut self, path: &str) {
        let Some((at, _)) = self.places.get(path).copied() else {
            return;
        };
        for level in ["medium", "high", "critical"] {
            if !self.places.contains_key(&joined(path, level)) {
                let message = format!("has no `{level}`: a rule gives all three or none");
                self.mistake(at, path, message);
            }
        }
    }

    fn rising(&mut self, path: &str, severity: &SeverityConfig) {
        let levels = [
            ("medium", severity.medium),
            ("high", severity.high),
            ("critical", severity.critical),
        ];
        for two in levels.windows(2) {
            let [(low, a), (high, b)] = [two[0], two[1]];
            self.pair(
                a < b,
                &joined(path, low),
                &joined(path, high),
                format!("{b} is not above `{low}`, {a}: severities must rise"),
            );
        }
    }

    /// What a zone, a schedule or a feature is, only those who use it know.
    fn forest(&mut self, config: &Config) {
        let found = calendar::zone(&config.detect.time_zone);
        let (key, message) = match found {
            Err(error) => ("detect.time_zone", error.to_string()),
            Ok(zone) => match ForestSpec::new(&config.detect.forest, &zone) {
                Err(ForestError::Feature(what)) => ("detect.forest.features", what.to_string()),
                Err(ForestError::Schedule(why)) => ("detect.forest.schedule", why.to_string()),
                // Ranges are the shape's to check.
                Err(ForestError::Range { .. }) | Ok(_) => return,
            },
        };
        self.pair(false, key, key, message);
    }

    /// Notes a mistake between two keys at the later one that the file has. Says nothing of values
    /// that are wrong by themselves.
    fn pair(&mut self, fits: bool, first: &str, second: &str, message: String) {
        let place = |path: &str| self.places.get(path).copied();
        let (a, b) = (place(first), place(second));
        if fits || a.is_some_and(|(_, ok)| !ok) || b.is_some_and(|(_, ok)| !ok) {
            return;
        }
        let at = b.or(a).map_or(At::START, |(at, _)| at);
        self.mistake(at, second, message);
    }
}

fn is_label_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !name.starts_with("__")
}

pub(crate) fn joined(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `line:column key` of all mistakes.
    fn places(text: &str) -> Vec<String> {
        check(text)
            .iter()
            .map(|m| format!("{}:{} {}", m.line, m.column, m.key))
            .collect()
    }

    fn message(text: &str) -> String {
        let found = check(text);
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        found[0].message.clone()
    }

    #[test]
    fn labels_of_readers_are_any_names_and_lists_of_names_are_texts() {
        let text = "read:\n  external_labels: {job: x, __a: y}\n  ignore_labels: [a, 7, b]\n";
        assert_eq!(
            places(text),
            [
                "2:29 read.external_labels.__a",
                "3:22 read.ignore_labels[1]"
            ]
        );
    }

    #[test]
    fn every_mistake_is_found_in_one_run() {
        let text = "\
detect:
  warmup: 5
  yuong: 100
  line: a lot
  confirm: 2.5
  adapt: 12
  severity: {medium: 0.9, high: 0.8, critical: 0.99}
  rules:
    - selector: '{job=\"a\"'
    - model: false
    - selector: up
      direction: sideways
      model: maybe
store:
  window: 0s
  cache: huge
  checkpoint: 1m
  checkpoint: 2m
alerting:
  hold: 5m
  labels: {severity: x, 9a: y, team: 7}
limits:
  series: 0
  body: 64MiB
  queue_wait: 1m
colour: blue
";
        assert_eq!(
            places(text),
            [
                "2:11 detect.warmup",
                "3:3 detect.yuong",
                "4:9 detect.line",
                "5:12 detect.confirm",
                "6:10 detect.adapt",
                "7:33 detect.severity.high",
                "9:17 detect.rules[0].selector",
                "10:7 detect.rules[1]",
                "12:18 detect.rules[2].direction",
                "13:14 detect.rules[2].model",
                "15:11 store.window",
                "16:10 store.cache",
                "18:3 store.checkpoint",
                "20:9 alerting.hold",
                "21:12 alerting.labels.severity",
                "21:25 alerting.labels.9a",
                "21:38 alerting.labels.team",
                "23:11 limits.series",
                "24:9 limits.body_raw",
                "25:15 limits.request",
                "26:1 colour",
            ]
        );
    }

    #[test]
    fn messages_say_what_to_do() {
        for (text, part) in [
            ("detect: {warmpu: 100}", "did you mean `warmup`"),
            ("detect: {lines: 6}", "did you mean `line`"),
            ("warmup: 100", "did you mean `detect.warmup`"),
            ("colour: blue", "known here are `presets`, `detect`"),
            ("detect: {warmup: 5}", "5 is outside 20 to 10000"),
            (
                "detect: {warmup: many}",
                "the text `many` is not a whole number",
            ),
            ("detect: {warmup:}", "has no value"),
            ("detect: {adapt: 12}", "add a unit, for example `12s`"),
            ("detect: {adapt: soon}", "such as `30s`"),
            ("detect: {adapt: 100d}", "100d is outside 1s to 90d"),
            ("detect: {line: 0.5}", "0.5 is outside 1 to 50"),
            ("detect: {line: .nan}", "outside"),
            ("detect: {rules: {selector: up}}", "not a list"),
            (
                "detect: {rules: [{selector: up, severity: {medium: 0.8, high: 0.9}}]}",
                "has no `critical`",
            ),
            (
                "detect: {rules: [{selector: {job: node}}]}",
                "put it in quotes",
            ),
            (
                "alerting: {min_severity: grave}",
                "one of `low`, `medium`, `high`, `critical`",
            ),
            ("alerting: {job: 5}", "put it in quotes"),
            ("alerting: {job: ''}", "is empty"),
            ("alerting: {labels: {team: '{{ $x }}'}}", "not a template"),
            ("limits: {body: 10}", "10 is outside 64KiB to 1GiB"),
            ("store: {forget: 1h}", "less than `store.window`, 1d"),
            ("store: {window: 10d}", "less than `store.window`, 10d"),
            ("- a\n- b", "a list is not a section with keys"),
            ("detect: [", "not valid yaml"),
        ] {
            let message = message(text);
            assert!(message.contains(part), "{text}: {message}");
        }
    }

    #[test]
    fn one_wrong_value_is_one_mistake() {
        // The other severities are fine against the defaults, the wrong one is not compared.
        assert_eq!(places("detect: {severity: {high: 5}}").len(), 1);
        assert_eq!(places("detect: {severity: {medium: 0.96}}").len(), 1);
        assert_eq!(places("limits: {body: 2GiB}").len(), 1);
    }

    #[test]
    fn what_may_look_odd_is_allowed() {
        for text in [
            "detect: {warmup: 5000}",
            "detect: {young: 0}",
            "alerting: {hold: {low: 0s}}",
            "detect: {severity: {medium: 0.7}}",
            "limits: {body_raw: 1073741824}",
        ] {
            assert_eq!(check(text), [], "{text}");
        }
    }

    #[test]
    fn lenient_reading_agrees_with_the_types_own() {
        let text =
            "detect:\n  warmup: 50\n  rules:\n    - {selector: up, min_deviation: 1, adapt: 1h}\n";
        let typed: Config = serde_saphyr::from_str(text).unwrap();
        assert_eq!(read(text).unwrap(), typed);
    }
}
