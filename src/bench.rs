//! The hub without a network, for this repository's benches. May change with any commit.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, ready};

use crate::event::{Delivery, Event};
use crate::hub::{Backpressure, Filter, Hub, Overflow, QueueLimits, Subscribed};
use crate::subscription::coop_budget::CoopBudget;

/// Publishes to a hub, and waits while queues are full, as the connection task does.
pub struct HubPublisher {
    hub: Arc<Hub>,
    backpressure: Backpressure,
}

impl HubPublisher {
    /// Makes a hub without subscribers.
    pub fn new() -> Self {
        Self { hub: Arc::new(Hub::new(Arc::default())), backpressure: Backpressure::default() }
    }

    /// Subscribes to everything that is published from now on.
    pub fn subscribe(&self, capacity: usize, overflow: Overflow) -> HubReader {
        let limits = QueueLimits { capacity, bytes: u64::MAX, overflow };
        HubReader { subscribed: self.hub.subscribe(Filter::all(), &limits, false), budget: CoopBudget::default() }
    }

    /// Publishes these events together, or as many at a time as there is room for.
    pub async fn publish(&mut self, events: &[Event]) {
        let mut events = events.iter();
        while !events.as_slice().is_empty() {
            poll_fn(|cx| self.backpressure.poll_ready(cx, &self.hub)).await;
            let mut publisher = self.hub.publisher();
            while publisher.is_ready() {
                let Some(event) = events.next() else { break };
                publisher.event(event.event_type(), |_| event.clone());
            }
            publisher.wake();
        }
    }

    /// Ends the readers after what is queued.
    pub fn close(&self) {
        self.hub.close();
    }
}

impl Default for HubPublisher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for HubPublisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubPublisher")
    }
}

/// Takes what is published.
pub struct HubReader {
    subscribed: Subscribed,
    /// As a subscription has it.
    budget: CoopBudget,
}

impl fmt::Debug for HubReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HubReader")
    }
}

impl HubReader {
    /// Waits for the next event. Returns `None` at the end, or where events were lost.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| {
            let unit = ready!(self.budget.poll(cx));
            let taken = ready!(self.subscribed.reader.poll_take(cx, None));
            self.budget.spend(unit);
            Poll::Ready(match taken {
                Some(Delivery::Event(event)) => Some(event),
                Some(Delivery::Gap(_)) | None => None,
            })
        })
        .await
    }
}
