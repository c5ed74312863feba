//! The files of Prometheus and promtool, as far as they are written here.

use std::collections::BTreeMap;

use serde::Serialize;

/// A rule file.
#[derive(Debug, Clone, Serialize)]
pub struct RulesFile {
    pub groups: Vec<Group>,
}

/// A rule file as an object of the Prometheus operator.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PrometheusRule {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: RulesFile,
}

#[derive(Debug, Clone, Serialize)]
struct Metadata {
    name: String,
    labels: BTreeMap<&'static str, String>,
}

impl PrometheusRule {
    /// With this name, and labelled as the object of this application.
    pub fn new(name: &str, spec: RulesFile) -> Self {
        Self {
            api_version: "monitoring.coreos.com/v1",
            kind: "PrometheusRule",
            metadata: Metadata {
                name: name.to_owned(),
                labels: BTreeMap::from([("app.kubernetes.io/name", name.to_owned())]),
            },
            spec,
        }
    }
}

/// Rules that are evaluated together.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    pub name: String,
    pub rules: Vec<Rule>,
}

/// An alerting rule.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    pub alert: String,
    pub expr: String,
    #[serde(rename = "for")]
    pub hold: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<String>,
    pub labels: BTreeMap<String, String>,
    pub annotations: Annotations,
}

/// What a reader of an alert sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Annotations {
    pub summary: String,
    pub description: String,
}

/// A file for `promtool test rules`.
#[derive(Debug, Clone, Serialize)]
pub struct TestsFile {
    pub rule_files: Vec<String>,
    pub evaluation_interval: String,
    pub tests: Vec<Test>,
}

/// Series and what they raise.
#[derive(Debug, Clone, Serialize)]
pub struct Test {
    pub name: String,
    pub interval: String,
    pub input_series: Vec<InputSeries>,
    pub alert_rule_test: Vec<AlertTest>,
}

/// A series in promtool's notation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputSeries {
    pub series: String,
    pub values: String,
}

/// All firing alerts of one name at one time.
#[derive(Debug, Clone, Serialize)]
pub struct AlertTest {
    pub eval_time: String,
    pub alertname: String,
    pub exp_alerts: Vec<ExpectedAlert>,
}

/// A firing alert.
#[derive(Debug, Clone, Serialize)]
pub struct ExpectedAlert {
    pub exp_labels: BTreeMap<String, String>,
    pub exp_annotations: Annotations,
}

/// A file as text, below a line of comment.
pub fn text(comment: &str, file: &impl Serialize) -> String {
    let options = serde_saphyr::ser_options! {
        compact_list_indent: false,
        folded_wrap_chars: 96,
    };
    let body = serde_saphyr::to_string_with_options(file, options)
        .expect("BUG: rules of plain text and lists cannot be written");
    format!("# {comment}\n{body}")
}

/// A text as PromQL and Prometheus' templates quote it.
pub fn quoted(text: &str) -> String {
    format!(
        "\"{}\"",
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    )
}
