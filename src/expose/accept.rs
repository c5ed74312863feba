//! Which exposition format a client wants, by its `Accept` header (RFC 9110, section 12.5.1).
//!
//! The formats are those that every Prometheus since 2.5 and every curl can read. What a client
//! cannot have (protobuf, text 1.0.0) is passed over, never an error: the answer is then text 0.0.4.

use http::HeaderMap;
use http::header::ACCEPT;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The exact `Content-Type`: Prometheus 3 refuses a scrape whose type it does not know.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format that the client likes best; text if it says nothing, or nothing we have.
    pub fn of(headers: &HeaderMap) -> Self {
        let (mut text, mut openmetrics) = (Wish::default(), Wish::default());
        for range in headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
        {
            let mut parts = range.split(';').map(str::trim);
            let media = parts.next().unwrap_or_default().to_ascii_lowercase();
            let (mut q, mut version) = (1.0_f32, None);
            for (name, value) in parts.filter_map(|p| p.split_once('=')) {
                let value = value.trim().trim_matches('"');
                if name.trim().eq_ignore_ascii_case("q") {
                    q = value.parse().unwrap_or(0.0);
                } else if name.trim().eq_ignore_ascii_case("version") {
                    version = Some(value);
                }
            }
            let q = if (0.0..=1.0).contains(&q) { q } else { 0.0 };
            match (media.as_str(), version) {
                ("application/openmetrics-text", None) => openmetrics.add(2, q),
                ("application/openmetrics-text", Some("1.0.0")) => openmetrics.add(3, q),
                ("text/plain", None) => text.add(2, q),
                ("text/plain", Some("0.0.4")) => text.add(3, q),
                ("text/*", _) => text.add(1, q),
                ("*/*", _) => text.add(0, q),
                _ => {}
            }
        }
        if openmetrics.q > 0.0 && openmetrics.q >= text.q {
            Self::OpenMetrics
        } else {
            Self::Text
        }
    }
}

/// How much a format is wanted: by the most specific range that names it.
#[derive(Debug, Default, Clone, Copy)]
struct Wish {
    specific: u8,
    q: f32,
}

impl Wish {
    fn add(&mut self, specific: u8, q: f32) {
        if specific > self.specific || (specific == self.specific && q > self.q) {
            *self = Self { specific, q };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Format::of(&headers)
    }

    #[test]
    fn every_known_client_gets_what_it_can_read() {
        use Format::{OpenMetrics, Text};
        assert_eq!(Format::of(&HeaderMap::new()), Text);
        let cases = [
            ("*/*", Text),
            ("", Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Text,
            ),
            (
                "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,*/*;q=0.1",
                OpenMetrics,
            ),
            (
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,*/*;q=0.1",
                Text,
            ),
            ("text/plain;version=0.0.4;q=1,*/*;q=0.1", Text),
            (
                "text/plain;version=0.0.4,application/openmetrics-text;q=0.9",
                Text,
            ),
            (
                "application/openmetrics-text; version=\"1.0.0\"",
                OpenMetrics,
            ),
            ("Application/OpenMetrics-Text", OpenMetrics),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;version=7", Text),
            ("application/openmetrics-text;q=nonsense,*/*", Text),
            ("application/json", Text),
        ];
        for (accept, format) in cases {
            assert_eq!(of(accept), format, "{accept}");
        }
    }

    #[test]
    fn several_headers_count_as_one() {
        let mut headers = HeaderMap::new();
        headers.append(ACCEPT, "text/plain;q=0.2".parse().unwrap());
        headers.append(
            ACCEPT,
            "application/openmetrics-text;q=0.3".parse().unwrap(),
        );
        assert_eq!(Format::of(&headers), Format::OpenMetrics);
    }
}
