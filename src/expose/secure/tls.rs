//! The server's side of TLS, from the keys of exporter-toolkit.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::{
    CipherSuite, NamedGroup, ServerConfig, SupportedCipherSuite, SupportedProtocolVersion,
};

use super::{SecureError, files::Files, peers};
use crate::config::client::TlsVersion;
use crate::config::web::{ClientAuthType, TlsServerConfig};
use crate::tls;

const SECTION: &str = "tls_server_config";

fn wrong(key: &str, what: impl Into<String>) -> SecureError {
    SecureError::new(format!("{SECTION}.{key}"), what)
}

/// What the handshakes go by; `None` if the section says nothing.
pub(super) fn server(
    config: &TlsServerConfig,
    http2: bool,
    files: &mut Files,
) -> Result<Option<Arc<ServerConfig>>, SecureError> {
    if *config == TlsServerConfig::default() {
        return Ok(None);
    }
    let (Some(cert), Some(key)) = (&config.cert_file, &config.key_file) else {
        let missing = match &config.cert_file {
            None => "cert_file",
            Some(_) => "key_file",
        };
        return Err(SecureError::new(
            SECTION.to_owned(),
            format!("has no `{missing}`: a server needs a certificate and its key"),
        ));
    };
    let provider = Arc::new(provider(config)?);
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions(config)?)
        .map_err(|e| wrong("cipher_suites", e.to_string()))?;
    let roots = match &config.client_ca_file {
        Some(_) if config.client_auth_type == ClientAuthType::NoClientCert => {
            let what = "is there, and `client_auth_type` asks no client for a certificate";
            return Err(wrong("client_ca_file", what));
        }
        Some(path) => {
            let pem = files.read("tls_server_config.client_ca_file", path)?;
            Some(tls::authorities(&pem).map_err(|what| wrong("client_ca_file", what))?)
        }
        None => None,
    };
    let verifies = matches!(
        config.client_auth_type,
        ClientAuthType::VerifyClientCertIfGiven | ClientAuthType::RequireAndVerifyClientCert
    );
    if !config.client_allowed_sans.is_empty() && !verifies {
        let what = "is there, and `client_auth_type` verifies no certificate";
        return Err(wrong("client_allowed_sans", what));
    }
    let verifier = peers::verifier(
        config.client_auth_type,
        roots,
        &config.client_allowed_sans,
        &provider,
    )
    .map_err(|what| wrong("client_auth_type", what))?;
    let builder = match verifier {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let cert = files.read("tls_server_config.cert_file", cert)?;
    let chain = tls::certificates(&cert).map_err(|what| wrong("cert_file", what))?;
    let key = files.read("tls_server_config.key_file", key)?;
    let key = tls::key(&key).map_err(|what| wrong("key_file", what))?;
    let mut server = builder
        .with_single_cert(chain, key)
        .map_err(|e| wrong("key_file", format!("does not go with `cert_file`: {e}")))?;
    server.ignore_client_order = config.prefer_server_cipher_suites;
    server.alpn_protocols = match http2 {
        true => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        false => vec![b"http/1.1".to_vec()],
    };
    Ok(Some(Arc::new(server)))
}

/// The same handshakes for those who speak HTTP/2.
pub(super) fn only_http2(config: &ServerConfig) -> Arc<ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Arc::new(config)
}

static ONLY_TLS12: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS12];
static ONLY_TLS13: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];

fn versions(
    config: &TlsServerConfig,
) -> Result<&'static [&'static SupportedProtocolVersion], SecureError> {
    match (config.min_version, config.max_version) {
        (TlsVersion::Tls12, TlsVersion::Tls13) => Ok(rustls::ALL_VERSIONS),
        (TlsVersion::Tls12, TlsVersion::Tls12) => Ok(&ONLY_TLS12),
        (TlsVersion::Tls13, TlsVersion::Tls13) => Ok(&ONLY_TLS13),
        (TlsVersion::Tls13, TlsVersion::Tls12) => {
            Err(wrong("max_version", "is older than `min_version`"))
        }
    }
}

/// The cryptography, with the suites and groups that are wanted, in their order.
fn provider(config: &TlsServerConfig) -> Result<CryptoProvider, SecureError> {
    let mut provider = ring::default_provider();
    if !config.cipher_suites.is_empty() {
        let all = std::mem::take(&mut provider.cipher_suites);
        let (of_13, of_12): (Vec<_>, Vec<_>) = all.into_iter().partition(is_of_tls13);
        let find = |name: &String| {
            // Those of 1.3 may be named and are there anyway, as in Go.
            let mut both = of_12.iter().chain(&of_13);
            both.find(|suite| go_name(suite.suite()) == *name).copied()
        };
        let mut chosen = of_13.clone();
        for name in &config.cipher_suites {
            let Some(suite) = find(name) else {
                let known: Vec<_> = of_12.iter().map(|s| go_name(s.suite())).collect();
                let what = format!("{name:?} is not there, choose of `{}`", known.join("`, `"));
                return Err(wrong("cipher_suites", what));
            };
            if !is_of_tls13(&suite) {
                chosen.push(suite);
            }
        }
        provider.cipher_suites = chosen;
    }
    if !config.curve_preferences.is_empty() {
        let all = std::mem::take(&mut provider.kx_groups);
        for name in &config.curve_preferences {
            let group = match name.as_str() {
                "X25519" => Some(NamedGroup::X25519),
                "CurveP256" => Some(NamedGroup::secp256r1),
                "CurveP384" => Some(NamedGroup::secp384r1),
                _ => None,
            };
            let Some(group) = all.iter().find(|g| Some(g.name()) == group) else {
                let what =
                    format!("{name:?} is not there, choose of `X25519`, `CurveP256`, `CurveP384`");
                return Err(wrong("curve_preferences", what));
            };
            provider.kx_groups.push(*group);
        }
    }
    Ok(provider)
}

fn is_of_tls13(suite: &SupportedCipherSuite) -> bool {
    suite.tls13().is_some()
}

/// As IANA and Go spell it.
fn go_name(suite: CipherSuite) -> String {
    let name = format!("{suite:?}");
    match name.strip_prefix("TLS13_") {
        Some(rest) => format!("TLS_{rest}"),
        None => name,
    }
}
