//! [`Transcript`]: the one ordered view of everything that happens to a stream.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::task::coop;

use crate::connection::{ConnectionGuard, SubscriberGuard};
use crate::event::Gap;
use crate::hub::{Reader, Received, TranscriptItem};

/// Everything that happens to a stream, in order: events of all types, comments, gaps, states.
///
/// For recorders. Its queue holds as many items as the stream's [`capacity`](crate::StreamBuilder::capacity) says, and
/// 16 MiB. Like a subscription, one that does not keep up holds up the stream until it moves, and loses its
/// oldest items when it takes none for 1 s ([`Overflow::Wait`](crate::Overflow::Wait)), or when the stream changes its
/// state more often meanwhile than it has room for, which is some 60 items over its capacity. The [`Gap::Lagged`] at
/// that place counts items of all kinds. It starts with what
/// happens after it was made; make it before `connect` to miss nothing. It ends with
/// [`State::Closed`](crate::State::Closed).
///
/// # Drop behavior
///
/// Like a subscription, a transcript keeps the connection alive, and comments being built. A
/// [lazy](crate::StreamBuilder::lazy) stream is not opened for it.
#[must_use = "a transcript that is dropped shows nothing"]
pub struct Transcript {
    // Dropped in this order: the reader leaves the channel before the guard looks who is left.
    reader: Reader<TranscriptItem>,
    guard: SubscriberGuard,
}

impl Transcript {
    pub(crate) fn new(reader: Reader<TranscriptItem>, link: Arc<ConnectionGuard>) -> Self {
        Self { reader, guard: SubscriberGuard::new(link) }
    }

    /// The next item; `None` when the stream is closed and everything was taken.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<TranscriptItem> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<TranscriptItem>> {
        let budget = std::task::ready!(coop::poll_proceed(cx));
        let taken = std::task::ready!(self.reader.poll_take(cx));
        budget.made_progress();
        Poll::Ready(match taken {
            Received::Item(item) => Some(item),
            Received::Lagged(missed) => Some(TranscriptItem::Gap(Gap::Lagged { missed })),
            Received::Gap(gap) => Some(TranscriptItem::Gap(gap)),
            Received::Closed => None,
        })
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
        f.debug_struct("Transcript").field("stream", &self.guard).finish_non_exhaustive()
    }
}
