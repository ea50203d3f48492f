//! TLS: the handshake with a server. It is set up once per client, when the first https stream
//! connects.
//!
//! `tls_settings` holds what the caller set, `certificate_verifier` checks the server's
//! certificate, and `handshake_error` turns rustls's errors into ones that say what to do. A client
//! without https streams reads no certificate. A missing root store is an error of the attempt, not
//! of the builder, so that roots which are installed later are found.

mod certificate_verifier;
mod handshake_error;
mod tls_settings;

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::error::{Error, ErrorKind};

use super::connector::Io;

pub(super) use self::handshake_error::explain;
use self::handshake_error::handshake_error;
pub(crate) use self::tls_settings::TlsSettings;
pub use self::tls_settings::TlsVersion;
use self::tls_settings::{crypto_provider, setup_error};

/// TLS for one client. Clones share its setup.
#[derive(Clone)]
pub(crate) struct Tls {
    settings: Arc<TlsSettings>,
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Tls {
    /// Keeps the settings; no certificate is read before the first https connection.
    pub(crate) fn new(settings: TlsSettings) -> Self {
        Self { settings: Arc::new(settings), config: Arc::default() }
    }

    /// Performs the handshake with the server `host` at the other end of `io`. A proxy gets
    /// HTTP/1.1 only.
    ///
    /// # Errors
    ///
    /// `Tls` if the handshake fails, `Roots` if TLS cannot be set up, and `InvalidUrl` for a host
    /// that no certificate can name.
    pub(super) async fn handshake(
        &self,
        host: &str,
        io: Box<dyn Io>,
        is_proxy: bool,
    ) -> Result<TlsStream<Box<dyn Io>>, Error> {
        let mut config = self.config().await?;
        if is_proxy {
            // The CONNECT request is written in HTTP/1.1, also if the proxy would prefer HTTP/2.
            // Changes a copy: the shared configuration goes on offering HTTP/2 to servers.
            Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            Error::with_source(ErrorKind::InvalidUrl, "the host is not a name that TLS can check", error)
        })?;
        TlsConnector::from(config).connect(name, io).await.map_err(|error| handshake_error(host, error))
    }

    /// Returns the configuration, built at the first call. Reading the platform's roots takes
    /// milliseconds, so a thread of the blocking pool does it. A failure is not kept, so that roots
    /// which are installed later are found.
    async fn config(&self) -> Result<Arc<ClientConfig>, Error> {
        let build = || async {
            let settings = Arc::clone(&self.settings);
            let building = tokio::task::spawn_blocking(move || build_config(&settings));
            building.await.unwrap_or_else(|error| Err(setup_error(error)))
        };
        self.config.get_or_try_init(build).await.cloned()
    }
}

/// Builds the configuration of rustls. Blocks while it reads the platform's roots.
fn build_config(settings: &TlsSettings) -> Result<Arc<ClientConfig>, Error> {
    #[cfg(feature = "rustls-0_23")]
    if let Some(config) = &settings.config {
        let mut config = Arc::clone(config);
        // The caller's own list of protocols stands.
        if config.alpn_protocols.is_empty() {
            Arc::make_mut(&mut config).alpn_protocols = alpn_protocols();
        }
        return Ok(config);
    }
    let provider = Arc::new(crypto_provider());
    let verifier = certificate_verifier::build(settings, &provider)?;
    let versions = match settings.minimum {
        TlsVersion::Tls12 => &[&TLS13, &TLS12][..],
        TlsVersion::Tls13 => &[&TLS13],
    };
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions).map_err(setup_error)?;
    // rustls calls every verifier dangerous that it did not make itself, the platform's too.
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &settings.identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity)))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = alpn_protocols();
    Ok(Arc::new(config))
}

/// Returns the protocols that ALPN (RFC 7301) offers, in order of preference.
fn alpn_protocols() -> Vec<Vec<u8>> {
    let http2 = cfg!(feature = "http2").then_some("h2");
    http2.into_iter().chain(["http/1.1"]).map(|protocol| protocol.as_bytes().to_vec()).collect()
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    /// Only aws-lc-rs has a key exchange that resists quantum computers, as its first choice.
    #[test]
    fn the_provider_is_ring_unless_aws_lc_rs_is_enabled() {
        let first = crypto_provider().kx_groups[0].name();
        assert_eq!(first == NamedGroup::X25519MLKEM768, cfg!(feature = "aws-lc-rs"), "{first:?}");
    }
}
