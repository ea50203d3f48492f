//! [`Exchange`]: one request and its response, read by whoever asks.

use std::task::{Context, Poll};
#[cfg(feature = "http2")]
use std::{pin::Pin, task::ready};

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;
#[cfg(feature = "http2")]
use hyper::body::{Body as _, Incoming};

use crate::error::{Error, ErrorKind};

use super::Channel;
#[cfg(feature = "http2")]
use super::Lease;
use super::http1::{self, Message};

/// An open response. Dropping it closes the connection, or cancels the request on one that is shared.
pub(crate) enum Exchange {
    /// HTTP/1.1 on a connection of its own.
    Own(Message),
    /// HTTP/2 on a connection that is driven by a task of its own.
    #[cfg(feature = "http2")]
    Shared {
        body: Incoming,
        _lease: Lease,
        /// Frames without data in a row.
        empty: usize,
    },
}

/// A server that sends more frames without data in a row than this keeps us busy for nothing.
#[cfg(feature = "http2")]
const MOST_EMPTY: usize = 1000;

impl Exchange {
    /// Sends the request and reads the response's head.
    pub(super) async fn begin(channel: Channel, request: Request<Full<Bytes>>) -> Result<(Parts, Self), Error> {
        match channel {
            Channel::Own(io) => {
                let (head, message) = http1::begin(io, request).await.map_err(no_answer)?;
                Ok((head, Self::Own(message)))
            }
            #[cfg(feature = "http2")]
            Channel::Shared(lease) => {
                let (head, body) = lease.send(request).await.map_err(no_answer)?.into_parts();
                Ok((head, Self::Shared { body, _lease: lease, empty: 0 }))
            }
        }
    }

    /// The next bytes of the body; `None` at its end. Trailers are passed over.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Self::Own(message) => message.poll_data(cx).map(|data| data.map(|data| data.map_err(broken_off))),
            #[cfg(feature = "http2")]
            Self::Shared { body, empty, .. } => poll_shared(body, empty, cx),
        }
    }
}

#[cfg(feature = "http2")]
fn poll_shared(body: &mut Incoming, empty: &mut usize, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
    loop {
        match ready!(Pin::new(&mut *body).poll_frame(cx)).map(|frame| frame.map(hyper::body::Frame::into_data)) {
            Some(Ok(Ok(data))) if data.is_empty() => {
                *empty += 1;
                if *empty > MOST_EMPTY {
                    let message = "the server sends HTTP/2 frames without data, and nothing else";
                    return Poll::Ready(Some(Err(Error::new(ErrorKind::Body, message))));
                }
            }
            Some(Ok(Ok(data))) => {
                *empty = 0;
                return Poll::Ready(Some(Ok(data)));
            }
            // Trailers: nothing comes after them.
            Some(Ok(Err(_))) => {}
            Some(Err(error)) => return Poll::Ready(Some(Err(broken_off(error)))),
            None => return Poll::Ready(None),
        }
    }
}

fn broken_off(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::with_source(ErrorKind::Body, "the stream broke off", error)
}

/// No response head came; the source says how the connection failed.
fn no_answer(error: hyper::Error) -> Error {
    let what = if error.is_parse() {
        "the head of the server's answer cannot be read as HTTP"
    } else {
        "the connection broke before a response came"
    };
    Error::with_source(ErrorKind::Protocol, what, error)
}
