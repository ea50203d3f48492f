//! [`AckHandle`] and [`Acknowledger`]: one subscription's side of the tracker.

use std::fmt;
use std::sync::Arc;
use std::task::Poll;

use crate::event::{Delivery, Event};

use super::AckTracker;

/// Acknowledges the events of one subscription: see
/// [`Subscription::acknowledger`](crate::Subscription::acknowledger).
///
/// Cheap to clone. It borrows nothing, so any task can acknowledge, also while an adapter has the
/// subscription. Keeps nothing alive: what it does not acknowledge before the stream and a drain
/// are over comes again in the next run.
#[derive(Clone)]
pub struct Acknowledger(Option<Arc<Acknowledging>>);

/// The place of one subscription in the tracker.
///
/// # Drop behavior
///
/// Open events stay open, unless the subscription was [retired](AckHandle::retire): nothing else
/// says that they were processed.
pub(super) struct Acknowledging {
    tracker: Arc<AckTracker>,
    number: u64,
}

impl Acknowledger {
    /// Marks an event as processed: see
    /// [`Subscription::acknowledge`](crate::Subscription::acknowledge), which has the rules.
    ///
    /// Goes on working after the subscription is dropped, for events that it took.
    pub fn acknowledge(&self, event: &Event) -> bool {
        self.0.as_ref().is_some_and(|own| own.tracker.acknowledge(own.number, event))
    }
}

impl Drop for Acknowledging {
    fn drop(&mut self) {
        self.tracker.remove(self.number, false);
    }
}

impl fmt::Debug for Acknowledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acknowledger").field("acknowledging", &self.0.is_some()).finish_non_exhaustive()
    }
}

/// The tracker as the subscription itself uses it.
///
/// # Drop behavior
///
/// Events in its queue can never be acknowledged any more. Those that it took can, as long as there
/// is an [`Acknowledger`].
#[derive(Debug)]
pub(crate) struct AckHandle {
    tracker: Arc<AckTracker>,
    /// Its number in the tracker.
    pub(in crate::hub) number: u64,
    acknowledger: Acknowledger,
}

impl AckHandle {
    pub(super) fn new(tracker: Arc<AckTracker>, number: u64) -> Self {
        let own = Acknowledging { tracker: Arc::clone(&tracker), number };
        Self { tracker, number, acknowledger: Acknowledger(Some(Arc::new(own))) }
    }

    /// Returns what acknowledges the events of a subscription; nothing without a handle.
    pub(crate) fn acknowledger(own: Option<&Self>) -> Acknowledger {
        own.map_or(Acknowledger(None), |own| own.acknowledger.clone())
    }

    /// Notes what `take` takes.
    ///
    /// `take` runs under the tracker's lock, so that an event is always in the queue or taken. It
    /// must not call a waker: that may drop a subscription, whose handle takes the lock.
    pub(crate) fn take(&self, take: impl FnOnce() -> Poll<Option<Delivery>>) -> Poll<Option<Delivery>> {
        self.tracker.take(self.number, take)
    }

    /// Acknowledges an event. False if it was not open: never taken here, acknowledged before, or
    /// to come again after a restart.
    pub(crate) fn acknowledge(&self, event: &Event) -> bool {
        self.tracker.acknowledge(self.number, event)
    }

    /// Notes that an event which was taken is gone, and can never be acknowledged.
    pub(crate) fn give_up(&self, event: &Event) {
        self.tracker.give_up(self.number, event.position());
    }

    /// Releases what is open, as if it had been acknowledged.
    pub(crate) fn retire(&self) {
        self.tracker.remove(self.number, true);
    }
}

impl Drop for AckHandle {
    fn drop(&mut self) {
        self.tracker.leave(self.number);
    }
}
