//! [`Change`], [`Apply`] and [`Resume`]: how a caller changes a stream that runs.

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::connection::request::Request;
use crate::error::{Error, ErrorKind};
use crate::transport::target::Target;
use crate::transport::{self, IntoUrl, LAST_EVENT_ID};

/// A change of a stream's request: see [`Handle::update`](crate::Handle::update).
///
/// Setters never fail. The update returns the first mistake as an error, and then nothing is
/// changed. A mistake is a value that HTTP cannot carry, more than 1,024 headers or parameters at
/// once, or the header `Last-Event-ID`, which the stream sets itself.
#[derive(Default)]
#[must_use = "a change is made by returning it"]
pub struct Change {
    /// `None` removes the header.
    headers: HeaderMap<Option<HeaderValue>>,
    target: Option<Target>,
    query: Vec<(String, String)>,
    keep_id: Option<bool>,
    /// The first one.
    mistake: Option<Error>,
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Apply {
    /// With the next attempt. The open response is left alone, so that may be months later.
    NextAttempt,
    /// Now: the task drops the open response, ends a wait, or replaces the attempt under way.
    Reconnect,
    /// Now, by a handover: the task opens a second response while it still reads the first. The
    /// second takes over when its head has come, and events that it repeats are dropped.
    ///
    /// If the attempt fails, the first response stays, and the change goes with the next attempt.
    /// If the second response does not certainly follow the first, there is a
    /// [`Gap::Reconnected`](crate::Gap::Reconnected) before its first event. While no response is
    /// open, this is [`Reconnect`](Self::Reconnect).
    ///
    /// Use it with servers that resume by ID and keep the order of events. An event of the second
    /// response is a repeat if its ID is the one that the request carried, or came once since
    /// then. The client remembers the last 4,096 of these IDs. An event without an ID is a repeat
    /// only between two repeats with one, and an ID that came more than once counts as none. All of
    /// this holds, too, if the request carried no ID because none had come yet.
    ///
    /// So there is a gap, and perhaps repeats after it, in two cases: the newest events have no ID,
    /// or the second response begins with events without an ID while the first delivered some. If
    /// the first response delivered nothing in between, there is nothing to compare: the events of
    /// the second count as following the ID that the request carried, or a gap goes before them if
    /// it carried none.
    MakeBeforeBreak,
}

/// Where a new response begins: see [`Handle::reconnect_from`](crate::Handle::reconnect_from).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resume {
    /// After the event with this ID, for example the last one that the program has committed.
    Id(String),
    /// Where the server begins if the request carries no ID.
    Fresh,
}

/// What a stream does when the server refuses its last event ID: see
/// [`StreamBuilder::if_id_is_refused`](crate::StreamBuilder::if_id_is_refused).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusedId {
    /// The refusal is a failure like any other, whose message names the ID. The default: what comes
    /// after a lost place is for the program to decide.
    #[default]
    Fail,
    /// The stream makes one attempt without the ID, at once. If the server accepts it, the ID is
    /// given up, and a [`Gap::Reconnected`](crate::Gap::Reconnected) without an ID stands before
    /// the first event.
    StartFresh,
}

/// The most parameters that one change can set. No server accepts nearly as many.
const MAX_PARAMETERS: usize = 1024;

