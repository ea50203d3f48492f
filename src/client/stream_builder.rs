//! [`StreamBuilder`]: the settings of one stream, in the groups of the documentation.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};

use crate::connection::config::{Config, MAX_CAPACITY, MIN_CAPACITY};
use crate::connection::credentials::CredentialsReason;
use crate::connection::request::Request;
use crate::connection::{Connection, ConnectionGuard, Hook, Launch, NextAttempt, RefusedId};
use crate::error::{Error, ErrorKind};
use crate::event::Event;
#[cfg(doc)]
use crate::event::Gap;
use crate::event::IntoLastEventId;
use crate::handle::Handle;
use crate::hub::{ConflateKey, Filter, Keep, Overflow, Retain};
use crate::reconnect::ReconnectPolicy;
use crate::response::ResponseHead;
use crate::resume::{Commit, ResumeStore, Store};
use crate::subscription::{SubscribeOptions, Subscription};
use crate::transport::target::{self, Target};
use crate::transport::{self, BoxFuture, Connect, Redirects};
use crate::wire::EndMark;

use super::Client;
#[cfg(doc)]
use super::ClientBuilder;
#[cfg(feature = "testing")]
use super::Observer;

/// The settings of one stream, until it is built or opened.
///
/// ```no_run
/// # async fn follow() -> Result<(), sseclient::Error> {
/// use std::time::Duration;
/// use sseclient::Client;
///
/// let stream = Client::new().stream("https://example.com/orders").bearer_auth("…");
/// let mut orders = stream.idle_timeout(Duration::from_secs(60)).open("order").await?;
/// # Ok(())
/// # }
/// ```
///
/// A setter never fails. [`build`](Self::build) and [`open`](Self::open) return the first mistake
/// as an error.
///
/// [`open`](Self::open) is the short way: one subscription to a stream that is open. For several
/// subscriptions, or to subscribe before the first event, [`build`](Self::build) a [`Handle`],
/// subscribe, and then [`connect`](Handle::connect):
///
/// ```no_run
/// # async fn follow() -> Result<(), sseclient::Error> {
/// let handle = sseclient::Client::new().stream("https://example.com/stream").build()?;
/// let orders = handle.subscribe("order");
/// let alerts = handle.subscribe(["alert", "alarm"]);
/// handle.connect();
/// # Ok(())
/// # }
/// ```
#[must_use = "a builder does nothing until `build` or `open` is called"]
#[doc(alias = "EventSource")]
pub struct StreamBuilder {
    connector: Arc<dyn Connect>,
    config: Result<Config, Error>,
    /// `None`: the default, which depends on the method.
    policy: Option<ReconnectPolicy>,
    /// Kept apart from the policy, which it overrides in either order of the calls.
    reconnection_time: Option<Duration>,
    before_attempt: Option<Hook>,
    credentials: Option<Hook>,
    /// The mutex makes the builder `Sync`, which the caller's future need not be. It is never
    /// locked.
    stop: Mutex<Option<BoxFuture<()>>>,
    store: Option<Store>,
    #[cfg(feature = "testing")]
    observer: Option<Observer>,
}

impl StreamBuilder {
    /// Begins with the headers and the cookie jar of the client.
    pub(super) fn new(client: &Client, url: &str) -> Self {
        let stream = Self {
            connector: Arc::clone(&client.connector),
            config: Target::from_text(url).map(Config::new),
            policy: None,
            reconnection_time: None,
            before_attempt: None,
            credentials: None,
            stop: Mutex::new(None),
            store: None,
            #[cfg(feature = "testing")]
            observer: client.observer.clone(),
        };
        stream.try_set(|config| {
            client.check()?;
            let request = request(config);
            request.template.cookies = client.cookies.clone();
            request.template.request.has_tls = client.connector.has_tls();
            request.template.request.check_scheme()?;
            request.begin_with(&client.headers)
        })
    }
}

/// # Request
///
/// By default a stream sends a `GET` with `Accept: text/event-stream` and
/// `Cache-Control: no-cache`. Values of headers, cookies and the query are treated as secrets: they
/// never appear in `Debug`, logs or errors.
impl StreamBuilder {
    /// Sets the method of every request; `GET` by default, or `POST` with a [`body`](Self::body).
    ///
    /// `"REPORT"`, a `String` or an [`http::Method`]. Those of the standard may be in lower case.
    /// One that HTTP cannot carry is an [`ErrorKind::InvalidConfig`] when the stream is built, and
    /// `HEAD` and `CONNECT`, whose responses have no body, are an [`ErrorKind::Unsupported`].
    pub fn method(self, method: impl AsRef<str>) -> Self {
        self.try_set(|config| {
            request(config).set_method(transport::method(method.as_ref())?);
            Ok(())
        })
    }

