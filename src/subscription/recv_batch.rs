//! [`recv_batch`]: takes several deliveries together, and waits a little for more.

use std::collections::VecDeque;
use std::future::poll_fn;

use tokio::time::{Duration, timeout};

use crate::event::Delivery;

use super::{Item, Subscription};

/// A batch that is not complete.
///
/// # Drop behavior
///
/// Returns what was taken to the subscription, which yields it again first.
struct Batch<'a, T> {
    subscription: &'a mut Subscription<T>,
    taken: VecDeque<Delivery>,
}

/// See [`Subscription::recv_batch`].
pub(super) async fn recv_batch<T: Item>(
    subscription: &mut Subscription<T>,
    buffer: &mut Vec<Delivery<T>>,
    limit: usize,
    linger: Duration,
) -> usize {
    let mut batch = Batch { subscription, taken: VecDeque::new() };
    if batch.fill(limit.min(1)).await {
        // What is there at once needs no timer.
        while batch.taken.len() < limit && batch.try_take() {}
        if batch.taken.len() < limit && !linger.is_zero() {
            // Either way the batch is complete: full, at the end, or out of time.
            let _ = timeout(linger, batch.fill(limit)).await;
        }
    }
    let before = buffer.len();
    // One by one: if decoding an event panics, those after it are not lost.
    while let Some(delivery) = batch.taken.pop_front() {
        buffer.push(delivery.map(T::from_event));
    }
    buffer.len() - before
}

impl<T> Batch<'_, T> {
    /// Takes until there are `limit`. Returns false at the end of the subscription, or if there is
    /// nothing to take.
    async fn fill(&mut self, limit: usize) -> bool {
        while self.taken.len() < limit {
            let Some(delivery) = poll_fn(|cx| self.subscription.poll_take(cx)).await else { return false };
            self.taken.push_back(delivery);
        }
        limit > 0
    }

    /// Takes one delivery if it is there.
    fn try_take(&mut self) -> bool {
        let before = self.taken.len();
        let _ = self.subscription.next_delivery(None).map(|delivery| self.taken.extend(delivery));
        self.taken.len() > before
    }
}

impl<T> Drop for Batch<'_, T> {
    fn drop(&mut self) {
        let queue = &mut self.subscription.queue;
        queue.returned += self.taken.len();
        for delivery in self.taken.drain(..).rev() {
            queue.replay.push_front(Some(delivery));
        }
    }
}
