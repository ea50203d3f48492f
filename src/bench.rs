//! The hub without a network, for this repository's benches. May change with any commit.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;

use crate::event::Event;
use crate::hub::{Backpressure, EventReader, Filter, Hub, Overflow, QueueLimits, Received};
use crate::subscription::coop_budget::CoopBudget;

/// Publishes, and waits for room.
pub struct Publisher {
    hub: Arc<Hub>,
    backpressure: Backpressure,
}

impl Publisher {
    /// One that nobody listens to yet.
    pub fn new() -> Self {
        Self { hub: Arc::new(Hub::new(Arc::default())), backpressure: Backpressure::default() }
    }

    /// Everything that is published from now on.
    pub fn subscribe(&self, capacity: usize, overflow: Overflow) -> Reader {
        let limits = QueueLimits { capacity, bytes: u64::MAX, overflow };
        let source = self.hub.subscribe(Filter::all(), &limits, false).source;
        Reader { source, budget: CoopBudget::default() }
    }

    /// Publishes these together, or as many at a time as there is room for.
    pub async fn publish(&mut self, events: &[Event]) {
        let mut events = events.iter();
        while !events.as_slice().is_empty() {
            poll_fn(|cx| self.backpressure.poll_ready(cx, &self.hub)).await;
            let mut publisher = self.hub.publisher();
            while publisher.has_room() {
                let Some(event) = events.next() else { break };
                publisher.event(event.event_type(), |_| event.clone());
            }
            self.backpressure.left(publisher.has_room());
            publisher.wake();
        }
    }

    /// Readers end after what is queued.
    pub fn close(&self) {
        self.hub.close();
    }
}

impl Default for Publisher {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Publisher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Publisher")
    }
}

/// Takes what is published.
#[derive(Debug)]
pub struct Reader {
    source: EventReader,
    /// As a subscription has it.
    budget: CoopBudget,
}

impl Reader {
    /// The next event; `None` at the end, or where something was lost.
    pub async fn recv(&mut self) -> Option<Event> {
        poll_fn(|cx| {
            let unit = std::task::ready!(self.budget.poll(cx));
            let taken = std::task::ready!(self.source.poll_take(cx, None, || {}));
            self.budget.spend(unit);
            std::task::Poll::Ready(match taken {
                Received::Item(event) => Some(event),
                Received::Lagged(_) | Received::Gap(_) | Received::Closed => None,
            })
        })
        .await
    }
}
