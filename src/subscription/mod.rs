//! [`Subscription`]: one subscriber's queue of events and gaps.
//!
//! The hub owns the queue; a subscription is its reading end. It adds what only a subscriber needs:
//! the guard that keeps the connection alive, tokio's [coop budget](coop_budget), the count of
//! missed events, and the conversion of each event into an [`Item`].
//!
//! - [`events`] is the variant without gaps.
//! - [`options`] is what [`Handle::subscribe_with`](crate::Handle::subscribe_with) takes.

pub(crate) mod coop_budget;
mod events;
mod lag_log;
mod options;
mod recv_batch;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::time::{Duration, Instant};

use crate::connection::{ConnectReminder, ConnectionGuard, SubscriberGuard};
#[cfg(feature = "json")]
use crate::event::Decoded;
use crate::event::{Delivery, Event, Gap, Item};
use crate::hub::{AckHandle, Acknowledger, Subscribed};
use crate::state::CloseReason;

use self::coop_budget::CoopBudget;
pub use self::events::Events;
use self::lag_log::LagLog;
pub use self::options::SubscribeOptions;

/// The events that pass one filter, in wire order, with a [`Gap`] wherever some may be missing.
///
/// ```no_run
/// # async fn follow(handle: sseclient::Handle) {
/// use sseclient::Delivery;
///
/// let mut orders = handle.subscribe("order");
/// while let Some(delivery) = orders.recv().await {
///     match delivery {
///         Delivery::Event(order) => println!("{}", order.data()),
///         Delivery::Gap(gap) if gap.is_loss() => eprintln!("fetch the orders anew: {gap}"),
///         Delivery::Gap(_) => {} // the stream has resumed
///     }
/// }
/// println!("{:?}", orders.close_reason());
/// # }
/// ```
///
/// A subscription has no comments. For those, in their place between the events, there is the
/// [`Transcript`](crate::Transcript).
///
/// # Falling behind
///
/// The queue is bounded in events ([`capacity`](crate::StreamBuilder::capacity), 256 by default)
/// and in bytes ([`queue_bytes`](SubscribeOptions::queue_bytes), 16 MiB by default). An
/// [`Overflow`](crate::Overflow) policy decides what a full queue does. By default the connection
/// task stops reading while the queue is full, so a slow subscriber loses nothing as long as it
/// takes events, or holds up no other. While another subscription has nothing left to take, a
/// subscriber that takes no event for 1 s loses its oldest events until it has caught up. A
/// [`Gap::Lagged`] with their exact number stands in their place. A subscription that is never read
/// holds up the others for that second, once, and costs them no event. If it is the only one, the
/// stream waits for it without limit, and logs a warning each minute.
///
/// # The end
///
/// The queue ends (`None`) only when the connection is closed for good and all queued events have
/// been taken, or when a predicate in the filter panics. [`close_reason`](Self::close_reason) tells
/// which. Failures that are retried do not end it.
///
/// # Drop behavior
///
/// A subscription keeps the connection alive, and queued events are lost with it. When all handles,
/// subscriptions and transcripts of a stream are dropped, the connection closes.
#[must_use = "a subscription that is dropped gets no events"]
pub struct Subscription<T = Event> {
    // Field order is drop order: the reader leaves the hub before the guard counts the readers.
    queue: Subscribed,
    /// Made with the first loss.
    lag_log: Option<Box<LagLog>>,
    /// When a batch that was given up took its first delivery.
    batch_begun: Option<Instant>,
    budget: CoopBudget,
    reminder: ConnectReminder,
    guard: SubscriberGuard,
    item: PhantomData<fn() -> T>,
}

impl Subscription {
    pub(crate) fn new(queue: Subscribed, guard: Arc<ConnectionGuard>) -> Self {
        let (guard, budget, reminder) = (SubscriberGuard { guard }, CoopBudget::default(), ConnectReminder::default());
        Self { queue, lag_log: None, batch_begun: None, budget, reminder, guard, item: PhantomData }
    }

    /// Decodes the data of each event as JSON when it is taken.
    ///
    /// [`Handle::subscribe_as`](crate::Handle::subscribe_as) has the rules and an example.
    #[cfg(feature = "json")]
    pub fn decode_as<T>(self) -> Subscription<Decoded<T>>
    where
        T: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        let Self { queue, lag_log, batch_begun, budget, reminder, guard, item: _ } = self;
        Subscription { queue, lag_log, batch_begun, budget, reminder, guard, item: PhantomData }
    }
}

