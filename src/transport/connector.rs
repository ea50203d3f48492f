//! [`Connector`]: the caller's own way to a server, and [`Io`], the byte stream that any way makes.
//!
//! The types that every other file of this folder needs are here, because this file uses none of
//! them.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
#[cfg(unix)]
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

/// A boxed future that may move between threads.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A byte stream to a server: TCP, TLS, or the caller's own.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A byte stream to a server, and the version of HTTP that it carries.
pub(super) struct NegotiatedIo {
    pub(super) io: Box<dyn Io>,
    #[cfg_attr(not(feature = "http2"), expect(dead_code, reason = "only HTTP/2 is negotiated"))]
    pub(super) speaks_http2: bool,
}

/// Erases the type of a byte stream.
pub(super) fn boxed(io: impl Io + 'static) -> Box<dyn Io> {
    Box::new(io)
}

/// A way to servers of your own that replaces TCP: a tunnel, a pipe to a process, a test's duplex.
///
/// A connector makes a byte stream. The client runs TLS (for https) and HTTP over it. Set one with
/// [`ClientBuilder::connector`](crate::ClientBuilder::connector). Functions and closures are
/// connectors:
///
/// ```
/// use http::Uri;
/// use sseclient::Client;
/// use tokio::net::TcpStream;
///
/// let client = Client::builder()
///     .connector(|_server: Uri| TcpStream::connect("127.0.0.1:8080"))
///     .build();
/// ```
///
/// # Cancel safety
///
/// The client drops the future when the connect timeout expires or the stream is shut down.
pub trait Connector: Send + Sync + 'static {
    /// The byte stream that a connection is.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// Why a connection could not be made.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// Connects to a server.
    ///
    /// `server` always has a scheme, a host and a port. It never has a path, a query or
    /// credentials.
    ///
    /// # Errors
    ///
    /// Any error fails the attempt with [`ErrorKind::Connect`], with
    /// this one as its source. The attempt is retried by default.
    fn connect(&self, server: Uri) -> impl Future<Output = Result<Self::Io, Self::Error>> + Send;
}

impl<F, Fut, Io, E> Connector for F
where
    F: Fn(Uri) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Io, E>> + Send,
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Io = Io;
    type Error = E;

    fn connect(&self, server: Uri) -> impl Future<Output = Result<Io, E>> + Send {
        self(server)
    }
}

/// A byte stream that is being made, or why that failed.
pub(super) type Connecting = BoxFuture<Result<Box<dyn Io>, Error>>;

/// A way to servers that replaces TCP and proxies, with its type erased.
#[derive(Clone)]
pub(crate) struct BoxedConnector(Arc<dyn Fn(Target) -> Connecting + Send + Sync>);

impl BoxedConnector {
    pub(crate) fn new(connector: impl Connector) -> Self {
        let connector = Arc::new(connector);
        Self(Arc::new(move |target| {
            // The future outlives this call, so it owns its connector.
            let connector = Arc::clone(&connector);
            Box::pin(async move {
                let failed = |error: Box<dyn StdError + Send + Sync>| {
                    let message = format!("the client's connector did not reach {}", target.shown_authority());
                    Error::with_source(ErrorKind::Connect, message, error)
                };
                let server = target.server_uri().map_err(|error| failed(error.into()))?;
                connector.connect(server).await.map(boxed).map_err(|error| failed(error.into()))
            })
        }))
    }

    /// Connects to a Unix socket, for every target.
    #[cfg(unix)]
    pub(crate) fn unix_socket(path: Arc<Path>) -> Self {
        Self(Arc::new(move |_| {
            let path = Arc::clone(&path);
            Box::pin(async move {
                tokio::net::UnixStream::connect(&path).await.map(boxed).map_err(|error| {
                    let message = format!("could not connect to the Unix socket {}", path.display());
                    Error::with_source(ErrorKind::Connect, message, error)
                })
            })
        }))
    }

    /// Connects to the server of `target`. The caller enforces the connect timeout.
    pub(super) fn connect(&self, target: &Target) -> Connecting {
        (self.0)(target.clone())
    }
}

impl fmt::Debug for BoxedConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedConnector")
    }
}
