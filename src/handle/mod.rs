//! [`Handle`]: steers one stream. Subscribe, connect, change the request, observe, shut down.
//!
//! A handle is thin. It signals the connection task through the mailbox and the hub, and never
//! waits for it; only the futures that it returns do. Decisions belong to the session, not here.
//!
//! - [`monitor`] is the read-only half. A new getter goes there; [`Handle`] delegates to it.
//! - [`update`] and [`shutdown`] are the futures that tell the outcome of a call.
//! - [`transcript`] is the ordered view for recorders.

mod monitor;
mod shutdown;
mod transcript;
mod update;

use std::fmt;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};

use crate::connection::config::QUEUE_BYTES;
use crate::connection::stats::Stats;
use crate::connection::{self, Apply, Change, ConnectionGuard, Resume};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
#[cfg(feature = "json")]
use crate::event::Decoded;
use crate::hub::{Filter, Joining, QueueLimits, SubscriptionStats};
use crate::state::{CloseReason, State};
use crate::subscription::{SubscribeOptions, Subscription};
use crate::transport;

pub(crate) use self::monitor::closed_error;
pub use self::monitor::{Monitor, StateChanges};
pub use self::shutdown::{Drain, Drained, Draining, Shutdown};
pub use self::transcript::Transcript;
pub use self::update::Update;

/// The control of one stream, which any number of callers can hold and clone.
///
/// ```no_run
/// # async fn run() -> Result<(), sseclient::Error> {
/// let handle = sseclient::Client::new().stream("https://example.com/stream").build()?;
/// let mut orders = handle.subscribe("order");
/// handle.connect();
/// while let Some(delivery) = orders.recv().await {
///     println!("{delivery:?}");
/// }
/// println!("{:?}", handle.close_reason());
/// # Ok(())
/// # }
/// ```
///
/// A handle is made by [`StreamBuilder::build`](crate::StreamBuilder::build). Its methods that are
/// not `async` never block. They signal the connection task at the call, and the task reacts in any
/// phase: while it connects, reads or waits.
///
/// # Drop behavior
///
/// Handles, subscriptions and transcripts keep the connection alive. When the last of them is
/// dropped, the connection task closes the connection and ends, in any phase. If the last handle is
/// dropped before [`connect`](Self::connect), its subscriptions end with
/// [`CloseReason::NeverConnected`].
pub struct Handle {
    guard: Arc<ConnectionGuard>,
    monitor: Monitor,
}

/// # Connect and subscribe
impl Handle {
    pub(crate) fn new(guard: Arc<ConnectionGuard>) -> Self {
        guard.connection.add_handle();
        let monitor = Monitor::new(Arc::clone(&guard.connection));
        Self { guard, monitor }
    }

    /// Spawns the connection task on the current runtime, which connects at once.
    ///
    /// Later calls do nothing, also after the stream was closed. A
    /// [lazy](crate::StreamBuilder::lazy) stream connects when there is a subscription. Without
    /// this call nothing ever comes: a subscription that has waited for 5 s logs a warning, if its
    /// [runtime](crate::guide::shutdown#runtimes) has timers.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, like `tokio::spawn`. The handle stays usable. The runtime needs IO
    /// and time (`enable_all`). Without one of them the task panics, which ends the stream with
    /// [`ErrorKind::TaskFailed`].
    #[track_caller]
    pub fn connect(&self) {
        self.spawn_task();
    }

    /// Spawns the connection task; returns false if an earlier call did, or the stream is closed.
    #[track_caller]
    pub(crate) fn spawn_task(&self) -> bool {
        connection::connect(&self.guard.connection)
    }

    /// Closes the stream if its task was never spawned, because it cannot be.
    #[cfg(feature = "blocking")]
    pub(crate) fn fail_unless_spawned(&self, error: Error) {
        self.guard.connection.close_unless_spawned(CloseReason::Failed(error));
    }

    /// Returns a queue of the events that pass `filter`, from now on.
    ///
    /// A subscription made before [`connect`](Self::connect) misses no event. On a closed stream it
    /// ends at once.
    pub fn subscribe(&self, filter: impl Into<Filter>) -> Subscription {
        self.subscribe_with(filter, SubscribeOptions::default())
    }

