//! A YAML file as a tree that knows where everything stands.
//!
//! serde-saphyr reads into types and stops at the first mistake. To name every mistake of a file in
//! one run, the file is read once into this tree, which any well-formed YAML fits, and is checked
//! there. Anchors, aliases and merge keys are resolved by serde-saphyr, within its budget. Duplicate
//! keys are kept, for the check to report. This module knows no key and no type of saimon's.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

/// Most values that a file may have after its aliases are replaced: ten thousand rules with every
/// key. More than anyone writes by hand, and read in well under a second.
const NODES_MAX: usize = 200_000;

/// A line and a column, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub line: u64,
    pub column: u64,
}

impl At {
    /// The beginning of a file, for what has no better place.
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(location: Location) -> Self {
        Self {
            line: location.line().max(1),
            column: location.column().max(1),
        }
    }
}

/// A value and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub at: At,
    pub value: Value,
}

/// What YAML can say.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    /// A whole number. Those beyond 64 bits are [`Value::Float`].
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    /// In the order of the file, duplicate keys included.
    Map(Vec<(Key, Node)>),
}

/// A key of a map and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    pub at: At,
    pub name: String,
}

/// Why a file is not YAML.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{line}:{column}: not valid yaml: {message}", line = at.line, column = at.column)]
pub struct YamlError {
    pub at: At,
    pub message: String,
}

impl Node {
    /// The value of a key; of the last one, if there are several.
    pub fn get(&self, key: &str) -> Option<&Self> {
        self.entry(key).map(|(_, node)| node)
    }

    /// A key with its place, and its value.
    pub fn entry(&self, key: &str) -> Option<(&Key, &Self)> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries
            .iter()
            .rev()
            .find(|(k, _)| k.name == key)
            .map(|(k, node)| (k, node))
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }

    /// The elements; none if it is not a list.
    pub fn items(&self) -> &[Self] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }
}

impl Value {
    /// What kind of value it is, for a message.
    pub fn kind(&self) -> String {
        match self {
            Self::Null => "nothing".to_owned(),
            Self::Bool(b) => format!("`{b}`"),
            Self::Int(i) => format!("the number {i}"),
            Self::Float(f) => format!("the number {f}"),
            Self::Text(t) => format!("the text `{t}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Map(_) => "a section with keys".to_owned(),
        }
    }
}

/// Reads a file; `None` if it has nothing in it but blanks and comments.
///
/// # Errors
///
/// Text that is not YAML, or that expands beyond what a configuration can need.
pub fn read(text: &str) -> Result<Option<Node>, YamlError> {
    let options = serde_saphyr::options! {
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        with_snippet: false,
        strict_booleans: true,
        non_finite_float_policy: serde_saphyr::NonFiniteFloatPolicy::PassThrough,
        budget: serde_saphyr::budget! {
            max_nodes: NODES_MAX,
            max_events: 4 * NODES_MAX,
        },
        alias_limits: serde_saphyr::alias_limits! {
            max_total_replayed_events: 4 * NODES_MAX,
        },
    };
    let root: Spanned<Value> =
        serde_saphyr::from_str_with_options(text, options).map_err(|e| YamlError {
            at: e.location().map_or(At::START, At::of),
            message: message(&e),
        })?;
    let node = Node::of(root);
    let empty = match &node.value {
        Value::Null => true,
        Value::Map(entries) => entries.is_empty(),
        _ => false,
    };
    Ok((!empty).then_some(node))
}

/// One line, without the place, which [`YamlError`] has already.
fn message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let line = text.lines().next().unwrap_or_default();
    let end = line.rfind(" at line ").unwrap_or(line.len());
    line[..end].to_owned()
}

impl Node {
    fn of(spanned: Spanned<Value>) -> Self {
        Self {
            at: At::of(spanned.referenced),
            value: spanned.value,
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("any value")
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_none<E>(self) -> Result<Value, E> {
                Ok(Value::Null)
            }

            fn visit_some<D: Deserializer<'de>>(self, d: D) -> Result<Value, D::Error> {
                Value::deserialize(d)
            }

            fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
                Ok(Value::Bool(v))
            }

            fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
                Ok(Value::Int(v))
            }

            fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
                Ok(i64::try_from(v).map_or(Value::Float(v as f64), Value::Int))
            }

            fn visit_i128<E>(self, v: i128) -> Result<Value, E> {
                Ok(Value::Float(v as f64))
            }

            fn visit_u128<E>(self, v: u128) -> Result<Value, E> {
                Ok(Value::Float(v as f64))
            }

            fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
                Ok(Value::Float(v))
            }

            fn visit_str<E>(self, v: &str) -> Result<Value, E> {
                Ok(Value::Text(v.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element::<Spanned<Value>>()? {
                    items.push(Node::of(item));
                }
                Ok(Value::List(items))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(key) = map.next_key::<Spanned<String>>()? {
                    let node = map.next_value::<Spanned<Value>>()?;
                    entries.push((
                        Key {
                            at: At::of(key.referenced),
                            name: key.value,
                        },
                        Node::of(node),
                    ));
                }
                Ok(Value::Map(entries))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let root = read("a:\n  - 1\n  - {b: x, c: 2.5}\nd: ~\n")
            .unwrap()
            .unwrap();
        let list = root.get("a").unwrap();
        assert_eq!(list.items()[0].at, At { line: 2, column: 5 });
        let (key, node) = list.items()[1].entry("c").unwrap();
        assert_eq!(
            key.at,
            At {
                line: 3,
                column: 12
            }
        );
        assert_eq!(
            node.at,
            At {
                line: 3,
                column: 15
            }
        );
        assert_eq!(node.value, Value::Float(2.5));
        assert_eq!(root.get("d").unwrap().value, Value::Null);
    }

    #[test]
    fn duplicate_keys_are_kept() {
        let root = read("a: 1\na: 2\n").unwrap().unwrap();
        let Value::Map(entries) = &root.value else {
            panic!("{root:?}")
        };
        assert_eq!(entries.len(), 2);
        assert_eq!(root.get("a").unwrap().value, Value::Int(2));
    }

    #[test]
    fn quoted_numbers_are_text() {
        let root = read("a: \"1\"\nb: 'true'\nc: 30s\n").unwrap().unwrap();
        assert_eq!(root.get("a").unwrap().text(), Some("1"));
        assert_eq!(root.get("b").unwrap().text(), Some("true"));
        assert_eq!(root.get("c").unwrap().text(), Some("30s"));
    }

    #[test]
    fn nothing_is_nothing() {
        for text in ["", "\n\n", "# only a comment\n", "---\n", "{}\n"] {
            assert_eq!(read(text).unwrap(), None, "{text:?}");
        }
    }

    #[test]
    fn broken_yaml_has_a_place() {
        let error = read("a: 1\nb: [1, 2\nc: 3\n").unwrap_err();
        assert!(error.at.line >= 2, "{error}");
        assert!(!error.message.is_empty());
        assert!(!error.message.contains(" line "), "{error}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..9 {
            let aliases = [format!("*a{}", i - 1).as_str(); 10].join(", ");
            text.push_str(&format!("a{i}: &a{i} [{aliases}]\n"));
        }
        assert!(read(&text).is_err());
    }
}
