//! Several changes in a row. Each has the same effect whether the connection task has seen the one
//! before or not.

use sseclient::testing::Server;
use sseclient::{Apply, Change, Delivery, ErrorKind, Filter, Handle, Resume, StreamBuilder};

use crate::support::{headers, numbered, staying, stream, within};

const BASIC: &str = "Basic dXNlcjpzZWNyZXQ="; // user:secret

/// A server that sends one event with this ID to each connection, and stays.
async fn server(id: u64) -> Server {
    staying(numbered([id])).await
}

/// A stream whose first event has been taken.
async fn opened(stream: StreamBuilder) -> Handle {
    let handle = stream.build().unwrap();
    let mut events = handle.subscribe(Filter::all());
    handle.connect();
    assert!(matches!(within(events.recv()).await, Some(Delivery::Event(_))));
    handle
}

/// The same URL, with userinfo.
fn secret(url: &str) -> String {
    url.replace("http://", "http://user:secret@")
}

/// A header of the last request.
fn last(server: &Server, name: &str) -> Option<String> {
    headers(server, name).pop().flatten()
}

/// Also if the URL was never dialled.
#[tokio::test]
async fn credentials_in_a_url_go_to_no_other_origin() {
    let (old, new) = (server(1).await, server(2).await);
    for at_once in [false, true] {
        let handle = opened(stream(old.url())).await;
        let go = |request: Change| request.url(new.url());
        if at_once {
            within(handle.update(|request| go(request.url(secret(old.url()))), Apply::Reconnect)).await.unwrap();
        } else {
            drop(handle.update(|request| request.url("http://user:secret@127.0.0.1:9/"), Apply::Reconnect));
            within(handle.update(go, Apply::Reconnect)).await.unwrap();
        }
        assert_eq!(last(&new, "authorization"), None, "in one change: {at_once}");
    }
}

#[tokio::test]
async fn authorization_that_the_caller_set_stays_across_url_changes() {
    type Step = fn(Change, &str) -> Change;
    let bearer: Step = |request, _| request.bearer_auth("mine");
    let remove: Step = |request, _| request.remove_header("authorization");
    let enter: Step = |request, url| request.url(secret(url));
    let leave: Step = |request, url| request.url(url);
    let (mine, basic) = (Some("Bearer mine"), Some(BASIC));
    let rows: [(&[Step], Option<&str>); 9] = [
        (&[bearer], mine),
        (&[leave], None),
        (&[bearer, leave], mine),
        (&[enter], basic),
        (&[bearer, enter], basic),
        (&[bearer, enter, leave], mine),
        (&[enter, bearer], mine),
        (&[enter, bearer, leave], mine),
        (&[enter, remove], None),
    ];
    let server = server(1).await;
    for (number, (steps, expected)) in rows.into_iter().enumerate() {
        for at_once in [false, true] {
            let handle = opened(stream(&secret(server.url()))).await;
            assert_eq!(last(&server, "authorization").as_deref(), basic);
            if at_once {
                let all = |request| steps.iter().fold(request, |request, step| step(request, server.url()));
                drop(handle.update(all, Apply::NextAttempt));
            } else {
                for step in steps {
                    drop(handle.update(|request| step(request, server.url()), Apply::NextAttempt));
                }
            }
            within(handle.update(|request| request, Apply::Reconnect)).await.unwrap();
            let sent = last(&server, "authorization");
            assert_eq!(sent.as_deref(), expected, "row {number}, in one change: {at_once}");
            let request = server.requests().pop().unwrap();
            assert!(request.headers().get_all("authorization").iter().count() <= 1, "{request:?}");
        }
    }
}

#[tokio::test]
async fn the_newest_call_about_the_last_event_id_holds() {
    type Call<'a> = &'a dyn Fn(&Handle);
    let (old, new) = (server(1).await, server(2).await);
    let change = |handle: &Handle, change: &dyn Fn(Change) -> Change| drop(handle.update(change, Apply::NextAttempt));
    let keep: Call<'_> = &|handle| change(handle, &|request| request.keep_last_event_id(true));
    let leave: Call<'_> = &|handle| change(handle, &|request| request.keep_last_event_id(false));
    let nothing: Call<'_> = &|handle| change(handle, &|request| request.header("x-a", "1"));
    let go: Call<'_> = &|handle| change(handle, &|request| request.url(new.url()));
    let home: Call<'_> = &|handle| change(handle, &|request| request.url(old.url()));
    let back: Call<'_> = &|handle| handle.reconnect_from(Resume::Id("7".into())).unwrap();
    let rows: [(&[Call<'_>], Option<&str>); 8] = [
        (&[keep, go], None),
        (&[go, keep], Some("1")),
        (&[go, keep, nothing], Some("1")),
        (&[leave, nothing, go], None),
        (&[back, go], None),
        (&[go, back], Some("7")),
        (&[back, go, keep], Some("7")),
        (&[go, home, go, nothing], None),
    ];
    for (number, (calls, expected)) in rows.into_iter().enumerate() {
        let handle = opened(stream(old.url())).await;
        // There is no await here, so the task gets all changes at once.
        calls.iter().for_each(|call| call(&handle));
        within(handle.update(|request| request, Apply::Reconnect)).await.unwrap();
        assert_eq!(last(&new, "last-event-id").as_deref(), expected, "row {number}");
    }
}

#[tokio::test]
async fn a_change_that_does_not_fit_fails_at_the_call_and_changes_nothing() {
    let server = server(1).await;
    let handle = opened(stream(server.url()).query("a", "x".repeat(40_000))).await;
    let wide = |request: Change| request.header("x-wide", "1").query("b", "x".repeat(40_000));
    let refused = within(handle.update(wide, Apply::Reconnect)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidUrl);
    let narrow = |request: Change| request.query("a", "1").query("b", "x".repeat(40_000));
    within(handle.update(narrow, Apply::Reconnect)).await.unwrap();
    assert_eq!(last(&server, "x-wide"), None);

    for number in 0..1024 {
        handle.set_header(format!("x-{number}"), "1").unwrap();
    }
    assert_eq!(handle.set_header("x-more", "1").unwrap_err().kind(), ErrorKind::InvalidHeader);
    let refused =
        within(handle.update(|request| request.header("x-more", "1").query("b", "2"), Apply::Reconnect)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::InvalidHeader);
    handle.set_header("x-0", "2").unwrap();
    let exchange = |request: Change| request.remove_header("x-1").header("x-more", "1");
    drop(handle.update(exchange, Apply::NextAttempt));
    assert!(handle.set_header("x-1", "1").is_err(), "the room is taken");
}
