//! User code that panics: other subscriptions must not notice.

use std::sync::PoisonError;

use super::*;

fn event(event_type: &str) -> Event {
    Event::builder().event_type(event_type).build().unwrap()
}

/// Publishes until a queue is full. Returns true if the publisher waits then.
fn fill(hub: &Hub, backpressure: &mut Backpressure) -> bool {
    let context = &mut Context::from_waker(Waker::noop());
    assert!(backpressure.poll_ready(context, hub).is_ready());
    while hub.publisher().is_ready() {
        hub.publisher().event("message", |position| event("message").at(position));
    }
    hub.wake();
    backpressure.poll_ready(context, hub).is_pending()
}

#[tokio::test(start_paused = true)]
async fn a_predicate_that_panics_over_a_replay_ends_the_wait_for_its_queue() {
    for overflow in [Overflow::default(), Overflow::Block] {
        let hub = Arc::new(Hub::new(Arc::default()));
        hub.retain(vec![Retain { filter: Filter::from("kept"), keep: Keep::Newest(8) }], &[]);
        hub.publisher().event("kept", |position| event("kept").at(position));
        hub.wake();
        let backpressure = Arc::new(Mutex::new(Backpressure::default()));
        let (publisher, its_pace) = (Arc::clone(&hub), Arc::clone(&backpressure));
        // While it is evaluated for retained events, the connection task fills its queue and waits
        // for it.
        let filter = Filter::all().and(move |event| {
            assert!(event.event_type() != "kept" || !fill(&publisher, &mut its_pace.lock().unwrap()), "a bug");
            true
        });
        let joining = Joining { replay: Replay::All, ..Joining::default() };
        let late = hub.subscribe_with(filter, &QueueLimits::of(4, overflow.clone()), joining);
        assert!(late.replay.back().is_some_and(Option::is_none), "it has ended");
        let mut backpressure = backpressure.lock().unwrap_or_else(PoisonError::into_inner);
        let context = &mut Context::from_waker(Waker::noop());
        assert!(backpressure.poll_ready(context, &hub).is_ready(), "{overflow:?}: no reader is waited for");
    }
}

#[test]
fn nothing_comes_after_the_end_of_a_conflating_subscription() {
    let hub = Hub::new(Arc::default());
    let filter = Filter::matching(|_| std::panic::resume_unwind(Box::new("a bug")));
    let mut failed = hub.subscribe(filter, &QueueLimits::of(4, Overflow::Conflate), false);
    publish(&hub, 1);
    assert!(matches!(take(&mut failed), Poll::Ready(None)));
    hub.publisher().gap(None, &Gap::reconnected(None));
    hub.wake();
    assert!(matches!(take(&mut failed), Poll::Ready(None)));
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        std::panic::resume_unwind(Box::new("a bug"));
    }
}

#[test]
fn a_waker_that_panics_leaves_no_other_reader_asleep() {
    let hub = Hub::new(Arc::default());
    let mut failed = hub.subscribe(Filter::all(), &sixteen(), false);
    let mut sound = hub.subscribe(Filter::all(), &sixteen(), false);
    let panics = Waker::from(Arc::new(Panics));
    assert!(failed.reader.poll_take(&Context::from_waker(&panics), None).is_pending());
    let mut task = tokio_test::task::spawn(());
    assert!(task.enter(|cx, _| sound.reader.poll_take(cx, None)).is_pending());
    publish(&hub, 1);
    assert!(task.is_woken());
}

/// A value that a predicate captures and that panics in its drop.
struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        std::panic::resume_unwind(Box::new("a bug"));
    }
}

#[test]
fn a_predicate_that_panics_in_its_drop_leaves_no_reader_asleep() {
    let hub = Hub::new(Arc::default());
    let captured = PanicsOnDrop;
    let filter = Filter::matching(move |_| {
        let _ = &captured;
        true
    });
    let _bad = hub.subscribe(filter, &sixteen(), false);
    let mut sound = [Overflow::Block, Overflow::Conflate].map(|overflow| {
        let limits = QueueLimits::of(4, overflow);
        (hub.subscribe(Filter::all(), &limits, false), tokio_test::task::spawn(()))
    });
    for (reader, task) in &mut sound {
        assert!(task.enter(|cx, _| reader.reader.poll_take(cx, None)).is_pending());
    }
    hub.close();
    for (reader, task) in &mut sound {
        assert!(task.is_woken());
        assert!(matches!(take(reader), Poll::Ready(None)));
    }
}