    /// Sets a header of every request, and replaces all values of the same name.
    ///
    /// The header `Last-Event-ID` does the same as [`last_event_id`](Self::last_event_id), and must
    /// be UTF-8. A `Proxy-Authorization` can reach the server itself: see [`ClientBuilder::proxy`].
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.try_set(|config| {
            let (name, value) = transport::header(name, value)?;
            // The stream owns this header: it is sent only while there is an ID.
            if name == transport::LAST_EVENT_ID {
                let not_utf8 = |error| {
                    Error::with_source(ErrorKind::InvalidHeader, "the header last-event-id is not UTF-8", error)
                };
                return set_last_event_id(config, std::str::from_utf8(value.as_bytes()).map_err(not_utf8)?.to_owned());
            }
            request(config).set(name, value)
        })
    }

    /// Sets several headers; each name replaces what was set for it before, with all of its values.
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        for name in headers.keys() {
            // The first value replaces what was set, the others join it.
            let mut values = headers.get_all(name).iter().cloned();
            if let Some(first) = values.next() {
                self = self.header(name, first);
            }
            for further in values {
                self = self.try_set(|config| {
                    let (name, value) = transport::header(name, further)?;
                    request(config).add(name, value)
                });
            }
        }
        self
    }

    /// Adds a parameter to the URL's query, percent-encoded.
    pub fn query(self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.try_set(|config| {
            let target = request(config).target().clone().with_query(&[(key.into(), value.into())])?;
            request(config).go_to(target);
            Ok(())
        })
    }

    /// Sends `Authorization: Bearer …` (RFC 6750).
    pub fn bearer_auth(self, token: impl fmt::Display) -> Self {
        self.header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sends `Authorization: Basic …` (RFC 7617); a user and password in the URL do the same.
    pub fn basic_auth(self, user: impl AsRef<str>, password: impl AsRef<str>) -> Self {
        self.header(AUTHORIZATION, transport::basic_authorization(user.as_ref(), password.as_ref()))
    }

    /// Asks `hook` before each attempt, and sends the request as the hook returns it; none by
    /// default.
    ///
    /// For what has to be computed anew each time: a cursor from the last event ID, a signature, a
    /// trace. What goes wrong, and what holds:
    ///
    /// - A hook that fails, or wants what cannot be sent, fails the attempt
    ///   ([`ErrorKind::BeforeAttempt`], whose source is its error). So does one that takes longer
    ///   than 30 s ([`ErrorKind::BeforeAttemptTimeout`]). Both are retried like transport faults,
    ///   and the hook is asked again.
    /// - The connection task runs the hook and its future. They must not block, and a panic ends
    ///   the stream ([`ErrorKind::TaskFailed`]).
    /// - Changes are for this attempt alone: the next one begins with the stream's own request. All
    ///   values count as secrets. Scheme, host and path stay, and so does `Last-Event-ID`; for
    ///   another URL there is [`Handle::update`].
    /// - The hook is not asked about redirects. Within the origin these carry the headers and the
    ///   body that it has set, so that a signature over the URL does not fit any more. Another
    ///   origin gets no header of its own choice, only [those without secrets](Self::redirects).
    /// - After a 401 or 403 it is asked once more, with
    ///   [`Rejected`](CredentialsReason::Rejected), and the attempt is repeated at once.
    /// - [`credentials`](Self::credentials) are asked for after it, and their headers replace those
    ///   of the same name. A second hook replaces the first.
    ///
    /// It is also asked for the attempt of a [handover](crate::Apply::MakeBeforeBreak), while the
    /// open response is read.
    ///
    /// # Cancel safety
    ///
    /// A shutdown, or an attempt that replaces this one, drops the hook's future.
    ///
    /// # Examples
    ///
    /// For a server that resumes by a cursor in the query:
    ///
    /// ```
    /// use std::convert::Infallible;
    /// use sseclient::{Client, NextAttempt};
    ///
    /// async fn after_the_last(attempt: NextAttempt) -> Result<NextAttempt, Infallible> {
    ///     let cursor = attempt.last_event_id().unwrap_or("0").to_owned();
    ///     Ok(attempt.query("after", cursor))
    /// }
    ///
    /// let stream = Client::new().stream("http://127.0.0.1/").before_attempt(after_the_last);
    /// # stream.build().map(drop)?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    #[doc(alias("interceptor", "middleware", "signature"))]
    pub fn before_attempt<F, Fut, E>(self, hook: F) -> Self
    where
        F: Fn(NextAttempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<NextAttempt, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self { before_attempt: Some(Hook::new(hook)), ..self }
    }

    /// Asks `source` for fresh headers before each attempt; for credentials that expire.
    ///
    /// A short form of [`before_attempt`](Self::before_attempt), which is asked first if both are
    /// set. The headers replace those of the same name, and are treated as secrets. `source` learns
    /// the reason of each call. After a 401 or 403 the stream calls it once more and repeats the
    /// attempt at once. A second refusal in a row goes to the
    /// [`reconnect_policy`](Self::reconnect_policy), which by default ends the stream.
    ///
    /// There is one call at a time, however many subscribers there are. A shutdown drops its
    /// future. A failure ([`ErrorKind::Credentials`]), or no answer within 30 s
    /// ([`ErrorKind::CredentialsTimeout`]), is retried like a transport fault. `Last-Event-ID`, or
    /// more than 1,024 headers, are a failure. The connection task runs `source` and its future: a
    /// panic there ends the stream ([`ErrorKind::TaskFailed`]).
    pub fn credentials<F, Fut, E>(self, source: F) -> Self
    where
        F: Fn(CredentialsReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self { credentials: Some(Hook::credentials(source)), ..self }
    }

    /// Sends a cookie with every request, after the cookies that were set before.
    ///
    /// Those come from earlier calls or from a `Cookie` header. The cookie does not follow a
    /// redirect to another origin. A name that is not a token, or a value with whitespace, commas,
    /// semicolons or anything but ASCII, is an [`ErrorKind::InvalidHeader`] when the stream is
    /// built.
    pub fn cookie(self, name: impl AsRef<str>, value: impl AsRef<str>) -> Self {
        self.try_set(|config| request(config).add_cookie(name.as_ref(), value.as_ref()))
    }

    /// Sends this body with every attempt; none by default. The method becomes `POST`, unless
    /// another is [set](Self::method).
    ///
    /// A `POST` is sent once, unless a [`reconnect_policy`](Self::reconnect_policy) is set: each
    /// reconnection then sends the body again, together with the last event ID, as a server without
    /// state needs. `Content-Length` is set for you, `Content-Type` is not. A server may answer
    /// before it has the whole body. The stream then sends the rest while it reads the response,
    /// and stops both while a subscriber's queue is full.
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.set(|config| request(config).set_body(body.into()))
    }

    /// Sends this value as a JSON body, with its `Content-Type` unless another is set.
    ///
    /// A value that cannot be serialized is an [`ErrorKind::InvalidConfig`] when the stream is
    /// built.
    #[cfg(feature = "json")]
    pub fn json(self, body: &(impl serde::Serialize + ?Sized)) -> Self {
        let body = serde_json::to_vec(body);
        self.try_set(|config| {
            let unusable =
                |error| Error::with_source(ErrorKind::InvalidConfig, "the body cannot be written as JSON", error);
            let request = request(config);
            request.set_body(body.map_err(unusable)?.into());
            // The caller's own type wins, in either order of the calls: `application/problem+json`,
            // say.
            request.set_default(CONTENT_TYPE, HeaderValue::from_static("application/json"))
        })
    }

    /// Sends these form fields as the body, with its `Content-Type` unless another is set.
    ///
    /// The fields are percent-encoded. A space becomes `%20`, which servers read like `+`.
    pub fn form<K, V>(self, fields: impl IntoIterator<Item = (K, V)>) -> Self
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let body = target::form(fields);
        self.try_set(|config| {
            let request = request(config);
            request.set_body(body.into());
            request.set_default(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
        })
    }

    /// Sets how far redirects are followed; by default up to 20 in a row, also to other origins.
    ///
    /// A redirect to another origin carries only headers that hold no secrets: `Accept`,
    /// `Accept-Language`, `Accept-Encoding`, `Cache-Control`, `User-Agent`, `Last-Event-ID`, and
    /// those that describe the body. Headers of your own stay behind. The body itself does not go
    /// there either: a redirect that would take it along is final, unless
    /// [`Redirects::body_across_origins`] allows it.
    pub fn redirects(self, redirects: Redirects) -> Self {
        self.set(|config| request(config).template.redirects = redirects)
    }

    /// Decides which responses are event streams; by default status 200 with content type
    /// `text/event-stream`, as the standard says.
    ///
    /// For servers that send a stream with another content type, with none, or with a 201 or 202.
    /// `accept` decides about each response with a 2xx but 204, in place of the standard's rule. It
    /// is not called for others: redirects are followed, and failures stay failures. Nor does it
    /// decide about content codings. A response that it does not accept is refused as ever
    /// ([`ErrorKind::ContentType`], [`ErrorKind::Status`]).
    ///
    /// The connection task calls `accept`, so it must not block. A panic in it ends the stream with
    /// [`ErrorKind::TaskFailed`].
    ///
    /// # Examples
    ///
    /// ```
    /// use http::header::CONTENT_TYPE;
    /// use sseclient::Client;
    ///
    /// let stream = Client::new().stream("http://127.0.0.1/");
    /// // A page of a captive portal has a content type; this server's stream has none.
    /// let stream = stream.accept_response(|head| !head.headers().contains_key(CONTENT_TYPE));
    /// # stream.build().map(drop)?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn accept_response(self, accept: impl Fn(&ResponseHead) -> bool + Send + Sync + 'static) -> Self {
        self.set(|config| request(config).template.accept = Some(Arc::new(accept)))
    }

    /// Asks the server for a compressed stream (`Accept-Encoding`); on by default.
    ///
    /// The request names the codings whose features are enabled: `gzip`, `brotli`, `zstd`. An
    /// `Accept-Encoding` header of your own overrides this. A compressed response is decoded in any
    /// case, event by event if the server flushes each event.
    #[cfg(any(feature = "gzip", feature = "brotli", feature = "zstd"))]
    pub fn compression(self, wanted: bool) -> Self {
        self.set(|config| request(config).template.request.compression = wanted)
    }
}

