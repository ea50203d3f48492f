//! [`Error`] and [`ErrorKind`]: the one error type, clonable because every subscriber may get it.

pub(crate) mod panics;

use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

/// Why something failed.
///
/// Cheap to clone: many subscribers can hold the same one. `Display` speaks for this level only and
/// says whether trying again can help; the causes are in [`source`](StdError::source), whose
/// concrete types are not a promise. No message holds credentials, cookies or query values.
#[derive(Clone)]
pub struct Error {
    inner: Arc<Inner>,
}

struct Inner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    response: Option<Box<Response>>,
}

/// What a refused response said.
struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// The class of an [`Error`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL cannot be parsed, lacks a host, or is too long (64 KiB).
    InvalidUrl,
    /// A header name or value that HTTP cannot carry, more than 1,024 headers, a last event ID that cannot be sent, or
    /// a `Last-Event-ID` where it cannot be set.
    InvalidHeader,
    /// An event that the wire format cannot carry.
    InvalidEvent,
    /// Certificates or another setting of the client that cannot be used.
    InvalidConfig,
    /// An event's data is not what it was to be decoded as. The stream goes on.
    Decode,
    /// A scheme or feature that this build does not have, or a method whose responses have no body (`HEAD`, `CONNECT`).
    Unsupported,
    /// The source of credentials failed.
    Credentials,
    /// The source of credentials took longer than 30 s.
    CredentialsTimeout,
    /// The resume store failed, or took longer than 5 s.
    Store,
    /// The host name did not resolve.
    Dns,
    /// No connection: refused, unreachable, reset; or a Unix socket or a [`Connector`](crate::Connector) failed.
    Connect,
    /// The proxy could not be reached, broke off, or refused: the tunnel to the target, or (407) a request that it was
    /// to forward. With the proxy's answer, if there was one.
    Proxy,
    /// No connection (name, TCP, proxy and TLS together) within the connect timeout.
    ConnectTimeout,
    /// The TLS handshake failed; the message says which check, and what to do about it.
    Tls,
    /// This machine offers no root certificates to check the server's against, or TLS cannot be set up for another
    /// reason.
    Roots,
    /// Connected, but no response head within the response timeout.
    ResponseTimeout,
    /// The connection broke, or held something other than HTTP, before a response head came.
    Protocol,
    /// A status other than 200; see [`Error::status`], [`Error::headers`] and [`Error::body`]. (A 204 ends a stream
    /// well, and is an error of [`EventStream`](crate::EventStream) only.)
    Status,
    /// A redirect that is not followed: none is wanted, it leads to another origin where that is not wanted, from https
    /// to http, or to no URL.
    Redirect,
    /// More redirects in a row than are followed: a loop, most likely.
    TooManyRedirects,
    /// 200, but not `text/event-stream`.
    ContentType,
    /// 200, but encoded (compressed) in a way that this build does not decode.
    ContentEncoding,
    /// The open stream was silent for longer than the idle timeout.
    IdleTimeout,
    /// The open stream broke off, its compression is corrupt, or it is against the rules of HTTP.
    Body,
    /// The server ended the stream.
    EndOfStream,
    /// The stream has broken off in the same way after the same last event ID five times in a row, within an event or
    /// after the same events without an ID each time: an event that the server or a proxy cannot send, most likely. A
    /// stream that brings anything new is not poisoned, nor is one that brings nothing, or only comments, and is cut
    /// off. Nor is one that had been open for as long as a healthy one
    /// ([`ReconnectPolicy::healthy_after`](crate::ReconnectPolicy::healthy_after), 10 s by default) before it broke off
    /// or fell silent. How it broke off is the source.
    Poisoned,
    /// A subscription's predicate ([`Filter::and`](crate::Filter::and)) panicked, which ended that subscription.
    FilterPanicked,
    /// No thread, or no runtime on it, could be begun for a client of module `blocking`.
    Thread,
    /// The stream is closed for good, so that the call can have no effect.
    Closed,
    /// The connection task panicked, in code of yours most likely (a policy's closure, a source of credentials), whose
    /// words are in the message; or its runtime was shut down.
    TaskFailed,
}

impl ErrorKind {
    /// Whether the daemon's defaults try again after this, where the kind alone decides.
    fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Credentials
                | Self::CredentialsTimeout
                | Self::Store
                | Self::Dns
                | Self::Connect
                | Self::Proxy
                | Self::ConnectTimeout
                | Self::Tls
                | Self::Roots
                | Self::ResponseTimeout
                | Self::Protocol
                | Self::TooManyRedirects
                | Self::IdleTimeout
                | Self::Body
                | Self::EndOfStream
                | Self::Poisoned
        )
    }
}

/// Statuses that say "later", not "never" (RFC 9110 section 15, RFC 6585 section 4, RFC 8470).
const TRANSIENT_STATUSES: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

impl Error {
    /// For tests of programs that handle errors: one without a cause. A response that was refused is
    /// [`refused`](Self::refused).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::build(kind, message.into(), None, None)
    }

    /// For tests of programs that handle errors: the refusal of a response with this status.
    pub fn refused(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self::with_response(ErrorKind::Status, format!("the server answered {status}"), status, headers, body.into())
    }

    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::build(kind, message.into(), Some(source.into()), None)
    }

    pub(crate) fn with_response(
        kind: ErrorKind,
        message: impl Into<String>,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        let response = Box::new(Response { status, headers, body });
        Self::build(kind, message.into(), None, Some(response))
    }

    fn build(
        kind: ErrorKind,
        message: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
        response: Option<Box<Response>>,
    ) -> Self {
        Self { inner: Arc::new(Inner { kind, message, source, response }) }
    }

    /// The class of the failure, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Whether the failure is final: trying again cannot help, and by default the stream does not. (A
    /// [`ReconnectPolicy`](crate::ReconnectPolicy) may decide otherwise.)
    ///
    /// False for faults of transport (TLS and proxies included), for a loop of redirects, for the end of a stream, for
    /// a source of credentials or a resume store that fails, and for the statuses 408, 425, 429, 500, 502, 503 and 504.
    pub fn is_final(&self) -> bool {
        match (self.kind(), self.status()) {
            (ErrorKind::Status, Some(status)) => !TRANSIENT_STATUSES.contains(&status.as_u16()),
            (kind, _) => !kind.is_transient(),
        }
    }

    /// The status of the response that was refused.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.response.as_ref().map(|response| response.status)
    }

    /// The headers of the response that was refused. They may hold secrets: `Debug` and `Display`
    /// leave them out.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.response.as_ref().map(|response| &response.headers)
    }

    /// The first 8 KiB of the body of the response that was refused; a stream waits for them for 2 s at most. Empty for
    /// a proxy's refusal of a tunnel, whose body is not read.
    pub fn body(&self) -> Option<&Bytes> {
        self.inner.response.as_ref().map(|response| &response.body)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = &self.inner.message;
        match self.kind() {
            // Of one event: no stream ends, and none is tried again.
            ErrorKind::Decode | ErrorKind::InvalidEvent => f.write_str(message),
            _ if self.is_final() => write!(f, "{message} (final)"),
            _ => write!(f, "{message} (worth another try)"),
        }
    }
}

/// Without the response's headers and body, which may hold secrets.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("status", &self.status())
            .field("source", &self.inner.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}
