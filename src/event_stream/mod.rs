//! [`EventStream`]: the decoder over the body of one response.
//!
//! - [`answer_reader`] makes items of the bytes, and knows when the response is over.
//! - [`answer_body`] reads the bytes, in bounded steps; [`stream_body`] makes a body of chunks.
//! - [`timeouts`] limits the waits, where there is a clock.
//! - [`block`] is what the response holds beside events.

mod answer_body;
mod answer_reader;
mod block;
mod stream_body;
mod timeouts;

use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use futures_core::Stream;
use http::{Response, Uri};
use http_body::Body;

use crate::error::{Error, ErrorKind};
#[cfg(feature = "json")]
use crate::event::Decoded;
#[cfg(doc)]
use crate::event::Gap;
use crate::event::{Delivery, Event, IntoLastEventId, Item};
use crate::response::{BoxError, ResponseHead, ResponseVerdict, judge, refusal, take_coding};
use crate::wire::EndMark;

use self::answer_body::AnswerBody;
use self::answer_reader::AnswerReader;
pub use self::block::Block;
pub use self::stream_body::StreamBody;

/// The events of one response, such as the answer of an LLM or a request made with reqwest.
///
/// # The end
///
/// It never reconnects: it ends with the body. **An answer that was cut off looks like a complete
/// one** if the server or a proxy ends the body in order. Where a server sends a last event such as
/// `[DONE]`, name it as the [end mark](Self::end_mark): a body that ends without it is an error.
///
/// A body that fails yields one last `Err`. An event that is unfinished at the end is dropped,
/// unless the caller [wants it](Self::dispatch_unfinished_at_end). An event over the
/// [size limit](Self::max_event_size) yields a [`Gap::Oversized`], which is not an error.
///
/// # Waiting
///
/// Without an `idle_timeout` and a `first_event_timeout` (both need feature `client`), it waits as
/// long as the body does. Up to the first event its own limit counts alone, if it is set, and the
/// idle timeout from then on. The wait for the response head is not part of the stream: put a
/// timeout around the request.
///
/// It reads only while it is polled, on any executor, and queues nothing: backpressure is the
/// body's. A body that is always ready lets other tasks run after at most 64 of its pieces.
///
/// # Drop behavior
///
/// Dropping it drops the body, which cancels the response: most HTTP clients close the connection
/// then, unless the body has ended. A drop cannot read on: it cannot wait, and an `EventStream`
/// spawns no task.
///
/// # Examples
///
/// ```no_run
/// use sseclient::{Delivery, EventStream};
///
/// # async fn follow() -> Result<(), Box<dyn std::error::Error>> {
/// let request = reqwest::Client::new().get("http://127.0.0.1:8080/stream");
/// let response = request.header("accept", "text/event-stream").send().await?;
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
/// The example is for reqwest, whose response converts into [`http::Response`]. The request is
/// yours: without `Accept: text/event-stream` some servers answer with JSON, or a 406.
#[doc(alias = "EventSource")]
#[doc(alias = "SSE")]
#[doc(alias = "server-sent events")]
#[must_use = "an event stream reads nothing unless it is polled"]
pub struct EventStream<B, T = Event> {
    reader: AnswerReader<B>,
    item: PhantomData<fn() -> T>,
}

/// # Create
impl<B: Body<Error: Into<BoxError>>> EventStream<B> {
    /// Reads a body as an event stream. Status and headers of its response are not checked.
    pub fn new(body: B) -> Self {
        Self::reading(AnswerBody::new(body, None))
    }

    fn reading(body: AnswerBody<B>) -> Self {
        Self { reader: AnswerReader::new(body), item: PhantomData }
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
    /// and the first 8 KiB of the body. A 204 is an [`ErrorKind::Status`] too.
    ///
    /// A body that stalls is read for at most 2 s, so that status and headers are not lost: the
    /// error has what came by then. Without feature `client`, outside a tokio runtime or in one
    /// without timers there is no clock, and no limit. A runtime without timers is found out by a
    /// panic of tokio's that is caught: a program with `panic = "abort"` would end. A paused clock
    /// passes the 2 s at once if the runtime waits for a real socket.
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
        let body = AnswerBody::new(body, take_coding(&mut head.headers));
        // The URL of the request is no part of the response.
        let accepts = || accepts(&ResponseHead::new(Uri::default(), head.status, head.version, &head.headers));
        let kind = match judge(head.status, &head.headers, accepts) {
            ResponseVerdict::Accept => return Ok(Self::reading(body)),
            ResponseVerdict::Stop => ErrorKind::Status,
            ResponseVerdict::Refuse(kind) => kind,
        };
        let body = body.beginning().await;
        Err(refusal(kind, head.status, head.headers, body, "from_response_if"))
    }

