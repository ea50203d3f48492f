//! [`Client`]: what many streams share, and the two builders.
//!
//! A [`Client`] holds the connector, the cookie jar and the default headers. [`ClientBuilder`]
//! makes one, [`StreamBuilder`] makes a stream. A builder only collects settings and hands them to
//! the connection task. Nothing here does any IO, but `build` asks a resume store whether it can be
//! used. A new setting goes into the group of the builder that it belongs to, with its default as a
//! named constant in the layer that uses it.

mod client_builder;
mod stream_builder;

use std::fmt;
use std::sync::Arc;

use http::HeaderMap;

#[cfg(feature = "testing")]
use crate::connection::Connection;
use crate::error::{Error, ErrorKind};
use crate::hub::Filter;
use crate::subscription::Subscription;
use crate::transport::{Connect, Cookies, IntoUrl};

pub use self::client_builder::ClientBuilder;
pub use self::stream_builder::StreamBuilder;

/// Opens the stream at `url` with the default settings, and subscribes to all of its events.
///
/// The short form for scripts. Programs with settings use [`Client::stream`] and
/// [`StreamBuilder::open`].
///
/// # Errors
///
/// Those of [`StreamBuilder::open`]: an invalid URL, or the failure of the first attempt. Later
/// failures are retried.
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
pub async fn open<Form: ?Sized>(url: impl IntoUrl<Form>) -> Result<Subscription, Error> {
    Client::new().stream(url).open(Filter::all()).await
}

/// The settings that many streams share: TLS, proxies, cookies, connections and default headers.
///
/// ```no_run
/// # async fn follow() -> Result<(), sseclient::Error> {
/// use sseclient::{Client, Delivery};
///
/// let client = Client::new();
/// let mut orders = client.stream("https://example.com/orders").open("order").await?;
/// while let Some(delivery) = orders.recv().await {
///     match delivery {
///         Delivery::Event(order) => println!("{}", order.data()),
///         Delivery::Gap(gap) => eprintln!("events may be missing: {gap}"),
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// A client is cheap to clone, and its clones share everything. To make one cannot fail: it reads
/// the proxy variables of the environment and does no IO. TLS is set up when the first https stream
/// connects, so a machine without root certificates fails that stream, not the client.
///
/// # Shared connections
///
/// Each stream has a connection of its own. With feature `http2`, streams to one origin share a
/// connection if the server speaks HTTP/2. One task drives it, on the runtime of the stream that
/// opened it, and ends with its last stream. If that runtime ends first, the other streams
/// reconnect.
///
/// # Drop behavior
///
/// Streams do not need their client. They go on after it is dropped.
#[derive(Clone)]
#[doc(alias("EventSource", "SSE"))]
pub struct Client {
    connector: Arc<dyn Connect>,
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
    headers: Arc<HeaderMap>,
    /// A setting of the built-in transport that has no effect, because it is not in use.
    unused_setting: Option<&'static str>,
    /// Learns of each stream that is built.
    #[cfg(feature = "testing")]
    observer: Option<Observer>,
}

/// Is called with each connection of a client, before its task is spawned.
#[cfg(feature = "testing")]
type Observer = Arc<dyn Fn(&Arc<Connection>) + Send + Sync>;

impl Client {
    /// Returns a client with the default settings, which trusts the platform's certificates.
    pub fn new() -> Self {
        ClientBuilder::default().build()
    }

    /// Returns a builder, to make a client with other settings.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }

    /// Begins to build a stream of the events at `url`.
    ///
    /// This cannot fail: an invalid URL is an error of [`StreamBuilder::build`] and
    /// [`StreamBuilder::open`]. Blanks and line ends around the URL do not matter. A host in
    /// another script than ASCII needs feature `idn`.
    pub fn stream<Form: ?Sized>(&self, url: impl IntoUrl<Form>) -> StreamBuilder {
        StreamBuilder::new(self, &url.into_url())
    }

    #[cfg(test)]
    pub(crate) fn with_connector(connector: Arc<dyn Connect>) -> Self {
        Self {
            connector,
            cookies: None,
            headers: Arc::default(),
            unused_setting: None,
            #[cfg(feature = "testing")]
            observer: None,
        }
    }

    /// Returns a client that calls `observer` with each connection, before its task is spawned.
    #[cfg(feature = "testing")]
    pub(crate) fn observed(self, observer: impl Fn(&Arc<Connection>) + Send + Sync + 'static) -> Self {
        Self { observer: Some(Arc::new(observer)), ..self }
    }

    /// Checks that the settings of the client fit together.
    fn check(&self) -> Result<(), Error> {
        let Some(setting) = self.unused_setting else { return Ok(()) };
        let message = format!(
            "{setting} is a setting of the built-in transport, which transport has replaced; \
             make it a setting of that transport"
        );
        Err(Error::new(ErrorKind::InvalidConfig, message))
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
