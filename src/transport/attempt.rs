//! [`Attempt`]: one attempt at opening a stream, from the request to an open response.
//!
//! [`dial`] is the whole way: connect, send, judge, and start over where a redirect leads. An
//! attempt never waits for a back-off and never repeats itself after a failure; the connection task
//! does that, as its policy decides. The one exception is a request on a reused HTTP/2 connection
//! that had died unnoticed: see [`Attempt::send_request`].
//!
//! Each stage has a time limit of its own, so that an attempt ends even if the server stays silent:
//! the connect timeout and the response timeout (for each hop of a chain of redirects anew), and 2
//! s for the body of a refusal. A deadline, if the caller sets one, shortens the first two.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::response::Parts;
use tokio::time::Instant;

use crate::error::{Error, ErrorKind};
use crate::response::silence::within;
use crate::response::{ResponseHead, ResponseVerdict, judge, refusal};

use super::body::{Body, RawBody};
use super::cookies::Cookies;
use super::http_connection::{Connect, HttpConnection, through};
use super::http_request::HttpRequest;
use super::redirect::{self, Redirects};

/// Decides which successful responses are event streams, in place of the standard.
pub(crate) type AcceptResponse = dyn Fn(&ResponseHead) -> bool + Send + Sync;

/// One attempt: the request, and how long each stage may take.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) request: HttpRequest,
    /// The jar that adds cookies to each request and stores those of each response.
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
    pub(crate) redirects: Redirects,
    pub(crate) accept: Option<Arc<AcceptResponse>>,
    /// Limit for name, TCP, proxy and TLS together; 10 s by default.
    pub(crate) connect_timeout: Duration,
    /// Limit from the request to the response head, if there is one; 5 min by default.
    pub(crate) response_timeout: Option<Duration>,
    /// When the head of the last response has to be there; none by default. It shortens the limits.
    pub(crate) deadline: Option<Instant>,
}

/// Shows the request without its body, which may hold secrets.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("method", &self.request.method)
            .field("target", &self.request.target)
            .field("headers", &self.request.headers)
            .finish_non_exhaustive()
    }
}

/// How an attempt ended, unless it failed.
pub(crate) enum Dialed {
    /// The event stream is open.
    Open {
        head: ResponseHead,
        body: Box<Body>,
        /// The failure after which the request was sent once more, if it was.
        repeated_after: Option<Error>,
    },
    /// 204: the server asks the client to stop.
    NoContent,
}

/// Runs an attempt: connects, sends the request, judges the response head, and starts over where
/// a redirect leads.
///
/// # Errors
///
/// Each stage has its own kinds. The error of a refused response holds at most 8 KiB of its body.
///
/// # Cancel safety
///
/// Dropping the future closes every connection it opened. A name that is being resolved keeps a
/// thread of the runtime's blocking pool until the system's resolver gives up.
pub(crate) async fn dial(connector: Arc<dyn Connect>, mut attempt: Attempt) -> Result<Dialed, Error> {
    let mut redirects = 0;
    loop {
        let answer = attempt.send_request(&*connector).await.map_err(|error| attempt.explain_limit(error))?;
        let Answer { mut head, body, waited, repeated_after } = answer;
        // Redirects and refusals set cookies, too: a login page, say.
        if let Some(jar) = &attempt.cookies {
            jar.store(&attempt.request.target, &head.headers, connector.wall_clock());
        }
        let body = Body::new(body, &mut head.headers);
        let target = &attempt.request.target;
        let response_head = || ResponseHead::new(target.uri().clone(), head.status, head.version, &head.headers);
        // The caller's code: a panic ends the connection task.
        let accepts = || attempt.accept.as_ref().map(|accept| accept(&response_head()));
        match judge(head.status, &head.headers, accepts) {
            // Boxed, so that the future that returns it stays small.
            ResponseVerdict::Accept => {
                return Ok(Dialed::Open { head: response_head(), body: Box::new(body), repeated_after });
            }
            ResponseVerdict::Stop => return Ok(Dialed::NoContent),
            ResponseVerdict::Refuse(kind) => {
                let refused = match kind {
                    ErrorKind::Redirect => {
                        match redirect::follow(attempt.redirects, &mut attempt.request, &head, redirects) {
                            // Its body is not read: its connection is dropped.
                            Ok(()) => {
                                redirects += 1;
                                continue;
                            }
                            Err(refused) => Some(refused),
                        }
                    }
                    _ => None,
                };
                let (body, target) = (body.read_beginning().await, &attempt.request.target);
                let error = match refused {
                    Some(refused) => refused.into_error(target, head, body),
                    None => refusal(kind, head.status, head.headers, body, "accept_response"),
                };
                return Err(error.at_url(target.shown(), redirects > 0).after_waiting(waited));
            }
        }
    }
}

