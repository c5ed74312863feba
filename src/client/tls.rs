//! TLS from files that may change while we run.

use std::sync::Arc;

use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme, SupportedProtocolVersion};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::{CONNECT_WAIT, ClientError, file};
use crate::config::client::{TlsConfig, TlsVersion};
use crate::tls::{self, Holder};

/// What the TLS files said when they were read.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Files {
    ca: Option<Arc<[u8]>>,
    cert: Option<Arc<[u8]>>,
    key: Option<Arc<[u8]>>,
}

impl Files {
    pub(super) async fn read(config: &TlsConfig, url: &str) -> Result<Self, ClientError> {
        let mut read = [None, None, None];
        let paths = [&config.ca_file, &config.cert_file, &config.key_file];
        for (into, path) in read.iter_mut().zip(paths) {
            if let Some(path) = path {
                *into = Some(file(path, url).await?);
            }
        }
        let [ca, cert, key] = read;
        Ok(Self { ca, cert, key })
    }
}

/// What opens connections; for plain HTTP nothing of TLS is looked at.
pub(super) fn connector(
    config: &TlsConfig,
    files: &Files,
    https: bool,
    url: &str,
) -> Result<HttpsConnector<HttpConnector>, ClientError> {
    let failed = |what: String| ClientError::Tls {
        url: url.to_owned(),
        what,
    };
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    http.set_connect_timeout(Some(CONNECT_WAIT));
    let config_of_tls = if https {
        client_config(config, files).map_err(failed)?
    } else {
        rustls::ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|e| failed(e.to_string()))?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth()
    };
    let mut builder = HttpsConnectorBuilder::new()
        .with_tls_config(config_of_tls)
        .https_or_http();
    if let Some(name) = &config.server_name {
        let name = ServerName::try_from(name.clone())
            .map_err(|e| failed(format!("tls_config.server_name: {e}")))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    Ok(builder.enable_http1().wrap_connector(http))
}

fn client_config(config: &TlsConfig, files: &Files) -> Result<rustls::ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        TlsVersion::Tls12 => rustls::ALL_VERSIONS,
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(|e| e.to_string())?;
    let builder = if config.insecure_skip_verify {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(Holder::new(&provider))))
    } else if let Some(ca) = &files.ca {
        let roots = tls::authorities(ca).map_err(|e| format!("tls_config.ca_file: {e}"))?;
        builder.with_root_certificates(roots)
    } else {
        use hyper_rustls::ConfigBuilderExt as _;
        builder.with_native_roots().map_err(|e| {
            format!("the system's trusted certificates cannot be used: {e}; set tls_config.ca_file")
        })?
    };
    match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => {
            let chain =
                tls::certificates(cert).map_err(|e| format!("tls_config.cert_file: {e}"))?;
            let key = tls::key(key).map_err(|e| format!("tls_config.key_file: {e}"))?;
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|e| format!("tls_config.cert_file and key_file: {e}"))
        }
        _ => Ok(builder.with_no_client_auth()),
    }
}

/// Takes every certificate (`insecure_skip_verify`); that its holder has the key is still checked.
#[derive(Debug)]
struct Anybody(Holder);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.signed_tls12(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.signed_tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.schemes()
    }
}
