//! [`Script`]: what a server does on one connection.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};

use crate::error::{Error, quoted};
use crate::event::Event;
use crate::transport::BoxFuture;

use super::requests::last_event_id;

/// How long a server pauses between two pieces, so that the client reads them apart.
const PIECE_PAUSE: Duration = Duration::from_millis(1);

/// What a [`Server`](super::Server) does on one connection: what it expects of the request, the
/// head of its response, and then step by step.
///
/// A step that sends fails the test if the client has left. [`end`](Self::end),
/// [`hang_up`](Self::hang_up) and [`reset`](Self::reset) do not: a client may leave as soon as it
/// has what it wants. After the last step the connection stays open until the client leaves, unless
/// that step ends it.
///
/// # Panics
///
/// Each method that adds a step or an expectation panics if it can have no effect: after
/// [`end`](Self::end), [`hang_up`](Self::hang_up) or [`reset`](Self::reset) there is no further
/// step, and a [refused](Self::refuse) connection has neither.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use http::StatusCode;
/// use sseclient::testing::Script;
///
/// let scripts = [
///     Script::open().event(("price", "100")).stall(Duration::from_secs(5)).reset(),
///     Script::answer(StatusCode::SERVICE_UNAVAILABLE).header("retry-after", "2"),
///     Script::open().pieces(["data: cut in th", "e middle\n", "\n"]).end(),
/// ];
/// ```
#[derive(Debug)]
#[must_use = "a script does nothing until a server has it"]
pub struct Script {
    pub(super) opening: Opening,
    pub(super) expectations: Vec<Expectation>,
    pub(super) steps: Vec<ScriptStep>,
}

/// How a connection begins.
#[derive(Debug)]
pub(super) enum Opening {
    /// No connection comes about.
    Refuse,
    /// No head: the steps write the bytes of the answer.
    Raw,
    /// The head of a response, whose body is as long as the steps make it.
    Head { status: StatusCode, headers: HeaderMap, framing: AnswerFraming },
}

/// How a response tells where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerFraming {
    /// Each step is a chunk (RFC 9112, section 7.1).
    Chunked,
    /// By its length, which is known before.
    Length,
}

/// What a request has to be.
pub(super) struct Expectation(pub(super) Box<CheckRequest>);

/// A future that a script waits for.
pub(super) struct AwaitedByScript(pub(super) BoxFuture<()>);

/// Panics if the request is another one.
type CheckRequest = dyn FnOnce(&Request<Bytes>) + Send;

/// One step of a script.
#[derive(Debug)]
pub(super) enum ScriptStep {
    Write(Bytes),
    Stall(Duration),
    WaitFor(AwaitedByScript),
    /// The response ends as it should.
    End,
    /// The connection ends, also within a response.
    HangUp,
    Reset,
}

impl Script {
    fn new(opening: Opening) -> Self {
        Self { opening, expectations: Vec::new(), steps: Vec::new() }
    }

    /// Begins with the head of an open event stream: 200, `text/event-stream`, in chunks.
    pub fn open() -> Self {
        let headers =
            HeaderMap::from_iter([(http::header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))]);
        Self::new(Opening::Head { status: StatusCode::OK, headers, framing: AnswerFraming::Chunked })
    }

    /// Begins with the head of another response, which ends after the last step; with a
    /// `Content-Length`, and empty unless [`bytes`](Self::bytes) follow.
    pub fn answer(status: StatusCode) -> Self {
        let headers = HeaderMap::new();
        Self::new(Opening::Head { status, headers, framing: AnswerFraming::Length })
    }

    /// Writes no head: for answers that are not HTTP, or only almost.
    pub fn raw() -> Self {
        Self::new(Opening::Raw)
    }

    /// Refuses the connection. On loopback the connection comes about, and is reset before the
    /// request is read.
    pub fn refuse() -> Self {
        Self::new(Opening::Refuse)
    }
}

/// # The request
///
/// Checked before anything is sent.
impl Script {
    /// Expects that the request passes `check`, which panics otherwise: with `assert!`, for
    /// example.
    #[track_caller]
    pub fn expect(mut self, check: impl FnOnce(&Request<Bytes>) + Send + 'static) -> Self {
        assert!(!matches!(self.opening, Opening::Refuse), "a connection that is refused has no request to check");
        self.expectations.push(Expectation(Box::new(check)));
        self
    }

    /// Expects that the request asks to resume after this ID; with `""`, after none.
    #[track_caller]
    pub fn expect_resumed_from(self, id: impl Into<String>) -> Self {
        let id = id.into();
        self.expect(move |request| {
            let sent = last_event_id(request).unwrap_or_default();
            assert!(sent == id, "it resumed from {sent:?}, not from {id:?}");
        })
    }
}

/// # The response
impl Script {
    /// Sets a header of the head, and replaces one of the same name.
    ///
    /// For compressed events, set `content-encoding` and send the [`bytes`](Self::bytes).
    ///
    /// # Panics
    ///
    /// If HTTP cannot carry it, or if the script has no head.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Debug>,
        V: TryInto<HeaderValue, Error: fmt::Debug>,
    {
        let Opening::Head { headers, .. } = &mut self.opening else {
            panic!("this script has no head to set headers in")
        };
        let name = name.try_into().unwrap_or_else(|error| panic!("no name of a header: {error:?}"));
        let value = value.try_into().unwrap_or_else(|error| panic!("no value of a header: {error:?}"));
        headers.insert(name, value);
        self
    }

