//! [`Exchange`]: one request and its response on a connection of their own, driven by whoever reads.
//!
//! hyper splits a connection from its body and expects the former to be spawned. A spawned
//! connection costs a task switch for each HTTP chunk, which is half of all CPU of a stream that
//! flushes each event; here both are polled in the reader's task.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
use hyper::body::{Body as _, Incoming};
use hyper::client::conn::http1::{self, Connection};
use hyper_util::rt::TokioIo;

use crate::error::{Error, ErrorKind};

#[cfg(feature = "http2")]
use super::Lease;
use super::{Channel, Io};

type Driver = Connection<TokioIo<Box<dyn Io>>, Full<Bytes>>;

/// An open response. Dropping it closes the connection, or cancels the request on one that is shared.
pub(crate) struct Exchange {
    body: Incoming,
    connection: Connected,
}

#[cfg_attr(feature = "http2", expect(clippy::large_enum_variant, reason = "the usual one is not worth an allocation"))]
enum Connected {
    /// `None` once it has ended. How is only detail: the body's result decides.
    Own(Option<Driver>),
    /// Driven by a task of its own.
    #[cfg(feature = "http2")]
    Shared {
        _lease: Lease,
        /// Frames without data in a row.
        empty: usize,
    },
}

/// A server that sends more frames without data in a row than this keeps us busy for nothing.
#[cfg(feature = "http2")]
const MOST_EMPTY: usize = 1000;

/// How much of a response is buffered: a head that is larger fails. hyper's own default, named since it is what a server
/// can make us keep.
const MOST_BUFFERED: usize = 8 * 1024 + 400 * 1024;

impl Exchange {
    /// Sends the request and reads the response's head.
    pub(super) async fn begin(channel: Channel, request: Request<Full<Bytes>>) -> Result<(Parts, Self), Error> {
        match channel {
            Channel::Own(io) => Self::begin_own(io, request).await,
            #[cfg(feature = "http2")]
            Channel::Shared(lease) => {
                let (head, body) = lease.send(request).await.map_err(broken)?.into_parts();
                Ok((head, Self { body, connection: Connected::Shared { _lease: lease, empty: 0 } }))
            }
        }
    }

    async fn begin_own(io: Box<dyn Io>, request: Request<Full<Bytes>>) -> Result<(Parts, Self), Error> {
        let handshake = http1::Builder::new().max_buf_size(MOST_BUFFERED).handshake(TokioIo::new(io)).await;
        let (mut sender, connection) = handshake.map_err(broken)?;
        let mut connection = Some(connection);
        let mut response = std::pin::pin!(sender.send_request(request));
        let response = poll_fn(|cx| {
            drive(&mut connection, cx);
            response.as_mut().poll(cx)
        });
        let (head, body) = response.await.map_err(broken)?.into_parts();
        Ok((head, Self { body, connection: Connected::Own(connection) }))
    }

    /// The next bytes of the body; `None` at its end. Trailers are passed over.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        #[cfg(feature = "http2")]
        if let Connected::Shared { .. } = self.connection {
            return self.poll_shared(cx);
        }
        // For each chunk hyper keeps a waker on one side and calls it on the other. While there are chunks nobody
        // has to be woken, so it gets one that costs nothing; before anybody waits everything is asked again.
        let mut unwoken = Context::from_waker(Waker::noop());
        loop {
            // The connection first: it hands a chunk over, and the body, asked once, has it.
            self.drive(&mut unwoken);
            match self.poll_body(&mut unwoken) {
                Poll::Ready(Some(Ok(None))) => {}
                Poll::Ready(ready) => return Poll::Ready(ready.and_then(Result::transpose)),
                Poll::Pending => break,
            }
        }
        // The body first: that it wants more wakes nobody then. The other way round the task would wake itself
        // each time, and with it another thread, to steal it.
        if let Poll::Ready(ready) = self.poll_body(cx) {
            // Nothing comes after trailers.
            return Poll::Ready(ready.and_then(Result::transpose));
        }
        self.drive(cx);
        Poll::Pending
    }

    #[cfg(feature = "http2")]
    fn poll_shared(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        loop {
            let polled = std::task::ready!(self.poll_body(cx));
            let Connected::Shared { empty, .. } = &mut self.connection else { return Poll::Ready(None) };
            match polled {
                Some(Ok(Some(data))) if data.is_empty() => {
                    *empty += 1;
                    if *empty > MOST_EMPTY {
                        let message = "the server sends HTTP/2 frames without data, and nothing else";
                        return Poll::Ready(Some(Err(Error::new(ErrorKind::Body, message))));
                    }
                }
                Some(Ok(Some(data))) => {
                    *empty = 0;
                    return Poll::Ready(Some(Ok(data)));
                }
                // Trailers: nothing comes after them.
                Some(Ok(None)) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    fn drive(&mut self, cx: &mut Context<'_>) {
        match &mut self.connection {
            Connected::Own(connection) => drive(connection, cx),
            #[cfg(feature = "http2")]
            Connected::Shared { .. } => {}
        }
    }

    /// A frame's bytes; none for trailers.
    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Option<Bytes>, Error>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| match frame {
            Ok(frame) => Ok(frame.into_data().ok()),
            Err(error) => Err(Error::with_source(ErrorKind::Body, "the stream broke off", error)),
        }))
    }
}

/// No response head came; the source says how the connection failed.
fn broken(error: hyper::Error) -> Error {
    let what = if error.is_parse() {
        "the head of the server's answer cannot be read as HTTP"
    } else {
        "the connection broke before a response came"
    };
    Error::with_source(ErrorKind::Protocol, what, error)
}

fn drive(connection: &mut Option<Driver>, cx: &mut Context<'_>) {
    if let Some(driver) = connection {
        if Pin::new(driver).poll(cx).is_ready() {
            *connection = None;
        }
    }
}