/// # Receive
impl<T: Item> Subscription<T> {
    /// Waits for the next event or gap; `None` when the subscription has ended.
    ///
    /// It ends when the connection is closed for good and all queued events have been taken, or
    /// when a [predicate](crate::Filter::and) in its filter panics.
    /// [`close_reason`](Self::close_reason) tells which.
    ///
    /// Waits forever on a stream that is never [connected](crate::Handle::connect). After 5 s a
    /// warning says so, once for each stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Delivery<T>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits for a delivery, and appends it and up to `limit - 1` queued ones to `buffer`.
    ///
    /// Returns how many it appended. That is 0 only if the subscription has ended, or if `limit`
    /// is 0.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: it takes nothing before it completes.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(handle: sseclient::Handle) {
    /// let mut rows = handle.subscribe("row");
    /// let mut batch = Vec::new();
    /// while rows.recv_many(&mut batch, 1000).await > 0 {
    ///     for delivery in batch.drain(..) {
    ///         println!("{delivery:?}"); // insert it in one transaction, for example
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn recv_many(&mut self, buffer: &mut Vec<Delivery<T>>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        let Some(first) = self.recv().await else { return 0 };
        // The caller's buffer may hold deliveries of an earlier call.
        let before = buffer.len();
        buffer.push(first);
        buffer.extend(std::iter::from_fn(|| self.try_recv().ok()).take(limit - 1));
        buffer.len() - before
    }

    /// Waits for a delivery, and appends it and those that come within `linger` to `buffer`: up to
    /// `limit` in all.
    ///
    /// For writes in batches: a batch is complete at its limit, or `linger` after its first
    /// delivery, or at the end of the subscription. Returns how many it appended. That is 0
    /// only if the subscription has ended, or if `limit` is 0.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: `buffer` is unchanged, and the next call begins
    /// with what was taken. The time to linger goes on, so a `select!` with a shorter interval
    /// does not put the batch off. Acknowledgement counts these events as taken; if the
    /// subscription is dropped, they can never be acknowledged.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(handle: sseclient::Handle) {
    /// use std::time::Duration;
    ///
    /// let mut rows = handle.subscribe("row");
    /// let mut batch = Vec::new();
    /// while rows.recv_batch(&mut batch, 1000, Duration::from_millis(200)).await > 0 {
    ///     println!("{} rows", batch.drain(..).count()); // insert them in one transaction
    /// }
    /// # }
    /// ```
    pub async fn recv_batch(&mut self, buffer: &mut Vec<Delivery<T>>, limit: usize, linger: Duration) -> usize {
        recv_batch::recv_batch(self, buffer, limit, linger).await
    }

