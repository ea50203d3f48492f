//! Changes of a running stream: headers, URL, the resume point, and statistics.

use http::HeaderValue;
use sseclient::testing::{Plan, Script, Server};
use sseclient::{Apply, Change, Delivery, ErrorKind, Gap, Resume};

use crate::support::{follow, headers, numbered, serve, short, stream, until, within};

/// A server that sends `first` to the first connection and `second` to the second, and stays.
async fn two_responses(first: &str, second: &str) -> Server {
    let bodies = [first.to_owned(), second.to_owned()];
    serve(Plan::each(move |number, _| Script::open().bytes(bodies[number - 1].clone()))).await
}

#[tokio::test]
async fn an_update_changes_headers_and_query_together_and_resolves_when_applied() {
    let server = two_responses(&numbered([1]), &numbered([2])).await;
    let (handle, mut events) = follow(stream(&format!("{}?keep=1&old=a&old=b", server.url())).header("x-old", "1"));
    assert_eq!(short(&mut events).await, "1");
    let change =
        |request: Change| request.header("x-new", "2").remove_header("x-old").query("old", "c d").query("new", "e");
    within(handle.update(change, Apply::Reconnect)).await.unwrap();
    assert_eq!(short(&mut events).await, "reconnected after Some(\"1\")");
    assert_eq!(short(&mut events).await, "2");
    let request = &server.requests()[1];
    assert_eq!(request.uri(), "/stream?keep=1&old=c%20d&new=e");
    assert_eq!((&request.headers()["x-new"], request.headers().get("x-old")), (&HeaderValue::from_static("2"), None));
}

#[tokio::test]
async fn an_update_for_the_next_attempt_leaves_the_open_response_alone() {
    let server = two_responses(&numbered([1]), &numbered([2])).await;
    let (handle, mut events) = follow(stream(server.url()));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request.header("x-new", "2"), Apply::NextAttempt);
    assert!(handle.state().is_open());
    handle.reconnect();
    within(update).await.unwrap();
    assert_eq!(headers(&server, "x-new"), [None, Some("2".into())]);
}

#[tokio::test]
async fn a_mistake_in_an_update_changes_nothing() {
    let server = two_responses(&numbered([1]), &numbered([2])).await;
    let (handle, mut events) = follow(stream(server.url()));
    assert_eq!(short(&mut events).await, "1");
    type Mistake = fn(Change) -> Change;
    let mistakes: [(Mistake, ErrorKind); 5] = [
        (|request| request.header("a b", "1"), ErrorKind::InvalidHeader),
        (|request| request.header("x-new", "1\n2"), ErrorKind::InvalidHeader),
        (|request| request.header("last-event-id", "1"), ErrorKind::InvalidHeader),
        (|request| request.url("not a url"), ErrorKind::InvalidUrl),
        (|request| request.header("x-new", "1").url("ftp://host/"), ErrorKind::Unsupported),
    ];
    for (mistake, kind) in mistakes {
        assert_eq!(within(handle.update(mistake, Apply::Reconnect)).await.unwrap_err().kind(), kind);
    }
    handle.reconnect();
    assert_eq!(short(&mut events).await, "reconnected after Some(\"1\")");
    assert_eq!(headers(&server, "x-new"), [None, None]);
    within(handle.shutdown()).await;
    let late = within(handle.update(|request| request, Apply::NextAttempt)).await;
    assert_eq!(late.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test]
async fn a_new_origin_gets_no_last_event_id_unless_the_caller_says_so() {
    for (keep, expected) in [(None, None), (Some(true), Some("1")), (Some(false), None)] {
        let old = two_responses(&numbered([1]), "").await;
        let new = two_responses(&numbered([7]), "").await;
        let (handle, mut events) = follow(stream(&old.url().replace("http://", "http://user:pass@")));
        assert_eq!(short(&mut events).await, "1");
        let url = new.url().to_owned();
        let change = move |request: Change| match keep {
            Some(keep) => request.url(&*url).keep_last_event_id(keep),
            None => request.url(&*url),
        };
        within(handle.update(change, Apply::Reconnect)).await.unwrap();
        assert_eq!(headers(&new, "last-event-id"), [expected.map(str::to_owned)], "{keep:?}");
        assert_eq!(headers(&new, "authorization"), [None], "what came with the old URL does not go to the new one");
        assert_eq!(short(&mut events).await, format!("reconnected after {expected:?}"));
        assert_eq!(short(&mut events).await, "7");
    }
}

#[tokio::test]
async fn a_program_can_go_back_to_what_it_has_committed() {
    for (resume, sent) in
        [(Resume::Id("2".into()), Some("2")), (Resume::Id(String::new()), None), (Resume::Fresh, None)]
    {
        let server = two_responses(&numbered([1, 2, 3]), "data: x\n\n").await;
        let (handle, mut events) = follow(stream(server.url()));
        let mut other = handle.subscribe("message");
        for expected in ["1", "2", "3"] {
            assert_eq!(short(&mut events).await, expected);
        }
        handle.reconnect_from(resume).unwrap();
        assert_eq!(short(&mut events).await, format!("reconnected after {sent:?}"));
        while short(&mut other).await != format!("reconnected after {sent:?}") {}
        let Delivery::Event(event) = within(events.recv()).await.unwrap() else { panic!("an event") };
        assert_eq!(event.last_event_id(), sent.unwrap_or_default());
        assert_eq!(handle.last_event_id(), sent.unwrap_or_default());
    }
}

#[tokio::test]
async fn an_id_that_no_header_can_carry_is_refused_at_the_call() {
    let server = two_responses("", "").await;
    let (handle, _events) = follow(stream(server.url()));
    let refused = handle.reconnect_from(Resume::Id("a\nb".into()));
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidHeader);
}

