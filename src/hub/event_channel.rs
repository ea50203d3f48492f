//! [`EventChannel`]: the channel of all subscriptions with one filter and the same limits.

use std::sync::Arc;

use crate::event::{Delivery, Event, Gap};

use super::ack::AckTracker;
use super::backpressure::PublisherWait;
use super::channel::Channel;
use super::drain::DrainSignal;
use super::filter::Filter;
use super::overflow::{QueueItem as _, QueueLimits};
use super::predicate::{Evaluation, Evaluator};
use super::reader::Reader;
use super::readers::Cursor;
use super::subscription_stats::SubscriptionStats;

/// A channel of events that match a filter. Under the hub's lock.
///
/// A filter with a predicate has a channel of its own, even if another filter is equal: a predicate
/// that panics then ends one subscription only. Predicates are user code and never called under a
/// lock, so such a channel collects what is published, in order, until the turn is over; then the
/// hub [evaluates](Evaluation) it and the channel [accepts](Self::accept) what passes.
#[derive(Debug)]
pub(super) struct EventChannel {
    pub(super) filter: Filter,
    evaluator: Option<Evaluator>,
    /// The events and gaps of this turn, if there is a predicate.
    unevaluated: Vec<Delivery>,
    /// The numbers of the readers that acknowledge, copied from the ring: a reader locks the
    /// tracker before the ring, so the publisher must not lock it after.
    acks: Vec<u64>,
    pub(super) queue: Channel<Event>,
}

impl EventChannel {
    pub(super) fn new(
        filter: Filter,
        evaluator: Option<Evaluator>,
        limits: &QueueLimits,
        wait: &Arc<PublisherWait>,
    ) -> Self {
        let queue = Channel::new(limits, 0, wait);
        Self { filter, evaluator, unevaluated: Vec::new(), acks: Vec::new(), queue }
    }

    /// Returns true if a subscription with this filter and these limits can share the channel.
    pub(super) fn is_shared_by(&self, filter: &Filter, limits: &QueueLimits) -> bool {
        self.evaluator.is_none() && self.filter == *filter && self.queue.ring.limits == *limits
    }

    /// Returns true if events have to be evaluated before they enter the queue.
    pub(super) fn has_predicate(&self) -> bool {
        self.evaluator.is_some()
    }

    /// Returns true if this is the channel of that evaluator.
    pub(super) fn is_of(&self, evaluator: &Evaluator) -> bool {
        self.evaluator.as_ref().is_some_and(|own| own.is_same(evaluator))
    }

    /// Adds a reader: see [`Channel::reader`].
    pub(super) fn reader(&mut self, name: Arc<str>, drain: &Arc<DrainSignal>, ack: Option<u64>) -> Reader<Event> {
        self.acks.extend(ack);
        self.queue.reader(name, drain, ack)
    }

    /// Publishes an event whose type matches. Returns true if there is credit for another.
    #[inline]
    pub(super) fn send(&mut self, tracker: Option<&AckTracker>, event: Event) -> bool {
        // A tracked event costs two locks more, and a predicate waits for the end of the turn, so
        // channels with neither take the short way.
        if self.evaluator.is_none() && self.acks.is_empty() {
            return self.queue.publish(event);
        }
        self.send_checked(tracker, event)
    }

    /// Publishes an event that a predicate or the tracker has to see.
    #[cold]
    fn send_checked(&mut self, tracker: Option<&AckTracker>, event: Event) -> bool {
        // Charged before the predicate is known to pass, or a turn could overrun the queue.
        let has_credit = self.queue.charge(event.bytes());
        if self.evaluator.is_none() {
            self.enter(tracker, event);
        } else {
            self.defer(tracker, event);
        }
        has_credit
    }

    /// Publishes a gap that concerns the filter.
    pub(super) fn send_gap(&mut self, gap: &Gap) {
        if self.evaluator.is_none() {
            self.queue.publish_gap(gap);
        } else {
            self.unevaluated.push(Delivery::Gap(gap.clone()));
        }
    }

    /// Collects an event until the predicate can be evaluated.
    fn defer(&mut self, tracker: Option<&AckTracker>, event: Event) {
        if let Some(tracker) = tracker.filter(|_| !self.acks.is_empty()) {
            // The tracker needs positions in the order in which events were published.
            tracker.announce(&event);
        }
        self.unevaluated.push(Delivery::Event(event));
    }

    /// Enters an event that has passed, and for which the credit has been charged.
    fn enter(&mut self, tracker: Option<&AckTracker>, event: Event) {
        if self.acks.is_empty() {
            return self.queue.enter(event);
        }
        if let Some(tracker) = tracker {
            tracker.published(&self.acks, &event);
        }
        self.queue.enter(event);
        // The tracker takes it for queued, so it has to be in the queue.
        self.queue.flush();
    }

    /// Takes what has to be evaluated when no lock is held. `index`: that of this channel.
    pub(super) fn take_evaluation(&mut self, index: usize) -> Option<Evaluation> {
        let evaluator = self.evaluator.as_ref().filter(|_| !self.unevaluated.is_empty())?;
        Some(Evaluation::new(index, evaluator.clone(), std::mem::take(&mut self.unevaluated)))
    }

    /// Publishes what has passed the predicate. False if the predicate has panicked: then nothing
    /// more comes.
    pub(super) fn accept(&mut self, tracker: Option<&AckTracker>, evaluation: &mut Evaluation) -> bool {
        for delivery in evaluation.passed.drain(..) {
            match delivery {
                Delivery::Event(event) => self.enter(tracker, event),
                Delivery::Gap(gap) => self.queue.publish_gap(&gap),
            }
        }
        // Only now: the subscription still gets all that passed before the panic.
        let Some(event) = &evaluation.panicked_at else { return true };
        if let Some(tracker) = tracker {
            tracker.refused(&self.acks, event);
        }
        false
    }

    /// Returns what its readers have to take and have lost.
    pub(super) fn stats(&self, tracker: Option<&AckTracker>) -> Vec<SubscriptionStats> {
        let mut looks = Vec::new();
        self.queue.ring.look_at_readers(|entry, queued, hole| {
            looks.push((Arc::clone(&entry.cursor), queued, hole, entry.ack));
        });
        // Without the ring's lock: a reader locks the tracker before the ring.
        let stats = |(cursor, queued, hole, ack): (Arc<Cursor>, u64, u64, Option<u64>)| {
            SubscriptionStats::new(&cursor, queued, hole, ack.zip(tracker))
        };
        looks.into_iter().map(stats).collect()
    }

    /// Forgets readers that are gone. Returns true if any are left.
    pub(super) fn prune(&mut self) -> bool {
        let Self { acks, queue, .. } = self;
        queue.ring.with_readers(|readers| {
            // Numbers of readers that are gone do no harm, but must not pile up.
            if !acks.is_empty() {
                *acks = readers.acks().collect();
            }
            readers.len() > 0
        })
    }
}
