//! Headers that a user adds to every request. Those that make a request a remote-write request are
//! ours alone (remote write 1.0, "protocol").

use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers of remote write, of the body, and of the connection.
const RESERVED: [&str; 16] = [
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "retry-attempt",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-prometheus-remote-write-version",
];

/// Why a header cannot be added.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    #[error("header {0:?} is not NAME: VALUE")]
    Form(String),
    #[error("header {0} is set by saimon and cannot be changed")]
    Reserved(String),
}

/// Headers beside our own.
#[derive(Debug, Clone, Default)]
pub struct Headers(HeaderMap);

impl Headers {
    /// Headers as `Name: value`. Values are never shown again.
    pub fn parse<S: AsRef<str>>(lines: impl IntoIterator<Item = S>) -> Result<Self, HeaderError> {
        let mut headers = HeaderMap::new();
        for line in lines {
            let line = line.as_ref();
            let (name, value) = line.split_once(':').unwrap_or((line, ""));
            let form = || HeaderError::Form(name.trim().to_owned());
            let valid: HeaderName = name.trim().parse().map_err(|_| form())?;
            if RESERVED.contains(&valid.as_str()) {
                return Err(HeaderError::Reserved(valid.to_string()));
            }
            let mut value = HeaderValue::from_str(value.trim()).map_err(|_| form())?;
            if value.is_empty() {
                return Err(form());
            }
            value.set_sensitive(true);
            headers.append(valid, value);
        }
        Ok(Self(headers))
    }

    pub(super) fn map(&self) -> &HeaderMap {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_broken_ones_are_refused_by_name() {
        let parse = |line: &str| Headers::parse([line]).map(|h| h.0);
        let good = parse("X-Scope-OrgID: a: b ").unwrap();
        assert_eq!(good["x-scope-orgid"], "a: b");
        assert!(parse("Authorization: Bearer x").is_ok());
        for name in RESERVED {
            let line = format!("{}: x", name.to_uppercase());
            assert_eq!(
                parse(&line).unwrap_err(),
                HeaderError::Reserved(name.to_owned())
            );
        }
        for line in ["", "x", "x:", "a b: c", ": c", "x: \u{1}"] {
            assert!(
                matches!(parse(line), Err(HeaderError::Form(_))),
                "{line:?} was taken"
            );
        }
    }
}
