//! [`Request`]: the method, URL, headers and body that the caller has set. What the crate adds to
//! each request is in `transport/http_request.rs`.

use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use crate::error::{Error, ErrorKind};
use crate::transport::target::{Target, Userinfo};
use crate::transport::{self, Attempt, HttpRequest, Redirects};

/// The limit for resolving the name, TCP and TLS together: enough for one or two lost SYNs.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The limit from the request to the response head. Browsers wait as long: some servers send the
/// head of a quiet stream together with its first event, and a client that gives up earlier may
/// miss that.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5 * 60);

/// The caller's request. A change replaces it as a whole.
///
/// It is the one owner of authorization, which has two sources: the caller's header, and the
/// userinfo of the URL, which comes and goes with the URL. The one that was set last is sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// Each attempt is a copy of it, with what [`attempt`](Self::attempt) adds.
    pub(crate) template: Attempt,
    /// The caller has set the method, so a body does not change it.
    has_method: bool,
}

impl Request {
    pub(crate) fn new(target: Target) -> Self {
        let (headers, body) = (HeaderMap::new(), Bytes::new());
        let template = Attempt {
            request: HttpRequest { method: Method::GET, target, headers, body, compression: true, has_tls: false },
            cookies: None,
            redirects: Redirects::default(),
            accept: None,
            connect_timeout: CONNECT_TIMEOUT,
            response_timeout: Some(RESPONSE_TIMEOUT),
            deadline: None,
        };
        Self { template, has_method: false }
    }

    pub(crate) fn set_method(&mut self, method: Method) {
        self.template.request.method = method;
        self.has_method = true;
    }

    /// Sets a body, which makes the method `POST` unless the caller sets another.
    pub(crate) fn set_body(&mut self, body: Bytes) {
        self.template.request.body = body;
        if !self.has_method {
            self.template.request.method = Method::POST;
        }
    }

    pub(crate) fn target(&self) -> &Target {
        &self.template.request.target
    }

    /// Sets another URL, with the authorization in it.
    pub(crate) fn go_to(&mut self, target: Target) {
        self.template.request.target = target;
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
            transport::may_append(&self.template.request.headers)?;
            self.template.request.headers.append(name, value.clone());
        }
        Ok(())
    }

    /// Sets a header, and replaces all values of the same name.
    ///
    /// # Errors
    ///
    /// When there would be too many headers.
    pub(crate) fn set(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        transport::may_insert(&self.template.request.headers, &name)?;
        // Userinfo becomes the same header, and the later of the two counts.
        self.overrule(&name);
        self.template.request.headers.insert(name, value);
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
        transport::may_append(&self.template.request.headers)?;
        self.overrule(&name);
        self.template.request.headers.append(name, value);
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
        let cookies = transport::join_cookies(&self.template.request.headers, cookie.as_bytes()).unwrap_or(cookie);
        self.set(COOKIE, cookies)
    }

    /// Sets a header unless the caller has set it.
    pub(crate) fn set_default(&mut self, name: HeaderName, value: HeaderValue) -> Result<(), Error> {
        if self.template.request.headers.contains_key(&name) { Ok(()) } else { self.set(name, value) }
    }

    /// Removes a header, and the authorization of the URL if that is meant.
    pub(crate) fn remove(&mut self, name: &HeaderName) {
        self.overrule(name);
        self.template.request.headers.remove(name);
    }

    /// Returns an attempt with all that the caller has set, and with the authorization of the URL.
    pub(crate) fn attempt(&self) -> Attempt {
        let mut attempt = self.template.clone();
        if let Some(value) = self.target().userinfo.as_ref().and_then(Userinfo::authorization) {
            attempt.request.headers.insert(AUTHORIZATION, value);
        }
        attempt
    }

    /// Drops the authorization of the URL, if the header of this name replaces it.
    fn overrule(&mut self, name: &HeaderName) {
        if *name == AUTHORIZATION {
            self.template.request.target.userinfo = None;
        }
    }
}
