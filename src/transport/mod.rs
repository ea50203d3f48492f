//! HTTP: from a [`Target`] and headers to an open response. Does not know that events exist.

mod body;
mod coding;
mod connect;
mod connector;
mod cookies;
mod custom;
mod exchange;
mod headers;
mod http1;
#[cfg(feature = "http2")]
mod http2;
mod keepalive;
#[cfg(feature = "http2")]
mod pool;
mod proxy;
mod redirect;
mod redirects;
mod resolver;
pub(crate) mod target;
mod tcp;
#[cfg(feature = "tls")]
mod tls;
mod verdict;

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fmt, io};

use bytes::{Bytes, BytesMut};
use http::response::Parts;
use http::{HeaderMap, Method};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;

use crate::error::{Error, ErrorKind};
use crate::state::ResponseHead;

pub(crate) use self::body::Body;
pub(crate) use self::coding::{Decoding, take as take_coding};
pub(crate) use self::connect::{Instead, Network, NetworkSettings};
pub use self::connector::Connector;
#[cfg(feature = "tower-service-0-3")]
pub use self::connector::{ServiceConnector, ServiceIo};
#[cfg(feature = "cookies")]
pub(crate) use self::cookies::Jar;
pub(crate) use self::cookies::{Cookies, cookie, joined as joined_cookies};
pub(crate) use self::custom::Custom;
use self::exchange::Exchange;
use self::headers::Form;
pub(crate) use self::headers::{
    LAST_EVENT_ID, basic_authorization, check_method, header, last_event_id_value, may_append, may_insert,
};
#[cfg(feature = "http2")]
use self::http2::Lease;
pub use self::keepalive::TcpKeepalive;
#[cfg(feature = "http2")]
pub(crate) use self::pool::Pool;
pub(crate) use self::proxy::{Proxy, Proxying};
pub use self::redirects::Redirects;
pub(crate) use self::resolver::Resolver;
use self::target::Target;
#[cfg(feature = "tls")]
pub use self::tls::TlsVersion;
#[cfg(feature = "tls")]
pub(crate) use self::tls::{Tls, TlsSettings};
pub(crate) use self::verdict::{MAX_ERROR_BODY, Verdict, refusal, verdict};

/// The longest value that a server can make us send, an ID or cookies. It must not be able to end the stream, and nginx
/// and Apache refuse for good a header of more than 8 KiB, with its name.
pub(crate) const MOST_CHOSEN: usize = 8_000;

/// How long the body of a refused response may take; what has come by then is in the error.
const ERROR_BODY_TIME: Duration = Duration::from_secs(2);

/// A byte stream to a server: TCP, TLS, or what a test makes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection on which a request can be sent.
pub(crate) struct HttpConnection {
    channel: Channel,
    /// Whoever is asked in the server's stead.
    forward: Option<Arc<Proxy>>,
}

enum Channel {
    /// HTTP/1.1, on a connection of the stream's own.
    Own(Box<dyn Io>),
    #[cfg(feature = "http2")]
    Shared(Lease),
}

impl HttpConnection {
    /// HTTP/1.1 to the server itself.
    pub(crate) fn own(io: Box<dyn Io>) -> Self {
        Self { channel: Channel::Own(io), forward: None }
    }

    /// HTTP/1.1 to a proxy that passes requests on.
    fn forwarded(io: Box<dyn Io>, proxy: Arc<Proxy>) -> Self {
        Self { channel: Channel::Own(io), forward: Some(proxy) }
    }

    #[cfg(feature = "http2")]
    fn shared(lease: Lease) -> Self {
        Self { channel: Channel::Shared(lease), forward: None }
    }

    /// Whether the connection may have died unnoticed since it was made.
    fn is_reused(&self) -> bool {
        match &self.channel {
            Channel::Own(_) => false,
            #[cfg(feature = "http2")]
            Channel::Shared(lease) => lease.is_reused(),
        }
    }

    /// What to do when the connection has given no answer, or refused to: no other request is to go there.
    fn retire(&self) -> impl FnOnce() + use<> {
        #[cfg(feature = "http2")]
        let connection = match &self.channel {
            Channel::Own(_) => None,
            Channel::Shared(lease) => Some(lease.connection()),
        };
        move || {
            #[cfg(feature = "http2")]
            connection.iter().for_each(|connection| connection.retire());
        }
    }

    /// How the request names what it asks for.
    fn form(&self) -> Form {
        match (&self.channel, &self.forward) {
            (Channel::Own(_), None) => Form::Origin,
            (Channel::Own(_), Some(proxy)) => Form::Absolute { authorization: proxy.authorization() },
            #[cfg(feature = "http2")]
            (Channel::Shared(_), _) => Form::Http2,
        }
    }
}

/// A future that lives in the connection task's phase.
pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Makes connections.
pub(crate) trait Connect: Send + Sync {
    /// `timeout` is the caller's; a connector that has several addresses to try shares it out.
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<HttpConnection, Error>>;

    /// Who stands between us and `target`, for messages.
    fn proxy(&self, _target: &Target) -> Option<Arc<Proxy>> {
        None
    }

    /// The wall clock, for the dates that servers send; all else goes by tokio's. Here, where the rest of the
    /// outside world is, so that a test can set it.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }
}

