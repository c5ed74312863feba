//! How saimon speaks to another HTTP server: the keys of Prometheus' client configuration.
//!
//! What always holds: a secret is never shown by `Debug`, by a serializer or by a mistake that names
//! its key. What is left out of Prometheus' keys: `oauth2`, `sigv4`, `proxy_url` and
//! `follow_redirects`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize, Serializer};

/// What is shown instead of a secret, as Prometheus does.
const MASK: &str = "<secret>";

/// Headers that the protocols set themselves, in lower case; Prometheus refuses these too.
const RESERVED: [&str; 18] = [
    "accept-encoding",
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "retry-attempt",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "www-authenticate",
];

/// How a server is asked: who saimon says it is, whom it trusts, and how long it waits. The keys are
/// those of Prometheus' `remote_read` and `remote_write`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct ClientConfig {
    /// User name and password. Not together with `authorization`.
    pub basic_auth: BasicAuthConfig,
    /// An `Authorization` header, such as a bearer token. Not together with `basic_auth`.
    pub authorization: AuthorizationConfig,
    /// Certificates, for addresses that begin with `https://`.
    pub tls_config: TlsConfig,
    /// Headers sent with every request, for example `X-Scope-OrgID: team-a`. Not those that the
    /// protocol sets itself, such as `Content-Type` and `User-Agent`.
    #[schemars(with = "BTreeMap<String, String>", extend("format" = "headers"))]
    pub headers: BTreeMap<String, Secret>,
    /// How long a request may take, its answer included.
    #[serde(with = "humantime_serde")]
    #[schemars(with = "String", extend("format" = "duration", "x-min" = "100ms", "x-max" = "1h"))]
    pub remote_timeout: Duration,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self {
            basic_auth: BasicAuthConfig::default(),
            authorization: AuthorizationConfig::default(),
            tls_config: TlsConfig::default(),
            headers: BTreeMap::new(),
            remote_timeout: Duration::from_secs(60),
        }
    }
}

/// User name and password. Not together with `authorization`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BasicAuthConfig {
    /// The user's name.
    #[schemars(extend("format" = "text"))]
    pub username: Option<String>,
    /// The password. Better in a file of its own.
    pub password: Option<Secret>,
    /// A file with the password; read again for every request, so that it may change.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub password_file: Option<PathBuf>,
}

/// An `Authorization` header, such as a bearer token. Not together with `basic_auth`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct AuthorizationConfig {
    /// The word before the credentials.
    #[serde(rename = "type")]
    #[schemars(extend("format" = "text"))]
    pub kind: String,
    /// The token. Better in a file of its own.
    pub credentials: Option<Secret>,
    /// A file with the token; read again for every request, so that it may change.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub credentials_file: Option<PathBuf>,
}

impl Default for AuthorizationConfig {
    fn default() -> Self {
        Self {
            kind: "Bearer".to_owned(),
            credentials: None,
            credentials_file: None,
        }
    }
}

/// Certificates, for addresses that begin with `https://`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// A PEM file with the authorities that may have signed the server's certificate. Without it,
    /// those that the system trusts.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub ca_file: Option<PathBuf>,
    /// A PEM file with saimon's own certificate, where the server wants one. With `key_file`.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the key of `cert_file`.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub key_file: Option<PathBuf>,
    /// The name that the server's certificate must have, where it is not the one in the address.
    #[schemars(extend("format" = "text"))]
    pub server_name: Option<String>,
    /// True: the server may be anybody. For tests.
    pub insecure_skip_verify: bool,
    /// Oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
}

/// A version of TLS, spelled as Prometheus spells it. Older ones are not spoken at all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    #[serde(rename = "TLS12")]
    Tls12,
    /// TLS 1.3.
    #[serde(rename = "TLS13")]
    Tls13,
}

/// Text that is never shown.
#[derive(Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent, extend("format" = "secret"))]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that sends it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(MASK)
    }
}

/// An `http://` or `https://` address. User and password in it are used and never shown.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(transparent)]
#[schemars(transparent, extend("format" = "url"))]
pub struct Address(String);