/// The answer to a request.
struct Answer {
    head: Parts,
    body: RawBody,
    /// How long a head was waited for, on the connection where that took longest.
    waited: Option<Duration>,
    /// See [`Dialed::Open`].
    repeated_after: Option<Error>,
}

impl Attempt {
    /// Sends one request and waits for its response head.
    ///
    /// A request that fails on a reused connection is sent once more, on another one, if that is
    /// safe: the connection had died unnoticed, or refuses further requests.
    async fn send_request(&self, connector: &dyn Connect) -> Result<Answer, Error> {
        let mut repeated_after = None::<Error>;
        loop {
            let connecting = self.connect(connector).await;
            let waited_before = repeated_after.as_ref().and_then(Error::waited);
            let connection = connecting.map_err(|error| error.after_waiting(waited_before))?;
            let may_be_dead = repeated_after.is_none() && connection.is_reused();
            // Read after the connection is there, which may take seconds: cookies expire.
            let cookies = match &self.cookies {
                Some(jar) => jar.matching(&self.request.target, connector.wall_clock()),
                None => Vec::new(),
            };
            let request = self.request.to_http(&cookies, &connection)?;
            let limit = self.answer_limit(&connection);
            let sent_at = Instant::now();
            let answer = connection.send(&self.request.target, request, limit).await;
            let waited = waited_before.max(Some(sent_at.elapsed()));
            match answer {
                Ok((head, body)) => return Ok(Answer { head, body, waited, repeated_after }),
                // Servers and balancers close shared connections at any time, and the request has
                // met that by chance (RFC 9113, section 8.7).
                Err(error)
                    if may_be_dead
                        && error.kind() == ErrorKind::Protocol
                        && may_repeat(&self.request.method, &error) =>
                {
                    repeated_after = Some(error.after_waiting(waited));
                }
                Err(error) => return Err(error.after_waiting(waited)),
            }
        }
    }

    /// Returns how long the answer to a request may take. The caller's transport has to connect
    /// first.
    fn answer_limit(&self, connection: &HttpConnection) -> Option<Duration> {
        let connecting = match connection {
            HttpConnection::Custom(_) => self.connect_timeout,
            _ => Duration::ZERO,
        };
        let limit = self.response_timeout.map(|limit| limit.saturating_add(connecting));
        let left = self.time_left();
        limit.into_iter().chain(left).min()
    }

    /// Returns the time until the deadline, if there is one.
    fn time_left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Adds to the error of a stage that the deadline has shortened it.
    fn explain_limit(&self, error: Error) -> Error {
        let is_cut = matches!(error.kind(), ErrorKind::ConnectTimeout | ErrorKind::ResponseTimeout)
            && self.time_left() == Some(Duration::ZERO);
        if is_cut { error.explained("; the deadline of the attempt has passed") } else { error }
    }

    /// Connects within the connect timeout, which covers name, TCP, proxy and TLS together.
    async fn connect(&self, connector: &dyn Connect) -> Result<HttpConnection, Error> {
        let target = &self.request.target;
        let limit = self.time_left().map_or(self.connect_timeout, |left| left.min(self.connect_timeout));
        let connecting = connector.connect(target, limit);
        // A connector of the caller's may not keep the time it is given, so it is enforced here.
        within(limit, connecting).await.unwrap_or_else(|| {
            let through = through(connector.proxy(target).as_deref());
            let message = format!(
                "no connection to {}{through} within the connect timeout of {limit:?}",
                target.shown_authority()
            );
            Err(Error::with_source(ErrorKind::ConnectTimeout, message, io::Error::from(io::ErrorKind::TimedOut)))
        })
    }
}

/// Returns true if a request that got no answer may be sent again at once: it was never sent, or
/// its method is idempotent (RFC 9110, section 9.2.2). A POST to a chat server is neither.
fn may_repeat(method: &Method, error: &Error) -> bool {
    // hyper calls a request canceled that it never began to send.
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    method.is_idempotent() || source.is_some_and(hyper::Error::is_canceled)
}