/// # Reconnection
///
/// By default a stream that fails or ends is retried forever, with growing waits. One with a method
/// that is not idempotent, such as `POST`, is for one response.
impl StreamBuilder {
    /// Sets the wait before the first retry; 3 s by default, as in browsers.
    ///
    /// Overrides the time of the [`reconnect_policy`](Self::reconnect_policy), in either order. The
    /// server's `retry` field replaces it. The policy decides how further waits in a row grow: by
    /// default they double, up to 60 s, plus up to 50 % at random.
    ///
    /// Has no effect on a request that is not repeated: a `POST` needs a policy as well.
    #[doc(alias("retry", "backoff"))]
    pub fn reconnection_time(self, time: Duration) -> Self {
        Self { reconnection_time: Some(time), ..self }
    }

    /// Sets when a stream that failed or ended is retried, and when it is given up.
    ///
    /// [`ReconnectPolicy::daemon`] by default. If the [method](Self::method) is not idempotent (RFC
    /// 9110, section 9.2.2: any but `GET`, `PUT`, `DELETE`, `OPTIONS` and `TRACE`), the default is
    /// [`ReconnectPolicy::never`]: a question to a language model that is sent again is billed
    /// again. Choose a policy if the server can tell a repeated request from a new one.
    ///
    /// Independent of the policy, a request is sent again where it has had no effect: to the target
    /// of a 307 or 308, and after a 401 or 403 with fresh [`credentials`](Self::credentials) or a
    /// hook [`before_attempt`](Self::before_attempt). A 303, and a 301 or 302 of a `POST`, leads to
    /// a `GET` without the body. The program itself asks for the request again with
    /// [`Handle::reconnect`], an update that reconnects, or a new subscription of a
    /// [lazy](Self::lazy) stream.
    #[doc(alias("retry", "backoff"))]
    pub fn reconnect_policy(self, policy: ReconnectPolicy) -> Self {
        Self { policy: Some(policy), ..self }
    }
}

