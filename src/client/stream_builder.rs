//! [`StreamBuilder`]: what one stream is told. Of its settings, here are those of the connection's life.

mod queues;
mod request_options;

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{HeaderMap, Uri};

use crate::connection::config::Config;
use crate::connection::credentials::{Credentials, CredentialsReason};
use crate::connection::{ConnectionGuard, Launch, Shared};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::handle::Handle;
use crate::hub::Filter;
use crate::reconnect::ReconnectPolicy;
use crate::resume::{Commit, ResumeStore, Store};
use crate::subscription::Subscription;
use crate::transport::target::{self, Target};
use crate::transport::{self, BoxFuture, Connect};

/// One stream, before it is built.
///
/// Setters never fail; what is wrong is reported by [`build`](Self::build), the first mistake first.
#[must_use = "a builder does nothing until `build` or `open` is called"]
pub struct StreamBuilder {
    connector: Arc<dyn Connect>,
    config: Result<Config, Error>,
    query: Vec<(String, String)>,
    policy: ReconnectPolicy,
    /// Set by itself: it holds whatever the policy, and whichever comes first.
    reconnection_time: Option<Duration>,
    credentials: Option<Credentials>,
    /// Never locked: a builder is `Sync`, and the caller's future need not be.
    stop: Mutex<Option<BoxFuture<()>>>,
    store: Option<Store>,
}

impl StreamBuilder {
    pub(crate) fn new(connector: Arc<dyn Connect>, url: Result<Uri, http::Error>) -> Self {
        let config = url.map_err(target::invalid).and_then(Target::parse).map(Config::new);
        let policy = ReconnectPolicy::daemon();
        let stop = Mutex::new(None);
        let (query, reconnection_time, credentials, store) = (Vec::new(), None, None, None);
        Self { connector, config, query, policy, reconnection_time, credentials, stop, store }
    }

