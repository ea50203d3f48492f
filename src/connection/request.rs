//! [`Request`]: what attempts ask for, where, and with which headers.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;
use crate::transport::{self, Cookies, Redirects};

/// What a caller asks for: replaced as a whole when it changes.
///
/// The one owner of authorization, of which there are two: the caller's own is a header, that of a URL is its
/// userinfo and comes and goes with the URL. The one that was set last is sent.
#[derive(Clone)]
pub(crate) struct Request {
    /// `None` until somebody says: see [`method`](Self::method).
    method: Option<Method>,
    target: Target,
    headers: HeaderMap,
    /// Sent with each attempt.
    body: Option<Bytes>,
    pub(crate) redirects: Redirects,
    /// Whether to ask for the content codings that this build decodes.
    pub(crate) compression: bool,
    /// The jar of the client, if it has one.
    pub(crate) cookies: Option<Arc<dyn Cookies>>,
}

impl Request {
    pub(crate) fn new(target: Target) -> Self {
        let (headers, redirects) = (HeaderMap::new(), Redirects::default());
        Self { method: None, target, headers, body: None, redirects, compression: true, cookies: None }
    }

    /// `POST` with a body and `GET` without one, unless the caller has said otherwise.
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

    /// Goes elsewhere, with the authorization that is in the URL.
    pub(crate) fn go_to(&mut self, target: Target) {
        self.target = target;
    }

    /// Takes these headers to begin with. Authorization of the URL, which is a stream's own, stays.
    ///
    /// # Errors
    ///
    /// When there are too many, or a last event ID among them.
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

    /// Sets a header, in place of all values of the same name.
    ///
    /// # Errors
    ///
    /// When there would be too many.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        transport::may_insert(&self.headers, &name)?;
        self.overrule(&name);
        self.headers.insert(name, value);
        Ok(())
    }

    /// Adds one more value of a header.
    ///
    /// # Errors
    ///
    /// When there would be too many, or it is a second last event ID.
    pub(crate) fn add(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        if name == transport::LAST_EVENT_ID {
            return Err(Error::new(ErrorKind::InvalidHeader, "a stream has one last event ID, not several"));
        }
        transport::may_append(&self.headers)?;
        self.overrule(&name);
        self.headers.append(name, value);
        Ok(())
    }

    /// Adds a cookie to those that the caller has set.
    ///
    /// # Errors
    ///
    /// When it is none, or there would be too many headers.
    pub(crate) fn add_cookie(&mut self, name: &str, value: &str) -> Result<(), Error> {
        let cookie = transport::cookie(name, value)?;
        // What consists of header values is one.
        let cookies = transport::join_cookies(&self.headers, cookie.as_bytes()).unwrap_or(cookie);
        self.set(COOKIE, cookies)
    }

    /// Sets a header that the caller has not set.
    pub(crate) fn set_default(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        if self.headers.contains_key(&name) { Ok(()) } else { self.set(name, value) }
    }

    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.overrule(name);
        self.headers.remove(name);
    }

    /// All headers that the caller has set, in one way or the other.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = self.headers.clone();
        if let Some(userinfo) = self.target.userinfo() {
            let value = transport::basic_authorization(&userinfo.user, &userinfo.password);
            // Base64 is a header value always.
            if let Ok((name, value)) = transport::header(AUTHORIZATION, value) {
                headers.insert(name, value);
            }
        }
        headers
    }

    /// Authorization that is set by hand replaces that of the URL.
    fn overrule(&mut self, name: &HeaderName) {
        if *name == AUTHORIZATION {
            self.target.forget_userinfo();
        }
    }
}

/// The body may be a secret: only its length.
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
