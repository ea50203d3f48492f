//! How the first attempt ended, for programs that start although it failed.

use std::time::Duration;

use sseclient::ErrorKind;
use sseclient::testing::{Plan, Script};

use crate::support::{client, serve, setback, status, stream, within};

#[tokio::test]
async fn the_outcome_of_the_first_attempt_stays_whatever_follows() {
    let server = serve([status(503), Script::open()]).await;
    let handle = stream(server.url()).build().unwrap();
    let early = handle.first_attempt();
    handle.connect();
    within(handle.opened()).await.unwrap();
    for first in [early, handle.first_attempt()] {
        let error = within(first).await.unwrap_err();
        assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::Status, 503));
    }
    // The first ends, and the others fail.
    let later = |number, _: &_| if number == 1 { Script::open().end() } else { status(503) };
    let server = serve(Plan::each(later)).await;
    let handle = stream(server.url()).build().unwrap();
    handle.connect();
    let mut states = handle.state_changes();
    for cause in [ErrorKind::EndOfStream, ErrorKind::Status] {
        assert_eq!(setback(&mut states).await.kind(), cause);
    }
    within(handle.first_attempt()).await.unwrap();
    within(handle.shutdown()).await;
    within(handle.first_attempt()).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_closes_before_an_attempt_has_ended_says_why() {
    // Final, a 204, and a shutdown of a stream that was never connected.
    let server = serve(status(404)).await;
    let handle = stream(server.url()).build().unwrap();
    handle.connect();
    assert_eq!(within(handle.first_attempt()).await.unwrap_err().kind(), ErrorKind::Status);
    let server = serve(status(204)).await;
    let handle = stream(server.url()).build().unwrap();
    handle.connect();
    assert_eq!(within(handle.first_attempt()).await.unwrap_err().kind(), ErrorKind::Closed);
    let handle = stream(server.url()).build().unwrap();
    let first = handle.first_attempt();
    within(handle.shutdown()).await;
    assert_eq!(within(first).await.unwrap_err().kind(), ErrorKind::Closed);
}

/// The attempt is the same one, so its first refusal is not its end.
#[tokio::test]
async fn an_attempt_with_fresh_credentials_is_still_the_first() {
    let server = serve([status(401), Script::open()]).await;
    let stream = client().stream(server.url()).reconnection_time(Duration::from_secs(3600));
    let stream = stream.credentials(|_| async { Ok::<_, sseclient::Error>(http::HeaderMap::new()) });
    let handle = stream.build().unwrap();
    handle.connect();
    within(handle.first_attempt()).await.unwrap();
}
