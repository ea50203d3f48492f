//! Retained events for late subscribers, and how the live stream follows them.

use sseclient::testing::{self, Script};
use sseclient::{Delivery, Drain, Filter, Gap, Handle, Overflow, StreamBuilder, SubscribeOptions, Subscription};
use tokio::sync::oneshot;

use crate::support::{self, OPEN, RawServer, header, serve, until, within};

/// A server that says these words, of which `|` ends a response, and the later ones when told.
async fn saying(words: &str, later: &str) -> (testing::Server, oneshot::Sender<()>) {
    let (tell, told) = oneshot::channel();
    let mut scripts: Vec<_> = words.split(" | ").map(|words| Script::open().bytes(wire(words))).collect();
    let last = scripts.pop().unwrap();
    let mut scripts: Vec<_> = scripts.into_iter().map(Script::end).collect();
    scripts.push(if later.is_empty() { last } else { last.wait_for(told).bytes(wire(later)) });
    (serve(scripts).await, tell)
}

/// `a1` is an event of type `a` with this data; one with `!` is too large.
fn wire(words: &str) -> String {
    let event = |word: &str| {
        let data = if word.ends_with('!') { "x".repeat(2_000) } else { word.to_owned() };
        format!("event: {}\nid: {word}\ndata: {data}\n\n", &word[..1])
    };
    words.split(' ').map(event).collect()
}

/// A delivery as text: an event as above, `|` for a reconnection that resumes, `!` with a number
/// for oversized events, `-` for events that were not retained.
fn word(delivery: Delivery) -> String {
    match delivery {
        Delivery::Event(event) => event.data().to_owned(),
        Delivery::Gap(Gap::Reconnected { sent: Some(_), .. }) => "|".to_owned(),
        Delivery::Gap(Gap::Oversized { events, .. }) => format!("{events}!"),
        Delivery::Gap(Gap::NotRetained { events, .. }) => format!("{events}-"),
        Delivery::Gap(gap) => panic!("{gap}"),
    }
}

fn stream(server: &testing::Server) -> StreamBuilder {
    support::stream(server.url()).max_event_size(1_000)
}

fn join(handle: &Handle, filter: impl Into<Filter>) -> Subscription {
    handle.subscribe_with(filter, SubscribeOptions::default().replay())
}

async fn take(subscription: &mut Subscription, until: &str) -> String {
    let mut words = Vec::new();
    while words.last().is_none_or(|last| last != until) {
        words.push(word(within(subscription.recv()).await.unwrap()));
    }
    words.join(" ")
}

#[tokio::test]
async fn a_late_joiner_first_gets_what_was_retained_and_then_all_that_follows() {
    type Rules = fn(StreamBuilder) -> StreamBuilder;
    let newest: Rules = |stream| stream.retain("a", 2);
    let since: Rules = |stream| stream.retain_since("s");
    let both: Rules = |stream| stream.retain_since("s").retain("a", 2).retain(Filter::all(), 1);
    let overlapping: Rules = |stream| stream.retain("a", 2).retain(Filter::all(), 9);
    let all = || Filter::all();
    for (rules, before, filter, replayed) in [
        (newest, "a1", all(), "a1"),
        (newest, "a1 a2 a3 b1", all(), "a2 a3"),
        (newest, "b1 b2", all(), ""),
        (newest, "a1 a2 a3", "b".into(), ""),
        (newest, "a1 a2 | a3 b1", all(), "a2 | a3"),
        (newest, "a1 a2 | b1 | a3 | a4", all(), "a3 | a4"),
        (newest, "a1 a! a! b! a2", all(), "a1 2! a2"),
        (newest, "a1 a2 |", all(), "a1 a2 |"),
        (since, "a1 b1", all(), ""),
        (since, "a1 s1 a2 b1", all(), "s1 a2 b1"),
        (since, "s1 a1 s2 a2 | a3", all(), "s2 a2 | a3"),
        (since, "s1 a1 a2 b1", ["s", "b"].into(), "s1 b1"),
        (since, "s1 a! b! a1", all(), "s1 2! a1"),
        (since, "s1 a! a1", "s".into(), "s1"),
        (both, "a1 a2 a3 s1 b1 a4 b2", all(), "a3 s1 b1 a4 b2"),
        (both, "a1 a2 | s1 | b1", ["a", "s"].into(), "a1 a2 | s1 |"),
        (overlapping, "a1 a! b! a2", all(), "a1 2! a2"),
        (overlapping, "a1 a! b! a2", "a".into(), "a1 1! a2"),
        (overlapping, "a1 a! b! a! | b! a2", all(), "a1 | 4! a2"),
    ] {
        let (server, tell) = saying(&format!("{before} z1"), "a8 s8 b8 a9 b9 s9").await;
        let handle = rules(stream(&server)).build().unwrap();
        let mut early = handle.subscribe("z");
        handle.connect();
        let mut seen = String::new();
        while !seen.ends_with("z1") {
            seen = word(within(early.recv()).await.unwrap());
        }
        let mut late = join(&handle, filter.clone());
        tell.send(()).unwrap();
        let live = ["a8", "s8", "b8", "a9", "b9", "s9"].into_iter().filter(|one| filter.matches(&one[..1]));
        let live: Vec<_> = live.collect();
        // A rule for all types retains the marker, too.
        let got = take(&mut late, live.last().unwrap()).await.replace("z1 ", "");
        let expected = if replayed.is_empty() { live.join(" ") } else { format!("{replayed} {}", live.join(" ")) };
        assert_eq!(got, expected, "{before:?}");
        assert_eq!(late.missed(), 0);
        handle.shutdown().await;
    }
}

