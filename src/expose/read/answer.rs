//! What a reader is told when there is no answer.
//!
//! Prometheus shows the text to whoever asked, so it says what to change. A question that can never be
//! answered is 400, one that can be later is 503.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};

use crate::engine::ask::AskError;
use crate::engine::recall::BAND_COST;
use crate::wire::read::{REQUEST_BYTES_MAX, ReadRequestError};
use crate::wire::snappy::SnappyError;

/// Bytes of an answer: a regular expression in it can be as long as its sender likes.
const TEXT_MAX: usize = 1000;

/// Seconds after which a reader should try again.
const RETRY_S: &str = "1";

/// The same when saimon is on its way out: about what a restart takes.
const RETRY_CLOSED_S: &str = "5";

/// Why a remote read has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    #[error("read requests are sent with POST")]
    Method,
    #[error("body is larger than {REQUEST_BYTES_MAX} bytes: ask with fewer or shorter matchers")]
    BodyTooLarge,
    #[error("body could not be read: {0}")]
    BodyBroken(String),
    #[error("{0}: send a snappy block (not frames) of a prometheus.ReadRequest")]
    Snappy(String),
    #[error("{0}; a read request may have that many: ask with fewer or shorter matchers")]
    RawTooLarge(String),
    #[error(transparent)]
    Request(#[from] ReadRequestError),
    #[error(
        "none of the accepted response types {0:?} is supported: accept 0 (SAMPLES) or 1 (STREAMED_XOR_CHUNKS)"
    )]
    NoSuchForm(Vec<i32>),
    #[error("matcher of label {label:?}: {why}: {pattern:?}")]
    Regex {
        label: String,
        why: String,
        pattern: String,
    },
    #[error("query matches more series than {0}, the limit of read.series: select fewer")]
    Series(usize),
    #[error(
        "query matches more series than {0} that are computed, the limit of read.virtual_series: select fewer"
    )]
    VirtualSeries(usize),
    #[error(
        "query needs more than {0} samples to be scored again, the limit of read.virtual_samples: ask for less time or for fewer series; a sample of a band counts as {BAND_COST}"
    )]
    VirtualSamples(usize),
    #[error(
        "query has more samples than {0}, the limit of read.samples: ask for less time, for fewer series, or for chunks"
    )]
    Samples(usize),
    #[error(
        "answer is larger than {0} bytes, the limit of read.answer: ask for less time, for fewer series, or for chunks"
    )]
    AnswerTooLarge(usize),
    #[error("too many read requests at once, ask again later")]
    Busy,
    #[error("too many large answers at once, ask again later")]
    NoRoom,
    #[error("answer took longer than limits.request, ask for less")]
    Slow,
    #[error("{0}")]
    Unavailable(AskError),
    #[error("windows cannot be read: {0}")]
    Broken(String),
}

impl From<SnappyError> for ReadError {
    fn from(e: SnappyError) -> Self {
        match e {
            SnappyError::TooLarge { .. } => Self::RawTooLarge(e.to_string()),
            _ => Self::Snappy(e.to_string()),
        }
    }
}

impl From<AskError> for ReadError {
    fn from(e: AskError) -> Self {
        match e {
            AskError::TooMany { limit } => Self::Series(limit),
            AskError::TooManyAgain { limit } => Self::VirtualSeries(limit),
            AskError::TooMuch { limit } => Self::VirtualSamples(limit),
            AskError::Busy | AskError::Closed => Self::Unavailable(e),
            AskError::Store(_) => Self::Broken(e.to_string()),
        }
    }
}

impl ReadError {
    pub(super) fn code(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge
            | Self::BodyBroken(_)
            | Self::Snappy(_)
            | Self::RawTooLarge(_)
            | Self::Request(_)
            | Self::NoSuchForm(_)
            | Self::Regex { .. }
            | Self::Series(_)
            | Self::Samples(_)
            | Self::VirtualSeries(_)
            | Self::VirtualSamples(_)
            | Self::AnswerTooLarge(_) => StatusCode::BAD_REQUEST,
            Self::Busy | Self::NoRoom | Self::Slow | Self::Unavailable(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for ReadError {
    fn into_response(self) -> Response {
        let code = self.code();
        let mut text = self.to_string();
        if text.len() > TEXT_MAX {
            text.truncate(text.floor_char_boundary(TEXT_MAX));
            text.push_str("...");
        }
        text.push('\n');
        let mut response =
            (code, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response();
        let more = match self {
            Self::Method => Some((ALLOW, "POST")),
            Self::Unavailable(AskError::Closed) => Some((RETRY_AFTER, RETRY_CLOSED_S)),
            _ if code == StatusCode::SERVICE_UNAVAILABLE => Some((RETRY_AFTER, RETRY_S)),
            _ => None,
        };
        if let Some((name, value)) = more {
            let value = http::HeaderValue::from_static(value);
            response.headers_mut().insert(name, value);
        }
        response
    }
}
