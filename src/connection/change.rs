//! [`Change`], [`Apply`] and [`Resume`]: what callers can change of a stream that runs.

use std::fmt;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};

use crate::connection::request::Request;
use crate::error::{Error, ErrorKind};
use crate::transport::target::{self, Target};
use crate::transport::{self, LAST_EVENT_ID};

/// A change of a stream's request: see [`Handle::update`](crate::Handle::update).
///
/// Setters never fail; the first mistake is what the update returns, and then nothing is changed. A mistake is what
/// HTTP cannot carry, over 1,024 headers or parameters at once, and `Last-Event-ID`, which the stream owns.
#[derive(Default)]
#[must_use = "a change is made by returning it"]
pub struct Change {
    /// `None` removes.
    headers: HeaderMap<Option<HeaderValue>>,
    target: Option<Target>,
    query: Vec<(String, String)>,
    keep_id: Option<bool>,
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
    /// its head has come. What it repeats is dropped. If it does not begin where the first was left, or that is
    /// not certain, there is a [`Gap::Reconnected`](crate::Gap::Reconnected) before its first event. If the
    /// attempt fails the first response stays, and the change waits for the next attempt.
    ///
    /// For servers that resume by ID and keep the order. Known as a repeat is what has the ID that was sent, at the
    /// very beginning, or one that came since (the last 4,096 are known), and between two such what has none. An ID
    /// that came more than once since is as good as none. That holds as well when the request carried no ID, because
    /// none had come yet. So there is a gap, and repeats may come after it, if the newest events have no ID, or if the
    /// second response begins with events that have none while the first delivered some. If nothing was delivered in
    /// between, nothing can be found: what the server sends then is taken for what follows on the ID sent, without a
    /// gap; if none was sent, there is one.
    ///
    /// While no response is open this is [`Reconnect`](Self::Reconnect).
    MakeBeforeBreak,
}

/// Where a new response begins: see [`Handle::reconnect_from`](crate::Handle::reconnect_from).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Resume {
    /// After the event with this ID: one that was committed, say.
    Id(String),
    /// Wherever the server begins when it is sent no ID.
    Fresh,
}

/// The most parameters that are changed at once: no server takes nearly as many.
const MOST_PARAMETERS: usize = 1024;

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

    /// Sets another URL, whole, with its own query. Userinfo in it becomes basic authentication, until the
    /// URL is replaced or `Authorization` is set; what was set goes along to the new URL. The last event ID stays
    /// behind if the origin is another, unless [`keep_last_event_id`](Self::keep_last_event_id) says otherwise.
    pub fn url<U>(mut self, url: U) -> Self
    where
        U: TryInto<Uri, Error: Into<http::Error>>,
    {
        match url.try_into().map_err(Into::into).map_err(target::invalid_url).and_then(Target::parse) {
            Err(error) => self.refuse(error),
            Ok(target) => {
                self.target = Some(target);
                self.query.clear();
                self
            }
        }
    }

    /// Sets a parameter of the URL's query, in place of all of the same key.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        let key = key.into();
        self.query.retain(|(set, _)| *set != key);
        if self.query.len() == MOST_PARAMETERS {
            let message = format!("over {MOST_PARAMETERS} parameters are changed at once");
            return self.refuse(Error::new(ErrorKind::InvalidUrl, message));
        }
        self.query.push((key, value.into()));
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

    /// Whether the last event ID stays behind; `None` if that stands as before.
    pub(crate) fn leaves_id(&self, request: &Request) -> Option<bool> {
        let goes_elsewhere = self.target.as_ref().is_some_and(|target| !target.has_origin_of(request.target()));
        self.keep_id.map(|keep| !keep).or_else(|| goes_elsewhere.then_some(true))
    }

    /// The request with this change.
    ///
    /// # Errors
    ///
    /// When there would be too many headers, or the query does not fit the URL.
    pub(crate) fn applied_to(self, request: &Request) -> Result<Request, Error> {
        let mut request = request.clone();
        // What is removed makes room.
        for name in self.headers.iter().filter_map(|(name, value)| value.is_none().then_some(name)) {
            request.remove(name);
        }
        for (name, value) in self.headers {
            // A name is only left out for further values of the same header, and there are none.
            if let (Some(name), Some(value)) = (name, value) {
                request.set(name, value)?;
            }
        }
        let target = self.target.as_ref().unwrap_or_else(|| request.target()).setting_query(&self.query)?;
        request.go_to(target);
        Ok(request)
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
                // The later of the two counts.
                if name == AUTHORIZATION {
                    self.target.iter_mut().for_each(Target::forget_userinfo);
                }
                self.headers.insert(name, value);
                self
            }
            Err(error) => self.refuse(error),
        }
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
