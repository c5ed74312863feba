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

/// An alerting or a recording rule.
#[derive(Debug, Clone, Serialize)]
pub struct Rule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    pub expr: String,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub hold: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keep_firing_for: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotations: Option<Annotations>,
}

/// What a reader of an alert sees.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Annotations {
    pub summary: String,
    pub description: String,
    /// Page of Prometheus with the series and its score.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub graph: Option<String>,
    /// Page of Grafana.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dashboard: Option<String>,
    /// saimon's own page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page: Option<String>,
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
    /// Where Prometheus is in links.
    pub external_url: &'static str,
    pub input_series: Vec<InputSeries>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alert_rule_test: Vec<AlertTest>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub promql_expr_test: Vec<ExprTest>,
}

/// What a query gives at one time.
#[derive(Debug, Clone, Serialize)]
pub struct ExprTest {
    pub expr: String,
    pub eval_time: String,
    pub exp_samples: Vec<ExpectedSample>,
}

/// One row of it, in the notation of PromQL.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ExpectedSample {
    pub labels: String,
    pub value: f64,
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

/// A text in which Prometheus finds no template.
pub fn literal(text: &str) -> String {
    text.replace("{{", "{{ \"{{\" }}")
}

/// A text as Go's `urlquery` writes it.
pub fn query_escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}
