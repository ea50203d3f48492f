//! [`Network`]: chooses the way to a server, and runs TLS over it for https.
//!
//! | target | no proxy | HTTP proxy | SOCKS5 proxy |
//! |---|---|---|---|
//! | http | TCP | the proxy forwards the request | tunnel |
//! | http, HTTP/2 with prior knowledge | pooled connection | tunnel, pooled | tunnel, pooled |
//! | https | TLS, pooled if the server chooses HTTP/2 | tunnel, TLS through it | tunnel, TLS through it |
//!
//! A Unix socket or the caller's connector replaces TCP and proxies for all of them. A proxy that
//! fails is an error of the attempt; it is never bypassed.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::connector::{BoxFuture, BoxedConnector, Connecting, Io, NegotiatedIo, boxed};
use super::http_connection::{Connect, HttpConnection};
#[cfg(feature = "http2")]
use super::http2_pool::Http2Pool;
use super::proxy::{self, Proxies, ProxyProtocol, ProxyServer};
use super::tcp::{Tcp, TcpSettings};
#[cfg(feature = "tls")]
use super::tls::{Tls, TlsSettings};

/// How a client reaches servers, as its builder says.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkSettings {
    pub(crate) tcp: TcpSettings,
    /// `None`: the proxies that the environment names when the client is built.
    pub(crate) proxies: Option<Arc<Proxies>>,
    /// Replaces TCP and proxies: a Unix socket or the caller's connector.
    pub(crate) connector: Option<BoxedConnector>,
    #[cfg(feature = "tls")]
    pub(crate) tls: TlsSettings,
    /// True if servers are known to speak HTTP/2 without negotiation (RFC 9113, section 3.3). Never
    /// without the feature.
    pub(crate) http2_prior_knowledge: bool,
}

/// The way to servers that the streams of a client share.
#[derive(Clone)]
pub(crate) struct Network {
    tcp: Tcp,
    proxies: Arc<Proxies>,
    connector: Option<BoxedConnector>,
    #[cfg(feature = "tls")]
    tls: Tls,
    #[cfg(feature = "http2")]
    pool: Http2Pool,
    http2_prior_knowledge: bool,
}

impl Network {
    /// Sets the network up. Reads the proxies of the environment unless the settings name one.
    pub(crate) fn new(settings: NetworkSettings) -> Self {
        Self {
            tcp: Tcp::new(settings.tcp),
            proxies: settings.proxies.unwrap_or_else(|| Arc::new(Proxies::from_environment())),
            connector: settings.connector,
            #[cfg(feature = "tls")]
            tls: Tls::new(settings.tls),
            #[cfg(feature = "http2")]
            pool: Http2Pool::default(),
            http2_prior_knowledge: settings.http2_prior_knowledge,
        }
    }

    /// Returns the proxy for a target, if it has one. A connector is the whole way, without one.
    fn proxy_for(&self, target: &Target) -> Result<Option<Arc<ProxyServer>>, Error> {
        if self.connector.is_some() { Ok(None) } else { self.proxies.for_target(target) }
    }

    /// Connects to a target: to a forwarding proxy, through the HTTP/2 pool, or with a connection
    /// of the stream's own.
    async fn connect_to(&self, target: &Target, timeout: Duration) -> Result<HttpConnection, Error> {
        let proxy = self.proxy_for(target)?;
        let is_plain_http1 = !target.is_https() && !self.http2_prior_knowledge;
        // Nothing else is forwarded: the server may speak HTTP/2 where the proxy does not.
        if let Some(proxy) = proxy.clone().filter(|it| is_plain_http1 && it.protocol != ProxyProtocol::Socks5) {
            let io = Box::pin(self.reach_proxy(&proxy, timeout)).await?;
            return Ok(HttpConnection::Forwarded(io, proxy));
        }
        #[cfg(feature = "http2")]
        if !is_plain_http1 {
            return self.pool.connect(target, self.dial(proxy, target, timeout)).await;
        }
        Ok(HttpConnection::Http1(self.dial(proxy, target, timeout).await?.io))
    }

    /// Opens a byte stream to `target`, with TLS for https.
    ///
    /// # Errors
    ///
    /// `Dns`, `Connect`, `ConnectTimeout`, `Proxy`, `Tls` or `Roots`: the kind says who failed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the socket.
    async fn dial(
        &self,
        proxy: Option<Arc<ProxyServer>>,
        target: &Target,
        timeout: Duration,
    ) -> Result<NegotiatedIo, Error> {
        let reach = || self.reach(proxy.clone(), target, timeout);
        #[cfg(feature = "tls")]
        if target.is_https() {
            return self.tls.connect(target.uri(), false, reach).await;
        }
        Ok(NegotiatedIo { io: reach().await?, speaks_http2: self.http2_prior_knowledge })
    }

    /// Opens a byte stream to `target` by the caller's connector, through a proxy, or by TCP.
    fn reach(&self, proxy: Option<Arc<ProxyServer>>, target: &Target, timeout: Duration) -> Connecting {
        // The future outlives the call: hyper-rustls boxes it.
        let (network, target) = (self.clone(), target.clone());
        Box::pin(async move {
            match (&network.connector, proxy) {
                (Some(connector), _) => connector.connect(&target).await,
                (None, Some(proxy)) => {
                    let io = network.reach_proxy(&proxy, timeout).await?;
                    proxy::open_tunnel(io, &proxy, &target).await
                }
                (None, None) => {
                    network.tcp.connect(target.uri().clone(), target.shown_authority(), timeout).await.map(boxed)
                }
            }
        })
    }

    /// Connects to the proxy itself, with TLS if its URL is one of https.
    ///
    /// # Errors
    ///
    /// `Proxy`, or `ConnectTimeout` if no address answered in time.
    async fn reach_proxy(&self, proxy: &Arc<ProxyServer>, timeout: Duration) -> Result<Box<dyn Io>, Error> {
        let reach = || -> Connecting {
            let (tcp, proxy) = (self.tcp.clone(), Arc::clone(proxy));
            Box::pin(async move { tcp.connect(proxy.uri.clone(), &proxy.to_string(), timeout).await.map(boxed) })
        };
        let reached = match proxy.protocol {
            ProxyProtocol::Http | ProxyProtocol::Socks5 => reach().await,
            #[cfg(feature = "tls")]
            ProxyProtocol::Https => self.tls.connect(&proxy.uri, true, reach).await.map(|tls| tls.io),
        };
        reached.map_err(|error| match error.kind() {
            // The same kind as when the timer of the whole attempt fires first.
            ErrorKind::ConnectTimeout => proxy.late(error),
            _ => proxy.failed("cannot be reached", error),
        })
    }
}

impl Connect for Network {
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        // The future outlives the call: it lives in the connection task's phase.
        let (network, target) = (self.clone(), target.clone());
        Box::pin(async move { network.connect_to(&target, timeout).await })
    }

    fn proxy(&self, target: &Target) -> Option<Arc<ProxyServer>> {
        self.proxy_for(target).ok().flatten()
    }
}
