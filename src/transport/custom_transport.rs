//! [`Transport`]: the caller's own HTTP client, in place of this crate's.

use std::any::Any;
use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{Request, Response};
use http_body::Body;
use tokio::task::coop;

use crate::error::{Error, ErrorKind};
use crate::response::{BoxError, poll_bytes};
use crate::transport::target::Target;

use super::connector::BoxFuture;

/// An HTTP client of your own: it sends one request and returns one response.
///
/// For programs that have one already (reqwest, hyper-util's, a tower service), with its proxies,
/// certificates, signatures and metrics. Set it with
/// [`ClientBuilder::transport`](crate::ClientBuilder::transport). Everything above it stays:
/// reconnection, resumption, fan-out, hooks, credentials, cookies, handover, verdicts about
/// responses.
///
/// # What goes wrong, and what follows
///
/// | the transport | the stream |
/// |---|---|
/// | returns an error | [`ErrorKind::Transport`] with that error as the source, retried; an [`Error`] of this crate keeps its kind |
/// | does not answer | [`ErrorKind::ResponseTimeout`] after the connect timeout and the response timeout together, retried; with `response_timeout(None)` the stream waits for ever, even for a connection, unless a hook sets a deadline |
/// | returns a body that fails | [`ErrorKind::Body`], retried; an [`Error`] of this crate keeps its kind, which may be final; events before the failure are delivered |
/// | ends the response early | cannot be told from its end: [`ErrorKind::EndOfStream`], retried |
/// | limits the time of a whole response | each response ends there with `Body`, and the stream reconnects: switch such a limit off |
/// | follows redirects | the stream does not learn of them: its own rules ([`StreamBuilder::redirects`](crate::StreamBuilder::redirects)) apply to redirects that the transport returns |
/// | decodes content codings | it has to remove `Content-Encoding`, as HTTP clients do; a coding that it leaves on is decoded if its feature is on |
/// | hands over one small chunk at a time | up to 32 of them, those that come while other tasks take their turn, are dispatched together |
/// | panics, or its body does | the stream closes with [`ErrorKind::TaskFailed`]; events before the panic are delivered |
///
/// Logs, `Debug` and serialization show the kind and the message of such a failure, but not your
/// error: HTTP clients print the URL with its query, which may hold a token. Programs have it as
/// the [`source`](std::error::Error::source). For a reason in the logs, return an [`Error`] with a
/// text of your own; it is shown as it is.
///
/// The guide says [which settings of reqwest](crate::guide::transports) to switch off for that.
///
/// # The request
///
/// Its URI is the whole URL, without credentials, which are in `Authorization`. It has no `Host`
/// unless the caller has set one: an HTTP client adds it. The body is there as a whole; its length
/// is for the transport to send.
///
/// # Cancel safety
///
/// The stream drops the future, or the body, when a limit of time is over and when it is shut down
/// or reconnects. That has to close the connection, or to give it back.
///
/// # Examples
///
/// Functions and closures are transports. This one needs no network:
///
/// ```
/// use http_body_util::Full;
/// use sseclient::bytes::Bytes;
/// use sseclient::http::{Request, Response};
/// use sseclient::{Client, Delivery};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let client = Client::builder()
///     .transport(|request: Request<Bytes>| async move {
///         assert_eq!(request.uri(), "https://example.com/stream");
///         let body = Full::new(Bytes::from("data: hello\n\n"));
///         Response::builder().header("Content-Type", "text/event-stream").body(body)
///     })
///     .build();
/// let mut events = client.stream("https://example.com/stream").open("message").await?;
/// let Some(Delivery::Event(event)) = events.recv().await else { panic!("no event") };
/// assert_eq!(event.data(), "hello");
/// # Ok(())
/// # }
/// ```
pub trait Transport: Send + Sync + 'static {
    /// The body of a response.
    type Body: Body<Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static;
    /// Why there is no response.
    type Error: Into<Box<dyn StdError + Send + Sync>>;

    /// Sends a request and waits for the head of its response.
    ///
    /// # Errors
    ///
    /// Any error fails the attempt: see [above](Self#what-goes-wrong-and-what-follows).
    fn send(&self, request: Request<Bytes>) -> impl Future<Output = Result<Response<Self::Body>, Self::Error>> + Send;
}

