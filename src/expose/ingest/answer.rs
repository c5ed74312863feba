//! What a sender is told, and the log line about it.
//!
//! Prometheus reads at most 1,024 bytes of an error answer and logs its first line, retries 5xx for
//! ever and 4xx never. So: what can never be taken is 4xx, what can be taken later is 503, and all
//! text is one line below that size.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};

use super::negotiate::Unsupported;
use crate::engine::router::Routed;
use crate::wire::write::Refusals;

/// Bytes of one series' labels in an answer: three of them leave room for the reason.
const SERIES_SHOWN: usize = 200;

/// Bytes of an answer.
const ANSWER_MAX: usize = 1000;

/// Seconds after which a sender should try again. Short, because its data waits meanwhile; the wait
/// for room (`limits.queue_wait`) comes on top.
const RETRY_FULL_S: u32 = 1;

/// The same when saimon is on its way out: about what a restart takes.
const RETRY_CLOSED_S: u32 = 5;

/// Why a request could not be taken now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unavailable {
    #[error(
        "the queue of shard {0} is full, send again later (more cores, or limits.queue_batches)"
    )]
    QueueFull(usize),
    #[error("too many write requests at once, send again later")]
    Busy,
    #[error("request took longer than limits.request, send again")]
    Slow,
    #[error("saimon is shutting down, send again later")]
    Closed,
}

/// The answer to a write request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it is with its shards.
    Taken,
    /// Some of it, or all, can never be taken; the rest is with its shards.
    Refused(String),
    Unsupported(Unsupported),
    Method,
    Unavailable(Unavailable),
}

impl Answer {
    pub(super) fn code(&self) -> StatusCode {
        match self {
            Self::Taken => StatusCode::NO_CONTENT,
            Self::Refused(_) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// What to say; `None` if there is nothing to say.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = match self {
            Self::Taken => return None,
            Self::Refused(why) => why.clone(),
            Self::Unsupported(why) => why.to_string(),
            Self::Method => "write requests are sent with POST".to_owned(),
            Self::Unavailable(why) => why.to_string(),
        };
        truncate(&mut text, ANSWER_MAX);
        Some(text)
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let code = self.code();
        let Some(text) = self.text() else {
            return code.into_response();
        };
        let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        let body = (kind, text + "\n");
        match self {
            Self::Unavailable(Unavailable::Closed) => {
                (code, [(RETRY_AFTER, RETRY_CLOSED_S.to_string())], body).into_response()
            }
            Self::Unavailable(_) => {
                (code, [(RETRY_AFTER, RETRY_FULL_S.to_string())], body).into_response()
            }
            Self::Method => (code, [(ALLOW, "POST")], body).into_response(),
            _ => (code, body).into_response(),
        }
    }
}

/// Totals, a few names with their reasons, and what to do.
pub(super) fn refusal(refused: &Refusals, routed: Routed) -> String {
    let mut text = format!(
        "refused {} samples of {} series, kept {}: ",
        refused.samples,
        refused.series,
        routed.rows + routed.skipped
    );
    for (why, series) in &refused.named {
        let mut series = series.clone();
        truncate(&mut series, SERIES_SHOWN);
        let _ = write!(text, "{}: {series}; ", why.as_str());
    }
    let unnamed = (refused.series as usize).saturating_sub(refused.named.len());
    if unnamed > 0 {
        let _ = write!(text, "and {unnamed} more; ");
    }
    text.push_str("correct these series at their source or drop them with write_relabel_configs");
    text
}

/// Cuts at a character boundary and marks the cut.
fn truncate(text: &mut String, bytes: usize) {
    if text.len() > bytes {
        let mut end = bytes;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str("...");
    }
}

/// At most one log line in [`QuietLog::EVERY_MS`], with the number of those that were left out: a
/// sender that misbehaves does so with every batch.
#[derive(Debug)]
pub(super) struct QuietLog {
    next_ms: AtomicI64,
    left_out: AtomicU64,
}

impl QuietLog {
    const EVERY_MS: i64 = 10_000;

    pub(super) fn new() -> Self {
        Self {
            next_ms: AtomicI64::new(i64::MIN),
            left_out: AtomicU64::new(0),
        }
    }

    /// Logs, or counts.
    pub(super) fn warn(&self, now_ms: i64, peer: Option<SocketAddr>, code: StatusCode, why: &str) {
        if let Some(left_out) = self.due(now_ms) {
            let peer = peer.map_or_else(|| "unknown".to_owned(), |p| p.to_string());
            tracing::warn!(
                peer,
                status = code.as_u16(),
                similar_left_out = left_out,
                "write request not taken: {why}"
            );
        }
    }

    /// If a line is due: how many were left out since the last one.
    fn due(&self, now_ms: i64) -> Option<u64> {
        let next = self.next_ms.load(Ordering::Relaxed);
        // A clock that was set back must not silence the log until it has caught up.
        let due = now_ms >= next || now_ms < next.saturating_sub(Self::EVERY_MS);
        let mine = due
            && self
                .next_ms
                .compare_exchange(
                    next,
                    now_ms.saturating_add(Self::EVERY_MS),
                    Ordering::Relaxed,
                    Ordering::Relaxed,
                )
                .is_ok();
        if mine {
            return Some(self.left_out.swap(0, Ordering::Relaxed));
        }
        self.left_out.fetch_add(1, Ordering::Relaxed);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write::Refusal;

    #[test]
    fn an_answer_names_a_few_series_and_stays_short() {
        let mut refused = Refusals::default();
        for i in 0..40 {
            let series = || format!("m{{i=\"{i}\",long=\"{}\"}}", "\u{20ac}".repeat(4000));
            refused.add(Refusal::DuplicateLabel, 2, series);
        }
        let routed = Routed {
            rows: 400,
            skipped: 20,
            ..Routed::default()
        };
        let answer = Answer::Refused(refusal(&refused, routed));
        let text = answer.text().unwrap();
        assert!(text.starts_with(
            "refused 80 samples of 40 series, kept 420: duplicate label name: m{i=\"0\""
        ));
        assert!(text.contains("m{i=\"2\"") && !text.contains("m{i=\"3\""));
        assert!(text.contains("and 37 more") && text.ends_with("write_relabel_configs"));
        assert!(text.len() < 1024 && !text.contains('\n'));
    }

    #[test]
    fn any_text_is_cut_below_what_senders_read() {
        let answer = Answer::Refused("\u{20ac}".repeat(4000));
        assert!(answer.text().unwrap().len() < 1023);
    }

    #[test]
    fn the_log_speaks_once_in_a_while_and_counts_the_rest() {
        let log = QuietLog::new();
        assert_eq!(log.due(5_000), Some(0));
        assert_eq!(log.due(5_001), None);
        assert_eq!(log.due(14_999), None);
        assert_eq!(log.due(15_000), Some(2));
        assert_eq!(log.due(1_000), Some(0), "the clock was set back");
    }
}
