//! A server with the past of series, and the forms in which it can be asked.
//!
//! Streamed chunks by remote read are exact and cheap for both sides; samples by remote read are the
//! form that every remote read has. A store without remote read (VictoriaMetrics) is asked by the
//! query API with a range selector, `up{job="a"}[6h]`, which gives its raw samples; only where that
//! is refused too, `/api/v1/query_range` gives values on a grid of its own. Which form a server
//! takes is found out by asking and remembered.

pub mod discover;
pub mod error;
pub mod frames;
mod histogram;
mod json;
mod query_api;
mod remote_read;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use http::header::{HeaderName, HeaderValue};
use tokio::sync::OnceCell;

use super::external::{External, Wanted};
use super::gather::Gather;
use super::pace::Pace;
use super::plan::Query;
use super::span::Span;
use crate::client::{Answer, Client, ClientError};
use crate::config::HistoryConfig;
use crate::config::client::Address;
use crate::telemetry::history::HistoryMetrics;
pub use error::SourceError;

/// The path of remote read.
const READ_PATH: &str = "/api/v1/read";
/// Bytes of an answer that must be held as a whole, and of what it becomes when decompressed.
const ANSWER_BYTES_MAX: usize = 128 << 20;

/// How a server is asked, the best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Form {
    /// Remote read, streamed chunks or samples as the server likes.
    Chunks,
    /// Remote read, samples.
    Samples,
    /// `/api/v1/query` with a range selector.
    RangeSelector,
    /// `/api/v1/query_range`.
    Grid,
}

impl Form {
    const ALL: [Self; 4] = [Self::Chunks, Self::Samples, Self::RangeSelector, Self::Grid];

    /// For the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chunks => "remote read, chunks",
            Self::Samples => "remote read, samples",
            Self::RangeSelector => "query api, range selectors",
            Self::Grid => "query api, query_range",
        }
    }
}

/// What is asked: the series of some queries within a range, at most so many samples.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub queries: &'a [Query],
    pub wanted: &'a Arc<Wanted>,
    pub span: Span,
    pub samples_max: usize,
}

/// A server and how fast it may be asked.
#[derive(Debug)]
struct Server {
    client: Client,
    pace: Pace,
    counts: HistoryMetrics,
}

impl Server {
    /// Waits for its turn and asks once.
    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Answer, ClientError> {
        self.pace.turn().await;
        self.counts.requests.inc();
        self.client.send(method, path, headers, body).await
    }
}

/// One source of history. Shared by all who read from it, so that the pace holds for them together.
#[derive(Debug)]
pub struct Source {
    server: Server,
    form: AtomicU8,
    external: OnceCell<External>,
    step: Duration,
}

impl Source {
    /// # Errors
    /// If the configuration of the client contradicts itself.
    pub fn new(
        address: &Address,
        config: &HistoryConfig,
        counts: &HistoryMetrics,
    ) -> Result<Self, SourceError> {
        let text = address.reveal().trim_end_matches('/');
        let base = match text.strip_suffix(READ_PATH) {
            Some(base) => Address::parse(base).unwrap_or_else(|_| address.clone()),
            None => address.clone(),
        };
        let known = &config.external_labels;
        let external = OnceCell::new();
        if !known.is_empty() {
            let known = known.iter().map(|(n, v)| (n.clone(), v.clone()));
            let _ = external.set(External::new(known));
        }
        Ok(Self {
            server: Server {
                client: Client::new(&base, &config.client)?,
                pace: Pace::new(config.requests_per_second, config.samples_per_second),
                counts: counts.clone(),
            },
            form: AtomicU8::new(Form::Chunks as u8),
            external,
            step: config.step,
        })
    }

    /// Its address, as it may be shown.
    pub fn shown(&self) -> String {
        self.server.client.shown("")
    }

    /// The form in which it is asked now.
    pub fn form(&self) -> Form {
        let form = self.form.load(Ordering::Relaxed);
        Form::ALL[usize::from(form).min(Form::ALL.len() - 1)]
    }

    /// The server does not take `from`; true if there is another form to ask in.
    fn step_down(&self, from: Form, to: Form) {
        // Requests under way at once find out the same thing; nobody goes back up.
        self.form.fetch_max(to as u8, Ordering::Relaxed);
        tracing::debug!(url = %self.shown(), from = from.as_str(), to = to.as_str(), "history: the server is asked in another form");
    }

    /// The pace at which it is asked.
    pub fn pace(&self) -> &Pace {
        &self.server.pace
    }

    /// Its external labels: as configured, or as it says itself; none if it does not say.
    ///
    /// # Errors
    /// If it cannot be asked now.
    pub async fn external(&self) -> Result<&External, SourceError> {
        self.external
            .get_or_try_init(|| discover::external_labels(&self.server))
            .await
    }

    /// Asks once, in the best form that the server takes.
    ///
    /// # Errors
    /// If there is no complete answer; nothing of an incomplete one is given.
    pub async fn fetch(&self, ask: &Ask<'_>) -> Result<Gather, SourceError> {
        loop {
            let form = self.form();
            let got = match form {
                Form::Chunks | Form::Samples => {
                    remote_read::fetch(&self.server, ask, form == Form::Chunks).await
                }
                Form::RangeSelector => query_api::range_selectors(&self.server, ask).await,
                Form::Grid => query_api::grid(&self.server, ask, self.step).await,
            };
            match (form, got) {
                // What cannot be read as a chunk may be readable as samples.
                (
                    Form::Chunks,
                    Err(SourceError::UnknownChunk { .. } | SourceError::Chunk { .. }),
                ) => {
                    self.step_down(form, Form::Samples);
                }
                (Form::Chunks | Form::Samples, Err(SourceError::NoRemoteRead { .. })) => {
                    self.step_down(form, Form::RangeSelector);
                }
                (Form::RangeSelector, Err(SourceError::NoRangeSelector { .. })) => {
                    self.step_down(form, Form::Grid);
                }
                (_, got) => return got,
            }
        }
    }
}