impl Change {
    /// Sets a header and replaces one of the same name. The value never appears in `Debug` or logs.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.try_set(|change| {
            let (name, value) = transport::header(name, value)?;
            change.insert(name, Some(value))
        })
    }

    /// Removes a header, if it is set.
    pub fn remove_header<N>(self, name: N) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
    {
        self.try_set(|change| {
            let (name, _) = transport::header(name, HeaderValue::from_static(""))?;
            change.insert(name, None)
        })
    }

    /// Sets `Authorization: Bearer …` (RFC 6750).
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sets `Authorization: Basic …` (RFC 7617).
    pub fn basic_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION, transport::basic_authorization(user.as_ref(), password.as_ref()))
    }

    /// Sets another URL, with its own query.
    ///
    /// Userinfo in it becomes basic authentication, until the URL is replaced or `Authorization` is
    /// set. Headers that were set go along, and so does the body. The last event ID stays behind if
    /// the origin is another (RFC 6454), unless [`keep_last_event_id`](Self::keep_last_event_id)
    /// says otherwise.
    pub fn url<Form: ?Sized>(self, url: impl IntoUrl<Form>) -> Self {
        self.try_set(|change| {
            change.target = Some(Target::from_text(&url.into_url())?);
            // Parameters that were set before belong to the URL before.
            change.query.clear();
            Ok(())
        })
    }

    /// Sets a parameter of the URL's query, and replaces all parameters with the same key.
    pub fn query(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.try_set(|change| {
            let key = key.into();
            change.query.retain(|(set, _)| *set != key);
            if change.query.len() == MAX_PARAMETERS {
                let message = format!("more than {MAX_PARAMETERS} parameters are changed at once");
                return Err(Error::new(ErrorKind::InvalidUrl, message));
            }
            change.query.push((key, value.into()));
            Ok(())
        })
    }

    /// Decides whether the next attempt carries the last event ID.
    ///
    /// By default it does, unless the new URL has another origin, where the ID means nothing.
    pub fn keep_last_event_id(mut self, keep: bool) -> Self {
        self.keep_id = Some(keep);
        self
    }

    /// Returns `Some(true)` if the last event ID stays behind; `None` if this change does not say.
    pub(crate) fn leaves_id(&self, request: &Request) -> Option<bool> {
        let goes_elsewhere = self.target.as_ref().is_some_and(|target| target.origin() != request.target().origin());
        self.keep_id.map(|keep| !keep).or_else(|| goes_elsewhere.then_some(true))
    }

    /// Returns the request with this change.
    ///
    /// # Errors
    ///
    /// The first mistake in the change; when there would be too many headers, or the URL does not
    /// take the query.
    pub(crate) fn applied_to(self, request: &Request) -> Result<Request, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        let mut request = request.clone();
        // Removals first: they make room for the headers that are set.
        for name in self.headers.iter().filter_map(|(name, value)| value.is_none().then_some(name)) {
            request.remove(name);
        }
        for (name, value) in self.headers {
            // A `HeaderMap` leaves out the name for further values of a header, and there are none.
            if let (Some(name), Some(value)) = (name, value) {
                request.set(name, value)?;
            }
        }
        let target = self.target.as_ref().unwrap_or_else(|| request.target()).setting_query(&self.query)?;
        request.go_to(target);
        request.template.request.check_scheme()?;
        Ok(request)
    }

    /// Takes a header that is to be set, or removed with `None`.
    fn insert(&mut self, name: HeaderName, value: Option<HeaderValue>) -> Result<(), Error> {
        if name == LAST_EVENT_ID {
            let message = "the stream sets Last-Event-ID itself: use reconnect_from";
            return Err(Error::new(ErrorKind::InvalidHeader, message));
        }
        transport::may_insert(&self.headers, &name)?;
        if let Some(target) = self.target.as_mut().filter(|_| name == AUTHORIZATION) {
            // Of a header and the URL's userinfo, the later one counts.
            target.userinfo = None;
        }
        self.headers.insert(name, value);
        Ok(())
    }

    /// Keeps the first mistake.
    fn try_set(mut self, set: impl FnOnce(&mut Self) -> Result<(), Error>) -> Self {
        if let Err(mistake) = set(&mut self) {
            self.mistake.get_or_insert(mistake);
        }
        self
    }
}

/// Shows names alone: the values of headers and of the query may be secrets.
impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Change")
            .field("headers", &self.headers.keys().collect::<Vec<_>>())
            .field("url", &self.target)
            .field("query", &self.query.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .field("keep_last_event_id", &self.keep_id)
            .field("mistake", &self.mistake)
            .finish()
    }
}
