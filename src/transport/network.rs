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

use super::connector::{BoxFuture, BoxedConnector, Io, NegotiatedIo, boxed};
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
        let io = match (&self.connector, proxy) {
            (Some(connector), _) => connector.connect(target).await?,
            // Boxed, so that the future of a stream without a proxy is smaller.
            (None, Some(proxy)) => {
                let io = Box::pin(self.reach_proxy(&proxy, timeout)).await?;
                Box::pin(proxy::open_tunnel(io, &proxy, target)).await?
            }
            (None, None) => {
                self.tcp.connect(target.uri().clone(), target.shown_authority(), timeout).await.map(boxed)?
            }
        };
        #[cfg(feature = "tls")]
        if target.is_https() {
            let tls = self.tls.handshake(target.host(), io, false).await?;
            let speaks_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok(NegotiatedIo { io: Box::new(tls), speaks_http2 });
        }
        Ok(NegotiatedIo { io, speaks_http2: self.http2_prior_knowledge })
    }

    /// Connects to the proxy itself, with TLS if its URL is one of https.
    ///
    /// # Errors
    ///
    /// `Proxy`, or `ConnectTimeout` if no address answered in time.
    async fn reach_proxy(&self, proxy: &ProxyServer, timeout: Duration) -> Result<Box<dyn Io>, Error> {
        let unreachable = |error: Error| match error.kind() {
            // The same kind as when the timer of the whole attempt fires first.
            ErrorKind::ConnectTimeout => proxy.late(error),
            _ => proxy.failed("cannot be reached", error),
        };
        let io = self.tcp.connect(proxy.uri.clone(), &proxy.to_string(), timeout).await.map_err(unreachable)?;
        match proxy.protocol {
            ProxyProtocol::Http | ProxyProtocol::Socks5 => Ok(boxed(io)),
            #[cfg(feature = "tls")]
            ProxyProtocol::Https => {
                // TLS checks an IPv6 address without its brackets.
                let host = proxy.uri.host().unwrap_or_default().trim_matches(['[', ']']);
                self.tls.handshake(host, boxed(io), true).await.map(boxed).map_err(unreachable)
            }
        }
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
