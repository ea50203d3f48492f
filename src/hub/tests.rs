//! Tests of the hub; in this file, the helpers of all of them. Random programs against a model:
//! `model`, and `acknowledgements`. Each policy with each way to read: `matrix`. What once broke:
//! `traps`. For whom the publisher waits: `patience`. Code that panics: `failures`. What stops a
//! resume store: `frozen`.

mod acknowledgements;
mod failures;
mod frozen;
mod matrix;
mod model;
mod patience;
mod traps;

use std::sync::mpsc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use super::*;
use crate::event::{Delivery, Event, Gap};

/// Limits of a queue of 16 events that drops its oldest.
pub(super) fn sixteen() -> QueueLimits {
    QueueLimits::of(16, Overflow::DropOldest)
}

pub(super) fn publish(hub: &Hub, events: usize) {
    for _ in 0..events {
        hub.publisher().event("message", |position| Event::builder().build().unwrap().at(position));
    }
    hub.wake();
}

pub(super) fn take(subscribed: &mut Subscribed) -> Poll<Option<Delivery>> {
    let Subscribed { reader, ack, .. } = subscribed;
    let context = Context::from_waker(Waker::noop());
    reader.poll_take(&context, ack.as_ref())
}

#[test]
fn an_unread_subscription_lags_by_no_more_than_its_queue_holds() {
    let hub = Hub::new(Arc::default());
    let mut subscribed = hub.subscribe(Filter::all(), &sixteen(), false);
    publish(&hub, 10);
    assert_eq!(hub.lag(), 10);
    publish(&hub, 990);
    assert_eq!(hub.lag(), 16);
    assert!(matches!(take(&mut subscribed), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 984 })))));
    assert!(matches!(take(&mut subscribed), Poll::Ready(Some(Delivery::Event(_)))));
    assert_eq!(hub.lag(), 15);
}

#[test]
fn a_gap_stays_between_its_events_while_a_reader_has_them_buffered() {
    let hub = Hub::new(Arc::default());
    let mut subscribed = hub.subscribe(Filter::all(), &sixteen(), false);
    let gap = || hub.publisher().gap(None, &Gap::reconnected(None));
    publish(&hub, 2);
    gap();
    publish(&hub, 1);
    assert!(matches!(take(&mut subscribed), Poll::Ready(Some(Delivery::Event(_)))));
    for _ in 0..100 {
        gap();
        publish(&hub, 16);
    }
    let mut seen = String::new();
    while seen.len() < 4 {
        seen += match take(&mut subscribed) {
            Poll::Ready(Some(Delivery::Gap(Gap::Lagged { .. }))) => "l",
            Poll::Ready(Some(Delivery::Gap(_))) => "g",
            Poll::Ready(Some(Delivery::Event(_))) => "e",
            other => panic!("{other:?}"),
        };
    }
    // The first event was taken above. Then come the second, the gap, and the events that were
    // dropped, the third among them, with a gap after them.
    assert_eq!(seen, "eglg");
}

/// A waker that drops a subscription, as a runtime may when it wakes a task and drops another.
struct Drops(Mutex<Option<Subscribed>>);

impl Wake for Drops {
    fn wake(self: Arc<Self>) {
        drop(self.0.lock().unwrap().take());
    }
}

#[test]
fn the_waker_of_a_drain_may_drop_another_subscription() {
    let (done, is_done) = mpsc::channel();
    // In a thread of its own, so that a deadlock fails the test.
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let hub = Hub::new(Arc::default());
        let mut reader = hub.subscribe(Filter::all(), &sixteen(), true);
        let other = hub.subscribe(Filter::all(), &sixteen(), true);
        publish(&hub, 1);
        hub.close();
        let drops = Arc::new(Drops(Mutex::new(Some(other))));
        let drain_tracker = hub.drain_tracker();
        let mut settling = std::pin::pin!(drain_tracker.wait(Instant::now() + Duration::from_secs(3600)));
        let waker = Waker::from(Arc::clone(&drops));
        assert!(settling.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        assert!(matches!(take(&mut reader), Poll::Ready(Some(Delivery::Event(_)))));
        done.send(drops.0.lock().unwrap().is_none()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(true), "the other one is dropped");
}

#[test]
fn a_subscription_can_acknowledge_whichever_others_are_gone() {
    for gone in 0..5 {
        let hub = Hub::new(Arc::default());
        let mut all: Vec<_> = (0..5).map(|_| hub.subscribe(Filter::all(), &sixteen(), true)).collect();
        let dropped = all.remove(gone);
        dropped.ack.iter().for_each(AckHandle::retire);
        drop(dropped);
        hub.prune();
        publish(&hub, 1);
        for subscribed in &mut all {
            assert_eq!(hub.acknowledged_id(|| "all".into()), None, "a subscription has it open");
            let Poll::Ready(Some(Delivery::Event(event))) = take(subscribed) else { panic!("an event") };
            assert!(subscribed.ack.as_ref().unwrap().acknowledge(&event));
        }
        assert_eq!(hub.acknowledged_id(|| "all".into()).as_deref(), Some("all"));
    }
}
