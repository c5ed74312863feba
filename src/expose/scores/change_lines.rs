//! The lines of changes at targets on a page of scores: alerts are routed by them.
//!
//! As lines of groups they have `job` and `instance`, empty where a change has none, so that Prometheus,
//! told to honor labels, adds none of its own.

use std::collections::BTreeSet;

use crate::maintenance::changes::Change;
use crate::series::labels::METRIC_NAME;
use crate::series::matcher::Selector;

const NAME: &str = "saimon_change";

/// The family of the changes that are open now, those that are selected; nothing if none is.
pub(super) fn render(open: &[Change], selectors: &[Selector]) -> Vec<u8> {
    let wanted = |c: &&Change| {
        let get = |name: &str| match name {
            METRIC_NAME => Some(NAME),
            "job" => Some(c.job.as_str()),
            "instance" => c.instance.as_deref(),
            "kind" => Some(c.kind.as_str()),
            _ => None,
        };
        selectors.is_empty() || selectors.iter().any(|s| s.matches(get))
    };
    let lines: BTreeSet<String> = open.iter().filter(wanted).map(line).collect();
    let mut out = String::new();
    if !lines.is_empty() {
        out.push_str(
            "# HELP saimon_change 1 while a change of a target is held against its anomalies\n",
        );
        out.push_str("# TYPE saimon_change gauge\n");
        out.extend(lines);
    }
    out.into_bytes()
}

fn line(change: &Change) -> String {
    let escaped = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        text.replace('\n', "\\n")
    };
    format!(
        "{NAME}{{instance=\"{}\",job=\"{}\",kind=\"{}\"}} 1\n",
        escaped(change.instance.as_deref().unwrap_or_default()),
        escaped(&change.job),
        change.kind.as_str()
    )
}