    /// Takes the next event or gap if one is queued; never waits.
    ///
    /// A task that waits in [`recv`](Self::recv) meanwhile is still woken.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing is queued, [`TryRecvError::Closed`] if the subscription
    /// has ended.
    pub fn try_recv(&mut self) -> Result<Delivery<T>, TryRecvError> {
        match self.next_delivery(None) {
            Poll::Ready(Some(delivery)) => Ok(delivery.map(T::from_event)),
            Poll::Ready(None) => Err(TryRecvError::Closed),
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    /// Turns the subscription into a stream of bare events, without gaps.
    ///
    /// **Loss is only counted and logged:** [`missed`](Events::missed) counts events that were lost
    /// in the queue, and each gap that is a loss is logged as a warning.
    pub fn into_events(self) -> Events<T> {
        Events { subscription: self }
    }

    #[inline]
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery<T>>> {
        if let Some(event) = self.take_buffered() {
            return Poll::Ready(Some(Delivery::Event(T::from_event(event))));
        }
        self.poll_take(cx).map(|delivery| delivery.map(|delivery| delivery.map(T::from_event)))
    }
}

/// # Observe
impl<T> Subscription<T> {
    /// Returns the name from its [options](SubscribeOptions::name); empty without one.
    pub fn name(&self) -> &str {
        self.queue.reader.name()
    }

    /// Returns how many events can be taken without waiting; gaps are not counted.
    ///
    /// At most the queue's capacity, 64 that the subscription has already taken out of the queue,
    /// and the [replayed](SubscribeOptions::replay) events.
    pub fn queued(&self) -> usize {
        let Subscribed { reader, replay, .. } = &self.queue;
        let is_over = reader.is_cut_off();
        let first = replay.iter().take(if is_over { reader.returned() as usize } else { usize::MAX });
        let replayed = first.flatten().filter(|delivery| delivery.is_event()).count();
        replayed + usize::try_from(reader.queued()).unwrap_or(usize::MAX)
    }

    /// Returns how many events that pass the filter were lost because this subscription was slow.
    ///
    /// An event that was [conflated](crate::Overflow::Conflate) is not lost: a newer one replaced
    /// it.
    #[doc(alias = "lag")]
    pub fn missed(&self) -> u64 {
        self.queue.reader.missed()
    }

    /// Returns why the connection closed, or why this subscription alone ended; `None` before.
    ///
    /// A subscription ends alone if a predicate in its filter panics
    /// ([`Filter::and`](crate::Filter::and)).
    pub fn close_reason(&self) -> Option<CloseReason> {
        let failure = self.queue.failure.as_ref().and_then(|failure| failure.get());
        // Its own reason first: the stream is still open, or closed later for another reason.
        let own_reason = failure.map(|error| CloseReason::Failed(error.clone()));
        own_reason.or_else(|| self.guard.connection().published.close_reason())
    }

    pub(crate) fn guard(&self) -> &SubscriberGuard {
        &self.guard
    }
}

/// # Acknowledge
impl<T> Subscription<T> {
    /// Marks an event as processed, on an [`acknowledging`](SubscribeOptions::acknowledging)
    /// subscription.
    ///
    /// Events can be acknowledged in any order. An event that is never acknowledged keeps the
    /// resume store from saving any later ID. So does an event that this queue dropped
    /// ([`Gap::Lagged`], not under the default of [`Overflow::Block`](crate::Overflow::Block)), or
    /// that was taken while 65,536 others were not acknowledged. Those cannot be acknowledged: a
    /// warning `frozen` is logged, and [`Stats::unacknowledged`](crate::Stats::unacknowledged)
    /// stays above zero. To get them again, [go back](crate::Handle::reconnect_from). An event
    /// over the size limit ([`Gap::Oversized`]) does not hold the store, since it would not
    /// come the next time either.
    ///
    /// Returns false if there was nothing to acknowledge:
    ///
    /// - the event was acknowledged before, or another subscription received it;
    /// - it was queued before, or while, the program [went back](crate::Handle::reconnect_from);
    /// - the subscription is not acknowledging.
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.queue.ack.as_ref().is_some_and(|ack| ack.acknowledge(event))
    }

    /// Returns what acknowledges the events of this subscription without borrowing it.
    ///
    /// For tasks that process events elsewhere, and for adapters that own the subscription
    /// (`chunks_timeout`, `buffer_unordered`). Without
    /// [`acknowledging`](SubscribeOptions::acknowledging) it acknowledges nothing.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # async fn follow(handle: sseclient::Handle) {
    /// use std::time::Duration;
    /// use sseclient::{Filter, SubscribeOptions};
    /// use tokio_stream::StreamExt as _;
    ///
    /// let options = SubscribeOptions::default().acknowledging();
    /// let orders = handle.subscribe_with(Filter::all(), options);
    /// let acknowledger = orders.acknowledger();
    /// let batches = orders.into_events().chunks_timeout(100, Duration::from_secs(1));
    /// tokio::pin!(batches);
    /// while let Some(batch) = batches.next().await {
    ///     // Write the batch here, then:
    ///     batch.iter().for_each(|order| drop(acknowledger.acknowledge(order)));
    /// }
    /// # }
    /// ```
    pub fn acknowledger(&self) -> Acknowledger {
        AckHandle::acknowledger(self.queue.ack.as_ref())
    }

    /// Drops the subscription, and no longer holds the resume store for its events.
    ///
    /// **Gives up** events that it did not take or acknowledge: the store may save IDs after them.
    /// A subscription that is only dropped goes on holding the store, because nothing says that
    /// those events were processed, until the program restarts or [goes
    /// back](crate::Handle::reconnect_from). An [`Acknowledger`] acknowledges nothing more.
    pub fn retire(self) {
        if let Some(ack) = &self.queue.ack {
            ack.retire();
        }
    }
}

impl<T> Subscription<T> {
    /// Takes an event that has already left the queue, if no retained event comes first and the
    /// budget is paid. Most events of a busy stream go this way.
    #[inline]
    fn take_buffered(&mut self) -> Option<Event> {
        if !self.queue.replay.is_empty() || !self.budget.is_paid() {
            return None;
        }
        let event = self.queue.reader.take_buffered()?;
        self.budget.spend(None);
        Some(event)
    }

