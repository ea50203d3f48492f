//! [`Client`]: what many streams share.

mod network;
mod stream_builder;

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, Uri};

use crate::error::Error;
use crate::hub::Filter;
use crate::subscription::Subscription;
#[cfg(feature = "cookies")]
use crate::transport::Jar;
#[cfg(feature = "tls")]
use crate::transport::TlsVersion;
use crate::transport::{Connect, Cookies, Network, NetworkSettings};
#[cfg(feature = "tls")]
use crate::transport::{Tls, TlsSettings};

pub use self::stream_builder::StreamBuilder;

/// Follows the stream at `url`: all events, with the defaults, once it is open. The short form, for
/// scripts.
///
/// # Errors
///
/// What is wrong with the URL, and whatever ended the first attempt, be it a 204
/// ([`ErrorKind::Closed`](crate::ErrorKind::Closed)). Later ones are retried.
///
/// # Panics
///
/// Outside a tokio runtime.
///
/// # Cancel safety
///
/// Dropping the future closes the stream.
///
/// # Examples
///
/// ```no_run
/// # async fn follow() -> Result<(), sseclient::Error> {
/// let mut events = sseclient::open("http://127.0.0.1:8080/stream").await?.into_events();
/// while let Some(event) = events.recv().await {
///     println!("{}: {}", event.event_type(), event.data());
/// }
/// # Ok(())
/// # }
/// ```
pub async fn open<U>(url: U) -> Result<Subscription, Error>
where
    U: TryInto<Uri, Error: Into<http::Error>>,
{
    Client::new().stream(url).open(Filter::all()).await
}

/// What many streams share: TLS, how connections are made, and headers. Cheap to clone.
///
/// Making one only reads which proxies the environment names, and cannot fail: TLS is set up when the first https stream
/// dials.
///
/// With feature `http2`, streams to one origin share a connection where the server speaks HTTP/2. A task drives it, on the
/// runtime of the stream that has dialled it, and ends with the last of its streams; when that runtime ends first, the
/// others dial anew.
#[derive(Clone)]
pub struct Client {
    connector: Arc<dyn Connect>,
    cookies: Option<Arc<dyn Cookies>>,
    headers: Arc<HeaderMap>,
}

impl Client {
    /// A client with the defaults: certificates are checked against what the platform trusts.
    pub fn new() -> Self {
        ClientBuilder::default().build()
    }

    /// A client with settings of its own.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Begins a stream of the events at `url`. What is wrong with the URL is reported when the
    /// stream is built.
    pub fn stream<U>(&self, url: U) -> StreamBuilder
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        let stream = StreamBuilder::new(Arc::clone(&self.connector), url.try_into().map_err(Into::into));
        stream.cookies(self.cookies.clone()).default_headers(&self.headers)
    }

    #[cfg(test)]
    pub(crate) fn with_connector(connector: Arc<dyn Connect>) -> Self {
        Self { connector, cookies: None, headers: Arc::default() }
    }
}

impl Default for Client {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

/// Builds a [`Client`].
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
#[must_use = "a builder does nothing until `build` is called"]
pub struct ClientBuilder {
    pub(crate) network: NetworkSettings,
    #[cfg(feature = "tls")]
    tls: TlsSettings,
    #[cfg(feature = "http2")]
    http2_prior_knowledge: bool,
    #[cfg(feature = "cookies")]
    cookies: bool,
    headers: HeaderMap,
}

impl ClientBuilder {
    /// Headers that every stream of the client begins with, in place of those of an earlier call. What a stream sets
    /// itself replaces all values of the same name, before it is built or later; authorization in its URL replaces
    /// `Authorization`. Only a [`cookie`](StreamBuilder::cookie) is added to those in `Cookie`. The values are treated as
    /// secrets: they never appear in `Debug`, logs or errors, and stay behind when a redirect leads to another origin.
    ///
    /// `Last-Event-ID`, which belongs to one stream, and more than 1,024 headers are an
    /// [`ErrorKind::InvalidHeader`](crate::ErrorKind::InvalidHeader) when a stream is built.
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
        headers.values_mut().for_each(|value| value.set_sensitive(true));
        self.headers = headers;
        self
    }

    /// Speaks HTTP/2 to servers in clear without asking whether they can (RFC 9113, section 3.3); off by default.
    /// A server that cannot fails the attempt, which is tried again. Over TLS the server chooses, in any case.
    #[cfg(feature = "http2")]
    pub fn http2_prior_knowledge(self, known: bool) -> Self {
        Self { http2_prior_knowledge: known, ..self }
    }

    /// Whether to keep the cookies that servers set, and to send them with every request that they are meant for (RFC
    /// 6265): by all streams of the client, with each reconnection (which a load balancer may need to find the same
    /// server again), and with each redirect. Off by default. Each client that is built has a jar of its own, in memory.
    ///
    /// Cookies of the caller's own ([`cookie`](StreamBuilder::cookie), or the header `Cookie`) come first, and replace
    /// those of the same name. A server can set up to 50 of a domain, of 4 KiB each, and all of them 3,000; the oldest
    /// make room. 8,000 bytes of them are sent at most. A cookie for a whole top-level domain is refused; for other public
    /// suffixes (`co.uk`, say) there is no list, so do not share a client between sites that must not know each other.
    #[cfg(feature = "cookies")]
    pub fn cookies(self, keep: bool) -> Self {
        Self { cookies: keep, ..self }
    }

