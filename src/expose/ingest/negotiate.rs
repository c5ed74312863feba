//! Judges the headers of a write request before its body is touched.
//!
//! The message is chosen by `Content-Type` alone (`X-Prometheus-Remote-Write-Version` says nothing
//! reliable); what is missing counts as remote write 1.0 and snappy, as in Prometheus' own receiver.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

use crate::wire::write::Protocol;

/// Why a request cannot be read, whatever its body: 415, after which some senders try another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsupported {
    #[error(
        "content-type {0:?} is not supported: send remote write 1.0 or 2.0 as application/x-protobuf"
    )]
    MediaType(String),
    #[error(
        "protobuf message {0:?} is not supported: send prometheus.WriteRequest or io.prometheus.write.v2.Request"
    )]
    Message(String),
    #[error("content-encoding {0:?} is not supported: send snappy or zstd")]
    Encoding(String),
}

/// How a body is compressed, if its headers are right: senders with a queue on disk may send what
/// they packed before an update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// A block, not frames.
    Snappy,
    /// What vmagent sends since 1.116.
    Zstd,
}

/// What a request says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) protocol: Protocol,
    pub(super) encoding: Encoding,
}

/// Names from headers are cut to this many characters before they are given back.
const SHOWN_MAX: usize = 100;

/// What the request is in, if it is something that can be read.
pub(super) fn judge(headers: &HeaderMap) -> Result<Form, Unsupported> {
    let protocol = match text(headers, &CONTENT_TYPE) {
        Some(value) => content_type(&value)?,
        None => Protocol::V1,
    };
    let encoding = match text(headers, &CONTENT_ENCODING) {
        Some(value) => content_encoding(&value)?,
        None => Encoding::Snappy,
    };
    Ok(Form { protocol, encoding })
}

/// `media type *( OWS ";" OWS name "=" ( token / quoted-string ) )` (RFC 9110, section 8.3.1).
fn content_type(value: &str) -> Result<Protocol, Unsupported> {
    let mut parts = value.split(';');
    let media = parts.next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(Unsupported::MediaType(shown(value)));
    }
    let mut protocol = Protocol::V1;
    for (name, value) in parts.filter_map(|p| p.split_once('=')) {
        if !name.trim().eq_ignore_ascii_case("proto") {
            continue;
        }
        protocol = match value.trim().trim_matches('"') {
            "prometheus.WriteRequest" => Protocol::V1,
            "io.prometheus.write.v2.Request" => Protocol::V2,
            other => return Err(Unsupported::Message(shown(other))),
        };
    }
    Ok(protocol)
}

fn content_encoding(value: &str) -> Result<Encoding, Unsupported> {
    let name = value.trim();
    if name.eq_ignore_ascii_case("snappy") {
        Ok(Encoding::Snappy)
    } else if name.eq_ignore_ascii_case("zstd") {
        Ok(Encoding::Zstd)
    } else {
        Err(Unsupported::Encoding(shown(value)))
    }
}

/// The header's value; of several, all, so that none is overlooked.
fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|v| String::from_utf8_lossy(v.as_bytes()));
    let first = values.next()?.into_owned();
    Some(values.fold(first, |all, next| all + ", " + &next))
}

fn shown(value: &str) -> String {
    value.chars().take(SHOWN_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(content_type: Option<&str>, encoding: Option<&str>) -> Result<Form, Unsupported> {
        let mut headers = HeaderMap::new();
        if let Some(value) = content_type {
            headers.insert(CONTENT_TYPE, value.parse().unwrap());
        }
        if let Some(value) = encoding {
            headers.insert(CONTENT_ENCODING, value.parse().unwrap());
        }
        headers.insert("x-prometheus-remote-write-version", "7".parse().unwrap());
        judge(&headers)
    }

    const V1_SNAPPY: Form = Form {
        protocol: Protocol::V1,
        encoding: Encoding::Snappy,
    };
    const V2_SNAPPY: Form = Form {
        protocol: Protocol::V2,
        encoding: Encoding::Snappy,
    };

    #[test]
    fn every_way_of_saying_1_0_and_2_0_is_taken() {
        for (content_type, form) in [
            ("application/x-protobuf", V1_SNAPPY),
            (
                "application/x-protobuf;proto=prometheus.WriteRequest",
                V1_SNAPPY,
            ),
            (
                "application/x-protobuf ; proto=prometheus.WriteRequest",
                V1_SNAPPY,
            ),
            (
                "application/x-protobuf; Proto=\"prometheus.WriteRequest\"; charset=utf-8",
                V1_SNAPPY,
            ),
            ("Application/X-Protobuf", V1_SNAPPY),
            ("application/x-protobuf;", V1_SNAPPY),
            (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                V2_SNAPPY,
            ),
            (
                "APPLICATION/x-protobuf ; charset=utf-8; PROTO = \"io.prometheus.write.v2.Request\"",
                V2_SNAPPY,
            ),
        ] {
            let judged = judged(Some(content_type), Some("snappy"));
            assert_eq!(judged, Ok(form), "{content_type}");
        }
        assert_eq!(judged(None, None), Ok(V1_SNAPPY));
        assert_eq!(judged(None, Some("Snappy")), Ok(V1_SNAPPY));
        let zstd = Form {
            encoding: Encoding::Zstd,
            ..V1_SNAPPY
        };
        assert_eq!(judged(None, Some("zstd")), Ok(zstd));
    }

    #[test]
    fn all_else_is_refused_with_what_to_send() {
        for content_type in [
            "application/json",
            "image/png",
            "",
            "application/x-protobufs",
        ] {
            let refused = judged(Some(content_type), None).unwrap_err();
            assert!(
                matches!(refused, Unsupported::MediaType(_)),
                "{content_type}"
            );
        }
        for message in [
            "io.prometheus.write.v3.Request",
            "IO.prometheus.write.v2.Request",
            "prometheus.writerequest",
            "",
        ] {
            let content_type = format!("application/x-protobuf;proto={message}");
            let refused = judged(Some(&content_type), None).unwrap_err();
            assert_eq!(refused, Unsupported::Message(message.to_owned()));
            assert!(refused.to_string().contains("send prometheus.WriteRequest"));
        }
        for encoding in ["gzip", "deflate", "br", "identity", "snappy, gzip", ""] {
            let refused = judged(None, Some(encoding)).unwrap_err();
            assert_eq!(refused, Unsupported::Encoding(encoding.to_owned()));
        }
    }

    #[test]
    fn a_second_header_is_not_overlooked() {
        let mut headers = HeaderMap::new();
        headers.append(CONTENT_ENCODING, "snappy".parse().unwrap());
        headers.append(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert!(judge(&headers).is_err());
    }
}
