//! A remote-read request: from bytes of a stranger to queries (protocol notes, section 8).
//!
//! A request is short and rare, so its strings are copied. What always holds: the number of queries,
//! matchers and accepted types is bounded, nothing is allocated by a number that the client claims,
//! and nothing panics. What it does not know: which answers saimon can give, what a regular
//! expression means.

use super::field::{self, FieldError, Wire};

/// Bytes of a request, compressed or not. A selector with a list of several thousand instances has a
/// third of it.
pub const REQUEST_BYTES_MAX: usize = 1 << 20;

/// Queries of one request. Prometheus sends one for each selector of an expression, and until 2.42
/// one in each request.
pub const QUERIES_MAX: usize = 128;

/// Matchers of one query. A series has about ten labels.
pub const MATCHERS_MAX: usize = 64;

/// Response types that are looked at; there are two.
pub const ACCEPTED_MAX: usize = 64;

/// What a client asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReadRequest {
    pub queries: Vec<Query>,
    /// Forms of answer that the client takes, in its order of preference, by their numbers.
    pub accepted: Vec<i32>,
}

/// Series by matchers, and a range of time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Milliseconds since the Unix epoch; the range has both ends.
    pub start_ms: i64,
    pub end_ms: i64,
    pub matchers: Vec<LabelMatcher>,
    /// The hint `func="series"`: only the labels are wanted.
    pub labels_only: bool,
}

/// One comparison of a label.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelMatcher {
    pub kind: MatchKind,
    pub name: String,
    pub value: String,
}

/// How a label is compared; the numbers are those on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MatchKind {
    #[default]
    Equal = 0,
    NotEqual = 1,
    Regex = 2,
    NotRegex = 3,
}

/// Why bytes are no request that can be answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadRequestError {
    #[error("body is not a prometheus.ReadRequest: {0}")]
    Broken(#[from] FieldError),
    #[error("body is not a prometheus.ReadRequest: {0}")]
    Wrong(&'static str),
    #[error("request has more than {limit} {what}: ask in several requests")]
    TooMany { what: &'static str, limit: usize },
    #[error("request has a matcher of the unknown type {0}: types are 0 to 3")]
    MatchType(i32),
}

/// Reads a decompressed request.
///
/// # Errors
/// If it is no request, or one with more parts than the limits of this module.
pub fn decode(body: &[u8]) -> Result<ReadRequest, ReadRequestError> {
    let mut request = ReadRequest::default();
    each(body, |number, value| {
        match (number, value) {
            (1, Value::Bytes(query)) => {
                bounded("queries", &request.queries, QUERIES_MAX)?;
                request.queries.push(read_query(query)?);
            }
            (2, Value::Number(n)) => accept(&mut request.accepted, n)?,
            (2, Value::Bytes(packed)) => {
                let mut at = 0;
                while at < packed.len() {
                    accept(&mut request.accepted, field::varint(packed, &mut at)?)?;
                }
            }
            (1 | 2, _) => return Err(WRONG_TYPE),
            _ => {}
        }
        Ok(())
    })?;
    Ok(request)
}

const WRONG_TYPE: ReadRequestError =
    ReadRequestError::Wrong("a field has another type than it should have");

fn accept(accepted: &mut Vec<i32>, n: u64) -> Result<(), ReadRequestError> {
    bounded("accepted response types", accepted, ACCEPTED_MAX)?;
    accepted.push(n as i32);
    Ok(())
}

fn bounded<T>(what: &'static str, have: &[T], limit: usize) -> Result<(), ReadRequestError> {
    if have.len() >= limit {
        return Err(ReadRequestError::TooMany { what, limit });
    }
    Ok(())
}

fn read_query(body: &[u8]) -> Result<Query, ReadRequestError> {
    let mut query = Query::default();
    each(body, |number, value| {
        match (number, value) {
            (1, Value::Number(n)) => query.start_ms = n as i64,
            (2, Value::Number(n)) => query.end_ms = n as i64,
            (3, Value::Bytes(matcher)) => {
                bounded("matchers in one query", &query.matchers, MATCHERS_MAX)?;
                query.matchers.push(read_matcher(matcher)?);
            }
            (4, Value::Bytes(hints)) => each(hints, |number, value| {
                match (number, value) {
                    (2, Value::Bytes(func)) => query.labels_only = func == b"series",
                    (2, _) => return Err(WRONG_TYPE),
                    _ => {}
                }
                Ok(())
            })?,
            (1..=4, _) => return Err(WRONG_TYPE),
            _ => {}
        }
        Ok(())
    })?;
    Ok(query)
}

fn read_matcher(body: &[u8]) -> Result<LabelMatcher, ReadRequestError> {
    let mut matcher = LabelMatcher::default();
    each(body, |number, value| {
        match (number, value) {
            (1, Value::Number(n)) => {
                matcher.kind = match n as i32 {
                    0 => MatchKind::Equal,
                    1 => MatchKind::NotEqual,
                    2 => MatchKind::Regex,
                    3 => MatchKind::NotRegex,
                    unknown => return Err(ReadRequestError::MatchType(unknown)),
                }
            }
            (2, Value::Bytes(name)) => matcher.name = text(name)?,
            (3, Value::Bytes(value)) => matcher.value = text(value)?,
            (1..=3, _) => return Err(WRONG_TYPE),
            _ => {}
        }
        Ok(())
    })?;
    Ok(matcher)
}

fn text(bytes: &[u8]) -> Result<String, ReadRequestError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text.to_owned()),
        Err(_) => Err(ReadRequestError::Wrong("a text is not utf-8")),
    }
}

