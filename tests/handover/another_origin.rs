//! Handover to another origin, which has IDs of its own.

use std::convert::Infallible;

use bytes::Bytes;
use http::HeaderMap;
use sseclient::testing::{Script, Server};
use sseclient::{Apply, Change, Delivery, Gap, Subscription};
use tokio::sync::oneshot::{Sender, channel};

use crate::support::{OPEN, follow, headers, numbered, serve, stream, until, within};

const UNAVAILABLE: &str = "HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";
/// An event without an ID.
const X: &str = "data: x\n\n";

/// Asserts the next deliveries: the data and the last event ID, or the gap.
async fn expect(subscription: &mut Subscription, expected: &[&str]) {
    for expected in expected {
        let short = match within(subscription.recv()).await.expect("the stream goes on") {
            Delivery::Event(event) => format!("{} after {}", event.data(), event.last_event_id()),
            Delivery::Gap(Gap::Reconnected { sent, .. }) => format!("reconnected after {sent:?}"),
            Delivery::Gap(gap) => panic!("{gap}"),
        };
        assert_eq!(short, *expected);
    }
}

/// A server that sends event 1, and event 2 when told.
async fn old_origin() -> (Server, Sender<()>) {
    let (go_on, told) = channel();
    (serve(Script::open().bytes(numbered([1])).wait_for(told).bytes(numbered([2]))).await, go_on)
}

/// A server that sends the bytes of its first answer when told, and then follows `later`.
async fn new_origin(first: impl Into<Bytes>, later: impl IntoIterator<Item = Script>) -> (Server, Sender<()>) {
    let (go_on, told) = channel();
    let first = Script::raw().wait_for(told).bytes(first);
    (serve([first].into_iter().chain(later).collect::<Vec<_>>()).await, go_on)
}

fn to(server: &Server) -> impl FnOnce(Change) -> Change + use<> {
    let url = server.url().to_owned();
    move |request| request.url(&*url)
}

#[tokio::test]
async fn an_origin_that_refused_the_handover_never_learns_the_old_ids() {
    let (old, more) = old_origin().await;
    let (new, answer) = new_origin(UNAVAILABLE, [Script::open().bytes(X)]).await;
    let (handle, mut events) = follow(stream(old.url()));
    expect(&mut events, &["1 after 1"]).await;
    answer.send(()).unwrap();
    within(handle.update(to(&new), Apply::MakeBeforeBreak)).await.unwrap_err();
    more.send(()).unwrap();
    expect(&mut events, &["2 after 2"]).await;
    assert_eq!(handle.last_event_id(), "2", "the old response goes on");
    handle.reconnect();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(headers(&new, "last-event-id"), [None, None]);
}

#[tokio::test]
async fn a_new_origin_starts_without_the_ids_that_the_old_one_sent_meanwhile() {
    let (old, more) = old_origin().await;
    let (new, answer) = new_origin(OPEN.to_owned() + X, [Script::open().bytes(X)]).await;
    let (handle, mut events) = follow(stream(old.url()));
    expect(&mut events, &["1 after 1"]).await;
    let update = handle.update(to(&new), Apply::MakeBeforeBreak);
    until("the new origin is asked", || new.requests().len() == 1).await;
    more.send(()).unwrap();
    expect(&mut events, &["2 after 2"]).await;
    answer.send(()).unwrap();
    within(update).await.unwrap();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(handle.last_event_id(), "");
    handle.reconnect();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(headers(&new, "last-event-id"), [None, None]);
}

#[tokio::test]
async fn a_retry_with_fresh_credentials_hides_the_old_origins_ids() {
    let (old, more) = old_origin().await;
    let (new, answer) = new_origin(UNAUTHORIZED, [Script::open().bytes(X)]).await;
    let credentials = |_| std::future::ready(Ok::<_, Infallible>(HeaderMap::new()));
    let (handle, mut events) = follow(stream(old.url()).credentials(credentials));
    expect(&mut events, &["1 after 1"]).await;
    let update = handle.update(to(&new), Apply::MakeBeforeBreak);
    until("the new origin is asked", || new.requests().len() == 1).await;
    more.send(()).unwrap();
    expect(&mut events, &["2 after 2"]).await;
    answer.send(()).unwrap();
    within(update).await.unwrap();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(headers(&new, "last-event-id"), [None, None]);
}

#[tokio::test]
async fn an_origin_keeps_its_own_ids_when_a_change_preceded_the_handover() {
    let old = serve(Script::open().bytes(numbered([1]))).await;
    let (new, answer) = new_origin(OPEN.to_owned() + &numbered([7]), [Script::open().bytes(numbered([7]))]).await;
    let (handle, mut events) = follow(stream(old.url()));
    expect(&mut events, &["1 after 1"]).await;
    let update = handle.update(to(&new), Apply::MakeBeforeBreak);
    until("the new origin is asked", || new.requests().len() == 1).await;
    drop(handle.update(|request| request.header("x-new", "1"), Apply::NextAttempt));
    answer.send(()).unwrap();
    within(update).await.unwrap();
    expect(&mut events, &["reconnected after None", "7 after 7"]).await;
    handle.reconnect();
    expect(&mut events, &["reconnected after Some(\"7\")", "7 after 7"]).await;
    assert_eq!(headers(&new, "last-event-id"), [None, Some("7".into())]);
}

#[tokio::test]
async fn the_same_ids_from_another_origin_are_no_repeats() {
    for apply in [Apply::Reconnect, Apply::MakeBeforeBreak] {
        let old = serve(Script::open().bytes(numbered([1]))).await;
        let new = serve(Script::open().bytes("id: 1\ndata: x\n\n")).await;
        let (handle, mut events) = follow(stream(old.url()).drop_repeats(10));
        expect(&mut events, &["1 after 1"]).await;
        within(handle.update(to(&new), apply)).await.unwrap();
        expect(&mut events, &["reconnected after None", "x after 1"]).await;
    }
}

#[tokio::test]
async fn keep_last_event_id_holds_for_one_url_and_not_for_the_next() {
    let old = serve(Script::open().bytes(numbered([1]))).await;
    let (new, other) = (serve(Script::open().bytes(X)).await, serve([]).await);
    let (handle, mut events) = follow(stream(old.url()));
    expect(&mut events, &["1 after 1"]).await;
    let (to_other, to_new) = (to(&other), to(&new));
    // The connection task sees both changes at once.
    drop(handle.update(|request| to_other(request).keep_last_event_id(true), Apply::NextAttempt));
    within(handle.update(to_new, Apply::Reconnect)).await.unwrap();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(headers(&new, "last-event-id"), [None]);
}
