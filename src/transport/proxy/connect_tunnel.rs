//! A tunnel through an HTTP proxy: CONNECT (RFC 9110, section 9.3.6).
//!
//! hyper-util has one as well, but hides the proxy's answer, without whose status users cannot tell
//! what to do. This one keeps status and headers in the error, and does not read the body, which
//! may never end. Bytes that come after the proxy's answer belong to the server and are not lost.

use std::future::poll_fn;
use std::io::Cursor;
use std::pin::pin;

use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{Method, Request};
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, join, split};

use crate::error::{Error, ErrorKind, beginning};
use crate::transport::target::Target;

use super::super::connector::Io;
use super::super::http1;
use super::proxy_server::ProxyServer;

/// Maximum size of the head of the proxy's answer; hyper's minimum is 8 KiB.
const MAX_HEAD: usize = 16 * 1024;

/// The message for a proxy that hangs up, or answers something other than HTTP.
const NO_ANSWER: &str = "gave no answer in HTTP to the request for a tunnel";

/// Asks the proxy at the other end of `io` for a tunnel to `target`. The caller enforces the
/// connect timeout.
pub(super) async fn open_tunnel(io: Box<dyn Io>, proxy: &ProxyServer, target: &Target) -> Result<Box<dyn Io>, Error> {
    let no_answer = |error| proxy.failed(NO_ANSWER, error);
    let request = request(proxy, target)
        .map_err(|error| proxy.failed("was not asked for a tunnel: the target makes no valid request", error))?;
    let handshake = http1::builder().max_buf_size(MAX_HEAD).handshake(TokioIo::new(io)).await;
    let (mut sender, mut connection) = handshake.map_err(no_answer)?;
    let answer = {
        let mut answer = pin!(sender.send_request(request));
        tokio::select! {
            biased;
            answer = &mut answer => answer,
            // How it ended is part of the answer. Not `without_shutdown`: after a 204, which opens
            // a tunnel as any 2xx does, hyper waits for the next request, and keeps the bytes.
            _ = poll_fn(|cx| connection.poll_without_shutdown(cx)) => answer.await,
        }
    };
    let answer = answer.map_err(no_answer)?;
    if !answer.status().is_success() {
        // The body stays unread: it may never end.
        let what = format!("the tunnel to {}", beginning(&target.server()));
        return Err(proxy.refused(&what, answer.into_parts().0, Bytes::new()));
    }
    let parts = connection.into_parts();
    let io = parts.io.into_inner();
    if parts.read_buf.is_empty() {
        return Ok(io);
    }
    if target.is_https() {
        // In TLS the client speaks first, so these bytes are not the server's.
        return Err(Error::new(
            ErrorKind::Proxy,
            format!("the proxy {proxy} sent data into the tunnel before TLS began"),
        ));
    }
    // An HTTP/2 server may speak first (RFC 9113, section 3.4).
    let (read, write) = split(io);
    Ok(Box::new(join(Cursor::new(parts.read_buf).chain(read), write)))
}

/// Returns the CONNECT request, with the credentials of the proxy's URL.
fn request(proxy: &ProxyServer, target: &Target) -> Result<Request<Empty<Bytes>>, http::Error> {
    // Host and port alone, the port even if it is the default (RFC 9112, section 3.2.3).
    let server = target.server();
    let mut request =
        Request::builder().method(Method::CONNECT).uri(&*server).header(HOST, &*server).body(Empty::new())?;
    if let Some(authorization) = proxy.authorization() {
        request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
    }
    Ok(request)
}
