//! A last event ID that the server refuses, because it no longer knows it.

use std::sync::Arc;

use sseclient::testing::{Plan, Script, Server};
use sseclient::{Apply, Commit, ErrorKind, Filter, ReconnectPolicy, RefusedId};
use tokio::sync::Notify;

use super::memory::{Memory, acknowledging};
use crate::support::{OPEN, follow, headers, next_event, notified, serve, short, status, stream, within};

/// A server that refuses each request with a last event ID, and gives others an event with the ID
/// `1`.
async fn forgetful(code: u16) -> Server {
    serve(Plan::each(move |_, request| match request.headers().get("last-event-id") {
        Some(_) => status(code).bytes("soon"),
        None => Script::open().bytes("id: 1\ndata: first\n\n"),
    }))
    .await
}

#[tokio::test]
async fn a_refused_id_is_final_and_the_error_names_it_and_the_setting() {
    for status in [400, 404, 409, 410, 412, 416, 422] {
        let server = forgetful(status).await;
        let error = within(stream(server.url()).last_event_id("41").open(Filter::all())).await.unwrap_err();
        assert_eq!((error.kind(), error.status().map(|status| status.as_u16())), (ErrorKind::Status, Some(status)));
        assert_eq!(error.body().map(|body| &body[..]), Some(&b"soon"[..]));
        let message = error.to_string();
        assert!(message.contains("\"41\"") && message.contains("if_id_is_refused"), "{message}");
        assert_eq!(server.requests().len(), 1);
    }
}

#[tokio::test]
async fn an_error_names_an_id_only_if_the_server_may_have_refused_it() {
    for (code, id) in [(404, None), (404, Some("")), (401, Some("41")), (403, Some("41")), (501, Some("41"))] {
        let server = serve(status(code)).await;
        let stream = stream(server.url()).last_event_id(id).if_id_is_refused(RefusedId::StartFresh);
        let message = within(stream.open(Filter::all())).await.unwrap_err().to_string();
        assert!(!message.contains("41\"") && !message.contains("if_id_is_refused"), "{message}");
        assert_eq!(server.requests().len(), 1, "{code}, {id:?}");
    }
}

#[tokio::test]
async fn a_long_id_is_shortened_in_the_error() {
    let server = forgetful(404).await;
    let id = "7".repeat(7000);
    let error = within(stream(server.url()).last_event_id(&id).open(Filter::all())).await.unwrap_err();
    assert!(error.to_string().len() < 500 && error.to_string().contains("7777"), "{error}");
}

#[tokio::test]
async fn with_start_fresh_the_stream_begins_at_once_without_the_id_after_a_gap() {
    for status in [400, 404, 409, 410, 412, 416, 422] {
        let server = forgetful(status).await;
        let stream = stream(server.url()).last_event_id("41").if_id_is_refused(RefusedId::StartFresh);
        // `open` does not retry its first attempt, so this is one.
        let mut events = within(stream.open(Filter::all())).await.unwrap();
        assert_eq!(short(&mut events).await, "reconnected after None");
        let first = next_event(&mut events).await;
        assert_eq!((first.data(), first.last_event_id()), ("first", "1"));
        assert_eq!(headers(&server, "last-event-id"), [Some("41".to_owned()), None]);
    }
}

#[tokio::test]
async fn an_id_that_is_refused_later_is_given_up_as_well() {
    let first = Script::open().bytes("id: 7\ndata: a\n\n").end();
    // An event without an ID must not inherit the one that was given up.
    let server = serve([first, status(410), Script::open().bytes("data: b\n\n")]).await;
    let (handle, mut events) = follow(stream(server.url()).if_id_is_refused(RefusedId::StartFresh));
    assert_eq!(short(&mut events).await, "a");
    assert_eq!(short(&mut events).await, "reconnected after None");
    let event = next_event(&mut events).await;
    assert_eq!((event.data(), event.last_event_id()), ("b", ""));
    assert_eq!(handle.last_event_id(), "");
    assert_eq!(headers(&server, "last-event-id"), [None, Some("7".to_owned()), None]);
}

#[tokio::test]
async fn a_refused_id_is_replaced_in_the_resume_store() {
    for commit in [Commit::Delivery, Commit::Acknowledgement] {
        let server = serve([status(404), Script::open(), Script::open()]).await;
        let memory = Memory::holding("41");
        let start = || {
            let stream = stream(server.url()).resume_store(memory.clone(), commit);
            stream.if_id_is_refused(RefusedId::StartFresh).build().unwrap()
        };
        let first = start();
        let mut events = acknowledging(&first, Filter::all());
        first.connect();
        assert_eq!(short(&mut events).await, "reconnected after None");
        memory.holds("").await;
        within(first.shutdown()).await;
        // The next run sends no ID, so nothing is refused.
        let second = start();
        second.connect();
        within(second.first_attempt()).await.unwrap();
        assert_eq!(headers(&server, "last-event-id"), [Some("41".to_owned()), None, None], "{commit:?}");
    }
}

