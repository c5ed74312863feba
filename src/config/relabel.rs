//! Relabelling rules, in the words of Prometheus' `relabel_config`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One rule. Rules are applied in order, each to what the one before has left.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RelabelConfig {
    /// Labels whose values, joined by `separator`, are what the rule looks at. A label that is not
    /// there is an empty value.
    pub source_labels: Vec<String>,
    /// Between the values of `source_labels`.
    #[schemars(extend("format" = "any text"))]
    pub separator: String,
    /// The label that is written, or compared with.
    #[schemars(extend("format" = "any text"))]
    pub target_label: String,
    /// What the joined values must match as a whole, or the name of a label for `labelmap`,
    /// `labeldrop` and `labelkeep`. RE2's syntax.
    #[schemars(extend("format" = "any text"))]
    pub regex: String,
    /// For `hashmod`: how many parts there are.
    #[schemars(range(min = 0, max = 4294967296i64))]
    pub modulus: u64,
    /// What is written for `replace` and `labelmap`; `$1` or `${1}` is what the first group of
    /// `regex` matched. Empty: the label is removed.
    #[schemars(extend("format" = "any text"))]
    pub replacement: String,
    /// What the rule does.
    pub action: RelabelAction,
}

/// The joined values of `source_labels` are "the value" below.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RelabelAction {
    /// Where the value matches, `replacement` is written to `target_label`.
    #[default]
    Replace,
    /// Series whose value does not match are left out.
    Keep,
    /// Series whose value matches are left out.
    Drop,
    /// Series whose value is not that of `target_label` are left out.
    KeepEqual,
    /// Series whose value is that of `target_label` are left out.
    DropEqual,
    /// The MD5 of the value modulo `modulus` is written to `target_label`: the number that
    /// Prometheus gives.
    HashMod,
    /// Each label whose name matches is copied to the name that `replacement` gives.
    LabelMap,
    /// Labels whose names match are removed.
    LabelDrop,
    /// Labels whose names do not match are removed.
    LabelKeep,
    /// The value in lower case is written to `target_label`.
    Lowercase,
    /// The value in upper case is written to `target_label`.
    Uppercase,
}

impl RelabelAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replace => "replace",
            Self::Keep => "keep",
            Self::Drop => "drop",
            Self::KeepEqual => "keepequal",
            Self::DropEqual => "dropequal",
            Self::HashMod => "hashmod",
            Self::LabelMap => "labelmap",
            Self::LabelDrop => "labeldrop",
            Self::LabelKeep => "labelkeep",
            Self::Lowercase => "lowercase",
            Self::Uppercase => "uppercase",
        }
    }
}

impl Default for RelabelConfig {
    fn default() -> Self {
        Self {
            source_labels: Vec::new(),
            separator: ";".to_owned(),
            target_label: String::new(),
            regex: "(.*)".to_owned(),
            modulus: 0,
            replacement: "$1".to_owned(),
            action: RelabelAction::default(),
        }
    }
}
