//! [`ErrorKind`]: the class of an error, and which failures are worth another attempt.

use http::StatusCode;

/// The class of an [`Error`](crate::Error): what happened, and what the default policy does.
///
/// "Retried" means that the [default policy](crate::ReconnectPolicy::daemon) waits and tries again;
/// "final" that it closes the stream. An [`EventStream`](crate::EventStream) retries nothing: it
/// ends, and the program may ask again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum ErrorKind {
    /// The URL cannot be parsed, has no host, or is longer than 64 KiB, or TLS cannot check its
    /// host's name. A host outside of ASCII needs feature `idn`. Final; correct the URL.
    InvalidUrl,
    /// HTTP cannot carry a header name or value or the last event ID, there are more than 1,024
    /// headers, or `Last-Event-ID` was set as a header. Final; correct the call.
    InvalidHeader,
    /// The wire format cannot carry this event. No stream is affected; correct the event.
    InvalidEvent,
    /// A certificate, a proxy's URL, a resume store or another setting cannot be used. Final; the
    /// message says which.
    InvalidConfig,
    /// An event's data does not have the expected type. The stream goes on with the next event.
    Decode,
    /// This build lacks the scheme or feature, the method's responses have no body (`HEAD`,
    /// `CONNECT`), or Android's certificate verifier takes no roots beside its own. Final; the
    /// message says what to use.
    Unsupported,
    /// The hook [`before_attempt`](crate::StreamBuilder::before_attempt) failed, or wanted what
    /// cannot be sent. Retried; the source has the reason.
    BeforeAttempt,
    /// The hook `before_attempt` took longer than 30 s. Retried.
    BeforeAttemptTimeout,
    /// The source of credentials failed. Retried; the source has the reason.
    Credentials,
    /// The source of credentials took longer than 30 s. Retried.
    CredentialsTimeout,
    /// The resume store failed, or took longer than 5 s. Retried; the stream goes on meanwhile.
    Store,
    /// The host name did not resolve. Retried; check the name and the resolver.
    Dns,
    /// No connection: refused, unreachable or reset, or a Unix socket or a
    /// [`Connector`](crate::Connector) failed. Retried.
    Connect,
    /// The proxy could not be reached, broke off, or refused the tunnel or (407) the request that
    /// it was to forward. Retried; the error holds the proxy's answer, if there was one.
    Proxy,
    /// No connection (name, TCP, proxy and TLS together) within the connect timeout. Retried.
    ConnectTimeout,
    /// The TLS handshake failed. Retried; the message says which check failed and what to do.
    Tls,
    /// This machine has no root certificates, or TLS cannot be set up for another reason. Retried;
    /// install roots, or give the client its own.
    Roots,
    /// Connected, but no response head within the response timeout. Retried.
    ResponseTimeout,
    /// The caller's [`Transport`](crate::Transport) failed. Retried; the source is its error.
    Transport,
    /// The connection broke, or carried something other than HTTP, before a response head came.
    /// Retried.
    Protocol,
    /// A status other than 200. 408, 425, 429, and all from 500 on but 501 and 505 are retried,
    /// others are final. See [`Error::status`](crate::Error::status),
    /// [`headers`](crate::Error::headers) and [`body`](crate::Error::body). (A 204 ends a stream
    /// without an error; it is one only for an [`EventStream`](crate::EventStream).)
    Status,
    /// A redirect that is not followed: redirects are off, or it leads to another origin against
    /// the settings or with a body, from https to http, or to no URL. Final; correct the URL.
    Redirect,
    /// More redirects in a row than are followed, or one to the very request that it answers: a
    /// loop. Retried.
    TooManyRedirects,
    /// 200, but not `text/event-stream`, or not accepted by
    /// [`accept_response`](crate::StreamBuilder::accept_response) or
    /// [`from_response_if`](crate::EventStream::from_response_if). Final; check the URL.
    ContentType,
    /// 200, but in a content coding that this build does not decode. Final; enable its feature.
    ContentEncoding,
    /// The open stream was silent for longer than the idle timeout. Retried.
    IdleTimeout,
    /// An [`EventStream`](crate::EventStream) brought no event within its first-event timeout.
    /// Retried.
    FirstEventTimeout,
    /// The open stream broke off, its content coding is corrupt, or it breaks HTTP's rules.
    /// Retried.
    Body,
    /// The server ended the stream. Retried: servers end streams all the time.
    EndOfStream,
    /// The response came to a regular end without the [end mark](crate::StreamBuilder::end_mark)
    /// that the stream must have: the server or a proxy gave up within the answer. Retried; with
    /// [`once`](crate::StreamBuilder::once), or a method that is not idempotent, it is final.
    Incomplete,
    /// The stream broke off five times in a row at the same place: most likely the server or a
    /// proxy cannot send one event. The page [reconnection](crate::guide::reconnection) has the
    /// conditions. Retried at the ceiling of the back-off, or final with
    /// [`stop_on_poison`](crate::ReconnectPolicy::stop_on_poison); the source says how it broke
    /// off.
    ///
    /// A stream that brings anything new is not poisoned. Nor is one that is cut off after nothing
    /// or only comments.
    Poisoned,
    /// A subscription's predicate ([`Filter::and`](crate::Filter::and)) panicked, which ended that
    /// subscription. Other subscriptions go on.
    FilterPanicked,
    /// The `blocking` module could not start a thread, or a runtime on it; or the thread belongs to
    /// the parent of this process, which was forked.
    Thread,
    /// The stream is closed for good, so the call has no effect.
    Closed,
    /// The connection task panicked, most likely in the caller's code (a policy's closure, a hook,
    /// a source of credentials, a connector), or its runtime was shut down. Final; the message has
    /// the panic's text.
    TaskFailed,
}

