//! A tunnel through a SOCKS5 proxy (RFC 1928, RFC 1929). The proxy resolves the name.
//!
//! hyper-util speaks the protocol. It has one fixed buffer, so that very long credentials together
//! with a very long host name do not fit; that is an error before a byte is sent.

use std::future::{Ready, ready};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::proxy::SocksV5;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, Join, ReadBuf, ReadHalf, WriteHalf, join, split};
use tower_service::Service;

use crate::error::{Error, ErrorKind, beginning};
use crate::transport::target::Target;

use super::super::connector::Io;
use super::proxy_server::ProxyServer;

/// Maximum length of user, password and target together: the rest of hyper-util's buffer.
const MAX_LENGTH: usize = 262 - (3 + 3 + 7);

/// Asks the proxy at the other end of `io` for a byte stream to `target`. The caller enforces the
/// connect timeout.
///
/// # Errors
///
/// `Proxy` if the proxy refuses, breaks off or does not speak SOCKS5; the source has its reason.
pub(super) async fn open_tunnel(io: Box<dyn Io>, proxy: &ProxyServer, target: &Target) -> Result<Box<dyn Io>, Error> {
    let server = target
        .server_uri()
        .map_err(|error| proxy.failed("was not asked to connect: the target makes no valid URI", error))?;
    let (read, write) = split(io);
    let connected = Connected(Some(TokioIo::new(join(ByteByByte(read), write))));
    let mut socks = SocksV5::new(proxy.uri.clone(), connected);
    let mut asked = "without credentials";
    let mut length = target.server().len();
    if let Some(userinfo) = &proxy.userinfo {
        socks = socks.with_auth(userinfo.user.clone(), userinfo.password.clone());
        asked = "with the credentials in its URL";
        length += userinfo.user.len() + userinfo.password.len();
    }
    // hyper-util's own error would not say what is too long.
    if length > MAX_LENGTH {
        let message = format!("the proxy {proxy}: its credentials and the target's name are too long together");
        return Err(Error::new(ErrorKind::Proxy, message));
    }
    let stream = socks.call(server).await;
    let refused = format!("did not connect to {} when asked {asked}", beginning(&target.server()));
    let (read, write) = stream.map_err(|error| proxy.failed(&refused, error))?.into_inner().into_inner();
    Ok(read.0.unsplit(write))
}

type ProxyIo = TokioIo<Join<ByteByByte, WriteHalf<Box<dyn Io>>>>;

/// The connection to the proxy, as the connector that hyper-util expects.
struct Connected(Option<ProxyIo>);

impl Service<Uri> for Connected {
    type Response = ProxyIo;
    type Error = io::Error;
    type Future = Ready<io::Result<Self::Response>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        ready(self.0.take().ok_or_else(|| io::ErrorKind::NotConnected.into()))
    }
}

/// Reads byte by byte. hyper-util reads ahead and loses bytes that follow the proxy's answer, but
/// an HTTP/2 server may speak first (RFC 9113, section 3.4). The answers are a few bytes long.
struct ByteByByte(ReadHalf<Box<dyn Io>>);

impl AsyncRead for ByteByByte {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut byte = [0];
        let mut one = ReadBuf::new(&mut byte);
        std::task::ready!(Pin::new(&mut self.0).poll_read(cx, &mut one))?;
        buf.put_slice(one.filled());
        Poll::Ready(Ok(()))
    }
}
