//! History from the query API, for stores without remote read.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};

use super::error::SourceError;
use super::{Ask, Server, json};
use crate::backfill::gather::Gather;
use crate::backfill::plan::selector;
use crate::backfill::span::{Span, millis};
use crate::series::labels;

/// Values of one series that `/api/v1/query_range` gives at most (Prometheus' own bound).
const GRID_MAX: i64 = 11_000;

/// Raw samples, by an instant query of a range selector: one request for each query.
pub(super) async fn range_selectors(server: &Server, ask: &Ask<'_>) -> Result<Gather, SourceError> {
    let mut gather = Gather::new(ask.wanted, ask.span, ask.samples_max);
    for query in ask.queries {
        // The older end of a range is open in newer servers: a millisecond more, and the gatherer
        // cuts.
        let ms = ask.span.end_ms.saturating_sub(ask.span.start_ms) + 1;
        let fields = [
            ("query", format!("{}[{ms}ms]", selector(query))),
            ("time", seconds(ask.span.end_ms)),
            ("nocache", "1".to_owned()),
        ];
        let data = match post(server, "/api/v1/query", &fields).await {
            Err(SourceError::Status {
                url, status, text, ..
            }) if refuses_ranges(status, &text) => {
                return Err(SourceError::NoRangeSelector { url, text });
            }
            data => data?,
        };
        take(&data, &mut gather, server)?;
    }
    Ok(gather)
}

/// Values on a grid of `step`, as many requests as the bound of a series' values makes necessary.
pub(super) async fn grid(
    server: &Server,
    ask: &Ask<'_>,
    step: Duration,
) -> Result<Gather, SourceError> {
    let step_ms = millis(step).max(1);
    let longest = Duration::from_millis(step_ms.unsigned_abs() * GRID_MAX.unsigned_abs());
    let mut gather = Gather::new(ask.wanted, ask.span, ask.samples_max);
    for query in ask.queries {
        for part in on_grid(ask.span, step_ms).parts(longest) {
            let fields = [
                ("query", selector(query)),
                ("start", seconds(part.start_ms)),
                ("end", seconds(part.end_ms)),
                ("step", seconds(step_ms)),
            ];
            let data = post(server, "/api/v1/query_range", &fields).await?;
            take(&data, &mut gather, server)?;
        }
    }
    Ok(gather)
}

/// From the first multiple of the step on, so that parts asked for apart lie on one grid.
fn on_grid(span: Span, step_ms: i64) -> Span {
    Span {
        start_ms: span
            .start_ms
            .saturating_add((-span.start_ms).rem_euclid(step_ms)),
        ..span
    }
}

/// True if a store says that it cannot do this at all, not that this one was too much.
fn refuses_ranges(status: StatusCode, text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let about = ["range", "matrix", "instant", "vector", "scalar"]
        .iter()
        .any(|word| text.contains(word));
    matches!(status.as_u16(), 400 | 422 | 501)
        && about
        && !["limit", "too many", "exceed", "more than"]
            .iter()
            .any(|word| text.contains(word))
}

fn take(data: &json::QueryData, gather: &mut Gather, server: &Server) -> Result<(), SourceError> {
    for row in &data.result {
        let labels = labels::encode(row.metric.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let Some(mut pen) = gather.series(&labels) else {
            continue;
        };
        for point in &row.values {
            pen.float(point.t_ms, point.value)
                .map_err(|source| SourceError::TooMany {
                    url: server.client.shown(""),
                    source,
                })?;
        }
    }
    Ok(())
}

pub(super) async fn post<T: serde::de::DeserializeOwned>(
    server: &Server,
    path: &str,
    fields: &[(&str, String)],
) -> Result<T, SourceError> {
    let headers = [(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-www-form-urlencoded"),
    )];
    let body = Bytes::from(form(fields));
    let answer = server.send(Method::POST, path, &headers, body).await?;
    json::data(answer).await
}

/// Milliseconds as the API takes times: seconds with decimals.
pub(super) fn seconds(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    format!("{sign}{}.{:03}", ms / 1000, ms % 1000)
}

/// `application/x-www-form-urlencoded` (WHATWG URL, 5.2).
fn form(fields: &[(&str, String)]) -> String {
    let mut out = String::new();
    for (name, value) in fields {
        if !out.is_empty() {
            out.push('&');
        }
        escape(&mut out, name);
        out.push('=');
        escape(&mut out, value);
    }
    out
}

/// Everything but letters, digits and `-._~` in percent-encoding.
pub(super) fn escape(out: &mut String, text: &str) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent() {
        assert_eq!(seconds(1_795_341_581_789), "1795341581.789");
        assert_eq!(seconds(-1), "-0.001");
        assert_eq!(
            form(&[("a[]", "b c".to_owned()), ("d", "\u{e9}&".to_owned())]),
            "a%5B%5D=b%20c&d=%C3%A9%26"
        );
    }

    #[test]
    fn a_grid_begins_at_a_multiple_of_its_step() {
        for (start, step, first) in [(0, 10, 0), (1, 10, 10), (-1, 10, 0), (-11, 10, -10)] {
            let span = Span {
                start_ms: start,
                end_ms: 100,
            };
            assert_eq!(on_grid(span, step).start_ms, first, "{start}");
        }
    }

    #[test]
    fn a_refusal_of_ranges_is_told_from_a_bound() {
        let bad = StatusCode::BAD_REQUEST;
        assert!(refuses_ranges(
            bad,
            "invalid expression type \"range vector\" for instant query"
        ));
        assert!(!refuses_ranges(
            bad,
            "the range selects more than 5 samples"
        ));
        assert!(!refuses_ranges(StatusCode::SERVICE_UNAVAILABLE, "range"));
    }
}
