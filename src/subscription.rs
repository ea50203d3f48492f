//! [`Subscription`]: one consumer's queue of events and gaps.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::task::coop;

use crate::connection::Link;
use crate::delivery::{Delivery, Gap};
use crate::event::Event;
use crate::handle::Handle;
use crate::hub::{Account, Failure, MOST_OPEN, Reader, Subscribed, Taken};
use crate::state::CloseReason;

/// The events of one filter, in wire order, with a notice wherever some may be missing.
///
/// # Falling behind
///
/// The queue is bounded ([`capacity`](crate::StreamBuilder::capacity), 256 events by default). When
/// it is more than half full the connection task stops reading for a moment, so that a subscriber
/// which keeps moving loses nothing; one that does not catch up within 100 ms then loses its oldest
/// events, until it has caught up. It gets [`Gap::Lagged`] with their exact number, at the place of
/// the hole. A subscription that is never read costs the others that moment, once, and no event.
///
/// # Drop behavior
///
/// A subscription keeps the connection alive. When all handles and subscriptions of a stream are
/// gone, the connection is closed.
pub struct Subscription {
    // Dropped in this order: the reader leaves the channel before the seat looks who is left.
    reader: Reader<Event>,
    /// If what is taken has to be acknowledged.
    account: Option<Account>,
    /// If its filter may end it.
    failure: Option<Failure>,
    name: String,
    /// Taken from this position, but a gap that stands before it came to light meanwhile.
    held_back: Option<(u64, Delivery)>,
    missed: u64,
    seat: Seat,
}

impl Subscription {
    pub(crate) fn new(subscribed: Subscribed, name: String, link: Arc<Link>) -> Self {
        let Subscribed { reader, account, failure } = subscribed;
        Self { reader, account, failure, name, held_back: None, missed: 0, seat: Seat::new(link) }
    }

    /// The next event or gap. `None` when the connection is closed for good (or the
    /// [filter](crate::Filter::and) has panicked) and everything that was queued has been taken; [`close_reason`](Self::close_reason) says why.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Delivery> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// A stream of bare events. What is lost is counted by [`missed`](Events::missed) and logged as a
    /// warning; a reconnection that resumes is not mentioned.
    pub fn into_events(self) -> Events {
        Events { subscription: self }
    }

    /// How many events that matched were lost because this subscription was too slow.
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Why the connection closed, or why this subscription alone has: a predicate in its filter panicked
    /// ([`Filter::and`](crate::Filter::and)). `None` while neither has.
    pub fn close_reason(&self) -> Option<CloseReason> {
        let failure = self.failure.as_ref().and_then(|failure| failure.get());
        let own = failure.map(|error| CloseReason::Failed(error.clone()));
        own.or_else(|| self.seat.link.shared().close_reason())
    }

    /// A handle of the stream.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.seat.link))
    }

    /// Says that an event has been processed, for a subscription that is
    /// [`acknowledging`](crate::SubscribeOptions::acknowledging): in any order, each for itself. False if there
    /// was nothing to acknowledge: the event was acknowledged before, did not come from here, or came before
    /// the program went [back](Handle::reconnect_from); or the subscription is not acknowledging.
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
    /// [back](Handle::reconnect_from): nothing else says that those events were processed.
    pub fn retire(mut self) {
        self.account.iter_mut().for_each(Account::retire);
    }

    /// For those who pass a gap over.
    pub(crate) fn log_if_missing(&self, gap: &Gap) {
        let has_been_logged = matches!(gap, Gap::Lagged { .. });
        if gap.is_loss() && !has_been_logged {
            let (stream, subscription) = (self.seat.link.shared().name(), self.name.as_str());
            tracing::warn!(name: "missing", target: "sseclient", stream, subscription, %gap, "events are missing");
        }
    }

    fn lagged(&mut self, missed: u64) -> Gap {
        self.missed += missed;
        let stream = self.seat.link.shared().name();
        let subscription = self.name.as_str();
        tracing::warn!(name: "lagged", target: "sseclient", stream, subscription, missed, "the oldest events are lost");
        Gap::Lagged { missed }
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let budget = std::task::ready!(coop::poll_proceed(cx));
        let delivery = self.poll_next_delivery(cx);
        if delivery.is_ready() {
            budget.made_progress();
        }
        delivery
    }

    #[inline]
    fn poll_next_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        if self.held_back.is_some() {
            return Poll::Ready(self.next_held_back());
        }
        let position = self.reader.position();
        if let Some(gap) = self.reader.next_gap(position) {
            return Poll::Ready(Some(Delivery::Gap(gap)));
        }
        let reader = &mut self.reader;
        let taken = match &self.account {
            None => reader.poll_take(cx),
            Some(account) => {
                let too_many = || unacknowledged(&self.seat, &self.name);
                reader.poll_take_with(cx, |reader| account.take(|| reader.try_take(), too_many))
            }
        };
        // A gap may have been logged after the look above, and before what was taken was published.
        match (self.reader.next_gap(position), taken) {
            (None, Poll::Ready(Taken::Item(event))) => Poll::Ready(Some(Delivery::Event(event))),
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
    fn next_held_back(&mut self) -> Option<Delivery> {
        let gap = self.held_back.as_ref().and_then(|(position, _)| self.reader.next_gap(*position));
        gap.map(Delivery::Gap).or_else(|| self.held_back.take().map(|(_, delivery)| delivery))
    }

    fn delivery(&mut self, taken: Taken<Event>) -> Option<Delivery> {
        match taken {
            Taken::Item(event) => Some(Delivery::Event(event)),
            Taken::Lagged(missed) => Some(Delivery::Gap(self.lagged(missed))),
            Taken::Closed => None,
        }
    }
}

/// A subscription has taken more than can be told apart, and acknowledged none of it.
#[cold]
fn unacknowledged(seat: &Seat, subscription: &str) {
    let (stream, unacknowledged) = (seat.link.shared().name(), MOST_OPEN);
    tracing::warn!(
        name: "unacknowledged",
        target: "sseclient",
        stream,
        subscription,
        unacknowledged,
        "nothing newer is saved"
    );
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.get_mut().poll_recv(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut subscription = f.debug_struct("Subscription");
        subscription.field("name", &self.name).field("stream", &self.seat).field("missed", &self.missed);
        subscription.finish_non_exhaustive()
    }
}

/// The events of a [`Subscription`], without the gaps: see [`Subscription::into_events`].
#[derive(Debug)]
pub struct Events {
    subscription: Subscription,
}

impl Events {
    /// The next event; `None` when the connection is closed for good, or the filter has panicked.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// How many events that matched were lost because this subscription was too slow.
    pub fn missed(&self) -> u64 {
        self.subscription.missed()
    }

    /// See [`Subscription::close_reason`].
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.subscription.close_reason()
    }

    /// See [`Subscription::acknowledge`].
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.subscription.acknowledge(event)
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match std::task::ready!(self.subscription.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(Delivery::Event(event)) => return Poll::Ready(Some(event)),
                Some(Delivery::Gap(gap)) => self.subscription.log_if_missing(&gap),
            }
        }
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        self.get_mut().poll_recv(cx)
    }
}

/// A place at the hub: keeps the connection alive, and tells the hub when it is given up.
pub(crate) struct Seat {
    link: Arc<Link>,
}

impl Seat {
    pub(crate) fn new(link: Arc<Link>) -> Self {
        Self { link }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.link.shared().hub.prune();
        self.link.shared().audience_changed();
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}
