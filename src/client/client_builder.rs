//! [`ClientBuilder`]: TLS, proxies, connections, cookies and default headers.

use std::error::Error as StdError;
use std::future::Future;
use std::net::IpAddr;
#[cfg(unix)]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;

use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
#[cfg(feature = "cookies")]
use crate::transport::Jar;
#[cfg(feature = "tls")]
use crate::transport::TlsVersion;
use crate::transport::{
    BoxedConnector, BoxedTransport, Connector, Network, NetworkSettings, Proxies, ProxyServer, Resolver, TcpKeepalive,
    Transport,
};

use super::Client;
#[cfg(doc)]
use super::StreamBuilder;

/// Builds a [`Client`].
///
/// ```
/// use std::time::Duration;
/// use sseclient::{Client, TcpKeepalive};
///
/// let client = Client::builder()
///     .no_proxy()
///     .tcp_keepalive(TcpKeepalive::new().idle(Duration::from_secs(20)))
///     .build();
/// ```
///
/// A setter that takes text (certificates, a proxy's URL) checks it and fails at once. The other
/// setters and [`build`](Self::build) cannot fail.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClientBuilder {
    network: NetworkSettings,
    /// The last setter that has changed the network.
    network_setter: Option<&'static str>,
    /// Replaces the network.
    transport: Option<BoxedTransport>,
    #[cfg(feature = "cookies")]
    cookies: bool,
    headers: HeaderMap,
}

/// # TLS
///
/// By default the client speaks TLS 1.2 and 1.3 and checks certificates against the platform's
/// roots. These setters check what they are given. The rest of TLS is set up when the first https
/// stream connects, once for all streams of the client. A PEM text (RFC 7468) may hold several
/// certificates, and other text around them.
#[cfg(feature = "tls")]
impl ClientBuilder {
    /// Checks servers' certificates against these root certificates, instead of the platform's.
    ///
    /// The text is PEM. A later call replaces an earlier one. To trust a private authority beside
    /// the public ones, use [`add_root_certificates_pem`](Self::add_root_certificates_pem).
    ///
    /// A self-signed certificate can be its own root, unless it is marked as an authority's
    /// (`CA:TRUE`, the default of `openssl req -x509`): TLS refuses such a certificate as a
    /// server's own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if the text holds no certificate, or one that cannot be read.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.network("root_certificates_pem").tls.replace_roots(pem)?;
        Ok(self)
    }

    /// Trusts these root certificates in addition to the others.
    ///
    /// The text is PEM. The others are the platform's roots, Mozilla's, or those given to
    /// [`root_certificates_pem`](Self::root_certificates_pem). Each call adds to earlier ones. If
    /// the platform has no roots, these alone are trusted. On Android the platform's verifier takes
    /// no other roots: a stream that connects there fails with [`ErrorKind::Unsupported`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if the text holds no certificate, or one that cannot be read.
    pub fn add_root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.network("add_root_certificates_pem").tls.add_roots(pem)?;
        Ok(self)
    }

    /// Checks servers' certificates against Mozilla's root certificates, instead of the platform's.
    ///
    /// For containers without root certificates. Mozilla's are compiled into the program. So an
    /// authority that loses trust later stays trusted, the program ignores roots that an
    /// administrator adds to the machine, and revocation is not checked.
    #[cfg(feature = "webpki-roots")]
    pub fn webpki_roots(mut self) -> Self {
        self.network("webpki_roots").tls.use_webpki_roots();
        self
    }

    /// Sets the client's certificate for servers that ask for one (mutual TLS); none by default.
    ///
    /// Both texts are PEM. `certificates` begins with the client's own certificate, followed by
    /// those between it and the authority. One text that holds everything may be given for both.
    ///
    /// A server that misses or refuses the certificate fails the attempt with [`ErrorKind::Tls`].
    /// The stream retries, because the server's list can change. The texts are read once: a
    /// certificate that expires is not replaced while the client lives.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if there is no certificate or no key (PKCS#8, PKCS#1 or SEC1),
    /// if one cannot be read, if the key is encrypted, or if it does not fit the certificate.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # fn client() -> Result<sseclient::Client, Box<dyn std::error::Error>> {
    /// let certificates = std::fs::read("client.pem")?;
    /// let key = std::fs::read("client.key")?;
    /// let client = sseclient::Client::builder().identity_pem(&certificates, &key)?.build();
    /// # Ok(client)
    /// # }
    /// ```
    pub fn identity_pem(mut self, certificates: &[u8], key: &[u8]) -> Result<Self, Error> {
        self.network("identity_pem").tls.set_identity(certificates, key)?;
        Ok(self)
    }

    /// Sets the oldest version of TLS to speak; [1.2](TlsVersion::Tls12) by default.
    ///
    /// A server that has only older versions fails the attempt with [`ErrorKind::Tls`].
    pub fn minimum_tls_version(mut self, version: TlsVersion) -> Self {
        self.network("minimum_tls_version").tls.minimum = version;
        self
    }

    /// Accepts any certificate, also an expired one or one for another name; off by default.
    ///
    /// **Dangerous:** an attacker between client and server can read everything, tokens included,
    /// and invent events. TLS still checks that the server has the key of the certificate it shows,
    /// but an attacker can make a pair of both.
    ///
    /// For tests only. For a server with a private or self-signed certificate use
    /// [`add_root_certificates_pem`](Self::add_root_certificates_pem). Root certificates have no
    /// effect while this is on.
    pub fn danger_accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.network("danger_accept_invalid_certificates").tls.accept_invalid = accept;
        self
    }

    /// Uses this configuration of rustls 0.23, in place of all other TLS settings of this builder.
    ///
    /// For hardware keys, certificates that change while the client lives, revocation lists, or
    /// another cryptography provider. An empty `alpn_protocols` becomes the protocols that this
    /// crate speaks. Otherwise the list stays, and a server that picks a protocol which this crate
    /// does not speak fails the attempt.
    #[cfg(feature = "rustls-0_23")]
    pub fn rustls_0_23_config(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.network("rustls_0_23_config").tls.config = Some(config);
        self
    }
}

