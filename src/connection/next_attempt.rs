//! [`NextAttempt`]: an attempt that is about to be made, in the hands of the caller's hook.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use tokio::time::Instant;

use crate::connection::credentials::CredentialsReason;
use crate::connection::request::Request;
use crate::connection::timer;
use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;
use crate::transport::{self, Attempt, IntoUrl, LAST_EVENT_ID};

/// An attempt that is about to be made: see
/// [`StreamBuilder::before_attempt`](crate::StreamBuilder::before_attempt).
///
/// Setters never fail: the first mistake fails the attempt, with [`ErrorKind::BeforeAttempt`]. A
/// mistake is a value that HTTP cannot carry, a URL over 64 KiB, more than 1,024 headers, or the
/// header `Last-Event-ID`, which the stream sets itself.
#[must_use = "an attempt is made by returning it"]
pub struct NextAttempt {
    attempt: Box<Attempt>,
    facts: AttemptFacts,
    /// The first one.
    mistake: Option<Error>,
}

/// What is known about an attempt before it is made.
#[derive(Debug)]
pub(super) struct AttemptFacts {
    pub(super) number: u32,
    pub(super) reason: CredentialsReason,
    pub(super) last_event_id: Option<String>,
    pub(super) failure: Option<Error>,
}

/// # For tests of hooks
impl NextAttempt {
    /// Returns the first attempt of a stream at this URL, with a `GET`, no headers and no body.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidUrl`].
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::NextAttempt;
    ///
    /// async fn add_trace(attempt: NextAttempt) -> Result<NextAttempt, std::io::Error> {
    ///     let trace = format!("attempt-{}", attempt.number());
    ///     Ok(attempt.header("x-trace", trace))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let attempt = NextAttempt::new("https://example.com/stream")?.with_number(2);
    /// assert_eq!(add_trace(attempt).await?.headers()["x-trace"], "attempt-2");
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<Form: ?Sized>(url: impl IntoUrl<Form>) -> Result<Self, Error> {
        let attempt = Request::new(Target::from_text(&url.into_url())?).attempt();
        let facts = AttemptFacts { number: 1, reason: CredentialsReason::First, last_event_id: None, failure: None };
        Ok(Self::from_parts(Box::new(attempt), facts))
    }

    /// Sets the number of the attempt.
    pub fn with_number(mut self, number: u32) -> Self {
        self.facts.number = number;
        self
    }

    /// Sets why the attempt is made.
    pub fn with_reason(mut self, reason: CredentialsReason) -> Self {
        self.facts.reason = reason;
        self
    }

    /// Sets the last event ID that the attempt will send, and its header. An ID that no header can
    /// carry is a mistake.
    pub fn with_last_event_id(mut self, id: impl Into<String>) -> Self {
        let id = id.into();
        let value = transport::last_event_id_value(&id);
        self.facts.last_event_id = Some(id).filter(|id| !id.is_empty());
        self.try_set(|attempt| {
            match value? {
                Some(value) => attempt.request.headers.insert(LAST_EVENT_ID, value),
                None => attempt.request.headers.remove(LAST_EVENT_ID),
            };
            Ok(())
        })
    }

    /// Sets the last failure.
    pub fn with_failure(mut self, failure: Error) -> Self {
        self.facts.failure = Some(failure);
        self
    }
}

impl NextAttempt {
    pub(super) fn from_parts(attempt: Box<Attempt>, facts: AttemptFacts) -> Self {
        Self { attempt, facts, mistake: None }
    }

    /// Returns the number of this attempt, from 1, counted since the last healthy response, as in
    /// [`State::Connecting`](crate::State::Connecting).
    ///
    /// A repetition with fresh credentials has the number of the attempt that was refused. The
    /// attempt of a handover has that of the open response.
    pub fn number(&self) -> u32 {
        self.facts.number
    }

    /// Returns why the attempt is made.
    pub fn reason(&self) -> &CredentialsReason {
        &self.facts.reason
    }

    /// Returns the last event ID that the attempt will send; `None` if it sends none.
    pub fn last_event_id(&self) -> Option<&str> {
        self.facts.last_event_id.as_deref()
    }

    /// Returns the last failure since a response was accepted: that of an attempt, or the end of
    /// that response. `None` for the first attempt, and if the program has asked for another
    /// response while one was open.
    pub fn failure(&self) -> Option<&Error> {
        self.facts.failure.as_ref()
    }

    /// Returns the method.
    pub fn method(&self) -> &Method {
        &self.attempt.request.method
    }

    /// Returns the URL, with its query and without userinfo.
    pub fn url(&self) -> &Uri {
        self.attempt.request.target.uri()
    }

    /// Returns the headers that the program has set, with `Authorization` from the URL's userinfo
    /// and `Last-Event-ID`.
    ///
    /// `Host`, the defaults (`Accept`, `Cache-Control`, `User-Agent`, `Accept-Encoding`), the
    /// cookies of a jar, and what delimits the body are added later.
    pub fn headers(&self) -> &HeaderMap {
        &self.attempt.request.headers
    }

    /// Returns the body; empty if there is none.
    pub fn body(&self) -> &Bytes {
        &self.attempt.request.body
    }

