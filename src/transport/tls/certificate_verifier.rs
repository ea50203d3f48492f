//! [`CertificateVerifier`]: checks a server's certificate against the platform's roots or given
//! ones, or accepts any.
//!
//! Accepting any certificate is for tests alone, behind
//! `danger_accept_invalid_certificates`. Signatures of the handshake are checked even then.

use std::fmt;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error as TlsError, OtherError, RootCertStore,
    SignatureScheme,
};
use rustls_platform_verifier::Verifier;

use crate::error::{Error, ErrorKind};

use super::tls_settings::{Roots, TlsSettings, setup_error};

/// Returns the verifier that the settings ask for.
pub(super) fn build(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let trust = if settings.accept_invalid { None } else { Some(trust(settings, provider)?) };
    Ok(Arc::new(CertificateVerifier { trust, algorithms: provider.signature_verification_algorithms }))
}

/// Returns the verifier that checks against the roots of the settings.
fn trust(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let mut roots = RootCertStore::empty();
    let mut given = settings.extra_roots.clone();
    match &settings.roots {
        Roots::Platform => return platform(given, provider),
        #[cfg(feature = "webpki-roots")]
        Roots::Mozilla => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Given(certificates) => given.extend_from_slice(certificates),
    }
    for certificate in given {
        roots.add(certificate).map_err(setup_error)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(verifier.map_err(setup_error)?)
}

/// Returns the operating system's verifier.
///
/// # Errors
///
/// `Roots` on a machine without root certificates, as in a bare container.
fn platform(
    extra_roots: Vec<CertificateDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let provider = Arc::clone(provider);
    #[cfg(not(target_os = "android"))]
    let verifier = if extra_roots.is_empty() {
        Verifier::new(provider)
    } else {
        Verifier::new_with_extra_roots(extra_roots, provider)
    };
    #[cfg(target_os = "android")]
    let verifier = {
        refuse_roots(&extra_roots)?;
        Verifier::new(provider)
    };
    let message = "this machine has no root certificates; install its package (ca-certificates on Debian), \
                   set SSL_CERT_FILE, give the client its own with root_certificates_pem, \
                   or use Mozilla's, with this crate's feature webpki-roots";
    Ok(Arc::new(verifier.map_err(|error| Error::with_source(ErrorKind::Roots, message, error))?))
}

/// Refuses roots beside the platform's, which Android's verifier does not take.
#[cfg(any(test, target_os = "android"))]
fn refuse_roots(extra_roots: &[CertificateDer<'_>]) -> Result<(), Error> {
    if extra_roots.is_empty() {
        return Ok(());
    }
    let message = "Android's verifier accepts no roots beside its own; give all with root_certificates_pem";
    Err(Error::new(ErrorKind::Unsupported, message))
}

/// Checks certificates with `trust`. It tells a self-signed certificate from one of an unknown
/// authority, because users have to do different things about them; rustls reports the same error
/// for both.
#[derive(Debug)]
struct CertificateVerifier {
    /// `None` accepts any certificate. The server must still prove that it has the key: without
    /// that, anyone could present a copied certificate.
    trust: Option<Arc<dyn ServerCertVerifier>>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for CertificateVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        let verified = trust.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        verified.map_err(|error| match error {
            // Only a failed check is looked at again, so that this can never accept a certificate.
            TlsError::InvalidCertificate(CertificateError::UnknownIssuer) if is_self_signed(end_entity) => {
                TlsError::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(SelfSigned))))
            }
            error => error,
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.trust.as_ref()?.root_hint_subjects()
    }
}

/// Returns true if a certificate names itself as its issuer.
fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

/// The reason why a self-signed certificate is refused.
#[derive(Debug)]
pub(super) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is self-signed")
    }
}

impl std::error::Error for SelfSigned {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_beside_those_of_android_are_a_final_error() {
        assert!(refuse_roots(&[]).is_ok());
        let error = refuse_roots(&[CertificateDer::from(vec![0])]).unwrap_err();
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Unsupported, true));
        assert!(error.to_string().contains("root_certificates_pem"), "{error}");
    }
}