/// # One answer
///
/// For responses that are complete at some point, such as the answer of a language model.
impl StreamBuilder {
    /// Makes this a stream for one answer: the request is never repeated, and no event is lost
    /// however slowly it is read.
    ///
    /// Short for [`ReconnectPolicy::never`], also with a method that is idempotent, and
    /// [`Overflow::Block`] as the default of all subscriptions and transcripts: while a queue is
    /// full nothing more is read. So **a subscription that is never read stops the stream for
    /// all**. A policy that is set later, or an overflow in the options of a subscription, counts
    /// instead.
    ///
    /// **A subscription ends with `None` after a complete answer and after one that was cut off.**
    /// `subscription.handle().closed().await.into_result()?` tells them apart, as in the example of
    /// [`end_mark`](Self::end_mark): a failure is the `Err`. Without an end mark, an answer that
    /// the server or a proxy ended in order, but too early, is an `Ok`.
    ///
    /// The response head may take as long as any stream's: up to 10 s for the connection, and 5
    /// minutes after that ([`response_timeout`](Self::response_timeout)). The first event has no
    /// limit of its own: put a timeout around [`recv`](Subscription::recv), or read the response
    /// with an [`EventStream`](crate::EventStream). The connection is closed at the
    /// [end mark](Self::end_mark), and not given back to a [transport](ClientBuilder::transport)'s
    /// pool.
    ///
    /// Independent of the policy, a redirect is followed, and a 401 is answered with fresh
    /// [`credentials`](Self::credentials).
    ///
    /// [`Overflow::Block`]: crate::Overflow::Block
    pub fn once(self) -> Self {
        self.reconnect_policy(ReconnectPolicy::never()).set(|config| config.overflow = Overflow::Block)
    }

    /// Closes the stream at the first event with this data, of any type
    /// ([`CloseReason::EndMark`](crate::CloseReason::EndMark)); by default it has no mark.
    ///
    /// A response that ends without the mark, in order or not, has failed:
    /// [`ErrorKind::Incomplete`] if it came to a regular end. The
    /// [`reconnect_policy`](Self::reconnect_policy) decides what follows, as after any failure. By
    /// default a `GET` is repeated with the last event ID, and a `POST` is not.
    ///
    /// The mark is not published, to no subscription and no transcript, though its ID counts. The
    /// data must be equal to the mark, byte by byte. A mark that is the last block of a response
    /// needs no blank line. An event over the [size limit](Self::max_event_size) is never the mark,
    /// and a mark that was delivered before is still one.
    ///
    /// What comes after the mark is not read, so that subscribers learn of the end at once: the
    /// response is dropped, and with HTTP/1.1 its connection is closed. A
    /// [transport](ClientBuilder::transport) with a pool loses that connection, unless the end of
    /// the response came together with the mark. If it is to be used again, read the response with
    /// an [`EventStream`](crate::EventStream), which reads on after its
    /// [mark](crate::EventStream::end_mark).
    ///
    /// With a mark, the task locks the queues twice for each frame, not once for each chunk.
    ///
    /// Of this and [`ends_when`](Self::ends_when), the last call counts.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn ask() -> Result<(), sseclient::Error> {
    /// use sseclient::{Client, Filter};
    ///
    /// let question = Client::new().stream("http://127.0.0.1/chat").body("why?").once();
    /// let mut answer = question.end_mark("[DONE]").open(Filter::all()).await?;
    /// while let Some(delivery) = answer.recv().await {
    ///     println!("{delivery:?}");
    /// }
    /// // `Incomplete`, if the answer was cut off.
    /// answer.handle().closed().await.into_result()
    /// # }
    /// ```
    pub fn end_mark(self, data: impl Into<String>) -> Self {
        self.set(|config| config.end_mark = Some(EndMark::data(data.into())))
    }