    /// Sends an event: an [`Event`], an [`EventBuilder`](crate::EventBuilder), or a type and data.
    ///
    /// # Panics
    ///
    /// If the wire format cannot carry the event, or [without effect](Self).
    #[track_caller]
    pub fn event(self, event: impl TryInto<Event, Error: Into<Error>>) -> Self {
        let event = event.try_into().unwrap_or_else(|error| panic!("{}", error.into()));
        self.bytes(event.encode())
    }

    /// Sends these bytes of the body at once. In a [`raw`](Self::raw) script: of the connection.
    #[track_caller]
    pub fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.step(ScriptStep::Write(bytes.into()))
    }

    /// Sends the pieces one by one, with a pause of 1 ms between them.
    ///
    /// So the client reads them apart: always if the clock is paused, nearly always on loopback.
    #[track_caller]
    pub fn pieces<B: Into<Bytes>>(mut self, pieces: impl IntoIterator<Item = B>) -> Self {
        for (number, piece) in pieces.into_iter().enumerate() {
            if number > 0 {
                self = self.stall(PIECE_PAUSE);
            }
            self = self.bytes(piece);
        }
        self
    }

    /// Sends nothing for this long, or until the client leaves.
    #[track_caller]
    pub fn stall(self, time: Duration) -> Self {
        self.step(ScriptStep::Stall(time))
    }

    /// Sends nothing until this future has ended, or until the client leaves.
    ///
    /// So the test decides when the rest is sent. The future's output is dropped.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::Filter;
    /// use sseclient::testing::{Script, Server};
    /// use tokio::sync::oneshot;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), sseclient::Error> {
    /// let (go_on, goes_on) = oneshot::channel::<()>();
    /// let server = Server::in_memory(Script::open().wait_for(goes_on).event(("price", "100")));
    /// let mut events = server.client().stream(server.url()).open(Filter::all()).await?;
    /// assert!(events.try_recv().is_err());
    /// go_on.send(()).unwrap();
    /// assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "100");
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn wait_for(self, future: impl Future<Output: Send> + Send + 'static) -> Self {
        self.step(ScriptStep::WaitFor(AwaitedByScript(Box::pin(async move { drop(future.await) }))))
    }
}

/// # The end
impl Script {
    /// Ends the response and the connection as they should: with the last chunk.
    ///
    /// The client sees an [`EndOfStream`](crate::ErrorKind::EndOfStream).
    #[track_caller]
    pub fn end(self) -> Self {
        self.step(ScriptStep::End)
    }

    /// Closes the connection within the response, as a server that is killed: without the last
    /// chunk.
    ///
    /// The client sees a [`Body`](crate::ErrorKind::Body) that breaks off, or, before there was a
    /// head, a [`Protocol`](crate::ErrorKind::Protocol) error.
    #[track_caller]
    pub fn hang_up(self) -> Self {
        self.step(ScriptStep::HangUp)
    }

    /// Resets the connection, as a network does that forgets it. What the client has not read yet
    /// may be lost.
    #[track_caller]
    pub fn reset(self) -> Self {
        self.step(ScriptStep::Reset)
    }

    #[track_caller]
    fn step(mut self, step: ScriptStep) -> Self {
        assert!(!matches!(self.opening, Opening::Refuse), "a connection that is refused has no step {step}");
        if let Some(last @ (ScriptStep::End | ScriptStep::HangUp | ScriptStep::Reset)) = self.steps.last() {
            panic!("a script that has {last} has no later step {step}");
        }
        self.steps.push(step);
        self
    }
}

impl Opening {
    /// Returns the head as it is sent, for a body of this length.
    pub(super) fn head(&self, length: usize) -> Vec<u8> {
        let Self::Head { status, headers, framing } = self else { return Vec::new() };
        let reason = status.canonical_reason().unwrap_or_default();
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
        for (name, value) in headers {
            head.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        let delimiter = match framing {
            AnswerFraming::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
            // A 204 has neither a body nor a length (RFC 9110, section 8.6).
            AnswerFraming::Length if *status == StatusCode::NO_CONTENT => String::new(),
            AnswerFraming::Length => format!("content-length: {length}\r\n"),
        };
        head.extend(format!("{delimiter}connection: close\r\n\r\n").bytes());
        head
    }

    /// Returns bytes of the body as they are sent.
    pub(super) fn framed(&self, bytes: &Bytes) -> Bytes {
        match self {
            // An empty chunk would be the last one.
            Self::Head { framing: AnswerFraming::Chunked, .. } if !bytes.is_empty() => chunk(bytes).into(),
            _ => bytes.clone(),
        }
    }

    /// Returns what ends the body.
    pub(super) fn last_bytes(&self) -> &'static [u8] {
        if self.is_chunked() { LAST_CHUNK } else { b"" }
    }

    pub(super) fn is_chunked(&self) -> bool {
        matches!(self, Self::Head { framing: AnswerFraming::Chunked, .. })
    }
}

/// The end of a body in chunks.
pub(super) const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Returns bytes as one chunk.
pub(super) fn chunk(bytes: &[u8]) -> Vec<u8> {
    [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat()
}

impl fmt::Debug for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Expectation")
    }
}

impl fmt::Debug for AwaitedByScript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AwaitedByScript")
    }
}

impl fmt::Display for ScriptStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(bytes) => write!(f, "to send {}", quoted(&String::from_utf8_lossy(bytes))),
            Self::Stall(time) => write!(f, "to stall for {time:?}"),
            Self::WaitFor(_) => f.write_str("to wait for what the test decides"),
            Self::End => f.write_str("to end the response"),
            Self::HangUp => f.write_str("to hang up"),
            Self::Reset => f.write_str("to reset the connection"),
        }
    }
}
