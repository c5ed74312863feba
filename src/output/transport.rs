//! One POST over HTTP, and nothing about what it means.
//!
//! [`Transport`] is all that a sender knows of the network, so that the client behind it can be
//! another one.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use crate::client::ClientError;
use crate::config::ClientConfig;
use crate::config::client::Address;

/// Bytes of an answer that are read; remote write answers are empty or one line.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Of these, bytes that are kept: what Prometheus reads.
const TEXT_BYTES_MAX: usize = 1024;
/// A receiver that cannot be reached is known as such long before a request is given up.
const CONNECT_WAIT: Duration = Duration::from_secs(10);

/// What a receiver answered.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// The beginning of its body.
    pub text: String,
}

/// Posts bodies to one receiver, over connections that stay open.
pub trait Transport: Send + Sync {
    /// Posts once. The error says in one line why there is no answer.
    fn post(
        &self,
        headers: HeaderMap,
        body: Bytes,
    ) -> impl Future<Output = Result<Answer, String>> + Send;

    /// Waits between two attempts.
    fn pause(&self, wait: Duration) -> impl Future<Output = ()> + Send {
        tokio::time::sleep(wait)
    }
}

/// The client that everything else is asked with: TLS, authentication and headers as configured.
#[derive(Debug, Clone)]
pub struct Configured {
    client: Arc<crate::client::Client>,
    /// What stands behind the client's address: it is that of the receiver itself.
    path: &'static str,
}

impl Configured {
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn new(address: &Address, config: &ClientConfig) -> Result<Self, ClientError> {
        let whole = address.parts().2;
        let ends_in_slash = whole.ends_with('/') || !whole.contains('/');
        Ok(Self {
            client: Arc::new(crate::client::Client::new(address, config)?),
            path: if ends_in_slash { "/" } else { "" },
        })
    }
}

impl Transport for Configured {
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        let sent = self.client.send(Method::POST, self.path, &headers, body);
        let answer = sent.await.map_err(|error| error.to_string())?;
        Ok(Answer {
            status: answer.status,
            headers: answer.headers.clone(),
            text: answer.error_text().await,
        })
    }
}

/// HTTP/1.1 without TLS, over one connection.
#[derive(Debug, Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
}

impl Http {
    /// `url` has the scheme http and a host; no connection is made yet.
    pub fn new(url: Uri) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_WAIT));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { client, url }
    }
}

impl Transport for Http {
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        let mut request = Request::post(self.url.clone())
            .body(Full::new(body))
            .map_err(|err| err.to_string())?;
        *request.headers_mut() = headers;
        let response = self.client.request(request).await.map_err(|err| {
            let mut said = err.to_string();
            let mut cause = std::error::Error::source(&err);
            while let Some(deeper) = cause {
                said = format!("{said}: {deeper}");
                cause = deeper.source();
            }
            said
        })?;
        let (head, body) = response.into_parts();
        // Read to the end, or the connection cannot be used again.
        let text = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        let text = text.map_err(|err| format!("answer could not be read: {err}"))?;
        let text = text.to_bytes();
        let text = &text[..text.len().min(TEXT_BYTES_MAX)];
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8_lossy(text).trim().to_owned(),
        })
    }
}
