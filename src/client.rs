//! [`Client`]: what many streams share.

use std::fmt;
use std::sync::Arc;

use http::Uri;

use crate::builder::StreamBuilder;
use crate::error::Error;
use crate::filter::Filter;
use crate::subscription::Subscription;
use crate::transport::{Connect, Network, NetworkSettings};
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
/// Making one only reads which proxies the environment names, and cannot fail: TLS is set up when the first https stream
/// dials.
#[derive(Clone)]
pub struct Client {
    connector: Arc<dyn Connect>,
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
        StreamBuilder::new(Arc::clone(&self.connector), url.try_into().map_err(Into::into))
    }

    #[cfg(test)]
    pub(crate) fn with_connector(connector: Arc<dyn Connect>) -> Self {
        Self { connector }
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
    roots: Roots,
    #[cfg(feature = "http2")]
    http2_prior_knowledge: bool,
}

impl ClientBuilder {
    /// Speaks HTTP/2 to servers in clear without asking whether they can (RFC 9113, section 3.3); off by default.
    /// A server that cannot fails the attempt, which is tried again. Over TLS the server chooses, in any case.
    #[cfg(feature = "http2")]
    pub fn http2_prior_knowledge(self, known: bool) -> Self {
        Self { http2_prior_knowledge: known, ..self }
    }

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

    /// The client.
    pub fn build(self) -> Client {
        let connector = Network::new(
            self.network,
            #[cfg(feature = "tls")]
            Tls::new(self.roots),
        );
        #[cfg(feature = "http2")]
        let connector = connector.http2_prior_knowledge(self.http2_prior_knowledge);
        Client { connector: Arc::new(connector) }
    }
}
