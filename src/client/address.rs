//! Where requests go: an address taken apart once.

use http::Uri;
use http::uri::{PathAndQuery, Scheme};

use super::ClientError;
use crate::config::client::Address;

/// What stands before every path.
pub(super) struct Base {
    /// Scheme and authority, without a user.
    root: Uri,
    /// Without a slash at its end.
    prefix: String,
    user: Option<(String, String)>,
    /// For people.
    shown: String,
}

impl Base {
    pub(super) fn new(address: &Address) -> Result<Self, ClientError> {
        let bad = |what: String| ClientError::Config {
            url: address.to_string(),
            what,
        };
        let (scheme, user, rest) = address.parts();
        let root: Uri = format!("{scheme}{rest}")
            .parse()
            .map_err(|e| bad(format!("it is not an address: {e}")))?;
        let prefix = root.path().trim_end_matches('/').to_owned();
        let user = match user {
            Some(user) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let decoded = |text| {
                    percent_decoded(text)
                        .ok_or_else(|| bad("its user is not text in percent-encoding".to_owned()))
                };
                Some((decoded(name)?, decoded(password)?))
            }
            None => None,
        };
        let shown = address.to_string().trim_end_matches('/').to_owned();
        Ok(Self {
            root,
            prefix,
            user,
            shown,
        })
    }

    pub(super) fn is_https(&self) -> bool {
        self.root.scheme() == Some(&Scheme::HTTPS)
    }

    pub(super) fn user(&self) -> Option<(&str, &str)> {
        let (name, password) = self.user.as_ref()?;
        Some((name, password))
    }

    pub(super) fn shown(&self, path: &str) -> String {
        format!("{}{path}", self.shown)
    }

    pub(super) fn uri(&self, path: &str) -> Result<Uri, ClientError> {
        let bad = |what: String| ClientError::Config {
            url: self.shown(""),
            what,
        };
        let full: PathAndQuery = format!("{}{path}", self.prefix)
            .parse()
            .map_err(|e| bad(format!("the path {path:?} cannot be asked: {e}")))?;
        let mut parts = self.root.clone().into_parts();
        parts.path_and_query = Some(full);
        Uri::from_parts(parts).map_err(|e| bad(e.to_string()))
    }
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |b: Option<u8>| char::from(b?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        let address = Address::parse("https://me%40x:p%3aq@h:1/prom/").unwrap();
        let base = Base::new(&address).unwrap();
        assert!(base.is_https());
        assert_eq!(base.user(), Some(("me@x", "p:q")));
        assert_eq!(base.shown("/api"), "https://***@h:1/prom/api");
        let uri = base.uri("/api/v1/query?query=up").unwrap();
        assert_eq!(uri, "https://h:1/prom/api/v1/query?query=up");
        let plain = Base::new(&Address::parse("http://h").unwrap()).unwrap();
        assert_eq!(plain.uri("/x").unwrap(), "http://h/x");
        assert!(Base::new(&Address::parse("http://%zz@h").unwrap()).is_err());
    }
}
