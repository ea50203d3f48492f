//! The publisher: each sentence of its documentation, seen from a program.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Response, StatusCode};
use sseclient::testing::{self, Publisher};
use sseclient::{
    Apply, CloseReason, Commit, Delivery, Error, ErrorKind, Event, EventBuilder, Filter, Gap, Handle, Overflow,
    ReconnectPolicy, ResumeStore, State, SubscribeOptions, Subscription, TranscriptItem, TryRecvError,
};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

fn numbered(id: u64) -> EventBuilder {
    Event::builder().id(id.to_string()).data(id.to_string())
}

/// What is queued, as text: the data of events, and gaps.
fn queued(subscription: &mut Subscription) -> Vec<String> {
    let next = || {
        Some(match subscription.try_recv().ok()? {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(gap) => gap.to_string(),
        })
    };
    std::iter::from_fn(next).collect()
}

/// Acts between two polls of the connection task, after so many of them: a task of its own.
fn after_polls(polls: u32, act: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut left = polls;
        poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            // Behind the connection task. A yield would come when that has nothing to do.
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
        act();
    })
}

/// A publisher, and a connected stream with one subscription to all events.
fn connected() -> (Publisher, Handle, Subscription) {
    let (publisher, handle) = testing::channel();
    let events = handle.subscribe(Filter::all());
    handle.connect();
    (publisher, handle, events)
}

