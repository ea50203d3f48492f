//! [`DrainTracker`]: what subscriptions take of a hub that closes, and what they leave.

use std::sync::Arc;

use tokio::time::Instant;

use super::cursor::Cursor;
use super::finish::DrainSignal;

/// Counts from when it was made.
pub(crate) struct DrainTracker {
    starts: Vec<Start>,
    finish: Arc<DrainSignal>,
    /// As of then.
    hurries: usize,
}

/// Where a reader was when the drain_tracker began.
struct Start {
    cursor: Arc<Cursor>,
    taken: u64,
}

impl DrainTracker {
    pub(super) fn new(cursors: impl Iterator<Item = Arc<Cursor>>, finish: Arc<DrainSignal>) -> Self {
        let hurries = finish.hurries();
        Self { starts: cursors.map(Start::new).collect(), finish, hurries }
    }

    /// Waits until everything has been taken or dropped, at most until `deadline` or somebody is in a hurry; then
    /// readers are cut off. The hub has to be closed by somebody.
    pub(crate) async fn settle(&self, deadline: Instant) {
        let settled = self.finish.drained(self.hurries, || self.starts.iter().all(Start::is_settled));
        if !tokio::time::timeout_at(deadline, settled).await.unwrap_or(false) {
            self.finish.cut_off();
        }
    }

    /// How many items were taken, and how many were not. For a hub that is closed: before, nothing says
    /// what is left.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (self.starts.iter().map(Start::taken).sum(), self.starts.iter().map(Start::left).sum())
    }
}

impl Start {
    fn new(cursor: Arc<Cursor>) -> Self {
        Self { taken: cursor.moves(), cursor }
    }

    fn is_settled(&self) -> bool {
        self.cursor.is_gone() || self.cursor.left() == Some(0)
    }

    fn taken(&self) -> u64 {
        self.cursor.moves() - self.taken
    }

    fn left(&self) -> u64 {
        self.cursor.left().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::Instant;

    use crate::event::Event;
    use crate::hub::tests::take;
    use crate::hub::{Filter, Hub, Overflow, QueueLimits, Received};

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_comes_before_the_close_leaves_nothing_uncounted() {
        let hub = Hub::new(Arc::default());
        let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(16, Overflow::DropOldest), false);
        for _ in 0..10 {
            hub.publisher().event("message", |_| Event::builder().build().unwrap());
        }
        hub.wake();
        let drain_tracker = hub.drain_tracker();
        let taken = tokio_test::task::spawn(()).enter(|cx, _| subscribed.source.poll_take(cx, None, || {}));
        assert!(matches!(taken, Poll::Ready(Received::Item(_))));
        // The connection task has not come to the close yet.
        drain_tracker.settle(Instant::now()).await;
        hub.close();
        assert_eq!(drain_tracker.counts(), (1, 9));
    }

    #[test]
    fn what_had_no_room_in_a_conflating_queue_is_nothing_that_is_still_to_take() {
        let hub = Hub::new(Arc::default());
        let mut latest = hub.subscribe(Filter::all(), &QueueLimits::of(2, Overflow::Conflate), false);
        for number in 0..10 {
            let event = Event::builder().event_type(number.to_string()).build().unwrap();
            hub.publisher().event(event.event_type(), |_| event.clone());
        }
        hub.wake();
        assert_eq!(hub.lag(), 2);
        assert!(matches!(take(&mut latest), Poll::Ready(Received::Lagged(8))));
        assert_eq!(hub.lag(), 2);
        assert!(matches!(take(&mut latest), Poll::Ready(Received::Item(_))));
        assert_eq!(hub.lag(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_lost_before_is_not_dropped_whether_its_reader_has_been_told_or_not() {
        for overflow in [Overflow::DropOldest, Overflow::Conflate] {
            for told in [false, true] {
                for gone in [false, true] {
                    let hub = Hub::new(Arc::default());
                    let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(16, overflow.clone()), false);
                    for number in 0..1000 {
                        let event = Event::builder().event_type(number.to_string()).build().unwrap();
                        hub.publisher().event(event.event_type(), |_| event.clone());
                    }
                    hub.wake();
                    let drain_tracker = hub.drain_tracker();
                    hub.close();
                    if told {
                        assert!(matches!(take(&mut subscribed), Poll::Ready(Received::Lagged(984))));
                    }
                    let kept = (!gone).then_some(subscribed);
                    drain_tracker.settle(Instant::now()).await;
                    assert_eq!(drain_tracker.counts(), (0, 16), "{overflow:?}, {told}, {gone}");
                    drop(kept);
                }
            }
        }
    }

    #[test]
    fn what_a_subscription_left_that_was_dropped_before_is_not_counted() {
        for panics in [false, true] {
            let hub = Hub::new(Arc::default());
            let filter = Filter::matching(move |event| {
                assert!(!panics || event.data() != "last");
                true
            });
            let subscribed = hub.subscribe(filter, &QueueLimits::of(16, Overflow::DropOldest), false);
            for data in ["one", "two", "last"] {
                hub.publisher().event("message", |_| Event::builder().data(data).build().unwrap());
            }
            hub.wake();
            if !panics {
                hub.close();
            }
            drop(subscribed);
            hub.prune();
            assert_eq!(hub.drain_tracker().counts(), (0, 0), "{panics}");
        }
    }

    #[test]
    fn a_queue_that_is_full_of_bytes_holds_no_more_than_it_does() {
        let hub = Hub::new(Arc::default());
        let limits = QueueLimits { capacity: 16, bytes: 10, overflow: Overflow::DropOldest };
        let subscribed = hub.subscribe(Filter::all(), &limits, false);
        for _ in 0..9 {
            hub.publisher().event("message", |_| Event::builder().data("0123456").build().unwrap());
        }
        hub.wake();
        assert_eq!(hub.lag(), 2);
        let drain_tracker = hub.drain_tracker();
        hub.close();
        assert_eq!(drain_tracker.counts(), (0, 2));
        drop(subscribed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_last_item_that_was_taken_without_a_word_does_not_hold_a_drain_until_its_deadline() {
        let hub = Hub::new(Arc::default());
        let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(16, Overflow::DropOldest), false);
        hub.publisher().event("message", |_| Event::builder().build().unwrap());
        hub.close();
        let drain_tracker = hub.drain_tracker();
        let begun = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut settling = tokio_test::task::spawn(drain_tracker.settle(begun + hour));
        assert!(settling.poll().is_pending());
        // As by a reader that does not see yet that somebody waits.
        hub.finish.forget();
        let taken = tokio_test::task::spawn(()).enter(|cx, _| subscribed.source.poll_take(cx, None, || {}));
        assert!(matches!(taken, Poll::Ready(Received::Item(_))));
        settling.await;
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