    /// Returns a queue of the events that pass `filter`, with options of its own.
    ///
    /// Options are a name, the queue's size, the overflow policy, acknowledgement and replay.
    /// Subscriptions with different options do not disturb each other, also on the same filter.
    pub fn subscribe_with(&self, filter: impl Into<Filter>, options: SubscribeOptions) -> Subscription {
        let limits = self.queue_limits(&options);
        let SubscribeOptions { name, acknowledging, replay, .. } = options;
        let connection = &self.guard.connection;
        let joining = Joining { name: name.into(), acknowledging, replay };
        let subscribed = connection.hub.subscribe_with(filter.into(), &limits, joining);
        // A lazy stream connects for its first subscription.
        connection.demand_changed();
        Subscription::new(subscribed, Arc::clone(&self.guard))
    }

    /// Returns a queue of the events that pass `filter`, with their data decoded as JSON.
    ///
    /// An event that cannot be decoded is an item that holds the error; it never ends the stream.
    /// An **enum** takes several types of events in wire order: the event type is the variant
    /// ([`Event::json`](crate::Event::json) has the rules). For other options use
    /// [`subscribe_with`](Self::subscribe_with) and [`decode_as`](Subscription::decode_as).
    ///
    /// An event is decoded once for each type `T`, in the task that takes it first. Other
    /// subscriptions get the same value, and wait while that task decodes.
    ///
    /// # Panics
    ///
    /// Taking an event panics if its decoding does. The subscription does not see that event again.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn follow(handle: sseclient::Handle) {
    /// use sseclient::Delivery;
    ///
    /// #[derive(serde::Deserialize)]
    /// #[serde(rename_all = "lowercase")]
    /// enum Change {
    ///     Put { key: String, value: f64 },
    ///     Delete(String),
    /// }
    ///
    /// let mut changes = handle.subscribe_as::<Change>(["put", "delete"]);
    /// while let Some(delivery) = changes.recv().await {
    ///     match delivery {
    ///         Delivery::Event(change) => match change.value() {
    ///             Ok(Change::Put { key, value }) => println!("{key} is {value}"),
    ///             Ok(Change::Delete(key)) => println!("{key} is gone"),
    ///             Err(error) => eprintln!("{error}: {}", change.event().data()),
    ///         },
    ///         Delivery::Gap(gap) => eprintln!("{gap}"),
    ///     }
    /// }
    /// # }
    /// ```
    #[cfg(feature = "json")]
    pub fn subscribe_as<T>(&self, filter: impl Into<Filter>) -> Subscription<Decoded<T>>
    where
        T: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        self.subscribe(filter).decode_as()
    }

    /// Returns everything that happens from now on, in order; for recorders, and for programs that
    /// need comments or states in their place between the events.
    pub fn transcript(&self) -> Transcript {
        self.transcript_with(Filter::all(), SubscribeOptions::default())
    }

    /// Returns a [`transcript`](Self::transcript) of the events that pass `filter` and of all
    /// comments, gaps and states, with options of its own.
    ///
    /// The filter's types keep events out of the queue. Its [predicate](Filter::and) runs when an
    /// item is taken, in the task that takes it, and a panic in it is a panic there.
    ///
    /// Of the options, the name, the size of the queue and the overflow policy apply. A transcript
    /// acknowledges nothing, replays nothing, and, since only events have keys, drops its oldest
    /// items where a subscription would conflate.
    ///
    /// # Examples
    ///
    /// ```
    /// use sseclient::{Client, Overflow, SubscribeOptions};
    ///
    /// let handle = Client::new().stream("http://127.0.0.1/").build()?;
    /// let options = SubscribeOptions::default().capacity(10_000).overflow(Overflow::DropOldest);
    /// let transcript = handle.transcript_with(["price", "trade"], options);
    /// # Ok::<(), sseclient::Error>(())
    /// ```
    #[doc(alias = "comment")]
    pub fn transcript_with(&self, filter: impl Into<Filter>, options: SubscribeOptions) -> Transcript {
        let (filter, guard) = (filter.into(), Arc::clone(&self.guard));
        let options = SubscribeOptions { acknowledging: false, ..options };
        let limits = self.queue_limits(&options);
        let reader = guard.connection.hub.transcript(&filter, options.name.into(), limits);
        Transcript::new(reader, filter, guard)
    }

    /// Returns the limits of a queue with these options.
    fn queue_limits(&self, options: &SubscribeOptions) -> QueueLimits {
        QueueLimits {
            capacity: options.capacity.unwrap_or(self.guard.connection.capacity),
            bytes: options.queue_bytes.unwrap_or(QUEUE_BYTES),
            overflow: options.overflow_or(&self.guard.connection.overflow),
        }
    }
}