/// The value of one field, as far as a request has such.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

/// Calls `take` for each field of a message, unknown ones included.
fn each<'a>(
    message: &'a [u8],
    mut take: impl FnMut(u32, Value<'a>) -> Result<(), ReadRequestError>,
) -> Result<(), ReadRequestError> {
    let mut at = 0;
    while at < message.len() {
        let (number, wire) = field::tag(message, &mut at)?;
        let value = match wire {
            Wire::Varint => Value::Number(field::varint(message, &mut at)?),
            Wire::Len => {
                let end = field::len(message, &mut at)?;
                let bytes = &message[at..end];
                at = end;
                Value::Bytes(bytes)
            }
            Wire::Fixed64 | Wire::Fixed32 | Wire::Group(_) => {
                field::skip(message, &mut at, wire)?;
                Value::Other
            }
        };
        take(number, value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::wire::proto;

    fn asked() -> proto::ReadRequest {
        let matcher = |r#type, name: &str, value: &str| proto::LabelMatcher {
            r#type,
            name: name.into(),
            value: value.into(),
        };
        let hints = |func: &str| {
            Some(proto::ReadHints {
                step_ms: 1,
                func: func.into(),
                start_ms: -5,
                grouping: vec!["a".into(), "b".into()],
                by: true,
                ..Default::default()
            })
        };
        proto::ReadRequest {
            queries: vec![
                proto::Query {
                    start_timestamp_ms: -7,
                    end_timestamp_ms: 1_795_341_640_855,
                    matchers: vec![
                        matcher(0, "__name__", "up"),
                        matcher(1, "a", ""),
                        matcher(2, "b", "x|\u{fc}"),
                        matcher(3, "c", ".*"),
                    ],
                    hints: hints("rate"),
                },
                proto::Query {
                    hints: hints("series"),
                    ..Default::default()
                },
            ],
            accepted_response_types: vec![1, 0],
        }
    }

    fn wanted() -> ReadRequest {
        let matcher = |kind, name: &str, value: &str| LabelMatcher {
            kind,
            name: name.into(),
            value: value.into(),
        };
        ReadRequest {
            queries: vec![
                Query {
                    start_ms: -7,
                    end_ms: 1_795_341_640_855,
                    matchers: vec![
                        matcher(MatchKind::Equal, "__name__", "up"),
                        matcher(MatchKind::NotEqual, "a", ""),
                        matcher(MatchKind::Regex, "b", "x|\u{fc}"),
                        matcher(MatchKind::NotRegex, "c", ".*"),
                    ],
                    labels_only: false,
                },
                Query {
                    labels_only: true,
                    ..Query::default()
                },
            ],
            accepted: vec![1, 0],
        }
    }

    #[test]
    fn a_request_is_read_as_it_was_asked_also_from_a_newer_client() {
        let mut bytes = asked().encode_to_vec();
        assert_eq!(decode(&bytes), Ok(wanted()));
        // Unknown fields of every wire type, and one more accepted type, not packed.
        bytes.extend(b"\x98\x06\x01\x99\x0612345678\x9a\x06\x01a\x9d\x061234\x10\x09");
        let mut more = wanted();
        more.accepted.push(9);
        assert_eq!(decode(&bytes), Ok(more));
        assert_eq!(decode(b""), Ok(ReadRequest::default()));
    }

    #[test]
    fn no_cut_and_no_flipped_byte_panics_and_what_is_read_is_what_prost_reads() {
        let bytes = asked().encode_to_vec();
        for at in 0..bytes.len() {
            let _ = decode(&bytes[..at]);
            for byte in [0x00, 0x0a, 0x7f, 0x80, 0xff] {
                let mut bad = bytes.clone();
                bad[at] = byte;
                if let (Ok(ours), Ok(theirs)) = (decode(&bad), proto::ReadRequest::decode(&bad[..]))
                {
                    assert_eq!(ours.queries.len(), theirs.queries.len());
                    assert_eq!(ours.accepted, theirs.accepted_response_types);
                }
            }
        }
    }

    #[test]
    fn what_a_client_can_make_grow_is_bounded() {
        let ask = |queries: usize, matchers: usize, accepted: usize| {
            let query = proto::Query {
                matchers: vec![proto::LabelMatcher::default(); matchers],
                ..Default::default()
            };
            let request = proto::ReadRequest {
                queries: vec![query; queries],
                accepted_response_types: vec![0; accepted],
            };
            decode(&request.encode_to_vec())
        };
        assert!(ask(QUERIES_MAX, MATCHERS_MAX, ACCEPTED_MAX).is_ok());
        for (queries, matchers, accepted) in [
            (QUERIES_MAX + 1, 0, 0),
            (1, MATCHERS_MAX + 1, 0),
            (1, 1, ACCEPTED_MAX + 1),
        ] {
            let refused = ask(queries, matchers, accepted);
            assert!(matches!(refused, Err(ReadRequestError::TooMany { .. })));
        }
    }

    #[test]
    fn other_types_of_matchers_and_of_fields_are_named() {
        assert_eq!(
            decode(b"\x0a\x04\x1a\x02\x08\x07"),
            Err(ReadRequestError::MatchType(7))
        );
        for bad in [
            &b"\x08\x01"[..],
            b"\x0a\x02\x18\x01",
            b"\x0a\x05\x1a\x03\x12\x01\xff",
            b"\x0a\x04\x22\x02\x10\x01",
            b"\x11",
        ] {
            let refused = decode(bad).unwrap_err().to_string();
            assert!(refused.starts_with("body is not a prometheus.ReadRequest: "));
        }
    }
}
