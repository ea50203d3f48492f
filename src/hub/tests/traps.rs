//! Traps: each of these has failed in a prototype.

use http::{HeaderMap, StatusCode, Version};

use super::*;
use crate::event::{RetryTime, Span};
use crate::response::ResponseHead;

fn numbers(subscribed: &mut Subscribed) -> Vec<u64> {
    let mut seen = Vec::new();
    while let Poll::Ready(Some(Delivery::Event(event))) = take(subscribed) {
        seen.push(event.position() & 0xff);
    }
    seen
}

fn lossless(capacity: usize) -> QueueLimits {
    QueueLimits::of(capacity, Overflow::Block)
}

#[test]
fn the_last_of_several_readers_gets_each_event_once() {
    for stays in 0..5 {
        let hub = Hub::new(Arc::default());
        let mut all: Vec<_> = (0..5).map(|_| hub.subscribe(Filter::all(), &lossless(16), false)).collect();
        publish(&hub, 3);
        // Each has come to another position, and what it has buffered goes with it.
        for subscribed in all.iter_mut().take(2) {
            assert!(matches!(take(subscribed), Poll::Ready(Some(Delivery::Event(_)))));
        }
        publish(&hub, 2);
        let seen_before = if stays < 2 { 1 } else { 0 };
        let mut last = all.swap_remove(stays);
        drop(all);
        hub.prune();
        publish(&hub, 2);
        assert_eq!(numbers(&mut last), (seen_before + 1..=7).collect::<Vec<_>>(), "{stays}");
        assert_eq!(hub.lag(), 0);
    }
}

/// A waker that drops a subscription when it is dropped, like a task's last reference.
struct Holds {
    _subscribed: Mutex<Option<Subscribed>>,
}

impl Wake for Holds {
    fn wake(self: Arc<Self>) {}
}

fn holding(subscribed: Subscribed) -> Waker {
    Waker::from(Arc::new(Holds { _subscribed: Mutex::new(Some(subscribed)) }))
}

fn poll(subscribed: &mut Subscribed, waker: Waker) {
    let Subscribed { reader, ack, .. } = subscribed;
    assert!(reader.poll_take(&Context::from_waker(&waker), ack.as_ref()).is_pending());
}

#[test]
fn a_waker_may_drop_a_subscription_wherever_it_is_dropped() {
    let (done, is_done) = mpsc::channel();
    // In a thread of its own, so that a deadlock fails the test.
    thread::spawn(move || {
        for limits in [lossless(16), QueueLimits::of(16, Overflow::Conflate)] {
            for acknowledging in [false, true] {
                let hub = Hub::new(Arc::default());
                let subscribe = || hub.subscribe(Filter::all(), &limits, acknowledging);
                // Another waker takes its place.
                let mut reader = subscribe();
                poll(&mut reader, holding(subscribe()));
                poll(&mut reader, holding(subscribe()));
                // The waker is called and dropped.
                publish(&hub, 1);
                assert!(matches!(take(&mut reader), Poll::Ready(Some(Delivery::Event(_)))));
                // The waker is dropped with its reader.
                poll(&mut reader, holding(subscribe()));
                drop(reader);
                // The waker is called by the close.
                let mut reader = subscribe();
                poll(&mut reader, holding(subscribe()));
                hub.prune();
                hub.close();
                assert!(matches!(take(&mut reader), Poll::Ready(None)));
            }
        }
        done.send(()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(20)), Ok(()));
}

#[test]
fn a_batch_larger_than_a_queue_stops_or_leaves_its_newest_events() {
    for capacity in [1, 2, 3, 63] {
        let hub = Hub::new(Arc::default());
        let mut blocking = hub.subscribe(Filter::all(), &lossless(capacity), false);
        let mut lossy = hub.subscribe(Filter::all(), &QueueLimits::of(capacity, Overflow::DropOldest), false);
        let mut backpressure = Backpressure::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _entered = runtime.enter();
        let mut published = 0;
        let context = &mut Context::from_waker(Waker::noop());
        while backpressure.poll_ready(context, &hub).is_ready() || !hub.wait.is_waiting() {
            while hub.publisher().is_ready() {
                hub.publisher().event("message", |position| Event::builder().build().unwrap().at(position));
                published += 1;
            }
            hub.wake();
        }
        assert_eq!(published, capacity as u64);
        // A publisher that does not ask first.
        publish(&hub, 100);
        assert!(matches!(take(&mut lossy), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 100 })))));
        assert_eq!(numbers(&mut lossy).len(), capacity);
        assert!(
            matches!(take(&mut blocking), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 100 })))),
            "and no more than it can hold"
        );
    }
}

