//! [`Subscription`]: a queue of events that blocks its reader.

use std::fmt;
use std::iter::FusedIterator;
use std::time::{Duration, Instant};

use crate::connection::connect_reminder::REMIND_AFTER;
use crate::error::Error;
use crate::event::{Delivery, Event};
use crate::handle::Handle;
use crate::hub::Acknowledger;
use crate::state::CloseReason;
use crate::subscription::{self, TryRecvError};

use super::fork::{forked, in_process, is_elsewhere};
use super::wait::{wait, wait_for};

/// The events that pass one filter, in wire order, for a thread that waits for them.
///
/// A blocking [`Subscription`](subscription::Subscription): that type describes what happens to a
/// subscriber that falls behind.
///
/// # Loss
///
/// The iterator yields events only. Where events are missing, it counts
/// ([`missed`](Self::missed), [`losses`](Self::losses)) and logs a warning.
/// [`deliveries`](Self::deliveries), [`recv`](Self::recv) and its variants yield each gap in its
/// place. All of them take from the same queue.
///
/// # The end
///
/// The iterator ends when the connection is closed for good and all queued events have been taken.
/// If the stream failed, the last item is the error; after any other end (a 204, a shutdown) there
/// is none. Failures that are retried are not reported here.
///
/// # Drop behavior
///
/// A subscription keeps the connection alive. When all handles, subscriptions and transcripts of a
/// stream are dropped, the connection closes.
#[derive(Debug)]
#[must_use = "a subscription that is dropped gets no events"]
pub struct Subscription {
    inner: subscription::Subscription,
    losses: u64,
    /// The iterator has ended: it has yielded the failure, if there was one.
    has_ended: bool,
}

impl Subscription {
    /// Blocks until there is an event or gap; `None` when the subscription has ended.
    ///
    /// See [`Subscription::recv`](subscription::Subscription::recv).
    ///
    /// Blocks forever on a stream that is never [connected](super::Client::connect). After 5 s a
    /// warning says so, once for each stream.
    pub fn recv(&mut self) -> Option<Delivery> {
        self.recv_or_remind(REMIND_AFTER)
    }

    /// Warns if the stream is not connected within `patience`: this thread has no timers.
    fn recv_or_remind(&mut self, patience: Duration) -> Option<Delivery> {
        if !self.inner.guard().connection().task.is_spawned() {
            if let Some(received) = wait_for(patience, self.inner.recv()) {
                return received;
            }
            self.inner.guard().connection().remind();
        }
        wait(in_process(self.process(), self.inner.recv())).flatten()
    }

    /// Blocks until there is an event or gap, at most for `limit`.
    ///
    /// With a limit of zero it takes only what is already queued.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError::Timeout`] if nothing came in time, [`RecvTimeoutError::Closed`] if the
    /// subscription has ended.
    pub fn recv_timeout(&mut self, limit: Duration) -> Result<Delivery, RecvTimeoutError> {
        let received = wait_for(limit, in_process(self.process(), self.inner.recv()));
        received.ok_or(RecvTimeoutError::Timeout)?.flatten().ok_or(RecvTimeoutError::Closed)
    }

    /// Blocks until there is a delivery, and appends it and up to `limit - 1` queued ones.
    ///
    /// Returns how many it appended. That is 0 only if the subscription has ended, or if `limit`
    /// is 0.
    pub fn recv_many(&mut self, buffer: &mut Vec<Delivery>, limit: usize) -> usize {
        wait(in_process(self.process(), self.inner.recv_many(buffer, limit))).unwrap_or(0)
    }

    /// Blocks until there is a delivery, and appends it and those that come within `linger`: up to
    /// `limit` in all.
    ///
    /// See [`Subscription::recv_batch`](subscription::Subscription::recv_batch).
    pub fn recv_batch(&mut self, buffer: &mut Vec<Delivery>, limit: usize, linger: Duration) -> usize {
        // Not by the asynchronous method, whose timer needs a runtime.
        let mut appended = self.recv_many(buffer, limit);
        let begun = Instant::now();
        while (1..limit).contains(&appended) {
            let Ok(delivery) = self.recv_timeout(linger.saturating_sub(begun.elapsed())) else { break };
            buffer.push(delivery);
            appended += 1;
        }
        appended
    }

