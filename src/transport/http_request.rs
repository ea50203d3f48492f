//! [`HttpRequest`]: the request of an attempt, and the headers that every request carries.
//!
//! A header that every request should carry is added in [`HttpRequest::all_headers`]; the caller's
//! header of the same name must win over it. This is a pure function of the request, so that tests
//! can compare its bytes.
//!
//! It runs for each hop of a redirect, also to another origin, so nothing secret may be added
//! there: secrets are the caller's headers, which `redirect` strips. Their values must be marked as
//! sensitive before they get here (see `header_values`), and never be formatted into a message.

use bytes::Bytes;
#[cfg(feature = "http2")]
use http::Version;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_LENGTH, HOST, HeaderValue, PROXY_AUTHORIZATION, TRANSFER_ENCODING,
    USER_AGENT,
};
use http::{HeaderMap, Method, Request};

use crate::error::{Error, ErrorKind};
use crate::response::accept_encoding;
use crate::transport::target::Target;

use super::cookies;
use super::http_connection::HttpConnection;

/// The product that the crate names unless the caller sets `User-Agent` (RFC 9110, section 10.1.5).
const AGENT: HeaderValue = HeaderValue::from_static(concat!("sseclient/", env!("CARGO_PKG_VERSION")));

/// A request as the caller describes it. A redirect changes it, and it starts anew with each
/// attempt.
#[derive(Clone)]
pub(crate) struct HttpRequest {
    pub(crate) method: Method,
    pub(crate) target: Target,
    /// The caller's headers, without cookies of a jar.
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Asks the server for the content codings that this build decodes.
    pub(crate) compression: bool,
    /// The way to servers has TLS.
    pub(crate) has_tls: bool,
}

impl HttpRequest {
    /// Checks that https is not asked of a build without TLS.
    ///
    /// # Errors
    ///
    /// `Unsupported`.
    pub(crate) fn check_scheme(&self) -> Result<(), Error> {
        if self.target.is_https() && !self.has_tls {
            let message = "https needs this crate's feature \"tls\", or a transport of your own";
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        Ok(())
    }

    /// Builds the request that is sent on this connection, with the cookies of a jar.
    ///
    /// # Errors
    ///
    /// `InvalidUrl` if the caller's `Host` or the URL does not fit a request.
    pub(super) fn to_http(
        &self,
        jar_cookies: &[(String, String)],
        connection: &HttpConnection,
    ) -> Result<Request<Bytes>, Error> {
        let invalid =
            |error: http::Error| Error::with_source(ErrorKind::InvalidUrl, "the URL does not fit a request", error);
        let mut headers = self.all_headers(jar_cookies);
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = match connection {
            // By path and query, to the server itself (RFC 9112, section 3.2.1).
            HttpConnection::Http1(_) => {
                self.add_host(&mut headers).map_err(invalid)?;
                self.target.path_and_query().parse().map_err(|error| invalid(Into::into(error)))?
            }
            // By the whole URL, to a proxy, which gets its own credentials (RFC 9112, section
            // 3.2.2).
            HttpConnection::Forwarded(_, proxy) => {
                self.add_host(&mut headers).map_err(invalid)?;
                // The caller's own value wins: a proxy refuses two of them, or reads either.
                if let Some(authorization) = proxy.authorization() {
                    headers.entry(PROXY_AUTHORIZATION).or_insert(authorization);
                }
                self.target.uri().clone()
            }
            #[cfg(feature = "http2")]
            HttpConnection::Http2(_) => {
                // The host is part of the URL, which HTTP/2 splits into pseudo-headers (RFC 9113,
                // section 8.3.1).
                let host = headers.remove(HOST);
                trim_values(&mut headers);
                *request.version_mut() = Version::HTTP_2;
                self.target.uri_with_host(host.as_ref()).map_err(invalid)?
            }
            HttpConnection::Custom(_) => self.target.uri().clone(),
        };
        *request.headers_mut() = headers;
        Ok(request)
    }

    /// Returns the caller's headers, this crate's defaults where the caller set none, and cookies.
    /// The defaults are the standard's (HTML, section 9.2.2).
    fn all_headers(&self, jar_cookies: &[(String, String)]) -> HeaderMap {
        let mut headers = self.headers.clone();
        headers.entry(ACCEPT).or_insert(const { HeaderValue::from_static("text/event-stream") });
        // An old stream from a proxy's cache would look like a live one.
        headers.entry(CACHE_CONTROL).or_insert(const { HeaderValue::from_static("no-cache") });
        headers.entry(USER_AGENT).or_insert(AGENT);
        if let Some(codings) = accept_encoding().filter(|_| self.compression) {
            headers.entry(ACCEPT_ENCODING).or_insert(codings);
        }
        cookies::add_jar_cookies(&mut headers, jar_cookies);
        // hyper alone delimits the body; a wrong value would break the request.
        headers.remove(CONTENT_LENGTH);
        headers.remove(TRANSFER_ENCODING);
        headers
    }

    /// Adds `Host` unless the caller set one (RFC 9110, section 7.2).
    fn add_host(&self, headers: &mut HeaderMap) -> Result<(), http::Error> {
        if !headers.contains_key(HOST) {
            headers.insert(HOST, HeaderValue::from_str(self.target.authority())?);
        }
        Ok(())
    }
}

/// Removes the whitespace around values, which makes an HTTP/2 request malformed (RFC 9113,
/// section 8.2.1).
#[cfg(feature = "http2")]
fn trim_values(headers: &mut HeaderMap) {
    for value in headers.values_mut() {
        let trimmed = HeaderValue::from_bytes(value.as_bytes().trim_ascii());
        if let Some(mut trimmed) = trimmed.ok().filter(|trimmed| trimmed != value) {
            // A new value is not sensitive by itself.
            trimmed.set_sensitive(value.is_sensitive());
            *value = trimmed;
        }
    }
}
