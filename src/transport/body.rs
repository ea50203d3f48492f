//! [`Body`]: the body of a response, read piece by piece, without its content coding.
//!
//! A body that breaks off or is corrupt yields one error, after all data before it. Trailers are
//! skipped, since no caller needs them. Only a bounded amount is read ahead of the caller: a stream
//! that is not polled makes the server wait (backpressure).

use std::future::poll_fn;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::task::coop;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::response::{Decoding, ERROR_BODY_TIMEOUT, MAX_ERROR_BODY, take_coding};

use super::custom_transport::CustomBody;
use super::http1::Http1Body;
#[cfg(feature = "http2")]
use super::http2::Http2Body;

/// The body of an open response.
///
/// # Drop behavior
///
/// Dropping it closes the connection, or resets its stream on a shared one.
pub(crate) struct Body {
    raw: RawBody,
    /// Boxed, since most streams are not compressed.
    decoding: Option<Box<Decoding>>,
}

/// A body as the connection carries it, still encoded.
pub(super) enum RawBody {
    Http1(Http1Body),
    #[cfg(feature = "http2")]
    Http2(Http2Body),
    Custom(CustomBody),
}

impl RawBody {
    /// Polls for the next encoded bytes.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        match self {
            Self::Http1(body) => body.poll_data(cx).map(|data| {
                data.map(|data| {
                    data.map_err(|error| Error::with_source(ErrorKind::Body, "the stream broke off", error))
                })
            }),
            #[cfg(feature = "http2")]
            Self::Http2(body) => body.poll_data(cx),
            Self::Custom(body) => body.poll_data(cx),
        }
    }
}

impl Body {
    /// Returns the body of a response with these headers. If this build decodes its content
    /// coding, that is removed from the headers.
    pub(super) fn new(raw: RawBody, headers: &mut HeaderMap) -> Self {
        Self { raw, decoding: take_coding(headers) }
    }

    /// Polls for the next bytes of the body; `None` at its end. Trailers are skipped. Bytes may be
    /// empty: encoded data came that decodes to nothing yet.
    ///
    /// # Errors
    ///
    /// `Body` if the connection breaks, the framing is invalid, or the content coding is corrupt.
    /// The body is over then.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Self { raw, decoding } = self;
        match decoding {
            None => raw.poll_data(cx),
            Some(decoding) => {
                // Decoding uses no socket, which would count against the coop budget by itself.
                let budget = ready!(coop::poll_proceed(cx));
                let data = ready!(decoding.poll_data(cx, |cx| raw.poll_data(cx)));
                budget.made_progress();
                Poll::Ready(data)
            }
        }
    }

    /// Returns true if bytes have come that [`poll_data`](Self::poll_data) holds back for a moment.
    pub(crate) fn holds_bytes(&self) -> bool {
        matches!(&self.raw, RawBody::Custom(body) if body.holds_bytes())
    }

    /// Reads the beginning of a refused response's body, bounded in size and time. Returns the
    /// bytes that came if the body fails.
    pub(super) async fn read_beginning(mut self) -> Bytes {
        let mut beginning = BytesMut::new();
        let read = async {
            // A server may send an endless body with a refusal.
            while beginning.len() < MAX_ERROR_BODY {
                let Some(Ok(data)) = poll_fn(|cx| self.poll_data(cx)).await else { break };
                beginning.extend_from_slice(&data[..data.len().min(MAX_ERROR_BODY - beginning.len())]);
            }
        };
        // After the timeout, the bytes so far are the answer.
        let _ = timeout(ERROR_BODY_TIMEOUT, read).await;
        beginning.freeze()
    }
}
