//! How the first attempt ended, for programs that start although it failed.

use std::time::Duration;

use sseclient::ErrorKind;

use crate::support::{OPEN, Server, client, stream, within};

const BUSY: &str = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn the_outcome_of_the_first_attempt_stays_whatever_follows() {
    // The first fails, the second opens and ends, and so on.
    let server = Server::answering(vec![BUSY.to_owned(), OPEN.to_owned()]).await;
    let handle = stream(&server.url).build().unwrap();
    let early = handle.first_attempt();
    handle.connect();
    within(handle.opened()).await.unwrap();
    for first in [early, handle.first_attempt()] {
        let error = within(first).await.unwrap_err();
        assert_eq!((error.kind(), error.status().unwrap().as_u16()), (ErrorKind::Status, 503));
    }
    let server = Server::answering(vec![OPEN.to_owned(), BUSY.to_owned()]).await;
    let handle = stream(&server.url).build().unwrap();
    handle.connect();
    let mut states = handle.state_changes();
    crate::support::setback(&mut states).await;
    within(handle.first_attempt()).await.unwrap();
    within(handle.shutdown()).await;
    within(handle.first_attempt()).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_closes_before_an_attempt_has_ended_says_why() {
    // Final, a 204, and a shutdown of a stream that was never connected.
    let server = Server::answering(vec!["HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n".to_owned()]).await;
    let handle = stream(&server.url).build().unwrap();
    handle.connect();
    assert_eq!(within(handle.first_attempt()).await.unwrap_err().kind(), ErrorKind::Status);
    let server = Server::answering(vec!["HTTP/1.1 204 No Content\r\n\r\n".to_owned()]).await;
    let handle = stream(&server.url).build().unwrap();
    handle.connect();
    assert_eq!(within(handle.first_attempt()).await.unwrap_err().kind(), ErrorKind::Closed);
    let handle = stream(&server.url).build().unwrap();
    let first = handle.first_attempt();
    within(handle.shutdown()).await;
    assert_eq!(within(first).await.unwrap_err().kind(), ErrorKind::Closed);
}

/// The attempt is the same one, so its first refusal is not its end.
#[tokio::test]
async fn an_attempt_with_fresh_credentials_is_still_the_first() {
    let server =
        Server::answering(vec!["HTTP/1.1 401 No\r\ncontent-length: 0\r\n\r\n".to_owned(), OPEN.to_owned()]).await;
    let stream = client().stream(&server.url).reconnection_time(Duration::from_secs(3600));
    let stream = stream.credentials(|_| async { Ok::<_, sseclient::Error>(http::HeaderMap::new()) });
    let handle = stream.build().unwrap();
    handle.connect();
    within(handle.first_attempt()).await.unwrap();
}
