//! hyper alone: it reads the body, too. Slower, and the reference for the reader that replaces it.

use std::future::{Future as _, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body::Body as _;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1::Connection;
use hyper_util::rt::TokioIo;

use crate::error::Error;

use super::super::connector::Io;
use super::received_head::{MAX_HEAD, builder, no_answer};

type PlainConnection = Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// The body of a response. Dropping it closes the connection.
pub(in crate::transport) struct PlainBody {
    body: Incoming,
    /// `None` once it has ended.
    connection: Option<PlainConnection>,
}

/// Does what `send` in the parent module does.
pub(in crate::transport) async fn send(
    io: Box<dyn Io>,
    request: Request<Full<Bytes>>,
) -> Result<(Parts, PlainBody), Error> {
    let (mut requests, connection) =
        builder().max_buf_size(MAX_HEAD).handshake(TokioIo::new(io)).await.map_err(no_answer)?;
    let mut connection = Some(connection);
    let mut response = pin!(requests.send_request(request));
    let response = poll_fn(|cx| {
        drive(&mut connection, cx);
        response.as_mut().poll(cx)
    });
    let (head, body) = response.await.map_err(no_answer)?.into_parts();
    Ok((head, PlainBody { body, connection }))
}

impl PlainBody {
    /// Polls for the next bytes of the body; `None` at its end. Trailers are skipped.
    pub(in crate::transport) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            drive(&mut self.connection, cx);
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Poll::Ready(Some(Ok(data))),
                    _ => {}
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                None => return Poll::Ready(None),
            }
        }
    }
}

/// Lets hyper send and receive. Its result does not matter: the body has it, too.
fn drive(connection: &mut Option<PlainConnection>, cx: &mut Context<'_>) {
    connection.take_if(|connection| Pin::new(connection).poll(cx).is_ready());
}
