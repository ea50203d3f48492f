//! [`Subscription`]: one consumer's queue of events and gaps.

pub(crate) mod coop_budget;
#[cfg(feature = "json")]
mod decoded;
mod events;
mod item;
mod options;

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::connection::{ConnectionGuard, SubscriberGuard};
use crate::event::{Delivery, Event, Gap};
use crate::hub::{AckHandle, EventReader, MAX_UNACKNOWLEDGED, PredicateFailure, Received, Subscribed};
use crate::state::CloseReason;
use crate::subscription::coop_budget::Allowance;
use crate::subscription::item::Item;

#[cfg(feature = "json")]
pub use self::decoded::Decoded;
pub use self::events::Events;
pub use self::options::SubscribeOptions;

/// The events of one filter, in wire order, with a notice wherever some may be missing.
///
/// # Falling behind
///
/// The queue is bounded, in events ([`capacity`](crate::StreamBuilder::capacity), 256 by default) and in bytes
/// ([`queue_bytes`](crate::SubscribeOptions::queue_bytes)). What happens when it is full is the subscription's choice
/// ([`Overflow`](crate::Overflow)). By default the connection task then stops reading, so that a subscriber which
/// keeps moving loses nothing, however slow it is; one that takes nothing for 1 s loses its oldest events, until it has
/// caught up. It gets [`Gap::Lagged`] with their exact number, at the place of the hole. A subscription that is
/// never read costs the others that second, once, and no event.
///
/// # Drop behavior
///
/// A subscription keeps the connection alive. When all handles and subscriptions of a stream are
/// gone, the connection is closed.
#[must_use = "a subscription that is dropped gets no events"]
pub struct Subscription<T = Event> {
    /// What was retained, to be taken first. `None` where its filter has panicked: then nothing follows.
    replay: VecDeque<Option<Delivery>>,
    // Dropped in this order: the reader leaves the channel before the guard looks who is left.
    source: EventReader,
    /// If what is taken has to be acknowledged.
    account: Option<AckHandle>,
    /// If its filter may end it.
    failure: Option<PredicateFailure>,
    name: String,
    /// Received from this position, but a gap that stands before it came to light meanwhile.
    held_back: Option<(u64, Delivery)>,
    missed: u64,
    allowance: Allowance,
    guard: SubscriberGuard,
    item: PhantomData<fn() -> T>,
}

impl Subscription {
    pub(crate) fn new(subscribed: Subscribed, name: String, link: Arc<ConnectionGuard>) -> Self {
        let Subscribed { source, account, failure, replay } = subscribed;
        Self {
            replay,
            source,
            account,
            failure,
            name,
            held_back: None,
            missed: 0,
            allowance: Allowance::default(),
            guard: SubscriberGuard::new(link),
            item: PhantomData,
        }
    }

    /// This subscription, with each event decoded as JSON when it is taken: see [`Handle::subscribe_as`](crate::Handle::subscribe_as).
    #[cfg(feature = "json")]
    pub fn decode_as<T>(self) -> Subscription<Decoded<T>>
    where
        T: serde::de::DeserializeOwned + Send + Sync + 'static,
    {
        let Self { replay, source, account, failure, name, held_back, missed, allowance, guard, item: _ } = self;
        Subscription { replay, source, account, failure, name, held_back, missed, allowance, guard, item: PhantomData }
    }
}

impl<T: Item> Subscription<T> {
    /// The next event or gap. `None` when the connection is closed for good (or the [filter](crate::Filter::and) has
    /// panicked) and everything that was queued has been taken; [`close_reason`](Self::close_reason) says why.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Delivery<T>> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits for a delivery, and takes it and what else is there, up to `limit`, to the end of `buffer`. How many those
    /// were: none only if `limit` is 0, or if the connection is closed for good and everything was taken.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: it takes nothing before it is done.
    ///
    /// # Examples
    ///
    /// ```
    /// # async fn example(handle: sseclient::Handle) {
    /// let mut rows = handle.subscribe("row");
    /// let mut batch = Vec::new();
    /// while rows.recv_many(&mut batch, 1000).await > 0 {
    ///     for delivery in batch.drain(..) {
    ///         println!("{delivery:?}"); // into one transaction, say
    ///     }
    /// }
    /// # }
    /// ```
    pub async fn recv_many(&mut self, buffer: &mut Vec<Delivery<T>>, limit: usize) -> usize {
        poll_fn(|cx| self.poll_recv_many(cx, buffer, limit)).await
    }

