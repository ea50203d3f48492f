//! [`Transcript`]: the one ordered view of everything that happens to a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::task::coop;

use crate::connection::{ConnectionGuard, SubscriberGuard};
use crate::event::Delivery;
use crate::hub::{Reader, TranscriptItem};

/// Everything that happens to a stream, in order: events of all types, comments, gaps and states.
///
/// Made by [`Handle::transcript`](crate::Handle::transcript), for recorders. It begins with what
/// happens after it was made; make it before [`connect`](crate::Handle::connect) to miss nothing.
/// It ends with [`State::Closed`](crate::State::Closed).
///
/// # Falling behind
///
/// The queue holds as many items as the stream's [`capacity`](crate::StreamBuilder::capacity), and
/// 16 MiB. As with a subscription, the connection task stops reading while the queue is full, and a
/// transcript from which nothing is taken for 1 s loses its oldest items
/// ([`Overflow::Wait`](crate::Overflow::Wait)). States come also while the task does not read: some
/// 60 of them fit beyond the capacity before the oldest items are lost. [`Gap::Lagged`] counts the
/// lost items of all kinds, at the place of the hole.
///
/// # Drop behavior
///
/// Like a subscription, a transcript keeps the connection alive. While there is one, comments are
/// decoded as well. A [lazy](crate::StreamBuilder::lazy) stream does not connect for it.
#[must_use = "a transcript that is dropped shows nothing"]
pub struct Transcript {
    // Field order is drop order: the reader leaves the hub before the guard counts the readers.
    reader: Reader<TranscriptItem>,
    guard: SubscriberGuard,
}

impl Transcript {
    pub(super) fn new(reader: Reader<TranscriptItem>, guard: Arc<ConnectionGuard>) -> Self {
        Self { reader, guard: SubscriberGuard { guard } }
    }

    /// Waits for the next item; `None` when the stream is closed and everything was taken.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<TranscriptItem> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<TranscriptItem>> {
        // A whole unit per item: a recorder is not the hot path that `CoopBudget` is made for.
        let budget = ready!(coop::poll_proceed(cx));
        let taken = ready!(self.reader.poll_take(cx));
        budget.made_progress();
        Poll::Ready(taken.map(|delivery| match delivery {
            Delivery::Event(item) => item,
            Delivery::Gap(gap) => TranscriptItem::Gap(gap),
        }))
    }
}

impl Stream for Transcript {
    type Item = TranscriptItem;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<TranscriptItem>> {
        self.get_mut().poll_recv(cx)
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transcript").field("stream", &self.guard.connection()).finish_non_exhaustive()
    }
}
