//! [`EventStream`]: the decoder over the body of one response.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_core::Stream;
use http::{Response, Uri};
use http_body::{Body, Frame as BodyFrame};

use crate::error::{Error, ErrorKind};
use crate::event::{Delivery, Gap, IntoLastEventId};
use crate::response::{
    BoxError, Decoding, MAX_ERROR_BODY, ResponseHead, ResponseVerdict, judge, poll_bytes, refusal, take_coding,
};
use crate::wire::{Decoder, Frame};

/// The events of one response, such as the answer of an LLM or a request made with reqwest.
///
/// ```no_run
/// use sseclient::{Delivery, EventStream};
///
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
/// let response = reqwest::get("http://127.0.0.1:8080/stream").await?;
/// let mut events = EventStream::from_response(response.into()).await?;
/// while let Some(delivery) = events.recv().await {
///     if let Delivery::Event(event) = delivery? {
///         println!("{}: {}", event.event_type(), event.data());
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// It never reconnects: it ends with the body. An event that is unfinished then is dropped, unless
/// the caller [wants it](Self::dispatch_unfinished_at_end). A body that fails yields one last
/// `Err`. An event over the [size limit](Self::max_event_size) yields a [`Gap::Oversized`], which
/// is not an error.
///
/// It reads only while it is polled, on any executor, and queues nothing: backpressure is the
/// body's. Dropping it drops the body.
///
/// The example is for reqwest, whose response converts into [`http::Response`].
#[doc(alias = "EventSource")]
#[doc(alias = "SSE")]
#[doc(alias = "server-sent events")]
#[must_use = "an event stream reads nothing unless it is polled"]
pub struct EventStream<B> {
    body: Pin<Box<B>>,
    /// The decoder of the body's content coding, if it has one.
    decoding: Option<Box<Decoding>>,
    decoder: Decoder,
    ended: bool,
}

impl<B: Body<Error: Into<BoxError>>> EventStream<B> {
    /// Reads a body as an event stream. Status and headers of its response are not checked.
    pub fn new(body: B) -> Self {
        Self { body: Box::pin(body), decoding: None, decoder: Decoder::new(), ended: false }
    }

    /// Reads the body of a response that is an event stream.
    ///
    /// For others, see [`from_response_if`](Self::from_response_if). An event stream is a response
    /// with status 200 and content type `text/event-stream`. Its body is decompressed if the
    /// feature of its content encoding is enabled (`gzip`, `brotli`, `zstd`). The request has to
    /// ask for a content encoding itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Status`], [`ErrorKind::Redirect`], [`ErrorKind::ContentType`] or
    /// [`ErrorKind::ContentEncoding`] for any other response. The error has the status, the headers
    /// and the first 8 KiB of the body. A 204 is an [`ErrorKind::Status`] too. Reading these 8 KiB
    /// has no time limit: use a timeout if the server may stall.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the response.
    pub async fn from_response(response: Response<B>) -> Result<Self, Error> {
        Self::judged(response, |_| None).await
    }

    /// Reads the body of a response if `accept` returns true for its head.
    ///
    /// For servers that send an event stream with another content type, with none, or with a 201 or
    /// 202. `accept` decides about responses with a 2xx but 204, in place of the standard's rule.
    /// The rest is as for [`from_response`](Self::from_response).
    ///
    /// # Errors
    ///
    /// Those of [`from_response`](Self::from_response).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the response.
    pub async fn from_response_if(
        response: Response<B>,
        accept: impl FnOnce(&ResponseHead) -> bool,
    ) -> Result<Self, Error> {
        Self::judged(response, |head| Some(accept(head))).await
    }

    async fn judged(response: Response<B>, accepts: impl FnOnce(&ResponseHead) -> Option<bool>) -> Result<Self, Error> {
        let (mut head, body) = response.into_parts();
        let stream = Self { decoding: take_coding(&mut head.headers), ..Self::new(body) };
        // The URL of the request is no part of the response.
        let accepts = || accepts(&ResponseHead::new(Uri::default(), head.status, head.version, &head.headers));
        let kind = match judge(head.status, &head.headers, accepts) {
            ResponseVerdict::Accept => return Ok(stream),
            ResponseVerdict::Stop => ErrorKind::Status,
            ResponseVerdict::Refuse(kind) => kind,
        };
        let body = stream.beginning().await;
        Err(refusal(kind, head.status, head.headers, body))
    }