    /// The next event or gap, if there is one.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when nothing is queued, [`TryRecvError::Closed`] when the connection is closed for good
    /// and everything that was queued has been taken.
    ///
    /// # Cancel safety
    ///
    /// Does not wait. Whoever waits for the next delivery meanwhile is still woken.
    pub fn try_recv(&mut self) -> Result<Delivery<T>, TryRecvError> {
        match self.next_delivery(None) {
            Poll::Ready(Some(delivery)) => Ok(delivery.map(T::of)),
            Poll::Ready(None) => Err(TryRecvError::Closed),
            Poll::Pending => Err(TryRecvError::Empty),
        }
    }

    /// A stream of bare events. What is lost is counted by [`missed`](Events::missed) and logged as a
    /// warning; a reconnection that resumes is not mentioned.
    pub fn into_events(self) -> Events<T> {
        Events { subscription: self }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery<T>>> {
        let price = std::task::ready!(self.allowance.poll(cx));
        let delivery = self.next_delivery(Some(cx));
        if delivery.is_ready() {
            self.allowance.pay(price);
        }
        delivery.map(|delivery| delivery.map(|delivery| delivery.map(T::of)))
    }

    fn poll_recv_many(&mut self, cx: &mut Context<'_>, buffer: &mut Vec<Delivery<T>>, limit: usize) -> Poll<usize> {
        if limit == 0 {
            return Poll::Ready(0);
        }
        let Some(first) = std::task::ready!(self.poll_recv(cx)) else { return Poll::Ready(0) };
        buffer.push(first);
        let more = std::iter::from_fn(|| self.try_recv().ok()).take(limit - 1);
        let before = buffer.len();
        buffer.extend(more);
        Poll::Ready(buffer.len() - before + 1)
    }
}

impl<T> Subscription<T> {
    /// How many events can be taken without waiting: at most the queue's capacity, 64 in the subscription's own
    /// hands, and what is [replayed](crate::SubscribeOptions::replay). Gaps are not counted.
    ///
    /// # Cancel safety
    ///
    /// Does not wait, and takes nothing.
    pub fn queued(&self) -> usize {
        let held_back = matches!(self.held_back, Some((_, Delivery::Event(_))));
        let replayed =
            if self.source.is_cut() { 0 } else { self.replay.iter().flatten().filter(|one| one.is_event()).count() };
        replayed + usize::try_from(self.source.queued()).unwrap_or(usize::MAX) + usize::from(held_back)
    }

    /// How many events that matched were lost because this subscription was too slow. An event that was
    /// [conflated](crate::Overflow::Conflate) is not lost, but replaced.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Its name, as [options](crate::SubscribeOptions::name) gave it; empty without one.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Why the connection closed, or why this subscription alone has: a predicate in its filter panicked
    /// ([`Filter::and`](crate::Filter::and)). `None` while neither has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        let failure = self.failure.as_ref().and_then(|failure| failure.get());
        let own = failure.map(|error| CloseReason::Failed(error.clone()));
        own.or_else(|| self.guard.connection().close_reason())
    }

    pub(crate) fn guard(&self) -> &SubscriberGuard {
        &self.guard
    }

