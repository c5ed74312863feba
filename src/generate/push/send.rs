//! One request of remote write 1.0, repeated as Prometheus repeats it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::load::Body;
use super::tally::{ERROR_BYTES_MAX, Tally};

/// Pauses between attempts, doubling from the one to the other: Prometheus' defaults.
const BACK_OFF_MIN: Duration = Duration::from_millis(30);
const BACK_OFF_MAX: Duration = Duration::from_secs(5);
/// An attempt without an answer by then has failed: Prometheus' `remote_timeout`.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read; remote write answers are empty or one line.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const USER_AGENT: &str = concat!("saimon-generate/", env!("CARGO_PKG_VERSION"));

/// A keep-alive connection to one receiver. Not shared: what it sends arrives in order.
pub(super) struct Sender {
    client: Client<HttpConnector, Full<Bytes>>,
    url: Uri,
    retry_for: Duration,
    tally: Arc<Tally>,
    stop: CancellationToken,
}

/// What one attempt came to.
enum Answer {
    Acknowledged,
    /// To be repeated, after so long if the receiver said so.
    Again(Option<Duration>),
    Refused,
}

impl Sender {
    pub(super) fn new(
        url: Uri,
        retry_for: Duration,
        tally: Arc<Tally>,
        stop: CancellationToken,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(ANSWER_WAIT));
        let client = Client::builder(TokioExecutor::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Self {
            client,
            url,
            retry_for,
            tally,
            stop,
        }
    }

    /// Sends a request until it is acknowledged, refused for good, or given up. True if acknowledged.
    pub(super) async fn send(&self, body: &Body) -> bool {
        self.tally.begin(body.samples, body.raw_bytes);
        let since = Instant::now();
        let mut back_off = BACK_OFF_MIN;
        for attempt in 0u32.. {
            match self.attempt(&body.bytes, attempt).await {
                Answer::Acknowledged => {
                    self.tally.end(body.samples, true);
                    return true;
                }
                Answer::Refused => break,
                Answer::Again(after) => {
                    let pause = after.unwrap_or(back_off);
                    back_off = (back_off * 2).min(BACK_OFF_MAX);
                    if since.elapsed() + pause > self.retry_for {
                        break;
                    }
                    tokio::select! {
                        () = self.stop.cancelled() => break,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
        self.tally.end(body.samples, false);
        false
    }

    async fn attempt(&self, bytes: &Bytes, attempt: u32) -> Answer {
        let mut request = Request::post(self.url.clone())
            .header(header::CONTENT_TYPE, "application/x-protobuf")
            .header(header::CONTENT_ENCODING, "snappy")
            .header("x-prometheus-remote-write-version", "0.1.0")
            .header(header::USER_AGENT, USER_AGENT);
        if attempt > 0 {
            request = request.header("retry-attempt", attempt);
        }
        let request = request
            .body(Full::new(bytes.clone()))
            .expect("BUG: the URL was checked and the headers are constant");
        let since = Instant::now();
        let answer = tokio::time::timeout(ANSWER_WAIT, self.exchange(request)).await;
        let (status, answer) = match answer {
            Ok(Ok((status, answer))) => (Some(status), answer),
            Ok(Err(err)) => {
                self.tally.error(err);
                (None, Answer::Again(None))
            }
            Err(_) => {
                self.tally
                    .error(format!("no answer within {ANSWER_WAIT:?}"));
                (None, Answer::Again(None))
            }
        };
        self.tally
            .attempt(status, bytes.len(), since.elapsed(), attempt > 0);
        answer
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Answer), String> {
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
        let status = head.status;
        if status.is_success() {
            return Ok((status.as_u16(), Answer::Acknowledged));
        }
        let text = text.to_bytes();
        let text = String::from_utf8_lossy(&text[..text.len().min(ERROR_BYTES_MAX)]).into_owned();
        self.tally
            .error(format!("{}: {}", status.as_u16(), text.trim()));
        let answer = if status.is_server_error() || status.as_u16() == 429 {
            let after = head.headers.get(header::RETRY_AFTER);
            Answer::Again(after.and_then(|value| retry_after(value.to_str().ok()?)))
        } else {
            Answer::Refused
        };
        Ok((status.as_u16(), answer))
    }
}

/// A number of seconds. The other form, a date, is not sent by any known receiver; the back-off
/// serves then.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds() {
        assert_eq!(retry_after(" 7"), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Wed, 21 Oct 2026 07:28:00 GMT"), None);
        assert_eq!(retry_after("-1"), None);
    }
}