/// A server that refuses everything says nothing about the ID.
#[tokio::test]
async fn a_second_refusal_is_the_policys_and_keeps_the_id() {
    let server = serve([status(404), status(404), status(404), status(404), Script::open()]).await;
    let memory = Memory::holding("41");
    let start = || {
        let stream = stream(server.url()).resume_store(memory.clone(), Commit::Delivery);
        stream.if_id_is_refused(RefusedId::StartFresh)
    };
    let final_one = start().build().unwrap();
    final_one.connect();
    let reason = within(final_one.closed()).await;
    assert_eq!(reason.error().and_then(|error| error.status()).map(|status| status.as_u16()), Some(404));
    assert_eq!((memory.id().as_deref(), server.requests().len()), (Some("41"), 2));
    // A policy that goes on sends the ID again.
    let policy =
        ReconnectPolicy::persistent().reconnection_time(std::time::Duration::ZERO).ceiling(std::time::Duration::ZERO);
    let persistent = start().reconnect_policy(policy).build().unwrap();
    persistent.connect();
    within(persistent.opened()).await.unwrap();
    let (with, without) = (Some("41".to_owned()), None);
    let expected = [with.clone(), without.clone(), with.clone(), without, with];
    assert_eq!(headers(&server, "last-event-id"), expected);
    assert_eq!(persistent.last_event_id(), "41");
}

/// A server whose first response gives the event `7`, and the event `8` when told. It refuses each
/// request with a last event ID, and answers the others with this text when told.
async fn handing_over(otherwise: &str) -> (Server, Arc<Notify>, Arc<Notify>) {
    let (more, answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (told, asked, otherwise) = (Arc::clone(&more), Arc::clone(&answer), otherwise.to_owned());
    let server = serve(Plan::each(move |number, request| {
        if number == 1 {
            let script = Script::open().bytes("id: 7\ndata: 7\n\n");
            script.wait_for(notified(&told)).bytes("id: 8\ndata: 8\n\n")
        } else if request.headers().contains_key("last-event-id") {
            status(410)
        } else {
            Script::raw().wait_for(notified(&asked)).bytes(otherwise.clone())
        }
    }))
    .await;
    (server, more, answer)
}

#[tokio::test]
async fn an_id_that_is_refused_in_a_handover_leaves_the_open_response() {
    let named = "the last event ID \"7\": StreamBuilder::if_id_is_refused";
    for (choice, status, says, requests) in
        [(RefusedId::Fail, 410, named, 2), (RefusedId::StartFresh, 404, "the server answered 404", 3)]
    {
        let (server, more, answer) = handing_over("HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await;
        let (handle, mut events) = follow(stream(server.url()).if_id_is_refused(choice));
        assert_eq!(short(&mut events).await, "7");
        answer.notify_one();
        let error = within(handle.update(|request| request, Apply::MakeBeforeBreak)).await.unwrap_err();
        assert_eq!(error.status().map(|status| status.as_u16()), Some(status));
        assert!(error.to_string().contains(says), "{error}");
        more.notify_one();
        assert_eq!(short(&mut events).await, "8");
        assert_eq!((handle.last_event_id().as_str(), server.requests().len()), ("8", requests), "{choice:?}");
    }
}

/// The server that no longer knows the ID may use the same IDs for other events.
#[tokio::test]
async fn with_start_fresh_a_handover_is_tried_without_the_refused_id() {
    let (server, more, answer) = handing_over(&format!("{OPEN}id: 8\ndata: another 8\n\ndata: b\n\n")).await;
    let (handle, mut events) = follow(stream(server.url()).if_id_is_refused(RefusedId::StartFresh).drop_repeats(10));
    assert_eq!(short(&mut events).await, "7");
    let update = handle.update(|request| request, Apply::MakeBeforeBreak);
    crate::support::until("a request without the ID", || server.requests().len() == 3).await;
    more.notify_one();
    assert_eq!(short(&mut events).await, "8", "the open response goes on");
    answer.notify_one();
    within(update).await.unwrap();
    for expected in ["reconnected after None", "another 8", "b"] {
        assert_eq!(short(&mut events).await, expected);
    }
    assert_eq!(headers(&server, "last-event-id"), [None, Some("7".to_owned()), None]);
}
