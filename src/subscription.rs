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
use crate::hub::{GapReader, Reader, Taken};
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
    gaps: GapReader,
    /// Taken from this position, but a gap that stands before it came to light meanwhile.
    held_back: Option<(u64, Delivery)>,
    missed: u64,
    seat: Seat,
}

impl Subscription {
    pub(crate) fn new((reader, gaps): (Reader<Event>, GapReader), link: Arc<Link>) -> Self {
        Self { reader, gaps, held_back: None, missed: 0, seat: Seat::new(link) }
    }

    /// The next event or gap. `None` when the connection is closed for good and everything that was
    /// queued has been taken; [`close_reason`](Self::close_reason) says why.
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

    /// Why the connection closed; `None` while it has not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.seat.link.shared().close_reason()
    }

    /// A handle of the stream.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.seat.link))
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let budget = std::task::ready!(coop::poll_proceed(cx));
        let delivery = self.poll_next_delivery(cx);
        if delivery.is_ready() {
            budget.made_progress();
        }
        delivery
    }

    fn poll_next_delivery(&mut self, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        let position = self.held_back.as_ref().map_or_else(|| self.reader.position(), |(position, _)| *position);
        if let Some(gap) = self.gaps.next(position) {
            return Poll::Ready(Some(Delivery::Gap(gap)));
        }
        if let Some((_, delivery)) = self.held_back.take() {
            return Poll::Ready(Some(delivery));
        }
        let taken = self.reader.poll_take(cx).map(|taken| match taken {
            Taken::Item(event) => Some(Delivery::Event(event)),
            Taken::Lagged(missed) => {
                self.missed += missed;
                Some(Delivery::Gap(Gap::Lagged { missed }))
            }
            Taken::Closed => None,
        });
        // A gap may have been logged after the look above, and before what was taken was published.
        let Some(gap) = self.gaps.next(position) else { return taken };
        if let Poll::Ready(Some(delivery)) = taken {
            self.held_back = Some((position, delivery));
        }
        Poll::Ready(Some(Delivery::Gap(gap)))
    }
}

impl Stream for Subscription {
    type Item = Delivery;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Delivery>> {
        self.get_mut().poll_recv(cx)
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription").field("stream", &self.seat).field("missed", &self.missed).finish_non_exhaustive()
    }
}

/// The events of a [`Subscription`], without the gaps: see [`Subscription::into_events`].
#[derive(Debug)]
pub struct Events {
    subscription: Subscription,
}

impl Events {
    /// The next event; `None` when the connection is closed for good.
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

    /// Why the connection closed; `None` while it has not.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.subscription.close_reason()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        loop {
            match std::task::ready!(self.subscription.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(Delivery::Event(event)) => return Poll::Ready(Some(event)),
                Some(Delivery::Gap(gap)) if gap.is_loss() => {
                    tracing::warn!(stream = self.subscription.seat.link.shared().name(), %gap, "events are missing");
                }
                Some(Delivery::Gap(_)) => {}
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
    }
}

impl fmt::Debug for Seat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.link.fmt(f)
    }
}
