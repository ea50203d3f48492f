//! [`HttpConnection`]: a connection on which one request is sent, and [`Connect`], which makes
//! them.
//!
//! | variant | used for | request target |
//! |---|---|---|
//! | `Http1` | the server itself, also through a tunnel | path and query |
//! | `Forwarded` | an HTTP proxy that forwards requests for http targets | the whole URL |
//! | `Http2` | one stream of a shared connection | the whole URL, as pseudo-headers |
//! | `Custom` | the caller's transport, which connects when it sends | the whole URL |
//!
//! The response timeout lives here. An attempt that fails here fails with a kind that says who
//! failed: `ResponseTimeout` and `Protocol` (the server), `Proxy`, or `Tls`.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http::response::Parts;
use http_body_util::Full;

use crate::error::{Error, ErrorKind};
use crate::response::silence::within;
use crate::transport::target::Target;

use super::body::RawBody;
use super::connector::{BoxFuture, Io};
use super::custom_transport::BoxedTransport;
use super::http1;
#[cfg(feature = "http2")]
use super::http2::StreamLease;
use super::proxy::ProxyServer;
#[cfg(feature = "tls")]
use super::tls;

/// Makes connections. Tests replace it, and with it the outside world.
pub(crate) trait Connect: Send + Sync {
    /// Connects to `target`. The caller enforces `timeout`; a connector that has several addresses
    /// to try divides it among them.
    fn connect(&self, target: &Target, timeout: Duration) -> BoxFuture<Result<HttpConnection, Error>>;

    /// Returns true if it speaks https.
    fn has_tls(&self) -> bool {
        cfg!(feature = "tls")
    }

    /// Returns the proxy between us and `target`, for error messages.
    fn proxy(&self, _target: &Target) -> Option<Arc<ProxyServer>> {
        None
    }

    /// Returns wall-clock time, for the dates that servers send. All other time is tokio's.
    fn wall_clock(&self) -> SystemTime {
        SystemTime::now()
    }
}

impl Connect for BoxedTransport {
    /// Connects nothing: the transport does that when it sends.
    fn connect(&self, _target: &Target, _timeout: Duration) -> BoxFuture<Result<HttpConnection, Error>> {
        Box::pin(std::future::ready(Ok(HttpConnection::Custom(self.clone()))))
    }

    /// What the transport does not speak, it refuses.
    fn has_tls(&self) -> bool {
        true
    }
}

/// A connection on which one request can be sent.
pub(crate) enum HttpConnection {
    /// HTTP/1.1 to the server, on a connection of the stream's own.
    Http1(Box<dyn Io>),
    /// HTTP/1.1 to a proxy that forwards the request.
    Forwarded(Box<dyn Io>, Arc<ProxyServer>),
    /// One stream of a shared HTTP/2 connection.
    #[cfg(feature = "http2")]
    Http2(StreamLease),
    /// No connection that we know of: the caller's transport does the rest.
    Custom(BoxedTransport),
}

impl HttpConnection {
    /// Returns true if the connection served requests before, so that it may have died unnoticed.
    pub(super) fn is_reused(&self) -> bool {
        match self {
            Self::Http1(_) | Self::Forwarded(..) | Self::Custom(_) => false,
            #[cfg(feature = "http2")]
            Self::Http2(lease) => lease.is_reused,
        }
    }

    /// Sends the request and waits for the response head.
    ///
    /// # Errors
    ///
    /// `ResponseTimeout` without a head in time; `Protocol` if the connection broke or the answer
    /// is not HTTP; `Tls` if the server refused the client certificate only now; `Proxy` if the
    /// forwarding proxy answered in the server's place; `Transport`, or any other kind, if the
    /// caller's transport failed.
    pub(super) async fn send(
        self,
        target: &Target,
        request: Request<Bytes>,
        response_timeout: Option<Duration>,
    ) -> Result<(Parts, RawBody), Error> {
        match self {
            Self::Http1(io) => {
                // Pinned here, since each function that takes a future by value holds it twice.
                let sending = pin!(http1::send(io, request.map(Full::new)));
                let (head, body) = answer_in_time(sending, target, None, response_timeout).await?;
                Ok((head, RawBody::Http1(body)))
            }
            Self::Forwarded(io, proxy) => {
                let sending = pin!(http1::send(io, request.map(Full::new)));
                match answer_in_time(sending, target, Some(&proxy), response_timeout).await {
                    Ok((head, body)) => proxy.check_forwarded(head, RawBody::Http1(body)).await,
                    // The proxy hung up, not the server: users have to look there.
                    Err(error) if error.kind() == ErrorKind::Protocol => Err(proxy.failed("gave no answer", error)),
                    Err(error) => Err(error),
                }
            }
            #[cfg(feature = "http2")]
            Self::Http2(lease) => {
                let (is_reused, connection) = (lease.is_reused, Arc::clone(&lease.connection));
                let sending = pin!(async { lease.send(request.map(Full::new)).await.map_err(http1::no_answer) });
                let answer = answer_in_time(sending, target, None, response_timeout).await;
                if let Err(error) = &answer {
                    // A reused connection may be dead, or refuse further requests. One that gives
                    // no answer in time is given up even if it is new.
                    if error.kind() == ErrorKind::ResponseTimeout || is_reused && error.kind() == ErrorKind::Protocol {
                        connection.retire();
                    }
                }
                answer.map(|(head, body)| (head, RawBody::Http2(body)))
            }
            Self::Custom(transport) => {
                let sending = transport.send(target, request);
                let (head, body) = in_time(sending, target, None, response_timeout).await?;
                Ok((head, RawBody::Custom(body)))
            }
        }
    }
}

/// Waits for a response head, no longer than `limit` if there is one. An error of TLS is explained:
/// a server refuses a client's certificate only now.
async fn answer_in_time<T>(
    sending: impl Future<Output = Result<T, Error>>,
    target: &Target,
    proxy: Option<&ProxyServer>,
    limit: Option<Duration>,
) -> Result<T, Error> {
    let answer = in_time(sending, target, proxy, limit).await;
    #[cfg(feature = "tls")]
    let answer = answer.map_err(|error| tls::explain(target.host(), error));
    answer
}

/// Waits for a response head, no longer than `limit` if there is one.
async fn in_time<T>(
    sending: impl Future<Output = Result<T, Error>>,
    target: &Target,
    proxy: Option<&ProxyServer>,
    limit: Option<Duration>,
) -> Result<T, Error> {
    within(limit, sending).await.unwrap_or_else(|| {
        let message = format!(
            "{} sent no response head{} within the response timeout of {:?}",
            target.shown_authority(),
            through(proxy),
            limit.unwrap_or_default()
        );
        Err(Error::with_source(ErrorKind::ResponseTimeout, message, io::Error::from(io::ErrorKind::TimedOut)))
    })
}

/// Returns " through the proxy …", for error messages.
pub(super) fn through(proxy: Option<&ProxyServer>) -> String {
    proxy.map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default()
}
