//! [`Error`]: the crate's one error type, and [`panics`]: panics of the caller's code as values.
//!
//! Errors can be cloned, because every subscriber may get one. Which of them are retried
//! by default is in `kind.rs`.

#[cfg(feature = "json")]
mod json;
mod kind;
#[cfg(feature = "client")]
pub(crate) mod panics;
mod retry_after;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use std::{fmt, iter};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};

pub use self::kind::ErrorKind;

/// The reason why something failed.
///
/// A clone costs one reference count, so that many subscribers can hold the same error. `Display`
/// shows this error alone. Its causes are in [`source`](StdError::source); their concrete types may
/// change. Of text that a server chose, a message repeats at most 100 characters. No message holds
/// credentials, cookies or query values.
///
/// `Debug`, serialization and logs show the causes, too, with one exception: that of a failure in
/// your [`Transport`](crate::Transport), or in a body of your HTTP client. HTTP clients print the
/// URL with its query there, which may hold a token. It is in `source` alone.
///
/// Whether a failure is retried depends on the stream's policy: [`is_final`](Self::is_final) says
/// what the default one does.
#[derive(Clone)]
pub struct Error {
    inner: Arc<ErrorInner>,
    /// The number of attempts in a row after which the policy gave up.
    attempts: Option<u32>,
    /// How long the request of a failed attempt waited for a response head.
    waited: Option<Duration>,
}

/// Maximum number of characters of a server's text that a message repeats.
const MAX_QUOTED: usize = 100;

/// Returns text that a server chose, quoted for a message, and cut after 100 characters.
pub(crate) fn quoted(text: &str) -> String {
    let beginning = beginning(text);
    let rest = if beginning.len() < text.len() { format!("… ({} bytes)", text.len()) } else { String::new() };
    format!("{beginning:?}{rest}")
}

/// Returns the first 100 characters of a text.
pub(crate) fn beginning(text: &str) -> &str {
    text.char_indices().nth(MAX_QUOTED).map_or(text, |(end, _)| &text[..end])
}

/// The shared contents of an error.
struct ErrorInner {
    kind: ErrorKind,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
    /// Whether `Debug`, serde and logs show the source.
    shows_source: bool,
    response: Option<RefusedResponse>,
}

/// A response that was refused.
struct RefusedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    /// Without userinfo and query.
    url: Option<Uri>,
}

