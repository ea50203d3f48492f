//! [`Change`], [`Apply`] and [`Resume`]: what callers can change of a stream that runs.

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::error::{Error, ErrorKind};
use crate::target::Target;
use crate::transport::{self, LAST_EVENT_ID};

/// A change of a stream's request: see [`Handle::update`](crate::Handle::update).
///
/// Setters never fail; the first mistake is what the update returns, and then nothing is changed.
#[derive(Default)]
#[must_use = "a change is made by returning it"]
pub struct Change {
    /// `None` removes.
    pub(crate) headers: HeaderMap<Option<HeaderValue>>,
    pub(crate) target: Option<Target>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) keep_id: Option<bool>,
    mistake: Option<Error>,
}

/// When a change is put into effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Apply {
    /// With the next attempt, whenever that is: the open response is left alone.
    NextAttempt,
    /// Now: the open response is dropped, a wait ends, an attempt under way is replaced.
    Reconnect,
    /// Now, without a hole: a second response is opened while the first is still read, and takes over when
    /// its head has come. Events that it repeats are dropped, by their IDs (the last 4,096 are known). If
    /// it does not begin where the first was left, that is a
    /// [`Gap::Reconnected`](crate::Gap::Reconnected). If the attempt fails the first response stays, and the
    /// change waits for the next attempt.
    ///
    /// For servers that resume by ID. While no response is open this is [`Reconnect`](Self::Reconnect).
    MakeBeforeBreak,
}

/// Where a new response begins: see [`Handle::reconnect_from`](crate::Handle::reconnect_from).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resume {
    /// After the newest event that was published.
    Latest,
    /// After the event with this ID: one that was committed, say.
    Id(String),
    /// Wherever the server begins when it is sent no ID.
    Fresh,
}

/// The most headers, or parameters, that wait to be changed at once. No server takes nearly as many,
/// and a `HeaderMap` that overflows panics.
const MOST: usize = 1024;

impl Change {
    /// Sets a header, in place of one of the same name. The value is treated as a secret.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.set(transport::header(name, value).map(|(name, value)| (name, Some(value))))
    }

    /// Removes a header.
    pub fn remove_header<N>(self, name: N) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
    {
        self.set(transport::header(name, HeaderValue::from_static("")).map(|(name, _)| (name, None)))
    }

    /// Sets `Authorization: Bearer …` (RFC 6750).
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sets `Authorization: Basic …` (RFC 7617).
    pub fn basic_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION, transport::basic_authorization(user.as_ref(), password.as_ref()))
    }

    /// Sets another URL, whole, with its own query. Userinfo in it becomes basic authentication. The
    /// last event ID stays behind if the origin is another, unless
    /// [`keep_last_event_id`](Self::keep_last_event_id) says otherwise.
    pub fn url<U>(mut self, url: U) -> Self
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        let invalid = |error| Error::with_source(ErrorKind::InvalidUrl, "the URL is not valid", error);
        match url.try_into().map_err(Into::into).map_err(invalid).and_then(Target::parse) {
            Err(error) => self.refuse(error),
            Ok(target) => {
                let userinfo = target.userinfo().cloned();
                self.target = Some(target);
                self.query.clear();
                match userinfo {
                    Some(userinfo) => self.basic_auth(userinfo.user, userinfo.password),
                    None => self,
                }
            }
        }
    }

    /// Sets a parameter of the URL's query, in place of all of the same key.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.set_query(key.into(), value.into());
        self
    }

    /// Whether the last event ID goes along with the next attempt. If nobody says, it does, unless the
    /// new URL has another origin, where it would mean nothing.
    pub fn keep_last_event_id(mut self, keep: bool) -> Self {
        self.keep_id = Some(keep);
        self
    }

    /// The change, if it holds no mistake.
    pub(crate) fn checked(self) -> Result<Self, Error> {
        match self.mistake {
            Some(mistake) => Err(mistake),
            None => Ok(self),
        }
    }

    /// Adds a later change to this one.
    ///
    /// # Errors
    ///
    /// When there would be more than 1,024 headers or parameters; nothing is changed then.
    pub(crate) fn merge(&mut self, later: Self) -> Result<(), Error> {
        let too_many = |kind, what| Err(Error::new(kind, format!("over {MOST} {what} wait to be changed")));
        let new = later.headers.keys().filter(|name| !self.headers.contains_key(*name)).count();
        if self.headers.len() + new > MOST {
            return too_many(ErrorKind::InvalidHeader, "headers");
        }
        let before = if later.target.is_some() { 0 } else { self.query.len() };
        if before + later.query.len() > MOST {
            return too_many(ErrorKind::InvalidUrl, "parameters");
        }
        for (name, value) in later.headers {
            // A name is only left out for further values of the same header, and there are none.
            if let Some(name) = name {
                self.headers.insert(name, value);
            }
        }
        if later.target.is_some() {
            self.target = later.target;
            self.query.clear();
        }
        for (key, value) in later.query {
            self.set_query(key, value);
        }
        self.keep_id = later.keep_id.or(self.keep_id);
        Ok(())
    }

    fn set(mut self, header: Result<(HeaderName, Option<HeaderValue>), Error>) -> Self {
        let may_be_set = |(name, value): (HeaderName, Option<HeaderValue>)| {
            if name == LAST_EVENT_ID {
                return Err(Error::new(ErrorKind::InvalidHeader, "the last event ID belongs to the stream"));
            }
            transport::may_insert(&self.headers, &name)?;
            Ok((name, value))
        };
        match header.and_then(may_be_set) {
            Ok((name, value)) => {
                self.headers.insert(name, value);
                self
            }
            Err(error) => self.refuse(error),
        }
    }

    fn set_query(&mut self, key: String, value: String) {
        self.query.retain(|(set, _)| *set != key);
        self.query.push((key, value));
    }

    fn refuse(mut self, mistake: Error) -> Self {
        self.mistake.get_or_insert(mistake);
        self
    }
}

/// Names alone: the values of headers and of the query may be secrets.
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