impl Address {
    /// # Errors
    /// What is wrong with it; the text does not repeat the address.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = text
            .strip_prefix("http://")
            .or_else(|| text.strip_prefix("https://"))
            .ok_or("it must begin with http:// or https://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        if host.is_empty() || host.starts_with(':') {
            return Err("it names no host".to_owned());
        }
        if text.contains(['?', '#']) {
            return Err("it must end before a `?` or `#`".to_owned());
        }
        if text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || !c.is_ascii())
        {
            return Err("it has characters that an address cannot have".to_owned());
        }
        Ok(Self(text.to_owned()))
    }

    /// The address itself, user and password included.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// True if it names a user.
    pub fn has_user(&self) -> bool {
        self.parts().1.is_some()
    }

    /// Scheme with `://`, user and password as written, and the rest.
    pub fn parts(&self) -> (&str, Option<&str>, &str) {
        let (scheme, rest) = self
            .0
            .split_at(self.0.find("://").map_or(0, |at| at + "://".len()));
        let end = rest.find('/').unwrap_or(rest.len());
        match rest[..end].rfind('@') {
            Some(at) => (scheme, Some(&rest[..at]), &rest[at + 1..]),
            None => (scheme, None, rest),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, user, rest) = self.parts();
        let user = if user.is_some() { "***@" } else { "" };
        write!(f, "{scheme}{user}{rest}")
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ClientConfig {
    /// Keys that are fine alone and not together, or not with this address: (key, what is wrong).
    /// No text has a value in it that could be secret.
    pub fn mistakes(&self, address: Option<&Address>) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        let mut wrong = |is: bool, key: &str, message: &'static str| {
            if is {
                found.push((key.to_owned(), message));
            }
        };
        let basic = &self.basic_auth;
        let basic_used = basic != &BasicAuthConfig::default();
        wrong(
            basic_used && basic.username.is_none(),
            "basic_auth",
            "has no `username`",
        );
        wrong(
            basic.password.is_some() && basic.password_file.is_some(),
            "basic_auth.password_file",
            "stands beside `password`: give one of them",
        );
        let authorization = &self.authorization;
        let token_used =
            authorization.credentials.is_some() || authorization.credentials_file.is_some();
        wrong(
            authorization.credentials.is_some() && authorization.credentials_file.is_some(),
            "authorization.credentials_file",
            "stands beside `credentials`: give one of them",
        );
        wrong(
            basic_used && token_used,
            "authorization",
            "stands beside `basic_auth`: give one of them",
        );
        wrong(
            authorization.kind.eq_ignore_ascii_case("basic"),
            "authorization.type",
            "cannot be basic: use `basic_auth`",
        );
        wrong(
            !is_token(&authorization.kind),
            "authorization.type",
            "is not one word",
        );
        for (key, secret) in [
            ("basic_auth.password", &basic.password),
            ("authorization.credentials", &authorization.credentials),
        ] {
            wrong(
                secret
                    .as_ref()
                    .is_some_and(|s| s.reveal().chars().any(char::is_control)),
                key,
                "has characters that a header cannot have",
            );
        }
        let tls = &self.tls_config;
        wrong(
            tls.cert_file.is_some() != tls.key_file.is_some(),
            "tls_config",
            "has one of `cert_file` and `key_file`: they belong together",
        );
        wrong(
            (basic_used || token_used) && address.is_some_and(Address::has_user),
            if basic_used {
                "basic_auth"
            } else {
                "authorization"
            },
            "stands beside a user in the address: give one of them",
        );
        for (name, value) in &self.headers {
            let key = format!("headers.{name}");
            let lower = name.to_ascii_lowercase();
            let taken =
                RESERVED.contains(&lower.as_str()) || lower.starts_with("x-prometheus-remote-");
            wrong(
                !is_token(name),
                &key,
                "is not a header name: use letters, digits and dashes",
            );
            wrong(
                taken,
                &key,
                "is set by saimon itself and cannot be replaced",
            );
            wrong(
                value.reveal().chars().any(char::is_control),
                &key,
                "has characters that a header cannot have",
            );
        }
        found
    }

    /// Files that are not absolute are looked for beside the configuration file, as Prometheus does.
    pub fn beside(&mut self, folder: &Path) {
        for file in [
            &mut self.basic_auth.password_file,
            &mut self.authorization.credentials_file,
            &mut self.tls_config.ca_file,
            &mut self.tls_config.cert_file,
            &mut self.tls_config.key_file,
        ]
        .into_iter()
        .flatten()
        {
            *file = folder.join(&*file);
        }
    }
}

/// A token of HTTP (RFC 9110, 5.6.2): what header names and authentication schemes are.
fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let config = ClientConfig {
            basic_auth: BasicAuthConfig {
                username: Some("u".to_owned()),
                password: Some(Secret::new("hunter2")),
                password_file: None,
            },
            headers: BTreeMap::from([("X-Key".to_owned(), Secret::new("hunter2"))]),
            ..ClientConfig::default()
        };
        let address = Address::parse("https://u:hunter2@h:1/p").unwrap();
        for shown in [
            format!("{config:?} {address:?} {address}"),
            serde_json::to_string(&(&config, &address)).unwrap(),
        ] {
            assert!(!shown.contains("hunter2"), "{shown}");
            assert!(shown.contains("https://***@h:1/p"), "{shown}");
        }
        assert_eq!(address.parts(), ("https://", Some("u:hunter2"), "h:1/p"));
        assert_eq!(address.reveal(), "https://u:hunter2@h:1/p");
    }

    #[test]
    fn addresses() {
        for good in ["http://a", "https://a:1/", "http://u@[::1]:9090/prometheus"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a:9090",
            "ftp://a",
            "http://",
            "http://u@/x",
            "http://:1",
            "http://a b",
            "http://a?x=1",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_together_is_named() {
        let config: ClientConfig = serde_json::from_value(serde_json::json!({
            "basic_auth": {"password": "a", "password_file": "b"},
            "authorization": {"type": "Basic", "credentials": "c", "credentials_file": "d"},
            "tls_config": {"cert_file": "e"},
            "headers": {"user-agent": "x", "X-Prometheus-Remote-Read-Version": "9", "X Y": "z", "X-Ok": "1", "X-Bad": "a\nb"},
        }))
        .unwrap();
        let address = Address::parse("http://u:p@a").unwrap();
        let keys: Vec<_> = config
            .mistakes(Some(&address))
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(
            keys,
            [
                "basic_auth",
                "basic_auth.password_file",
                "authorization.credentials_file",
                "authorization",
                "authorization.type",
                "tls_config",
                "basic_auth",
                "headers.X Y",
                "headers.X-Bad",
                "headers.X-Prometheus-Remote-Read-Version",
                "headers.user-agent",
            ]
        );
        assert_eq!(ClientConfig::default().mistakes(Some(&address)), []);
    }

    #[test]
    fn files_lie_beside_the_configuration() {
        let mut config = ClientConfig::default();
        config.tls_config.ca_file = Some("ca.pem".into());
        config.basic_auth.password_file = Some("/run/secret".into());
        config.beside(Path::new("/etc/saimon"));
        assert_eq!(config.tls_config.ca_file, Some("/etc/saimon/ca.pem".into()));
        assert_eq!(config.basic_auth.password_file, Some("/run/secret".into()));
    }
}