    /// Reads the body of a response that is an event stream, or returns the response untouched:
    /// status, headers and extensions unchanged, and the body unread.
    ///
    /// For servers that answer either with an event stream or with something else, such as those of
    /// the Model Context Protocol, which answer a POST with JSON if there is nothing to stream. An
    /// event stream is what [`from_response`](Self::from_response) takes for one, which also makes
    /// an error of a response that is neither.
    ///
    /// # Errors
    ///
    /// The response, if it is anything but an event stream that this build can decode. It can be
    /// converted back into your HTTP client's. For the typed [`Error`] of a refusal, give it to
    /// [`from_response`](Self::from_response), which is an `Err` for each response that comes back
    /// here.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use std::error::Error;
    /// # async fn call(response: reqwest::Response) -> Result<(), Box<dyn Error>> {
    /// use sseclient::EventStream;
    ///
    /// match EventStream::try_from_response(response.into()) {
    ///     Ok(mut events) => println!("{:?}", events.recv().await),
    ///     Err(response) if response.status().is_success() => {
    ///         println!("{}", reqwest::Response::from(response).text().await?);
    ///     }
    ///     Err(refused) => {
    ///         // With the status, the headers and the beginning of the body.
    ///         let error = EventStream::from_response(refused).await.unwrap_err();
    ///         eprintln!("{error}: {:?}, {:?}", error.retry_after(), error.body());
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_from_response(response: Response<B>) -> Result<Self, Response<B>> {
        // A copy: a coding that is decoded leaves the headers.
        let mut headers = response.headers().clone();
        let decoding = take_coding(&mut headers);
        match judge(response.status(), &headers, || None) {
            ResponseVerdict::Accept => Ok(Self::reading(AnswerBody::new(response.into_body(), decoding))),
            ResponseVerdict::Stop | ResponseVerdict::Refuse(_) => Err(response),
        }
    }

    /// Decodes the data of each event as JSON when it is taken. Needs feature `json`.
    ///
    /// An event that cannot be decoded is an item too ([`Decoded::value`]), and does not end the
    /// stream. [`Event::json`] has the rules: an enum takes several types of event. The
    /// [end mark](Self::end_mark), which is no JSON, is not decoded. Settings may be made before or
    /// after this call.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn read(body: http_body_util::Full<bytes::Bytes>) -> Result<(), sseclient::Error> {
    /// use sseclient::{Delivery, EventStream};
    ///
    /// #[derive(serde::Deserialize)]
    /// struct Token {
    ///     text: String,
    /// }
    ///
    /// let mut tokens = EventStream::new(body).end_mark("[DONE]").decode_as::<Token>();
    /// while let Some(delivery) = tokens.recv().await {
    ///     if let Delivery::Event(token) = delivery? {
    ///         print!("{}", token.into_value()?.text);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "json")]
    pub fn decode_as<T>(self) -> EventStream<B, Decoded<T>>
    where
        T: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        EventStream { reader: self.reader, item: PhantomData }
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
        Self::new(StreamBody::new(stream))
    }
}

/// # Settings
impl<B, T> EventStream<B, T> {
    /// Sets the size limit of an event, in bytes. Default: 16 MiB; at most 1 GiB.
    pub fn max_event_size(mut self, bytes: usize) -> Self {
        self.reader.decoder = self.reader.decoder.max_event_size(bytes);
        self
    }