    /// Where to resume: sent as `Last-Event-ID` with the first request, until the server sets another.
    /// None by default; the empty ID is none.
    pub fn last_event_id<'a>(self, id: impl Into<Option<&'a str>>) -> Self {
        let id = id.into().unwrap_or_default();
        self.try_set(|config| {
            transport::last_event_id_value(id)?;
            id.clone_into(&mut config.last_event_id);
            Ok(())
        })
    }

    /// How long to wait before a lost connection is tried again; 3 s by default, as in browsers. Goes before the time
    /// of the [`reconnect_policy`](Self::reconnect_policy), whichever is set first, and the server's `retry` replaces
    /// it. How further waits in a row grow is the policy's: by default they double, up to 60 s, with up to 50 % more by
    /// chance.
    pub fn reconnection_time(self, time: Duration) -> Self {
        Self { reconnection_time: Some(time), ..self }
    }

    /// When a stream that failed or ended is tried again, and when it is given up;
    /// [`ReconnectPolicy::daemon`] by default.
    pub fn reconnect_policy(self, policy: ReconnectPolicy) -> Self {
        Self { policy, ..self }
    }

    /// How long name resolution, TCP and TLS may take together; 10 s by default.
    ///
    /// A name's addresses of one family, IPv4 or IPv6, have equal shares of it, so that one of three that never answers
    /// keeps the next waiting for a third of it. The families are tried
    /// [side by side](crate::ClientBuilder::happy_eyeballs_timeout).
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.connect_timeout = timeout)
    }

    /// How long the server may take from the request to the response head; 30 s by default. There is
    /// no limit on the response itself.
    pub fn response_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.response_timeout = timeout)
    }

    /// How long an open stream may be silent; no limit by default. Any byte counts, so a server that sends comments as
    /// heartbeats can be given little more than the time between two of them. When it has passed, the response is
    /// dropped with [`ErrorKind::IdleTimeout`] and the stream reconnects. Time in which the task waits for slow
    /// subscribers does not count. With a time of zero no response lives: leave it unset for none.
    pub fn idle_timeout(self, timeout: Duration) -> Self {
        self.set(|config| config.idle_timeout = Some(timeout))
    }

    /// The most bytes that one event may have; 16 MiB by default, from 1 byte to 1 GiB. A larger one is
    /// skipped and reported as [`Gap::Oversized`](crate::Gap::Oversized).
    pub fn max_event_size(self, bytes: usize) -> Self {
        self.set(|config| config.max_event_size = bytes.max(1))
    }

    /// Connects only while somebody listens: dials when there is a subscription, and `linger` after the last one is
    /// gone closes the connection ([`State::Idle`](crate::State::Idle)). The next subscription dials again, and the
    /// stream resumes after its last event ID. Off by default: a stream is open from [`connect`](Handle::connect) on,
    /// which a lazy one needs as well, once.
    ///
    /// Subscriptions count, whatever their options, until they are dropped. Handles, monitors and transcripts do not
    /// (a transcript shows what happens, and causes nothing), and neither does a resume store, which goes on saving.
    ///
    /// It dials as soon as there is one: of several that begin together the later ones may miss the first events, unless
    /// these are [retained](Self::retain) for them, or they begin before [`connect`](Handle::connect).
    ///
    /// What comes while the connection lingers goes by, as on any stream without subscriptions, and moves the last
    /// event ID. Every response but the first begins with a [`Gap::Reconnected`](crate::Gap::Reconnected), for a new
    /// subscription, too. With no `linger` at all each subscription by itself costs a connection.
    ///
    /// A wait after a failure goes on without subscriptions, and whoever subscribes meanwhile does not cut it short;
    /// [`Handle::reconnect`] does. Attempts in a row are counted on. What is asked of an idle stream
    /// ([`set_header`](Handle::set_header), [`update`](Handle::update), [`reconnect_from`](Handle::reconnect_from))
    /// goes with the next attempt.
    pub fn lazy(self, linger: Duration) -> Self {
        self.set(|config| config.linger = Some(linger))
    }

    /// Asks `source` for headers before each attempt: credentials that expire. They replace headers of the
    /// same name and are treated as secrets. `source` is told why it is asked: after a 401 or 403 it is
    /// asked once more and the attempt is repeated at once; a second refusal in a row is for the
    /// [`reconnect_policy`](Self::reconnect_policy) to judge, which by default ends the stream.
    ///
    /// One call at a time, however many subscribers there are; dropped when the stream is shut down.
    /// A failure ([`ErrorKind::Credentials`]), and no answer within 30 s
    /// ([`ErrorKind::CredentialsTimeout`]), are tried again like faults of transport. Called in the
    /// connection task: a panic in it, or in its future, ends the stream ([`ErrorKind::TaskFailed`]).
    pub fn credentials<F, Fut, E>(self, source: F) -> Self
    where
        F: Fn(CredentialsReason) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<HeaderMap, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Self { credentials: Some(Credentials::new(source)), ..self }
    }

    /// Shuts the stream down when `stop` is done: `tokio::signal::ctrl_c`, a cancellation token, another
    /// task's end. Polled by the connection task, from [`connect`](Handle::connect) on.
    ///
    /// As with [`shutdown`](Handle::shutdown), what is queued can still be taken, nobody waits for that, and what is
    /// acknowledged later is not saved. To give subscribers time, await `stop` yourself, and call
    /// [`shutdown_with`](Handle::shutdown_with) then.
    pub fn stop_when<F>(self, stop: F) -> Self
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Self { stop: Mutex::new(Some(Box::pin(async { drop(stop.await) }))), ..self }
    }

    /// Where the last event ID is kept for the next run of the program, and when. Asked before the first attempt only,
    /// up to three times (5 s each, a second apart); what it has goes before [`last_event_id`](Self::last_event_id).
    /// Saved at most ten times a second, one save at a time, and once more when the stream ends.
    ///
    /// A store that fails, or panics, never stops the stream: it is logged, counted ([`ErrorKind::Store`] in
    /// [`Stats::failures`](crate::Stats::failures)), and tried again a second later. A stream whose store
    /// did not say where to begin, or named an ID that no header can carry, tells subscribers so, with a
    /// [`Gap::Reconnected`](crate::Gap::Reconnected) before the first event.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::{Client, Commit, FileStore};
    ///
    /// let store = FileStore::new("/var/lib/relay/last-event-id");
    /// let handle = Client::new().stream("http://127.0.0.1/").resume_store(store, Commit::Delivery).build()?;
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    pub fn resume_store(self, store: impl ResumeStore, commit: Commit) -> Self {
        Self { store: Some(Store::new(store, commit)), ..self }
    }

    /// A name for logs; empty by default.
    pub fn name(self, name: impl Into<String>) -> Self {
        self.set(|config| config.name = name.into())
    }

    /// Builds the stream, idle: subscribe, then [`connect`](Handle::connect).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidUrl`], [`ErrorKind::Unsupported`] (a scheme, or a method), [`ErrorKind::InvalidHeader`]
    /// (what HTTP cannot carry, and more than 1,024 headers) or [`ErrorKind::InvalidConfig`] (a rule of what to retain
    /// that has a predicate, or a body that cannot be written as JSON).
    pub fn build(self) -> Result<Handle, Error> {
        let mut config = self.config?;
        let target = config.request.target().clone().with_query(&self.query)?;
        Arc::make_mut(&mut config.request).go_to(target);
        let policy = match self.reconnection_time {
            Some(time) => self.policy.reconnection_time(time),
            None => self.policy,
        };
        let stop = self.stop.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Self { connector, credentials, store, .. } = self;
        let launch = Launch { config, policy, credentials, connector, stop, store };
        Ok(Handle::new(ConnectionGuard::new(Shared::new(launch))))
    }

    /// Builds the stream, subscribes, connects, and waits until it is open.
    ///
    /// # Errors
    ///
    /// Those of [`build`](Self::build), and whatever ended the first attempt, be it a 204 ([`ErrorKind::Closed`]).
    /// Later ones are retried.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the stream.
    pub async fn open(self, filter: impl Into<Filter>) -> Result<Subscription, Error> {
        let (handle, subscription) = self.begin(filter.into())?;
        handle.connect();
        handle.monitor().opened_since(0).await?;
        Ok(subscription)
    }

    /// What is left of [`open`](Self::open) is to connect, and to wait.
    pub(crate) fn begin(self, filter: Filter) -> Result<(Handle, Subscription), Error> {
        let handle = self.set(|config| config.first_attempt_counts = true).build()?;
        let subscription = handle.subscribe(filter);
        Ok((handle, subscription))
    }

    fn set(self, change: impl FnOnce(&mut Config)) -> Self {
        self.try_set(|config| {
            change(config);
            Ok(())
        })
    }

    fn try_set(mut self, change: impl FnOnce(&mut Config) -> Result<(), Error>) -> Self {
        let changed = self.config.as_mut().map_or(Ok(()), change);
        if let Err(error) = changed {
            self.config = Err(error);
        }
        self
    }
}

impl fmt::Debug for StreamBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamBuilder").field("config", &self.config).finish_non_exhaustive()
    }
}
