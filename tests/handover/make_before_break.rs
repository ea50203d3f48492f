//! A change that takes effect by a handover: the second response opens before the first is closed.

use std::sync::Arc;

use sseclient::Apply;
use tokio::sync::Notify;

use crate::support::{Connection, OPEN, Server, follow, numbered, short, stream, until, within};

/// A server whose second response begins when told.
async fn held_back(first: &'static str, second: String) -> (Server, Arc<Notify>, Arc<Notify>) {
    let (more, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (go_on, begin) = (Arc::clone(&more), Arc::clone(&answer));
    let server = Server::start(move |number, mut connection: Connection| {
        let (go_on, begin, second) = (Arc::clone(&go_on), Arc::clone(&begin), second.clone());
        async move {
            if number == 0 {
                connection.send(&format!("{OPEN}{}", numbered([1]))).await;
                go_on.notified().await;
                connection.send(first).await;
            } else {
                begin.notified().await;
                connection.send(&second).await;
            }
            connection.closed().await;
        }
    })
    .await;
    (server, more, answer)
}

#[tokio::test]
async fn a_second_response_takes_over_without_a_gap_and_without_a_repeat() {
    let second = format!("{OPEN}{}", numbered([2, 3, 4, 5]));
    let (server, more, answer) = held_back("id: 2\ndata: 2\n\nid: 3\ndata: 3\n\n", second).await;
    let (handle, mut events) = follow(stream(&server.url));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request.bearer_auth("fresh"), Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    assert!(handle.state().is_open());
    more.notify_one();
    for expected in ["2", "3"] {
        assert_eq!(short(&mut events).await, expected, "the first response is read until the second begins");
    }
    answer.notify_one();
    within(update).await.unwrap();
    for expected in ["4", "5"] {
        assert_eq!(short(&mut events).await, expected);
    }
    assert_eq!(server.headers("last-event-id"), [None, Some("1".into())]);
    let stats = handle.stats();
    assert_eq!((stats.repeats, stats.gaps, stats.opens), (2, 0, 2));
}

#[tokio::test]
async fn a_second_response_that_begins_somewhere_else_is_a_gap() {
    let second = format!("{OPEN}{}", numbered([7, 8]));
    let (server, more, answer) = held_back("id: 2\ndata: 2\n\n", second).await;
    let (handle, mut events) = follow(stream(&server.url));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    more.notify_one();
    assert_eq!(short(&mut events).await, "2");
    answer.notify_one();
    within(update).await.unwrap();
    for expected in ["reconnected after Some(\"1\")", "7", "8"] {
        assert_eq!(short(&mut events).await, expected);
    }
}

#[tokio::test]
async fn a_second_response_that_is_refused_leaves_the_first_open() {
    let refusal = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (server, more, answer) = held_back("id: 2\ndata: 2\n\n", refusal).await;
    let (handle, mut events) = follow(stream(&server.url));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    answer.notify_one();
    assert_eq!(within(update).await.unwrap_err().status().unwrap(), 500);
    assert!(handle.state().is_open());
    more.notify_one();
    assert_eq!(short(&mut events).await, "2");
}

#[tokio::test]
async fn a_refused_second_response_leaves_a_change_for_the_next_attempt_pending() {
    let refusal = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n";
    let server = Server::start(move |number, mut connection| async move {
        connection.send(if number == 1 { refusal } else { OPEN }).await;
        connection.closed().await;
    })
    .await;
    let (handle, _events) = follow(stream(&server.url));
    within(handle.opened()).await.unwrap();
    let mut next = tokio_test::task::spawn(handle.update(|request| request.header("x-next", "1"), Apply::NextAttempt));
    let beside = handle.update(|request| request.header("x-beside", "1"), Apply::MakeBeforeBreak);
    assert_eq!(within(beside).await.unwrap_err().status().unwrap(), 500);
    assert!(next.poll().is_pending(), "it goes with the next attempt");
    handle.reconnect();
    within(next).await.unwrap();
    assert_eq!(server.headers("x-next"), [None, Some("1".into()), Some("1".into())]);
    assert_eq!(server.headers("x-beside"), [None, Some("1".into()), Some("1".into())]);
}

#[tokio::test]
async fn the_first_response_may_end_while_the_second_is_on_its_way() {
    let answer = Arc::new(Notify::new());
    let begin = Arc::clone(&answer);
    let server = Server::start(move |number, mut connection| {
        let begin = Arc::clone(&begin);
        async move {
            if number == 0 {
                connection.send(&format!("{OPEN}{}", numbered([1]))).await;
                begin.notified().await;
                connection.send(&numbered([2])).await;
                begin.notify_one();
            } else {
                begin.notified().await;
                begin.notified().await;
                connection.send(&format!("{OPEN}{}", numbered([2, 3]))).await;
                connection.closed().await;
            }
        }
    })
    .await;
    let (handle, mut events) = follow(stream(&server.url));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    answer.notify_one();
    assert_eq!(short(&mut events).await, "2");
    until("the first response is over", || !handle.state().is_open()).await;
    answer.notify_one();
    within(update).await.unwrap();
    assert_eq!(short(&mut events).await, "3");
    assert_eq!(server.requests().len(), 2);
}
