//! [`Transport`]: the caller's own HTTP client, in place of this crate's.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
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
/// | returns a body that fails | [`ErrorKind::Body`], retried; events before the failure are delivered |
/// | ends the response early | cannot be told from its end: [`ErrorKind::EndOfStream`], retried |
/// | limits the time of a whole response | each response ends there with `Body`, and the stream reconnects: switch such a limit off |
/// | follows redirects | the stream does not learn of them: its own rules ([`StreamBuilder::redirects`](crate::StreamBuilder::redirects)) apply to redirects that the transport returns |
/// | decodes content codings | it has to remove `Content-Encoding`, as HTTP clients do; a coding that it leaves on is decoded if its feature is on |
/// | panics, or its body does | the stream closes with [`ErrorKind::TaskFailed`] |
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
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
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

/// The body of a transport's response, with its type erased.
pub(super) struct CustomBody {
    poll: Box<PollBytes>,
}

/// Polls for the next bytes of a body.
type PollBytes = dyn FnMut(&mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> + Send;

impl CustomBody {
    fn new(body: impl Body<Error: Into<BoxError>> + Send + 'static) -> Self {
        let mut body = Box::pin(body);
        Self { poll: Box::new(move |cx| poll_some_bytes(body.as_mut(), cx)) }
    }

    /// Polls for the next bytes of the body; `None` at its end. Trailers are skipped.
    pub(super) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        (self.poll)(cx)
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