    /// Closes the stream at the first event for which `is_mark` returns true.
    ///
    /// The rest is as for [`end_mark`](Self::end_mark). For ends that are not one fixed text, such
    /// as `event: message_stop`. The connection task calls it once for each event, without holding
    /// any lock, so it must not block. It is also called for events that are dropped as repeats,
    /// and for an unfinished event at the end of a response. A panic in it ends the stream with
    /// [`ErrorKind::TaskFailed`]. For each call an [`Event`] is made, even if no subscription wants
    /// it.
    pub fn ends_when(self, is_mark: impl Fn(&Event) -> bool + Send + Sync + 'static) -> Self {
        self.set(|config| config.end_mark = Some(EndMark::event(is_mark)))
    }
}

/// # Timeouts
///
/// There is no limit on the whole response: a stream may last forever. A timeout may come some 40
/// ms late, because bytes that wait in the socket are read first.
impl StreamBuilder {
    /// Limits name resolution, TCP and TLS together; 10 s by default.
    ///
    /// That is enough for a lost packet or two.
    ///
    /// The addresses of one family, IPv4 or IPv6, have equal shares of this time, so that one
    /// address that never answers does not use it up. The families are tried
    /// [side by side](ClientBuilder::happy_eyeballs_timeout).
    ///
    /// A [`Transport`](crate::Transport) of your own has this time on top of the response timeout,
    /// if there is one.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set(|config| request(config).template.connect_timeout = timeout)
    }

    /// Limits the time from the request to the response head; 5 min by default, no limit with
    /// `None`.
    ///
    /// Browsers wait as long. Some servers and frameworks send the head of a quiet stream only
    /// together with its first event: for the client they look dead until then. A shorter limit
    /// finds a server that hangs earlier, but on such a stream **loses the events** that are sent
    /// while the stream is away.
    ///
    /// After this timeout ([`ErrorKind::ResponseTimeout`]) the wait is the reconnection time, and
    /// does not grow. The next response begins with a [`Gap::Reconnected`], also if it is the first
    /// one: the server may have sent events that did not arrive. The same holds if the attempt
    /// fails in another way after [`ReconnectPolicy::healthy_after`]: a proxy that has a shorter
    /// timeout cuts the connection, or answers 504.
    ///
    /// A [`Transport`](crate::Transport) of your own connects within this time and the connect
    /// timeout together. With `None` it has no limit at all, for the connection neither.
    pub fn response_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.set(|config| request(config).template.response_timeout = timeout.into())
    }

    /// Limits how long an open stream may be silent; no limit by default, or with `None`.
    ///
    /// Many streams are silent for hours, so there is no safe default. Any byte counts: if the
    /// server sends comments as heartbeats, set a little more than the time between two of them.
    /// After that much silence the stream drops the response and reconnects
    /// ([`ErrorKind::IdleTimeout`]). The clock starts anew after the connection task has waited for
    /// slow subscribers. Bytes that came while the program was stopped, or its runtime blocked, are
    /// read before the silence is judged. With a timeout of zero no response survives.
    #[doc(alias = "heartbeat")]
    pub fn idle_timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        self.set(|config| config.idle_timeout = timeout.into())
    }
}

/// # Limits
impl StreamBuilder {
    /// Sets how many events a subscription's queue holds; 256 by default, from 1 to 1,048,576.
    ///
    /// A subscription may hold up to 64 more that it has already taken out of the queue. An empty
    /// queue keeps room for at most 64. A full one needs some 24 bytes per event besides the event
    /// itself, and subscriptions with the same filter, limits and [`Overflow`] share it, unless the
    /// filter has a predicate or they conflate. [`Overflow`] decides what a
    /// full queue does; [`SubscribeOptions`] has the limit in bytes, and both for one subscription.
    ///
    /// [`Overflow`]: crate::Overflow
    /// [`SubscribeOptions`]: crate::SubscribeOptions
    #[doc(alias = "lag")]
    pub fn capacity(self, events: usize) -> Self {
        // Clamped, not refused: a capacity that is computed at run time must not fail a stream.
        self.set(|config| config.capacity = events.clamp(MIN_CAPACITY, MAX_CAPACITY))
    }

    /// Limits the bytes of one event; 16 MiB by default, from 1 byte to 1 GiB.
    ///
    /// A larger event is skipped and reported as a [`Gap::Oversized`]. Its ID still counts, so that
    /// the server does not send it again after each reconnection.
    pub fn max_event_size(self, bytes: usize) -> Self {
        // With 0 no event would fit, not even an empty one.
        self.set(|config| config.max_event_size = bytes.max(1))
    }
}

