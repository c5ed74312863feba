//! Judges the headers of a write request before its body is touched.
//!
//! The message is chosen by `Content-Type` alone (`X-Prometheus-Remote-Write-Version` says nothing
//! reliable); what is missing counts as remote write 1.0 and snappy, as in Prometheus' own receiver.

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderName};

/// Why a request cannot be read, whatever its body: 415, after which some senders try another form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unsupported {
    #[error("content-type {0:?} is not supported: send remote write 1.0 as application/x-protobuf")]
    MediaType(String),
    #[error(
        "protobuf message {0:?} is not supported: send remote write 1.0 (in Prometheus: protobuf_message: prometheus.WriteRequest)"
    )]
    Message(String),
    #[error("content-encoding {0:?} is not supported: send snappy")]
    Encoding(String),
}

/// Names from headers are cut to this many characters before they are given back.
const SHOWN_MAX: usize = 100;

/// Checks that this is a 1.0 message in a snappy block.
pub(super) fn judge(headers: &HeaderMap) -> Result<(), Unsupported> {
    if let Some(value) = text(headers, &CONTENT_TYPE) {
        content_type(&value)?;
    }
    if let Some(value) = text(headers, &CONTENT_ENCODING)
        && !value.trim().eq_ignore_ascii_case("snappy")
    {
        return Err(Unsupported::Encoding(shown(&value)));
    }
    Ok(())
}

/// `media type *( OWS ";" OWS name "=" ( token / quoted-string ) )` (RFC 9110, section 8.3.1).
fn content_type(value: &str) -> Result<(), Unsupported> {
    let mut parts = value.split(';');
    let media = parts.next().unwrap_or_default().trim();
    if !media.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(Unsupported::MediaType(shown(value)));
    }
    for (name, value) in parts.filter_map(|p| p.split_once('=')) {
        let message = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("proto") && message != "prometheus.WriteRequest" {
            return Err(Unsupported::Message(shown(message)));
        }
    }
    Ok(())
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

    fn judged(content_type: Option<&str>, encoding: Option<&str>) -> Result<(), Unsupported> {
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

    #[test]
    fn every_way_of_saying_1_0_is_taken() {
        for content_type in [
            "application/x-protobuf",
            "application/x-protobuf;proto=prometheus.WriteRequest",
            "application/x-protobuf ; proto=prometheus.WriteRequest",
            "application/x-protobuf; Proto=\"prometheus.WriteRequest\"; charset=utf-8",
            "Application/X-Protobuf",
            "application/x-protobuf;",
        ] {
            assert_eq!(
                judged(Some(content_type), Some("snappy")),
                Ok(()),
                "{content_type}"
            );
        }
        assert_eq!(judged(None, None), Ok(()));
        assert_eq!(judged(None, Some("Snappy")), Ok(()));
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
            "io.prometheus.write.v2.Request",
            "prometheus.writerequest",
            "",
        ] {
            let content_type = format!("application/x-protobuf;proto={message}");
            let refused = judged(Some(&content_type), None).unwrap_err();
            assert_eq!(refused, Unsupported::Message(message.to_owned()));
            assert!(
                refused
                    .to_string()
                    .contains("protobuf_message: prometheus.WriteRequest")
            );
        }
        for encoding in [
            "gzip",
            "deflate",
            "br",
            "zstd",
            "identity",
            "snappy, gzip",
            "",
        ] {
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
