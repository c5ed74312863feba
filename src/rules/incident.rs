//! `SaimonIncident`: anomalies that are one thing, one alert for each severity that alerts; and
//! `SaimonIncidentMember`, which says which series are in it.
//!
//! The latter is for Alertmanager alone ([`super::inhibit`]): it is silenced by the former, and
//! silences the alerts about its series. So these keep their labels when their series become part of
//! an incident, and no alert ends and begins again. Severity, origin and what is shared may change
//! while an incident lasts; they are looked up for the text and are no labels of the alert.

use std::collections::BTreeMap;

use super::alert::{Alert, Case, Keep, Look, hold, series};
use super::anomaly::{levels, text};
use super::format::{Annotations, literal, query_escaped};
use super::proof::{EXTERNAL_URL, STEP, steps};
use crate::config::{Config, Severity};

pub(super) const NAME: &str = "SaimonIncident";
pub(super) const MEMBER: &str = "SaimonIncidentMember";

/// The incident of all cases.
const ID: &str = "1700000000000-9f86d081884c7d65";

/// Whether there are such alerts.
pub(super) fn wanted(config: &Config) -> bool {
    config.alerting.incidents && !config.incidents.by.is_empty()
}

/// All alerts.
pub fn alerts(config: &Config) -> Vec<Alert> {
    if !wanted(config) {
        return Vec::new();
    }
    let (mut incidents, mut members) = of_both(config);
    incidents.append(&mut members);
    incidents
}

/// The alerts about incidents, and those about series in them, each of all severities that alert.
pub fn of_both(config: &Config) -> (Vec<Alert>, Vec<Alert>) {
    let levels = levels(&config.alerting);
    let mut incidents: Vec<_> = levels.iter().map(|s| incident(config, *s)).collect();
    let mut members: Vec<_> = levels.iter().map(|s| member(config, *s)).collect();
    // The rules of one name are proved together.
    if let Some(first) = incidents.first_mut() {
        first.cases = cases(config, &levels, |level, of| firing(config, level, of));
    }
    if let Some(first) = members.first_mut() {
        first.cases = cases(config, &levels, |level, _| member_firing(config, level));
    }
    (incidents, members)
}

fn upwards(severity: Severity) -> String {
    let graver = Severity::ALL.into_iter().filter(|s| *s >= severity);
    graver.map(Severity::as_str).collect::<Vec<_>>().join("|")
}

fn alert(config: &Config, name: &'static str, severity: Severity, by: &str, of: &str) -> Alert {
    let alerting = &config.alerting;
    let keep = Keep::of(alerting);
    let mut labels = alerting.labels.clone();
    labels.insert("severity".to_owned(), severity.as_str().to_owned());
    let selector = format!("{of}{{severity=~\"{}\"}}", upwards(severity));
    Alert {
        name,
        expr: format!("max {by} ({})", keep.selected(&selector)),
        hold: hold(&alerting.hold, severity),
        keep: keep.word(),
        labels,
        annotations: annotations(config),
        cases: Vec::new(),
    }
}

fn incident(config: &Config, severity: Severity) -> Alert {
    alert(config, NAME, severity, "by (incident)", "saimon_incident")
}

fn member(config: &Config, severity: Severity) -> Alert {
    let mut alert = alert(
        config,
        MEMBER,
        severity,
        "without (severity)",
        "saimon_incident_member",
    );
    // The same text as that of the alerts about the series, which have no such label.
    let series = text::SERIES.replace(
        "if ne $name \"source_metric\"",
        "if not (match \"^(source_metric|incident)$\" $name)",
    );
    alert.labels.insert("series".to_owned(), series);
    alert.annotations = Annotations {
        summary: "{{ $labels.source_metric }} is part of incident {{ $labels.incident }}"
            .to_owned(),
        description: "Silences the alerts about this series while the incident has one.".to_owned(),
        ..Annotations::default()
    };
    alert
}

fn annotations(config: &Config) -> Annotations {
    let of = |name: &str| format!("query (printf \"{name}{{incident=%q}}\" $labels.incident)");
    let (members, incident) = (of("saimon_incident_members"), of("saimon_incident"));
    let each = "query (printf \"sort_desc(topk(5, count by (source_metric) (saimon_incident_member{incident=%q})))\" $labels.incident)";
    Annotations {
        summary: format!(
            "{{{{- with {members} }}}}{{{{ with first . }}}}{{{{ .Value }}}} anomalies are one incident\
             {{{{- with .Labels.job }}}} of job {{{{ . }}}}{{{{ end }}}}\
             {{{{- with .Labels.instance }}}} on {{{{ . }}}}{{{{ end }}}}{{{{ end }}}}\
             {{{{- else }}}}several anomalies are one incident{{{{ end }}}}"
        ),
        description: format!(
            "{{{{- with {incident} }}}}{{{{ with first . }}}}Severity {{{{ .Labels.severity }}}}. It likely began with \
             {{{{ .Labels.source_metric }}}}.{{{{ end }}}}{{{{ end }}}}\
             {{{{- with {each} }}}} Series:{{{{ range . }}}} {{{{ .Labels.source_metric }}}} ({{{{ .Value }}}}).{{{{ end }}}}{{{{ end }}}} \
             More: /api/v1/incidents/{{{{ $labels.incident }}}} of saimon."
        ),
        graph: Some(
            "{{- $externalURL }}/graph?g0.expr={{ urlquery (printf \"saimon_incident_member{incident=%q}\" $labels.incident) }}&g0.tab=0&g0.range_input=3h"
                .to_owned(),
        ),
        dashboard: None,
        page: config.alerting.saimon_url.as_ref().map(|url| {
            format!(
                "{}/#/incidents/{{{{ $labels.incident }}}}",
                literal(&text::base(url))
            )
        }),
    }
}

