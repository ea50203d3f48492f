//! A program that chooses how long to wait, prints states and errors, and decides itself.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sseclient::testing::Script;
use sseclient::{Decision, ErrorKind, Handle, ReconnectPolicy, State, TranscriptItem};

use crate::support::{always, client, serve, status, within};

/// The first states of this name.
async fn states(handle: &Handle, count: usize, is_meant: fn(&State) -> bool) -> Vec<State> {
    let mut transcript = handle.transcript();
    handle.connect();
    let mut states = Vec::new();
    while states.len() < count {
        match within(transcript.recv()).await.expect("the stream goes on") {
            TranscriptItem::State(state) if is_meant(&state) => states.push(state),
            _ => {}
        }
    }
    states
}

fn is_waiting(state: &State) -> bool {
    matches!(state, State::Waiting { .. })
}

#[tokio::test]
async fn a_persistent_stream_waits_for_the_ceiling_and_at_most_half_as_long_again() {
    let server = always(|| status(404)).await;
    let ceiling = Duration::from_millis(20);
    let policy = ReconnectPolicy::persistent().reconnection_time(Duration::ZERO).ceiling(ceiling);
    let handle = client().stream(server.url()).reconnect_policy(policy).build().unwrap();
    for state in states(&handle, 10, is_waiting).await {
        let State::Waiting { delay, cause, .. } = state else { unreachable!("a wait") };
        assert!((ceiling..=ceiling * 3 / 2).contains(&delay), "{delay:?}");
        // What is tried again must not be called final.
        assert_eq!(cause.to_string(), "the server answered 404 Not Found");
    }
    within(handle.shutdown()).await;
}

#[tokio::test]
async fn a_state_says_in_how_long_and_for_which_attempt_it_reconnects() {
    let server = always(|| status(503)).await;
    for (time, expected) in [
        (Duration::ZERO, "reconnecting in 0 s (attempt 2): the server answered 503 Service Unavailable"),
        (Duration::from_secs(3), "reconnecting in 3 s (attempt 2): the server answered 503 Service Unavailable"),
        (
            Duration::from_millis(1_520),
            "reconnecting in 1.5 s (attempt 2): the server answered 503 Service Unavailable",
        ),
    ] {
        let policy = ReconnectPolicy::daemon().jitter(0.0).reconnection_time(time);
        let handle = client().stream(server.url()).reconnect_policy(policy).build().unwrap();
        assert_eq!(states(&handle, 1, is_waiting).await[0].to_string(), expected);
        within(handle.shutdown()).await;
    }
}

#[tokio::test]
async fn a_stream_that_is_given_up_says_so_and_after_how_many_attempts() {
    let server = serve([status(503), status(503), status(503)]).await;
    let policy = ReconnectPolicy::daemon().reconnection_time(Duration::ZERO).max_retries(2);
    let handle = client().stream(server.url()).reconnect_policy(policy).build().unwrap();
    handle.connect();
    let reason = within(handle.closed()).await;
    let expected = "gave up after 3 attempts: the server answered 503 Service Unavailable";
    assert_eq!(reason.to_string(), expected);
    assert_eq!(handle.state().to_string(), format!("closed: {expected}"));
    assert_eq!(reason.into_result().unwrap_err().to_string(), expected);
}

#[tokio::test]
async fn a_policy_knows_the_last_event_id() {
    let events = Script::open().bytes("id: 7\ndata: x\n\nid: end\ndata: y\n\n").end();
    let server = serve([events, status(503)]).await;
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let policy = ReconnectPolicy::daemon().reconnection_time(Duration::ZERO).decide_with(move |failure| {
        noted.lock().unwrap().push((failure.error().kind(), failure.last_event_id().to_owned()));
        match (failure.error().kind(), failure.last_event_id()) {
            (ErrorKind::Status, "end") => Decision::Stop,
            _ => failure.suggestion(),
        }
    });
    let stream = client().stream(server.url()).last_event_id("6").reconnect_policy(policy);
    let handle = stream.build().unwrap();
    handle.connect();
    within(handle.closed()).await;
    let end = || "end".to_owned();
    assert_eq!(*seen.lock().unwrap(), [(ErrorKind::EndOfStream, end()), (ErrorKind::Status, end())]);
}

#[tokio::test]
async fn a_server_that_is_polled_is_asked_again_after_its_own_time() {
    let server = always(|| Script::open().bytes("retry: 100\n: nothing new\n\n").end()).await;
    let policy = ReconnectPolicy::daemon().jitter(0.0);
    let handle = client().stream(server.url()).reconnect_policy(policy).build().unwrap();
    for state in states(&handle, 5, is_waiting).await {
        let State::Waiting { delay, .. } = state else { unreachable!("a wait") };
        assert_eq!(delay.as_millis(), 100);
    }
    within(handle.shutdown()).await;
    server.finish().await;
}
