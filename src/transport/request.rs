//! The request of an attempt: a pure function of what the stream was told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{ACCEPT, CACHE_CONTROL, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request};
use http_body_util::Empty;

use crate::error::{Error, ErrorKind};
use crate::target::Target;

/// HTML standard, section 9.2.4.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The request for `target`. What the caller set goes before the defaults of the standard (HTML,
/// section 9.2.2): `Accept: text/event-stream`, `Cache-Control: no-cache`.
pub(super) fn build(target: &Target, mut headers: HeaderMap) -> Result<Request<Empty<Bytes>>, Error> {
    let invalid =
        |error: http::Error| Error::with_source(ErrorKind::InvalidUrl, "the URL does not fit a request", error);
    if !headers.contains_key(HOST) {
        let host = HeaderValue::from_str(target.authority()).map_err(|error| invalid(error.into()))?;
        headers.insert(HOST, host);
    }
    headers.entry(ACCEPT).or_insert(const { HeaderValue::from_static("text/event-stream") });
    headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-cache") });
    let mut request = Request::get(target.path_and_query()).body(Empty::new()).map_err(invalid)?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// The most headers that a caller may set. No server takes nearly as many, and a `HeaderMap` that
/// overflows panics.
const MAX_HEADERS: usize = 1024;

/// Whether a header of this name may be set in what the caller has set.
pub(crate) fn may_insert<T>(headers: &HeaderMap<T>, name: &HeaderName) -> Result<(), Error> {
    if headers.contains_key(name) { Ok(()) } else { may_append(headers) }
}

/// Whether one more value may be added to what the caller has set.
pub(crate) fn may_append<T>(headers: &HeaderMap<T>) -> Result<(), Error> {
    if headers.len() < MAX_HEADERS {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidHeader, format!("there are more than {MAX_HEADERS} headers")))
}

/// A header that the caller gave. Its value may be a secret, so it is marked as one: it never
/// appears in `Debug`.
pub(crate) fn header<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue), Error>
where
    N: TryInto<HeaderName, Error: Into<http::Error>>,
    V: TryInto<HeaderValue, Error: Into<http::Error>>,
{
    let invalid = |what, error: http::Error| Err(Error::with_source(ErrorKind::InvalidHeader, what, error));
    let name = match name.try_into() {
        Ok(name) => name,
        Err(error) => return invalid("HTTP cannot carry this header name".to_owned(), error.into()),
    };
    match value.try_into() {
        Ok(mut value) => {
            value.set_sensitive(true);
            Ok((name, value))
        }
        Err(error) => invalid(format!("HTTP cannot carry this value of the header {name}"), error.into()),
    }
}

/// The value of basic authorization (RFC 7617), as UTF-8.
pub(crate) fn basic_authorization(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The longest ID that is sent. Servers refuse heads much larger, for good, and the ID is the
/// server's choice: it must not be able to end the stream.
const MAX_ID: usize = 8 * 1024;

/// The value of `Last-Event-ID`: the UTF-8 bytes of the ID. None for the empty ID, and an error for
/// one that no header can carry (control characters) or no server would take (over 8 KiB).
pub(crate) fn last_event_id_value(id: &str) -> Result<Option<HeaderValue>, Error> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > MAX_ID {
        return Err(Error::new(ErrorKind::InvalidHeader, "the last event ID is too long to be sent"));
    }
    HeaderValue::from_bytes(id.as_bytes()).map(Some).map_err(|error| {
        Error::with_source(ErrorKind::InvalidHeader, "HTTP cannot carry the last event ID", http::Error::from(error))
    })
}
