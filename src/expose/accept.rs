//! Which exposition format a client wants, by its `Accept` header (RFC 9110, section 12.5.1).
//!
//! The formats are those that every Prometheus since 2.5 and every curl can read. What a client
//! cannot have (protobuf, OpenMetrics 0.0.1) is passed over, never an error: it gets the next of its
//! list that there is, and text 0.0.4 if there is none.

mod ranges;

use std::borrow::Cow;

use http::header::{ACCEPT, CONTENT_TYPE, VARY};
use http::{HeaderMap, HeaderName, HeaderValue};

use self::ranges::{MediaRange, ranges};
pub use crate::score::label_text::Names;

/// An exposition format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Prometheus text format 0.0.4.
    Text,
    /// Prometheus text format 1.0.0: the same, but for names that are no identifiers.
    Text1,
    /// OpenMetrics 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The exact `Content-Type`: Prometheus 3 refuses a scrape whose type it does not know.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::Text1 => "text/plain; version=1.0.0; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// How exactly a range names this format, 0 to 3; `None` if it does not.
    fn named_by(self, range: &MediaRange<'_>) -> Option<u8> {
        let (kind, subtype, version) = match self {
            Self::Text => ("text", "plain", "0.0.4"),
            Self::Text1 => ("text", "plain", "1.0.0"),
            Self::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
        };
        let is = |part: &str, name: &str| part.eq_ignore_ascii_case(name);
        match (range.kind, range.subtype, range.parameter("version")) {
            ("*", "*", None) => Some(0),
            (k, "*", None) if is(k, kind) => Some(1),
            // Without a version that which everyone can read is meant.
            (k, s, None) if is(k, kind) && is(s, subtype) => (self != Self::Text1).then_some(2),
            (k, s, Some(v)) if is(k, kind) && is(s, subtype) && v == version => Some(3),
            _ => None,
        }
    }
}

/// Everything about a page that the client chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    pub format: Format,
    /// How names that are no identifiers are written.
    pub names: Names,
    /// The client said how; only then the answer says it too.
    said: bool,
}

impl From<Format> for Form {
    fn from(format: Format) -> Self {
        Self::new(format, Names::default())
    }
}

impl Form {
    /// For pages that no request asked for.
    pub fn new(format: Format, names: Names) -> Self {
        Self {
            format,
            names,
            said: false,
        }
    }

    /// What the client likes best; text if it says nothing, or nothing we have.
    pub fn of(headers: &HeaderMap) -> Self {
        let lines = headers.get_all(ACCEPT).iter();
        let lines: Vec<&str> = lines.filter_map(|v| v.to_str().ok()).collect();
        let ranges: Vec<MediaRange<'_>> = lines.iter().flat_map(|line| ranges(line)).collect();
        let mut best: Option<(Wish, Self)> = None;
        for format in [Format::OpenMetrics, Format::Text1, Format::Text] {
            let Some((exactness, range)) = most_exact(format, &ranges) else {
                continue;
            };
            let wish = Wish {
                q: range.q,
                // Who takes anything (a browser, curl) gets what people can read best.
                rank: match (format, exactness) {
                    (Format::Text, _) => 1,
                    (_, 0..=1) => 0,
                    _ => 2,
                },
            };
            let names = range.parameter("escaping").and_then(Names::parse);
            let form = Self {
                format,
                names: names.unwrap_or_default(),
                said: names.is_some(),
            };
            if range.q > 0 && best.is_none_or(|(other, _)| wish > other) {
                best = Some((wish, form));
            }
        }
        best.map_or(Format::Text.into(), |(_, form)| form)
    }

    /// The exact `Content-Type` of the answer.
    pub fn content_type(self) -> Cow<'static, str> {
        let format = self.format.content_type();
        if self.said {
            return Cow::Owned(format!("{format}; escaping={}", self.names.as_str()));
        }
        Cow::Borrowed(format)
    }

    /// The headers that every page in this form has.
    pub fn headers(self) -> [(HeaderName, HeaderValue); 2] {
        let content_type = match self.content_type() {
            Cow::Borrowed(text) => HeaderValue::from_static(text),
            Cow::Owned(text) => HeaderValue::try_from(text).expect("BUG: all parts are constants"),
        };
        [
            (CONTENT_TYPE, content_type),
            (VARY, HeaderValue::from_static("accept")),
        ]
    }
}

/// How much a format is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Wish {
    q: u16,
    rank: u8,
}