/// # Proxies
///
/// By default the client uses the proxies that the environment names. It reads the environment
/// once, in [`build`](Self::build): `HTTP_PROXY` for http, `HTTPS_PROXY` for https, and `ALL_PROXY`
/// for both. A lower-case name has priority over the same name in upper case. `NO_PROXY` lists
/// domains, addresses and networks that are reached directly, or is `*`. Domains outside of ASCII
/// need feature `idn`; without it, write them as in a URL, with `xn--`. A variable that is not a
/// proxy's URL fails each stream that it applies to, with [`ErrorKind::InvalidConfig`].
///
/// In a CGI program (`REQUEST_METHOD` is set) `HTTP_PROXY` is ignored, because there a web client
/// can set it with a request header.
impl ClientBuilder {
    /// Reaches all servers through this proxy, and ignores the environment.
    ///
    /// `http://user:password@host:port` and `https://…` are HTTP proxies, `socks5://…` is SOCKS5.
    /// The default scheme is `http`; the default ports are 80, 443 and 1080. An HTTP proxy forwards
    /// requests to http servers, and opens a tunnel (`CONNECT`) to https servers, with TLS inside.
    /// The proxy resolves names: `socks`, `socks5` and `socks5h` mean the same. SOCKS4 is not
    /// supported. Credentials in the URL are sent to the proxy only (Basic, or SOCKS5's user and
    /// password).
    ///
    /// A `Proxy-Authorization` header that you set on a stream is part of the request instead. It
    /// reaches the proxy only where the proxy forwards the request. Through a tunnel, through
    /// SOCKS5 and without a proxy it reaches the server. It cannot open a tunnel.
    ///
    /// A proxy that cannot be reached, or refuses, fails the attempt with [`ErrorKind::Proxy`], and
    /// the stream retries. The [connect timeout](StreamBuilder::connect_timeout) includes the
    /// proxy.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`] if `url` is not a proxy's URL. The error does not repeat the
    /// URL, since it may hold a password.
    ///
    /// # Examples
    ///
    /// ```
    /// let client = sseclient::Client::builder().proxy("socks5://localhost:9050")?.build();
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn proxy(mut self, url: impl AsRef<str>) -> Result<Self, Error> {
        self.network("proxy").proxies = Some(Arc::new(Proxies::all(ProxyServer::parse(url.as_ref())?)));
        Ok(self)
    }

