//! Checks of the headers that callers set, and the values that this crate computes.
//!
//! A header is checked when the caller sets it, so that the call which is wrong gets the error and
//! no attempt can fail on it later. No error repeats a value: it may be a secret.
//!
//! The exception is the last event ID, which the server chooses. An ID that no header can carry is
//! left out of the request, with a notice in the log, because a server must not be able to stop the
//! stream by sending one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::error::{Error, ErrorKind};
use crate::resume::MAX_ID;

/// The header that carries the last event ID (HTML standard, section 9.2.4).
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// Maximum length of a value that a server makes the client send back: an ID or cookies.
pub(crate) const MAX_ECHOED_VALUE: usize = MAX_ID;

/// Maximum number of headers that a caller may set. No server accepts nearly as many, and a
/// `HeaderMap` panics when it overflows.
const MAX_HEADERS: usize = 1024;

/// Reads a method whose response can be an event stream. Those that the standard knows may be in
/// lower case, as in browsers (Fetch, section 2.2.1): no server knows a method `post`.
///
/// # Errors
///
/// [`ErrorKind::InvalidConfig`] if it is no token. [`ErrorKind::Unsupported`] for `HEAD` and
/// `CONNECT`, whose responses have no body.
pub(crate) fn method(text: &str) -> Result<Method, Error> {
    let upper = text.to_ascii_uppercase();
    let name = match &*upper {
        "CONNECT" | "DELETE" | "GET" | "HEAD" | "OPTIONS" | "PATCH" | "POST" | "PUT" | "TRACE" => &*upper,
        _ => text,
    };
    let method = Method::from_bytes(name.as_bytes()).map_err(|error| {
        Error::with_source(ErrorKind::InvalidConfig, "HTTP cannot carry this method", http::Error::from(error))
    })?;
    match method {
        Method::HEAD | Method::CONNECT => {
            Err(Error::new(ErrorKind::Unsupported, format!("a response to {method} has no body to stream")))
        }
        _ => Ok(method),
    }
}

/// Checks that a header of this name may be set, in place of any of the same name.
pub(crate) fn may_insert<T>(headers: &HeaderMap<T>, name: &HeaderName) -> Result<(), Error> {
    if headers.contains_key(name) { Ok(()) } else { may_append(headers) }
}

/// Checks that there is room for one more header value.
pub(crate) fn may_append<T>(headers: &HeaderMap<T>) -> Result<(), Error> {
    if headers.len() < MAX_HEADERS { Ok(()) } else { Err(too_many()) }
}

/// Checks that a caller has set no more headers at once than may be set.
pub(crate) fn may_hold<T>(headers: &HeaderMap<T>) -> Result<(), Error> {
    if headers.len() <= MAX_HEADERS { Ok(()) } else { Err(too_many()) }
}

fn too_many() -> Error {
    Error::new(ErrorKind::InvalidHeader, format!("there are more than {MAX_HEADERS} headers"))
}

/// Converts a caller's header. The value is marked as sensitive, so that `Debug` never shows it.
pub(crate) fn header<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue), Error>
where
    N: TryInto<HeaderName, Error: Into<http::Error>>,
    V: TryInto<HeaderValue, Error: Into<http::Error>>,
{
    let invalid = |what: String, error: http::Error| Error::with_source(ErrorKind::InvalidHeader, what, error);
    let name =
        name.try_into().map_err(|error| invalid("HTTP cannot carry this header name".to_owned(), error.into()))?;
    let value = value.try_into();
    let mut value =
        value.map_err(|error| invalid(format!("HTTP cannot carry this value of the header {name}"), error.into()))?;
    // Only the caller knows which headers are secrets, so all of them count as such.
    value.set_sensitive(true);
    Ok((name, value))
}

/// Returns the value of a basic authorization header (RFC 7617), in UTF-8.
pub(crate) fn basic_authorization(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// Returns the value of `Last-Event-ID`: the UTF-8 bytes of the ID, or `None` for the empty ID.
///
/// Surrounding whitespace is removed: it is no part of a header value (RFC 9110, section 5.5) and
/// makes an HTTP/2 request malformed (RFC 9113, section 8.2.1).
///
/// # Errors
///
/// [`ErrorKind::InvalidHeader`] for an ID that no header can carry (control characters, only
/// whitespace) or that servers would refuse (over [`MAX_ECHOED_VALUE`] bytes).
pub(crate) fn last_event_id_value(id: &str) -> Result<Option<HeaderValue>, Error> {
    // An empty ID means that there is none, and then the header is not sent (HTML, section 9.2.3).
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > MAX_ECHOED_VALUE {
        return Err(Error::new(ErrorKind::InvalidHeader, "the last event ID is too long to be sent, over 8,000 bytes"));
    }
    let value = id.trim_matches([' ', '\t']);
    if value.is_empty() {
        return Err(Error::new(ErrorKind::InvalidHeader, "HTTP cannot carry a last event ID that is all whitespace"));
    }
    HeaderValue::from_bytes(value.as_bytes()).map(Some).map_err(|error| {
        Error::with_source(ErrorKind::InvalidHeader, "HTTP cannot carry the last event ID", http::Error::from(error))
    })
}
