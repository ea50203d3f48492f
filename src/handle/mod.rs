//! [`Handle`]: subscribe, connect, change, watch, shut down.

mod monitor;
mod shutdown;
mod transcript;
mod update;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::connection::config::QUEUE_BYTES;
use crate::connection::stats::Stats;
use crate::connection::{self, Apply, Change, ConnectionGuard, Resume};
use crate::error::Error;
#[cfg(doc)]
use crate::error::ErrorKind;
use crate::hub::{Filter, Hub, Overflow, QueueLimits};
use crate::state::{CloseReason, State};
#[cfg(feature = "json")]
use crate::subscription::Decoded;
use crate::subscription::{SubscribeOptions, Subscription};
use crate::transport;

use self::monitor::closed;
pub use self::monitor::{Monitor, StateChanges};
pub use self::shutdown::{Drain, Drained, Draining};
pub use self::transcript::Transcript;
pub use self::update::Update;

/// One stream, to be held by any number of callers. Cheap to clone.
///
/// All that it asks of the connection task is signalled at the call, never blocks, and is answered
/// in any phase: dialling, reading, waiting.
///
/// # Drop behavior
///
/// Handles and subscriptions keep the connection alive; when the last of them is dropped the
/// connection is closed, in whatever phase it is. The last handle dropped before any
/// [`connect`](Self::connect) closes its subscriptions with [`CloseReason::NeverConnected`].
pub struct Handle {
    link: Arc<ConnectionGuard>,
    monitor: Monitor,
}

impl Handle {
    pub(crate) fn new(link: Arc<ConnectionGuard>) -> Self {
        link.connection().add_handle();
        let monitor = Monitor::new(Arc::clone(link.connection()));
        Self { link, monitor }
    }

    /// Spawns the connection task on the current runtime. Later calls do nothing, also once the
    /// stream is closed. A [lazy](crate::StreamBuilder::lazy) stream dials when there is a subscription.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime, like `tokio::spawn`. The handle stays usable. The runtime needs its drivers for IO and
    /// time (`enable_all`): without one the task panics, which ends the stream
    /// ([`ErrorKind::TaskFailed`](crate::ErrorKind)).
    #[track_caller]
    pub fn connect(&self) {
        self.launch();
    }

    /// The same. Whether this was the first time.
    #[track_caller]
    pub(crate) fn launch(&self) -> bool {
        connection::connect(self.link.connection())
    }

    /// A queue of the events that pass `filter`, from now on. Before [`connect`](Self::connect) the
    /// first event cannot be missed; on a closed stream the queue ends at once.
    pub fn subscribe(&self, filter: impl Into<Filter>) -> Subscription {
        self.subscribe_with(filter, SubscribeOptions::default())
    }

    /// As [`subscribe`](Self::subscribe), with a name, another queue, another way of being slow, acknowledgements, or
    /// what was retained before. Subscriptions with different options live side by side, also on one filter.
    pub fn subscribe_with(&self, filter: impl Into<Filter>, options: SubscribeOptions) -> Subscription {
        let SubscribeOptions { name, capacity, queue_bytes, overflow, acknowledging, replays } = options;
        let shared = self.link.connection();
        let capacity = capacity.unwrap_or_else(|| shared.capacity());
        let limits = QueueLimits { capacity, bytes: queue_bytes.unwrap_or(QUEUE_BYTES), overflow };
        let subscribe = if replays { Hub::subscribe_late } else { Hub::subscribe };
        let subscribed = subscribe(&shared.hub, filter.into(), &limits, acknowledging);
        shared.demand_changed();
        Subscription::new(subscribed, name, Arc::clone(&self.link))
    }

    /// As [`subscribe`](Self::subscribe), with the data of each event decoded as JSON when it is taken.
    ///
    /// An event that cannot be decoded is an item that says why, never the end. An **enum** is for several types of
    /// event, in wire order: its variant is the event type ([`Event::json`](crate::Event::json) has the rules). Each
    /// event is decoded once for each type `T`, in the task of whoever takes it first, however many subscriptions share
    /// it; the others get the same value, and wait if it is being decoded just then. Decoding that panics does so in
    /// the call that takes the event, which is gone then for this subscription. For other options:
    /// [`subscribe_with`](Self::subscribe_with) and [`decode_as`](Subscription::decode_as).
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

