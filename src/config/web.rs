//! Who may talk to saimon, and how: the file that `web.config_file` names.
//!
//! The keys are those of the web configuration that Prometheus and its exporters share
//! (exporter-toolkit, docs/web-configuration.md), so that one file serves both; `bearer_tokens` and
//! `user_rights` are saimon's own. Secrets are never shown, as in [`super::client`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{Secret, TlsVersion};

/// Whom the HTTP surface answers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebConfig {
    /// A file that says whom saimon answers: TLS, client certificates, users, tokens and what each
    /// may do. It is what Prometheus and its exporters call `web.config.file`, see docs/security.md.
    /// What is in it, and the files that it names, are read again every second. Without one,
    /// everybody who reaches the port is answered.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub config_file: Option<PathBuf>,
}

/// The file that `web.config_file` names.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WebFile {
    /// The server's certificate, and whether clients need one. Without it, plain HTTP is spoken.
    pub tls_server_config: TlsServerConfig,
    /// HTTP/2, and headers of all answers.
    pub http_server_config: HttpServerConfig,
    /// User names and bcrypt hashes of their passwords, as `htpasswd -nBC 10 NAME` writes them.
    #[schemars(with = "BTreeMap<String, String>", extend("format" = "headers"))]
    pub basic_auth_users: BTreeMap<String, Secret>,
    /// Tokens, for `Authorization: Bearer ...`. An extension of saimon.
    pub bearer_tokens: Vec<TokenConfig>,
    /// What users may do. One who is not named here may do everything. An extension of saimon.
    pub user_rights: Vec<UserRightsConfig>,
}

/// The server's certificate, and whether clients need one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsServerConfig {
    /// A PEM file with saimon's certificate and those between it and its authority.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub cert_file: Option<PathBuf>,
    /// A PEM file with the key of `cert_file`.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub key_file: Option<PathBuf>,
    /// Whether clients need a certificate.
    pub client_auth_type: ClientAuthType,
    /// A PEM file with the authorities that may have signed the certificates of clients.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub client_ca_file: Option<PathBuf>,
    /// Names (DNS names, e-mail addresses, IP addresses, URIs) of which a client's certificate must
    /// have one as a subject alternative name. Empty: any certificate of `client_ca_file` will do.
    pub client_allowed_sans: Vec<String>,
    /// Oldest version of TLS that is spoken.
    pub min_version: TlsVersion,
    /// Newest version of TLS that is spoken.
    pub max_version: TlsVersion,
    /// Cipher suites of TLS 1.2, for example `TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256`. Empty: all that
    /// there are, each with forward secrecy. Those of TLS 1.3 cannot be chosen.
    pub cipher_suites: Vec<String>,
    /// Of several that a client can do as well, the server's order decides.
    pub prefer_server_cipher_suites: bool,
    /// Groups for the exchange of keys, of `X25519`, `CurveP256` and `CurveP384`. Empty: all.
    pub curve_preferences: Vec<String>,
}

impl Default for TlsServerConfig {
    fn default() -> Self {
        Self {
            cert_file: None,
            key_file: None,
            client_auth_type: ClientAuthType::default(),
            client_ca_file: None,
            client_allowed_sans: Vec::new(),
            min_version: TlsVersion::Tls12,
            max_version: TlsVersion::Tls13,
            cipher_suites: Vec::new(),
            prefer_server_cipher_suites: true,
            curve_preferences: Vec::new(),
        }
    }
}

/// Whether clients need a certificate; spelled as in Go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ClientAuthType {
    /// They are not asked for one.
    #[default]
    NoClientCert,
    /// They are asked; whatever they have, or have not, will do.
    RequestClientCert,
    /// They need one, whoever signed it.
    RequireAnyClientCert,
    /// If they have one, an authority of `client_ca_file` must have signed it.
    VerifyClientCertIfGiven,
    /// They need one that an authority of `client_ca_file` has signed.
    RequireAndVerifyClientCert,
}

/// HTTP/2, and headers of all answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HttpServerConfig {
    /// Whether HTTP/2 is spoken.
    pub http2: bool,
    /// Headers of every answer, of `Content-Security-Policy`, `X-Frame-Options`,
    /// `X-Content-Type-Options`, `X-XSS-Protection` and `Strict-Transport-Security`.
    #[schemars(with = "BTreeMap<String, String>", extend("format" = "headers"))]
    pub headers: BTreeMap<String, Secret>,
}

impl Default for HttpServerConfig {
    fn default() -> Self {
        Self {
            http2: true,
            headers: BTreeMap::new(),
        }
    }
}

/// A token and what may be done with it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokenConfig {
    /// What it is called in the log.
    #[schemars(extend("format" = "text"))]
    pub name: String,
    /// The token, at least 16 characters. Better in a file of its own.
    pub token: Option<Secret>,
    /// A file with the token.
    #[schemars(with = "Option<String>", extend("format" = "text"))]
    pub token_file: Option<PathBuf>,
    /// What may be done with it; at least one.
    pub rights: Vec<Right>,
}

/// What a user may do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UserRightsConfig {
    /// One of `basic_auth_users`.
    #[schemars(extend("format" = "text"))]
    pub user: String,
    /// What this user may do; at least one.
    pub rights: Vec<Right>,
}

/// Something that not everybody may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum Right {
    /// Send samples: remote write.
    Write = 1,
    /// Read what is kept: remote read, and everything below `/api/v1` that changes nothing.
    Read = 2,
    /// See `/metrics` and `/metrics/scores`.
    Scrape = 4,
    /// Everything else: `/-/reload`, `/api/v1/config`, and all that changes something.
    Admin = 8,
}

impl Right {
    pub const ALL: [Self; 4] = [Self::Write, Self::Read, Self::Scrape, Self::Admin];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Scrape => "scrape",
            Self::Admin => "admin",
        }
    }
}

impl WebConfig {
    /// A file that is not absolute is looked for beside the configuration file.
    pub fn beside(&mut self, folder: &Path) {
        if let Some(file) = &mut self.config_file {
            *file = folder.join(&*file);
        }
    }
}

impl WebFile {
    /// Files that are not absolute are looked for beside the file that names them.
    pub fn beside(&mut self, folder: &Path) {
        let tls = &mut self.tls_server_config;
        let tokens = self.bearer_tokens.iter_mut();
        for file in [
            &mut tls.cert_file,
            &mut tls.key_file,
            &mut tls.client_ca_file,
        ]
        .into_iter()
        .chain(tokens.map(|t| &mut t.token_file))
        .flatten()
        {
            *file = folder.join(&*file);
        }
    }
}
