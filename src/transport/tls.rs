//! TLS: the platform's verifier or given roots, built once, when the first https stream dials.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, ErrorKind};

use super::Io;

/// What a server's certificate is checked against.
#[derive(Debug, Clone, Default)]
pub(crate) enum Roots {
    /// What the operating system trusts.
    #[default]
    Platform,
    /// These, and nothing else.
    Given(Arc<RootCertStore>),
}

impl Roots {
    /// Reads certificates in PEM (RFC 7468).
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, Error> {
        let invalid = |error: Box<dyn std::error::Error + Send + Sync>| {
            Error::with_source(ErrorKind::InvalidConfig, "the root certificates cannot be read", error)
        };
        let mut store = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            store.add(certificate.map_err(|error| invalid(error.into()))?).map_err(|error| invalid(error.into()))?;
        }
        if store.is_empty() {
            return Err(Error::new(ErrorKind::InvalidConfig, "the PEM text holds no certificate"));
        }
        Ok(Self::Given(Arc::new(store)))
    }
}

/// What a server may choose from (RFC 7301), the best first.
#[cfg(feature = "http2")]
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
#[cfg(not(feature = "http2"))]
const PROTOCOLS: [&[u8]; 1] = [b"http/1.1"];

/// TLS for one client, shared by its streams.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tls {
    roots: Roots,
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Tls {
    pub(crate) fn new(roots: Roots) -> Self {
        Self { roots, config: Arc::default() }
    }

    /// Greets the server at the other end of `io` as `host`.
    pub(super) async fn handshake(&self, host: &str, io: Box<dyn Io>) -> Result<TlsStream<Box<dyn Io>>, Error> {
        greet(self.config().await?, host, io).await
    }

    /// The same, with whom only HTTP/1.1 is spoken: a proxy.
    pub(super) async fn handshake_for_http1(
        &self,
        host: &str,
        io: Box<dyn Io>,
    ) -> Result<TlsStream<Box<dyn Io>>, Error> {
        let mut config = (*self.config().await?).clone();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        greet(Arc::new(config), host, io).await
    }

    async fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        self.config.get_or_try_init(|| build_off_thread(self.roots.clone())).await.cloned()
    }
}

async fn greet(config: Arc<ClientConfig>, host: &str, io: Box<dyn Io>) -> Result<TlsStream<Box<dyn Io>>, Error> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Error::with_source(ErrorKind::InvalidUrl, "the host is no name that TLS can check", error))?;
    let connecting = TlsConnector::from(config).connect(name, io);
    connecting
        .await
        .map_err(|error| Error::with_source(ErrorKind::Tls, format!("the TLS handshake with {host} failed"), error))
}

/// Reading the platform's roots takes milliseconds: not on the runtime's threads. A failure is not
/// kept, so that roots which are installed later are found.
async fn build_off_thread(roots: Roots) -> Result<Arc<ClientConfig>, Error> {
    let building = tokio::task::spawn_blocking(move || build(roots));
    building.await.unwrap_or_else(|error| Err(Error::with_source(ErrorKind::Roots, "TLS could not be set up", error)))
}

fn build(roots: Roots) -> Result<Arc<ClientConfig>, Error> {
    // Always explicit: a process-wide default would be whatever another crate has installed.
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let unusable = |error| Error::with_source(ErrorKind::Roots, "TLS could not be set up", error);
    let builder =
        ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(unusable)?;
    let mut config = match roots {
        Roots::Given(roots) => builder.with_root_certificates(roots).with_no_client_auth(),
        Roots::Platform => {
            let message = "this machine has no root certificates: install its package (ca-certificates on Debian), \
                           set SSL_CERT_FILE, or give the client its own with root_certificates_pem";
            let builder = builder.with_platform_verifier();
            builder.map_err(|error| Error::with_source(ErrorKind::Roots, message, error))?.with_no_client_auth()
        }
    };
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}
