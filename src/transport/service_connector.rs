//! [`ServiceConnector`]: a `tower_service::Service<Uri>`, as hyper-util's connectors are, as a
//! [`Connector`]. Its feature carries the version of tower-service, which is part of the API.

use std::error::Error as StdError;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::{Read, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use super::connector::Connector;

/// A [`Connector`] made of any `tower_service::Service<Uri>`, as hyper-util's connectors are.
///
/// The service is cloned for each connection. Its response is what hyper 1 reads and writes.
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

/// The byte stream that a [`ServiceConnector`] makes.
// It keeps hyper-util, which is not yet 1.0, out of the public API.
#[derive(Debug)]
pub struct ServiceIo<T>(TokioIo<T>);

impl<T: Read + Unpin> AsyncRead for ServiceIo<T> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl<T: Write + Unpin> AsyncWrite for ServiceIo<T> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
