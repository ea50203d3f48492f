//! [`Subscription`]: a queue of events that is waited for.

use std::fmt;
use std::iter::FusedIterator;
use std::time::Duration;

use crate::error::Error;
use crate::event::{Delivery, Event, Gap};
use crate::handle::Handle;
use crate::state::CloseReason;
use crate::subscription::{self, TryRecvError};

use super::wait::{wait, wait_for};

/// The events of one filter, in wire order: a [`Subscription`](subscription::Subscription) whose holder waits.
///
/// # Losses
///
/// As an iterator it yields events, and says nothing where some are missing: that is only counted
/// ([`missed`](Self::missed), [`losses`](Self::losses)) and logged as a warning. [`deliveries`](Self::deliveries),
/// [`recv`](Self::recv) and its kin tell of each gap at its place; all of them take from the same queue. What happens
/// to a subscriber that is too slow is said [there](subscription::Subscription).
///
/// # The end
///
/// When the connection is closed for good and what was queued has been taken, the iterator yields the failure it was
/// closed for, once; after any other end (a 204, a shutdown) it just ends. Faults that are tried again are none of its
/// business.
///
/// # Drop behavior
///
/// As of any subscription: it keeps the connection alive, which is closed when all handles and subscriptions of the
/// stream are gone.
#[derive(Debug)]
#[must_use = "a subscription that is dropped gets no events"]
pub struct Subscription {
    inner: subscription::Subscription,
    /// Notices of loss that the iterator has passed over.
    losses: u64,
    /// The iterator has yielded the failure, or there was none.
    told: bool,
}

impl Subscription {
    /// Waits for the next event or gap. `None` when the connection is closed for good (or the
    /// [filter](crate::Filter::and) has panicked) and everything that was queued has been taken;
    /// [`close_reason`](Self::close_reason) says why.
    pub fn recv(&mut self) -> Option<Delivery> {
        wait(self.inner.recv())
    }

    /// Waits for the next event or gap, but no longer than this; without any time it takes what is there already.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] when nothing has come by then, [`RecvTimeoutError::Closed`] when nothing will.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Delivery, RecvTimeoutError> {
        match wait_for(limit, self.inner.recv()) {
            Some(Some(delivery)) => Ok(delivery),
            Some(None) => Err(RecvTimeoutError::Closed),
            None => Err(RecvTimeoutError::Timeout),
        }
    }

    /// Waits for a delivery, and takes it and what else is there, up to `limit`, to the end of `buffer`. How many those
    /// were: none only if `limit` is 0, or if the connection is closed for good and everything was taken.
    pub fn recv_many(&mut self, buffer: &mut Vec<Delivery>, limit: usize) -> usize {
        wait(self.inner.recv_many(buffer, limit))
    }

    /// The next event or gap, if there is one.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] when nothing is queued, [`TryRecvError::Closed`] when nothing will be.
    pub fn try_recv(&mut self) -> Result<Delivery, TryRecvError> {
        self.inner.try_recv()
    }

    /// How many events can be taken without waiting: see [`Subscription::queued`](subscription::Subscription::queued).
    pub fn queued(&self) -> usize {
        self.inner.queued()
    }

    /// Events and gaps, until the connection is closed for good.
    pub fn deliveries(&mut self) -> Deliveries<'_> {
        Deliveries { subscription: self }
    }

    /// How many events that matched were lost because this subscription was too slow.
    pub fn missed(&self) -> u64 {
        self.inner.missed()
    }

    /// How often the iterator has passed over a gap in which events were lost ([`Gap::is_loss`]), for whatever reason.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// See [`Subscription::close_reason`](subscription::Subscription::close_reason).
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.inner.close_reason()
    }

    /// A handle of the stream.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// See [`Subscription::acknowledge`](subscription::Subscription::acknowledge).
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.inner.acknowledge(event)
    }

    /// The subscription that is awaited: for [`retire`](subscription::Subscription::retire), say.
    pub fn into_inner(self) -> subscription::Subscription {
        self.inner
    }

    fn pass_over(&mut self, gap: &Gap) {
        self.losses += u64::from(gap.is_loss());
        self.inner.log_if_missing(gap);
    }

    /// The last item, once.
    fn failure(&mut self) -> Option<Error> {
        let first = !std::mem::replace(&mut self.told, true);
        let reason = self.close_reason().filter(|_| first)?;
        reason.error().cloned()
    }
}

impl From<subscription::Subscription> for Subscription {
    fn from(inner: subscription::Subscription) -> Self {
        Self { inner, losses: 0, told: false }
    }
}

impl Iterator for Subscription {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Result<Event, Error>> {
        loop {
            match self.recv() {
                Some(Delivery::Event(event)) => return Some(Ok(event)),
                Some(Delivery::Gap(gap)) => self.pass_over(&gap),
                None => return self.failure().map(Err),
            }
        }
    }
}

impl FusedIterator for Subscription {}

/// The events of a subscription, and the gaps between them: see [`Subscription::deliveries`].
#[derive(Debug)]
#[must_use = "an iterator takes nothing by itself"]
pub struct Deliveries<'a> {
    subscription: &'a mut Subscription,
}

impl Iterator for Deliveries<'_> {
    type Item = Delivery;

    fn next(&mut self) -> Option<Delivery> {
        self.subscription.recv()
    }
}

impl FusedIterator for Deliveries<'_> {}

/// Why [`Subscription::recv_timeout`] gave nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "there is nothing else that a queue without a next item can be")]
pub enum RecvTimeoutError {
    /// Nothing has come in that time.
    Timeout,
    /// Nothing will come: the connection is closed for good, and everything that was queued has been taken.
    Closed,
}

impl fmt::Display for RecvTimeoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "nothing has come in time",
            Self::Closed => "the stream is closed",
        })
    }
}

impl std::error::Error for RecvTimeoutError {}
