//! Deduplication: repeats are not delivered twice, and the last event ID stays right.

use std::sync::Arc;

use sseclient::testing::{Script, Server};
use sseclient::{Apply, Subscription};
use tokio::sync::Notify;

use crate::support::{OPEN, follow, headers, notified, numbered, serve, short, staying, stream, until, within};

async fn expect(subscription: &mut Subscription, expected: &[&str]) {
    for expected in expected {
        assert_eq!(short(subscription).await, *expected);
    }
}

/// A server that sends each connection the parts of its line, each part when told.
async fn told(lines: Vec<Vec<String>>) -> (Server, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let when_told = |script: Script, part: String| script.wait_for(notified(&go_on)).bytes(part);
    let scripts = lines.into_iter().map(|line| line.into_iter().fold(Script::raw(), when_told));
    let server = serve(scripts.collect::<Vec<_>>()).await;
    (server, go_on)
}

#[tokio::test]
async fn a_repeat_leaves_the_last_event_id_at_the_newest_delivered_event() {
    for repeat in ["id: 3\ndata: 3\n\n", "id: 3\n\n"] {
        let first = Script::open().bytes(numbered([1, 2, 3, 4, 5]) + repeat).end();
        let server = serve([first, Script::open()]).await;
        let (_handle, mut events) = follow(stream(server.url()).drop_repeats(10));
        expect(&mut events, &["1", "2", "3", "4", "5", "reconnected after Some(\"5\")"]).await;
        assert_eq!(headers(&server, "last-event-id"), [None, Some("5".into())]);
    }
}

#[tokio::test]
async fn events_that_take_the_last_event_id_away_are_no_repeats_of_each_other() {
    let server = staying("id\ndata: a\n\nid\ndata: b\n\n").await;
    let (_handle, mut events) = follow(stream(server.url()).drop_repeats(10));
    expect(&mut events, &["a", "b"]).await;
}

#[tokio::test]
async fn ids_and_oversized_events_of_both_responses_count_once() {
    let large = |id| format!("id: {id}\ndata: {}\n\n", "x".repeat(100));
    let overlap = format!("{}{}{}id: 5\n\n", numbered([2]), large(3), numbered([4]));
    let first = vec![format!("{OPEN}{}", numbered([1])), overlap.clone()];
    // The second response begins with an ID.
    let second = vec![format!("{OPEN}id: 1\n\n{overlap}id: 2\n\n"), format!("{}{}", large(6), numbered([7]))];
    let (server, go_on) = told(vec![first, second]).await;
    let (handle, mut events) = follow(stream(server.url()).max_event_size(50));
    go_on.notify_one();
    expect(&mut events, &["1"]).await;
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    go_on.notify_one();
    expect(&mut events, &["2", "1 oversized, Some(\"3\")", "4"]).await;
    until("the ID comes", || handle.last_event_id() == "5").await;
    go_on.notify_one();
    within(update).await.unwrap();
    until("the repeats are over", || handle.stats().repeats == 3).await;
    assert_eq!((handle.last_event_id().as_str(), handle.stats().oversized), ("5", 1));
    go_on.notify_one();
    expect(&mut events, &["1 oversized, Some(\"6\")", "7"]).await;
    assert_eq!(handle.stats().oversized, 2);
}

#[tokio::test]
async fn a_gap_that_nothing_followed_does_not_come_after_a_later_one() {
    let first = vec![format!("{OPEN}{}", numbered([1, 2, 3])), numbered([4])];
    // This response begins elsewhere, with events that are known.
    let second = vec![format!("{OPEN}{}", numbered([2]))];
    let third = vec![format!("{OPEN}{}", numbered([5]))];
    let (server, go_on) = told(vec![first, second, third]).await;
    let (handle, mut events) = follow(stream(server.url()).drop_repeats(10));
    go_on.notify_one();
    expect(&mut events, &["1", "2", "3"]).await;
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    go_on.notify_one();
    expect(&mut events, &["4"]).await;
    go_on.notify_one();
    within(update).await.unwrap();
    until("the repeat is over", || handle.stats().repeats == 1).await;
    handle.reconnect();
    go_on.notify_one();
    expect(&mut events, &["reconnected after Some(\"4\")", "5"]).await;
}
