//! [`Attempt`]: one attempt at opening a stream, from the request to an open response.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::response::Parts;
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::state::ResponseHead;

use super::body::{Body, RawBody};
use super::cookies::Cookies;
use super::http_connection::{Connect, HttpConnection, through};
use super::http_request::HttpRequest;
use super::redirect::{self, Redirects};
use super::verdict::{ResponseVerdict, judge, refusal};

/// One attempt: the request, and how long each stage may take.
pub(crate) struct Attempt {
    pub(crate) request: HttpRequest,
    /// The jar that adds cookies to each request and stores those of each response.
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
    pub(crate) redirects: Redirects,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
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
    Open { head: ResponseHead, body: Box<Body> },
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
        let (mut head, body) = attempt.send_request(&*connector).await?;
        if let Some(jar) = &attempt.cookies {
            jar.store(&attempt.request.target, &head.headers, connector.wall_clock());
        }
        let body = Body::new(body, &mut head.headers);
        match judge(head.status, &head.headers) {
            ResponseVerdict::Accept => {
                let url = attempt.request.target.uri().clone();
                let head = ResponseHead::new(url, head.status, head.version, &head.headers);
                return Ok(Dialed::Open { head, body: Box::new(body) });
            }
            ResponseVerdict::Stop => return Ok(Dialed::NoContent),
            ResponseVerdict::Refuse(ErrorKind::Redirect) => {
                if let Err(refused) = redirect::follow(attempt.redirects, &mut attempt.request, &head, redirects) {
                    let body = body.read_beginning().await;
                    return Err(refused.into_error(&attempt.request.target, head, body));
                }
            }
            ResponseVerdict::Refuse(kind) => {
                let body = body.read_beginning().await;
                return Err(refusal(kind, head.status, head.headers, body));
            }
        }
        redirects += 1;
    }
}

impl Attempt {
    /// Sends one request and waits for its response head.
    ///
    /// A request that fails on a reused connection is sent once more, on another one, if that is
    /// safe: the connection had died unnoticed, or refuses further requests.
    async fn send_request(&self, connector: &dyn Connect) -> Result<(Parts, RawBody), Error> {
        let connection = self.connect(connector).await?;
        let is_reused = connection.is_reused();
        let cookies = match &self.cookies {
            Some(jar) => jar.matching(&self.request.target, connector.wall_clock()),
            None => Vec::new(),
        };
        match self.send_on(connection, &cookies).await {
            Err(error)
                if is_reused && error.kind() == ErrorKind::Protocol && may_repeat(&self.request.method, &error) =>
            {
                self.send_on(self.connect(connector).await?, &cookies).await
            }
            answer => answer,
        }
    }

    async fn connect(&self, connector: &dyn Connect) -> Result<HttpConnection, Error> {
        let target = &self.request.target;
        let connecting = connector.connect(target, self.connect_timeout);
        timeout(self.connect_timeout, connecting).await.unwrap_or_else(|_| {
            let through = through(connector.proxy(target).as_deref());
            let message = format!("no connection to {}{through} within {:?}", target.authority(), self.connect_timeout);
            Err(Error::with_source(ErrorKind::ConnectTimeout, message, io::Error::from(io::ErrorKind::TimedOut)))
        })
    }

    async fn send_on(
        &self,
        connection: HttpConnection,
        cookies: &[(String, String)],
    ) -> Result<(Parts, RawBody), Error> {
        let request = self.request.to_http(cookies, connection.request_form())?;
        connection.send(&self.request.target, request, self.response_timeout).await
    }
}

/// Returns true if a request that got no answer may be sent again at once: it was never sent, or
/// its method is idempotent (RFC 9110, section 9.2.2). A POST to a chat server is neither.
fn may_repeat(method: &Method, error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    method.is_idempotent() || source.is_some_and(hyper::Error::is_canceled)
}
