//! [`TlsSettings`]: a client's settings of TLS, checked when they are set, so that a mistake is
//! reported by the call that makes it.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error as TlsError, RootCertStore};

use crate::error::{Error, ErrorKind};

/// The marks of a PEM key that needs a password (RFC 7468, section 11, and OpenSSL's old format).
const ENCRYPTED: [&str; 2] = ["-----BEGIN ENCRYPTED PRIVATE KEY-----", "Proc-Type: 4,ENCRYPTED"];

/// A version of TLS, for
/// [`ClientBuilder::minimum_tls_version`](crate::ClientBuilder::minimum_tls_version).
///
/// Versions below 1.2 are not supported: RFC 8996 forbids 1.0 and 1.1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246, 2008). The default minimum: many sound servers speak nothing later.
    #[default]
    Tls12,
    /// TLS 1.3 (RFC 8446, 2018).
    Tls13,
}

/// Returns the crypto provider. It is always explicit: the process-wide default would be the one
/// that another crate happened to install.
pub(super) fn crypto_provider() -> CryptoProvider {
    #[cfg(feature = "aws-lc-rs")]
    return rustls::crypto::aws_lc_rs::default_provider();
    #[cfg(not(feature = "aws-lc-rs"))]
    rustls::crypto::ring::default_provider()
}

/// Returns the error for a TLS setup that fails when the first https stream connects.
pub(super) fn setup_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with_source(ErrorKind::Roots, "TLS could not be set up", error)
}

/// The root certificates that servers' certificates are checked against.
#[derive(Clone, Default)]
pub(super) enum Roots {
    /// The operating system's.
    #[default]
    Platform,
    /// Mozilla's, as of the build.
    #[cfg(feature = "webpki-roots")]
    Mozilla,
    /// The caller's, and no others.
    Given(Vec<CertificateDer<'static>>),
}

/// A client's settings of TLS. `Debug` shows no key, and nothing of a caller's own configuration,
/// which may hold keys.
#[derive(Clone, Default)]
pub(crate) struct TlsSettings {
    pub(super) roots: Roots,
    /// Trusted in addition to `roots`.
    pub(super) extra_roots: Vec<CertificateDer<'static>>,
    /// The client certificate with its chain, and its private key.
    pub(super) identity: Option<Arc<CertifiedKey>>,
    pub(crate) minimum: TlsVersion,
    pub(crate) accept_invalid: bool,
    /// A configuration of the caller's, which replaces all other settings.
    #[cfg(feature = "rustls-0_23")]
    pub(crate) config: Option<Arc<rustls::ClientConfig>>,
}

impl TlsSettings {
    /// Trusts these certificates, and no others.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if the PEM text holds no usable certificate.
    pub(crate) fn replace_roots(&mut self, pem: &[u8]) -> Result<(), Error> {
        self.roots = Roots::Given(root_certificates(pem)?);
        Ok(())
    }

    /// Trusts these certificates as well. Fails like [`replace_roots`](Self::replace_roots).
    pub(crate) fn add_roots(&mut self, pem: &[u8]) -> Result<(), Error> {
        self.extra_roots.extend(root_certificates(pem)?);
        Ok(())
    }

    /// Trusts Mozilla's roots in place of the platform's.
    #[cfg(feature = "webpki-roots")]
    pub(crate) fn use_webpki_roots(&mut self) {
        self.roots = Roots::Mozilla;
    }

    /// Sets the client certificate with its chain, and its private key.
    ///
    /// # Errors
    ///
    /// `InvalidConfig` if either cannot be read or they do not belong together.
    pub(crate) fn set_identity(&mut self, certificates: &[u8], key: &[u8]) -> Result<(), Error> {
        let chain = read_certificates(certificates, "the client certificate cannot be read")?;
        if chain.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, "the PEM text holds no client certificate"));
        }
        let certified = CertifiedKey::from_der(chain, read_key(key)?, &crypto_provider());
        self.identity = Some(Arc::new(certified.map_err(unusable_identity)?));
        Ok(())
    }
}

impl fmt::Debug for TlsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity.as_ref().map(|identity| format!("{} certificates and a key", identity.cert.len()));
        f.debug_struct("TlsSettings")
            .field("identity", &identity)
            .field("minimum", &self.minimum)
            .field("accept_invalid", &self.accept_invalid)
            .finish_non_exhaustive()
    }
}

/// Returns the error for a certificate and a key that cannot be used.
fn unusable_identity(error: TlsError) -> Error {
    let message = match &error {
        TlsError::InconsistentKeys(_) => {
            "the private key does not belong to the client certificate; put that certificate first in its PEM text"
        }
        TlsError::InvalidCertificate(_) => "the client certificate cannot be read",
        _ => "the client certificate's private key cannot be used; use RSA, ECDSA or Ed25519",
    };
    Error::with_source(ErrorKind::InvalidConfig, message, error)
}

/// Reads a private key. The PEM reader's error is not kept as a source: it quotes the line that it
/// fails on, which may hold a part of the key.
fn read_key(pem: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(pem).map_err(|_| {
        let is_encrypted = ENCRYPTED.iter().any(|mark| memchr::memmem::find(pem, mark.as_bytes()).is_some());
        let message = if is_encrypted {
            "the client certificate's private key is encrypted; decrypt it first, for example with openssl pkey"
        } else {
            "the PEM text holds no private key that can be read (PKCS#8, PKCS#1 or SEC1)"
        };
        Error::new(ErrorKind::InvalidConfig, message)
    })
}

/// Reads certificates in PEM (RFC 7468) and checks that they can be trusted as roots.
fn root_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = "the root certificates cannot be read";
    let certificates = read_certificates(pem, unreadable)?;
    if certificates.is_empty() {
        return Err(Error::new(ErrorKind::InvalidConfig, "the PEM text holds no certificate"));
    }
    // rustls accepts only some certificates as roots. Checked now, the error names the right call.
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        let added = store.add(certificate.clone());
        added.map_err(|error| Error::with_source(ErrorKind::InvalidConfig, unreadable, error))?;
    }
    Ok(certificates)
}

/// Reads all certificates of a PEM text; `unreadable` is the message if that fails.
fn read_certificates(pem: &[u8], unreadable: &'static str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>();
    certificates.map_err(|error| Error::with_source(ErrorKind::InvalidConfig, unreadable, error))
}
