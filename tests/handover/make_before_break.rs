//! A change that takes effect by a handover: the second response opens before the first is closed.

use sseclient::Apply;
use sseclient::testing::{Script, Server};
use tokio::sync::oneshot::{Sender, channel};

use crate::support::{OPEN, follow, headers, numbered, serve, short, status, stream, until, within};

/// A server whose second response begins when told.
async fn held_back(first: String, second: String) -> (Server, Sender<()>, Sender<()>) {
    let ((more, go_on), (answer, begin)) = (channel(), channel());
    let first = Script::open().bytes(numbered([1])).wait_for(go_on).bytes(first);
    (serve([first, Script::raw().wait_for(begin).bytes(second)]).await, more, answer)
}

#[tokio::test]
async fn a_second_response_takes_over_without_a_gap_and_without_a_repeat() {
    let second = format!("{OPEN}{}", numbered([2, 3, 4, 5]));
    let (server, more, answer) = held_back(numbered([2, 3]), second).await;
    let (handle, mut events) = follow(stream(server.url()));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request.bearer_auth("fresh"), Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    assert!(handle.state().is_open());
    more.send(()).unwrap();
    for expected in ["2", "3"] {
        assert_eq!(short(&mut events).await, expected, "the first response is read until the second begins");
    }
    answer.send(()).unwrap();
    within(update).await.unwrap();
    for expected in ["4", "5"] {
        assert_eq!(short(&mut events).await, expected);
    }
    assert_eq!(headers(&server, "last-event-id"), [None, Some("1".into())]);
    let stats = handle.stats();
    assert_eq!((stats.repeats, stats.gaps, stats.opens), (2, 0, 2));
}

#[tokio::test]
async fn a_second_response_that_begins_somewhere_else_is_a_gap() {
    let second = format!("{OPEN}{}", numbered([7, 8]));
    let (server, more, answer) = held_back(numbered([2]), second).await;
    let (handle, mut events) = follow(stream(server.url()));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    more.send(()).unwrap();
    assert_eq!(short(&mut events).await, "2");
    answer.send(()).unwrap();
    within(update).await.unwrap();
    for expected in ["reconnected after Some(\"1\")", "7", "8"] {
        assert_eq!(short(&mut events).await, expected);
    }
}

#[tokio::test]
async fn a_second_response_that_is_refused_leaves_the_first_open() {
    let refusal = "HTTP/1.1 500 Oh\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (server, more, answer) = held_back(numbered([2]), refusal).await;
    let (handle, mut events) = follow(stream(server.url()));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    answer.send(()).unwrap();
    assert_eq!(within(update).await.unwrap_err().status().unwrap(), 500);
    assert!(handle.state().is_open());
    more.send(()).unwrap();
    assert_eq!(short(&mut events).await, "2");
}

#[tokio::test]
async fn a_refused_second_response_leaves_a_change_for_the_next_attempt_pending() {
    let server = serve([Script::open(), status(500), Script::open()]).await;
    let (handle, _events) = follow(stream(server.url()));
    within(handle.opened()).await.unwrap();
    let mut next = tokio_test::task::spawn(handle.update(|request| request.header("x-next", "1"), Apply::NextAttempt));
    let beside = handle.update(|request| request.header("x-beside", "1"), Apply::MakeBeforeBreak);
    assert_eq!(within(beside).await.unwrap_err().status().unwrap(), 500);
    assert!(next.poll().is_pending(), "it goes with the next attempt");
    handle.reconnect();
    within(next).await.unwrap();
    assert_eq!(headers(&server, "x-next"), [None, Some("1".into()), Some("1".into())]);
    assert_eq!(headers(&server, "x-beside"), [None, Some("1".into()), Some("1".into())]);
}

#[tokio::test]
async fn the_first_response_may_end_while_the_second_is_on_its_way() {
    let ((more, go_on), (answer, begin)) = (channel(), channel::<()>());
    let first = Script::open().bytes(numbered([1])).wait_for(go_on).bytes(numbered([2])).end();
    let second = Script::raw().wait_for(begin).bytes(format!("{OPEN}{}", numbered([2, 3])));
    let server = serve([first, second]).await;
    let (handle, mut events) = follow(stream(server.url()));
    assert_eq!(short(&mut events).await, "1");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    until("the second request comes", || server.requests().len() == 2).await;
    more.send(()).unwrap();
    assert_eq!(short(&mut events).await, "2");
    until("the first response is over", || !handle.state().is_open()).await;
    answer.send(()).unwrap();
    within(update).await.unwrap();
    assert_eq!(short(&mut events).await, "3");
    assert_eq!(server.requests().len(), 2);
}