    /// Everything that happens from now on, in order: for recorders.
    pub fn transcript(&self) -> Transcript {
        let shared = self.link.connection();
        let limits = QueueLimits { capacity: shared.capacity(), bytes: QUEUE_BYTES, overflow: Overflow::default() };
        Transcript::new(shared.hub.transcript(&limits), Arc::clone(&self.link))
    }

    /// Sets a header, from the next attempt on; the open response is left alone (see
    /// [`reconnect`](Self::reconnect)). The value is treated as a secret.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHeader`] for what HTTP cannot carry, for `Last-Event-ID`, which the stream
    /// owns, and for more than 1,024 headers in all; [`ErrorKind::Closed`] or the failure when the stream is
    /// closed.
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
    /// As [`set_header`](Self::set_header).
    pub fn remove_header<N>(&self, name: N) -> Result<(), Error>
    where
        N: TryInto<HeaderName, Error: Into<http::Error>>,
    {
        self.change(Change::default().remove_header(name), Apply::NextAttempt).map(drop)
    }

    /// Changes headers, URL and query together; several changes add up, in the order of the calls. The change is
    /// asked for at the call; the future tells when it has taken effect, that is, when the response to a request with
    /// it was accepted. With [`Apply::NextAttempt`] that may be months.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHeader`], [`ErrorKind::InvalidUrl`] or [`ErrorKind::Unsupported`] for what HTTP
    /// cannot carry: more than 1,024 headers in all, or a URL over 64 KiB, too (then nothing is changed); the failure
    /// or [`ErrorKind::Closed`] when the stream is closed, and with [`Apply::MakeBeforeBreak`] whatever ended the
    /// attempt; the open response stays then.
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
        match self.change(change(Change::default()), apply) {
            Ok(number) => Update::new(self.monitor(), number, apply),
            Err(error) => Update::refused(error),
        }
    }

    /// Asks for a new response that begins somewhere else: after what a program has committed, say. Like
    /// [`reconnect`](Self::reconnect) otherwise, but an attempt that is under way will not do. Every queue
    /// has a [`Gap::Reconnected`](crate::Gap::Reconnected) where the new response begins; what was queued
    /// before stays, and comes again behind that gap. From the call on it cannot be
    /// [acknowledged](Subscription::acknowledge) any more, which tells it from what is new: only the ID of an event that
    /// could be is one to go back to the next time. Each call dials at once: whoever may call this over and over, has to
    /// backpressure it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidHeader`] for an ID that no header can carry or that is over 8,000 bytes;
    /// [`ErrorKind::Closed`] or the failure when the stream is closed.
    pub fn reconnect_from(&self, resume: Resume) -> Result<(), Error> {
        if let Some(reason) = self.close_reason() {
            return Err(closed(Some(&reason)));
        }
        if let Resume::Id(id) = &resume {
            transport::last_event_id_value(id)?;
        }
        let shared = self.link.connection();
        // In this order: the task ends it when it goes back.
        if resume != Resume::Latest {
            shared.hub.leave();
        }
        shared.mailbox.resume(resume);
        Ok(())
    }

    fn change(&self, change: Change, apply: Apply) -> Result<u64, Error> {
        if let Some(reason) = self.close_reason() {
            return Err(closed(Some(&reason)));
        }
        self.link.connection().mailbox.change(change.checked()?, apply)
    }

    /// Asks for a new response: ends a wait, or drops the open response, and dials at once. An attempt
    /// that is under way will do, unless a header was changed after it began. Calls in quick
    /// succession are one. Without effect before [`connect`](Self::connect), on a closed stream, and on a
    /// [lazy](crate::StreamBuilder::lazy) one that is idle.
    pub fn reconnect(&self) {
        self.link.connection().mailbox.reconnect();
    }

    /// The stream's name: see [`StreamBuilder::name`](crate::StreamBuilder::name).
    pub fn name(&self) -> &str {
        self.link.connection().name()
    }

    /// How the connection stands.
    pub fn state(&self) -> State {
        self.monitor.state()
    }

    /// The states from now on: see [`Monitor::state_changes`].
    pub fn state_changes(&self) -> StateChanges {
        self.monitor.state_changes()
    }

    /// Waits until the connection is open: see [`Monitor::opened`].
    ///
    /// # Errors
    ///
    /// When the stream closed for good instead: the failure, or [`ErrorKind::Closed`].
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn opened(&self) -> Result<(), Error> {
        self.monitor.opened().await
    }

    /// Waits until the connection is closed for good, and says why.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn closed(&self) -> CloseReason {
        self.monitor.closed().await
    }

    /// Why the connection closed; `None` while it has not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.monitor.close_reason()
    }

    /// The last event ID, as of the last block that was published; empty if there is none. Queues may
    /// be behind it: to resume after what you have processed, keep
    /// [`Event::last_event_id`](crate::Event::last_event_id) of the last event you did.
    pub fn last_event_id(&self) -> String {
        self.link.connection().last_event_id()
    }

    /// What the stream has seen, in numbers.
    pub fn stats(&self) -> Stats {
        self.monitor.stats()
    }

    /// The watching half, which keeps nothing alive.
    pub fn monitor(&self) -> Monitor {
        self.monitor.clone()
    }

    /// Closes the connection for good. Signalled at the call; await the result to know that the
    /// socket is closed and the task has ended. Nothing more is published, and what was queued can
    /// still be taken, unless a [drain](Self::shutdown_with) is being awaited: its time is over then. A resume store is given what may be saved by then; what is acknowledged later, is not
    /// saved: [`shutdown_with`](Self::shutdown_with) waits for that.
    pub fn shutdown(&self) -> Shutdown {
        self.link.connection().shutdown();
        Shutdown { ended: Box::pin(self.monitor().ended()) }
    }
}