    /// Waits for the next delivery.
    fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        // Before the look: a task without budget must not take an event, which it could not return.
        let unit = ready!(self.budget.poll(cx));
        let Poll::Ready(delivery) = self.next_delivery(Some(cx)) else {
            self.reminder.poll(cx, self.guard.connection());
            return Poll::Pending;
        };
        self.budget.spend(unit);
        Poll::Ready(delivery)
    }

    /// Returns the next delivery. Without a context it leaves no waker.
    fn next_delivery(&mut self, cx: Option<&mut Context<'_>>) -> Poll<Option<Delivery>> {
        // Retained events are older than everything in the queue.
        if !self.queue.replay.is_empty() && !self.is_replay_over() {
            // Without the tracker: retained events need not be acknowledged by this subscription.
            return Poll::Ready(self.next_replayed());
        }
        let Subscribed { reader, ack, .. } = &mut self.queue;
        let taken = match cx {
            Some(cx) => reader.poll_take(cx, ack.as_ref()),
            None => reader.try_take(ack.as_ref()),
        };
        match taken {
            Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed }))) => self.count_missed(missed),
            // Logs what it holds back.
            Poll::Ready(None) => self.lag_log = None,
            _ => {}
        }
        taken
    }

    /// Returns true if a drain has run out of time, so that nothing of the replay may be taken. The
    /// queue still reports a loss.
    #[cold]
    fn is_replay_over(&self) -> bool {
        let reader = &self.queue.reader;
        // What was returned had been taken before the drain was over.
        reader.returned() == 0 && reader.is_cut_off()
    }

    #[cold]
    fn next_replayed(&mut self) -> Option<Delivery> {
        let Subscribed { reader, replay, .. } = &mut self.queue;
        let returned = reader.returned();
        // A `None` stays in place: the predicate panicked there, and the subscription has ended.
        let delivery = replay.front_mut()?.take()?;
        replay.pop_front();
        if returned > 0 {
            reader.set_returned(returned - 1);
        } else if delivery.is_event() {
            reader.took_replayed();
        }
        if replay.is_empty() {
            // Gives back the memory, which may be large and is not used again.
            *replay = VecDeque::new();
        }
        Some(delivery)
    }

    #[cold]
    fn count_missed(&mut self, missed: u64) {
        // Counted where the caller finds the hole, so that both numbers agree with the gaps that it
        // got.
        self.queue.reader.count_missed(missed);
        let connection = self.guard.connection();
        connection.counters.count(|stats| stats.missed = stats.missed.saturating_add(missed));
        let (stream, subscription) = (&connection.name, self.queue.reader.name());
        self.lag_log.get_or_insert_with(|| Box::new(LagLog::new(stream, subscription))).add(missed);
    }

    /// Logs a gap that the caller does not pass on, if events were lost in it.
    pub(crate) fn log_loss(&self, gap: &Gap) {
        // `count_missed` has logged these where they were found.
        let has_been_logged = matches!(gap, Gap::Lagged { .. });
        if gap.is_loss() && !has_been_logged {
            let (stream, subscription) = (self.guard.connection().name.as_str(), self.name());
            tracing::warn!(
                name: "missing",
                target: "sseclient",
                stream,
                subscription,
                %gap,
                "missing: events were lost; load the current state anew, or read deliveries to handle gaps"
            );
        }
    }
}

impl<T: Item> Stream for Subscription<T> {
    type Item = Delivery<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery<T>>> {
        self.get_mut().poll_recv(cx)
    }
}

impl<T> fmt::Debug for Subscription<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subscription = f.debug_struct("Subscription");
        subscription.field("name", &self.name()).field("stream", &self.guard.connection());
        subscription.field("missed", &self.missed());
        subscription.finish_non_exhaustive()
    }
}

/// The reason why [`Subscription::try_recv`] returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a queue without a next item is either empty or closed")]
pub enum TryRecvError {
    /// Nothing is queued now.
    Empty,
    /// The subscription has ended: the connection is closed for good, or a predicate panicked.
    Closed,
}

impl fmt::Display for TryRecvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "nothing is queued",
            Self::Closed => "the stream is closed",
        })
    }
}

impl std::error::Error for TryRecvError {}
