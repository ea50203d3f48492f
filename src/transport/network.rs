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

#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::connector::{BoxFuture, BoxedConnector, Io, NegotiatedIo, boxed};
use super::http_connection::{Connect, HttpConnection};
#[cfg(feature = "http2")]
use super::http2_pool::Http2Pool;
use super::proxy::{self, ProxyChoice, ProxyProtocol, ProxyServer};
use super::tcp::{Tcp, TcpSettings};
#[cfg(feature = "tls")]
use super::tls::Tls;

/// How a client reaches servers, as its builder says.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkSettings {
    pub(crate) tcp: TcpSettings,
    /// `None`: the proxies that the environment names when the client is built.
    pub(crate) proxy: Option<ProxyChoice>,
    pub(crate) tcp_replacement: Option<TcpReplacement>,
}

/// A way to servers that replaces TCP and proxies.
#[derive(Debug, Clone)]
pub(crate) enum TcpReplacement {
    #[cfg(unix)]
    UnixSocket(Arc<Path>),
    Connector(BoxedConnector),
}

/// The way to servers that the streams of a client share.
#[derive(Clone)]
pub(crate) struct Network {
    tcp: Tcp,
    proxy: ProxyChoice,
    tcp_replacement: Option<TcpReplacement>,
    #[cfg(feature = "tls")]
    tls: Tls,
    #[cfg(feature = "http2")]
    pool: Http2Pool,
    /// True if servers are known to speak HTTP/2 without negotiation. Never without the feature.
    http2_prior_knowledge: bool,
}

/// The way to one target.
enum Route {
    Direct,
    Proxy(Arc<ProxyServer>),
    Replacement(TcpReplacement),
}

impl Network {
    /// Sets the network up. Reads the proxies of the environment unless the settings name one.
    pub(crate) fn new(settings: NetworkSettings, #[cfg(feature = "tls")] tls: Tls) -> Self {
        Self {
            tcp: Tcp::new(settings.tcp),
            proxy: settings.proxy.unwrap_or_else(ProxyChoice::from_environment),
            tcp_replacement: settings.tcp_replacement,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "http2")]
            pool: Http2Pool::default(),
            http2_prior_knowledge: false,
        }
    }

    /// Sets whether servers are known to speak HTTP/2 (RFC 9113, section 3.3).
    #[cfg(feature = "http2")]
    pub(crate) fn http2_prior_knowledge(self, known: bool) -> Self {
        Self { http2_prior_knowledge: known, ..self }
    }

    /// Chooses the way to a target: the replacement of TCP, else the target's proxy, else directly.
    fn route(&self, target: &Target) -> Result<Route, Error> {
        // Before proxies: a Unix socket or a connector is the whole way.
        if let Some(replacement) = &self.tcp_replacement {
            return Ok(Route::Replacement(replacement.clone()));
        }
        Ok(match self.proxy.for_target(target)? {
            None => Route::Direct,
            Some(proxy) => Route::Proxy(proxy),
        })
    }

    /// Connects to a target: to a forwarding proxy, through the HTTP/2 pool, or with a connection
    /// of the stream's own.
    async fn connect_to(&self, target: &Target, timeout: Duration) -> Result<HttpConnection, Error> {
        let route = match self.route(target)? {
            Route::Proxy(proxy) if self.is_forwarded(target, &proxy) => {
                let io = Box::pin(self.reach_proxy(&proxy, timeout)).await?;
                return Ok(HttpConnection::Forwarded(io, proxy));
            }
            route => route,
        };
        #[cfg(feature = "http2")]
        if self.http2_prior_knowledge || target.is_https() {
            return self.pool.connect(target, self.dial(route, target, timeout)).await;
        }
        Ok(HttpConnection::Http1(self.dial(route, target, timeout).await?.io))
    }

    /// Returns true if the proxy gets the request itself, rather than a request for a tunnel. With
    /// prior knowledge there is always a tunnel: it is about the server, not the proxy.
    fn is_forwarded(&self, target: &Target, proxy: &ProxyServer) -> bool {
        proxy.is_http() && !target.is_https() && !self.http2_prior_knowledge
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
    async fn dial(&self, route: Route, target: &Target, timeout: Duration) -> Result<NegotiatedIo, Error> {
        let io = match route {
            Route::Direct => self.tcp.connect(target.uri().clone(), target.authority(), timeout).await.map(boxed)?,
            // Boxed, so that the future of a stream without a proxy is smaller.
            Route::Proxy(proxy) => Box::pin(self.tunnel(&proxy, target, timeout)).await?,
            Route::Replacement(TcpReplacement::Connector(connector)) => connector.connect(target).await?,
            #[cfg(unix)]
            Route::Replacement(TcpReplacement::UnixSocket(path)) => unix_socket(&path).await?,
        };
        #[cfg(feature = "tls")]
        if target.is_https() {
            let tls = self.tls.handshake(target.host(), io, false).await?;
            let speaks_http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok(NegotiatedIo { io: Box::new(tls), speaks_http2 });
        }
        Ok(NegotiatedIo { io, speaks_http2: self.http2_prior_knowledge })
    }

    /// Connects to the proxy, and through it to the target.
    async fn tunnel(&self, proxy: &ProxyServer, target: &Target, timeout: Duration) -> Result<Box<dyn Io>, Error> {
        let io = self.reach_proxy(proxy, timeout).await?;
        proxy::open_tunnel(io, proxy, target).await
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
        let io = self.tcp.connect(proxy.uri().clone(), &proxy.to_string(), timeout).await.map_err(unreachable)?;
        match proxy.protocol() {
            ProxyProtocol::Http | ProxyProtocol::Socks5 => Ok(boxed(io)),
            #[cfg(feature = "tls")]
            ProxyProtocol::Https => {
                // TLS checks an IPv6 address without its brackets.
                let host = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']);
                self.tls.handshake(host, boxed(io), true).await.map(boxed).map_err(unreachable)
            }
            #[cfg(not(feature = "tls"))]
            ProxyProtocol::Https => {
                Err(unreachable(Error::new(ErrorKind::Unsupported, "https needs the feature \"tls\"")))
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
        match self.route(target) {
            Ok(Route::Proxy(proxy)) => Some(proxy),
            _ => None,
        }
    }
}

/// Connects to a Unix socket.
#[cfg(unix)]
async fn unix_socket(path: &Path) -> Result<Box<dyn Io>, Error> {
    tokio::net::UnixStream::connect(path).await.map(boxed).map_err(|error| {
        let message = format!("could not connect to the Unix socket {}", path.display());
        Error::with_source(ErrorKind::Connect, message, error)
    })
}
