//! Certificates of clients: when one is asked for, and which will do.

use std::net::IpAddr;
use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, UnixTime};

use super::sans::{San, sans};
use crate::config::web::ClientAuthType;
use crate::tls::Holder;

/// Who judges the certificates of clients; `None`: nobody, they are not asked for one.
pub(super) fn verifier(
    kind: ClientAuthType,
    roots: Option<RootCertStore>,
    allowed: &[String],
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, String> {
    use ClientAuthType as T;
    let judge: Arc<dyn ClientCertVerifier> = match (kind, roots) {
        (T::NoClientCert, _) => return Ok(None),
        (T::RequestClientCert | T::RequireAnyClientCert, _) => Arc::new(Anybody {
            holder: Holder::new(provider),
            mandatory: kind == T::RequireAnyClientCert,
        }),
        (T::VerifyClientCertIfGiven | T::RequireAndVerifyClientCert, Some(roots)) => {
            let builder =
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
            let builder = if kind == T::VerifyClientCertIfGiven {
                builder.allow_unauthenticated()
            } else {
                builder
            };
            builder.build().map_err(|e| e.to_string())?
        }
        (_, None) => return Err("needs `client_ca_file`".to_owned()),
    };
    Ok(Some(if allowed.is_empty() {
        judge
    } else {
        Arc::new(Named {
            judge,
            allowed: allowed.iter().map(|name| Allowed::new(name)).collect(),
        })
    }))
}

/// Takes every certificate; that its holder has the key is still checked.
#[derive(Debug)]
struct Anybody {
    holder: Holder,
    mandatory: bool,
}

impl ClientCertVerifier for Anybody {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn verify_client_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.holder.signed_tls12(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.holder.signed_tls13(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.holder.schemes()
    }
}

/// One of `client_allowed_sans`.
#[derive(Debug)]
enum Allowed {
    Ip(IpAddr),
    Text(String),
}

impl Allowed {
    fn new(name: &str) -> Self {
        name.parse()
            .map_or_else(|_| Self::Text(name.to_owned()), Self::Ip)
    }

    fn is(&self, san: &San<'_>) -> bool {
        match (self, san) {
            (Self::Ip(IpAddr::V4(ip)), San::Ip(bytes)) => ip.octets() == **bytes,
            (Self::Ip(IpAddr::V6(ip)), San::Ip(bytes)) => ip.octets() == **bytes,
            (Self::Text(text), San::Text(bytes)) => text.as_bytes() == *bytes,
            _ => false,
        }
    }
}

/// Takes the certificates that another judge takes, if they have one of these names.
#[derive(Debug)]
struct Named {
    judge: Arc<dyn ClientCertVerifier>,
    allowed: Vec<Allowed>,
}

impl ClientCertVerifier for Named {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.judge.root_hint_subjects()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.judge.client_auth_mandatory()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self
            .judge
            .verify_client_cert(end_entity, intermediates, now)?;
        let names = sans(end_entity).unwrap_or_default();
        if names.iter().any(|n| self.allowed.iter().any(|a| a.is(n))) {
            return Ok(verified);
        }
        Err(rustls::Error::InvalidCertificate(
            rustls::CertificateError::ApplicationVerificationFailure,
        ))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls12_signature(message, cert, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.judge.verify_tls13_signature(message, cert, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.judge.supported_verify_schemes()
    }
}
