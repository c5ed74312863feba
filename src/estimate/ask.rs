//! What a Prometheus says of its series.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Method;
use http::header::{self, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::client::Client;

/// Bytes of an answer: they are short lists.
const ANSWER_MAX: usize = 16 << 20;

/// What was found out.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(super) struct Answers {
    pub series: f64,
    /// Series that are kept without a model.
    pub windows: f64,
    pub histograms: f64,
    /// `None` if the server does not scrape itself.
    pub samples_per_second: Option<f64>,
    pub created_per_hour: Option<f64>,
    /// Most series first.
    pub metrics: Vec<Count>,
    /// Most values first.
    pub labels: Vec<Count>,
}

/// A name and how many there are of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Count {
    pub name: String,
    pub value: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    head_stats: HeadStats,
    #[serde(default)]
    series_count_by_metric_name: Vec<Count>,
    #[serde(default)]
    label_value_count_by_label_name: Vec<Count>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
}

/// Those that are kept without a model, as [`crate::series::kind::never_modelled`] has them.
const WINDOWS: &str =
    "count({__name__=~\".*(_bucket|_info|_created|_timestamp_seconds)|ALERTS.*|scrape_.*\"})";
/// Every classic histogram has exactly one.
const HISTOGRAMS: &str = "count({__name__=~\".+_bucket\",le=\"+Inf\"})";
const SAMPLES: &str = "sum(rate(prometheus_tsdb_head_samples_appended_total[10m]))";
const CREATED: &str = "sum(rate(prometheus_tsdb_head_series_created_total[1h])) * 3600";

/// Asks for all of it.
///
/// # Errors
/// If there is no answer, or it is not one of Prometheus' API.
pub(super) async fn ask(client: &Client) -> anyhow::Result<Answers> {
    let status = get(client, "/api/v1/status/tsdb").await?;
    let status: Status = serde_json::from_value(status)
        .with_context(|| client.shown("/api/v1/status/tsdb"))
        .context("the answer is not the status of a Prometheus")?;
    let number = async |query: &str| query_number(client, query).await;
    Ok(Answers {
        series: status.head_stats.num_series as f64,
        windows: number(WINDOWS).await?.unwrap_or(0.0),
        histograms: number(HISTOGRAMS).await?.unwrap_or(0.0),
        samples_per_second: number(SAMPLES).await?.filter(|n| *n > 0.0),
        created_per_hour: number(CREATED).await?,
        metrics: status.series_count_by_metric_name,
        labels: status.label_value_count_by_label_name,
    })
}

/// The one value of a query; `None` if it has none.
async fn query_number(client: &Client, query: &str) -> anyhow::Result<Option<f64>> {
    let encoded: String = query
        .bytes()
        .map(|b| match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' => char::from(b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    let data = get(client, &format!("/api/v1/query?query={encoded}")).await?;
    let value = data["result"][0]["value"][1].as_str();
    Ok(value
        .and_then(|v| v.parse::<f64>().ok())
        .filter(|v| v.is_finite()))
}

/// The `data` of an answer.
async fn get(client: &Client, path: &str) -> anyhow::Result<Value> {
    let headers = [(header::ACCEPT, HeaderValue::from_static("application/json"))];
    let answer = client
        .send(Method::GET, path, &headers, Bytes::new())
        .await?;
    let url = client.shown(path.split('?').next().unwrap_or_default());
    if !answer.status.is_success() {
        let status = answer.status;
        bail!("{url} answered {status}: {}", answer.error_text().await);
    }
    let body = answer.body.all(ANSWER_MAX).await?;
    let mut answer: Value = serde_json::from_slice(&body)
        .with_context(|| format!("the answer of {url} is no JSON: is it a Prometheus"))?;
    if answer["status"] != "success" {
        bail!("{url} answered {}", answer["error"]);
    }
    Ok(answer["data"].take())
}
