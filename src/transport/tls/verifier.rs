//! What checks a server's certificate: the platform, given roots, or nobody.

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

use super::settings::{Roots, TlsSettings};
use super::unusable;

/// The one that these settings ask for.
pub(super) fn build(
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    if settings.accept_invalid {
        return Ok(Arc::new(Unchecked(provider.signature_verification_algorithms)));
    }
    let mut roots = RootCertStore::empty();
    match &settings.roots {
        Roots::Platform => return platform(settings.extra_roots.clone(), provider),
        #[cfg(feature = "webpki-roots")]
        Roots::Mozilla => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Roots::Given(given) => add(&mut roots, given)?,
    }
    add(&mut roots, &settings.extra_roots)?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(Arc::new(TellingSelfSigned(verifier.map_err(unusable)?)))
}

fn add(roots: &mut RootCertStore, certificates: &[CertificateDer<'static>]) -> Result<(), Error> {
    certificates.iter().try_for_each(|certificate| roots.add(certificate.clone())).map_err(unusable)
}

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
    let verifier = if extra_roots.is_empty() {
        Verifier::new(provider)
    } else {
        let message = "Android's verifier takes no roots beside its own: give all with root_certificates_pem";
        return Err(Error::new(ErrorKind::Unsupported, message));
    };
    let message = "this machine has no root certificates: install its package (ca-certificates on Debian), \
                   set SSL_CERT_FILE, give the client its own with root_certificates_pem, \
                   or use Mozilla's, with this crate's feature webpki-roots";
    let verifier = verifier.map_err(|error| Error::with_source(ErrorKind::Roots, message, error))?;
    Ok(Arc::new(TellingSelfSigned(Arc::new(verifier))))
}

/// Tells a certificate that nobody but itself vouches for from one of an authority that is not known: what to do
/// about it differs, and rustls says the same of both.
#[derive(Debug)]
struct TellingSelfSigned(Arc<dyn ServerCertVerifier>);

/// Why a certificate was refused.
#[derive(Debug)]
pub(super) struct SelfSigned;

impl fmt::Display for SelfSigned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the certificate is self-signed")
    }
}

impl std::error::Error for SelfSigned {}

fn is_self_signed(certificate: &CertificateDer<'_>) -> bool {
    webpki::EndEntityCert::try_from(certificate).is_ok_and(|parsed| parsed.issuer() == parsed.subject())
}

impl ServerCertVerifier for TellingSelfSigned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verdict = self.0.verify_server_cert(end_entity, intermediates, name, ocsp_response, now);
        verdict.map_err(|error| match error {
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
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }

    fn root_hint_subjects(&self) -> Option<&[DistinguishedName]> {
        self.0.root_hint_subjects()
    }
}

/// Takes any certificate. That the server has the key to it is still checked: without that, anybody could replay one.
#[derive(Debug)]
struct Unchecked(WebPkiSupportedAlgorithms);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls12_signature(message, certificate, signature, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        verify_tls13_signature(message, certificate, signature, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