impl Error {
    /// Returns an error without a cause, for tests of programs that handle errors. For a refused
    /// response, use [`refused`](Self::refused).
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self::build(kind, message.into(), None, None)
    }

    /// Returns the error for a response with this status, for tests of programs that handle errors.
    pub fn refused(status: StatusCode, headers: HeaderMap, body: impl Into<Bytes>) -> Self {
        Self::with_response(ErrorKind::Status, format!("the server answered {status}"), status, headers, body.into())
    }

    /// Returns an error with a cause, which must hold no secrets either: `Debug` shows it.
    pub(crate) fn with_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self::build(kind, message.into(), Some(source.into()), None)
    }

    /// Returns an error whose cause is an HTTP client's, and in no text: such causes print the URL
    /// with its query.
    pub(crate) fn with_hidden_source(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        let mut error = Self::with_source(kind, message, source);
        // The error is new, so nothing shares it.
        if let Some(inner) = Arc::get_mut(&mut error.inner) {
            inner.shows_source = false;
        }
        error
    }

    /// Returns the error for a refused response.
    pub(crate) fn with_response(
        kind: ErrorKind,
        message: impl Into<String>,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        Self::build(kind, message.into(), None, Some(RefusedResponse { status, headers, body, url: None }))
    }

    /// Adds the URL of the refused response, without userinfo and query. The message names it if
    /// redirects led there: it is not the one that the caller knows.
    pub(crate) fn at_url(mut self, url: Uri, is_redirected: bool) -> Self {
        // The error is new, so nothing shares it.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            if is_redirected {
                inner.message = format!("after a redirect to {}, {}", beginning(&url.to_string()), inner.message);
            }
            if let Some(response) = &mut inner.response {
                response.url = Some(url);
            }
        }
        self
    }

    fn build(
        kind: ErrorKind,
        message: String,
        source: Option<Box<dyn StdError + Send + Sync>>,
        response: Option<RefusedResponse>,
    ) -> Self {
        // A cause that hides its own cause has it in its chain, which texts print as a whole.
        let shows_source = !source.as_deref().is_some_and(|source| causes(source).any(hides_source));
        // Shared, because each subscriber, monitor and transcript gets a copy of the same error.
        let inner = Arc::new(ErrorInner { kind, message, source, shows_source, response });
        Self { inner, attempts: None, waited: None }
    }

    /// Returns this error for logs, where subscribers print the causes, too: without those that no
    /// text shows.
    pub(crate) fn for_logs(&self) -> Box<dyn StdError> {
        if self.inner.shows_source { self.clone().into() } else { self.to_string().into() }
    }

    /// Notes that the policy gave up after this many attempts in a row.
    pub(crate) fn given_up_after(self, attempts: u32) -> Self {
        Self { attempts: Some(attempts), ..self }
    }

    /// Returns the number of attempts in a row after which the policy gave up, if it did.
    pub(crate) fn attempts(&self) -> Option<u32> {
        self.attempts
    }

    /// Notes how long the request waited for a response head, if it was sent.
    pub(crate) fn after_waiting(self, waited: Option<Duration>) -> Self {
        Self { waited, ..self }
    }

    /// Returns how long the request of a failed attempt waited for a response head; `None` if it
    /// was not sent.
    pub(crate) fn waited(&self) -> Option<Duration> {
        self.waited
    }

    /// Adds to the message of an error that is not shared yet. A shared one stays as it is.
    pub(crate) fn explained(mut self, explanation: &str) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.message.push_str(explanation);
        }
        self
    }

    /// Returns the size of the refused response in bytes, if there is one: headers and body.
    pub(crate) fn response_size(&self) -> usize {
        let Some(RefusedResponse { headers, body, .. }) = &self.inner.response else { return 0 };
        headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum::<usize>() + body.len()
    }

    /// Returns the class of the failure, to match on.
    pub fn kind(&self) -> ErrorKind {
        self.inner.kind
    }

    /// Returns true if another attempt cannot help. The default policy closes the stream then;
    /// another [`ReconnectPolicy`](crate::ReconnectPolicy) may decide otherwise.
    ///
    /// Returns false for transport faults (TLS and proxies included), a loop of redirects, the end
    /// of a stream, a hook, a source of credentials or a resume store that failed, and the statuses
    /// 408, 425, 429, and all from 500 on but 501 and 505.
    pub fn is_final(&self) -> bool {
        !self.kind().is_retried_by_default(self.status())
    }

    /// Returns the status of the response that was refused, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.response.as_ref().map(|response| response.status)
    }

    /// Returns the headers of the response that was refused. They may hold secrets, so `Debug` and
    /// `Display` do not show them.
    pub fn headers(&self) -> Option<&HeaderMap> {
        self.inner.response.as_ref().map(|response| &response.headers)
    }

    /// Returns how long the refused response asks clients to wait, at most an hour: its
    /// `Retry-After` (RFC 9110, section 10.2.3), also with a fraction, or `Retry-After-Ms`.
    ///
    /// A date counts from the response's `Date`. Without one it is `None` here, while a stream
    /// counts from this machine's clock. Without feature `client` any date is `None`.
    pub fn retry_after(&self) -> Option<Duration> {
        retry_after::retry_after(self.headers()?, || None)
    }

    /// Like [`retry_after`](Self::retry_after), but a date counts from `now` if the response has no
    /// `Date`.
    pub(crate) fn retry_after_by(&self, now: impl FnOnce() -> SystemTime) -> Option<Duration> {
        retry_after::retry_after(self.headers()?, || Some(now()))
    }

    /// Returns the URL that the refused response came from, after redirects, without userinfo and
    /// query. `None` if a proxy refused, or if the response was an
    /// [`EventStream`](crate::EventStream)'s.
    pub fn url(&self) -> Option<&Uri> {
        self.inner.response.as_ref()?.url.as_ref()
    }

    /// Returns the beginning of the body of the response that was refused: at most 8 KiB, as much
    /// as came within 2 s. Empty if a proxy refused a tunnel, whose answer's body is not read. With
    /// [`EventStream`](crate::EventStream) the 2 s need feature `client` and a runtime with timers.
    pub fn body(&self) -> Option<&Bytes> {
        self.inner.response.as_ref().map(|response| &response.body)
    }
}

/// Returns an error and its causes.
fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    iter::successors(Some(error), |&cause| cause.source())
}

fn hides_source(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<Error>().is_some_and(|error| !error.inner.shows_source)
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // One attempt is no giving up, and a final error says itself why there is no other.
        if let Some(attempts) = self.attempts.filter(|&attempts| attempts > 1 && !self.is_final()) {
            write!(f, "gave up after {attempts} attempts: ")?;
        }
        f.write_str(&self.inner.message)
    }
}

/// Shows neither headers nor body of a response, nor a cause in your transport or body: they may
/// hold secrets.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Error");
        shown
            .field("kind", &self.inner.kind)
            .field("message", &self.inner.message)
            .field("status", &self.status())
            .field("url", &self.url());
        if !self.inner.shows_source {
            return shown.finish_non_exhaustive();
        }
        shown.field("source", &self.inner.source).finish()
    }
}

/// For conversions that cannot fail, where a caller may give one that can.
impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.inner.source.as_deref().map(|source| source as _)
    }
}

/// A map of the kind, the message, the status of a refused response, and the messages of the
/// causes. Neither headers nor body of a response, nor a cause in your transport or body: they may
/// hold secrets.
#[cfg(feature = "serde")]
impl serde::Serialize for Error {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct as _;

        let shown = self.source().filter(|_| self.inner.shows_source);
        let causes = shown.into_iter().flat_map(causes);
        let mut error = serializer.serialize_struct("Error", 4)?;
        error.serialize_field("kind", &self.kind())?;
        error.serialize_field("message", &format_args!("{self}"))?;
        error.serialize_field("status", &self.status().map(|status| status.as_u16()))?;
        error.serialize_field("causes", &causes.map(ToString::to_string).collect::<Vec<_>>())?;
        error.end()
    }
}
