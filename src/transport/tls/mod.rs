//! TLS: how a server is greeted, set up once per client, when the first https stream dials.

mod failure;
mod settings;
mod verifier;
mod version;

use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, SupportedProtocolVersion};
use tokio::sync::OnceCell;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub use self::version::TlsVersion;
use crate::error::{Error, ErrorKind};

use super::Io;

pub(super) use self::failure::explain;
pub(crate) use self::settings::TlsSettings;

/// What is offered by ALPN (RFC 7301), the most wanted first: what this crate speaks.
#[cfg(feature = "http2")]
const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];
#[cfg(not(feature = "http2"))]
const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Always explicit: a process-wide default would be whatever another crate has installed.
#[cfg(feature = "aws-lc-rs")]
fn provider() -> CryptoProvider {
    rustls::crypto::aws_lc_rs::default_provider()
}

/// Always explicit: a process-wide default would be whatever another crate has installed.
#[cfg(not(feature = "aws-lc-rs"))]
fn provider() -> CryptoProvider {
    rustls::crypto::ring::default_provider()
}

/// TLS for one client, shared by its streams.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    settings: Arc<TlsSettings>,
    config: Arc<OnceCell<Arc<ClientConfig>>>,
}

impl Tls {
    pub(crate) fn new(settings: TlsSettings) -> Self {
        Self { settings: Arc::new(settings), config: Arc::default() }
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
        self.config.get_or_try_init(|| build_off_thread(Arc::clone(&self.settings))).await.cloned()
    }
}

async fn greet(config: Arc<ClientConfig>, host: &str, io: Box<dyn Io>) -> Result<TlsStream<Box<dyn Io>>, Error> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| Error::with_source(ErrorKind::InvalidUrl, "the host is no name that TLS can check", error))?;
    TlsConnector::from(config).connect(name, io).await.map_err(|error| failure::of_handshake(host, error))
}

/// Reading the platform's roots takes milliseconds: not on the runtime's threads. A failure is not
/// kept, so that roots which are installed later are found.
async fn build_off_thread(settings: Arc<TlsSettings>) -> Result<Arc<ClientConfig>, Error> {
    let building = tokio::task::spawn_blocking(move || build(&settings));
    building.await.unwrap_or_else(|error| Err(unusable(error)))
}

fn build(settings: &TlsSettings) -> Result<Arc<ClientConfig>, Error> {
    #[cfg(feature = "rustls-0_23")]
    if let Some(config) = &settings.config {
        return Ok(with_protocols(config));
    }
    let provider = Arc::new(provider());
    let verifier = verifier::build(settings, &provider)?;
    Ok(Arc::new(configure(settings, provider, verifier)?))
}

fn configure(
    settings: &TlsSettings,
    provider: Arc<CryptoProvider>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(versions(settings.minimum)).map_err(unusable)?;
    // rustls calls any verifier dangerous that it did not make itself; the platform's is one.
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let mut config = match &settings.identity {
        Some(identity) => builder.with_client_cert_resolver(identity.resolver()),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = protocols();
    Ok(config)
}

/// A caller's own configuration; what it says of protocols stands.
#[cfg(feature = "rustls-0_23")]
fn with_protocols(config: &Arc<ClientConfig>) -> Arc<ClientConfig> {
    if !config.alpn_protocols.is_empty() {
        return Arc::clone(config);
    }
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = protocols();
    Arc::new(config)
}

fn protocols() -> Vec<Vec<u8>> {
    PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect()
}

fn versions(minimum: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_1_2: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS13, &rustls::version::TLS12];
    static FROM_1_3: [&SupportedProtocolVersion; 1] = [&rustls::version::TLS13];
    match minimum {
        TlsVersion::Tls12 => &FROM_1_2,
        TlsVersion::Tls13 => &FROM_1_3,
    }
}

fn unusable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with_source(ErrorKind::Roots, "TLS could not be set up", error)
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use super::*;

    /// Only aws-lc-rs has a key exchange that quantum computers do not break, and then it is the first choice.
    #[test]
    fn the_provider_is_ring_unless_the_feature_for_the_other_is_on() {
        let first = provider().kx_groups[0].name();
        assert_eq!(first == NamedGroup::X25519MLKEM768, cfg!(feature = "aws-lc-rs"), "{first:?}");
    }
}
