//! [`DrainTracker`] and [`DrainSignal`]: waiting at shutdown until subscribers have emptied their
//! queues.
//!
//! A reader that has taken everything says so through the signal; a tracker waits for all the
//! readers that there were when it was made, until a deadline. Then it cuts them off: they take
//! nothing more.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering, fence};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::readers::Cursor;

/// The pause before the second look at the queues: a position that another thread has stored is
/// visible by then.
const STORE_VISIBLE: Duration = Duration::from_millis(1);

/// The flag of a drain that waits for readers to take everything.
const AWAITED: u8 = 1;
/// The flag of readers that are to take nothing more.
const CUT_OFF: u8 = 2;
/// The flag of readers that are to note when they take something.
const OBSERVED: u8 = 4;

/// Counts what subscribers take of a hub that closes, and what they leave.
pub(crate) struct DrainTracker {
    starts: Vec<DrainStart>,
    signal: Arc<DrainSignal>,
    /// The number of drains that had been cut short when this one began.
    cut_short: usize,
}

/// The items of a hub that its subscribers have taken and left.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DrainCounts {
    pub(crate) delivered: u64,
    pub(crate) dropped: u64,
}

/// A reader, and how much it had taken when the drain began.
struct DrainStart {
    cursor: Arc<Cursor>,
    progress: u64,
}

impl DrainTracker {
    pub(super) fn new(cursors: impl Iterator<Item = Arc<Cursor>>, signal: Arc<DrainSignal>) -> Self {
        let cut_short = signal.cut_short.load(Ordering::Acquire);
        let starts = cursors.map(|cursor| DrainStart { progress: cursor.progress(), cursor }).collect();
        Self { starts, signal, cut_short }
    }

    /// Waits until everything has been taken or dropped, at most until `deadline` or until a
    /// shutdown that does not wait cuts the drain short. Then it cuts readers off. The hub has
    /// to be closed meanwhile.
    pub(crate) async fn wait(&self, deadline: Instant) {
        let drained = self.signal.drained(self.cut_short, || self.starts.iter().all(DrainStart::is_drained));
        // A deadline that has passed means the same as a drain that was cut short.
        if !tokio::time::timeout_at(deadline, drained).await.unwrap_or(false) {
            self.signal.cut_off();
        }
    }

    /// Returns how many items were taken and how many were left. Call it once the hub is closed:
    /// before, it is not known what is left.
    pub(crate) fn counts(&self) -> DrainCounts {
        let delivered = self.starts.iter().map(|start| start.cursor.progress() - start.progress).sum();
        let dropped = self.starts.iter().map(|start| start.cursor.left().unwrap_or(0)).sum();
        DrainCounts { delivered, dropped }
    }
}

impl DrainStart {
    fn is_drained(&self) -> bool {
        self.cursor.is_gone() || self.cursor.left() == Some(0)
    }
}

/// The link between the readers of a hub and the drains that wait for them.
#[derive(Debug, Default)]
pub(crate) struct DrainSignal {
    /// Read for each item taken, so it costs no more than a load while no drain waits.
    flags: AtomicU8,
    /// The number of drains that have been cut short.
    cut_short: AtomicUsize,
    /// A reader of a closed hub has taken everything, or is gone.
    reader_done: Notify,
}

impl DrainSignal {
    /// Waits until `is_drained`, which is called whenever a reader is done, or until readers are
    /// cut off. False if a drain has been cut short since there were `cut_short`.
    async fn drained(&self, cut_short: usize, is_drained: impl Fn() -> bool) -> bool {
        self.flags.fetch_or(AWAITED, Ordering::SeqCst);
        // The flag before the look at the queues; a reader stores its position before it looks at
        // the flag. One of the two sees the other.
        fence(Ordering::SeqCst);
        // A reader has a fence only where it finds nothing, because one for each item would be
        // expensive. So a take at the very moment at which the flag is raised may miss the flag,
        // and the look may miss the take. That is why there is a second look.
        let sleep = std::pin::pin!(tokio::time::sleep(STORE_VISIBLE));
        let mut second_look = Some(sleep);
        loop {
            let mut reader_done = std::pin::pin!(self.reader_done.notified());
            // Registered before the look, so that no reader is missed in between.
            reader_done.as_mut().enable();
            if is_drained() || self.is_cut_off() {
                return true;
            }
            if self.cut_short.load(Ordering::Acquire) != cut_short {
                return false;
            }
            match &mut second_look {
                None => reader_done.await,
                Some(sleep) => tokio::select! {
                    () = reader_done => {}
                    () = sleep.as_mut() => second_look = None,
                },
            }
        }
    }