    /// Sets a header and replaces all values of the same name. The value never appears in `Debug`
    /// or logs.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.try_set(|attempt| {
            let (name, value) = transport::header(name, value)?;
            check_name(&name)?;
            transport::may_insert(&attempt.request.headers, &name)?;
            attempt.request.headers.insert(name, value);
            Ok(())
        })
    }

    /// Removes a header, if it is set. A default that it has replaced is sent again.
    pub fn remove_header<N>(self, name: N) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
    {
        self.try_set(|attempt| {
            let (name, _) = transport::header(name, HeaderValue::from_static(""))?;
            check_name(&name)?;
            attempt.request.headers.remove(name);
            Ok(())
        })
    }

    /// Sets a parameter of the URL's query, percent-encoded, and replaces all parameters with the
    /// same key.
    pub fn query(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.try_set(|attempt| {
            let target = attempt.request.target.setting_query(&[(key.into(), value.into())])?;
            attempt.request.target = target;
            Ok(())
        })
    }

    /// Removes all parameters with this key from the URL's query.
    pub fn remove_query(self, key: impl AsRef<str>) -> Self {
        self.try_set(|attempt| {
            attempt.request.target = attempt.request.target.without_query(key.as_ref())?;
            Ok(())
        })
    }

    /// Sets the body; an empty one removes it. The method stays.
    pub fn with_body(self, body: impl Into<Bytes>) -> Self {
        self.try_set(|attempt| {
            attempt.request.body = body.into();
            Ok(())
        })
    }

    /// Limits the attempt, counted from this call to the response head; no limit by default.
    ///
    /// A stage that is cut short fails with [`ErrorKind::ConnectTimeout`] or
    /// [`ErrorKind::ResponseTimeout`], each with what follows from it: see
    /// [`response_timeout`](crate::StreamBuilder::response_timeout). Those two limits stay, so a
    /// deadline can only shorten them. Redirects, and a source of
    /// [`credentials`](crate::StreamBuilder::credentials), use up the same time. The body of a
    /// refusal may take 2 s more. An open response has no deadline.
    pub fn deadline(self, deadline: Duration) -> Self {
        self.try_set(|attempt| {
            attempt.deadline = Some(timer::after(Instant::now(), deadline));
            Ok(())
        })
    }

    /// Sets secret headers; each name replaces what was set for it before, with all of its values.
    pub(super) fn with_secrets(self, mut secrets: HeaderMap) -> Self {
        self.try_set(|attempt| {
            secrets.keys().try_for_each(check_name)?;
            transport::may_hold(&secrets)?;
            secrets.values_mut().for_each(|value| value.set_sensitive(true));
            // Replaces values of the same name: a request has one `Authorization` (RFC 9110,
            // section 11.6.2).
            attempt.request.headers.extend(secrets);
            Ok(())
        })
    }

    /// Returns the attempt as it is to be made.
    ///
    /// # Errors
    ///
    /// The first mistake.
    pub(super) fn checked(self) -> Result<Self, Error> {
        match self.mistake {
            Some(mistake) => Err(mistake),
            None => Ok(self),
        }
    }

    pub(super) fn into_attempt(self) -> Attempt {
        *self.attempt
    }

    /// Keeps the first mistake.
    fn try_set(mut self, set: impl FnOnce(&mut Attempt) -> Result<(), Error>) -> Self {
        if let Err(mistake) = set(&mut self.attempt) {
            self.mistake.get_or_insert(mistake);
        }
        self
    }
}

/// Refuses the header that says where the stream goes on: gaps tell what was sent.
fn check_name(name: &HeaderName) -> Result<(), Error> {
    if *name == LAST_EVENT_ID {
        let message = "the stream sets Last-Event-ID itself: use reconnect_from";
        return Err(Error::new(ErrorKind::InvalidHeader, message));
    }
    Ok(())
}

/// Shows neither values of headers and the query nor the body: they may be secrets.
impl fmt::Debug for NextAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextAttempt")
            .field("attempt", &self.attempt)
            .field("facts", &self.facts)
            .field("mistake", &self.mistake)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn secret_headers_are_marked_and_replace_those_that_were_set() {
        let mut attempt = Request::new(Target::from_text("http://host/").unwrap()).attempt();
        attempt.request.headers = headers(&[("authorization", "old"), ("accept", "text/event-stream")]);
        let reason = CredentialsReason::First;
        let facts = AttemptFacts { number: 1, reason, last_event_id: None, failure: None };
        let mut given = headers(&[("authorization", "new"), ("x-tenant", "a")]);
        given.append("x-tenant", HeaderValue::from_static("b"));
        let sent = NextAttempt::from_parts(Box::new(attempt), facts).with_secrets(given).checked().unwrap();
        let mut expected = headers(&[("authorization", "new"), ("accept", "text/event-stream"), ("x-tenant", "a")]);
        expected.append("x-tenant", HeaderValue::from_static("b"));
        assert_eq!(*sent.headers(), expected);
        for (name, value) in sent.headers() {
            assert_eq!(value.is_sensitive(), name != "accept", "{name}");
        }
    }
}