    /// Says that an event has been processed, for a subscription that is
    /// [`acknowledging`](crate::SubscribeOptions::acknowledging): in any order, each for itself. False if there
    /// was nothing to acknowledge: the event was acknowledged before, did not come from here, or came before
    /// the program went [back](crate::Handle::reconnect_from), or while it was about to; or the subscription is not
    /// acknowledging.
    ///
    /// An event that is never acknowledged holds the resume store where it is. So does one that this queue dropped
    /// ([`Gap::Lagged`]) or that was taken when 65,536 others were open; neither can be acknowledged: to get
    /// them, go back. What was over the size limit ([`Gap::Oversized`]) holds nothing: it would not come
    /// next time either.
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.account.as_ref().is_some_and(|account| account.acknowledge(event))
    }

    /// Drops the subscription, and lets the resume store go on past what it did not acknowledge or take. A
    /// subscription that is only dropped holds the store there until the program has started again, or has gone
    /// [back](crate::Handle::reconnect_from): nothing else says that those events were processed.
    pub fn retire(mut self) {
        self.account.iter_mut().for_each(AckHandle::retire);
    }

    /// For those who pass a gap over.
    pub(crate) fn log_if_missing(&self, gap: &Gap) {
        let has_been_logged = matches!(gap, Gap::Lagged { .. });
        if gap.is_loss() && !has_been_logged {
            let (stream, subscription) = (self.guard.connection().name(), self.name.as_str());
            tracing::warn!(name: "missing", target: "sseclient", stream, subscription, %gap, "events are missing");
        }
    }

    fn lagged(&mut self, missed: u64) -> Gap {
        self.missed += missed;
        let shared = self.guard.connection();
        shared.counters.count_missed(missed);
        let stream = shared.name();
        let subscription = self.name.as_str();
        tracing::warn!(name: "lagged", target: "sseclient", stream, subscription, missed, "the oldest events are lost");
        Gap::Lagged { missed }
    }

    /// The next delivery. Without a context no waker is left for it.
    #[inline]
    fn next_delivery(&mut self, cx: Option<&mut Context<'_>>) -> Poll<Option<Delivery>> {
        if !self.replay.is_empty() {
            return Poll::Ready(self.next_replayed());
        }
        if self.held_back.is_some() {
            return Poll::Ready(self.next_held_back());
        }
        let position = self.source.position();
        if let Some(gap) = self.source.next_gap(position) {
            return Poll::Ready(Some(Delivery::Gap(gap)));
        }
        let (account, too_many) = (self.account.as_ref(), || unacknowledged(&self.guard, &self.name));
        let taken = match cx {
            Some(cx) => self.source.poll_take(cx, account, too_many),
            None => self.source.try_take(account, too_many).map_or(Poll::Pending, Poll::Ready),
        };
        // A gap may have been logged after the look above, and before what was taken was published.
        match (self.source.next_gap(position), taken) {
            (None, Poll::Ready(Received::Item(event))) => Poll::Ready(Some(Delivery::Event(event))),
            (None, Poll::Ready(taken)) => Poll::Ready(self.delivery(taken)),
            (None, Poll::Pending) => Poll::Pending,
            (Some(gap), taken) => {
                if let Poll::Ready(taken) = taken {
                    self.held_back = self.delivery(taken).map(|delivery| (position, delivery));
                }
                Poll::Ready(Some(Delivery::Gap(gap)))
            }
        }
    }

    #[cold]
    fn next_replayed(&mut self) -> Option<Delivery> {
        if self.source.is_cut() {
            return None;
        }
        let delivery = self.replay.front_mut()?.take()?;
        self.replay.pop_front();
        if delivery.is_event() {
            self.source.took_beside();
        }
        if self.replay.is_empty() {
            self.replay = VecDeque::new();
        }
        Some(delivery)
    }

    #[cold]
    fn next_held_back(&mut self) -> Option<Delivery> {
        let gap = self.held_back.as_ref().and_then(|(position, _)| self.source.next_gap(*position));
        gap.map(Delivery::Gap).or_else(|| self.held_back.take().map(|(_, delivery)| delivery))
    }

    fn delivery(&mut self, taken: Received<Event>) -> Option<Delivery> {
        match taken {
            Received::Item(event) => Some(Delivery::Event(event)),
            Received::Lagged(missed) => Some(Delivery::Gap(self.lagged(missed))),
            Received::Gap(gap) => Some(Delivery::Gap(gap)),
            Received::Closed => None,
        }
    }
}

/// A subscription has taken more than can be told apart, and acknowledged none of it.
#[cold]
fn unacknowledged(guard: &SubscriberGuard, subscription: &str) {
    let (stream, unacknowledged) = (guard.connection().name(), MAX_UNACKNOWLEDGED);
    tracing::warn!(
        name: "unacknowledged",
        target: "sseclient",
        stream,
        subscription,
        unacknowledged,
        "nothing newer is saved"
    );
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
        subscription.field("name", &self.name).field("stream", &self.guard).field("missed", &self.missed);
        subscription.finish_non_exhaustive()
    }
}

/// Why [`Subscription::try_recv`] gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else that a queue without a next item can be")]
pub enum TryRecvError {
    /// Nothing is queued now.
    Empty,
    /// Nothing is queued, and nothing will come: the connection is closed for good, or the filter has panicked.
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
