//! What both ends of TLS have in common: certificates and keys in PEM, and the check that who shows a
//! certificate has its key.
//!
//! What this does not know: which certificates will do, and where they come from.

use std::sync::Arc;

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// The certificates of a text in PEM, in their order; one at least.
///
/// # Errors
/// What is wrong with it, for a sentence that begins with where it comes from.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|e| e.to_string())?;
    if found.is_empty() {
        return Err("has no certificate in PEM".to_owned());
    }
    Ok(found)
}

/// The same as authorities to be trusted.
///
/// # Errors
/// As [`certificates`], and if one of them cannot be an authority.
pub fn authorities(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|e| e.to_string())?;
    }
    Ok(roots)
}

/// The first private key of a text in PEM.
///
/// # Errors
/// What is wrong with it, as in [`certificates`].
pub fn key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, String> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|e| format!("has no key in PEM: {e}"))
}

/// Checks that the holder of a certificate, whichever it is, has its key: what is left to be checked
/// where every certificate will do.
#[derive(Debug, Clone)]
pub struct Holder(Arc<CryptoProvider>);

impl Holder {
    pub fn new(provider: &Arc<CryptoProvider>) -> Self {
        Self(Arc::clone(provider))
    }

    /// Of a handshake of TLS 1.2.
    ///
    /// # Errors
    /// If the signature is not of this certificate's key.
    pub fn signed_tls12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, signature, algorithms)
    }

    /// Of a handshake of TLS 1.3.
    ///
    /// # Errors
    /// If the signature is not of this certificate's key.
    pub fn signed_tls13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, signature, algorithms)
    }

    /// The signatures that can be checked.
    pub fn schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_and_its_key_are_read_and_what_is_neither_is_said() {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let chain = [made.cert.pem(), made.cert.pem()].concat();
        assert_eq!(certificates(chain.as_bytes()).unwrap().len(), 2);
        assert_eq!(authorities(chain.as_bytes()).unwrap().len(), 2);
        let pem = made.signing_key.serialize_pem();
        assert_eq!(
            key(pem.as_bytes()).unwrap().secret_der(),
            made.signing_key.serialize_der()
        );
        let none = "has no certificate in PEM";
        assert_eq!(certificates(pem.as_bytes()).unwrap_err(), none);
        assert!(
            key(chain.as_bytes())
                .unwrap_err()
                .starts_with("has no key in PEM: ")
        );
        let torn = chain.replace("-----END CERTIFICATE-----", "");
        assert_ne!(certificates(torn.as_bytes()).unwrap_err(), "");
    }
}
