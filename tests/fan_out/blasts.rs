//! The fan-out under load: active subscribers miss nothing, and every loss is reported.

use http_body_util::Full;
use sseclient::bytes::Bytes;
use sseclient::http::{Request, Response};
use sseclient::testing::{self, Script};
use sseclient::{Client, CloseReason, Delivery, Filter, Gap, Overflow, SubscribeOptions, Subscription};
use tokio::task::JoinSet;

use crate::support::{self, OPEN, RawServer, numbered, serve, status, staying, until, within};

/// A server that sends `events` numbered events as fast as it can, and then stays silent.
async fn blast(events: usize) -> RawServer {
    RawServer::start(move |_, mut connection| async move {
        connection.send(OPEN).await;
        let mut next = 0;
        while next < events {
            let end = events.min(next + 1000);
            let batch: String = (next..end).map(|number| format!("data: {number}\n\n")).collect();
            if !connection.send(&batch).await {
                return;
            }
            next = end;
        }
        connection.closed().await;
    })
    .await
}

/// Takes deliveries up to the event with this number. Returns how many events came and how many
/// were reported as missed.
async fn drain(subscription: &mut Subscription, last: usize) -> (u64, u64) {
    let (mut came, mut missed, mut next) = (0, 0, 0);
    loop {
        match subscription.recv().await.expect("the stream goes on") {
            Delivery::Event(event) => {
                let number: u64 = event.data().parse().unwrap();
                assert_eq!(number, next, "in order, and every hole was announced");
                came += 1;
                next += 1;
                if number as usize == last {
                    return (came, missed);
                }
            }
            Delivery::Gap(Gap::Lagged { missed: more, .. }) => {
                missed += more;
                next += more;
            }
            Delivery::Gap(gap) => panic!("{gap:?}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_subscriptions_made_before_connect_always_see_the_first_event() {
    let server = staying("event: a\ndata: first\n\n").await;
    let client = support::client();
    for round in 0..1000 {
        let handle = client.stream(server.url()).build().unwrap();
        let (mut one, mut other) = (handle.subscribe("a"), handle.subscribe(Filter::all()));
        handle.connect();
        for subscription in [&mut one, &mut other] {
            let Some(Delivery::Event(event)) = within(subscription.recv()).await else { panic!("round {round}") };
            assert_eq!(event.data(), "first", "round {round}");
        }
        within(handle.shutdown()).await;
    }
    server.finish().await;
}

const MILLION: usize = 1_000_000;

/// Sends `total` events through a queue of the default size, under `Wait` and under `Block`.
async fn a_healthy_subscriber_loses_nothing(total: usize) {
    for overflow in [Overflow::default(), Overflow::Block] {
        let server = blast(total).await;
        let handle = support::client().stream(&*server.url).build().unwrap();
        let mut events = handle.subscribe_with(Filter::all(), SubscribeOptions::default().overflow(overflow));
        handle.connect();
        let reading = tokio::spawn(async move { drain(&mut events, total - 1).await });
        let limit = support::LIMIT * 6 * (total / MILLION) as u32;
        let (came, missed) = tokio::time::timeout(limit, reading).await.unwrap().unwrap();
        assert_eq!((came, missed), (total as u64, 0));
    }
}

#[tokio::test]
async fn a_healthy_subscriber_loses_nothing_in_a_blast_on_one_thread() {
    a_healthy_subscriber_loses_nothing(MILLION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_subscriber_loses_nothing_in_a_blast_on_two_workers() {
    a_healthy_subscriber_loses_nothing(MILLION).await;
}

#[tokio::test]
#[ignore = "ten million events, twice: a minute or two in a debug build"]
async fn a_healthy_subscriber_loses_nothing_in_a_long_blast_on_one_thread() {
    a_healthy_subscriber_loses_nothing(10 * MILLION).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "ten million events, twice: a minute or two in a debug build"]
async fn a_healthy_subscriber_loses_nothing_in_a_long_blast_on_two_workers() {
    a_healthy_subscriber_loses_nothing(10 * MILLION).await;
}

/// The number of events that a server replays at once when a client reconnects.
async fn a_burst_after_a_resumption_is_complete() {
    const REPLAYED: usize = 100_000;
    let (first, replayed) = (numbered([0]), numbered(0..=REPLAYED as u64));
    let server = serve([Script::open().bytes(first).end(), Script::open().bytes(replayed)]).await;
    let handle = support::stream(server.url()).drop_repeats(1).build().unwrap();
    let block = SubscribeOptions::default().overflow(Overflow::Block);
    let mut both = [handle.subscribe(Filter::all()), handle.subscribe_with(Filter::all(), block)];
    handle.connect();
    let [waits, blocks] = both.each_mut().map(|subscription| async {
        let mut next = 0;
        while next <= REPLAYED {
            match within(subscription.recv()).await.expect("the stream goes on") {
                Delivery::Event(event) if event.data() == next.to_string() => next += 1,
                Delivery::Gap(Gap::Reconnected { sent: Some(_), .. }) => assert_eq!(next, 1),
                other => panic!("{other:?} instead of {next}"),
            }
        }
        subscription.missed()
    });
    assert_eq!(tokio::join!(waits, blocks), (0, 0));
    within(handle.shutdown()).await;
    server.finish().await;
}

/// The server replays the events after a resumption.
#[tokio::test]
async fn a_healthy_subscriber_gets_all_of_a_replay_on_one_thread() {
    a_burst_after_a_resumption_is_complete().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_subscriber_gets_all_of_a_replay_on_two_workers() {
    a_burst_after_a_resumption_is_complete().await;
}

/// Eight threads subscribe and leave 100,000 times in all, and none of them hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_that_come_and_go_in_a_blast_see_events_in_order() {
    const THREADS: usize = 8;
    const TIMES: usize = 100_000;
    let server = blast(usize::MAX).await;
    let handle = support::client().stream(&*server.url).build().unwrap();
    let mut witness = handle.subscribe(Filter::all());
    handle.connect();
    let runtime = tokio::runtime::Handle::current();
    let coming_and_going: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (handle, runtime) = (handle.clone(), runtime.clone());
            tokio::task::spawn_blocking(move || {
                for time in 0..TIMES / THREADS {
                    let capacity = 1 + (time + thread) % 7;
                    let overflow = [Overflow::default(), Overflow::DropOldest, Overflow::Block, Overflow::Conflate];
                    let options = SubscribeOptions::default().capacity(capacity);
                    let mut events =
                        handle.subscribe_with(Filter::all(), options.overflow(overflow[time % overflow.len()].clone()));
                    // Some wait for an event. All leave events in their queues.
                    if time % 16 == 0 {
                        let delivery = runtime.block_on(within(events.recv()));
                        assert!(matches!(delivery, Some(Delivery::Event(_) | Delivery::Gap(Gap::Lagged { .. }))));
                    }
                }
            })
        })
        .collect();
    let all_are_gone = async {
        for one in coming_and_going {
            one.await.unwrap();
        }
    };
    let mut all_are_gone = std::pin::pin!(tokio::time::timeout(support::LIMIT * 6, all_are_gone));
    let mut next = 0;
    loop {
        tokio::select! {
            gone = &mut all_are_gone => break gone.unwrap(),
            delivery = witness.recv() => {
                let Some(Delivery::Event(event)) = delivery else { panic!("{delivery:?}") };
                assert_eq!(event.data(), next.to_string());
                next += 1;
            }
        }
    }
    assert!(next > 0);
    assert!(matches!(within(handle.shutdown()).await, CloseReason::Shutdown));
}

#[tokio::test]
async fn an_unread_subscription_costs_others_nothing_and_counts_its_losses() {
    let total = 10_000;
    let server = blast(total).await;
    let handle = support::client().stream(&*server.url).build().unwrap();
    let (mut stuck, mut healthy) = (handle.subscribe(Filter::all()), handle.subscribe(Filter::all()));
    handle.connect();
    assert_eq!(within(drain(&mut healthy, total - 1)).await, (total as u64, 0));
    let (came, missed) = within(drain(&mut stuck, total - 1)).await;
    assert_eq!(came + missed, total as u64);
    assert_eq!(came, 256, "the newest, as many as the queue holds");
    assert_eq!((stuck.missed(), handle.stats().missed), (missed, missed));
}

#[tokio::test]
async fn a_subscription_that_catches_up_is_waited_for_again() {
    let server = staying((0..2_000).map(|number| format!("data: {number}\n\n")).collect::<String>()).await;
    let handle = support::client().stream(server.url()).capacity(16).build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    let mut other = handle.subscribe("message");
    handle.connect();
    // `events` is stuck while `other` takes the first half. Then it reads, and loses no more.
    let half = within(drain(&mut other, 999)).await;
    assert_eq!(half, (1000, 0));
    let (came, missed) = within(async { tokio::join!(drain(&mut events, 1_999), drain_rest(&mut other)).0 }).await;
    assert_eq!(came + missed, 2000);
    assert!(missed >= 900, "{missed} of the first thousand are gone");
    assert!(missed <= 1016, "{missed}: nothing was lost after it had caught up");
}

async fn drain_rest(subscription: &mut Subscription) {
    let mut next = 1000;
    while next < 2000 {
        match subscription.recv().await.unwrap() {
            Delivery::Event(event) => {
                assert_eq!(event.data(), next.to_string());
                next += 1;
            }
            Delivery::Gap(gap) => panic!("{gap:?}"),
        }
    }
}

#[tokio::test]
async fn a_gap_is_kept_in_its_place_even_when_the_events_around_it_are_dropped() {
    let burst = |from: usize| (from..from + 50).map(|n| format!("data: {n}\n\n")).collect::<String>();
    let part = |text: String| Script::open().bytes(text).end();
    let server = serve([part(format!("id: x\n\n{}", burst(0))), part(burst(50)), status(204)]).await;
    let handle = support::client()
        .stream(server.url())
        .capacity(8)
        .reconnection_time(std::time::Duration::ZERO)
        .build()
        .unwrap();
    let mut events = handle.subscribe_with(Filter::all(), SubscribeOptions::default().overflow(Overflow::DropOldest));
    handle.connect();
    within(handle.closed()).await;
    assert_eq!(events.recv().await, Some(Delivery::Gap(Gap::lagged(92))));
    assert_eq!(events.recv().await, Some(Delivery::Gap(Gap::reconnected(Some("x".into())))));
    for number in 92..100 {
        let Some(Delivery::Event(event)) = events.recv().await else { panic!("event {number}") };
        assert_eq!(event.data(), number.to_string());
    }
    assert_eq!(events.recv().await, None);
    assert_eq!(events.missed(), 92);
}

/// The connection task yields to readers that it may overrun, and they have to run before it goes
/// on.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn readers_that_may_lose_events_lose_none_while_they_read() {
    for (capacity, readers, events) in [(64, 1, 50_000), (256, 1, 50_000), (1024, 1, 50_000), (256, 100, 5_000)] {
        let transport = move |_request: Request<Bytes>| async move {
            let body: String = (0..events).map(|number| format!("data: {number}\n\n")).collect();
            Response::builder().header("content-type", "text/event-stream").body(Full::new(Bytes::from(body)))
        };
        let client = Client::builder().transport(transport).build();
        let handle = client.stream("http://in.memory/").build().unwrap();
        let options = SubscribeOptions::default().capacity(capacity).overflow(Overflow::DropOldest);
        let mut reading = JoinSet::new();
        for _reader in 0..readers {
            let mut subscription = handle.subscribe_with(Filter::all(), options.clone());
            reading.spawn(async move { drain(&mut subscription, events - 1).await });
        }
        handle.connect();
        let ends = vec![(events as u64, 0); readers];
        assert_eq!(within(reading.join_all()).await, ends, "queues of {capacity}");
    }
}

#[tokio::test]
async fn a_dropped_subscription_is_forgotten_and_a_late_one_sees_later_events() {
    let (publisher, handle) = testing::channel();
    let mut early = handle.subscribe("message");
    handle.connect();
    publisher.send(("message", "1")).await.unwrap();
    assert!(matches!(within(early.recv()).await, Some(Delivery::Event(event)) if event.data() == "1"));
    let mut late = handle.subscribe(["message", "other"]);
    drop(early);
    publisher.send(("message", "2")).await.unwrap();
    assert!(matches!(within(late.recv()).await, Some(Delivery::Event(event)) if event.data() == "2"));
    drop(late);
    until("still connected", || handle.state().is_open()).await;
}

/// No event passes the filter between the loss and the reconnection.
#[tokio::test]
async fn a_loss_before_a_later_reconnection_is_still_reported_once() {
    // The second request cannot carry an ID, the third one can. No event passes the filter in
    // between.
    let part = |text| Script::open().bytes(text);
    let server = serve([
        part("event: rare\ndata: 1\n\n").end(),
        part("event: other\nid: 5\ndata: x\n\n").end(),
        part("event: rare\nid: 6\ndata: 2\n\n").end(),
        part("event: rare\nid: 7\ndata: 3\n\n"),
    ])
    .await;
    let stream = support::client().stream(server.url()).reconnection_time(std::time::Duration::from_millis(1));
    let handle = stream.build().unwrap();
    let mut rare = handle.subscribe("rare");
    handle.connect();
    until("the fourth response", || handle.last_event_id() == "7").await;
    let mut shown = Vec::new();
    while shown.last().is_none_or(|last| last != "3") {
        shown.push(match within(rare.recv()).await.unwrap() {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(gap) => format!("{}: {gap}", gap.is_loss()),
        });
    }
    let lost = "true: reconnected without an ID: what came in between is lost";
    assert_eq!(shown, ["1", lost, "2", "false: reconnected, resuming after ID \"6\"", "3"]);
}
