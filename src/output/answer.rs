//! What an answer means (remote write 1.0 and 2.0, "retries & backoff", "partial write").

use std::time::Duration;

use http::{HeaderMap, header};

use super::Protocol;
use super::request::Request;
use super::retry_after;
use super::transport::Answer;

/// Samples that a 2.0 receiver says it has written. Histograms and exemplars have headers of their
/// own; we send neither.
pub const SAMPLES_WRITTEN: &str = "x-prometheus-remote-write-samples-written";

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing: all of it was taken.
    Written,
    /// 2xx, and yet not all of it was written: lost. `None` if the receiver does not say how much,
    /// which is what one does that has read 2.0 as 1.0 and found nothing in it.
    Short { written: Option<usize> },
    /// To be sent again, after so long if the receiver said so.
    Again { after: Option<Duration> },
    /// Never to be sent again. Some of it may have been written.
    Refused { written: usize },
    /// The receiver does not take this protocol.
    NotSpoken,
}

/// Judges an answer to `request`.
pub fn judge(answer: &Answer, request: &Request, retry_on_429: bool, now_ms: i64) -> Verdict {
    let written = written(&answer.headers).filter(|_| request.protocol == Protocol::V2);
    let status = answer.status;
    if status.is_success() {
        let all = match written {
            Some(n) => n >= request.samples,
            None => request.protocol == Protocol::V1 || request.samples == 0,
        };
        return if all {
            Verdict::Written
        } else {
            Verdict::Short { written }
        };
    }
    if status.is_server_error() || (status.as_u16() == 429 && retry_on_429) {
        let after = answer.headers.get(header::RETRY_AFTER);
        let after = after.and_then(|value| retry_after::parse(value.to_str().ok()?, now_ms));
        return Verdict::Again { after };
    }
    if status.as_u16() == 415 && request.protocol == Protocol::V2 {
        return Verdict::NotSpoken;
    }
    Verdict::Refused {
        written: written.unwrap_or(0).min(request.samples),
    }
}

fn written(headers: &HeaderMap) -> Option<usize> {
    let value = headers.get(SAMPLES_WRITTEN)?.to_str().ok()?;
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::StatusCode;

    use super::*;

    fn judged(protocol: Protocol, status: u16, headers: &[(&'static str, &str)]) -> Verdict {
        let request = Request {
            protocol,
            body: Bytes::new(),
            raw_bytes: 0,
            samples: 10,
            markers: 0,
        };
        let mut answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            text: String::new(),
        };
        for (name, value) in headers {
            answer.headers.insert(*name, value.parse().unwrap());
        }
        judge(&answer, &request, headers.contains(&("x", "429")), 0)
    }

    #[test]
    fn every_kind_of_answer() {
        use Protocol::{V1, V2};
        use Verdict::{Again, NotSpoken, Refused, Short, Written};
        let again = |secs| Again {
            after: Some(Duration::from_secs(secs)),
        };
        let later = Again { after: None };
        let wrote = |n| [(SAMPLES_WRITTEN, n)];
        for (protocol, status, headers, verdict) in [
            (V1, 200, &[][..], Written),
            (V1, 204, &wrote("0"), Written),
            (V2, 204, &wrote("10"), Written),
            (V2, 204, &wrote("11"), Written),
            (V2, 204, &wrote("9"), Short { written: Some(9) }),
            (V2, 204, &wrote("0"), Short { written: Some(0) }),
            (V2, 204, &wrote("many"), Short { written: None }),
            (V2, 204, &[], Short { written: None }),
            (V1, 500, &[], later),
            (V1, 503, &[("retry-after", "7")], again(7)),
            (
                V1,
                503,
                &[("retry-after", "Thu, 01 Jan 1970 00:00:09 GMT")],
                again(9),
            ),
            (V1, 503, &[("retry-after", "soon")], later),
            (V1, 429, &[("retry-after", "7")], Refused { written: 0 }),
            (V1, 429, &[("retry-after", "7"), ("x", "429")], again(7)),
            (V1, 400, &wrote("3"), Refused { written: 0 }),
            (V2, 400, &wrote("3"), Refused { written: 3 }),
            (V2, 400, &wrote("99"), Refused { written: 10 }),
            (V1, 404, &[], Refused { written: 0 }),
            (V1, 301, &[], Refused { written: 0 }),
            (V1, 415, &[], Refused { written: 0 }),
            (V2, 415, &[], NotSpoken),
        ] {
            let got = judged(protocol, status, headers);
            assert_eq!(got, verdict, "{protocol:?} {status} {headers:?}");
        }
    }
}