    /// Ends the stream at the first event with this data, of any type; by default it ends with the
    /// body alone.
    ///
    /// A body that ends in order, but without the mark, is an [`ErrorKind::Incomplete`]: the answer
    /// was cut off. The mark is not an item, though its ID counts. What comes after it is not
    /// delivered, and a failure after it is no error. The data must be equal to the mark, byte by
    /// byte. A mark that is the last block of the body needs no blank line. An event over the
    /// [size limit](Self::max_event_size) is never the mark.
    ///
    /// After the mark [`recv`](Self::recv) reads the body to its end before it returns `None`, so
    /// that a pooled connection can be used again. It gives up after 64 KiB, and waits for at most
    /// 100 ms, so where a server leaves the body open `None` comes that much after the mark.
    /// Outside a tokio runtime, or without feature `client`, there is no clock: then it reads only
    /// what is there. The connection is closed if the end has not come by then, or if the stream is
    /// dropped before `None`. To act at the mark, without that wait, compare the data of each event
    /// yourself instead.
    ///
    /// Of this and [`ends_when`](Self::ends_when), the last call counts.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn read(body: http_body_util::Full<bytes::Bytes>) -> Result<(), sseclient::Error> {
    /// use sseclient::EventStream;
    ///
    /// let mut answer = EventStream::new(body).end_mark("[DONE]");
    /// while let Some(delivery) = answer.recv().await {
    ///     println!("{:?}", delivery?); // `Incomplete` if the answer was cut off
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn end_mark(mut self, data: impl Into<String>) -> Self {
        self.reader.signals.end_mark = Some(EndMark::data(data.into()));
        self
    }

    /// Ends the stream at the first event for which `is_mark` returns true.
    ///
    /// The rest is as for [`end_mark`](Self::end_mark). For ends that are not one fixed text, such
    /// as `event: message_stop`. The task that reads calls it once for each event, and for an
    /// unfinished event at the end of the body, which may be cut anywhere.
    pub fn ends_when(mut self, is_mark: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.reader.signals.end_mark = Some(EndMark::event(is_mark));
        self
    }

    /// Limits how long the stream waits for more bytes; no limit by default, or with `None`. Needs
    /// feature `client`.
    ///
    /// After that much silence it yields an [`ErrorKind::IdleTimeout`] and ends. Up to the first
    /// event a [`first_event_timeout`](Self::first_event_timeout), if one is set, counts instead.
    /// Time in which the program does not wait for the stream does not count, and bytes that came
    /// meanwhile are read before the silence is judged, so the error may come 40 ms late. By
    /// tokio's clock.
    ///
    /// **Any byte counts**: heartbeats without events keep a stream alive for ever. To limit the
    /// time without an event, as a timeout around `next` does with other crates, put one around
    /// [`recv`](Self::recv), which loses nothing:
    ///
    /// ```
    /// # use http_body::Body;
    /// # use sseclient::EventStream;
    /// # use std::time::Duration;
    /// # async fn read(mut events: EventStream<impl Body<Error = std::io::Error>>) {
    /// let next = tokio::time::timeout(Duration::from_secs(20), events.recv()).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// [`recv`](Self::recv) panics outside a tokio runtime, or in one without timers.
    #[cfg(feature = "client")]
    #[doc(alias = "heartbeat")]
    pub fn idle_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.reader.signals.timeouts.set_idle(timeout.into());
        self
    }

    /// Limits the time to the first event; no limit by default, or with `None`. Needs feature
    /// `client`.
    ///
    /// After that time it yields an [`ErrorKind::FirstEventTimeout`] and ends. Up to the first
    /// event it counts alone; an [`idle_timeout`](Self::idle_timeout) begins with that event.
    /// Comments and blocks without data are no events; an event over the size limit and the
    /// [end mark](Self::end_mark) are. The time begins when the stream first waits for the body,
    /// not with the request. An event that came in time is delivered, even if the program asks for
    /// it later, so the error may come 40 ms late. By tokio's clock.
    ///
    /// **Any event counts**: many chat servers send a first one that names the role and has no
    /// text, before the model has begun. To limit the time to the first text, wait with one
    /// deadline until it has come:
    ///
    /// ```
    /// # use http_body::Body;
    /// # use sseclient::EventStream;
    /// # async fn read(mut events: EventStream<impl Body<Error = std::io::Error>>) {
    /// # let deadline = tokio::time::Instant::now();
    /// let next = tokio::time::timeout_at(deadline, events.recv()).await;
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// [`recv`](Self::recv) panics outside a tokio runtime, or in one without timers.
    #[cfg(feature = "client")]
    #[doc(alias = "time to first token")]
    pub fn first_event_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.reader.signals.timeouts.set_first_event(timeout.into());
        self
    }

    /// Sets whether [`recv_block`](Self::recv_block) yields comments; by default they are skipped
    /// unread. [`recv`](Self::recv) never yields them.
    ///
    /// A comment that does not fit under the size limit together with its block is always skipped.
    pub fn comments(mut self, wanted: bool) -> Self {
        self.reader.decoder.set_comments(wanted);
        self
    }

    /// Sets whether an event without a blank line after it is delivered at the end of the body. By
    /// default it is dropped, as the standard asks.
    ///
    /// For servers that send no blank line after their last event. It is delivered once, and only
    /// at a regular end: not after an `Err`. **Delivers a broken event** if a body that has neither
    /// a length nor chunks (HTTP/1.0 style) is cut within one, because nothing tells such a cut
    /// from the end. An [end mark](Self::end_mark) needs neither this nor a blank line.
    pub fn dispatch_unfinished_at_end(mut self, wanted: bool) -> Self {
        self.reader.wants_unfinished = wanted;
        self
    }

    /// Sets the last event ID that the response resumes from. Events that set no ID inherit it.
    ///
    /// Takes a `&str`, a `String`, or an `Option` of one.
    pub fn resumed_from(mut self, id: impl IntoLastEventId) -> Self {
        self.reader.decoder = self.reader.decoder.last_event_id(id);
        self
    }
}

