//! The body of an answer, under a deadline and a bound.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;

use super::{ClientError, causes};

/// A body as it comes in. Dropping it before its end closes the connection.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    url: String,
    deadline: Instant,
    after: Duration,
}

impl Body {
    pub(super) fn new(incoming: Incoming, url: String, deadline: Instant, after: Duration) -> Self {
        Self {
            incoming,
            url,
            deadline,
            after,
        }
    }

    /// Where it comes from, as it may be shown.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The next bytes; `None` at the orderly end.
    ///
    /// # Errors
    /// If the connection breaks or the time is up.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        loop {
            let frame = tokio::time::timeout_at(self.deadline, self.incoming.frame()).await;
            match frame {
                Ok(Some(Ok(frame))) => {
                    // Trailers are nothing to us.
                    if let Ok(bytes) = frame.into_data() {
                        return Ok(Some(bytes));
                    }
                }
                Ok(None) => return Ok(None),
                Ok(Some(Err(e))) => {
                    return Err(ClientError::Broken {
                        url: self.url.clone(),
                        what: causes(&e),
                    });
                }
                Err(_) => {
                    return Err(ClientError::Late {
                        url: self.url.clone(),
                        after: self.after,
                    });
                }
            }
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// Those of [`Self::chunk`], and if it has more than `max` bytes.
    pub async fn all(mut self, max: usize) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        while let Some(some) = self.chunk().await? {
            if some.len() > max - all.len() {
                return Err(ClientError::TooLarge { url: self.url, max });
            }
            all.extend_from_slice(&some);
        }
        Ok(all)
    }
}