impl<F, Fut, B, E> Transport for F
where
    F: Fn(Request<Bytes>) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Response<B>, E>> + Send,
    B: Body<Error: Into<Box<dyn StdError + Send + Sync>>> + Send + 'static,
    E: Into<Box<dyn StdError + Send + Sync>>,
{
    type Body = B;
    type Error = E;

    fn send(&self, request: Request<Bytes>) -> impl Future<Output = Result<Response<B>, E>> + Send {
        self(request)
    }
}

/// A response that is waited for, or why there is none.
type Sending = BoxFuture<Result<(Parts, CustomBody), Error>>;

/// A transport with its type erased.
#[derive(Clone)]
pub(crate) struct BoxedTransport(Arc<dyn Fn(Target, Request<Bytes>) -> Sending + Send + Sync>);

impl BoxedTransport {
    pub(crate) fn new(transport: impl Transport) -> Self {
        let transport = Arc::new(transport);
        Self(Arc::new(move |target, request| {
            // The future outlives this call, so it owns its transport.
            let transport = Arc::clone(&transport);
            Box::pin(async move {
                let response = transport.send(request).await.map_err(|error| no_response(&target, error.into()))?;
                let (head, body) = response.into_parts();
                Ok((head, CustomBody::new(body)))
            })
        }))
    }

    /// Sends a request and waits for the head of its response. The caller limits the time.
    pub(super) fn send(&self, target: &Target, request: Request<Bytes>) -> Sending {
        (self.0)(target.clone(), request)
    }
}

/// Returns the transport's error, as this crate's.
fn no_response(target: &Target, error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => {
            let message = format!("the client's transport got no response from {}", target.shown_authority());
            Error::with_hidden_source(ErrorKind::Transport, message, error)
        }
    }
}

impl fmt::Debug for BoxedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BoxedTransport")
    }
}

/// The most chunks, and about the most bytes, that become one piece. Each chunk waits for the other
/// tasks of the runtime to take a turn, so a few more chunks would be later and hardly cheaper.
const MAX_CHUNKS: usize = 32;
const MAX_PIECE: usize = 16 * 1024;

/// The body of a transport's response, with its type erased.
///
/// Most HTTP clients read the connection in a task of their own, which hands over one chunk and
/// waits until it is taken. If each were a turn of the connection task, that would cost several
/// times what the client does. So the connection task lets the others run, and the chunks that come
/// meanwhile become one piece.
pub(super) struct CustomBody {
    poll: Box<PollBytes>,
    /// What has come since the last piece.
    chunks: Vec<Bytes>,
    bytes: usize,
    /// The task has let others run, and nothing has come since.
    has_yielded: bool,
    /// What comes after these chunks, and after which nothing comes.
    end: Option<End>,
}

/// How a body is over.
enum End {
    /// In good order, or because its failure has been told.
    Ended,
    Failed(Error),
    Panicked(Box<dyn Any + Send>),
}

/// Polls for the next bytes of a body.
type PollBytes = dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> + Send;