/// # Observe
impl<B, T> EventStream<B, T> {
    /// Returns the last event ID; empty if there is none.
    pub fn last_event_id(&self) -> &str {
        self.reader.decoder.current_last_event_id()
    }

    /// Returns the last `retry` of the response, if it had a valid one. Not clamped.
    ///
    /// The server asks for so long a wait before the request that resumes this response.
    pub fn reconnection_time(&self) -> Option<Duration> {
        self.reader.signals.reconnection_time
    }
}

/// # Receive
impl<B: Body<Error: Into<BoxError>>, T: Item> EventStream<B, T> {
    /// Waits for the next event or gap. Returns `None` when the body has ended, or after the
    /// [end mark](Self::end_mark).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Body`] if the body fails or cannot be decompressed (if it fails with an
    /// [`Error`] of this crate, its kind is kept), [`ErrorKind::Incomplete`] if it ends without its
    /// end mark, [`ErrorKind::IdleTimeout`] and [`ErrorKind::FirstEventTimeout`] if these are set.
    /// `None` follows.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Result<Delivery<T>, Error>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Delivery<T>, Error>>> {
        self.reader.decoder.set_empty_blocks(false);
        let polled = self.reader.poll_next(cx, block::delivery);
        polled.map(|next| next.map(|delivery| delivery.map(|delivery| delivery.map(T::from_event))))
    }
}

impl<B: Body<Error: Into<BoxError>>, T> EventStream<B, T> {
    /// Waits for the next block as the server sent it, with or without data.
    ///
    /// For protocols that give a meaning to blocks which are no events: those of an ID alone or of
    /// a lone `retry`. A block that has neither data, nor an ID, nor a valid `retry`, nor a type is
    /// skipped. [Comments](Self::comments) come in their place if they are wanted. Calls of this
    /// and of [`recv`](Self::recv) may alternate; `recv` skips what is no event.
    ///
    /// # Errors
    ///
    /// Those of [`recv`](Self::recv).
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv_block(&mut self) -> Option<Result<Block, Error>> {
        poll_fn(|cx| {
            self.reader.decoder.set_empty_blocks(true);
            self.reader.poll_next(cx, Block::from_frame)
        })
        .await
    }
}

impl<B: Body<Error: Into<BoxError>>, T: Item> Stream for EventStream<B, T> {
    type Item = Result<Delivery<T>, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<B, T> fmt::Debug for EventStream<B, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("ended", &self.reader.has_ended()).finish_non_exhaustive()
    }
}