#[tokio::test]
async fn events_that_a_server_repeats_are_dropped_when_asked() {
    let server = two_responses(&numbered([1, 2, 3]), &format!("{}data: x\n\n", numbered([2, 3, 4]))).await;
    let (handle, mut events) = follow(stream(server.url()).drop_repeats(2));
    for expected in ["1", "2", "3"] {
        assert_eq!(short(&mut events).await, expected);
    }
    handle.reconnect();
    for expected in ["reconnected after Some(\"3\")", "4", "x"] {
        assert_eq!(short(&mut events).await, expected);
    }
    assert_eq!(handle.stats().repeats, 2);
}

#[tokio::test]
async fn a_stream_counts_what_it_has_seen() {
    let server = two_responses("data: 1\n\ndata: 2\n\n: comment\n\n", &format!("data: {}\n\n", "x".repeat(100))).await;
    let (handle, mut events) = follow(stream(server.url()).max_event_size(50));
    let mut transcript = handle.transcript();
    assert_eq!(handle.stats().last_event, None);
    for expected in ["1", "2"] {
        assert_eq!(short(&mut events).await, expected);
    }
    handle.reconnect();
    assert_eq!(short(&mut events).await, "reconnected after None");
    until("the second body is counted", || handle.stats().oversized == 1).await;
    let stats = handle.stats();
    assert_eq!((stats.events, stats.comments, stats.attempts, stats.opens, stats.gaps), (2, 1, 2, 2, 1));
    assert_eq!((stats.bytes, stats.failures.len()), (9 + 9 + 11 + 108, 0));
    assert!(stats.last_byte.unwrap() <= stats.last_event.unwrap());
    while !matches!(within(transcript.recv()).await, Some(sseclient::TranscriptItem::Gap(Gap::Oversized { .. }))) {}
}

#[tokio::test]
async fn an_oversized_event_is_counted_also_when_its_turn_brings_nothing_else() {
    // A queue of four fills one by one, so each of these is published in a turn of its own.
    let large = format!("data: {}\n\n", "x".repeat(100));
    let server = two_responses(&format!("data: 1\n\n{large}{large}{large}data: 2\n\n"), "").await;
    let (handle, mut events) = follow(stream(server.url()).max_event_size(50).capacity(4));
    assert_eq!(short(&mut events).await, "1");
    let Some(Delivery::Gap(Gap::Oversized { .. })) = within(events.recv()).await else { panic!("a gap") };
    until("the last event is counted", || handle.stats().events == 2).await;
    assert_eq!(handle.stats().oversized, 3);
}
