//! What a configuration file may say: keys, their kinds, ranges, defaults and meanings, as data.
//!
//! Taken from the types in `config` (schema and default values), so that the check, the documentation
//! and the types cannot come apart. What always holds: fields come in the order of the types, and
//! every field has a meaning. This module reads no file.

use std::time::Duration;

use bytesize::ByteSize;
use schemars::generate::SchemaSettings;
use serde_json::Value as Json;

use super::yaml::{Node, Value};
use super::{unit, yaml};
use crate::config::web::{TokenConfig, UserRightsConfig, WebFile};
use crate::config::{
    Config, RelabelConfig, RemoteWriteConfig, RuleConfig, SeverityConfig, WindowConfig,
};

/// What a value may be.
#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Bool,
    /// A whole number, both ends included.
    Integer {
        min: i64,
        max: i64,
    },
    /// A number, both ends included.
    Number {
        min: f64,
        max: f64,
    },
    /// For example `1h30m`, both ends included.
    Duration {
        min: Duration,
        max: Duration,
    },
    /// For example `32MiB`, or a number of bytes; both ends included.
    Size {
        min: ByteSize,
        max: ByteSize,
    },
    /// Any text but the empty one.
    Text,
    /// Any text, the empty one included.
    AnyText,
    /// Text that is not shown.
    Secret,
    /// An `http://` or `https://` address.
    Url,
    /// A series selector.
    Selector,
    /// Label names and values.
    Labels,
    /// HTTP header names and secret values.
    Headers,
    /// One of a few words.
    Choice(Vec<Choice>),
    /// Keys of its own.
    Section(Vec<Field>),
    /// Any number of the same.
    List(Box<Shape>),
}

/// One word of a choice and its meaning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub word: String,
    pub doc: String,
}

/// A key of a section.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: String,
    /// In one paragraph of Markdown.
    pub doc: String,
    pub shape: Shape,
    /// `null` says that it is not set.
    pub optional: bool,
    /// As a file would say it; `None` if the key is not set by default, or is a section.
    pub default: Option<String>,
}

impl Field {
    /// True if every section of its kind needs this key.
    pub fn required(&self) -> bool {
        matches!(self.shape, Shape::Selector | Shape::Url) && !self.optional
    }
}

/// The shape of the whole file: a section.
pub fn config() -> Shape {
    let schema = SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<Config>();
    shape(schema.as_value(), Some(&defaults(&Config::default())))
}

/// The shape of a web configuration.
pub fn web() -> Shape {
    let schema = SchemaSettings::draft2020_12()
        .with(|s| s.inline_subschemas = true)
        .into_generator()
        .into_root_schema_for::<WebFile>();
    shape(schema.as_value(), Some(&defaults(&WebFile::default())))
}

/// The values of `T` in the order of its fields.
fn defaults<T: serde::Serialize>(value: &T) -> Node {
    let text = serde_saphyr::to_string(value).expect("BUG: a configuration cannot be written");
    yaml::read(&text)
        .expect("BUG: a written configuration cannot be read")
        .expect("BUG: a written configuration is empty")
}

fn shape(schema: &Json, default: Option<&Node>) -> Shape {
    let schema = without_null(schema);
    let word = |key: &str| schema.get(key).and_then(Json::as_str);
    match word("format") {
        Some("duration") => {
            let bound = |key| word(key).and_then(unit::parse_duration);
            return Shape::Duration {
                min: bound("x-min").expect("BUG: a duration without x-min"),
                max: bound("x-max").expect("BUG: a duration without x-max"),
            };
        }
        Some("size") => {
            let bound = |key| word(key).and_then(unit::parse_size);
            return Shape::Size {
                min: bound("x-min").expect("BUG: a size without x-min"),
                max: bound("x-max").expect("BUG: a size without x-max"),
            };
        }
        Some("text") => return Shape::Text,
        Some("any text") => return Shape::AnyText,
        Some("secret") => return Shape::Secret,
        Some("url") => return Shape::Url,
        Some("selector" | "optional selector") => return Shape::Selector,
        Some("headers") => return Shape::Headers,
        Some("labels") => return Shape::Labels,
        _ => {}
    }
    if let Some(choices) = schema.get("oneOf").and_then(Json::as_array) {
        return Shape::Choice(choices.iter().map(choice).collect());
    }
    let number = |key: &str| {
        schema
            .get(key)
            .and_then(Json::as_f64)
            .unwrap_or_else(|| panic!("BUG: a number without {key}: {schema}"))
    };
    match kind(schema) {
        Some("boolean") => Shape::Bool,
        Some("integer") => Shape::Integer {
            min: number("minimum") as i64,
            max: number("maximum") as i64,
        },
        Some("number") => Shape::Number {
            min: number("minimum"),
            max: number("maximum"),
        },
        Some("string") => Shape::Text,
        Some("array") => {
            let items = &schema["items"];
            Shape::List(Box::new(shape(items, item(items).as_ref())))
        }
        Some("object") => Shape::Section(fields(schema, default)),
        _ => panic!("BUG: no shape for {schema}"),
    }
}

/// An element of a list of sections with its default values, for the order of its keys.
fn item(schema: &Json) -> Option<Node> {
    let keys = schema.get("properties")?.as_object()?;
    Some(if keys.contains_key("schedule") {
        defaults(&WindowConfig::default())
    } else if keys.contains_key("selector") {
        // With the one section that is not set by default.
        defaults(&RuleConfig {
            severity: Some(SeverityConfig::default()),
            ..RuleConfig::default()
        })
    } else if keys.contains_key("source_labels") {
        defaults(&RelabelConfig::default())
    } else if keys.contains_key("token_file") {
        defaults(&TokenConfig::default())
    } else if keys.contains_key("user") {
        defaults(&UserRightsConfig::default())
    } else {
        defaults(&RemoteWriteConfig::default())
    })
}

