//! What a stream's requests say: method, headers, query, body, and how far redirects are followed.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};

use crate::error::{Error, ErrorKind};
use crate::transport::{self, Cookies, Redirects, target};

use super::StreamBuilder;

impl StreamBuilder {
    /// Sets a header of every request, in place of one of the same name. The value is treated as a secret: it never
    /// appears in `Debug`, logs or errors. `Last-Event-ID` is [`last_event_id`](Self::last_event_id), and has to be
    /// UTF-8. A `Proxy-Authorization` goes to whoever is asked, which may be the server itself: see
    /// [`ClientBuilder::proxy`](crate::ClientBuilder::proxy).
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.try_set(|config| {
            let (name, value) = transport::header(name, value)?;
            // The stream owns this one: it is a header only while there is an ID.
            if name == transport::LAST_EVENT_ID {
                config.last_event_id = resume_point(&value)?;
                return Ok(());
            }
            Arc::make_mut(&mut config.request).set(name, value)
        })
    }

    /// Sets several headers: each name replaces what was set for it before, with all of its values.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        for name in headers.keys() {
            let mut values = headers.get_all(name).iter();
            if let Some(first) = values.next() {
                self = self.header(name, first.clone());
            }
            for further in values {
                self = self.try_set(|config| {
                    let (name, value) = transport::header(name, further.clone())?;
                    Arc::make_mut(&mut config.request).add(name, value)
                });
            }
        }
        self
    }

    /// The method of every request: `GET` by default, and `POST` with a [`body`](Self::body).
    ///
    /// `HEAD` and `CONNECT`, whose responses have no body, are an error
    /// ([`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported)) when the stream is built.
    pub fn method(self, method: Method) -> Self {
        self.try_set(|config| {
            transport::check_method(&method)?;
            Arc::make_mut(&mut config.request).set_method(method);
            Ok(())
        })
    }

    /// A body, which is sent with every attempt: a server that keeps no state gets the same question again, with the
    /// last event ID. `Content-Length` is set by itself; `Content-Type` is yours to set. A server may answer before it
    /// has all of it: the rest goes out while the response is read, and waits when that waits, for a queue that is
    /// full.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        let body = body.into();
        self.set(|config| Arc::make_mut(&mut config.request).set_body(body))
    }

    /// A body of JSON, with its `Content-Type` unless another was set.
    #[cfg(feature = "json")]
    pub fn json(self, body: &(impl serde::Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(body);
        self.try_set(|config| {
            let unusable = |error| Error::with_source(ErrorKind::InvalidConfig, "the body is no JSON", error);
            let request = Arc::make_mut(&mut config.request);
            request.set_body(body.map_err(unusable)?.into());
            request.set_default(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        })
    }

    /// A body of form fields, percent-encoded (a space as `%20`, which servers read as they do `+`), with its
    /// `Content-Type` unless another was set.
    pub fn form<K, V>(self, fields: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let body = target::form(fields);
        self.try_set(|config| {
            let request = Arc::make_mut(&mut config.request);
            request.set_body(body.into());
            request.set_default(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
        })
    }

    /// How far redirects are followed; up to 20 in a row by default, to other origins, too. There only headers go
    /// that hold no secrets: `Accept`, `Accept-Language`, `Accept-Encoding`, `Cache-Control`, `User-Agent`,
    /// `Last-Event-ID`, and what describes the body. Those of your own do not, whatever they are.
    pub fn redirects(self, redirects: Redirects) -> Self {
        self.set(|config| Arc::make_mut(&mut config.request).redirects = redirects)
    }

    /// Sends a cookie with every request, beside those that were set before it, by this or as the header `Cookie`.
    /// Treated as a secret, like other headers: it does not go along to another origin. A name that is no token and a
    /// value that no cookie can have (with whitespace, a comma, a semicolon, or anything but ASCII) are an error when
    /// the stream is built.
    pub fn cookie(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.try_set(|config| Arc::make_mut(&mut config.request).add_cookie(name.as_ref(), value.as_ref()))
    }

    /// The jar of the client.
    pub(crate) fn cookies(self, jar: Option<Arc<dyn Cookies>>) -> Self {
        self.set(|config| Arc::make_mut(&mut config.request).cookies = jar)
    }

    /// The headers of the client.
    pub(crate) fn default_headers(self, headers: &HeaderMap) -> Self {
        self.try_set(|config| Arc::make_mut(&mut config.request).begin_with(headers))
    }

    /// Whether to ask the server for a compressed stream (`Accept-Encoding`), in the codings whose features are
    /// enabled: `gzip`, `brotli`, `zstd`. On by default. A header of your own goes before it. What comes is
    /// decompressed in any case, event by event if the server flushes each.
    #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
    pub fn compression(self, wanted: bool) -> Self {
        self.set(|config| Arc::make_mut(&mut config.request).compression = wanted)
    }

    /// Sends `Authorization: Bearer …` (RFC 6750).
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends `Authorization: Basic …` (RFC 7617). Userinfo in the URL does the same.
    pub fn basic_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION, transport::basic_authorization(user.as_ref(), password.as_ref()))
    }

    /// Adds a parameter to the URL's query, percent-encoded.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }
}

/// The last event ID that a header says.
fn resume_point(value: &HeaderValue) -> Result<String, Error> {
    let id = std::str::from_utf8(value.as_bytes())
        .map_err(|error| Error::with_source(ErrorKind::InvalidHeader, "the last event ID is not UTF-8", error))?;
    transport::last_event_id_value(id)?;
    Ok(id.to_owned())
}
