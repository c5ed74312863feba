//! `SaimonGroupAnomaly`: a job or an instance as a whole, for each kind of group and each severity.
//!
//! The score of a group has no rarity of its own and no onset, so it alerts only while at least one of
//! its series has an active anomaly that would alert, which has both, and after a minute at least. As
//! with series, a rule of a severity also holds
//! for graver scores, and Alertmanager silences the lesser alert ([`super::inhibit`]).

use std::collections::BTreeMap;
use std::time::Duration;

use super::alert::{Alert, Case, Keep, Look, hold, series};
use super::anomaly::{levels, text::base};
use super::format::{Annotations, InputSeries, literal, query_escaped, quoted};
use super::proof::{EXTERNAL_URL, STEP, steps};
use crate::config::{Config, Severity, SeverityConfig};

pub(super) const NAME: &str = "SaimonGroupAnomaly";

/// Shorter holds are this: a score of one moment is no trouble of a group yet.
const HOLD_MIN: Duration = Duration::from_secs(60);

/// From here on the lowest severity: the line.
const LINE: f64 = 0.7;

/// The labels of each kind of group.
pub(super) fn kinds(config: &Config) -> Vec<Vec<String>> {
    let names = |by: &String| by.split(',').map(|n| n.trim().to_owned()).collect();
    config.groups.by.iter().map(names).collect()
}

/// The alerts of all kinds and severities that alert.
pub fn alerts(config: &Config) -> Vec<Alert> {
    if !config.alerting.groups {
        return Vec::new();
    }
    let levels = levels(&config.alerting);
    let mut alerts = Vec::new();
    for names in kinds(config) {
        let kind = Kind { config, names };
        let mut of_kind: Vec<_> = levels.iter().map(|s| kind.alert(*s)).collect();
        if let Some(first) = of_kind.first_mut() {
            first.cases = kind.cases(&levels);
        }
        alerts.append(&mut of_kind);
    }
    alerts
}

/// The score from which on a severity begins.
fn begins(config: &SeverityConfig, severity: Severity) -> f64 {
    match severity {
        Severity::Low => LINE,
        Severity::Medium => config.medium,
        Severity::High => config.high,
        Severity::Critical => config.critical,
    }
}

/// An anomaly of a member that alerts whatever the configuration says.
const GRAVE: &str = "state=\"active\",severity=\"critical\"";

struct Kind<'a> {
    config: &'a Config,
    /// By which labels series are grouped.
    names: Vec<String>,
}

