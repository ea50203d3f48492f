//! [`Connector`]: a caller's own way to a server.

use std::error::Error as StdError;
use std::future::Future;

use http::Uri;
use tokio::io::{AsyncRead, AsyncWrite};

/// A way to servers of your own, in place of TCP: a tunnel, a pipe to a process, an end of a test.
///
/// It makes a byte stream; TLS, for https, and HTTP are done on top of it. Given to a client by
/// [`ClientBuilder::connector`](crate::ClientBuilder::connector). Functions and closures are connectors:
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
/// The future is dropped when the connect timeout is over, or the stream is shut down.
pub trait Connector: Send + Sync + 'static {
    /// A connection.
    type Io: AsyncRead + AsyncWrite + Send + Unpin + 'static;
    /// Why there is none.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// Connects to a server: scheme, host and port, which are always there; no path, no query, no credentials.
    ///
    /// # Errors
    ///
    /// Any is an [`ErrorKind::Connect`](crate::ErrorKind::Connect) of the attempt, with this one as its source.
    fn connect(&self, server: Uri) -> impl Future<Output = Result<Self::Io, Self::Error>> + Send;
}

impl<F, Connecting, Io, E> Connector for F
where
    F: Fn(Uri) -> Connecting + Send + Sync + 'static,
    Connecting: Future<Output = Result<Io, E>> + Send,
    Io: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Io = Io;
    type Error = E;

    fn connect(&self, server: Uri) -> impl Future<Output = Result<Io, E>> + Send {
        self(server)
    }
}

#[cfg(feature = "tower-service-0-3")]
mod service {
    use std::future::poll_fn;
    use std::io::{IoSlice, Result as IoResult};
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use hyper::rt::{Read, Write};
    use hyper_util::rt::TokioIo;
    use tokio::io::ReadBuf;
    use tower_service::Service;

    use super::{AsyncRead, AsyncWrite, Connector, Future, StdError, Uri};

    /// A connector of hyper's world, any `tower_service::Service<Uri>`, as a [`Connector`].
    ///
    /// The service is cloned for each connection, and makes what hyper 1 reads and writes.
    #[derive(Debug, Clone)]
    pub struct ServiceConnector<S>(S);

    impl<S> ServiceConnector<S> {
        /// Connects through `service`.
        pub fn new(service: S) -> Self {
            Self(service)
        }
    }

    impl<S> Connector for ServiceConnector<S>
    where
        S: Service<Uri> + Clone + Send + Sync + 'static,
        S::Response: Read + Write + Send + Unpin + 'static,
        S::Error: Into<Box<dyn StdError + Send + Sync>> + Send,
        S::Future: Send,
    {
        type Io = ServiceIo<S::Response>;
        type Error = S::Error;

        fn connect(&self, server: Uri) -> impl Future<Output = Result<Self::Io, S::Error>> + Send {
            let mut service = self.0.clone();
            async move {
                poll_fn(|cx| service.poll_ready(cx)).await?;
                service.call(server).await.map(|io| ServiceIo(TokioIo::new(io)))
            }
        }
    }

    /// What a [`ServiceConnector`] makes.
    // Keeps hyper-util, which is not yet 1.0, out of the public face.
    #[derive(Debug)]
    pub struct ServiceIo<T>(TokioIo<T>);

    impl<T: Read + Unpin> AsyncRead for ServiceIo<T> {
        fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<IoResult<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl<T: Write + Unpin> AsyncWrite for ServiceIo<T> {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<IoResult<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<IoResult<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }

        fn is_write_vectored(&self) -> bool {
            self.0.is_write_vectored()
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bufs: &[IoSlice<'_>],
        ) -> Poll<IoResult<usize>> {
            Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
        }
    }
}

#[cfg(feature = "tower-service-0-3")]
pub use self::service::{ServiceConnector, ServiceIo};