impl ErrorKind {
    /// Returns the name of this kind, as a label for logs and metrics: `connect_timeout`, for
    /// example. It is the variant's name in snake case, and never changes.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidUrl => "invalid_url",
            Self::InvalidHeader => "invalid_header",
            Self::InvalidEvent => "invalid_event",
            Self::InvalidConfig => "invalid_config",
            Self::Decode => "decode",
            Self::Unsupported => "unsupported",
            Self::BeforeAttempt => "before_attempt",
            Self::BeforeAttemptTimeout => "before_attempt_timeout",
            Self::Credentials => "credentials",
            Self::CredentialsTimeout => "credentials_timeout",
            Self::Store => "store",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Proxy => "proxy",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::Roots => "roots",
            Self::ResponseTimeout => "response_timeout",
            Self::Transport => "transport",
            Self::Protocol => "protocol",
            Self::Status => "status",
            Self::Redirect => "redirect",
            Self::TooManyRedirects => "too_many_redirects",
            Self::ContentType => "content_type",
            Self::ContentEncoding => "content_encoding",
            Self::IdleTimeout => "idle_timeout",
            Self::FirstEventTimeout => "first_event_timeout",
            Self::Body => "body",
            Self::EndOfStream => "end_of_stream",
            Self::Incomplete => "incomplete",
            Self::Poisoned => "poisoned",
            Self::FilterPanicked => "filter_panicked",
            Self::Thread => "thread",
            Self::Closed => "closed",
            Self::TaskFailed => "task_failed",
        }
    }

    /// Returns true if a failure of this kind, with this status if a response was refused, is
    /// retried by default. A [`ReconnectPolicy`](crate::ReconnectPolicy) starts from this answer.
    pub(super) fn is_retried_by_default(self, status: Option<StatusCode>) -> bool {
        match self {
            Self::Status => status.is_some_and(is_retried_status),
            Self::BeforeAttempt
            | Self::BeforeAttemptTimeout
            | Self::Credentials
            | Self::CredentialsTimeout
            | Self::Store
            | Self::Dns
            | Self::Connect
            | Self::Proxy
            | Self::ConnectTimeout
            | Self::Tls
            | Self::Roots
            | Self::ResponseTimeout
            | Self::Transport
            | Self::Protocol
            | Self::TooManyRedirects
            | Self::IdleTimeout
            | Self::FirstEventTimeout
            | Self::Body
            | Self::EndOfStream
            | Self::Incomplete
            | Self::Poisoned => true,
            // The program, its configuration or the server has to change first, or the stream has
            // ended.
            _ => false,
        }
    }
}

/// Returns true for a status that means "later", not "never" (RFC 9110, section 15; RFC 6585,
/// section 4; RFC 8470). One that is not known counts as the first of its class, and one beyond 599
/// as a 500: Cloudflare has 520-527 and 530, other balancers 509, 561 and 598.
fn is_retried_status(status: StatusCode) -> bool {
    match status.as_u16() {
        408 | 425 | 429 => true,
        // The server lacks the method or the version of HTTP, and will lack them later, too.
        501 | 505 => false,
        status => status >= 500,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_retried_if_it_means_later_and_an_unknown_one_by_its_class() {
        let retried = |status: &u16| is_retried_status(StatusCode::from_u16(*status).unwrap());
        let final_ones: Vec<u16> = (500..=999).filter(|status| !retried(status)).collect();
        assert_eq!(final_ones, [501, 505]);
        let retried_ones: Vec<u16> = (100..500).filter(retried).collect();
        assert_eq!(retried_ones, [408, 425, 429]);
    }

    #[test]
    fn the_name_of_a_kind_is_that_of_its_variant_in_snake_case() {
        for kind in [ErrorKind::Dns, ErrorKind::InvalidUrl, ErrorKind::TooManyRedirects, ErrorKind::EndOfStream] {
            let words = kind.as_str().split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            assert_eq!(words.collect::<String>(), format!("{kind:?}"));
        }
    }
}
