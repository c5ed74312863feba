//! By which labels series are grouped: the configuration, checked.

use std::sync::Arc;

use crate::config::GroupsConfig;
use crate::series::labels::is_plain_label_name;

/// Kinds of groups that one configuration may have: each is looked at for every series.
const KINDS_MAX: usize = 16;
/// Labels that a gauge may not have, or that say something else on a line about a group.
const TAKEN: [&str; 3] = ["le", "quantile", super::BY];

/// Why series cannot be grouped like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GroupError {
    #[error("{0} ways to group are more than {KINDS_MAX}: leave some out")]
    TooMany(usize),
    #[error(
        "{0:?} is no label to group by: use letters, digits and underscores, no digit first, not two \
         underscores first"
    )]
    Label(String),
    #[error("{0:?} means something else on the lines of groups and cannot be grouped by")]
    Taken(String),
    #[error("{0:?} is there twice")]
    Twice(String),
}

/// Labels that make groups; in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Kind {
    pub(super) number: usize,
    /// In the order of the configuration.
    pub(super) names: Box<[Box<str>]>,
    /// The same with commas between them.
    pub(super) text: Box<str>,
}

/// By which labels series are grouped, and how many groups there may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSpec {
    pub(super) kinds: Vec<Arc<Kind>>,
    pub(super) max: usize,
    /// The labels of the groups whose series are looked at together.
    pub joint_by: Box<[Box<str>]>,
    /// Most such groups.
    pub joint_max: usize,
}

impl TryFrom<&GroupsConfig> for GroupSpec {
    type Error = GroupError;

    fn try_from(config: &GroupsConfig) -> Result<Self, GroupError> {
        if config.by.len() > KINDS_MAX {
            return Err(GroupError::TooMany(config.by.len()));
        }
        let mut kinds: Vec<Arc<Kind>> = Vec::new();
        for (number, by) in config.by.iter().enumerate() {
            let names = names(by)?;
            let text = names.join(",").into_boxed_str();
            if kinds.iter().any(|k| k.text == text) {
                return Err(GroupError::Twice(text.into()));
            }
            kinds.push(Arc::new(Kind {
                number,
                names: names.into(),
                text,
            }));
        }
        Ok(Self {
            kinds,
            max: config.max as usize,
            joint_by: names(&config.joint_by)?.into(),
            joint_max: config.joint_max as usize,
        })
    }
}

/// The labels of one way to group.
fn names(by: &str) -> Result<Vec<Box<str>>, GroupError> {
    let mut names: Vec<Box<str>> = Vec::new();
    for name in by.split(',').map(str::trim) {
        if !is_plain_label_name(name) || name.starts_with("__") {
            return Err(GroupError::Label(name.to_owned()));
        }
        if TAKEN.contains(&name) {
            return Err(GroupError::Taken(name.to_owned()));
        }
        if names.iter().any(|n| &**n == name) {
            return Err(GroupError::Twice(name.to_owned()));
        }
        names.push(name.into());
    }
    Ok(names)
}

impl Default for GroupSpec {
    fn default() -> Self {
        Self::try_from(&GroupsConfig::default()).expect("BUG: the default groups are wrong")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(by: &[&str]) -> Result<GroupSpec, GroupError> {
        GroupSpec::try_from(&GroupsConfig {
            by: by.iter().map(|b| (*b).to_owned()).collect(),
            ..GroupsConfig::default()
        })
    }

    #[test]
    fn labels_are_read_and_wrong_ones_are_named() {
        let spec = of(&["job", "cluster, namespace"]).unwrap();
        assert_eq!(&*spec.kinds[1].text, "cluster,namespace");
        assert!(of(&[]).unwrap().kinds.is_empty());
        let label = |l: &str| Err(GroupError::Label(l.to_owned()));
        assert_eq!(of(&["a-b"]), label("a-b"));
        assert_eq!(of(&["job,"]), label(""));
        assert_eq!(of(&["__name__"]), label("__name__"));
        assert_eq!(of(&["le"]), Err(GroupError::Taken("le".to_owned())));
        assert_eq!(
            of(&["job", "job"]),
            Err(GroupError::Twice("job".to_owned()))
        );
        assert_eq!(of(&["a,a"]), Err(GroupError::Twice("a".to_owned())));
        assert_eq!(of(&["a"; 17]), Err(GroupError::TooMany(17)));
    }
}
