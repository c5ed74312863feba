//! Which keys a running saimon takes from a file that is read again, and which wait for a restart.
//!
//! A reload uses what is live and says by name what is not. What always holds: every key is one or
//! the other, and one that nobody thought of needs a restart.

use serde_json::Value as Json;

use super::Config;

/// Keys and sections that are live, each with all that is below it.
pub const LIVE: [&str; 31] = [
    "presets",
    "detect.warmup",
    "detect.young",
    "detect.line",
    "detect.confirm",
    "detect.confirm_of",
    "detect.min_duration",
    "detect.release",
    "detect.adapt",
    "detect.absent",
    "detect.severity",
    "detect.rules",
    "groups.by",
    "groups.max",
    "alerting",
    "history",
    "maintenance.windows",
    "maintenance.alertmanager",
    "read",
    "limits.series",
    "limits.memory",
    "limits.body",
    "limits.body_raw",
    "limits.labels_per_series",
    "limits.label_name",
    "limits.label_value",
    "limits.writes_at_once",
    "limits.queue_wait",
    "limits.header_wait",
    "limits.request",
    "limits.score_lines",
];

/// True if a reload uses a key, for example `detect.rules[0].line`.
pub fn is_live(key: &str) -> bool {
    LIVE.iter().any(|live| {
        key.strip_prefix(live)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    })
}

/// What is used after a reload: `new` in what is live, `running` in everything else.
pub fn merged(running: &Config, new: &Config) -> Config {
    let mut config = running.clone();
    config.presets.clone_from(&new.presets);
    let (to, from) = (&mut config.detect, &new.detect);
    to.warmup = from.warmup;
    to.young = from.young;
    to.line = from.line;
    to.confirm = from.confirm;
    to.confirm_of = from.confirm_of;
    to.min_duration = from.min_duration;
    to.release = from.release;
    to.adapt = from.adapt;
    to.absent = from.absent;
    to.severity = from.severity;
    to.rules.clone_from(&from.rules);
    config.groups.by.clone_from(&new.groups.by);
    config.groups.max = new.groups.max;
    config.alerting = new.alerting.clone();
    config.history = new.history.clone();
    config
        .maintenance
        .windows
        .clone_from(&new.maintenance.windows);
    config
        .maintenance
        .alertmanager
        .clone_from(&new.maintenance.alertmanager);
    config.read = new.read.clone();
    let (to, from) = (&mut config.limits, &new.limits);
    to.series = from.series;
    to.memory = from.memory;
    to.body = from.body;
    to.body_raw = from.body_raw;
    to.labels_per_series = from.labels_per_series;
    to.label_name = from.label_name;
    to.label_value = from.label_value;
    to.writes_at_once = from.writes_at_once;
    to.queue_wait = from.queue_wait;
    to.header_wait = from.header_wait;
    to.request = from.request;
    to.score_lines = from.score_lines;
    config
}

/// Keys whose values differ, in the order of the file; a list is one key.
pub fn differences(a: &Config, b: &Config) -> Vec<String> {
    let json = |config| serde_json::to_value(config).unwrap_or_default();
    let mut found = Vec::new();
    compare("", &json(a), &json(b), &mut found);
    // Secrets are not shown, so what differs in them alone is named by its section.
    for (section, differs) in [
        ("history", a.history != b.history),
        ("outputs", a.outputs != b.outputs),
        (
            "maintenance.alertmanager",
            a.maintenance.alertmanager != b.maintenance.alertmanager,
        ),
    ] {
        if differs && !found.iter().any(|key| key.starts_with(section)) {
            found.push(section.to_owned());
        }
    }
    found
}

