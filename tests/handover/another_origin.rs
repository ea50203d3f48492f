//! Handover to another origin, which has IDs of its own.

use std::convert::Infallible;
use std::sync::Arc;

use http::HeaderMap;
use sseclient::{Apply, Change, Delivery, Gap, Subscription};
use tokio::sync::Notify;

use crate::support::{OPEN, Server, follow, stream, until, within};

const UNAVAILABLE: &str = "HTTP/1.1 503 Unavailable\r\ncontent-length: 0\r\n\r\n";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n";

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

/// A server that sends event 1, and event 2 when told. Later connections get `later`.
async fn old_origin() -> (Server, Arc<Notify>) {
    let go_on = Arc::new(Notify::new());
    let told = Arc::clone(&go_on);
    let server = Server::start(move |_, mut connection| {
        let told = Arc::clone(&told);
        async move {
            connection.send(&format!("{OPEN}id: 1\ndata: 1\n\n")).await;
            told.notified().await;
            connection.send("id: 2\ndata: 2\n\n").await;
            connection.closed().await;
        }
    })
    .await;
    (server, go_on)
}

/// A server that sends these answers, the first one when told, and keeps the connections open.
async fn new_origin(answers: Vec<String>) -> (Server, Arc<Notify>) {
    let (answers, go_on) = (Arc::new(answers), Arc::new(Notify::new()));
    let told = Arc::clone(&go_on);
    let server = Server::start(move |number, mut connection| {
        let (answers, told) = (Arc::clone(&answers), Arc::clone(&told));
        async move {
            if number == 0 {
                told.notified().await;
            }
            connection.send(&answers[number.min(answers.len() - 1)]).await;
            connection.closed().await;
        }
    })
    .await;
    (server, go_on)
}

fn to(server: &Server) -> impl FnOnce(Change) -> Change + use<> {
    let url = server.url.clone();
    move |request| request.url(&*url)
}

#[tokio::test]
async fn an_origin_that_refused_the_handover_never_learns_the_old_ids() {
    let (old, more) = old_origin().await;
    let (new, answer) = new_origin(vec![UNAVAILABLE.to_owned(), format!("{OPEN}data: x\n\n")]).await;
    let (handle, mut events) = follow(stream(&old.url));
    expect(&mut events, &["1 after 1"]).await;
    answer.notify_one();
    within(handle.update(to(&new), Apply::MakeBeforeBreak)).await.unwrap_err();
    more.notify_one();
    expect(&mut events, &["2 after 2"]).await;
    assert_eq!(handle.last_event_id(), "2", "the old response goes on");
    handle.reconnect();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(new.headers("last-event-id"), [None, None]);
}

#[tokio::test]
async fn a_new_origin_starts_without_the_ids_that_the_old_one_sent_meanwhile() {
    let (old, more) = old_origin().await;
    let (new, answer) = new_origin(vec![format!("{OPEN}data: x\n\n")]).await;
    let (handle, mut events) = follow(stream(&old.url));
    expect(&mut events, &["1 after 1"]).await;
    let update = handle.update(to(&new), Apply::MakeBeforeBreak);
    until("the new origin is asked", || new.requests().len() == 1).await;
    more.notify_one();
    expect(&mut events, &["2 after 2"]).await;
    answer.notify_one();
    within(update).await.unwrap();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(handle.last_event_id(), "");
    handle.reconnect();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(new.headers("last-event-id"), [None, None]);
}

#[tokio::test]
async fn a_retry_with_fresh_credentials_hides_the_old_origins_ids() {
    let (old, more) = old_origin().await;
    let (new, answer) = new_origin(vec![UNAUTHORIZED.to_owned(), format!("{OPEN}data: x\n\n")]).await;
    let credentials = |_| std::future::ready(Ok::<_, Infallible>(HeaderMap::new()));
    let (handle, mut events) = follow(stream(&old.url).credentials(credentials));
    expect(&mut events, &["1 after 1"]).await;
    let update = handle.update(to(&new), Apply::MakeBeforeBreak);
    until("the new origin is asked", || new.requests().len() == 1).await;
    more.notify_one();
    expect(&mut events, &["2 after 2"]).await;
    answer.notify_one();
    within(update).await.unwrap();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(new.headers("last-event-id"), [None, None]);
}

#[tokio::test]
async fn an_origin_keeps_its_own_ids_when_a_change_preceded_the_handover() {
    let (old, _) = old_origin().await;
    let (new, answer) = new_origin(vec![format!("{OPEN}id: 7\ndata: 7\n\n")]).await;
    let (handle, mut events) = follow(stream(&old.url));
    expect(&mut events, &["1 after 1"]).await;
    let update = handle.update(to(&new), Apply::MakeBeforeBreak);
    until("the new origin is asked", || new.requests().len() == 1).await;
    drop(handle.update(|request| request.header("x-new", "1"), Apply::NextAttempt));
    answer.notify_one();
    within(update).await.unwrap();
    expect(&mut events, &["reconnected after None", "7 after 7"]).await;
    handle.reconnect();
    expect(&mut events, &["reconnected after Some(\"7\")", "7 after 7"]).await;
    assert_eq!(new.headers("last-event-id"), [None, Some("7".into())]);
}

#[tokio::test]
async fn the_same_ids_from_another_origin_are_no_repeats() {
    for apply in [Apply::Reconnect, Apply::MakeBeforeBreak] {
        let (old, _) = old_origin().await;
        let (new, answer) = new_origin(vec![format!("{OPEN}id: 1\ndata: x\n\n")]).await;
        let (handle, mut events) = follow(stream(&old.url).drop_repeats(10));
        expect(&mut events, &["1 after 1"]).await;
        answer.notify_one();
        within(handle.update(to(&new), apply)).await.unwrap();
        expect(&mut events, &["reconnected after None", "x after 1"]).await;
    }
}

#[tokio::test]
async fn keep_last_event_id_holds_for_one_url_and_not_for_the_next() {
    let (old, _) = old_origin().await;
    let (new, answer) = new_origin(vec![format!("{OPEN}data: x\n\n")]).await;
    let (other, _) = new_origin(vec![]).await;
    let (handle, mut events) = follow(stream(&old.url));
    expect(&mut events, &["1 after 1"]).await;
    answer.notify_one();
    let (to_other, to_new) = (to(&other), to(&new));
    // The connection task sees both changes at once.
    drop(handle.update(|request| to_other(request).keep_last_event_id(true), Apply::NextAttempt));
    within(handle.update(to_new, Apply::Reconnect)).await.unwrap();
    expect(&mut events, &["reconnected after None", "x after "]).await;
    assert_eq!(new.headers("last-event-id"), [None]);
}
