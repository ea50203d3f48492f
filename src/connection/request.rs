//! [`Request`]: the method, URL, headers and body that the caller has set. What the crate adds to
//! each request is in `transport/http_request.rs`.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;
use crate::transport::{self, Cookies, Redirects};

/// The caller's request. A change replaces it as a whole.
///
/// It is the one owner of authorization, which has two sources: the caller's header, and the
/// userinfo of the URL, which comes and goes with the URL. The one that was set last is sent.
#[derive(Clone)]
pub(crate) struct Request {
    /// `None` unless the caller has set it: see [`method`](Self::method).
    method: Option<Method>,
    target: Target,
    headers: HeaderMap,
    /// Sent with each attempt.
    body: Option<Bytes>,
    pub(crate) redirects: Redirects,
    /// Asks for the content codings that this build decodes.
    pub(crate) compression: bool,
    /// The jar of the client, if it has one.
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
}

impl Request {
    pub(crate) fn new(target: Target) -> Self {
        let (headers, redirects) = (HeaderMap::new(), Redirects::default());
        Self { method: None, target, headers, body: None, redirects, compression: true, cookies: None }
    }

    /// Returns the caller's method; by default `POST` with a body, and `GET` without one.
    pub(crate) fn method(&self) -> Method {
        let usual = if self.body.is_some() { Method::POST } else { Method::GET };
        self.method.clone().unwrap_or(usual)
    }

    pub(crate) fn set_method(&mut self, method: Method) {
        self.method = Some(method);
    }

    pub(crate) fn body(&self) -> Bytes {
        self.body.clone().unwrap_or_default()
    }

    pub(crate) fn set_body(&mut self, body: Bytes) {
        self.body = Some(body);
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Sets another URL, with the authorization in it.
    pub(crate) fn go_to(&mut self, target: Target) {
        self.target = target;
    }

    /// Adds the headers of the client. Authorization of the URL, which belongs to the stream,
    /// stays.
    ///
    /// # Errors
    ///
    /// When there are too many, or a last event ID is among them.
    pub(crate) fn begin_with(&mut self, headers: &HeaderMap) -> Result<(), Error> {
        if headers.contains_key(transport::LAST_EVENT_ID) {
            let message = "a last event ID belongs to one stream, not to all of a client";
            return Err(Error::new(ErrorKind::InvalidHeader, message));
        }
        for (name, value) in headers {
            transport::may_append(&self.headers)?;
            self.headers.append(name, value.clone());
        }
        Ok(())
    }

    /// Sets a header, and replaces all values of the same name.
    ///
    /// # Errors
    ///
    /// When there would be too many headers.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        transport::may_insert(&self.headers, &name)?;
        // Userinfo becomes the same header, and the later of the two counts.
        self.overrule(&name);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Adds one more value of a header.
    ///
    /// # Errors
    ///
    /// When there would be too many headers, or two last event IDs.
    pub(crate) fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        if name == transport::LAST_EVENT_ID {
            return Err(Error::new(ErrorKind::InvalidHeader, "a stream has one last event ID, not several"));
        }
        transport::may_append(&self.headers)?;
        self.overrule(&name);
        self.headers.append(name, value);
        Ok(())
    }

    /// Adds a cookie.
    ///
    /// # Errors
    ///
    /// When it is no valid cookie, or there would be too many headers.
    pub(crate) fn add_cookie(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let cookie = transport::cookie(name, value)?;
        // Joining valid header values gives a valid one, so there is no other way to fail.
        let cookies = transport::join_cookies(&self.headers, cookie.as_bytes()).unwrap_or(cookie);
        self.set(COOKIE, cookies)
    }

    /// Sets a header unless the caller has set it.
    pub(crate) fn set_default(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        if self.headers.contains_key(&name) { Ok(()) } else { self.set(name, value) }
    }

    /// Removes a header, and the authorization of the URL if that is meant.
    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.overrule(name);
        self.headers.remove(name);
    }

    /// Returns all headers that the caller has set, with the authorization of the URL.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(userinfo) = self.target.userinfo() {
            let value = transport::basic_authorization(&userinfo.user, &userinfo.password);
            // Base64 is always a valid header value.
            if let Ok((name, value)) = transport::header(AUTHORIZATION, value) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// Drops the authorization of the URL, if the header of this name replaces it.
    fn overrule(&mut self, name: &HeaderName) {
        if *name == AUTHORIZATION {
            self.target.forget_userinfo();
        }
    }
}

/// Shows the length of the body alone: it may be a secret.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("target", &self.target)
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Bytes::len))
            .field("redirects", &self.redirects)
            .field("compression", &self.compression)
            .field("cookies", &self.cookies)
            .finish()
    }
}