    /// The client.
    pub fn build(self) -> Client {
        let connector = Network::new(
            self.network,
            #[cfg(feature = "tls")]
            Tls::new(self.tls),
        );
        #[cfg(feature = "http2")]
        let connector = connector.http2_prior_knowledge(self.http2_prior_knowledge);
        Client {
            connector: Arc::new(connector),
            #[cfg(feature = "cookies")]
            cookies: self.cookies.then(|| Arc::new(Jar::default()) as _),
            #[cfg(not(feature = "cookies"))]
            cookies: None,
            headers: Arc::new(self.headers),
        }
    }
}

/// # TLS
///
/// What is given here is checked here. The rest is set up when the first https stream dials, once for all streams of
/// the client. Certificates in PEM (RFC 7468) may stand among other text, and several in one text.
#[cfg(feature = "tls")]
impl ClientBuilder {
    /// Checks servers' certificates against these root certificates, in PEM, instead of the platform's. The last call
    /// counts. For a private authority beside the public ones there is
    /// [`add_root_certificates_pem`](Self::add_root_certificates_pem).
    ///
    /// A self-signed certificate can be given as its own root, unless it is marked as an authority's (`CA:TRUE`, which
    /// `openssl req -x509` does unless told otherwise): no server may show such a one as its own.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) when the text holds no
    /// certificate, or one that cannot be read.
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.tls.replace_roots(pem)?;
        Ok(self)
    }

    /// Trusts these root certificates, in PEM, as well: beside the platform's, Mozilla's, or those given with
    /// [`root_certificates_pem`](Self::root_certificates_pem). Each call adds to the ones before.
    ///
    /// Where the platform has no roots at all, these alone are trusted. Android's verifier takes none beside its own: a
    /// stream that dials there fails with [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported).
    ///
    /// # Errors
    ///
    /// As [`root_certificates_pem`](Self::root_certificates_pem).
    pub fn add_root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.tls.add_roots(pem)?;
        Ok(self)
    }

    /// Checks servers' certificates against Mozilla's root certificates instead of the platform's: for containers that
    /// have none.
    ///
    /// They are part of the program: an authority that is distrusted after it was built stays trusted, what an
    /// administrator adds to the machine is not seen, and there is no revocation.
    #[cfg(feature = "webpki-roots")]
    pub fn webpki_roots(mut self) -> Self {
        self.tls.use_webpki_roots();
        self
    }

    /// Shows servers that ask for one this certificate, with its chain, and proves with the key that it is the
    /// client's (mutual TLS). Both in PEM; the client's own certificate comes first, then those between it and the
    /// authority. One text with everything may be given for both.
    ///
    /// A server that finds it missing or does not accept it makes the attempt fail with
    /// [`ErrorKind::Tls`](crate::ErrorKind::Tls); that is tried again, since a server's list can change. The texts are
    /// read once: a certificate that expires is not replaced while the client lives.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) when there is no certificate or no key (PKCS#8,
    /// PKCS#1 or SEC1), when one cannot be read, when the key is encrypted, or when it is not the certificate's.
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
        self.tls.set_identity(certificates, key)?;
        Ok(self)
    }

    /// The oldest version of TLS to speak. Servers that have only older ones are refused with
    /// [`ErrorKind::Tls`](crate::ErrorKind::Tls). By default [1.2](TlsVersion::Tls12), so that 1.2 and 1.3 are spoken.
    pub fn minimum_tls_version(mut self, version: TlsVersion) -> Self {
        self.tls.set_minimum(version);
        self
    }

    /// Whether to accept any certificate: expired, for another name, from anybody. **Dangerous:** whoever is between
    /// client and server can then read everything, tokens included, and make up events. Off by default.
    ///
    /// That the server has the key to the certificate it shows is still checked, which protects from nobody who makes
    /// his own. For tests; for a server with a private or self-signed certificate give that with
    /// [`add_root_certificates_pem`](Self::add_root_certificates_pem) instead. Roots are without effect while this is on.
    pub fn danger_accept_invalid_certificates(mut self, accept: bool) -> Self {
        self.tls.accept_invalid(accept);
        self
    }

    /// Uses this configuration of rustls 0.23 for TLS: for hardware keys, certificates that are replaced while the
    /// client lives, revocation lists, another provider of cryptography.
    ///
    /// All else that is said about TLS on this builder is then without effect. If `alpn_protocols` is empty it becomes
    /// what this crate speaks; otherwise it stays, and a protocol in it that this crate does not speak makes streams
    /// fail with servers that pick it.
    #[cfg(feature = "rustls-0_23")]
    pub fn rustls_0_23_config(mut self, config: Arc<rustls::ClientConfig>) -> Self {
        self.tls.set_config(config);
        self
    }
}
