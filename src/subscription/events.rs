//! [`Events`]: a subscription for those who do not ask about gaps.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::event::{Delivery, Event};
use crate::state::CloseReason;
use crate::subscription::item::Item;

use super::Subscription;

/// The events of a [`Subscription`], without the gaps: see [`Subscription::into_events`].
#[derive(Debug)]
#[must_use = "a subscription that is dropped gets no events"]
pub struct Events<T = Event> {
    pub(super) subscription: Subscription<T>,
}

impl<T: Item> Events<T> {
    /// The next event; `None` when the connection is closed for good, or the filter has panicked.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<T> {
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

    /// The subscription, which tells of gaps again: to [`retire`](Subscription::retire) it, say.
    pub fn into_inner(self) -> Subscription<T> {
        self.subscription
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<T>> {
        loop {
            match std::task::ready!(self.subscription.poll_recv(cx)) {
                None => return Poll::Ready(None),
                Some(Delivery::Event(event)) => return Poll::Ready(Some(event)),
                Some(Delivery::Gap(gap)) => self.subscription.log_if_missing(&gap),
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