#[test]
fn the_one_full_queue_among_many_is_waited_for_as_others_come_and_go() {
    type Meanwhile = fn(&Hub, &mut Vec<Option<Subscribed>>);
    let cases: [(&str, Meanwhile); 3] = [
        ("nothing", |_, _| {}),
        ("one before it goes", |hub, all| {
            all[3] = None;
            hub.prune();
        }),
        ("another comes", |hub, all| all.push(Some(hub.subscribe("late".into(), &lossless(4), false)))),
    ];
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let context = &mut Context::from_waker(Waker::noop());
    for (case, meanwhile) in cases {
        let hub = Hub::new(Arc::default());
        let subscribe = |number| Some(hub.subscribe(format!("type.{number}").into(), &lossless(4), false));
        let mut all: Vec<_> = (0..1000).map(subscribe).collect();
        let mut backpressure = Backpressure::default();
        let mut events = 0;
        for round in 0..3 {
            assert!(backpressure.poll_ready(context, &hub).is_ready(), "{case}, {round}");
            while hub.publisher().is_ready() {
                hub.publisher().event("type.700", |position| Event::builder().build().unwrap().at(position));
                events += 1;
            }
            hub.wake();
            assert!(backpressure.poll_ready(context, &hub).is_pending(), "{case}, {round}: it is full");
            meanwhile(&hub, &mut all);
            assert!(backpressure.poll_ready(context, &hub).is_pending(), "{case}, {round}: it still is");
            assert_eq!(numbers(all[700].as_mut().unwrap()).len(), 4, "{case}, {round}");
        }
        assert_eq!(events, 12, "{case}");
        // All other queues are still empty, and so have room.
        hub.publisher().event("type.699", |position| Event::builder().build().unwrap().at(position));
        hub.wake();
        assert!(backpressure.poll_ready(context, &hub).is_ready(), "{case}");
        assert_eq!(numbers(all[699].as_mut().unwrap()).len(), 1, "{case}");
    }
}

#[test]
fn a_change_of_state_drops_nothing_from_a_full_transcript() {
    let hub = Hub::new(Arc::default());
    let mut transcript = hub.transcript(
        &Filter::all(),
        Arc::default(),
        QueueLimits { capacity: 16, bytes: 10, overflow: Overflow::default() },
    );
    let event = Event::builder().data("0123456789").build().unwrap();
    hub.publisher().event("message", |position| event.at(position));
    assert!(!hub.publisher().is_ready());
    (0..registry::TRANSCRIPT_RESERVE).for_each(|_| hub.state(&State::Idle));
    let context = Context::from_waker(Waker::noop());
    let taken = transcript.poll_take(&context);
    assert!(matches!(taken, Poll::Ready(Some(Delivery::Event(TranscriptItem::Event(_))))), "{taken:?}");
    for _ in 0..registry::TRANSCRIPT_RESERVE {
        assert!(matches!(transcript.poll_take(&context), Poll::Ready(Some(Delivery::Event(TranscriptItem::State(_))))));
    }
    assert!(transcript.poll_take(&context).is_pending());
}

#[test]
fn inherited_ids_count_in_queues_and_in_what_is_retained() {
    const ID: usize = 1024 * 1024;
    let inheriting = |number: usize, position| {
        let text = number.to_string();
        let [event_type, id] = [Span::new(0..text.len()), Span::NONE];
        let inherited = Some(format!("{text}{}", "x".repeat(ID)).into());
        Event::from_parts(&text, Span::EMPTY, event_type, id, inherited, RetryTime::NONE, position)
    };
    let latest = Keep::Latest(ConflateKey::new(|event| event.event_type().to_owned()));
    for keep in [Keep::Newest(100), Keep::Since, latest] {
        for overflow in [Overflow::DropOldest, Overflow::Conflate] {
            let hub = Hub::new(Arc::default());
            let filter = if keep == Keep::Since { "0".into() } else { Filter::all() };
            hub.retain(vec![Retain { filter, keep: keep.clone() }], &[]);
            let limits = QueueLimits { capacity: 256, bytes: 16 * ID as u64, overflow };
            let slow = hub.subscribe(Filter::all(), &limits, false);
            for number in 0..100 {
                hub.publisher().event(&number.to_string(), |position| inheriting(number, position));
                hub.wake();
            }
            assert!(hub.lag() <= 16, "{} events of 1 MiB: {keep:?}, {:?}", hub.lag(), limits.overflow);
            let joining = Joining { replay: Replay::All, ..Joining::default() };
            let late = hub.subscribe_with(Filter::all(), &limits, joining);
            let retained = late.replay.iter().flatten().filter(|delivery| delivery.is_event()).count();
            assert!(retained <= 16, "{retained} events of 1 MiB: {keep:?}");
            drop(slow);
        }
    }
}

