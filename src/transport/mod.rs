//! HTTP: from a [`Target`] and headers to an open response. Does not know that events exist.

mod connect;
mod exchange;
mod request;
#[cfg(feature = "tls")]
mod tls;
mod verdict;

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::response_head::ResponseHead;
use crate::target::Target;

pub(crate) use self::connect::Connector;
pub(crate) use self::exchange::Exchange;
pub(crate) use self::request::{
    LAST_EVENT_ID, basic_authorization, header, last_event_id_value, may_append, may_insert,
};
#[cfg(feature = "tls")]
pub(crate) use self::tls::{Roots, Tls};
pub(crate) use self::verdict::{MAX_ERROR_BODY, Verdict, refusal, verdict};

/// How long the body of a refused response may take; what has come by then is in the error.
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

/// A byte stream to a server: TCP, TLS, or what a test makes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A future that lives in the connection task's phase.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes connections.
pub(crate) trait Connect: Send + Sync {
    /// `timeout` is the caller's; a connector that has several addresses to try shares it out.
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<Box<dyn Io>, Error>>;

    /// The wall clock, for the dates that servers send; all else goes by tokio's. Here, where the rest of the
    /// outside world is, so that a test can set it.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// One attempt: what to ask for and how long each stage may take.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) target: Target,
    /// All of the request's headers but `Host`.
    pub(crate) headers: HeaderMap,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

/// What an attempt that reached a verdict led to.
pub(crate) enum Dialed {
    /// The event stream is open.
    Open { head: ResponseHead, exchange: Box<Exchange> },
    /// 204: the server asks us to stop.
    NoContent,
}

/// Dials: name, TCP, TLS, request, response head, verdict.
///
/// # Errors
///
/// Each stage has its own kinds. A refused response is in the error, with at most 8 KiB of its body.
///
/// # Cancel safety
///
/// Dropping the future closes whatever it had opened. A name being resolved keeps a thread of the
/// runtime's blocking pool until the system's resolver gives up.
pub(crate) async fn dial(connecting: BoxFuture<Result<Box<dyn Io>, Error>>, attempt: Attempt) -> Result<Dialed, Error> {
    let io = timeout(attempt.connect_timeout, connecting).await.map_err(|_| {
        let message = format!("no connection to {} within {:?}", attempt.target.authority(), attempt.connect_timeout);
        Error::with_source(ErrorKind::ConnectTimeout, message, io::Error::from(io::ErrorKind::TimedOut))
    })??;
    let request = request::build(&attempt.target, attempt.headers)?;
    let exchange = timeout(attempt.response_timeout, Exchange::begin(io, request)).await.map_err(|_| {
        let message =
            format!("{} sent no response head within {:?}", attempt.target.authority(), attempt.response_timeout);
        Error::with_source(ErrorKind::ResponseTimeout, message, io::Error::from(io::ErrorKind::TimedOut))
    })?;
    let (head, mut exchange) = exchange?;
    match verdict(head.status, &head.headers) {
        Verdict::Accept => {
            let head = ResponseHead::new(attempt.target.uri().clone(), head.status, head.version, &head.headers);
            Ok(Dialed::Open { head, exchange: Box::new(exchange) })
        }
        Verdict::Stop => Ok(Dialed::NoContent),
        Verdict::Refuse(kind) => {
            let body = error_body(&mut exchange).await;
            Err(refusal(kind, head.status, head.headers, body))
        }
    }
}

/// The beginning of the body of a refused response: bounded in size and time, and never a failure of
/// its own.
async fn error_body(exchange: &mut Exchange) -> Bytes {
    let mut body = BytesMut::new();
    let read = async {
        while body.len() < MAX_ERROR_BODY {
            let Some(Ok(data)) = std::future::poll_fn(|cx| exchange.poll_data(cx)).await else { break };
            body.extend_from_slice(&data[..data.len().min(MAX_ERROR_BODY - body.len())]);
        }
    };
    // Too late: what has come is what there is.
    let _ = timeout(ERROR_BODY_TIME, read).await;
    body.freeze()
}
