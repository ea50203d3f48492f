//! The request of an attempt: a pure function of what the stream was told.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
#[cfg(feature = "http2")]
use http::Version;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    TRANSFER_ENCODING, USER_AGENT,
};
use http::{HeaderMap, Method, Request};
use http_body_util::Full;

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;

use super::{Attempt, MOST_CHOSEN, coding, cookies};

/// HTML standard, section 9.2.4.
pub(crate) const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// What the crate calls itself unless the caller says otherwise (RFC 9110, section 10.1.5).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("sseclient/", env!("CARGO_PKG_VERSION")));

/// How a request names what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// By its path, to the server itself (RFC 9112, section 3.2.1).
    Origin,
    /// By its whole URL, to a proxy (RFC 9112, section 3.2.2), which is told who asks.
    Absolute { authorization: Option<HeaderValue> },
    /// By its whole URL, which HTTP/2 takes apart (RFC 9113, section 8.3.1).
    #[cfg(feature = "http2")]
    Http2,
}

/// The request of `attempt`. What the caller set goes before the defaults of the standard (HTML,
/// section 9.2.2): `Accept: text/event-stream`, `Cache-Control: no-cache`. `cookies` are those of a jar.
pub(super) fn build(
    attempt: &Attempt,
    cookies: &[(String, String)],
    form: Form,
) -> Result<Request<Full<Bytes>>, Error> {
    let invalid =
        |error: http::Error| Error::with_source(ErrorKind::InvalidUrl, "the URL does not fit a request", error);
    let mut headers = headers(attempt, cookies);
    let mut request = Request::new(Full::new(attempt.body.clone()));
    *request.method_mut() = attempt.method.clone();
    match form {
        Form::Origin => {
            name_host(&mut headers, &attempt.target).map_err(invalid)?;
            *request.uri_mut() = attempt.target.path_and_query().parse().map_err(|error| invalid(Into::into(error)))?;
        }
        Form::Absolute { authorization } => {
            name_host(&mut headers, &attempt.target).map_err(invalid)?;
            // Two of them are none: a proxy takes either, or refuses both.
            if let Some(authorization) = authorization {
                headers.entry(PROXY_AUTHORIZATION).or_insert(authorization);
            }
            *request.uri_mut() = attempt.target.uri().clone();
        }
        #[cfg(feature = "http2")]
        Form::Http2 => {
            // There is no such header there: it is part of the URL.
            let host = headers.remove(HOST);
            trim(&mut headers);
            *request.uri_mut() = attempt.target.uri_of_host(host.as_ref()).map_err(invalid)?;
            *request.version_mut() = Version::HTTP_2;
        }
    }
    *request.headers_mut() = headers;
    Ok(request)
}

/// What the caller set, the defaults, the codings that can be decoded, and the jar's cookies.
fn headers(attempt: &Attempt, cookies: &[(String, String)]) -> HeaderMap {
    let mut headers = attempt.headers.clone();
    headers.entry(ACCEPT).or_insert(const { HeaderValue::from_static("text/event-stream") });
    headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-cache") });
    headers.entry(USER_AGENT).or_insert(AGENT);
    if let Some(codings) = coding::accepted().filter(|_| attempt.compression) {
        headers.entry(ACCEPT_ENCODING).or_insert(codings);
    }
    cookies::add(&mut headers, cookies);
    // How the body is delimited is nobody's choice.
    headers.remove(CONTENT_LENGTH);
    headers.remove(TRANSFER_ENCODING);
    headers
}

/// Takes off the whitespace around values, which makes a request of HTTP/2 malformed (RFC 9113, section 8.2.1).
#[cfg(feature = "http2")]
fn trim(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let trimmed = HeaderValue::from_bytes(value.as_bytes().trim_ascii());
        if let Some(mut trimmed) = trimmed.ok().filter(|trimmed| trimmed != value) {
            trimmed.set_sensitive(value.is_sensitive());
            *value = trimmed;
        }
    }
}

fn name_host(headers: &mut HeaderMap, target: &Target) -> Result<(), http::Error> {
    if !headers.contains_key(HOST) {
        headers.insert(HOST, HeaderValue::from_str(target.authority())?);
    }
    Ok(())
}

/// Whether a response to this method can be an event stream.
///
/// # Errors
///
/// [`ErrorKind::Unsupported`] for `HEAD` and `CONNECT`, whose responses have no body.
pub(crate) fn check_method(method: &Method) -> Result<(), Error> {
    match *method {
        Method::HEAD | Method::CONNECT => {
            Err(Error::new(ErrorKind::Unsupported, format!("a response to {method} has no body to stream")))
        }
        _ => Ok(()),
    }
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

/// The value of `Last-Event-ID`: the UTF-8 bytes of the ID, without the whitespace around it, which is no part of a
/// header's value (RFC 9110, section 5.5) and makes a request of HTTP/2 malformed (RFC 9113, section 8.2.1). None for the
/// empty ID, and an error for one that no header can carry (control characters, whitespace alone) or no server would
/// take (over 8,000 bytes).
pub(crate) fn last_event_id_value(id: &str) -> Result<Option<HeaderValue>, Error> {
    if id.is_empty() {
        return Ok(None);
    }
    if id.len() > MOST_CHOSEN {
        return Err(Error::new(ErrorKind::InvalidHeader, "the last event ID is too long to be sent"));
    }
    let value = id.trim_matches([' ', '\t']);
    if value.is_empty() {
        return Err(Error::new(ErrorKind::InvalidHeader, "HTTP cannot carry a last event ID that is all whitespace"));
    }
    HeaderValue::from_bytes(value.as_bytes()).map(Some).map_err(|error| {
        Error::with_source(ErrorKind::InvalidHeader, "HTTP cannot carry the last event ID", http::Error::from(error))
    })
}