/// # Resumption
///
/// A stream remembers the last event ID that the server sent, and sends it as `Last-Event-ID` when
/// it reconnects. These settings carry it over a restart, and handle servers that repeat events.
impl StreamBuilder {
    /// Sets the ID to resume after, which the first request sends as `Last-Event-ID`.
    ///
    /// `None` by default: the server decides where to begin. The empty ID means the same. An ID
    /// that no header can carry is an [`ErrorKind::InvalidHeader`] when the stream is built.
    ///
    /// Takes a `&str`, a `String` (and other owned or borrowed strings), or an `Option` of one.
    #[doc(alias = "Last-Event-ID")]
    pub fn last_event_id(self, id: impl IntoLastEventId) -> Self {
        self.try_set(|config| set_last_event_id(config, id.into_last_event_id()))
    }

    /// Sets what happens if the server refuses the last event ID; by default the attempt
    /// [fails](RefusedId::Fail).
    ///
    /// Servers forget old events. Asked to go on after one that they no longer know, some answer
    /// with 400, 404, 409, 410, 412, 416 or 422, which is final by default. With a
    /// [`resume_store`](Self::resume_store) it is final again each time that the program starts,
    /// because the store keeps the ID. The error's message names the ID and this setting.
    ///
    /// **Loses events** with [`RefusedId::StartFresh`]: what the server sent since that ID, unless
    /// it sends everything to a client without one. The stream then makes one attempt without the
    /// ID, at once. If the server accepts it, the stream begins after no ID, each subscription gets
    /// a [`Gap::Reconnected`] whose `sent` is `None`, a warning `id_refused` is logged, and a
    /// resume store saves the empty ID in place of the old one. If the server refuses that, too,
    /// the ID was not to blame: it is kept, and the
    /// [`reconnect_policy`](Self::reconnect_policy) decides about this second refusal.
    ///
    /// If the attempt was to [replace](crate::Apply::MakeBeforeBreak) an open response, that one is
    /// read until the server has accepted the attempt without the ID, and stays if it does not.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use sseclient::{Client, Commit, FileStore, RefusedId};
    ///
    /// let store = FileStore::new("/var/lib/relay/last-event-id");
    /// let stream = Client::new().stream("http://127.0.0.1/").resume_store(store, Commit::Delivery);
    /// let handle = stream.if_id_is_refused(RefusedId::StartFresh).build()?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    #[doc(alias = "Last-Event-ID")]
    pub fn if_id_is_refused(self, choice: RefusedId) -> Self {
        self.set(|config| config.refused_id = choice)
    }

    /// Keeps the last event ID in `store` for the next run of the program; not kept by default.
    ///
    /// The stream loads it once, before the first attempt: up to three tries of 5 s each, 1 s
    /// apart. A stored ID overrides [`last_event_id`](Self::last_event_id). `commit` decides when
    /// an ID may be saved. The stream saves at most ten times a second, one save at a time, and
    /// once more when it ends.
    ///
    /// A store that cannot be used at all ([`ResumeStore::check`]) is an
    /// [`ErrorKind::InvalidConfig`] when the stream is built. One that fails or panics later never
    /// stops the stream. The failure is logged, counted as
    /// [`ErrorKind::Store`] in [`Stats::failures`](crate::Stats::failures), and retried after 1 s.
    /// If the store cannot tell where to begin, the stream begins after
    /// [`last_event_id`](Self::last_event_id), or without an ID if that is not set. Then, and if
    /// the store returns an ID that no header can carry, each subscription gets a
    /// [`Gap::Reconnected`] before its first event.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use sseclient::{Client, Commit, FileStore};
    ///
    /// let store = FileStore::new("/var/lib/relay/last-event-id");
    /// let stream = Client::new().stream("http://127.0.0.1/");
    /// let handle = stream.resume_store(store, Commit::Delivery).build()?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    #[doc(alias = "Last-Event-ID")]
    pub fn resume_store(self, store: impl ResumeStore, commit: Commit) -> Self {
        Self { store: Some(Store::new(store, commit)), ..self }
    }

    /// Drops events whose own ID is among the last `events` delivered ones; off (0) by default.
    ///
    /// For servers that repeat events after a reconnection. **Loses events** if the server gives
    /// two events one ID: the second is dropped as well. [`Stats::repeats`](crate::Stats::repeats)
    /// counts the dropped events. Each remembered ID costs some 40 bytes.
    ///
    /// Events that the program goes back for ([`Handle::reconnect_from`]) are delivered again, and
    /// so are those that another origin sends under the same IDs.
    #[doc(alias = "deduplicate")]
    pub fn drop_repeats(self, events: usize) -> Self {
        self.set(|config| config.drop_repeats = events)
    }
}

/// # Late subscribers
///
/// By default a subscription begins with the next event. A stream can also retain events for
/// subscribers that come late and ask for a [`replay`](crate::SubscribeOptions::replay). Several
/// rules add up. The memory belongs to the stream as long as it lives.
impl StreamBuilder {
    /// Retains the newest `events` that pass `filter`, from 1 to 1,048,576; none by default.
    ///
    /// A rule keeps at most 16 MiB of text, and then fewer events. A filter with a
    /// [predicate](Filter::and) is an [`ErrorKind::InvalidConfig`] when the stream is built.
    pub fn retain(self, filter: impl Into<Filter>, events: usize) -> Self {
        self.retain_by(filter.into(), Keep::Newest(events.clamp(1, MAX_CAPACITY)))
    }