/// # Change the request
impl Handle {
    /// Sets a header, from the next attempt on, and replaces all values of the same name.
    ///
    /// The open response stays: to replace it, call [`reconnect`](Self::reconnect) as well, or use
    /// [`update`](Self::update). The value is treated as a secret.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidHeader`] for a header that HTTP cannot carry, for `Last-Event-ID`,
    ///   which the stream owns, and for more than 1,024 headers in all.
    /// - [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    pub fn set_header<N, V>(&self, name: N, value: V) -> Result<(), Error>
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
        V: TryInto<HeaderValue, Error: Into<http::Error>>,
    {
        self.change(Change::default().header(name, value), Apply::NextAttempt).map(drop)
    }

    /// Removes a header that was set, from the next attempt on.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidHeader`] for a name that HTTP cannot carry, and for `Last-Event-ID`.
    /// - [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    pub fn remove_header<N>(&self, name: N) -> Result<(), Error>
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
    {
        self.change(Change::default().remove_header(name), Apply::NextAttempt).map(drop)
    }

    /// Changes headers, URL and query together.
    ///
    /// The change is requested at the call. Several changes add up in the order of the calls. The
    /// returned future completes when the server has accepted a request with the change. With
    /// [`Apply::NextAttempt`] that can take months. The other ways to [apply](Apply) a change send
    /// the request again, even a `POST`.
    ///
    /// # Errors
    ///
    /// The future returns:
    ///
    /// - [`ErrorKind::InvalidHeader`], [`ErrorKind::InvalidUrl`] or [`ErrorKind::Unsupported`] for
    ///   a change that HTTP cannot carry, more than 1,024 headers, or a URL over 64 KiB. Then
    ///   nothing is changed.
    /// - The failure of the attempt, with [`Apply::MakeBeforeBreak`]. Then the open response stays.
    /// - [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the change goes on.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn rotate(handle: sseclient::Handle) -> Result<(), sseclient::Error> {
    /// use sseclient::Apply;
    ///
    /// handle.update(|request| request.bearer_auth("fresh"), Apply::MakeBeforeBreak).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn update(&self, change: impl FnOnce(Change) -> Change, apply: Apply) -> Update {
        Update::new(self.monitor(), self.change(change(Change::default()), apply), apply)
    }

    /// Requests a new response: drops the open one, or ends a wait, and connects at once.
    ///
    /// Sends the request again, even a `POST`, under any
    /// [policy](crate::StreamBuilder::reconnect_policy).
    ///
    /// Events on their way in the open response come again if the server resumes. An attempt that
    /// is under way counts as the new response, unless a header was changed after it began. Several
    /// calls in quick succession cause one reconnection. Does nothing before
    /// [`connect`](Self::connect), on a closed stream, and on an idle
    /// [lazy](crate::StreamBuilder::lazy) one.
    pub fn reconnect(&self) {
        self.guard.connection.mailbox.reconnect();
    }

    /// Requests a new response that begins elsewhere: after the last event that a program has
    /// committed, for example.
    ///
    /// Each call connects at once, with the same request, even a `POST`, and replaces an attempt
    /// that is under way: a program that calls this in a loop must pace itself. Each queue has a
    /// [`Gap::Reconnected`](crate::Gap::Reconnected) where the new response begins. Events queued
    /// before that gap stay, and come again after it. After this call,
    /// [`acknowledge`](Subscription::acknowledge) returns false for events that were already
    /// queued. To go back again, use only the ID of an event for which it returned true.
    ///
    /// # Errors
    ///
    /// - [`ErrorKind::InvalidHeader`] for an ID that no header can carry, or over 8,000 bytes.
    /// - [`ErrorKind::Closed`], or the stream's failure, if the stream is closed.
    #[doc(alias = "Last-Event-ID")]
    pub fn reconnect_from(&self, resume: Resume) -> Result<(), Error> {
        self.check_not_closed()?;
        if let Resume::Id(id) = &resume {
            // Refused here, where the caller can act: later it would only be left out of the
            // request.
            transport::last_event_id_value(id)?;
        }
        let connection = &self.guard.connection;
        // The hub first: acknowledgements stop counting before the task can publish the new
        // response.
        connection.hub.prepare_restart();
        connection.mailbox.resume(resume);
        Ok(())
    }

    fn change(&self, change: Change, apply: Apply) -> Result<u64, Error> {
        self.check_not_closed()?;
        self.guard.connection.mailbox.change(change, apply)
    }

    fn check_not_closed(&self) -> Result<(), Error> {
        self.close_reason().map_or(Ok(()), |reason| Err(closed_error(reason)))
    }
}

