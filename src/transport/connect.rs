//! [`Network`]: the ways to servers, and TLS over them for https.

#[cfg(unix)]
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

#[cfg(feature = "http2")]
use super::Pool;
use super::custom::Custom;
use super::proxy::{Protocol, Proxies, Proxy, Proxying};
use super::tcp::{Tcp, TcpSettings};
#[cfg(feature = "tls")]
use super::tls::Tls;
use super::{BoxFuture, Connect, HttpConnection, Io};

/// How a client is to reach servers.
#[derive(Debug, Clone, Default)]
pub(crate) struct NetworkSettings {
    pub(crate) tcp: TcpSettings,
    pub(crate) proxying: Proxying,
    /// In place of TCP and proxies.
    pub(crate) instead: Option<Instead>,
}

#[derive(Debug, Clone)]
pub(crate) enum Instead {
    #[cfg(unix)]
    Unix(Arc<Path>),
    Custom(Custom),
}

#[derive(Clone)]
pub(crate) struct Network {
    tcp: Tcp,
    proxies: Proxies,
    instead: Option<Instead>,
    #[cfg(feature = "tls")]
    tls: Tls,
    #[cfg(feature = "http2")]
    pool: Pool,
    #[cfg(feature = "http2")]
    prior_knowledge: bool,
}

/// The way to one target.
enum Route {
    Direct,
    Through(Arc<Proxy>),
    Instead(Instead),
}

impl Network {
    pub(crate) fn new(settings: NetworkSettings, #[cfg(feature = "tls")] tls: Tls) -> Self {
        Self {
            tcp: Tcp::new(settings.tcp),
            proxies: Proxies::new(settings.proxying),
            instead: settings.instead,
            #[cfg(feature = "tls")]
            tls,
            #[cfg(feature = "http2")]
            pool: Pool::default(),
            #[cfg(feature = "http2")]
            prior_knowledge: false,
        }
    }

    #[cfg(feature = "http2")]
    pub(crate) fn http2_prior_knowledge(self, known: bool) -> Self {
        Self { prior_knowledge: known, ..self }
    }

    fn route(&self, target: &Target) -> Result<Route, Error> {
        if let Some(instead) = &self.instead {
            return Ok(Route::Instead(instead.clone()));
        }
        Ok(match self.proxies.of(target)? {
            None => Route::Direct,
            Some(proxy) => Route::Through(proxy),
        })
    }

    /// Whether the proxy is asked in the target's stead, rather than for a tunnel to it: that the server speaks HTTP/2
    /// says nothing of the proxy.
    fn is_forwarded(&self, target: &Target, proxy: &Proxy) -> bool {
        proxy.is_http() && !target.is_https() && !self.knows_http2()
    }

    #[cfg(feature = "http2")]
    fn knows_http2(&self) -> bool {
        self.prior_knowledge
    }

    #[cfg(not(feature = "http2"))]
    fn knows_http2(&self) -> bool {
        false
    }

    /// A connection to `target`, and whether HTTP/2 is spoken on it.
    async fn dial(&self, route: Route, target: &Target, timeout: Duration) -> Result<(Box<dyn Io>, bool), Error> {
        let io = match route {
            Route::Direct => self.tcp.connect(target.uri().clone(), target.authority(), timeout).await.map(boxed)?,
            // Boxed: few have a proxy, and for those who have none the future is smaller.
            Route::Through(proxy) => Box::pin(self.tunnel(&proxy, target, timeout)).await?,
            Route::Instead(Instead::Custom(custom)) => custom.connect(target).await?,
            #[cfg(unix)]
            Route::Instead(Instead::Unix(path)) => unix_socket(&path).await?,
        };
        #[cfg(feature = "tls")]
        if target.is_https() {
            let tls = self.tls.handshake(target.host(), io).await?;
            let http2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
            return Ok((Box::new(tls), http2));
        }
        Ok((io, self.knows_http2()))
    }

    async fn tunnel(&self, proxy: &Proxy, target: &Target, timeout: Duration) -> Result<Box<dyn Io>, Error> {
        let io = self.reach(proxy, timeout).await?;
        proxy.tunnel(io, target).await
    }

    /// A connection to the proxy itself.
    async fn reach(&self, proxy: &Proxy, timeout: Duration) -> Result<Box<dyn Io>, Error> {
        let unreachable = |error: Error| match error.kind() {
            // As when the attempt's own timer comes first.
            ErrorKind::ConnectTimeout => proxy.late(error),
            _ => proxy.failed("cannot be reached", error),
        };
        let io = self.tcp.connect(proxy.uri().clone(), &proxy.to_string(), timeout).await.map_err(unreachable)?;
        match proxy.protocol() {
            Protocol::Http | Protocol::Socks5 => Ok(boxed(io)),
            #[cfg(feature = "tls")]
            Protocol::Https => {
                let host = proxy.uri().host().unwrap_or_default().trim_matches(['[', ']']);
                self.tls.handshake_for_http1(host, boxed(io)).await.map(boxed).map_err(unreachable)
            }
            #[cfg(not(feature = "tls"))]
            Protocol::Https => Err(unreachable(Error::new(ErrorKind::Unsupported, "https needs the feature \"tls\""))),
        }
    }

    /// Whether a connection to `target` may be one to share.
    #[cfg(feature = "http2")]
    fn may_share(&self, target: &Target) -> bool {
        self.prior_knowledge || target.is_https()
    }

    async fn link(&self, target: &Target, timeout: Duration) -> Result<HttpConnection, Error> {
        let route = match self.route(target)? {
            Route::Through(proxy) if self.is_forwarded(target, &proxy) => {
                let io = Box::pin(self.reach(&proxy, timeout)).await?;
                return Ok(HttpConnection::forwarded(io, proxy));
            }
            route => route,
        };
        #[cfg(feature = "http2")]
        if self.may_share(target) {
            return self.pool.link(target, self.dial(route, target, timeout)).await;
        }
        let (io, _) = self.dial(route, target, timeout).await?;
        Ok(HttpConnection::own(io))
    }
}

impl Connect for Network {
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        let (network, target) = (self.clone(), target.clone());
        Box::pin(async move { network.link(&target, timeout).await })
    }

    fn proxy(&self, target: &Target) -> Option<Arc<Proxy>> {
        match self.route(target) {
            Ok(Route::Through(proxy)) => Some(proxy),
            _ => None,
        }
    }
}

fn boxed(io: impl Io + 'static) -> Box<dyn Io> {
    Box::new(io)
}

#[cfg(unix)]
async fn unix_socket(path: &Path) -> Result<Box<dyn Io>, Error> {
    tokio::net::UnixStream::connect(path).await.map(boxed).map_err(|error| {
        let message = format!("could not connect to the Unix socket {}", path.display());
        Error::with_source(ErrorKind::Connect, message, error)
    })
}
