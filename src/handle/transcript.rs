//! [`Transcript`]: the one ordered view of everything that happens to a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use tokio::task::coop;

use crate::connection::{ConnectReminder, ConnectionGuard, SubscriberGuard};
use crate::event::Delivery;
use crate::hub::{Filter, Reader, TranscriptItem};
use crate::subscription::TryRecvError;

/// Everything that happens to a stream, in order: events, comments, gaps and states.
///
/// This is the way to comments, and to the place of each between the events:
///
/// ```no_run
/// # async fn record(handle: sseclient::Handle) {
/// use sseclient::TranscriptItem;
///
/// let mut transcript = handle.transcript();
/// while let Some(item) = transcript.recv().await {
///     match item {
///         TranscriptItem::Event(event) => println!("{}", event.data()),
///         TranscriptItem::Comment(comment) => println!("the server says{comment}"),
///         TranscriptItem::Gap(gap) => println!("{gap}"),
///         TranscriptItem::State(state) => println!("{state}"),
///         _ => {}
///     }
/// }
/// # }
/// ```
///
/// Made by [`Handle::transcript`](crate::Handle::transcript), or
/// [`transcript_with`](crate::Handle::transcript_with) for some types of events and another queue.
/// It begins with what happens after it was made; make it before
/// [`connect`](crate::Handle::connect) to miss nothing. It ends with
/// [`State::Closed`](crate::State::Closed).
///
/// # Falling behind
///
/// The queue holds as many items as the stream's [`capacity`](crate::StreamBuilder::capacity), and
/// 16 MiB. As with a subscription, the connection task stops reading while the queue is full, and a
/// transcript from which nothing is taken for 1 s, while a subscription has nothing left to take,
/// loses its oldest items ([`Overflow::Wait`](crate::Overflow::Wait)). States come also while the
/// task does not read: some 60 of them fit beyond the capacity before the oldest items are lost,
/// and 16 MiB of the response heads and bodies that they hold beyond the bytes.
/// [`Gap::Lagged`] counts the lost items of all kinds, at the place of the hole.
///
/// # Drop behavior
///
/// Like a subscription, a transcript keeps the connection alive. While there is one, comments are
/// decoded as well. A [lazy](crate::StreamBuilder::lazy) stream does not connect for it.
///
/// [`Gap::Lagged`]: crate::Gap::Lagged
#[doc(alias = "comment")]
#[must_use = "a transcript that is dropped shows nothing"]
pub struct Transcript {
    // Field order is drop order: the reader leaves the hub before the guard counts the readers.
    reader: Reader<TranscriptItem>,
    /// The hub has narrowed the events by its types, and leaves the predicate to this side.
    filter: Filter,
    reminder: ConnectReminder,
    guard: SubscriberGuard,
}

impl Transcript {
    pub(super) fn new(reader: Reader<TranscriptItem>, filter: Filter, guard: Arc<ConnectionGuard>) -> Self {
        Self { reader, filter, reminder: ConnectReminder::default(), guard: SubscriberGuard { guard } }
    }

    /// Waits for the next item; `None` when the stream is closed and everything was taken.
    ///
    /// Waits forever on a stream that is never [connected](crate::Handle::connect). After 5 s a
    /// warning says so, once for each stream.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<TranscriptItem> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Waits for an item, and appends it and up to `limit - 1` queued ones to `buffer`.
    ///
    /// Returns how many it appended. That is 0 only if the transcript has ended, or if `limit`
    /// is 0.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped: it takes nothing before it completes.
    pub async fn recv_many(&mut self, buffer: &mut Vec<TranscriptItem>, limit: usize) -> usize {
        if limit == 0 {
            return 0;
        }
        let Some(first) = self.recv().await else { return 0 };
        // The caller's buffer may hold items of an earlier call.
        let before = buffer.len();
        buffer.push(first);
        buffer.extend(std::iter::from_fn(|| self.try_recv().ok()).take(limit - 1));
        buffer.len() - before
    }

    /// Takes the next item if one is queued; never waits.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing is queued, [`TryRecvError::Closed`] if the transcript has
    /// ended.
    pub fn try_recv(&mut self) -> Result<TranscriptItem, TryRecvError> {
        loop {
            match self.reader.try_take() {
                Poll::Ready(Some(taken)) => {
                    if let Some(item) = self.wanted(taken) {
                        return Ok(item);
                    }
                }
                Poll::Ready(None) => return Err(TryRecvError::Closed),
                Poll::Pending => return Err(TryRecvError::Empty),
            }
        }
    }

    /// Returns the name from its [options](crate::SubscribeOptions::name); empty without one.
    pub fn name(&self) -> &str {
        self.reader.name()
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<TranscriptItem>> {
        loop {
            // A whole unit per item: a recorder is not the hot path that `CoopBudget` is made for.
            let budget = ready!(coop::poll_proceed(cx));
            let Poll::Ready(taken) = self.reader.poll_take(cx) else {
                self.reminder.poll(cx, self.guard.connection());
                return Poll::Pending;
            };
            budget.made_progress();
            let Some(taken) = taken else { return Poll::Ready(None) };
            if let Some(item) = self.wanted(taken) {
                return Poll::Ready(Some(item));
            }
        }
    }

    /// Returns what was taken, unless it is an event that the filter's predicate rejects.
    fn wanted(&self, taken: Delivery<TranscriptItem>) -> Option<TranscriptItem> {
        match taken {
            Delivery::Event(TranscriptItem::Event(event)) if !self.filter.passes(&event) => None,
            Delivery::Event(item) => Some(item),
            Delivery::Gap(gap) => Some(TranscriptItem::Gap(gap)),
        }
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
        let mut transcript = f.debug_struct("Transcript");
        transcript.field("name", &self.name()).field("stream", &self.guard.connection()).finish_non_exhaustive()
    }
}
