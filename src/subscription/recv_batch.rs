//! [`recv_batch`]: takes several deliveries together, and waits a little for more.

use std::collections::VecDeque;
use std::future::poll_fn;

use tokio::time::{Duration, Instant, timeout_at};

use crate::event::{Delivery, Item};

use super::Subscription;

/// A batch that is not complete.
///
/// # Drop behavior
///
/// Returns what was taken to the subscription, which yields it again first.
struct Batch<'a, T> {
    subscription: &'a mut Subscription<T>,
    taken: VecDeque<Delivery>,
    /// When its first delivery was taken; `None` if nothing has needed to know that.
    begun: Option<Instant>,
}

/// See [`Subscription::recv_batch`].
pub(super) async fn recv_batch<T: Item>(
    subscription: &mut Subscription<T>,
    buffer: &mut Vec<Delivery<T>>,
    limit: usize,
    linger: Duration,
) -> usize {
    // A call that was given up has begun this batch, unless its deliveries were taken since.
    let begun = subscription.batch_begun.take().filter(|_| subscription.queue.reader.returned() > 0);
    let mut batch = Batch { subscription, taken: VecDeque::new(), begun };
    if batch.fill(limit.min(1)).await {
        // What is there at once needs no timer.
        while batch.taken.len() < limit && batch.try_take() {}
        if batch.taken.len() < limit && !linger.is_zero() {
            let begun = *batch.begun.get_or_insert_with(Instant::now);
            // Either way the batch is complete: full, at the end, or out of time.
            let _ = match begun.checked_add(linger) {
                Some(deadline) => timeout_at(deadline, batch.fill(limit)).await,
                None => Ok(batch.fill(limit).await),
            };
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
        self.subscription.batch_begun = self.begun;
        let queue = &mut self.subscription.queue;
        queue.reader.set_returned(queue.reader.returned() + self.taken.len() as u64);
        for delivery in self.taken.drain(..).rev() {
            queue.replay.push_front(Some(delivery));
        }
    }
}