fn compare(path: &str, a: &Json, b: &Json, found: &mut Vec<String>) {
    match (a, b) {
        (Json::Object(a), Json::Object(b)) => {
            let mut keys: Vec<_> = a.keys().chain(b.keys()).collect();
            keys.sort();
            keys.dedup();
            for key in keys {
                let below = match path {
                    "" => key.clone(),
                    _ => format!("{path}.{key}"),
                };
                let null = &Json::Null;
                compare(
                    &below,
                    a.get(key).unwrap_or(null),
                    b.get(key).unwrap_or(null),
                    found,
                );
            }
        }
        _ if a != b => found.push(path.to_owned()),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::client::Secret;
    use crate::config::{Preset, RuleConfig, Severity, WindowConfig};

    /// Another value for every key that is live, and for some that are not.
    fn other() -> Config {
        let mut c = Config {
            presets: vec![Preset::Node],
            ..Config::default()
        };
        c.detect.warmup = 21;
        c.detect.young = 22;
        c.detect.line = 7.5;
        c.detect.confirm = 3;
        c.detect.release = 6;
        c.detect.adapt = Duration::from_secs(60);
        c.detect.confirm_of = 7;
        c.detect.min_duration = Duration::from_secs(30);
        c.maintenance.change_window = Duration::from_secs(61);
        c.maintenance.windows = vec![WindowConfig::default()];
        c.maintenance.alertmanager.client.basic_auth.password = Some(Secret::new("a"));
        c.detect.absent = Duration::from_secs(61);
        c.detect.severity.high = 0.96;
        c.detect.rules = vec![RuleConfig::default()];
        c.alerting.min_severity = Severity::High;
        c.read.series = 7;
        c.limits.series = 7;
        c.limits.memory = Some(bytesize::ByteSize::mib(20));
        c.limits.header_wait = Duration::from_secs(1);
        c.limits.body = bytesize::ByteSize::kib(64);
        c.limits.body_raw = bytesize::ByteSize::kib(65);
        c.limits.labels_per_series = 9;
        c.limits.label_name = 17;
        c.limits.label_value = 65;
        c.limits.writes_at_once = 2;
        c.limits.queue_wait = Duration::from_secs(1);
        c.limits.request = Duration::from_secs(2);
        c.limits.score_lines = 5;
        c.groups.by = vec!["zone".to_owned()];
        c.groups.max = 3;
        c.groups.joint_max = 3;
        c.detect.day = Duration::from_secs(3600);
        c.store.window = Duration::from_secs(3600);
        c.history.client.basic_auth.password = Some(Secret::new("a"));
        c
    }

    #[test]
    fn every_key_that_is_live_is_taken_and_no_other() {
        let (running, new) = (Config::default(), other());
        let changed = differences(&running, &new);
        for live in LIVE {
            let one = |key: &String| key.starts_with(live) && is_live(key);
            assert!(changed.iter().any(one), "{live}: {changed:?}");
        }
        let used = merged(&running, &new);
        let taken = differences(&running, &used);
        assert!(taken.iter().all(|key| is_live(key)), "{taken:?}");
        let left = differences(&used, &new);
        assert_eq!(
            left,
            [
                "detect.day",
                "groups.joint_max",
                "maintenance.change_window",
                "store.window"
            ]
        );
        assert!(left.iter().all(|key| !is_live(key)));
    }

    #[test]
    fn a_secret_that_changed_is_named_and_not_shown() {
        let (mut a, mut b) = (Config::default(), Config::default());
        a.history.client.basic_auth.password = Some(Secret::new("a"));
        b.history.client.basic_auth.password = Some(Secret::new("b"));
        assert_eq!(differences(&a, &b), ["history"]);
        let (mut a, mut b) = (Config::default(), Config::default());
        a.maintenance.alertmanager.client.basic_auth.password = Some(Secret::new("a"));
        b.maintenance.alertmanager.client.basic_auth.password = Some(Secret::new("b"));
        assert_eq!(differences(&a, &b), ["maintenance.alertmanager"]);
    }

    #[test]
    fn a_key_is_not_live_because_another_begins_like_it() {
        assert!(is_live("detect.rules[3].line") && is_live("read.series"));
        assert!(!is_live("detect.day") && !is_live("detect") && !is_live("reading"));
        assert!(!is_live("limits.body_total") && !is_live("limits.connections"));
    }
}
