//! What a sender is told, and the log line about it.
//!
//! Prometheus reads at most 1,024 bytes of an error answer and logs its first line, retries 5xx for
//! ever and 4xx never. So: what can never be taken is 4xx, what can be taken later is 503, and all
//! text is one line below that size.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, StatusCode};

use super::negotiate::Unsupported;
use crate::wire::write::{Refusals, WriteArena};

/// Bytes of one series' labels in an answer: three of them leave room for the reason.
const SERIES_SHOWN: usize = 200;

/// Bytes of an answer.
const ANSWER_MAX: usize = 1000;

/// Seconds after which a sender should try again. Short, because its data waits meanwhile; the wait
/// for room (`limits.queue_wait`) comes on top.
const RETRY_FULL_S: u32 = 1;

/// The same when saimon is on its way out (about what a restart takes) or its disk takes nothing.
const RETRY_CLOSED_S: u32 = 5;

/// What VictoriaMetrics' own receiver says: the only version there is.
const ZSTD_VERSION: &str = "1";

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
    #[error("not taken, because it cannot be kept: {0}")]
    NotKept(String),
    #[error("saimon is reading what it had kept, send again later")]
    Recovering,
    #[error("saimon is shutting down, send again later")]
    Closed,
}

/// What was taken of a request: all that is neither refused nor too far in the future. What is
/// ignored on purpose, came late or twice counts as written, else senders report it as lost (2.0
/// specification, "Required Written Response Headers").
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) samples: u64,
    pub(super) histograms: u64,
    pub(super) exemplars: u64,
}

impl Written {
    pub(super) fn of(arena: &WriteArena) -> Self {
        Self {
            samples: arena.samples.len() as u64,
            histograms: arena.histograms.len() as u64,
            exemplars: u64::from(arena.exemplars),
        }
    }

    fn headers(self) -> [(HeaderName, HeaderValue); 3] {
        let header = |name, count: u64| (HeaderName::from_static(name), HeaderValue::from(count));
        [
            header("x-prometheus-remote-write-samples-written", self.samples),
            header(
                "x-prometheus-remote-write-histograms-written",
                self.histograms,
            ),
            header(
                "x-prometheus-remote-write-exemplars-written",
                self.exemplars,
            ),
        ]
    }
}

/// The answer to a write request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// All of it is with its shards. Counts are for 2.0 only: a 1.0 sender that finds any may take
    /// them for a failure.
    Taken(Option<Written>),
    /// Some of it, or all, can never be taken; the rest, if there is a count of it, is with its shards.
    Refused(String, Option<Written>),
    /// To VictoriaMetrics' question whether zstd is understood.
    ZstdVersion,
    Unsupported(Unsupported),
    Method,
    Unavailable(Unavailable),
}

impl Answer {
    pub(super) fn code(&self) -> StatusCode {
        match self {
            Self::Taken(_) => StatusCode::NO_CONTENT,
            Self::ZstdVersion => StatusCode::OK,
            Self::Refused(..) => StatusCode::BAD_REQUEST,
            Self::Unsupported(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Unavailable(_) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Why the request was not taken; `None` if it was.
    pub(super) fn text(&self) -> Option<String> {
        let mut text = match self {
            Self::Taken(_) | Self::ZstdVersion => return None,
            Self::Refused(why, _) => why.clone(),
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
        let kind = [(CONTENT_TYPE, "text/plain; charset=utf-8")];
        let Some(text) = self.text() else {
            return match self {
                Self::Taken(Some(written)) => (code, written.headers()).into_response(),
                Self::ZstdVersion => (code, kind, ZSTD_VERSION).into_response(),
                _ => code.into_response(),
            };
        };
        let body = (kind, text + "\n");
        match self {
            Self::Unavailable(Unavailable::Closed | Unavailable::NotKept(_)) => {
                (code, [(RETRY_AFTER, RETRY_CLOSED_S.to_string())], body).into_response()
            }
            Self::Unavailable(_) => {
                (code, [(RETRY_AFTER, RETRY_FULL_S.to_string())], body).into_response()
            }
            Self::Refused(_, Some(written)) => (code, written.headers(), body).into_response(),
            Self::Method => (code, [(ALLOW, "POST")], body).into_response(),
            _ => (code, body).into_response(),
        }
    }
}

/// Totals, a few names with their reasons, and what to do.
pub(super) fn refusal(refused: &Refusals, written: Written) -> String {
    let mut text = format!("refused {} samples", refused.samples);
    let rare = |text: &mut String, count: u64, what: &str| {
        if count > 0 {
            let _ = write!(text, ", {count} {what}");
        }
    };
    rare(&mut text, refused.histograms.into(), "histograms");
    rare(&mut text, refused.exemplars.into(), "exemplars");
    let _ = write!(
        text,
        " of {} series, kept {}",
        refused.series, written.samples
    );
    rare(&mut text, written.histograms, "histograms");
    rare(&mut text, written.exemplars, "exemplars");
    text.push_str(": ");
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
                "a write request was not taken, or not all of it: {why}"
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
    use crate::wire::write::{Lost, Refusal};

    #[test]
    fn an_answer_names_a_few_series_and_stays_short() {
        let mut refused = Refusals::default();
        for i in 0..40 {
            let series = || format!("m{{i=\"{i}\",long=\"{}\"}}", "\u{20ac}".repeat(4000));
            let lost = Lost {
                samples: 2,
                ..Lost::default()
            };
            refused.add(Refusal::DuplicateLabel, lost, series);
        }
        let written = Written {
            samples: 420,
            ..Written::default()
        };
        let answer = Answer::Refused(refusal(&refused, written), None);
        let text = answer.text().unwrap();
        assert!(text.starts_with(
            "refused 80 samples of 40 series, kept 420: duplicate label name: m{i=\"0\""
        ));
        assert!(text.contains("m{i=\"2\"") && !text.contains("m{i=\"3\""));
        assert!(text.contains("and 37 more") && text.ends_with("write_relabel_configs"));
        assert!(text.len() < 1024 && !text.contains('\n'));
    }

    #[test]
    fn histograms_and_exemplars_are_named_where_there_are_any() {
        let mut refused = Refusals::default();
        let lost = Lost {
            samples: 1,
            histograms: 2,
            exemplars: 3,
        };
        refused.add(
            Refusal::BadHistogram("histogram of unknown schema"),
            lost,
            || "h{}".to_owned(),
        );
        let written = Written {
            samples: 4,
            histograms: 0,
            exemplars: 5,
        };
        assert!(refusal(&refused, written).starts_with(
            "refused 1 samples, 2 histograms, 3 exemplars of 1 series, kept 4, 5 exemplars: \
             histogram of unknown schema: h{}; "
        ));
    }

    #[test]
    fn any_text_is_cut_below_what_senders_read() {
        let answer = Answer::Refused("\u{20ac}".repeat(4000), None);
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