    /// Says that a reader is done, if a drain waits and nothing is `left` to take.
    #[inline]
    pub(super) fn report(&self, cursor: &Cursor, left: impl FnOnce() -> u64) {
        let flags = self.flags.load(Ordering::Relaxed);
        if flags == 0 {
            return;
        }
        if flags & OBSERVED != 0 {
            cursor.note_take();
        }
        if flags & !OBSERVED != 0 && left() == 0 {
            self.reader_done();
        }
    }

    /// Like [`report`](Self::report), for a reader that is about to sleep. Its position is stored
    /// before it looks at the flags, so that a drain does not miss it.
    pub(super) fn report_before_sleep(&self, cursor: &Cursor, left: impl FnOnce() -> u64) {
        fence(Ordering::SeqCst);
        self.report(cursor, left);
    }

    /// Makes readers note when they take something: a look at the clock for each event.
    pub(super) fn observe(&self) {
        self.flags.fetch_or(OBSERVED, Ordering::Relaxed);
    }

    /// Makes drains look at their readers again: one is done, or gone.
    pub(super) fn reader_done(&self) {
        self.reader_done.notify_waiters();
    }

    /// Ends the wait of all drains that have begun: a shutdown came that does not wait.
    pub(super) fn cut_short(&self) {
        // Before the signal: a drain that wakes up looks at this number.
        self.cut_short.fetch_add(1, Ordering::AcqRel);
        self.reader_done();
    }

    /// Makes readers take nothing more, and ends all waits for them.
    fn cut_off(&self) {
        // Before the signal: a drain that wakes up looks at the flags.
        self.flags.fetch_or(CUT_OFF, Ordering::SeqCst);
        self.reader_done();
    }

    /// Returns true if readers are to take nothing more.
    #[inline]
    pub(super) fn is_cut_off(&self) -> bool {
        self.flags.load(Ordering::Relaxed) & CUT_OFF != 0
    }

    /// Forgets that a drain waits, as a reader sees it that does not see the flag yet.
    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.flags.store(0, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::Poll;
    use std::time::Duration;

    use tokio::time::Instant;

    use crate::event::{Delivery, Event, Gap};
    use crate::hub::tests::take;
    use crate::hub::{DrainCounts, Filter, Hub, Overflow, QueueLimits};

    #[tokio::test(start_paused = true)]
    async fn a_deadline_before_the_close_leaves_nothing_uncounted() {
        let hub = Hub::new(Arc::default());
        let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(16, Overflow::DropOldest), false);
        for _ in 0..10 {
            hub.publisher().event("message", |_| Event::builder().build().unwrap());
        }
        hub.wake();
        let drain_tracker = hub.drain_tracker();
        let taken = tokio_test::task::spawn(()).enter(|cx, _| subscribed.reader.poll_take(cx, None));
        assert!(matches!(taken, Poll::Ready(Some(Delivery::Event(_)))));
        // The connection task has not come to the close yet.
        drain_tracker.wait(Instant::now()).await;
        hub.close();
        assert_eq!(drain_tracker.counts(), DrainCounts { delivered: 1, dropped: 9 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_gap_that_comes_next_is_reported_even_after_the_deadline() {
        let hub = Hub::new(Arc::default());
        let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(2, Overflow::DropOldest), false);
        hub.publisher().gap(None, &Gap::reconnected(None));
        hub.publisher().event("message", |_| Event::builder().build().unwrap());
        hub.close();
        hub.drain_tracker().wait(Instant::now()).await;
        assert!(matches!(take(&mut subscribed), Poll::Ready(Some(Delivery::Gap(_)))));
        assert!(matches!(take(&mut subscribed), Poll::Ready(None)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_loss_is_reported_after_the_deadline_wherever_it_was() {
        for overflow in [Overflow::DropOldest, Overflow::Conflate] {
            for is_buffered in [false, true] {
                let hub = Hub::new(Arc::default());
                let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(16, overflow.clone()), false);
                let publish = |events: u64| {
                    for number in 0..events {
                        let event = Event::builder().event_type(number.to_string()).build().unwrap();
                        hub.publisher().event(event.event_type(), |_| event.clone());
                    }
                    hub.wake();
                };
                if is_buffered {
                    publish(16);
                    assert!(matches!(take(&mut subscribed), Poll::Ready(Some(Delivery::Event(_)))));
                }
                publish(1000);
                hub.close();
                let drain_tracker = hub.drain_tracker();
                drain_tracker.wait(Instant::now()).await;
                // A ring's reader holds the rest of the first events, which nothing pushes out.
                let buffered = if is_buffered && overflow == Overflow::DropOldest { 15 } else { 0 };
                let case = format!("{overflow:?}, {is_buffered}");
                let Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed }))) = take(&mut subscribed) else {
                    panic!("no gap: {case}")
                };
                assert_eq!(missed, 984, "{case}");
                assert!(matches!(take(&mut subscribed), Poll::Ready(None)), "{case}");
                let counts = DrainCounts { delivered: 0, dropped: 16 + buffered };
                assert_eq!(drain_tracker.counts(), counts, "{case}");
            }
        }
    }