impl Handle {
    /// Closes the connection for good, like [`shutdown`](Self::shutdown), and gives subscribers until a
    /// deadline to take what is queued, or [replayed](SubscribeOptions::replay), and to acknowledge it. Nothing more is
    /// read from the server. When the deadline has passed, what is left is dropped and subscriptions end. The resume
    /// store, if there is one, has been given the last event ID when the future is done; that may take 10 s more. Of
    /// several shutdowns the earliest deadline counts; `shutdown` is one without any time.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped: see [`Draining`].
    pub fn shutdown_with(&self, drain: Drain) -> Draining {
        let shared = Arc::clone(self.link.connection());
        let now = Instant::now();
        let deadline = now.checked_add(drain.deadline).unwrap_or(now + FAR_AWAY);
        let drain_tracker = shared.hub.drain_tracker();
        shared.drain(deadline);
        let ended = self.monitor().ended();
        let outcome = async move {
            drain_tracker.settle(deadline).await;
            let reason = ended.await;
            // After the end: at a deadline that comes before the close it is not known yet what is left.
            let (delivered, dropped) = drain_tracker.counts();
            Drained { delivered, dropped, last_event_id: shared.last_event_id(), reason }
        };
        Draining { outcome: Box::pin(outcome) }
    }
}

/// What no clock can hold is far enough away.
const FAR_AWAY: Duration = Duration::from_secs(u32::MAX as u64);

/// Here, since a handle is above a subscription.
impl<T> Subscription<T> {
    /// Returns a handle of the stream.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(self.guard().connection_guard()))
    }
}

impl Clone for Handle {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.link))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.link.connection().remove_handle();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.link).finish()
    }
}

/// The end of a stream that is being shut down: see [`Handle::shutdown`]. Gives the reason it closed
/// for, which is another if the stream was closed already.
///
/// # Drop behavior
///
/// The shutdown goes on; it was signalled when it was called.
pub struct Shutdown {
    ended: Pin<Box<dyn Future<Output = CloseReason> + Send + Sync>>,
}

impl Future for Shutdown {
    type Output = CloseReason;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<CloseReason> {
        self.ended.as_mut().poll(cx)
    }
}

impl fmt::Debug for Shutdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shutdown").finish_non_exhaustive()
    }
}