/// One attempt: what to ask for and how long each stage may take.
pub(crate) struct Attempt {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// All of the request's headers but `Host`.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether to ask for the content codings that this build decodes.
    pub(crate) compression: bool,
    /// What adds cookies to each request, and takes them from each response.
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
    pub(crate) redirects: Redirects,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

/// Without the body, which may be a secret.
impl fmt::Debug for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempt")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// What an attempt that reached a verdict led to.
pub(crate) enum Dialed {
    /// The event stream is open.
    Open { head: ResponseHead, body: Box<Body> },
    /// 204: the server asks us to stop.
    NoContent,
}

/// Dials: name, TCP, TLS, request, response head, verdict; and again where a redirect leads.
///
/// # Errors
///
/// Each stage has its own kinds. A refused response is in the error, with at most 8 KiB of its body.
///
/// # Cancel safety
///
/// Dropping the future closes whatever it had opened. A name being resolved keeps a thread of the
/// runtime's blocking pool until the system's resolver gives up.
pub(crate) async fn dial(connector: Arc<dyn Connect>, mut attempt: Attempt) -> Result<Dialed, Error> {
    let mut redirects = 0;
    loop {
        let (mut head, exchange) = ask(&*connector, &attempt).await?;
        if let Some(jar) = &attempt.cookies {
            jar.take(&attempt.target, &head.headers, connector.wall_clock());
        }
        let mut body = Body::new(exchange, &mut head.headers);
        match verdict(head.status, &head.headers) {
            Verdict::Accept => {
                let head = ResponseHead::new(attempt.target.uri().clone(), head.status, head.version, &head.headers);
                return Ok(Dialed::Open { head, body: Box::new(body) });
            }
            Verdict::Stop => return Ok(Dialed::NoContent),
            Verdict::Refuse(ErrorKind::Redirect) => {
                if let Err(refused) = redirect::follow(&mut attempt, &head, redirects) {
                    let body = error_body(&mut body).await;
                    return Err(redirect::refusal(refused, &attempt, head, body));
                }
            }
            Verdict::Refuse(kind) => {
                let body = error_body(&mut body).await;
                return Err(refusal(kind, head.status, head.headers, body));
            }
        }
        redirects += 1;
    }
}

/// One request, up to the head of its response.
async fn ask(connector: &dyn Connect, attempt: &Attempt) -> Result<(Parts, Exchange), Error> {
    let link = connect(connector, attempt).await?;
    let (is_reused, retire) = (link.is_reused(), link.retire());
    let cookies = attempt.cookies.as_ref().map(|jar| jar.matching(&attempt.target, connector.wall_clock()));
    let cookies = cookies.unwrap_or_default();
    match send(link, attempt, &cookies).await {
        // The others on that connection learn of its end, too. This one was only unlucky to come then. Or it is alive,
        // and refuses more than it has.
        Err(error) if is_reused && error.kind() == ErrorKind::Protocol => {
            retire();
            if !may_repeat(&attempt.method, &error) {
                return Err(error);
            }
            send(connect(connector, attempt).await?, attempt, &cookies).await
        }
        outcome => outcome,
    }
}

/// Whether a request that got no answer may be sent again at once (RFC 9110, section 9.2.2): it has not gone out, or to
/// do it twice is to do it once. A question to a chat server is neither.
fn may_repeat(method: &Method, error: &Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    method.is_idempotent() || source.is_some_and(hyper::Error::is_canceled)
}

async fn connect(connector: &dyn Connect, attempt: &Attempt) -> Result<HttpConnection, Error> {
    let connecting = connector.connect(&attempt.target, attempt.connect_timeout);
    timeout(attempt.connect_timeout, connecting).await.map_err(|_| {
        let through = through(connector.proxy(&attempt.target).as_deref());
        let message =
            format!("no connection to {}{through} within {:?}", attempt.target.authority(), attempt.connect_timeout);
        Error::with_source(ErrorKind::ConnectTimeout, message, io::Error::from(io::ErrorKind::TimedOut))
    })?
}

async fn send(
    link: HttpConnection,
    attempt: &Attempt,
    cookies: &[(String, String)],
) -> Result<(Parts, Exchange), Error> {
    let request = headers::build(attempt, cookies, link.form())?;
    let retire = link.retire();
    let outcome = timeout(attempt.response_timeout, Exchange::begin(link.channel, request)).await.map_err(|_| {
        retire();
        let (server, through) = (attempt.target.authority(), through(link.forward.as_deref()));
        let message = format!("{server} sent no response head{through} within {:?}", attempt.response_timeout);
        Error::with_source(ErrorKind::ResponseTimeout, message, io::Error::from(io::ErrorKind::TimedOut))
    })?;
    #[cfg(feature = "tls")]
    let outcome = outcome.map_err(|error| tls::explain(attempt.target.host(), error));
    match link.forward {
        None => outcome,
        Some(proxy) => proxy.answered(outcome).await,
    }
}

fn through(proxy: Option<&Proxy>) -> String {
    proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
}

/// The beginning of the body of a refused response: bounded in size and time, and never a failure of
/// its own.
async fn error_body(body: &mut Body) -> Bytes {
    let mut beginning = BytesMut::new();
    let read = async {
        while beginning.len() < MAX_ERROR_BODY {
            let Some(Ok(data)) = std::future::poll_fn(|cx| body.poll_data(cx)).await else { break };
            beginning.extend_from_slice(&data[..data.len().min(MAX_ERROR_BODY - beginning.len())]);
        }
    };
    // Too late: what has come is what there is.
    let _ = timeout(ERROR_BODY_TIME, read).await;
    beginning.freeze()
}