    #[test]
    fn events_lost_by_a_conflating_queue_do_not_count_as_lag() {
        let hub = Hub::new(Arc::default());
        let mut latest = hub.subscribe(Filter::all(), &QueueLimits::of(2, Overflow::Conflate), false);
        for number in 0..10 {
            let event = Event::builder().event_type(number.to_string()).build().unwrap();
            hub.publisher().event(event.event_type(), |_| event.clone());
        }
        hub.wake();
        assert_eq!(hub.lag(), 2);
        assert!(matches!(take(&mut latest), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 8 })))));
        assert_eq!(hub.lag(), 2);
        assert!(matches!(take(&mut latest), Poll::Ready(Some(Delivery::Event(_)))));
        assert_eq!(hub.lag(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn events_lost_before_a_drain_do_not_count_as_dropped_in_it() {
        for overflow in [Overflow::DropOldest, Overflow::Conflate] {
            for is_reported in [false, true] {
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
                    if is_reported {
                        assert!(matches!(
                            take(&mut subscribed),
                            Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 984 })))
                        ));
                    }
                    let kept = (!gone).then_some(subscribed);
                    drain_tracker.wait(Instant::now()).await;
                    assert_eq!(
                        drain_tracker.counts(),
                        DrainCounts { delivered: 0, dropped: 16 },
                        "{overflow:?}, {is_reported}, {gone}"
                    );
                    drop(kept);
                }
            }
        }
    }

    #[test]
    fn events_left_by_a_subscription_that_is_gone_are_not_counted() {
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
            assert_eq!(hub.drain_tracker().counts(), DrainCounts { delivered: 0, dropped: 0 }, "{panics}");
        }
    }

    #[test]
    fn a_queue_full_of_bytes_counts_only_the_events_that_it_holds() {
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
        assert_eq!(drain_tracker.counts(), DrainCounts { delivered: 0, dropped: 2 });
        drop(subscribed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_take_that_misses_the_flag_does_not_hold_a_drain_to_its_deadline() {
        let hub = Hub::new(Arc::default());
        let mut subscribed = hub.subscribe(Filter::all(), &QueueLimits::of(16, Overflow::DropOldest), false);
        hub.publisher().event("message", |_| Event::builder().build().unwrap());
        hub.close();
        let drain_tracker = hub.drain_tracker();
        let begun = Instant::now();
        let hour = Duration::from_secs(3600);
        let mut settling = tokio_test::task::spawn(drain_tracker.wait(begun + hour));
        assert!(settling.poll().is_pending());
        // A reader that does not see yet that a drain waits.
        hub.drain.forget();
        let taken = tokio_test::task::spawn(()).enter(|cx, _| subscribed.reader.poll_take(cx, None));
        assert!(matches!(taken, Poll::Ready(Some(Delivery::Event(_)))));
        settling.await;
        assert!(begun.elapsed() < Duration::from_secs(1));
    }
}
