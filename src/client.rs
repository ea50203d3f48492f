//! [`Client`]: what many streams share.

use std::fmt;
use std::sync::Arc;

use http::Uri;

use crate::builder::StreamBuilder;
use crate::error::Error;
use crate::filter::Filter;
use crate::subscription::Subscription;
#[cfg(feature = "cookies")]
use crate::transport::Jar;
use crate::transport::{Connect, Connector, Cookies};
#[cfg(feature = "tls")]
use crate::transport::{Roots, Tls};

/// Follows the stream at `url`: all events, with the defaults, once it is open. The short form, for
/// scripts.
///
/// # Errors
///
/// What is wrong with the URL, and whatever ended the first attempt. Later ones are retried.
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

/// What many streams share: TLS and how connections are made. Cheap to clone.
///
/// Making one does nothing yet and cannot fail: TLS is set up when the first https stream dials.
#[derive(Clone)]
pub struct Client {
    connector: Arc<dyn Connect>,
    cookies: Option<Arc<dyn Cookies>>,
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
        stream.cookies(self.cookies.clone())
    }

    #[cfg(test)]
    pub(crate) fn with_connector(connector: Arc<dyn Connect>) -> Self {
        Self { connector, cookies: None }
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
    #[cfg(feature = "tls")]
    roots: Roots,
    #[cfg(feature = "cookies")]
    cookies: bool,
}

impl ClientBuilder {
    /// Checks servers' certificates against these root certificates, in PEM, instead of the platform's.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig) when the text holds no
    /// certificate, or one that cannot be read.
    #[cfg(feature = "tls")]
    pub fn root_certificates_pem(mut self, pem: &[u8]) -> Result<Self, Error> {
        self.roots = Roots::from_pem(pem)?;
        Ok(self)
    }

    /// Whether to keep the cookies that servers set, and to send them with every request that they are meant for (RFC
    /// 6265): by all streams of the client, with each reconnection (which a load balancer may need to find the same
    /// server again), and with each redirect. Off by default. Each client that is built has a jar of its own, in memory.
    ///
    /// Cookies of the caller's own ([`cookie`](StreamBuilder::cookie), or the header `Cookie`) come first, and replace
    /// those of the same name. A server can set up to 50 of a domain, of 4 KiB each, and all of them 3,000; the oldest
    /// make room. 8 KiB of them are sent at most. A cookie for a whole top-level domain is refused; for other public
    /// suffixes (`co.uk`, say) there is no list, so do not share a client between sites that must not know each other.
    #[cfg(feature = "cookies")]
    pub fn cookies(self, keep: bool) -> Self {
        Self { cookies: keep, ..self }
    }

    /// The client.
    pub fn build(self) -> Client {
        let connector = Connector::new(
            #[cfg(feature = "tls")]
            Tls::new(self.roots),
        );
        Client {
            connector: Arc::new(connector),
            #[cfg(feature = "cookies")]
            cookies: self.cookies.then(|| Arc::new(Jar::default()) as _),
            #[cfg(not(feature = "cookies"))]
            cookies: None,
        }
    }
}