impl Kind<'_> {
    fn by(&self) -> String {
        self.names.join(",")
    }

    fn alert(&self, severity: Severity) -> Alert {
        let alerting = &self.config.alerting;
        let keep = Keep::of(alerting);
        let by = self.by();
        let score = keep.selected(&format!("saimon_group_score{{group_by=\"{by}\"}}"));
        let alerting_too = levels(alerting)
            .iter()
            .map(|s| s.as_str())
            .collect::<Vec<_>>();
        let anomaly = keep.selected(&format!(
            "saimon_anomaly{{state=\"active\",severity=~\"{}\"}}",
            alerting_too.join("|")
        ));
        let from = begins(&self.config.detect.severity, severity);
        let mut labels = alerting.labels.clone();
        labels.insert("severity".to_owned(), severity.as_str().to_owned());
        labels.insert("series".to_owned(), self.series());
        Alert {
            name: NAME,
            expr: format!("{score} >= {from} and on ({by}) {anomaly}"),
            hold: self.hold(severity),
            keep: keep.word(),
            labels,
            annotations: self.annotations(),
            cases: Vec::new(),
        }
    }

    fn hold(&self, severity: Severity) -> Duration {
        hold(&self.config.alerting.hold, severity).max(HOLD_MIN)
    }

    /// `{group_by="job", job="..."}` as a template.
    fn series(&self) -> String {
        let mut text = format!("{{{{ \"{{\" }}}}group_by=\"{}\"", self.by());
        for name in &self.names {
            text.push_str(&format!(", {name}={{{{ printf \"%q\" $labels.{name} }}}}"));
        }
        text + "{{ \"}\" }}"
    }

    /// Puts matchers for its series into `$members`.
    fn members(&self) -> String {
        let values: Vec<_> = self.names.iter().map(|n| format!("$labels.{n}")).collect();
        format!(
            "{{{{- $members := printf \"{}\" {} }}}}",
            self.names
                .iter()
                .map(|n| format!("{n}=%q"))
                .collect::<Vec<_>>()
                .join(","),
            values.join(" ")
        )
    }

    fn annotations(&self) -> Annotations {
        let members = self.members();
        let whom: Vec<_> = self
            .names
            .iter()
            .map(|n| format!("{n} {{{{ $labels.{n} }}}}"))
            .collect();
        let by = self.by();
        Annotations {
            summary: format!("{} as a whole is not as it usually is", whom.join(", ")),
            description: format!(
                r#"{members}The score of the group is {{{{ printf "%.2f" $value }}}}; 0.7 is the edge of what is normal for it.
{{{{- with query (printf "saimon_group_anomaly_ratio{{group_by=\"{by}\",%s}}" $members) }}}} {{{{ humanizePercentage (first .).Value }}}} of its series have an anomaly.
{{{{- end }}}}
{{{{- with query (printf "sort_desc(topk(3, saimon_anomaly_score{{%s}}))" $members) }}}} Highest scores:
  {{{{- range . }}}} {{{{ .Labels.source_metric }}}} {{{{ printf "%.2f" .Value }}}}.
  {{{{- end }}}}
{{{{- end }}}}"#
            ),
            graph: Some(format!(
                r#"{members}{{{{ $externalURL }}}}/graph?g0.expr={{{{ urlquery (printf "saimon_group_score{{group_by=\"{by}\",%s}}" $members) }}}}&g0.tab=0&g0.range_input=3h&g1.expr={{{{ urlquery (printf "topk(10, saimon_anomaly_score{{%s}})" $members) }}}}&g1.tab=0&g1.range_input=3h"#
            )),
            dashboard: self.config.alerting.grafana_url.as_ref().map(|url| {
                format!(
                    "{members}{}/d/saimon-groups?var-by={}&var-labels={{{{ urlquery $members }}}}&from=now-3h&to=now",
                    literal(&base(url)),
                    query_escaped(&by)
                )
            }),
            page: self.config.alerting.saimon_url.as_ref().map(|url| {
                format!(
                    "{members}{}/#/?q={{{{ urlquery $members }}}}",
                    literal(&base(url))
                )
            }),
        }
    }

    fn cases(&self, levels: &[Severity]) -> Vec<Case> {
        let mut cases: Vec<_> = Severity::ALL
            .into_iter()
            .map(|s| self.reaches(levels, s))
            .collect();
        cases.push(self.nobody("state=\"pending\",severity=\"critical\""));
        if !levels.contains(&Severity::Low) {
            cases.push(self.nobody("state=\"active\",severity=\"low\""));
        }
        cases.push(self.ended(levels));
        cases
    }

    /// The value of a label of the group in all cases.
    fn value(name: &str) -> String {
        format!("the \"{name}\"")
    }

    fn matchers(&self) -> String {
        let pairs: Vec<_> = self
            .names
            .iter()
            .map(|n| format!("{n}={}", quoted(&Self::value(n))))
            .collect();
        pairs.join(",")
    }

    fn inputs(&self, score: f64, anomaly: &str, values: &str, look: u32) -> Vec<InputSeries> {
        let (by, matchers) = (self.by(), self.matchers());
        let of = |name: &str, value: f64| {
            series(
                format!("{name}{{group_by=\"{by}\",{matchers}}}"),
                values.replace('V', &value.to_string()),
            )
        };
        vec![
            of("saimon_group_score", score),
            of("saimon_group_anomaly_ratio", 0.25),
            series(
                format!("saimon_anomaly{{{matchers},source_metric=\"b\",{anomaly}}}"),
                values.replace('V', "1"),
            ),
            series(
                format!("saimon_anomaly_score{{{matchers},source_metric=\"a\"}}"),
                format!("0.25x{look}"),
            ),
            series(
                format!("saimon_anomaly_score{{{matchers},source_metric=\"b\"}}"),
                format!("0.97x{look}"),
            ),
        ]
    }

    /// In every severity's range one score, when all have held.
    fn reaches(&self, levels: &[Severity], severity: Severity) -> Case {
        let score = begins(&self.config.detect.severity, severity);
        let at = self.longest(levels) + 1;
        Case {
            name: format!("{}, a score of severity {}", self.by(), severity.as_str()),
            series: self.inputs(score, GRAVE, &format!("Vx{at}"), at),
            looks: vec![Look {
                at: STEP * at,
                firing: levels
                    .iter()
                    .filter(|level| **level <= severity)
                    .map(|level| self.firing(*level, score))
                    .collect(),
            }],
        }
    }

    /// A high score, and no anomaly of its series that would alert.
    fn nobody(&self, anomaly: &str) -> Case {
        Case {
            name: format!("{}, a score without an anomaly: {anomaly}", self.by()),
            series: self.inputs(0.999, anomaly, "Vx40", 40),
            looks: vec![Look {
                at: STEP * 40,
                firing: Vec::new(),
            }],
        }
    }

    fn ended(&self, levels: &[Severity]) -> Case {
        let end = self.longest(levels) + 2;
        let kept = steps(Keep::of(&self.config.alerting).time());
        Case {
            name: format!("{}, a group that is well again", self.by()),
            series: self.inputs(0.999, GRAVE, &format!("Vx{end} stale"), end),
            looks: vec![Look {
                at: STEP * (end + 2 + kept),
                firing: Vec::new(),
            }],
        }
    }

    fn longest(&self, levels: &[Severity]) -> u32 {
        let longest = levels
            .iter()
            .map(|l| self.hold(*l))
            .max()
            .unwrap_or(Duration::ZERO);
        steps(longest)
    }

    fn firing(&self, level: Severity, score: f64) -> (BTreeMap<String, String>, Annotations) {
        let by = self.by();
        let matchers = self.matchers();
        let mut labels = self.config.alerting.labels.clone();
        labels.insert("severity".to_owned(), level.as_str().to_owned());
        labels.insert("group_by".to_owned(), by.clone());
        let mut series = format!("{{group_by=\"{by}\"");
        let mut whom = Vec::new();
        for name in &self.names {
            let value = Self::value(name);
            series.push_str(&format!(", {name}={}", quoted(&value)));
            whom.push(format!("{name} {value}"));
            labels.insert(name.clone(), value);
        }
        labels.insert("series".to_owned(), series + "}");
        let group = format!("saimon_group_score{{group_by=\"{by}\",{matchers}}}");
        let members = format!("topk(10, saimon_anomaly_score{{{matchers}}})");
        let annotations = Annotations {
            summary: format!("{} as a whole is not as it usually is", whom.join(", ")),
            description: format!(
                "The score of the group is {score:.2}; 0.7 is the edge of what is normal for it. 25% of \
                 its series have an anomaly. Highest scores: b 0.97. a 0.25."
            ),
            graph: Some(format!(
                "{EXTERNAL_URL}/graph?g0.expr={}&g0.tab=0&g0.range_input=3h&g1.expr={}&g1.tab=0&g1.range_input=3h",
                query_escaped(&group),
                query_escaped(&members)
            )),
            dashboard: self.config.alerting.grafana_url.as_ref().map(|url| {
                format!(
                    "{}/d/saimon-groups?var-by={}&var-labels={}&from=now-3h&to=now",
                    base(url),
                    query_escaped(&by),
                    query_escaped(&matchers)
                )
            }),
            page: self
                .config
                .alerting
                .saimon_url
                .as_ref()
                .map(|url| format!("{}/#/?q={}", base(url), query_escaped(&matchers))),
        };
        (labels, annotations)
    }
}