#[test]
fn response_heads_in_a_transcript_count_as_bytes() {
    const HEAD: usize = 1_000;
    let mut headers = HeaderMap::new();
    headers.insert("x", "x".repeat(HEAD).parse().unwrap());
    let head = ResponseHead::new("http://host/".parse().unwrap(), StatusCode::OK, Version::HTTP_11, &headers);
    let (since, response) = (Instant::now(), Arc::new(head));
    let open = State::Open { since, attempt: 1, response };
    let cause = crate::Error::refused(StatusCode::SERVICE_UNAVAILABLE, headers, "x".repeat(HEAD));
    let waiting = State::Waiting { attempt: 1, delay: Duration::ZERO, until: since, cause };
    for (state, size) in [(open, HEAD), (waiting, 2 * HEAD)] {
        for overflow in [Overflow::DropOldest, Overflow::Block] {
            let hub = Hub::new(Arc::default());
            let limits = QueueLimits { capacity: 1_000, bytes: 10 * HEAD as u64, overflow };
            let mut transcript = hub.transcript(&Filter::all(), Arc::default(), limits);
            let event = Event::builder().data("x".repeat(10 * HEAD)).build().unwrap();
            hub.publisher().event("message", |position| event.at(position));
            // As many bytes as the queue may hold push nothing out, so that `Block` loses nothing
            // in a few reconnections.
            let fit = 10 * HEAD / size;
            (0..fit - 1).for_each(|_| hub.state(&state));
            assert_eq!(transcript.left(), fit as u64);
            (0..100).for_each(|_| hub.state(&state));
            assert!(transcript.left() <= 2 * fit as u64, "{} states", transcript.left());
            let context = Context::from_waker(Waker::noop());
            let taken = transcript.poll_take(&context);
            assert!(matches!(taken, Poll::Ready(Some(Delivery::Gap(Gap::Lagged { .. })))), "{taken:?}");
        }
    }
}

#[test]
fn a_channel_that_all_readers_have_read_holds_nothing() {
    let hub = Hub::new(Arc::default());
    let mut all: Vec<_> = (0..3).map(|_| hub.subscribe(Filter::all(), &lossless(256), false)).collect();
    let kept = Event::builder().build().unwrap();
    let before = kept.references();
    for _ in 0..200 {
        hub.publisher().event("message", |_| kept.clone());
    }
    hub.wake();
    assert!(kept.references() > before);
    for subscribed in &mut all {
        while matches!(take(subscribed), Poll::Ready(Some(Delivery::Event(_)))) {}
    }
    assert_eq!(kept.references(), before);
}

#[test]
fn a_poll_that_finds_nothing_is_woken_by_the_next_event_or_gap() {
    let hub = Hub::new(Arc::default());
    let mut reader = hub.subscribe(Filter::all(), &lossless(16), false);
    let mut task = tokio_test::task::spawn(());
    for _ in 0..3 {
        publish(&hub, 1);
        assert!(task.enter(|cx, _| reader.reader.poll_take(cx, None)).is_ready());
        assert!(task.enter(|cx, _| reader.reader.poll_take(cx, None)).is_pending());
        assert!(task.enter(|cx, _| reader.reader.poll_take(cx, None)).is_pending());
        assert!(!task.is_woken());
        publish(&hub, 1);
        assert!(task.is_woken());
        assert!(task.enter(|cx, _| reader.reader.poll_take(cx, None)).is_ready());
    }
    // Another task polls, and is the one to be woken.
    assert!(task.enter(|cx, _| reader.reader.poll_take(cx, None)).is_pending());
    let mut other = tokio_test::task::spawn(());
    assert!(other.enter(|cx, _| reader.reader.poll_take(cx, None)).is_pending());
    hub.publisher().gap(None, &Gap::reconnected(None));
    hub.wake();
    assert!(other.is_woken(), "also by a gap");
}

#[test]
fn a_conflating_queue_whose_keys_panic_harms_no_other() {
    let hub = Hub::new(Arc::default());
    let panics = Overflow::conflate_by(|_| panic!("a bug in a key"));
    let mut bad = hub.subscribe(Filter::all(), &QueueLimits::of(16, panics), false);
    let mut good = hub.subscribe(Filter::all(), &lossless(16), false);
    publish(&hub, 5);
    assert_eq!(numbers(&mut bad), [5], "by type");
    assert_eq!(numbers(&mut good), [1, 2, 3, 4, 5]);
}

