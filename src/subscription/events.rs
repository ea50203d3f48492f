//! [`Events`]: a subscription without its gaps.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_core::Stream;

use crate::event::{Delivery, Event, Item};
use crate::hub::Acknowledger;
use crate::state::CloseReason;

use super::Subscription;

/// The events of a [`Subscription`], without the gaps: see [`Subscription::into_events`].
///
/// Loss is only counted and logged.
#[derive(Debug)]
#[must_use = "a subscription that is dropped gets no events"]
pub struct Events<T = Event> {
    pub(super) subscription: Subscription<T>,
}

impl<T: Item> Events<T> {
    /// Waits for the next event; `None` when the subscription has ended.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Returns how many events were lost because this subscription was slow.
    ///
    /// See [`Subscription::missed`].
    pub fn missed(&self) -> u64 {
        self.subscription.missed()
    }

    /// Returns why the subscription ended: see [`Subscription::close_reason`].
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.subscription.close_reason()
    }

    /// Marks an event as processed: see [`Subscription::acknowledge`].
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.subscription.acknowledge(event)
    }

    /// Returns what acknowledges events without borrowing this: see [`Subscription::acknowledger`].
    pub fn acknowledger(&self) -> Acknowledger {
        self.subscription.acknowledger()
    }

    /// Returns the subscription with its gaps, to [`retire`](Subscription::retire) it, for example.
    pub fn into_inner(self) -> Subscription<T> {
        self.subscription
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match ready!(self.subscription.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(Delivery::Event(event)) => return Poll::Ready(Some(event)),
                // This view shows events only, so a loss is at least logged.
                Some(Delivery::Gap(gap)) => self.subscription.log_loss(&gap),
            }
        }
    }
}

impl<T: Item> Stream for Events<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.get_mut().poll_recv(cx)
    }
}
