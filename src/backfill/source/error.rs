//! What can go wrong with an answer, and what is to be done about it.

use std::time::Duration;

use http::StatusCode;

use super::frames::FrameError;
use crate::backfill::gather::TooMany;
use crate::client::{Answer, ClientError};
use crate::window::chunk::ChunkError;
use crate::wire::snappy::SnappyError;

/// Why a server's answer cannot be used. Addresses are shown without their user.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error(transparent)]
    Client(#[from] ClientError),
    /// It says no.
    #[error("{url} answered {status}: {text}")]
    Status {
        url: String,
        status: StatusCode,
        text: String,
        retry_after: Option<Duration>,
    },
    #[error("{url} has no remote read: it answered {status}: {text}")]
    NoRemoteRead {
        url: String,
        status: StatusCode,
        text: String,
    },
    #[error("{url} takes no range selector: {text}")]
    NoRangeSelector { url: String, text: String },
    #[error("{url} answered with Content-Type {found:?}, which is no form of remote read")]
    ContentType { url: String, found: String },
    #[error("the answer of {url} cannot be read: {source}")]
    Frame { url: String, source: FrameError },
    #[error("the answer of {url} cannot be read: {source}")]
    Snappy { url: String, source: SnappyError },
    #[error("the answer of {url} is not what was asked for: {what}")]
    Message { url: String, what: String },
    #[error("the answer of {url} has a chunk of series {series} that cannot be read: {source}")]
    Chunk {
        url: String,
        series: String,
        source: ChunkError,
    },
    #[error("the answer of {url} has a chunk of type {encoding}, which is not known here")]
    UnknownChunk { url: String, encoding: i32 },
    /// More than was wanted at once.
    #[error("the answer of {url} has {source}: ask for less")]
    TooMany { url: String, source: TooMany },
}

/// What is to be done about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// Try again, after this long if the server said so.
    Again(Option<Duration>),
    /// Ask for fewer series or a shorter range.
    Less,
    /// Nothing: it would fail again.
    Nothing,
}

impl SourceError {
    /// True if the server does not accept who asks. Whoever waits for the answer should hear of it
    /// at once.
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Status { status, .. } if matches!(status.as_u16(), 401 | 403))
    }

    /// What an answer that says no means.
    pub(super) async fn of(answer: Answer) -> Self {
        let url = answer.body.url().to_owned();
        let status = answer.status;
        let retry_after = answer.retry_after();
        let mut text = answer.error_text().await;
        if status.is_redirection() {
            text.push_str(" (redirects are not followed: configure the address it leads to)");
        }
        Self::Status {
            url,
            status,
            text: text.trim().to_owned(),
            retry_after,
        }
    }

    pub fn remedy(&self) -> Remedy {
        match self {
            Self::Client(ClientError::TooLarge { .. }) | Self::TooMany { .. } => Remedy::Less,
            Self::Snappy {
                source: SnappyError::TooLarge { .. },
                ..
            } => Remedy::Less,
            Self::Client(ClientError::Config { .. }) => Remedy::Nothing,
            Self::Status {
                status,
                text,
                retry_after,
                ..
            } => match status.as_u16() {
                // The credentials may be on their way: files are read again for each try.
                401 | 403 | 408 | 429 => Remedy::Again(*retry_after),
                400 | 413 | 422 if is_about_size(text) => Remedy::Less,
                _ if status.is_server_error() && is_about_size(text) => Remedy::Less,
                _ if status.is_server_error() => Remedy::Again(*retry_after),
                _ => Remedy::Nothing,
            },
            Self::NoRemoteRead { .. } | Self::NoRangeSelector { .. } => Remedy::Nothing,
            _ => Remedy::Again(None),
        }
    }
}

/// True for what Prometheus, VictoriaMetrics, Thanos and Mimir say when a request asks for too much.
fn is_about_size(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    ["limit", "too many", "exceed", "more than", "too large"]
        .iter()
        .any(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16, text: &str, retry_after: Option<u64>) -> Remedy {
        SourceError::Status {
            url: "http://a".to_owned(),
            status: StatusCode::from_u16(code).unwrap(),
            text: text.to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        }
        .remedy()
    }

    #[test]
    fn what_to_do() {
        let seven = Some(Duration::from_secs(7));
        for (code, text, after, remedy) in [
            (500, "boom", None, Remedy::Again(None)),
            (503, "busy", Some(7), Remedy::Again(seven)),
            (429, "slow down", Some(7), Remedy::Again(seven)),
            (401, "who", None, Remedy::Again(None)),
            (400, "exceeded sample limit (5)", None, Remedy::Less),
            (
                422,
                "query processing would load too many samples",
                None,
                Remedy::Less,
            ),
            (400, "parse error", None, Remedy::Nothing),
            (302, "", None, Remedy::Nothing),
        ] {
            assert_eq!(status(code, text, after), remedy, "{code} {text}");
        }
    }
}
