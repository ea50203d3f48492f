//! Relays: programs that pass a stream on to clients of their own, which come and go.

use std::time::Duration;

use sseclient::testing::Script;
use sseclient::{Delivery, ErrorKind, Event, Filter, Gap, Handle, StreamBuilder, SubscribeOptions, Subscription};

use crate::support::{client, serve, staying, until, within};

/// An event as a relay would have kept it: `a1` is of type `a`, with the ID `a1`.
fn event(word: &str) -> Event {
    Event::builder().event_type(&word[..1]).id(word).data(word).build().unwrap()
}

/// The key of a word of three letters is its second.
fn key(event: &Event) -> String {
    event.data()[1..2].to_owned()
}

fn stream() -> StreamBuilder {
    client().stream("http://127.0.0.1:9/")
}

fn seeded(stream: StreamBuilder, words: &str) -> Handle {
    stream.seed(words.split(' ').map(event)).build().unwrap()
}

fn replay() -> SubscribeOptions {
    SubscribeOptions::default().replay()
}

/// What is queued: events by their data, `-` and a number for what is not retained.
fn queued(mut subscription: Subscription) -> String {
    let mut words = Vec::new();
    while let Ok(delivery) = subscription.try_recv() {
        words.push(match delivery {
            Delivery::Event(event) => event.data().to_owned(),
            Delivery::Gap(Gap::NotRetained { events, .. }) => format!("-{events}"),
            Delivery::Gap(gap) => panic!("{gap}"),
        });
    }
    words.join(" ")
}

#[test]
fn what_is_seeded_is_replayed_before_the_first_connection() {
    type Rules = fn(StreamBuilder) -> StreamBuilder;
    let rules: [(Rules, &str); 4] = [
        (|stream| stream.retain("a", 2), "a2 a3"),
        (|stream| stream.retain_since("s"), "s1 a2 b1 a3"),
        (|stream| stream.retain_latest(Filter::all(), |event| event.event_type().to_owned()), "s1 b1 a3"),
        (|stream| stream.retain("b", 9).retain_latest("a", key), "a1 a2 b1 a3"),
    ];
    for (rules, expected) in rules {
        let words = "a1 s1 a2 b1 a3";
        for handle in
            [seeded(rules(stream()), words), rules(stream().seed(words.split(' ').map(event))).build().unwrap()]
        {
            assert_eq!(queued(handle.subscribe_with(Filter::all(), replay())), expected);
            assert_eq!(queued(handle.subscribe(Filter::all())), "", "only for a replay");
            assert_eq!(handle.last_event_id(), "", "the caller sets it");
        }
    }
}

#[test]
fn a_seed_that_no_rule_retains_is_a_mistake() {
    let error = stream().seed([event("a1")]).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidConfig);
    assert!(error.to_string().contains("set a rule to retain"), "{error}");
}

#[test]
fn a_replay_begins_after_an_id_or_says_that_it_is_not_retained() {
    let newest = seeded(stream().retain(Filter::all(), 4), "a1 a2 b1 a3 a2 b2");
    let latest = seeded(stream().retain_latest(Filter::all(), key), "ax1 bx1 ay1 ax2 az1");
    for (handle, id, expected) in [
        (&newest, "b1", "a3 a2 b2"),
        (&newest, "a2", "b2"),
        (&newest, "b2", ""),
        (&newest, "a1", "-0 b1 a3 a2 b2"),
        (&newest, "", "b1 a3 a2 b2"),
        (&latest, "ay1", "ax2 az1"),
        (&latest, "ax1", "-0 ay1 ax2 az1"),
    ] {
        let options = SubscribeOptions::default().replay_after(id);
        assert_eq!(queued(handle.subscribe_with(Filter::all(), options)), expected, "{id}");
    }
    // One rule has the ID, and another has dropped what came after it.
    let unequal = seeded(stream().retain("s", 9).retain("a", 2), "s1 a1 a2 a3 s2 a4");
    for (filter, id, expected) in [
        (Filter::all(), "s1", "-0 a3 s2 a4"),
        (Filter::all(), "s2", "a4"),
        ("a".into(), "s1", "-0 a3 a4"),
        ("s".into(), "s1", "s2"),
    ] {
        let options = SubscribeOptions::default().replay_after(id);
        assert_eq!(queued(unequal.subscribe_with(filter.clone(), options)), expected, "{filter:?} after {id}");
    }
    // A third rule still has what the second has dropped.
    let covered = seeded(stream().retain("s", 9).retain("a", 2).retain(Filter::all(), 9), "s1 a1 a2 a3");
    let options = SubscribeOptions::default().replay_after("s1");
    assert_eq!(queued(covered.subscribe_with(Filter::all(), options)), "a1 a2 a3");
    // The ID need not be of an event that passes the filter.
    let options = SubscribeOptions::default().replay_after("b1");
    assert_eq!(queued(newest.subscribe_with("b", options)), "b2");
}

#[test]
fn the_keys_that_are_retained_are_bounded() {
    let keys = 65_536 + 10;
    let events = (0..keys).map(|key| Event::builder().data(key.to_string()).build().unwrap());
    let handle = stream().retain_latest(Filter::all(), |event| event.data().to_owned()).seed(events).build().unwrap();
    let mut subscription = handle.subscribe_with(Filter::all(), replay());
    assert!(matches!(subscription.try_recv(), Ok(Delivery::Gap(Gap::NotRetained { events: 10, .. }))));
    assert_eq!(subscription.queued(), 65_536);
    // Three events of 6 MiB are more than 16 MiB.
    let large = |letter: &str| Event::builder().event_type(letter).data(letter.repeat(6 << 20)).build().unwrap();
    let by_type = |event: &Event| event.event_type().to_owned();
    let handle = stream().retain_latest(Filter::all(), by_type).seed(["a", "b", "c"].map(large)).build().unwrap();
    let replayed = handle.subscribe_with(Filter::all(), replay());
    assert_eq!(replayed.queued(), 2);
}

#[tokio::test]
async fn a_key_that_panics_is_the_type_and_the_stream_goes_on() {
    let server = staying("event: a\ndata: 1\n\nevent: a\ndata: 2\n\nevent: b\ndata: 3\n\n").await;
    let panics = |_: &Event| -> String { std::panic::resume_unwind(Box::new("a bug")) };
    let handle = client().stream(server.url()).retain_latest(Filter::all(), panics).build().unwrap();
    handle.connect();
    until("all has come", || handle.stats().events == 3).await;
    assert_eq!(queued(handle.subscribe_with(Filter::all(), replay())), "2 3");
}

#[tokio::test]
async fn a_resumed_relay_gives_what_was_kept_and_then_what_follows() {
    let server = serve(Script::open().expect_resumed_from("b1").bytes("id: c1\nevent: c\ndata: c1\n\n")).await;
    let stream = client().stream(server.url()).last_event_id("b1").retain(Filter::all(), 9);
    let handle = seeded(stream, "a1 b1");
    let mut early = handle.subscribe_with(Filter::all(), SubscribeOptions::default().replay_after("a1"));
    handle.connect();
    let mut data = Vec::new();
    while data.len() < 2 {
        data.extend(within(early.recv()).await.unwrap().event().map(|event| event.data().to_owned()));
    }
    assert_eq!(data, ["b1", "c1"]);
    let late = handle.subscribe_with(Filter::all(), SubscribeOptions::default().replay_after("b1"));
    assert_eq!(queued(late), "c1");
    within(handle.shutdown_with(sseclient::Drain { deadline: Duration::ZERO })).await;
}