/// The range that names a format most exactly: it alone decides (RFC 9110, section 12.5.1). Of
/// several that are equally exact the one with the greatest weight.
fn most_exact<'r, 'a>(
    format: Format,
    ranges: &'r [MediaRange<'a>],
) -> Option<(u8, &'r MediaRange<'a>)> {
    let mut found: Option<(u8, &MediaRange<'_>)> = None;
    for range in ranges {
        let Some(exactness) = format.named_by(range) else {
            continue;
        };
        if found.is_none_or(|(e, r)| (exactness, range.q) > (e, r.q)) {
            found = Some((exactness, range));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(accept: &str) -> Form {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, accept.parse().unwrap());
        Form::of(&headers)
    }

    /// What scrapers send; the first two are recorded, the third is Prometheus 3's default.
    const PROM_2_42: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    const VMAGENT: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";
    const PROM_3: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

    #[test]
    fn every_known_client_gets_what_it_can_read() {
        use Format::{OpenMetrics, Text, Text1};
        assert_eq!(Form::of(&HeaderMap::new()), Text.into());
        let cases = [
            ("*/*", Text),
            ("", Text),
            (
                "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
                Text,
            ),
            ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", Text),
            (PROM_2_42, OpenMetrics),
            (VMAGENT, Text),
            (&format!("{PROTOBUF},{PROM_2_42}"), OpenMetrics),
            (&format!("{PROTOBUF},{VMAGENT}"), Text),
            (&format!("{PROTOBUF},*/*;q=0.1"), Text),
            ("text/plain;version=1.0.0", Text1),
            ("text/plain;version=1.0.0;q=0.2,text/plain;q=0.3", Text),
            ("text/plain;version=1.0.0,text/plain;version=0.0.4", Text1),
            (
                "text/plain;version=0.0.4,application/openmetrics-text;q=0.9",
                Text,
            ),
            ("text/plain,application/openmetrics-text", OpenMetrics),
            (
                "application/openmetrics-text; version=\"1.0.0\"",
                OpenMetrics,
            ),
            ("Application/OpenMetrics-Text ; Version=1.0.0", OpenMetrics),
            ("application/openmetrics-text;charset=UTF-8", OpenMetrics),
            ("application/openmetrics-text;q=0", Text),
            ("application/openmetrics-text;q=0,application/*", Text),
            ("application/openmetrics-text;version=0.0.1", Text),
            ("application/openmetrics-text;version=7", Text),
            ("application/openmetrics-text;q=nonsense,*/*", Text),
            ("application/openmetrics-text;q=0.5,*/*;q=0.9", Text),
            ("application/openmetrics-text;q=0.9,*/*;q=0.9", OpenMetrics),
            ("application/*", OpenMetrics),
            ("text/*;q=0.5,application/*;q=0.5", Text),
            ("text/*;q=0.1,application/*;q=0.5", OpenMetrics),
            // A comma and a semicolon in quotes end nothing.
            (
                "x/y;a=\", application/openmetrics-text ; \",text/plain",
                Text,
            ),
            ("text/plain;q=0,*/*;q=0", Text),
            ("application/json", Text),
        ];
        for (accept, format) in cases {
            assert_eq!(of(accept).format, format, "{accept}");
        }
    }

    #[test]
    fn escaping_is_that_of_the_range_that_won_and_is_said_only_if_asked() {
        let form = of(PROM_3);
        assert_eq!(
            (form.format, form.names),
            (Format::OpenMetrics, Names::Utf8)
        );
        assert_eq!(
            form.content_type(),
            "application/openmetrics-text; version=1.0.0; charset=utf-8; escaping=allow-utf-8"
        );
        for (accept, names, content_type) in [
            (
                "text/plain;version=0.0.4;escaping=values",
                Names::Values,
                "text/plain; version=0.0.4; charset=utf-8; escaping=values",
            ),
            (
                "text/plain;version=1.0.0;escaping=\"dots\"",
                Names::Dots,
                "text/plain; version=1.0.0; charset=utf-8; escaping=dots",
            ),
            (
                "*/*;escaping=allow-utf-8",
                Names::Utf8,
                "text/plain; version=0.0.4; charset=utf-8; escaping=allow-utf-8",
            ),
            (
                "text/plain;escaping=rot13",
                Names::Underscores,
                "text/plain; version=0.0.4; charset=utf-8",
            ),
            (
                "application/openmetrics-text;q=0.5,text/plain;escaping=allow-utf-8;q=0.4",
                Names::Underscores,
                "application/openmetrics-text; version=1.0.0; charset=utf-8",
            ),
            (
                "application/json;escaping=allow-utf-8",
                Names::Underscores,
                "text/plain; version=0.0.4; charset=utf-8",
            ),
        ] {
            let form = of(accept);
            assert_eq!((form.names, &*form.content_type()), (names, content_type));
            assert_eq!(form.headers()[0].1, content_type);
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
        assert_eq!(Form::of(&headers).format, Format::OpenMetrics);
    }
}
