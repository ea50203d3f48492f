//! [`Socket`] and [`ClientSocket`]: the two ends of a connection, over TCP or in memory.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};
use tokio::net::TcpStream;

/// How many bytes are under way in memory, as in a socket's buffers.
const IN_FLIGHT: usize = 64 * 1024;

/// The server's end.
pub(super) enum Socket {
    Tcp(TcpStream),
    Memory(DuplexStream, Arc<AtomicBool>),
}

/// The client's end of a connection in memory.
pub(super) struct ClientSocket {
    io: DuplexStream,
    is_reset: Arc<AtomicBool>,
}

/// Returns both ends of a connection in memory.
pub(super) fn pair() -> (ClientSocket, Socket) {
    let (io, server) = duplex(IN_FLIGHT);
    let is_reset = Arc::<AtomicBool>::default();
    (ClientSocket { io, is_reset: Arc::clone(&is_reset) }, Socket::Memory(server, is_reset))
}

impl Socket {
    /// Resets the connection: the client gets an error, and no more bytes.
    pub(super) fn reset(self) {
        match self {
            #[allow(deprecated, reason = "zero does not block, and what replaces it is newer than the oldest tokio")]
            // A connection that is gone already needs no reset.
            Self::Tcp(tcp) => drop(tcp.set_linger(Some(Duration::ZERO))),
            // The client wakes up when this end is dropped.
            Self::Memory(_, is_reset) => is_reset.store(true, Ordering::Release),
        }
    }
}

impl AsyncRead for ClientSocket {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_reset.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        // The other end may have gone in between.
        if self.is_reset.load(Ordering::Acquire) {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        polled
    }
}

impl AsyncWrite for ClientSocket {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_read(cx, buffer),
            Self::Memory(io, _) => Pin::new(io).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_write(cx, bytes),
            Self::Memory(io, _) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_flush(cx),
            Self::Memory(io, _) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Self::Memory(io, _) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
