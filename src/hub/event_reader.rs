//! [`EventReader`]: what a subscription reads from, whichever queue it has.

use std::task::{Context, Poll};

use crate::event::{Delivery, Event};

use super::ack::AckHandle;
use super::conflate::ConflateReader;
use super::drain::DrainSignal;
use super::reader::Reader;
use super::readers::Cursor;

/// The queue that a subscription reads from.
#[derive(Debug)]
pub(crate) enum EventReader {
    /// A ring that many subscriptions share.
    Shared(Reader<Event>),
    /// A queue of its own, with only the newest event of each key.
    Conflated(ConflateReader),
}

impl EventReader {
    pub(super) fn cursor(&self) -> &Cursor {
        match self {
            Self::Shared(reader) => &reader.cursor,
            Self::Conflated(reader) => reader.cursor(),
        }
    }

    fn drain(&self) -> &DrainSignal {
        match self {
            Self::Shared(reader) => &reader.drain,
            Self::Conflated(reader) => &reader.drain,
        }
    }

    /// Returns how many events there are to take, whether or not they may be taken.
    fn left(&self) -> u64 {
        match self {
            Self::Shared(reader) => reader.left(),
            Self::Conflated(reader) => reader.left(),
        }
    }

    /// Announces events that the subscription takes before any from this reader: retained ones.
    pub(super) fn expect_replay(&self, events: u64) {
        self.cursor().expect_replay(events);
    }

    /// Notes that one of the replayed events was taken: the subscription is not stuck.
    pub(crate) fn took_replayed(&self) {
        self.cursor().took_replayed();
        self.drain().report(self.cursor(), || self.left());
    }

    /// Returns how many deliveries the subscription had taken, and gave back.
    pub(crate) fn returned(&self) -> u64 {
        self.cursor().returned()
    }

    /// Sets how many it gave back: they are the first of those to be taken.
    pub(crate) fn set_returned(&self, deliveries: u64) {
        self.cursor().set_returned(deliveries);
    }

    /// Returns the name of the subscription.
    pub(crate) fn name(&self) -> &str {
        &self.cursor().name
    }

    /// Returns how many events the subscription has lost because it was slow.
    pub(crate) fn missed(&self) -> u64 {
        self.cursor().missed()
    }

    /// Counts events that it has lost, now that it knows.
    pub(crate) fn count_missed(&self, events: u64) {
        self.cursor().count_missed(events);
    }

    /// Returns true if a drain has run out of time: nothing more may be taken, replayed events
    /// included.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.drain().is_cut_off()
    }

    /// Returns how many events can be taken without waiting.
    pub(crate) fn queued(&self) -> u64 {
        if self.is_cut_off() { 0 } else { self.left() }
    }

    /// Takes the next event that has already left the queue and does not concern the tracker.
    /// `None` does not mean that the queue is empty.
    #[inline]
    pub(crate) fn take_buffered(&mut self) -> Option<Event> {
        match self {
            // A reader that acknowledges buffers nothing.
            Self::Shared(reader) => reader.take_buffered(),
            Self::Conflated(_) => None,
        }
    }

    /// Waits for the next event or gap, and tells the tracker, if there is an `ack`.
    ///
    /// # Cancel safety
    ///
    /// Nothing is taken unless it is returned.
    #[inline]
    pub(crate) fn poll_take(&mut self, cx: &Context<'_>, ack: Option<&AckHandle>) -> Poll<Option<Delivery>> {
        match self {
            Self::Shared(reader) => match ack {
                None => reader.poll_take(cx),
                Some(ack) => reader.poll_take_with(cx, |reader| ack.take(|| reader.take())),
            },
            Self::Conflated(reader) => reader.poll_take_with(cx, |reader| take_tracked(ack, || reader.take())),
        }
    }

    /// Like [`poll_take`](Self::poll_take), without waiting. Leaves no waker: only a task that has
    /// polled before is woken by what comes later.
    pub(crate) fn try_take(&mut self, ack: Option<&AckHandle>) -> Poll<Option<Delivery>> {
        match self {
            Self::Shared(reader) => reader.try_take_with(|reader| take_tracked(ack, || reader.take())),
            Self::Conflated(reader) => reader.try_take_with(|reader| take_tracked(ack, || reader.take())),
        }
    }
}

/// Takes through the handle, if there is one.
fn take_tracked(ack: Option<&AckHandle>, take: impl FnOnce() -> Poll<Option<Delivery>>) -> Poll<Option<Delivery>> {
    match ack {
        None => take(),
        Some(ack) => ack.take(take),
    }
}
