//! TLS: hyper-rustls performs the handshake with a server, over any byte stream. It is set up once
//! per client, when the first https stream connects.
//!
//! `tls_settings` holds what the caller set, `certificate_verifier` checks the server's
//! certificate, and `handshake_error` turns rustls's errors into ones that say what to do. A client
//! without https streams reads no certificate. A missing root store is an error of the attempt, not
//! of the builder, so that roots which are installed later are found.

mod certificate_verifier;
mod handshake_error;
mod tls_settings;

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::sign::SingleCertAndKey;
use rustls::version::{TLS12, TLS13};
use tokio::sync::OnceCell;
use tower_service::Service;

use crate::error::Error;

use super::connector::{BoxFuture, Connecting, Io, NegotiatedIo, boxed};

pub(super) use self::handshake_error::explain;
use self::handshake_error::https_error;
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

    /// Connects by `reach`, and performs the handshake with `server`, a URL of https. A proxy gets
    /// HTTP/1.1 only.
    ///
    /// # Errors
    ///
    /// Those of `reach`; `Tls` if the handshake fails. Before it connects: `Roots` if TLS cannot be
    /// set up, and `InvalidUrl` for a host that no certificate can name.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the byte stream.
    pub(super) async fn connect(
        &self,
        server: &Uri,
        is_proxy: bool,
        reach: impl Fn() -> Connecting + Send,
    ) -> Result<NegotiatedIo, Error> {
        let mut config = self.config().await?;
        if is_proxy {
            // The CONNECT request is written in HTTP/1.1, also if the proxy would prefer HTTP/2.
            // Changes a copy: the shared configuration goes on offering HTTP/2 to servers.
            Arc::make_mut(&mut config).alpn_protocols = vec![b"http/1.1".to_vec()];
        }
        let mut https = HttpsConnector::from((Reach(reach), config));
        // By default it takes URLs of http too, and does without TLS.
        https.enforce_https();
        // `Reach` is always ready, and so is hyper-rustls.
        let stream = https.call(server.clone()).await.map_err(|error| https_error(server, error))?;
        let speaks_http2 = stream.connected().is_negotiated_h2();
        Ok(NegotiatedIo { io: boxed(TokioIo::new(stream)), speaks_http2 })
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

/// A way to one server, as the connector that hyper-rustls expects.
struct Reach<F>(F);

impl<F: Fn() -> Connecting> Service<Uri> for Reach<F> {
    type Response = TokioIo<Box<dyn Io>>;
    type Error = Error;
    type Future = BoxFuture<Result<Self::Response, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = (self.0)();
        Box::pin(async { connecting.await.map(TokioIo::new) })
    }
}

impl Connection for Box<dyn Io> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use rustls::NamedGroup;

    use crate::error::ErrorKind;

    use super::*;

    #[tokio::test]
    async fn a_server_is_never_reached_without_tls() {
        let tls = Tls::new(TlsSettings { accept_invalid: true, ..TlsSettings::default() });
        let reach = || -> Connecting { unreachable!("a URL of http is refused before") };
        let refused = tls.connect(&Uri::from_static("http://host/"), false, reach).await;
        assert_eq!(refused.err().unwrap().kind(), ErrorKind::Tls);
    }

    /// Only aws-lc-rs has a key exchange that resists quantum computers, as its first choice.
    #[test]
    fn the_provider_is_ring_unless_aws_lc_rs_is_enabled() {
        let first = crypto_provider().kx_groups[0].name();
        assert_eq!(first == NamedGroup::X25519MLKEM768, cfg!(feature = "aws-lc-rs"), "{first:?}");
    }
}
