//! [`ClientBuilder`], continued: how servers are reached.

use std::error::Error as StdError;
use std::future::Future;
use std::net::IpAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::error::Error;
use crate::transport::{Connector, Custom, Instead, Proxy, Proxying, Resolver, TcpKeepalive};

use super::ClientBuilder;

/// How servers are reached: by default over TCP, through the proxies that the environment names.
impl ClientBuilder {
    /// Reaches all servers through this proxy, whatever the environment says.
    ///
    /// `http://user:password@host:port` or `https://…` for an HTTP proxy, `socks5://…` for SOCKS5; without a scheme it
    /// is `http`, without a port 80, 443 or 1080. An HTTP proxy forwards what is asked of http servers, and opens a
    /// tunnel (`CONNECT`) to https servers, TLS within it. Names are resolved by the proxy: `socks5` and `socks5h` mean
    /// the same here. Credentials go to the proxy (Basic, or SOCKS5's user and password), and never further.
    ///
    /// Not so a header `Proxy-Authorization` that you set on a stream: it is part of the request, and goes to whoever is
    /// asked. That is the proxy only where it forwards the request; it is the server itself through a tunnel, through
    /// SOCKS5, and without a proxy. It opens no tunnel.
    ///
    /// A proxy that cannot be reached, or refuses, is an [`ErrorKind::Proxy`](crate::ErrorKind::Proxy), which is tried
    /// again. What is slow is bounded by the [connect timeout](crate::StreamBuilder::connect_timeout).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) when this is no proxy's URL. It is not in the
    /// error, since it may hold a password.
    ///
    /// # Examples
    ///
    /// ```
    /// let client = sseclient::Client::builder().proxy("socks5://localhost:9050")?.build();
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn proxy(mut self, url: impl AsRef<str>) -> Result<Self, Error> {
        self.network.proxying = Proxying::Always(Arc::new(Proxy::parse(url.as_ref())?));
        Ok(self)
    }

    /// Uses no proxy, whatever the environment says.
    ///
    /// By default the environment is read once, when the client is built: `HTTP_PROXY` for http, `HTTPS_PROXY` for
    /// https, `ALL_PROXY` for both, in lower case (which goes first) or upper case; `NO_PROXY` lists domains, addresses
    /// and networks that are reached directly, or `*`. In a CGI program (`REQUEST_METHOD` is set) whoever sends a
    /// request can set `HTTP_PROXY`, which is left aside there. A variable that is no proxy's URL fails each stream
    /// that it is for, with [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig).
    pub fn no_proxy(mut self) -> Self {
        self.network.proxying = Proxying::Never;
        self
    }

    /// Reaches all servers through this Unix socket, whatever the host in the URL, which is what they are asked for.
    /// For https there is TLS over it. In place of TCP and proxies, and of a connector set before.
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.network.instead = Some(Instead::Unix(path.into().into()));
        self
    }

    /// Reaches all servers through a connector of your own, in place of TCP and proxies, and of a Unix socket set
    /// before.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.network.instead = Some(Instead::Custom(Custom::new(connector)));
        self
    }

    /// Asks `lookup`, not the system, for the addresses of a host name (of a proxy's, too); the order counts. Not
    /// asked for hosts that are addresses.
    ///
    /// An error, or an empty list, is an [`ErrorKind::Dns`](crate::ErrorKind::Dns) of the attempt. Bounded by the
    /// [connect timeout](crate::StreamBuilder::connect_timeout).
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv4Addr};
    ///
    /// let lookup = |_name: String| async { Ok::<_, std::io::Error>(vec![IpAddr::V4(Ipv4Addr::LOCALHOST)]) };
    /// let client = sseclient::Client::builder().resolver(lookup).build();
    /// ```
    pub fn resolver<F, Fut, E>(mut self, lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<IpAddr>, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.network.tcp.resolver = Resolver::given(lookup);
        self
    }

    /// Connects from this address of the machine; the system chooses by default. Servers without an address of the
    /// same family cannot be reached then.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.network.tcp.local_address = Some(address);
        self
    }

    /// Whether requests are sent at once rather than collected (`TCP_NODELAY`); on by default.
    pub fn tcp_nodelay(mut self, nodelay: bool) -> Self {
        self.network.tcp.nodelay = nodelay;
        self
    }

    /// How a link that died without a word is noticed, by [`TcpKeepalive::new`] unless set; `None` leaves it to
    /// [`idle_timeout`](crate::StreamBuilder::idle_timeout).
    pub fn tcp_keepalive(mut self, keepalive: impl Into<Option<TcpKeepalive>>) -> Self {
        self.network.tcp.keepalive = keepalive.into();
        self
    }

    /// How long a server's addresses of the preferred family (IPv6, mostly) are tried alone before those of the other
    /// join in (RFC 8305); 300 ms by default. `None`: one after the other.
    ///
    /// Within a family they are tried one after the other: the next one when one has refused, or has not answered
    /// within its share of the [connect timeout](crate::StreamBuilder::connect_timeout). Preferred is the family of the
    /// address that the resolver names first.
    pub fn happy_eyeballs_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.network.tcp.happy_eyeballs = timeout.into();
        self
    }
}