/// In every severity one incident, a step before and at each hold; and one that is over.
fn cases(
    config: &Config,
    levels: &[Severity],
    firing: impl Fn(Severity, Severity) -> (BTreeMap<String, String>, Annotations),
) -> Vec<Case> {
    let holds = |level: Severity| hold(&config.alerting.hold, level);
    let longest = levels.iter().map(|l| steps(holds(*l))).max().unwrap_or(0);
    let mut cases: Vec<_> = Severity::ALL
        .into_iter()
        .map(|severity| {
            let mut times: Vec<_> = levels
                .iter()
                .map(|level| steps(holds(*level)))
                .flat_map(|n| [n.saturating_sub(1), n])
                .collect();
            times.sort_unstable();
            times.dedup();
            Case {
                name: format!("an incident of severity {}", severity.as_str()),
                series: input(severity, &format!("Vx{}", longest + 1)),
                looks: times
                    .into_iter()
                    .map(|n| Look {
                        at: STEP * n,
                        firing: levels
                            .iter()
                            .filter(|l| **l <= severity && STEP * n >= holds(**l))
                            .map(|l| firing(*l, severity))
                            .collect(),
                    })
                    .collect(),
            }
        })
        .collect();
    let kept = steps(Keep::of(&config.alerting).time());
    cases.push(Case {
        name: "an incident that is over".to_owned(),
        series: input(Severity::Critical, &format!("Vx{} stale", longest + 2)),
        looks: vec![Look {
            at: STEP * (longest + 4 + kept),
            firing: Vec::new(),
        }],
    });
    cases
}

fn input(severity: Severity, values: &str) -> Vec<super::format::InputSeries> {
    let of = |labels: String, value: &str| series(labels, values.replace('V', value));
    let severity = severity.as_str();
    let shared = "instance=\"web-1\",job=\"node\"";
    vec![
        of(
            format!(
                "saimon_incident{{incident=\"{ID}\",{shared},severity=\"{severity}\",source_metric=\"node_load1\"}}"
            ),
            "1",
        ),
        of(
            format!("saimon_incident_members{{incident=\"{ID}\",{shared}}}"),
            "12",
        ),
        of(
            format!(
                "saimon_incident_member{{{shared},source_metric=\"node_load1\",incident=\"{ID}\",severity=\"{severity}\"}}"
            ),
            "1",
        ),
    ]
}

fn firing(
    config: &Config,
    level: Severity,
    severity: Severity,
) -> (BTreeMap<String, String>, Annotations) {
    let mut labels = config.alerting.labels.clone();
    labels.insert("severity".to_owned(), level.as_str().to_owned());
    labels.insert("incident".to_owned(), ID.to_owned());
    let graph = format!("saimon_incident_member{{incident=\"{ID}\"}}");
    let annotations = Annotations {
        summary: "12 anomalies are one incident of job node on web-1".to_owned(),
        description: format!(
            "Severity {}. It likely began with node_load1. Series: node_load1 (1). More: \
             /api/v1/incidents/{ID} of saimon.",
            severity.as_str()
        ),
        graph: Some(format!(
            "{EXTERNAL_URL}/graph?g0.expr={}&g0.tab=0&g0.range_input=3h",
            query_escaped(&graph)
        )),
        dashboard: None,
        page: config
            .alerting
            .saimon_url
            .as_ref()
            .map(|url| format!("{}/#/incidents/{ID}", text::base(url))),
    };
    (labels, annotations)
}

fn member_firing(config: &Config, level: Severity) -> (BTreeMap<String, String>, Annotations) {
    let mut labels = config.alerting.labels.clone();
    let series = "node_load1{instance=\"web-1\", job=\"node\"}";
    for (name, value) in [
        ("severity", level.as_str()),
        ("incident", ID),
        ("instance", "web-1"),
        ("job", "node"),
        ("source_metric", "node_load1"),
        ("series", series),
    ] {
        labels.insert(name.to_owned(), value.to_owned());
    }
    let annotations = Annotations {
        summary: format!("node_load1 is part of incident {ID}"),
        description: "Silences the alerts about this series while the incident has one.".to_owned(),
        ..Annotations::default()
    };
    (labels, annotations)
}