/// # Observe
impl Handle {
    /// Returns the read-only half, which keeps nothing alive.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Returns the stream's name: see [`StreamBuilder::name`](crate::StreamBuilder::name).
    pub fn name(&self) -> &str {
        self.monitor.name()
    }

    /// Returns the present state of the connection.
    pub fn state(&self) -> State {
        self.monitor.state()
    }

    /// Returns the states from now on: see [`Monitor::state_changes`].
    pub fn state_changes(&self) -> StateChanges {
        self.monitor.state_changes()
    }

    /// Waits until the connection is open: see [`Monitor::opened`].
    ///
    /// # Errors
    ///
    /// If the stream closes for good instead: its failure, or [`ErrorKind::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn opened(&self) -> impl Future<Output = Result<(), Error>> + Send + Sync + use<> {
        self.monitor.opened()
    }

    /// Waits until the first attempt has ended, and returns how: see [`Monitor::first_attempt`].
    ///
    /// # Errors
    ///
    /// The failure of the attempt; or that of the stream, or [`ErrorKind::Closed`], if the stream
    /// closes for good before an attempt has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn first_attempt(&self) -> impl Future<Output = Result<(), Error>> + Send + Sync + use<> {
        self.monitor.first_attempt()
    }

    /// Waits until the connection is closed for good, and returns the reason.
    ///
    /// The future keeps nothing alive.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub fn closed(&self) -> impl Future<Output = CloseReason> + Send + Sync + use<> {
        self.monitor.closed()
    }

    /// Returns why the connection closed, or `None` while it has not closed for good.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.monitor.close_reason()
    }

    /// Returns counters of the stream: events, bytes, attempts, failures, lag.
    #[doc(alias("lag", "metrics"))]
    pub fn stats(&self) -> Stats {
        self.monitor.stats()
    }

    /// Returns each subscription in numbers: see [`Monitor::subscriptions`].
    #[doc(alias("lag", "metrics"))]
    pub fn subscriptions(&self) -> Vec<SubscriptionStats> {
        self.monitor.subscriptions()
    }

    /// Returns the last event ID of the events that were published; empty if there is none.
    ///
    /// Subscribers may be behind it. To resume after the last event that you have processed, keep
    /// that event's [`Event::last_event_id`](crate::Event::last_event_id) instead.
    #[doc(alias = "Last-Event-ID")]
    pub fn last_event_id(&self) -> String {
        self.guard.connection.last_event_id()
    }
}

/// # Shut down
impl Handle {
    /// Closes the connection for good, at once.
    ///
    /// The shutdown is signalled at the call. Await the result to know that the socket is closed
    /// and the task has ended. No more events are published. Queued events can still be taken,
    /// unless a [drain](Self::shutdown_with) is awaited, whose deadline ends now. A resume store
    /// saves the acknowledgements made so far, and no later ones:
    /// [`shutdown_with`](Self::shutdown_with) waits for those.
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(&self.guard.connection, self.monitor())
    }

    /// Closes the connection for good, and gives subscribers time to finish.
    ///
    /// The stream reads nothing more from the server. Until the deadline subscribers can take the
    /// events that are queued or [replayed](SubscribeOptions::replay), and acknowledge them.
    ///
    /// **Loses events** that are left at the deadline: they are dropped and counted, and the
    /// subscriptions end. Of several shutdowns the earliest deadline wins, and
    /// [`shutdown`](Self::shutdown) is one without any time. When the future completes, the resume
    /// store has saved the last event ID; that can take 10 s after the deadline.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: the shutdown goes on without its deadline (see [`Draining`]).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn stop(handle: sseclient::Handle) {
    /// let drain = sseclient::Drain::new(std::time::Duration::from_secs(5));
    /// let drained = handle.shutdown_with(drain).await;
    /// println!("{} events taken, {} lost", drained.delivered, drained.dropped);
    /// # }
    /// ```
    pub fn shutdown_with(&self, drain: Drain) -> Draining {
        Draining::new(Arc::clone(&self.guard.connection), self.monitor(), drain)
    }
}

/// # The stream
// This block is here because a handle is above a subscription.
impl<T> Subscription<T> {
    /// Returns a handle of the stream.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.guard().guard))
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.guard))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // Handles are counted apart from the guard, which subscriptions hold as well: only a handle
        // can connect.
        self.guard.connection.remove_handle();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.guard.connection).finish()
    }
}
