//! [`StreamBody`]: a stream of chunks as a body.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Buf;
use futures_core::Stream;
use http_body::{Body, Frame};

/// A stream of chunks as a body: see
/// [`EventStream::from_bytes_stream`](crate::EventStream::from_bytes_stream).
pub struct StreamBody<S> {
    stream: Pin<Box<S>>,
}

impl<S> StreamBody<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream: Box::pin(stream) }
    }
}

impl<S> fmt::Debug for StreamBody<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBody").finish_non_exhaustive()
    }
}

impl<S, D, E> Body for StreamBody<S>
where
    S: Stream<Item = Result<D, E>>,
    D: Buf,
{
    type Data = D;
    type Error = E;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<D>, E>>> {
        self.get_mut().stream.as_mut().poll_next(cx).map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }
}
