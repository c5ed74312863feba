//! What a server says of itself: its external labels, the names of its metrics, its series.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde::Deserialize;

use super::error::{Remedy, SourceError};
use super::query_api::{escape, post, seconds};
use super::{Server, Source, json};
use crate::backfill::external::External;
use crate::backfill::span::Span;
use crate::series::labels;

#[derive(Debug, Deserialize)]
struct Status {
    yaml: String,
}

/// The part of a Prometheus configuration that is looked at.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    #[serde(default)]
    global: Global,
}

#[derive(Debug, Default, Deserialize)]
struct Global {
    #[serde(default)]
    external_labels: BTreeMap<String, String>,
}

/// The external labels that the server says it has; none if it does not say.
pub(super) async fn external_labels(server: &Server) -> Result<External, SourceError> {
    let path = "/api/v1/status/config";
    let answer = server.send(Method::GET, path, &[], Bytes::new()).await?;
    let status: Status = match json::data(answer).await {
        Ok(status) => status,
        Err(error)
            if matches!(error, SourceError::Status { .. }) && error.remedy() != Remedy::Nothing =>
        {
            return Err(error);
        }
        Err(SourceError::Client(error)) => return Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, "history: the server does not say its external labels");
            return Ok(External::default());
        }
    };
    Ok(parse(&status.yaml))
}

fn parse(yaml: &str) -> External {
    let read: Result<Configuration, _> = serde_saphyr::from_str(yaml);
    External::new(read.unwrap_or_default().global.external_labels)
}

impl Source {
    /// Names of the metrics that have series matching one of these selectors, sorted.
    ///
    /// # Errors
    /// If the server cannot be asked or does not say.
    pub async fn names(
        &self,
        selectors: &[String],
        span: Span,
    ) -> Result<Vec<String>, SourceError> {
        let mut path = format!(
            "/api/v1/label/__name__/values?start={}&end={}",
            seconds(span.start_ms),
            seconds(span.end_ms)
        );
        for selector in selectors {
            path.push_str("&match[]=");
            escape(&mut path, selector);
        }
        let path = path.replace("match[]", "match%5B%5D");
        let answer = self
            .server
            .send(Method::GET, &path, &[], Bytes::new())
            .await?;
        let mut names: Vec<String> = json::data(answer).await?;
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Canonical labels of the series that match one of these selectors, as they are sent by remote
    /// write: with the server's external labels.
    ///
    /// # Errors
    /// As [`Self::names`].
    pub async fn series(
        &self,
        selectors: &[String],
        span: Span,
    ) -> Result<Vec<Box<[u8]>>, SourceError> {
        let external = self.external().await?;
        let mut fields = vec![
            ("start", seconds(span.start_ms)),
            ("end", seconds(span.end_ms)),
        ];
        fields.extend(selectors.iter().map(|s| ("match[]", s.clone())));
        let found: Vec<BTreeMap<String, String>> =
            post(&self.server, "/api/v1/series", &fields).await?;
        let mut series: Vec<Box<[u8]>> = found
            .iter()
            .map(|of| labels::encode(of.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
            .map(|labels| external.with(&labels).into())
            .collect();
        series.sort();
        series.dedup();
        Ok(series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn external_labels_of_a_configuration() {
        let yaml = "global:\n  scrape_interval: 15s\n  external_labels:\n    cluster: eu\n    n: \"1\"\nscrape_configs: []\n";
        let external = parse(yaml);
        assert!(external.has("cluster", "eu") && external.has("n", "1"));
        for none in ["", "global: {}", "a: [", "global:\n  external_labels: 7\n"] {
            assert_eq!(parse(none), External::default(), "{none}");
        }
    }
}