    /// Takes the next event or gap if one is queued; never blocks.
    ///
    /// # Errors
    ///
    /// [`TryRecvError::Empty`] if nothing is queued, [`TryRecvError::Closed`] if the subscription
    /// has ended.
    pub fn try_recv(&mut self) -> Result<Delivery, TryRecvError> {
        self.inner.try_recv()
    }

    /// Returns an iterator over events and gaps, which ends with the subscription.
    pub fn deliveries(&mut self) -> Deliveries<'_> {
        Deliveries { subscription: self }
    }

    /// Returns how many events can be taken without blocking.
    ///
    /// See [`Subscription::queued`](subscription::Subscription::queued).
    pub fn queued(&self) -> usize {
        self.inner.queued()
    }

    /// Returns how many events that pass the filter were lost because this subscription was slow.
    pub fn missed(&self) -> u64 {
        self.inner.missed()
    }

    /// Returns how many gaps with lost events ([`Gap::is_loss`](crate::Gap::is_loss)) the iterator
    /// has skipped.
    pub fn losses(&self) -> u64 {
        self.losses
    }

    /// Returns why the subscription ended; `None` before.
    ///
    /// See [`Subscription::close_reason`](subscription::Subscription::close_reason).
    pub fn close_reason(&self) -> Option<CloseReason> {
        let forked = || is_elsewhere(self.process()).then(|| CloseReason::Failed(forked()));
        self.inner.close_reason().or_else(forked)
    }

    /// Returns a handle of the stream.
    pub fn handle(&self) -> Handle {
        self.inner.handle()
    }

    /// Marks an event as processed.
    ///
    /// See [`Subscription::acknowledge`](subscription::Subscription::acknowledge).
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.inner.acknowledge(event)
    }

    /// Returns what acknowledges the events of this subscription on any thread.
    ///
    /// See [`Subscription::acknowledger`](subscription::Subscription::acknowledger).
    pub fn acknowledger(&self) -> Acknowledger {
        self.inner.acknowledger()
    }

    /// Returns the process whose thread drives the stream.
    fn process(&self) -> Option<u32> {
        self.inner.guard().connection().task.process()
    }

    /// Returns the asynchronous subscription, to [`retire`](subscription::Subscription::retire) it,
    /// for example.
    pub fn into_inner(self) -> subscription::Subscription {
        self.inner
    }
}

impl From<subscription::Subscription> for Subscription {
    fn from(inner: subscription::Subscription) -> Self {
        Self { inner, losses: 0, has_ended: false }
    }
}

impl Iterator for Subscription {
    type Item = Result<Event, Error>;

    fn next(&mut self) -> Option<Result<Event, Error>> {
        while let Some(delivery) = self.recv() {
            match delivery {
                Delivery::Event(event) => return Some(Ok(event)),
                Delivery::Gap(gap) => {
                    self.losses += u64::from(gap.is_loss());
                    self.inner.log_loss(&gap);
                }
            }
        }
        // The error comes once: an iterator that is called after its end goes on returning `None`.
        if std::mem::replace(&mut self.has_ended, true) {
            return None;
        }
        self.close_reason().and_then(|reason| reason.error().cloned()).map(Err)
    }
}

impl FusedIterator for Subscription {}

/// An iterator over events and the gaps between them: see [`Subscription::deliveries`].
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

/// The reason why [`Subscription::recv_timeout`] returned nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "a wait without a result either timed out or has nothing to wait for")]
pub enum RecvTimeoutError {
    /// Nothing came in time.
    Timeout,
    /// The subscription has ended: the connection is closed for good, and all events were taken.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Filter};

    #[test]
    fn a_reader_of_a_stream_that_nothing_connects_is_reminded() {
        let handle = Client::new().stream("http://127.0.0.1/").build().unwrap();
        let mut events = Subscription::from(handle.subscribe(Filter::all()));
        let other = handle.subscribe(Filter::all());
        let reading = std::thread::spawn(move || events.recv_or_remind(Duration::from_millis(1)));
        while !other.guard().connection().has_reminded() {
            std::thread::yield_now();
        }
        drop(handle.shutdown());
        assert!(reading.join().unwrap().is_none());
    }
}
