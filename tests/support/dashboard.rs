//! The queries of a Grafana dashboard, as Grafana would send them.

use saimon::rules::dashboard::Dashboard;
use serde_json::Value;

/// A query of a panel, or of a variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Query {
    /// Title of the panel, or `$name` of the variable.
    pub(crate) panel: String,
    /// The row of panels that it stands in.
    pub(crate) row: String,
    /// Variables replaced. That of a variable is the series whose label it asks for.
    pub(crate) expr: String,
    /// As the file has it.
    pub(crate) raw: String,
    pub(crate) is_variable: bool,
    /// What the panel calls its lines; `__auto`: their labels.
    pub(crate) legend: String,
}

impl Query {
    /// Its line in docs/dashboards.md.
    pub(crate) fn line(&self, rows: usize) -> String {
        let raw = self.raw.replace('|', "\\|");
        format!("| {} | `{raw}` | {rows} |\n", self.panel)
    }
}

/// What stands above the lines of a dashboard in docs/dashboards.md.
pub(crate) fn heading(dashboard: &Dashboard) -> String {
    format!(
        "\n### `{}`\n\n| panel | query | rows |\n| --- | --- | --- |\n",
        dashboard.uid
    )
}

/// Every query of every variable and panel. Variables are given without the dollar sign,
/// `__rate_interval` among them.
pub(crate) fn queries(dashboard: &Dashboard, vars: &[(&str, &str)]) -> Vec<Query> {
    let json: Value = serde_json::from_str(&dashboard.json).expect("the dashboard is no JSON");
    let mut queries = Vec::new();
    for variable in json["templating"]["list"].as_array().into_iter().flatten() {
        let Some(raw) = variable["query"]["query"].as_str() else {
            continue;
        };
        // label_values(series, label): what the label is taken from
        let series = raw
            .strip_prefix("label_values(")
            .and_then(|r| r.strip_suffix(')'))
            .and_then(|r| r.rsplit_once(", "))
            .unwrap_or_else(|| panic!("not label_values(series, label): {raw}"));
        queries.push(Query {
            panel: format!("${}", variable["name"].as_str().unwrap_or_default()),
            row: "variables".to_owned(),
            expr: format!("count by ({}) ({})", series.1, substituted(series.0, vars)),
            raw: raw.to_owned(),
            is_variable: true,
            legend: String::new(),
        });
    }
    let mut row = String::new();
    for panel in json["panels"].as_array().into_iter().flatten() {
        let title = panel["title"].as_str().unwrap_or_default();
        if panel["type"] == "row" {
            row = title.to_owned();
        }
        for target in panel["targets"].as_array().into_iter().flatten() {
            let raw = target["expr"].as_str().expect("a target without a query");
            queries.push(Query {
                panel: title.to_owned(),
                row: row.clone(),
                expr: substituted(raw, vars),
                raw: raw.to_owned(),
                is_variable: false,
                legend: target["legendFormat"]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned(),
            });
        }
    }
    queries
}

fn substituted(text: &str, vars: &[(&str, &str)]) -> String {
    // The longest first, so that `$job` does not take the beginning of `$job_name`.
    let mut vars = vars.to_vec();
    vars.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    vars.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("${{{name}}}"), value)
            .replace(&format!("${name}"), value)
    })
}
