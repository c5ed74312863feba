//! The queries of a Grafana dashboard, as Grafana would send them.

use serde_json::Value;

/// Every query of every panel with the variables replaced: (title of the panel, expression).
/// Variables are given without the dollar sign, `__rate_interval` among them.
pub(crate) fn queries(json: &str, vars: &[(&str, &str)]) -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(json).expect("the dashboard is no JSON");
    let mut queries = Vec::new();
    for panel in dashboard["panels"].as_array().into_iter().flatten() {
        let title = substituted(panel["title"].as_str().unwrap_or_default(), vars);
        for target in panel["targets"].as_array().into_iter().flatten() {
            let expr = target["expr"].as_str().expect("a target without a query");
            queries.push((title.clone(), substituted(expr, vars)));
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
