//! Reads what the processes of a stack say: metric pages, queries, alerts, the truth.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::http;

/// Label names and values, `__name__` left out unless said otherwise.
pub(crate) type Labels = BTreeMap<String, String>;

/// One line of a metric page.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) labels: Labels,
    pub(crate) value: f64,
}

/// All samples of a page in the text format.
pub(crate) fn samples(page: &str) -> Result<Vec<Sample>> {
    page.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| sample(line).with_context(|| format!("not a sample: {line}")))
        .collect()
}

fn sample(line: &str) -> Option<Sample> {
    let at = line.find(['{', ' '])?;
    let (name, rest) = line.split_at(at);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Labels::new(), rest),
    };
    Some(Sample {
        name: name.to_owned(),
        labels,
        value: rest.split_whitespace().next()?.parse().ok()?,
    })
}

/// Up to the closing brace, and what follows it.
fn labels(mut rest: &str) -> Option<(Labels, &str)> {
    let mut out = Labels::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((out, rest));
        }
        let (name, after) = rest.split_once("=\"")?;
        let mut value = String::new();
        let mut chars = after.char_indices();
        let end = loop {
            match chars.next()? {
                (i, '"') => break i + 1,
                (_, '\\') => value.push(match chars.next()?.1 {
                    'n' => '\n',
                    c => c,
                }),
                (_, c) => value.push(c),
            }
        };
        out.insert(name.to_owned(), value);
        rest = &after[end..];
    }
}

/// The result of an instant query, as `__name__` and all: labels and value of each row.
pub(crate) fn query(prometheus: u16, expr: &str) -> Result<Vec<(Labels, f64)>> {
    ask(prometheus, expr, "")
}

/// The same at a time, in seconds.
pub(crate) fn query_at(prometheus: u16, expr: &str, at: f64) -> Result<Vec<(Labels, f64)>> {
    ask(prometheus, expr, &format!("&time={at:.3}"))
}

fn ask(prometheus: u16, expr: &str, more: &str) -> Result<Vec<(Labels, f64)>> {
    let answer = http::get(
        prometheus,
        &format!("/api/v1/query?query={}{more}", http::encode(expr)),
    )?;
    let json: Value = serde_json::from_str(&answer.body)
        .with_context(|| format!("prometheus answered {} to {expr}", answer.status))?;
    if json["status"] != "success" {
        bail!("prometheus refused the query {expr}: {}", json["error"]);
    }
    let result = &json["data"]["result"];
    if json["data"]["resultType"] == "scalar" {
        return Ok(vec![(Labels::new(), value(&result[1])?)]);
    }
    result
        .as_array()
        .context("a query result without rows")?
        .iter()
        .map(|row| Ok((strings(&row["metric"]), value(&row["value"][1])?)))
        .collect()
}

fn value(json: &Value) -> Result<f64> {
    let text = json.as_str().context("a value that is no string")?;
    text.parse()
        .with_context(|| format!("a value that is no number: {text}"))
}

fn strings(json: &Value) -> Labels {
    json.as_object()
        .into_iter()
        .flatten()
        .map(|(k, v)| {
            let text = v.as_str().map_or_else(|| v.to_string(), str::to_owned);
            (k.clone(), text)
        })
        .collect()
}

/// An alert in Alertmanager.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    pub(crate) labels: Labels,
    pub(crate) annotations: Labels,
}

/// Every alert that Alertmanager holds and that has not ended.
pub(crate) fn alerts(alertmanager: u16) -> Result<Vec<Alert>> {
    let json: Value = serde_json::from_str(&http::page(alertmanager, "/api/v2/alerts")?)?;
    Ok(json
        .as_array()
        .context("a list of alerts was expected")?
        .iter()
        .map(|alert| Alert {
            labels: strings(&alert["labels"]),
            annotations: strings(&alert["annotations"]),
        })
        .collect())
}

/// `name{a="b"}`, without the labels that `without` names.
pub(crate) fn display(name: &str, labels: &Labels, without: &[&str]) -> String {
    let shown: Vec<String> = labels
        .iter()
        .filter(|(k, _)| !without.contains(&k.as_str()))
        .map(|(k, v)| format!("{k}={v:?}"))
        .collect();
    if shown.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", shown.join(","))
    }
}