    /// Reaches all servers directly, and ignores the proxies of the environment.
    pub fn no_proxy(mut self) -> Self {
        self.network("no_proxy").proxies = Some(Arc::new(Proxies::none()));
        self
    }
}

/// # Connections
///
/// By default the client connects over TCP and lets the system resolve names.
impl ClientBuilder {
    /// Reaches all servers through this Unix socket, in place of TCP and proxies.
    ///
    /// The host of a stream's URL is only sent in the request. An https URL speaks TLS over the
    /// socket. This replaces an earlier [`connector`](Self::connector).
    #[cfg(unix)]
    pub fn unix_socket(mut self, path: impl Into<PathBuf>) -> Self {
        self.network("unix_socket").connector = Some(BoxedConnector::unix_socket(path.into().into()));
        self
    }

    /// Reaches all servers through a connector of your own, in place of TCP and proxies.
    ///
    /// This replaces an earlier `unix_socket`.
    pub fn connector(mut self, connector: impl Connector) -> Self {
        self.network("connector").connector = Some(BoxedConnector::new(connector));
        self
    }

    /// Resolves host names, of proxies too, with `lookup`; by default with the system's resolver.
    ///
    /// The client tries the addresses in the order of the list. It does not call `lookup` for a
    /// host that is an address. An error or an empty list fails the attempt with
    /// [`ErrorKind::Dns`]. The [connect timeout](StreamBuilder::connect_timeout) includes the
    /// lookup.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::net::{IpAddr, Ipv4Addr};
    ///
    /// let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
    /// let lookup = move |_name: String| async move { Ok::<_, std::io::Error>(vec![local]) };
    /// let client = sseclient::Client::builder().resolver(lookup).build();
    /// ```
    pub fn resolver<F, Fut, E>(mut self, lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Vec<IpAddr>, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.network("resolver").tcp.resolver = Resolver::custom(lookup);
        self
    }

    /// Connects from this address of the machine; by default the system chooses.
    ///
    /// Servers without an address of the same family can then not be reached.
    pub fn local_address(mut self, address: IpAddr) -> Self {
        self.network("local_address").tcp.local_address = Some(address);
        self
    }

    /// Sends requests at once instead of collecting small writes (`TCP_NODELAY`); on by default.
    ///
    /// A request is one small write, so collecting would only delay it.
    pub fn tcp_nodelay(mut self, nodelay: bool) -> Self {
        self.network("tcp_nodelay").tcp.nodelay = nodelay;
        self
    }

    /// Sets how TCP detects a dead link; [`TcpKeepalive::new`] by default.
    ///
    /// Without it a stream whose peer vanished would wait forever. `None` turns it off, and leaves
    /// the detection to [`idle_timeout`](StreamBuilder::idle_timeout).
    #[doc(alias = "timeout")]
    pub fn tcp_keepalive(mut self, keepalive: impl Into<Option<TcpKeepalive>>) -> Self {
        self.network("tcp_keepalive").tcp.keepalive = keepalive.into();
        self
    }

    /// Sets how long a server's preferred addresses are tried alone; 300 ms by default.
    ///
    /// The addresses of the other family (IPv4 or IPv6) join in afterwards (RFC 8305, "happy
    /// eyeballs"), so that one broken family costs little. The preferred family is that of the
    /// first address in the resolver's list. `None` tries all addresses one after the other.
    ///
    /// Within a family the client tries the next address once one has refused, or has not answered
    /// within its share of the [connect timeout](StreamBuilder::connect_timeout).
    pub fn happy_eyeballs_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.network("happy_eyeballs_timeout").tcp.happy_eyeballs = timeout.into();
        self
    }

    /// Speaks HTTP/2 to http servers without negotiation (RFC 9113, section 3.3); off by default.
    ///
    /// A server that does not speak HTTP/2 fails the attempt, and the stream retries. For https
    /// the server chooses the version in any case.
    #[cfg(feature = "http2")]
    pub fn http2_prior_knowledge(mut self, known: bool) -> Self {
        self.network("http2_prior_knowledge").http2_prior_knowledge = known;
        self
    }
}

