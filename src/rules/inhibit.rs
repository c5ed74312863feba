//! What Alertmanager is told: which alert says all that another one says, and more.
//!
//! The file is complete, so that amtool can judge it; what a user takes from it are its
//! `inhibit_rules`. What always holds: an alert is never silenced by one of a lesser severity, and by
//! one of the same severity only if that is about an incident. An incident is as grave as the gravest
//! of its anomalies.

use serde::Serialize;

use super::{anomaly, group, incident};
use crate::config::{Config, Severity};

/// A configuration of Alertmanager, as far as it is written here.
#[derive(Debug, Clone, Serialize)]
pub struct Alertmanager {
    route: Route,
    receivers: Vec<Receiver>,
    inhibit_rules: Vec<Inhibition>,
}

#[derive(Debug, Clone, Serialize)]
struct Route {
    receiver: &'static str,
    group_by: [&'static str; 4],
    group_wait: &'static str,
    group_interval: &'static str,
    repeat_interval: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Receiver {
    name: &'static str,
}

#[derive(Debug, Clone, Serialize)]
struct Inhibition {
    source_matchers: Vec<String>,
    target_matchers: Vec<String>,
    equal: Vec<String>,
}

/// The configuration for the alerts of `config`.
pub fn alertmanager(config: &Config) -> Alertmanager {
    let levels = anomaly::levels(&config.alerting);
    let mut rules = Vec::new();
    for name in [anomaly::NAME, group::NAME] {
        if name == group::NAME && !with_groups(config) {
            continue;
        }
        for level in levels.iter().rev() {
            if let Some(lesser) = lesser(&levels, *level) {
                rules.push(Inhibition {
                    source_matchers: vec![named(name), of(*level)],
                    target_matchers: vec![named(name), lesser],
                    equal: vec!["series".to_owned()],
                });
            }
        }
    }
    if with_groups(config) {
        for names in group::kinds(config) {
            let by = format!("group_by = \"{}\"", names.join(","));
            for level in levels.iter().rev() {
                if let Some(lesser) = lesser(&levels, *level) {
                    rules.push(Inhibition {
                        source_matchers: vec![named(group::NAME), by.clone(), of(*level)],
                        target_matchers: vec![named(anomaly::NAME), lesser],
                        equal: names.clone(),
                    });
                }
            }
        }
    }
    if incident::wanted(config) {
        rules.extend(of_incidents(config, &levels));
    }
    // Without saimon there are no scores, and nothing arrives.
    rules.push(Inhibition {
        source_matchers: vec![named("SaimonDown")],
        target_matchers: vec!["alertname =~ \"SaimonScoresMissing|SaimonNoData\"".to_owned()],
        equal: vec!["job".to_owned()],
    });
    Alertmanager {
        route: Route {
            receiver: "team",
            group_by: ["alertname", "job", "severity", "incident"],
            group_wait: "10s",
            group_interval: "1m",
            repeat_interval: "4h",
        },
        receivers: vec![Receiver { name: "team" }],
        inhibit_rules: rules,
    }
}

/// An incident silences its own lesser alerts and those that say which series are in it; these silence
/// what is said of the series, and of groups that have one of them.
fn of_incidents(config: &Config, levels: &[Severity]) -> Vec<Inhibition> {
    let mut rules = Vec::new();
    let incident = || vec!["incident".to_owned()];
    for level in levels.iter().rev() {
        if let Some(lesser) = lesser(levels, *level) {
            rules.push(Inhibition {
                source_matchers: vec![named(incident::NAME), of(*level)],
                target_matchers: vec![named(incident::NAME), lesser],
                equal: incident(),
            });
        }
    }
    rules.push(Inhibition {
        source_matchers: vec![named(incident::NAME)],
        target_matchers: vec![named(incident::MEMBER)],
        equal: incident(),
    });
    for level in levels.iter().rev() {
        let upto = levels.iter().filter(|l| *l <= level).map(|l| l.as_str());
        let upto = upto.collect::<Vec<_>>().join("|");
        let upto = format!("severity =~ \"{upto}\"");
        let member = || vec![named(incident::MEMBER), of(*level)];
        rules.push(Inhibition {
            source_matchers: member(),
            target_matchers: vec![named(anomaly::NAME), upto.clone()],
            equal: vec!["series".to_owned()],
        });
        for names in group::kinds(config)
            .into_iter()
            .filter(|_| with_groups(config))
        {
            let by = format!("group_by = \"{}\"", names.join(","));
            rules.push(Inhibition {
                source_matchers: member(),
                target_matchers: vec![named(group::NAME), by, upto.clone()],
                equal: names,
            });
        }
    }
    rules
}

fn with_groups(config: &Config) -> bool {
    config.alerting.groups && !config.groups.by.is_empty()
}

fn named(name: &str) -> String {
    format!("alertname = {name}")
}

fn of(level: Severity) -> String {
    format!("severity = {}", level.as_str())
}

/// A matcher for the severities that alert and are less grave.
fn lesser(levels: &[Severity], level: Severity) -> Option<String> {
    let lesser: Vec<_> = levels
        .iter()
        .filter(|l| **l < level)
        .map(|l| l.as_str())
        .collect();
    (!lesser.is_empty()).then(|| format!("severity =~ \"{}\"", lesser.join("|")))
}