#[test]
fn replaced_events_need_no_acknowledgement_and_lost_ones_get_none() {
    let hub = Hub::new(Arc::default());
    let mut latest = hub.subscribe(Filter::all(), &QueueLimits::of(1, Overflow::Conflate), true);
    let send = |event_type: &str| {
        let event = Event::builder().event_type(event_type).build().unwrap();
        hub.publisher().event(event_type, |position| event.at(position));
        hub.wake();
    };
    for _ in 0..3 {
        send("a");
    }
    assert_eq!(hub.acknowledged_id(|| "all".into()), None);
    let Poll::Ready(Some(Delivery::Event(event))) = take(&mut latest) else { panic!("an event") };
    assert!(latest.ack.as_ref().unwrap().acknowledge(&event));
    assert_eq!(hub.acknowledged_id(|| "all".into()).as_deref(), Some("all"));
    send("a");
    send("b");
    let lagged = take(&mut latest);
    assert!(matches!(lagged, Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 1 })))), "{lagged:?}");
    let Poll::Ready(Some(Delivery::Event(event))) = take(&mut latest) else { panic!("an event") };
    assert!(latest.ack.as_ref().unwrap().acknowledge(&event));
    assert_eq!(hub.acknowledged_id(|| "all".into()), None, "what was lost holds the store");
}

#[test]
fn an_event_dropped_by_a_queue_full_of_bytes_holds_the_store() {
    let hub = Hub::new(Arc::default());
    let limits = QueueLimits { capacity: 64, bytes: 10, overflow: Overflow::DropOldest };
    let mut reader = hub.subscribe(Filter::all(), &limits, true);
    for _ in 0..4 {
        let event = Event::builder().data("0123456789").build().unwrap();
        hub.publisher().event("message", |position| event.at(position));
    }
    hub.wake();
    assert!(matches!(take(&mut reader), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 3 })))));
    let Poll::Ready(Some(Delivery::Event(event))) = take(&mut reader) else { panic!("an event") };
    assert!(reader.ack.as_ref().unwrap().acknowledge(&event));
    assert_eq!(hub.acknowledged_id(|| "all".into()), None);
}

#[cfg(feature = "json")]
static HELD: Mutex<Option<Subscribed>> = Mutex::new(None);

/// A decoded value that drops a subscription when it is dropped, with the last clone of its event.
#[cfg(feature = "json")]
struct Value;

#[cfg(feature = "json")]
impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(|_| Self)
    }
}

#[cfg(feature = "json")]
impl Drop for Value {
    fn drop(&mut self) {
        let held = HELD.lock().unwrap().take();
        drop(held);
    }
}

#[cfg(feature = "json")]
#[test]
fn a_decoded_value_of_a_replaced_event_may_drop_the_subscription() {
    let hub = Hub::new(Arc::default());
    *HELD.lock().unwrap() = Some(hub.subscribe(Filter::all(), &QueueLimits::of(4, Overflow::Conflate), false));
    hub.publisher().event("message", |position| {
        let event = Event::builder().data("1").build().unwrap().at(position);
        assert!(event.json::<Value>().is_ok());
        event
    });
    hub.wake();
    publish(&hub, 1);
    assert!(HELD.lock().unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_stuck_reader_that_moves_is_waited_for_again_after_a_restart() {
    let limits = QueueLimits::of(16, Overflow::Wait { patience: Duration::from_secs(1) });
    let hub = Hub::new(Arc::default());
    let mut slow = hub.subscribe("message".into(), &limits, false);
    let _hangs = hub.subscribe(Filter::all(), &limits, false);
    // It has nothing to take, so both hold it up.
    let _idle = hub.subscribe("other".into(), &limits, false);
    let mut backpressure = Backpressure::default();
    publish(&hub, 16);
    std::future::poll_fn(|cx| backpressure.poll_ready(cx, &hub)).await;
    assert_eq!(backpressure.take_stuck().len(), 2);
    publish(&hub, 100);
    assert!(matches!(take(&mut slow), Poll::Ready(Some(Delivery::Gap(Gap::Lagged { missed: 100 })))));
    hub.restart("0");
    // As for the next response.
    let mut backpressure = Backpressure::default();
    let mut room = tokio_test::task::spawn(std::future::poll_fn(|cx| backpressure.poll_ready(cx, &hub)));
    assert!(room.poll().is_pending(), "its queue is full");
    assert_eq!(numbers(&mut slow).len(), 16);
    assert!(room.is_woken());
    room.await;
    assert!(backpressure.take_stuck().is_empty(), "the other is not waited for");
}
