//! A stream through a SOCKS5 proxy (RFC 1928, RFC 1929), which resolves the name.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tower_service::Service;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::super::Io;
use super::Proxy;

/// Bytes that hyper-util has for the user, the password and the target's host together.
const ROOM: usize = 262 - (3 + 3 + 7);

/// Asks the proxy at the other end of `io` for a stream to `target`.
pub(super) async fn connect(io: Box<dyn Io>, proxy: &Proxy, target: &Target) -> Result<Box<dyn Io>, Error> {
    let server = target.server_uri().map_err(|error| proxy.failed("cannot be asked", error))?;
    let mut socks = SocksV5::new(proxy.uri.clone(), Connected(Some(TokioIo::new(Sparing(io)))));
    let mut known = "without credentials";
    let mut length = target.server().len();
    if let Some(userinfo) = &proxy.userinfo {
        socks = socks.with_auth(userinfo.user.clone(), userinfo.password.clone());
        known = "with the credentials in its URL";
        length += userinfo.user.len() + userinfo.password.len();
    }
    if length > ROOM {
        let message = format!("the proxy {proxy}: its credentials and the target's name are too long together");
        return Err(Error::new(ErrorKind::Proxy, message));
    }
    let stream = socks.call(server).await;
    let refused = format!("did not connect to {}, asked {known}", target.server());
    Ok(stream.map_err(|error| proxy.failed(&refused, error))?.into_inner().0)
}

/// The connection to the proxy, which hyper-util would have made itself.
struct Connected(Option<TokioIo<Sparing>>);

impl Service<Uri> for Connected {
    type Response = TokioIo<Sparing>;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// Reads byte by byte, of which the proxy's answers have few: hyper-util reads ahead, and forgets what is none of them.
/// But a server of HTTP/2 may speak first (RFC 9113, section 3.4).
struct Sparing(Box<dyn Io>);

impl AsyncRead for Sparing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Sparing {
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