fn fields(schema: &Json, default: Option<&Node>) -> Vec<Field> {
    let properties = schema["properties"]
        .as_object()
        .expect("BUG: a section without keys");
    let field = |name: &str, default: &Node| {
        let schema = &properties[name];
        let shape = shape(schema, Some(default));
        Field {
            name: name.to_owned(),
            doc: doc(schema),
            default: written(&shape, default),
            shape,
            optional: allows_null(schema),
        }
    };
    let Some(Value::Map(entries)) = default.map(|node| &node.value) else {
        panic!("BUG: a section without default values: {schema}");
    };
    entries
        .iter()
        .map(|(key, node)| field(&key.name, node))
        .collect()
}

/// A list of words as a file would say it.
fn list(items: &[Node]) -> String {
    let word = |node: &Node| match &node.value {
        Value::Text(text) if text.contains(',') => Some(format!("'{text}'")),
        Value::Text(text) => Some(text.clone()),
        _ => None,
    };
    let words: Vec<String> = items.iter().filter_map(word).collect();
    format!("[{}]", words.join(", "))
}

/// A default as a file would say it.
fn written(shape: &Shape, node: &Node) -> Option<String> {
    let text = match &node.value {
        Value::Null | Value::Map(_) if !matches!(shape, Shape::Labels | Shape::Headers) => {
            return None;
        }
        Value::List(items) => return Some(list(items)),
        Value::Null | Value::Map(_) => return Some("{}".to_owned()),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        Value::Float(f) => f.to_string(),
        Value::Text(t) => t.clone(),
    };
    match shape {
        Shape::Duration { .. } => unit::parse_duration(&text).map(unit::duration),
        Shape::Size { .. } => unit::parse_size(&text).map(unit::size),
        Shape::Selector | Shape::Url => None,
        Shape::AnyText => Some(format!("'{text}'")),
        _ => Some(text),
    }
}

fn choice(schema: &Json) -> Choice {
    Choice {
        word: schema["const"]
            .as_str()
            .expect("BUG: a choice that is not a word")
            .to_owned(),
        doc: doc(schema),
    }
}

/// The doc comment as one paragraph.
fn doc(schema: &Json) -> String {
    schema
        .get("description")
        .and_then(Json::as_str)
        .unwrap_or_default()
        .replace('\n', " ")
}

/// The schema of what an optional value is, if it is there.
fn without_null(schema: &Json) -> &Json {
    let Some(either) = schema.get("anyOf").and_then(Json::as_array) else {
        return schema;
    };
    either
        .iter()
        .find(|s| kind(s) != Some("null"))
        .unwrap_or(schema)
}

/// True if a value may be left open in so many words.
fn allows_null(schema: &Json) -> bool {
    let null = |s: &Json| s.as_str() == Some("null");
    schema
        .get("anyOf")
        .and_then(Json::as_array)
        .is_some_and(|either| either.iter().any(|s| s.get("type").is_some_and(null)))
        || schema
            .get("type")
            .and_then(Json::as_array)
            .is_some_and(|kinds| kinds.iter().any(null))
}

fn kind(schema: &Json) -> Option<&str> {
    match schema.get("type")? {
        Json::String(s) => Some(s),
        Json::Array(either) => either
            .iter()
            .filter_map(Json::as_str)
            .find(|s| *s != "null"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(shape: &Shape) -> &[Field] {
        match shape {
            Shape::Section(fields) => fields,
            Shape::List(item) => section(item),
            _ => &[],
        }
    }

    fn each(shape: &Shape, path: &str, visit: &mut dyn FnMut(&str, &Field)) {
        for field in section(shape) {
            let path = format!("{path}.{}", field.name);
            visit(&path, field);
            each(&field.shape, &path, visit);
        }
    }

    #[test]
    fn every_key_and_every_word_has_a_meaning() {
        let mut n = 0;
        each(&config(), "", &mut |path, field| {
            n += 1;
            assert!(field.doc.len() > 10, "{path} has no doc comment");
            if let Shape::Choice(choices) = &field.shape {
                for c in choices {
                    assert!(!c.doc.is_empty(), "{path}: {} has no doc comment", c.word);
                }
            }
        });
        assert!(n > 40, "only {n} keys");
    }

    #[test]
    fn keys_come_in_the_order_of_the_types() {
        let config = config();
        let names = |fields: &[Field]| fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
        let top = section(&config);
        assert_eq!(
            names(top),
            [
                "presets",
                "detect",
                "groups",
                "store",
                "history",
                "alerting",
                "read",
                "outputs",
                "web",
                "records",
                "maintenance",
                "incidents",
                "limits"
            ]
        );
        assert_eq!(
            names(section(&top[5].shape)),
            [
                "min_severity",
                "hold",
                "keep_firing_for",
                "prometheus_version",
                "groups",
                "incidents",
                "grafana_url",
                "saimon_url",
                "job",
                "labels"
            ]
        );
    }

    #[test]
    fn defaults_are_inside_their_ranges() {
        each(&config(), "", &mut |path, field| {
            let Some(default) = &field.default else {
                return;
            };
            let inside = match &field.shape {
                Shape::Integer { min, max } => {
                    (min..=max).contains(&&default.parse::<i64>().unwrap())
                }
                Shape::Number { min, max } => {
                    (min..=max).contains(&&default.parse::<f64>().unwrap())
                }
                Shape::Duration { min, max } => {
                    (min..=max).contains(&&unit::parse_duration(default).unwrap())
                }
                Shape::Size { min, max } => {
                    (min..=max).contains(&&unit::parse_size(default).unwrap())
                }
                _ => true,
            };
            assert!(inside, "{path}: {default}");
        });
    }
}