/// # Transport
impl ClientBuilder {
    /// Sends all requests through an HTTP client of your own, in place of the built-in transport.
    ///
    /// See [`Transport`]. All other settings of TLS, proxies and connections are the built-in
    /// transport's: together with this one they are an [`ErrorKind::InvalidConfig`] when a stream
    /// is built. https needs no feature `tls` then.
    pub fn transport(mut self, transport: impl Transport) -> Self {
        self.transport = Some(BoxedTransport::new(transport));
        self
    }

    /// Returns the settings of the network, to be changed by the setter of this name.
    fn network(&mut self, setter: &'static str) -> &mut NetworkSettings {
        self.network_setter = Some(setter);
        &mut self.network
    }
}

/// # Cookies
#[cfg(feature = "cookies")]
impl ClientBuilder {
    /// Keeps the cookies that servers set, and sends them back (RFC 6265); off by default.
    ///
    /// Each built client has a jar of its own, in memory, for all of its streams, reconnections and
    /// redirects. A load balancer may need its cookie to route a reconnection to the same server.
    ///
    /// A server can set up to 50 cookies per domain, of 4 KiB each; the jar holds 3,000. When it is
    /// full, the oldest are dropped. A request carries at most 8,000 bytes of them. The jar refuses
    /// a cookie for a whole top-level domain, but has no list of other public suffixes (`co.uk`).
    /// So do not share a client between sites that must not know of each other.
    ///
    /// Cookies of your own ([`StreamBuilder::cookie`] or a `Cookie` header) come first and replace
    /// those of the same name.
    pub fn cookies(self, keep: bool) -> Self {
        Self { cookies: keep, ..self }
    }
}

/// # Defaults
impl ClientBuilder {
    /// Sets the headers that every stream of the client begins with; none by default.
    ///
    /// A later call replaces an earlier one. A header that a stream sets replaces all values of the
    /// same name; authorization in the stream's URL replaces `Authorization`. Only
    /// [`StreamBuilder::cookie`] adds to the `Cookie` header. The values are treated as secrets:
    /// they never appear in `Debug`, logs or errors. To another origin a redirect carries only a
    /// few that hold no secrets, like `User-Agent`: see [`StreamBuilder::redirects`].
    ///
    /// A `Last-Event-ID`, which belongs to one stream, or more than 1,024 headers are an
    /// [`ErrorKind::InvalidHeader`] when a stream is built.
    ///
    /// # Examples
    ///
    /// ```
    /// use http::header::{HeaderMap, HeaderValue, USER_AGENT};
    ///
    /// let headers = HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_static("relay/2"))]);
    /// let client = sseclient::Client::builder().default_headers(headers).build();
    /// ```
    pub fn default_headers(mut self, mut headers: HeaderMap) -> Self {
        // `Debug` of a sensitive value does not print it, and HTTP/2 does not index it.
        headers.values_mut().for_each(|value| value.set_sensitive(true));
        self.headers = headers;
        self
    }
}

/// # Build
impl ClientBuilder {
    /// Builds the client.
    ///
    /// Reads the proxy variables of the environment, unless a proxy setting replaces them.
    pub fn build(self) -> Client {
        Client {
            unused_setting: self.network_setter.filter(|_| self.transport.is_some()),
            connector: match self.transport {
                Some(transport) => Arc::new(transport),
                None => Arc::new(Network::new(self.network)),
            },
            // Made here and not in the setter: clones of a builder must not share a jar.
            #[cfg(feature = "cookies")]
            cookies: self.cookies.then(|| Arc::new(Jar::default()) as _),
            #[cfg(not(feature = "cookies"))]
            cookies: None,
            headers: Arc::new(self.headers),
            #[cfg(feature = "testing")]
            observer: None,
        }
    }
}
