//! Who gets in: TLS, certificates of clients, users, tokens and their rights.
//!
//! What always holds: once users or tokens are configured, no path answers anybody else, unknown
//! paths and probes included, as Prometheus and its exporters do it; a file that cannot be used
//! changes nothing; and what is read again while saimon runs never takes protection away: for that it
//! must be started anew. What this does not know: where the configuration comes from.

mod credentials;
mod files;
pub(super) mod gate;
mod peers;
pub(super) mod rights;
mod sans;
#[cfg(test)]
pub(super) mod tests;
mod tls;

use std::sync::Arc;

use arc_swap::ArcSwap;
use http::{HeaderMap, HeaderName, HeaderValue};
use rustls::ServerConfig;

use self::credentials::Credentials;
use self::files::Files;
use crate::config::web::WebFile;

/// Headers that the file may set; exporter-toolkit knows these.
const HEADERS: [&str; 5] = [
    "Content-Security-Policy",
    "X-Frame-Options",
    "X-Content-Type-Options",
    "X-XSS-Protection",
    "Strict-Transport-Security",
];

/// What is wrong with a web configuration, and at which key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {what}")]
pub struct SecureError {
    /// Path of the key; empty for the file as a whole.
    pub key: String,
    pub what: String,
}

impl SecureError {
    fn new(key: String, what: impl Into<String>) -> Self {
        Self {
            key,
            what: what.into(),
        }
    }
}

/// What a new door would take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Weaker {
    #[error("would switch TLS off: that needs a restart")]
    Tls,
    #[error("would let everybody in: that needs a restart")]
    Credentials,
}

/// A web configuration that can be used, with the files it names as they were when it was made.
pub struct Door {
    tls: Option<Arc<ServerConfig>>,
    /// The same for gRPC, which speaks HTTP/2 and nothing else.
    tls_grpc: Option<Arc<ServerConfig>>,
    http2: bool,
    headers: HeaderMap,
    /// `None`: everybody is let in.
    known: Option<Credentials>,
    made_of: (WebFile, Files),
}

impl Door {
    /// Reads the files that are named. Blocks.
    ///
    /// # Errors
    /// What cannot be used: the first key that is wrong.
    pub fn new(config: &WebFile) -> Result<Self, SecureError> {
        let mut files = Files::default();
        let http2 = config.http_server_config.http2;
        let tls = tls::server(&config.tls_server_config, http2, &mut files)?;
        let known = Credentials::new(config, &mut files)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.http_server_config.headers {
            let wrong = |what| SecureError::new(format!("http_server_config.headers.{name}"), what);
            if !HEADERS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
                let known = HEADERS.join("`, `");
                return Err(wrong(format!("cannot be set here, only `{known}`")));
            }
            let named = HeaderName::from_bytes(name.as_bytes());
            let valued = HeaderValue::from_str(value.reveal());
            let (Ok(named), Ok(valued)) = (named, valued) else {
                return Err(wrong("cannot be sent as a header".to_owned()));
            };
            headers.insert(named, valued);
        }
        Ok(Self {
            tls_grpc: tls.as_deref().map(tls::only_http2),
            tls,
            http2,
            headers,
            known,
            made_of: (config.clone(), files),
        })
    }

    /// True if TLS is spoken.
    pub fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// True if nobody is answered without credentials.
    pub fn has_credentials(&self) -> bool {
        self.known.is_some()
    }

    pub(super) fn tls(&self) -> Option<Arc<ServerConfig>> {
        self.tls.clone()
    }

    pub(super) fn tls_grpc(&self) -> Option<Arc<ServerConfig>> {
        self.tls_grpc.clone()
    }

    pub(super) fn http2(&self) -> bool {
        self.http2
    }
}

impl Default for Door {
    /// Open to all, without TLS.
    fn default() -> Self {
        Self {
            tls: None,
            tls_grpc: None,
            http2: true,
            headers: HeaderMap::new(),
            known: None,
            made_of: (WebFile::default(), Files::default()),
        }
    }
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("tls", &self.has_tls())
            .field("credentials", &self.has_credentials())
            .finish_non_exhaustive()
    }
}

/// Where everybody comes in; its door may be changed at any time. Connections that are open stay so,
/// and each of their requests passes the door that there is then.
#[derive(Debug)]
pub struct Entrance(ArcSwap<Door>);

impl Entrance {
    pub fn new(door: Door) -> Self {
        Self(ArcSwap::from_pointee(door))
    }

    /// The door as it is now.
    pub fn door(&self) -> Arc<Door> {
        self.0.load_full()
    }

    /// Says whether a door may be put here; true if it is another than the one that is here.
    ///
    /// # Errors
    /// If the new one would take protection away.
    pub fn fits(&self, door: &Door) -> Result<bool, Weaker> {
        let old = self.door();
        if old.has_tls() && !door.has_tls() {
            return Err(Weaker::Tls);
        }
        if old.has_credentials() && !door.has_credentials() {
            return Err(Weaker::Credentials);
        }
        Ok(old.made_of != door.made_of)
    }

    /// Puts another door here; true if it was another. The same one is left as it is, with what it
    /// remembers.
    ///
    /// # Errors
    /// If it would take protection away.
    pub fn put(&self, door: Door) -> Result<bool, Weaker> {
        let other = self.fits(&door)?;
        if other {
            self.0.store(Arc::new(door));
        }
        Ok(other)
    }
}

impl Default for Entrance {
    fn default() -> Self {
        Self::new(Door::default())
    }
}
