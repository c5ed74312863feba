//! Which series belong together.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Series that belong together by their labels, see docs/groups.md.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct GroupsConfig {
    /// By which labels series are grouped. Each entry makes groups of a kind of its own: one label, or
    /// several with commas between them, for example `[job, instance, 'cluster,namespace']`. A series
    /// that lacks one of the labels is in no group of that kind. `[]`: no groups.
    pub by: Vec<String>,
    /// Groups of all kinds together. Series of groups beyond it are in none and are counted in
    /// `saimon_group_series_left_out`. One takes two lines on `/metrics/scores`.
    #[schemars(range(min = 1, max = 100000))]
    pub max: u32,
    /// Labels, with commas between them, whose groups are asked whether their series still move as they
    /// always do together: small groups of what belongs to one thing.
    #[schemars(length(min = 1), extend("format" = "text"))]
    pub joint_by: String,
    /// Groups of that kind that are asked, in the order in which they came; 64 of the series of each.
    /// One takes about 150 KiB. 0: none.
    #[schemars(range(min = 0, max = 10000))]
    pub joint_max: u32,
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self {
            by: vec!["job".to_owned(), "instance".to_owned()],
            max: 2000,
            joint_by: "job,instance".to_owned(),
            joint_max: 64,
        }
    }
}