    /// Sets the size limit of an event, in bytes. Default: 16 MiB; at most 1 GiB.
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.decoder = self.decoder.max_event_size(bytes);
        self
    }

    /// Sets whether an event without a blank line after it is delivered at the end of the body. By
    /// default it is dropped, as the standard asks.
    ///
    /// For servers that send no blank line after their last event: some LLM backends end like that
    /// with `data: [DONE]`. It is delivered once, and only at a regular end: not after an `Err`.
    /// **Delivers a broken event** if a body that has neither a length nor chunks (HTTP/1.0 style)
    /// is cut within one, because nothing tells such a cut from the end.
    pub fn dispatch_unfinished_at_end(mut self, wanted: bool) -> Self {
        self.decoder = self.decoder.dispatch_unfinished_at_end(wanted);
        self
    }

    /// Sets the last event ID that the response resumes from. Events that set no ID inherit it.
    ///
    /// Takes a `&str`, a `String`, or an `Option` of one.
    pub fn resumed_from(mut self, id: impl IntoLastEventId) -> Self {
        self.decoder = self.decoder.last_event_id(id);
        self
    }

    /// Returns the last event ID; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        self.decoder.current_last_event_id()
    }

    /// Waits for the next event or gap. Returns `None` when the body has ended.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Body`] if the body fails or cannot be decompressed. `None` follows.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Result<Delivery, Error>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery, Error>>> {
        loop {
            if let Some(delivery) = self.next_delivery() {
                return Poll::Ready(Some(Ok(delivery)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match std::task::ready!(self.poll_data(cx)) {
                None => {
                    self.ended = true;
                    if let Some(delivery) = self.decoder.finish().and_then(delivery) {
                        return Poll::Ready(Some(Ok(delivery)));
                    }
                }
                Some(Ok(data)) => self.decoder.push(data),
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
    }

    fn next_delivery(&mut self) -> Option<Delivery> {
        loop {
            if let Some(delivery) = delivery(self.decoder.next_frame()?) {
                return Some(delivery);
            }
        }
    }

    /// Polls for the next bytes, decompressed.
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        let Self { body, decoding, .. } = self;
        match decoding {
            None => poll_bytes(body.as_mut(), cx),
            Some(decoding) => decoding.poll_data(cx, |cx| poll_bytes(body.as_mut(), cx)),
        }
    }

    /// Reads the beginning of the body of a refused response.
    // If the body fails, the status says all there is to say.
    async fn beginning(mut self) -> Bytes {
        let mut beginning = BytesMut::new();
        while beginning.len() < MAX_ERROR_BODY {
            let Some(Ok(data)) = poll_fn(|cx| self.poll_data(cx)).await else { break };
            let room = MAX_ERROR_BODY - beginning.len();
            beginning.put(data.take(room));
        }
        beginning.freeze()
    }
}

/// Returns an event, or a gap in place of an oversized one.
fn delivery(frame: Frame<'_>) -> Option<Delivery> {
    match frame {
        Frame::Event(event) => Some(Delivery::Event(event.to_event())),
        Frame::Oversized(event) => {
            let own = |text: &str| text.to_owned();
            let (event_type, id) = (event.event_type().map(own), event.id().map(own));
            Some(Delivery::Gap(Gap::oversized(event_type, id, event.size())))
        }
        Frame::Comment(_) | Frame::Retry(_) | Frame::Id(_) => None,
    }
}

impl<S, D, E> EventStream<StreamBody<S>>
where
    S: Stream<Item = Result<D, E>>,
    D: Buf,
    E: Into<BoxError>,
{
    /// Reads a stream of chunks as an event stream, such as reqwest's `bytes_stream`.
    pub fn from_bytes_stream(stream: S) -> Self {
        Self::new(StreamBody { stream: Box::pin(stream) })
    }
}

impl<B: Body<Error: Into<BoxError>>> Stream for EventStream<B> {
    type Item = Result<Delivery, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<B> fmt::Debug for EventStream<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// A stream of chunks as a body: see [`EventStream::from_bytes_stream`].
pub struct StreamBody<S> {
    stream: Pin<Box<S>>,
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

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<BodyFrame<D>, E>>> {
        self.get_mut().stream.as_mut().poll_next(cx).map(|chunk| chunk.map(|chunk| chunk.map(BodyFrame::data)))
    }
}