    /// Retains the newest event that passes `filter`, and all events after it, of any type.
    ///
    /// For a snapshot and its changes: the next event that passes `filter` replaces them all.
    /// Nothing is retained by default. A rule keeps at most 65,536 events and 16 MiB of text. When
    /// more come, the oldest are dropped, the snapshot first, and a replay has a
    /// [`Gap::NotRetained`] in their place. A filter with a [predicate](Filter::and) is an
    /// [`ErrorKind::InvalidConfig`] when the stream is built.
    pub fn retain_since(self, filter: impl Into<Filter>) -> Self {
        self.retain_by(filter.into(), Keep::Since)
    }

    /// Retains the newest event of each key, of those that pass `filter`; none by default.
    ///
    /// For the current state of many things: flags, prices, devices. `key` says which thing an
    /// event is about. A replay has the newest event of each key, in the order in which they
    /// came. A rule keeps at most 65,536 keys and 16 MiB of text and keys. When more come, the
    /// keys that were updated longest ago are dropped, and a replay has a [`Gap::NotRetained`]
    /// in their place.
    ///
    /// The connection task calls `key` once for each event, without holding any lock. If it panics,
    /// the event's type is its key. A filter with a [predicate](Filter::and) is an
    /// [`ErrorKind::InvalidConfig`] when the stream is built.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::{Client, SubscribeOptions};
    ///
    /// // "EURUSD 1.0842": the newest price of each pair.
    /// let stream = Client::new().stream("http://127.0.0.1/");
    /// let pair = |event: &sseclient::Event| event.data().split(' ').next().unwrap_or_default().to_owned();
    /// let handle = stream.retain_latest("price", pair).build()?;
    /// // Begins with all prices.
    /// let prices = handle.subscribe_with("price", SubscribeOptions::default().replay());
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn retain_latest(
        self,
        filter: impl Into<Filter>,
        key: impl Fn(&Event) -> String + Send + Sync + 'static,
    ) -> Self {
        self.retain_by(filter.into(), Keep::Latest(ConflateKey::new(key)))
    }

    /// Retains these events before the first connection, as if the server had sent them.
    ///
    /// For a relay that resumes, and has kept what it had retained: without them it has nothing to
    /// replay until the server sends more. They pass the rules to retain events in this order,
    /// after those of earlier calls. Subscriptions get them by a
    /// [`replay`](crate::SubscribeOptions::replay) only. The last event ID stays as it is: see
    /// [`last_event_id`](Self::last_event_id).
    ///
    /// Without a rule to retain events, this is an [`ErrorKind::InvalidConfig`] when the stream is
    /// built.
    pub fn seed(self, events: impl IntoIterator<Item = Event>) -> Self {
        self.set(|config| config.seed.extend(events))
    }

    fn retain_by(self, filter: Filter, keep: Keep) -> Self {
        self.try_set(|config| {
            // Events are retained under the hub's lock, where no code of the caller's may run.
            if filter.predicate().is_some() {
                let message = "events are retained by type, so this filter must not have a predicate";
                return Err(Error::new(ErrorKind::InvalidConfig, message));
            }
            config.retain.push(Retain { filter, keep });
            Ok(())
        })
    }
}

/// # Life cycle
impl StreamBuilder {
    /// Names the stream in logs; empty by default.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set(|config| config.name = name.into())
    }

    /// Connects only while there are subscriptions; off by default.
    ///
    /// By default a stream stays open from [`connect`](Handle::connect) on. A lazy stream needs
    /// that call too, once. It then connects when there is a subscription, and disconnects `linger`
    /// after the last one is dropped ([`State::Idle`](crate::State::Idle)). The next subscription
    /// connects again, and the stream resumes after its last event ID. With a `linger` of zero,
    /// each subscription that is alone costs a connection.
    ///
    /// Handles, monitors and transcripts do not count as subscriptions, nor does a resume store,
    /// which goes on saving.
    ///
    /// # What a subscription can miss
    ///
    /// - The stream connects as soon as there is one subscription. If several begin together, the
    ///   later ones may miss the first events, unless these are [retained](Self::retain) or all
    ///   subscribe before [`connect`](Handle::connect).
    /// - Events that arrive during `linger` pass by and move the last event ID, as on any stream
    ///   without subscriptions.
    /// - Every response but the first begins with a [`Gap::Reconnected`], also for a new
    ///   subscription.
    ///
    /// # While the stream is idle or waits
    ///
    /// [`set_header`](Handle::set_header), [`update`](Handle::update) and
    /// [`reconnect_from`](Handle::reconnect_from) take effect with the next attempt. A wait after a
    /// failure goes on without subscriptions, and a new subscription does not shorten it;
    /// [`Handle::reconnect`] does. The count of attempts in a row goes on as well.
    pub fn lazy(self, linger: Duration) -> Self {
        self.set(|config| config.linger = Some(linger))
    }

    /// Shuts the stream down when `stop` completes; never by default.
    ///
    /// For `tokio::signal::ctrl_c`, a cancellation token, or the end of another task. The
    /// connection task polls `stop`, from [`connect`](Handle::connect) on.
    ///
    /// This does the same as [`Handle::shutdown`]: queued events can still be taken, but no task
    /// waits for that, and acknowledgements that come later are not saved. To give subscribers
    /// time, await `stop` yourself and then call [`Handle::shutdown_with`].
    pub fn stop_when<F>(self, stop: F) -> Self
    where
        F: Future<Output: Send> + Send + 'static,
    {
        // The output is dropped in the task: its drop is the caller's code.
        Self { stop: Mutex::new(Some(Box::pin(async { drop(stop.await) }))), ..self }
    }
}