impl CustomBody {
    fn new(body: impl Body<Error: Into<BoxError>> + Send + 'static) -> Self {
        let mut body = Box::pin(body);
        let poll = Box::new(move |cx: &mut Context<'_>| poll_some_bytes(body.as_mut(), cx));
        Self { poll, chunks: Vec::new(), bytes: 0, has_yielded: false, end: None }
    }

    /// Polls for the next bytes of the body; `None` at its end. Trailers are skipped.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        while self.end.is_none() && self.chunks.len() < MAX_CHUNKS && self.bytes < MAX_PIECE {
            // A panic must not take along what came before it.
            let polled = match catch_unwind(AssertUnwindSafe(|| (self.poll)(cx))) {
                Ok(polled) => polled,
                Err(payload) => {
                    self.end = Some(End::Panicked(payload));
                    break;
                }
            };
            match polled {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.bytes += chunk.len();
                    self.chunks.push(chunk);
                    self.has_yielded = false;
                }
                Poll::Ready(Some(Err(error))) => self.end = Some(End::Failed(error)),
                Poll::Ready(None) => self.end = Some(End::Ended),
                Poll::Pending if self.chunks.is_empty() => return Poll::Pending,
                Poll::Pending if self.has_yielded => break,
                Poll::Pending => {
                    self.has_yielded = true;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        if let Some(piece) = self.take_piece() {
            return Poll::Ready(Some(Ok(piece)));
        }
        match self.end.replace(End::Ended) {
            Some(End::Failed(error)) => Poll::Ready(Some(Err(error))),
            Some(End::Panicked(payload)) => resume_unwind(payload),
            Some(End::Ended) | None => Poll::Ready(None),
        }
    }

    /// Returns the chunks as one piece. A single one is not copied.
    fn take_piece(&mut self) -> Option<Bytes> {
        let piece = match &mut self.chunks[..] {
            [] => return None,
            [only] => std::mem::take(only),
            chunks => chunks.concat().into(),
        };
        self.bytes = 0;
        // Keeps its memory for the next piece: at most 1 KiB.
        self.chunks.clear();
        Some(piece)
    }

    /// Returns true if bytes have come that were not handed on: the server is not silent, and the
    /// task will be polled again at once.
    pub(super) fn holds_bytes(&self) -> bool {
        !self.chunks.is_empty()
    }
}

/// Polls for bytes. Frames without any are skipped: they do not end a silence.
fn poll_some_bytes<B: Body<Error: Into<BoxError>>>(
    mut body: Pin<&mut B>,
    cx: &mut Context<'_>,
) -> Poll<Option<Result<Bytes, Error>>> {
    loop {
        // A body in memory may have no end of such frames.
        let budget = ready!(coop::poll_proceed(cx));
        let bytes = ready!(poll_bytes(body.as_mut(), cx));
        budget.made_progress();
        if !matches!(&bytes, Some(Ok(bytes)) if bytes.is_empty()) {
            return Poll::Ready(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::future::poll_fn;

    use futures_util::{StreamExt, stream};
    use http_body::Frame;

    use super::*;

    /// A body whose chunks come one at a time, each while the reader's task lets others run.
    struct OneByOne(VecDeque<Result<Bytes, &'static str>>, bool);

    impl Body for OneByOne {
        type Data = Bytes;
        type Error = &'static str;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
            self.1 = !self.1;
            if self.1 {
                return Poll::Ready(self.0.pop_front().map(|chunk| chunk.map(Frame::data)));
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        }
    }

    /// The lengths of the pieces, and whether the body fails.
    async fn pieces(chunks: impl IntoIterator<Item = Result<Bytes, &'static str>>) -> (Vec<usize>, bool) {
        let mut body = CustomBody::new(OneByOne(chunks.into_iter().collect(), false));
        let mut lengths = Vec::new();
        loop {
            match poll_fn(|cx| body.poll_data(cx)).await {
                Some(Ok(piece)) => lengths.push(piece.len()),
                Some(Err(error)) => return (lengths, error.kind() == ErrorKind::Body),
                None => return (lengths, false),
            }
        }
    }

    #[tokio::test]
    async fn chunks_that_come_one_by_one_become_pieces_of_bounded_size() {
        let chunks = |count: usize, bytes: usize| vec![Ok(Bytes::from(vec![b'x'; bytes])); count];
        assert_eq!(pieces(chunks(0, 0)).await, (vec![], false));
        assert_eq!(pieces(chunks(1, 5)).await, (vec![5], false));
        assert_eq!(pieces(chunks(3, 5)).await, (vec![15], false));
        assert_eq!(pieces(chunks(66, 5)).await, (vec![32 * 5, 32 * 5, 10], false));
        assert_eq!(pieces(chunks(5, 6_000)).await, (vec![18_000, 12_000], false));
        assert_eq!(pieces(chunks(2, 20_000)).await, (vec![20_000, 20_000], false));
        let failing = chunks(2, 5).into_iter().chain([Err("broken")]);
        assert_eq!(pieces(failing).await, (vec![10], true), "what came before the failure comes first");
    }

    #[tokio::test]
    async fn a_chunk_is_handed_on_when_nothing_comes_after_it() {
        let only = stream::iter([Ok::<_, &str>(Frame::data(Bytes::from("data: x\n\n")))]);
        let stalling = http_body_util::StreamBody::new(only.chain(stream::pending()));
        let mut body = CustomBody::new(stalling);
        let piece = poll_fn(|cx| body.poll_data(cx)).await;
        assert_eq!(piece.unwrap().unwrap(), "data: x\n\n");
    }
}
