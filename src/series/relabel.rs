//! Relabelling as Prometheus does it (`model/relabel`): the same rules, in the same order, with the
//! same results, the number of a `hashmod` included.
//!
//! What always holds: rules that Prometheus would refuse are refused, with the key that is wrong. Label
//! names follow its classic rules: a name that a template gives and that is none changes nothing.

use std::borrow::Cow;

use regex::Regex;

use super::labels::is_plain_label_name;
use super::md5::md5;
use super::re2;
use crate::config::{RelabelAction, RelabelConfig};

/// Labels to be changed; an empty value is the same as none.
pub type LabelList<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule}: {key}: {what}")]
pub struct RelabelError {
    /// Counted from 0.
    pub rule: usize,
    pub key: &'static str,
    pub what: String,
}

/// Checked rules.
#[derive(Debug, Clone, Default)]
pub struct Relabel(Vec<Rule>);

#[derive(Debug, Clone)]
struct Rule {
    config: RelabelConfig,
    regex: Regex,
    /// The regular expression takes everything and keeps it as its first group: nothing to search.
    takes_all: bool,
}

impl Relabel {
    /// # Errors
    /// The first rule that Prometheus would refuse too.
    pub fn new(configs: &[RelabelConfig]) -> Result<Self, RelabelError> {
        let mut left = usize::MAX;
        let rules = configs.iter().enumerate().map(|(rule, config)| {
            let error = |(key, what): (&'static str, String)| RelabelError { rule, key, what };
            check(config).map_err(error)?;
            let regex = re2::anchored(&config.regex, &mut left);
            Ok(Rule {
                regex: regex.map_err(|what| error(("regex", what)))?,
                takes_all: config.regex == "(.*)",
                config: config.clone(),
            })
        });
        Ok(Self(rules.collect::<Result<_, _>>()?))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Changes labels. False if the series is to be left out.
    pub fn apply(&self, labels: &mut LabelList<'_>) -> bool {
        self.0.iter().all(|rule| rule.apply(labels))
    }
}

impl Rule {
    fn apply(&self, labels: &mut LabelList<'_>) -> bool {
        let config = &self.config;
        let target = &config.target_label;
        match config.action {
            RelabelAction::Drop => return !self.matches(&self.value(labels)),
            RelabelAction::Keep => return self.matches(&self.value(labels)),
            RelabelAction::DropEqual => return get(labels, target) != self.value(labels),
            RelabelAction::KeepEqual => return get(labels, target) == self.value(labels),
            RelabelAction::Replace => self.replace(labels),
            RelabelAction::Lowercase => {
                let value = self.value(labels).to_lowercase();
                set(labels, target, value);
            }
            RelabelAction::Uppercase => {
                let value = self.value(labels).to_uppercase();
                set(labels, target, value);
            }
            RelabelAction::HashMod => {
                let value = hash_mod(&self.value(labels), config.modulus);
                set(labels, target, value.to_string());
            }
            RelabelAction::LabelMap => self.map(labels),
            RelabelAction::LabelDrop => labels.retain(|(name, _)| !self.matches(name)),
            RelabelAction::LabelKeep => labels.retain(|(name, _)| self.matches(name)),
        }
        true
    }

    fn matches(&self, text: &str) -> bool {
        self.takes_all || self.regex.is_match(text)
    }

    fn value(&self, labels: &LabelList<'_>) -> String {
        let config = &self.config;
        match &config.source_labels[..] {
            [] => String::new(),
            [one] => get(labels, one).to_owned(),
            many => {
                let values: Vec<&str> = many.iter().map(|name| get(labels, name)).collect();
                values.join(&config.separator)
            }
        }
    }

    fn replace(&self, labels: &mut LabelList<'_>) {
        let value = self.value(labels);
        let config = &self.config;
        if self.takes_all && config.replacement == "$1" && !config.target_label.contains('$') {
            set(labels, &config.target_label, value);
            return;
        }
        let Some(groups) = self.regex.captures(&value) else {
            return;
        };
        let (mut target, mut replaced) = (String::new(), String::new());
        groups.expand(&config.target_label, &mut target);
        if !is_plain_label_name(&target) {
            return;
        }
        groups.expand(&config.replacement, &mut replaced);
        set(labels, &target, replaced);
    }

    fn map(&self, labels: &mut LabelList<'_>) {
        let mapped: Vec<(String, String)> = labels
            .iter()
            .filter_map(|(name, value)| {
                let groups = self.regex.captures(name)?;
                let mut to = String::new();
                groups.expand(&self.config.replacement, &mut to);
                Some((to, value.to_string()))
            })
            .collect();
        for (name, value) in mapped {
            set(labels, &name, value);
        }
    }
}

/// The last eight bytes of the digest, as a number.
fn hash_mod(value: &str, modulus: u64) -> u64 {
    let digest = md5(value.as_bytes());
    let last = digest[8..]
        .iter()
        .fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    last % modulus.max(1)
}

fn get<'a>(labels: &'a LabelList<'_>, name: &str) -> &'a str {
    let found = labels.iter().find(|(n, _)| n == name);
    found.map_or("", |(_, value)| value)
}

fn set(labels: &mut LabelList<'_>, name: &str, value: String) {
    let at = labels.iter().position(|(n, _)| n == name);
    match at {
        Some(at) if value.is_empty() => {
            labels.remove(at);
        }
        Some(at) => labels[at].1 = Cow::Owned(value),
        None if value.is_empty() => {}
        None => labels.push((Cow::Owned(name.to_owned()), Cow::Owned(value))),
    }
}

/// What Prometheus' own check of a rule asks for.
fn check(config: &RelabelConfig) -> Result<(), (&'static str, String)> {
    use RelabelAction as A;
    let default = RelabelConfig::default();
    let action = config.action.as_str();
    let wrong = |is: bool, key: &'static str, what: &str| match is {
        true => Err((key, what.replace("{}", action))),
        false => Ok(()),
    };
    wrong(
        config.action == A::HashMod && config.modulus == 0,
        "modulus",
        "must be at least 1 for `{}`",
    )?;
    let writes = matches!(
        config.action,
        A::Replace | A::HashMod | A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual
    );
    let target = &config.target_label;
    wrong(
        writes && target.is_empty(),
        "target_label",
        "is needed for `{}`",
    )?;
    let good = match config.action {
        A::Replace => is_template(target),
        _ => is_plain_label_name(target),
    };
    wrong(
        writes && !good,
        "target_label",
        "is not a label name: use letters, digits and underscores, no digit first",
    )?;
    wrong(
        config.action == A::LabelMap && !is_template(&config.replacement),
        "replacement",
        "is not a label name, which `{}` needs",
    )?;
    let fixed = matches!(
        config.action,
        A::Lowercase | A::Uppercase | A::KeepEqual | A::DropEqual | A::LabelDrop | A::LabelKeep
    );
    wrong(
        fixed && config.replacement != default.replacement,
        "replacement",
        "has no effect with `{}`: leave it out",
    )?;
    let equal = matches!(config.action, A::KeepEqual | A::DropEqual);
    wrong(
        equal && config.regex != default.regex,
        "regex",
        "has no effect with `{}`: leave it out",
    )?;
    let names = matches!(config.action, A::LabelDrop | A::LabelKeep);
    wrong(
        names && !config.source_labels.is_empty(),
        "source_labels",
        "has no effect with `{}`: leave it out",
    )?;
    wrong(
        names && !target.is_empty(),
        "target_label",
        "has no effect with `{}`: leave it out",
    )?;
    wrong(
        (equal || names) && config.modulus != default.modulus,
        "modulus",
        "has no effect with `{}`: leave it out",
    )?;
    wrong(
        (equal || names) && config.separator != default.separator,
        "separator",
        "has no effect with `{}`: leave it out",
    )
}

/// True for a label name in which groups may stand: `a_$1`, `${1}_b`.
fn is_template(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    let mut first = true;
    while let Some(c) = rest.chars().next() {
        let taken = if c == '$' {
            let group = &rest[1..];
            let (inner, around) = match group.strip_prefix('{') {
                Some(inner) => (inner, 3),
                None => (group, 1),
            };
            let len = inner.find(|c| !word(c)).unwrap_or(inner.len());
            if len == 0 || (around == 3 && !inner[len..].starts_with('}')) {
                return false;
            }
            len + around
        } else if word(c) && !(first && c.is_ascii_digit()) {
            1
        } else {
            return false;
        };
        first = false;
        rest = &rest[taken..];
    }
    !first
}

#[cfg(test)]
mod tests;