/// # Build
impl StreamBuilder {
    /// Builds the stream, idle: subscribe, then [`connect`](Handle::connect).
    ///
    /// With a [`resume_store`](Self::resume_store) the call waits for [`ResumeStore::check`]. For a
    /// [`FileStore`](crate::FileStore) that is a small file, written and removed: blocking, and
    /// without a time limit.
    ///
    /// # Errors
    ///
    /// The first mistake in the settings:
    ///
    /// - [`ErrorKind::InvalidUrl`].
    /// - [`ErrorKind::Unsupported`] for a scheme or a method that cannot be used.
    /// - [`ErrorKind::InvalidHeader`] for a header that HTTP cannot carry, or more than 1,024.
    /// - [`ErrorKind::InvalidConfig`] for a rule to retain events that has a predicate, events to
    ///   retain without a rule, a body that cannot be written as JSON, a method that HTTP cannot
    ///   carry, a client that has both a transport of its own and settings for the built-in one, or
    ///   a resume store that cannot be used, such as a [`FileStore`](crate::FileStore) whose
    ///   directory is missing.
    pub fn build(self) -> Result<Handle, Error> {
        let config = self.config?;
        if config.retain.is_empty() && !config.seed.is_empty() {
            let message = "nothing retains the events of `seed`: set a rule to retain events as well";
            return Err(Error::new(ErrorKind::InvalidConfig, message));
        }
        if let Some(store) = &self.store {
            store.check()?;
        }
        // Only now: the two setters may be called in either order.
        let policy = self.policy.unwrap_or_else(|| {
            // Each attempt may cost money or act twice (RFC 9110, section 9.2.2).
            let may_repeat = config.request.template.request.method.is_idempotent();
            if may_repeat { ReconnectPolicy::daemon() } else { ReconnectPolicy::never() }
        });
        let policy = match self.reconnection_time {
            Some(time) => policy.reconnection_time(time),
            None => policy,
        };
        let stop = self.stop.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Self { connector, before_attempt, credentials, store, .. } = self;
        // Credentials last: the hook does not see them.
        let hooks = before_attempt.into_iter().chain(credentials).collect();
        let launch = Launch { config, policy, hooks, connector, stop, store };
        let connection = Connection::new(launch);
        #[cfg(feature = "testing")]
        if let Some(observer) = &self.observer {
            observer(&connection);
        }
        Ok(Handle::new(Arc::new(ConnectionGuard { connection })))
    }

    /// Builds the stream, subscribes, connects, and waits until it is open.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build), and the failure of the first attempt, which is not retried.
    /// A 204 is an [`ErrorKind::Closed`]. Once the stream is open, failures are retried.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the stream.
    pub async fn open(self, filter: impl Into<Filter>) -> Result<Subscription, Error> {
        self.open_with(filter, SubscribeOptions::default()).await
    }

    /// Like [`open`](Self::open), with options for the subscription: its name, its queue, what it
    /// does when that is full, acknowledgement.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the stream.
    pub async fn open_with(self, filter: impl Into<Filter>, options: SubscribeOptions) -> Result<Subscription, Error> {
        let (handle, subscription) = self.build_and_subscribe(filter.into(), options)?;
        handle.connect();
        handle.first_attempt().await?;
        Ok(subscription)
    }

    /// Does the part of [`open_with`](Self::open_with) that needs no runtime: all but to connect
    /// and to wait.
    pub(crate) fn build_and_subscribe(
        self,
        filter: Filter,
        options: SubscribeOptions,
    ) -> Result<(Handle, Subscription), Error> {
        let handle = self.set(|config| config.first_attempt_counts = true).build()?;
        // Before `connect`, so that it cannot miss the first event.
        let subscription = handle.subscribe_with(filter, options);
        Ok((handle, subscription))
    }
}

impl StreamBuilder {
    fn set(self, change: impl FnOnce(&mut Config)) -> Self {
        self.try_set(|config| {
            change(config);
            Ok(())
        })
    }

    /// Changes the configuration, unless an earlier call was a mistake: the first one is reported.
    fn try_set(mut self, change: impl FnOnce(&mut Config) -> Result<(), Error>) -> Self {
        // The first mistake stays, and `build` returns it: a later setter must not hide it.
        if let Ok(config) = &mut self.config {
            if let Err(error) = change(config) {
                self.config = Err(error);
            }
        }
        self
    }
}

fn request(config: &mut Config) -> &mut Request {
    // Copies nothing: the request is shared only from `build` on.
    Arc::make_mut(&mut config.request)
}

fn set_last_event_id(config: &mut Config, id: String) -> Result<(), Error> {
    // Checked now: an attempt would only leave such an ID out.
    transport::last_event_id_value(&id)?;
    config.last_event_id = id;
    Ok(())
}

impl fmt::Debug for StreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
