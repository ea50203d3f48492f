//! A program that sends its own requests with reqwest, and resumes by hand.

use std::net::SocketAddr;

use sseclient::{Delivery, ErrorKind, EventStream, Gap};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_stream::StreamExt as _;

use crate::relay::Relay;
use crate::server::Server;
use crate::{
    EVENTS, PATIENCE, Publishers, Recorder, check_events, check_gaps, event, latest, number_of, tell_the_story,
};

#[tokio::test]
#[ignore = "needs node; run by .ci/run"]
async fn every_event_of_node_arrives_in_responses_of_reqwest_across_two_cuts() {
    let server = Server::node();
    let relay = Relay::start(server.subscribe).await;
    let (progress, latest) = watch::channel(None);
    let recorder = Recorder { latest, task: tokio::spawn(read(relay.address, progress)) };
    let mut publishers = Publishers::connect(&[server.publish]).await;
    let story = tell_the_story(&relay, &mut publishers, async |number| recorder.reached(number).await);
    timeout(PATIENCE, story).await.expect("all events");
    let recording = recorder.finish().await;
    check_events(&recording, |_| true);
    check_gaps(&[recording]);
}

/// Requests again after each broken response until the last event. The recording has a gap in each
/// place.
async fn read(server: SocketAddr, progress: watch::Sender<Option<usize>>) -> Vec<Delivery> {
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let mut recording = Vec::new();
    loop {
        let last_event_id = latest(&recording).map(|(_, id)| id).unwrap_or_default();
        let request = client.get(format!("http://{server}/subscribe"));
        let response = request.header("last-event-id", &last_event_id).send().await.expect("a response");
        let response = http::Response::<reqwest::Body>::from(response);
        let mut events = EventStream::from_response(response).await.expect("an event stream");
        let error = loop {
            match events.next().await {
                Some(Ok(delivery)) => recording.push(delivery),
                Some(Err(error)) => break error,
                None => panic!("node's responses do not end of themselves"),
            }
            let latest = recording.last().and_then(event).map(number_of);
            progress.send_replace(latest);
            if latest == Some(EVENTS - 1) {
                return recording;
            }
        };
        assert_eq!((error.kind(), error.is_final()), (ErrorKind::Body, false), "{error}");
        assert!(events.next().await.is_none(), "nothing comes after it");
        let sent = latest(&recording).map(|(_, id)| id);
        recording.push(Delivery::Gap(Gap::reconnected(sent)));
    }
}