async fn check_that_sent_is_queued() {
    let (publisher, handle, mut events) = connected();
    let mut prices = handle.subscribe("price");
    for number in 0..200 {
        let event = Event::builder().event_type(["price", "trade"][number % 2]).data(number.to_string());
        publisher.send(event).await.unwrap();
        assert_eq!(queued(&mut events), [number.to_string()]);
        assert_eq!(queued(&mut prices).len(), (number + 1) % 2);
        assert_eq!(handle.stats().events, number as u64 + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_sent_is_queued_with_a_paused_clock() {
    check_that_sent_is_queued().await;
}

#[tokio::test]
async fn what_was_sent_is_queued_on_one_thread() {
    check_that_sent_is_queued().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_is_queued_on_two_threads() {
    for _ in 0..20 {
        check_that_sent_is_queued().await;
    }
}

/// The stream is read on another thread, so a call often waits for a turn that is under way.
#[test]
fn a_call_that_waits_for_another_thread_leaves_a_paused_clock_alone() {
    let others = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let paused = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let (publisher, handle) = testing::channel();
    let mut events = handle.subscribe(Filter::all());
    let entered = others.enter();
    handle.connect();
    drop(entered);
    paused.block_on(async {
        let begun = Instant::now();
        for number in 0..2_000 {
            let data = [number.to_string(), "x".repeat(10_000)].concat();
            publisher.send(Event::builder().data(data)).await.unwrap();
            assert_eq!(queued(&mut events).len(), 1);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_has_noticed_an_end_and_resumes_on_two_threads() {
    let publisher = Publisher::new();
    let stream = publisher.client().stream("http://host/").reconnection_time(Duration::from_millis(1));
    let handle = stream.build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    for id in 1..200 {
        publisher.send(numbered(id)).await.unwrap();
        assert_eq!(queued(&mut events).last(), Some(&id.to_string()));
        publisher.end().await.unwrap();
        assert_eq!(handle.stats().failures[&ErrorKind::EndOfStream], id);
        // Unless the next response is there already.
        assert!(!handle.state().is_open() || handle.stats().opens == id + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_holds_the_publisher_without_spinning_until_it_is_read() {
    let (publisher, handle) = testing::channel();
    let options = SubscribeOptions::default().capacity(4).overflow(Overflow::Block);
    let mut events = handle.subscribe_with(Filter::all(), options);
    handle.connect();
    for number in 0..4 {
        publisher.send(numbered(number)).await.unwrap();
    }
    let begun = Instant::now();
    // The clock goes on only while nothing runs.
    assert!(timeout(Duration::from_secs(3600), publisher.send(numbered(4))).await.is_err());
    assert_eq!(begun.elapsed().as_secs(), 3600);
    let reading = async {
        let first = events.recv().await;
        let mut rest = Vec::new();
        while rest.len() < 5 {
            rest.extend(events.recv().await);
        }
        (first, rest)
    };
    let (sent, (first, rest)) = tokio::join!(publisher.send(numbered(5)), reading);
    sent.unwrap();
    assert_eq!(first.unwrap().event().unwrap().data(), "0");
    // What a dropped call had sent came as well.
    let rest: Vec<_> = rest.into_iter().filter_map(Delivery::event).map(|event| event.data().to_owned()).collect();
    assert_eq!(rest, ["1", "2", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_drops_loses_its_oldest_and_says_how_many() {
    let (publisher, handle) = testing::channel();
    let options = SubscribeOptions::default().capacity(2).overflow(Overflow::DropOldest);
    let mut newest = handle.subscribe_with(Filter::all(), options);
    handle.connect();
    for number in 0..5 {
        publisher.send(numbered(number)).await.unwrap();
    }
    assert_eq!(newest.try_recv(), Ok(Delivery::Gap(Gap::lagged(3))));
    assert_eq!(queued(&mut newest), ["3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn comments_and_gaps_stand_in_their_places() {
    let (publisher, handle, mut events) = connected();
    let mut transcript = handle.transcript();
    publisher.send(("a", "1")).await.unwrap();
    publisher.comment("two\nlines").await.unwrap();
    publisher.gap(Gap::lagged(3)).await.unwrap();
    publisher.send(("a", "2")).await.unwrap();
    assert_eq!(queued(&mut events), ["1", &Gap::lagged(3).to_string(), "2"]);
    let mut seen = Vec::new();
    while seen.last().is_none_or(|last| last != "2") {
        seen.push(match transcript.recv().await.unwrap() {
            TranscriptItem::Event(event) => event.data().to_owned(),
            TranscriptItem::Comment(text) => text.to_string(),
            TranscriptItem::Gap(gap) => gap.to_string(),
            _ => continue,
        });
    }
    assert_eq!(seen, ["1", "two", "lines", &Gap::lagged(3).to_string(), "2"]);
}

#[tokio::test(start_paused = true)]
async fn an_ended_response_is_resumed_after_the_last_id_or_not_at_all() {
    for (event, sent) in [(numbered(7), Some("7".to_owned())), (Event::builder().data("7"), None)] {
        let (publisher, handle, mut events) = connected();
        publisher.send(event).await.unwrap();
        publisher.end().await.unwrap();
        assert!(matches!(handle.state(), State::Waiting { .. }), "{:?}", handle.state());
        publisher.send(("a", "8")).await.unwrap();
        publisher.assert_resumed_from(sent.as_deref().unwrap_or_default());
        assert_eq!(queued(&mut events), ["7", &Gap::reconnected(sent).to_string(), "8"]);
        assert_eq!(publisher.requests().len(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_response_fails_with_the_given_error_and_its_kind() {
    let (publisher, handle, _events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    publisher.fail(Error::new(ErrorKind::Body, "the cable was cut")).await.unwrap();
    let State::Waiting { cause, .. } = handle.state() else { panic!("{:?}", handle.state()) };
    assert_eq!((cause.kind(), cause.to_string().as_str()), (ErrorKind::Body, "the cable was cut"));
    // A final kind is no reason to try again.
    publisher.send(numbered(2)).await.unwrap();
    publisher.fail(Error::new(ErrorKind::ContentType, "no stream")).await.unwrap();
    let reason = handle.closed().await;
    assert_eq!(reason.error().unwrap().kind(), ErrorKind::ContentType);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_refused_in_order_and_the_policy_decides_what_follows() {
    let (publisher, handle) = testing::channel();
    publisher.refuse(Error::new(ErrorKind::Connect, "refused"));
    let busy = Response::builder().status(503).header("retry-after", "120").body(Bytes::from("later")).unwrap();
    publisher.refuse(busy);
    let begun = Instant::now();
    handle.connect();
    assert_eq!(handle.first_attempt().await.unwrap_err().kind(), ErrorKind::Connect);
    handle.opened().await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(123), "{:?}", begun.elapsed());
    assert_eq!(handle.stats().failures, [(ErrorKind::Connect, 1), (ErrorKind::Status, 1)].into());
    publisher.refuse(StatusCode::NOT_FOUND);
    publisher.end().await.unwrap();
    assert_eq!(handle.closed().await.error().unwrap().status(), Some(StatusCode::NOT_FOUND));
}

#[tokio::test(start_paused = true)]
async fn the_servers_retry_sets_the_wait() {
    let (publisher, handle, _events) = connected();
    publisher.retry(Duration::from_secs(20)).await.unwrap();
    publisher.end().await.unwrap();
    let State::Waiting { delay, .. } = handle.state() else { panic!("{:?}", handle.state()) };
    assert!((20..=30).contains(&delay.as_secs()), "{delay:?}");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_closes_is_a_server_without_more_content() {
    let (publisher, _handle, mut events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    assert!(matches!(publisher.close().await, CloseReason::NoContent));
    assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "1");
    assert_eq!(events.recv().await, None);
    // Closing again returns the same reason.
    assert!(matches!(publisher.close().await, CloseReason::NoContent));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_publisher_closes_the_stream_after_what_was_sent() {
    for policy in [ReconnectPolicy::daemon(), ReconnectPolicy::persistent(), ReconnectPolicy::never()] {
        let publisher = Publisher::new();
        let stream = publisher.client().stream("http://host/").reconnect_policy(policy);
        let mut events = stream.open(Filter::all()).await.unwrap();
        publisher.send(numbered(1)).await.unwrap();
        drop(publisher);
        assert_eq!(events.recv().await.unwrap().event().unwrap().data(), "1");
        assert_eq!(events.recv().await, None);
        assert_eq!(events.close_reason().unwrap().error().unwrap().kind(), ErrorKind::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_the_publisher_is_gone_is_the_last() {
    let (publisher, handle) = testing::channel();
    drop(publisher);
    handle.connect();
    assert_eq!(handle.closed().await.error().unwrap().kind(), ErrorKind::Closed);
    assert_eq!((handle.stats().attempts, handle.stats().opens), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn sending_to_a_closed_stream_is_an_error() {
    let (publisher, handle, _events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    let (_, ended) = tokio::join!(handle.shutdown(), publisher.end());
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(publisher.send(numbered(2)).await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(publisher.comment("x").await.unwrap_err().kind(), ErrorKind::Closed);
    let invalid = publisher.send(("a\nb", "x")).await;
    assert_eq!(invalid.unwrap_err().kind(), ErrorKind::InvalidEvent);
}

#[tokio::test(start_paused = true)]
async fn sending_waits_for_a_stream_that_is_not_built_or_not_connected() {
    let publisher = Arc::new(Publisher::new());
    let client = publisher.client();
    let sender = Arc::clone(&publisher);
    let sending = tokio::spawn(async move { sender.send(numbered(1)).await });
    tokio::task::yield_now().await;
    let handle = client.stream("http://host/").build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    assert!(timeout(Duration::from_secs(60), publisher.comment("waits")).await.is_err());
    handle.connect();
    sending.await.unwrap().unwrap();
    assert_eq!(queued(&mut events), ["1"]);
}

/// A resume store that both runs of a program use.
#[derive(Default, Clone)]
struct Saved(Arc<Mutex<Option<String>>>);

impl ResumeStore for Saved {
    type Error = std::convert::Infallible;

    async fn load(&self) -> Result<Option<String>, Self::Error> {
        Ok(self.0.lock().unwrap().clone())
    }

    async fn save(&self, id: String) -> Result<(), Self::Error> {
        *self.0.lock().unwrap() = Some(id);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_run_of_a_program_resumes_from_the_same_publisher() {
    let (publisher, saved) = (Publisher::new(), Saved::default());
    let run = || {
        let stream = publisher.client().stream("http://host/").resume_store(saved.clone(), Commit::Acknowledgement);
        let handle = stream.build().unwrap();
        let events = handle.subscribe_with(Filter::all(), SubscribeOptions::default().acknowledging());
        handle.connect();
        (handle, events)
    };
    let (handle, mut events) = run();
    publisher.send(numbered(1)).await.unwrap();
    publisher.send(numbered(2)).await.unwrap();
    let first = events.recv().await.unwrap().event().unwrap();
    events.acknowledge(&first);
    publisher.end().await.unwrap();
    // The stream waits to reconnect, and is shut down before that.
    assert!(timeout(Duration::from_secs(1), publisher.send(("left", "behind"))).await.is_err());
    handle.shutdown_with(sseclient::Drain::new(Duration::ZERO)).await;
    assert_eq!(publisher.send(numbered(3)).await.unwrap_err().kind(), ErrorKind::Closed);

    let (_handle, mut events) = run();
    publisher.send(numbered(4)).await.unwrap();
    publisher.assert_resumed_from("1");
    let next = events.recv().await.unwrap().event();
    assert_eq!(next.unwrap().data(), "4", "what an earlier stream had left does not come");
}

#[cfg(feature = "blocking")]
#[test]
fn a_blocking_client_is_fed_from_its_own_thread() {
    let publisher = Publisher::new();
    let client = sseclient::blocking::Client::with(publisher.client()).unwrap();
    let mut events = client.open(client.stream("http://host/"), Filter::all()).unwrap();
    for id in 1..100 {
        client.wait(publisher.send(numbered(id))).unwrap();
        let received = events.recv_timeout(Duration::ZERO).unwrap().event().unwrap();
        assert_eq!(received.data(), id.to_string());
    }
    drop(publisher);
    assert_eq!(events.recv(), None);
}

#[tokio::test(start_paused = true)]
async fn a_handover_goes_on_with_the_second_response() {
    let (publisher, handle, mut events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    handle.update(|request| request.bearer_auth("fresh"), Apply::MakeBeforeBreak).await.unwrap();
    publisher.send(numbered(2)).await.unwrap();
    assert_eq!(queued(&mut events), ["1", "2"]);
    assert_eq!(publisher.requests().last().unwrap().headers()["authorization"], "Bearer fresh");
}

#[tokio::test(start_paused = true)]
async fn what_is_on_its_way_when_the_program_reconnects_comes_once() {
    let (publisher, handle, mut events) = connected();
    handle.opened().await.unwrap();
    for at in 0..10 {
        let handle = handle.clone();
        let acting = after_polls(at, move || handle.reconnect());
        publisher.send(("a", "once")).await.unwrap();
        acting.await.unwrap();
        publisher.comment("the next response is open").await.unwrap();
        let received = queued(&mut events);
        assert_eq!(received.iter().filter(|item| *item == "once").count(), 1, "{at}: {received:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_comes_once_while_the_program_reconnects() {
    let (publisher, handle, mut events) = connected();
    for id in 0..200 {
        publisher.send(numbered(id)).await.unwrap();
        handle.reconnect();
    }
    publisher.send(("a", "end")).await.unwrap();
    let ids = queued(&mut events).into_iter().filter(|item| item.parse::<u64>().is_ok());
    assert_eq!(ids.collect::<Vec<_>>(), (0..200).map(|id| id.to_string()).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn sends_at_the_same_time_are_held_by_a_full_queue_one_by_one() {
    let (publisher, handle) = testing::channel();
    let options = SubscribeOptions::default().capacity(4).overflow(Overflow::Block);
    let mut events = handle.subscribe_with(Filter::all(), options);
    handle.connect();
    let publisher = Arc::new(publisher);
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..10 {
        let publisher = Arc::clone(&publisher);
        sends.spawn(async move { publisher.send(numbered(number)).await });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let done = std::iter::from_fn(|| sends.try_join_next()).count();
    assert_eq!(done, 4);
    while events.recv().await.unwrap().event().unwrap().data() != "9" {}
    assert_eq!(sends.join_all().await.len(), 6);
}

#[tokio::test(start_paused = true)]
async fn of_two_streams_the_newest_response_gets_what_is_sent() {
    let publisher = Publisher::new();
    let open = || publisher.client().stream("http://host/").open(Filter::all());
    let (mut first, mut second) = (open().await.unwrap(), open().await.unwrap());
    // Even if the first one has looked for more since then.
    first.handle().set_header("x-a", "1").unwrap();
    tokio::task::yield_now().await;
    publisher.send(numbered(1)).await.unwrap();
    assert_eq!((queued(&mut first).len(), queued(&mut second).len()), (0, 1));
    let (handle, opened) = (first.handle(), first.handle().opened());
    handle.reconnect();
    opened.await.unwrap();
    publisher.send(numbered(2)).await.unwrap();
    publisher.end().await.unwrap();
    assert_eq!(queued(&mut first).last().unwrap(), "2");
    assert!(!handle.state().is_open() && second.handle().state().is_open());
}

#[tokio::test(start_paused = true)]
async fn of_two_streams_the_one_that_is_still_open_gets_what_is_sent() {
    let publisher = Publisher::new();
    let open = || publisher.client().stream("http://host/").open(Filter::all());
    let (mut first, second) = (open().await.unwrap(), open().await.unwrap());
    second.handle().shutdown().await;
    publisher.send(numbered(1)).await.unwrap();
    publisher.gap(Gap::lagged(3)).await.unwrap();
    assert_eq!(queued(&mut first), ["1".to_owned(), Gap::lagged(3).to_string()]);
    // A stream that is not connected is none to wait for.
    let _third = publisher.client().stream("http://host/").build().unwrap();
    publisher.send(numbered(2)).await.unwrap();
    assert!(matches!(publisher.close().await, CloseReason::NoContent));
    assert_eq!(queued(&mut first), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_with_a_full_queue_leaves_what_is_sent_to_the_newest() {
    let publisher = Publisher::new();
    let first = publisher.client().stream("http://host/").build().unwrap();
    let options = SubscribeOptions::default().capacity(1).overflow(Overflow::Block);
    let mut full = first.subscribe_with(Filter::all(), options);
    first.connect();
    publisher.send(numbered(1)).await.unwrap();
    assert!(timeout(Duration::from_secs(60), publisher.send(numbered(2))).await.is_err());
    let mut second = publisher.client().stream("http://host/").open(Filter::all()).await.unwrap();
    publisher.send(numbered(3)).await.unwrap();
    assert_eq!((queued(&mut full), queued(&mut second)), (vec!["1".to_owned()], vec!["2".to_owned(), "3".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn sends_and_gaps_at_the_same_time_keep_their_order() {
    let gap = || Gap::lagged(3);
    let (publisher, _handle, mut events) = connected();
    let (sent, put) = tokio::join!(publisher.send(numbered(1)), publisher.gap(gap()));
    sent.and(put).unwrap();
    assert_eq!(queued(&mut events), ["1".to_owned(), gap().to_string()]);
    publisher.end().await.unwrap();
    // Both wait for the reconnection.
    let (sent, put) = tokio::join!(publisher.send(("a", "2")), publisher.gap(gap()));
    sent.and(put).unwrap();
    let reconnected = Gap::reconnected(Some("1".to_owned())).to_string();
    assert_eq!(queued(&mut events), [reconnected, "2".to_owned(), gap().to_string()]);
}

#[tokio::test(start_paused = true)]
async fn what_a_stream_has_not_published_when_it_closes_was_not_sent() {
    let mut outcomes = Vec::new();
    for at in 0..6 {
        let (publisher, handle, mut events) = connected();
        handle.opened().await.unwrap();
        let acting = after_polls(at, move || drop(handle.shutdown()));
        let sent = publisher.send(numbered(1)).await;
        acting.await.unwrap();
        assert_eq!(sent.is_ok(), queued(&mut events) == ["1"], "{at}: {sent:?}");
        outcomes.push(sent.is_ok());
    }
    assert!(outcomes.contains(&true) && outcomes.contains(&false), "{outcomes:?}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_when_the_next_stream_is_built_fails() {
    let (publisher, first) = testing::channel();
    let mut waiting = pin!(publisher.send(numbered(1)));
    assert!(timeout(Duration::from_secs(1), &mut waiting).await.is_err());
    // Closes: it was never connected.
    drop(first);
    let mut next = publisher.client().stream("http://host/").open(Filter::all()).await.unwrap();
    assert_eq!(waiting.await.unwrap_err().kind(), ErrorKind::Closed);
    publisher.send(numbered(2)).await.unwrap();
    assert_eq!(queued(&mut next), ["2"]);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_that_is_a_stream_does_not_stand_for_what_is_sent() {
    let (publisher, handle) = testing::channel();
    let mut events = handle.subscribe(Filter::all());
    let whole = Response::builder().header("content-type", "text/event-stream");
    publisher.refuse(whole.body(Bytes::from("id: 1\ndata: refused\n\n")).unwrap());
    handle.connect();
    let begun = Instant::now();
    publisher.send(("a", "sent")).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(3), "it waits for the reconnection");
    let reconnected = Gap::reconnected(Some("1".to_owned())).to_string();
    assert_eq!(queued(&mut events), ["refused".to_owned(), reconnected, "sent".to_owned()]);
}

#[tokio::test(start_paused = true)]
async fn closing_leaves_nothing_behind_for_the_next_stream() {
    let publisher = Publisher::new();
    for policy in [ReconnectPolicy::never(), ReconnectPolicy::daemon()] {
        let stream = publisher.client().stream("http://host/").reconnect_policy(policy);
        let events = stream.open(Filter::all()).await.unwrap();
        publisher.close().await;
        assert!(events.close_reason().is_some());
        // Closed already.
        publisher.close().await;
    }
    let mut next = publisher.client().stream("http://host/").open(Filter::all()).await.unwrap();
    publisher.send(numbered(1)).await.unwrap();
    assert_eq!(queued(&mut next), ["1"]);
}

#[tokio::test(start_paused = true)]
async fn closing_comes_after_what_was_sent_and_after_refused_attempts() {
    let (publisher, handle, mut events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    publisher.refuse(Error::new(ErrorKind::Connect, "refused"));
    let (sent, reason) = tokio::join!(publisher.send(numbered(2)), publisher.close());
    sent.unwrap();
    assert!(matches!(reason, CloseReason::NoContent), "{reason}");
    assert_eq!(queued(&mut events), ["1", "2"]);
    let stats = handle.stats();
    assert_eq!((stats.attempts, stats.failures.get(&ErrorKind::Connect)), (3, Some(&1)));
}

#[tokio::test(start_paused = true)]
async fn closing_a_stream_that_waits_makes_its_next_attempt_the_last() {
    let (publisher, handle, _events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    publisher.end().await.unwrap();
    assert!(matches!(publisher.close().await, CloseReason::NoContent));
    assert_eq!((handle.stats().attempts, handle.stats().opens), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_leaves_the_open_response_as_it_is() {
    let (publisher, handle, mut events) = connected();
    publisher.send(numbered(1)).await.unwrap();
    publisher.refuse(StatusCode::BAD_GATEWAY);
    publisher.send(numbered(2)).await.unwrap();
    assert_eq!(queued(&mut events), ["1", "2"]);
    assert!(handle.state().is_open());
    assert_eq!(handle.stats().attempts, 1);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_publisher_closes_every_open_stream() {
    let publisher = Publisher::new();
    let open = || publisher.client().stream("http://host/").open(Filter::all());
    let (mut first, mut second) = (open().await.unwrap(), open().await.unwrap());
    publisher.send(numbered(1)).await.unwrap();
    drop(publisher);
    for events in [&mut first, &mut second] {
        while events.recv().await.is_some() {}
        assert_eq!(events.close_reason().unwrap().error().unwrap().kind(), ErrorKind::Closed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_lazy_stream_is_fed_while_it_has_subscribers() {
    let publisher = Publisher::new();
    let handle = publisher.client().stream("http://host/").lazy(Duration::ZERO).build().unwrap();
    handle.connect();
    assert!(timeout(Duration::from_secs(60), publisher.send(("a", "waits"))).await.is_err());
    let mut events = handle.subscribe("a");
    publisher.send(("a", "comes")).await.unwrap();
    assert_eq!(queued(&mut events), ["waits", "comes"]);
}

#[tokio::test(start_paused = true)]
async fn the_first_ten_thousand_requests_are_recorded() {
    let publisher = Publisher::new();
    for _ in 0..10_001 {
        publisher.refuse(Error::new(ErrorKind::Connect, "refused"));
    }
    let handle = publisher.client().stream("http://host/").reconnection_time(Duration::ZERO).build().unwrap();
    handle.connect();
    handle.opened().await.unwrap();
    assert_eq!((handle.stats().attempts, publisher.requests().len()), (10_002, 10_000));
}

#[tokio::test(start_paused = true)]
async fn requests_are_recorded_as_a_transport_gets_them() {
    let publisher = Publisher::new();
    let stream = publisher.client().stream("https://example.com/prices?a=1").header("x-tenant", "a").last_event_id("6");
    let mut events = stream.open("price").await.unwrap();
    publisher.send(("price", "1")).await.unwrap();
    publisher.send(("other", "2")).await.unwrap();
    assert_eq!(queued(&mut events), ["1"]);
    assert_eq!(events.try_recv(), Err(TryRecvError::Empty));
    let requests = publisher.requests();
    assert_eq!((requests.len(), requests[0].method().as_str()), (1, "GET"));
    assert_eq!(requests[0].uri(), "https://example.com/prices?a=1");
    assert_eq!(requests[0].headers()["x-tenant"], "a");
    assert_eq!(requests[0].headers()["last-event-id"], "6");
}

#[test]
#[should_panic(expected = "no request has come, so none resumed from \"7\"")]
fn asking_where_no_request_resumed_panics() {
    Publisher::new().assert_resumed_from("7");
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "request 1 resumed from \"\", not from \"7\"")]
async fn asking_for_another_id_than_the_request_had_panics() {
    let (publisher, handle, _events) = connected();
    handle.opened().await.unwrap();
    publisher.assert_resumed_from("7");
}