/// A snapshot, and so many changes that the snapshot and the first three changes are dropped.
fn too_many() -> String {
    let changes: String = (0..65_538).map(|number| format!(" a{number}")).collect();
    format!("s1{changes} z1")
}

/// Until the next snapshot.
#[tokio::test]
async fn changes_beyond_the_retained_size_are_reported_as_missing() {
    let (server, tell) = saying(&too_many(), "s2 a1 z2").await;
    let handle = stream(&server).retain_since("s").build().unwrap();
    let mut early = handle.subscribe("z");
    handle.connect();
    assert_eq!(take(&mut early, "z1").await, "z1");
    let mut late = join(&handle, ["s", "a"]);
    assert_eq!(word(late.try_recv().unwrap()), "4-");
    assert_eq!(word(late.try_recv().unwrap()), "a3");
    assert_eq!(late.queued(), 65_534);
    tell.send(()).unwrap();
    assert_eq!(take(&mut early, "z2").await, "z2");
    assert_eq!(take(&mut join(&handle, Filter::all()), "z2").await, "s2 a1 z2");
    handle.shutdown().await;
}

#[tokio::test]
async fn events_lost_by_several_rules_are_reported_once_after_the_kept_ones() {
    let (server, _) = saying(&too_many(), "").await;
    // The first and the last rule lose the same events. The second keeps the snapshot.
    let rules = stream(&server).retain_since("s").retain("s", 1).retain_since(["s", "never"]);
    let handle = rules.build().unwrap();
    let mut early = handle.subscribe("z");
    handle.connect();
    assert_eq!(take(&mut early, "z1").await, "z1");
    assert_eq!(take(&mut join(&handle, Filter::all()), "a4").await, "s1 4- a3 a4");
    assert_eq!(take(&mut join(&handle, "z"), "z1").await, "4- z1", "it may have been a z");
    handle.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn joining_amid_a_blast_misses_nothing_and_gets_nothing_twice() {
    const LAST: u64 = 200_000;
    let server = RawServer::start(|_, mut connection| async move {
        let after: u64 = header(&connection.request, "last-event-id").map_or(0, |id| id.parse().unwrap());
        let mut text = OPEN.to_owned();
        for id in after + 1..=LAST {
            text.push_str(&format!("id: {id}\ndata: {id}\n\n"));
            if id % 1_000 == 0 || id == LAST {
                connection.send(&std::mem::take(&mut text)).await;
            }
        }
        connection.closed().await;
    })
    .await;
    let handle = support::client().stream(&*server.url).retain(Filter::all(), 50).build().unwrap();
    handle.connect();
    let mut joined = Vec::new();
    for number in 1..=100_u64 {
        let stats = handle.clone();
        until("the blast goes on", || stats.stats().events >= number * 1_000).await;
        let mut late = join(&handle, Filter::all());
        joined.push(tokio::spawn(async move {
            let mut next = None;
            loop {
                let id: u64 = word(late.recv().await.unwrap()).parse().unwrap();
                assert_eq!(id, next.unwrap_or(id));
                next = Some(id + 1);
                if id == LAST {
                    return;
                }
            }
        }));
    }
    for late in joined {
        within(late).await.unwrap();
    }
    handle.shutdown().await;
}

#[tokio::test]
async fn a_predicate_filters_the_replay_and_its_panic_ends_its_subscription() {
    let (server, tell) = saying("a1 a2 b3 b4 z1", "a5 a6 a82").await;
    let handle = stream(&server).retain(Filter::all(), 9).build().unwrap();
    let mut early = handle.subscribe("z");
    handle.connect();
    assert_eq!(take(&mut early, "z1").await, "z1");
    let even = |event: &sseclient::Event| event.data().ends_with(['2', '4']);
    let mut passing = join(&handle, Filter::matching(even));
    let mut panicking = join(
        &handle,
        Filter::matching(|event| {
            assert_ne!(event.data(), "b3");
            true
        }),
    );
    tell.send(()).unwrap();
    assert_eq!(take(&mut passing, "a82").await, "a2 b4 a82");
    assert_eq!(take(&mut panicking, "a2").await, "a1 a2");
    assert!(within(panicking.recv()).await.is_none());
    assert!(within(panicking.recv()).await.is_none());
    let error = panicking.close_reason().unwrap().into_result().unwrap_err();
    assert_eq!(error.kind(), sseclient::ErrorKind::FilterPanicked);
    assert!(handle.state().is_open());
    handle.shutdown().await;
}

#[test]
fn a_rule_for_retained_events_cannot_have_a_predicate() {
    let error =
        support::client().stream("http://127.0.0.1/").retain(Filter::matching(|_| true), 1).build().unwrap_err();
    assert_eq!(error.kind(), sseclient::ErrorKind::InvalidConfig);
}

/// Under `Block`, a queue without a reader would stop the stream for all.
#[tokio::test]
async fn a_subscription_that_ended_in_its_replay_delays_no_other() {
    let many: String = (0..100).map(|number| format!("b{number} ")).collect();
    let (server, tell) = saying("a1 a2 z1", &format!("{many}z2")).await;
    let handle = stream(&server).retain(Filter::all(), 9).build().unwrap();
    let mut early = handle.subscribe("z");
    handle.connect();
    assert_eq!(take(&mut early, "z1").await, "z1");
    let asked = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = std::sync::Arc::clone(&asked);
    let panicking = Filter::matching(move |_| {
        counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        panic!("as it is meant to")
    });
    let options = SubscribeOptions::default().replay().capacity(2).overflow(Overflow::Block);
    let mut ended = handle.subscribe_with(panicking, options);
    tell.send(()).unwrap();
    assert_eq!(take(&mut early, "z2").await, "z2");
    assert_eq!(asked.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert!(within(ended.recv()).await.is_none());
    let drained = within(handle.shutdown_with(Drain { deadline: support::LIMIT })).await;
    assert_eq!(drained.dropped, 0, "{drained:?}");
}

/// A stream that has retained three events, and a subscription that has not taken any.
async fn joined(options: SubscribeOptions) -> (testing::Server, Handle, Subscription) {
    let (server, _) = saying("a1 a2 | a3 z1", "").await;
    let handle = stream(&server).retain("a", 3).build().unwrap();
    let mut early = handle.subscribe("z");
    handle.connect();
    assert_eq!(word(within(early.recv()).await.unwrap()), "|");
    assert_eq!(take(&mut early, "z1").await, "z1");
    let late = handle.subscribe_with("a", options.replay());
    (server, handle, late)
}

#[tokio::test]
async fn a_drain_waits_for_what_is_replayed_and_drops_it_at_the_deadline() {
    for overflow in [Overflow::Block, Overflow::Conflate] {
        let options = || SubscribeOptions::default().overflow(overflow.clone());
        let (_server, handle, mut late) = joined(options()).await;
        assert_eq!(word(late.try_recv().unwrap()), "a1");
        let draining = handle.shutdown_with(Drain { deadline: std::time::Duration::from_secs(3600) });
        let taking = async {
            within(handle.closed()).await;
            assert_eq!(take(&mut late, "a3").await, "a2 | a3");
            assert!(within(late.recv()).await.is_none());
        };
        let (drained, ()) = within(async { tokio::join!(draining, taking) }).await;
        assert_eq!((drained.delivered, drained.dropped), (2, 0));

        let (_server, handle, mut late) = joined(options()).await;
        assert_eq!(word(late.try_recv().unwrap()), "a1");
        let drained = within(handle.shutdown_with(Drain { deadline: std::time::Duration::ZERO })).await;
        assert_eq!((drained.delivered, drained.dropped), (0, 2));
        assert_eq!(late.queued(), 0);
        assert!(within(late.recv()).await.is_none());

        let (_server, handle, late) = joined(options()).await;
        let draining = handle.shutdown_with(Drain { deadline: std::time::Duration::from_secs(3600) });
        drop(late);
        let drained = within(draining).await;
        assert_eq!((drained.delivered, drained.dropped), (0, 3));
    }
}
