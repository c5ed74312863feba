//! An HTTP client for what saimon asks of others: authentication, TLS, headers and timeouts as
//! Prometheus' client configuration has them.
//!
//! What always holds: files with secrets and certificates are read again for every request, so a
//! rotated one is used at once; no error and no log line has a secret or the user of an address in
//! it; no answer is read beyond a bound, and none for longer than the configured time. It does not
//! repeat requests, follow redirects or use a proxy, and it speaks HTTP/1.1.

mod address;
mod auth;
mod body;
mod tls;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;

use crate::config::ClientConfig;
use crate::config::client::Address;
use address::Base;
pub use body::Body;

const USER_AGENT: &str = concat!("saimon/", env!("CARGO_PKG_VERSION"));
/// A server that cannot be reached is known as such long before a request times out.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// Idle connections to the one server; more than run at once is of no use.
const IDLE_MAX: usize = 8;
const IDLE_WAIT: Duration = Duration::from_secs(60);
/// Bytes of an error's text that are read and shown.
const ERROR_TEXT_MAX: usize = 1024;
/// A file with a secret, a key or certificates; a bundle of every public authority has 300 KiB.
const FILE_MAX: u64 = 4 << 20;

/// Why there is no answer. Addresses are shown without their user.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("cannot ask {url}: {what}")]
    Config { url: String, what: String },
    #[error("cannot ask {url}: {} cannot be read: {source}", path.display())]
    File {
        url: String,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("cannot ask {url}: {what}")]
    Tls { url: String, what: String },
    #[error("no answer from {url}: {what}")]
    Exchange { url: String, what: String },
    #[error("{url} did not answer within {after:?}: raise remote_timeout or ask for less")]
    Late { url: String, after: Duration },
    #[error("the answer of {url} broke off: {what}")]
    Broken { url: String, what: String },
    #[error("the answer of {url} has more than {max} bytes")]
    TooLarge { url: String, max: usize },
}

/// One server, and how it is asked. Cheap to share behind an `Arc`.
pub struct Client {
    base: Base,
    config: ClientConfig,
    /// The configured headers and the user agent.
    headers: HeaderMap,
    /// Of the newest TLS files, and what those were.
    pool: Mutex<Option<(tls::Files, HttpPool)>>,
}

type HttpPool = Pool<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// What a server answered; its body is still to be read.
#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Body,
}

impl Client {
    /// A client for what is below `address`. Nothing is asked yet, no file is read.
    ///
    /// # Errors
    /// If the configuration contradicts itself.
    pub fn new(address: &Address, config: &ClientConfig) -> Result<Self, ClientError> {
        let base = Base::new(address)?;
        if let Some((key, message)) = config.mistakes(Some(address)).into_iter().next() {
            return Err(ClientError::Config {
                url: base.shown(""),
                what: format!("{key} {message}"),
            });
        }
        let mut headers = HeaderMap::new();
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        for (name, value) in &config.headers {
            let named = HeaderName::from_bytes(name.as_bytes());
            let valued = HeaderValue::from_str(value.reveal());
            let (Ok(named), Ok(mut valued)) = (named, valued) else {
                return Err(ClientError::Config {
                    url: base.shown(""),
                    what: format!("headers.{name} cannot be sent as a header"),
                });
            };
            valued.set_sensitive(true);
            headers.insert(named, valued);
        }
        Ok(Self {
            base,
            config: config.clone(),
            headers,
            pool: Mutex::new(None),
        })
    }

    /// The address of a path, as it may be shown.
    pub fn shown(&self, path: &str) -> String {
        self.base.shown(path)
    }

    /// Asks once. `path` begins with a slash and may have a query.
    ///
    /// # Errors
    /// If there is no answer; one that says no is an answer.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        // The query can be long and holds nothing that a reader of an error needs.
        let url = self.shown(path.split('?').next().unwrap_or_default());
        let after = self.config.remote_timeout;
        let deadline = Instant::now() + after;
        let mut request = Request::builder()
            .method(method)
            .uri(self.base.uri(path)?)
            .body(Full::new(body))
            .map_err(|e| ClientError::Config {
                url: url.clone(),
                what: e.to_string(),
            })?;
        request.headers_mut().extend(self.headers.clone());
        if let Some(value) = auth::header(&self.config, self.base.user(), &url).await? {
            request.headers_mut().insert(header::AUTHORIZATION, value);
        }
        for (name, value) in headers {
            request.headers_mut().insert(name, value.clone());
        }
        let pool = self.pool(&url).await?;
        let response = match tokio::time::timeout_at(deadline, pool.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(e)) => {
                return Err(ClientError::Exchange {
                    url,
                    what: causes(&e),
                });
            }
            Err(_) => return Err(ClientError::Late { url, after }),
        };
        let (head, incoming) = response.into_parts();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body: Body::new(incoming, url, deadline, after),
        })
    }

    /// The connections for the TLS files as they are now.
    async fn pool(&self, url: &str) -> Result<HttpPool, ClientError> {
        let files = if self.base.is_https() {
            tls::Files::read(&self.config.tls_config, url).await?
        } else {
            tls::Files::default()
        };
        if let Ok(kept) = self.pool.lock()
            && let Some((of, pool)) = &*kept
            && *of == files
        {
            return Ok(pool.clone());
        }
        let connector = tls::connector(&self.config.tls_config, &files, self.base.is_https(), url)?;
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_WAIT)
            .pool_max_idle_per_host(IDLE_MAX)
            .build(connector);
        if let Ok(mut kept) = self.pool.lock() {
            *kept = Some((files, pool.clone()));
        }
        Ok(pool)
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("base", &self.base.shown(""))
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The value of a header, if it is plain text.
    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The text of an answer that says no, in one line. It is taken as it is, whatever its
    /// `Content-Encoding` claims: Prometheus calls plain text snappy (protocol.md, section 8).
    pub async fn error_text(mut self) -> String {
        let mut text = Vec::new();
        while text.len() < ERROR_TEXT_MAX
            && let Ok(Some(some)) = self.body.chunk().await
        {
            text.extend_from_slice(&some);
        }
        text.truncate(ERROR_TEXT_MAX);
        let text = String::from_utf8_lossy(&text);
        let words: Vec<_> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|w| !w.is_empty())
            .collect();
        words.join(" ")
    }

    /// How long the server asks to be left alone; dates are not understood.
    pub fn retry_after(&self) -> Option<Duration> {
        let seconds = self.header(header::RETRY_AFTER)?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    }
}

/// An error with all of its causes, which are what says anything.
pub(crate) fn causes(error: &dyn std::error::Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !said.contains(&more) {
            said = format!("{said}: {more}");
        }
        cause = deeper.source();
    }
    said
}

/// The content of a file that a request needs.
async fn file(path: &std::path::Path, url: &str) -> Result<Arc<[u8]>, ClientError> {
    let failed = |source| ClientError::File {
        url: url.to_owned(),
        path: path.to_owned(),
        source,
    };
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut bytes = Vec::new();
        std::fs::File::open(owned)?
            .take(FILE_MAX + 1)
            .read_to_end(&mut bytes)?;
        if bytes.len() as u64 > FILE_MAX {
            return Err(std::io::Error::other("it is larger than 4 MiB"));
        }
        Ok(bytes)
    })
    .await;
    match read {
        Ok(read) => read.map(Arc::from).map_err(failed),
        Err(e) => Err(failed(std::io::Error::other(e))),
    }
}
